# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Options of `univa extract`: features of a whole corpus from its raw media."""

import argparse

from ..options import OptionParser
from .jobs import add_job_options
from .places import check_corpus


__all__ = ["add_options", "check"]


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    add_job_options(parser)
    parser.add_argument("--audio-extractor", metavar="NAME", help="log-mel, JSON settings, or a speech encoder")
    parser.add_argument("--vision-extractor", metavar="NAME", help="hog, JSON settings, or a face embedding network")
    parser.add_argument(
        "--face-emotions", metavar="NAME", help="mini-xception, JSON, or an image classifier: expressions of the faces"
    )
    parser.add_argument("--text-extractor", metavar="FILE", help="file of word vectors in GloVe's format")
    parser.add_argument("--face-detector", metavar="DETECTOR", help="for videos: yunet, haar, …, or JSON settings")
    parser.rename_option("--faces", "--face-detector")
    parser.add_argument("--dtype", choices=("auto", "float32", "float16", "bfloat16"), help="precision of networks")


def check(options: argparse.Namespace) -> None:
    """Refuse a corpus that does not exist, before the job is imported."""
    check_corpus(options.corpus)
