# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A laboratory's sheet and its clips, made in code."""

import csv
import io
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from media_corpora import write_sound
from video_files import write_clip


HEADER = ("Session", "Turn", "Speaker", "Transcript", "Emotions", "File", "Start", "End")


def sheet_rows() -> list[dict[str, Any]]:
    """Two sessions of clips in nested folders, two parts of a long recording, turns from 1 and not in order."""
    rows = [
        ("A", 2, "Zoë", "Nein, gar nicht; wirklich.", "Wut", "zoë_2.mp4", "", ""),
        ("A", 1, "Max", "Schön, dass du da bist!", "Freude, Überraschung", "Max_1.MP4", "", ""),
        ("B", 1, "Max", "Ach so.", "", "c.wav", "", ""),
        ("B", 2, "Ida", "Grüß dich", "Freude", "c.wav", "", ""),
        ("L", 1, "Uwe", "Nun ja.", "Wut", "long.wav", "0:00,5", "00:00:01,25"),
        ("L", 2, "Uwe", "Also gut.", "Freude", "long.wav", "1,5", "2,5"),
    ]
    return [dict(zip(HEADER, row, strict=True)) for row in rows]


def sheet_text(rows: Sequence[dict[str, Any]], separator: str = ";") -> str:
    """The csv of rows."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def write_workbook(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """An xlsx file of rows, behind an empty worksheet."""
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.create_sheet("Daten")
    sheet.append(list(rows[0]))
    for row in rows:
        sheet.append([None if cell == "" else cell for cell in row.values()])
    book.save(path)
    return path


def write_clips(root: Path) -> Path:
    """The media that `sheet_rows` names, in nested folders, an accent in two characters."""
    (root / "clips" / "day 1").mkdir(parents=True)
    (root / "sound").mkdir()
    write_clip(root / "clips" / "day 1" / "Max_1.mp4").rename(root / "clips" / "day 1" / "Max_1.MP4")
    write_clip(root / "clips" / unicodedata.normalize("NFD", "zoë_2.mp4"), seed=1)
    write_sound(root / "sound" / "c.wav", 1)
    write_sound(root / "sound" / "long.wav", 3, seed=1)
    write_sound(root / "sound" / "unnamed.wav", 0.5, seed=2)
    return root


def write_sheet(root: Path) -> Path:
    """The sheet as Excel saves csv in western Europe, beside its media."""
    write_clips(root)
    path = root / "sitzungen.csv"
    path.write_bytes(sheet_text(sheet_rows()).encode("cp1252"))
    return path
