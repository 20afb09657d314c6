# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Anyone's corpus from one sheet: csv or xlsx with columns of any names, and a folder of media."""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from datasets.fingerprint import Hasher

from ..data.group_splits import read_ratios, split_groups
from ..data.label_map import read_pairs
from ..data.media_files import MediaFolder
from ..data.metadata import EMOTION_COLUMNS, VA_CELLS
from ..data.schema import FEATURE_COLUMNS, MEDIA_COLUMNS, TIME_COLUMNS, CorpusError, RowError
from ..data.sheet_columns import SPLIT, ColumnMapping, map_columns
from ..data.sheets import SHEET_SUFFIXES, Record, read_sheet
from ..data.tables import files_of
from ..features.media import sound_of
from ..options import OptionParser
from .metadata_tables import SPLIT_ORDER, in_split_order
from .sheet_options import SheetConfig, add_sheet_options
from .sheet_remarks import remarks
from .sheet_rows import EmotionReader, SheetRow, name_and_order, read_rows, split_names
from .sheet_subtitles import read_subtitles
from .transcripts import Transcripts
from .utterance_folder import UtteranceFolder


__all__ = ["Sheet"]

# What is done about columns that a sheet does not have.
_MADE = {
    "dialogue_id": "A dialogue is what one recording has, or a row by itself",
    "position": "Rows of a dialogue are in the order of their start in its recording, or of the sheet",
    "utterance_id": "An utterance is called by its dialogue and its place in it",
}


