# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
`univa`: one sub-command a task.

The options (`command_line/NAME.py`) are imported first, and the job (`commands/NAME.py`, which takes seconds: torch,
transformers and more) when the command line has been read, so that help and mistakes are printed at once. Both are
found by name here, and nowhere else.
"""

import gc
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from .options import OptionParser


COMMANDS = {
    "demo": "everything once, in minutes: a corpus from a seed, training, the emotions of a clip",
    "build": "a corpus from its files: your own, or a published one",
    "train": "a model, as a recipe says: training, test, and a folder that from_pretrained loads",
    "convert": "a published checkpoint to a folder that from_pretrained loads",
    "predict": "emotions of clips, or of utterances from text and raw media",
    "zero-shot": "emotions of a corpus by a language model that sees pictures, untrained on it",
    "train-affect": "train a scorer of valence and arousal",
    "complete": "attach feature extractors to a model trained on precomputed features",
    "merge-adapter": "a LoRA adapter and its base to one whole model",
    "adapter-base": "name the Hub repository of a LoRA adapter's base",
    "extract": "features of a whole corpus from its raw media",
    "evaluate": "scores of a model on a data set, for its card and the Hub",
    "compare": "systems on your corpus over seeds and folds, with a table for a paper",
    "reproduce": "the runs of a benchmark's tables, from a plan",
    "report": "tables and figures of a benchmark, from the predictions of its runs",
    "push": "a saved folder to the Hub, in one commit",
    "push-metric": "the metric to the Hub, for evaluate.load(ORG/NAME)",
    "score-affect": "valence and arousal of a whole corpus by pretrained scorers",
    "export": "a trained model to ONNX, for `univa predict --runtime onnx`",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command; a mistake of the user ends in one sentence and exit status 2."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser = make_parser(given)
    options = parser.parse_args(given)
    if not _passes("univa", given[0], options, parser):
        return 2
    is_process = arguments is None
    with _no_collections(is_process):
        run_guarded = _module("commands", "failures").run_guarded
    return run_guarded("univa", lambda: options.run(options, is_process), parser)


def train_main(arguments: Sequence[str] | None = None) -> int:
    """
    The command line of `train_hf.py`.

    Returns:
        Exit status: 0; 2 for a mistake of the user, with one sentence on standard error; 130 when interrupted.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    if not _passes("train_hf.py", "train", Namespace(arguments=given), OptionParser()):
        return 2
    with _no_collections(arguments is None):
        train = _module("commands", "train").train_main
    return train(given)


def make_parser(arguments: Sequence[str]) -> OptionParser:
    """The command line of `univa`, with the options of the sub-command that these arguments name."""
    parser = OptionParser(prog="univa", description="Multimodal multi-label emotion recognition.")
    commands = parser.add_subparsers(title="tasks", required=True, metavar="TASK")
    for name, description in COMMANDS.items():
        command = commands.add_parser(name, help=description)
        if name in arguments[:1]:
            _options_of(name).add_options(command)
            command.set_defaults(run=partial(_run, name))
    return parser


def _passes(program: str, name: str, options: Any, parser: OptionParser) -> bool:
    """Whether nothing is wrong with options by themselves, as far as their module can tell; says what is."""
    try:
        getattr(_options_of(name), "check", lambda _: None)(options)
    except ValueError as error:
        print(f"{program}: {parser.named_as_options(str(error))}", file=sys.stderr)
        return False
    return True


def _run(name: str, options: Any, is_process: bool) -> int:
    with _no_collections(is_process):
        run = _module("commands", name).run
    return run(options)


@contextmanager
def _no_collections(is_process: bool) -> Iterator[None]:
    """
    Import without looking for garbage.

    Modules stay until the process ends, and torch's and transformers' are more than half a million objects. Going
    through them again and again while more are imported, and at the end of the process, takes a fifth of the time of
    the imports.

    Args:
        is_process: whether the process is of this command alone. One that calls it from Python has objects of its own,
            which would never be garbage again.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on and is_process:
            gc.freeze()
        if was_on:
            gc.enable()


def _options_of(name: str) -> ModuleType:
    """The module with the options of a command; that of its job, where they are read off the classes of the job."""
    is_light = find_spec(f"{__package__}.command_line.{name.replace('-', '_')}") is not None
    return _module("command_line" if is_light else "commands", name)


def _module(room: str, name: str) -> ModuleType:
    return import_module(f".{room}.{name.replace('-', '_')}", __package__)


if __name__ == "__main__":
    sys.exit(main())
