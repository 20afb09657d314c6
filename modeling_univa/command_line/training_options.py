# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
Mistyped options of a training run, told before torch and transformers are imported.

The options are the fields of dataclasses, those of transformers' `TrainingArguments` among them. Their names are read
off the source files. This finds a few names too many, options of other systems for one, and so only says which options
there cannot be; the job's own parser decides about the others.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path

from ..options import nearest


__all__ = ["check_options", "values_of"]

_PACKAGE = Path(__file__).resolve().parents[1]
_OURS = ("training/arguments.py", "training/training_arguments.py", "models/*.py")
_NAME = re.compile(r"^    (\w+): |\"--(\w+)\"", re.MULTILINE)
# With a base class its fields would stand in other files too.
_WHOLE = re.compile(r"^class TrainingArguments:$", re.MULTILINE)
# What a flag that is on by default is switched off with.
_OFF = "no_"


def check_options(arguments: Sequence[str]) -> None:
    """Refuse, with a `ValueError`, an option that no system has; where that cannot be told, nothing is refused."""
    known = _known_names()
    for name in _options(arguments) if known else ():
        plain = name.removeprefix("--").replace("-", "_")
        if plain not in known and plain.removeprefix(_OFF) not in known:
            spelled = {f"--{one}" for one in known} | {f"--{one.replace('_', '-')}" for one in known}
            raise ValueError(f"Unknown option {name!r}{nearest(name, spelled)}; `--help` describes the options.")


def values_of(name: str, arguments: Sequence[str]) -> Iterator[str]:
    """What an option of one value is set to, each time that it is given."""
    for argument, following in zip(arguments, [*arguments[1:], None], strict=True):
        option, equals, value = argument.partition("=")
        is_given = option.startswith("--") and option.removeprefix("--").replace("-", "_") == name
        if is_given and (equals or following is not None):
            yield value if equals else str(following)


def _options(arguments: Sequence[str]) -> list[str]:
    before = takewhile(lambda argument: argument != "--", arguments)
    return [argument.partition("=")[0] for argument in before if argument.startswith("--")]


def _known_names() -> set[str]:
    """Names of all options and some more; none where the sources of transformers cannot be read."""
    spec = find_spec("transformers")
    theirs = Path(spec.origin).with_name("training_args.py") if spec is not None and spec.origin else None
    if theirs is None or not theirs.is_file():
        return set()
    text = theirs.read_text(encoding="utf-8")
    if not _WHOLE.search(text):
        return set()
    ours = (file.read_text(encoding="utf-8") for pattern in _OURS for file in _PACKAGE.glob(pattern))
    return {"help", *_names(text), *(name for source in ours for name in _names(source))}


def _names(source: str) -> Iterable[str]:
    return (field or option for field, option in _NAME.findall(source))
