# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Command lines: how options are written, which names they had before, and what they are called in messages."""

import argparse
import difflib
import logging
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn


__all__ = ["SLURM_HELP", "OptionParser", "counted", "key_values", "nearest", "verb"]

# Not transformers' own, which would have to be imported before a mistyped option is told.
logger = logging.getLogger(__name__)

SLURM_HELP = "options of Slurm, such as partition=gpu time=4:00:00 gpus=1 cpus_per_task=8 mem=32G"


class OptionParser(argparse.ArgumentParser):
    """
    A parser in which `--a_b` is `--a-b` and nothing is abbreviated.

    An option that it does not know is refused with the nearest one that it knows.
    """

    # Whether `parse_known_args` refuses too; sub-commands are parsed by it.
    refuses_unknown = True
    # What gets all arguments as they are, in a command that reads its command line itself.
    takes_all: str | None = None

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **{**kwargs, "allow_abbrev": False})
        self._renamed: dict[str, str] = {}

    def add_pairs(self, name: str, description: str, **options: Any) -> None:
        """Add an option of several KEY=VALUE; given again, it keeps those before."""
        pairs: dict[str, Any] = {"action": "extend", "nargs": "+", "default": [], "metavar": "KEY=VALUE"}
        self.add_argument(name, help=description, **pairs, **options)

    def rename_option(self, earlier: str, name: str) -> None:
        """Also take an option by the name that it had before, with a warning."""
        self._renamed[earlier] = name

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse; unlike in argparse an option that is not known is refused here too."""
        given = sys.argv[1:] if args is None else list(args)
        if self.takes_all is not None:
            return argparse.Namespace(**{**self._defaults, self.takes_all: given}), []
        end = given.index("--") if "--" in given else len(given)
        known = {option.replace("_", "-"): option for option in self._options()}
        given[:end] = [self._current(argument, known) for argument in given[:end]]
        found, left = super().parse_known_args(given, namespace)
        unknown = [argument.partition("=")[0] for argument in left if argument.startswith("--")]
        if unknown and self.refuses_unknown:
            self._refuse(unknown[0], self._options())
        return found, left

    def named_as_options(self, message: str) -> str:
        """A message in which the arguments that it names in backticks are called as the options that set them."""
        options = self._option_of_argument()
        return re.sub(r"`(\w+)`", lambda found: options.get(found[1], found[0]), message)

    def _current(self, argument: str, known: dict[str, str]) -> str:
        """An argument with the option in it written as this parser has it."""
        if not argument.startswith("--"):
            return argument
        name, equals, value = argument.partition("=")
        plain = name.replace("_", "-")
        if plain in self._renamed:
            plain = self._renamed[plain]
            logger.warning(f"{name} is now called {plain}; the earlier name will go.")
        return f"{known.get(plain, name)}{equals}{value}"

    def _options(self) -> list[str]:
        return [option for action in self._actions for option in action.option_strings if option.startswith("--")]

    def _option_of_argument(self) -> dict[str, str]:
        found = {action.dest: action.option_strings[0] for action in self._actions if action.option_strings}
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for command in action.choices.values():
                    found |= command._option_of_argument()
        return found

    def _refuse(self, name: str, known: Iterable[str]) -> NoReturn:
        self.error(f"Unknown option {name!r}{nearest(name, known)}")


def counted(number: int, noun: str) -> str:
    """A number with its noun, which gets an "s" unless there is one."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def verb(number: int, one: str, several: str) -> str:
    """The form of a verb that agrees with a number."""
    return one if number == 1 else several


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a clause about an unknown name: the known one that is most like it, if one is."""
    found = difflib.get_close_matches(name, sorted(known), n=1)
    return f", the nearest is {found[0]!r}" if found else ""


def key_values(argument: str, given: Iterable[str], example: str) -> dict[str, str]:
    """
    Settings that are written KEY=VALUE, or ROW.KEY=VALUE; in keys "-" is "_".

    Args:
        argument: what the message calls the option.
        given: the settings.
        example: of one.

    Raises:
        ValueError: a setting without "=".
    """
    found = {}
    for setting in given:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"`{argument}` has {setting!r}, expected KEY=VALUE, such as {example}.")
        row, dot, key = name.rpartition(".")
        found[f"{row}{dot}{key.replace('-', '_')}"] = value
    return found
