# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""`univa reproduce`: the runs of a benchmark's tables, from a plan."""

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import yaml

from ..benchmark.plan import Run, read_plan
from ..benchmark.processes import LocalProcesses
from ..benchmark.runner import OVERWRITE, Outcome, Runner, duration
from ..benchmark.store import RunStore
from ..models.files_univa import exclusive
from ..options import OptionParser


__all__ = ["add_options", "run"]

_FAILED = 1


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    parser.add_argument("plan", help="YAML file; recipes/benchmark/ has some")
    parser.add_argument("--output", default="outputs/benchmark", help="where runs are kept (default %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, which share the cores (default 1)")
    parser.add_argument(
        "--overwrite",
        dest="overwrite_runs",
        choices=tuple(OVERWRITE),
        default="only-missing",
        help="which runs are made: those that are missing (the default), those that failed too, none, or all anew",
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="tables or rows; by default all")
    parser.add_argument("--limit", type=int, help="make at most this many runs")
    parser.add_argument(
        "--set",
        dest="settings",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="keys of recipes for all runs, such as num_train_epochs=1",
    )
    parser.add_argument("--keep-models", action="store_true", help="keep the trained models beside the predictions")
    parser.add_argument("--dry-run", action="store_true", help="print the runs and how long they take; make none")


def run(options: argparse.Namespace) -> int:
    """Run it; returns the exit status, 1 where a run failed or `only-cached` finds one missing."""
    if options.limit is not None and options.limit < 1:
        raise ValueError(f"`limit` must be at least 1, got {options.limit}.")
    plan = read_plan(options.plan, _settings(options.settings))
    runs = plan.runs(options.only)
    store = RunStore(options.output)
    executor = LocalProcesses(options.jobs)
    with nullcontext() if options.dry_run else exclusive(store.folder):
        runner = Runner(plan, store, executor, options.overwrite_runs, options.keep_models, _tell)
        making = runner.to_make(runs)[: options.limit]
        if options.dry_run:
            _print_runs(runner, runs, making)
            return 0
        store.write_plan(plan)
        _tell(f"{len(runs)} runs, {len(making)} to make: {_time(runner, making)}")
        runner.make(making)
        return _conclude(runner.outcome(runs), options.overwrite_runs, options.output)


def _tell(line: str) -> None:
    print(line, flush=True)


def _settings(given: Sequence[str]) -> dict[str, Any]:
    found = {}
    for setting in given:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"`settings` has {setting!r}, expected KEY=VALUE, such as num_train_epochs=1.")
        found[name.replace("-", "_")] = yaml.safe_load(value)
    return found


def _print_runs(runner: Runner, runs: Sequence[Run], making: Sequence[Run]) -> None:
    chosen = {run.id for run in making}
    for run in runs:
        seconds = runner.estimates.of(run)
        about = "unknown" if seconds is None else f"about {duration(seconds)}"
        stands = "to analyse" if runner.is_trained(run) else f"to make, {about}"
        stands = stands if run.id in chosen else runner.status(run)
        print(f"{run.id}  {run}: {stands}")
    print(f"{len(runs)} runs, {len(making)} to make: {_time(runner, making)} with --jobs {runner.executor.jobs}")


def _time(runner: Runner, making: Sequence[Run]) -> str:
    """How long training takes; analyses come on top of it."""
    training = [run for run in making if not runner.is_trained(run)]
    return runner.estimates.of_all(training, runner.executor.jobs)


def _conclude(outcome: Outcome, overwrite: str, output: str) -> int:
    for reason, runs in outcome.reasons().items():
        more = f" and {len(runs) - 3} others" if runs[3:] else ""
        print(f"failed: {'; '.join(map(str, runs[:3]))}{more}: {reason}")
    counts = f"{len(outcome.complete)} complete, {len(outcome.failed)} failed, {len(outcome.missing)} missing"
    print(f"{counts}; runs are in {output}")
    if outcome.failed:
        print("error.json in the folder of a run tells more; --overwrite retry-errors makes them again")
    return _FAILED if outcome.failed or overwrite == "only-cached" and outcome.missing else 0
