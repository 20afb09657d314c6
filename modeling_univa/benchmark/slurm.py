# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Jobs of a benchmark in Slurm, one a run, by submitit: they go on without this process, which finds them again."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..options import nearest
from . import cluster_command
from .cluster_command import ClusterCommand
from .job import FAILED, INTERRUPTED


__all__ = ["ClusterJobs", "Queue", "SlurmQueue", "slurm_jobs", "slurm_parameters"]

_COMMANDS = ("sbatch", "srun", "squeue")
_FOLDER = "cluster"
# Of `--slurm`; what submitit calls otherwise.
_OPTIONS = {
    "partition": "partition", "account": "account", "qos": "qos", "constraint": "constraint", "exclude": "exclude",
    "gres": "gres", "gpus": "gpus_per_node", "cpus_per_task": "cpus_per_task", "mem": "mem", "time": "time",
}  # fmt: skip
_WHOLE_NUMBERS = ("gpus", "cpus_per_task")
_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<first>\d+)(?::(?P<second>\d\d))?(?::(?P<third>\d\d))?")
_MEMORY = re.compile(r"\d+[KMGT]?", re.IGNORECASE)
# So long has a job where no time is set, in minutes; and so often may it take all of it.
_MINUTES, _TIMES = 24 * 60, 20
_SECONDS_BETWEEN_QUESTIONS = 5.0
_SECONDS_OF_PATIENCE = 120
# States of a job that does not go on: ended by itself, by the user, and by the cluster, which did not queue it again.
_BY_ITSELF = {"COMPLETED": 0, "FAILED": FAILED, "OUT_OF_MEMORY": -9}
_BY_THE_USER = ("CANCELLED", "REVOKED", "DEADLINE")
_BY_THE_CLUSTER = ("PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "TIMEOUT")
_ENDED = (*_BY_ITSELF, *_BY_THE_USER, *_BY_THE_CLUSTER)


class Queue(Protocol):
    """What a cluster says of jobs."""

    def find(self, name: str) -> str | None:
        """The id of a job of that name that has not ended."""

    def going(self) -> set[str]:
        """Ids of all jobs that have not ended."""

    def state(self, job: Any) -> str:
        """The state of a job of submitit, in words of Slurm; "UNKNOWN" where it is not known any more."""


class SlurmQueue:
    """
    What Slurm says of the jobs of this user, for as many as there are by one question every few seconds.

    Accounting (`sacct`) is not needed.

    Args:
        seconds: between two questions.
    """

    def __init__(self, seconds: float = _SECONDS_BETWEEN_QUESTIONS):
        self._seconds = seconds
        self._asked = -float("inf")
        self._known: dict[str, tuple[str, str]] = {}
        self._first_seen: dict[str, float] = {}

    def find(self, name: str) -> str | None:
        """See `Queue`."""
        return next((job for job in self.going() if self._known[job][1] == name), None)

    def going(self) -> set[str]:
        """See `Queue`."""
        self._ask()
        return {job for job, (state, _) in self._known.items() if state not in _ENDED}

    def state(self, job: Any) -> str:
        """See `Queue`."""
        since = self._first_seen.setdefault(job.job_id, time.monotonic())
        self._ask()
        # What was answered before its submission says nothing about it.
        return self._known.get(job.job_id, ("PENDING" if self._asked <= since else "UNKNOWN", ""))[0]

    def _ask(self) -> None:
        now = time.monotonic()
        if now - self._asked < self._seconds:
            return
        lines = self._answer(now)
        if lines is not None:
            self._asked = now
            rows = [line.strip().split("|", 2) for line in lines]
            self._known = {job: (state, name) for job, state, name in rows}

    def _answer(self, now: float) -> list[str] | None:
        """Lines of squeue; a controller that is restarted has some time to come back."""
        command = ["squeue", "--noheader", "--states=all", f"--user={os.getuid()}", "--format=%i|%T|%j"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            return [line for line in done.stdout.splitlines() if line.count("|") >= 2]
        if now - self._asked > _SECONDS_OF_PATIENCE:
            raise ValueError(f"Slurm does not answer: {done.stderr.strip() or 'squeue failed'}")
        return None


class ClusterJobs:
    """
    Jobs of a cluster. They go on when this process ends; another one finds them by their names.

    Args:
        executor: of submitit, whose folder all machines see.
        queue: what the cluster says of jobs.
        jobs: how many are in the queue at a time.

    Raises:
        ValueError: fewer than one.
    """

    def __init__(self, executor: Any, queue: Queue, jobs: int):
        import cloudpickle

        if jobs < 1:
            raise ValueError(f"`jobs` must be at least 1, got {jobs}.")
        cloudpickle.register_pickle_by_value(cluster_command)
        self.executor, self.queue, self.jobs = executor, queue, jobs
        # Ids of jobs that this process waits for.
        self.waited: set[str] = set()

    def find(self, log: Path) -> "_ClusterJob | None":
        """See `Executor`."""
        if not self.waited:
            self.clean()
        job = self.queue.find(_name(log))
        return None if job is None else _ClusterJob(self, self.executor.job_class(self.executor.folder, job), None)

    def start(self, command: Sequence[str], log: Path, slot: int) -> "_ClusterJob":
        """See `Executor`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        paths = os.pathsep.join(path for path in sys.path if path)
        call = ClusterCommand(command, log.resolve(), {"PYTHONPATH": paths, "TOKENIZERS_PARALLELISM": "false"})

        def submit() -> Any:
            self.executor.update_parameters(job_name=_name(log))
            return _submitted(self.executor, call)

        return _ClusterJob(self, submit(), submit)

    def clean(self) -> None:
        """Remove what submitit has written of jobs that have ended, also while no process waited for them."""
        kept = self.queue.going() | self.waited
        for file in Path(self.executor.folder).glob("*"):
            if file.name.partition("_")[0] not in kept:
                file.unlink(missing_ok=True)


class _ClusterJob:
    def __init__(self, jobs: ClusterJobs, job: Any, submit: Callable[[], Any] | None):
        self._jobs, self._submit = jobs, submit
        self._wait_for(job)

    def exit_code(self) -> int | None:
        state = self._jobs.queue.state(self._job)
        if state not in _ENDED and state != "UNKNOWN":
            return None
        self._jobs.waited.discard(self._job.job_id)
        self._jobs.clean()
        if state in _BY_THE_CLUSTER and self._submit is not None:
            self._wait_for(self._submit())
            return None
        return _BY_ITSELF.get(state, INTERRUPTED)

    def stop(self) -> str | None:
        return None if self.exit_code() is not None else str(self._job.job_id)

    def _wait_for(self, job: Any) -> None:
        self._job = job
        self._jobs.waited.add(job.job_id)


def slurm_jobs(folder: str | Path, options: Mapping[str, str], jobs: int) -> ClusterJobs:
    """
    Jobs of Slurm.

    Args:
        folder: of the store, which all machines see.
        options: of `slurm_parameters`.
        jobs: how many are in the queue at a time.

    Raises:
        ImportError: submitit is not installed; the message names the extra.
        ValueError: an option that is wrong, or no Slurm.
    """
    parameters = slurm_parameters(options)
    try:
        import submitit
    except ImportError as error:
        raise ImportError('jobs of Slurm need submitit: pip install "univa[cluster]"') from error
    missing = [command for command in _COMMANDS if shutil.which(command) is None]
    if missing:
        raise ValueError(f"`executor` slurm needs the commands of Slurm: {', '.join(missing)} was not found here.")
    executor = submitit.SlurmExecutor(folder=Path(folder, _FOLDER).resolve(), max_num_timeout=_TIMES)
    executor.update_parameters(**parameters)
    return ClusterJobs(executor, SlurmQueue(), jobs)


def slurm_parameters(options: Mapping[str, str]) -> dict[str, Any]:
    """
    Parameters of `submitit.SlurmExecutor`.

    Args:
        options: partition, account, qos, constraint, exclude, gres, gpus, cpus_per_task, mem and time as Slurm writes
            them.

    Raises:
        ValueError: an option that there is not, or a value that it does not take.
    """
    found: dict[str, Any] = {"time": _MINUTES, "additional_parameters": {"requeue": True}}
    for name, value in options.items():
        if name not in _OPTIONS:
            hint = nearest(name, _OPTIONS) or f"; there are {', '.join(_OPTIONS)}"
            raise ValueError(f"`slurm` has the unknown option {name!r}{hint}.")
        found[_OPTIONS[name]] = _value(name, value)
    if "mem" in found:
        found["additional_parameters"]["mem"] = found.pop("mem")
    if "cpus_per_task" in found:
        # Since Slurm 22.05 srun does not know what sbatch was told.
        found["srun_args"] = [f"--cpus-per-task={found['cpus_per_task']}"]
    return found


def _value(name: str, value: str) -> Any:
    if name == "time":
        return _minutes(value)
    if name in _WHOLE_NUMBERS and not (value.isdecimal() and int(value)):
        raise ValueError(f"`slurm` has {name}={value!r}, expected a whole number from 1.")
    if name == "mem" and not _MEMORY.fullmatch(value):
        raise ValueError(f"`slurm` has mem={value!r}, expected a size such as 16G.")
    if not value:
        raise ValueError(f"`slurm` has {name} without a value.")
    return int(value) if name in _WHOLE_NUMBERS else value


def _minutes(value: str) -> int:
    """Slurm's minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes…, rounded up."""
    match = _TIME.fullmatch(value)
    if match is None:
        raise ValueError(f"`slurm` has time={value!r}, expected a time such as 90, 12:00:00 or 2-12.")
    parts = [int(match[name] or 0) for name in ("first", "second", "third")]
    if match["days"] is not None:
        seconds = int(match["days"]) * 86400 + parts[0] * 3600 + parts[1] * 60 + parts[2]
    elif match["third"] is not None:
        seconds = parts[0] * 3600 + parts[1] * 60 + parts[2]
    else:
        seconds = parts[0] * 60 + parts[1]
    if seconds == 0:
        raise ValueError("`slurm` has a time of 0, expected at least a minute.")
    return -(-seconds // 60)


def _name(log: Path) -> str:
    """Of a job: of its run and of the store."""
    return f"univa-{log.parent.name}-{hashlib.sha256(str(log.resolve()).encode()).hexdigest()[:8]}"


def _submitted(executor: Any, call: ClusterCommand) -> Any:
    from submitit.core.utils import FailedJobError

    try:
        return executor.submit(call)
    except FailedJobError as error:
        reasons = [line for line in str(error).splitlines() if "error:" in line]
        raise ValueError(f"Slurm took no job: {reasons[0] if reasons else error}") from error
