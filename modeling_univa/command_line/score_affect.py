# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Options of `univa score-affect`: valence and arousal of a whole corpus by pretrained scorers."""

import argparse

from ..options import OptionParser
from .jobs import add_job_options
from .places import check_corpus


__all__ = ["add_options", "check"]


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    add_job_options(parser)
    for modality in ("text", "audio", "vision"):
        parser.add_argument(
            f"--{modality}-scorer", metavar="MODEL", help=f"scorer of {modality}: folder, or ID[@REVISION]"
        )
        parser.rename_option(f"--{modality}", f"--{modality}-scorer")
    parser.add_argument(
        "--splits", action="extend", nargs="+", help="only these; VA is used in training alone (default: all)"
    )
    parser.add_argument("--face-detector", metavar="DETECTOR", help="for videos: yunet, haar, …, or JSON settings")
    parser.rename_option("--faces", "--face-detector")
    parser.add_argument("--translate", metavar="MODEL", help="seq2seq model, or deepl, that translates text first")
    parser.add_argument("--source-language", help="language of the text, in the codes of --translate")
    parser.add_argument("--target-language", default="en", help="language of the scorer (default en)")


def check(options: argparse.Namespace) -> None:
    """Refuse a corpus that does not exist, before the job is imported."""
    check_corpus(options.corpus)
