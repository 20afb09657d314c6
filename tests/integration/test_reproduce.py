# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa reproduce` with real runs: what it keeps and says, failures, and kills at any moment."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import yaml
from forked_runs import fork_runs
from testing_utils import REPOSITORY, kill_tree, random_rows, subprocess_environment, write_corpus
from training_runs import SIZES, write_training_inputs

from modeling_univa import cli
from modeling_univa.benchmark import job
from modeling_univa.benchmark.analysis_files import read_analysis
from modeling_univa.benchmark.embeddings import read_embeddings
from modeling_univa.benchmark.robustness import read_robustness
from modeling_univa.benchmark.store import RunStore, StoredRun
from modeling_univa.data.corpus import Corpus
from modeling_univa.models.configuration_univa import MOSEI_EMOTIONS
from modeling_univa.scores.predictions import read_predictions
from modeling_univa.training import run as training_run


EPOCHS = 80


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    return write_training_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def write(inputs, tmp_path, monkeypatch):
    """Write a plan; the working directory is a folder that is thrown away."""
    monkeypatch.chdir(tmp_path)
    base = {"dataset": str(inputs / "corpus"), "text_model": str(inputs / "encoder"), "use_cpu": True, **SIZES}
    base |= {"audio_num_hidden_layers": 1, "vision_num_hidden_layers": 1, "num_train_epochs": 1}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump({**base, "output_dir": "outputs/base"}))

    def write_plan(rows: dict, **content: object) -> Path:
        content = {"corpus": "Tiny", "base": "base.yaml", "seeds": [1], "tables": {"t": {"rows": rows}}, **content}
        (tmp_path / "plan.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return tmp_path / "plan.yaml"

    return write_plan


@pytest.fixture
def forked(monkeypatch):
    """Runs are forks, where what a run leaves is the point."""
    fork_runs(monkeypatch)


def only(runs: dict[str, StoredRun], status: str) -> StoredRun:
    (found,) = [run for run in runs.values() if run.status == status]
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_baselines_are_runs_and_the_report_has_them(write, tmp_path, capfd):
    rows = {"UniVA": {}, "frequencies": {"baseline": "prior"}, "linear": {"baseline": "linear"}}
    assert cli.main(["reproduce", str(write(rows))]) == 0, capfd.readouterr()
    runs = RunStore("outputs/benchmark").read_all().values()
    for run in runs:
        assert sorted(path.name for path in run.folder.iterdir()) == ["log.txt", "predictions.parquet", "run.json"]
        assert run.content["corpus_rows"] == {"train": 12, "validation": 7, "test": 5} and run.content["seconds"] > 0
    assert {run.content["system"] for run in runs} == {"univa", "prior", "linear"}
    assert cli.main(["report", "outputs/benchmark", "--split", "validation", "--output", "outputs/report"]) == 0
    text = Path("outputs/report/report.md").read_text(encoding="utf-8")
    for name in rows:
        assert f"| {name} | ours, common features | 1 |" in text
    assert "Split validation: 7 rows of 2 dialogues" in text


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_folds_are_made_and_reported_as_one(write, capfd):
    """Two folds without validation: every dialogue is tested once."""
    row = {"num_folds": 2, "fold_by": "dialogue", "eval_split": "none", "modalities": ["audio"], "text_model": None}
    plan = str(write({"UniVA": row}))
    assert cli.main(["reproduce", plan]) == 0, capfd.readouterr()
    said = capfd.readouterr().out
    assert "complete: t | UniVA, seed 1, fold 2" in said and "2 complete, 0 failed, 0 missing" in said
    assert cli.main(["report", "outputs/benchmark", "--output", "outputs/report", "--no-figures"]) == 0
    text = Path("outputs/report/report.md").read_text(encoding="utf-8")
    assert "All rows: cross-validation, 2 folds by dialogue." in text
    assert "Split test: 24 rows of 6 dialogues" in text and "mean over 1 seed," in text


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_another_corpus_is_reported_on_the_labels_in_common(write, tmp_path, capfd):
    names = ["joy", *MOSEI_EMOTIONS[1:3], "contempt"]
    write_corpus(tmp_path / "other", {"dev": random_rows([4, 3, 5], seed=5, prefix="other", label_names=names)})
    label_map = {"joy": MOSEI_EMOTIONS[0], "contempt": None}
    row = {"test_dataset": "other", "test_split": "dev", "label_map": label_map, "modalities": ["audio"]}
    plan = str(write({"UniVA": {**row, "text_model": None, "eval_split": "none"}}))
    assert cli.main(["reproduce", plan]) == 0, capfd.readouterr()
    assert cli.main(["report", "outputs/benchmark", "--output", "outputs/report", "--no-figures"]) == 0
    text = Path("outputs/report/report.md").read_text(encoding="utf-8")
    shared = ", ".join(MOSEI_EMOTIONS[:3])
    assert f"All rows: tested on another corpus. Scored are the labels that model and corpus share: {shared};" in text
    assert f"joy as {MOSEI_EMOTIONS[0]}" in text and "Excluded rows, all of whose labels are left out: " in text


@pytest.mark.slow
def test_runs_are_made_kept_and_listed(write, inputs, capfd):
    rows = {"UniVA": {}, "too wide": {"hidden_size": 15}, "frozen": {"text_states": True, "modalities": ["text"]}}
    plan = str(write(rows))
    assert cli.main(["reproduce", plan, "--dry-run"]) == 0
    said = capfd.readouterr().out
    assert said.count("to make, unknown") == 3 and "3 runs, 3 to make: unknown time with --jobs 1" in said
    assert not Path("outputs").exists()
    assert cli.main(["reproduce", plan, "--jobs", "2", "--only", "UniVA", "too wide"]) == 1
    said = capfd.readouterr().out
    reason = "`hidden_size` must be a multiple of `num_attention_heads`, got 15 and 2."
    assert said.count(f"failed: t | too wide, seed 1: {reason}") == 2 and "1 complete, 1 failed, 0 missing" in said
    runs = RunStore("outputs/benchmark").read_all()
    complete, failed = only(runs, "complete"), only(runs, "failed")
    # What stays of a run is what tables need, without a path of this machine.
    assert sorted(path.name for path in complete.folder.iterdir()) == ["log.txt", "predictions.parquet", "run.json"]
    assert sorted(path.name for path in failed.folder.iterdir()) == ["error.json", "log.txt", "run.json"]
    assert str(inputs) not in (complete.folder / "run.json").read_text()
    splits, names, _ = read_predictions(complete.predictions)
    assert {split: found.scores.shape for split, found in splits.items()} == {"validation": (7, 6), "test": (5, 6)}
    content = complete.content
    assert content["corpus_name"] == "Tiny" and content["corpus_labels"] == names
    assert content["corpus_rows"] == {"train": 12, "validation": 7, "test": 5}
    assert content["settings"]["seed"] == 1 and content["system"] == "univa" and content["device"] == "cpu"
    assert 0 < content["trained_parameters"] == content["parameters"]
    assert 0 < content["training_seconds"] < content["seconds"] and content["peak_memory_bytes"] > 1e8
    assert {"univa", "python", "torch"} <= set(content["versions"])
    error = json.loads((failed.folder / "error.json").read_text())
    assert error["reason"] == failed.reason == reason and error["exit_code"] == 1 and "Traceback" in error["log"]
    # The table of all tables is there whatever was chosen; what is there is not made again.
    (table,) = RunStore("outputs/benchmark").read_plans()["plan"]["tables"].values()
    assert list(table["rows"]) == list(rows) and table["rows"]["UniVA"]["runs"] == {"1": complete.id}
    before = complete.predictions.stat().st_mtime_ns
    assert cli.main(["reproduce", plan, "--overwrite", "only-cached"]) == 1
    assert "1 complete, 1 failed, 1 missing" in capfd.readouterr().out
    assert cli.main(["reproduce", plan, "--only", "UniVA", "frozen", "--keep-models"]) == 0
    assert "2 runs, 1 to make: about" in capfd.readouterr().out
    assert complete.predictions.stat().st_mtime_ns == before
    (frozen,) = set(RunStore("outputs/benchmark").read_all()) - set(runs)
    frozen = RunStore("outputs/benchmark").read(frozen)
    assert frozen.content["trained_parameters"] < frozen.content["parameters"]
    assert (frozen.folder / "model" / "model.safetensors").is_file()
    assert not list((frozen.folder / "model").glob("checkpoint-*"))


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_corpus_is_built_once_before_runs_that_share_it(write, capfd):
    corpus = {"dataset": "./corpora/demo", "corpus_script": "demo", "corpus_options": ["--num-dialogues", "4"]}
    small = {"modalities": ["audio"], "text_model": None}
    plan = str(write({"full": {}, "none": {"contrastive_loss": "none"}}, settings={**corpus, **small}))
    assert cli.main(["reproduce", plan, "--jobs", "2"]) == 0
    said = capfd.readouterr().out.splitlines()
    assert said[1] == "started: preparing the corpus ./corpora/demo"
    assert [line.partition(":")[0] for line in said[2:4]] == ["started", "started"]
    logs = [run.folder / "log.txt" for run in RunStore("outputs/benchmark").read_all().values()]
    assert len(logs) == 2 and not [log for log in logs if "wrote ./corpora/demo" in log.read_text()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--jobs", "0"], "--jobs must be at least 1, got 0"),
        (["--limit", "0"], "--limit must be at least 1, got 0"),
        (["--only", "UniVB"], "The plan has no table and no row 'UniVB', the nearest is 'UniVA'"),
        (["--set", "seeds"], "--set has 'seeds', expected KEY=VALUE"),
        (["--set", "learning_rat=1"], "t | UniVA: The recipe has the unknown key 'learning_rat', the nearest is"),
    ],
)
def test_mistakes_end_in_one_sentence(options, message, write, capsys):
    assert cli.main(["reproduce", str(write({"UniVA": {}})), *options]) == 2
    assert message in capsys.readouterr().err and not Path("outputs").exists()


