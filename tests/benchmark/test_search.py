# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Searches for settings: equal chances, the same trials whatever ends a search, failures; jobs are played."""

import math
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from played_jobs import Stage
from sklearn.metrics import f1_score

from modeling_univa import cli
from modeling_univa.benchmark.plan import Plan, read_plan
from modeling_univa.benchmark.runner import Runner
from modeling_univa.benchmark.search import STUDIES_FILE, Searcher, Trials, suggest, validation_score
from modeling_univa.benchmark.store import RunStore
from modeling_univa.benchmark.tuning import Found
from modeling_univa.scores.predictions import Predictions, write_predictions


TRIALS = 13
ROWS = {"rows": {"UniVA": {}}}
BEST_RATE = 2e-4
TUNE = {
    "trials": TRIALS,
    "space": {"learning_rate": {"low": "1e-5", "high": "1e-2", "log": True}, "per_device_train_batch_size": [8, 16]},
    "systems": {"mult": {"hidden_size": {"low": 16, "high": 64}}},
}


def predictions(right: int, rows: int = 40) -> Predictions:
    """Some rows right, the others wrong."""
    labels = np.tile(np.array([[1, 0]], np.int8), (rows, 1))
    scores = np.where(np.arange(rows)[:, None] < right, labels, 1 - labels).astype(np.float32)
    return Predictions([f"u{row}" for row in range(rows)], [f"d{row // 4}" for row in range(rows)], scores, labels)


