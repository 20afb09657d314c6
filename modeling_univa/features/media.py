# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The raw media that rows of a corpus name, as extractors and scorers take them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from accelerate.utils.memory import should_reduce_batch_size

from ..data.schema import MEDIA_COLUMNS, CorpusError, RowError, check_frames
from ..models.extractor_base_univa import Extractor
from ..models.faces_univa import FaceReader
from ..models.media_univa import MediaError
from ..models.trusted_paths_univa import inside
from ..models.utterance_media_univa import UtteranceMedia


__all__ = [
    "Item",
    "MediaReader",
    "Missing",
    "check_media",
    "features_of",
    "in_batches",
    "items_of",
    "sound_of",
    "vision_of",
]

SHORTER = "cut it into shorter clips"
TOO_LARGE = f"there is not enough memory for it; {SHORTER}"


class Item(NamedTuple):
    """One thing to read, however many rows name it.

    Args:
        kind: "sound" (a sound file), "video-sound", "faces" (image files in order), "video-faces" or "text".
        source: A path, some paths or the text.
        start, end: Part of the file, in seconds from its beginning.
        speed: How fast sound is played.
    """

    kind: str
    source: str | tuple[str, ...]
    start: float | None = None
    end: float | None = None
    speed: float = 1.0

    @property
    def modality(self) -> str:
        """Of text, audio and vision the one that it is for."""
        return {"text": "text", "sound": "audio", "video-sound": "audio"}.get(self.kind, "vision")

    @property
    def column(self) -> str:
        """The column of a corpus that names it."""
        return {"sound": "audio", "faces": "faces"}.get(self.kind, "video")

    @property
    def name(self) -> str:
        """What messages call it."""
        if self.kind == "text":
            return "text"
        return self.source if isinstance(self.source, str) else self.source[0]


@dataclass(frozen=True)
class Missing:
    """Why there is nothing for an item: it cannot be read (`rejected`), or it is sound and has no such signal."""

    reason: str
    rejected: bool


def sound_of(row: Mapping[str, Any], speed: float = 1.0) -> Item | None:
    """The speech of a row: its sound file, or else the sound of its video."""
    for column, kind in (("audio", "sound"), ("video", "video-sound")):
        if row.get(column):
            return Item(kind, row[column], row.get("start"), row.get("end"), speed)
    return None


def vision_of(row: Mapping[str, Any]) -> Item | None:
    """The faces of a row: its face images, or else the faces of its video."""
    if row.get("faces"):
        return Item("faces", tuple(row["faces"]))
    if row.get("video"):
        return Item("video-faces", row["video"], row.get("start"), row.get("end"))
    return None


def items_of(row: Mapping[str, Any], modalities: Iterable[str], speed: float = 1.0) -> dict[str, list[Item]]:
    """What the features of each modality of a row are made from.

    Face images are items of their own, since rows may share them.
    """
    wanted: dict[str, list[Item]] = {}
    for modality in modalities:
        found = Item("text", row["text"]) if modality == "text" and row["text"] is not None else None
        found = sound_of(row, speed) if modality == "audio" else vision_of(row) if modality == "vision" else found
        wanted[modality] = [] if found is None else [found]
        if found is not None and found.kind == "faces":
            wanted[modality] = [Item("faces", (path,)) for path in found.source]
    return wanted


