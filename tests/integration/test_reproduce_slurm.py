# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa reproduce --executor slurm` with a real Slurm, where one runs: benchmarks/slurm_loopback.sh starts one."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from testing_utils import REPOSITORY, kill_tree, subprocess_environment
from training_runs import SIZES, write_training_inputs

from modeling_univa.benchmark.store import RunStore
from modeling_univa.scores.predictions import read_predictions


EPOCHS = 20


def slurm_is_up() -> bool:
    if shutil.which("sbatch") is None or shutil.which("sinfo") is None:
        return False
    return subprocess.run(["sinfo", "--noheader"], capture_output=True, timeout=60).returncode == 0


pytestmark = [pytest.mark.slow, pytest.mark.skipif(not slurm_is_up(), reason="no Slurm runs here")]


@pytest.fixture
def plan(tmp_path) -> Path:
    """Six tiny runs."""
    inputs = write_training_inputs(tmp_path / "inputs")
    base = {"dataset": str(inputs / "corpus"), "text_model": str(inputs / "encoder"), "use_cpu": True, **SIZES}
    base |= {"audio_num_hidden_layers": 1, "vision_num_hidden_layers": 1, "num_train_epochs": EPOCHS}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump({**base, "learning_rate": 0.003}))
    rows = {"UniVA": {}, "w/o VA-CL": {"contrastive_loss": "none"}}
    content = {"base": "base.yaml", "seeds": [1, 2, 3], "tables": {"t": {"rows": rows}}}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(content))
    return tmp_path / "plan.yaml"


class Reproduction:
    """`univa reproduce`, in a process of its own."""

    def __init__(self, plan: Path, output: str, *options: str):
        folder = plan.parent
        self.store, self.folder, self.said = RunStore(folder / output), folder, folder / f"{output}.log"
        self.environment = subprocess_environment(folder / "cache") | {"PYTHONPATH": str(REPOSITORY)}
        self.environment |= {name: value for name, value in os.environ.items() if name.startswith("SLURM")}
        command = [sys.executable, "-m", "modeling_univa.cli", "reproduce", str(plan), "--output", output]
        self.command = [*command, *options]

    def run(self, until: Callable[[], bool] | None = None, how: int = 0) -> int:
        """Run to the end, or until something holds and then end it by a signal; its exit status."""
        with open(self.said, "ab") as said:
            process = subprocess.Popen(self.command, env=self.environment, cwd=self.folder, stdout=said, stderr=said)
        try:
            deadline = time.monotonic() + 600
            while until is not None and not until() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.2)
            if until is not None:
                os.kill(process.pid, how)
            return process.wait(timeout=900)
        finally:
            if process.poll() is None:
                kill_tree(process.pid)

    def trained(self) -> list[Path]:
        return list(self.store.folder.glob("runs/*/model/checkpoint-*/trainer_state.json"))


def jobs_of(store: RunStore) -> dict[str, list[str]]:
    """Ids of Slurm's jobs by run; other stores have the same runs."""
    listed = subprocess.run(
        ["squeue", "--noheader", "--states=all", "--format=%i|%j|%Z"], capture_output=True, text=True, check=True
    )
    found: dict[str, list[str]] = {}
    for line in listed.stdout.splitlines():
        job, name, folder = line.strip().split("|")
        if folder == str(store.folder.parent):
            found.setdefault(name.split("-")[1], []).append(job)
    return found


def test_runs_of_slurm_end_as_those_of_this_machine(plan):
    here = Reproduction(plan, "here")
    there = Reproduction(plan, "there", "--executor", "slurm", "--slurm", "time=30", "cpus_per_task=1")
    # Ctrl-C leaves the jobs alone; the run that has trained for some epochs is preempted.
    assert there.run(lambda: bool(there.trained()), signal.SIGINT) == 130
    assert "go on: rerun the same command to wait for them, or scancel them" in there.said.read_text()
    run = there.trained()[0].parents[2].name
    jobs = jobs_of(there.store)
    assert len(jobs) == 6 and all(len(ids) == 1 for ids in jobs.values())
    subprocess.run(["scontrol", "requeue", jobs[run][0]], check=True)
    # Slurm lets a job that was requeued wait for two minutes.
    time.sleep(10)
    subprocess.run(["scontrol", "update", f"JobId={jobs[run][0]}", "StartTime=now"], check=False)
    # The next process is killed, and the one after it waits for the same jobs.
    assert there.run(lambda: "goes on" in there.said.read_text(), signal.SIGKILL) == -signal.SIGKILL
    assert there.run() == 0
    assert jobs_of(there.store) == jobs
    assert "Resuming from" in there.store.log_file(run).read_text()
    assert not list((there.store.folder / "cluster").iterdir())
    assert here.run() == 0
    expected, found = here.store.read_all(), there.store.read_all()
    assert set(expected) == set(found) and len(found) == 6
    for name, made in expected.items():
        one, other = (read_predictions(store[name].predictions) for store in (expected, found))
        assert made.status == found[name].status == "complete" and one[1:] == other[1:]
        for split, rows in one[0].items():
            np.testing.assert_allclose(other[0][split].scores, rows.scores, rtol=0, atol=1e-6)


def test_job_that_slurm_refuses_ends_in_one_sentence(plan):
    there = Reproduction(plan, "there", "--executor", "slurm", "--slurm", "partition=nowhere")
    assert there.run() == 2
    assert "Slurm took no job: sbatch: error: invalid partition specified: nowhere" in there.said.read_text()
