# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Recipes and the command line: precedence, types, refusals, and the numbers of the published runs."""

import copy
from pathlib import Path
from typing import Literal

import pytest
from testing_utils import REPOSITORY
from transformers import CONFIG_MAPPING, AutoConfig

from modeling_univa.command_line.build import corpora
from modeling_univa.data.folds import FoldChoice
from modeling_univa.data.label_map import read_label_map
from modeling_univa.models.configuration_emotion import EmotionConfig
from modeling_univa.models.configuration_univa import M3ED_EMOTIONS, MOSEI_EMOTIONS, UnivaConfig
from modeling_univa.models.systems import SYSTEMS
from modeling_univa.shipped import plans, recipes
from modeling_univa.training.arguments import DataArguments, ModelArguments, model_arguments, parse_arguments
from modeling_univa.training.config_options import config_options
from modeling_univa.training.training_arguments import UnivaTrainingArguments


FOLDER = REPOSITORY / "recipes"
# Those of recipes/benchmark are plans.
RECIPES = [path.relative_to(FOLDER).with_suffix("") for path in sorted(FOLDER.rglob("*.yaml"))]
RECIPES = [name for name in RECIPES if name.parts[0] != "benchmark"]


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a recipe; output folders of parsed arguments are below a folder that is thrown away."""
    monkeypatch.chdir(tmp_path)

    def write_recipe(content: str, name: str = "recipe.yaml") -> str:
        path = tmp_path / name
        path.write_text(content)
        return str(path)

    return write_recipe


def test_defaults_without_recipe(write):
    model, data, training = parse_arguments([])
    assert (model.config_overrides(), data.dataset, data.test_split) == ({}, None, "test")
    assert (training.adam_epsilon, training.warmup_steps, training.seed) == (1e-6, 0.1, 1111)
    assert (training.weight_decay, training.max_grad_norm, training.lr_scheduler_type) == (0.0, 1.0, "linear")
    assert (training.adam_beta1, training.adam_beta2) == (0.9, 0.999)
    assert (training.metric_for_best_model, training.load_best_model_at_end) == ("micro_f1", True)
    assert training.eval_strategy == training.save_strategy == "epoch"


def test_command_line_wins_over_the_recipe_and_a_later_recipe_over_an_earlier(write):
    first = write("hidden_size: 8\nlearning_rate: 0.1\nnum_train_epochs: 2\nmodalities: [text, audio]\n")
    second = write("learning_rate: 0.2\nnum_train_epochs: 3\n", "second.yaml")
    arguments = [first, second, "--num_train_epochs", "4", "--modalities", "vision"]
    model, _, training = parse_arguments(arguments)
    assert model.config_overrides() == {"hidden_size": 8, "modalities": ["vision"]}
    assert (training.learning_rate, training.num_train_epochs) == (0.2, 4)


def test_values_have_the_types_of_their_options(write):
    # YAML reads 5e-5 as a string, since it has no point.
    recipe = write(
        "learning_rate: 5e-5\nnum_train_epochs: 3\ncontrastive_weight: 1\nuse_cpu: true\nlearn_label_similarity: no\n"
        "run_name: 7\ncontrastive_modality_weights: [3, 1, 1e0]\ndata_seed: 5\nlr_scheduler_kwargs: {num_cycles: 2}\n"
        "corpus_options: [--labels, 'a,b']\n"
    )
    model, data, training = parse_arguments([recipe])
    assert training.learning_rate == 5e-5
    assert (training.num_train_epochs, training.use_cpu, training.run_name, training.data_seed) == (3, True, "7", 5)
    assert training.lr_scheduler_kwargs == {"num_cycles": 2}
    assert data.corpus_options == ["--labels", "a,b"]
    assert model.config_overrides() == {
        "contrastive_weight": 1.0,
        "learn_label_similarity": False,
        "contrastive_modality_weights": [3.0, 1.0, 1.0],
    }


@pytest.mark.parametrize("value", ["none", "null", "''"])
def test_test_split_may_be_none(value, write):
    assert parse_arguments([write(f"test_split: {value}\n")])[1].test_split is None
    assert parse_arguments(["--test_split", "none"])[1].test_split is None


def test_group_by_dialogue_chooses_the_batching(write):
    """The name that `batching: dialogue` had before."""
    assert parse_arguments([write("group_by_dialogue: true\n")])[2].batching == "dialogue"
    for option in (["--group_by_dialogue"], ["--group-by-dialogue", "true"], ["--group_by_dialogue=yes"]):
        assert parse_arguments([*option, "--seed", "5"])[2].batching == "dialogue"
    assert parse_arguments(["--group_by_dialogue", "false"])[2].batching == "length"
    assert parse_arguments([])[2].batching == "length"


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("learning_rat: 1e-5\n", [], "unknown key 'learning_rat', the nearest is 'learning_rate'; `--help` lists"),
        ("contrastive_los: va\n", [], "unknown key 'contrastive_los', the nearest is 'contrastive_loss'"),
        (
            "system: mdi\ncontrastive_loss: va\n",
            [],
            "sets 'contrastive_loss', a setting of univa and not of mdi: remove",
        ),
        ("contrastive_loss: some\n", [], "'contrastive_loss' is 'some', expected one of va, supervised, self, none"),
        ("system: unvia\n", [], "`system` must be one of .*univa, got 'unvia'"),
        ("system: bert\n", [], "`system` must be one of .*univa, got 'bert'"),
        ("system: [univa]\n", [], "`system` must be one of .*univa, got"),
        ("", ["--system"], "--system: expected one argument"),
        ("", ["--contrastive_los", "va"], "Unknown option '--contrastive_los', the nearest is '--contrastive_loss'"),
        ("1: 2\n", [], "unknown key '1'"),
        ("", ["--learning_rat", "1"], "Unknown option '--learning_rat'"),
        ("", ["--learning", "1"], "Unknown option '--learning'"),
        ("", ["stray"], "Unknown option 'stray'|There is no recipe stray"),
        ("- a\n- b\n", [], "must hold `name: value` lines, found list"),
        ("just text\n", [], "must hold `name: value` lines, found str"),
        ("a: [1\nb: 2\n", [], "recipe.yaml is not YAML: .*line"),
        ("a: !!python/object/apply:os.system ['true']\n", [], "is not YAML: could not determine a constructor"),
        ("learning_rate: fast\n", [], "--learning_rate.*invalid float value: 'fast'"),
        ("learning_rate: [1, 2]\n", [], r"'learning_rate' takes one value: \[1, 2\]"),
        ("modalities: text\n", [], "'modalities' takes a list: 'text'"),
        (
            "contrastive_modality_weights: [a, b]\n",
            [],
            r"'contrastive_modality_weights' is \['a', 'b'\], expected a list of float",
        ),
        ("hidden_size: 64.5\n", [], "--hidden_size.*invalid int value: '64.5'"),
        ("use_cpu: maybe\n", [], "--use_cpu.*Truthy value expected: got maybe"),
        ("num_train_epochs:\n", [], "leaves 'num_train_epochs' empty"),
        ("batching: speaker\n", [], "`batching` must be one of length, dialogue, .*random, got 'speaker'"),
        ("va_scaling: minmax\n", [], "`va_scaling` must be one of none, released, standardize, got 'minmax'"),
        ("eval_strategy: sometimes\n", [], "sometimes is not a valid IntervalStrategy"),
        ("per_device_train_batch_size: 0\n", [], "`per_device_train_batch_size` must be at least 1, got 0"),
        ("gradient_accumulation_steps: 0\n", [], "`gradient_accumulation_steps` must be at least 1"),
        ("num_train_epochs: -1\n", [], "`num_train_epochs` must be greater than 0"),
        ("", ["--learning_rate", "fast"], "invalid float value: 'fast'"),
        ("", ["--learning_rate"], "expected one argument"),
    ],
)
def test_mistakes_are_named(content, options, message, write):
    recipe = [write(content)] if content else []
    with pytest.raises(ValueError, match=message) as error:
        parse_arguments([*recipe, *options])
    # One sentence, not the usage of all options.
    assert len(str(error.value)) < 600


def test_missing_recipe_is_refused():
    message = "There is no recipe nowhere.yaml; this package has demo, mosaic, ravdess_av, m3ed/{carat, "
    with pytest.raises(ValueError, match=message):
        parse_arguments(["nowhere.yaml"])


def test_recipe_that_is_a_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="There is no recipe"):
        parse_arguments([str(tmp_path)])


@pytest.mark.parametrize("name", ["mosei/mult", "mosei/mult.yaml", "recipes/mosei/mult.yaml"])
def test_a_recipe_of_the_package_goes_by_its_name(name, write):
    model, data, _ = parse_arguments([name, "--hidden_size", "24"])
    assert (model.system, model.hidden_size, data.dataset) == ("mult", 24, "corpora/mosei")
    # A file of one's own wins.
    (Path.cwd() / name).parent.mkdir(parents=True, exist_ok=True)
    write("dataset: mine\n", name)
    assert parse_arguments([name])[1].dataset == "mine"


def test_the_suffix_of_a_recipe_may_be_left_out(write):
    write("dataset: mine\n", "demo.yaml")
    assert parse_arguments(["demo"])[1].dataset == "mine"


@pytest.mark.parametrize("name", ["benchmark/demo", "../model_card.md", "mosei", "mosei/../demo", "/demo", "dem", ""])
def test_what_is_no_recipe_of_the_package_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="There is no recipe") as error:
        parse_arguments([name])
    assert (name != "dem") or ", the nearest is 'demo'; this package has" in str(error.value)


def test_the_package_has_every_recipe_and_plan(capsys):
    assert set(recipes()) == {name.as_posix() for name in RECIPES}
    assert set(plans()) == {path.stem for path in (FOLDER / "benchmark").glob("*.yaml")}
    with pytest.raises(SystemExit):
        parse_arguments(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "usage: univa train [RECIPE …] [--name value …]" in told and "mosei/{carat, carat_aligned, " in told


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_every_recipe_parses_and_describes_a_model(recipe, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    model, data, training = parse_arguments([str(FOLDER / f"{recipe}.yaml")])
    assert data.dataset
    assert Path(training.output_dir) == Path("outputs", recipe)
    SYSTEMS[model.system].config_class(**model.config_overrides())
    if data.corpus_script:
        assert data.corpus_script in corpora()


# Processes, batch, epochs, learning rate, layers (text, audio, vision), τ, λ, prior, weight of the text term.
PUBLISHED = {
    "mosei/univa": (4, 12, 5, 5e-5, (None, 5, 3), 0.7, 0.45, True, 3, MOSEI_EMOTIONS),
    "mosei/univa_glove": (1, 32, 15, 7e-5, (7, 3, 5), 0.4, 0.2, False, 3, MOSEI_EMOTIONS),
    "m3ed/univa": (4, 22, 10, 5e-5, (None, 5, 3), 0.4, 0.2, True, 1, M3ED_EMOTIONS),
    "m3ed/univa_glove": (1, 32, 15, 5e-5, (3, 5, 3), 0.4, 0.1, True, 1, M3ED_EMOTIONS),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_recipes_hold_the_published_numbers(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path = REPOSITORY / "recipes" / f"{name}.yaml"
    model, _, training = parse_arguments([str(path)])
    processes, batch, epochs, rate, layers, temperature, weight, prior, text_weight, labels = PUBLISHED[name]
    config = UnivaConfig(id2label=dict(enumerate(labels)), **model.config_overrides())
    assert training.per_device_train_batch_size == batch
    assert (training.num_train_epochs, training.learning_rate) == (epochs, rate)
    assert (training.adam_epsilon, training.weight_decay, training.seed) == (1e-6, 0.0, 1111)
    assert (training.warmup_steps, training.max_grad_norm, training.lr_scheduler_type) == (0.1, 1.0, "linear")
    assert (training.bf16, training.fp16, training.gradient_accumulation_steps) == (False, False, 1)
    assert (training.batching, training.va_scaling) == ("random", "released")
    found = (config.audio_num_hidden_layers, config.vision_num_hidden_layers)
    assert found == layers[1:]
    if layers[0] is None:
        text_models = {"mosei/univa": "FacebookAI/roberta-base", "m3ed/univa": "hfl/chinese-roberta-wwm-ext"}
        assert model.text_model == text_models[name]
    else:
        assert (model.text_model, config.text_num_hidden_layers) == (None, layers[0])
    assert (config.contrastive_temperature, config.contrastive_weight) == (temperature, weight)
    assert config.correlation_prior_weight == float(prior)
    assert config.contrastive_modality_weights == [text_weight, 1, 1]
    assert (config.va_distance_threshold, config.decision_threshold) == (0.1, 0.18)
    assert (config.objective, config.contrastive_loss, config.learn_label_similarity) == ("released", "va", True)
    assert (config.hidden_size, config.num_attention_heads, config.intermediate_size) == (768, 12, 3072)
    dropouts = ("projection_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
    assert all(getattr(config, dropout) == 0.1 for dropout in dropouts)
    command = "univa" if processes == 1 else f"torchrun --nproc_per_node {processes} -m modeling_univa.cli"
    assert f"#   {command} train recipes/{name}.yaml" in path.read_text()


# What is not a setting of a system.
OWN = {
    "system", "model", "model_revision", "text_model", "text_model_revision", "text_attention_dropout",
    "frozen_text_layers", "text_states", "attn_implementation", "lora_rank", "lora_alpha", "lora_dropout",
    "lora_target_modules", "label_affect", "label_lexicon", "label_lexicon_scale",
}  # fmt: skip


def test_options_of_the_model_are_fields_of_its_configuration():
    given = {name: 1 for name in vars(ModelArguments()) if name not in OWN}
    assert set(ModelArguments(**given).config_overrides()) == set(given)
    assert len(given) > 25


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_option_of_a_system_is_described(system):
    for name, _, described in config_options(SYSTEMS[system].config_class):
        assert len(described.partition("By default")[0]) > 10, name


def test_no_option_has_two_meanings():
    kinds = (model_arguments("univa"), DataArguments, UnivaTrainingArguments)
    names = [set(kind.__dataclass_fields__) for kind in kinds]
    assert sum(map(len, names)) == len(set.union(*names))


class ToyConfig(EmotionConfig):
    """
    Configuration of a toy.

    Args:
        strength (`float`, defaults to 0.5):
            How much of 100 %
            it takes.
        style (`"a"` or `"b"`):
            Which of two.
    """

    model_type = "toy_opt"

    strength: float = 0.5
    style: Literal["a", "b"] = "a"
    steps: list[int] | tuple[int, ...] = (1, 2)
    switches: list[bool] | None = None
    name_of_it: str | None = None
    table: list[list[float]] | None = None
    nested: dict | None = None


@pytest.fixture
def toy():
    """A system of someone else, registered as anybody registers one."""
    AutoConfig.register("toy_opt", ToyConfig)
    yield
    CONFIG_MAPPING._extra_content.pop("toy_opt")


@pytest.mark.parametrize(
    ("given", "choice", "override"),
    [
        ([], "auto", {}),
        (["auto"], "auto", {}),
        (["per-label"], "per-label", {}),
        (["0"], None, {"decision_threshold": 0.0}),
    ],
)
def test_threshold_is_chosen_or_a_number(given, choice, override):
    model, *_ = parse_arguments(["--decision-threshold", *given] if given else [])
    assert (model.threshold_choice, model.config_overrides()) == (choice, override)


def test_options_of_a_system_are_those_of_its_configuration(toy, write):
    own = {name for name in vars(ModelArguments(system="toy_opt")) if name not in OWN}
    base = {name for name, *_ in config_options(EmotionConfig)}
    assert own - base == {"strength", "style", "steps", "switches", "name_of_it"}
    assert {"modalities", "max_audio_length", "decision", "decision_threshold"} <= own
    assert not {"id2label", "text_config", "dtype", "return_dict"} & own
    recipe = write("system: toy_opt\nstrength: 1\nstyle: b\nsteps: [3]\nswitches: [no, true]\nmax-audio-length: 9\n")
    model, *_ = parse_arguments([recipe, "--name-of-it", "7"])
    given = {"strength": 1.0, "style": "b", "steps": [3], "switches": [False, True], "name_of_it": "7"}
    assert model.config_overrides() == {**given, "max_audio_length": 9}
    assert ToyConfig(**model.config_overrides()).strength == 1.0
    assert parse_arguments(["--system", "toy_opt"])[0].config_overrides() == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strength", "1"], "Unknown option '--strength'"),
        (["--system", "toy_opt", "--contrastive_weight", "1"], "Unknown option '--contrastive_weight'"),
        (["--system", "toy_opt", "--strenth", "1"], "Unknown option '--strenth', the nearest is '--strength'"),
        (["--system", "toy_opt", "--style", "c"], "invalid choice: 'c'"),
        (["--system", "tay"], "`system` must be one of .*toy_opt, .*univa, got 'tay'"),
    ],
)
def test_options_of_another_system_are_unknown(toy, arguments, message):
    with pytest.raises(ValueError, match=message):
        parse_arguments(arguments)


def test_help_is_that_of_the_configuration(toy, capsys):
    with pytest.raises(SystemExit):
        parse_arguments(["--system", "toy_opt", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--strength STRENGTH How much of 100 % it takes. By default 0.5, or that of `model`. --style {a,b}" in text
    assert "contrastive" not in text and "(default: None)" not in text


def test_every_option_of_univa_is_described():
    assert [name for name, _, text in config_options(UnivaConfig) if len(text) < 20] == []


def test_arguments_say_which_system_they_are_of(toy):
    arguments = ModelArguments(system="toy_opt", strength=0.25)
    assert isinstance(arguments, ModelArguments) and isinstance(copy.deepcopy(arguments), ModelArguments)
    assert next(iter(vars(arguments).items())) == ("system", "toy_opt")
    with pytest.raises(TypeError, match="strength"):
        ModelArguments(strength=0.25)


def test_how_a_corpus_is_built_belongs_to_the_dataset_beside_it(write):
    recipe = write("dataset: made/by/hand\ncorpus_script: demo\ncorpus_source: media\ncorpus_options: [--seed, '3']\n")
    assert parse_arguments([recipe])[1].corpus_script == "demo"
    assert parse_arguments([recipe, "--dataset", "made/by/hand"])[1].corpus_script == "demo"
    for other in (["--dataset", "ORG/NAME"], ["--dataset=ORG/NAME"], [write("dataset: ORG/NAME\n", "second.yaml")]):
        arguments = [recipe, *other] if other[0].endswith(".yaml") else [recipe, *other, "--streaming", "true"]
        data = parse_arguments(arguments)[1]
        assert data.dataset == "ORG/NAME"
        assert (data.corpus_script, data.corpus_source, data.corpus_options) == (None, None, None)
    assert parse_arguments([recipe, "--dataset", "x", "--corpus_script", "mosei"])[1].corpus_script == "mosei"


# Folds, and another corpus to test on


def test_folds_are_numbers_and_left_out_speakers_are_names(write):
    recipe = write("num_folds: 5\nfold: 2\nfold_by: dialogue\n")
    data = parse_arguments([recipe])[1]
    assert data.fold_choice == FoldChoice(5, 2, "dialogue", 0, True)
    data = parse_arguments([recipe, "--fold", "4", "--eval_split", "none", "--fold-seed", "3"])[1]
    assert data.fold_choice == FoldChoice(5, 4, "dialogue", 3, False)
    data = parse_arguments(["--num-folds", "all", "--fold", "01"])[1]
    assert data.fold_choice == FoldChoice("all", "01", "speaker", 0, True)
    none = parse_arguments([])[1]
    # Off, so that runs without folds keep their names in benchmarks.
    assert none.fold_choice is None and not (none.num_folds or none.fold or none.fold_by or none.fold_seed)
    DataArguments(num_folds=5, fold=1, train_split="train", eval_split="validation", test_split="test")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_folds": 5}, "`num_folds` is 5 without `fold`: pass both or neither"),
        ({"fold": "s1"}, "`fold` is 's1' without `num_folds`"),
        ({"num_folds": 5, "fold": 0}, "`fold` must be a number from 1 to 5, got 0"),
        ({"num_folds": "five", "fold": 1}, "`num_folds` must be all or a number of at least 3"),
        ({"num_folds": 5, "fold": 1, "fold_by": "row"}, "`fold_by` must be one of speaker, dialogue, got 'row'"),
        (
            {"num_folds": 5, "fold": 1, "eval_split": "valid"},
            "`eval_split` is 'valid', and .* pass `eval_split` validation",
        ),
        ({"num_folds": 5, "fold": 1, "test_split": "dev"}, "`test_split` is 'dev', and .* pass `test_split` test"),
        ({"num_folds": 5, "fold": 1, "train_split": "dev"}, "`train_split` is 'dev', and .* pass `train_split` train"),
        ({"num_folds": 5, "fold": 1, "streaming": True}, "`num_folds` needs all rows at once: leave `streaming` out"),
        (
            {"num_folds": 5, "fold": 1, "test_dataset": "b"},
            "`num_folds` keeps rows of `dataset` to test on: leave `test_d",
        ),
        ({"fold_by": "dialogue"}, "`fold_by` is 'dialogue' without `num_folds`: leave it out"),
        ({"fold_seed": 1}, "`fold_seed` is 1 without `num_folds`: leave it out"),
        ({"label_map": "joy=happy"}, "`label_map` is for another corpus to test on: pass `test_dataset` too"),
        ({"test_dataset_revision": "v1"}, "`test_dataset_revision` is for another corpus to test on"),
        (
            {"test_dataset": "b", "test_split": "none"},
            "`test_split` is none, and `test_dataset` is there to be tested",
        ),
    ],
)
def test_folds_and_test_corpora_that_contradict_the_rest_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        DataArguments(**given)


def test_a_recipe_may_map_labels_line_by_line(write):
    recipe = write("test_dataset: b\nlabel_map:\n  joy: happy\n  contempt:\n")
    assert read_label_map(parse_arguments([recipe])[1].label_map) == {"joy": "happy", "contempt": ""}
