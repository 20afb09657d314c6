# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa reproduce`: the runs of a benchmark's tables, from a plan."""

import argparse
from contextlib import nullcontext
from typing import Any

from ..benchmark.plan import Plan, Run, Study, read_plan
from ..benchmark.runner import Outcome, Runner
from ..benchmark.search import Searcher, check_searching
from ..benchmark.store import RunStore
from ..benchmark.tuning import Found
from ..models.files_univa import exclusive
from ..scores.headline import METRICS
from .benchmark_runs import (
    FAILED,
    about,
    executor_of,
    given_settings,
    print_failures,
    print_outcome,
    print_runs,
    tell,
    training_time,
)


__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Run it; returns the exit status, 1 where a run failed or `only-cached` finds one missing."""
    if options.limit is not None and options.limit < 1:
        raise ValueError(f"`limit` must be at least 1, got {options.limit}.")
    plan = read_plan(options.plan, given_settings(options.settings))
    studies = plan.studies(options.only)
    if studies:
        check_searching()
    store = RunStore(options.output)
    executor = executor_of(options)
    with nullcontext() if options.dry_run else exclusive(store.folder):
        runner = Runner(plan, store, executor, options.overwrite_runs, options.keep_models, tell)
        searcher = Searcher(runner, options.limit) if studies else None
        if searcher is not None:
            plan = _with_settings(plan, searcher, options)
        if options.dry_run:
            _print_runs(runner, plan, searcher, options)
            return 0
        return _make(runner, plan, searcher, options)


def _with_settings(plan: Plan, searcher: Searcher, options: argparse.Namespace) -> Plan:
    """The plan with what searches have found; unless it is only shown they are made."""
    settings = given_settings(options.settings)
    if not options.dry_run:
        known = read_plan(options.plan, settings, searcher.found(plan.studies()))
        searcher.runner.plan = known
        searcher.runner.store.write_plan(known)
        for study in plan.studies(options.only):
            tell(f"search for {study}: {study.tuning.trials} trials of {', '.join(study.space)}")
        searcher.search(plan.studies(options.only))
    return read_plan(options.plan, settings, searcher.found(plan.studies()))


def _make(runner: Runner, plan: Plan, searcher: Searcher | None, options: argparse.Namespace) -> int:
    runs = plan.runs(options.only)
    made = len(searcher.made) if searcher is not None else 0
    making = runner.to_make(runs)[: options.limit and options.limit - made]
    runner.plan = plan
    runner.store.write_plan(plan)
    tell(f"{len(runs)} runs, {len(making)} to make: {training_time(runner, making)}")
    runner.make(making)
    if searcher is not None:
        _print_searches(runner, plan, searcher, options)
    waiting = [row for row in plan.rows(options.only) if not row.runs]
    status = _conclude(runner.outcome(runs), sum(len(row.seeds) for row in waiting), options)
    return FAILED if any(row.found is not None and row.found.is_lost for row in waiting) else status


def _print_runs(runner: Runner, plan: Plan, searcher: Searcher | None, options: argparse.Namespace) -> None:
    runs = plan.runs(options.only)
    making = runner.to_make(runs)[: options.limit]
    print_runs(runner, runs, making)
    later = _print_open_searches(runner, plan, searcher, options) if searcher is not None else []
    trials = f", {len(later)} trials and runs after them" if later else ""
    time = training_time(runner, [*making, *later])
    print(f"{len(runs)} runs, {len(making)} to make{trials}: {time} with --jobs {runner.executor.jobs}")


def _print_open_searches(runner: Runner, plan: Plan, searcher: Searcher, options: argparse.Namespace) -> list[Run]:
    """Print the searches that go on; runs that take as long as theirs, and as those of the rows that wait for them."""
    later: dict[str, list[Run]] = {}
    for row in plan.rows(options.only):
        if row.study is None or row.runs:
            continue
        alike = row.study.trial(0, {})
        if row.study.id not in later:
            ended = searcher.ended(row.study)
            trials = row.study.tuning.trials
            print(f"{row.study.id}  search for {row.study}: {ended} of {trials} trials, {about(runner, alike)} each")
            later[row.study.id] = [alike] * (trials - ended + len(row.seeds))
    return [run for runs in later.values() for run in runs]


def _print_searches(runner: Runner, plan: Plan, searcher: Searcher, options: argparse.Namespace) -> None:
    for row in {row.study.id: row for row in plan.rows(options.only) if row.study is not None}.values():
        if row.study is not None and row.found is not None:
            print(f"search for {row.study}: {_words(row.study, row.found)}")
            print_failures(runner.outcome(searcher.runs(row.study)))


def _words(study: Study, found: Found) -> str:
    count, failed = len(found.trials), f" ({len(found.failed)} failed)" if found.failed else ""
    if found.is_lost:
        return f"all {count} trials failed"
    if found.settings is None:
        return f"no result of {count} of {study.tuning.trials} trials{failed}"
    settings = ", ".join(f"{key}={_short(value)}" for key, value in found.settings.items())
    metric = METRICS[study.tuning.metric]
    value = f"{metric.column} {found.value:.{metric.decimals}f}"
    return f"best of {count} trials{failed}, with {value} on validation: {settings}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _conclude(outcome: Outcome, waiting: int, options: argparse.Namespace) -> int:
    print_outcome(outcome, options.output, waiting)
    missing = len(outcome.missing) + waiting
    return FAILED if outcome.failed or options.overwrite_runs == "only-cached" and missing else 0
