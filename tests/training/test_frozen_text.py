# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Training on the states of a frozen text encoder: a model as any other, and the scores that its tokens have."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from testing_utils import Utterances, random_rows, tiny_config, tiny_model, tiny_processor
from training_runs import tiny_trainer, training_options, write_training_inputs
from transformers import AutoModel

import train_hf
from modeling_univa.data.loading import load_corpus, make_split
from modeling_univa.data.utterances import UtteranceCollator, UtteranceDataset
from modeling_univa.models.modeling_univa import UnivaForEmotionClassification
from modeling_univa.models.pipeline_univa import UnivaPipeline
from modeling_univa.models.processing_univa import UnivaProcessor
from modeling_univa.training.arguments import ModelArguments
from modeling_univa.training.evaluation import evaluate_model
from modeling_univa.training.frozen_text import freeze_lower_layers, freeze_text_encoder


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    return write_training_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def trained(inputs, tmp_path_factory) -> Path:
    """What a run on states leaves."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    options = {"text_states": True, "num_train_epochs": 3, "learning_rate": 0.01, "frozen_text_layers": 2}
    assert train_hf.main(training_options(inputs, folder, **options)) == 0
    return folder


def test_the_encoder_stays_as_it_was_and_the_rest_is_trained(inputs, trained):
    pretrained = AutoModel.from_pretrained(inputs / "encoder").state_dict()
    weights = load_file(trained / "model.safetensors")
    encoder = {
        name.partition(".text.encoder.")[2]: value for name, value in weights.items() if ".text.encoder." in name
    }
    assert encoder and all(torch.equal(value, pretrained[name]) for name, value in encoder.items())
    first, last = (load_file(folder / "model.safetensors")["classifier.weight"] for folder in checkpoints(trained))
    assert not torch.equal(first, last)


def checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*"), key=lambda place: int(place.name.rpartition("-")[2]))


def test_scores_are_those_of_the_text_itself(inputs, trained):
    """The model that is left reads text; `univa evaluate` finds what the run did on states."""
    results = json.loads((trained / "all_results.json").read_text())
    for split, prefix in (("validation", "eval"), ("test", "test")):
        found = evaluate_model(str(trained), str(inputs / "corpus"), split, device="cpu").scores
        for name in ("accuracy", "hamming_loss", "micro_f1", "macro_f1", "num_rows"):
            assert found[name] == results[split][f"{prefix}_{name}"]
        assert found["loss"] == pytest.approx(results[split][f"{prefix}_loss"], abs=1e-3)


def test_any_split_is_predicted_from_states_and_from_tokens(inputs, trained, tmp_path):
    model = UnivaForEmotionClassification.from_pretrained(trained)
    processor = UnivaProcessor.from_pretrained(trained)
    trainer = tiny_trainer(tmp_path, model.config, model)
    corpus, threshold = load_corpus(str(inputs / "corpus")), model.config.decision_threshold
    for split in ("train", "validation", "test"):
        found = [
            trainer.predict(make_split(corpus, split, processor, model.config, text_encoder=encoder)).predictions
            for encoder in (None, model.text_encoder)
        ]
        np.testing.assert_allclose(found[1], found[0], atol=1e-2)
        predicted = [model.config.probabilities(torch.from_numpy(logits)) > threshold for logits in found]
        assert torch.equal(*predicted)


def test_the_model_is_used_on_raw_text(trained):
    model, processor = UnivaForEmotionClassification.from_pretrained(trained), UnivaProcessor.from_pretrained(trained)
    pipe = UnivaPipeline(model=model.eval(), processor=processor, threshold=None)
    found = {one["label"]: one["score"] for one in pipe({"text": ["yes no", "abc"], "utterance": 1})}
    with torch.no_grad():
        logits = model(**processor([["yes no", "abc"]], [(0, 1)])).logits
    expected = model.config.probabilities(logits)[0].tolist()
    assert found == pytest.approx(dict(zip(model.config.label_names, expected, strict=True)), abs=1e-5)


@pytest.mark.slow
def test_a_stopped_run_goes_on_with_the_same_arguments_alone(inputs, tmp_path, capsys):
    options = {"text_states": True, "num_train_epochs": 1}
    assert train_hf.main(training_options(inputs, tmp_path, **options)) == 0
    assert train_hf.main(training_options(inputs, tmp_path, **options)) == 0
    assert train_hf.main(training_options(inputs, tmp_path, num_train_epochs=1)) == 2
    assert "is of a run with text_states = True, and now it is False" in capsys.readouterr().err
    assert "text_states" in (tmp_path / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("batching", ["dialogue", "whole_dialogues", "random"])
def test_any_batching_trains(batching, inputs, tmp_path, capsys):
    options = {"text_states": True, "batching": batching, "ema_decay": 0.5, "heads_learning_rate": 0.01}
    assert train_hf.main(training_options(inputs, tmp_path, **options)) == 0, capsys.readouterr().err


def test_states_and_tokens_train_alike():
    """Where nothing is drawn at random and the batches are the same, so are the losses, but for rounding."""
    config = tiny_config(
        **dict.fromkeys(("projection_dropout", "hidden_dropout_prob", "classifier_dropout"), 0.0),
        attention_probs_dropout_prob=0.0,
    )
    config.text_config.hidden_dropout_prob = config.text_config.attention_probs_dropout_prob = 0.0
    losses = []
    for with_states in (True, False):
        model = tiny_model(config).train()
        freeze_text_encoder(model)
        rows = random_rows((3, 4, 2), label_names=config.label_names)
        encoder = model.text_encoder if with_states else None
        dataset = UtteranceDataset(rows, tiny_processor(config), config.label_names, text_encoder=encoder)
        losses.append(train_a_little(model, dataset))
    np.testing.assert_allclose(*losses, rtol=2e-2)
    assert losses[0][-1] < losses[0][0]


def train_a_little(model: Any, dataset: UtteranceDataset) -> list[float]:
    batch = UtteranceCollator(dataset)(dataset.__getitems__(list(range(9))))
    batch |= {f"{name}_va": torch.linspace(-1, 1, 18).view(9, 2) for name in ("text", "audio", "vision")}
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=1e-2)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


REFUSED = {
    "lora": ({"lora_rank": 2}, "`lora_rank` = 2 trains updates of it: leave one of them out"),
    "dropout": ({"text_attention_dropout": 0.1}, "`text_attention_dropout` = 0.1 changes them from step to step"),
    "noise": ({"neftune_noise_alpha": 5}, "`neftune_noise_alpha` = 5.0 changes them from step to step"),
    "stream": ({"streaming": True, "max_steps": 2}, "`streaming` = True keeps nothing for the next epoch"),
    "layers": ({"frozen_text_layers": 1}, "freezes all 2 layers of the text encoder, and `frozen_text_layers` is 1"),
    "word vectors": (
        {"text_model": None},
        "and this model has none: pass `text_model`, or set `text_states` to false",
    ),
    "no text": ({"modalities": "audio"}, "and this model has no text: set it to false"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_contradicts_is_refused(case, inputs, tmp_path, capsys):
    extra, message = REFUSED[case]
    assert train_hf.main(training_options(inputs, tmp_path, text_states=True, **extra)) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert not list(tmp_path.glob("*.safetensors"))


def test_no_dropout_contradicts_nothing(inputs, tmp_path):
    options = {"text_states": True, "text_attention_dropout": 0.0}
    assert train_hf.main(training_options(inputs, tmp_path, **options)) == 0


def test_it_is_off_by_default():
    assert ModelArguments().text_states is False
    config = tiny_config()
    model = tiny_model(config)
    freeze_lower_layers(model.text_encoder, 1)
    assert any(value.requires_grad for value in model.text_encoder.parameters())
    inputs = Utterances(config).inputs()
    assert "input_ids" in inputs
