# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Trackers that need no account: what `report_to` sends there."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from training_runs import tiny_trainer


TERMS = {"kl", "prior", "contrastive_text", "contrastive_audio", "contrastive_vision"}
SENT = {f"train/{name}" for name in ("loss", "learning_rate", *TERMS)} | {
    f"eval/{name}" for name in ("loss", "micro_f1", "macro_f1", "accuracy", "hamming_loss", "threshold")
}
EPOCHS = 2


def test_tensorboard_gets_every_term_and_score(tmp_path):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tiny_trainer(tmp_path, num_train_epochs=EPOCHS, report_to=["tensorboard"]).train()
    (file,) = tmp_path.rglob("events.out.tfevents*")
    events = event_accumulator.EventAccumulator(str(file.parent)).Reload()
    assert set(events.Tags()["scalars"]) >= SENT
    assert {name: len(events.Scalars(name)) for name in SENT} == dict.fromkeys(SENT, EPOCHS)


def test_trackio_gets_every_term_and_score(tmp_path, trackio_folder):
    pytest.importorskip("trackio")
    options = {"project": "tests", "run_name": "first", "trackio_static_space_id": False}
    tiny_trainer(tmp_path, num_train_epochs=EPOCHS, report_to=["trackio"], **options).train()
    sent = [name for row in logged(trackio_folder / "tests.db", "first") for name in row]
    assert {name: sent.count(name) for name in SENT} == dict.fromkeys(SENT, EPOCHS)


def logged(database: Path, run: str) -> list[dict[str, float]]:
    """What each call of trackio's `log` sent."""
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT metrics FROM metrics WHERE run_name = ? ORDER BY id", (run,)).fetchall()
    return [json.loads(metrics) for (metrics,) in rows]
