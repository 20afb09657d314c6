# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The media files of a folder, and which of them are meant by names that were written down elsewhere."""

import os
import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from ..models.limits_univa import LIMITS
from .schema import CorpusError, RowError


__all__ = ["IMAGE_SUFFIXES", "SOUND_SUFFIXES", "VIDEO_SUFFIXES", "MediaFolder"]

SOUND_SUFFIXES = (
    ".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".wma", ".aif", ".aiff", ".amr",
    ".au", ".snd", ".caf", ".mka", ".w64",
)  # fmt: skip
VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".3gp", ".ts", ".mts",
)  # fmt: skip
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_CANDIDATES_SHOWN = 4


class MediaFolder:
    """The files below a folder, listed once and when they are first needed; hidden ones are not.

    Args:
        root: The folder.
        outside: Whether paths with `..` may lead out of it.
    """

    def __init__(self, root: Path, outside: bool = False):
        self.root = root
        self.outside = outside

    @cached_property
    def files(self) -> list[str]:
        """Their paths, relative to the folder. Raises `CorpusError` where there are too many."""
        return sorted(_files(self.root))

    @cached_property
    def _index(self) -> tuple[dict[str, list[str]], dict[str, list[str]], set[str]]:
        """Files by name, files by name without suffix, and names of folders."""
        by_name: dict[str, list[str]] = {}
        by_stem: dict[str, list[str]] = {}
        all_folders: set[str] = set()
        for file in self.files:
            *folders, name = _parts(file)
            by_name.setdefault(name, []).append(file)
            by_stem.setdefault(PurePosixPath(name).stem, []).append(file)
            all_folders.update(folders)
        return by_name, by_stem, all_folders

    def find(self, name: str, suffixes: Collection[str] = ()) -> str:
        """
        The file that a name stands for, relative to the folder.

        A path that is there is taken as it is. Otherwise case and the Unicode form of accents do not matter, folders
        above the file may be missing or, where they are of another computer, others, and a name without a suffix is
        that of a file with one of `suffixes`.

        Raises:
            RowError: There is no such file, or there are several.
            CorpusError: The folder has too many files.
        """
        path = name.replace("\\", "/")
        if self._is_there(path):
            return PurePosixPath(path).as_posix()
        wanted = _parts(path)
        if not wanted:
            raise RowError(f"{name!r} names no file; correct the path")
        by_name, by_stem, _ = self._index
        found = by_name.get(wanted[-1], [])
        found = found or [
            file for file in by_stem.get(wanted[-1], []) if PurePosixPath(file).suffix.lower() in suffixes
        ]
        found = self._nearest(found, wanted[:-1])
        if not found:
            raise RowError(f"{name!r} is not in the folder of the media; correct the path, or pass `media_root`")
        if len(found) > 1:
            more = f" and {len(found) - _CANDIDATES_SHOWN} more" if len(found) > _CANDIDATES_SHOWN else ""
            listed = ", ".join(found[:_CANDIDATES_SHOWN]) + more
            raise RowError(f"{name!r} could be {listed}; write the folder before it")
        return found[0]

    def unnamed(self, named: Collection[str], suffixes: Collection[str]) -> list[str]:
        """Files with one of some suffixes that are not among `named`."""
        known = set(named)
        return [file for file in self.files if PurePosixPath(file).suffix.lower() in suffixes and file not in known]

    def _is_there(self, path: str) -> bool:
        parts = PurePosixPath(path).parts
        if PurePosixPath(path).is_absolute() or (".." in parts and not self.outside):
            return False
        try:
            return bool(parts) and (self.root / path).is_file()
        except (OSError, ValueError):  # a name that no file can have
            return False

    def _nearest(self, files: Sequence[str], folders: Sequence[str]) -> list[str]:
        """Of files of one name those in the folders that most of `folders` are the end of."""
        counts = [_shared_end(_parts(file)[:-1], folders) for file in files]
        most = max(counts, default=0)
        if not most and folders and folders[-1] in self._index[2]:
            return []  # the folder is there, and the file is not in it
        return [file for file, count in zip(files, counts, strict=True) if count == most]


def _files(root: Path) -> Iterator[str]:
    count = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            count += 1
            if count > LIMITS["sheet_rows"].most:
                raise CorpusError(f"{root} has more than {count - 1:,} files; pass the folder of the media")
            path = Path(folder, name).relative_to(root).as_posix()
            # What is not UTF-8 cannot be written to a corpus.
            if not name.startswith(".") and path.isprintable():
                yield path


def _parts(path: str) -> list[str]:
    """Folders and name without regard to case and the form of accents."""
    plain = unicodedata.normalize("NFC", unicodedata.normalize("NFC", path.strip()).casefold())
    return [part for part in plain.split("/") if part not in ("", ".", "..") and not re.fullmatch(r"\w:", part)]


def _shared_end(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for left, right in zip(reversed(one), reversed(other), strict=False):
        if left != right:
            break
        count += 1
    return count