# Kills


class Benchmark:
    """`univa reproduce` in a process of its own, always by the same command."""

    def __init__(self, plan: Path, folder: Path, cache: Path, output: str):
        self.store, self.folder = RunStore(folder / output), folder
        self.environment = subprocess_environment(cache) | {"PYTHONPATH": str(REPOSITORY)}
        self.command = [sys.executable, "-m", "modeling_univa.cli", "reproduce", str(plan), "--output", output]

    def finish(self) -> None:
        subprocess.run(self.command, env=self.environment, cwd=self.folder, check=True, capture_output=True)

    def end(self, when: Callable[[], bool], how: int) -> int:
        """Run until `when` holds and end it by a signal, and nothing else; its exit status."""
        process = subprocess.Popen(self.command, env=self.environment, cwd=self.folder)
        try:
            deadline = time.monotonic() + 200
            while not when() and time.monotonic() < deadline and process.poll() is None:
                time.sleep(0.01)
            jobs = psutil.Process(process.pid).children()
            os.kill(process.pid, how)
            status = process.wait(timeout=60)
            # Whatever ends it, no job goes on alone.
            _, alive = psutil.wait_procs(jobs, timeout=30)
            assert jobs and not alive
            return status
        finally:
            if process.poll() is None:
                kill_tree(process.pid)

    @property
    def checkpoints(self) -> list[Path]:
        return list(self.store.folder.glob("runs/*/model/checkpoint-*/trainer_state.json"))


