# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The one engine that makes something of the media of many rows: features, valence and arousal.

Media are read, faces found and small extractors run in worker processes, each clip once and alone, so that what comes
out depends neither on how many processes there are nor on what stands beside it. What a single process must do, large
networks and whatever is on an accelerator, is done here in batches, whose composition depends on the rows alone.
"""

import json
import shutil
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from transformers.utils import logging

from ..data.schema import CorpusError
from ..models.extractor_base_univa import Extractor
from ..models.faces_univa import FaceReader
from ..models.files_univa import sync, write_text
from .face_emotions import with_emotions, without_emotions
from .media import SHORTER, Item, MediaReader, Missing, features_of
from .shards import device_kind
from .workers import ProcessKilled, Workers


__all__ = ["FeatureEngine", "FeatureStore", "MemoryStore", "feature_engine"]

logger = logging.get_logger(__name__)

Row = TypeVar("Row")
Group = TypeVar("Group")
Made = dict[Item, Any]
Read = tuple[Made, dict[Item, str]]
Parts = Sequence[tuple[list[Item], "Future[Read]"]]

# Rows of a window in batches. Windows are sorted by length before they are cut into batches, and worked on in as many
# parts by the processes.
_BATCHES_PER_WINDOW = 4


class MemoryStore:
    """What was made of items, for rows that name them again."""

    def __init__(self) -> None:
        #: Items that were made or begun.
        self.begun: set[Item] = set()
        self._made: Made = {}

    def __getitem__(self, item: Item) -> Any:
        return self._made[item]

    def restored(self, items: Sequence[Item]) -> dict[Item, str] | None:
        """The notes of a window that is finished; `None` where it is to be made."""
        return None if items else {}

    def add(self, items: Sequence[Item], made: Made, notes: Mapping[Item, str]) -> None:
        """Keep what was made of a window."""
        self._made.update(made)

    def close(self) -> None:
        """Close its files, where it has any."""
        return


class FeatureStore(MemoryStore):
    """The same for features, on disk, so that memory does not grow and a run that was stopped goes on.

    Windows come in the same order in every run. Each is a line of `windows.jsonl` and bytes of `features.bin`; what a
    line lists has been on the disk before it.

    Args:
        folder: Made if it is not there.
        plan: All that decides the features, as JSON; what was made by another plan is removed.
    """

    def __init__(self, folder: Path, plan: Mapping[str, Any]):
        super().__init__()
        self._folder = folder
        file, text = folder / "plan.json", json.dumps(plan, indent=2) + "\n"
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            write_text(file, text)
        self._features = open(folder / "features.bin", "a+b")  # noqa: SIM115
        self._windows = open(folder / "windows.jsonl", "a+b")  # noqa: SIM115
        self._finished = deque(self._read_windows())
        self._end = 0

    def __getitem__(self, item: Item) -> Any:
        place = self._made[item]
        if isinstance(place, Missing):
            return place
        offset, shape = place
        self._features.seek(offset)
        return np.frombuffer(self._features.read(2 * shape[0] * shape[1]), np.float16).reshape(shape)

    def restored(self, items: Sequence[Item]) -> dict[Item, str] | None:
        """The notes of the next window of an earlier run, if it has finished it."""
        if not self._finished or not items:
            return super().restored(items)
        window = self._finished.popleft()
        self._place(items, window)
        return {items[int(number)]: note for number, note in window["notes"].items()}

    def add(self, items: Sequence[Item], made: Made, notes: Mapping[Item, str]) -> None:
        """Write what was made of a window."""
        values = [made[item] for item in items]
        content = b"".join(value.tobytes() for value in values if not isinstance(value, Missing))
        window = {
            "made": [asdict(value) if isinstance(value, Missing) else value.shape for value in values],
            "notes": {number: notes[item] for number, item in enumerate(items) if item in notes},
            "bytes": len(content),
            "crc32": zlib.crc32(content),
        }
        line = json.dumps(window) + "\n"
        for file, data in ((self._features, content), (self._windows, line.encode())):
            file.write(data)
            file.flush()
            sync(Path(file.name))
        self._place(items, window)

    def close(self) -> None:
        """Close its files, and remove them where nothing has been made."""
        is_empty = not self._windows.tell()
        self._features.close()
        self._windows.close()
        if is_empty:
            shutil.rmtree(self._folder)

    def _place(self, items: Sequence[Item], window: Mapping[str, Any]) -> None:
        for item, made in zip(items, window["made"], strict=True):
            if isinstance(made, dict):
                self._made[item] = Missing(**made)
            else:
                self._made[item] = self._end, tuple(made)
                self._end += 2 * made[0] * made[1]

    def _read_windows(self) -> Iterator[dict[str, Any]]:
        """The windows that are whole; what comes after them is cut off."""
        for file in (self._features, self._windows):
            file.seek(0)
        good = [0, 0]
        for line in self._windows:
            try:
                window = json.loads(line)
                content = self._features.read(window["bytes"])
                if len(content) < window["bytes"] or zlib.crc32(content) != window["crc32"]:
                    break
            except (ValueError, KeyError, TypeError):
                break
            good = [good[0] + len(content), good[1] + len(line)]
            yield window
        self._features.truncate(good[0])
        self._windows.truncate(good[1])


Rows = Iterable[tuple[Row, Mapping[str, list[Item]]]]


class _Window(NamedTuple):
    """Rows that are worked on together, all of one group."""

    group: Any
    store: MemoryStore
    rows: list[tuple[Any, Mapping[str, list[Item]]]]
    is_last: bool
    items: Sequence[Item] = ()
    notes: dict[Item, str] | None = None
    parts: Parts = ()


class FeatureEngine:
    """Makes something of the media of rows, many rows at a time.

    Args:
        reader: Reads items, and makes the features of its own extractors, in worker processes.
        compute: By modality, what is made here of what was read: values by item, from values by item.
        batch_size: A quarter of the rows that are worked on together.
        workers: Processes; with 0 or 1 all is done here.
        separate: What was made of a row, by modality, to what is given out for it.
        probe: Called before the first item is read. What it raises ends the job, since it would go wrong for every
            clip alike.
    """

    def __init__(
        self,
        reader: MediaReader,
        compute: Mapping[str, Callable[[Made], Made]],
        *,
        batch_size: int = 16,
        workers: int = 1,
        separate: Callable[[dict[str, Any]], dict[str, Any]] = dict,
        probe: Callable[[], Any] | None = None,
    ):
        if batch_size < 1:
            raise CorpusError(f"the batch size must be at least 1, got {batch_size}")
        self.reader, self.compute, self.batch_size = reader, compute, batch_size
        self._workers = Workers(workers)
        self._separate = separate
        self._probe = probe

    def rows(
        self, rows: Rows[Row], store: MemoryStore | None = None
    ) -> Iterator[tuple[Row, dict[str, Any], list[str]]]:
        """What is made of rows, in their order.

        Args:
            rows: Each with the items of every modality.
            store: Of rows before these, which may name the same items.

        Returns:
            For each row, by modality, the joined values of its items, `Missing`, or `None` where it has no items; and
            the notes on items that no row before it had.
        """
        for _, made in self._groups([(None, rows, MemoryStore() if store is None else store)]):
            yield from made

    def groups(
        self, groups: Iterable[tuple[Group, Rows[Row]]]
    ) -> Iterator[tuple[Group, Iterator[tuple[Row, dict[str, Any], list[str]]]]]:
        """What is made of the rows of each group, from these rows alone.

        The next group is asked for, and its reading begins, while the last rows of a group are worked on, so that the
        processes have no rest between groups.

        Args:
            groups: Each with its rows, as `rows` takes them.

        Returns:
            Each group with what `rows` would make of its rows, to be gone through before the next group.
        """
        return self._groups((group, rows, MemoryStore()) for group, rows in groups)

    def close(self) -> None:
        """End the worker processes at once."""
        self._workers.close()

    def _groups(self, groups: Iterable[tuple[Any, Rows[Any], MemoryStore]]) -> Iterator[tuple[Any, Iterator[Any]]]:
        finished = self._finished_windows(groups)
        for window in finished:
            yield window.group, self._to_the_last(window, finished)
            # It holds what was made of the whole group, which is not needed while the next one is worked on.
            del window

    def _to_the_last(self, window: _Window, finished: Iterator[_Window]) -> Iterator[tuple[Any, Any, list[str]]]:
        """What was made of each row of a group, from its first window on."""
        while True:
            notes = dict(window.notes or {})
            for row, items in window.rows:
                made = {modality: _joined([window.store[item] for item in own]) for modality, own in items.items()}
                named = [item for own in items.values() for item in own]
                yield row, self._separate(made), [notes.pop(item) for item in named if item in notes]
            if window.is_last:
                return
            window = next(finished)

    def _windows(self, groups: Iterable[tuple[Any, Rows[Any], MemoryStore]]) -> Iterator[_Window]:
        """At least one of each group, since a group without rows is one too."""
        size = self.batch_size * _BATCHES_PER_WINDOW
        for group, rows, store in groups:
            iterator = iter(rows)
            window = list(islice(iterator, size))
            while following := list(islice(iterator, size)):
                yield _Window(group, store, window, is_last=False)
                window = following
            yield _Window(group, store, window, is_last=True)

    def _finished_windows(self, groups: Iterable[tuple[Any, Rows[Any], MemoryStore]]) -> Iterator[_Window]:
        ahead: deque[_Window] = deque()
        for window in self._windows(groups):
            ahead.append(self._begin(window))
            while len(ahead) > -(-self._workers.at_work // _BATCHES_PER_WINDOW):
                yield self._finish(ahead.popleft())
        while ahead:
            yield self._finish(ahead.popleft())

    def _begin(self, window: _Window) -> _Window:
        named = (item for _, items in window.rows for own in items.values() for item in own)
        new = [item for item in dict.fromkeys(named) if item not in window.store.begun]
        window.store.begun.update(new)
        window = window._replace(items=new, notes=window.store.restored(new))
        if window.notes is not None:
            return window
        if self._probe is not None and new:
            self._probe()
            self._probe = None
        files = [item for item in new if item.kind != "text"]
        size = -(-len(files) // _BATCHES_PER_WINDOW) or 1
        parts = [files[first : first + size] for first in range(0, len(files), size)]
        return window._replace(parts=[(part, self._workers.submit(self.reader.read_all, part)) for part in parts])

    def _finish(self, window: _Window) -> _Window:
        if window.notes is not None:
            return window
        made: Made = {item: item.source for item in window.items if item.kind == "text"}
        notes: dict[Item, str] = {}
        for items, future in window.parts:
            values, said = self._read(items, future)
            made.update(values)
            notes.update(said)
        for modality, compute in self.compute.items():
            made.update(compute({item: made[item] for item in window.items if item.modality == modality}))
        window.store.add(window.items, made, notes)
        return window._replace(notes=notes, parts=[])

    def _read(self, items: list[Item], future: "Future[Read]") -> Read:
        """What was read of some items: one by one where their process was killed, to find the one that is to blame."""
        try:
            return future.result()
        except ProcessKilled as error:
            logger.warning(f"A worker process {error.how}: its {len(items)} files are read again, one by one.")
        made: Made = {}
        notes: dict[Item, str] = {}
        found = self._workers.one_by_one(self.reader.read_all, [[item] for item in items])
        for item, read in zip(items, found, strict=True):
            if isinstance(read, ProcessKilled):
                made[item] = Missing(
                    f"{item.name}: with it alone a worker process {read.how}; {SHORTER}", rejected=True
                )
            else:
                made.update(read[0])
                notes.update(read[1])
        return made, notes


def feature_engine(
    extractors: Mapping[str, Extractor],
    root: Path | None = None,
    face_reader: FaceReader | None = None,
    *,
    batch_size: int = 16,
    workers: int = 1,
    outside: bool = False,
) -> FeatureEngine:
    """The engine that makes features, float16 (frames, size) of each item.

    Args:
        extractors: By modality; under `FACE_EMOTIONS` that of the probabilities of expressions, which are then made of
            the same faces as the features of "vision".
        root: Folder that paths are relative to.
        face_reader: `FaceReader` for the faces of videos, where there are any.
        batch_size: Clips that a large network gets at a time.
        workers: Processes; with 0 or 1 all is done here.
        outside: Whether paths and links may lead out of `root`.
    """
    named, extractors = extractors, with_emotions(extractors)
    small = {modality: extractor for modality, extractor in extractors.items() if _is_small(extractor)}
    rate = getattr(extractors.get("audio"), "sampling_rate", 16000)
    reader = MediaReader(root, rate, face_reader, outside, small)
    large = {
        modality: partial(features_of, extractor, batch_size=batch_size)
        for modality, extractor in extractors.items()
        if modality not in small
    }
    probe = partial(_try_extractors, extractors, rate, face_reader)
    separate = partial(without_emotions, extractors=named)
    return FeatureEngine(reader, large, batch_size=batch_size, workers=workers, separate=separate, probe=probe)


def _is_small(extractor: Extractor) -> bool:
    """Whether every worker process may have one of its own."""
    return all(
        getattr(part, "small", False) and device_kind(getattr(part, "device", "cpu")) == "cpu"
        for part in getattr(extractor, "parts", [extractor])
    )


def _try_extractors(extractors: Mapping[str, Extractor], rate: int, face_reader: FaceReader | None) -> None:
    """A network that cannot be loaded must end the job, and not have clip after clip rejected."""
    grey = np.full((160, 160, 3), 128, np.uint8)
    samples = {
        "text": "yes",
        "vision": [grey, grey],
        "audio": (np.sin(np.arange(rate) * 0.1).astype(np.float32) / 10, rate),
    }
    for modality, extractor in extractors.items():
        extractor.extract_batch([samples[modality]])
    if face_reader is not None:
        face_reader.detect(grey)


def _joined(values: Sequence[Any]) -> Any:
    """One value of those of a row's items: that they cannot be used comes first, then what there is."""
    missing = [value for value in values if isinstance(value, Missing)]
    rejected = [value for value in missing if value.rejected]
    found = [value for value in values if not isinstance(value, Missing)]
    if rejected or not found:
        return next(iter(rejected or missing), None)
    return found[0] if len(found) == 1 else np.concatenate(found)
