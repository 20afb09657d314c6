# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Options of `univa demo`: those of `univa train`, which the job reads itself."""

import argparse

from ..options import OptionParser
from .training_options import check_options


__all__ = ["add_options", "check"]


def add_options(parser: OptionParser) -> None:
    """Leave the options to `parse_arguments`."""
    parser.takes_all = "arguments"


def check(options: argparse.Namespace) -> None:
    """Refuse an option that is unknown, before the job is imported."""
    check_options(options.arguments)
