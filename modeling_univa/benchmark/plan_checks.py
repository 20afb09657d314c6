# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Checks of what a plan holds; each raises a `ValueError` that says where, without the name of the plan."""

from collections.abc import Collection, Iterable
from typing import Any

from ..options import nearest


__all__ = ["check_known", "checked_mapping", "checked_names"]


def check_known(names: Iterable[Any], known: Collection[str], where: str) -> None:
    """Refuse a name that is not known, with the nearest that is."""
    for name in map(str, names):
        if name not in known:
            hint = nearest(name, known) or f"; there are {', '.join(known)}"
            raise ValueError(f"{where} has the unknown key {name!r}{hint}.")


def checked_names(content: Any, known: Collection[str], where: str) -> list[str]:
    """A list of known names; one alone needs no list."""
    names = content if isinstance(content, list) else [] if content is None else [content]
    check_known(names, known, where)
    return names


def checked_mapping(content: Any, where: str) -> dict[str, Any]:
    """A mapping, empty where nothing is written."""
    if content is not None and not isinstance(content, dict):
        raise ValueError(f"{where} must hold `name: value` lines, found {type(content).__name__}.")
    return content or {}
