# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The row contract: the columns of a built corpus, and the checks that every row of it has passed.

One row is one utterance. Rows of a dialogue stand together, in order. Problems are of two kinds: a `RowError` spoils
its own row, which a builder may leave out; any other `CorpusError` means that the corpus as a whole cannot be trusted.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..models.configuration_emotion import FACE_EMOTIONS, MODALITIES, feature_column
from ..models.limits_univa import check_limit
from ..models.trusted_paths_univa import OutsideError, inside


__all__ = [
    "FACE_EMOTIONS",
    "FEATURE_COLUMNS",
    "MEDIA_COLUMNS",
    "TIME_COLUMNS",
    "VA_COLUMNS",
    "CorpusError",
    "RowError",
    "RowOrder",
    "RowValidator",
    "check_inferred_labels",
    "check_label_names",
    "check_text",
    "check_times",
    "feature_column",
    "holds_frames",
    "odd_labels",
]

MEDIA_COLUMNS: tuple[str, ...] = ("audio", "faces", "video")
# Where the utterance begins and ends in its sound or video file, in seconds; null is the file's own beginning or end.
TIME_COLUMNS: tuple[str, ...] = ("start", "end")
# In a source: the files of precomputed features; in a built corpus: the features.
FEATURE_COLUMNS: tuple[str, ...] = tuple(f"{modality}_features" for modality in MODALITIES)
VA_COLUMNS: tuple[str, ...] = tuple(f"{modality}_va" for modality in MODALITIES)

_REQUIRED_COLUMNS = ("utterance_id", "dialogue_id", "position", "text", "emotions")
# What stands between labels where a cell is not written as it should be, and what stands in cells that hold nothing.
_SEPARATORS = ",|[]'\""
_EMPTY_CELLS = ("nan", "none", "null", "n/a", "<na>")
_LARGEST_FLOAT16 = float(np.finfo(np.float16).max)


def holds_frames(column: str) -> bool:
    """Whether a column of this name holds lists of frames of one width."""
    return column.endswith("_features") or column == FACE_EMOTIONS


class CorpusError(ValueError):
    """A corpus that cannot be used as it is; the message names the file or row, what is wrong and what to do."""


class RowError(CorpusError):
    """A single row that cannot be used, in a corpus that is sound otherwise."""


def check_label_names(label_names: Sequence[str]) -> None:
    """Refuse label lists that give no sound `ClassLabel`, with a `CorpusError`."""
    if not label_names:
        raise CorpusError("the corpus names no emotion label; pass at least one")
    if any(not name.strip() for name in label_names):
        raise CorpusError(f"empty name among the emotion labels {list(label_names)}; remove it")
    repeated = sorted({name for name in label_names if list(label_names).count(name) > 1})
    if repeated:
        raise CorpusError(f"emotion label {repeated[0]!r} is listed twice; name every label once")


def odd_labels(label_names: Iterable[str]) -> dict[str, str]:
    """Labels that look like something else than one label, each with what is wrong with it."""
    odd: dict[str, str] = {}
    seen: dict[str, str] = {}
    for name in label_names:
        separator = next((character for character in name if character in _SEPARATORS), None)
        other = seen.setdefault(name.casefold(), name)
        if name.lower() in _EMPTY_CELLS:
            odd[name] = "looks like an empty cell: leave the cell empty where there is no emotion"
        elif separator is not None:
            odd[name] = (
                f"holds {separator!r}: separate several emotions by semicolons (happy;sad), and leave the cell empty "
                "where there is none"
            )
        elif other != name:
            odd[name] = f"differs from {other!r} in case alone: spell it in one way"
    return odd


def check_inferred_labels(places: Mapping[str, str]) -> None:
    """
    Refuse what was taken for a label because it occurs, and is probably none.

    Args:
        places: For each name, in order, where it stands.

    Raises:
        CorpusError: A name looks like several, like an empty cell, or like another spelling of the one before.
    """
    for name, problem in odd_labels(places).items():
        raise CorpusError(
            f"{places[name]}: emotion {name!r} {problem}. If it is a label of its own, list all labels with `labels`"
        )


