# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from modeling_univa.data.schema import CorpusError
from modeling_univa.features.workers import ProcessKilled, Workers, default_workers, one_thread


SCRIPT = """
import sys, time
from modeling_univa.commands.failures import run_guarded
from modeling_univa.features.workers import Workers

def work():
    workers = Workers(2)
    Workers.patience = 0.0
    try:
        print(*[workers.submit(abs, number).result() for number in (-1, -2)], flush=True)
        futures = [workers.submit(time.sleep, 60) for _ in range(5)]
        print("asleep", flush=True)
        futures[0].result()
    finally:
        workers.close()

if __name__ == "__main__":
    sys.exit(run_guarded("script", work))
"""


def about(_):
    import cv2

    return os.getpid(), torch.get_num_threads(), cv2.getNumThreads(), os.environ.get("OMP_NUM_THREADS")


def die(number):
    os.kill(os.getpid(), number)


def die_of(number):
    return number if number < 0 else die(number)


def fail(number):
    raise ValueError(f"{number} is not a clip")


@pytest.fixture
def workers(monkeypatch):
    monkeypatch.setattr(Workers, "patience", 0.0)
    made = Workers(2)
    yield made
    made.close()


def test_a_little_work_is_done_here_on_one_thread():
    threads = torch.get_num_threads()
    for count in (0, 1, 2):
        workers = Workers(count)
        process, torch_threads, cv2_threads, _ = workers.submit(about, 0).result()
        assert (process, torch_threads, cv2_threads, workers.at_work) == (os.getpid(), 1, 1, 0)
        workers.close()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == threads


def test_numbers_of_workers(monkeypatch):
    for count in (-1, 5000):
        with pytest.raises(CorpusError, match="`workers` must be a number of processes from 0 to 1024"):
            Workers(count)
    cores = len(os.sched_getaffinity(0))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert default_workers() == cores
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(cores))
    assert default_workers() == 1


@pytest.mark.slow
def test_processes_have_one_thread_each_and_end_in_one_sentence_when_killed(workers, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = [future.result() for future in [workers.submit(about, number) for number in range(8)]]
    assert {threads for _, *threads in map(tuple, found) for threads in [tuple(threads)]} == {(1, 1, "1")}
    assert os.getpid() not in {process for process, *_ in found}
    assert os.environ["OMP_NUM_THREADS"] == "3"
    with pytest.raises(ValueError, match="7 is not a clip"):
        workers.submit(fail, 7).result()
    for number in [signal.SIGKILL] * 3:
        with pytest.raises(CorpusError, match="A worker process was killed, most likely because there was not enough"):
            workers.submit(die, number).result()
    with pytest.raises(ProcessKilled, match=r"A worker process crashed \(SIGSEGV\)"):
        workers.submit(die, signal.SIGSEGV).result()
    # Others have taken their places.
    assert [workers.submit(abs, -number).result() for number in range(8)] == list(range(8))
    asleep = [workers.submit(time.sleep, 0.2) for _ in range(4)]
    *calm, killed = workers.one_by_one(die_of, [-1, -2, signal.SIGKILL])
    assert calm == [-1, -2] and isinstance(killed, ProcessKilled)
    assert [future.result() for future in asleep] == [None] * 4
    assert list(workers.one_by_one(die_of, [-3])) == [-3]
    started = time.monotonic()
    asleep = [workers.submit(time.sleep, 60) for _ in range(3)]
    workers.close()
    assert all(future.done() for future in asleep) and time.monotonic() - started < 30


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_processes_end_at_once_with_the_job(tmp_path, number, status):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert [process.stdout.readline() for _ in range(2)] == ["1 2\n", "asleep\n"]
    time.sleep(0.5)
    # As from a terminal, where all processes get the interrupt; a kill is for one.
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == status
    if number == signal.SIGINT:
        assert said == "script: Interrupted. Run the same command again to resume.\n"
    deadline = time.monotonic() + 60
    while _left(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _left(process.pid)


def _left(group):
    """Processes of a group that are at work."""
    listed = subprocess.run(["ps", "-eo", "pgid,stat,args"], capture_output=True, text=True, check=True).stdout
    lines = [line.split(None, 2) for line in listed.splitlines()[1:]]
    return [line for line in lines if line[0] == str(group) and not line[1].startswith("Z")]
