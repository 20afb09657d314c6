# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Options of `univa complete`: attach feature extractors to a model trained on precomputed features."""

import argparse

from ..options import OptionParser
from .places import check_model


__all__ = ["add_options", "check"]


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    parser.add_argument("model", help="model folder or Hub id")
    parser.add_argument("--revision", help="branch, tag or commit of a model on the Hub")
    parser.add_argument("--audio-extractor", metavar="NAME", help="speech encoder (folder or Hub id), or settings")
    parser.add_argument("--vision-extractor", metavar="NAME", help="face embedding network, or settings")
    parser.add_argument("--face-emotions", metavar="NAME", help="what tells expressions, for a model that reads them")
    parser.add_argument("--text-extractor", metavar="FILE", help="file of word vectors in GloVe's format")
    parser.add_argument(
        "--text-words", type=int, metavar="N", help="copy the N most frequent words (default: the file stays outside)"
    )
    parser.add_argument("--face-detector", metavar="DETECTOR", help="for videos: yunet, haar, …, or JSON settings")
    parser.rename_option("--faces", "--face-detector")
    parser.add_argument("--output", help="folder to write (default: the model's own)")


def check(options: argparse.Namespace) -> None:
    """Refuse a model that does not exist, before the job is imported."""
    check_model(options.model)