class RowOrder:
    """Checks what holds rows together: unique identifiers, and dialogues that stand together and in order.

    Args:
        parts: What the rows come in, "splits" or "files"; for messages.
    """

    def __init__(self, parts: str = "splits"):
        self._parts = parts
        self._utterances: dict[str, str] = {}
        self._dialogues: dict[str, str] = {}
        self._current: tuple[str, int] | None = None

    def check(self, row: Mapping[str, Any], part: str, where: str) -> None:
        """Check a row, part by part and in order; one without `position` is where it stands.

        Raises:
            CorpusError: with `where`, what was expected and found, and what to do.
        """
        self._check_identifiers(row, part, where)
        self._check_position(row, part, where)

    def _check_identifiers(self, row: Mapping[str, Any], part: str, where: str) -> None:
        utterance, dialogue = row["utterance_id"], row["dialogue_id"]
        for column in ("utterance_id", "dialogue_id"):
            if not isinstance(row[column], str) or not row[column].strip():
                raise CorpusError(f"{where}: {column} is empty; fill it in for every row")
            if not _is_storable(row[column]):
                raise CorpusError(f"{where}: {column} {row[column]!r} has half a character (a surrogate); rename it")
        if utterance in self._utterances:
            raise CorpusError(
                f"{where}: utterance_id {utterance!r} was there before, in {self._parts[:-1]} "
                f"{self._utterances[utterance]}; make every utterance_id unique over all {self._parts}"
            )
        found = self._dialogues.get(dialogue)
        if found is not None and found != part:
            raise CorpusError(
                f"{where}: dialogue {dialogue!r} is in the {self._parts} {found} and {part}; keep a dialogue in one "
                f"{self._parts[:-1]}, or rename one of the two"
            )
        self._utterances[utterance] = part

    def _check_position(self, row: Mapping[str, Any], part: str, where: str) -> None:
        dialogue = row["dialogue_id"]
        continues = self._current is not None and self._current[0] == dialogue
        if not continues and dialogue in self._dialogues:
            raise CorpusError(
                f"{where}: the rows of dialogue {dialogue!r} do not stand together; sort the file by dialogue"
            )
        expected = self._current[1] + 1 if continues and self._current is not None else 0
        if row.get("position", expected) != expected:
            raise CorpusError(
                f"{where}: position {row['position']!r} in dialogue {dialogue!r}, expected {expected}; "
                "number the rows of a dialogue 0, 1, 2, … in order"
            )
        try:
            check_limit("utterances", expected + 1, "the length of a dialogue")
        except ValueError as error:
            raise CorpusError(f"{where}: {error}") from None
        self._dialogues[dialogue] = part
        self._current = (dialogue, expected)


