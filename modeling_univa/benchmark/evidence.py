# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What a store holds of each table of its plans: predictions of the runs, and why others are missing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..models.files_univa import one_line
from ..scores.headline import METRICS
from ..scores.predictions import Predictions, joined_predictions, read_note, read_predictions
from ..scores.shared_labels import SharedLabels
from ..scores.thresholds import Threshold
from .plan import FEATURES
from .resampling import fold_by
from .store import RunStore, StoredRun


__all__ = [
    "PlanEvidence",
    "RowEvidence",
    "RunEvidence",
    "TableEvidence",
    "check_plans",
    "read_evidence",
    "runs_of",
]

_NOT_MADE = "The run was not made yet."
_NOT_ENDED = "The run was started and has not ended."
_TWICE = (
    "The row {utterance!r} is in the folds {first} and {second}, expected one prediction of each row: name one of the "
    "speakers whom common dialogues link, or make the runs again with one corpus for all folds."
)
_TEST = "test"


@dataclass(frozen=True)
class RunEvidence:
    """
    What one trained model predicts, or those of the folds of a cross-validation.

    Args:
        seed: of the training.
        splits: predictions by split; those of folds one fold after the other.
        label_names: of their columns, in order.
        threshold: the model's own; `None` of folds, each of which has its own.
        note: what was scored of a corpus with other labels.
        folds: the runs that `splits` is joined from; none where there is one run.
        id: of the run in the store; not of folds.
        fold_by: by what the folds of a cross-validation are, "speaker" or "dialogue"; `None` of another run.
    """

    seed: int
    splits: Mapping[str, Predictions]
    label_names: Sequence[str]
    threshold: Threshold | None
    note: str | None = None
    folds: Sequence["RunEvidence"] = ()
    id: str = ""
    fold_by: str | None = None

    @property
    def parts(self) -> Sequence["RunEvidence"]:
        """The runs that there are in the store: that of each fold, or this one."""
        return self.folds or [self]


@dataclass(frozen=True)
class RowEvidence:
    """
    A row of a table.

    Args:
        name: as it is in the plan.
        features: a key of `FEATURES`: which features the system was trained on.
        seeds: that are planned.
        runs: that can be scored, one a seed.
        gaps: by seed, why there is no such run.
        published: figures of the paper, by metric.
        folders: of `runs`, by seed; not of folds.
        found: what the search for its settings has found, as of `Found.to_json`; `None` where there was none.
        folds: which folds of a cross-validation a run is joined from, in words.
        unscored: folds that are complete, of seeds that lack another fold.
    """

    name: str
    features: str
    seeds: Sequence[int]
    runs: Sequence[RunEvidence]
    gaps: Mapping[int, str]
    published: Mapping[str, float]
    folders: Mapping[int, Path] = field(default_factory=dict)
    found: Mapping[str, Any] | None = None
    folds: str | None = None
    unscored: Sequence[RunEvidence] = ()


@dataclass(frozen=True)
class TableEvidence:
    """
    A table of a plan.

    Args:
        name, title, metrics: of the plan.
        rows: the first one is what the others are compared with.
        tuning: how settings were searched, as of `Tuning.to_json`; `None` where they were not.
    """

    name: str
    title: str
    metrics: Sequence[str]
    rows: Sequence[RowEvidence]
    tuning: Mapping[str, Any] | None = None

    @property
    def is_by_speaker(self) -> bool:
        """Whether there are folds by speaker, whose intervals are over speakers."""
        return any(run.fold_by == "speaker" for row in self.rows for run in row.runs)


@dataclass(frozen=True)
class PlanEvidence:
    """
    A plan.

    Args:
        name: of its file.
        corpus: its name in reports.
        tables: in order.
    """

    name: str
    corpus: str
    tables: Sequence[TableEvidence]


def read_evidence(store: RunStore, split: str) -> Iterator[PlanEvidence]:
    """
    The plans of a store, one after the other.

    Args:
        split: a run without predictions of this split is listed as missing. Of a run that was tested on another corpus
            "test" is what it was tested on.

    Raises:
        ValueError: the folder holds no plan, or one that is damaged.
    """
    plans = check_plans(store)
    for name, plan in plans.items():
        reader = _Reader(store, split)
        tables = [reader.table(table, content) for table, content in plan["tables"].items()]
        yield PlanEvidence(name, plan["corpus"], tables)


def check_plans(store: RunStore) -> dict[str, dict[str, Any]]:
    """
    The plans of a store by their names, as of [`Plan.to_dict`].

    Raises:
        ValueError: the folder holds no plan, or one that is damaged.
    """
    plans = store.read_plans()
    if not plans:
        raise ValueError(f"`runs` {store.folder} has no plans: pass the output folder of `univa reproduce`.")
    for name, plan in plans.items():
        problem = _problem_of_plan(plan)
        if problem is not None:
            reason = one_line(problem)
            raise ValueError(
                f"The plan {name} in {store.folder} is damaged ({reason}): run `univa reproduce` of it again."
            )
    return plans