class Trained(Stage):
    """
    Rows are right the more often the nearer the learning rate is to `BEST_RATE`.

    Args:
        interrupt: this job, counted from 1, is interrupted.
        fail: those with a larger learning rate fail.
    """

    def __init__(self, store: RunStore, jobs: int = 1, interrupt: int = 0, fail: float = math.inf):
        super().__init__(store, jobs)
        self.interrupt, self.fail, self.splits = interrupt, fail, dict[str, list[str]]()

    def train(self, run: str, log: Path) -> int:
        self.interrupt -= 1
        if self.interrupt == 0:
            raise KeyboardInterrupt
        recipe = yaml.safe_load(self.store.recipe_file(run).read_text())
        if recipe["learning_rate"] > self.fail:
            self.store.fail(run, "It diverges.", 1)
            return 1
        return super().train(run, log)

    def complete(self, run: str, recipe: dict) -> None:
        found = {"validation": predictions(round(40 - 15 * abs(math.log10(recipe["learning_rate"] / BEST_RATE))))}
        if recipe.get("test_split") != "none":
            found["test"] = predictions(0)
        self.splits[run] = list(found)
        write_predictions(self.store.run_folder(run) / "predictions.parquet", found, ["a", "b"], 0.5)
        self.store.complete(run, {"seconds": 1.0})
        self.store.tidy(run, keep_model=False)


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a plan of two systems and an ablation."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus").mkdir()
    for system in ("univa", "mult"):
        (tmp_path / f"{system}.yaml").write_text(yaml.safe_dump({"dataset": "corpus", "system": system}))

    def write_plan(tune: object = TUNE, rows: dict | None = None, **content: object) -> Path:
        rows = {"UniVA": {}, "MulT": {"recipe": "mult.yaml"}} if rows is None else rows
        content = {"base": "univa.yaml", "seeds": [1, 2], "tune": tune, "tables": {"t": {"rows": rows}}, **content}
        (tmp_path / "plan.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return tmp_path / "plan.yaml"

    return write_plan


@pytest.fixture
def store(tmp_path) -> RunStore:
    return RunStore(tmp_path / "store")


def search(plan: Plan, stage: Stage, overwrite: str = "only-missing", limit: int | None = None) -> list[Found]:
    """Search for the settings of all rows; what was found, in the order of the rows."""
    searcher = Searcher(Runner(plan, stage.store, stage, overwrite, tell=lambda line: None), limit)
    studies = plan.studies()
    searcher.search(studies)
    found = searcher.found(studies)
    return [found[study.id] for study in studies]


def tried(store: RunStore, plan: Plan) -> list[list[dict]]:
    """What the trials of each row tried."""
    return [[dict(trial.params) for trial in Trials(store).of(study)] for study in plan.studies()]


# Equal chances


def test_each_system_has_as_many_trials_and_begins_alike(write, store):
    plan = read_plan(write())
    univa, mult = search(plan, Trained(store))
    assert len(univa.trials) == len(mult.trials) == TRIALS and not univa.failed + mult.failed
    assert set(univa.settings) == {"learning_rate", "per_device_train_batch_size"}
    assert set(mult.settings) == {*univa.settings, "hidden_size"}
    of_univa, of_mult = tried(store, plan)
    assert len({str(values) for values in of_univa}) > 10
    for values in [*of_univa, *of_mult]:
        assert 1e-5 <= values["learning_rate"] <= 1e-2 and values["per_device_train_batch_size"] in (8, 16)
    assert all(16 <= values["hidden_size"] <= 64 for values in of_mult)


def test_best_trial_of_validation_sets_the_rows(write, store):
    path = write()
    plan, stage = read_plan(path), Trained(store)
    assert [row.runs for row in plan.rows()] == [{}, {}] and plan.runs() == []
    found = search(plan, stage)
    # Trials have no test rows, and are not runs of the table.
    assert {tuple(splits) for splits in stage.splits.values()} == {("validation",)}
    for row, values in zip(found, tried(store, plan), strict=True):
        rates = [trial["learning_rate"] for trial in values]
        nearest = min(rates, key=lambda rate: abs(math.log10(rate / BEST_RATE)))
        right = round(40 - 15 * abs(math.log10(nearest / BEST_RATE)))
        assert row.value == pytest.approx(100 * right / 40)
        assert row.settings["learning_rate"] in rates
    studies = plan.studies()
    tuned = read_plan(path, None, dict(zip([study.id for study in studies], found, strict=True)))
    assert [run.seed for run in tuned.runs()] == [1, 1, 2, 2]
    for row, one in zip(tuned.rows(), found, strict=True):
        for (run,) in row.runs.values():
            assert run.recipe["learning_rate"] == one.settings["learning_rate"] and run.id not in one.trials
            assert run.configuration["settings"]["test_split"] == "test"
    content = tuned.to_dict()["tables"]["t"]
    assert content["tune"]["trials"] == TRIALS and content["tune"]["metric"] == "micro_f1"
    assert content["rows"]["UniVA"]["found"] == found[0].to_json()


def test_rows_of_equal_searches_share_one(write):
    tables = {"t": {"rows": {"UniVA": {}}}, "u": {"seeds": [1, 2, 3], "rows": {"full": {}, "x": {"hidden_size": 8}}}}
    tune = {name: TUNE[name] for name in ("trials", "space")}
    plan = read_plan(write(tune, tables=tables))
    assert [study.places for study in plan.studies()] == [[("t", "UniVA"), ("u", "full")], [("u", "x")]]
    assert [str(study) for study in plan.studies(["u"])] == ["t | UniVA (+ 1)", "u | x"]
    # What is searched does not depend on what the recipe has of it.
    other = read_plan(write({**tune, "metric": "accuracy"}, settings={"learning_rate": 0.5}, tables=tables))
    assert not {study.id for study in other.studies()} & {study.id for study in plan.studies()}
    same = read_plan(write(tune, settings={"learning_rate": 0.5}, tables=tables))
    assert [study.id for study in same.studies()] == [study.id for study in plan.studies()]


def test_a_table_may_have_a_search_of_its_own_or_none(write):
    tables = {"a": ROWS, "b": {**ROWS, "tune": {**TUNE, "trials": 3, "systems": {}}}, "c": {**ROWS, "tune": False}}
    plan = read_plan(write({**TUNE, "systems": {}}, tables=tables))
    assert [row.study.tuning.trials if row.study else None for row in plan.rows()] == [TRIALS, 3, None]


@pytest.mark.parametrize(
    ("tune", "rows", "message"),
    [
        ({**TUNE, "systems": {"mult": {}}}, {"a": {}}, "t, `systems` of `tune` has the unknown key 'mult'; there"),
        ({"trials": 2, "space": {"learning_rat": [1, 2]}}, {"a": {}}, r"t \| a: .*'learning_rat', the nearest"),
        ({"trials": 2, "space": {"learning_rate": ["x", 2]}}, {"a": {}}, r"t \| a: .*invalid float value: 'x'"),
        ({"trials": 2, "space": {"use_cpu": [True, False]}}, {"a": {}}, r"t \| a: 'use_cpu' of `tune` has values"),
        ({"trials": 2, "space": {"hidden_size": [8, 16]}}, {"a": {"hidden_size": 8}}, r"t \| a sets 'hidden_size'"),
        ({"trials": 2, "systems": {"univa": {"hidden_size": [8, 16]}}}, {"a": {}, "b": {"recipe": "mult.yaml"}},
         r"`tune` searches nothing for t \| b: add mult to its `systems`"),
        ({"trials": 2, "space": {"hidden_size": [8, 16]}}, {"a": {"eval_split": "none"}}, "without a validation"),
        ([1], {"a": {}}, "`tune` must hold `name: value` lines, found list"),
        ({"trials": -1}, {"a": {}}, "plan.yaml: t: `trials` of `tune` is -1"),
    ],
)  # fmt: skip
def test_mistakes_of_a_plan_are_named(tune, rows, message, write):
    with pytest.raises(ValueError, match=message):
        read_plan(write(tune, rows))


# The same trials, whatever happens


@pytest.fixture
def undisturbed(write, store, tmp_path) -> tuple[Plan, list[Found]]:
    plan = read_plan(write({**TUNE, "systems": {}}, {"UniVA": {}}))
    return plan, search(plan, Trained(RunStore(tmp_path / "undisturbed")))


def test_number_of_jobs_changes_nothing(undisturbed, store):
    plan, expected = undisturbed
    assert search(plan, Trained(store, jobs=4)) == expected


@pytest.mark.parametrize("job", [1, 9, 10, 12])
def test_interrupted_search_goes_on_the_same(job, undisturbed, store):
    plan, expected = undisturbed
    with pytest.raises(KeyboardInterrupt):
        search(plan, Trained(store, jobs=2, interrupt=job))
    stage = Trained(store)
    assert search(plan, stage) == expected
    assert len(stage.trained) == TRIALS - job + 1


def test_search_that_was_ended_in_the_middle_of_a_round_goes_on_the_same(undisturbed, store, monkeypatch):
    plan, expected = undisturbed
    add, count = Trials.add, [0]

    def add_some(self: Trials, study: object) -> None:
        count[0] += 1
        if count[0] in (4, 13):
            raise KeyboardInterrupt
        add(self, study)

    monkeypatch.setattr(Trials, "add", add_some)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            search(plan, Trained(store))
    assert search(plan, Trained(store)) == expected


def test_runs_are_enough_to_find_the_same_again(undisturbed, store):
    plan, expected = undisturbed
    search(plan, Trained(store))
    (store.folder / STUDIES_FILE).unlink()
    stage = Trained(store)
    assert search(plan, stage, "only-cached") == expected and not stage.trained


def test_trials_that_are_to_come_depend_on_the_seed_and_on_earlier_rounds_alone(undisturbed, store):
    plan, _ = undisturbed
    search(plan, Trained(store))
    (study,) = plan.studies()
    trials = Trials(store).of(study)
    assert suggest(study, trials[:12]) == trials[12].params
    # Those of its own round are not looked at, those before it are.
    turned = [trials[index] for index in (*range(10), 11, 10)]
    assert suggest(study, turned) == trials[12].params
    assert suggest(study, [trials[11], *trials[1:12]]) != trials[12].params
    # Random ones know no others.
    assert suggest(study, trials[5:10]) == trials[5].params


def test_more_trials_begin_as_fewer_did(write, store):
    more, fewer = (read_plan(write({**TUNE, "systems": {}, "trials": trials}, {"a": {}})) for trials in (TRIALS, 11))
    few = search(fewer, Trained(store))
    stage = Trained(store)
    (many,) = search(more, stage)
    assert many.trials[:11] == few[0].trials and len(stage.trained) == 2


def test_another_seed_tries_others(write, store):
    first, other = (read_plan(write({**TUNE, "systems": {}, "trials": 2, "seed": seed}, {"a": {}})) for seed in (0, 1))
    assert not set(search(first, Trained(store))[0].trials) & set(search(other, Trained(store))[0].trials)


# Failures and choices


def test_trial_that_fails_counts_and_is_never_the_best(undisturbed, store):
    plan, _ = undisturbed
    (found,) = search(plan, Trained(store, fail=1e-4))
    rates = [values["learning_rate"] for (trials,) in [tried(store, plan)] for values in trials]
    assert len(found.trials) == TRIALS and len(found.failed) == sum(rate > 1e-4 for rate in rates) > 0
    assert found.settings["learning_rate"] == max(rate for rate in rates if rate <= 1e-4)


def test_without_a_trial_that_ends_there_is_no_result(write, store):
    path = write({**TUNE, "systems": {}, "trials": 3}, {"UniVA": {}})
    plan = read_plan(path)
    (found,) = search(plan, Trained(store, fail=0))
    assert found.is_lost and found.settings is None and found.failed == found.trials
    assert read_plan(path, None, {plan.studies()[0].id: found}).runs() == []


def test_failed_trials_are_made_again_where_that_is_wanted(undisturbed, store):
    plan, expected = undisturbed
    (found,) = search(plan, Trained(store, fail=1e-4))
    stage = Trained(store)
    search(plan, stage)
    assert not stage.trained
    assert search(plan, stage, "retry-errors") == expected
    # Those that were complete are not, and later rounds see other results.
    assert set(found.failed[:5]) <= set(stage.trained) and not set(found.trials[:10]) - set(found.failed) & set(
        stage.trained
    )
    stage = Trained(store, fail=1e-3)
    assert search(plan, stage, "always")[0].failed and len(stage.trained) == TRIALS


def test_at_most_so_many_runs_are_made(undisturbed, store):
    plan, expected = undisturbed
    for made in (4, 4, 4, 1, 0):
        stage = Trained(store)
        found = search(plan, stage, limit=4)
        assert len(stage.trained) == made
    assert found == expected


def test_loss_is_made_small(write, store):
    plan = read_plan(write({**TUNE, "systems": {}, "metric": "hamming_loss"}, {"UniVA": {}}))
    (found,) = search(plan, Trained(store))
    rates = [values["learning_rate"] for values in tried(store, plan)[0]]
    distances = [round(15 * abs(math.log10(rate / BEST_RATE))) for rate in rates]
    assert found.value == pytest.approx(min(distances) / 40)
    assert found.settings["learning_rate"] == rates[distances.index(min(distances))]


def test_equal_settings_are_one_run_and_two_trials(write, store):
    plan = read_plan(
        write({"trials": 5, "space": {"hidden_size": [8, 16]}}, {"UniVA": {}}, settings={"learning_rate": 1})
    )
    stage = Trained(store)
    (found,) = search(plan, stage)
    assert len(found.trials) == 5 and len(stage.trained) == len(set(found.trials)) == 2


def test_trials_lie_in_a_file_that_optuna_reads(undisturbed, store):
    plan, (found,) = undisturbed
    search(plan, Trained(store))
    with sqlite3.connect(store.folder / STUDIES_FILE) as file:
        assert [*file.execute("select state, count(*) from trials group by state")] == [("COMPLETE", TRIALS)]
        (best,) = file.execute("select max(value) from trial_values").fetchone()
    assert best == pytest.approx(found.value)


# Scores


def test_score_is_that_of_validation_rows_at_the_threshold_of_the_run(store):
    store.folder.mkdir()
    rng = np.random.default_rng(0)
    found = Predictions(["u"] * 30, ["d"] * 30, rng.random((30, 4), np.float32), rng.integers(0, 2, (30, 4), np.int8))
    file = store.run_folder("0123") / "predictions.parquet"
    threshold = [0.2, 0.4, 0.6, 0.8]
    write_predictions(file, {"valid": found}, list("abcd"), threshold)
    store.complete("0123", {})
    expected = f1_score(found.labels, found.scores > np.array(threshold), average="macro")
    assert validation_score(store.read("0123"), "macro_f1") == pytest.approx(100 * expected)
    write_predictions(file, {"valid": found, "test": found}, list("abcd"), threshold)
    with pytest.raises(ValueError, match="is of valid, test, expected the rows of one validation split"):
        validation_score(store.read("0123"), "macro_f1")


def test_optuna_is_asked_for_where_it_is_missing(write, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert cli.main(["reproduce", str(write())]) == 2
    assert capsys.readouterr().err == 'univa: a plan with `tune` needs Optuna: pip install "univa[search]"\n'
    assert not Path("outputs").exists()
    # Plans without need none.
    assert cli.main(["reproduce", str(write(None)), "--dry-run"]) == 0
