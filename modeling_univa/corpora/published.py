# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Corpora in the folders in which they are distributed: what their builders share."""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..data.schema import MEDIA_COLUMNS, TIME_COLUMNS, CorpusError, RowError
from ..models.configuration_univa import EMOTION_ALIASES, EMOTION_VALENCE_AROUSAL
from ..options import OptionParser, counted, verb
from .builder import CorpusDescription
from .media_corpus import MediaCorpus, MediaCorpusConfig


__all__ = [
    "FoundMedia",
    "PublishedConfig",
    "PublishedCorpus",
    "check_option",
    "decoded_text",
    "find_media",
    "number_between",
    "split_of_speakers",
]

LEFT_OUT_FILE = "left_out_files.jsonl"

_SPLITS = ("train", "validation", "test")
_POINTER = b"version https://git-lfs"


@dataclass
class PublishedConfig(MediaCorpusConfig):
    """Options of `PublishedCorpus`.

    Args:
        media: Which media the rows name, of those that the corpus has: "auto" is what is there.
        label_words: "published" names the labels as the corpus does; "univa" names those that are one of happy,
            surprise, sad, disgust, anger, fear and neutral by that word, so that corpora have labels in common.
    """

    media: str = "auto"
    label_words: str = "published"


class PublishedCorpus(MediaCorpus):
    """Base of the builders that read a corpus as it is distributed.

    A subclass reads in `read_splits` the rows of all splits (the columns of the row contract, those of media only
    where a row has them), and may add to `notes`, and to what is left out by `leave_out`.
    """

    BUILDER_CONFIG_CLASS = PublishedConfig
    LANGUAGE = "en"
    # What `media` may be, besides "auto".
    MEDIA: ClassVar[tuple[str, ...]] = ("video", "audio")
    # Where the rows of a split are listed, as messages name it.
    LISTING: ClassVar[str] = "the names of the files"
    # Further options with their choices: argument, choices, help.
    CHOICES: ClassVar[tuple[tuple[str, tuple[str, ...], str], ...]] = ()

    files: list[Path]

    def read_splits(self) -> dict[str, list[dict[str, Any]]]:
        """The rows of each split in order, emotions as published. Raises `CorpusError`."""
        raise NotImplementedError

    def label_names(self) -> list[str]:
        """The labels as published, in the order of the model's outputs."""
        raise NotImplementedError

    def listing(self, split: str) -> str:
        """What messages call the list of a split's rows."""
        return self.LISTING

    @classmethod
    def add_arguments(cls, parser: OptionParser) -> None:
        """Add the options of `PublishedConfig`, and the `CHOICES`."""
        for name, choices, text in (*_common_choices(cls.MEDIA), *cls.CHOICES):
            parser.add_argument(f"--{name.replace('_', '-')}", choices=choices, help=text)
        super().add_arguments(parser)

    def describe(self) -> CorpusDescription:
        """Read all rows, and make the extractors of their media."""
        for name, choices, _ in (*_common_choices(self.MEDIA), *self.CHOICES):
            check_option(name, getattr(self.config, name), choices)
        self.files = []
        self._table = {split: rows for split, rows in self.read_splits().items() if rows}
        if not self._table:
            raise CorpusError(f"{self.config.source}: {self.LISTING} give no utterance; check the folder")
        every = [row for rows in self._table.values() for row in rows]
        known = (*MEDIA_COLUMNS, *TIME_COLUMNS)
        self._columns = [column for column in known if any(row.get(column) is not None for row in every)]
        self._note_absent()
        return self.describe_media(
            self._columns,
            label_names=list(dict.fromkeys(map(self._word, self.label_names()))),
            splits={split: self.listing(split) for split in self._table},
            files=self.files,
        )

    def source_rows(self, split: str) -> Iterator[dict[str, Any]]:
        """The rows that were read, all with the same columns."""
        for row in self._table[split]:
            emotions = list(dict.fromkeys(map(self._word, row["emotions"])))
            yield {**dict.fromkeys(self._columns), "speaker": None, **row, "emotions": emotions}

    def check_row(self, split: str, row: Mapping[str, Any]) -> None:
        """Refuse a row whose clip is not there, or is a pointer in place of it."""
        for column in ("audio", "video"):
            path = row.get(column)
            if path and not Path(self.config.source, path).is_file():
                raise RowError(f"the clip {path} is not there; download or unpack its archive again")
            if path and _is_pointer(Path(self.config.source, path)):
                raise RowError(f"{path} is a pointer of Git LFS in place of the clip; run `git lfs pull`")

    def find(self, pattern: re.Pattern[str], suffixes: Sequence[str], example: str) -> dict[str, str]:
        """
        Path of the media files of the source by their names without suffix; what else there is is left out.

        Args:
            pattern, suffixes: As of `find_media`.
            example: A name as the corpus has them.
        """
        found = find_media(Path(self.config.source), pattern, suffixes, self.config.outside_source)
        for path in found.copies:
            self.leave_out(path, "there is another file of this name")
        for path in found.others:
            self.leave_out(path, f"the name is not one of {self.PRETTY_NAME}, such as {example}")
        return found.paths

    def note_empty(self, splits: Mapping[str, Sequence[Any]], what: str) -> None:
        """Say which splits have no row."""
        empty = [split for split, rows in splits.items() if not rows]
        if empty:
            self.notes.append(f"No {what} of the split {' or '.join(empty)} is there.")

    def leave_out(self, name: str, reason: str) -> None:
        """List a file that makes no row. Raises `CorpusError` where nothing may be left out."""
        if self.config.strict:
            raise CorpusError(f"{name}: {reason}")
        self.side_files.setdefault(LEFT_OUT_FILE, []).append({"file": name, "reason": reason})

    def take_media(self, present: Collection[str]) -> str:
        """Of what `media` may be the one to read, where `present` is there. Raises `CorpusError`."""
        wanted = self.config.media
        if wanted == "none" or wanted in present:
            return wanted
        found = [name for name in self.MEDIA if name in present]
        if wanted == "auto" and found:
            return found[0]
        what = "audio or video" if wanted == "auto" else wanted
        others = [*found, *(["none"] if "none" in self.MEDIA else [])]
        hint = f", or pass `media` {' or '.join(others)}" if others else ""
        raise CorpusError(f"{self.config.source} has no {what} of {self.PRETTY_NAME}; unpack its archives there{hint}")

    def _word(self, name: str) -> str:
        return EMOTION_ALIASES.get(name, name) if self.config.label_words == "univa" else name

    def _note_absent(self) -> None:
        """Say of each split how many clips are not there, or are in one medium alone."""
        for split, rows in self._table.items():
            for column in self._columns:
                if column in TIME_COLUMNS:
                    continue
                paths = [row[column] for row in rows if row.get(column)]
                absent = sum(not Path(self.config.source, path).is_file() for path in paths)
                if len(paths) < len(rows):
                    without, all_of = len(rows) - len(paths), counted(len(rows), "utterance")
                    self.notes.append(
                        f"{split}: {without} of {all_of} {verb(without, 'names', 'name')} no {column} file."
                    )
                if absent:
                    self.notes.append(
                        f"{split}: of {counted(len(paths), 'utterance')} listed in {self.listing(split)}, {absent} "
                        f"{verb(absent, 'has', 'have')} no {column} file in its place, and "
                        f"{verb(absent, 'is', 'are')} left out (see rejected.jsonl)."
                    )
        left_out = self.side_files.get(LEFT_OUT_FILE, [])
        for reason, count in Counter(entry["reason"] for entry in left_out).items():
            are = verb(count, "is", "are")
            self.notes.append(f"{counted(count, 'file')} {are} left out: {reason} (see {LEFT_OUT_FILE}).")


