# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa merge-adapter`: a LoRA adapter and its base to one whole model."""

import argparse

from ..sharing.adapters import merge_adapter


__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Run it; returns the exit status."""
    print(f"wrote {merge_adapter(options.adapter, options.output, options.revision)}")
    return 0
