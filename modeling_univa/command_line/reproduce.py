# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Options of `univa reproduce`: the runs of a benchmark's tables, from a plan."""

from ..options import OptionParser
from ..shipped import plans


__all__ = ["JOBS", "add_options"]

# Runs at a time by default.
JOBS = {"local": 1, "slurm": 100}


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    parser.add_argument("plan", help=f"YAML file, or a plan of the package: {', '.join(plans())}")
    parser.add_argument("--output", default="outputs/benchmark", help="where runs are kept (default %(default)s)")
    parser.add_argument(
        "--jobs", type=int, help="runs at a time; on this machine they share the cores (default 1, in Slurm 100)"
    )
    parser.add_argument("--executor", choices=tuple(JOBS), default="local", help="where runs are made")
    parser.add_argument(
        "--slurm",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="options of Slurm, such as partition=gpu time=4:00:00 gpus=1 cpus_per_task=8 mem=32G",
    )
    parser.add_argument(
        "--overwrite",
        dest="overwrite_runs",
        choices=("only-missing", "retry-errors", "only-cached", "always"),
        default="only-missing",
        help="which runs are made: those that are missing (the default), those that failed too, none, or all again",
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="tables or rows; by default all")
    parser.add_argument("--limit", type=int, help="make at most this many runs")
    parser.add_argument(
        "--set",
        dest="settings",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="keys of recipes for all runs, such as num_train_epochs=1",
    )
    parser.add_argument("--keep-models", action="store_true", help="keep the trained models beside the predictions")
    parser.add_argument("--dry-run", action="store_true", help="print the runs and how long they take; make none")
