# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The rows of a sheet as rows of a corpus: emotions, times, media, and names and order where the sheet has none."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from ..data.media_files import IMAGE_SUFFIXES, SOUND_SUFFIXES, VIDEO_SUFFIXES, MediaFolder
from ..data.metadata import VA_CELLS, metadata_row
from ..data.schema import FEATURE_COLUMNS, CorpusError, RowError
from ..data.sheet_columns import FILE, SPLIT, ColumnMapping
from ..data.sheets import Record
from ..options import nearest


__all__ = ["EmotionReader", "SheetRow", "name_and_order", "read_rows", "split_names"]

_LABEL_SEPARATORS = ";|,/"
_YES = {"1", "1.0", "1,0", "true", "yes", "y", "x"}
_NO = {"", "0", "0.0", "0,0", "false", "no", "n"}
_SUFFIXES = {
    "audio": SOUND_SUFFIXES + VIDEO_SUFFIXES, "video": VIDEO_SUFFIXES, FILE: VIDEO_SUFFIXES + SOUND_SUFFIXES,
    "faces": IMAGE_SUFFIXES,
}  # fmt: skip
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)


@dataclass
class SheetRow:
    """A row of a sheet.

    Args:
        where: File and line, for messages.
        cells: Text by column of a corpus.
        row: What it says, as of `metadata_rows`.
        spelled: Its emotions as they are written, before labels are mapped.
        problem: Why it cannot be used, if it cannot.
    """

    where: str
    cells: dict[str, str]
    row: dict[str, Any]
    spelled: list[str] = field(default_factory=list)
    problem: str | None = None

    @property
    def recording(self) -> str | None:
        """The file with its sound, or else its video, without the suffix."""
        found = self.row.get("audio") or self.row.get("video") or self.cells.get(FILE)
        found = found or self.cells.get("audio") or self.cells.get("video")
        return PurePosixPath(found.replace("\\", "/")).with_suffix("").as_posix() if found else None


class EmotionReader:
    """Reads the emotions of rows.

    Args:
        records: All rows, whose cells tell what separates labels.
        mapping: Where the emotions are.
        separator: Between the labels of a cell; by default the one that occurs.
        label_map: Label by label of the sheet; the empty string for one that is left out.

    Raises:
        CorpusError: Several separators occur, or no column has emotions.
    """

    def __init__(
        self, records: Sequence[Record], mapping: ColumnMapping, separator: str | None, label_map: Mapping[str, str]
    ):
        self._column = mapping.columns.get("emotions")
        self._labels = mapping.labels
        if self._column is None and not self._labels:
            raise CorpusError(
                f"no column of emotions was recognised among {', '.join(mapping.unused)}; pass `columns` "
                "emotions=NAME, or `label_columns` with one column for each emotion"
            )
        self._map = label_map
        cells = [record.cells[self._column] for record in records] if self._column else []
        #: What separates labels, if anything does.
        self.separator = separator or _label_separator(cells)
        self._mapped: set[str] = set()

    def read(self, record: Record) -> tuple[list[str], list[str]]:
        """The emotions of a row as they are written, and after mapping. Raises `RowError`."""
        spelled = [name for name in self._labels if _is_active(record.cells[name], name)]
        if self._column is not None:
            cell = record.cells[self._column]
            parts = cell.split(self.separator) if self.separator else [cell]
            spelled += [" ".join(part.split()) for part in parts if part.strip()]
        self._mapped.update(spelled)
        mapped = [self._map.get(name, name) for name in spelled]
        return spelled, list(dict.fromkeys(name for name in mapped if name))

    def empty_cells(self, records: Sequence[Record]) -> dict[str, int]:
        """
        How many cells are empty in each column of one emotion that has 0 too, and so a sign of its own for "no".

        A column of 1 and nothing is a way to write down what is there; in one of 1, 0 and nothing the empty cells may
        be what was not annotated.
        """
        found = {}
        for name in self._labels:
            cells = Counter(record.cells[name].lower() for record in records)
            if cells[""] and any(cells[sign] for sign in _NO if sign):
                found[name] = cells[""]
        return found

    def check_map(self) -> None:
        """Refuse a map with a label that no row has, with a `CorpusError`."""
        unknown = next((name for name in self._map if name not in self._mapped), None)
        if unknown is not None:
            raise CorpusError(
                f"`labels_map` names the label {unknown!r}, which no row has{nearest(unknown, self._mapped)}; the "
                f"labels are {', '.join(sorted(self._mapped))}"
            )


