# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""What a store holds of each table of its plans: predictions of the runs, and why others are missing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..models.files_univa import one_line
from ..scores.headline import METRICS
from ..scores.predictions import Predictions, read_predictions
from ..scores.thresholds import Threshold
from .plan import FEATURES
from .store import RunStore


__all__ = ["PlanEvidence", "RowEvidence", "RunEvidence", "TableEvidence", "check_plans", "read_evidence"]

_NOT_MADE = "The run was not made yet."
_NOT_ENDED = "The run was started and has not ended."


@dataclass(frozen=True)
class RunEvidence:
    """
    What one trained model predicts.

    Args:
        seed: of the training.
        splits: predictions by split.
        label_names: of their columns, in order.
        threshold: the model's own.
    """

    seed: int
    splits: Mapping[str, Predictions]
    label_names: Sequence[str]
    threshold: Threshold


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
        folders: of `runs`, by seed.
        found: what the search for its settings has found, as of `Found.to_json`; `None` where there was none.
    """

    name: str
    features: str
    seeds: Sequence[int]
    runs: Sequence[RunEvidence]
    gaps: Mapping[int, str]
    published: Mapping[str, float]
    folders: Mapping[int, Path] = field(default_factory=dict)
    found: Mapping[str, Any] | None = None


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
        split: a run without predictions of this split is listed as missing.

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
    return all(seed.isdecimal() and str(int(seed)) == seed and _is_name(run) for seed, run in runs.items())


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
        self._found: dict[str, tuple[Any, ...] | str] = {}

    def table(self, name: str, content: Mapping[str, Any]) -> TableEvidence:
        published = content["published"]
        rows = [self._row(row, of, published.get(row, {})) for row, of in content["rows"].items()]
        return TableEvidence(name, content["title"], content["metrics"], rows, content.get("tune"))

    def _row(self, name: str, content: Mapping[str, Any], published: Mapping[str, float]) -> RowEvidence:
        found = {int(seed): self._run(run) for seed, run in content["runs"].items()}
        runs = [RunEvidence(seed, *one) for seed, one in found.items() if not isinstance(one, str)]
        gaps = {seed: one for seed, one in found.items() if isinstance(one, str)}
        features = content.get("features", next(iter(FEATURES)))
        folders = {run.seed: self.store.run_folder(content["runs"][str(run.seed)]) for run in runs}
        return RowEvidence(name, features, list(found), runs, gaps, published, folders, content.get("found"))

    def _run(self, run: str) -> tuple[Any, ...] | str:
        """Splits, labels and threshold of a run, or why there are none."""
        if run not in self._found:
            self._found[run] = self._read(run)
        return self._found[run]

    def _read(self, run: str) -> tuple[Any, ...] | str:
        stored = self.store.read(run)
        if stored is None or stored.status == "started":
            return _NOT_MADE if stored is None else _NOT_ENDED
        if stored.status == "failed":
            return one_line(stored.reason)
        try:
            found = read_predictions(stored.predictions)
        except ValueError as error:
            return one_line(error)
        splits = found[0]
        return found if self.split in splits else f"It has no split {self.split!r}; it has {', '.join(splits)}."
