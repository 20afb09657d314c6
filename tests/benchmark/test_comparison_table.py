# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The table of a comparison, of a store written by hand: its numbers, what ± is, what is missing, and its files."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from benchmark_stores import LABELS, fold_of, make_predictions, write_folds, write_plan, write_run

from modeling_univa.benchmark.comparison_table import comparison_grid, grid_text, write_table
from modeling_univa.benchmark.evidence import read_evidence
from modeling_univa.benchmark.page import Grid
from modeling_univa.benchmark.scored import Bootstrap
from modeling_univa.benchmark.store import RunStore
from modeling_univa.scores.metrics import multilabel_metrics


SKILLS = {"full_1": 0.7, "less": 0.3}
THRESHOLDS = [0.5, 0.4, 0.6]


def grid_of(store: RunStore, planned: dict[str, int]) -> Grid | None:
    (plan,) = read_evidence(store, "test")
    return comparison_grid(plan.tables[0], planned, "mine", "test", Bootstrap(300, 0))


def store_of(folder: Path, seeds: Sequence[int], lost: Sequence[str] = ()) -> RunStore:
    store = RunStore(folder)
    write_plan(store, dict.fromkeys(SKILLS, list(seeds)))
    for name, skill in SKILLS.items():
        for seed in seeds:
            run = f"{name}-{seed}"
            write_run(store, run, None if run in lost else {"test": make_predictions(skill, seed)})
    return store


def micro_f1(skill: float, seed: int) -> float:
    found = make_predictions(skill, seed)
    return multilabel_metrics(found.scores, found.labels, 0.5, LABELS)["micro_f1"]


def test_means_have_the_deviation_of_seeds(tmp_path):
    grid = grid_of(store_of(tmp_path, [1, 2, 3]), {"full_1": 3, "less": 3})
    values = [micro_f1(0.7, seed) for seed in (1, 2, 3)]
    cell = f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"
    assert grid.rows[0][0] == "full_1" and grid.rows[0][3] == cell and grid.rows[0][-2:] == ["48", "3"]
    assert [row[0] for row in grid.rows] == ["full_1", "", "less", "", "  − full_1", ""]
    assert grid.rows[4][3].startswith("−") and ", p " in grid.rows[4][3]
    line = next(line for line in grid.data if (line["row"], line["metric"]) == ("full_1", "micro_f1"))
    assert line["sd"] == pytest.approx(np.std(values, ddof=1)) and line["sd_over"] == "seeds" and line["runs"] == 3
    assert grid.rows[1][3] == f"[{line['low']:.2f}, {line['high']:.2f}]"
    notes = " ".join(grid.notes)
    assert "± is the standard deviation over training seeds; " in notes
    assert "what it has more or less than full_1, with its p value and its 95 % interval" in notes


def test_folds_of_one_seed_are_scored_each_for_the_deviation(tmp_path):
    store = RunStore(tmp_path)
    plan = write_plan(store, {"full_1": [1]})
    write_folds(store, plan, "full_1", 0.7, THRESHOLDS)
    grid = grid_of(store, {"full_1": 3})
    values = []
    for fold, threshold in enumerate(THRESHOLDS, 1):
        found = fold_of(make_predictions(0.7, 1), fold, 3)
        values.append(multilabel_metrics(found.scores, found.labels, threshold, LABELS)["accuracy"])
    line = next(line for line in grid.data if line["metric"] == "accuracy")
    assert line["sd"] == pytest.approx(np.std(values, ddof=1)) and line["sd_over"] == "folds"
    assert line["runs"] == line["planned_runs"] == 3
    assert "± is the standard deviation over folds, each of which is scored by itself" in " ".join(grid.notes)


def test_over_seeds_of_folds_the_rows_of_all_folds_count(tmp_path):
    store = RunStore(tmp_path)
    plan = write_plan(store, {"full_1": [1, 2], "less": [1]})
    for name in SKILLS:
        write_folds(store, plan, name, SKILLS[name], [0.5, 0.5])
    grid = grid_of(store, {"full_1": 4, "less": 2})
    values = [micro_f1(0.7, seed) for seed in (1, 2)]
    assert grid.rows[0][3] == f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"
    # A row with one seed has no deviation in this table, where ± means seeds.
    assert "±" not in grid.rows[2][3] and grid.rows[2][-1] == "2"
    assert "over training seeds, each scored on the pooled rows of all folds;" in " ".join(grid.notes)


def test_what_is_missing_is_named(tmp_path):
    grid = grid_of(store_of(tmp_path, [1, 2], lost=["less-2"]), {"full_1": 2, "less": 2})
    assert [row[-1] for row in grid.rows if row[-1]] == ["2", "1 of 2"]
    assert "less lacks the seed 2: There was not enough <memory>." in grid.notes
    alone = grid_of(store_of(tmp_path / "one", [1]), {"full_1": 1, "less": 1})
    assert "There is no ±, since each row has one run." in alone.notes and "±" not in str(alone.rows)
    assert grid_of(store_of(tmp_path / "none", [1], lost=["full_1-1", "less-1"]), {"full_1": 1, "less": 1}) is None


def test_without_its_first_row_a_table_has_no_differences(tmp_path):
    grid = grid_of(store_of(tmp_path, [1], lost=["full_1-1"]), {"full_1": 1, "less": 1})
    assert [row[0] for row in grid.rows] == ["full_1", "less", ""]
    assert grid.rows[0][1:] == ["–", "–", "–", "–", "–", "0 of 1"]
    assert "full_1 has no run, so that there are no differences to it." in grid.notes


def test_files_hold_the_table(tmp_path):
    grid = grid_of(store_of(tmp_path / "store", [1, 2]), {"full_1": 2, "less": 2})
    files = write_table(grid, tmp_path)
    assert [file.name for file in files] == ["table.csv", "table.md", "table.tex"]
    data, text, tex = (file.read_text(encoding="utf-8") for file in files)
    lines = list(csv.DictReader(io.StringIO(data)))
    assert len(lines) == 8 and float(lines[0]["low"]) < float(lines[0]["value"]) < float(lines[0]["high"])
    assert lines[4]["row"] == "less" and float(lines[4]["difference_p_holm"]) <= 1
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(grid.rows) and {line.count("|") for line in table} == {len(grid.header) + 1}
    assert table[0].startswith("| system | Acc % | HL |") and "full\\_1" in tex and "Acc \\%" in tex
    assert tex.count("\\\\") == 1 + len(grid.rows) and "\\quad $-$ full\\_1 & " in tex


def test_columns_of_the_terminal_are_aligned(tmp_path):
    grid = grid_of(store_of(tmp_path, [1, 2]), {"full_1": 2, "less": 2})
    lines = grid_text(grid).splitlines()
    head = next(place for place, line in enumerate(lines) if line.startswith("system"))
    table = [line for line in lines[head + 2 : head + 2 + len(grid.rows) + 1] if line]
    for name in ("HL", "miF1 %", "runs"):
        place = lines[head].index(name)
        assert all(line[place - 1 : place] in ("", " ") for line in table)
    assert max(map(len, lines)) <= 110
