# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Emotions of clips, from Python, as pictures, and without PyTorch."""
