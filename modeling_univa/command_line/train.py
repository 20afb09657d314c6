# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Options of `univa train`: all are left to the job, since which there are depends on the system."""

import argparse
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from ..options import OptionParser
from ..shipped import named_file
from .places import check_corpus, check_model
from .training_options import check_options, value_of


__all__ = ["add_options", "check"]


def add_options(parser: OptionParser) -> None:
    """Leave the options to `parse_arguments`, since which there are depends on the system that the recipe names."""
    parser.takes_all = "arguments"


def check(options: argparse.Namespace) -> None:
    """Refuse an unknown option, and a recipe, corpus or model that does not exist, before the job is imported."""
    arguments = options.arguments
    recipes = [named_file(name) for name in takewhile(lambda argument: not argument.startswith("-"), arguments)]
    check_options(arguments)
    for option, check_place in (("model", check_model), ("test_dataset", check_corpus)):
        name = value_of(option, arguments)
        if name is not None:
            check_place(name)
    _check_dataset(arguments, [Path(recipe).read_text(encoding="utf-8", errors="replace") for recipe in recipes])


def _check_dataset(arguments: Sequence[str], recipes: Sequence[str]) -> None:
    """Refuse a corpus that does not exist, but for one that a recipe or the command line may build."""
    name = value_of("dataset", arguments)
    if name is None or value_of("corpus_script", arguments) or any(name in recipe for recipe in recipes):
        return
    check_corpus(name)