@pytest.mark.slow
def test_killed_benchmark_started_again_ends_the_same(write, tmp_path):
    plan = write({"UniVA": {}}, settings={"num_train_epochs": EPOCHS, "learning_rate": 0.003})
    whole, stopped = (Benchmark(plan, tmp_path, tmp_path / "cache", output) for output in ("whole", "stopped"))
    whole.finish()
    assert stopped.end(lambda: bool(stopped.checkpoints), signal.SIGKILL) == -signal.SIGKILL
    step = max(int(path.parent.name.rpartition("-")[2]) for path in stopped.checkpoints)
    assert {run.status for run in stopped.store.read_all().values()} == {"started"}

    def goes_on() -> bool:
        return any(int(path.parent.name.rpartition("-")[2]) > step for path in stopped.checkpoints)

    assert stopped.end(goes_on, signal.SIGINT) == 130
    stopped.finish()
    (one,), (other,) = (job.store.read_all().values() for job in (whole, stopped))
    assert one.id == other.id and one.status == other.status == "complete"
    assert (other.folder / "log.txt").read_text().count("Resuming from") == 2
    expected, found = read_predictions(one.predictions), read_predictions(other.predictions)
    for split, rows in expected[0].items():
        np.testing.assert_allclose(found[0][split].scores, rows.scores, rtol=0, atol=1e-6)
        assert found[0][split].utterance_ids == rows.utterance_ids
    assert found[1:] == expected[1:]


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_analyses_are_made_at_the_end_or_from_a_kept_model(write, inputs, capfd):
    rows = {"UniVA": {}, "w/o prior": {"correlation_prior_weight": 0, "analyses": ["similarity"]}}
    plan = str(write(rows))
    assert cli.main(["reproduce", plan, "--keep-models", "--only", "UniVA"]) == 0
    (run,) = RunStore("outputs/benchmark").read_all().values()
    predictions = run.predictions.read_bytes()
    plan = str(write(rows, analyses=["embeddings", "similarity", "robustness"]))
    capfd.readouterr()
    assert cli.main(["reproduce", plan, "--dry-run"]) == 0
    said = capfd.readouterr().out
    assert "UniVA, seed 1: to analyse" in said and "w/o prior, seed 1: to make, about" in said
    assert cli.main(["reproduce", plan]) == 0
    assert run.predictions.read_bytes() == predictions
    names = ["embeddings.json", "embeddings.npz", "robustness.json", "robustness.parquet", "similarity.json"]
    assert sorted(path.name for path in (run.folder / "analyses").iterdir()) == names
    found, before = read_robustness(run.folder), read_predictions(run.predictions)[0]["test"]
    assert len(found.predictions) == 13 and found.predictions["clean"].utterance_ids == before.utterance_ids
    assert found.predictions["clean"].scores == pytest.approx(before.scores, abs=1e-5)
    assert read_embeddings(run.folder)[0].embeds["text"].shape == (5, 16)
    (other,) = [one for one in RunStore("outputs/benchmark").read_all().values() if one.id != run.id]
    assert "similarity of labels" in read_analysis(other.folder, "similarity")["reason"]
    assert sorted(path.name for path in other.folder.iterdir()) == [
        "analyses", "log.txt", "predictions.parquet", "run.json"
    ]  # fmt: skip
    for file in Path("outputs/benchmark/runs").glob("*/analyses/*.json"):
        assert str(inputs) not in file.read_text()
    assert cli.main(["reproduce", plan, "--overwrite", "only-cached"]) == 0


