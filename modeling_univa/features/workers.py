# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Processes of one thread each that read media and make light features.

Media work is many small operations. Two threads wait for each other after each of them, which on shared cores takes up
to a hundred times as long as the work itself; two processes do not.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, ClassVar, TypeVar

import torch
from threadpoolctl import threadpool_limits
from transformers.utils import logging

from ..cores import default_workers
from ..data.schema import CorpusError


__all__ = ["ProcessKilled", "Workers", "check_workers", "default_workers", "one_thread"]

# The exit code of a process that was ended by SIGKILL, which not every system has.
_KILLED = -9

A = TypeVar("A")
T = TypeVar("T")


def check_workers(workers: int) -> None:
    """Raise a `CorpusError` for what is not a number of worker processes."""
    if not 0 <= workers <= 1024:
        raise CorpusError(f"`workers` must be a number of processes from 0 to 1024, got {workers}")


class ProcessKilled(CorpusError):
    """A worker process was killed, or crashed, while it was at work.

    Args:
        exit_code: As of `multiprocessing.Process`.
    """

    def __init__(self, exit_code: int | None):
        self.how = f"ended with status {exit_code}"
        if exit_code == _KILLED:
            self.how = "was killed, most likely because there was not enough memory"
        elif exit_code is not None and exit_code < 0:
            self.how = f"crashed ({signal.Signals(-exit_code).name})"
        super().__init__(f"A worker process {self.how}.")


class Workers:
    """Calls functions in worker processes, or here where there is too little to do for them.

    A thread for each process waits for what it sends, so that nothing can be waited for that a process that was killed
    would have had to do. A process that was killed is replaced by a fresh one.

    Args:
        count: Processes; with 0 or 1 all is done here.
    """

    #: Seconds of work that are done here first: about as long as the processes take to start.
    patience: ClassVar[float] = 5.0

    def __init__(self, count: int):
        check_workers(count)
        self.count = count
        self._seconds = 0.0
        self._threads: ThreadPoolExecutor | None = None
        # By our end of the connection.
        self._processes: dict[Connection, Any] = {}
        self._starting = threading.Lock()
        self._idle: SimpleQueue[Connection] = SimpleQueue()

    @property
    def at_work(self) -> int:
        """Processes that calls go to; 0 while all is done here."""
        return self.count if self.count > 1 and self._seconds >= self.patience else 0

    def submit(self, function: Callable[[A], T], argument: A) -> "Future[T]":
        """
        Begin a call, which must be one that pickles.

        The future raises what the call raised, or `ProcessKilled`.
        """
        if not self.at_work:
            return self._here(function, argument)
        if self._threads is None:
            self._start()
        assert self._threads is not None
        return self._threads.submit(self._there, function, argument)

    def one_by_one(self, function: Callable[[A], T], arguments: Sequence[A]) -> Iterator[T | ProcessKilled]:
        """What a function makes of each argument, in a process while the others rest, or how that one ended."""
        idle = [self._idle.get() for _ in range(self.count)]
        try:
            for argument in arguments:
                process = idle.pop()
                try:
                    yield self._call(process, function, argument)
                except ProcessKilled as error:
                    process = self._replaced(process)
                    yield error
                finally:
                    idle.append(process)
        finally:
            for process in idle:
                self._idle.put(process)

    def close(self) -> None:
        """End all processes at once, whatever they are at."""
        with self._starting:
            processes, self._processes = list(self._processes.values()), {}
        for process in processes:
            process.kill()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        self._threads, self._idle = None, SimpleQueue()

    def _start(self) -> None:
        with self._starting:
            for _ in range(self.count):
                self._idle.put(self._start_one())
        self._threads = ThreadPoolExecutor(self.count, "worker")

    def _start_one(self) -> Connection:
        context = _context()
        with _started_with_one_thread():
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
        # The other end is the process' alone, so that it closes when the process dies.
        theirs.close()
        self._processes[ours] = process
        return ours

    def _replaced(self, process: Connection) -> Connection:
        """A fresh process in the place of one that was killed; none where all of them are being ended."""
        with self._starting:
            if process not in self._processes:
                return process
            del self._processes[process]
            process.close()
            return self._start_one()

    def _here(self, function: Callable[[A], T], argument: A) -> "Future[T]":
        future: Future[T] = Future()
        started = time.perf_counter()
        future.set_result(_on_one_thread(function, argument))
        self._seconds += time.perf_counter() - started
        return future

    def _there(self, function: Callable[[A], T], argument: A) -> T:
        process = self._idle.get()
        try:
            return self._call(process, function, argument)
        except ProcessKilled:
            process = self._replaced(process)
            raise
        finally:
            self._idle.put(process)

    def _call(self, process: Connection, function: Callable[[A], T], argument: A) -> T:
        try:
            process.send((function, argument))
            value, error = process.recv()
        except (EOFError, OSError):
            killed = self._processes.get(process)
            if killed is not None:
                killed.join()
            raise ProcessKilled(_KILLED if killed is None else killed.exitcode) from None
        if error is not None:
            raise error
        return value


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch, OpenCV and the linear algebra of numpy to the thread that calls them."""
    try:
        import cv2
    except ImportError:
        cv2 = None  # type: ignore[assignment]
    torch_threads, cv2_threads = torch.get_num_threads(), cv2.getNumThreads() if cv2 else 0
    torch.set_num_threads(1)
    if cv2:
        cv2.setNumThreads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(torch_threads)
        if cv2:
            cv2.setNumThreads(cv2_threads)


def _on_one_thread(function: Callable[[A], T], argument: A) -> T:
    with one_thread():
        return function(argument)


def _context() -> Any:
    """How processes start: never as forks of this one, whose threads they would wait for."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # What takes seconds to import is imported once for all of them, and shares its memory.
    package = __name__.partition(".")[0]
    context.set_forkserver_preload(sorted(name for name in sys.modules if name.partition(".")[0] == package))
    return context


@contextlib.contextmanager
def _started_with_one_thread() -> Iterator[None]:
    """For processes that start meanwhile: libraries read these variables when they are imported, and an interrupt from
    the keyboard, which goes to all processes, is for this one alone to answer."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    # It would unblock the signal, should it start meanwhile.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _serve(calls: "Connection") -> None:
    """What a process does: one call after the other, until the one that calls is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # The bar of one process in the midst of that of another.
    logging.disable_progress_bar()
    with contextlib.suppress(EOFError, OSError):
        while True:
            function, argument = calls.recv()
            answer: tuple[Any, Exception | None]
            try:
                answer = _on_one_thread(function, argument), None
            except Exception as error:
                answer = None, error
            calls.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