@dataclass(frozen=True)
class MediaReader:
    """Reads items, and makes features of them where it has an extractor; it pickles.

    Args:
        root: Folder that paths are relative to.
        sampling_rate: Wanted rate of sound, in Hz.
        face_reader: `FaceReader` for the faces of videos.
        outside: Whether paths and links may lead out of `root`.
        extractors: By modality, those that run where the media are read.
    """

    root: Path | None
    sampling_rate: int = 16000
    face_reader: FaceReader | None = None
    outside: bool = False
    extractors: Mapping[str, Extractor] = field(default_factory=dict)

    def read_all(self, items: Sequence[Item]) -> tuple[dict[Item, Any], dict[Item, str]]:
        """Items as extractors and scorers take them, or their features; and what is to be said of some.

        Each item is extracted alone: networks round otherwise in batches.
        """
        made, notes = {}, {}
        for item in items:
            made[item], note = self.read(item)
            if note:
                notes[item] = note
            if item.modality in self.extractors:
                made.update(features_of(self.extractors[item.modality], {item: made[item]}, batch_size=1))
        return made, notes

    def read(self, item: Item) -> tuple[Any, str | None]:
        """The item as extractors and scorers take it, `(waveform, sampling_rate)` or a list of images, with a note.

        Whatever is wrong with a file comes back as `Missing`; a missing package is an `ImportError`.
        """
        try:
            return self._read(item)
        except ImportError:
            raise
        except Exception as error:  # a decoder may fail in any way on a broken file, and one file must not end the job
            return Missing(self._reason(item, error), rejected=True), None

    def _read(self, item: Item) -> tuple[Any, str | None]:
        media = UtteranceMedia(
            **{item.column: self._source(item)}, start=item.start, end=item.end, face_reader=self.face_reader
        )
        found: Any
        if item.modality == "audio":
            # Fewer samples a second, taken for the rate that is wanted, are the sound played faster.
            waveform = media.sound(round(self.sampling_rate / item.speed))
            found = waveform is not None and (waveform, self.sampling_rate)
        else:
            found = media.faces().images
        note = f"{item.name}: {media.notes[item.modality].reason}" if item.modality in media.notes else None
        return (found, note) if found else (Missing(note or f"{item.name}: nothing found", rejected=False), None)

    def _source(self, item: Item) -> Any:
        if self.root is None:
            raise CorpusError("the paths of the media are relative to a folder; name it")
        if isinstance(item.source, str):
            return inside(self.root, item.source, self.outside)
        return [inside(self.root, path, self.outside) for path in item.source]

    def _reason(self, item: Item, error: Exception) -> str:
        """The message, with the path as the corpus has it."""
        if lacks_memory(error):
            return f"{item.name}: {TOO_LARGE}"
        if isinstance(error, MediaError):
            path = error.source.removeprefix(f"{self.root}/")
            return f"{path}: {error.reason}"
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        return f"{item.name}: {kind}{error}"


def check_media(corpus_columns: Iterable[str], root: Path | None, wanted: str) -> None:
    """Refuse to begin where no file could be found.

    Raises:
        CorpusError: The corpus has no media columns, or `root` is not a folder.
    """
    if not set(MEDIA_COLUMNS).intersection(corpus_columns):
        raise CorpusError(
            f"{wanted} needs media, and the corpus has no column {', '.join(MEDIA_COLUMNS)}; build it from raw media"
        )
    if root is None:
        raise CorpusError(
            "the paths in the corpus are relative to the folder that it was built from: pass it as `media_root`"
        )
    if not root.is_dir():
        raise CorpusError(f"`media_root` {root} is not a folder; pass the folder that the corpus was built from")


def in_batches(
    compute: Callable[[list[Any]], Any], raw: Mapping[Item, Any], batch_size: int
) -> dict[Item, np.ndarray | Missing]:
    """What `compute` makes of each item, in batches of items of like length.

    Should a batch be refused, its items are tried one by one, so that only the bad ones are lost.
    """
    made: dict[Item, np.ndarray | Missing] = {item: value for item, value in raw.items() if isinstance(value, Missing)}
    # Sorting is stable: the batches depend on the items and their order alone.
    items = sorted((item for item in raw if item not in made), key=lambda item: _length(raw[item]))
    for first in range(0, len(items), batch_size):
        batch = items[first : first + batch_size]
        try:
            made.update(zip(batch, compute([raw[item] for item in batch]), strict=True))
        except Exception as error:
            if not _is_of_the_items(error):
                raise
            for item in batch:
                made[item] = _alone(compute, item, raw[item])
    return made


def _is_of_the_items(error: Exception) -> bool:
    """Whether other items may go through where these did not: they are bad, or too many or too long for the memory."""
    return isinstance(error, ValueError) or lacks_memory(error)


def _alone(compute: Callable[[list[Any]], Any], item: Item, value: Any) -> np.ndarray | Missing:
    try:
        return compute([value])[0]
    except Exception as error:
        if not _is_of_the_items(error):
            raise
        reason = str(error) if isinstance(error, ValueError) else TOO_LARGE
        return Missing(f"{item.name}: {reason}", rejected=True)


def _length(value: Any) -> int:
    return len(value[0]) if isinstance(value, tuple) else len(value)


def features_of(extractor: Extractor, raw: Mapping[Item, Any], batch_size: int) -> dict[Item, np.ndarray | Missing]:
    """Features of items as they are stored, float16 (frames, size), or why there are none."""
    made = in_batches(extractor.extract_batch, raw, batch_size)
    return {
        item: frames if isinstance(frames, Missing) else _checked(frames, item, extractor.feature_size)
        for item, frames in made.items()
    }


def _checked(frames: np.ndarray, item: Item, size: int) -> np.ndarray | Missing:
    if item.kind == "text" and not len(frames):
        return Missing("the text has no word that the extractor knows", rejected=False)
    try:
        check_frames(frames, size, item.name)
    except RowError as error:
        return Missing(str(error), rejected=True)
    return frames.astype(np.float16)


def lacks_memory(error: Exception) -> bool:
    """Whether a smaller clip, or fewer of them at a time, might do."""
    return isinstance(error, MemoryError) or should_reduce_batch_size(error)
