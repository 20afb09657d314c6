# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa adapter-base`: name the Hub repository of a LoRA adapter's base."""

import argparse

from ..sharing.adapters import AdapterBase, set_adapter_base


__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Run it; returns the exit status."""
    set_adapter_base(options.adapter, AdapterBase(options.repository, options.revision))
    print(f"{options.adapter} is an adapter of {options.repository}")
    return 0
