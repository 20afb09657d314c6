# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
A benchmark as a data set repository of the Hub: predictions, tables, and what makes them again.

Of a row of a corpus go its names, labels and scores. Its text, features and media never do.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import CommitInfo

from ..data.corpus_card import BENCHMARK_FILE, benchmark_file, benchmark_tasks
from ..scores.predictions import PREDICTIONS_FILE, Predictions, read_predictions, write_predictions
from ..scores.results import write_eval_results
from ..sharing.benchmark_push import push_benchmark
from ..training.evaluation import evaluate_predictions
from .evidence import PlanEvidence, RowEvidence, RunEvidence, TableEvidence, read_evidence, runs_of
from .local_paths import without_folders
from .page import UniqueNames
from .publication_card import PublishedTable, benchmark_card, benchmark_title
from .store import RunStore


__all__ = ["publish", "write_predictions_table"]

# Names that mean something to `datasets` or are of no table.
_TAKEN = ("default", "all")
_SCHEMA = pa.schema(
    {
        "row": pa.string(),
        "run": pa.string(),
        "seed": pa.int64(),
        "utterance_id": pa.string(),
        "dialogue_id": pa.string(),
        "speaker": pa.string(),
        "label_names": pa.list_(pa.string()),
        "labels": pa.list_(pa.int8()),
        "scores": pa.list_(pa.float32()),
        "threshold": pa.list_(pa.float64()),
    }
)


def publish(
    store: RunStore,
    repo_id: str,
    report: str | Path,
    report_files: Sequence[Path],
    split: str = "test",
    private: bool | None = None,
    license: str | None = None,
) -> tuple[CommitInfo, list[Path]]:
    """
    Push what the tables of a store rest on, with the report, and note the scores beside the models that were kept.

    Args:
        store: of `univa reproduce`.
        repo_id: `ORG/NAME` of a data set repository.
        report: folder that [`write_report`] has written.
        report_files: what it returned: other files there are not pushed.
        split: whose rows are the tasks of the benchmark.
        private: whether a new repository is private; see [`push_benchmark`].
        license: for the card.

    Returns:
        The commit, and the files `.eval_results/…` that were written to folders of kept models.

    Raises:
        ValueError: no run of the tables has predictions of the split.
        PushError: as of [`push_benchmark`].
    """
    with TemporaryDirectory() as scratch:
        tables = [table for plan in _named(store, split) for table in _write_plan(plan, Path(scratch), store)]
        if not tables:
            raise ValueError(f"No run of {store.folder} has predictions of {split} rows: there is nothing to push.")
        files: dict[str, Path | bytes] = dict(_files_below(Path(scratch)))
        files |= _records(store, {run for table in tables for run in table.runs})
        files |= {f"report/{file.as_posix()}": Path(report, file) for file in report_files}
        tasks = [task for table in tables for task in benchmark_tasks(_task(table, split), table.name, split)]
        card = benchmark_card(tables, split, license)
        files |= {BENCHMARK_FILE: benchmark_file(benchmark_title(tables), tasks).encode(), "README.md": _bytes(card)}
        commit = push_benchmark(files, repo_id, private=private)
    return commit, _note_scores(store, tables, split, commit)


def _bytes(card: Any) -> bytes:
    return f"{str(card).strip()}\n".encode()


def _task(table: PublishedTable, split: str) -> str:
    return f"{table.name}_{split}"


def _files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path


# Predictions


def _named(store: RunStore, split: str) -> Iterator[tuple[PlanEvidence, list[str]]]:
    """Each plan with the names of its tables' configurations."""
    name = UniqueNames(_TAKEN)
    for plan in read_evidence(store, split):
        yield plan, [name(f"{plan.name}-{table.name}") for table in plan.tables]


def _write_plan(named: tuple[PlanEvidence, list[str]], folder: Path, store: RunStore) -> Iterator[PublishedTable]:
    """Write the predictions of a plan, and yield those of its tables that have some."""
    plan, names = named
    for table, name in zip(plan.tables, names, strict=True):
        splits = write_predictions_table(folder / "data" / name, table)
        num_systems = sum(bool(row.runs) for row in table.rows)
        runs = {one.id: one for row in table.rows for one in _runs_of(row)}
        for run, found in runs.items():
            _write_run(store.run_folder(run).relative_to(store.folder), found, folder)
        if splits:
            title, corpus = without_folders([table.title, plan.corpus])
            yield PublishedTable(name, title, corpus, num_systems, splits, list(runs))


