# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: a plan of tables, its runs, and where they are kept."""
