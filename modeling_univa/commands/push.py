# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa push`: a saved folder, model or corpus, to the Hub."""

import argparse

from ..sharing.corpus_push import is_corpus, push_corpus
from ..sharing.push import push_folder


__all__ = ["run"]


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