def _problem_of_plan(content: Mapping[str, Any]) -> str | None:
    """What is not as [`Plan.to_dict`] writes it: a store may come from anywhere."""
    tables = content.get("tables")
    if not isinstance(content.get("corpus"), str) or not isinstance(tables, dict) or not tables:
        return "expected `corpus` and `tables`"
    found = ((name, _problem_of_table(table)) for name, table in tables.items())
    return next((f"{name}: {problem}" for name, problem in found if problem is not None), None)


def _problem_of_table(table: Any) -> str | None:
    table = table if isinstance(table, dict) else {}
    rows, metrics, published = (table.get(name) for name in ("rows", "metrics", "published"))
    if not isinstance(table.get("title"), str) or not isinstance(rows, dict) or not rows:
        return "expected a `title` and `rows`"
    if not isinstance(metrics, list) or not metrics or not all(name in METRICS for name in map(str, metrics)):
        return f"expected `metrics` of {', '.join(METRICS)}, found {metrics!r}"
    figures = list(published.values()) if isinstance(published, dict) else [None]
    numbers = [number for one in figures for number in (one.values() if isinstance(one, dict) else [None])]
    if not all(type(number) in (int, float) for number in numbers):
        return "expected numbers in `published`"
    if "tune" in table and not _is_tuning(table["tune"]):
        return "expected `metric`, `trials` and `space` in `tune`"
    wrong = next((name for name, row in rows.items() if not _is_row(row)), None)
    return None if wrong is None else f"row {wrong} has no `runs` by their seeds, or unknown `features`"


def _is_row(row: Any) -> bool:
    runs = row.get("runs") if isinstance(row, dict) else None
    if not isinstance(runs, dict) or row.get("features", next(iter(FEATURES))) not in FEATURES:
        return False
    if "found" in row and not _is_found(row["found"]):
        return False
    if not all(seed.isdecimal() and str(int(seed)) == seed for seed in runs):
        return False
    if "folds" not in row:
        return all(map(_is_name, runs.values()))
    of_folds = [list(of.values()) if isinstance(of, dict) else [] for of in runs.values()]
    return isinstance(row["folds"], str) and all(of and all(map(_is_name, of)) for of in of_folds)


def _is_tuning(content: Any) -> bool:
    content = content if isinstance(content, dict) else {}
    has_numbers = content.get("metric") in METRICS and isinstance(content.get("trials"), int)
    return has_numbers and all(isinstance(content.get(name), dict) for name in ("space", "systems"))


def _is_found(content: Any) -> bool:
    content = content if isinstance(content, dict) else {}
    lists = all(isinstance(content.get(name), list) for name in ("trials", "failed"))
    value, settings = content.get("value"), content.get("settings")
    return lists and isinstance(value, int | float | None) and isinstance(settings, dict | None)


def _is_name(run: Any) -> bool:
    """Whether it names a folder of the store, and is not a path that leads out of it."""
    return isinstance(run, str) and run not in ("", "..") and Path(run).name == run


class _Reader:
    """Reads each run once for all tables of a plan."""

    def __init__(self, store: RunStore, split: str):
        self.store, self.split = store, split
        self._found: dict[str, RunEvidence | str] = {}

    def table(self, name: str, content: Mapping[str, Any]) -> TableEvidence:
        published = content["published"]
        rows = [self._row(row, of, published.get(row, {})) for row, of in content["rows"].items()]
        return TableEvidence(name, content["title"], content["metrics"], rows, content.get("tune"))

    def _row(self, name: str, content: Mapping[str, Any], published: Mapping[str, float]) -> RowEvidence:
        folds = content.get("folds")
        found = {int(seed): self._run(int(seed), run) for seed, run in content["runs"].items()}
        runs = [one for one in found.values() if not isinstance(one, str)]
        gaps = {seed: one for seed, one in found.items() if isinstance(one, str)}
        features = content.get("features", next(iter(FEATURES)))
        own = runs if folds is None else []
        folders = {run.seed: self.store.run_folder(content["runs"][str(run.seed)]) for run in own}
        of_gaps = [(seed, content["runs"][str(seed)]) for seed in gaps]
        unscored = [one for seed, of in of_gaps if not isinstance(of, str) for one in self._complete(seed, of)]
        return RowEvidence(
            name, features, list(found), runs, gaps, published, folders, content.get("found"), folds, unscored
        )

    def _complete(self, seed: int, folds: Mapping[str, str]) -> Iterator[RunEvidence]:
        for found in map(self._read_once, folds.values()):
            if not isinstance(found, str):
                yield replace(found, seed=seed)

    def _run(self, seed: int, run: str | Mapping[str, str]) -> RunEvidence | str:
        """What a run predicts, or the folds of one, or why it cannot be scored."""
        if isinstance(run, str):
            found = self._read_once(run)
            return found if isinstance(found, str) else replace(found, seed=seed)
        return _joined(seed, {fold: self._read_once(one) for fold, one in run.items()}, self.split)

    def _read_once(self, run: str) -> RunEvidence | str:
        if run not in self._found:
            self._found[run] = self._read(run)
        return self._found[run]

    def _read(self, run: str) -> RunEvidence | str:
        stored = self.store.read(run)
        if stored is None or stored.status == "started":
            return _NOT_MADE if stored is None else _NOT_ENDED
        if stored.status == "failed":
            return one_line(stored.reason)
        try:
            found = _read_run(stored)
        except ValueError as error:
            return one_line(error)
        splits = found.splits
        return found if self.split in splits else f"It has no split {self.split!r}; it has {', '.join(splits)}."


