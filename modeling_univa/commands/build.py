# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Building corpora: what the scripts of `datasets_scripts/` call."""

import argparse
import sys
import time
from collections.abc import Sequence

from ..corpora.build import build_from_options, corpus_class, corpus_parser, summary
from ..corpora.builder import UnivaCorpusBuilder
from ..corpora.emobank import EmoBank, build_emobank
from ..data.schema import CorpusError
from ..options import OptionParser
from ..sharing.corpus_push import push_corpus
from ..sharing.push import make_repository
from .failures import run_guarded


__all__ = ["build_main", "corpus_main", "emobank_main"]


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
    parser = corpus_parser(builder_class)
    parser.add_argument("--push-to-hub", metavar="ORG/NAME", help="also push it; needs --license and --source-url")
    parser.add_argument("--private", action="store_true", default=None, help="push to a private repository")
    arguments = parser.parse_args(argv)
    return run_guarded("error", lambda: _build_and_push(builder_class, arguments), parser)


def emobank_main(argv: Sequence[str] | None = None) -> int:
    """The command line that builds EmoBank; returns the exit status as `corpus_main`."""
    parser = OptionParser(description=EmoBank.__doc__)
    parser.add_argument("--source", required=True, help="emobank.csv, or a folder that has it")
    parser.add_argument("--output", required=True, help="folder to make; load it with datasets.load_dataset")
    options = parser.parse_args(argv)
    return run_guarded("error", lambda: _build_emobank(options), parser)


def _build_emobank(options: argparse.Namespace) -> int:
    build_emobank(options.source, options.output)
    return 0


def _build_and_push(builder_class: type[UnivaCorpusBuilder], arguments: argparse.Namespace) -> int:
    started = time.perf_counter()
    _check_push(arguments)
    builder = build_from_options(builder_class, arguments)
    print("\n".join(summary(builder, arguments.output, time.perf_counter() - started)))
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
