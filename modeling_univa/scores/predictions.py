# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The predictions file of a run, from which thresholds, metrics and intervals are recomputed without training."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..models.files_univa import one_line, whole_file
from ..options import counted
from .thresholds import Threshold, predicted_labels


__all__ = [
    "PREDICTIONS_FILE",
    "PREDICTIONS_FILES",
    "PREDICTIONS_FOLDER",
    "TEST_PREDICTIONS_FILE",
    "Predictions",
    "joined_predictions",
    "read_note",
    "read_predictions",
    "write_predictions",
]

PREDICTIONS_FILE = "predictions.parquet"
# Of a corpus with other labels than the system: of those in common alone.
TEST_PREDICTIONS_FILE = "test_dataset_predictions.parquet"
# Of a run, which has one of them at least.
PREDICTIONS_FILES = (PREDICTIONS_FILE, TEST_PREDICTIONS_FILE)
# Of evaluations, beside their results, with a file for each data set and split.
PREDICTIONS_FOLDER = "predictions"
_SPEAKER = "speaker"
_COLUMNS = ("split", "utterance_id", "dialogue_id", _SPEAKER, "scores", "labels")
_SETTINGS = b"univa"


@dataclass(frozen=True)
class Predictions:
    """
    What a system says of the rows of one split.

    Args:
        utterance_ids, dialogue_ids: names of the rows.
        scores (`np.ndarray` of shape `(rows, C)`, float32): probabilities of the emotions, in [0, 1].
        labels (`np.ndarray` of shape `(rows, C)`, int8): multi-hot targets.
        speakers: who speaks in each row, `None` where unknown; nothing where that is so everywhere.
        decision: "softmax" where the scores of a row are a distribution over the labels of the system, else "sigmoid".
        groups: of each row what it is not independent of, a name: intervals resample rows of one group together.
            `None` where that is its dialogue. Files do not keep it.
        group_kind: what the groups are, in words, plural.
    """

    utterance_ids: Sequence[str]
    dialogue_ids: Sequence[str]
    scores: np.ndarray
    labels: np.ndarray
    speakers: Sequence[str | None] | None = None
    decision: str = "sigmoid"
    groups: Sequence[str] | None = None
    group_kind: str = "dialogues"

    def at(self, places: Iterable[int]) -> "Predictions":
        """Those of some rows, by their places."""
        places = list(places)
        ids, dialogues = ([names[place] for place in places] for names in (self.utterance_ids, self.dialogue_ids))
        speakers = None if self.speakers is None else [self.speakers[place] for place in places]
        groups = None if self.groups is None else [self.groups[place] for place in places]
        found = replace(self, utterance_ids=ids, dialogue_ids=dialogues, speakers=speakers, groups=groups)
        return replace(found, scores=self.scores[places], labels=self.labels[places])


