# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What lists the rows of anyone's corpus: a csv file a split, or another source of the same rows."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from ..data.corpus import VALIDATION_NAMES
from ..data.metadata import metadata_columns, metadata_rows
from ..data.schema import FEATURE_COLUMNS, CorpusError
from ..data.tables import files_of


__all__ = ["SPLIT_ORDER", "MetadataTables", "Tables", "in_split_order"]

SPLIT_ORDER = ("train", *VALIDATION_NAMES, "test")


class Tables(Protocol):
    """The rows of a corpus, split by split.

    Args:
        splits: For every split what lists its rows, as messages shall name it.
        files: The files that do.
        columns: Which columns of `metadata.KNOWN_COLUMNS` and of features there are.
        transcripts: Whether every row has a text.
    """

    splits: dict[str, str]
    files: list[Path]
    columns: set[str]
    transcripts: bool

    def rows(self, split: str) -> Iterator[tuple[str, Mapping[str, str], dict[str, Any]]]:
        """Of each row where it is, its cells, and what they say, as of `metadata_rows`."""
        raise NotImplementedError


class MetadataTables:
    """Metadata csv files, one a split, in a folder or in `metadata/` of it.

    Args:
        root: The folder.

    Raises:
        CorpusError: There are none, two of one split, or one that cannot be read.
    """

    def __init__(self, root: Path):
        self._files = _metadata_files(root)
        self.splits = {split: path.relative_to(root).as_posix() for split, path in self._files.items()}
        self.files = list(self._files.values())
        self.columns: set[str] = set().union(*(metadata_columns(path, others=FEATURE_COLUMNS) for path in self.files))
        self.transcripts = True

    def rows(self, split: str) -> Iterator[tuple[str, Mapping[str, str], dict[str, Any]]]:
        """The rows of a file."""
        return metadata_rows(self._files[split])


def in_split_order(splits: Iterable[str]) -> list[str]:
    """Training, validation and test first, the others by their names."""
    return sorted(splits, key=lambda split: (SPLIT_ORDER.index(split) if split in SPLIT_ORDER else 9, split))


def _metadata_files(root: Path) -> dict[str, Path]:
    folder = root / "metadata" if (root / "metadata").is_dir() else root
    files: dict[str, Path] = {}
    for path in files_of(folder, ".csv"):
        # Only the usual names are the same in any case.
        split = path.stem.lower() if path.stem.lower() in SPLIT_ORDER else path.stem
        if split in files:
            raise CorpusError(f"{files[split]} and {path} are both the split {split}; keep one of them")
        files[split] = path
    if not files:
        raise CorpusError(f"{folder} has no metadata csv files; add one per split, such as {folder / 'train.csv'}")
    return {split: files[split] for split in in_split_order(files)}
