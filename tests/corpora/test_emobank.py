# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import csv
from pathlib import Path

import datasets
import numpy as np
import pytest
import yaml
from csv_files import write_csv

from modeling_univa.commands.build import emobank_main
from modeling_univa.corpora.emobank import EmoBank, read_emobank
from modeling_univa.data.schema import CorpusError


def _rows() -> list[dict[str, str]]:
    texts = ("None", "NA", 'He said "no, thanks".', "Good.", "Über alles", "nan")
    splits = ("train", "test", "train", "dev", "test", "dev")
    return [
        {"id": f"a_{index}", "split": split, "V": str(1 + index / 2), "A": "3.0", "D": "5", "text": text}
        for index, (text, split) in enumerate(zip(texts, splits, strict=True))
    ]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    write_csv(tmp_path / "source" / "emobank.csv", _rows())
    return tmp_path / "source"


def test_built_corpus(source, tmp_path, capsys):
    assert emobank_main(["--source", str(source), "--output", str(tmp_path / "built")]) == 0
    assert "2 train, 2 validation, 2 test" in capsys.readouterr().out
    built = datasets.load_dataset(str(tmp_path / "built"))
    assert {split: rows["text"][:] for split, rows in built.items()} == {
        "train": ["None", 'He said "no, thanks".'],
        "validation": ["Good.", "nan"],
        "test": ["NA", "Über alles"],
    }
    assert built["validation"]["id"][:] == ["a_3", "a_5"]
    np.testing.assert_allclose(built["train"]["valence"][:], [(1 - 3) / 2, (2 - 3) / 2])
    np.testing.assert_allclose(built["test"]["arousal"][:], [0, 0])
    np.testing.assert_allclose(built["test"]["dominance"][:], [1, 1])
    _, metadata, body = (tmp_path / "built" / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(metadata)["license"] == "cc-by-sa-4.0"
    assert "| train | 2 | -0.750 | 0.250 | 0.000 | 0.000 | 1.000 | 0.000 |" in body
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_builder(source, tmp_path):
    builder = EmoBank(source=str(source / "emobank.csv"), cache_dir=str(tmp_path / "cache"))
    builder.download_and_prepare()
    assert builder.as_dataset(split="test")["text"][:] == ["NA", "Über alles"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"V": "5.1"}, r"line 3: V '5.1', expected a rating from 1 to 5"),
        ({"D": "nan"}, r"line 3: D 'nan', expected a rating from 1 to 5"),
        ({"A": ""}, r"line 3: A '', expected a rating"),
        ({"split": "valid"}, r"line 3: split 'valid', expected one of train, dev, test"),
        ({"text": "  "}, r"line 3: the text is empty"),
        ({"id": "a_0"}, r"line 3: id 'a_0' was there before"),
    ],
)
def test_bad_rows(source, tmp_path, capsys, change, message):
    rows = _rows()
    rows[1] |= change
    write_csv(source / "emobank.csv", rows)
    with pytest.raises(CorpusError, match=message):
        read_emobank(source / "emobank.csv")
    assert emobank_main(["--source", str(source), "--output", str(tmp_path / "built")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "built").exists()


def test_bad_files(source, tmp_path):
    with pytest.raises(CorpusError, match="is neither emobank.csv nor a folder with it"):
        EmoBank(source=str(tmp_path / "nowhere"), cache_dir=str(tmp_path))
    write_csv(source / "emobank.csv", [{name: row[name] for name in row if name != "A"} for row in _rows()])
    with pytest.raises(CorpusError, match="no column 'A'"):
        read_emobank(source / "emobank.csv")
    write_csv(source / "emobank.csv", [row for row in _rows() if row["split"] != "dev"])
    with pytest.raises(CorpusError, match="split dev has no rows"):
        read_emobank(source / "emobank.csv")


def test_output_in_the_way(source, tmp_path, capsys):
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "notes.txt").write_text("mine")
    assert emobank_main(["--source", str(source), "--output", str(tmp_path / "built")]) == 2
    assert "already exists" in capsys.readouterr().err
    assert (tmp_path / "built" / "notes.txt").read_text() == "mine"


def test_published_file(shared_data):
    path = shared_data / "emobank" / "emobank.csv"
    rows = read_emobank(path)
    assert {split: len(found) for split, found in rows.items()} == {"train": 8062, "validation": 1000, "test": 1000}
    assert sum(row["text"] == "None" for found in rows.values() for row in found) == 1
    with open(path, encoding="utf-8", newline="") as file:
        ratings = np.array([float(row["V"]) for row in csv.DictReader(file) if row["split"] == "dev"])
    np.testing.assert_allclose([row["valence"] for row in rows["validation"]], (ratings - 3) / 2, atol=1e-7)