def runs_of(row: Mapping[str, Any]) -> list[str]:
    """The names of all runs of a row of [`Plan.to_dict`], those of folds too."""
    runs = [[run] if isinstance(run, str) else run.values() for run in row["runs"].values()]
    return [run for of in runs for run in of]


def _read_run(stored: StoredRun) -> RunEvidence:
    """
    The predictions of a run that is complete. What it was tested on is called "test" also where that is a split of
    another corpus; if that has other labels, all is of the labels in common.

    Raises:
        ValueError: a file is damaged.
    """
    splits, names, threshold = read_predictions(stored.predictions) if stored.predictions.is_file() else ({}, [], 0.5)
    if _TEST in splits and (stored.test_predictions.is_file() or any("/" in name for name in splits)):
        raise ValueError(
            "Its validation split is called test, as is what was tested: rename it, and make the run again."
        )
    if not stored.test_predictions.is_file():
        own = {_own_name(name): found for name, found in splits.items()}
        note, by = _note(stored.predictions), fold_by(stored.content)
        return RunEvidence(0, own, names, threshold, note, id=stored.id, fold_by=by)
    tested, shared, threshold = read_predictions(stored.test_predictions)
    known = {split: _of_labels(found, names, shared) for split, found in splits.items()}
    known |= {_own_name(name): found for name, found in tested.items()}
    return RunEvidence(0, known, shared, threshold, _note(stored.test_predictions), id=stored.id)


def _note(file: Path) -> str | None:
    note = read_note(file)
    return None if note is None else one_line(note)


def _own_name(split: str) -> str:
    """A run calls what it tests of another corpus CORPUS/SPLIT."""
    return _TEST if "/" in split else split


def _of_labels(found: Predictions, names: Sequence[str], shared: Sequence[str]) -> Predictions:
    """Of some labels alone, without rows that have none of them but others."""
    unknown = [name for name in shared if name not in names]
    if unknown:
        raise ValueError(f"Its validation rows have no label {unknown[0]!r}, which was tested: make the run again.")
    columns = np.array([names.index(name) for name in shared])
    has_label, is_scored = found.labels.any(axis=1), found.labels[:, columns].any(axis=1)
    return SharedLabels(list(shared), columns, np.logical_or(~has_label, is_scored), "").scored(found)


def _joined(seed: int, folds: Mapping[str, RunEvidence | str], split: str) -> RunEvidence | str:
    """The runs of all folds as one, or why there is none."""
    gaps = {fold: one for fold, one in folds.items() if isinstance(one, str)}
    if gaps:
        return _missing_folds(gaps, len(folds))
    runs = [replace(one, seed=seed) for one in folds.values() if not isinstance(one, str)]
    if any(run.label_names != runs[0].label_names for run in runs):
        return "Its folds have different labels, and are not pooled."
    place: dict[str, str] = {}
    for fold, run in zip(folds, runs, strict=True):
        for utterance in run.splits[split].utterance_ids:
            if place.setdefault(utterance, fold) != fold:
                return _TWICE.format(utterance=utterance, first=place[utterance], second=fold)
    rows = joined_predictions([run.splits[split] for run in runs])
    return RunEvidence(seed, {split: rows}, runs[0].label_names, None, runs[0].note, runs, fold_by=runs[0].fold_by)


def _missing_folds(gaps: Mapping[str, str], count: int) -> str:
    """In a sentence for each reason."""
    by_reason: dict[str, list[str]] = {}
    for fold, reason in gaps.items():
        by_reason.setdefault(reason, []).append(fold)
    return " ".join(
        f"Folds that are missing, of {count}: {', '.join(folds)}. {reason}" for reason, folds in by_reason.items()
    )
