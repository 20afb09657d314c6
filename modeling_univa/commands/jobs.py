# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What commands that add columns to a corpus have in common."""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from ..features.shards import REJECTED_FILE
from .shard_tasks import ELSEWHERE, make_elsewhere


__all__ = ["run_command"]


def run_command(name: str, call: Callable[..., Path], options: argparse.Namespace) -> int:
    """Make the call of a command with its options, here or by tasks of a cluster, and say what came of it.

    Args:
        name: Of the sub-command, and of the file of the output that says how it was called.
        call: What does it here.
        options: Of the command.

    Returns:
        Exit status 0.
    """
    started = time.perf_counter()
    output = Path(options.output)
    # What is there already is looked at here: whether it is whole, and of this job.
    if options.executor == "local" or (output / f"{name}.json").exists():
        if options.executor == "local":
            _check_local(options)
        output = call(**{key: value for key, value in vars(options).items() if key not in ("run", *ELSEWHERE)})
    else:
        make_elsewhere(name, options)
    if int(os.environ.get("RANK", 0)) == 0:
        print(f"wrote {output} in {time.perf_counter() - started:.0f} s")
        rejected = output / REJECTED_FILE
        if rejected.is_file():
            lines = rejected.read_text(encoding="utf-8").splitlines()
            print(f"{len(lines)} rejections are listed in {rejected}; the last: {json.loads(lines[-1])['reason']}")
    return 0


def _check_local(options: argparse.Namespace) -> None:
    for place in ("tasks", "slurm", "ray"):
        if getattr(options, place) not in (None, []):
            raise ValueError(f"`{place}` is for other machines, but `executor` is local.")
