# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa train`: train, test and save a model, as a recipe says. `train_hf.py` is the same."""

import argparse
from collections.abc import Sequence

from ..training.arguments import parse_arguments
from ..training.run import run_training
from .failures import run_guarded


__all__ = ["run", "train_main"]


def run(options: argparse.Namespace) -> int:
    """Run it; returns the exit status."""
    return _train(options.arguments, "univa train")


def train_main(arguments: Sequence[str]) -> int:
    """Run `train_hf.py` with these arguments; returns the exit status."""
    return run_guarded("train_hf.py", lambda: _train(arguments, "train_hf.py"))


def _train(arguments: Sequence[str], program: str) -> int:
    run_training(*parse_arguments(arguments, program=program))
    return 0
