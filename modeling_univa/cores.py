# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The processor's cores."""

import os


__all__ = ["default_workers"]


def default_workers() -> int:
    """The cores of this process, shared with the other processes of a launcher."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
