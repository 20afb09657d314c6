# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""`univa reproduce`: the runs of a benchmark's tables, from a plan."""

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import yaml

from ..benchmark.plan import Plan, Run, Study, read_plan
from ..benchmark.processes import Executor, LocalProcesses
from ..benchmark.runner import Outcome, Runner, duration
from ..benchmark.search import Searcher, check_searching
from ..benchmark.slurm import slurm_jobs
from ..benchmark.store import RunStore
from ..benchmark.tuning import Found
from ..command_line.reproduce import JOBS
from ..models.files_univa import exclusive
from ..scores.headline import METRICS


__all__ = ["run"]

_FAILED = 1


def run(options: argparse.Namespace) -> int:
    """Run it; returns the exit status, 1 where a run failed or `only-cached` finds one missing."""
    if options.limit is not None and options.limit < 1:
        raise ValueError(f"`limit` must be at least 1, got {options.limit}.")
    plan = read_plan(options.plan, _settings(options.settings))
    studies = plan.studies(options.only)
    if studies:
        check_searching()
    store = RunStore(options.output)
    executor = _executor(options)
    with nullcontext() if options.dry_run else exclusive(store.folder):
        runner = Runner(plan, store, executor, options.overwrite_runs, options.keep_models, _tell)
        searcher = Searcher(runner, options.limit) if studies else None
        if searcher is not None:
            plan = _with_settings(plan, searcher, options)
        if options.dry_run:
            _print_runs(runner, plan, searcher, options)
            return 0
        return _make(runner, plan, searcher, options)


def _executor(options: argparse.Namespace) -> Executor:
    jobs = JOBS[options.executor] if options.jobs is None else options.jobs
    given = _pairs("slurm", options.slurm, "partition=gpu")
    if options.executor == "slurm":
        return slurm_jobs(options.output, given, jobs)
    if given:
        raise ValueError("`slurm` has options, but `executor` is local.")
    return LocalProcesses(jobs)


def _with_settings(plan: Plan, searcher: Searcher, options: argparse.Namespace) -> Plan:
    """The plan with what searches have found; unless it is only shown they are made."""
    settings = _settings(options.settings)
    if not options.dry_run:
        known = read_plan(options.plan, settings, searcher.found(plan.studies()))
        searcher.runner.plan = known
        searcher.runner.store.write_plan(known)
        for study in plan.studies(options.only):
            _tell(f"search for {study}: {study.tuning.trials} trials of {', '.join(study.space)}")
        searcher.search(plan.studies(options.only))
    return read_plan(options.plan, settings, searcher.found(plan.studies()))


def _make(runner: Runner, plan: Plan, searcher: Searcher | None, options: argparse.Namespace) -> int:
    runs = plan.runs(options.only)
    made = len(searcher.made) if searcher is not None else 0
    making = runner.to_make(runs)[: options.limit and options.limit - made]
    runner.plan = plan
    runner.store.write_plan(plan)
    _tell(f"{len(runs)} runs, {len(making)} to make: {_time(runner, making)}")
    runner.make(making)
    if searcher is not None:
        _print_searches(runner, plan, searcher, options)
    waiting = [row for row in plan.rows(options.only) if not row.runs]
    status = _conclude(runner.outcome(runs), sum(len(row.seeds) for row in waiting), options)
    return _FAILED if any(row.found is not None and row.found.is_lost for row in waiting) else status


def _tell(line: str) -> None:
    print(line, flush=True)


def _settings(given: Sequence[str]) -> dict[str, Any]:
    pairs = _pairs("settings", given, "num_train_epochs=1")
    return {name: yaml.safe_load(value) for name, value in pairs.items()}


def _pairs(argument: str, given: Sequence[str], example: str) -> dict[str, str]:
    found = {}
    for setting in given:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"`{argument}` has {setting!r}, expected KEY=VALUE, such as {example}.")
        found[name.replace("-", "_")] = value
    return found


def _print_runs(runner: Runner, plan: Plan, searcher: Searcher | None, options: argparse.Namespace) -> None:
    runs = plan.runs(options.only)
    making = runner.to_make(runs)[: options.limit]
    chosen = {run.id for run in making}
    for run in runs:
        stands = "to analyse" if runner.is_trained(run) else f"to make, {_about(runner, run)}"
        stands = stands if run.id in chosen else runner.status(run)
        print(f"{run.id}  {run}: {stands}")
    later = _print_open_searches(runner, plan, searcher, options) if searcher is not None else []
    trials = f", {len(later)} trials and runs after them" if later else ""
    time = _time(runner, [*making, *later])
    print(f"{len(runs)} runs, {len(making)} to make{trials}: {time} with --jobs {runner.executor.jobs}")


def _time(runner: Runner, making: Sequence[Run]) -> str:
    """How long training takes; analyses come on top of it."""
    training = [run for run in making if not runner.is_trained(run)]
    return runner.estimates.of_all(training, runner.executor.jobs)


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
            print(f"{row.study.id}  search for {row.study}: {ended} of {trials} trials, {_about(runner, alike)} each")
            later[row.study.id] = [alike] * (trials - ended + len(row.seeds))
    return [run for runs in later.values() for run in runs]


def _about(runner: Runner, run: Run) -> str:
    seconds = runner.estimates.of(run)
    return "unknown" if seconds is None else f"about {duration(seconds)}"


def _print_searches(runner: Runner, plan: Plan, searcher: Searcher, options: argparse.Namespace) -> None:
    for row in {row.study.id: row for row in plan.rows(options.only) if row.study is not None}.values():
        if row.study is not None and row.found is not None:
            print(f"search for {row.study}: {_words(row.study, row.found)}")
            _print_failures(runner.outcome(searcher.runs(row.study)))


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
    _print_failures(outcome)
    missing = len(outcome.missing) + waiting
    counts = f"{len(outcome.complete)} complete, {len(outcome.failed)} failed, {missing} missing"
    print(f"{counts}; runs are in {options.output}")
    if outcome.failed:
        print("error.json in the folder of a run tells more; --overwrite retry-errors makes them again")
    return _FAILED if outcome.failed or options.overwrite_runs == "only-cached" and missing else 0


def _print_failures(outcome: Outcome) -> None:
    for reason, runs in outcome.reasons().items():
        more = f" and {len(runs) - 3} others" if runs[3:] else ""
        print(f"failed: {'; '.join(map(str, runs[:3]))}{more}: {reason}")
