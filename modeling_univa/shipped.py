# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Files that stand outside this package in the repository, and inside it where it is installed."""

from pathlib import Path


__all__ = ["shipped"]

_PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """
    Where a file or folder of the repository lies, such as "model_card.md".

    Raises:
        FileNotFoundError: neither in the repository nor in the installed package.
    """
    for folder in (_PACKAGE / "shipped_files", _PACKAGE.parent):
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(f"{name} is neither in {_PACKAGE} nor beside it: reinstall univa.")
