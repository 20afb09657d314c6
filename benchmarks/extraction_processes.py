# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""CPU time and private memory of this process and of all that it has started, of which some end before it is asked."""

import contextlib
import os
import threading
from pathlib import Path


__all__ = ["ProcessTree"]

_EVERY_SECONDS = 0.02
_TICKS = os.sysconf("SC_CLK_TCK")


class ProcessTree:
    """Samples /proc while it is open; what a process did after its last sample is not counted."""

    def __enter__(self) -> "ProcessTree":
        #: The largest RssAnon in bytes of this process, of one of those that it has started, and of these together.
        self.main_bytes = self.largest_worker_bytes = self.workers_bytes = 0
        self._first: dict[int, float] = {}
        self._last: dict[int, float] = {}
        self._sample()
        self._first = {pid: self._last.get(pid, 0.0) for pid in self._last}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()
        self._sample()

    @property
    def cpu_seconds(self) -> float:
        """User and system time of all of them since it was opened."""
        return sum(seconds - self._first.get(pid, 0.0) for pid, seconds in self._last.items())

    def _run(self) -> None:
        while not self._done.wait(_EVERY_SECONDS):
            self._sample()

    def _sample(self) -> None:
        own = os.getpid()
        sizes = {}
        for pid in [own, *_descendants(own)]:
            # It may end while it is looked at.
            with contextlib.suppress(OSError, ValueError, IndexError):
                self._last[pid] = _cpu_seconds(pid)
                sizes[pid] = _private_bytes(pid)
        self.main_bytes = max(self.main_bytes, sizes.pop(own, 0))
        self.largest_worker_bytes = max([self.largest_worker_bytes, *sizes.values()])
        self.workers_bytes = max(self.workers_bytes, sum(sizes.values()))


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *_descendants(child)]
    return found


def _cpu_seconds(pid: int) -> float:
    # The name in brackets may hold blanks.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _private_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0
