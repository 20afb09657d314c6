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


__all__ = ["run_command"]


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