class Sheet(UtteranceFolder):
    """Build a corpus from one sheet (csv, tsv or xlsx), a row an utterance, and the media that it names.

    Columns have any names and order, paths may lack their folders. What utterances and dialogues are called, their
    order and the splits are made where the sheet does not have them.
    """

    BUILDER_CONFIG_CLASS = SheetConfig
    SOURCE_HELP = "the sheet: a csv, tsv or xlsx file with one row an utterance"
    HAS_PREVIEW = True

    tables: "_SheetTables"
    _is_preview = False
    _subtitle_files: Sequence[Path] = ()

    @classmethod
    def complete_arguments(cls, arguments: argparse.Namespace) -> None:
        """The sheet is the source of the command line, and the folder of the media that of the builder."""
        source = Path(arguments.source)
        if source.is_dir():
            arguments.sheet = str(_only_sheet(source))
        else:
            arguments.sheet, arguments.source = str(source), str(source.parent)
        if arguments.media_root and not Path(arguments.media_root).is_dir():
            raise CorpusError(f"`media_root` is {arguments.media_root}, which is not a folder")
        arguments.source = str(arguments.media_root or arguments.source)
        arguments.pretty_name = arguments.pretty_name or Path(arguments.sheet).stem

    @classmethod
    def add_arguments(cls, parser: OptionParser) -> None:
        """Add the options of `SheetConfig`."""
        add_sheet_options(parser)
        super().add_arguments(parser)

    def read_tables(self) -> "_SheetTables":
        """The rows of the sheet; what is to be said of them goes to `tell`."""
        path = Path(self.config.sheet) if self.config.sheet else _only_sheet(Path(self.config.source))
        sheet = read_sheet(path, self.config.encoding, self.config.separator, self.config.worksheet)
        mapping = map_columns(sheet.header, self.config.columns, self.config.label_columns)
        self.tell([*sheet.notes, *mapping.notes()])
        media = MediaFolder(Path(self.config.source), self.config.outside_source)
        rows = self._rows_of(sheet.records, mapping, media, path)
        keeps = self.config.keep_empty_text or self.config.transcribe is not None
        tables = _SheetTables(path, self._in_splits(rows, mapping, path), keeps)
        tables.files += self._subtitle_files
        self.notes += [f"{made}." for name, made in _MADE.items() if name not in mapping.columns]
        if self.config.transcribe:
            self.notes.append(f"Text that the sheet lacks is what {_shown(self.config.transcribe)} recognised.")
            if not self._is_preview:
                _ = self._transcripts  # a model that cannot be loaded is refused before the work
        self.tell(
            remarks(
                tables.members, media, rare_below=self.config.rare_below,
                keeps_rows_without_text=self.config.keep_empty_text, transcribes=self.config.transcribe is not None,
            )
        )  # fmt: skip
        self._problems = {
            (split, found.row["utterance_id"]): found.problem
            for split, members in tables.members.items()
            for found in members
            if found.problem
        }
        return tables

    def listed_labels(self) -> list[str] | None:
        """None: a labels.txt beside the media is of another corpus."""
        return None

    def check_labels(self, places: Mapping[str, str]) -> None:
        """As of `UtteranceFolder`; a preview goes on."""
        try:
            super().check_labels(places)
        except CorpusError as error:
            advice = f"{error}; otherwise rename it with `labels_map`"
            if not self._is_preview:
                raise CorpusError(advice) from None
            self.tell([f"This would not be built: {advice}."])

    def check_row(self, split: str, row: Mapping[str, Any]) -> None:
        """Refuse a row whose cells cannot be understood, or whose files are not there."""
        problem = self._problems.get((split, self.original_of(row["utterance_id"])))
        if problem:
            raise RowError(problem)

    def signals(self, split: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """Features that came with the row, and its text where that is transcribed."""
        found = super().signals(split, row)
        sound = sound_of(row) if row["text"] is None else None
        if self.config.transcribe is None or self._is_preview or row["text"] is not None:
            return found
        text = "" if sound is None else self._transcripts.text(sound)
        if not text and not self.config.keep_empty_text:
            raise RowError("there is no text, and no speech was recognised; add the transcript or remove the row")
        return {**found, "text": text or None}

    def preview(self, rows_of_split: int = 3) -> list[str]:
        """As of all builders; nothing is transcribed."""
        self._is_preview = True
        return super().preview(rows_of_split)

    def download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        """As of all builders; the file of transcripts goes when all is built."""
        super().download_and_prepare(*args, **kwargs)
        if "_transcripts" in vars(self):
            self._transcripts.remove()

    @cached_property
    def _transcripts(self) -> Transcripts:
        folder, config = self.partial_folder, self.config
        file = folder.with_name(f"{folder.name}.transcripts.jsonl") if folder is not None else None
        state = Hasher.hash(config.source_state())
        return Transcripts(config.transcribe, Path(config.source), config.outside_source, file, state)

    def _where(self, split: str, number: int, row: Mapping[str, Any]) -> str:
        members = self.tables.members[split]
        where = members[(number - 1) % len(members)].where
        return f"{where} (utterance {row.get('utterance_id')!r})"

    def _rows_of(
        self, records: list[Record], mapping: ColumnMapping, media: MediaFolder, path: Path
    ) -> list[SheetRow]:
        try:
            label_map = read_pairs(self.config.labels_map or "", "labels_map", "label", "joy=happy,glad=happy")
        except ValueError as error:
            raise CorpusError(str(error)) from None
        emotions = EmotionReader(records, mapping, self.config.label_separator, label_map)
        if emotions.separator:
            self.tell([f"Emotions of a cell are separated by {emotions.separator!r}."])
        empty = ", ".join(f"{name} ({count})" for name, count in emotions.empty_cells(records).items())
        if empty:
            self.tell([f"Empty cells count as 0 in columns of one emotion that have 0 too: {empty}."])
        rows = read_rows(records, mapping, emotions, media)
        if self.config.subtitles:
            tiers = [name.strip() for name in (self.config.tiers or "").split(",") if name.strip()]
            subtitles = read_subtitles(Path(self.config.subtitles), self.config.encoding, tiers)
            rows, self._subtitle_files = subtitles.join(rows), list(subtitles.files.values())
            self.tell(subtitles.notes)
        elif self.config.tiers:
            raise CorpusError("`tiers` are those of TextGrids; pass these as `subtitles`")
        return name_and_order(rows, path.stem)

    def _in_splits(self, rows: list[SheetRow], mapping: ColumnMapping, path: Path) -> dict[str, list[SheetRow]]:
        by = self.config.split_by
        if by is None:
            names = split_names(rows, SPLIT_ORDER) if SPLIT in mapping.columns else ["train"] * len(rows)
            if SPLIT not in mapping.columns:
                self.tell(["All rows are in the split train; `split_by` makes validation and test."])
        elif SPLIT in mapping.columns:
            raise CorpusError(
                f"{path} has a column of splits, {mapping.columns[SPLIT]!r}, and `split_by` would make others; drop "
                "it, or pass `columns` split="
            )
        else:
            names = self._dealt(rows, by)
        splits: dict[str, list[SheetRow]] = {split: [] for split in in_split_order(set(names))}
        for name, found in zip(names, rows, strict=True):
            splits[name].append(found)
        return splits

    def _dealt(self, rows: list[SheetRow], by: str) -> list[str]:
        shares = read_ratios(self.config.ratios)
        speakers = [found.row["speaker"] for found in rows] if by == "speaker" else None
        if speakers is not None and None in speakers:
            where = rows[speakers.index(None)].where
            raise CorpusError(f"{where}: no speaker, which `split_by` speaker needs; fill it in, or pass dialogue")
        labels = list(Counter(name for found in rows for name in found.row["emotions"]))
        active = np.array([[name in found.row["emotions"] for name in labels] for found in rows], dtype=bool)
        dialogues = [found.row["dialogue_id"] for found in rows]
        self.notes.append(
            f"Split by {by} with seed {self.config.seed} and shares {self.config.ratios}: no {by} is in two splits, "
            "and each has about its share of every label."
        )
        return split_groups(speakers, dialogues, active.reshape(len(rows), -1), shares, self.config.seed)


class _SheetTables:
    """The rows of a sheet by split; see `Tables`."""

    def __init__(self, path: Path, members: dict[str, list[SheetRow]], keeps: bool):
        self.members = members
        self.splits = dict.fromkeys(members, path.name)
        self.files = [path]
        rows = [found for split in members.values() for found in split]
        self.columns = {
            name
            for name in (*MEDIA_COLUMNS, *TIME_COLUMNS, *FEATURE_COLUMNS)
            if any(found.row.get(name) is not None for found in rows)
        }
        self.columns |= {name for name in (*VA_CELLS, *EMOTION_COLUMNS) if name in rows[0].cells}
        self.transcripts = not keeps and any(found.row["text"] for found in rows)

    def rows(self, split: str) -> Iterator[tuple[str, Mapping[str, str], dict[str, Any]]]:
        """The rows of a split."""
        for found in self.members[split]:
            yield found.where, found.cells, found.row


def _shown(model: str) -> str:
    """A Hub id as it is, of a folder of this machine the name."""
    return Path(model).name if Path(model).exists() else model


def _only_sheet(folder: Path) -> Path:
    # Not .txt, which labels and transcripts have, too.
    found = files_of(folder, *(suffix for suffix in SHEET_SUFFIXES if suffix != ".txt")) if folder.is_dir() else []
    if len(found) != 1:
        listed = f"holds {', '.join(path.name for path in found)}" if found else "holds no sheet"
        raise CorpusError(f"{folder} {listed}; pass the path of one, {', '.join(SHEET_SUFFIXES)}")
    return found[0]


BUILDER = Sheet
