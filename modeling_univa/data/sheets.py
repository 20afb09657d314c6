# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Read one sheet as a spreadsheet program saved it: csv in usual encodings and with usual separators, or xlsx."""

import codecs
import csv
import datetime
import io
import re
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from ..models.limits_univa import LIMITS, check_limit
from .schema import CorpusError


__all__ = ["SHEET_SUFFIXES", "Record", "Sheet", "read_encoded_text", "read_sheet"]

SHEET_SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx", ".xlsm")
_WORKBOOKS = (".xlsx", ".xlsm")
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_NAMED_SEPARATORS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "bar": "|"}
# The mark of UTF-32 begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
# Of the letters of a text in a western language fewer than this share have an accent; where cp1252 shows more, the
# bytes are those of another alphabet.
_MOST_ACCENTS = 0.3
_HINT = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)


@dataclass(frozen=True)
class Record:
    """A row of a sheet.

    Args:
        where: File and line, for messages.
        cells: Text of each column, without blanks around it, accents in one form (NFC).
    """

    where: str
    cells: dict[str, str]


@dataclass(frozen=True)
class Sheet:
    """A sheet that was read.

    Args:
        header: Names of the columns, all different.
        records: Its rows, without the empty ones.
        notes: How it was read, in sentences.
    """

    header: list[str]
    records: list[Record]
    notes: list[str] = field(default_factory=list)


def read_sheet(
    path: Path, encoding: str | None = None, separator: str | None = None, worksheet: str | None = None
) -> Sheet:
    """
    Read a csv, tsv or xlsx file.

    Args:
        path: The file.
        encoding: Of a text file; by default that of its byte order mark, UTF-8, UTF-16, or else cp1252.
        separator: Between the cells of a text file, a character or "tab"; by default what gives all rows as many
            cells as the header.
        worksheet: Which one of a workbook; by default the first that is not empty.

    Raises:
        CorpusError: It cannot be read, has no header or no row, names a column twice, or is ambiguous.
    """
    if path.suffix.lower() not in SHEET_SUFFIXES:
        raise CorpusError(f"{path}: not a sheet; save it as one of {', '.join(SHEET_SUFFIXES)}")
    try:
        check_limit("sheet_size", path.stat().st_size, f"the size of {path}")
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except ValueError as error:
        raise CorpusError(str(error)) from None
    if path.suffix.lower() in _WORKBOOKS:
        if encoding or separator:
            raise CorpusError(f"{path}: a workbook has no `encoding` and no `separator`; drop them")
        lines, notes = _workbook_lines(path, worksheet)
    else:
        if worksheet:
            raise CorpusError(f"{path}: only a workbook has a `worksheet`; drop it")
        lines, notes = _text_lines(path, encoding, separator)
    return _sheet(path, lines, notes)


def _sheet(path: Path, lines: Iterator[tuple[str, list[str]]], notes: list[str]) -> Sheet:
    filled = ((where, _trimmed(cells)) for where, cells in lines if any(cells))
    where, names = next(filled, ("", []))
    if not names:
        raise CorpusError(f"{path}: the sheet is empty; save it with a header and rows")
    header = [name or f"column {place}" for place, name in enumerate(names, start=1)]
    repeated = next((name for name in header if header.count(name) > 1), None)
    if repeated is not None:
        raise CorpusError(f"{path}: the column {repeated!r} is there twice; name each once")
    records = []
    for where, cells in filled:
        if len(cells) > len(header):
            raise CorpusError(
                f"{where}: {len(cells)} cells, expected {len(header)} as in the header; quote cells that hold the "
                "separator, or pass another `separator`"
            )
        plain = (unicodedata.normalize("NFC", cell) for cell in [*cells, *[""] * len(header)])
        records.append(Record(where, dict(zip(header, plain, strict=False))))
        if len(records) > LIMITS["sheet_rows"].most:
            raise CorpusError(f"{where}: more than {LIMITS['sheet_rows'].most:,} rows; split the sheet")
    if not records:
        raise CorpusError(f"{path}: the sheet has a header and no rows; add one row an utterance")
    return Sheet(header, records, notes)


def _text_lines(path: Path, encoding: str | None, separator: str | None) -> tuple[Iterator[Any], list[str]]:
    text, encoding = read_encoded_text(path, encoding)
    hint = _HINT.match(text)
    skipped = 0 if hint is None else 1
    text = text[hint.end() :] if hint else text
    if separator is not None:
        separator = _NAMED_SEPARATORS.get(separator.lower(), separator)
        if len(separator) != 1 or separator in '"\r\n':
            raise CorpusError(f"`separator` {separator!r} is not one character; pass `,` `;` `|` or tab")
    separator = separator or (hint[1] if hint else None) or _separator(path, text)
    lines = ((f"{path.name}: line {number + skipped}", cells) for number, cells in _cells(path, text, separator))
    name = _SEPARATORS.get(separator, repr(separator))
    return lines, [f"{path.name}: read as {encoding}, cells separated by {name}."]


