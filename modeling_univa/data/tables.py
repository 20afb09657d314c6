# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Read csv and JSON files of a corpus, with errors that name the file and the line."""

import csv
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from .schema import CorpusError


__all__ = ["csv_header", "csv_rows", "read_json", "read_text"]


def read_text(path: Path) -> str:
    """Text of a UTF-8 file, without a byte order mark. Raises `CorpusError`."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: not UTF-8 ({error.reason}); save the file as UTF-8") from None


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises `CorpusError`, also where an object names a key twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            repeated = next(key for key in keys if keys.count(key) > 1)
            raise CorpusError(f"{path}: {repeated!r} is there twice; keep one of them")
        return found

    try:
        loaded = json.loads(read_text(path), object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise CorpusError(f"{path}: not sound JSON ({error}); copy the file again") from None
    if not isinstance(loaded, dict):
        raise CorpusError(f"{path}: expected a JSON object, found {type(loaded).__name__}")
    return loaded


def csv_header(path: Path, required: Collection[str]) -> list[str]:
    """Column names of a csv file. Raises `CorpusError` where one is missing or named twice."""
    header = next(_cells(path), (0, []))[1]
    missing = [name for name in required if name not in header]
    if missing:
        raise CorpusError(f"{path}: no column {missing[0]!r}; the header needs {', '.join(required)}")
    if len(set(header)) != len(header):
        raise CorpusError(f"{path}: a column is named twice in {','.join(header)}; name each once")
    return header


def csv_rows(path: Path, required: Collection[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Where a row is, for messages, and its cells by column; empty lines are passed over. Raises `CorpusError`."""
    header = csv_header(path, required)
    lines = _cells(path)
    next(lines)
    for number, cells in lines:
        where = f"{path}: line {number}"
        if cells and len(cells) != len(header):
            raise CorpusError(f"{where}: {len(cells)} cells, expected {len(header)}; quote cells that hold a comma")
        if cells:
            yield where, dict(zip(header, cells, strict=True))


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for cells in reader:
                yield reader.line_num, cells
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except csv.Error as error:
        raise CorpusError(f"{path}: line {reader.line_num}: not sound csv ({error}); save it as csv again") from None
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: not UTF-8 ({error.reason}); save the file as UTF-8") from None
