# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What a comparison is made of: rows, settings that follow from the corpus, and what is refused before any run."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from testing_utils import random_rows, write_corpus

from modeling_univa import cli
from modeling_univa.benchmark.baselines import BASELINES
from modeling_univa.benchmark.comparison_checks import check_rows
from modeling_univa.benchmark.comparison_plan import Wishes, comparison_plan, partial_settings
from modeling_univa.benchmark.plan import Plan, expand_plan
from modeling_univa.data.corpus import Corpus
from modeling_univa.data.loading import load_corpus
from modeling_univa.models.systems import SYSTEMS


SPEAKERS = ["Ann", "Ben", "Cem", "Dora"]
SIZES = {"train": [3, 3, 3, 3], "validation": [3, 2], "test": [3, 3]}


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> Path:
    """`both` has sound and faces, `sound` no faces, `words` word vectors, `one` no split but train."""
    folder = tmp_path_factory.mktemp("corpora")
    kinds = {"both": ["audio", "vision"], "sound": ["audio"], "words": ["text", "audio", "vision"], "one": ["audio"]}
    for name, modalities in kinds.items():
        splits = {
            split: random_rows(sizes, seed=seed, prefix=split, modalities=modalities, speakers=SPEAKERS)
            for seed, (split, sizes) in enumerate(SIZES.items())
            if name != "one" or split == "train"
        }
        write_corpus(folder / name, splits)
    return folder


def without_va(corpus: Corpus) -> Corpus:
    nothing = {f"{name}_va": [float("nan")] * 2 for name in ("text", "audio", "vision")}
    corpus.splits = type(corpus.splits)({name: rows.map(lambda row: nothing) for name, rows in corpus.splits.items()})
    return corpus


def content(corpora: Path, name: str = "both", **wishes: object) -> dict:
    given = {"modalities": ["audio", "vision"]} if name in ("both", "words") else {"modalities": ["audio"]}
    wanted = Wishes(str(corpora / name), **{**given, **wishes})
    return comparison_plan(wanted, load_corpus(wanted.corpus))


def plan(corpora: Path, **wishes: object) -> Plan:
    return expand_plan("out/plan.yaml", content(corpora, **wishes))


def settings(plan: Plan) -> dict[str, dict]:
    return {row.name: next(iter(row.runs.values()))[0].configuration["settings"] for row in plan.rows()}


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_has_settings_that_its_network_takes(system, corpora):
    made = plan(corpora, systems=[system], num_seeds=1)
    check_rows(made, load_corpus(str(corpora / "both")), made.runs())
    (found,) = settings(made).values()
    # 29 rows: the smallest batch and the most epochs.
    assert found["num_train_epochs"] == 40 and found["per_device_train_batch_size"] == 16
    assert found["modalities"] == ["audio", "vision"] and "text_model" not in found and "ema_decay" not in found


def test_baselines_read_what_the_first_system_reads(corpora):
    made = plan(corpora, systems=[*BASELINES, "mult"], num_seeds=2, settings={"max_audio_length": 3})
    assert [row.system for row in made.rows()] == [*BASELINES, "mult"]
    assert [len(row.runs) for row in made.rows()] == [1, 1, 1, 1, 2]
    found = settings(made)["linear"]
    assert found["modalities"] == ["audio", "vision"] and found["max_audio_length"] == 3 and "hidden_size" not in found
    alone = plan(corpora, systems=["linear"], num_seeds=1, settings={"max_audio_length": 3})
    assert [run.id for run in alone.runs()] == [made.rows()[3].runs[0][0].id]


def test_seeds_and_folds_are_runs(corpora):
    made = plan(corpora, systems=["univa"], num_seeds=2, folds={"num_folds": "3", "fold_by": "speaker"})
    assert [(run.seed, run.fold) for run in made.runs()] == [
        (seed, fold) for seed in (1111, 1112) for fold in (1, 2, 3)
    ]
    (row,) = plan(corpora, systems=["univa"], num_seeds=1, folds={"num_folds": "all", "fold_by": "dialogue"}).rows()
    assert len(row.runs[1111]) == 8 and row.folds == "leave-one-dialogue-out, 8 folds"


