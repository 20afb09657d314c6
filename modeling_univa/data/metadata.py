# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Metadata csv files, one row an utterance: what a corpus is built from, and what `univa predict` takes."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..models.configuration_emotion import MODALITIES
from .schema import FEATURE_COLUMNS, MEDIA_COLUMNS, TIME_COLUMNS, CorpusError
from .tables import csv_header, csv_rows, read_seconds


__all__ = [
    "CORPUS_COLUMNS",
    "EMOTION_COLUMNS",
    "KNOWN_COLUMNS",
    "UTTERANCE_COLUMNS",
    "VA_CELLS",
    "metadata_columns",
    "metadata_row",
    "metadata_rows",
]

# What a row needs to be predicted, and to be part of a corpus.
UTTERANCE_COLUMNS = ("utterance_id", "dialogue_id", "text")
CORPUS_COLUMNS = ("utterance_id", "dialogue_id", "position", "text", "emotions")
EMOTION_COLUMNS = tuple(f"{modality}_emotion" for modality in MODALITIES)
VA_CELLS = tuple(f"{modality}_{axis}" for modality in MODALITIES for axis in ("valence", "arousal"))
KNOWN_COLUMNS = (*CORPUS_COLUMNS, "speaker", *MEDIA_COLUMNS, *TIME_COLUMNS, *VA_CELLS, *EMOTION_COLUMNS)


def metadata_columns(
    path: Path, required: Collection[str] = CORPUS_COLUMNS, others: Collection[str] = ()
) -> list[str]:
    """The columns of a file. Raises `CorpusError` where a required one is missing, or one is unknown.

    `others` are known, too.
    """
    header = csv_header(path, required)
    # A misspelt optional column would otherwise be as good as absent, unseen.
    known = (*KNOWN_COLUMNS, *others)
    unknown = [name for name in header if name not in known]
    if unknown:
        raise CorpusError(f"{path}: unknown column {unknown[0]!r}; remove or rename it, known are {', '.join(known)}")
    return header


def metadata_rows(
    path: Path, required: Collection[str] = CORPUS_COLUMNS
) -> Iterator[tuple[str, dict[str, str], dict[str, Any]]]:
    """
    The rows of a file.

    Returns:
        For each where it is, for messages; its cells; and what they say: the columns of the row contract that the
        file has, but VA, and of features the path. Times that cannot be read are left as text, for the row's check to
        report.

    Raises:
        CorpusError: The file cannot be read, or a position is not a whole number.
    """
    for where, cells in csv_rows(path, required):
        yield where, cells, metadata_row(cells, where)


def metadata_row(cells: Mapping[str, str], where: str) -> dict[str, Any]:
    """What the cells of one row say; see `metadata_rows`."""
    row: dict[str, Any] = {name: cells[name] for name in UTTERANCE_COLUMNS}
    if "position" in cells:
        row["position"] = _position(cells["position"], where)
    row["speaker"] = cells.get("speaker") or None
    row["emotions"] = _parts(cells.get("emotions", ""))
    for column in (*MEDIA_COLUMNS, *FEATURE_COLUMNS):
        if column in cells:
            row[column] = (_parts(cells[column]) if column == "faces" else cells[column].strip()) or None
    row.update({column: read_seconds(cells[column]) for column in TIME_COLUMNS if column in cells})
    return row


def _parts(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(";") if part.strip()]


def _position(cell: str, where: str) -> int:
    try:
        return int(cell)
    except ValueError:
        raise CorpusError(f"{where}: position {cell!r} is not a whole number; count from 0 in each dialogue") from None
