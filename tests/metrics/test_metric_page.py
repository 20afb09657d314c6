# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What the metric's Space reads, refuses and shows; no gradio is needed for that."""

import ast
import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml


FOLDER = Path(__file__).resolve().parents[2] / "metrics" / "multilabel_emotion"
sys.path.insert(0, str(FOLDER))

import page  # noqa: E402


EVIL = '<img src=x onerror="alert(1)">&'
RESULTS = {
    "accuracy": 37.5, "hamming_loss": 1 / 6, "micro_f1": 200 / 3, "macro_f1": 500 / 9,
    "label_f1": {"happy": 100.0, EVIL: 200 / 3}, "label_support": {"happy": 1234, EVIL: 1},
    "num_rows": 2000, "num_rows_without_label": 17, "num_rows_without_prediction": 3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("[[1, 0, 0], [0, 1, 0]]", [[1, 0, 0], [0, 1, 0]]),
        ("\n[1, 0, 0]\n\n  [0.5, 1e-1, 0]\n", [[1, 0, 0], [0.5, 0.1, 0]]),
        ("[[0, 1],\n [],\n [2]]", [[0, 1], [], [2]]),
        ("[1, 0, 0]", [[1, 0, 0]]),
        ("[]", [[]]),
        ("[]\n[]", [[], []]),
        ("[[]]", [[]]),
        ("", []),
    ],
)
def test_json(text, rows):
    assert page.parse_json("predictions", text) == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 0 0", "Line 1 of `predictions` must be a JSON list such as [1, 0, 0], got '1 0 0'."),
        ("[1, 0, 0]\n[1, 0", "Line 2 of `predictions` must be a JSON list such as [1, 0, 0], got '[1, 0'."),
        ('[1]\n{"happy": 1}', "Line 2 of"),
        ("null", "Line 1 of"),
        ("[" * 100_000, "Line 1 of"),
    ],
)
def test_json_refused(text, message):
    with pytest.raises(ValueError) as error:
        page.parse_json("predictions", text)
    assert str(error.value).startswith(message) and len(str(error.value)) < 200


def test_csv():
    assert page.parse_csv("references", "1,0,0\r\n0, 1,0.5\n") == ([[1, 0, 0], [0, 1, 0.5]], None)
    header = 'happy,"sad, a little",fear\n1,0,0\n'
    assert page.parse_csv("references", header) == ([[1, 0, 0]], ["happy", "sad, a little", "fear"])
    # Lists of indices.
    assert page.parse_csv("references", "0,1\n2\n") == ([[0, 1], [2]], None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,0\n1,x\n", "Line 3 of `references` must be numbers with commas between them, got '1,x'"),
        ("1,0\n\n1,0\n", r"Line 2 of `references` must be numbers .* got ''\. A row .* as \[\]"),
        ("1;0;0\n1;0;0\n", "Line 2 of `references` must be numbers with commas"),
        ("1,0\nhappy,sad\n", "Line 2 of"),
        ("1,,0\n", "Line 1 of"),
        (",happy,sad\n0,1,0\n", "A column of `references` has no name"),
        ('happy,"sad\n1,0\n', "`references` cannot be read as CSV"),
    ],
)
def test_csv_refused(text, message):
    with pytest.raises(ValueError, match=message):
        page.parse_csv("references", text)


def write(folder: Path, **files: str) -> dict[str, str]:
    """Files `{name}_{suffix}` as the arguments `{name}_file`."""
    paths = {}
    for name, content in files.items():
        field, suffix = name.rsplit("_", 1)
        path = folder / f"{field}.{suffix}"
        path.write_text(content, encoding="utf-8-sig" if suffix == "csv" else "utf-8")
        paths[f"{field}_file"] = str(path)
    return paths


def test_every_way_in_gives_the_same(tmp_path):
    names = {"label_names": " happy, sad ,fear"}
    expected = page.compute("[1, 1, 0]\n[0, 1, 0]\n[0, 0, 0]", None, "[1, 0, 0]\n[0, 1, 0]\n[0, 0, 1]", **names)
    assert expected["label_support"] == {"happy": 1, "sad": 1, "fear": 1}
    assert expected["accuracy"] == pytest.approx(50) and expected["num_rows_without_prediction"] == 1
    files = write(tmp_path, predictions_csv="happy,sad,fear\n1,1,0\n0,1,0\n0,0,0", references_jsonl="[0]\n[1]\n[2]\n")
    assert page.compute(**files) == expected
    assert page.compute(**files, **names) == expected
    scores = "[[0.6, 0.6, 0.5], [0, 0.9, 0], [0, 0, 0]]"
    assert page.compute(scores, references="[[0], [1], [2]]", threshold=" 0.5 ", **names) == expected
    unnamed = page.compute("[[0, 1], [1], []]", references="[[0], [1], [2]]", num_labels="3")
    assert unnamed["label_support"] == {"LABEL_0": 1, "LABEL_1": 1, "LABEL_2": 1}


