# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Which settings of a system are options: the plain fields of its configuration, described by its docstring."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from transformers import CONFIG_MAPPING, PreTrainedConfig
from transformers.hf_argparser import string_to_bool

from ..models.configuration_emotion import EmotionConfig


__all__ = ["config_options", "system_config", "system_names"]

_PLAIN = (bool, int, float, str)
# `name, name (types):` of a section `Args:` without its indentation, and the lines below.
_ENTRY = re.compile(r"^ {4}(\w+(?:, \w+)*)(?: \(.*?\))?:((?: .*)?(?:\n {8}.+)*)", re.MULTILINE)


def system_config(name: str) -> type[EmotionConfig]:
    """
    The configuration of a system.

    Args:
        name: its `model_type`, which `AutoConfig.for_model` knows.

    Raises:
        ValueError: there is no such system; the message lists those there are.
    """
    known = _known_systems()
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"`system` must be one of {', '.join(sorted(known))}, got {name!r}.")
    return known[name]


def system_names() -> list[str]:
    """Names of all systems, sorted."""
    return sorted(_known_systems())


def _known_systems() -> dict[str, type[EmotionConfig]]:
    return {
        kind.model_type: kind
        for kind in _subclasses(EmotionConfig)
        if kind.model_type in CONFIG_MAPPING and CONFIG_MAPPING[kind.model_type] is kind
    }


def config_options(config_class: type[EmotionConfig]) -> list[tuple[str, Any, str]]:
    """
    Name, type and description of the fields that are options: numbers, texts, choices, yes or no, and lists of them.

    What every configuration of transformers has is not among them, and labels follow from the corpus.
    """
    inherited = {item.name for item in fields(PreTrainedConfig)}
    described = _descriptions(config_class)
    found = [(item, _option_type(item.type)) for item in fields(config_class) if item.name not in inherited]
    return [(item.name, hint, _help(item, described)) for item, hint in found if hint is not None]


def _subclasses(kind: type) -> Iterator[Any]:
    children: list[type] = kind.__subclasses__()
    for child in children:
        yield child
        yield from _subclasses(child)


def _option_type(hint: Any) -> Any:
    """The type that a command line reads, `None` for what it cannot."""
    union = get_origin(hint) in (Union, UnionType)
    kinds = [kind for kind in (get_args(hint) if union else (hint,)) if kind is not NoneType]
    # Of one number for all labels or one for each of them, a command line reads the one.
    if {kind for kind in kinds if get_origin(kind) is not list} == {int, float}:
        return float
    if all(get_origin(kind) in (list, tuple) for kind in kinds):
        values = {_value_type(item) for kind in kinds for item in get_args(kind) if item is not Ellipsis}
        return list[values.pop()] if len(values) == 1 and None not in values else None  # type: ignore[misc]
    if len(kinds) > 1:
        return None
    return kinds[0] if kinds[0] in _PLAIN or get_origin(kinds[0]) is Literal else None


def _value_type(hint: Any) -> Any:
    """That of a value in a list; the configuration checks which values there are."""
    kind = _option_type(hint)
    if get_origin(kind) is Literal:
        return type(get_args(kind)[0])
    return {bool: string_to_bool}.get(kind, kind if kind in _PLAIN else None)


def _descriptions(config_class: type) -> dict[str, str]:
    """What the sections `Args:` of a class and those that it extends say of each field."""
    found: dict[str, str] = {}
    for kind in reversed(config_class.__mro__):
        if issubclass(kind, EmotionConfig):
            for names, text in _ENTRY.findall(inspect.cleandoc(kind.__doc__ or "")):
                found |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return found


def _help(item: Field, described: dict[str, str]) -> str:
    default = item.default_factory() if item.default_factory is not MISSING else item.default
    value = " ".join(map(str, default)) if isinstance(default, list | tuple) else default
    usual = "" if default in (None, MISSING) else f" By default {value}, or that of `model`."
    # argparse formats it.
    return (described.get(item.name, "") + usual).strip().replace("%", "%%")
