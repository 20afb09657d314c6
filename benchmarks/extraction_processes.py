# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""CPU time and private memory of this process and of all that it has started, of which some end before it is asked."""

import contextlib
import threading

import psutil


__all__ = ["ProcessTree"]

# Looking takes a millisecond.
_EVERY_SECONDS = 0.05


class ProcessTree:
    """Samples them while it is open; what a process did after its last sample is not counted."""

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
        own = psutil.Process()
        sizes = {}
        for process in (own, *own.children(recursive=True)):
            # It may end while it is looked at.
            with contextlib.suppress(psutil.Error), process.oneshot():
                seconds, memory = process.cpu_times(), process.memory_info()
                self._last[process.pid] = seconds.user + seconds.system
                sizes[process.pid] = memory.rss - memory.shared
        self.main_bytes = max(self.main_bytes, sizes.pop(own.pid, 0))
        self.largest_worker_bytes = max([self.largest_worker_bytes, *sizes.values()])
        self.workers_bytes = max(self.workers_bytes, sum(sizes.values()))
