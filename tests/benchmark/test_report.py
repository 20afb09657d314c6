# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The report of a store written by hand: its numbers, what is missing, and the page as a page."""

import base64
import csv
import json
import re
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from benchmark_stores import LABELS, make_predictions, write_folds, write_plan, write_run

from modeling_univa import cli
from modeling_univa.benchmark.scored import Bootstrap
from modeling_univa.benchmark.store import RunStore
from modeling_univa.scores.predictions import write_predictions
from modeling_univa.scores.thresholds import best_threshold


SKILLS = {"full": 0.7, "less": 0.55, "noise": 0.0}
VOID = {"meta", "img", "br", "link"}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> RunStore:
    """Three systems; of the last one a run failed and one is missing. A name holds what HTML and Markdown read."""
    store = RunStore(tmp_path_factory.mktemp("benchmark") / "store")
    rows = {"full": [1, 2], "less": [1, 2], "noise": [1, 2, 3], "w/o <b>|A*": [7]}
    write_plan(store, rows, {"less": {"micro_f1": 98.7}}, title="Systems & <more>")
    for name, skill in SKILLS.items():
        for seed in (1, 2):
            splits = {split: make_predictions(skill, seed, split=split) for split in ("validation", "test")}
            speakers = [f"${row % 3}" if row else None for row in range(48)]
            splits["test"] = replace(splits["test"], speakers=speakers)
            write_run(store, f"{name}-{seed}", None if (name, seed) == ("noise", 2) else splits)
    return store


@pytest.fixture(scope="module")
def output(store, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    assert cli.main(["report", str(store.folder), "--output", str(folder), "--draws", "500", "--seed", "4"]) == 0
    return folder


def lines(file: Path) -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def cells(text: str, caption: str) -> list[list[str]]:
    """The table below a caption in Markdown."""
    rest = text[text.index(f"**{caption}**") :].split("\n\n")[1]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in rest.splitlines()]


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects them with their attributes."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_text_shows_the_numbers_of_the_csv_file(output):
    text = (output / "report.md").read_text(encoding="utf-8")
    caption = "Systems & \\<more\\>: each run at its own threshold"
    header, _, *rows = cells(text, caption)
    data = {(line["row"], line["metric"]): line for line in lines(output / "tables" / "mine-table2-own.csv")}
    assert [row[0] for row in rows] == ["full", "less", "noise", "w/o \\<b\\>\\|A\\*"]
    for row in rows[:3]:
        for metric, column in (("accuracy", "Acc %"), ("micro_f1", "miF1 %"), ("hamming_loss", "HL")):
            line, place = data[row[0], metric], header.index(column)
            digits = 4 if metric == "hamming_loss" else 2
            value, low, high = (f"{float(line[key]):.{digits}f}" for key in ("value", "low", "high"))
            assert row[place] == f"{value} \\[{low}, {high}\\]" and row[place + 1] == line["rank"]
    assert [row[header.index("seeds")] for row in rows] == ["2", "2", "1 of 3", "0 of 1"]
    assert rows[3][3:] == ["–"] * len(rows[3][3:])
    assert [row[header.index("rows")] for row in rows[:3]] == ["48"] * 3
    assert (
        "Split test: 48 rows of 12 dialogues" in text
        and "500 draws" in text
        and "mean over 1 to 2 seeds," in text
        and "bootstrap seed 4" in text
    )


def test_published_figures_stand_alone(output, store, tmp_path):
    text = (output / "report.md").read_text(encoding="utf-8")
    header, _, *rows = cells(text, "Systems & \\<more\\>: each run at its own threshold")
    assert [head for head in header if "published" in head] == ["miF1 % published"]
    assert [row[header.index("miF1 % published")] for row in rows] == ["–", "98.7", "–", "–"]
    # With another figure everything else stays.
    other = RunStore(tmp_path / "store")
    other.folder.mkdir()
    (other.folder / "runs").symlink_to(store.folder / "runs")
    rows = {"full": [1, 2], "less": [1, 2], "noise": [1, 2, 3], "w/o <b>|A*": [7]}
    write_plan(other, rows, {"less": {"micro_f1": 0.1}}, title="Systems & <more>")
    again = tmp_path / "again"
    assert cli.main(["report", str(other.folder), "--output", str(again), "--draws", "500", "--seed", "4"]) == 0
    for file in ("report.md", "tables/mine-table2-own.csv"):
        assert (again / file).read_text() == (output / file).read_text().replace("98.7", "0.1")


