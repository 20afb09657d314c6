# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A corpus that is made up here, of drawn faces and synthesised speech."""

from .corpus import Demo, DemoConfig, write_demo_corpus


__all__ = ["BUILDER", "Demo", "DemoConfig", "write_demo_corpus"]

BUILDER = Demo
