# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Options that jobs over a corpus share."""

from pathlib import Path

from ..cores import default_workers
from ..options import SLURM_HELP, OptionParser


__all__ = ["add_job_options"]


def add_job_options(parser: OptionParser) -> None:
    """Add the options that jobs over a corpus share."""
    parser.add_argument("corpus", help="corpus folder that `univa build` made, or its Hub id")
    parser.add_argument("--output", required=True, help="corpus folder to make, or to go on with")
    parser.add_argument("--media-root", type=Path, help="folder that the corpus was built from")
    parser.add_argument(
        "--outside-media-root", action="store_true", help="also read files elsewhere that the corpus or links name"
    )
    parser.add_argument("--batch-size", type=int, default=16, help="clips that are worked on together (default 16)")
    parser.add_argument("--shard-rows", type=int, default=256, help="rows of an output file (default 256)")
    parser.add_argument(
        "--workers",
        type=int,
        help=f"processes that read media and make light features (default {default_workers()}, the cores; of a task "
        "elsewhere those of the task)",
    )
    parser.add_argument("--device", help="where networks run (default: the accelerator, or else the CPU)")
    parser.add_argument("--strict", action="store_true", help="stop at the first bad clip instead of listing it")
    parser.add_argument(
        "--executor", choices=("local", "slurm", "ray"), default="local", help="where shards are made (default: here)"
    )
    parser.add_argument("--tasks", type=int, help="jobs of Slurm or tasks of Ray that make shards (default 4)")
    parser.add_pairs("--slurm", SLURM_HELP)
    parser.add_pairs("--ray", "of a task of Ray: cpus=4 gpus=1")
