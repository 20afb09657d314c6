# Copyright 2026 The UniVA authors.
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
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, ClassVar, TypeVar

import torch
from transformers.utils import logging

from ..data.schema import CorpusError


__all__ = ["Workers", "check_workers", "default_workers", "one_thread"]

A = TypeVar("A")
T = TypeVar("T")


def default_workers() -> int:
    """The cores of this process, shared with the other processes of a launcher."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


def check_workers(workers: int) -> None:
    """Raise a `CorpusError` for what is not a number of worker processes."""
    if not 0 <= workers <= 1024:
        raise CorpusError(f"`workers` must be a number of processes from 0 to 1024, got {workers}")


class Workers:
    """Calls functions in worker processes, or here where there is too little to do for them.

    Args:
        count: Processes; with 0 or 1 all is done here.
    """

    #: Seconds of work that are done here first: about as long as the processes take to start.
    patience: ClassVar[float] = 5.0

    def __init__(self, count: int):
        check_workers(count)
        self.count = count
        self._pool: ProcessPoolExecutor | None = None
        self._processes: set[Any] = set()
        self._seconds = 0.0

    @property
    def at_work(self) -> int:
        """Processes that calls go to; 0 while all is done here."""
        return self.count if self.count > 1 and self._seconds >= self.patience else 0

    def submit(self, function: Callable[[A], T], argument: A) -> "Future[T]":
        """Begin a call, which must be one that pickles; see `result`."""
        if not self.at_work:
            return self._here(function, argument)
        self._pool = self._pool or ProcessPoolExecutor(self.count, _context(), _begin_worker)
        there = set(multiprocessing.active_children())
        with _told_processes(), _started_with_one_thread():
            future = self._pool.submit(_on_one_thread, function, argument)
        self._processes |= set(multiprocessing.active_children()) - there
        return future

    def result(self, future: "Future[T]") -> T:
        """What a call returned, or raises what it raised.

        Raises:
            CorpusError: A process was killed.
        """
        with _told_processes():
            return future.result()

    def close(self) -> None:
        """End all processes at once, whatever they are at."""
        for process in self._processes:
            process.kill()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._pool, self._processes = None, set()

    def _here(self, function: Callable[[A], T], argument: A) -> "Future[T]":
        future: Future[T] = Future()
        started = time.perf_counter()
        future.set_result(_on_one_thread(function, argument))
        self._seconds += time.perf_counter() - started
        return future


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch and OpenCV to the thread that calls them."""
    try:
        import cv2
    except ImportError:
        cv2 = None  # type: ignore[assignment]
    torch_threads, cv2_threads = torch.get_num_threads(), cv2.getNumThreads() if cv2 else 0
    torch.set_num_threads(1)
    if cv2:
        cv2.setNumThreads(1)
    try:
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


@contextlib.contextmanager
def _told_processes() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise CorpusError(
            "A worker process was killed, most likely because there was not enough memory. Use fewer `workers`; the "
            "same command goes on where it stopped."
        ) from error


def _begin_worker() -> None:
    # The bar of one process in the midst of that of another.
    logging.disable_progress_bar()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
