# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Scores of parts of the predictions: of each label, of rows by their number of labels, of speakers; calibration."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..scores.calibration import calibration_error
from ..scores.comparison import Estimate
from ..scores.predictions import Predictions
from .evidence import RowEvidence, TableEvidence
from .page import Grid
from .scored import Rows, score
from .tables import Setting, interval_text


__all__ = [
    "FEWEST_DIALOGUES",
    "Breakdown",
    "break_down",
    "breakdown_grid",
    "calibration_grid",
    "label_parts",
    "label_count_parts",
    "speaker_parts",
]

_METRIC = "micro_f1"
# A row with more labels than this counts with those that have as many.
_MANY_LABELS = 3
# Speakers that are shown, those with the most rows. Intervals from fewer dialogues would leave the scale.
_MOST_SPEAKERS, FEWEST_DIALOGUES = 20, 5

View = Callable[[Predictions], Predictions]


@dataclass(frozen=True)
class Breakdown:
    """
    Micro-F1 of parts of the predictions. That of one label is the F1 of the label.

    Args:
        parts: names.
        counts: how many rows each part rests on.
        values: of each row of a table, an estimate a part; `None` where it could not be computed.
    """

    parts: Sequence[str]
    counts: Sequence[int]
    values: Mapping[str, Sequence[Estimate | None]]


def label_parts(label_names: Sequence[str]) -> dict[str, View]:
    """One part a label."""
    return {name: _of_label(index) for index, name in enumerate(label_names)}


def label_count_parts(found: Predictions) -> dict[str, View]:
    """One part a number of labels of a row, where there are such rows; rows without labels are left out."""
    counts = set(_label_counts(found).tolist()) - {0}
    name = {count: f"{count} label{'s' if count > 1 else ''}" for count in counts}
    name |= {count: f"{count} labels or more" for count in counts if count == _MANY_LABELS}
    return {name[count]: _of_rows(partial(_has_labels, count)) for count in sorted(counts)}


def speaker_parts(*runs: Predictions) -> dict[str, View]:
    """
    One part a speaker, those with the most rows and in enough dialogues; nothing where speakers are not known.

    Args:
        runs: of the same rows; the first that knows the speakers says which utterances are whose, since predictions
            of an earlier version do not.
    """
    found = next((run for run in runs if run.speakers is not None), None)
    if found is None:
        return {}
    named = zip(found.speakers or [], found.utterance_ids, found.dialogue_ids, strict=True)
    known = [(name, utterance, dialogue) for name, utterance, dialogue in named if name is not None]
    rows = Counter(name for name, _, _ in known)
    dialogues = Counter(name for name, _ in {(name, dialogue) for name, _, dialogue in known})
    names = sorted(rows, key=lambda name: (-rows[name], name))
    names = [name for name in names if dialogues[name] >= FEWEST_DIALOGUES][:_MOST_SPEAKERS]
    spoken = {name: {utterance for one, utterance, _ in known if one == name} for name in names}
    return {name: _of_rows(partial(_is_among, utterances)) for name, utterances in spoken.items()}


def break_down(
    setting: Setting, rows: Rows, parts: Mapping[str, View], count: Callable[[Predictions], int]
) -> Breakdown:
    """
    Score parts of the predictions of a table.

    Args:
        rows: of [`choose`].
        parts: what takes a part, by its name.
        count: of a part, how many rows it rests on.
    """
    values: dict[str, list[Estimate | None]] = {name: [] for name in rows}
    for view in parts.values():
        for scored in score(setting.table, rows, setting.bootstrap, view).rows:
            values[scored.row.name].append(scored.estimates[_METRIC] if scored.estimates else None)
    one = next(found for of in rows.values() for found in of.values())
    counts = [count(view(one)) for view in parts.values()]
    return Breakdown(list(parts), counts, {name: found for name, found in values.items() if rows[name]})


def breakdown_grid(
    name: str, caption: str, counted: str, found: Breakdown, notes: Sequence[str], metric: str = _METRIC
) -> Grid:
    """
    A line a part, a column a row of the table.

    Args:
        name, caption, notes: of the table.
        counted: what the counts are.
        metric: what the figures are called in the data; of one label, its F1.
    """
    header = ["", counted, *found.values]
    columns = list(found.values.values())
    lines = [
        [part, f"{count:,}", *(interval_text(column[place], _METRIC) for column in columns)]
        for place, (part, count) in enumerate(zip(found.parts, found.counts, strict=True))
    ]
    data = [
        {
            "part": part,
            "rows": count,
            "row": row,
            "metric": metric,
            **{key: getattr(values[place], key, None) for key in ("value", "low", "high")},
        }
        for place, (part, count) in enumerate(zip(found.parts, found.counts, strict=True))
        for row, values in found.values.items()
    ]
    return Grid(name, caption, header, lines, notes, data)


def calibration_grid(name: str, table: TableEvidence, split: str) -> Grid | None:
    """The expected calibration error of each row; `None` where no row has a label."""
    rows = [row for row in table.rows if row.runs and row.runs[0].splits[split].labels.any()]
    if not rows:
        return None
    lines = [_calibration_line(row, split) for row in rows]
    header = ["row", "ECE, mean over seeds", "least", "most", "seeds", "rows"]
    notes = [
        "Decisions of all labels together, in 15 bins of equal width; 0 is best.",
        "A system whose scores of a row sum to 1 is compared with the labels of the row as a distribution, without "
        "rows that have no label.",
    ]
    return Grid(f"{name}-calibration", "Calibration error", header, lines, notes)


def _calibration_line(row: RowEvidence, split: str) -> list[str]:
    found = [run.splits[split] for run in row.runs]
    errors = [calibration_error(one.scores, one.labels, one.decision) for one in found]
    values = (float(np.mean(errors)), min(errors), max(errors))
    return [row.name, *(f"{value:.4f}" for value in values), str(len(errors)), f"{_compared(found[0]):,}"]


def _compared(found: Predictions) -> int:
    """Rows that a calibration error rests on."""
    is_distribution = found.decision == "softmax"
    return int(found.labels.any(axis=1).sum()) if is_distribution else len(found.labels)


def _of_label(index: int) -> View:
    place = [index]
    return lambda found: replace(found, scores=found.scores[:, place], labels=found.labels[:, place])


def _of_rows(chosen: Callable[[Predictions], np.ndarray]) -> View:
    return lambda found: found.at(np.flatnonzero(chosen(found)))


def _has_labels(count: int, found: Predictions) -> np.ndarray:
    return _label_counts(found) == count


def _is_among(utterances: Collection[str], found: Predictions) -> np.ndarray:
    return np.array([name in utterances for name in found.utterance_ids])


def _label_counts(found: Predictions) -> np.ndarray:
    return np.minimum(found.labels.sum(axis=1), _MANY_LABELS)
