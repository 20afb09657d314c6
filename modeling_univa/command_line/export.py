# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Options of `univa export`: a trained model to ONNX."""

import argparse

from ..options import OptionParser
from .places import check_corpus, check_model


__all__ = ["add_options", "check"]


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    parser.add_argument("model", help="model or adapter, folder or Hub id")
    parser.add_argument("--revision", help="branch, tag or commit of a model on the Hub")
    parser.add_argument("--format", choices=("onnx",), help=argparse.SUPPRESS)
    parser.add_argument("--quantize", choices=("int8",), help="to 8-bit numbers: a smaller and less exact model")
    parser.add_argument("--dataset", help="built corpus, folder or Hub id, to score it on before it is written")
    parser.add_argument("--dataset-revision", help="branch, tag or commit of the corpus on the Hub")
    parser.add_argument("--split", help="of the corpus (default validation, valid, val or dev)")
    parser.add_argument("--output", required=True, help="folder to write")


def check(options: argparse.Namespace) -> None:
    """Refuse a model or a corpus that does not exist, before the job is imported."""
    check_model(options.model)
    if options.dataset is not None:
        check_corpus(options.dataset)
