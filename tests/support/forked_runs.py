# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Runs of a benchmark in forks, where what they leave is tested and not how they are started."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from forks import ForkedProcess

from modeling_univa.benchmark.processes import LocalProcesses


class ForkedRuns(LocalProcesses):
    """Stands in for `LocalProcesses`."""

    def start(self, command: Sequence[str], log: Path, slot: int) -> ForkedProcess:
        """See `Executor`."""
        assert command[1:3] == ["-m", "modeling_univa.benchmark.job"], command
        log.parent.mkdir(parents=True, exist_ok=True)
        return ForkedProcess(command[2:], self.environment(slot), log, Path.cwd())


def fork_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the commands make their runs so."""
    monkeypatch.setattr("modeling_univa.commands.benchmark_runs.LocalProcesses", ForkedRuns)