def test_missing_runs_are_listed_with_their_reason(output):
    found = {(line["row"], line["seeds"]): line["reason"] for line in lines(output / "tables/mine-table2-missing.csv")}
    assert found == {
        ("noise", "2"): "There was not enough <memory>.",
        ("noise", "3"): "The run was not made yet.",
        ("w/o <b>|A*", "7"): "The run was not made yet.",
    }
    page = Page((output / "index.html").read_text(encoding="utf-8"))
    assert "There was not enough <memory>." in page.words


def test_differences_are_of_all_other_rows_that_ran(output):
    found = lines(output / "tables" / "mine-table2-own-differences.csv")
    assert [line["row"] for line in found] == ["less", "noise"]
    data = {(line["row"], line["metric"]): line for line in lines(output / "tables" / "mine-table2-own.csv")}
    assert float(data["noise", "micro_f1"]["difference_high"]) < 0
    assert data["noise", "micro_f1"]["difference_better"] == "full"
    assert found[1]["miF1 %"].startswith("−") and data["full", "micro_f1"]["difference_value"] == ""


def test_page_needs_nothing_else_and_is_accessible(output):
    text = (output / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not page.open
    tags = Counter(tag for tag, _ in page.tags)
    assert not tags.keys() & {"script", "link", "iframe", "object", "embed"}
    for tag, attributes in page.tags:
        assert not {name for name in attributes if name.startswith("on")}
        for name in ("src", "href", "srcset", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:image/")), (tag, attributes)
        assert tag != "th" or attributes["scope"] in ("col", "row")
        assert tag != "img" or len(str(attributes["alt"])) > 20
    assert "@import" not in text and "url(" not in text
    assert tags["table"] == tags["caption"] >= 9 and tags["h1"] == 1 and tags["img"] == 6
    anchors = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert anchors == {f"#{attributes['id']}" for _, attributes in page.tags if "id" in attributes}
    assert "w/o <b>|A*" in page.words and "table2: Systems & <more>" in page.words


def test_figures_are_files_and_parts_of_the_page(output):
    kinds = ["parts-label-counts", "parts-overview", "parts-speakers", "table2-differences", "table2-labels",
             "table2-reliability"]  # fmt: skip
    names = [f"mine-{kind}" for kind in kinds]
    assert sorted(file.name for file in (output / "figures").iterdir()) == [
        f"{name}.{kind}" for name in names for kind in ("png", "svg")
    ]
    text, page = ((output / file).read_text(encoding="utf-8") for file in ("report.md", "index.html"))
    assert set(re.findall(r"\]\((figures/.*?)\)", text)) == {f"figures/{name}.png" for name in names}
    for name in names:
        assert base64.b64encode((output / "figures" / f"{name}.svg").read_bytes()).decode() in page
    tables = set(re.findall(r"\]\(tables/(.*?)\)", text))
    assert tables == {file.name for file in (output / "tables").iterdir()}


def test_speakers_and_labels_have_intervals(output):
    found = lines(output / "tables" / "mine-parts-speakers.csv")
    assert [(line["part"], line["rows"], line["row"]) for line in found] == [
        ("$1", "16", "full"), ("$2", "16", "full"), ("$0", "15", "full"),
    ]  # fmt: skip
    assert all(float(line["low"]) <= float(line["value"]) <= float(line["high"]) for line in found)
    assert {line["part"] for line in lines(output / "tables" / "mine-table2-labels.csv")} == set(LABELS)


def test_without_figures_matplotlib_is_not_needed(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    arguments = ["report", str(store.folder), "--output", str(tmp_path), "--draws", "300"]
    assert cli.main(arguments) == 2 and 'pip install "univa[plot]"' in capsys.readouterr().err
    assert cli.main([*arguments, "--no-figures"]) == 0
    assert not (tmp_path / "figures").exists() and (tmp_path / "index.html").is_file()


def test_same_store_makes_the_same_bytes(output, store, tmp_path):
    again = ["report", str(store.folder), "--output", str(tmp_path), "--draws", "500", "--seed", "4"]
    assert cli.main(again) == 0
    files = {file.relative_to(output) for file in output.rglob("*") if file.is_file()}
    assert files == {file.relative_to(tmp_path) for file in tmp_path.rglob("*") if file.is_file()}
    for file in files:
        assert (tmp_path / file).read_bytes() == (output / file).read_bytes(), file


def test_another_split_is_scored_at_own_thresholds_alone(store, tmp_path):
    arguments = ["report", str(store.folder), "--output", str(tmp_path), "--draws", "500", "--split", "validation"]
    assert cli.main(arguments) == 0
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "Split validation: 48 rows" in text and "is not scored on the same rows" in text
    assert not (tmp_path / "tables" / "mine-table2-tuned.csv").exists()


def test_what_predicts_the_same_is_shown_once(tmp_path):
    """Where each run has the threshold that is best on its validation rows."""
    store = RunStore(tmp_path / "store")
    write_plan(store, {"full": [1], "less": [1]})
    for name in ("full", "less"):
        splits = {split: make_predictions(SKILLS[name], 1, split=split) for split in ("validation", "test")}
        threshold = best_threshold(splits["validation"].scores, splits["validation"].labels)
        write_run(store, f"{name}-1", splits, threshold)
    arguments = ["report", str(store.folder), "--output", str(tmp_path / "report"), "--draws", "500", "--no-figures"]
    assert cli.main(arguments) == 0
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "all predictions are the same, and so are all numbers above" in text
    assert not (tmp_path / "report" / "tables" / "mine-table2-tuned.csv").exists()


SEARCH = {
    "tune": {"trials": 2, "metric": "micro_f1", "seed": 0, "space": {"learning_rate": {"low": 0.1, "high": 1}},
             "systems": {"less": {"queue_size": [8, 16]}}},
    "found": {"trials": ["a", "b"], "failed": ["b"], "settings": {"learning_rate": 0.25}, "value": 61.234},
}  # fmt: skip


def with_search(store: RunStore, found: object, tune: object = SEARCH["tune"]) -> None:
    file = write_plan(store, {"full": [1], "less": []})
    content = json.loads(file.read_text())
    content["tables"]["table2"]["tune"] = tune
    content["tables"]["table2"]["rows"]["full"]["found"] = found
    file.write_text(json.dumps(content))


def test_what_was_searched_is_shown(tmp_path):
    store = RunStore(tmp_path / "store")
    with_search(store, SEARCH["found"])
    arguments = ["report", str(store.folder), "--output", str(tmp_path / "report"), "--no-figures"]
    assert cli.main(arguments) == 0
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    (line,) = cells(text, "Systems: search for settings")[2:]
    assert line == ["full", "2", "1", "61.23", "learning\\_rate=0.25"]
    assert "Searched of less: queue" in text and "2 trials of each row" in text


@pytest.mark.parametrize(
    ("found", "tune"),
    [(None, SEARCH["tune"]), ({**SEARCH["found"], "value": "high"}, SEARCH["tune"]), (SEARCH["found"], {"trials": 2})],
)
def test_a_search_that_is_damaged_is_named(found, tune, tmp_path, capsys):
    with_search(RunStore(tmp_path / "store"), found, tune)
    assert cli.main(["report", str(tmp_path / "store"), "--output", str(tmp_path / "report")]) == 2
    assert "The plan mine in" in capsys.readouterr().err


def test_mistakes_end_in_a_sentence(tmp_path, capsys):
    assert cli.main(["report", str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert "has no plans" in capsys.readouterr().err
    assert Bootstrap().draws == 10_000 and not (tmp_path / "out").exists()


def test_rows_on_a_corpus_with_other_labels_are_not_broken_down_by_label(tmp_path):
    store = RunStore(tmp_path / "store")
    write_plan(store, {"full": [1], "other": [1], "less": [1]})
    for name in ("full", "less"):
        write_run(store, f"{name}-1", {"test": make_predictions(0.6, 1)})
    write_run(store, "other-1", {"test": make_predictions(0.6, 1)})
    found = make_predictions(0.6, 1)
    found = replace(found, scores=found.scores[:, :2], labels=found.labels[:, :2])
    write_predictions(store.run_folder("other-1") / "predictions.parquet", {"test": found}, LABELS[:2], 0.5)
    arguments = ["report", str(store.folder), "--output", str(tmp_path), "--draws", "400", "--no-figures"]
    assert cli.main(arguments) == 0
    table = lines(tmp_path / "tables" / "mine-table2-labels.csv")
    assert {line["row"] for line in table} == {"full", "less"} and len(table) == 6
    assert "other has other labels than the rows before it, and is not scored." in (tmp_path / "report.md").read_text()


def test_tables_of_like_names_have_files_of_their_own(tmp_path):
    store = RunStore(tmp_path / "store")
    file = write_plan(store, {"full": [1]}, name="a-b")
    content = json.loads(file.read_text())
    (table,) = content["tables"].values()
    long = "long " * 100
    names = ["w/o text", "w-o text", "c", "parts", long, f"{long}er"]
    file.write_text(json.dumps({**content, "tables": dict.fromkeys(names, table)}))
    file.with_name("a.json").write_text(json.dumps({**content, "tables": dict.fromkeys(["b-c", "b-parts"], table)}))
    write_run(store, "full-1", {"test": make_predictions(0.6, 1)})
    arguments = ["report", str(store.folder), "--output", str(tmp_path), "--draws", "100", "--no-figures"]
    assert cli.main(arguments) == 0
    assert len(list((tmp_path / "tables").glob("*-own.csv"))) == 8
    links = re.findall(r"tables/(.*?)\.csv", (tmp_path / "report.md").read_text())
    anchors = re.findall(r' id="(.*?)"', (tmp_path / "index.html").read_text())
    assert len(set(links)) == len(links) and len(set(anchors)) == len(anchors)


def test_rows_without_labels_have_a_report(tmp_path):
    store = RunStore(tmp_path / "store")
    write_plan(store, {"full": [1]})
    found = make_predictions(0.6, 1)
    scores = found.scores / found.scores.sum(axis=1, keepdims=True)
    write_run(store, "full-1", {"test": replace(found, scores=scores, labels=0 * found.labels)})
    assert cli.main(["report", str(store.folder), "--output", str(tmp_path), "--draws", "100"]) == 0


def test_folds_and_another_corpus_are_explained(tmp_path):
    store = RunStore(tmp_path / "store")
    plan = write_plan(store, {"full": [1, 2], "folded": [1, 2], "part": [1]})
    write_folds(store, plan, "folded", 0.6, [0.3, 0.5, [0.4, 0.5, 0.6]])
    write_folds(store, plan, "part", 0.5, [0.3, 0.5])
    store.remove("part-1-2")
    for seed in (1, 2):
        write_run(store, f"full-{seed}", {"validation": make_predictions(0.7, seed, split="validation")})
        file, note = store.run_folder(f"full-{seed}") / "test_dataset_predictions.parquet", "Excluded rows: 7."
        write_predictions(file, {"other/test": make_predictions(0.7, seed)}, LABELS, 0.4, note)
    assert cli.main(["report", str(store.folder), "--output", str(tmp_path), "--draws", "200"]) == 0
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "folded: cross-validation, 3 folds by dialogue. The test rows of all folds are pooled" in text
    assert "full: tested on another corpus. Excluded rows: 7." in text
    assert "Folds that are missing, of 2: 2. The run was not made yet." in text
    counts = {
        line["row"]: (line["seeds"], line["rows"]) for line in lines(tmp_path / "tables" / "mine-table2-own.csv")
    }
    assert counts == {"full": ("2", "48"), "folded": ("2", "48"), "part": ("0", "0")}
    # The first row may be of folds, too: its picture is drawn at the thresholds of all folds.
    write_folds(store, write_plan(store, {"only": [1]}), "only", 0.6, [0.3, 0.5])
    assert cli.main(["report", str(store.folder), "--output", str(tmp_path), "--draws", "200"]) == 0
    assert "each fold has its own threshold" in (tmp_path / "index.html").read_text(encoding="utf-8")
