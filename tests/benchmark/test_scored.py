# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Numbers of a table: against the `evaluate` metric and `compare`, and what is left out."""

from dataclasses import replace

import numpy as np
import pytest
from benchmark_stores import LABELS, METRICS, fold_of, make_predictions, write_folds, write_plan, write_run
from sklearn.metrics import f1_score

from modeling_univa.benchmark.evidence import TableEvidence, read_evidence
from modeling_univa.benchmark.scored import Bootstrap, choose, score
from modeling_univa.benchmark.store import RunStore
from modeling_univa.benchmark.tables import Setting, conditions
from modeling_univa.models.configuration_emotion import EmotionConfig
from modeling_univa.scores.comparison import Run, compare
from modeling_univa.scores.metrics import MultilabelMetrics
from modeling_univa.scores.predictions import write_predictions
from modeling_univa.scores.thresholds import best_threshold


BOOTSTRAP = Bootstrap(draws=400, seed=3)
SKILLS = {"full": 0.7, "less": 0.55, "noise": 0.0}
SEEDS = [1, 2, 3]


def splits_of(skill: float, seed: int) -> dict:
    return {name: make_predictions(skill, seed, split=name) for name in ("validation", "test")}


@pytest.fixture
def store(tmp_path) -> RunStore:
    """Three systems with three seeds each, and thresholds of their own."""
    store = RunStore(tmp_path / "store")
    write_plan(store, dict.fromkeys(SKILLS, SEEDS), {"less": {"micro_f1": 99.0}})
    for name, skill in SKILLS.items():
        for seed in SEEDS:
            write_run(store, f"{name}-{seed}", splits_of(skill, seed), 0.3 + 0.1 * seed)
    return store


def table_of(store: RunStore, split: str = "test") -> TableEvidence:
    (plan,) = read_evidence(store, split)
    return plan.tables[0]


def metrics(seed: int, name: str, threshold: float) -> dict[str, float]:
    config = EmotionConfig(id2label=dict(enumerate(LABELS)), decision_threshold=threshold)
    found = make_predictions(SKILLS[name], seed)
    return MultilabelMetrics(config).compute(found.scores, found.labels)


@pytest.mark.parametrize("thresholds", ["own", "tuned"])
def test_means_are_those_of_the_metric_and_intervals_those_of_compare(store, thresholds):
    table = table_of(store)
    rows, problems = choose(table, "test", thresholds)
    scored = score(table, rows, BOOTSTRAP)
    assert not problems and not scored.problems and scored.reference == "full"
    used = {
        (name, seed): 0.3 + 0.1 * seed
        if thresholds == "own"
        else best_threshold(*(getattr(splits_of(skill, seed)["validation"], part) for part in ("scores", "labels")))
        for name, skill in SKILLS.items()
        for seed in SEEDS
    }
    runs = {name: [Run(make_predictions(skill, s), used[name, s], s) for s in SEEDS] for name, skill in SKILLS.items()}
    expected = compare(runs, "full", draws=400, seed=3)
    for row in scored.rows:
        name = row.row.name
        by_seed = [metrics(seed, name, used[name, seed]) for seed in SEEDS]
        for metric in METRICS:
            mean = np.mean([one[metric] for one in by_seed])
            assert row.estimates[metric].value == pytest.approx(mean, abs=1e-6)
        assert row.estimates == expected.scores[name] and row.ranks == {m: expected.ranks[m][name] for m in METRICS}
        assert row.differences == expected.differences.get(name)
        assert (row.num_runs, row.num_rows, row.num_dialogues) == (3, 48, 12)
        assert row.num_rows_without_label == by_seed[0]["num_rows_without_label"] > 0
        empty = np.mean([one["num_rows_without_prediction"] for one in by_seed])
        assert row.num_rows_without_prediction == pytest.approx(empty)
    assert [row.ranks["micro_f1"] for row in scored.rows] != [1, 1, 1]


def test_thresholds_of_each_label(store):
    table = table_of(store)
    each = [0.2, 0.5, 0.9]
    row = replace(table.rows[0], runs=[replace(run, threshold=each) for run in table.rows[0].runs])
    rows, _ = choose(replace(table, rows=[row]), "test", "own")
    assert np.array_equal(rows["full"][1].scores == 1, make_predictions(0.7, 1).scores > np.float64(each))


def test_other_features_are_not_compared(store):
    write_plan(store, dict.fromkeys(SKILLS, SEEDS), features={"noise": "original"})
    table = table_of(store)
    scored = score(table, choose(table, "test", "own")[0], BOOTSTRAP)
    full, less, noise = scored.rows
    assert noise.estimates and noise.ranks is None and noise.differences is None
    assert less.differences and full.ranks
    runs = {
        name: [Run(make_predictions(SKILLS[name], s), 0.3 + 0.1 * s, s) for s in SEEDS] for name in ("full", "less")
    }
    assert less.differences == compare(runs, "full", draws=400, seed=3).differences["less"]


