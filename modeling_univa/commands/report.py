# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa report`: tables and figures of a benchmark, from the predictions of its runs."""

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from ..benchmark.evidence import check_plans
from ..benchmark.publication import publish
from ..benchmark.report import write_report
from ..benchmark.scored import Bootstrap
from ..benchmark.store import RunStore
from ..models.files_univa import exclusive
from ..sharing.benchmark_push import check_license, make_benchmark_repository


__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Run it; returns the exit status."""
    bootstrap, store = Bootstrap(options.draws, options.seed), RunStore(options.runs)
    _check_push(options, store)
    # What is pushed is what the report was computed from: no run may end in between.
    with nullcontext() if options.push is None else exclusive(store.folder, "runs"):
        files = write_report(
            store,
            options.output,
            options.split,
            bootstrap,
            not options.no_figures,
            _tell,
            options.case_texts,
        )
        print(f"wrote {options.output}/index.html and report.md")
        if options.push is not None:
            _push(options, store, files)
    return 0


def _check_push(options: argparse.Namespace, store: RunStore) -> None:
    """Before hours of bootstrap: that it can be pushed."""
    if options.push is None:
        given = next((name for name in ("private", "license") if getattr(options, name)), None)
        if given is not None:
            raise ValueError(f"`{given}` is about what is pushed: add `push`, or leave it out.")
        return
    if options.case_texts is not None:
        raise ValueError("`case_texts` shows transcripts, which are not pushed: leave it or `push` out.")
    check_plans(store)
    if options.license is not None:
        check_license(options.license)
    make_benchmark_repository(options.push, options.private)


def _push(options: argparse.Namespace, store: RunStore, files: Sequence[Path]) -> None:
    given = options.split, options.private, options.license
    commit, results = publish(store, options.push, options.output, files, *given)
    print(f"pushed {commit.commit_url}")
    for file in results:
        print(f"wrote {file}: univa push {file.parent.parent} ORG/MODEL sends it")


def _tell(line: str) -> None:
    print(line, flush=True)
