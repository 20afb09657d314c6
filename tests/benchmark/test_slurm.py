# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Jobs of a cluster: options, submission, what its states mean, and jobs of an earlier process; by local executors."""

import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
import submitit
import yaml
from local_queue import LocalQueue
from played_jobs import Stage
from submitit.core.utils import FailedJobError
from submitit.local.local import LocalJobEnvironment

from modeling_univa import cli
from modeling_univa.benchmark import slurm
from modeling_univa.benchmark.cluster_command import ClusterCommand
from modeling_univa.benchmark.plan import read_plan
from modeling_univa.benchmark.runner import Runner
from modeling_univa.benchmark.slurm import ClusterJobs, SlurmQueue, slurm_jobs, slurm_parameters
from modeling_univa.benchmark.store import RunStore


@pytest.fixture
def local(tmp_path) -> ClusterJobs:
    return ClusterJobs(submitit.LocalExecutor(tmp_path / "cluster"), LocalQueue(), jobs=2)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def ended(job, seconds: float = 60) -> int | None:
    deadline = time.monotonic() + seconds
    while (code := job.exit_code()) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return code


# Options


def test_options_are_those_of_slurm():
    given = {
        "partition": "gpu",
        "time": "1-02:30:00",
        "gpus": "2",
        "cpus_per_task": "4",
        "mem": "16G",
        "account": "me",
    }
    assert slurm_parameters(given) == {
        "partition": "gpu", "account": "me", "time": 26 * 60 + 30, "gpus_per_node": 2, "cpus_per_task": 4,
        "srun_args": ["--cpus-per-task=4"], "additional_parameters": {"requeue": True, "mem": "16G"},
    }  # fmt: skip
    assert slurm_parameters({}) == {"time": 24 * 60, "additional_parameters": {"requeue": True}}


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("90", 90), ("1:30", 2), ("2:00:00", 120), ("2-12", 3600), ("1-01:30", 1530), ("0:30", 1), ("00:00:59", 1)],
)
def test_times_are_those_of_slurm(text, minutes):
    assert slurm_parameters({"time": text})["time"] == minutes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"partitio": "x"}, "`slurm` has the unknown option 'partitio', the nearest is 'partition'"),
        ({"nodes": "2"}, "`slurm` has the unknown option 'nodes'"),
        ({"time": "soon"}, "`slurm` has time='soon', expected a time such as 90, 12:00:00 or 2-12"),
        ({"time": "0"}, "`slurm` has a time of 0"),
        ({"gpus": "0"}, "`slurm` has gpus='0', expected a whole number from 1"),
        ({"cpus_per_task": "many"}, "`slurm` has cpus_per_task='many', expected"),
        ({"mem": "lots"}, "`slurm` has mem='lots', expected a size such as 16G"),
        ({"qos": ""}, "`slurm` has qos without a value"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        slurm_parameters(options)


def test_batch_file_has_the_options(tmp_path, monkeypatch):
    monkeypatch.setattr(submitit.SlurmExecutor, "affinity", classmethod(lambda cls: 1))
    executor = submitit.SlurmExecutor(tmp_path)
    executor.update_parameters(**slurm_parameters({"time": "90", "cpus_per_task": "4", "mem": "16G"}))
    text = executor._make_submission_file_text("command", "0")
    for line in ("--time=90", "--mem=16G", "--requeue", "--cpus-per-task=4", "--signal=USR2@90"):
        assert f"#SBATCH {line}\n" in text
    assert "--cpus-per-task=4 command" in text


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="`jobs` must be at least 1, got 0"):
        ClusterJobs(submitit.DebugExecutor(tmp_path), LocalQueue(), jobs=0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="needs the commands of Slurm: sbatch, srun, squeue was not found"):
        slurm_jobs(tmp_path, {}, 1)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ImportError, match=r'jobs of Slurm need submitit: pip install "univa\[cluster\]"'):
        slurm_jobs(tmp_path, {}, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--slurm", "time=5"], "--slurm has options, but --executor is local"),
        (["--executor", "slurm", "--slurm", "time"], "--slurm has 'time', expected KEY=VALUE, such as partition=gpu"),
        (["--executor", "slurm", "--slurm", "tim=5"], "--slurm has the unknown option 'tim', the nearest is 'time'"),
    ],
)
def test_mistakes_on_the_command_line(options, message, plan_file, capsys):
    assert cli.main(["reproduce", str(plan_file), "--dry-run", *options]) == 2
    assert message in capsys.readouterr().err


# Jobs