def test_two_labels_and_empty_rows():
    two = {"predictions": "[0, 1]\n[1, 0]", "references": "[0, 1]\n[0, 1]"}
    assert page.compute(**two, configuration="multi_hot")["accuracy"] == 50
    assert page.compute(**two, configuration="indices", num_labels="2")["accuracy"] == 100
    with pytest.raises(ValueError, match="may be multi-hot rows over two labels"):
        page.compute(**two)
    nothing = "[0, 0, 0]\n[1, 0, 0]"
    assert [page.compute(nothing, references=nothing, empty_score=one)["accuracy"] for one in (0, 1)] == [50, 100]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"predictions": " \n"}, "Pass `predictions` as text or as a file."),
        ({"references": ""}, "Pass `references` as text or as a file."),
        ({"predictions": "[0.7, 0.2, 0.1]"}, "Row 0 of `predictions` must be 3 values 0 or 1, .*`threshold=`"),
        ({"predictions": "[1, 0, 0]\n[1, 0, 0]"}, "Mismatch in the number of predictions"),
        ({"predictions": "[[1, 0, 0], 2]"}, "Row 0 of `predictions` .*a flat list of numbers"),
        ({"predictions": '["1", "0", "0"]'}, "Row 0 of `predictions` must be a flat list of numbers"),
        ({"predictions": "[9223372036854775808, 0, 1]"}, "A number is too large"),
        ({"num_labels": "2.5"}, "`num_labels` must be a whole number, got '2.5'"),
        ({"num_labels": "-1"}, "`num_labels` must be an integer of at least 2, got -1"),
        ({"num_labels": "101"}, "This demo takes at most 100 labels"),
        ({"threshold": "0,5"}, "`threshold` must be a number, got '0,5'"),
        ({"threshold": "nan"}, "`threshold` must be a finite number, got nan"),
        ({"label_names": ",".join(map(str, range(101)))}, "This demo takes at most 100 labels"),
        ({"label_names": "happy, sad"}, "Row 0 of `predictions`"),
        ({"label_names": "happy, happy, sad"}, "`label_names` must be at least two different names"),
        ({"empty_score": 0.5}, "`empty_score` must be 0.0 or 1.0"),
        ({"configuration": "both"}, "The configuration must be one of"),
        ({"predictions": "[]\n" * 100_001}, "has 100,001 rows; this demo takes at most 100,000"),
        ({"predictions": " " * 10_000_000 + "[]"}, "has more than 10,000,000 characters"),
    ],
)
def test_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        page.compute(**({"predictions": "[1, 0, 0]", "references": "[1, 0, 0]"} | changes))


def test_files_refused(tmp_path):
    files = write(tmp_path, predictions_csv="happy,sad,fear\n1,0,0", references_csv="sad,happy,fear\n1,0,0")
    with pytest.raises(ValueError, match="The label names, or their order, differ"):
        page.compute(**files)
    with pytest.raises(ValueError, match="Pass `predictions` as text or as a file, not both"):
        page.compute("[1, 0, 0]", **files)
    Path(files["references_file"]).write_bytes(b"\xff\xfe1,0,0")
    with pytest.raises(ValueError, match="The file of `references` is not text in UTF-8"):
        page.compute(**files)
    Path(files["references_file"]).write_bytes(b"\n" * 10_000_001)
    with pytest.raises(ValueError, match="The file of `references` has more than 10 MB"):
        page.compute(**files)


def parse(html: str) -> ElementTree.Element:
    return ElementTree.fromstring(f"<root>{html}</root>")


def test_tables():
    root = parse(page.tables(RESULTS))
    cells = [[cell.text for cell in row.iter("td")] for row in root.iter("tr")]
    assert [row[:2] for row in cells if row] == [
        ["Accuracy", "37.50 %"], ["Hamming loss", "0.1667"], ["Micro F1", "66.67 %"], ["Macro F1", "55.56 %"],
        ["happy", "100.00 %"], [EVIL, "66.67 %"],
        ["All", "2,000"], ["Without any label", "17"], ["Without any prediction", "3"],
    ]  # fmt: skip
    assert ["happy", "100.00 %", "1,234"] in cells
    assert json.loads(root.find(".//pre").text) == RESULTS
    assert not list(root.iter("img"))
    message = parse(page.refusal(f"Row 0: {EVIL}"))
    assert not list(message.iter("img")) and "".join(message.itertext()) == f"Row 0: {EVIL}"


def test_both_spaces_are_of_one_version():
    cards = [FOLDER / "README.md", FOLDER.parents[1] / "space" / "README.md"]
    ours, other = (yaml.safe_load(card.read_text(encoding="utf-8").split("---\n")[1]) for card in cards)
    for name in ("sdk", "sdk_version", "python_version"):
        assert ours[name] == other[name]


def test_space_needs_what_its_requirements_name():
    imported = set()
    for file in ("app.py", "page.py", "scoring.py"):
        for node in ast.walk(ast.parse((FOLDER / file).read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            imported |= {name.split(".")[0] for name in names}
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0 and node.module
                imported.add(node.module.split(".")[0])
    # A Space of this kind has gradio.
    assert imported - sys.stdlib_module_names == {"evaluate", "gradio", "numpy", "page", "scoring", "sklearn"}
    requirements = (FOLDER / "requirements.txt").read_text().split()
    assert any(one.startswith("evaluate") for one in requirements)