def read_encoded_text(path: Path, encoding: str | None = None) -> tuple[str, str]:
    """
    The text of a file without byte order mark, and its encoding.

    Args:
        path: The file.
        encoding: By default that of its byte order mark, UTF-8, UTF-16, or else cp1252.

    Raises:
        CorpusError: It cannot be read, is not of this encoding, or of none of these.
    """
    try:
        check_limit("sheet_size", path.stat().st_size, f"the size of {path}")
        content = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except ValueError as error:
        raise CorpusError(str(error)) from None
    chosen = encoding or _encoding(path, content)
    try:
        text = content.decode(chosen)
    except LookupError:
        raise CorpusError(f"`encoding` {chosen!r} is unknown; pass one such as utf-8, utf-16 or cp1252") from None
    except UnicodeError as error:
        reason = getattr(error, "reason", error)
        raise CorpusError(f"{path}: not {chosen} ({reason}); pass its `encoding`, or save it as UTF-8") from None
    if "\x00" in text:
        raise CorpusError(
            f"{path}: not a text in {chosen} (it has NUL characters); pass its `encoding`, or save it again"
        )
    return text.removeprefix("\ufeff"), chosen


def _encoding(path: Path, content: bytes) -> str:
    marked = next((name for mark, name in _MARKS.items() if content.startswith(mark)), None)
    if marked is not None:
        return marked
    for parity, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        # Western text in UTF-16 has a zero in every other byte, and no other text has any.
        half = content[parity::2]
        if len(half) > 1 and half.count(0) > 0.5 * len(half):
            return name
    for name in ("utf-8", "cp1252"):
        try:
            text = content.decode(name)
        except UnicodeError:
            continue
        letters = [letter for letter in text if letter.isalpha()]
        accents = sum(letter > "\x7f" for letter in letters)
        if name == "utf-8" or accents <= _MOST_ACCENTS * len(letters):
            return name
    raise CorpusError(f"{path}: neither UTF-8 nor UTF-16 nor cp1252; pass its `encoding`, or save it as UTF-8")


def _separator(path: Path, text: str) -> str:
    """The separator by which the most rows have as many cells as the header, of which there are at least two."""
    shares: dict[str, tuple[float, int]] = {}
    for separator in _SEPARATORS:
        counts = [len(cells) for _, cells in islice(_cells(path, text, separator, strict=False), 1000) if any(cells)]
        if counts and counts[0] > 1:
            # Cells at the end of a row may be left out where they are empty.
            shares[separator] = (sum(count == counts[0] for count in counts) / len(counts), counts[0])
    if not shares:
        return ","
    best = max(shares, key=lambda separator: shares[separator])
    if list(shares.values()).count(shares[best]) > 1:
        names = " and ".join(_SEPARATORS[name] for name, share in shares.items() if share == shares[best])
        raise CorpusError(f"{path}: {names} could both separate the cells; pass `separator`")
    return best


def _cells(path: Path, text: str, separator: str, strict: bool = True) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=strict)
    try:
        for cells in reader:
            yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        reason = "a cell is too long; close its quote" if "field limit" in str(error) else error
        raise CorpusError(f"{path}: line {reader.line_num}: not sound csv ({reason}); save it as csv again") from None


def _trimmed(cells: list[str]) -> list[str]:
    """Cells without the empty ones at the end."""
    last = max(place for place, cell in enumerate(cells) if cell)
    return cells[: last + 1]


def _workbook_lines(path: Path, worksheet: str | None) -> tuple[Iterator[Any], list[str]]:
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise ImportError(f"{path}: a workbook needs openpyxl: pip install 'univa[xlsx]'") from None
    try:
        with zipfile.ZipFile(path) as archive:
            check_limit("sheet_size", sum(part.file_size for part in archive.infolist()), "its unpacked size")
        # Rows as they are asked for, and of a formula the number that the program saved.
        book = load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # a damaged workbook fails in any way, in zip, XML or what stands in it
        raise _damaged(path, error) from None
    names = [sheet.title for sheet in book.worksheets]
    if worksheet is not None and worksheet not in names:
        raise CorpusError(f"{path}: no worksheet {worksheet!r}; there are {', '.join(names)}")
    chosen = worksheet or next((name for name in names if any(any(cells) for _, cells in _rows(path, book, name))), "")
    if not chosen:
        raise CorpusError(f"{path}: the workbook is empty; save it with a header and rows")
    others = f" of {len(names)} (`worksheet` chooses another)" if len(names) > 1 else ""
    return _rows(path, book, chosen), [f"{path.name}: read worksheet {chosen!r}{others}."]


def _rows(path: Path, book: Any, name: str) -> Iterator[tuple[str, list[str]]]:
    sheet = book[name]
    try:
        # The file's claim of how large it is.
        sheet.reset_dimensions()
        for number, values in enumerate(sheet.iter_rows(values_only=True), start=1):
            yield f"{path.name}: row {number}", [_as_text(value).strip() for value in values]
    except Exception as error:  # as above
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> CorpusError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return CorpusError(f"{path}: cannot be read as a workbook ({reason[:200]}); save it as xlsx again")


def _as_text(value: Any) -> str:
    """A cell as a csv would have it; a time of the day or a duration is seconds."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ")
    if isinstance(value, datetime.time):
        value = datetime.timedelta(
            hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond
        )
    if isinstance(value, datetime.timedelta):
        return str(value.total_seconds())
    return str(value)
