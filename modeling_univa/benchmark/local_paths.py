# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Text for others: folders of this machine are left out of it."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any


__all__ = ["without_folders"]

# What comes before a path. A slash after a letter or a pattern, as in ORG/NAME, w/o and *.wav/x, does not start one.
_BEFORE = r"(?<![\w./~*%+)\]}-])(?:file://)?"
_PART = r"[^\s/\\'\"`,;:()<>|]+"
_PLACE = re.compile(rf"{_BEFORE}(?:(?:~[\w.-]*|\.{{1,2}})?/|[A-Za-z]:[/\\])(?:{_PART}[/\\])*({_PART})[/\\]?")


def without_folders(value: Any) -> Any:
    """
    Text, or whatever a JSON file holds, with nothing but the last part of every path of this machine.

    Args:
        value: keys of mappings stay as they are.
    """
    if isinstance(value, str):
        return _PLACE.sub(r"\1", _own_folders().sub("", value))
    if isinstance(value, Mapping):
        return {name: without_folders(one) for name, one in value.items()}
    return [without_folders(one) for one in value] if isinstance(value, list | tuple) else value


def _own_folders() -> re.Pattern[str]:
    """Folders whose names may have spaces, which end a path in a sentence."""
    known = sorted({os.getcwd(), str(Path.home())} - {os.sep}, key=len, reverse=True)
    return re.compile(rf"{_BEFORE}(?:{'|'.join(map(re.escape, known)) or '(?!)'})[/\\]")
