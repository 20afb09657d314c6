# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The options of a corpus from one sheet.

Not beside its builder: `datasets` changes what `Path` is in the module of a builder that was used.
"""

from dataclasses import dataclass
from pathlib import Path

from ..options import OptionParser
from .utterance_folder import UtteranceFolderConfig


__all__ = ["SheetConfig", "add_sheet_options"]


@dataclass
class SheetConfig(UtteranceFolderConfig):
    """Options of `Sheet`.

    Args:
        labels: The emotions in the order of the model's outputs, separated by commas; by default those that occur.
        source: Folder of the media, to which their paths are relative.
        sheet: The csv, tsv or xlsx file; by default the only one in `source`.
        encoding, separator: Of a text file, by default what its bytes say.
        worksheet: Of a workbook, by default the first that is not empty.
        columns: Which column is what, `text=Transcript,video=File`; by default usual names are recognised, and
            `NAME=` switches that off for one.
        label_columns: Columns of one emotion each with 0 or 1, separated by commas.
        label_separator: Between the emotions of a cell, by default the one of `;|,/` that occurs.
        labels_map: Other names of labels, `joy=happy,glad=happy`; `NAME=` leaves a label out.
        split_by: "speaker" or "dialogue", none of which is in two splits; by default a column `split` says it, or all
            rows are for training.
        ratios: Shares of train, validation and test.
        seed: Decides between speakers or dialogues of like size.
        subtitles: SRT, WebVTT or TextGrid file, or a folder of them, each of the recording of its name: an utterance
            is then a cue, with the labels of the row that is about it (`Subtitles.join`).
        tiers: Of TextGrids those with the text, separated by commas; several are speakers.
        transcribe: Speech recognition model (folder or Hub id, `@REVISION`) for rows without text.
        keep_empty_text: Whether rows without text stay though others have one.
        rare_below: A label of fewer rows gets a remark.
    """

    sheet: str | None = None
    encoding: str | None = None
    separator: str | None = None
    worksheet: str | None = None
    columns: str | None = None
    label_columns: str | None = None
    label_separator: str | None = None
    labels_map: str | None = None
    split_by: str | None = None
    ratios: str = "0.7,0.1,0.2"
    seed: int = 0
    subtitles: str | None = None
    tiers: str | None = None
    transcribe: str | None = None
    keep_empty_text: bool = False
    rare_below: int = 10

    def source_state(self) -> list[tuple[str, int, int]]:
        """As of `CorpusConfig`, with sheet and subtitles, which may lie elsewhere."""
        states = [(name, Path(path).stat()) for name, path in self.files().items() if Path(path).exists()]
        return super().source_state() + [(name, state.st_size, state.st_mtime_ns) for name, state in states]

    def files(self) -> dict[str, str]:
        """Sheet and subtitles, by their field."""
        return {name: path for name, path in (("sheet", self.sheet), ("subtitles", self.subtitles)) if path}


def add_sheet_options(parser: OptionParser) -> None:
    """Add the options of `SheetConfig` alone."""
    parser.add_argument("--media-root", type=Path, help="folder of the media (default: that of the sheet)")
    parser.add_argument("--columns", help="which column is what: text=Transcript,video=File,start=Start,…")
    parser.add_argument("--label-columns", help="columns of one emotion each, 0 or 1: Joy,Anger,…")
    parser.add_argument("--label-separator", help="between emotions of a cell (default: what occurs of ; | , /)")
    parser.add_argument("--labels-map", help="other names of labels: joy=happy,glad=happy; NAME= leaves one out")
    parser.add_argument("--split-by", choices=("speaker", "dialogue"), help="what is never in two splits")
    parser.add_argument("--ratios", help="shares of train, validation and test (default 0.7,0.1,0.2)")
    parser.add_argument("--seed", type=int, help="of the order in which they are dealt (default 0)")
    parser.add_argument("--subtitles", help="srt, vtt or TextGrid file, or a folder of them, of long recordings")
    parser.add_argument("--tiers", help="of a TextGrid those with the text; several are speakers: Ann,Ben")
    parser.add_argument("--transcribe", metavar="MODEL", help="speech recognition model for rows without text")
    parser.add_argument("--encoding", help="of a text file (default: UTF-8, UTF-16 or cp1252, as its bytes say)")
    parser.add_argument("--separator", help="between cells of a text file (default: what fits of , ; | and tab)")
    parser.add_argument("--worksheet", help="of a workbook (default: the first that is not empty)")
    parser.add_argument(
        "--keep-empty-text", action="store_true", default=None, help="keep rows without text, for other modalities"
    )
    parser.add_argument("--rare-below", type=int, help="name labels of fewer rows (default 10)")
