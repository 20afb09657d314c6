# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Read csv, JSON and text files of a corpus, with errors that name the file and the line."""

import codecs
import csv
import json
import re
from collections.abc import Collection, Generator, Iterator
from pathlib import Path
from typing import Any

from ..models.limits_univa import LIMITS
from .schema import CorpusError


__all__ = ["csv_header", "csv_rows", "files_of", "read_json", "read_seconds", "read_text"]

# What spreadsheets of various countries put between cells; the first one that fits is taken.
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
# A byte order mark says which of these a file is in; without one it is UTF-8.
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d+$)", re.ASCII)
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d{1,2}(?:[.,]\d*)?)", re.ASCII)

# The limit of the csv module is one of the whole process.
csv.field_size_limit(max(csv.field_size_limit(), int(LIMITS["characters"].most)))


def files_of(folder: Path, *suffixes: str) -> list[Path]:
    """Files of a folder with one of some suffixes, in any case, in order; hidden ones (`._train.csv`) are none.

    A folder or a broken link of such a name is one as well, which its reader refuses, so that none is passed over.
    """
    return [
        path for path in sorted(folder.iterdir()) if path.suffix.lower() in suffixes and not path.name.startswith(".")
    ]


def read_text(path: Path) -> str:
    """Text of a file in UTF-8, or in UTF-16 with a byte order mark; without the mark. Raises `CorpusError`."""
    try:
        return path.read_text(encoding=_encoding(path))
    except OSError as error:
        raise _unreadable(path, error) from None
    except UnicodeError as error:
        raise _not_unicode(path, error) from None


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
    except RecursionError:
        raise CorpusError(f"{path}: not sound JSON (nested too deeply); copy the file again") from None
    if not isinstance(loaded, dict):
        raise CorpusError(f"{path}: expected a JSON object, found {type(loaded).__name__}")
    return loaded


def csv_header(path: Path, required: Collection[str]) -> list[str]:
    """Column names of a csv file. Raises `CorpusError` where one is missing or named twice."""
    return _checked_header(path, required)[0]


def csv_rows(path: Path, required: Collection[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """
    Where a row is, for messages, and its cells by column; empty lines are passed over.

    Cells are separated by commas, semicolons or tabs, whichever gives the header the required columns.

    Raises:
        CorpusError: The file cannot be read, lacks a column, or has a line of another number of cells.
    """
    header, delimiter = _checked_header(path, required)
    lines = _cells(path, delimiter)
    next(lines)
    for number, cells in lines:
        where = f"{path}: line {number}"
        if cells and len(cells) != len(header):
            separator = _DELIMITERS[delimiter]
            raise CorpusError(
                f"{where}: {len(cells)} cells, expected {len(header)}; quote cells that hold a {separator}"
            )
        if cells:
            yield where, dict(zip(header, cells, strict=True))


def read_seconds(cell: str) -> float | str | None:
    """
    A time as people write it: 83.5, 83,5, 1:23.5, 00:01:23 or 0:01:23,5.

    Returns:
        Seconds; `None` for an empty cell; what is not a time as it is, for the row's check to report.
    """
    cell = cell.strip()
    clock = _CLOCK.fullmatch(cell)
    if clock is not None:
        hours, minutes, seconds = int(clock[1] or 0), int(clock[2]), float(clock[3].replace(",", "."))
        fits = seconds < 60 and (minutes < 60 or clock[1] is None)
        return 3600 * hours + 60 * minutes + seconds if fits else cell
    try:
        return float(_DECIMAL_COMMA.sub(".", cell)) if cell else None
    except ValueError:
        return cell


def _checked_header(path: Path, required: Collection[str]) -> tuple[list[str], str]:
    header, delimiter = _header(path, required)
    missing = [name for name in required if name not in header]
    if missing:
        raise CorpusError(f"{path}: no column {missing[0]!r}; the header needs {', '.join(required)}")
    if len(set(header)) != len(header):
        raise CorpusError(f"{path}: a column is named twice in {','.join(header)}; name each once")
    return header, delimiter


def _header(path: Path, required: Collection[str]) -> tuple[list[str], str]:
    """The names in the first line, and what separates them: that by which most of the required ones are there.

    By which most names are there, if that tells nothing.
    """
    found = {delimiter: _first_line(path, delimiter) for delimiter in _DELIMITERS}
    best = max(found, key=lambda name: (len(set(required).intersection(found[name])), len(found[name])))
    return found[best], best


def _first_line(path: Path, delimiter: str) -> list[str]:
    lines = _cells(path, delimiter, strict=False)
    try:
        return [name.strip() for name in next(lines, (0, []))[1]]
    finally:
        lines.close()


def _cells(path: Path, delimiter: str, strict: bool = True) -> Generator[tuple[int, list[str]], None, None]:
    try:
        with open(path, encoding=_encoding(path), newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=strict)
            for cells in reader:
                yield reader.line_num, cells
    except OSError as error:
        raise _unreadable(path, error) from None
    except csv.Error as error:
        line = reader.line_num
        if "field limit" in str(error):
            most = f"more than {csv.field_size_limit():,} characters"
            raise CorpusError(
                f"{path}: line {line}: a cell has {most}; close its quote, or {LIMITS['characters'].advice}"
            ) from None
        raise CorpusError(f"{path}: line {line}: not sound csv ({error}); save it as csv again") from None
    except UnicodeError as error:
        raise _not_unicode(path, error) from None


def _encoding(path: Path) -> str:
    with open(path, "rb") as file:
        start = file.read(3)
    return next((name for mark, name in _MARKS.items() if start.startswith(mark)), "utf-8")


def _unreadable(path: Path, error: OSError) -> CorpusError:
    return CorpusError(f"{path}: cannot be read ({error.strerror}); check the path")


def _not_unicode(path: Path, error: UnicodeError) -> CorpusError:
    return CorpusError(f"{path}: not UTF-8 ({getattr(error, 'reason', error)}); save the file as UTF-8")
