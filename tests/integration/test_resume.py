# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A run that is killed and started again ends as one that was left alone: the same bytes, the same metrics."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from testing_utils import (
    REPOSITORY,
    kill_tree,
    random_rows,
    run_command,
    subprocess_environment,
    write_corpus,
    write_text_encoder,
)

from modeling_univa.training.checkpoints import last_complete_checkpoint


# More steps than a killed run gets to: an epoch has 10, a checkpoint is written every 4.
EPOCHS, SAVE_STEPS = 12, 4


def launcher(processes: int) -> list[str]:
    if processes == 1:
        return [sys.executable]
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]


class Job:
    """`train_hf.py` on a tiny corpus, as often as it takes, always by the same command."""

    def __init__(self, folder: Path, inputs: Path, processes: int = 1):
        self.output = folder / "output"
        self.folder = folder
        self.environment = subprocess_environment(inputs / "cache")
        self.command = [
            *launcher(processes), REPOSITORY / "train_hf.py", "--dataset", inputs / "corpus", "--text_model",
            inputs / "encoder", "--output_dir", self.output, "--use_cpu", "true", "--hidden_size", 16,
            "--num_attention_heads", 2, "--intermediate_size", 32, "--audio_num_hidden_layers", 1,
            "--vision_num_hidden_layers", 1, "--num_train_epochs", EPOCHS, "--per_device_train_batch_size", 3,
            "--learning_rate", 0.003, "--save_strategy", "steps", "--save_steps", SAVE_STEPS, "--eval_strategy",
            "steps", "--eval_steps", SAVE_STEPS, "--logging_strategy", "steps", "--logging_steps", SAVE_STEPS,
            "--save_total_limit", 2, *(["--ema_decay", 0.9] if processes == 1 else []),
        ]  # fmt: skip

    def finish(self) -> str:
        """Run to the end; what it said on the way."""
        result = run_command(self.command, self.environment, self.folder)
        assert result.returncode == 0, result.stderr[-5000:]
        return result.stderr

    def kill(self, when: Callable[[], bool]) -> None:
        """Run until `when` holds, then `kill -9`."""
        assert self.run_until(when, kill_tree) == -signal.SIGKILL, self.log[-5000:]
        assert not (self.output / "all_results.json").exists()

    def interrupt(self, when: Callable[[], bool]) -> None:
        """Run until `when` holds, then as Ctrl-C does."""
        assert self.run_until(when, lambda pid: os.kill(pid, signal.SIGINT)) == 130, self.log[-5000:]
        assert "train_hf.py: Interrupted. Run the same command again to resume.\n" in self.log
        assert "Traceback" not in self.log
        assert not (self.output / "all_results.json").exists()

    @property
    def log(self) -> str:
        """What the last run that was ended has said."""
        return (self.folder / "log").read_text()

    def run_until(self, when: Callable[[], bool], end: Callable[[int], None]) -> int:
        """Run until `when` holds, then end the process; its exit status."""
        with open(self.folder / "log", "w") as log:
            process = subprocess.Popen(
                [str(part) for part in self.command], env=self.environment, cwd=self.folder, stdout=log, stderr=log,
            )  # fmt: skip
            try:
                deadline = time.monotonic() + 200
                while not when() and time.monotonic() < deadline and process.poll() is None:
                    time.sleep(0.0005)
            finally:
                if process.poll() is None:
                    end(process.pid)
            return process.wait(timeout=60)

    @property
    def evaluations(self) -> int:
        """How many have been told of, each in a line that begins with its step."""
        return len(re.findall(r"^ *\d+/\d+ ", self.log, re.MULTILINE))

    @property
    def step(self) -> int:
        """Of the last complete checkpoint."""
        checkpoint = last_complete_checkpoint(self.output)
        return int(checkpoint.rpartition("-")[2]) if checkpoint else 0

    def unfinished(self) -> list[Path]:
        """Checkpoints that a kill left half-written."""
        folders = self.output.glob("checkpoint-*")
        return [folder for folder in folders if not (folder / "trainer_state.json").exists()]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    splits = {
        "train": random_rows([4, 3, 5, 6, 4, 2, 5, 1], seed=1),
        "validation": random_rows([3, 4, 2], seed=2, prefix="v"),
        "test": random_rows([3, 5], seed=3, prefix="t"),
    }
    write_corpus(folder / "corpus", splits)
    write_text_encoder(folder / "encoder")
    return folder


def results(output: Path) -> dict[str, dict[str, float]]:
    """Metrics without those that time the run."""
    content = json.loads((output / "all_results.json").read_text())
    timing = ("runtime", "per_second")
    return {
        split: {name: value for name, value in metrics.items() if not name.endswith(timing)}
        for split, metrics in content.items()
    }


def assert_same_end(job: Job, whole: Job) -> None:
    assert results(job.output) == results(whole.output)
    for name in ("model.safetensors", "config.json", "processor_config.json"):
        assert (job.output / name).read_bytes() == (whole.output / name).read_bytes(), name
    assert not job.unfinished()


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory) -> Job:
    """A run that was left alone."""
    job = Job(tmp_path_factory.mktemp("whole"), inputs)
    job.finish()
    return job


def test_killed_run_ends_as_one_that_was_left_alone(whole, inputs, tmp_path_factory):
    job = Job(tmp_path_factory.mktemp("killed"), inputs)

    # Some time after the first checkpoint, which is mostly in the middle of an epoch.
    job.kill(lambda: job.step > 0 and (time.sleep(random.uniform(0, 0.2)) or True))
    first = job.step
    assert first > 0
    # While a checkpoint is being written.
    job.kill(lambda: job.step > first and bool(job.unfinished()))
    second = job.step
    assert second > first
    # By Ctrl-C at the same place.
    job.interrupt(lambda: job.step > second and bool(job.unfinished()))
    third = job.step
    assert third > second
    # The command goes on from there instead of starting again; here the disk has lost a part of it.
    damaged = job.output / f"checkpoint-{third}"
    (damaged / "optimizer.pt").write_bytes((damaged / "optimizer.pt").read_bytes()[:1000])
    before = job.step
    assert 0 < before < third
    (job.output / ".base-x1").mkdir()
    told = job.finish()
    assert f"{damaged} is not used: optimizer.pt is damaged" in told
    assert f"Resuming from {job.output}/checkpoint-{before};" in told
    assert_same_end(job, whole)
    assert not (job.output / ".base-x1").exists()


def test_interrupted_evaluation_is_resumed(whole, inputs, tmp_path_factory):
    job = Job(tmp_path_factory.mktemp("interrupted"), inputs)
    # The line of an evaluation is printed just before the checkpoint of its step is written.
    job.interrupt(lambda: 0 < job.step < job.evaluations * SAVE_STEPS)
    assert f"Resuming from {job.output}/checkpoint-{job.step};" in job.finish()
    assert_same_end(job, whole)


def test_killed_run_of_two_processes_ends_as_one_that_was_left_alone(inputs, tmp_path_factory):
    whole = Job(tmp_path_factory.mktemp("whole"), inputs, processes=2)
    whole.finish()
    job = Job(tmp_path_factory.mktemp("killed"), inputs, processes=2)
    job.kill(lambda: job.step > SAVE_STEPS and bool(job.unfinished()))
    assert f"Resuming from {job.output}/checkpoint-{job.step};" in job.finish()
    assert_same_end(job, whole)
