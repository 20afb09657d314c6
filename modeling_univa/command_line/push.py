# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Options of `univa push`: a saved folder, model or corpus, to the Hub."""

import argparse
from pathlib import Path

from ..options import OptionParser


__all__ = ["add_options", "check"]


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    parser.add_argument("folder", help="folder that training wrote, or `save_pretrained` of model and processor")
    parser.add_argument("repository", metavar="ORG/NAME", help="repository; made if it is not there yet")
    parser.add_argument("--private", action="store_true", default=None, help="make it a private one")
    parser.add_argument(
        "--revision", metavar="BRANCH", help="branch, made from main if it is not there (default main)"
    )
    parser.add_argument("--create-pr", action="store_true", help="open a pull request instead")
    parser.add_argument("--message", default="Upload model", help="commit message (default: Upload model)")


def check(options: argparse.Namespace) -> None:
    """Refuse a folder that does not exist, before the job is imported."""
    if not Path(options.folder).is_dir():
        raise ValueError(f"There is no folder {options.folder}.")
