# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Features that come with a corpus instead of being made here: a file an utterance, or one file for all."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..data.feature_files import FeatureTable, Frames, open_table, read_frames
from ..data.schema import CorpusError, RowError
from ..models.files_univa import sha256_of_files
from ..models.processing_univa import PRECOMPUTED
from ..models.trusted_paths_univa import inside
from ..options import counted, verb


__all__ = [
    "AbsentSignal",
    "FeaturesOfFiles",
    "FeaturesOfTable",
    "PrecomputedFeatures",
    "StorableFrames",
    "storable_frames",
]

_LARGEST_FLOAT16 = float(np.finfo(np.float16).max)


class AbsentSignal(ValueError):
    """There are no features of an utterance, which is sound otherwise."""


def storable_frames(frames: np.ndarray | None, keeps_length: bool = False) -> tuple[np.ndarray | None, int]:
    """
    Frames with NaN and infinity as 0 and what is beyond float16 clipped, and how many numbers that changed.

    `None` where no number is finite or, with `keeps_length`, where there is no frame.
    """
    if frames is None or not len(frames) or not (keeps_length or np.isfinite(frames).any()):
        return None, 0
    finite = np.isfinite(frames)
    held = np.clip(np.where(finite, frames, 0), -_LARGEST_FLOAT16, _LARGEST_FLOAT16)
    return held, int(np.count_nonzero(~finite | (held != frames)))


class StorableFrames:
    """Makes features storable as float16, and counts what that changed, for the card.

    Args:
        name: What notes call the features.
        keeps_length: Whether frames of which no number is finite become zeros, instead of being absent.
    """

    def __init__(self, name: str, keeps_length: bool = False):
        self.name = name
        self.keeps_length = keeps_length
        self._absent = self._values = self._rows = 0

    def __call__(self, frames: np.ndarray | None) -> np.ndarray | None:
        """Frames with NaN and infinity as 0 and what is beyond float16 clipped; `None` where no number is finite."""
        held, replaced = storable_frames(frames, self.keeps_length)
        self._absent += held is None
        self._values += replaced
        self._rows += bool(replaced)
        return held

    def notes(self, split: str) -> list[str]:
        """What happened since it was last asked."""
        absent, values, rows = self._absent, self._values, self._rows
        self._absent = self._values = self._rows = 0
        have = verb(absent, "has", "have")
        notes = []
        if absent:
            notes.append(f"{split}: {counted(absent, 'utterance')} {have} no frame of {self.name}, absent there.")
        if values:
            notes.append(
                f"{split}: {counted(values, 'value')} of {self.name} in {counted(rows, 'utterance')} "
                f"{verb(values, 'was', 'were')} NaN or infinite (now 0) or beyond float16 (now ±{_LARGEST_FLOAT16:g})."
            )
        return notes


