# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What submitit and Ray run on a machine of a cluster, pickled with its code: only the command imports univa."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


__all__ = ["ClusterCommand", "exit_status"]


class ClusterCommand:
    """
    A command line whose job succeeds if it ends with status 0; before a time limit it is queued once more.

    Args:
        command: a command line, such as one of `benchmark.job`.
        log: file that what it says is added to.
        environment: beside that of the job.
        folder: that it runs in; by default that of the job.
    """

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str], folder: Path | None = None):
        self.command, self.log, self.environment = list(command), str(log), dict(environment)
        self.folder = None if folder is None else str(folder)

    def __call__(self) -> None:
        """Run it; where it fails, also by a signal that is there to end the job, the job fails or is queued again."""
        status = exit_status(self)
        if status:
            sys.exit(abs(status))

    def checkpoint(self) -> Any:
        """For submitit: what to run after it was interrupted; a run resumes from its own checkpoint."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def exit_status(call: ClusterCommand) -> int:
    """Run a command line; its exit status, negative where a signal ended it."""
    threads = os.environ.get("SLURM_CPUS_PER_TASK", "1")
    own = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, **call.environment}
    environment = {**os.environ, **own}
    with open(call.log, "ab", buffering=0) as log:
        done = subprocess.run(call.command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=call.folder)
        if done.returncode < 0:
            log.write(f"The process was ended by signal {-done.returncode}.\n".encode())
    return done.returncode
