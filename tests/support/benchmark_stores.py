# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Stores of benchmarks with predictions written by hand."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modeling_univa.benchmark.store import RunStore
from modeling_univa.scores.predictions import Predictions, write_predictions


__all__ = ["LABELS", "METRICS", "fold_of", "make_predictions", "write_folds", "write_plan", "write_run"]

LABELS = ["happy", "sad", "an<g>ry|"]
METRICS = ["accuracy", "hamming_loss", "micro_f1", "macro_f1"]


def make_predictions(
    skill: float, seed: int, dialogues: int = 12, split: str = "test", rows: int = 4, speakers: int = 0
) -> Predictions:
    """
    Noisy scores of labels that are the same for all systems and seeds; of skill 0 they are noise alone.

    Args:
        speakers: their number; each dialogue has one, by turns. Of none they are not known.
    """
    truth = np.random.default_rng(len(split))
    labels = (truth.random((dialogues * rows, len(LABELS))) < (0.5, 0.3, 0.2)).astype(np.int8)
    noise = np.random.default_rng((seed, int(1000 * skill), len(split))).random(labels.shape)
    ids = [f"{split}-{row:03d}" for row in range(len(labels))]
    names = [f"{split}-d{row // rows}" for row in range(len(labels))]
    spoken = [f"s{row // rows % speakers}" for row in range(len(labels))] if speakers else None
    return Predictions(ids, names, (skill * labels + (1 - skill) * noise).astype(np.float32), labels, spoken)


def write_run(
    store: RunStore,
    run: str,
    splits: Mapping[str, Predictions] | None,
    threshold: float | list[float] = 0.5,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """A complete run; without predictions one that failed."""
    folder = store.run_folder(run)
    folder.mkdir(parents=True)
    if splits is not None:
        write_predictions(folder / "predictions.parquet", splits, LABELS, threshold)
    content = {"status": "failed" if splits is None else "complete", "settings": settings or {}}
    (folder / "run.json").write_text(json.dumps(content))
    if splits is None:
        (folder / "error.json").write_text(json.dumps({"reason": "There was not\nenough <memory>."}))


def write_plan(
    store: RunStore,
    rows: Mapping[str, Sequence[int]],
    published: Mapping[str, Mapping[str, float]] | None = None,
    features: Mapping[str, str] | None = None,
    name: str = "mine",
    title: str = "Systems",
) -> Path:
    """
    A plan of one table, `table2`; the run of a row and a seed is called ROW-SEED.

    Args:
        rows: the seeds of each row.
    """
    found = {
        row: {
            "system": row,
            "features": (features or {}).get(row, "common"),
            "runs": {str(seed): f"{row}-{seed}".replace("/", "") for seed in seeds},
        }
        for row, seeds in rows.items()
    }
    table = {"title": title, "metrics": METRICS, "published": published or {}, "rows": found}
    file = store.folder / "plans" / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"name": name, "corpus": "My corpus", "tables": {"table2": table}}))
    return file


def fold_of(found: Predictions, fold: int, count: int) -> Predictions:
    """The rows of one fold (from 1): those of every n-th dialogue."""
    numbers = [int(name.rpartition("d")[2]) for name in found.dialogue_ids]
    return found.at([row for row, number in enumerate(numbers) if number % count == fold - 1])


def write_folds(
    store: RunStore,
    plan: Path,
    row: str,
    skill: float,
    thresholds: Sequence[float | list[float]],
    by: str = "dialogue",
    speakers: int = 0,
) -> None:
    """Make folds of each run of a row, one a threshold, each with validation rows of its own."""
    content = json.loads(plan.read_text())
    of_row = content["tables"]["table2"]["rows"][row]
    for seed, run in of_row["runs"].items():
        count = len(thresholds)
        of_row["runs"][seed] = {str(fold): f"{run}-{fold}" for fold in range(1, count + 1)}
        for fold, threshold in enumerate(thresholds, 1):
            splits = {
                split: fold_of(make_predictions(skill, int(seed), split=split, speakers=speakers), fold, count)
                for split in ("validation", "test")
            }
            write_run(store, f"{run}-{fold}", splits, threshold, {"num_folds": count, "fold": fold, "fold_by": by})
    of_row["folds"] = f"{len(thresholds)} folds by {by}"
    plan.write_text(json.dumps(content))
