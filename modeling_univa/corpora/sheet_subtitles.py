# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Rows of a sheet about parts of long recordings, joined with the subtitles of these: one utterance a cue."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from ..data.schema import CorpusError
from ..data.sheet_columns import CUE
from ..data.subtitles import SUBTITLE_SUFFIXES, Cue, read_cues
from ..options import counted, verb
from .sheet_rows import SheetRow


__all__ = ["Subtitles", "read_subtitles"]


@dataclass
class Subtitles:
    """Subtitle files of recordings.

    Args:
        cues: By the recording's name without folders and suffix, in small letters.
        files: Where they were read.
    """

    cues: dict[str, list[Cue]]
    files: dict[str, Path]
    notes: list[str] = field(default_factory=list)

    def join(self, rows: Sequence[SheetRow]) -> list[SheetRow]:
        """
        Rows with text and times of their cues, and what became of both in `notes`.

        A recording without subtitles keeps its rows. With a column `cue` a row is that cue, counted from 1. Otherwise
        each cue has the labels of the row that shares most time with it (one without times is about all of the
        recording), and cues that no row touches are left out. Where no row of a recording has times, and there are as
        many as cues, they follow each other.

        Raises:
            CorpusError: Rows without times cannot be told to cues.
        """
        by_recording: dict[str | None, list[SheetRow]] = {}
        for found in rows:
            name = _plain(found.recording) if found.recording else None
            by_recording.setdefault(name if name in self.cues else None, []).append(found)
        joined: dict[int, list[SheetRow]] = {id(found): [found] for found in by_recording.pop(None, [])}
        silent = unused = 0
        for name, members in by_recording.items():
            assert name is not None
            places = _places(members, self.cues[name], self.files[name])
            for place, found in enumerate(members):
                cues = [cue for cue, row in zip(self.cues[name], places, strict=True) if place in row]
                joined[id(found)] = _split(found, cues)
                silent += not cues
            unused += sum(not row for row in places)
        self.notes = [
            f"Subtitles of {counted(len(by_recording), 'recording')} were joined to "
            f"{counted(sum(map(len, by_recording.values())), 'row')}."
        ]
        if unused:
            are, them = verb(unused, "is", "are"), verb(unused, "it", "them")
            self.notes.append(f"{counted(unused, 'cue')} {are} left out, since no row is about {them}.")
        if silent:
            have, stay = verb(silent, "has", "have"), verb(silent, "stays as it is", "stay as they are")
            self.notes.append(f"{counted(silent, 'row')} {have} no cue, and {stay} in the sheet.")
        spare = [self.files[name].name for name in self.cues if name not in by_recording]
        self.notes += [f"Subtitles that no recording of the sheet has: {', '.join(spare[:5])}."] if spare else []
        return [one for found in rows for one in joined[id(found)]]


def read_subtitles(path: Path, encoding: str | None = None, tiers: Sequence[str] = ()) -> Subtitles:
    """
    One subtitle file, or all in a folder, each of the recording of its name.

    Args:
        path: The file or folder.
        encoding, tiers: As of `read_cues`.

    Raises:
        CorpusError: There are none, two of one recording, or one that cannot be read.
    """
    candidates = sorted(path.rglob("*")) if path.is_dir() else [path]
    files: dict[str, Path] = {}
    for file in candidates:
        if file.suffix.lower() in SUBTITLE_SUFFIXES and not file.name.startswith("."):
            name = _plain(file.with_suffix("").name)
            if name in files:
                raise CorpusError(f"{files[name]} and {file} are both subtitles of {file.stem}; keep one of them")
            files[name] = file
    if not files:
        raise CorpusError(f"{path} has no subtitles; pass a file or a folder of {', '.join(SUBTITLE_SUFFIXES)}")
    return Subtitles({name: read_cues(file, encoding, tiers) for name, file in files.items()}, files)


def _places(members: Sequence[SheetRow], cues: Sequence[Cue], file: Path) -> list[set[int]]:
    """For each cue the rows that are about it."""
    if CUE in members[0].cells:
        return _by_number(members, cues, file)
    timed = any(found.row.get("start") is not None or found.row.get("end") is not None for found in members)
    if timed or len(members) == 1:
        return [_nearest(cue, members) for cue in cues]
    if len(members) != len(cues):
        raise CorpusError(
            f"{file} has {len(cues)} cues, and {len(members)} rows without times are about its recording, the first "
            f"in {members[0].where}; add a column start, or a column cue with their numbers"
        )
    return [{place} for place in range(len(cues))]


def _by_number(members: Sequence[SheetRow], cues: Sequence[Cue], file: Path) -> list[set[int]]:
    rows: list[set[int]] = [set() for _ in cues]
    for place, found in enumerate(members):
        cell = found.cells[CUE]
        try:
            number = int(float(cell))
        except (ValueError, OverflowError):
            number = 0
        if 1 <= number <= len(cues):
            rows[number - 1].add(place)
        elif cell:
            found.problem = found.problem or f"cue {cell!r}, expected a number from 1 to {len(cues)} as in {file.name}"
    return rows


def _nearest(cue: Cue, members: Sequence[SheetRow]) -> set[int]:
    shared = [_shared_seconds(cue, found.row) for found in members]
    best = max(shared)
    return {shared.index(best)} if best > 0 else set()


def _shared_seconds(cue: Cue, row: Mapping[str, object]) -> float:
    start, end = row.get("start"), row.get("end")
    first = max(cue.start, start) if isinstance(start, float) else cue.start
    last = min(cue.end, end) if isinstance(end, float) else cue.end
    return last - first


def _split(found: SheetRow, cues: Sequence[Cue]) -> list[SheetRow]:
    """A row for each of its cues."""
    parts = []
    for number, cue in enumerate(cues):
        row = {**found.row, "start": cue.start, "end": cue.end, "text": cue.text}
        row["speaker"] = row["speaker"] or cue.speaker
        if row["utterance_id"] and len(cues) > 1:
            row["utterance_id"] = f"{row['utterance_id']}-{number}"
        parts.append(replace(found, row=row))
    return parts or [found]


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", PurePosixPath(name).name).casefold()
