# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Options that `univa reproduce` and `univa compare` share: how runs are made."""

from ..options import SLURM_HELP, OptionParser


__all__ = ["JOBS", "add_run_options"]

# Runs at a time by default.
JOBS = {"local": 1, "slurm": 100}


def add_run_options(parser: OptionParser) -> None:
    """Add the options of how runs are made."""
    parser.add_argument(
        "--jobs", type=int, help="runs at a time; on this machine they share the cores (default 1, in Slurm 100)"
    )
    parser.add_argument("--executor", choices=tuple(JOBS), default="local", help="where runs are made")
    parser.add_pairs("--slurm", SLURM_HELP)
    parser.add_argument(
        "--overwrite",
        dest="overwrite_runs",
        choices=("only-missing", "retry-errors", "only-cached", "always"),
        default="only-missing",
        help="which runs are made: those that are missing (the default), those that failed too, none, or all again",
    )
    parser.add_argument("--keep-models", action="store_true", help="keep the trained models beside the predictions")
    parser.add_argument("--dry-run", action="store_true", help="print the runs and how long they take; make none")
