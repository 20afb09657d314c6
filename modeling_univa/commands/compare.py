# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa compare`: systems or recipes on one corpus, over seeds and folds, with a table of them."""

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from ..benchmark.comparison_checks import check_rows
from ..benchmark.comparison_plan import PLAN_FILE, TABLE, Wishes, comparison_plan, partial_settings
from ..benchmark.comparison_table import comparison_grid, grid_text, write_table
from ..benchmark.evidence import read_evidence
from ..benchmark.plan import Plan, Run, expand_plan
from ..benchmark.report import PAGE, block_for_others, write_report
from ..benchmark.runner import Runner
from ..benchmark.scored import Bootstrap
from ..benchmark.store import RunStore
from ..data.loading import load_corpus
from ..models.files_univa import exclusive, write_text
from ..shipped import named_file
from ..training.arguments import read_recipe
from .benchmark_runs import (
    FAILED,
    executor_of,
    given_settings,
    print_outcome,
    print_runs,
    tell,
    training_time,
)


__all__ = ["run"]

_HEAD = """\
# Written by `univa compare`, which overwrites it. The same runs: univa reproduce {file} --output {folder}
# To go on from here (other rows, settings, searches: docs/benchmark.md) change a copy.
"""
_REPORT = "report"
# How messages about a training name an argument.
_NAMED = re.compile(r"The recipe's '(\w+)'|argument --(\w+)(?:/--[\w-]+)*(?=:)|`(\w+)`")
_MORE = "; `--help` describes the options."
_TEST = "test"
_WITHOUT_FIGURES = 'without figures, which need matplotlib: pip install "univa[plot]"'


def run(options: argparse.Namespace) -> int:
    """Run it; returns the exit status, 1 where a run failed or is missing."""
    wishes = _wishes(options)
    corpus = load_corpus(options.corpus, wishes.settings.get("dataset_revision"))
    content = comparison_plan(wishes, corpus)
    file = Path(options.output, PLAN_FILE)
    with _naming_settings(wishes.settings):
        plan = expand_plan(file, content, is_written=False)
    store, executor = RunStore(options.output), executor_of(options)
    runner = Runner(plan, store, executor, options.overwrite_runs, options.keep_models, tell)
    making = runner.to_make(plan.runs())
    # Before anything is written.
    with _naming_settings(wishes.settings):
        check_rows(plan, corpus, making)
    for key, names in partial_settings(content, wishes).items():
        tell(f"`{key}` is a setting of {', '.join(names)} alone")
    if options.dry_run:
        print_runs(runner, plan.runs(), making)
        tell(f"{_counts(runner, making)} with --jobs {executor.jobs}")
        return 0
    with exclusive(store.folder):
        return _make(runner, file, content, options)


def _make(runner: Runner, file: Path, content: dict[str, Any], options: argparse.Namespace) -> int:
    """Make the runs, and the table and the report of what is there then."""
    plan, store = runner.plan, runner.store
    _write_plan(file, content)
    store.write_plan(plan)
    making = runner.to_make(plan.runs())
    tell(_counts(runner, making))
    runner.make(making)
    outcome = runner.outcome(plan.runs())
    _show(plan, store, options)
    print_outcome(outcome, options.output)
    return FAILED if outcome.failed or outcome.missing else 0


def _counts(runner: Runner, making: Sequence[Run]) -> str:
    return f"{len(runner.plan.runs())} runs, {len(making)} to make: {training_time(runner, making)}"


def _wishes(options: argparse.Namespace) -> Wishes:
    if options.draws < 1:  # before the hours of training, not after them
        raise ValueError(f"`draws` must be at least 1, got {options.draws}.")
    count = int(options.num_folds) if str(options.num_folds).isdecimal() else options.num_folds
    folds = {} if count is None else {"num_folds": count, "fold_by": options.fold_by}
    if options.fold_by is not None and not folds:
        raise ValueError("`fold_by` is for a cross-validation: pass `num_folds` too.")
    return Wishes(
        corpus=options.corpus,
        systems=options.systems,
        recipes=options.recipes,
        common={} if options.recipe is None else read_recipe(named_file(options.recipe)),
        settings=given_settings(options.settings),
        num_seeds=options.seeds,
        modalities=options.modalities,
        text_encoder=options.text_encoder,
        folds={key: value for key, value in folds.items() if value is not None},
    )


@contextmanager
def _naming_settings(given: Mapping[str, Any]) -> Iterator[None]:
    """Call what a message names as the setting that the user has given for its row, where that is so."""
    try:
        yield
    except ValueError as error:
        row, colon, message = str(error).partition(": ")
        keys = {key.removeprefix(f"{row}."): key for key in given if "." not in key or key.startswith(f"{row}.")}

        def named(found: re.Match[str]) -> str:
            key = keys.get(found[1] or found[2] or found[3])
            return found[0] if key is None else f"`settings` {key}"

        renamed = _NAMED.sub(named, message)
        raise type(error)(f"{row}{colon}{renamed if renamed == message else renamed.removesuffix(_MORE)}") from error


def _write_plan(file: Path, content: dict[str, Any]) -> None:
    head = _HEAD.format(file=file, folder=file.parent)
    write_text(file, head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _show(plan: Plan, store: RunStore, options: argparse.Namespace) -> None:
    """Write and print the table, and write the report."""
    bootstrap = Bootstrap(options.draws)
    found = next(one for one in read_evidence(store, _TEST) if one.name == plan.name)
    table = next(one for one in found.tables if one.name == TABLE)
    planned = {row.name: sum(map(len, row.runs.values())) for row in plan.rows()}
    tell(f"scoring: intervals of {bootstrap.draws:,} draws")
    grid = comparison_grid(table, planned, plan.corpus, _TEST, bootstrap)
    if grid is None:
        tell("No run has predictions, and so there is no table.")
        return
    grid, output = block_for_others(grid), Path(options.output)
    files = write_table(grid, output)
    tell(f"\n{grid_text(grid)}\n")
    tell(f"wrote {', '.join(map(str, files))}; the report with figures and parts follows")
    has_figures = find_spec("matplotlib") is not None
    write_report(store, output / _REPORT, _TEST, bootstrap, has_figures, lambda line: None)
    tell(f"wrote {output / _REPORT / PAGE}" + ("" if has_figures else f", {_WITHOUT_FIGURES}"))
