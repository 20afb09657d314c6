# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Which runs of a plan are made, in which order, and what becomes of those that fail; jobs are played by functions."""

import json
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from played_jobs import SECONDS, Stage, complete

from modeling_univa.benchmark.analysis_files import write_analysis
from modeling_univa.benchmark.plan import Plan, Run, read_plan
from modeling_univa.benchmark.processes import LocalProcesses
from modeling_univa.benchmark.runner import Estimates, Runner, duration
from modeling_univa.benchmark.store import RunStore
from modeling_univa.scores.predictions import Predictions, write_predictions


@pytest.fixture
def store(tmp_path) -> RunStore:
    return RunStore(tmp_path / "store")


@pytest.fixture
def plan(tmp_path, monkeypatch) -> Plan:
    """Two rows of three seeds."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "base.yaml").write_text(yaml.safe_dump({"dataset": "corpus", "text_states": True}))
    rows = {"full": {}, "none": {"contrastive_loss": "none"}}
    content = {"base": "base.yaml", "seeds": [1, 2, 3], "tables": {"t": {"rows": rows}}}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(content))
    return read_plan(tmp_path / "plan.yaml")


def make(plan: Plan, stage: Stage, overwrite: str = "only-missing") -> tuple[Runner, list[str]]:
    """Make what is to be made; the runner and what it told."""
    told: list[str] = []
    runner = Runner(plan, stage.store, stage, overwrite, tell=told.append)
    runner.make(runner.to_make(plan.runs()))
    return runner, told


def with_seed(runs: Sequence[Run], seed: int) -> set[str]:
    return {run.id for run in runs if run.seed == seed}


def test_every_run_is_made_once_in_order(plan, store):
    stage = Stage(store)
    runner, told = make(plan, stage)
    assert stage.trained == [run.id for run in plan.runs()]
    outcome = runner.outcome(plan.runs())
    assert (len(outcome.complete), outcome.failed, outcome.missing) == (6, {}, [])
    assert told[:2] == ["started: t | full, seed 1", "complete: t | full, seed 1, 30 s [5 left, about 2 min]"]
    assert told[-1] == "complete: t | none, seed 3, 30 s [none left]"


def test_runs_that_fail_are_listed_and_the_others_go_on(plan, store):
    stage = Stage(store, seed1=1, seed2=-signal.SIGKILL, seed3=3)
    runner, told = make(plan, stage)
    assert len(stage.trained) == 6
    outcome = runner.outcome(plan.runs())
    assert not outcome.complete and not outcome.missing
    reasons = {reason: {run.seed for run in runs} for reason, runs in outcome.reasons().items()}
    assert reasons == {
        "It does not fit.": {1},
        "The process was ended by SIGKILL, most likely because there was not enough memory.": {2},
        "The process ended with status 3 and without a result; its log tells more.": {3},
    }
    assert told[-1].startswith("failed: t | none, seed 3: The process ended") and told[-1].endswith(", 6 failed]")


def test_what_is_made_anew_is_a_choice(plan, store):
    make(plan, Stage(store, seed2=1, seed3=130))
    runs = plan.runs()
    complete, failed, interrupted = (with_seed(runs, seed) for seed in (1, 2, 3))
    made = {
        choice: {run.id for run in Runner(plan, store, Stage(store), choice).to_make(runs)}
        for choice in ("only-missing", "retry-errors", "only-cached", "always")
    }
    assert made == {
        "only-missing": interrupted,
        "retry-errors": failed | interrupted,
        "only-cached": set(),
        "always": complete | failed | interrupted,
    }
    stage = Stage(store)
    make(plan, stage)
    assert set(stage.trained) == interrupted
    stage = Stage(store)
    runner, _ = make(plan, stage, "retry-errors")
    assert set(stage.trained) == failed
    assert len(runner.outcome(runs).complete) == 6
    assert not list(store.folder.rglob("error.json"))


def test_complete_run_that_is_made_anew_begins_from_nothing(plan, store):
    make(plan, Stage(store))
    stage = Stage(store, seed1=130, seed2=130, seed3=130)
    for run in plan.runs():
        store.model_folder(run.id).mkdir()
    runner, _ = make(plan, stage, "always")
    assert len(stage.trained) == len(runner.outcome(plan.runs()).missing) == 6
    assert not any(store.model_folder(run.id).exists() for run in plan.runs())


def test_run_that_was_stopped_keeps_its_checkpoints(plan, store):
    run = plan.runs()[0]
    store.start(run, "c")
    checkpoint = store.model_folder(run.id) / "checkpoint-3"
    checkpoint.mkdir(parents=True)
    stage = Stage(store, seed1=130)
    make(plan, stage)
    assert run.id in stage.trained and checkpoint.is_dir()


def test_what_a_kill_after_the_end_of_a_run_left_is_removed(plan, store):
    run = plan.runs()[0]
    store.start(run, "c")
    complete(store, run.id)
    store.model_folder(run.id).mkdir()
    make(plan, Stage(store))
    # A model that was kept on purpose has no recipe beside it.
    assert store.model_folder(run.id).is_dir()
    store.recipe_file(run.id).touch()
    make(plan, Stage(store))
    assert not store.model_folder(run.id).exists() and not store.recipe_file(run.id).exists()


def test_as_many_run_at_a_time_as_asked_for(plan, store):
    stage = Stage(store, jobs=4)
    make(plan, stage)
    assert stage.slots[1:5] == [0, 1, 2, 3] and len(stage.trained) == 6


def test_what_runs_share_is_prepared_once_before_them(plan, store):
    stage = Stage(store, jobs=2)
    make(plan, stage)
    assert [command[3] for command in stage.commands] == ["prepare", *["train"] * 6]
    assert not (store.folder / "preparation").exists()
    # One run after another needs no preparation, and one run alone shares nothing.
    alone = Stage(store)
    make(plan, alone, "always")
    assert [command[3] for command in alone.commands] == ["train"] * 6
    one = Stage(store, jobs=2)
    Runner(plan, store, one, "always", tell=lambda line: None).make(plan.runs()[:1])
    assert [command[3] for command in one.commands] == ["train"]


def test_text_states_that_cannot_be_prepared_are_the_matter_of_the_runs(plan, store):
    runner, _ = make(plan, Stage(store, jobs=2, prepare=1))
    assert len(runner.outcome(plan.runs()).complete) == 6


def test_without_its_corpus_no_run_is_tried(plan, store, tmp_path):
    (tmp_path / "corpus").rmdir()
    stage = Stage(store, prepare=1)
    runner, told = make(plan, stage)
    assert [command[3] for command in stage.commands] == ["prepare"]
    assert told[0] == "started: preparing the corpus corpus"
    assert {reason: len(runs) for reason, runs in runner.outcome(plan.runs()).reasons().items()} == {
        "No such corpus.": 6
    }
    # A run that failed is not left to be made.
    assert [line.rpartition("[")[2].partition(",")[0] for line in told[1:]] == [
        "5 left", "4 left", "3 left", "2 left", "1 left", "none left"
    ]  # fmt: skip
    stage = Stage(store)
    make(plan, stage, "retry-errors")
    assert [command[3] for command in stage.commands] == ["prepare", *["train"] * 6]


def test_preparation_that_was_killed_is_told_as_such(plan, store, tmp_path):
    (tmp_path / "corpus").rmdir()
    runner, _ = make(plan, Stage(store, jobs=2, prepare=-signal.SIGKILL))
    (reason,) = runner.outcome(plan.runs()).reasons()
    assert reason.startswith("The process was ended by SIGKILL, most likely because there was not enough memory")


def test_interruption_stops_what_runs(plan, store):
    stage = Stage(store, jobs=2, seed1=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        make(plan, stage)
    # The preparation had ended; both runs were under way.
    assert [job.stopped for job in stage.started] == [False, True, True]


# Analyses


class AnalysingStage(Stage):
    """
    Its jobs make what is requested, and leave a model.

    Args:
        statuses: of analyses that are not complete.
        end: exit status of the process, after which it has made as many analyses as `made`.
    """

    def __init__(self, store: RunStore, made: int = 9, end: int = 0, keep: bool = False, **statuses: str):
        super().__init__(store)
        self.made, self.end, self.keep, self.statuses = made, end, keep, statuses

    def train(self, run: str, log: Path) -> int:
        model = self.store.model_folder(run)
        if self.commands[-1][3] == "train":
            found = Predictions(["u"], ["d"], np.ones((1, 2), np.float32), np.ones((1, 2), np.int8))
            for folder in (model, model.parent):
                write_predictions(folder / "predictions.parquet", {"test": found}, ["a", "b"], 0.5)
            self.store.complete(run, {"seconds": SECONDS})
        request = self.store.requested_analyses(run)
        names = request["analyses"][: self.made] if request else []
        for name in names:
            write_analysis(model.parent, name, self.statuses.get(name, "complete"), {"reason": f"{name} broke."})
        if not self.end and not set(names) & set(self.statuses) and self.store.recipe_file(run).exists():
            self.store.tidy(run, self.keep)
        return self.end

    @property
    def tasks(self) -> list[str]:
        return [command[3] for command in self.commands]


def with_analyses(plan: Plan, *names: str) -> Plan:
    for run in plan.runs():
        run.analyses[:] = names
    return plan


def first_run(plan: Plan, stage: Stage, overwrite: str = "only-missing") -> tuple[Runner, Run, list[str]]:
    """Make the first run, where it is to be made; how it stands is left to look at."""
    told: list[str] = []
    runner = Runner(plan, stage.store, stage, overwrite, tell=told.append)
    run = plan.runs()[0]
    runner.make(runner.to_make([run]))
    return runner, run, told


def test_analyses_are_made_with_the_training(plan, store):
    stage = AnalysingStage(store)
    with_analyses(plan, "embeddings", "robustness")
    runner, run, _ = first_run(plan, stage)
    assert stage.tasks == ["train"] and runner.status(run) == "complete"
    assert set(store.analyses(run)) == {"embeddings", "robustness"}
    # Neither the model nor places of this machine are left.
    assert not store.model_folder(run.id).exists() and store.requested_analyses(run.id) is None
    again = AnalysingStage(store)
    first_run(plan, again)
    assert again.tasks == []


@pytest.mark.parametrize(("keep", "tasks"), [(True, ["analyse"]), (False, ["train"])])
def test_analyses_asked_for_later_need_the_model(keep, tasks, plan, store):
    first_run(plan, AnalysingStage(store, keep=keep))
    with_analyses(plan, "similarity")
    cached, run, _ = first_run(plan, AnalysingStage(store), "only-cached")
    assert cached.status(run) == "without analyses" and cached.outcome([run]).missing == [run]
    assert cached.is_trained(run) is keep
    stage = AnalysingStage(store)
    runner, _, _ = first_run(plan, stage)
    assert stage.tasks == tasks and runner.status(run) == "complete"
    assert store.model_folder(run.id).exists() is keep
    # What is made again is made from the beginning.
    stage = AnalysingStage(store)
    first_run(plan, stage, "always")
    assert stage.tasks == ["train"]


def test_analysis_that_fails_is_listed_and_tried_again_with_the_same_model(plan, store):
    with_analyses(plan, "embeddings", "robustness")
    runner, run, told = first_run(plan, AnalysingStage(store, robustness="failed"))
    reason = "Its analysis robustness: robustness broke."
    assert runner.outcome([run]).failed == {run.id: (run, reason)} and told[-1].startswith(f"failed: {run}: {reason}")
    # The predictions are there all the same.
    assert store.read(run.id).status == "complete"
    idle = AnalysingStage(store)
    first_run(plan, idle)
    assert idle.tasks == [] and store.has_model(run.id)
    stage = AnalysingStage(store)
    runner, _, _ = first_run(plan, stage, "retry-errors")
    assert stage.tasks == ["analyse"] and runner.status(run) == "complete"
    assert not store.model_folder(run.id).exists()


def test_what_does_not_apply_is_no_failure(plan, store):
    with_analyses(plan, "similarity")
    runner, run, _ = first_run(plan, AnalysingStage(store, similarity="not applicable"))
    assert runner.status(run) == "complete"


def test_analysis_that_takes_its_process_along_leaves_the_predictions(plan, store):
    with_analyses(plan, "embeddings", "robustness")
    runner, run, _ = first_run(plan, AnalysingStage(store, made=1, end=-signal.SIGKILL))
    (_, reason) = runner.outcome([run]).failed[run.id]
    assert reason.startswith("Its analysis robustness: The process was ended by SIGKILL")
    assert store.analyses(run)["embeddings"]["status"] == "complete" and store.read(run.id).status == "complete"
    stage = AnalysingStage(store)
    first_run(plan, stage, "retry-errors")
    assert stage.tasks == ["analyse"]


def test_interrupted_analyses_go_on_with_the_same_model(plan, store):
    with_analyses(plan, "embeddings", "robustness")
    runner, run, told = first_run(plan, AnalysingStage(store, made=1, end=130))
    assert runner.status(run) == "without analyses" and told[-1].startswith("interrupted")
    stage = AnalysingStage(store)
    runner, _, _ = first_run(plan, stage)
    assert stage.tasks == ["analyse"] and runner.status(run) == "complete"


# Estimates


def test_estimate_is_that_of_the_most_alike_runs(plan, store):
    runs = plan.runs()
    full, other = runs[0], runs[1]
    assert Estimates(store).of(full) is None
    assert Estimates(store).of_all(runs, 2) == "unknown time"
    for run, seconds in zip(runs[:5], (10.0, 100.0, 20.0, 300.0, 90.0), strict=True):
        store.start(run, "c")
        complete(store, run.id, seconds)
    estimates = Estimates(store)
    # Medians over the seeds of each row, and over all for a row that was never made.
    assert (estimates.of(full), estimates.of(other)) == (20.0, 200.0)
    settings = {**full.configuration["settings"], "learning_rate": 0.5}
    unseen = Run("x", {**full.configuration, "settings": settings}, {})
    assert estimates.of(unseen) == 90.0
    stranger = Run("y", {**full.configuration, "system": "mult"}, {})
    assert estimates.of(stranger) is None
    assert estimates.of_all([full, unseen, stranger], 2) == "about 55 s and 1 of unknown time"


@pytest.mark.parametrize(
    "damage", [{"seconds": "30"}, {"seconds": None}, {"settings": None}, {"settings": []}, {"corpus": ...}]
)
def test_damaged_run_is_of_no_use_to_an_estimate(damage, plan, store):
    run = plan.runs()[0]
    store.start(run, "c")
    complete(store, run.id, 10.0)
    file = store.run_folder(run.id) / "run.json"
    content = {**json.loads(file.read_text()), **damage}
    file.write_text(json.dumps({name: value for name, value in content.items() if value is not ...}))
    assert Estimates(store).of(run) is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5900, "98 min"), (12000, "3 h 20 min")]
)
def test_durations_are_told_in_words(seconds, words):
    assert duration(seconds) == words


# Processes


def test_processes_share_the_cores(monkeypatch):
    monkeypatch.setattr("modeling_univa.benchmark.processes.default_workers", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [LocalProcesses(jobs).environment(0)["OMP_NUM_THREADS"] for jobs in (1, 3, 16)] == ["8", "2", "1"]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert LocalProcesses(2).environment(0)["OMP_NUM_THREADS"] == "1"
    with pytest.raises(ValueError, match="`jobs` must be at least 1, got 0"):
        LocalProcesses(0)


def test_each_process_has_one_of_several_accelerators(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for count, visible, expected in ((1, None, [None] * 3), (2, None, ["0", "1", "0"]), (2, "4,6", ["4", "6", "4"])):
        monkeypatch.setattr("torch.cuda.device_count", lambda count=count: count)
        if visible:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert [LocalProcesses(3).environment(slot).get("CUDA_VISIBLE_DEVICES") for slot in range(3)] == expected