class RowValidator:
    """Checks rows one by one, across all splits of a corpus. It keeps identifiers only, never features.

    Rows are dictionaries with the columns of `row_features`, but emotions as names, features as arrays or `None`
    (before they are read, the path of their file), and VA as two numbers or `None`. `check_structure` wants every row
    of every split, split by split and in order; `check_content` and `check_signals` may come later and for single
    rows.

    Args:
        features: What `row_features` gave.
        media_root: Folder that the paths of media columns are relative to.
        outside: Whether paths with `..`, and links in it, may lead out of it.
        transcripts: Whether every row has a text; otherwise it may be `None`.
    """

    def __init__(
        self,
        features: Mapping[str, Any],
        media_root: Path | None = None,
        outside: bool = False,
        transcripts: bool = True,
    ):
        self.media_root = media_root
        self.outside = outside
        self.transcripts = transcripts
        self.columns = set(features)
        self.label_names = set(features["emotions"].feature.names)
        self.frame_sizes = {
            column: features[column].feature.length
            for column in (*FEATURE_COLUMNS, FACE_EMOTIONS)
            if column in features
        }
        self._order = RowOrder()

    def check_structure(self, row: Mapping[str, Any], split: str, where: str) -> None:
        """Check what holds rows together: columns, identifiers, order, splits, label names, paths.

        Raises:
            CorpusError: with `where`, what was expected and found, and what to do.
        """
        self._check_columns(row, where)
        self._order.check(row, split, where)
        unknown = [name for name in row["emotions"] if name not in self.label_names]
        if unknown:
            known = ", ".join(sorted(self.label_names))
            problem = odd_labels(unknown).get(unknown[0])
            hint = f", and {unknown[0]!r} {problem}" if problem else ""
            raise CorpusError(f"{where}: unknown emotion {unknown[0]!r}; the labels of this corpus are {known}{hint}")
        for column, path in _media_paths(row):
            _check_relative(path, f"{where}: {column}", self.outside)

    def check_content(self, row: Mapping[str, Any], where: str) -> None:
        """Check what a row holds before its signals are there: text, emotions, media files, the clip's times.

        Raises:
            RowError: with `where`, what was expected and found, and what to do.
        """
        if self.transcripts or row["text"] is not None:
            self._check_transcript(row["text"], where)
        if len(set(row["emotions"])) != len(row["emotions"]):
            raise RowError(f"{where}: an emotion is named twice in {';'.join(row['emotions'])!r}; name each once")
        for column, path in _media_paths(row):
            if self.media_root is not None:
                self._check_file(self.media_root, path, f"{where}: {column} file")
        check_times(row, where)

    def check_signals(self, row: Mapping[str, Any], where: str) -> None:
        """Check the features and the VA of a row.

        Raises:
            RowError: with `where`, what was expected and found, and what to do.
        """
        for modality in MODALITIES:
            check_va(row.get(f"{modality}_va"), f"{where}: {modality}_va")
        for column, size in self.frame_sizes.items():
            check_frames(row.get(column), size, f"{where}: {column}")
        check_emotions(row.get(FACE_EMOTIONS), row.get("vision_features"), where)

    def _check_transcript(self, text: Any, where: str) -> None:
        if not isinstance(text, str) or not text.strip():
            raise RowError(f"{where}: the text is empty; add the transcript or remove the row")
        check_text(text, where)

    def _check_file(self, root: Path, path: str, where: str) -> None:
        try:
            is_there = inside(root, path, self.outside).is_file()
        except OutsideError:
            raise RowError(
                f"{where} {path!r} is a link out of {root}; copy the file, or build with `outside_source`"
            ) from None
        if not is_there:
            raise RowError(f"{where} {path!r} is not in {root}; correct the path")

    def _check_columns(self, row: Mapping[str, Any], where: str) -> None:
        missing = [column for column in _REQUIRED_COLUMNS if column not in row]
        if missing:
            raise CorpusError(f"{where}: no column {missing[0]!r}; a row needs {', '.join(_REQUIRED_COLUMNS)}")
        unknown = sorted(set(row) - self.columns)
        if unknown:
            raise CorpusError(f"{where}: unknown column {unknown[0]!r}; this corpus has {', '.join(self.columns)}")


def check_va(va: Sequence[float] | None, where: str) -> None:
    """Refuse a (valence, arousal) pair that is not in [-1, 1]; `None` and two NaN mean unknown.

    Raises:
        RowError: Not two numbers, outside [-1, 1], infinite, or only one of the two NaN.
    """
    if va is None:
        return
    try:
        pair = np.asarray(va, dtype=np.float64)
    except (TypeError, ValueError):
        raise RowError(f"{where}: expected valence and arousal as numbers, found {va!r}") from None
    if pair.shape != (2,):
        raise RowError(f"{where}: expected the two numbers valence and arousal, found shape {pair.shape}")
    unknown = np.isnan(pair)
    if unknown.all():
        return
    if unknown.any():
        raise RowError(f"{where}: only one of valence and arousal is known, {pair.tolist()}; write both or neither")
    if np.abs(pair).max() > 1:
        raise RowError(f"{where}: expected valence and arousal in [-1, 1], found {pair.tolist()}; rescale them")


