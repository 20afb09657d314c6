# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Options of `univa train`: all are left to the job, since which there are depends on the system."""

import argparse
from itertools import takewhile

from ..options import OptionParser
from ..shipped import named_file


__all__ = ["add_options", "check"]


def add_options(parser: OptionParser) -> None:
    """Leave the options to `parse_arguments`, since which there are depends on the system that the recipe names."""
    parser.takes_all = "arguments"


def check(options: argparse.Namespace) -> None:
    """Refuse a recipe that is nowhere, before the job is imported."""
    for recipe in takewhile(lambda argument: not argument.startswith("-"), options.arguments):
        named_file(recipe)
