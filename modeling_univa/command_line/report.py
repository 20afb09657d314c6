# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Options of `univa report`: tables and figures of a benchmark, from the predictions of its runs."""

import argparse
from pathlib import Path

from ..options import OptionParser


__all__ = ["add_options", "check"]


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    parser.add_argument("runs", help="output folder of `univa reproduce`")
    parser.add_argument("--output", required=True, help="folder for the page, Markdown, tables and figures")
    parser.add_argument("--split", default="test", help="whose rows are scored (default test)")
    parser.add_argument("--draws", type=int, default=10_000, help="of the bootstrap (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default 0)")
    parser.add_argument(
        "--case-texts",
        metavar="CORPUS",
        help="show transcripts of this corpus beside cases, where its licence allows it",
    )
    parser.add_argument(
        "--push", metavar="ORG/NAME", help="push predictions and report to this data set repository; no texts or media"
    )
    parser.add_argument("--private", action="store_true", default=None, help="make the repository a private one")
    parser.add_argument("--license", help="of the repository, for its card")
    parser.add_argument("--no-figures", action="store_true", help="tables alone, without matplotlib")


def check(options: argparse.Namespace) -> None:
    """Refuse a folder that does not exist, before the job is imported."""
    if not Path(options.runs).is_dir():
        raise ValueError(f"`runs` {options.runs} has no plans: pass the output folder of `univa reproduce`.")
