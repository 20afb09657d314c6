# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What makes emotions of logits asks the configuration, so that labels may also be independent of each other."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from testing_utils import random_rows, tiny_config, tiny_model, tiny_processor
from toy_system import ToyConfig, ToyModel
from transformers import EvalPrediction

from modeling_univa import UnivaForEmotionClassification, UnivaProcessor, cli
from modeling_univa.data.utterances import UtteranceDataset
from modeling_univa.models.configuration_emotion import EmotionConfig
from modeling_univa.models.pipeline_univa import UnivaPipeline
from modeling_univa.prediction.inputs import Utterance
from modeling_univa.prediction.onnx_export import export_onnx
from modeling_univa.prediction.onnx_model import UnivaOnnxModel
from modeling_univa.prediction.predict import predict
from modeling_univa.scores.metrics import MultilabelMetrics
from modeling_univa.training.trainer import UnivaTrainer
from modeling_univa.training.training_arguments import UnivaTrainingArguments


TEXT = "yes no"


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A text model of independent labels, whose logits lie on both sides of 0."""
    folder = tmp_path_factory.mktemp("sigmoid")
    config = tiny_config(modalities=["text"], decision="sigmoid", decision_threshold=0.5)
    model = tiny_model(config)
    with torch.no_grad():
        model.classifier.weight.normal_(std=2, generator=torch.Generator().manual_seed(1))
    model.save_pretrained(folder)
    tiny_processor(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def loaded(saved):
    return UnivaForEmotionClassification.from_pretrained(saved), UnivaProcessor.from_pretrained(saved)


@pytest.fixture(scope="module")
def expected(loaded) -> dict[str, float]:
    model, processor = loaded
    with torch.inference_mode():
        scores = model(**processor([[TEXT]])).logits[0].sigmoid().tolist()
    assert abs(sum(scores) - 1) > 0.1  # no distribution over the labels
    assert 0 < sum(score > 0.5 for score in scores) < len(scores)
    return dict(zip(model.config.label_names, scores, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_probabilities(dtype):
    logits = torch.tensor([[2.0, -1.0, 0.0], [100.0, -100.0, 0.0]], dtype=dtype)
    one = EmotionConfig(id2label=dict(enumerate("abc")))
    each = EmotionConfig(id2label=dict(enumerate("abc")), decision="sigmoid")
    torch.testing.assert_close(one.probabilities(logits), logits.float().softmax(-1))
    torch.testing.assert_close(each.probabilities(logits), 1 / (1 + torch.exp(-logits.float())))
    assert one.probabilities(logits).dtype == each.probabilities(logits).dtype == torch.float32


class Remembering(ToyModel):
    """Keeps what it is told after each loss."""

    def remember(self, output, labels, va):
        assert not torch.is_grad_enabled()
        self.told = [*getattr(self, "told", []), (output.loss.item(), labels, va["vision_va"])]


def test_batches_are_remembered_after_their_loss_in_training_only():
    config = ToyConfig(id2label=dict(enumerate("ab")), modalities=["vision"], vision_feature_size=3)
    model = Remembering(config)
    batch = {"vision_features": torch.randn(4, 2, 3), "vision_attention_mask": torch.ones(4, 2)}
    labels = torch.ones(4, 2)
    model.eval()(**batch, labels=labels)
    model.train()(**batch)
    assert not hasattr(model, "told")
    output = model(**batch, labels=labels, vision_va=labels)
    output.loss.backward()
    assert model.told == [(output.loss.item(), labels, labels)]


def test_offsets_of_logits_are_in_the_loss_alone():
    config = ToyConfig(id2label=dict(enumerate("ab")), modalities=["vision"], vision_feature_size=3)
    model, offsets = ToyModel(config).train(), torch.tensor([1.0, -2.0])
    batch = {"vision_features": torch.randn(4, 2, 3), "vision_attention_mask": torch.ones(4, 2)}
    labels = torch.ones(4, 2)
    plain, moved = model(**batch, labels=labels), model(**batch, labels=labels, logit_offsets=offsets)
    torch.testing.assert_close(moved.logits, plain.logits)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(plain.logits + offsets, labels)
    torch.testing.assert_close(moved.loss, expected)


def test_another_decision_is_refused():
    with pytest.raises(StrictDataclassError, match="decision"):
        EmotionConfig(id2label={0: "a"}, decision="argmax")


def test_pipeline(loaded, expected):
    model, processor = loaded
    classifier = UnivaPipeline(model=model, processor=processor)
    found = classifier({"text": TEXT}, threshold=None)
    assert {one["label"]: one["score"] for one in found} == pytest.approx(expected, abs=1e-6)
    above = {name for name, score in expected.items() if score > 0.5}
    assert {one["label"] for one in classifier({"text": TEXT})} == above


def test_predict(loaded, saved, expected, capsys):
    (prediction,) = predict(*loaded, [Utterance("u", "d", TEXT)])
    assert prediction.scores == pytest.approx(expected, abs=1e-6)
    assert set(prediction.emotions) == {name for name, score in expected.items() if score > 0.5}
    assert cli.main(["predict", str(saved), "--text", TEXT, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"] == pytest.approx(expected, abs=1e-6)


def test_onnx(saved, loaded, expected, tmp_path):
    pytest.importorskip("onnxruntime")
    export_onnx(str(saved), str(tmp_path / "onnx"))
    model = UnivaOnnxModel.from_pretrained(str(tmp_path / "onnx"))
    (prediction,) = predict(model, loaded[1], [Utterance("u", "d", TEXT)])
    assert prediction.scores == pytest.approx(expected, abs=1e-4)


def test_trainer_and_its_threshold(loaded, tmp_path):
    model, processor = loaded
    config = model.config
    rows = random_rows([3, 4, 5], seed=2, modalities=())
    dataset = UtteranceDataset(rows, processor, config.label_names)
    args = UnivaTrainingArguments(tmp_path, use_cpu=True, eval_strategy="no")
    trainer = UnivaTrainer(model, args, processing_class=processor)
    prediction = trainer.predict(dataset)
    chosen = 1 / (1 + np.exp(-prediction.predictions)) > 0.5
    labels = prediction.label_ids.astype(bool)
    f1 = 200 * (chosen & labels).sum() / (chosen.sum() + labels.sum())
    assert prediction.metrics["test_micro_f1"] == pytest.approx(f1)

    perfect = EvalPrediction(np.where(labels, 3.0, -3.0), prediction.label_ids)
    metrics = MultilabelMetrics(config)
    with metrics.choosing():
        assert metrics(perfect)["micro_f1"] == 100
    assert 1 / (1 + np.exp(3)) < config.decision_threshold < 1 / (1 + np.exp(-3))
    config.decision_threshold = 0.5
