# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Jobs over a corpus on other machines: tasks of a cluster that run the same command, each on the shards left."""

import argparse
import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers.utils import logging

from ..benchmark.job import INTERRUPTED
from ..benchmark.processes import Executor, Job
from ..benchmark.ray_jobs import RayJobs, ray_parameters
from ..benchmark.slurm import slurm_jobs, slurm_parameters
from ..features.shards import made_shards
from ..models.files_univa import exclusive, one_line, write_text
from ..options import key_values


__all__ = ["ELSEWHERE", "make_elsewhere"]

logger = logging.get_logger(__name__)

#: Options that say where a job runs, and are not its own.
ELSEWHERE = ("executor", "tasks", "slurm", "ray")

_TASKS = 4
# So often is a task that was ended from outside started again.
_TIMES = 3
_SECONDS_BETWEEN_LOOKS = 1.0
# What `run_guarded` begins its sentence with.
_PROGRAM = "univa: "


def make_elsewhere(name: str, options: argparse.Namespace) -> None:
    """
    Do a job over a corpus by tasks of a cluster, and wait for them.

    Args:
        name: of the sub-command.
        options: its options, with `executor` "slurm" or "ray".

    Raises:
        ValueError: a mistake in the options, a task that found one, or one that was ended too often.
    """
    given = {place: key_values(place, getattr(options, place), "cpus=4") for place in ("slurm", "ray")}
    for place in given:
        if given[place] and place != options.executor:
            raise ValueError(f"`{place}` has options, but `executor` is {options.executor}.")
    tasks = _TASKS if options.tasks is None else options.tasks
    if not 1 <= tasks <= 10_000:
        raise ValueError(f"`tasks` must be from 1 to 10000, got {tasks}.")
    output = Path(options.output)
    folder = output.with_name(f"{output.name}.tasks")
    command = _command(name, options, _cores(given[options.executor], options.executor))
    with exclusive(folder, "output", output):
        executor = _executor(options.executor, folder, given[options.executor], tasks)
        _Tasks(executor, command, folder, output, name)()
    shutil.rmtree(folder, ignore_errors=True)


def _cores(given: Mapping[str, str], executor: str) -> int:
    """Of a task."""
    if executor == "slurm":
        return int(slurm_parameters(given).get("cpus_per_task", 1))
    return ray_parameters(given)["num_cpus"]


def _executor(name: str, folder: Path, given: Mapping[str, str], tasks: int) -> Executor:
    return slurm_jobs(folder, given, tasks) if name == "slurm" else RayJobs(given, tasks)


def _command(name: str, options: argparse.Namespace, cores: int) -> list[str]:
    """The command line of a task: the same options, but for where it runs; media are read by as many processes as the
    task has cores."""
    given = {option: value for option, value in vars(options).items() if option not in ("run", "corpus", *ELSEWHERE)}
    if given.get("workers") is None:
        given["workers"] = cores
    package = __name__.partition(".")[0]
    command = [sys.executable, "-m", f"{package}.cli", name, str(options.corpus)]
    for option, value in given.items():
        flag = f"--{option.replace('_', '-')}"
        if value is True:
            command.append(flag)
        elif isinstance(value, list):
            command += [flag, *map(str, value)]
        elif value is not None and value is not False:
            command.append(f"{flag}={value}")
    return command


class _Tasks:
    def __init__(self, executor: Executor, command: Sequence[str], folder: Path, output: Path, name: str):
        self.executor, self.command, self.output, self.name = executor, list(command), output, name
        self.folder = folder
        self._ended: Counter[int] = Counter()

    def __call__(self) -> None:
        running = self._begun()
        try:
            with tqdm(unit=" shards", desc=self.name) as bar:
                while running:
                    self._look(running)
                    self._show(bar)
                    if running:
                        time.sleep(_SECONDS_BETWEEN_LOOKS)
        finally:
            left = [name for job in running.values() if (name := job.stop()) is not None]
            if left:
                print(f"the jobs {', '.join(left)} go on: rerun the same command to wait for them, or scancel them")
        if not self._is_whole():
            raise ValueError(
                f"All tasks were cancelled before {self.output} was whole: rerun the same command to resume."
            )

    def _begun(self) -> dict[int, Job]:
        """The tasks, those of an earlier process among them."""
        found = {index: self.executor.find(self._log(index)) for index in range(self.executor.jobs)}
        file = self.folder / "command.json"
        if any(found.values()) and file.is_file() and json.loads(file.read_text(encoding="utf-8")) != self.command:
            raise ValueError(
                f"Tasks of another command still make {self.output}: rerun that command, or scancel them."
            )
        write_text(file, json.dumps(self.command))
        return {index: self._start(index) if job is None else job for index, job in found.items()}

    def _log(self, index: int) -> Path:
        return self.folder / f"{self.name}-{index:03d}" / "log.txt"

    def _start(self, index: int) -> Job:
        self._log(index).unlink(missing_ok=True)
        return self.executor.start(self.command, self._log(index), index)

    def _look(self, running: dict[int, Job]) -> None:
        """Let those go that have ended, and start those again that did not end by themselves."""
        for index, job in list(running.items()):
            code = job.exit_code()
            if code is None:
                continue
            del running[index]
            if code and code != INTERRUPTED and not self._is_whole():
                running[index] = self._again(index)

    def _again(self, index: int) -> Job:
        last = _last_line(self._log(index))
        if last.startswith(_PROGRAM):
            raise ValueError(last.removeprefix(_PROGRAM))
        self._ended[index] += 1
        if self._ended[index] > _TIMES:
            raise ValueError(f"Task {index} ended {_TIMES + 1} times before its time: {last}; see {self._log(index)}.")
        logger.warning(
            f"Task {index} ended before its time ({last}): it is started again, and its shard is made again."
        )
        return self._start(index)

    def _is_whole(self) -> bool:
        return (self.output / f"{self.name}.json").is_file()

    def _show(self, bar: Any) -> None:
        made = made_shards(self.output)
        if self._is_whole():
            made = (bar.total or 0, bar.total or 0)
        if made is not None:
            bar.total = made[1]
            bar.update(made[0] - bar.n)


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    return one_line(next((line for line in reversed(lines) if line.strip()), "without a word"))
