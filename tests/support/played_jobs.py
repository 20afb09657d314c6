# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Jobs of a benchmark that are played by functions."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import yaml

from modeling_univa.benchmark.store import RunStore
from modeling_univa.scores.predictions import Predictions, write_predictions


SECONDS = 30.0


class PlayedJob:
    """A job that ends when it is looked at for the second time."""

    def __init__(self, work: Callable[[], int]):
        self.work, self.looks, self.stopped = work, 0, False

    def exit_code(self) -> int | None:
        self.looks += 1
        return self.work() if self.looks == 2 else None

    def stop(self) -> None:
        self.stopped = True


class Stage:
    """
    Plays jobs: a run is complete at once, but for what `ends` says of it by its seed.

    Args:
        ends: exit status, or what to raise, of runs by their seeds and of "prepare".
    """

    def __init__(self, store: RunStore, jobs: int = 1, **ends: int | type[BaseException]):
        self.store, self.jobs, self.ends = store, jobs, ends
        self.commands: list[list[str]] = []
        self.slots: list[int] = []
        self.started: list[PlayedJob] = []

    def find(self, log: Path) -> None:
        return None

    def start(self, command: Sequence[str], log: Path, slot: int) -> PlayedJob:
        running = [job for job in self.started if job.looks < 2]
        assert len(running) < self.jobs and 0 <= slot < self.jobs
        self.commands.append(list(command))
        self.slots.append(slot)
        log.parent.mkdir(parents=True, exist_ok=True)
        task = command[3]
        work = (lambda: self.prepare(log)) if task == "prepare" else (lambda: self.train(command[5], log))
        self.started.append(PlayedJob(work))
        return self.started[-1]

    def prepare(self, log: Path) -> int:
        log.write_text("Traceback\nValueError\nNo such corpus.\n\n")
        return self.ends.get("prepare", 0)

    def train(self, run: str, log: Path) -> int:
        recipe = yaml.safe_load(self.store.recipe_file(run).read_text())
        end = self.ends.get(f"seed{recipe['seed']}", 0)
        log.write_text("said\n")
        if end == 1:
            self.store.fail(run, "It does not fit.", 1)
        elif end == 0:
            self.complete(run, recipe)
        elif isinstance(end, type):
            raise end
        return end

    def complete(self, run: str, recipe: dict) -> None:
        complete(self.store, run)

    @property
    def trained(self) -> list[str]:
        return [command[5] for command in self.commands if command[3] == "train"]


def complete(store: RunStore, run: str, seconds: float = SECONDS) -> None:
    found = Predictions(["u"], ["d"], np.ones((1, 2), np.float32), np.ones((1, 2), np.int8))
    write_predictions(store.run_folder(run) / "predictions.parquet", {"test": found}, ["a", "b"], 0.5)
    store.complete(run, {"seconds": seconds})
    store.tidy(run, keep_model=False)
