# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What a store holds of a table, and why the rest is missing."""

import json

import numpy as np
import pytest
from benchmark_stores import LABELS, fold_of, make_predictions, write_folds, write_plan, write_run

from modeling_univa.benchmark.evidence import read_evidence
from modeling_univa.benchmark.store import RunStore
from modeling_univa.scores.predictions import write_predictions


def test_runs_that_cannot_be_scored_have_a_reason(tmp_path):
    store = RunStore(tmp_path)
    write_plan(store, {"full": [1, 2, 3, 4, 5, 6, 7]}, {"full": {"micro_f1": 60.5}})
    write_run(store, "full-1", {"test": make_predictions(0.5, 1)}, 0.25)
    write_run(store, "full-2", None)
    write_run(store, "full-3", {"dev": make_predictions(0.5, 1)})
    write_run(store, "full-4", {"test": make_predictions(0.5, 1)})
    (store.run_folder("full-4") / "predictions.parquet").write_bytes(b"PAR1")
    broken = make_predictions(0.5, 1)
    broken.scores[3, 1] = np.nan
    write_run(store, "full-7", {"test": broken})
    store.run_folder("full-5").mkdir()
    (store.run_folder("full-5") / "run.json").write_text(json.dumps({"status": "started"}))
    (plan,) = read_evidence(store, "test")
    assert (plan.name, plan.corpus, plan.tables[0].name) == ("mine", "My corpus", "table2")
    (row,) = plan.tables[0].rows
    assert [(run.seed, run.threshold) for run in row.runs] == [(1, 0.25)] and row.seeds == [1, 2, 3, 4, 5, 6, 7]
    damaged = row.gaps.pop(4)
    assert "predictions.parquet is not a predictions file" in damaged and "\n" not in damaged
    assert "are not finite numbers" in row.gaps.pop(7)
    assert row.gaps == {
        2: "There was not enough <memory>.",
        3: "It has no split 'test'; it has dev.",
        5: "The run was started and has not ended.",
        6: "The run was not made yet.",
    }
    assert row.published == {"micro_f1": 60.5} and row.features == "common"


def test_plan_of_an_earlier_version_says_nothing_of_features(tmp_path):
    store = RunStore(tmp_path)
    file = write_plan(store, {"full": [1]})
    content = json.loads(file.read_text())
    del content["tables"]["table2"]["rows"]["full"]["features"]
    file.write_text(json.dumps(content))
    (plan,) = read_evidence(store, "test")
    assert plan.tables[0].rows[0].features == "common"


def test_folder_without_plans_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no plans: pass the output folder of `univa reproduce`"):
        list(read_evidence(RunStore(tmp_path), "test"))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (["tables"], None, "expected `corpus` and `tables`"),
        (["tables"], {}, "expected `corpus` and `tables`"),
        (["corpus"], 3, "expected `corpus` and `tables`"),
        (["tables", "table2"], [], "table2: expected a `title` and `rows`"),
        (["tables", "table2", "rows"], {}, "table2: expected a `title` and `rows`"),
        (["tables", "table2", "metrics"], [], "expected `metrics` of accuracy"),
        (["tables", "table2", "metrics"], ["mine", {}], "expected `metrics` of accuracy"),
        (["tables", "table2", "published"], {"full": {"micro_f1": "60"}}, "expected numbers in `published`"),
        (["tables", "table2", "published"], {"full": 60}, "expected numbers in `published`"),
        (["tables", "table2", "rows", "full"], 3, "row full has no `runs`"),
        (["tables", "table2", "rows", "full", "features"], "mine", "row full has no `runs`"),
        (["tables", "table2", "rows", "full", "runs"], {"one": "full-1"}, "row full has no `runs`"),
        (["tables", "table2", "rows", "full", "runs"], {"01": "full-1"}, "row full has no `runs`"),
        (["tables", "table2", "rows", "full", "runs"], {"1": ".."}, "row full has no `runs`"),
        (["tables", "table2", "rows", "full", "runs"], {"1": None}, "row full has no `runs`"),
        (["tables", "table2", "rows", "full", "runs"], {"1": "../../other/runs/full-1"}, "row full has no `runs`"),
    ],
)
def test_damaged_plan_is_named(place, value, message, tmp_path):
    store = RunStore(tmp_path)
    file = write_plan(store, {"full": [1]})
    content = json.loads(file.read_text())
    part = content
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="The plan mine in .* is damaged") as caught:
        list(read_evidence(store, "test"))
    caught.match(message)


def folded(store: RunStore, seeds: list[int]):
    """A row of three folds, read."""
    write_folds(store, write_plan(store, {"full": seeds}), "full", 0.5, [0.2, 0.4, 0.6])
    return lambda: next(read_evidence(store, "test")).tables[0].rows[0]


def test_folds_of_a_seed_are_one_run(tmp_path):
    row = folded(RunStore(tmp_path), [1, 2])()
    assert row.folds == "3 folds by dialogue" and not row.gaps and not row.folders
    whole = make_predictions(0.5, 2)
    run = row.runs[1]
    assert (run.seed, run.threshold, run.label_names) == (2, None, LABELS)
    assert [fold.threshold for fold in run.folds] == [0.2, 0.4, 0.6]
    found = run.splits["test"]
    assert len(set(found.utterance_ids)) == len(found.utterance_ids) == 48
    order = [whole.utterance_ids.index(name) for name in found.utterance_ids]
    np.testing.assert_array_equal(found.scores, whole.scores[order])
    np.testing.assert_array_equal(found.labels, whole.labels[order])
    assert found.dialogue_ids == [whole.dialogue_ids[place] for place in order]


