# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A saved face or speech network needs no package: its own code, behind `trust_remote_code`, gives the same."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published_weights import tiny_speech_model
from testing_utils import run_command, subprocess_environment
from transformers import PreTrainedModel
from transformers.dynamic_module_utils import get_imports

from modeling_univa.models.modeling_emonet import EmoNetConfig, EmoNetModel
from modeling_univa.models.modeling_inception_resnet_v1 import InceptionResnetV1Config, InceptionResnetV1Model
from modeling_univa.models.modeling_mini_xception import MiniXceptionConfig, MiniXceptionModel
from modeling_univa.models.modeling_wav2vec2_affect import Wav2Vec2AffectModel


SCRIPT = Path(__file__).with_name("load_remote_networks.py")
ALLOWED = {"torch", "transformers", "huggingface_hub", "numpy"}
LOADING = ["checked_loading_univa.py", "files_univa.py", "limits_univa.py"]
CODE = {
    "EmoNetModel": ["face_images_univa.py", "modeling_emonet.py"],
    "InceptionResnetV1Model": ["face_images_univa.py", "modeling_inception_resnet_v1.py"],
    "MiniXceptionModel": ["face_images_univa.py", "modeling_mini_xception.py"],
    "Wav2Vec2AffectModel": ["modeling_wav2vec2_affect.py"],
}


def networks() -> list[PreTrainedModel]:
    torch.manual_seed(0)
    return [
        EmoNetModel(EmoNetConfig(hidden_size=16, num_labels=5)),
        InceptionResnetV1Model(InceptionResnetV1Config(num_blocks_35=1, num_blocks_17=1, num_blocks_8=1)),
        MiniXceptionModel(MiniXceptionConfig()),
        tiny_speech_model(),
    ]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("saved")
    generator = np.random.default_rng(0)
    faces = [generator.integers(0, 256, (height, 90, 3), dtype=np.uint8) for height in (100, 160)]
    waveforms = [generator.normal(size=length).astype(np.float32) for length in (4000, 1600)]
    saved = {}
    for network in networks():
        inputs = waveforms if isinstance(network, Wav2Vec2AffectModel) else faces
        with torch.no_grad():
            outputs = dict(network.eval()(**network.preprocess(inputs)))
        folder = saved[type(network).__name__] = base / type(network).__name__
        network.save_pretrained(folder)
        torch.save({"inputs": [torch.from_numpy(item) for item in inputs], "outputs": outputs}, folder / "case.pt")
    return saved


@pytest.fixture(scope="module")
def report(folders, tmp_path_factory) -> dict[str, Any]:
    """What a process found that has no access to the package; `-I` ignores PYTHONPATH and the working folder."""
    cwd = tmp_path_factory.mktemp("elsewhere")
    environment = subprocess_environment(cwd / "cache", with_package=False)
    result = run_command([sys.executable, "-I", SCRIPT, *folders.values()], environment, cwd)
    assert result.returncode == 0, result.stderr[-5000:]
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", CODE)
def test_the_folder_alone_gives_the_same(folders, report, name):
    found = report[str(folders[name])]
    assert found["class"].startswith("transformers_modules.")
    assert found["class"].endswith(f".{name}")
    assert found["config"] == name.replace("Model", "Config")
    assert found["near"] == [True, True]
    assert found["copied"] == sorted(LOADING + CODE[name]) == sorted(path.name for path in folders[name].glob("*.py"))
    assert "trust_remote_code=True" in found["refused"]


@pytest.mark.parametrize("name", CODE)
def test_transformers_asks_for_no_other_package(folders, name):
    for path in folders[name].glob("*.py"):
        assert set(get_imports(path)) <= ALLOWED | set(sys.stdlib_module_names), path
