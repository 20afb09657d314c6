# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Jobs over a corpus by tasks of a cluster: which command they run, and how they end; by processes of this machine."""

import sys
import time
from pathlib import Path

import psutil
import pytest
import submitit
from local_queue import LocalQueue
from media_corpora import folder_bytes, media_rows, write_media, write_media_corpus

from modeling_univa import cli
from modeling_univa.benchmark.slurm import ClusterJobs
from modeling_univa.commands import shard_tasks
from modeling_univa.features.shards import made_shards


@pytest.fixture
def arguments(tmp_path, monkeypatch) -> list[str]:
    """Of `univa extract`, in a folder of its own, with as many shards as dialogues."""
    write_media(tmp_path / "media")
    write_media_corpus(
        tmp_path / "corpus", {"train": media_rows((2,) * 40, "train"), "test": media_rows((2,), "test")}
    )
    monkeypatch.chdir(tmp_path)
    return ["extract", "corpus", "--media-root", "media", "--audio-extractor", "log-mel", "--shard-rows", "2"]


@pytest.fixture
def cluster(monkeypatch) -> None:
    """Jobs of Slurm are processes of this machine."""

    def jobs(folder, options, tasks):
        return ClusterJobs(submitit.LocalExecutor(Path(folder, "cluster").resolve()), LocalQueue(), tasks)

    monkeypatch.setattr(shard_tasks, "slurm_jobs", jobs)


class KilledOnce(ClusterJobs):
    """Kills a task when it has made a shard, and notes the commands of all."""

    def __init__(self, output, *arguments):
        super().__init__(*arguments)
        self.output, self.commands, self.killed = output, [], 0

    def start(self, command, log, slot):
        self.commands.append(command)
        job = super().start(command, log, slot)
        deadline = time.monotonic() + 120
        while not self.killed and time.monotonic() < deadline:
            if (made_shards(self.output) or (0, 0))[0] and self._kill():
                self.killed += 1
            time.sleep(0.01)
        return job

    def _kill(self) -> bool:
        for process in psutil.Process().children(recursive=True):
            if "modeling_univa.cli" in process.cmdline():
                process.kill()
                return True
        return False


@pytest.mark.processes
def test_task_that_is_killed_is_started_again_and_its_shard_made(arguments, monkeypatch, caplog, capfd):
    assert cli.main([*arguments, "--output", "here", "--workers", "1"]) == 0
    started = []

    def jobs(folder, options, tasks):
        executor = submitit.LocalExecutor(Path(folder, "cluster").resolve())
        started.append(KilledOnce("there", executor, LocalQueue(), tasks))
        return started[0]

    monkeypatch.setattr(shard_tasks, "slurm_jobs", jobs)
    assert cli.main([*arguments, "--output", "there", "--executor", "slurm", "--tasks", "1"]) == 0
    assert started[0].killed == 1 and len(started[0].commands) == 2
    assert "ended by signal 9" in capfd.readouterr().err + caplog.text
    command = started[0].commands[0]
    assert command[:5] == [sys.executable, "-m", "modeling_univa.cli", "extract", "corpus"]
    # Its own cores, and not those of the machine that it was started from.
    assert "--workers=1" in command and "--batch-size=16" in command and not [c for c in command if "executor=" in c]
    assert folder_bytes(Path("there")) == folder_bytes(Path("here"))
    assert not list(Path().glob("*.tasks")) and not list(Path().glob("*.partial"))
    # A second time nothing is started.
    assert cli.main([*arguments, "--output", "there", "--executor", "slurm"]) == 0
    assert len(started) == 1


@pytest.mark.processes
def test_mistake_that_a_task_finds_ends_all_in_its_sentence(arguments, cluster, capfd):
    options = ["--output", "out", "--executor", "slurm", "--tasks", "1", "--text-extractor", "nowhere.txt"]
    assert cli.main([*arguments, *options]) == 2
    said = capfd.readouterr().err
    assert (
        said.count("\nuniva: ") <= 1 and "univa: --text-extractor nowhere.txt" in said and "univa: univa" not in said
    )
    assert "started again" not in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--executor", "local", "--tasks", "2"], "--tasks is for other machines"),
        (["--slurm", "time=3"], "--slurm is for other machines"),
        (["--executor", "ray", "--slurm", "time=3"], "--slurm has options, but --executor is ray"),
        (["--executor", "slurm", "--slurm", "time"], "--slurm has 'time', expected KEY=VALUE"),
        (["--executor", "slurm", "--slurm", "times=3"], "unknown option 'times', the nearest is 'time'"),
        (["--executor", "ray", "--ray", "cpus=0"], "--ray has cpus='0', expected a whole number from 1"),
        (["--executor", "ray", "--ray", "gpu=1"], "--ray has the unknown option 'gpu', the nearest is 'gpus'"),
        (["--executor", "slurm", "--tasks", "0"], "--tasks must be from 1 to 10000, got 0"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, said, arguments, capfd):
    assert cli.main([*arguments, "--output", "out", *options]) == 2
    assert said in capfd.readouterr().err
    assert not list(Path().glob("out*"))
