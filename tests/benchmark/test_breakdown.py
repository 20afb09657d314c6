# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Scores of parts of the predictions, against scikit-learn on these parts."""

from dataclasses import replace

import numpy as np
import pytest
from benchmark_stores import LABELS, make_predictions
from sklearn.metrics import f1_score

from modeling_univa.benchmark.breakdown import (
    break_down,
    breakdown_grid,
    calibration_grid,
    label_count_parts,
    label_parts,
    speaker_parts,
)
from modeling_univa.benchmark.evidence import RowEvidence, RunEvidence, TableEvidence
from modeling_univa.benchmark.scored import Bootstrap, choose
from modeling_univa.benchmark.tables import Setting
from modeling_univa.scores.calibration import calibration_error


THRESHOLD = 0.4
SEEDS = (1, 2)


def predictions(skill: float, seed: int):
    found = make_predictions(skill, seed)
    speakers = [None, "Ada", "Ben", "Cleo", *(("Ada", "Ada", "Ben", None) * 11)]
    return replace(found, speakers=speakers)


def row(name: str, skill: float) -> RowEvidence:
    runs = [RunEvidence(seed, {"test": predictions(skill, seed)}, LABELS, THRESHOLD) for seed in SEEDS]
    return RowEvidence(name, "common", SEEDS, runs, {}, {})


@pytest.fixture
def setting() -> Setting:
    table = TableEvidence("t", "T", ["micro_f1"], [row("good", 0.45), row("bad", 0.2)])
    return Setting("t", table, "test", "own", Bootstrap(draws=300))


def expected(skill: float, rows: np.ndarray, columns: list[int]) -> float:
    values = []
    for seed in SEEDS:
        found = make_predictions(skill, seed)
        labels, predicted = (part[rows][:, columns] for part in (found.labels, found.scores > np.float64(THRESHOLD)))
        values.append(100 * f1_score(labels.ravel(), predicted.ravel()))
    return float(np.mean(values))


def broken_down(setting, parts, count=len):
    rows, _ = choose(setting.table, "test", "own")
    return break_down(setting, rows, parts, lambda found: count(found.labels))


def test_labels(setting):
    found = broken_down(setting, label_parts(LABELS), lambda labels: int(labels.sum()))
    labels = make_predictions(0, 0).labels
    assert (found.parts, found.counts) == (LABELS, labels.sum(axis=0).tolist())
    for name, skill in (("good", 0.45), ("bad", 0.2)):
        for index, one in enumerate(found.values[name]):
            assert one.value == pytest.approx(expected(skill, np.arange(48), [index]))
            assert one.low < one.value < one.high


def test_number_of_labels(setting):
    one = predictions(0.45, 1)
    counts = one.labels.sum(axis=1)
    found = broken_down(setting, label_count_parts(one))
    assert found.parts == ["1 label", "2 labels", "3 labels or more"][: counts.max()] and counts.max() >= 2
    assert found.counts == [(counts == number).sum() for number in range(1, counts.max() + 1)]
    rows = np.flatnonzero(counts == 2)
    assert found.values["bad"][1].value == pytest.approx(expected(0.2, rows, [0, 1, 2]))


def test_speakers_by_number_of_rows(setting):
    one = predictions(0.45, 1)
    found = broken_down(setting, speaker_parts(one))
    # Cleo speaks in one dialogue alone.
    assert (found.parts, found.counts) == (["Ada", "Ben"], [23, 12])
    rows = np.array([place for place, name in enumerate(one.speakers) if name == "Ben"])
    assert found.values["good"][1].value == pytest.approx(expected(0.45, rows, [0, 1, 2]))
    assert speaker_parts(make_predictions(0.45, 1)) == {}


def test_rows_of_one_dialogue_have_no_interval(setting):
    def first(found):
        names = list(found.utterance_ids)[:3], list(found.dialogue_ids)[:3]
        return replace(found, utterance_ids=names[0], dialogue_ids=names[1], scores=found.scores[:3],
                       labels=found.labels[:3])  # fmt: skip

    found = broken_down(setting, {"all": lambda found: found, "first": first})
    assert found.values["good"][0] and found.values["good"][1] is None
    grid = breakdown_grid("n", "C", "rows", found, [])
    assert grid.rows[1] == ["first", "3", "–", "–"] and grid.header == ["", "rows", "good", "bad"]
    assert [line["value"] for line in grid.data[-2:]] == [None, None]


def test_speakers_of_one_run_are_those_of_all(setting):
    """Predictions of an earlier version do not say who speaks; the rows are the same."""
    old = replace(setting.table.rows[1], runs=[
        replace(run, splits={"test": make_predictions(0.2, run.seed)}) for run in setting.table.rows[1].runs
    ])  # fmt: skip
    mixed = replace(setting, table=replace(setting.table, rows=[setting.table.rows[0], old]))
    known = speaker_parts(predictions(0.45, 1))
    assert broken_down(mixed, known) == broken_down(setting, known)
    assert speaker_parts(make_predictions(0.45, 2), predictions(0.45, 1)).keys() == known.keys()


def test_calibration(setting):
    grid = calibration_grid("t", setting.table, "test")
    for line, skill in zip(grid.rows, (0.45, 0.2), strict=True):
        found = [make_predictions(skill, seed) for seed in SEEDS]
        errors = [calibration_error(one.scores, one.labels, "sigmoid") for one in found]
        assert line[1:] == [*(f"{value:.4f}" for value in (np.mean(errors), min(errors), max(errors))), "2", "48"]
    one = make_predictions(0.2, 1)
    labels = one.labels.copy()
    labels[:5] = 0
    of_distribution = replace(one, labels=labels, decision="softmax")
    runs = [RunEvidence(1, {"test": of_distribution}, LABELS, 0.5)]
    grid = calibration_grid("t", replace(setting.table, rows=[replace(setting.table.rows[0], runs=runs)]), "test")
    assert grid.rows[0][-1] == str(int(labels.any(axis=1).sum()))
    unlabelled = replace(predictions(0.2, 1), labels=np.zeros((48, 3), np.int8))
    runs = [RunEvidence(1, {"test": unlabelled}, LABELS, 0.5)]
    nothing = replace(setting.table, rows=[replace(setting.table.rows[0], runs=runs)])
    assert calibration_grid("t", nothing, "test") is None
