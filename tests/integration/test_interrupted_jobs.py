# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa extract` in processes of its own: killed, started twice at once, launched by torchrun."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from media_corpora import folder_bytes, media_rows, write_media, write_media_corpus
from testing_utils import kill_tree, run_command, subprocess_environment


COMMAND = [sys.executable, "-m", "modeling_univa.cli"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2, "-m"]
SIZES = {"train": (4,) * 30, "test": (5, 3) * 4}
SHARD_ROWS = 8


class Job:
    """A corpus with media, and the command that extracts its features."""

    def __init__(self, folder: Path):
        self.folder = folder
        media = write_media(folder / "media", count=8)
        splits = {split: media_rows(sizes, split, count=8) for split, sizes in SIZES.items()}
        corpus = write_media_corpus(folder / "corpus", splits)
        self.environment = subprocess_environment(folder / "cache")
        self.arguments = [
            "extract", corpus, "--media-root", media, "--audio-extractor", "log-mel", "--vision-extractor", "hog",
            "--shard-rows", SHARD_ROWS, "--output",
        ]  # fmt: skip

    def run(self, output: str, command=None) -> dict[str, bytes]:
        result = run_command([*(command or COMMAND), *self.arguments, output], self.environment, self.folder)
        assert result.returncode == 0, result.stderr[-5000:]
        assert not Path(self.folder, f"{output}.partial").exists()
        return folder_bytes(self.folder / output)

    def start(self, output: str) -> subprocess.Popen:
        command = [str(part) for part in [*COMMAND, *self.arguments, output]]
        nowhere = subprocess.DEVNULL
        return subprocess.Popen(command, env=self.environment, cwd=self.folder, stdout=nowhere, stderr=nowhere)


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> Job:
    return Job(tmp_path_factory.mktemp("jobs"))


@pytest.fixture(scope="module")
def expected(job) -> dict[str, bytes]:
    files = job.run("whole")
    assert sum(name.endswith(".parquet") for name in files) == 15 + 4
    return files


def test_killed_at_random_moments_it_goes_on_with_the_same_bytes(job, expected):
    moments, work = random.Random(0), job.folder / "killed.partial"
    done = []
    for kills in range(3):
        process = job.start("killed")
        # Not before the first shard of this process, so that every kill falls into the work.
        while process.poll() is None and len(list(work.glob("shards/*.parquet"))) <= (done or [0])[-1] + kills:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.1))
        assert process.poll() is None
        kill_tree(process.pid)
        process.wait()
        done.append(len(list(work.glob("shards/*.parquet"))))
    assert not (job.folder / "killed").exists()
    assert 0 < done[0] < done[1] < done[2] <= 19
    assert job.run("killed") == expected


def test_two_processes_of_torchrun_make_the_same_bytes(job, expected):
    assert job.run("launched", [*TORCHRUN, "modeling_univa.cli"]) == expected


def test_processes_that_know_nothing_of_each_other_share_the_work(job, expected):
    processes = [job.start("shared") for _ in range(2)]
    assert [process.wait(timeout=240) for process in processes] == [0, 0]
    assert folder_bytes(job.folder / "shared") == expected