def test_job_of_the_local_executor_is_run_and_logged(local, tmp_path):
    log = tmp_path / "run" / "log.txt"
    code = "import os; print(os.environ['OMP_NUM_THREADS'], os.environ['TOKENIZERS_PARALLELISM'])"
    assert ended(local.start(python(code), log, 0)) == 0
    assert log.read_text() == "1 false\n"
    assert ended(local.start(python("raise SystemExit(3)"), log, 0)) == 1
    assert ended(local.start(python("import os; os.kill(os.getpid(), 9)"), log, 0)) == 1
    assert log.read_text() == "1 false\nThe process was ended by signal 9.\n"
    # What submitit writes of a job is removed with it.
    assert not list((tmp_path / "cluster").glob("*_result.pkl"))


def test_job_of_the_debug_executor_is_run(tmp_path):
    jobs = ClusterJobs(submitit.DebugExecutor(tmp_path / "cluster"), LocalQueue(), jobs=1)
    job = jobs.start(python("print('ran')"), tmp_path / "log.txt", 0)
    job._job.results()
    assert (tmp_path / "log.txt").read_text() == "ran\n"


def test_job_that_runs_out_of_time_asks_to_be_queued_again(local, tmp_path):
    """At the signal that Slurm sends before a time limit."""
    code = (
        "import pathlib, time\n"
        f"mark = pathlib.Path({str(tmp_path / 'mark')!r})\n"
        "print('first' if not mark.exists() else 'second', flush=True)\n"
        "if not mark.exists(): mark.touch(); time.sleep(100)"
    )
    log = tmp_path / "run" / "log.txt"
    job = local.start(python(code), log, 0)
    deadline = time.monotonic() + 60
    while not (tmp_path / "mark").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    controller = psutil.Process(int(job._job.job_id))
    (task,) = controller.children()
    (work,) = task.children()
    task.send_signal(signal.SIGUSR2)
    assert ended(job) == 0 and not work.is_running()
    assert log.read_text().splitlines() == ["first", "second"]