def test_seed_that_lacks_a_fold_is_not_scored(tmp_path):
    store = RunStore(tmp_path)
    read = folded(store, [1, 2, 3])
    store.remove("full-2-1")
    store.remove("full-2-3")
    store.remove("full-3-2")
    write_run(store, "full-3-2", None)
    row = read()
    assert [run.seed for run in row.runs] == [1] and list(row.seeds) == [1, 2, 3]
    assert row.gaps == {
        2: "Folds that are missing, of 3: 1, 3. The run was not made yet.",
        3: "Folds that are missing, of 3: 2. There was not enough <memory>.",
    }


def test_row_in_two_folds_is_an_error(tmp_path):
    store = RunStore(tmp_path)
    read = folded(store, [1])
    store.remove("full-1-2")
    write_run(store, "full-1-2", {"test": fold_of(make_predictions(0.5, 1), 1, 3)})
    row = read()
    assert not row.runs
    assert row.gaps[1].startswith("The row 'test-000' is in the folds 1 and 2, expected one prediction of each row")


def test_folds_of_other_labels_are_not_pooled(tmp_path):
    store = RunStore(tmp_path)
    read = folded(store, [1])
    part = {"test": fold_of(make_predictions(0.5, 1), 3, 3)}
    write_predictions(store.run_folder("full-1-3") / "predictions.parquet", part, ["a", "b", "c"], 0.5)
    assert read().gaps == {1: "Its folds have different labels, and are not pooled."}


@pytest.mark.parametrize("folds", [{}, {"1": ".."}, {"1": 3}, "full-1", ["full-1"]])
def test_damaged_folds_are_named(folds, tmp_path):
    store = RunStore(tmp_path)
    file = write_plan(store, {"full": [1]})
    content = json.loads(file.read_text())
    content["tables"]["table2"]["rows"]["full"] |= {"folds": "3 folds", "runs": {"1": folds}}
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="The plan mine in .* is damaged"):
        list(read_evidence(store, "test"))


# Another corpus


def test_what_was_tested_of_another_corpus_is_the_test_split(tmp_path):
    store = RunStore(tmp_path)
    write_plan(store, {"full": [1]})
    write_run(store, "full-1", {"validation": make_predictions(0.5, 1), "m3ed/dev": make_predictions(0.6, 1)}, 0.25)
    ((row,),) = (plan.tables[0].rows for plan in read_evidence(store, "test"))
    np.testing.assert_array_equal(row.runs[0].splits["test"].scores, make_predictions(0.6, 1).scores)
    assert row.runs[0].threshold == 0.25 and row.runs[0].note is None


def test_labels_in_common_are_those_of_all_splits(tmp_path):
    store = RunStore(tmp_path)
    write_plan(store, {"full": [1]})
    known = make_predictions(0.5, 1, split="validation")
    write_run(store, "full-1", {"validation": known}, [0.1, 0.2, 0.3])
    tested = make_predictions(0.6, 1)
    shared = tested.__class__(
        tested.utterance_ids, tested.dialogue_ids, tested.scores[:, [2, 0]], tested.labels[:, [2, 0]]
    )
    file, names = store.run_folder("full-1") / "test_dataset_predictions.parquet", [LABELS[2], LABELS[0]]
    write_predictions(file, {"m3ed/test": shared}, names, [0.3, 0.1], "Scored are two.\nExcluded rows: 7.")
    ((row,),) = (plan.tables[0].rows for plan in read_evidence(store, "test"))
    (run,) = row.runs
    assert (run.label_names, run.threshold, run.note) == (names, [0.3, 0.1], "Scored are two. Excluded rows: 7.")
    np.testing.assert_array_equal(run.splits["test"].scores, shared.scores)
    # A row that has other labels alone says nothing of these two.
    kept = [row for row, labels in enumerate(known.labels) if not labels.any() or labels[[2, 0]].any()]
    assert 0 < len(kept) < len(known.labels)
    assert run.splits["validation"].utterance_ids == [known.utterance_ids[row] for row in kept]
    np.testing.assert_array_equal(run.splits["validation"].labels, known.labels[kept][:, [2, 0]])
    write_predictions(file, {"m3ed/test": shared}, ["other", LABELS[0]], 0.3)
    ((row,),) = (plan.tables[0].rows for plan in read_evidence(store, "test"))
    assert "have no label 'other', which was tested: make the run again" in row.gaps[1]


@pytest.mark.parametrize("has_other_labels", [True, False])
def test_validation_rows_do_not_pass_for_those_of_another_corpus(has_other_labels, tmp_path):
    store, own = RunStore(tmp_path), {"test": make_predictions(0.5, 1)}
    tested = {"m3ed/test": make_predictions(0.6, 1)}
    write_plan(store, {"full": [1]})
    write_run(store, "full-1", own if has_other_labels else own | tested)
    if has_other_labels:
        write_predictions(store.run_folder("full-1") / "test_dataset_predictions.parquet", tested, LABELS, 0.5)
    ((row,),) = (plan.tables[0].rows for plan in read_evidence(store, "test"))
    assert not row.runs and "Its validation split is called test, as is what was tested: rename it" in row.gaps[1]


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000])
def test_plan_that_is_not_json_is_named(content, tmp_path):
    write_plan(RunStore(tmp_path), {"full": [1]}).write_text(content)
    with pytest.raises(ValueError, match="The plan mine in .* is damaged"):
        list(read_evidence(RunStore(tmp_path), "test"))
