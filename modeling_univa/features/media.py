# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""The raw media that rows of a corpus name, read ahead of the model by a few threads."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..data.schema import MEDIA_COLUMNS, CorpusError
from ..models.media_univa import MediaError, NoSoundError, NoVideoError, read_audio
from ..models.trusted_paths_univa import OutsideError, inside
from ..models.utterance_media_univa import read_images
from .row_features import TOO_LARGE, lacks_memory


__all__ = [
    "Item",
    "MediaReader",
    "Missing",
    "check_media",
    "in_batches",
    "sound_of",
    "vision_of",
]


# Windows of this many batches are sorted by length before they are cut into batches.
_BATCHES_PER_WINDOW = 4


class Item(NamedTuple):
    """One thing to read, however many rows name it.

    `kind` is "sound" (a sound file), "video-sound", "faces" (image files in order), "video-faces" or "text"; `source`
    is a path, some paths or the text; `start` and `end` are seconds from the file's beginning.
    """

    kind: str
    source: str | tuple[str, ...]
    start: float | None = None
    end: float | None = None

    @property
    def modality(self) -> str:
        """Of text, audio and vision the one that it is for."""
        return {"text": "text", "sound": "audio", "video-sound": "audio"}.get(self.kind, "vision")

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


def sound_of(row: Mapping[str, Any]) -> Item | None:
    """The speech of a row: its sound file, or else the sound of its video."""
    for column, kind in (("audio", "sound"), ("video", "video-sound")):
        if row.get(column):
            return Item(kind, row[column], row.get("start"), row.get("end"))
    return None


def vision_of(row: Mapping[str, Any]) -> Item | None:
    """The faces of a row: its face images, or else the faces of its video."""
    if row.get("faces"):
        return Item("faces", tuple(row["faces"]))
    if row.get("video"):
        return Item("video-faces", row["video"], row.get("start"), row.get("end"))
    return None


class MediaReader:
    """Reads items.

    Args:
        root: Folder that paths are relative to.
        sampling_rate: Wanted rate of sound, in Hz.
        face_reader: `FaceReader` for the faces of videos.
        workers: Threads that `windows` reads with.
        outside: Whether paths and links may lead out of `root`.
    """

    def __init__(
        self,
        root: Path | None,
        sampling_rate: int = 16000,
        face_reader: Any = None,
        workers: int = 2,
        outside: bool = False,
    ):
        self.root, self.sampling_rate, self.face_reader, self.outside = root, sampling_rate, face_reader, outside
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="media")

    def __call__(self, item: Item) -> Any:
        """The item as extractors and scorers take it: `(waveform, sampling_rate)`, a list of images, or a text.

        Whatever is wrong with a file comes back as `Missing`; a missing package is an `ImportError`.
        """
        try:
            return self._read(item)
        except ImportError:
            raise
        except MemoryError:
            return Missing(f"{item.name}: {TOO_LARGE}", rejected=True)
        except (NoSoundError, NoVideoError) as error:
            # A file given as a sound file must have sound; a video may do without one of the two.
            return Missing(self._reason(item, error), rejected=item.kind == "sound")
        except Exception as error:  # a decoder may fail in any way on a broken file, and one file must not end the job
            return Missing(self._reason(item, error), rejected=True)

    def rows(self, rows: Sequence[Iterable[Item]], batch_size: int) -> Iterator[tuple[int, dict[Item, Any]]]:
        """What rows are made from, for some batches of rows at a time: the number of rows, and what is new in them."""
        size = batch_size * _BATCHES_PER_WINDOW
        windows = [rows[first : first + size] for first in range(0, len(rows), size)]
        flat = [[item for row in window for item in row] for window in windows]
        with one_thread_opencv():
            for window, raw in zip(windows, self.windows(flat), strict=True):
                yield len(window), raw

    def windows(self, windows: Sequence[Iterable[Item]]) -> Iterator[dict[Item, Any]]:
        """Read items window by window, the next one while the caller works on the one that it was given.

        Each item is read once, for the first window that has it. Two windows are in memory at a time.
        """
        seen: set[Item] = set()
        ahead: dict[Item, Future] | None = None
        try:
            for window in [*windows, ()]:
                new = [item for item in dict.fromkeys(window) if item not in seen]
                seen.update(new)
                ready, ahead = ahead, {item: self._pool.submit(self, item) for item in new}
                if ready is not None:
                    yield {item: ready.pop(item).result() for item in list(ready)}
        finally:
            for future in (ahead or {}).values():
                future.cancel()

    def _read(self, item: Item) -> Any:
        if item.kind in ("sound", "video-sound"):
            waveform = read_audio(self._path(item.source), self.sampling_rate, item.start, item.end)
            return waveform, self.sampling_rate
        if item.kind == "faces":
            return read_images(self._path(path) for path in item.source)
        if item.kind == "video-faces":
            return self._faces_of_video(item)
        return item.source

    def _faces_of_video(self, item: Item) -> list[np.ndarray] | Missing:
        track = self.face_reader(self._path(item.source), item.start, item.end)
        if len(track.images):
            return list(track.images)
        return Missing(f"{item.name}: {track.note or 'no face found'}", rejected=False)

    def _path(self, path: Any) -> Path:
        if self.root is None:
            raise CorpusError("the paths of the media are relative to a folder; name it")
        return inside(self.root, path, self.outside)

    def _reason(self, item: Item, error: Exception) -> str:
        """The message, with the path as the corpus has it."""
        if isinstance(error, MediaError):
            path = error.source.removeprefix(f"{self.root}/")
            return f"{path}: {error.reason}"
        kind = "" if isinstance(error, OutsideError) else f"{type(error).__name__}: "
        return f"{item.name}: {kind}{error}"


def check_media(corpus_columns: Iterable[str], root: Path | None, wanted: str) -> None:
    """Refuse to begin where no file could be found.

    Raises:
        CorpusError: The corpus has no media columns, or `root` is no folder.
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


@contextlib.contextmanager
def one_thread_opencv() -> Iterator[None]:
    """Keep OpenCV to the thread that calls it: the readers are threads already, and its detectors give their finds in
    an order that depends on who was faster."""
    try:
        import cv2
    except ImportError:
        yield
        return
    former = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(former)
