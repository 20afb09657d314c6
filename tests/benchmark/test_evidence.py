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


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000])
def test_plan_that_is_not_json_is_named(content, tmp_path):
    write_plan(RunStore(tmp_path), {"full": [1]}).write_text(content)
    with pytest.raises(ValueError, match="The plan mine in .* is damaged"):
        list(read_evidence(RunStore(tmp_path), "test"))