def test_settings_go_to_the_rows_that_have_them(corpora):
    given = {"num_train_epochs": 2, "contrastive_loss": "none", "mult.hidden_size": 32, "univa.hidden_size": 16}
    wishes = Wishes(str(corpora / "both"), ["univa", "mult", "prior"], settings=given, modalities=["audio"])
    made = comparison_plan(wishes, load_corpus(wishes.corpus))
    assert partial_settings(made, wishes) == {"contrastive_loss": ["univa"]}
    found = settings(expand_plan("out/plan.yaml", made))
    assert [found[name]["hidden_size"] for name in ("univa", "mult")] == [16, 32]
    assert {found[name]["num_train_epochs"] for name in ("univa", "mult")} == {2}
    assert found["univa"]["contrastive_loss"] == "none" and "contrastive_loss" not in found["mult"]


def test_a_recipe_is_for_all_rows_and_brings_no_corpus(corpora):
    common = {"dataset": "elsewhere", "corpus_script": "demo", "output_dir": "x", "seed": 5, "system": "univa",
              "num_train_epochs": 3, "contrastive_weight": 0.2}  # fmt: skip
    found = settings(plan(corpora, systems=["univa", "mult"], common=common))
    assert {name: of["num_train_epochs"] for name, of in found.items()} == {"univa": 3, "mult": 3}
    assert found["univa"]["contrastive_weight"] == 0.2 and found["mult"]["seed"] == 1111


def test_recipes_are_rows_called_as_their_files(corpora, tmp_path):
    for name, more in {"wide": {"hidden_size": 32}, "mult.v2": {"system": "mult"}}.items():
        recipe = {"dataset": "elsewhere", "output_dir": "x", "num_train_epochs": 3, **more}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(recipe))
    files = [str(tmp_path / f"{name}.yaml") for name in ("wide", "mult.v2")]
    given = {"recipes": files, "systems": ["linear"], "settings": {"mult.v2.hidden_size": 64}}
    made = plan(corpora, **given)
    assert [(row.name, row.system) for row in made.rows()] == [
        ("wide", "univa"), ("mult.v2", "mult"), ("linear", "linear"),
    ]  # fmt: skip
    found = settings(made)
    assert [found[name]["hidden_size"] for name in ("wide", "mult.v2")] == [32, 64]
    assert found["wide"]["num_train_epochs"] == 3 and found["wide"]["per_device_train_batch_size"] == 8
    assert {run.recipe["dataset"] for run in made.runs()} == {str(corpora / "both")}


def test_text_comes_as_the_corpus_has_it(corpora):
    found = settings(plan(corpora, name="words", systems=["univa"], modalities=None))["univa"]
    assert found["modalities"] == ["text", "audio", "vision"] and "text_model" not in found
    encoder = {"text_encoder": "ORG/encoder", "modalities": ["text", "audio"]}
    found = settings(plan(corpora, systems=["univa"], **encoder))["univa"]
    assert found["text_model"] == "ORG/encoder" and found["text_states"] is True


@pytest.mark.parametrize(
    ("name", "wishes", "message"),
    [
        ("both", {"systems": ["univa"], "modalities": None}, "needs a pretrained encoder: .* to leave"),
        ("both", {"systems": ["univa"], "text_encoder": "ORG/e"}, "is read without text: leave it out"),
        ("both", {}, "There is nothing to compare: name `systems`"),
        ("both", {"systems": ["unvia"]}, "`systems` has 'unvia', the nearest is 'univa'"),
        ("both", {"systems": ["univa", "univa"]}, "Two rows are called univa"),
        ("both", {"systems": ["univa"], "num_seeds": 0}, "`seeds` must be at least 1, got 0"),
        ("both", {"systems": ["mult"], "settings": {"contrastive_loss": "none"}}, "No row has the setting 'c"),
        ("both", {"systems": ["mult"], "settings": {"mult.hiden_size": 1}}, "mult has no setting 'hiden_size', the"),
        ("both", {"systems": ["mult"], "settings": {"mul.hidden_size": 1}}, "no row 'mul', the nearest is 'mult'"),
        ("both", {"systems": ["mult"], "settings": {"mult.system": "x"}}, "has system: name it in `systems`"),
        ("both", {"systems": ["mult"], "settings": {"dataset": "x"}}, "has dataset: it is the first argument"),
        ("both", {"systems": ["mult"], "settings": {"seed": 3}}, "`settings` has seed: write `seeds`"),
        ("both", {"recipes": ["no.yaml"]}, "There is no recipe no.yaml"),
    ],
)  # fmt: skip
def test_what_cannot_be_planned_is_named(name, wishes, message, corpora):
    with pytest.raises(ValueError, match=message):
        plan(corpora, name=name, **wishes)