class PrecomputedFeatures:
    """Features of a modality, of one width over the whole corpus.

    Args:
        modality: "text", "audio" or "vision".
        name: What made them, as the user names it.
    """

    def __init__(self, modality: str, name: str | None = None):
        self.modality = modality
        self._name = name
        self._storable = StorableFrames(f"the {modality} features")
        # The first file of the corpus, which the others have to agree with.
        self._first: tuple[str, Frames] | None = None
        self._left_out = 0

    def open(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Find the width in the first row that has sound features.

        Raises:
            CorpusError: No row has any.
        """
        problem: Exception | None = None
        for row in rows:
            try:
                if self._find(row) is not None:
                    return
            except (AbsentSignal, CorpusError) as error:
                problem = problem if isinstance(problem, CorpusError) else error
        reason = f"; the first problem: {problem}" if problem else ""
        raise CorpusError(f"no row has {self.modality} features that can be used; correct or drop them{reason}")

    def about(self) -> list[str]:
        """What the card says of where they come from."""
        made = self.made_by
        return [
            f"The {self.modality} features came precomputed (by: {made['name']}; {made['feature_size']} numbers a "
            "frame): none of them were extracted when the corpus was built."
        ]

    @property
    def made_by(self) -> dict[str, Any]:
        """The entry of feature_extractors.json."""
        assert self._first is not None
        found = self._first[1]
        name = self._name or found.tool or "unknown"
        return {"extractor_type": PRECOMPUTED, "name": name, "feature_size": found.values.shape[1]}

    def frames(self, row: Mapping[str, Any]) -> np.ndarray | None:
        """
        Features (frames, size) of a row, `None` where it names none.

        Raises:
            RowError: They cannot be used.
            AbsentSignal: There is no frame, or nothing of the row in a file for all.
        """
        try:
            named = self._find(row)
        except RowError:
            raise
        except CorpusError as error:
            raise RowError(str(error)) from None
        if named is None:
            return None
        name, found = named
        self._check_agrees(name, found)
        self._left_out += found.left_out
        return self._storable(found.values)

    def notes(self, split: str) -> list[str]:
        """What the card says of a split that has been read."""
        notes, left_out, self._left_out = self._storable.notes(split), self._left_out, 0
        if left_out:
            notes.append(f"{split}: {left_out} frames without success were left out of the {self.modality} features.")
        return notes

    def _find(self, row: Mapping[str, Any]) -> tuple[str, Frames] | None:
        """Where the features of a row are, and the features; the first ones become the measure of the others."""
        named = self._read(row)
        if named is not None and not len(named[1].values):
            raise AbsentSignal(f"{named[0]}: no frame")
        self._first = self._first or named
        return named

    def _read(self, row: Mapping[str, Any]) -> tuple[str, Frames] | None:
        raise NotImplementedError

    def _check_agrees(self, name: str, found: Frames) -> None:
        assert self._first is not None
        first_name, first = self._first
        size, expected = found.values.shape[1], first.values.shape[1]
        if size != expected:
            raise RowError(f"{name}: {size} features a frame, expected {expected} as in {first_name}")
        if found.columns != first.columns and None not in (found.columns, first.columns):
            pairs = zip(found.columns or (), first.columns or (), strict=True)
            other, column = next((other, column) for other, column in pairs if other != column)
            raise RowError(f"{name}: a column {other!r}, expected {column!r} as in {first_name}")


class FeaturesOfFiles(PrecomputedFeatures):
    """A file an utterance, whose path is in the row.

    Args:
        root: Folder that paths are relative to.
        outside: Whether they may lead out of it.
    """

    def __init__(self, modality: str, name: str | None, root: Path, outside: bool):
        super().__init__(modality, name)
        self._root = root
        self._outside = outside

    def _read(self, row: Mapping[str, Any]) -> tuple[str, Frames] | None:
        path = row.get(f"{self.modality}_features")
        if not path:
            return None
        try:
            return path, read_frames(inside(self._root, path, self._outside))
        except CorpusError as error:
            raise RowError(f"{path}: {str(error).removeprefix(f'{self._root / path}: ')}") from None
        except ValueError as error:
            raise RowError(str(error)) from None


class FeaturesOfTable(PrecomputedFeatures):
    """One file for all utterances.

    Args:
        path: The file.
    """

    def __init__(self, modality: str, name: str | None, path: Path):
        super().__init__(modality, name)
        self._table: FeatureTable = open_table(path)
        self._sha256 = sha256_of_files(path)

    def open(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """As of `PrecomputedFeatures`; a file that knows no utterance of the corpus is refused with an id of each."""
        listed = list(rows)
        if not any(row["utterance_id"] in self._table.places for row in listed):
            ids = [next(iter(self._table.places), None), listed[0]["utterance_id"] if listed else None]
            raise CorpusError(
                f"{self._table.path}: none of its ids ({ids[0]!r}, …) is an utterance_id of the corpus "
                f"({ids[1]!r}, …); correct them"
            )
        super().open(listed)

    def about(self) -> list[str]:
        """As of `PrecomputedFeatures`, and which file."""
        file = f"The {self.modality} features are those of `{self._table.path.name}` {self._sha256} (SHA-256)."
        return [*super().about(), file]

    def _read(self, row: Mapping[str, Any]) -> tuple[str, Frames] | None:
        utterance_id = row["utterance_id"]
        if utterance_id not in self._table.places:
            raise AbsentSignal(f"{self._table.path.name} has no utterance {utterance_id!r}")
        return f"{self._table.path.name}: utterance {utterance_id!r}", self._table.frames(utterance_id)
