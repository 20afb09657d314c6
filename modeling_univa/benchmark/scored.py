# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Numbers of a table, from predictions: means over seeds with intervals, differences to its first row, and ranks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..data.corpus import VALIDATION_NAMES, find_validation_split
from ..scores.comparison import Comparison, Difference, Estimate, Run, compare
from ..scores.predictions import Predictions
from ..scores.thresholds import Threshold, best_threshold, predicted_labels
from .evidence import RowEvidence, RunEvidence, TableEvidence
from .resampling import in_groups_of_speakers


__all__ = [
    "DECIDED",
    "THRESHOLDS",
    "Bootstrap",
    "Rows",
    "Scored",
    "ScoredRow",
    "choose",
    "counted",
    "decided",
    "predict_the_same",
    "score",
    "thresholds_of",
]

THRESHOLDS = {
    "own": "each run at its own threshold",
    "tuned": "each run at the threshold of highest micro-F1 on its validation rows",
}
# Predictions are 0 or 1 once a threshold has decided.
DECIDED = 0.5


@dataclass(frozen=True)
class Bootstrap:
    """
    How intervals are computed.

    Args:
        draws, seed, confidence: as of [`compare`].
    """

    draws: int = 10_000
    seed: int = 0
    confidence: float = 0.95


# The predictions of each row by its name, one a seed, decided: all scores are 0 or 1.
Rows = Mapping[str, Mapping[int, Predictions]]


@dataclass(frozen=True)
class ScoredRow:
    """
    A row of a table. What is empty could not be computed, or would mix features.

    Args:
        row: what is known of it.
        num_runs: seeds that were scored.
        num_rows, num_rows_without_label, num_dialogues: of the split.
        num_groups, group_kind: what intervals resample, how many and in words.
        num_rows_without_prediction: mean over seeds.
        estimates: by metric, mean over seeds.
        differences: by metric, to the first row of the table.
        ranks: by metric, among the rows with the features of the first one.
    """

    row: RowEvidence
    num_runs: int = 0
    num_rows: int = 0
    num_rows_without_label: int = 0
    num_dialogues: int = 0
    num_groups: int = 0
    group_kind: str = Predictions.group_kind
    num_rows_without_prediction: float = 0.0
    estimates: Mapping[str, Estimate] | None = None
    differences: Mapping[str, Difference] | None = None
    ranks: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Scored:
    """
    A table.

    Args:
        rows: in the order of the plan.
        reference: name of the row that differences refer to, `None` where it has no runs.
        problems: why something is missing, a sentence each.
    """

    rows: Sequence[ScoredRow]
    reference: str | None
    problems: Sequence[str]


def choose(table: TableEvidence, split: str, thresholds: str) -> tuple[Rows, list[str]]:
    """
    Decide which labels are predicted. Of folds by speaker the predictions get speakers as their `groups`.

    Args:
        split: whose rows are scored.
        thresholds: a key of `THRESHOLDS`.

    Returns:
        The decided predictions of the rows of a table, and a sentence for each row that has no threshold or other
        labels than the rows before, and where intervals of folds by speaker are not over speakers.

    Raises:
        ValueError: the threshold would be chosen on the rows that are scored.
    """
    if thresholds == "tuned" and split in VALIDATION_NAMES:
        raise ValueError(f"A threshold that is chosen on {split} rows is not scored on the same rows.")
    rows: dict[str, dict[int, Predictions]] = {row.name: {} for row in table.rows}
    problems = []
    labels = next((run.label_names for row in table.rows for run in row.runs), None)
    for row in table.rows:
        if any(run.label_names != labels for run in row.runs):
            problems.append(f"{row.name} has other labels than the rows before it, and is not scored.")
            continue
        found = {run.seed: thresholds_of(run, split, thresholds) for run in row.runs}
        if any(one is None for one in found.values()):
            problems.append(f"{row.name} has no validation rows with labels to choose a threshold on.")
        known = [(run, found[run.seed]) for run in row.runs]
        rows[row.name] = {run.seed: decided(run.splits[split], one) for run, one in known if one is not None}
    if not table.is_by_speaker:
        return rows, problems
    grouped, more = in_groups_of_speakers(rows)
    return grouped, [*problems, *more]


