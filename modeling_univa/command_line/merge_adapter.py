# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Options of `univa merge-adapter`: a LoRA adapter and its base to one whole model."""

from ..options import OptionParser


__all__ = ["add_options"]


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    parser.add_argument("adapter", help="adapter folder or Hub id")
    parser.add_argument("--revision", help="branch, tag or commit of the adapter on the Hub")
    parser.add_argument("--output", required=True, help="folder to write")
