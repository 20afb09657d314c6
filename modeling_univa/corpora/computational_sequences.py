# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""CMU computational sequences: HDF5 files with timed features of videos, read one video at a time.

A file holds one root group named after its sequence; `data/<id>/features` (n, size) and `data/<id>/intervals` (n, 2)
in seconds lie below it. An id is that of a video, or `video[3]` for its fourth segment, which is how the CMU SDK names
the pieces of a sequence that it has aligned to labels.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.hdf5 import HDF5_ERRORS, member, read_array
from ..data.schema import CorpusError, RowError


__all__ = ["ComputationalSequence", "Entry", "find_sequences", "segment_name", "split_name"]

_SUFFIXES = (".csd", ".h5", ".hdf5")
_SEGMENT = re.compile(r"(?P<video>.+)\[(?P<number>\d+)\]")


def segment_name(video: str, number: int) -> str:
    """Name of a segment of a video, counted from 0, as the CMU SDK writes it."""
    return f"{video}[{number}]"


def split_name(name: str) -> tuple[str, int | None]:
    """Video and segment number of an id; the number is `None` where the id is that of a whole video."""
    found = _SEGMENT.fullmatch(name)
    return (found["video"], int(found["number"])) if found else (name, None)


@dataclass(frozen=True)
class Entry:
    """What a sequence says of one id: `features` (n, size) of any type, `intervals` (n, 2) seconds as float64."""

    features: np.ndarray
    intervals: np.ndarray

    def during(self, start: float, end: float) -> np.ndarray:
        """Features of the frames that have time in common with [start, end); a frame may be a point in time."""
        first, last = self.intervals.T
        return self.features[(first < end) & ((last > start) | (first >= start))]

    def centred_in(self, start: float, end: float) -> np.ndarray:
        """Features whose middle lies in [start, end): a word on the border of two segments is in one of them."""
        middle = self.intervals.mean(axis=1)
        return self.features[(middle >= start) & (middle < end)]


class ComputationalSequence:
    """One sequence of an open file.

    Args:
        path: The file.
        data: Its group `<sequence>/data`, as h5py has it.
        name: Name of the sequence.
    """

    def __init__(self, path: Path, data: Any, name: str):
        self.path = path
        self.name = name
        self._data = data
        self._held: tuple[str, Entry] | None = None

    def __contains__(self, name: str) -> bool:
        return member(self._data, name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def entry(self, name: str) -> Entry:
        """What the sequence says of an id; the last one asked for is kept.

        Raises:
            RowError: Features or intervals are absent, unreadable, of a wrong shape, or intervals are not finite.
        """
        if self._held is None or self._held[0] != name:
            self._held = (name, self._read(name))
        return self._held[1]

    def segment(
        self, video: str, number: int, start: float, end: float, *, centred: bool = False
    ) -> np.ndarray | None:
        """Features (n, size) of a segment, or `None` where the sequence has neither the segment nor its video.

        Args:
            video, number: Which segment. An entry of its own, `video[number]`, is taken whole.
            start, end: Its time in the video, in seconds.
            centred: Whether the middle of an interval has to lie in the segment (for words), not just a part.

        Raises:
            RowError: as `entry`.
        """
        if (own := segment_name(video, number)) in self:
            return self.entry(own).features
        if video not in self:
            return None
        entry = self.entry(video)
        return entry.centred_in(start, end) if centred else entry.during(start, end)

    def _read(self, name: str) -> Entry:
        where = f"{self.path.name}: {self.name}/data/{name}"
        features, intervals = (self._array(name, part, where) for part in ("features", "intervals"))
        if intervals.dtype.kind not in "fiu" or intervals.shape != (len(features), 2):
            raise RowError(
                f"{where}: expected one interval (start, end) for each of {len(features)} features, found "
                f"{intervals.dtype} of shape {intervals.shape}"
            )
        return Entry(features, intervals.astype(np.float64))

    def _array(self, name: str, part: str, where: str) -> np.ndarray:
        import h5py

        try:
            dataset = member(member(self._data, name), part)
            if not isinstance(dataset, h5py.Dataset) or dataset.ndim != 2:
                found = f"shape {dataset.shape}" if isinstance(dataset, h5py.Dataset) else "none"
                raise RowError(f"{where}: expected a two-dimensional data set {part!r}, found {found}")
            return read_array(dataset, part)
        except RowError:
            raise
        except ValueError as error:
            raise RowError(f"{where}: {error}") from None
        except HDF5_ERRORS as error:
            raise RowError(f"{where}: {part} cannot be read ({error}); fetch the file again") from None


def find_sequences(folder: Path) -> dict[str, ComputationalSequence]:
    """Open the computational sequences in a folder and its sub-folders, by name.

    Raises:
        CorpusError: h5py is not installed, there is no file, one is not sound HDF5 or holds no sequence, or two hold
            sequences of the same name.
    """
    try:
        import h5py
    except ImportError:
        raise CorpusError('computational sequences need h5py: pip install "univa[mosei]"') from None
    found: dict[str, ComputationalSequence] = {}
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES):
        try:
            file = h5py.File(path, "r")
        except OSError as error:
            raise CorpusError(f"{path}: not a sound HDF5 file ({error}); fetch it again") from None
        for name in file:
            data = _data_group(file, name, path)
            if name in found:
                raise CorpusError(f"sequence {name!r} is both in {found[name].path} and in {path}; remove one of them")
            found[name] = ComputationalSequence(path, data, name)
    if not found:
        raise CorpusError(f"{folder} has no computational sequence ({', '.join(_SUFFIXES)}); pass the folder of them")
    return found


def _data_group(file: Any, name: str, path: Path) -> Any:
    import h5py

    data = member(file, f"{name}/data")
    if not isinstance(data, h5py.Group):
        raise CorpusError(f"{path}: expected the group {name}/data of a computational sequence; it is not there")
    return data
