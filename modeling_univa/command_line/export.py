# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Options of `univa export`: a trained model to ONNX."""

import argparse

from ..options import OptionParser


__all__ = ["add_options"]


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