def test_rows_on_other_utterances_have_numbers_of_their_own(store):
    write_plan(store, {"full": SEEDS, "other": [1]})
    write_run(store, "other-1", {"test": make_predictions(0.5, 1, dialogues=5)})
    table = table_of(store)
    scored = score(table, choose(table, "test", "own")[0], BOOTSTRAP)
    assert [row.num_rows for row in scored.rows] == [48, 20]
    assert all(row.estimates and not row.differences and not row.ranks for row in scored.rows)
    assert len(scored.problems) == 1 and "All runs must be on the same rows" in scored.problems[0]


def test_without_the_first_row_there_are_no_differences(store):
    write_plan(store, {"new": SEEDS, "full": SEEDS, "less": SEEDS})
    table = table_of(store)
    scored = score(table, choose(table, "test", "own")[0], BOOTSTRAP)
    assert scored.reference is None and scored.rows[0].estimates is None and scored.rows[0].num_runs == 0
    assert scored.rows[1].ranks and scored.rows[1].differences is None
    assert scored.problems == ["new has no run, so that there are no differences to it."]


def test_threshold_that_cannot_be_tuned(store):
    write_plan(store, {"full": SEEDS, "only test": [1]})
    write_run(store, "only test-1", {"test": make_predictions(0.5, 1)})
    rows, problems = choose(table_of(store), "test", "tuned")
    assert len(rows["full"]) == 3 and not rows["only test"]
    assert problems == ["only test has no validation rows with labels to choose a threshold on."]
    with pytest.raises(ValueError, match="chosen on validation rows is not scored on the same rows"):
        choose(table_of(store, "validation"), "validation", "tuned")


def test_row_of_other_labels_is_not_scored(store):
    table = table_of(store)
    other = replace(table.rows[1], runs=[replace(run, label_names=["a", "b", "c"]) for run in table.rows[1].runs])
    table = replace(table, rows=[table.rows[0], other, table.rows[2]])
    rows, problems = choose(table, "test", "own")
    assert [len(of) for of in rows.values()] == [3, 0, 3]
    assert problems == ["less has other labels than the rows before it, and is not scored."]
    scored = score(table, rows, BOOTSTRAP)
    assert scored.rows[1].estimates is None and scored.rows[2].differences


def test_part_of_the_predictions(store):
    table = table_of(store)
    rows, _ = choose(table, "test", "own")
    scored = score(
        table, rows, BOOTSTRAP, lambda found: replace(found, scores=found.scores[:, :1], labels=found.labels[:, :1])
    )
    expected = np.mean([metrics(seed, "full", 0.3 + 0.1 * seed)["f1_happy"] for seed in SEEDS])
    assert scored.rows[0].estimates["micro_f1"].value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("thresholds", ["own", "tuned"])
@pytest.mark.parametrize("own", [[0.3, 0.6, 0.5], [[0.2, 0.5, 0.9], [0.6, 0.1, 0.4], [0.3, 0.3, 0.8]]])
def test_folds_are_pooled_each_at_its_own_threshold(own, thresholds, store):
    plan = write_plan(store, {"full": SEEDS, "folded": [1, 2]})
    write_folds(store, plan, "folded", 0.55, own)
    table = table_of(store)
    rows, problems = choose(table, "test", thresholds)
    scored = score(table, rows, BOOTSTRAP)
    assert not problems and not scored.problems
    expected = []
    for seed in (1, 2):
        truth, predicted = [], []
        for fold, used in enumerate(own, 1):
            part = fold_of(make_predictions(0.55, seed), fold, 3)
            chosen = fold_of(make_predictions(0.55, seed, split="validation"), fold, 3)
            used = used if thresholds == "own" else best_threshold(chosen.scores, chosen.labels)
            for scores, labels in zip(part.scores, part.labels, strict=True):
                each = used if isinstance(used, list) else [used] * 3
                predicted.append([float(one) > limit for one, limit in zip(scores, each, strict=True)])
                truth.append(labels)
        assert len(truth) == 48
        expected.append(100 * f1_score(np.array(truth), np.array(predicted), average="micro"))
    folded = scored.rows[1]
    assert folded.estimates["micro_f1"].value == pytest.approx(np.mean(expected), abs=1e-6)
    assert (folded.num_runs, folded.num_rows, folded.num_dialogues) == (2, 48, 12)
    # As any other row of the same utterances it is compared with the first one.
    assert folded.differences and folded.ranks
    assert folded.estimates["micro_f1"].low < folded.estimates["micro_f1"].value < folded.estimates["micro_f1"].high


