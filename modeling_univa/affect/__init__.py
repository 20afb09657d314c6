# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Scorers of valence and arousal: their training, and the VA of labels."""
