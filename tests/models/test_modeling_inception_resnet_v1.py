# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Inception-ResNet-v1 against reference outputs and against facenet-pytorch, saving and loading, preprocessing."""

import importlib.util
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from published_weights import inception_state, save_state
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModel

from modeling_univa.convert.networks import convert_network
from modeling_univa.models.modeling_inception_resnet_v1 import InceptionResnetV1Config, InceptionResnetV1Model


@pytest.fixture(scope="module")
def model() -> InceptionResnetV1Model:
    torch.manual_seed(0)
    config = InceptionResnetV1Config(num_blocks_35=1, num_blocks_17=1, num_blocks_8=1, embedding_size=7)
    return InceptionResnetV1Model(config).eval()


@pytest.fixture(scope="module")
def pixel_values() -> torch.Tensor:
    return torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(0))


def embed(model: nn.Module, pixel_values: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(pixel_values).embeddings


@pytest.mark.slow
def test_converted_weights_give_the_reference_outputs(shared_data, tmp_path):
    checkpoint = save_state(tmp_path / "weights.pt", inception_state(shared_data))
    model = InceptionResnetV1Model.from_pretrained(convert_network("inception", checkpoint, tmp_path / "inception"))
    expected = load_file(shared_data / "parity" / "inception_resnet_v1" / "expected.safetensors")
    pixel_values = torch.randn(3, 3, 160, 160, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(pixel_values[0, 0, 0], expected["pixel_values_first_row"])
    # Elements near 0 carry the rounding of all others: the original on another number of threads differs as much.
    torch.testing.assert_close(embed(model, pixel_values), expected["embeddings"], rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def facenet(tmp_path_factory) -> types.ModuleType:
    """facenet-pytorch's network; its package wants old versions of torch and torchvision, its file does not."""
    folder = tmp_path_factory.mktemp("facenet")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--retries", "0", "--timeout", "15"]
    command += ["--dest", str(folder), "facenet-pytorch==2.6.0"]
    try:
        subprocess.run(command, capture_output=True, timeout=60, check=True)
    except subprocess.SubprocessError as error:
        pytest.skip(f"facenet-pytorch 2.6.0 cannot be downloaded: {error}")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        path = Path(wheel.extract("facenet_pytorch/models/inception_resnet_v1.py", folder))
    with pytest.MonkeyPatch.context() as patch:
        # Its only relative import, for downloads.
        for name in ("facenet", "facenet.utils", "facenet.utils.download"):
            patch.setitem(sys.modules, name, types.ModuleType(name))
        sys.modules["facenet"].__path__ = []
        sys.modules["facenet.utils.download"].download_url_to_file = None
        spec = importlib.util.spec_from_file_location("facenet.inception_resnet_v1", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_facenet_pytorch_gives_the_same(facenet, tmp_path):
    torch.manual_seed(0)
    original = facenet.InceptionResnetV1(classify=True, num_classes=11).eval()
    generator = torch.Generator().manual_seed(2)
    for name, buffer in original.named_buffers():
        if name.endswith("running_var"):
            buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    checkpoint = save_state(tmp_path / "weights.pt", original.state_dict())
    model = InceptionResnetV1Model.from_pretrained(convert_network("inception", checkpoint, tmp_path / "inception"))
    original.classify = False
    pixel_values = torch.randn(2, 3, 160, 160, generator=generator)
    with torch.no_grad():
        expected = original(pixel_values)
    torch.testing.assert_close(embed(model, pixel_values), expected, rtol=1e-4, atol=1e-5)


def test_embeddings_have_length_1_and_are_the_same_alone_and_in_a_batch(model, pixel_values):
    embeddings = embed(model, pixel_values)
    assert embeddings.shape == (2, 7)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(embed(model, pixel_values[1:]), embeddings[1:])
    with torch.no_grad():
        torch.testing.assert_close(model(pixel_values, return_dict=False)[0], embeddings)


def test_every_parameter_learns(model, pixel_values):
    learner = InceptionResnetV1Model(model.config).train()
    learner(pixel_values).embeddings[:, 0].sum().backward()
    assert [name for name, value in learner.named_parameters() if value.grad is None] == []


def test_saved_folder_loads_as_it_was(model, pixel_values, tmp_path):
    model.save_pretrained(tmp_path)
    for kind in (InceptionResnetV1Model, AutoModel):
        loaded = kind.from_pretrained(tmp_path)
        assert isinstance(loaded, InceptionResnetV1Model)
        torch.testing.assert_close(embed(loaded, pixel_values), embed(model, pixel_values))


@pytest.mark.parametrize("shape", [(1, 3, 74, 160), (1, 1, 160, 160), (3, 160, 160)])
def test_other_shapes_are_refused(model, shape):
    with pytest.raises(ValueError, match=r"must have the shape \(batch, 3, 160, 160\), got .*preprocess"):
        model(torch.zeros(shape))


def test_the_smallest_image_passes(model):
    assert embed(model, torch.randn(1, 3, 75, 75)).isfinite().all()


def test_preprocessing_standardises(model):
    face = np.zeros((160, 160, 3), np.uint8)
    face[..., 1], face[..., 2] = 128, 255
    pixels = model.preprocess([face, np.full((112, 90), 255, np.uint8)])["pixel_values"]
    assert (pixels.shape, pixels.dtype) == ((2, 3, 160, 160), torch.float32)
    assert torch.equal(pixels[0, :, 9, 11], torch.tensor([-127.5 / 128, 0.5 / 128, 127.5 / 128]))
    torch.testing.assert_close(pixels[1], torch.full((3, 160, 160), 127.5 / 128))
