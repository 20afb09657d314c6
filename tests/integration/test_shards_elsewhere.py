# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa extract` and `score-affect` by a real Ray of two nodes and by a real Slurm, where they are, with a worker
killed in each."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from affect_scorers import write_regressor, write_text_scorer
from media_corpora import folder_bytes, media_rows, write_media, write_media_corpus
from testing_utils import REPOSITORY, kill_tree, subprocess_environment

from modeling_univa.features.shards import made_shards
from modeling_univa.models.light_features_univa import LogMelExtractor


def slurm_is_up() -> bool:
    if shutil.which("sbatch") is None or shutil.which("sinfo") is None:
        return False
    return subprocess.run(["sinfo", "--noheader"], capture_output=True, timeout=60).returncode == 0


ON_SLURM = pytest.mark.skipif(not slurm_is_up(), reason="no Slurm runs here")
ON_RAY = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
CLUSTERS = [pytest.param("slurm", marks=ON_SLURM), pytest.param("ray", marks=ON_RAY)]
RAY_PORT = 6399

pytestmark = pytest.mark.slow


class Job:
    """A corpus with media, and a command that adds columns to it, in processes of its own."""

    def __init__(self, folder: Path, name: str):
        self.folder = folder
        media = write_media(folder / "media", count=8)
        splits = {"train": media_rows((4,) * 60, "train", count=8), "test": media_rows((5, 3) * 4, "test", count=8)}
        corpus = write_media_corpus(folder / "corpus", splits)
        self.environment = subprocess_environment(folder / "cache") | {"PYTHONPATH": str(REPOSITORY)}
        self.environment |= {name: value for name, value in os.environ.items() if name.startswith("SLURM")}
        self.environment |= {"RAY_ADDRESS": f"127.0.0.1:{RAY_PORT}"}
        if name == "extract":
            options = ["--audio-extractor", "log-mel", "--vision-extractor", "hog"]
        else:
            audio = write_regressor(folder / "audio", "audio", LogMelExtractor().to_dict())
            options = ["--text-scorer", write_text_scorer(folder / "text"), "--audio-scorer", audio]
        self.arguments = [name, corpus, "--media-root", media, *options, "--shard-rows", "4", "--output"]

    def start(self, output: str, *options: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "modeling_univa.cli", *self.arguments, output, *options]
        with open(self.folder / f"{output}.log", "ab") as said:
            return subprocess.Popen(
                [str(part) for part in command], env=self.environment, cwd=self.folder, stdout=said, stderr=said
            )

    def said(self, output: str) -> str:
        return Path(self.folder, f"{output}.log").read_text()

    def wait_for_shards(self, process: subprocess.Popen, output: str, count: int) -> None:
        deadline = time.monotonic() + 240
        while (made_shards(self.folder / output) or (0, 0))[0] < count:
            assert process.poll() is None and time.monotonic() < deadline, self.said(output)
            time.sleep(0.02)


def workers_of(output: str) -> list[psutil.Process]:
    """The processes that make shards, however they were started; not the command that waits for them."""
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if f"--output={output}" in command and "modeling_univa.cli" in command and "srun" not in command[0]:
            found.append(process)
    return found


@pytest.fixture(scope="module", params=["extract", "score-affect"])
def job(request, tmp_path_factory) -> Job:
    return Job(tmp_path_factory.mktemp("elsewhere"), request.param)


@pytest.fixture(scope="module")
def expected(job) -> dict[str, bytes]:
    process = job.start("here")
    assert process.wait(timeout=300) == 0, job.said("here")
    return folder_bytes(job.folder / "here")


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    """Two nodes of Ray on this machine, each with a core; started by the processes that `ray start` runs."""
    ray = Path(sys.executable).with_name("ray")
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("RAY_ADDRESS", None)
    head = ["--head", "--node-ip-address=127.0.0.1", f"--port={RAY_PORT}", "--include-dashboard=false"]
    other = [f"--address=127.0.0.1:{RAY_PORT}", "--node-ip-address=127.0.0.2"]
    nodes = []
    try:
        for options in (head, other):
            command = [str(ray), "start", "--block", "--num-cpus=1", "--disable-usage-stats", *options]
            quiet = subprocess.DEVNULL
            nodes.append(subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet))
            time.sleep(10)
            assert nodes[-1].poll() is None, "ray start failed"
        yield
    finally:
        for node in reversed(nodes):
            if node.poll() is None:
                kill_tree(node.pid)


@pytest.fixture
def cluster(request) -> str:
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")
    return request.param


@pytest.mark.parametrize("cluster", CLUSTERS, indirect=True)
def test_shards_of_a_killed_worker_are_made_again_to_the_same_bytes(cluster, job, expected):
    output = f"there-{cluster}"
    process = job.start(output, "--executor", cluster, "--tasks", "2")
    try:
        job.wait_for_shards(process, output, 2)
        workers = workers_of(output)
        assert workers
        workers[0].kill()
        assert process.wait(timeout=500) == 0, job.said(output)
    finally:
        if process.poll() is None:
            kill_tree(process.pid)
    assert folder_bytes(job.folder / output) == expected
    assert "68/68" in job.said(output) and f"wrote {output}" in job.said(output)
    assert not [file.name for file in job.folder.iterdir() if file.suffix in (".partial", ".tasks")]


@pytest.mark.parametrize("cluster", CLUSTERS, indirect=True)
def test_interrupted_command_goes_on_when_it_is_rerun(cluster, job, expected):
    output = f"again-{cluster}"
    process = job.start(output, "--executor", cluster, "--tasks", "2")
    job.wait_for_shards(process, output, 2)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130, job.said(output)
    if cluster == "slurm":
        assert "go on: rerun the same command to wait for them, or scancel them" in job.said(output)
    else:
        # Tasks of Ray end with the command.
        deadline = time.monotonic() + 60
        while workers_of(output) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not workers_of(output)
    process = job.start(output, "--executor", cluster, "--tasks", "2")
    assert process.wait(timeout=500) == 0, job.said(output)
    assert folder_bytes(job.folder / output) == expected
