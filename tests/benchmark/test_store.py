# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What is kept of runs, and what counts as there."""

import json
from dataclasses import replace

import numpy as np
import pytest

from modeling_univa.benchmark.plan import Plan, Run
from modeling_univa.benchmark.store import RunStore
from modeling_univa.scores.predictions import Predictions, write_predictions
from modeling_univa.training.arguments import read_recipe


RUN = Run("0123", {"schema_version": 1, "system": "univa", "corpus": {}, "settings": {"seed": 3}}, {}, [("t", "r")])


@pytest.fixture
def store(tmp_path) -> RunStore:
    return RunStore(tmp_path / "store")


def predict(store: RunStore) -> None:
    found = Predictions(["u"], ["d"], np.ones((1, 2), np.float32), np.ones((1, 2), np.int8))
    write_predictions(store.run_folder("0123") / "predictions.parquet", {"test": found}, ["a", "b"], 0.5)


def test_run_that_was_never_started_is_not_there(store):
    assert store.read("0123") is None and store.read_all() == {} and store.read_plans() == {}


def test_run_starts_and_completes(store):
    store.start(RUN, "mine")
    assert store.read("0123").status == "started"
    predict(store)
    assert store.read("0123").status == "started"
    store.complete("0123", {"seconds": 4.0})
    found = store.read("0123")
    assert (found.id, found.status, found.reason) == ("0123", "complete", None)
    assert found.content == {
        "id": "0123", "status": "complete", "corpus_name": "mine", **RUN.configuration, "seconds": 4.0
    }  # fmt: skip
    assert found.predictions.is_file()
    assert store.read_all() == {"0123": found}
    # Without its predictions it is of no use to a table.
    found.predictions.unlink()
    assert store.read("0123").status == "started"


def test_predictions_of_another_corpus_alone_are_enough(store):
    store.start(RUN, "mine")
    predict(store)
    folder = store.run_folder("0123")
    (folder / "predictions.parquet").rename(folder / "test_dataset_predictions.parquet")
    store.complete("0123", {"seconds": 4.0})
    found = store.read("0123")
    assert found.status == "complete" and found.test_predictions.is_file() and not found.predictions.exists()


def test_run_that_failed_says_why_until_it_starts_once_more(store):
    store.start(RUN, "mine")
    (store.run_folder("0123") / "log.txt").write_text("\n".join(f"line {number}" for number in range(100)))
    store.fail("0123", "It did not fit.", 2)
    found = store.read("0123")
    assert (found.status, found.reason) == ("failed", "It did not fit.")
    error = json.loads((found.folder / "error.json").read_text())
    assert error["exit_code"] == 2 and error["log"].startswith("line 70\n") and error["log"].endswith("line 99")
    store.start(RUN, "mine")
    assert store.read("0123").status == "started" and not (found.folder / "error.json").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "[" * 100_000])
def test_damaged_run_counts_for_nothing(content, store):
    store.start(RUN, "mine")
    (store.run_folder("0123") / "run.json").write_text(content)
    assert store.read("0123") is None


def test_damaged_reason_is_told(store):
    store.start(RUN, "mine")
    store.fail("0123", "It did not fit.", 2)
    (store.run_folder("0123") / "error.json").write_text("{")
    assert store.read("0123").reason == "error.json is damaged or missing."


@pytest.mark.parametrize("keep_model", [True, False])
def test_what_tables_do_not_need_is_removed(keep_model, store):
    store.start(RUN, "mine")
    checkpoint = store.model_folder("0123") / "checkpoint-4"
    checkpoint.mkdir(parents=True)
    (checkpoint.parent / "model.safetensors").touch()
    store.tidy("0123", keep_model)
    assert not checkpoint.exists() and not store.recipe_file("0123").exists()
    assert (checkpoint.parent / "model.safetensors").exists() is keep_model
    assert store.read("0123").status == "started"
    for _ in range(2):
        store.remove("0123")
        assert not store.run_folder("0123").exists()


def test_recipe_of_a_run_is_read_as_it_was(store):
    store.start(replace(RUN, recipe={"learning_rate": 5e-5, "modalities": ["text"], "run_name": "é"}), "mine")
    assert read_recipe(store.recipe_file("0123")) == {"learning_rate": 5e-5, "modalities": ["text"], "run_name": "é"}


def test_plans_are_kept_by_name(store):
    plan = Plan("mosaic", "Emotion mosaic", [])
    store.write_plan(plan)
    assert store.read_plans() == {"mosaic": plan.to_dict()}
