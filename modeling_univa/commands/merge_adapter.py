# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""`univa merge-adapter`: a LoRA adapter and its base to one whole model."""

import argparse

from ..options import OptionParser
from ..sharing.adapters import merge_adapter


__all__ = ["add_options", "run"]


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    parser.add_argument("adapter", help="adapter folder or Hub id")
    parser.add_argument("--revision", help="branch, tag or commit of the adapter on the Hub")
    parser.add_argument("--output", required=True, help="folder to write")


def run(options: argparse.Namespace) -> int:
    """Run it; returns the exit status."""
    print(f"wrote {merge_adapter(options.adapter, options.output, options.revision)}")
    return 0