def check_frames(frames: Any, size: int, where: str) -> None:
    """Refuse features that do not fit into float16 (frames, size); `None` means that the modality is absent.

    Raises:
        RowError: Another shape, no frame, not numbers, NaN, infinite or beyond float16.
    """
    if frames is None:
        return
    if not isinstance(frames, np.ndarray) or frames.dtype.kind not in "fiu":
        found = f"an array of {frames.dtype}" if isinstance(frames, np.ndarray) else type(frames).__name__
        raise RowError(f"{where}: expected an array of numbers, found {found}")
    if frames.ndim != 2 or frames.shape[1] != size:
        raise RowError(f"{where}: expected shape (frames, {size}), found {frames.shape}; extract them again")
    if not len(frames):
        raise RowError(f"{where}: no frames; leave the modality out of this row instead")
    if not np.isfinite(frames).all():
        raise RowError(f"{where}: {np.count_nonzero(~np.isfinite(frames))} NaN or infinite values; extract them again")
    largest = np.abs(frames.astype(np.float64, copy=False)).max()
    if largest > _LARGEST_FLOAT16:
        raise RowError(
            f"{where}: values up to {largest:g}, expected at most {_LARGEST_FLOAT16:g} (float16); rescale the features"
        )


def check_emotions(emotions: np.ndarray | None, faces: np.ndarray | None, where: str) -> None:
    """Refuse probabilities of expressions (faces, E) that are none, or not of the frames `faces`.

    Raises:
        RowError: Another number of frames, or numbers of a frame that do not lie in [0, 1] and sum to 1.
    """
    if emotions is None:
        return
    if len(emotions) != (0 if faces is None else len(faces)):
        found = "none" if faces is None else len(faces)
        raise RowError(f"{where}: {len(emotions)} frames of {FACE_EMOTIONS} and {found} of vision_features")
    # They may be rounded to float16.
    if (emotions < 0).any() or np.abs(emotions.astype(np.float64).sum(axis=1) - 1).max() > 0.01:
        raise RowError(f"{where}: {FACE_EMOTIONS} must be probabilities that sum to 1 in each frame")


def _media_paths(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Column and path of the files that a row names; features that have been read are not one."""
    for column in MEDIA_COLUMNS:
        value = row.get(column)
        if value:
            yield from ((column, path) for path in ([value] if isinstance(value, str) else value))
    for column in FEATURE_COLUMNS:
        value = row.get(column)
        if isinstance(value, str) and value:
            yield column, value


def check_text(text: str, where: str) -> None:
    """Refuse a text that no tokenizer should meet, or that no file can hold, with a `RowError`."""
    try:
        check_limit("characters", len(text), "the length of the text")
    except ValueError as error:
        raise RowError(f"{where}: {error}") from None
    if not _is_storable(text):
        raise RowError(f"{where}: the text has half a character (a surrogate); type it again")


def _is_storable(text: str) -> bool:
    """Whether a text can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_times(row: Mapping[str, Any], where: str) -> None:
    """Refuse a start or an end that is not a time of a clip, in seconds or `None`, with a `RowError`."""
    for column in TIME_COLUMNS:
        value = row.get(column)
        if value is not None and not (isinstance(value, int | float) and 0 <= value < math.inf):
            raise RowError(f"{where}: {column} {value!r}, expected seconds from the beginning of the file, or nothing")
    if row.get("end") is not None and row["end"] <= (row.get("start") or 0):
        raise RowError(f"{where}: the clip ends at {row['end']:g} s, not after its start; correct start or end")


def _check_relative(path: str, where: str, outside: bool) -> None:
    parts = PurePosixPath(path.replace("\\", "/")).parts
    if PurePosixPath(path).is_absolute() or (parts and parts[0].endswith(":")):
        raise CorpusError(f"{where} path {path!r} leaves the source folder; use paths relative to it")
    if ".." in parts and not outside:
        raise CorpusError(
            f"{where} path {path!r} leaves the source folder; use paths without '..', or build with `outside_source`"
        )
