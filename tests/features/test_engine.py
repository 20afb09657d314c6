# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The one engine: features in order, each item once, whoever makes them, and on from where a run stopped."""

import os
import signal
import weakref

import numpy as np
import pytest
from transformers.utils import logging

from modeling_univa.data.schema import CorpusError
from modeling_univa.features.engine import FeatureEngine, FeatureStore, feature_engine
from modeling_univa.features.media import Item, MediaReader, Missing
from modeling_univa.features.workers import Workers


class Dangerous(MediaReader):
    """Of every file its name; with "bomb…" its process dies, with "mine…" the first time alone."""

    def _read(self, item):
        trodden = self.root / item.name
        if item.name.startswith("bomb") or (item.name.startswith("mine") and not trodden.exists()):
            trodden.touch()
            os.kill(os.getpid(), signal.SIGKILL if item.name.startswith("bomb") else signal.SIGSEGV)
        return item.name, None


class Lengths:
    """A large extractor: the length of a name, over the number of items that it gets at a time."""

    feature_size, sampling_rate, extractor_type = 2, 16000, "lengths"

    def __init__(self):
        self.calls = []

    def extract_batch(self, items):
        self.calls.append([len(waveform) for waveform, _ in items])
        return [np.full((1, 2), len(waveform), np.float32) for waveform, _ in items]


@pytest.fixture
def read(monkeypatch):
    """Names of what was read; a sound is as long as its name, "bad…" cannot be read and "still…" has none."""
    names = []

    def reading(self, item):
        names.append(item.name)
        if item.name.startswith("bad"):
            return Missing(f"{item.name}: broken", rejected=True), None
        if item.name.startswith("still"):
            return Missing(f"{item.name}: no sound", rejected=False), None
        return (np.ones(len(item.name), np.float32), 16000), f"{item.name} is odd" if "odd" in item.name else None

    monkeypatch.setattr(MediaReader, "read", reading)
    return names


def rows(*names):
    return [(name, {"audio": [Item("sound", part) for part in name.split("+") if part]}) for name in names]


def frames(found):
    return [
        made["audio"] if not isinstance(made["audio"], np.ndarray) else made["audio"][:, 0].tolist()
        for _, made, _ in found
    ]


def test_rows_come_in_order_and_each_item_is_read_once(read):
    extractor = Lengths()
    engine = feature_engine({"audio": extractor}, batch_size=1)
    found = list(engine.rows(rows("aaa", "b", "", "b+aaa", "odd", "bad+b", "still", "still+b", "odd")))
    assert frames(found) == [
        [3], [1], None, [1, 3], [3], Missing("bad: broken", True), Missing("still: no sound", False), [1], [3],
    ]  # fmt: skip
    assert read == ["aaa", "b", "odd", "bad", "still"]
    assert [row for row, _, _ in found][:3] == ["aaa", "b", ""]
    # A note is told once.
    assert [notes for _, _, notes in found] == [[], [], [], [], ["odd is odd"], [], [], [], []]
    # First what the extractors are tried with, then windows of four rows, by length.
    assert extractor.calls == [[16000], [1], [3], [3]]


@pytest.mark.slow
def test_a_file_that_kills_its_process_is_lost_alone(tmp_path, monkeypatch, caplog):
    """And the job goes on, whatever else the process had to read."""
    monkeypatch.setattr(Workers, "patience", 0.0)
    monkeypatch.setattr(logging.get_logger("modeling_univa"), "propagate", True)
    names = [f"{kind}{number}" for number in range(3) for kind in ("a", "b", "c", "bomb" if number == 1 else "mine")]
    engine = FeatureEngine(Dangerous(tmp_path), {}, batch_size=2, workers=2)
    try:
        found = list(engine.rows(rows(*names)))
    finally:
        engine.close()
    reason = (
        "bomb1: with it alone a worker process was killed, most likely because there was not enough memory; cut it "
        "into shorter clips"
    )
    expected = [Missing(reason, rejected=True) if name == "bomb1" else name for name in names]
    assert [made["audio"] for _, made, _ in found] == expected
    assert "A worker process crashed (SIGSEGV): its 2 files are read again, one by one." in caplog.text


def test_what_is_wrong_for_every_clip_ends_the_job_before_one_is_read(read):
    def fail():
        raise ValueError("the weights are gone")

    engine = FeatureEngine(MediaReader(None), {}, probe=fail)
    with pytest.raises(ValueError, match="the weights are gone"):
        list(engine.rows(rows("a")))
    assert not read
    with pytest.raises(CorpusError, match="batch size must be at least 1"):
        FeatureEngine(MediaReader(None), {}, batch_size=0)


