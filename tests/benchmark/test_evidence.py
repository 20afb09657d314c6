# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""What a store holds of a table, and why the rest is missing."""

import json

import numpy as np
import pytest
from benchmark_stores import make_predictions, write_plan, write_run

from modeling_univa.benchmark.evidence import read_evidence
from modeling_univa.benchmark.store import RunStore


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


def test_damaged_plan_is_named(tmp_path):
    write_plan(RunStore(tmp_path), {"full": [1]}).write_text('{"name": "mi')
    with pytest.raises(ValueError, match="The plan mine in .* is damaged: run `univa reproduce` of it again"):
        list(read_evidence(RunStore(tmp_path), "test"))
