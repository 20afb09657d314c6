# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Options of `univa merge-adapter`: a LoRA adapter and its base to one whole model."""

import argparse

from ..options import OptionParser
from .places import check_model


__all__ = ["add_options", "check"]


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    parser.add_argument("adapter", help="adapter folder or Hub id")
    parser.add_argument("--revision", help="branch, tag or commit of the adapter on the Hub")
    parser.add_argument("--output", required=True, help="folder to write")


def check(options: argparse.Namespace) -> None:
    """Refuse an adapter that does not exist, before the job is imported."""
    check_model(options.adapter)
