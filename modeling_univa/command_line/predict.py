# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The job of `univa predict`: clips in, a table or lines of JSON out, and pictures."""

import argparse
from pathlib import Path

from ..options import OptionParser
from .places import check_clips, check_model


__all__ = ["add_options", "check"]


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    parser.add_argument("model", help="model folder or Hub id")
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="clips (video or sound), folders of them, or sheets (csv, tsv, xlsx)",
    )
    parser.add_argument("--media-root", type=Path, help="folder of the media of sheets (default: the sheet's own)")
    parser.add_argument("--columns", help="of a sheet, which column is what: text=Transcript,video=File,start=From,…")
    parser.add_argument("--encoding", help="of a sheet (default: UTF-8, UTF-16 or cp1252, as its bytes say)")
    parser.add_argument("--separator", help="between cells of a sheet (default: what fits of , ; | and tab)")
    parser.add_argument("--worksheet", help="of a workbook (default: the first that is not empty)")
    parser.add_argument("--utterance", action="append", metavar="ID", help="only this one; may be repeated")
    parser.add_argument("--text", help="transcript of the one clip (default: CLIP.txt beside it, if there is one)")
    parser.add_argument("--transcribe", metavar="MODEL", help="speech recognition model for clips without text")
    parser.add_argument("--audio", type=Path, help="instead of INPUT: sound file")
    parser.add_argument(
        "--faces", type=Path, action="extend", nargs="+", default=[], help="instead of INPUT: image files of the face"
    )
    parser.add_argument("--face-detector", metavar="DETECTOR", help="for videos, if the model names none: haar, …")
    parser.rename_option("--face-reader", "--face-detector")
    for modality in ("text", "audio", "vision"):
        parser.add_argument(f"--{modality}-scorer", metavar="MODEL", help=f"scorer of the {modality}'s VA")
        parser.rename_option(f"--affect-{modality}", f"--{modality}-scorer")
    parser.add_argument("--batch-size", type=int, default=16, help="utterances of a batch (default 16)")
    parser.add_argument("--workers", type=int, help="processes that read several clips (default: the cores)")
    parser.add_argument("--device", help="where to run (default: a GPU where there is one)")
    parser.add_argument(
        "--runtime", choices=("torch", "onnx"), default="torch", help="onnx: what `univa export` wrote, on the CPU"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of bars or a table")
    parser.add_argument(
        "--output", metavar="FILE", help="also write a table: .csv (for spreadsheets), .jsonl or .parquet"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="picture of a clip; of several, FILE-CLIP each")
    parser.add_argument(
        "--draw",
        type=Path,
        metavar="FILE",
        help="video of a clip with the face's box and the emotions; of several clips, a folder",
    )
    parser.add_argument("--strict", action="store_true", help="stop at the first clip that cannot be predicted")


def check(options: argparse.Namespace) -> None:
    """Refuse a model that does not exist, and clips none of which exists, before the job is imported."""
    alone = [file for file in (options.audio, *options.faces) if file is not None]
    if not options.inputs and not alone and options.text is None:
        raise ValueError("Pass clips, a folder of clips, a sheet, or `text`, `audio` or `faces`.")
    check_model(options.model)
    check_clips(options.inputs or alone, tell_each=options.json)
