# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""`univa push`: a saved folder, model or corpus, to the Hub."""

import argparse

from ..options import OptionParser
from ..sharing.corpus_push import is_corpus, push_corpus
from ..sharing.push import push_folder


__all__ = ["add_options", "run"]


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    parser.add_argument("folder", help="folder that training wrote, or `save_pretrained` of model and processor")
    parser.add_argument("repository", metavar="ORG/NAME", help="repository; made if it is not there yet")
    parser.add_argument("--private", action="store_true", default=None, help="make it a private one")
    parser.add_argument(
        "--revision", metavar="BRANCH", help="branch, made from main if it is not there (default main)"
    )
    parser.add_argument("--create-pr", action="store_true", help="open a pull request instead")
    parser.add_argument("--message", default="Upload model", help="commit message (default: Upload model)")


def run(options: argparse.Namespace) -> int:
    """Run it; returns the exit status."""
    if is_corpus(options.folder):
        if options.revision or options.create_pr:
            raise ValueError("a corpus is pushed to main: leave --revision and --create-pr out")
        print(push_corpus(options.folder, options.repository, private=options.private).commit_url)
        return 0
    commit = push_folder(
        options.folder,
        options.repository,
        private=options.private,
        revision=options.revision,
        commit_message=options.message,
        create_pr=options.create_pr,
    )
    print(commit.pr_url or commit.commit_url)
    return 0