def read_rows(
    records: Iterable[Record], mapping: ColumnMapping, emotions: EmotionReader | None, media: MediaFolder
) -> list[SheetRow]:
    """The rows of a sheet, in its order, without names and positions that it does not have.

    Without a reader of emotions there are none.
    """
    rows = []
    for record in records:
        cells = {name: record.cells[column] for name, column in mapping.columns.items()}
        for name in VA_CELLS:
            if _DECIMAL_COMMA.fullmatch(cells.get(name, "")):
                cells[name] = cells[name].replace(",", ".")
        given = {name: cell for name, cell in cells.items() if name not in ("position", FILE)}
        row = metadata_row({"utterance_id": "", "dialogue_id": "", "text": "", **given}, record.where)
        found = SheetRow(record.where, cells, row)
        row |= {"text": row["text"] or None, "emotions": []}
        try:
            if emotions is not None:
                found.spelled, row["emotions"] = emotions.read(record)
            _find_media(found, media)
        except RowError as error:
            found.problem = str(error)
        rows.append(found)
    if emotions is not None:
        emotions.check_map()
    return rows


def _find_media(found: SheetRow, media: MediaFolder) -> None:
    """Replace what the cells name by the paths of files. Raises `RowError`."""
    row, cell = found.row, found.cells.get(FILE)
    named = {name: row[name] for name in ("audio", "video", "faces", *FEATURE_COLUMNS) if row.get(name)}
    # Nothing that leads elsewhere stays, should there be no such file.
    row.update(dict.fromkeys(named))
    if cell:
        path = media.find(cell, _SUFFIXES[FILE])
        kind = "audio" if PurePosixPath(path).suffix.lower() in SOUND_SUFFIXES else "video"
        row[kind] = path
    for name, value in named.items():
        suffixes = _SUFFIXES.get(name, ())
        row[name] = [media.find(one, suffixes) for one in value] if name == "faces" else media.find(value, suffixes)


def name_and_order(rows: Sequence[SheetRow], stem: str) -> list[SheetRow]:
    """
    Rows with utterance_id, dialogue_id and position, dialogue by dialogue in the order of their first rows.

    A row without dialogue_id is of the dialogue of its recording; without recording it is one by itself, named by its
    utterance_id or by `stem` and its number. Rows of a dialogue are in the order of `position`; without it, where all
    are parts of one recording, of their start; or else of the sheet. A row without utterance_id is called by its
    dialogue and its position.

    Raises:
        CorpusError: A position is not a number.
    """
    dialogues: dict[str, list[SheetRow]] = {}
    for number, found in enumerate(rows, start=1):
        alone = found.row["utterance_id"] or f"{stem}-{number:05d}"
        name = found.row["dialogue_id"] = found.row["dialogue_id"] or found.recording or alone
        dialogues.setdefault(name, []).append(found)
    ordered = []
    for name, members in dialogues.items():
        for position, found in enumerate(_in_order(members)):
            found.row["position"] = position
            found.row["utterance_id"] = found.row["utterance_id"] or f"{name}-{position}"
            ordered.append(found)
    return ordered


def _in_order(members: list[SheetRow]) -> list[SheetRow]:
    if "position" in members[0].cells:
        return sorted(members, key=_position)
    starts = [found.row.get("start") for found in members]
    one_recording = len({found.recording for found in members}) == 1 and members[0].recording is not None
    if one_recording and all(isinstance(start, float) for start in starts):
        return sorted(members, key=lambda found: found.row["start"])
    return members


def _position(found: SheetRow) -> float:
    cell = found.cells["position"]
    try:
        return float(cell.replace(",", "."))
    except ValueError:
        raise CorpusError(
            f"{found.where}: position {cell!r} is not a number; correct it, or pass `columns` position= to take the "
            "order of the rows"
        ) from None


def split_names(rows: Sequence[SheetRow], usual: Sequence[str]) -> list[str]:
    """The split of each row as its column says; the usual names in any case."""
    names = []
    for found in rows:
        name = found.cells[SPLIT]
        if not name:
            raise CorpusError(f"{found.where}: the split is empty; fill it in for every row")
        names.append(name.lower() if name.lower() in usual else name)
    return names


def _label_separator(cells: Iterable[str]) -> str | None:
    occurring = [sign for sign in _LABEL_SEPARATORS if any(sign in cell for cell in cells)]
    if len(occurring) > 1:
        named = " and ".join(map(repr, occurring))
        raise CorpusError(f"emotions hold {named}, which could both separate labels; pass `label_separator`")
    return occurring[0] if occurring else None


def _is_active(cell: str, name: str) -> bool:
    if cell.lower() not in _YES | _NO:
        raise RowError(f"the column {name!r} has {cell!r}, expected 1 where the emotion is there, or else 0")
    return cell.lower() in _YES
