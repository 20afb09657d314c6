# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Options of `univa reproduce`: the runs of a benchmark's tables, from a plan."""

import argparse

from ..options import OptionParser
from ..shipped import named_file, plans
from .benchmark_runs import add_run_options


__all__ = ["add_options", "check"]


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    parser.add_argument("plan", help=f"YAML file, or a plan of the package: {', '.join(plans())}")
    parser.add_argument("--output", default="outputs/benchmark", help="where runs are kept (default %(default)s)")
    add_run_options(parser)
    parser.add_argument(
        "--only", action="extend", nargs="+", default=[], metavar="NAME", help="tables or rows; by default all"
    )
    parser.add_argument("--limit", type=int, help="make at most this many runs")
    parser.add_pairs(
        "--set",
        "keys of recipes for all runs, such as num_train_epochs=1",
        dest="settings",
    )


def check(options: argparse.Namespace) -> None:
    """Refuse a plan that does not exist, before the job is imported."""
    named_file(options.plan, "plan")
