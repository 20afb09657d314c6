# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""`univa report`: tables and figures of a benchmark, from the predictions of its runs."""

import argparse

from ..benchmark.report import write_report
from ..benchmark.scored import Bootstrap
from ..benchmark.store import RunStore
from ..options import OptionParser


__all__ = ["add_options", "run"]


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
    parser.add_argument("--no-figures", action="store_true", help="tables alone, without matplotlib")


def run(options: argparse.Namespace) -> int:
    """Run it; returns the exit status."""
    bootstrap = Bootstrap(options.draws, options.seed)
    write_report(
        RunStore(options.runs),
        options.output,
        options.split,
        bootstrap,
        not options.no_figures,
        _tell,
        options.case_texts,
    )
    print(f"wrote {options.output}/index.html and report.md")
    return 0


def _tell(line: str) -> None:
    print(line, flush=True)
