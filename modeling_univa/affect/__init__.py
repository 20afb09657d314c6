# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Valence and arousal of words, text, speech and faces: scorers, their training, translation."""
