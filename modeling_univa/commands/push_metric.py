# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa push-metric`: the metric to the Hub."""

import argparse

from ..sharing.push import push_metric


__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Run it; returns the exit status."""
    print(push_metric(options.repository, private=options.private).commit_url)
    return 0