def test_job_needs_no_import_of_this_package(local, tmp_path, monkeypatch):
    """It would take its memory and seconds twice."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "modeling_univa.py").write_text("raise RuntimeError")
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "run" / "log.txt"
    assert ended(local.start(python("print('ran')"), log, 0)) == 0 and log.read_text() == "ran\n"


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("PENDING", None), ("RUNNING", None), ("COMPLETING", None), ("REQUEUED", None), ("SUSPENDED", None),
        ("COMPLETED", 0), ("FAILED", 1), ("OUT_OF_MEMORY", -signal.SIGKILL), ("CANCELLED", 130), ("UNKNOWN", 130),
    ],
)  # fmt: skip
def test_states_of_slurm_are_exit_codes(state, code, local, tmp_path):
    job = local.start(python("pass"), tmp_path / "log.txt", 0)
    local.queue.forced[job._job.job_id] = state
    assert job.exit_code() == code
    assert job.stop() == (job._job.job_id if code is None else None)


@pytest.mark.parametrize("state", ["PREEMPTED", "NODE_FAIL", "TIMEOUT", "BOOT_FAIL"])
def test_job_that_the_cluster_ended_is_submitted_again(state, local, tmp_path):
    log = tmp_path / "log.txt"
    job = local.start(python("print('ran')"), log, 0)
    first = job._job.job_id
    local.queue.forced[first] = state
    assert job.exit_code() is None and job._job.job_id != first
    assert ended(job) == 0


def test_files_of_jobs_that_ended_alone_are_removed(local, tmp_path):
    folder = tmp_path / "cluster"
    for name in ("7_submitted.pkl", "8_submitted.pkl", "8_0_log.out", ".submission_file_1234.sh"):
        (folder / name).touch()
    local.queue.forced["8"] = "RUNNING"
    assert local.find(tmp_path / "run" / "log.txt") is None
    assert sorted(file.name for file in folder.iterdir()) == ["8_0_log.out", "8_submitted.pkl"]


def test_command_tells_signals_apart_from_its_own_end(tmp_path):
    log = tmp_path / "log.txt"
    ClusterCommand(python("pass"), log, {})()
    for code, status in (("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 15)", 15)):
        with pytest.raises(SystemExit) as end:
            ClusterCommand(python(code), log, {})()
        assert end.value.code == status


def test_refused_job_is_explained(local, tmp_path, monkeypatch):
    def refuse(call: object) -> None:
        raise FailedJobError(
            "sbatch: error: invalid partition specified: x\nsbatch: error: Batch job submission failed"
        )

    monkeypatch.setattr(local.executor, "submit", refuse)
    with pytest.raises(ValueError, match="Slurm took no job: sbatch: error: invalid partition specified: x"):
        local.start(python("pass"), tmp_path / "log.txt", 0)


# The queue


class Squeue:
    """Plays squeue."""

    def __init__(self, monkeypatch):
        self.answers: list[str | None] = []
        self.now, self.calls = 100.0, 0
        monkeypatch.setattr(slurm.subprocess, "run", self.run)
        monkeypatch.setattr(slurm.time, "monotonic", lambda: self.now)

    def run(self, command: list[str], **options: object) -> object:
        assert command[0] == "squeue"
        self.calls += 1
        answer = self.answers.pop(0)
        failed = answer is None
        return slurm.subprocess.CompletedProcess(command, int(failed), answer or "", "no contact" if failed else "")


def job(name: str) -> submitit.Job:
    return type("Job", (), {"job_id": name})()


def test_queue_is_asked_for_all_jobs_at_once_and_seldom(monkeypatch):
    squeue = Squeue(monkeypatch)
    queue = SlurmQueue(seconds=5)
    squeue.answers = [
        "1|COMPLETED|univa-a\n2|RUNNING|univa-a\n3|PENDING|other\n",
        "2|COMPLETED|univa-a\n4|PENDING|b\n",
    ]
    assert queue.find("univa-a") == "2" and queue.find("univa-b") is None
    # Submitted after the question.
    squeue.now += 1
    assert [queue.state(job(name)) for name in "124"] == ["COMPLETED", "RUNNING", "PENDING"]
    assert squeue.calls == 1
    squeue.now += 5
    assert [queue.state(job(name)) for name in "124"] == ["UNKNOWN", "COMPLETED", "PENDING"]
    assert squeue.calls == 2


def test_controller_that_is_restarted_is_waited_for(monkeypatch):
    squeue = Squeue(monkeypatch)
    queue = SlurmQueue(seconds=5)
    squeue.answers = ["2|RUNNING|univa-a\n", None, None]
    assert queue.state(job("2")) == "RUNNING"
    squeue.now += 60
    assert queue.state(job("2")) == "RUNNING"
    squeue.now += 100
    with pytest.raises(ValueError, match="Slurm does not answer: no contact"):
        queue.state(job("2"))
    squeue.answers = [None]
    # Without any answer no job is submitted: it may be there already.
    with pytest.raises(ValueError, match="Slurm does not answer"):
        SlurmQueue().find("univa-a")


# The runner


@pytest.fixture
def plan_file(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "base.yaml").write_text(yaml.safe_dump({"dataset": "corpus"}))
    content = {"base": "base.yaml", "seeds": [1, 2, 3], "tables": {"t": {"rows": {"full": {}}}}}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(content))
    return tmp_path / "plan.yaml"


class Elsewhere(Stage):
    """Jobs that go on without this process."""

    def __init__(self, store: RunStore, jobs: int, **ends: object):
        super().__init__(store, jobs, **ends)
        self.going: dict[Path, object] = {}

    def find(self, log: Path) -> object:
        return self.going.get(log)

    def start(self, command, log, slot):
        job = super().start(command, log, slot)
        job.stop = lambda: f"job {slot}"
        self.going[log] = job
        return job


def test_jobs_that_go_on_are_named_and_found_again(plan_file, tmp_path):
    store, told = RunStore(tmp_path / "store"), []
    plan = read_plan(plan_file)
    runs = plan.runs()
    stage = Elsewhere(store, 3, seed1=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        Runner(plan, store, stage, tell=told.append).make(runs)
    assert told[-1] == "the jobs job 0, job 1, job 2 go on: rerun the same command to wait for them, or scancel them"
    # Meanwhile the first ends, and is not in the queue any more; the second goes on; the third was cancelled.
    first, second, third = (store.log_file(run.id) for run in runs)
    stage.ends = {}
    stage.complete(runs[0].id, {})
    del stage.going[first], stage.going[third]
    before = store.read(runs[0].id).predictions.stat().st_mtime_ns
    stage.commands.clear()
    for job in stage.started:
        job.looks = 2 if job is not stage.going[second] else 0
    told.clear()
    runner = Runner(plan, store, stage, tell=told.append)
    runner.make(runs)
    assert len(runner.outcome(runs).complete) == 3
    assert stage.trained == [runs[2].id]
    assert store.read(runs[0].id).predictions.stat().st_mtime_ns == before
    assert "goes on: t | full, seed 2" in told and "started: t | full, seed 3" in told


def test_environment_of_the_local_executor_is_that_of_submitit():
    """The signal that Slurm is asked for is the one that submitit waits for."""
    assert LocalJobEnvironment.USR_SIG == "USR2"
