# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""One request never keeps others out: processes are ended at their time and replaced."""

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "space"))

from workers import Busy, Fault, Pool, Refused


WORK = """
import os, pathlib, sys, time

sys.stderr = open(pathlib.Path(__file__).with_name("log.txt"), "a")

class VisitorError(ValueError):
    pass

def start():
    raise RuntimeError("not ready")

def answer(what):
    if what == "sleep":
        time.sleep(60)
    if what == "loop":
        while True:
            pass
    if what == "die":
        os._exit(3)
    if what == "mistake":
        raise VisitorError("your mistake")
    if what == "fault":
        raise RuntimeError("secret words /srv/app")
    return what, os.getpid()
"""


@pytest.fixture
def pool(tmp_path, monkeypatch) -> Iterator[Pool]:
    (tmp_path / "some_work.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    made = Pool(2, "some_work", seconds=1.5, patience=60)
    yield made
    made.close()


def test_answers_mistakes_faults_and_deaths(pool, tmp_path):
    assert pool.answer("hello")[0] == "hello"
    with pytest.raises(Refused, match="^your mistake$"):
        pool.answer("mistake")
    with pytest.raises(Fault, match="^[0-9a-f]{8}$") as error:
        pool.answer("fault")
    log = (tmp_path / "log.txt").read_text()
    assert "secret words /srv/app" in log and f"[{error.value}]" in log
    assert "secret" not in str(error.value)
    with pytest.raises(Fault, match="^[0-9a-f]{8}$"):
        pool.answer("die")
    assert [pool.answer(n)[0] for n in range(4)] == [0, 1, 2, 3]


@pytest.mark.slow
def test_what_takes_too_long_is_ended_and_others_are_served_meanwhile(pool):
    first, second = {pool.answer("a")[1] for _ in range(1)}, {pool.answer("b")[1]}
    ended: list[float] = []

    def slow(what: str) -> None:
        began = time.monotonic()
        with pytest.raises(Busy):
            pool.answer(what)
        ended.append(time.monotonic() - began)

    thread = threading.Thread(target=slow, args=("sleep",))
    thread.start()
    time.sleep(0.2)
    assert pool.answer("c")[0] == "c"
    assert not ended
    thread.join()
    assert 1.4 < ended[0] < 30
    slow("loop")
    # New processes, which answer as the old ones did.
    assert pool.answer("d")[1] not in first | second or pool.answer("e")[1] not in first | second
