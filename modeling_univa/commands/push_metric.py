# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""`univa push-metric`: the metric to the Hub."""

import argparse

from ..options import OptionParser
from ..sharing.push import push_metric


__all__ = ["add_options", "run"]


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    parser.add_argument("repository", metavar="ORG/NAME", help="Space; made if it is not there yet")
    parser.add_argument("--private", action="store_true", default=None, help="make it a private one")


def run(options: argparse.Namespace) -> int:
    """Run it; returns the exit status."""
    print(push_metric(options.repository, private=options.private).commit_url)
    return 0
