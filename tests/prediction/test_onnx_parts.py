# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Exported graphs compute what is there, not padding, and a batch in parts is the batch."""

import dataclasses

import numpy as np
import pytest
import torch
from testing_utils import Utterances, tiny_config, tiny_model

from modeling_univa.models.configuration_emotion import EmotionConfig
from modeling_univa.prediction import onnx_export, onnx_parts
from modeling_univa.prediction.onnx_export import InputShape, random_inputs
from modeling_univa.prediction.onnx_model import UnivaOnnxModel
from modeling_univa.prediction.onnx_parts import batch_parts


ROUTES = ("bert", "roberta", "words")


@pytest.fixture(scope="module", params=ROUTES)
def models(request, tmp_path_factory):
    """A model and its graph."""
    model = tiny_model(tiny_config(request.param))
    file = tmp_path_factory.mktemp("graph") / "model.onnx"
    onnx_export._write_graph(model, model.config.max_lengths, file)
    return model, UnivaOnnxModel(model.config, file)


def _arrays(inputs: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in inputs.items()}


def test_padding_does_not_go_through_the_layers(models):
    model, graph = models
    inputs = random_inputs(model, InputShape(6, 3, 9, 7), model.config.max_lengths)
    expected = graph(**inputs).logits
    for modality in model.config.feature_sizes:
        mask = inputs[f"{modality}_attention_mask"].bool()
        assert (~mask).sum() > 0
        inputs[f"{modality}_features"] = inputs[f"{modality}_features"].masked_fill(~mask[..., None], torch.nan)
    # A weight of 0 does not make a number of what layers make of it.
    torch.testing.assert_close(graph(**inputs).logits, expected)


def test_attention_is_as_it_was_after_an_export(models):
    model, _ = models
    assert model.config._attn_implementation in ("sdpa", "packed_sdpa")
    inputs = Utterances(model.config).inputs()
    with torch.inference_mode():
        assert model(**inputs).logits.isfinite().all()


def test_parts_are_the_batch(models, monkeypatch):
    model, graph = models
    inputs = Utterances(model.config, (5, 1, 3, 2, 4), absent=0.3).inputs()
    arrays = {name: inputs[name].numpy() for name in graph.input_names}
    with torch.inference_mode():
        expected = model(**inputs).logits
    counts = []
    for size in (1, 20, 10**6):
        monkeypatch.setattr(onnx_parts, "_PART", size)
        places, parts = zip(*batch_parts(arrays), strict=True)
        assert sorted(np.concatenate(places)) == list(range(15))
        counts.append(len(parts))
        if "input_ids" in arrays:
            assert sum(part["attention_mask"].sum() for part in parts) == arrays["attention_mask"].sum()
        torch.testing.assert_close(graph(**inputs).logits, expected, atol=1e-5, rtol=0)
    assert counts[0] == (5 if "input_ids" in arrays else 15)
    assert counts[0] > counts[1] > counts[2] == 1


def test_a_part_is_as_long_as_its_longest():
    mask = np.array([[1, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]])
    arrays = {
        "vision_features": np.ones((3, 4, 2)),
        "vision_attention_mask": mask,
        "face_emotions": np.ones((3, 4, 7)),
    }
    ((places, part),) = batch_parts(arrays)
    assert places.tolist() == [0, 1, 2]
    assert {name: values.shape[:2] for name, values in part.items()} == dict.fromkeys(arrays, (3, 3))
    ((_, absent),) = batch_parts({name: values[2:] for name, values in arrays.items()})
    assert absent["face_emotions"].shape == (1, 1, 7)


def test_padding_that_is_data_stays(models, monkeypatch):
    _, graph = models
    monkeypatch.setattr(graph, "config", dataclasses.replace(EmotionConfig(), mask_padding=False))
    inputs = random_inputs(models[0], InputShape(2, 1, 5, 3), models[0].config.max_lengths)
    seen = []
    monkeypatch.setattr(graph, "_run", lambda arrays: seen.append(arrays) or np.zeros((2, 6), np.float32))
    graph(**inputs)
    assert seen[0]["audio_features"].shape == inputs["audio_features"].shape
