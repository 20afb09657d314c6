# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
Processes that need not import torch and transformers again, which is most of what a tiny run takes.

They are forks of one that has done nothing else, and not of the test process, whose threads they would lack. Where the
command line or the start of a process is what is tested, start it as users do.
"""

import atexit
import contextlib
import faulthandler
import functools
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn


_STARTED_WITH = dict(os.environ)


class ForkedProcess:
    """
    A script, or a module as `python -m` runs it, in a fork.

    Args:
        words: path of the script or name of the module, and arguments.
        environment: all of it.
        log: what is printed is added to this file.
        folder: working directory.
        alone: nothing is imported yet but what this script, which is then that of `words`, does if it has no
            arguments; neither this package nor `PYTHONPATH` is there, as with `python -I`.
    """

    def __init__(
        self, words: Sequence[Any], environment: Mapping[str, str], log: Path, folder: Path, alone: bool = False
    ):
        task = {"words": [str(word) for word in words], "environment": dict(environment)}
        self._server = _server(task["words"][0] if alone else None)
        self._pid = self._server.ask(**task, log=str(log.resolve()), folder=str(folder))

    def exit_code(self) -> int | None:
        """`None` while it runs; below 0 the number of the signal that ended it."""
        return self._server.ask(poll=self._pid)

    def stop(self) -> None:
        """End it, if it runs."""
        self._server.ask(kill=self._pid)


def run_forked(
    driver: Path,
    arguments: Sequence[Any],
    environment: Mapping[str, str],
    folder: Path,
    processes: int = 2,
    alone: bool = False,
) -> list[str]:
    """Run a script in one process, or in several of one training as torchrun does, and return what each printed.

    The test fails where one of them does. For `alone` see `ForkedProcess`.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        meeting = {"MASTER_ADDR": "localhost", "MASTER_PORT": free.getsockname()[1]}
    started, logs = [], [folder / f"log-{rank}.txt" for rank in range(processes)]
    for rank, log in enumerate(logs):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes, **meeting}
        own = {name: str(value) for name, value in place.items()} if processes > 1 else {}
        started.append(ForkedProcess([driver, *arguments], {**environment, **own}, log, folder, alone))
    deadline = time.monotonic() + 240
    try:
        while None in (codes := [one.exit_code() for one in started]) and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        for one in started:
            one.stop()
    said = [log.read_text() for log in logs]
    assert codes == [0] * processes, "\n".join([f"exit statuses {codes}", *(text[-3000:] for text in said)])
    return said


class _Server:
    def __init__(self, script: str | None) -> None:
        self._cache = tempfile.TemporaryDirectory(prefix="forks")
        paths = os.pathsep.join(path for path in sys.path if path)
        environment = {**_STARTED_WITH, "HF_HOME": self._cache.name, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
        self._process = subprocess.Popen(
            [sys.executable, __file__] if script is None else [sys.executable, "-I", __file__, script],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        atexit.register(self.close)

    def ask(self, **what: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(what), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()
        self._cache.cleanup()


@functools.cache
def _server(script: str | None) -> _Server:
    return _Server(script)


def _serve() -> None:
    """Start, look at and end forks, as the lines of the standard input say."""
    if sys.argv[1:]:
        sys.argv = sys.argv[1:]
        with contextlib.redirect_stdout(sys.stderr):
            runpy.run_path(sys.argv[0], run_name="__main__")
    else:
        import train_hf  # noqa: F401
        from modeling_univa.benchmark import job  # noqa: F401
    # The stack of every thread of one that hangs or crashes is the end of its log.
    faulthandler.enable()
    gc.freeze()
    codes: dict[int, int | None] = {}
    for line in sys.stdin:
        task = json.loads(line)
        if "words" in task:
            answer = os.fork() or _run(**task)
            codes[answer] = None
        else:
            pid = task.get("poll") or task["kill"]
            if codes[pid] is None and "kill" in task:
                os.kill(pid, signal.SIGABRT)
            if codes[pid] is None:
                ended, status = os.waitpid(pid, os.WNOHANG if "poll" in task else 0)
                codes[pid] = os.waitstatus_to_exitcode(status) if ended else None
            answer = codes[pid]
        print(json.dumps(answer), flush=True)
    for pid, code in codes.items():
        if code is None:
            os.kill(pid, signal.SIGKILL)


def _run(words: list[str], environment: dict[str, str], log: str, folder: str) -> NoReturn:
    """What a fork does; it does not return."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for place in (1, 2):
        os.dup2(output, place)
    os.environ.clear()
    os.environ.update(environment)
    for module in ("transformers.utils.hub", "transformers.dynamic_module_utils"):
        if module in sys.modules and "HF_MODULES_CACHE" in environment:
            # Read from the environment when it was imported.
            sys.modules[module].HF_MODULES_CACHE = environment["HF_MODULES_CACHE"]
    os.chdir(folder)
    sys.argv, status = words, 1
    try:
        if words[0].endswith(".py"):
            runpy.run_path(words[0], run_name="__main__")
        else:
            runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve()