def thresholds_of(run: RunEvidence, split: str, thresholds: str = "own") -> Threshold | np.ndarray | None:
    """
    The threshold of a run; of folds that of each row and label, `(rows, C)`, since each fold has its own. `None` where
    there is nothing to choose it on.

    Args:
        split: whose rows are scored.
        thresholds: a key of `THRESHOLDS`.
    """
    if not run.folds:
        return _threshold(run, thresholds)
    each = [(_threshold(fold, thresholds), fold.splits[split].scores.shape) for fold in run.folds]
    known = [np.broadcast_to(one, shape) for one, shape in each if one is not None]
    return np.concatenate(known) if len(known) == len(each) else None


def decided(found: Predictions, threshold: Threshold | np.ndarray) -> Predictions:
    """Predictions whose scores are 1 where a label is predicted, else 0."""
    return replace(found, scores=predicted_labels(found.scores, threshold).astype(np.float32))


def predict_the_same(rows: Rows, others: Rows) -> bool:
    """Whether two results of [`choose`] for the same table predict the same labels."""
    return all(
        of.keys() == others[name].keys()
        and all(np.array_equal(one.scores, others[name][seed].scores) for seed, one in of.items())
        for name, of in rows.items()
    )


def counted(table: TableEvidence, rows: Rows) -> Scored:
    """The rows of a table with their counts, not compared."""
    return Scored([_without_scores(row, rows[row.name]) for row in table.rows], None, [])


def score(
    table: TableEvidence,
    rows: Rows,
    bootstrap: Bootstrap,
    view: Callable[[Predictions], Predictions] = lambda found: found,
    problems: Sequence[str] = (),
) -> Scored:
    """
    Compare the rows of a table.

    Rows are compared with those of the same features alone: other features are another measurement.

    Args:
        rows: of [`choose`].
        view: takes a part of the predictions, such as one label.
        problems: that are known already.
    """
    parts = {name: {seed: view(one) for seed, one in of.items()} for name, of in rows.items()}
    reference = table.rows[0].name if parts[table.rows[0].name] else None
    scored = {row.name: _without_scores(row, parts[row.name]) for row in table.rows}
    problems = list(problems)
    for features in {row.features: None for row in table.rows}:
        names = [row.name for row in table.rows if row.features == features and parts[row.name]]
        group = {name: parts[name] for name in names}
        is_main = features == table.rows[0].features
        comparison = _compared(group, reference if is_main else None, bootstrap, problems)
        for name in names:
            found = comparison or _compared({name: parts[name]}, None, bootstrap, problems)
            scored[name] = _with_scores(scored[name], found, is_main and comparison is not None, reference)
    if reference is None:
        problems.append(f"{table.rows[0].name} has no run, so that there are no differences to it.")
    return Scored(list(scored.values()), reference, list(dict.fromkeys(problems)))


def _threshold(run: RunEvidence, thresholds: str) -> Threshold | None:
    if thresholds == "own":
        return run.threshold
    validation = find_validation_split(run.splits)
    return None if validation is None else best_threshold(run.splits[validation].scores, run.splits[validation].labels)


def _compared(rows: Rows, reference: str | None, bootstrap: Bootstrap, problems: list[str]) -> Comparison | None:
    """A comparison, `None` where there is nothing to compare, or with a sentence more in `problems`."""
    if not rows:
        return None
    runs = {name: [Run(found, DECIDED, seed) for seed, found in of.items()] for name, of in rows.items()}
    how = partial(compare, draws=bootstrap.draws, seed=bootstrap.seed, confidence=bootstrap.confidence)
    try:
        return how(runs, reference or next(iter(runs)))
    except ValueError as error:
        problems.append(f"Not compared: {error}")
        return None


def _without_scores(row: RowEvidence, found: Mapping[int, Predictions]) -> ScoredRow:
    if not found:
        return ScoredRow(row)
    one = next(iter(found.values()))
    empty = [float((~each.scores.any(axis=1)).sum()) for each in found.values()]
    return ScoredRow(
        row,
        num_runs=len(found),
        num_rows=len(one.labels),
        num_rows_without_label=int((~one.labels.any(axis=1)).sum()),
        num_dialogues=len(set(one.dialogue_ids)),
        num_groups=len(set(one.dialogue_ids if one.groups is None else one.groups)),
        group_kind=one.group_kind,
        num_rows_without_prediction=float(np.mean(empty)),
    )


def _with_scores(scored: ScoredRow, found: Comparison | None, whole: bool, reference: str | None) -> ScoredRow:
    if found is None:
        return scored
    name = scored.row.name
    return replace(
        scored,
        estimates=found.scores[name],
        differences=found.differences.get(name) if whole and reference else None,
        ranks={metric: ranks[name] for metric, ranks in found.ranks.items()} if whole else None,
    )
