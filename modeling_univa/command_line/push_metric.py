# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Options of `univa push-metric`: the metric to the Hub."""

from ..options import OptionParser


__all__ = ["add_options"]


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    parser.add_argument("repository", metavar="ORG/NAME", help="Space; made if it is not there yet")
    parser.add_argument("--private", action="store_true", default=None, help="make it a private one")
