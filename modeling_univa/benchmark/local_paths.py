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
_START = r"(?:(?:~[\w.-]*|\.{1,2})?/|[A-Za-z]:[/\\])"
_PLACE = re.compile(rf"{_BEFORE}{_START}(?:{_PART}[/\\])*({_PART})[/\\]?")
# In quotes blanks are a part of it, unless another path or an option comes behind one.
_QUOTED = re.compile(rf"(?P<quote>['\"`])(?:file://)?{_START}(?P<path>(?:(?!\s[-/~]|\1)[^\n])+)(?P=quote)")
# Up to where a path without quotes may reach, with blanks in it.
_REACH = re.compile(rf"{_BEFORE}(?P<path>/[^\n\\'\"`,;()<>|]+)")

_MOST_WORDS = 40


def without_folders(value: Any) -> Any:
    """
    Text, or whatever a JSON file holds, with nothing but the last part of every path of this machine.

    Args:
        value: keys of mappings stay as they are.
    """
    if isinstance(value, str):
        value = _QUOTED.sub(_last_of_quoted, _own_folders().sub("", value))
        return _PLACE.sub(r"\1", _REACH.sub(_last_where_it_is, value))
    if isinstance(value, Mapping):
        return {name: without_folders(one) for name, one in value.items()}
    return [without_folders(one) for one in value] if isinstance(value, list | tuple) else value


def _last_of_quoted(found: re.Match[str]) -> str:
    last = re.split(r"[/\\]", found["path"].rstrip("/\\"))[-1]
    return f"{found['quote']}{last}{found['quote']}"


def _last_where_it_is(found: re.Match[str]) -> str:
    """Of a path with blanks the last part, where it can be told by what lies on this machine."""
    words = found["path"].split(" ")
    ends = [" ".join(words[: count + 1]) for count in range(1, min(len(words), _MOST_WORDS))]
    known = [end for end in ends if os.path.exists(end.rstrip(".:"))]
    # A file that is missing, in a folder that is there.
    within = [end for end in ends if " " in os.path.dirname(end) and os.path.isdir(os.path.dirname(end))]
    chosen = known[-1] if known else max(within, key=lambda end: len(os.path.dirname(end)), default=None)
    if chosen is None:
        return found[0]
    return os.path.basename(chosen.rstrip("/")) + found["path"][len(chosen) :]


def _own_folders() -> re.Pattern[str]:
    """Folders whose names may have spaces, which end a path in a sentence."""
    known = sorted({os.getcwd(), str(Path.home())} - {os.sep}, key=len, reverse=True)
    return re.compile(rf"{_BEFORE}(?:{'|'.join(map(re.escape, known)) or '(?!)'})[/\\]")