def _write_run(place: Path, run: RunEvidence, folder: Path) -> None:
    """The predictions of a run written again, so that nothing goes but what such a file is known to hold."""
    file = folder / place / PREDICTIONS_FILE
    if not file.exists():
        file.parent.mkdir(parents=True)
        threshold: Any = run.threshold
        write_predictions(file, run.splits, run.label_names, threshold, run.note)


def write_predictions_table(folder: Path, table: TableEvidence) -> dict[str, int]:
    """
    Write `SPLIT.parquet` for each split: a row for each utterance and run of a table.

    Args:
        folder: need not be there yet.
        table: with the predictions of its runs.

    Returns:
        The number of rows by split.
    """
    runs = [(row, one) for row in table.rows for one in _runs_of(row)]
    counts = {}
    for split in dict.fromkeys(chain.from_iterable(run.splits for _, run in runs)):
        folder.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(folder / f"{split}.parquet", _SCHEMA) as writer:
            having = [(row, run) for row, run in runs if split in run.splits]
            for row, run in having:
                writer.write_table(_rows(row.name, run, run.splits[split]))
        counts[split] = sum(len(run.splits[split].utterance_ids) for _, run in having)
    return counts


def _runs_of(row: RowEvidence) -> list[RunEvidence]:
    """All that are complete, one a fold where there are folds."""
    return [one for run in row.runs for one in run.parts] + list(row.unscored)


def _rows(row: str, run: RunEvidence, found: Predictions) -> pa.Table:
    """What a run predicts of a split, with all that is needed to decide which labels these are."""
    size = len(found.utterance_ids)
    threshold: Any = run.threshold
    thresholds = np.broadcast_to(np.asarray(threshold, np.float64), (len(run.label_names),)).tolist()
    values = {
        "row": [row] * size,
        "run": [run.id] * size,
        "seed": [run.seed] * size,
        "utterance_id": list(found.utterance_ids),
        "dialogue_id": list(found.dialogue_ids),
        "speaker": list(found.speakers or [None] * size),
        "label_names": [list(run.label_names)] * size,
        "labels": list(found.labels),
        "scores": list(found.scores),
        "threshold": [thresholds] * size,
    }
    return pa.table(values, _SCHEMA)


# What says how they were made


def _records(store: RunStore, complete: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Plans, and settings or reason of failure of each of their runs, as the store has them but without folders."""
    plans = store.read_plans()
    for name, plan in plans.items():
        yield f"plans/{name}.json", _json(plan)
    rows = [row for plan in plans.values() for table in plan["tables"].values() for row in table["rows"].values()]
    for run in sorted({run for row in rows for run in runs_of(row)}):
        stored = store.read(run)
        failed = stored is not None and stored.status == "failed"
        if stored is not None and (failed or run in complete):
            yield f"runs/{run}/run.json", _json(stored.content)
        if stored is not None and failed:
            yield f"runs/{run}/error.json", _json({"status": "failed", "reason": stored.reason})


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(without_folders(content), indent=2, ensure_ascii=False) + "\n").encode()


# Scores of models


def _note_scores(store: RunStore, tables: Sequence[PublishedTable], split: str, commit: CommitInfo) -> list[Path]:
    """Write `.eval_results/` of each model that was kept, with its scores in all tables that it is in."""
    files = []
    for run in sorted({run for table in tables for run in table.runs if _has_own_scores(store, run, split)}):
        place = f"{store.run_folder(run).relative_to(store.folder).as_posix()}/{PREDICTIONS_FILE}"
        evaluation = replace(
            evaluate_predictions(store.run_folder(run) / PREDICTIONS_FILE, split),
            dataset=commit.repo_url.repo_id,
            on_hub=True,
            revision=commit.oid,
            source=f"{commit.repo_url}/blob/{commit.oid}/{place}",
        )
        tasks = [_task(table, split) for table in tables if run in table.runs]
        files.append(write_eval_results(store.model_folder(run), evaluation, tasks))
    return files


def _has_own_scores(store: RunStore, run: str, split: str) -> bool:
    """Whether there is a model that was tested on all rows and labels: not that of a fold or for another corpus."""
    stored = store.read(run)
    if stored is None or not store.has_model(run) or stored.test_predictions.is_file():
        return False
    settings = stored.content.get("settings")
    is_of_a_fold = isinstance(settings, dict) and settings.get("num_folds") is not None
    return not is_of_a_fold and split in read_predictions(stored.predictions)[0]
