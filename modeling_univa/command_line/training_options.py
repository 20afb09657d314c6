# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
Mistyped options of a training run, told before torch and transformers are imported.

The options are the fields of dataclasses, those of transformers' `TrainingArguments` among them. Their names are read
off the source files. This finds some names too many, such as options of other systems, and so only says which options
there cannot be; the job's own parser decides about the others.
"""

import re
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path

from ..options import nearest


__all__ = ["check_options", "value_of"]

_PACKAGE = Path(__file__).resolve().parents[1]
_ARGUMENTS = ("training/arguments.py", "training/training_arguments.py")
_NAME = re.compile(r"^    (\w+): (?!ClassVar)|\"--(\w+)\"", re.MULTILINE)
# Configurations of systems, up to what follows; a network beside them has other bases, and BibTeX begins with "@" too.
_SYSTEM = re.compile(
    r"^class (?:EmotionConfig\([^\n]*|\w+Config\(\w+\)):\n.*?(?=^(?:class |def |@[\w.]+(?:\(|$))|\Z)",
    re.MULTILINE | re.DOTALL,
)
# With a base class its fields would stand in other files too.
_WHOLE = re.compile(r"^class TrainingArguments:$", re.MULTILINE)
# What a flag that is on by default is switched off with.
_OFF = "no_"


def check_options(arguments: Sequence[str]) -> None:
    """Refuse, with a `ValueError`, an option that no system has; where that cannot be told, nothing is refused."""
    options, others = _known_names()
    for name in _options(arguments) if options else ():
        plain = name.removeprefix("--").replace("-", "_")
        if not {plain, plain.removeprefix(_OFF)} & (options | others):
            spelled = {f"--{one}" for one in options} | {f"--{one.replace('_', '-')}" for one in options}
            raise ValueError(f"Unknown option {name!r}{nearest(name, spelled)}; `--help` describes the options.")


def value_of(name: str, arguments: Sequence[str]) -> str | None:
    """What an option of one value is set to, where it is given, not empty and not another option; the last counts."""
    found = None
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        option, equals, value = argument.partition("=")
        if option.startswith("--") and option.removeprefix("--").replace("-", "_") == name:
            found = value if equals else following
    return None if not found or found.startswith("--") else found


def _options(arguments: Sequence[str]) -> list[str]:
    before = takewhile(lambda argument: argument != "--", arguments)
    names = [argument.partition("=")[0] for argument in before if argument.startswith("--")]
    # What has a blank is a value, for argparse too.
    return [name for name in names if " " not in name]


def _known_names() -> tuple[set[str], set[str]]:
    """Names of the options of all systems, and others of our files; none where transformers' cannot be read."""
    spec = find_spec("transformers")
    theirs = Path(spec.origin).with_name("training_args.py") if spec is not None and spec.origin else None
    if theirs is None or not theirs.is_file():
        return set(), set()
    text = theirs.read_text(encoding="utf-8")
    if not _WHOLE.search(text):
        return set(), set()
    models = [file.read_text(encoding="utf-8") for file in _PACKAGE.glob("models/*.py")]
    systems = [system for source in models for system in _SYSTEM.findall(source)]
    arguments = [Path(_PACKAGE, file).read_text(encoding="utf-8") for file in _ARGUMENTS]
    return {"help", *_names([text, *arguments, *systems])}, set(_names(models))


def _names(sources: Iterable[str]) -> Iterable[str]:
    return (field or option for source in sources for field, option in _NAME.findall(source))
