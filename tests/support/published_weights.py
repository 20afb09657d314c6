# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for published weights: the names and shapes are the published ones, the values follow a rule."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Wav2Vec2Config

from modeling_univa.convert.networks import mini_xception_name
from modeling_univa.models.modeling_mini_xception import MiniXceptionConfig, MiniXceptionModel
from modeling_univa.models.modeling_wav2vec2_affect import Wav2Vec2AffectConfig, Wav2Vec2AffectModel


SPEECH_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 40,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
# Fields of the published config.json that are not part of the network, or not of today's transformers.
PUBLISHED_SPEECH: dict[str, Any] = {
    "_name_or_path": "torch",
    "architectures": ["Wav2Vec2ForSpeechClassification"],
    "model_type": "wav2vec2",
    "finetuning_task": "wav2vec2_reg",
    "problem_type": "regression",
    "pooling_mode": "mean",
    "gradient_checkpointing": False,
    "feat_extract_dropout": 0.0,
    "id2label": {"0": "arousal", "1": "dominance", "2": "valence"},
    "label2id": {"arousal": 0, "dominance": 1, "valence": 2},
    "tokenizer_class": "Wav2Vec2CTCTokenizer",
    "torch_dtype": "float32",
    "transformers_version": "4.17.0.dev0",
    "vocab_size": None,
}


def filled_state(folder: Path, gain: float) -> dict[str, torch.Tensor]:
    """The tensors that the reference outputs in a folder of data/parity were computed with."""
    shapes = json.loads((folder / "state_dict_shapes.json").read_text())
    generator = torch.Generator().manual_seed(0)
    return {key: _filled(key, shapes[key], gain, generator) for key in sorted(shapes)}


def _filled(key: str, shape: list[int], gain: float, generator: torch.Generator) -> torch.Tensor:
    if key.endswith(".num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.long)
    if key.endswith(".running_var"):
        return 0.5 + torch.rand(shape, generator=generator)
    values = torch.randn(shape, generator=generator)
    if len(shape) == 1:
        return 1 + 0.1 * values if key.endswith(".weight") else 0.1 * values
    return gain * values / math.sqrt(math.prod(shape[1:]))


def emonet_state(shared_data: Path) -> dict[str, torch.Tensor]:
    """A state dict of EmoNet with eight expressions, under its published names."""
    return filled_state(shared_data / "parity" / "emonet", gain=0.5)


def inception_state(shared_data: Path) -> dict[str, torch.Tensor]:
    """A state dict of Inception-ResNet-v1, under its published names."""
    return filled_state(shared_data / "parity" / "inception_resnet_v1", gain=1.0)


def save_state(path: Path, state: dict[str, torch.Tensor]) -> Path:
    """Write a state dict as `torch.save` does."""
    torch.save(state, path)
    return path


def mini_xception_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights of mini-Xception under their published names, kernels as PyTorch has them."""
    torch.manual_seed(seed)
    state = MiniXceptionModel(MiniXceptionConfig()).state_dict()
    return {mini_xception_name(key): value for key, value in state.items() if "num_batches" not in key}


def save_keras(path: Path, state: dict[str, torch.Tensor]) -> Path:
    """Write LAYER.PARAMETER tensors as Keras does."""
    import h5py

    with h5py.File(path, "w") as file:
        layers = file.create_group("model_weights")
        for name, value in state.items():
            layer, _, parameter = name.partition(".")
            values = value.numpy()
            if values.ndim == 4:
                values = values.transpose((2, 3, 0, 1) if "depthwise" in parameter else (2, 3, 1, 0))
            group = layers.require_group(layer)
            group[f"{layer}_1/{parameter}:0"] = values
            names = [*group.attrs.get("weight_names", ()), f"{layer}_1/{parameter}:0".encode()]
            group.attrs["weight_names"] = np.array(names, dtype="S")
    return path


def tiny_speech_model(seed: int = 0, **options: Any) -> Wav2Vec2AffectModel:
    torch.manual_seed(seed)
    model = Wav2Vec2AffectModel(Wav2Vec2AffectConfig(**SPEECH_SIZES, **options)).eval()
    # Outputs of the published size, so that tolerances mean something.
    torch.nn.init.normal_(model.classifier.dense.weight, std=0.2)
    torch.nn.init.normal_(model.classifier.out_proj.weight, std=0.2)
    return model


def published_speech_state(model: Wav2Vec2AffectModel) -> dict[str, torch.Tensor]:
    """Weights under the names of the published file, which is older than torch's parametrizations."""
    positions = "wav2vec2.encoder.pos_conv_embed.conv."
    names = {
        f"{positions}parametrizations.weight.original{index}": f"{positions}weight_{'gv'[index]}" for index in (0, 1)
    }
    state = {names.get(key, key): value.clone() for key, value in model.state_dict().items()}
    assert f"{positions}weight_g" in state
    return state


def published_speech_config(**options: Any) -> dict[str, Any]:
    """config.json as it is on the Hub, in a small size."""
    architecture = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
    return {**Wav2Vec2Config(**SPEECH_SIZES, **architecture).to_dict(), **PUBLISHED_SPEECH, **options}
