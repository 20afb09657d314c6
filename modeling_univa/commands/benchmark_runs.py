# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What `univa reproduce` and `univa compare` have in common: how runs are made, and what they print."""

import argparse
from collections.abc import Collection, Sequence
from typing import Any

import yaml

from ..benchmark.plan import Run
from ..benchmark.processes import Executor, LocalProcesses
from ..benchmark.runner import Outcome, Runner, duration
from ..benchmark.slurm import slurm_jobs
from ..command_line.benchmark_runs import JOBS
from ..options import key_values


__all__ = [
    "FAILED",
    "about",
    "executor_of",
    "given_settings",
    "print_failures",
    "print_outcome",
    "print_runs",
    "tell",
    "training_time",
]

# Exit status where a run failed.
FAILED = 1


def executor_of(options: argparse.Namespace) -> Executor:
    """Where runs are made, by these options."""
    jobs = JOBS[options.executor] if options.jobs is None else options.jobs
    given = key_values("slurm", options.slurm, "partition=gpu")
    if options.executor == "slurm":
        return slurm_jobs(options.output, given, jobs)
    if given:
        raise ValueError("`slurm` has options, but `executor` is local.")
    return LocalProcesses(jobs)


def given_settings(given: Sequence[str]) -> dict[str, Any]:
    """Keys of recipes from `KEY=VALUE`, the values as YAML reads them."""
    pairs = key_values("settings", given, "num_train_epochs=1")
    return {name: _value(name, text) for name, text in pairs.items()}


def tell(line: str) -> None:
    """Print a line at once, whatever reads it."""
    print(line, flush=True)


def about(runner: Runner, run: Run) -> str:
    """How long a run takes, in words."""
    seconds = runner.estimates.of(run)
    return "unknown" if seconds is None else f"about {duration(seconds)}"


def training_time(runner: Runner, making: Sequence[Run]) -> str:
    """How long training takes; analyses come on top of it."""
    training = [run for run in making if not runner.is_trained(run)]
    return runner.estimates.of_all(training, runner.executor.jobs)


def print_runs(runner: Runner, runs: Sequence[Run], making: Collection[Run]) -> None:
    """Print each run, and whether it is to be made."""
    chosen = {run.id for run in making}
    for run in runs:
        stands = "to analyse" if runner.is_trained(run) else f"to make, {about(runner, run)}"
        print(f"{run.id}  {run}: {stands if run.id in chosen else runner.status(run)}")


def print_outcome(outcome: Outcome, output: str, waiting: int = 0) -> None:
    """
    Print what failed and how many runs are there.

    Args:
        output: folder of the runs.
        waiting: runs that are missing beside those of `outcome`.
    """
    print_failures(outcome)
    missing = len(outcome.missing) + waiting
    print(f"{len(outcome.complete)} complete, {len(outcome.failed)} failed, {missing} missing; runs are in {output}")
    if outcome.failed:
        print("error.json in the folder of a run tells more; --overwrite retry-errors makes them again")


def print_failures(outcome: Outcome) -> None:
    """Print the runs that failed, by their reasons."""
    for reason, runs in outcome.reasons().items():
        more = f" and {len(runs) - 3} others" if runs[3:] else ""
        print(f"failed: {'; '.join(map(str, runs[:3]))}{more}: {reason}")


def _value(name: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError(f"`settings` has {name}={text}, and {text!r} is not a value of YAML.") from None
