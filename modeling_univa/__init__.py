# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""UniVA as a Hugging Face citizen: multimodal multi-label emotion recognition driven by valence and arousal."""

from importlib.metadata import PackageNotFoundError, version


try:
    __version__ = version("univa")
except PackageNotFoundError:  # a source tree that was not installed
    __version__ = "0+unknown"
