# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Plans: what they expand to, which runs are one, what their names depend on, and what is refused."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from testing_utils import REPOSITORY, subprocess_environment
from training_runs import write_training_inputs

from modeling_univa.benchmark.baselines import BASELINES
from modeling_univa.benchmark.configuration import resolved_configuration, run_id
from modeling_univa.benchmark.plan import read_plan
from modeling_univa.models.systems import SYSTEMS
from modeling_univa.training.arguments import parse_arguments


BASE = {"dataset": "ORG/corpus", "output_dir": "outputs/base", "system": "univa", "hidden_size": 24}
TABLES = {
    "table2": {"rows": {"UniVA": {}, "MulT": {"recipe": "mult.yaml"}}},
    "table3": {
        "title": "Losses",
        "metrics": ["accuracy", "micro_f1"],
        "seeds": [1, 2, 3],
        "rows": {"full": None, "w/o VA-CL": {"contrastive_loss": "none"}},
        "published": {"full": {"micro_f1": 60.5}},
    },
    "figure5": {"rows": {0.05: {"va_distance_threshold": 0.05}, 0.1: {"va_distance_threshold": 0.1}}},
}
# Plans of the paper's tables.
PLANS = [REPOSITORY / "recipes" / "benchmark" / f"{name}.yaml" for name in ("m3ed", "mosaic", "mosei", "ravdess_av")]


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a plan and its recipes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(BASE))
    (tmp_path / "mult.yaml").write_text(yaml.safe_dump({"dataset": "ORG/corpus", "system": "mult"}))

    def write_plan(tables: dict = TABLES, **changes: object) -> Path:
        content = {"corpus": "mine", "base": "base.yaml", "seeds": [1, 2], "tables": tables, **changes}
        (tmp_path / "plan.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return tmp_path / "plan.yaml"

    return write_plan


def configuration(**recipe: object) -> dict:
    return resolved_configuration(*parse_arguments([], {**BASE, **recipe}))


def name(**recipe: object) -> str:
    return run_id(configuration(**recipe))


# Expansion


def test_every_run_is_made_once_for_all_tables(write):
    plan = read_plan(write())
    runs = plan.runs()
    # MulT 2, without VA-CL 3, δ = 0.05 2; and the full model, which is δ = 0.1 and stands in three tables, 3.
    assert len(runs) == len({run.id for run in runs}) == 10
    full = [run for run in runs if ("table3", "full") in run.places]
    assert [run.seed for run in full] == [1, 2, 3]
    assert full[0].places == [("table2", "UniVA"), ("table3", "full"), ("figure5", "0.1")]
    assert full[2].places == [("table3", "full")]
    assert str(full[0]) == "table2 | UniVA (+ 2), seed 1" and str(full[2]) == "table3 | full, seed 3"
    # The first seed of every row comes before any second one.
    assert [run.seed for run in runs] == [1, 1, 1, 1, 2, 2, 2, 2, 3, 3]
    table = plan.tables[1]
    assert (plan.name, plan.corpus, table.title, table.metrics) == ("plan", "mine", "Losses", ["accuracy", "micro_f1"])
    assert [row.system for row in plan.tables[0].rows] == ["univa", "mult"]


def test_what_reports_read_names_the_runs(write):
    plan = read_plan(write())
    content = json.loads(json.dumps(plan.to_dict()))
    named = {
        run for table in content["tables"].values() for row in table["rows"].values() for run in row["runs"].values()
    }
    assert named == {run.id for run in plan.runs()}
    assert content["tables"]["table3"]["published"] == {"full": {"micro_f1": 60.5}}
    assert list(content["tables"]["figure5"]["rows"]) == ["0.05", "0.1"]
    assert list(content["tables"]["table2"]["metrics"]) == ["accuracy", "hamming_loss", "micro_f1", "macro_f1"]


def test_rows_say_which_features_they_have(write):
    rows = {"a": {}, "b": {"features": "original"}, "c": None}
    tables = {"t": {"rows": rows}, "u": {"features": "original", "rows": {**rows, "d": {"features": "common"}}}}
    plan = read_plan(write(tables))
    found = [[row.features for row in table.rows] for table in plan.tables]
    assert found == [["common", "original", "common"], ["original", "original", "original", "common"]]
    assert [row["features"] for row in plan.to_dict()["tables"]["t"]["rows"].values()] == found[0]
    # They decide about tables, not about runs.
    assert len(plan.runs()) == 2


def test_baselines_are_one_run_each(write):
    rows = {"UniVA": {}, "wide": {"hidden_size": 48}, "prior": {"baseline": "prior"}, "linear": {"baseline": "linear"}}
    plan = read_plan(write({"t": {"rows": rows}, "u": {"rows": {"p": {"baseline": "prior", "hidden_size": 48}}}}))
    assert [(run.configuration["system"], run.seed) for run in plan.runs(["prior", "linear", "p"])] == [
        ("prior", 0), ("linear", 0),
    ]  # fmt: skip
    assert plan.tables[1].rows[0].runs[0][0] is plan.tables[0].rows[2].runs[0][0] and len(plan.runs()) == 6
    # The recipe is that of the row, which a job reads.
    assert parse_arguments([], plan.runs(["linear"])[0].recipe)[0].system == "univa"


def test_only_some_tables_and_rows(write):
    plan = read_plan(write())
    assert {run.places[0][1] for run in plan.runs(["MulT"])} == {"MulT"}
    assert len(plan.runs(["table2"])) == 4
    assert len(plan.runs(["MulT", "w/o VA-CL"])) == 5
    with pytest.raises(ValueError, match="no table and no row 'w/o VA-CK', the nearest is 'w/o VA-CL'"):
        plan.runs(["w/o VA-CK"])


def test_recipe_plan_row_and_command_line_win_in_this_order(write):
    """`learning_rate` is set by all, the others by one less each."""
    base = {"recipe": "base.yaml", "learning_rate": 0.1, "num_train_epochs": 1, "weight_decay": 0.1, "max_steps": 1}
    own = {"learning_rate": 0.3, "num_train_epochs": 3}
    tables = {"t": {"rows": {"a": own, "b": {"recipe": "base.yaml"}}}}
    path = write(tables, base=base, settings={"learning_rate": 0.2, "num_train_epochs": 2, "weight_decay": 0.2})
    first, second, *_ = read_plan(path, {"learning_rate": 0.4}).runs()
    names = ("learning_rate", "num_train_epochs", "weight_decay", "max_steps")
    assert [first.configuration["settings"].get(name) for name in names] == [0.4, 3, 0.2, 1]
    # What the base changes is not of the recipe that it changes.
    assert [second.configuration["settings"].get(name) for name in names] == [0.4, 2, 0.2, -1]
    assert first.recipe["hidden_size"] == 24 and "output_dir" not in first.recipe


def test_corpus_of_a_setting_is_not_built_as_that_of_the_recipe(write, tmp_path):
    (tmp_path / "base.yaml").write_text(yaml.safe_dump({**BASE, "corpus_script": "demo"}))
    tables = {"table2": {"rows": {"UniVA": {}}}}
    built, other = (read_plan(write(tables), settings).runs()[0] for settings in ({}, {"dataset": "ORG/other"}))
    assert built.configuration["corpus"] == {"script": "demo", "source": None, "options": []}
    assert other.configuration["corpus"] == {"name": "ORG/other", "revision": None}


@pytest.mark.parametrize(
    ("tables", "changes", "message"),
    [
        ({"t": {"rows": {"a": {"contrastive_los": "va"}}}}, {}, r"t \| a: .*'contrastive_los', the nearest is 'contr"),
        ({"t": {"rows": {"a": {"learning_rate": "fast"}}}}, {}, r"t \| a: .*invalid float value: 'fast'"),
        ({"t": {"rows": {"a": {"seed": 3}}}}, {}, r"t \| a sets `seed`: write `seeds`"),
        ({"t": {"rows": {"a": {"output_dir": "x"}}}}, {}, r"sets `output_dir`: runs lie in the output folder"),
        (
            {"t": {"rows": {"a": {"recipe": "no.yaml"}}}},
            {},
            r"t \| a: There is no recipe no.yaml; this package has demo, ",
        ),
        (
            {"t": {"rows": {"a": {"seeds": [1, 1]}}}},
            {},
            r"`seeds` of t \| a is \[1, 1\], expected a list of",
        ),
        (
            {"t": {"rows": {"a": {"features": "own"}}}},
            {},
            r"t \| a, `features` has the unknown key 'own'; there are co",
        ),
        (
            {"t": {"rows": {"a": {"baseline": "x"}}}},
            {},
            r"t \| a, `baseline` has the unknown key 'x'; there are m",
        ),
        ({"t": {"rows": {"a": {"baseline": "all", "seeds": [1]}}}}, {}, r"t \| a has `seeds` and a `baseline`, in"),
        (
            {"t": {"rows": {"a": {"baseline": "all", "analyses": ["similarity"]}}}},
            {},
            "`baseline`, which has no model",
        ),
        ({"t": {"rows": {"a": 3}}}, {}, r"t \| a must hold `name: value` lines, found int"),
        ({"t": {"rows": ["a"]}}, {}, "t, `rows` must hold `name: value` lines, found list"),
        ({"t": {"rows": {}}}, {}, "t has no `rows`"),
        ({"t": {"row": {}}}, {}, "t has the unknown key 'row', the nearest is 'rows'"),
        ({"t": {"metrics": ["micro_f2"], "rows": {"a": {}}}}, {}, "'micro_f2', the nearest is 'micro_f1'"),
        ({"t": {"published": {"b": {}}, "rows": {"a": {}}}}, {}, "`published` has the unknown key 'b'; there are a"),
        ({"t": {"published": {"a": {"micro_f1": "60 %"}}, "rows": {"a": {}}}}, {}, "must be numbers, found '60 %'"),
        ({"t": {"published": {"a": {"micro_f1": None}}, "rows": {"a": {}}}}, {}, "must be numbers, found None"),
        ({"t": {"metrics": [], "rows": {"a": {}}}}, {}, "t has no `metrics`: name some of accuracy"),
        ({}, {}, "has no `tables`"),
        (TABLES, {"seed": [1]}, "The plan has the unknown key 'seed', the nearest is 'seeds'"),
        (TABLES, {"seeds": 5}, r"`seeds` of table2 \| UniVA is 5"),
        (TABLES, {"base": None}, r"table2 \| UniVA has no `recipe`, and the plan no `base`"),
    ],
)
def test_mistakes_are_named(tables, changes, message, write):
    with pytest.raises(ValueError, match=message) as error:
        read_plan(write(tables, **changes))
    assert str(error.value).startswith("/") and "plan.yaml: " in str(error.value)


def test_analyses_are_not_part_of_a_run(write):
    rows = {"full": None, "none": {"contrastive_loss": "none", "analyses": []}, "all": {"analyses": ["robustness"]}}
    tables = {"t": {"rows": rows}, "u": {"rows": {"full": {"analyses": "similarity"}}}}
    plan = read_plan(write(tables, analyses=["embeddings"], media_root="media"))
    before = {run.id for run in read_plan(write({"t": {"rows": {"full": None, "none": rows["none"]}}})).runs()}
    assert {run.id for run in plan.runs()} == before and plan.media_root == "media"
    # A run that stands in several places has what any of them asks for.
    assert {tuple(run.analyses) for run in plan.runs() if len(run.places) == 3} == {
        ("embeddings", "similarity", "robustness")
    }
    assert {tuple(run.analyses) for run in plan.runs() if len(run.places) == 1} == {()}
    assert plan.to_dict()["tables"]["t"]["rows"]["none"]["analyses"] == []
    # A baseline has no model to analyse.
    (run,) = read_plan(write({"t": {"rows": {"all": {"baseline": "all"}}}}, analyses=["embeddings"])).runs()
    assert run.analyses == []


# Folds


FOLDS = {"t": {"rows": {"full": {}, "one": {"fold": 2}, "prior": {"baseline": "prior"}}}}


def test_folds_are_one_run_each(write):
    plan = read_plan(write(FOLDS, settings={"num_folds": 3}))
    full, one, prior = plan.tables[0].rows
    assert {seed: [run.fold for run in runs] for seed, runs in full.runs.items()} == {1: [1, 2, 3], 2: [1, 2, 3]}
    assert (full.folds, one.folds, prior.folds) == ("3 folds by speaker", None, "3 folds by speaker")
    assert [run.id for run in full.runs[1]] == [name(num_folds=3, fold=fold, seed=1) for fold in (1, 2, 3)]
    # A fold by itself is the same run; all folds of the first seed come before the second.
    assert one.runs[2] == [full.runs[2][1]] and str(full.runs[2][1]) == "t | full (+ 1), seed 2, fold 2"
    assert [(run.seed, run.fold) for run in plan.runs(["full"])] == [(s, f) for s in (1, 2) for f in (1, 2, 3)]
    assert [(seed, [run.fold for run in runs]) for seed, runs in prior.runs.items()] == [(0, [1, 2, 3])]
    assert len(plan.runs()) == len({run.id for run in plan.runs()}) == 9
    rows = json.loads(json.dumps(plan.to_dict()))["tables"]["t"]["rows"]
    assert rows["full"]["runs"]["2"] == {str(run.fold): run.id for run in full.runs[2]}
    assert rows["full"]["folds"] == "3 folds by speaker"
    assert rows["one"]["runs"]["2"] == full.runs[2][1].id and "folds" not in rows["one"]


def test_named_folds_of_leave_one_out(write):
    rows = {"full": {"num_folds": "all", "fold_by": "dialogue", "fold": ["d1", "d2"]}}
    (row,) = read_plan(write({"t": {"rows": rows}})).tables[0].rows
    assert [run.fold for run in row.runs[1]] == ["d1", "d2"] and row.folds == "leave-one-dialogue-out, 2 folds"


def test_another_corpus_is_another_run_of_a_baseline(write):
    tables = {"t": {"rows": {name: {"baseline": name} for name in ("prior", "linear")}}}
    label_map = {"joy": "happy"}
    plans = [read_plan(write(tables, settings=settings)) for settings in (
        {}, {"test_dataset": "ORG/other"}, {"test_dataset": "ORG/other", "label_map": label_map},
    )]  # fmt: skip
    assert len({run.id for plan in plans for run in plan.runs()}) == 6


def test_analyses_of_the_plan_are_not_of_folds_and_other_corpora(write):
    for settings, message in (({"num_folds": 3}, "has `analyses` and folds"),
                              ({"test_dataset": "ORG/other"}, "has `analyses` and a `test_dataset`")):  # fmt: skip
        tables = {"t": {"rows": {"full": None}}}
        runs = read_plan(write(tables, settings=settings, analyses=["embeddings"])).runs()
        assert runs and not any(run.analyses for run in runs)
        with pytest.raises(ValueError, match=message):
            read_plan(write({"t": {"rows": {"full": {"analyses": ["similarity"]}}}}, settings=settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_folds": 2}, r"t \| full: `num_folds` must be all or a number of at least 3"),
        ({"num_folds": "some"}, r"t \| full: `num_folds` must be all or a number"),
        ({"num_folds": 3, "fold": [1, 4]}, r"t \| full: `fold` must be a number from 1 to 3, got 4"),
        ({"num_folds": 3, "fold": [1, 1]}, r"t \| full: `fold` is \[1, 1\], expected a list of different folds"),
        ({"num_folds": "all"}, r"t \| full: .*ORG/corpus is not a folder here: build the corpus first"),
        ({"num_folds": 3, "tune": {}}, r"t \| full has folds, whose test rows `tune` would choose on: add"),
    ],
)
def test_folds_that_cannot_be_made_are_named(settings, message, write):
    tune = {"tune": {"trials": 2, "space": {"learning_rate": [1, 2]}}} if "tune" in settings else {}
    settings = {key: value for key, value in settings.items() if key != "tune"}
    with pytest.raises(ValueError, match=message):
        read_plan(write({"t": {"rows": {"full": None}}}, settings=settings, **tune))


def test_unknown_analysis_is_refused(write):
    with pytest.raises(ValueError, match="`analyses` has the unknown key 'embedings', the nearest is 'embeddings'"):
        read_plan(write(analyses=["embedings"]))
    with pytest.raises(ValueError, match=r"t \| full, `analyses` has the unknown key 'x'"):
        read_plan(write({"t": {"rows": {"full": {"analyses": ["x"]}}}}))


@pytest.mark.parametrize("name", ["mosei", "mosei.yaml", "benchmark/mosei", "recipes/benchmark/mosei.yaml"])
def test_a_plan_of_the_package_goes_by_its_name(name, tmp_path, monkeypatch):
    """Its recipes, which it names beside itself, are found too."""
    monkeypatch.chdir(tmp_path)
    plan = read_plan(name)
    assert plan.name == "mosei" and plan.runs() and "univa" in {row.system for row in plan.rows()}


def test_a_plan_of_ones_own_names_recipes_of_the_package(write):
    plan = read_plan(write({"t": {"rows": {"a": {}, "b": {"recipe": "mosei/mult", "dataset": "ORG/corpus"}}}}))
    assert [row.system for row in plan.rows()] == ["univa", "mult"]


def test_missing_plan_is_refused():
    with pytest.raises(ValueError, match="There is no plan nowhere.yaml; this package has demo, m3ed, mosaic, "):
        read_plan("nowhere.yaml")


# Names


def test_name_depends_on_what_decides_the_result_alone():
    assert name() == name(output_dir="elsewhere", use_cpu=True, per_device_eval_batch_size=3, disable_tqdm=True)
    others = [
        {"seed": 2}, {"system": "mult"}, {"hidden_size": 48}, {"learning_rate": 0.5}, {"contrastive_weight": 0},
        {"modalities": ["text"]}, {"dataset": "ORG/other"}, {"dataset_revision": "v2"}, {"eval_split": "dev"},
        {"frozen_text_layers": 0}, {"text_model": "ORG/encoder"}, {"batching": "random"},
    ]  # fmt: skip
    assert len({name(), *(name(**other) for other in others)}) == len(others) + 1


def test_name_does_not_depend_on_the_order_of_keys_nor_on_what_is_written_out():
    items = list({**BASE, "learning_rate": 5e-5, "modalities": ["text", "audio", "vision"]}.items())
    random.Random(0).shuffle(items)
    shuffled = run_id(resolved_configuration(*parse_arguments([], dict(items))))
    assert shuffled == name() == name(learning_rate="5e-5", modalities=["vision", "audio", "text"])
    assert name() == name(va_distance_threshold=0.1, contrastive_loss="va", modality_dropout=0, ema_decay=None)
    found = configuration()
    assert run_id(dict(reversed(found.items()))) == run_id(found)


def test_options_that_are_off_are_left_out():
    """Or the next option of the package would rename all runs."""
    settings = configuration()["settings"]
    assert not {"modality_dropout", "ema_decay", "logit_adjustment", "text_states", "heads_learning_rate"} & set(
        settings
    )
    assert settings["contrastive_weight"] == 0.45 and settings["seed"] == 1111
    assert configuration(contrastive_weight=0)["settings"]["contrastive_weight"] == 0


def test_name_does_not_depend_on_where_corpus_and_encoder_lie(tmp_path, monkeypatch):
    names = []
    for place in ("one", "two"):
        inputs = write_training_inputs(tmp_path / "first") if place == "one" else tmp_path / "second" / "moved"
        if place == "two":
            shutil.copytree(tmp_path / "first", inputs)
        monkeypatch.chdir(inputs)
        places = ["corpus", "./corpus", str(inputs / "corpus")]
        names += [name(dataset=dataset, text_model=str(inputs / "encoder")) for dataset in places]
    assert len(set(names)) == 1
    assert str(tmp_path) not in json.dumps(configuration(dataset=places[2], text_model=str(inputs / "encoder")))
    file = next((inputs / "corpus").rglob("train*.parquet"))
    other = inputs / "other"
    shutil.copytree(inputs / "corpus", other)
    (other / file.relative_to(inputs / "corpus")).write_bytes(file.read_bytes() + b"x")
    assert name(dataset=str(other), text_model=str(inputs / "encoder")) not in names


def test_corpus_that_is_tested_is_known_by_its_content(tmp_path, monkeypatch):
    monkeypatch.chdir(write_training_inputs(tmp_path / "first"))
    shutil.copytree("corpus", tmp_path / "second" / "corpus")
    places = ["corpus", str(tmp_path / "first" / "corpus"), str(tmp_path / "second" / "corpus")]
    assert len({name(test_dataset=place) for place in places}) == 1
    assert str(tmp_path) not in json.dumps(configuration(test_dataset=places[1]))
    other = shutil.copytree("corpus", tmp_path / "third" / "corpus")
    (other / "more.txt").write_text("x")
    assert len({name(), *(name(test_dataset=place) for place in (places[0], str(other), "ORG/other"))}) == 4


def test_folds_are_runs_of_their_own_and_runs_without_keep_their_names():
    assert not {"num_folds", "fold", "fold_by", "fold_seed", "label_map"} & set(configuration()["settings"])
    fold = {"num_folds": 5, "fold": 1}
    others = [fold, {**fold, "fold": 2}, {**fold, "fold_by": "dialogue"}, {**fold, "fold_seed": 1}]
    assert len({name(), *(name(**other) for other in others)}) == 5
    assert name(**fold) == name(**fold, fold_by="speaker") == name(num_folds="5", fold="1", fold_seed=0)


def test_lexicon_is_known_by_its_content_and_not_by_its_place(tmp_path):
    files = [tmp_path / place / "words.csv" for place in ("here", "there", "else")]
    for file, value in zip(files, (0.5, 0.5, 0.6), strict=True):
        file.parent.mkdir()
        file.write_text(f"hope,{value},0.5\n")
    names = [name(label_lexicon=str(file)) for file in files]
    assert names[0] == names[1] and len({name(), *names}) == 3


def test_corpus_that_a_script_builds_is_known_by_script_options_and_source():
    def built(**changes: object) -> str:
        options = ["--va=from-emotion", "--emotion-va=/data/words.csv"]
        recipe = {"dataset": "outputs/c", "corpus_script": "utterance_folder", "corpus_source": "../data/mosaic"}
        return name(**{**recipe, "corpus_options": options, **changes})

    same = [{"dataset": "/tmp/c"}, {"corpus_source": "/mnt/mosaic"}]
    same += [{"corpus_options": ["--emotion-va=/home/words.csv", "--va=from-emotion"]}]
    assert {built(), *(built(**change) for change in same)} == {built()}
    others = [{"corpus_source": "../data/other"}, {"corpus_options": ["--va=given"]}, {"corpus_script": "demo"}]
    assert len({built(), *(built(**change) for change in others)}) == 4


@pytest.mark.processes
def test_name_is_the_same_in_another_process(tmp_path):
    code = (
        "from modeling_univa.benchmark.configuration import *\n"
        "from modeling_univa.training.arguments import parse_arguments\n"
        f"print(run_id(resolved_configuration(*parse_arguments([], {BASE!r}))))"
    )
    environment = subprocess_environment(tmp_path) | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == name()


# The plans of this repository


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_shipped_plans_expand_to_models(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    plan = read_plan(path)
    runs = plan.runs()
    assert {table.name for table in plan.tables} >= {"table2", "table3", "table4", "table5", "table6", "figure5"}
    assert {row.system for table in plan.tables for row in table.rows} == {*SYSTEMS, *BASELINES}
    for table in plan.tables:
        systems = [row for row in table.rows if row.system not in BASELINES]
        assert {len(row.runs) for row in systems} == {10 if table.name in ("table3", "contrastive") else 5}
        # No two rows of a table are one.
        assert len({run.id for row in table.rows for (run,) in row.runs.values()}) == sum(
            len(row.runs) for row in table.rows
        )
    for run in (run for run in runs if run.seed == 1111):
        model, data, _ = parse_arguments([], run.recipe)
        assert data.dataset
        config = SYSTEMS[model.system].config_class(**model.config_overrides())
        # A setting of the text alone would end a run without text.
        assert "text" in config.modalities or not model.text_states


def test_full_model_is_one_run_in_all_tables():
    for path in PLANS:
        tables = {table.name: table for table in read_plan(path).tables}
        (full,) = {tables[name].rows[0].runs[1111][0].id for name in ("table2", "table3", "table4", "table6")}
        assert tables["figure5"].rows[1].runs[1111][0].id == full


def test_plan_of_the_demo_is_small(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert len(read_plan(REPOSITORY / "recipes" / "benchmark" / "demo.yaml").runs()) == 9


def test_plan_of_folds_tests_every_actor_with_every_row(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (table,) = read_plan(REPOSITORY / "recipes" / "benchmark" / "ravdess_folds.yaml").tables
    assert [{len(runs) for runs in row.runs.values()} for row in table.rows] == [{5}] * 4
    assert [len(row.runs) for row in table.rows] == [3, 3, 1, 1]
    assert {row.folds for row in table.rows} == {"5 folds by speaker"}


def test_page_has_a_plan_of_folds_and_one_across_corpora(write):
    text = (REPOSITORY / "docs" / "benchmark.md").read_text(encoding="utf-8")
    for heading, seeds in (("## Cross-validation", 5), ("## Across corpora", 1)):
        block = text.partition(f"{heading}\n")[2].partition("```\n")[2].partition("```")[0]
        (row, *_) = read_plan(write(**{"tables": TABLES, **yaml.safe_load(block)})).tables[0].rows
        assert {len(runs) for runs in row.runs.values()} == {seeds}, heading


def test_plan_of_the_page_is_one(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    text = (REPOSITORY / "docs" / "benchmark.md").read_text(encoding="utf-8").partition("## A plan\n\n```\n")[2]
    shutil.copytree(REPOSITORY / "recipes", tmp_path / "recipes")
    (tmp_path / "recipes" / "benchmark" / "page.yaml").write_text(text.partition("```")[0])
    plan = read_plan(tmp_path / "recipes" / "benchmark" / "page.yaml")
    # Three seeds of UniVA and TAILOR, and two more of UniVA and five of it without VA-CL in table 3.
    assert (plan.corpus, len(plan.runs())) == ("My corpus", 3 + 3 + 2 + 5)
    tune = text.partition("```\ntune:")[2].partition("```")[0]
    searched = yaml.safe_load(text.partition("```")[0]) | yaml.safe_load(f"tune:{tune}")
    (tmp_path / "recipes" / "benchmark" / "page.yaml").write_text(yaml.safe_dump(searched, sort_keys=False))
    plan = read_plan(tmp_path / "recipes" / "benchmark" / "page.yaml")
    assert [str(study) for study in plan.studies()] == [
        "table2 | UniVA (+ 1)",
        "table2 | TAILOR",
        "table3 | w/o VA-CL",
    ]
    assert [len(study.space) for study in plan.studies()] == [3, 4, 3]
