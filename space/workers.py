# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Processes that work for visitors, each of which is ended and replaced when a request takes too long."""

import contextlib
import multiprocessing
import queue
import secrets
import sys
import traceback
from collections.abc import Iterator
from typing import Any


__all__ = ["Busy", "Fault", "Pool", "Refused"]


class Refused(Exception):
    """What a visitor did wrong; the message may be shown."""


class Busy(Exception):
    """A request took too long, or every process is at work."""


class Fault(Exception):
    """Something else went wrong; the message is the number under which the log has it."""


class Pool:
    """
    Some processes, each of which answers one request at a time.

    Args:
        size: Number of processes.
        module: Name of the module whose `answer` makes answers, whose `start` prepares for them, and whose
            `VisitorError` is shown to visitors. It is imported in the processes alone.
        seconds: Longest time for an answer.
        patience: Longest time for a process to get ready, and for a request to wait for one.
    """

    def __init__(self, size: int, module: str, seconds: float, patience: float = 600):
        self.module, self.seconds, self.patience = module, seconds, patience
        self._free: queue.Queue[_Worker] = queue.Queue()
        for _ in range(size):
            self._free.put(_Worker(module))

    def answer(self, *arguments: Any) -> Any:
        """
        What `answer` of the module returns.

        Raises:
            Refused, Busy, Fault: as they say.
        """
        with self._worker() as worker:
            return worker.ask(arguments, self.patience, self.seconds)

    @contextlib.contextmanager
    def _worker(self) -> Iterator["_Worker"]:
        try:
            worker = self._free.get(timeout=self.patience)
        except queue.Empty:
            raise Busy from None
        try:
            yield worker
        finally:
            # A process that was ended, or died by itself, is replaced at once.
            self._free.put(worker if worker.is_alive() else _Worker(self.module))

    def close(self) -> None:
        """End all processes."""
        while not self._free.empty():
            self._free.get().end()


class _Worker:
    def __init__(self, module: str):
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(module, other), daemon=True)
        self._process.start()
        other.close()
        self._is_ready = False

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def ask(self, arguments: tuple[Any, ...], patience: float, seconds: float) -> Any:
        if not self._is_ready:
            # Not to be ready for the first model is no reason to refuse others; the log has why.
            with contextlib.suppress(Refused, Fault):
                self._receive(patience)
            self._is_ready = True
        try:
            self._pipe.send(arguments)
        except OSError:
            raise self._ended() from None
        return self._receive(seconds)

    def _receive(self, seconds: float) -> Any:
        if not self._pipe.poll(seconds):
            self.end()
            raise Busy
        try:
            kind, value = self._pipe.recv()
        except (EOFError, OSError):
            raise self._ended() from None
        if kind == "answer":
            return value
        raise Refused(value) if kind == "refused" else Fault(value)

    def _ended(self) -> Fault:
        """A process that ended by itself: out of memory, or a decoder that crashed."""
        self.end()
        return Fault(_log(f"A process ended with the status {self._process.exitcode}."))


def _serve(module: str, pipe: Any) -> None:
    """Answer requests until the pipe is closed."""
    import importlib

    work = importlib.import_module(module)
    pipe.send(_outcome(work, work.start))
    while True:
        try:
            arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(_outcome(work, work.answer, *arguments))


def _outcome(work: Any, function: Any, *arguments: Any) -> tuple[str, Any]:
    try:
        return "answer", function(*arguments)
    except work.VisitorError as error:
        return "refused", str(error)
    except Exception:
        return "fault", _log(traceback.format_exc())


def _log(text: str) -> str:
    """Write to the server's log; the number under which it stands there."""
    number = secrets.token_hex(4)
    print(f"[{number}] {text}", file=sys.stderr, flush=True)
    return number
