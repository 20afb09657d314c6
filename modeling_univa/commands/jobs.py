# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""What commands that add columns to a corpus have in common."""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from ..features.shards import REJECTED_FILE
from ..features.workers import default_workers
from ..options import OptionParser


__all__ = ["add_job_options", "run_command"]


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
        default=default_workers(),
        help="processes that read media and make light features (default %(default)s, the cores)",
    )
    parser.add_argument("--device", help="where networks run (default: the accelerator, or else the CPU)")
    parser.add_argument("--strict", action="store_true", help="stop at the first bad clip instead of listing it")


def run_command(call: Callable[..., Path], options: argparse.Namespace) -> int:
    """Make the call of a command with its options and say what came of it.

    Returns:
        Exit status 0.
    """
    started = time.perf_counter()
    output = call(**{name: value for name, value in vars(options).items() if name != "run"})
    if int(os.environ.get("RANK", 0)) == 0:
        print(f"wrote {output} in {time.perf_counter() - started:.0f} s")
        rejected = output / REJECTED_FILE
        if rejected.is_file():
            lines = rejected.read_text(encoding="utf-8").splitlines()
            print(f"{len(lines)} rejections are listed in {rejected}; the last: {json.loads(lines[-1])['reason']}")
    return 0
