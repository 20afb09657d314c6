# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa build`: a corpus from its files. The scripts of `datasets_scripts/` are the same, one a corpus."""

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial

from ..command_line.build import EMOBANK
from ..corpora.build import (
    add_corpus_options,
    build_from_options,
    corpus_class,
    preview_from_options,
    summary,
)
from ..corpora.builder import UnivaCorpusBuilder
from ..corpora.emobank import EmoBank, build_emobank
from ..data.schema import CorpusError
from ..options import OptionParser
from ..sharing.corpus_push import push_corpus
from ..sharing.push import make_repository
from .failures import run_guarded


__all__ = ["complete_options", "build_main", "corpus_main", "emobank_main", "run"]


def run(options: argparse.Namespace) -> int:
    """Build the corpus, and push it where that is wanted; returns the exit status."""
    return options.build(options)


def complete_options(parser: OptionParser, name: str, arguments: Sequence[str]) -> None:
    """Add the options of a corpus, those of the variant that these arguments of its command line ask for."""
    if name == EMOBANK:
        _add_emobank_options(parser)
    else:
        _add_corpus_options(parser, corpus_class(name, arguments))


def build_main(name: str, argv: Sequence[str] | None = None) -> int:
    """The command line of a corpus of `corpora/`, by the name of its module; see `corpus_main`."""
    arguments = sys.argv[1:] if argv is None else argv
    return corpus_main(corpus_class(name, arguments), arguments)


def corpus_main(builder_class: type[UnivaCorpusBuilder], argv: Sequence[str] | None = None) -> int:
    """
    The command line of a corpus.

    Returns:
        Exit status: 0; 2 for a mistake of the user, with one sentence on standard error; 130 when interrupted.
    """
    parser = OptionParser()
    _add_corpus_options(parser, builder_class)
    return _parse_and_run(parser, argv)


def emobank_main(argv: Sequence[str] | None = None) -> int:
    """The command line that builds EmoBank; returns the exit status as `corpus_main`."""
    parser = OptionParser()
    _add_emobank_options(parser)
    return _parse_and_run(parser, argv)


def _parse_and_run(parser: OptionParser, argv: Sequence[str] | None) -> int:
    options = parser.parse_args(argv)
    return run_guarded("error", lambda: run(options), parser)


def _add_corpus_options(parser: OptionParser, builder_class: type[UnivaCorpusBuilder]) -> None:
    parser.description = (builder_class.__doc__ or "").replace("%", "%%")
    add_corpus_options(parser, builder_class)
    parser.add_argument("--push-to-hub", metavar="ORG/NAME", help="also push it; needs --license and --source-url")
    parser.add_argument("--private", action="store_true", default=None, help="push to a private repository")
    parser.set_defaults(build=partial(_build_and_push, builder_class, parser))


def _add_emobank_options(parser: OptionParser) -> None:
    parser.description = EmoBank.__doc__
    parser.add_argument("--source", required=True, help="emobank.csv, or a folder that has it")
    parser.add_argument("--output", required=True, help="folder to make; load it with datasets.load_dataset")
    parser.set_defaults(build=_build_emobank)


def _build_emobank(options: argparse.Namespace) -> int:
    build_emobank(options.source, options.output)
    return 0


def _build_and_push(
    builder_class: type[UnivaCorpusBuilder], parser: OptionParser, arguments: argparse.Namespace
) -> int:
    started = time.perf_counter()
    _check_push(arguments)

    def tell(line: str) -> None:
        print(parser.named_as_options(line), flush=True)

    if getattr(arguments, "dry_run", False):
        print("\n".join(preview_from_options(builder_class, arguments, tell)))
        return 0
    builder = build_from_options(builder_class, arguments, tell)
    for line in summary(builder, arguments.output, time.perf_counter() - started):
        tell(line)
    return _push(arguments) if arguments.push_to_hub else 0


def _check_push(arguments: argparse.Namespace) -> None:
    """Refuse before the work what could not be pushed after it, and make the repository."""
    if arguments.private and not arguments.push_to_hub:
        raise CorpusError("--private needs --push-to-hub ORG/NAME")
    if not arguments.push_to_hub:
        return
    missing = [name for name in ("license", "source-url") if not getattr(arguments, name.replace("-", "_"))]
    if missing:
        options = " and ".join(f"--{name}" for name in missing)
        raise CorpusError(f"--push-to-hub needs {options}: others must know what they may do with the corpus")
    make_repository(arguments.push_to_hub, "dataset", private=arguments.private)


def _push(arguments: argparse.Namespace) -> int:
    try:
        print(push_corpus(arguments.output, arguments.push_to_hub, private=arguments.private).commit_url)
    except (ValueError, OSError) as error:
        command = f"univa push {arguments.output} {arguments.push_to_hub}"
        print(f"error: {error} The corpus is whole; to push it again: {command}", file=sys.stderr)
        return 2
    return 0
