# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Emotions of clips, from Python, as pictures, and without PyTorch."""