@pytest.mark.parametrize(
    ("name", "wishes", "message"),
    [
        ("sound", {"systems": ["mult"], "modalities": ["vision"]}, "mult: .*no column `vision_features`"),
        ("both", {"systems": ["mult", "facialmmt"], "settings": {"facialmmt.face_emotion_size": 7}},
         "facialmmt: .*no column `face_emotions`"),
        ("both", {"systems": ["univa"], "settings": {"hidden_size": 15}}, "univa: `hidden_size` must be a multiple"),
        ("one", {"systems": ["univa"]}, "univa: .* has no split 'test' to test on; it has train: pass `num_folds` 5"),
        ("both", {"systems": ["linear"], "folds": {"num_folds": 30}}, "linear: .*`num_folds` 30 needs at least 30"),
    ],
)  # fmt: skip
def test_what_a_corpus_lacks_is_named_before_any_run(name, wishes, message, corpora):
    made = plan(corpora, name=name, num_seeds=1, **wishes)
    with pytest.raises(ValueError, match=message):
        check_rows(made, load_corpus(str(corpora / name)), made.runs())
    # What is there already needs nothing.
    check_rows(made, load_corpus(str(corpora / name)), [])


def test_the_loss_that_needs_valence_and_arousal_is_named_with_what_to_write(corpora):
    corpus = without_va(load_corpus(str(corpora / "both")))
    made = plan(corpora, systems=["univa"])
    with pytest.raises(ValueError, match=r"`settings` univa\.contrastive_loss=none\)$"):
        check_rows(made, corpus, made.runs())
    made = plan(corpora, systems=["univa"], settings={"univa.contrastive_loss": "none"})
    check_rows(made, corpus, made.runs())


def test_more_rows_are_trained_in_fewer_epochs(corpora):
    corpus = load_corpus(str(corpora / "both"))
    lengths = []
    for copies in (1, 30, 400):
        rows = corpus.splits["train"].select(np.tile(np.arange(12), copies))
        many = Corpus(corpus.name, type(corpus.splits)({"train": rows}))
        base = comparison_plan(Wishes(corpus.name, ["univa"], modalities=["audio"]), many)["base"]
        lengths.append((base["num_train_epochs"], base["per_device_train_batch_size"]))
    assert lengths == [(40, 16), (36, 16), (6, 32)]


def test_a_dry_run_writes_nothing_and_names_options(corpora, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = [
        "compare",
        str(corpora / "both"),
        "--systems",
        "univa",
        "prior",
        "--modalities",
        "audio",
        "--seeds",
        "1",
    ]
    assert cli.main([*command, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "compare | univa, seed 1111: to make, unknown" in said and "2 runs, 2 to make: unknown time" in said
    assert not list(tmp_path.iterdir())
    assert cli.main([*command, "--folds", "30"]) == 2
    assert "--folds 30 needs at least 30: pass a smaller --folds" in capsys.readouterr().err
    assert cli.main([*command, "--fold-by", "dialogue"]) == 2
    assert "--fold-by is for a cross-validation: pass --folds too." in capsys.readouterr().err
    assert cli.main([*command, "--draws", "0"]) == 2
    assert "--draws must be at least 1, got 0." in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--folds", "2"], "univa: --folds must be all or a number of at least 3"),
        (["--set", "num_train_epochs=x"], "univa: --set num_train_epochs: invalid float value: 'x'"),
        (["--set", "univa.modalities=smell"], "univa: --set univa.modalities takes a list: 'smell'."),
        (["--set", "objective=x"], "univa: --set objective is 'x', expected one of "),
        (["--set", "hidden_size=15"], "univa: --set hidden_size must be a multiple of `num_attention_heads`, got 15"),
        (["--folds", "3", "--set", "fold=9"], "univa: --set fold must be a number from 1 to 3, got 9."),
        (["--set", "prior.seed=3"], "--set has seed: write --seeds."),
        (["--set", "output_dir=x"], "--set has output_dir: runs lie in the output folder of the benchmark."),
    ],
)
def test_messages_name_the_options_that_were_given(given, message, corpora, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["compare", str(corpora / "both"), "--systems", "univa", "prior", "--modalities", "audio", "--dry-run"]
    assert cli.main([*command, *given]) == 2
    said = capsys.readouterr().err
    assert message in said and "plan.yaml" not in said and " | " not in said and "--help" not in said


def test_settings_of_other_rows_and_recipes_are_not_blamed(corpora, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("system: univa\nobjective: x\n")
    command = ["compare", str(corpora / "both"), "--systems", "univa", "--recipes", "mine.yaml", "--dry-run"]
    assert cli.main([*command, "--modalities", "audio", "--set", "univa.objective=paper"]) == 2
    assert "univa: mine: The recipe's 'objective' is 'x', expected one of " in capsys.readouterr().err
