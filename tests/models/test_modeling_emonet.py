# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""EmoNet against reference outputs, saving and loading, preprocessing."""

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from published_weights import emonet_state, save_state
from safetensors.torch import load_file
from transformers import AutoModel

from modeling_univa.convert.networks import convert_network
from modeling_univa.models.modeling_emonet import EmoNetConfig, EmoNetModel


@pytest.fixture(scope="module")
def model() -> EmoNetModel:
    torch.manual_seed(0)
    return EmoNetModel(EmoNetConfig(hidden_size=16, num_landmarks=6, num_labels=5)).eval()


@pytest.fixture(scope="module")
def pixel_values() -> torch.Tensor:
    return torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))


def outputs_of(model: EmoNetModel, pixel_values: torch.Tensor) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return dict(model(pixel_values))


@pytest.mark.slow
def test_converted_weights_give_the_reference_outputs(shared_data, tmp_path):
    checkpoint = save_state(tmp_path / "emonet_8.pth", emonet_state(shared_data))
    model = EmoNetModel.from_pretrained(convert_network("emonet", checkpoint, tmp_path / "emonet"))
    expected = load_file(shared_data / "parity" / "emonet" / "expected.safetensors")
    pixel_values = torch.rand(3, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(pixel_values[0, 0, 0], expected["pixel_values_first_row"])
    found = outputs_of(model, pixel_values)
    for name in ("valence", "arousal", "logits"):
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5, msg=name)
    # Both signs cancel in a sum, so that its error is one of what was added up.
    heatmaps = found["heatmaps"]
    difference = (heatmaps.sum(dim=(2, 3)) - expected["heatmap_sum"]).abs()
    assert (difference <= 1e-4 * heatmaps.abs().sum(dim=(2, 3))).all()


def test_shapes(model, pixel_values):
    shapes = {name: tuple(value.shape) for name, value in outputs_of(model, pixel_values).items()}
    assert shapes == {"valence": (2,), "arousal": (2,), "logits": (2, 5), "heatmaps": (2, 6, 64, 64)}


def test_a_face_gives_the_same_alone_and_in_a_batch(model, pixel_values):
    together, alone = outputs_of(model, pixel_values), outputs_of(model, pixel_values[1:])
    for name, value in together.items():
        torch.testing.assert_close(value[1:], alone[name])


def test_outputs_as_a_tuple(model, pixel_values):
    with torch.no_grad():
        values = model(pixel_values[:1], return_dict=False)
    assert [tuple(value.shape) for value in values] == [(1,), (1,), (1, 5), (1, 6, 64, 64)]


def test_every_parameter_learns(model, pixel_values):
    torch.manual_seed(0)
    learner = EmoNetModel(model.config).train()
    outputs = learner(pixel_values)
    (outputs.valence.square().sum() + outputs.logits.square().sum() + outputs.heatmaps.square().mean()).backward()
    assert [name for name, value in learner.named_parameters() if value.grad is None] == []


def test_saved_folder_loads_as_it_was(model, pixel_values, tmp_path):
    model.save_pretrained(tmp_path)
    for kind in (EmoNetModel, AutoModel):
        loaded = kind.from_pretrained(tmp_path)
        assert isinstance(loaded, EmoNetModel)
        assert loaded.config.id2label == dict(enumerate(["neutral", "happy", "sad", "surprise", "fear"]))
        for name, value in outputs_of(loaded, pixel_values).items():
            torch.testing.assert_close(value, outputs_of(model, pixel_values)[name], msg=name)


def test_a_new_network_tells_faces_apart(model, pixel_values):
    valence = outputs_of(model, torch.cat([pixel_values, torch.zeros_like(pixel_values[:1])]))["logits"]
    assert valence.std(dim=0).min() > 1e-4


@pytest.mark.parametrize("shape", [(1, 3, 128, 128), (1, 1, 256, 256), (3, 256, 256)])
def test_other_shapes_are_refused(model, shape):
    with pytest.raises(ValueError, match=r"must have the shape \(batch, 3, 256, 256\), got .*preprocess"):
        model(torch.zeros(shape))


def test_a_width_that_cannot_be_divided_is_refused():
    with pytest.raises((ValueError, StrictDataclassError), match="multiple of 16"):
        EmoNetConfig(hidden_size=20)


def test_preprocessing_scales_and_stretches(model):
    ramp = np.tile(np.linspace(0, 255, 512).astype(np.uint8)[:, None, None], (1, 300, 3))
    face = np.zeros((256, 256, 3), np.uint8)
    face[..., 0] = 255
    grey = np.full((40, 60), 51, np.uint8)
    pixels = model.preprocess([ramp, face, face[:, ::-1], grey])["pixel_values"]
    assert (pixels.shape, pixels.dtype) == ((4, 3, 256, 256), torch.float32)
    expected = (torch.arange(256) + 0.5) / 256
    torch.testing.assert_close(pixels[0, 1, :, 7], expected, atol=5e-3, rtol=0)
    assert torch.equal(pixels[1, :, 3, 5], torch.tensor([1.0, 0.0, 0.0]))
    assert torch.equal(pixels[2], pixels[1])
    torch.testing.assert_close(pixels[3], torch.full((3, 256, 256), 0.2))


def test_no_faces_give_an_empty_batch(model):
    assert outputs_of(model, model.preprocess([])["pixel_values"])["valence"].shape == (0,)


@pytest.mark.parametrize(
    "image",
    [np.zeros((8, 8, 3), np.float32), np.zeros((8, 8, 4), np.uint8), np.zeros((0, 8, 3), np.uint8)],
    ids=["float", "alpha", "empty"],
)
def test_other_images_are_refused_by_their_number(model, image):
    with pytest.raises(ValueError, match="Face image 1 must be uint8"):
        model.preprocess([np.zeros((8, 8, 3), np.uint8), image])
