# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Where jobs of a benchmark run: processes of this machine, some at a time, that do not fight for its cores."""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import torch

from ..features.workers import default_workers


__all__ = ["Executor", "Job", "LocalProcesses"]

_SECONDS_TO_END = 10


class Job(Protocol):
    """A job that was started."""

    def exit_code(self) -> int | None:
        """Its exit status, negative where a signal ended it; `None` while it runs."""

    def stop(self) -> str | None:
        """End it and wait for its end; what it wrote stays. The name of one that goes on without this process."""


class Executor(Protocol):
    """
    Where jobs run.

    Args:
        jobs: how many run at a time.
    """

    jobs: int

    def find(self, log: Path) -> Job | None:
        """The job of a log that an earlier process started, where it goes on."""

    def start(self, command: Sequence[str], log: Path, slot: int) -> Job:
        """
        Start a job.

        Args:
            command: a command line of `benchmark.job`.
            log: file that what it says is added to.
            slot: which of the `jobs` places it takes, from 0.
        """


class LocalProcesses:
    """
    Jobs as processes of this machine, which end when this process does, however that is.

    Each has its share of the cores and, where there are several accelerators, one of them.

    Args:
        jobs: how many run at a time.

    Raises:
        ValueError: fewer than one.
    """

    def __init__(self, jobs: int = 1):
        if jobs < 1:
            raise ValueError(f"`jobs` must be at least 1, got {jobs}.")
        self.jobs = jobs

    def find(self, log: Path) -> None:
        """See `Executor`; there are none."""

    def start(self, command: Sequence[str], log: Path, slot: int) -> "_LocalJob":
        """See `Executor`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as file:
            process = subprocess.Popen(
                [*command, "--with-parent"],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=self.environment(slot),
                # Ctrl-C is for this process, which stops the others.
                start_new_session=True,
            )
        return _LocalJob(process)

    def environment(self, slot: int) -> dict[str, str]:
        """Of the process in a place: it finds this package as we do, and computes with its share of the cores."""
        share = max(1, default_workers() // self.jobs)
        asked = os.environ.get("OMP_NUM_THREADS", "")
        threads = min(share, int(asked)) if asked.isdecimal() and int(asked) else share
        own = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
        paths = os.pathsep.join(path for path in sys.path if path)
        return {**os.environ, **own, "PYTHONPATH": paths, **_accelerator(slot)}


class _LocalJob:
    def __init__(self, process: subprocess.Popen):
        self._process = process

    def exit_code(self) -> int | None:
        return self._process.poll()

    def stop(self) -> str | None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_SECONDS_TO_END)
        self._process.kill()
        self._process.wait()
        return None


def _accelerator(slot: int) -> dict[str, str]:
    """One of several GPUs; training takes all that it sees for one run."""
    count = torch.cuda.device_count()
    if count < 2:
        return {}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
    return {"CUDA_VISIBLE_DEVICES": visible.split(",")[slot % count]}