def test_fold_without_validation_rows_has_no_tuned_threshold(store):
    write_folds(store, write_plan(store, {"folded": [1]}), "folded", 0.55, [0.3, 0.6])
    write_predictions(
        store.run_folder("folded-1-2") / "predictions.parquet",
        {"test": fold_of(make_predictions(0.55, 1), 2, 2)}, LABELS, 0.5,
    )  # fmt: skip
    rows, problems = choose(table_of(store), "test", "tuned")
    assert not rows["folded"] and problems == ["folded has no validation rows with labels to choose a threshold on."]
    assert len(choose(table_of(store), "test", "own")[0]["folded"]) == 1


SPOKEN = {"full": 0.4, "less": 0.2}


def by_speaker(store: RunStore, speakers: int) -> TableEvidence:
    """Two rows of one seed and three folds by speaker."""
    plan = write_plan(store, {"full": [1], "less": [1]})
    for name in SPOKEN:
        for run in (f"{name}-1", *(f"{name}-1-{fold}" for fold in (1, 2, 3))):
            store.remove(run)
        write_folds(store, plan, name, SPOKEN[name], [0.5, 0.5, 0.5], "speaker", speakers)
    return table_of(store)


def test_intervals_of_folds_by_speaker_are_over_speakers(store):
    table = by_speaker(store, 6)
    rows, problems = choose(table, "test", "own")
    scored = score(table, rows, BOOTSTRAP)
    assert not problems and not scored.problems

    def named_by(kind: str) -> dict[str, list[Run]]:
        """As if each were one dialogue."""
        found = {name: make_predictions(skill, 1, speakers=6) for name, skill in SPOKEN.items()}
        return {name: [Run(replace(one, dialogue_ids=getattr(one, kind)), 0.5, 1)] for name, one in found.items()}

    expected, narrow = (compare(named_by(kind), "full", draws=400, seed=3) for kind in ("speakers", "dialogue_ids"))
    for row in scored.rows:
        assert (row.num_dialogues, row.num_groups, row.group_kind) == (12, 6, "speakers")
        for metric, estimate in row.estimates.items():
            assert estimate.value == pytest.approx(narrow.scores[row.row.name][metric].value)
            assert estimate == expected.scores[row.row.name][metric] != narrow.scores[row.row.name][metric]
    assert scored.rows[1].differences == expected.differences["less"]
    words = conditions(Setting("t", table, "test", "own", BOOTSTRAP), scored)
    assert "48 rows of 12 dialogues of 6 speakers, " in words and "draws over speakers and seeds" in words


def test_intervals_of_folds_by_dialogue_are_over_dialogues(store):
    plan = write_plan(store, {"folded": [1]})
    write_folds(store, plan, "folded", 0.5, [0.5, 0.5], "dialogue", 6)
    (row,) = score(table_of(store), choose(table_of(store), "test", "own")[0], BOOTSTRAP).rows
    assert (row.num_groups, row.group_kind) == (12, "dialogues")


def test_linked_speakers_are_resampled_together(store):
    table = by_speaker(store, 6)
    runs = [row.runs[0] for row in table.rows]
    found = [replace(run.splits["test"], dialogue_ids=[f"d{place // 8}" for place in range(48)]) for run in runs]
    table = replace(table, rows=[
        replace(row, runs=[replace(run, splits={"test": one}, folds=(), threshold=0.5)])
        for row, run, one in zip(table.rows, runs, found, strict=True)
    ])  # fmt: skip
    rows, problems = choose(table, "test", "own")
    speakers = found[0].speakers
    together = {frozenset(speakers[place : place + 8]) for place in range(0, 48, 8)}
    groups = rows["full"][1].groups
    assert not problems and rows["full"][1].group_kind == "groups of linked speakers"
    assert all(len(set(groups[place : place + 8])) == 1 for place in range(0, 48, 8))
    for pair in together:
        assert len({group for group, speaker in zip(groups, speakers, strict=True) if speaker in pair}) == 1


def test_where_speakers_cannot_be_resampled_it_is_said(store):
    table = by_speaker(store, 0)
    rows, problems = choose(table, "test", "own")
    assert len(problems) == 1 and "do not say who speaks in 'test-000': intervals are over dialogues" in problems[0]
    assert score(table, rows, BOOTSTRAP, problems=problems).rows[0].group_kind == "dialogues"
    rows, problems = choose(by_speaker(store, 1), "test", "own")
    assert problems == [
        "All rows are of one speaker, s0: intervals are over dialogues, and do not cover other speakers."
    ]
    assert rows["full"][1].groups is None
