# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: a plan of tables, its runs, and where they are kept."""