def joined_predictions(parts: Sequence[Predictions]) -> Predictions:
    """
    Those of all parts, one part after the other, in groups of their dialogues.

    Args:
        parts: of the same labels and the same `decision`, at least one.
    """
    known = any(part.speakers is not None for part in parts)
    speakers = [name for part in parts for name in part.speakers or [None] * len(part.utterance_ids)]
    return replace(
        parts[0],
        utterance_ids=[name for part in parts for name in part.utterance_ids],
        dialogue_ids=[name for part in parts for name in part.dialogue_ids],
        scores=np.concatenate([part.scores for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        speakers=speakers if known else None,
        groups=None,
        group_kind=Predictions.group_kind,
    )


def write_predictions(
    file: str | Path,
    splits: Mapping[str, Predictions],
    label_names: Sequence[str],
    threshold: Threshold,
    note: str | None = None,
) -> None:
    """
    Write predictions as one Parquet file, a row an utterance.

    Its columns are `split`, `utterance_id`, `dialogue_id`, `speaker`, and of each label in order `scores`, `labels`
    (the truth) and `decisions` (1 where the score is above the threshold). Readers here decide anew, at the threshold
    that they are asked for: `decisions` is for people, and older files do not have it.

    Args:
        file: to write; whole or not at all.
        splits: predictions by the name of the split.
        label_names: of the columns of scores and labels, in order.
        threshold: a label is predicted where its score is greater; one for all labels, or one each.
        note: what people have to know of it, for [`read_note`].
    """
    tables = [_table(name, found, threshold) for name, found in splits.items()]
    decisions = {name: found.decision for name, found in splits.items()}
    settings: dict[str, Any] = {"label_names": list(label_names), "threshold": threshold, "decisions": decisions}
    settings |= {} if note is None else {"note": note}
    table = pa.concat_tables(tables).replace_schema_metadata({_SETTINGS: json.dumps(settings).encode()})
    with whole_file(file) as scratch:
        pq.write_table(table, scratch)


def read_predictions(file: str | Path) -> tuple[dict[str, Predictions], list[str], Threshold]:
    """
    Predictions by split, the names of the labels, and the threshold, or that of each label.

    Raises:
        `ValueError`: it is not a file that [`write_predictions`] wrote, or its scores are not finite numbers.
    """
    try:
        table = pq.read_table(file)
        settings = json.loads((table.schema.metadata or {})[_SETTINGS])
        names, threshold = settings["label_names"], settings["threshold"]
        _check_settings(names, threshold)
        table = _with_known_types(_with_speakers(table), len(names))
        splits = table.column("split").unique().to_pylist()
        known = settings.get("decisions")
        decisions = {split: None if known is None else _checked_decision(known[split]) for split in splits}
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not a predictions file of univa ({one_line(error)}).") from error
    rows = {split: table.filter(pc.field("split") == split) for split in splits}
    found = {split: _predictions(rows[split], len(names), decisions[split]) for split in splits}
    if not all(np.isfinite(one.scores).all() for one in found.values()):
        raise ValueError(f"The scores of {file} are not finite numbers: predict again.")
    return found, names, threshold


def read_note(file: str | Path) -> str | None:
    """The `note` of a file that [`read_predictions`] can read; `None` where there is none."""
    note = json.loads(pq.read_schema(file).metadata[_SETTINGS]).get("note")
    return note if isinstance(note, str) else None


def _check_settings(names: Any, threshold: Any) -> None:
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"expected names of labels, found {names!r}")
    if len(set(names)) < len(names):
        raise ValueError(f"expected different names of labels, found {names}")
    several = isinstance(threshold, list)
    numbers = threshold if several else [threshold]
    if several and len(threshold) != len(names):
        raise ValueError(f"expected a threshold for each of {len(names)} labels, found {len(threshold)}")
    if not all(type(one) in (int, float) and 0 <= one < 1 for one in numbers):
        raise ValueError(f"expected thresholds in [0, 1), found {threshold!r}")


def _checked_decision(decision: Any) -> str:
    if decision not in ("softmax", "sigmoid"):
        raise ValueError(f"expected softmax or sigmoid, found {decision!r}")
    return decision


def _with_speakers(table: pa.Table) -> pa.Table:
    """Files of before 2026-11-26 have no speakers."""
    if _SPEAKER in table.column_names:
        return table
    return table.append_column(_SPEAKER, pa.nulls(len(table), pa.string()))


def _with_known_types(table: pa.Table, width: int) -> pa.Table:
    """The columns that are read; every row of them has a value, and lists have one of each label."""
    table = table.select(_COLUMNS)
    kinds = {"scores": pa.list_(pa.float32(), width), "labels": pa.list_(pa.int8(), width)}
    for place, name in enumerate(table.column_names):
        column = table.column(name).cast(kinds.get(name, pa.string()))
        if name != _SPEAKER and column.null_count:
            raise ValueError(f"{counted(column.null_count, 'row')} without {name}")
        if name in kinds and pc.list_flatten(column).null_count:
            raise ValueError(f"{name} lack a number")
        table = table.set_column(place, name, column)
    if not pc.all(pc.is_in(pc.list_flatten(table.column("labels")), pa.array([0, 1], pa.int8()))).as_py():
        raise ValueError("expected labels that are 0 or 1")
    return table


def _predictions(rows: pa.Table, width: int, decision: str | None) -> Predictions:
    ids, dialogues = (rows.column(name).to_pylist() for name in ("utterance_id", "dialogue_id"))
    scores, labels = (
        pc.list_flatten(rows.column(name)).to_numpy().reshape(-1, width) for name in ("scores", "labels")
    )
    speakers = rows.column(_SPEAKER).to_pylist()
    known = speakers if any(name is not None for name in speakers) else None
    return Predictions(ids, dialogues, scores, labels, known, decision or _decision_of_older(scores))


def _decision_of_older(scores: np.ndarray) -> str:
    """Files of before 2026-11-26 do not say it; independent scores do not add up to 1 in every row."""
    return "softmax" if np.allclose(scores.sum(axis=1), 1, atol=1e-4) else "sigmoid"


def _table(split: str, found: Predictions, threshold: Threshold) -> pa.Table:
    width, rows = found.scores.shape[1], len(found.utterance_ids)
    values = {
        "split": pa.array([split] * rows),
        "utterance_id": pa.array(list(found.utterance_ids)),
        "dialogue_id": pa.array(list(found.dialogue_ids)),
        _SPEAKER: pa.array(list(found.speakers or [None] * rows), pa.string()),
        "scores": _rows_of(found.scores.astype(np.float32), width),
        "labels": _rows_of(found.labels.astype(np.int8), width),
        "decisions": _rows_of(predicted_labels(found.scores, threshold).astype(np.int8), width),
    }
    return pa.table(values)


def _rows_of(values: np.ndarray, width: int) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), width)
