# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""The predictions file of a run, from which thresholds, metrics and intervals are recomputed without training."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..models.files_univa import whole_file
from .thresholds import Threshold


__all__ = ["PREDICTIONS_FILE", "TEST_PREDICTIONS_FILE", "Predictions", "read_predictions", "write_predictions"]

PREDICTIONS_FILE = "predictions.parquet"
# Of a corpus with other labels than the system: of those in common alone.
TEST_PREDICTIONS_FILE = "test_dataset_predictions.parquet"
_COLUMNS = ("split", "utterance_id", "dialogue_id", "scores", "labels")
# Not in files of earlier versions.
_SPEAKER = "speaker"
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
    """

    utterance_ids: Sequence[str]
    dialogue_ids: Sequence[str]
    scores: np.ndarray
    labels: np.ndarray
    speakers: Sequence[str | None] | None = None


def write_predictions(
    file: str | Path, splits: Mapping[str, Predictions], label_names: Sequence[str], threshold: Threshold
) -> None:
    """
    Write predictions as one Parquet file, a row an utterance.

    Args:
        file: to write; whole or not at all.
        splits: predictions by the name of the split.
        label_names: of the columns of scores and labels, in order.
        threshold: a label is predicted where its score is greater; one for all labels, or one each.
    """
    tables = [_table(name, found) for name, found in splits.items()]
    settings = json.dumps({"label_names": list(label_names), "threshold": threshold})
    table = pa.concat_tables(tables).replace_schema_metadata({_SETTINGS: settings.encode()})
    with whole_file(file) as scratch:
        pq.write_table(table, scratch)


def read_predictions(file: str | Path) -> tuple[dict[str, Predictions], list[str], Threshold]:
    """
    Predictions by split, the names of the labels, and the threshold, or that of each label.

    Raises:
        `ValueError`: it is not a file that [`write_predictions`] wrote.
    """
    try:
        table = pq.read_table(file)
        settings = json.loads((table.schema.metadata or {})[_SETTINGS])
        table = table.select([*_COLUMNS, *(name for name in table.column_names if name == _SPEAKER)])
        splits = table.column("split").unique()
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise ValueError(f"{file} is not a predictions file of univa ({error}).") from error
    found = {split: _predictions(table.filter(pc.field("split") == split)) for split in splits.to_pylist()}
    return found, settings["label_names"], settings["threshold"]


def _predictions(rows: pa.Table) -> Predictions:
    ids, dialogues, scores, labels = (rows.column(name).to_pylist() for name in _COLUMNS[1:])
    speakers = rows.column(_SPEAKER).to_pylist() if _SPEAKER in rows.column_names else []
    known = speakers if any(name is not None for name in speakers) else None
    return Predictions(ids, dialogues, np.asarray(scores, np.float32), np.asarray(labels, np.int8), known)


def _table(split: str, found: Predictions) -> pa.Table:
    width, rows = found.scores.shape[1], len(found.utterance_ids)
    values = {
        "split": pa.array([split] * rows),
        "utterance_id": pa.array(list(found.utterance_ids)),
        "dialogue_id": pa.array(list(found.dialogue_ids)),
        _SPEAKER: pa.array(list(found.speakers or [None] * rows), pa.string()),
        "scores": _rows_of(found.scores.astype(np.float32), width),
        "labels": _rows_of(found.labels.astype(np.int8), width),
    }
    return pa.table(values)


def _rows_of(values: np.ndarray, width: int) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), width)