@dataclass(frozen=True)
class FoundMedia:
    """Files by what their names say.

    Args:
        paths: Path, relative to the source, by the name without suffix.
        copies: Paths of further files of the same name and suffix; other formats of a clip are not among them.
        others: Media files of other names.
    """

    paths: dict[str, str]
    copies: list[str]
    others: list[str]


def find_media(root: Path, pattern: re.Pattern[str], suffixes: Sequence[str], links: bool = False) -> FoundMedia:
    """
    Media files anywhere below a folder; of several of one name the one with the earlier suffix, then the higher one.

    Args:
        root: The folder.
        pattern: What the whole name without its suffix must be.
        suffixes: In lower case; the file may have them in any case.
        links: Whether to go into folders that are links, too.
    """
    found = [path for path in _walk(root, links) if path.suffix.lower() in suffixes]
    found.sort(key=lambda path: (suffixes.index(path.suffix.lower()), len(path.parts), path))
    media = FoundMedia({}, [], [])
    for path in found:
        name = path.relative_to(root).as_posix()
        if not pattern.fullmatch(path.stem):
            media.others.append(name)
        elif path.stem not in media.paths:
            media.paths[path.stem] = name
        elif media.paths[path.stem].lower().endswith(path.suffix.lower()):
            media.copies.append(name)
    return media


def _walk(root: Path, links: bool) -> Iterator[Path]:
    """Files below a folder, but hidden ones and those that archives of macOS bring along."""
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=links):
        # A link to a folder above would never end.
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and os.path.realpath(Path(folder, name)) not in seen
        )
        seen.add(os.path.realpath(folder))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def number_between(name: str, value: float, least: float, most: float) -> None:
    """Refuse a number that is not between two others, with a `CorpusError`."""
    if not least <= value <= most:
        raise CorpusError(f"`{name}` {value!r}: expected a number from {least} to {most}")


def split_of_speakers(groups: Sequence[Sequence[str]], seed: int) -> dict[str, str]:
    """
    The split of each speaker: of each group two thirds train, a sixth validation and a sixth test, at least one each.

    Args:
        groups: All speakers of the corpus as published, so that a speaker is in the same split whatever is there.
        seed: Of the permutation.
    """
    split_of: dict[str, str] = {}
    rng = np.random.default_rng(seed)
    for speakers in groups:
        order = [speakers[index] for index in rng.permutation(len(speakers))]
        held = max(1, round(len(order) / 6))
        for index, speaker in enumerate(order):
            split_of[speaker] = _SPLITS[2 if index < held else 1 if index < 2 * held else 0]
    return split_of


def decoded_text(path: Path) -> str:
    """Text of a file in UTF-8 or else in cp1252, as older corpora have it. Raises `CorpusError`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Five bytes are not a character of it.
        return data.decode("cp1252", errors="replace")


def check_option(name: str, value: Any, choices: Collection[Any]) -> None:
    """Refuse a value that is none of the choices, with a `CorpusError`."""
    if value not in choices:
        raise CorpusError(f"`{name}` {value!r} is unknown; choose one of {', '.join(map(str, choices))}")


def _common_choices(media: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...], str], ...]:
    words = ", ".join(EMOTION_VALENCE_AROUSAL)
    return (
        ("media", ("auto", *media), "which media the rows name (default: what is there)"),
        ("label_words", ("published", "univa"), f"names of the labels: univa is {words} where it is one of them"),
    )


def _is_pointer(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(len(_POINTER)) == _POINTER