class Eager(Workers):
    """Processes that have read at once; what is asked of them, and when, is noted."""

    at_work = 2

    def __init__(self, count):
        super().__init__(count)
        self.events = []

    def submit(self, function, argument):
        self.events.append(f"read {' '.join(item.name for item in argument)}")
        return self._here(function, argument)


def test_the_next_group_is_read_before_the_last_rows_of_one_are_worked_on(read, monkeypatch):
    monkeypatch.setattr("modeling_univa.features.engine.Workers", Eager)
    reading = MediaReader(None)
    engine = FeatureEngine(reading, {"audio": lambda raw: events.append("network") or raw}, batch_size=1, workers=2)
    events = engine._workers.events

    def groups():
        for name, sounds in (("first", "abcde"), ("none", ""), ("second", "ab")):
            events.append(f"ask for {name}")
            yield name, rows(*sounds)

    found = {}
    for name, made in engine.groups(groups()):
        found[name] = [row for row, _, _ in made]
        events.append(f"end of {name}")
    assert found == {"first": list("abcde"), "none": [], "second": ["a", "b"]}
    assert [event for event in events if not event.startswith("read")] == [
        "ask for first", "network", "ask for none", "network", "end of first", "ask for second", "end of none",
        "network", "end of second",
    ]  # fmt: skip
    # Windows of four rows; a group has what it names read for itself.
    assert [event for event in events if event.startswith("read")] == [f"read {name}" for name in "abcdeab"]
    assert events.index("ask for none") < events.index("end of first")
    # One window is read while another is at the network.
    assert events.index("read e") < events.index("network")


def test_what_was_made_of_a_group_goes_before_the_next_is_worked_on(read):
    held, alive = [], []

    def network(raw):
        alive.append(sum(one() is not None for one in held))
        made = {item: np.ones(1) for item in raw}
        held.extend(weakref.ref(value) for value in made.values())
        return made

    engine = FeatureEngine(MediaReader(None), {"audio": network}, batch_size=1)
    for _, made in engine.groups((name, rows("a", "b")) for name in ("first", "second", "third")):
        assert len([row for row, _, _ in made]) == 2
        del made
    assert alive == [0, 0, 0]


NAMES = ("a", "odd", "bad", "a+bb", "ccc", "still", "", "ccc+dddd", "eeeee", "a", "odd", "ff")


def run(folder, names=NAMES, plan="mine", stop_at=None):
    """All that is made in windows of four rows."""
    store = FeatureStore(folder, {"plan": plan})
    found = []
    for row in feature_engine({"audio": Lengths()}, batch_size=1).rows(rows(*names), store):
        if len(found) == stop_at:
            break
        found.append(row)
    store.close()
    return [(row, frames([(row, made, notes)]), notes) for row, made, notes in found]


def test_a_run_that_was_stopped_goes_on(read, tmp_path):
    expected = run(tmp_path / "whole")
    everything = list(dict.fromkeys(read))
    read.clear()
    assert run(tmp_path / "again", stop_at=5) == expected[:5]
    assert read == everything[:5] + [name for name in everything[5:] if name in read]
    first = list(read)
    read.clear()
    assert run(tmp_path / "again") == expected
    assert read == [name for name in everything if name not in first]
    read.clear()
    assert run(tmp_path / "again") == expected
    assert read == []
    assert run(tmp_path / "again", plan="another") == expected
    assert read == everything


@pytest.mark.parametrize("file", ["features.bin", "windows.jsonl"])
@pytest.mark.parametrize("damage", [lambda data: data[:-3], lambda data: data[:-3] + b"...", lambda data: data + b"{"])
def test_what_is_damaged_is_made_again(read, tmp_path, file, damage):
    expected = run(tmp_path / "store")
    path = tmp_path / "store" / file
    path.write_bytes(damage(path.read_bytes()))
    read.clear()
    assert run(tmp_path / "store") == expected
    assert len(read) <= 2
    read.clear()
    assert run(tmp_path / "store") == expected
    assert read == []


def test_nothing_is_left_where_nothing_was_made(read, tmp_path):
    assert run(tmp_path / "store", names=("", "")) == [("", [None], []), ("", [None], [])]
    assert not (tmp_path / "store").exists()


def test_features_are_kept_as_they_were_made(tmp_path, read):
    generator = np.random.default_rng(0)
    made = {
        Item("sound", name): generator.random((length, 5)).astype(np.float16) for name, length in (("a", 3), ("b", 1))
    }
    store = FeatureStore(tmp_path / "store", {})
    store.add(list(made), made, {})
    store.close()
    store = FeatureStore(tmp_path / "store", {})
    assert store.restored(list(made)) == {}
    for item, frames in made.items():
        np.testing.assert_array_equal(store[item], frames)
    store.close()