# Searches for settings


class InThisProcess:
    """Jobs that run in this process, to see which splits they read; all have ended when they are started."""

    jobs = 1

    def __init__(self, monkeypatch):
        self.read: dict[str, set[str]] = {}
        self.now = ""
        for module in (training_run, job):
            monkeypatch.setattr(module, "make_split", partial(self._make_split, module.make_split))

    def _make_split(self, make: Callable, corpus: Corpus, split: str, *args: object, **kwargs: object) -> object:
        self.read[self.now].add(split)
        return make(corpus, split, *args, **kwargs)

    def find(self, log: Path) -> None:
        return None

    def start(self, command: Sequence[str], log: Path, slot: int) -> SimpleNamespace:
        self.now = command[5]
        self.read[self.now] = set()
        code = job.main(command[3:])
        return SimpleNamespace(exit_code=lambda: code, stop=lambda: None)


TUNE = {
    "trials": 2,
    "seed": 0,
    "space": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}},
    "systems": {"univa": {"hidden_size": [15, 16]}, "mult": {"num_attention_heads": [1, 2]}},
}


@pytest.mark.slow
def test_trials_are_equal_in_number_and_never_see_test(write, tmp_path, monkeypatch, capfd):
    base = yaml.safe_load((tmp_path / "base.yaml").read_text())
    shared = ("dataset", "text_model", "use_cpu", "hidden_size", "num_train_epochs")
    mult = {**{key: base[key] for key in shared}, "system": "mult", "num_hidden_layers": 1}
    (tmp_path / "mult.yaml").write_text(yaml.safe_dump(mult))
    plan = str(write({"UniVA": {}, "MulT": {"recipe": "mult.yaml"}}, tune=TUNE))
    executor = InThisProcess(monkeypatch)
    monkeypatch.setattr("modeling_univa.commands.benchmark_runs.LocalProcesses", lambda jobs: executor)
    assert cli.main(["reproduce", plan, "--dry-run"]) == 0
    assert "0 runs, 0 to make, 6 trials and runs after them: unknown time" in capfd.readouterr().out
    assert cli.main(["reproduce", plan]) == 0
    said = capfd.readouterr().out
    store = RunStore("outputs/benchmark")
    rows = store.read_plans()["plan"]["tables"]["t"]["rows"]
    assert [len(row["found"]["trials"]) for row in rows.values()] == [2, 2]
    trials = {name for row in rows.values() for name in row["found"]["trials"]}
    final = {name for row in rows.values() for name in row["runs"].values()}
    assert len(trials) == 4 and len(final) == 2 and trials | final == set(executor.read)
    assert all(executor.read[name] <= {"train", "validation"} for name in trials)
    assert all(executor.read[name] == {"train", "validation", "test"} for name in final)
    runs = store.read_all()
    scored = {
        name: set(read_predictions(run.predictions)[0]) for name, run in runs.items() if run.status == "complete"
    }
    failed = set(rows["UniVA"]["found"]["failed"])
    # One trial of UniVA had a size that it cannot have.
    assert len(failed) == 1 and rows["UniVA"]["found"]["settings"]["hidden_size"] == 16
    assert scored == {**dict.fromkeys(trials - failed, {"validation"}), **dict.fromkeys(final, {"validation", "test"})}
    assert "search for t | UniVA: best of 2 trials (1 failed), with miF1 % " in said
    assert "`hidden_size` must be a multiple of `num_attention_heads`, got 15 and 2." in said.splitlines()[-3]
    assert said.splitlines()[-1] == "2 complete, 0 failed, 0 missing; runs are in outputs/benchmark"
    executor.read.clear()
    assert cli.main(["reproduce", plan, "--overwrite", "only-cached"]) == 0 and not executor.read


