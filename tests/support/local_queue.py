# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Jobs of submitit on this machine, told of as Slurm would."""

import submitit


class LocalQueue:
    """Tells of jobs of submitit on this machine what Slurm would tell."""

    def __init__(self):
        self.forced: dict[str, str] = {}

    def find(self, name: str) -> str | None:
        return None

    def going(self) -> set[str]:
        return {job for job, state in self.forced.items() if state == "RUNNING"}

    def state(self, job: submitit.Job) -> str:
        if job.job_id in self.forced:
            return self.forced[job.job_id]
        if not job.done():
            return "RUNNING"
        return "COMPLETED" if job.paths.result_pickle.exists() else "FAILED"
