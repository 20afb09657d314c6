# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Options of `univa adapter-base`: name the Hub repository of a LoRA adapter's base."""

import argparse
from pathlib import Path

from ..options import OptionParser


__all__ = ["add_options", "check"]

_CONFIG = "adapter_config.json"


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    parser.add_argument("adapter", help="adapter folder")
    parser.add_argument("repository", metavar="ORG/NAME", help="where the base was pushed to")
    parser.add_argument("--revision", help="its branch, tag or commit")


def check(options: argparse.Namespace) -> None:
    """Refuse a folder without adapter, before the job is imported."""
    if not Path(options.adapter, _CONFIG).is_file():
        raise ValueError(f"{options.adapter} holds no {_CONFIG}: it is not an adapter.")