@pytest.mark.slow
def test_killed_search_goes_on_the_same(write, tmp_path):
    tune = {"trials": 3, "space": TUNE["space"]}
    plan = write({"UniVA": {}}, tune=tune, settings={"num_train_epochs": 4})
    whole, stopped = (Benchmark(plan, tmp_path, tmp_path / "cache", output) for output in ("whole", "stopped"))
    whole.finish()

    def is_in_a_later_trial() -> bool:
        runs = stopped.store.read_all().values()
        return any(run.status == "complete" for run in runs) and bool(stopped.checkpoints)

    assert stopped.end(is_in_a_later_trial, signal.SIGKILL) == -signal.SIGKILL
    stopped.finish()
    one, other = (benchmark.store.read_plans() for benchmark in (whole, stopped))
    assert one == other and one["plan"]["tables"]["t"]["rows"]["UniVA"]["found"]["value"] > 0
    runs = [benchmark.store.read_all() for benchmark in (whole, stopped)]
    assert set(runs[0]) == set(runs[1]) and len(runs[0]) == 4
    for name, made in runs[0].items():
        expected, found = (read_predictions(one.predictions)[0] for one in (made, runs[1][name]))
        for split, rows in expected.items():
            np.testing.assert_allclose(found[split].scores, rows.scores, rtol=0, atol=1e-6)
