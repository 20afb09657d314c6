# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The door through which configurations and weights come in: what is damaged or forged is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from testing_utils import tiny_config, write_text_encoder
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, BertConfig

from modeling_univa.models.checked_loading_univa import check_architecture, load_network, read_config
from modeling_univa.models.modeling_affect_regressor import UnivaAffectRegressor, UnivaAffectRegressorConfig
from modeling_univa.models.modeling_emonet import EmoNetConfig, EmoNetModel
from modeling_univa.models.modeling_inception_resnet_v1 import InceptionResnetV1Config, InceptionResnetV1Model
from modeling_univa.models.modeling_mini_xception import MiniXceptionConfig, MiniXceptionModel
from modeling_univa.models.modeling_wav2vec2_affect import Wav2Vec2AffectConfig, Wav2Vec2AffectModel


_SPEECH = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "conv_dim": [8, 8],
    "conv_kernel": [10, 3], "conv_stride": [5, 2], "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
NETWORKS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "emonet": (EmoNetModel, EmoNetConfig, {"hidden_size": 16, "num_landmarks": 3}),
    "inception": (InceptionResnetV1Model, InceptionResnetV1Config, dict.fromkeys(
        ("num_blocks_35", "num_blocks_17", "num_blocks_8"), 0) | {"embedding_size": 7}),
    "xception": (MiniXceptionModel, MiniXceptionConfig, {"block_channels": [5, 6]}),
    "speech": (Wav2Vec2AffectModel, Wav2Vec2AffectConfig, _SPEECH),
    "regressor": (UnivaAffectRegressor, UnivaAffectRegressorConfig, {"feature_size": 4, "hidden_size": 8}),
}  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("networks")
    for name, (model, config, options) in NETWORKS.items():
        model(config(**options)).save_pretrained(base / name)
    return {name: base / name for name in NETWORKS}


def changed(folder: Path, target: Path, fault: str) -> str:
    """The folder with one fault in its first matrix; the name of that weight."""
    target.mkdir()
    (target / "config.json").write_text((folder / "config.json").read_text())
    tensors = load_file(folder / "model.safetensors")
    key = next(name for name, value in tensors.items() if value.ndim > 1)
    if fault == "missing":
        del tensors[key]
    elif fault == "unexpected":
        key = "smell.weight"
        tensors[key] = torch.zeros(2, 2)
    elif fault == "shape":
        tensors[key] = torch.zeros(2, *tensors[key].shape)
    else:
        tensors[key].view(-1)[-1] = float(fault)
    save_file(tensors, target / "model.safetensors", {"format": "pt"})
    return key


@pytest.mark.parametrize("fault", ["missing", "unexpected", "shape", "nan", "-inf"])
@pytest.mark.parametrize("name", NETWORKS)
def test_damaged_networks_are_refused(name, fault, saved, tmp_path):
    key = changed(saved[name], tmp_path / "damaged", fault)
    for kind in (NETWORKS[name][0], AutoModel):
        with pytest.raises(ValueError) as caught:
            kind.from_pretrained(tmp_path / "damaged")
        assert str(tmp_path) in str(caught.value)
        # Some weights have another name in the file.
        assert key in str(caught.value) or name == "speech"


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_whole_networks_are_loaded_with_equal_weights(name, saved):
    model = NETWORKS[name][0].from_pretrained(saved[name])
    again = AutoModel.from_pretrained(saved[name])
    for key, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key


@pytest.mark.parametrize("name", NETWORKS)
def test_attention_and_other_weights_that_a_file_names_are_not_taken(name, saved, tmp_path):
    settings = json.loads((saved[name] / "config.json").read_text())
    settings |= {"attn_implementation": "someone/kernels", "transformers_weights": "../other.safetensors"}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / "model.safetensors").write_bytes((saved[name] / "model.safetensors").read_bytes())
    model = AutoModel.from_pretrained(tmp_path)
    assert model.config._attn_implementation != "someone/kernels"


WRONG = {
    "emonet": [{"hidden_size": 2**20}, {"num_landmarks": -3}, {"num_landmarks": "3"}, {"num_labels": 10**12},
               {"id2label": {"0": "a", "2": "b"}}, {"hidden_size": [16]}],
    "inception": [{"num_blocks_35": 10**6}, {"num_blocks_8": -1}, {"embedding_size": 0}, {"dropout": float("nan")}],
    "xception": [{"block_channels": [5, -6]}, {"block_channels": [2] * 1000}, {"stem_channels": 10**9},
                 {"embedding_scales": [float("nan"), 1.0]}, {"embedding_grids": [4, 10**6]}, {"block_channels": "5"}],
    "speech": [{"num_hidden_layers": 10**6}, {"hidden_size": -16}, {"conv_dim": [8, 10**9]}, {"hidden_act": "evil"},
               {"intermediate_size": 2**40}],
    "regressor": [{"num_hidden_layers": 10**6}, {"num_hidden_layers": -1}, {"max_length": 10**12},
                  {"hidden_act": "evil"}, {"layer_norm_eps": float("nan")}, {"feature_size": 0},
                  {"classifier_dropout": 7}, {"hidden_size": 65536, "intermediate_size": 65536,
                                              "num_hidden_layers": 256}],
}  # fmt: skip


@pytest.mark.parametrize(("name", "wrong"), [(name, wrong) for name, found in WRONG.items() for wrong in found])
def test_configurations_beyond_the_limits_are_refused_before_anything_is_built(name, wrong, saved, tmp_path):
    settings = json.loads((saved[name] / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**settings, **wrong}))
    for load in (NETWORKS[name][1].from_pretrained, NETWORKS[name][0].from_pretrained):
        with pytest.raises(ValueError, match="The configuration of .* cannot be used: ") as caught:
            load(tmp_path)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


@pytest.mark.parametrize("text", ["[]", '"x"', "{", '{"dtype": "evil"}', "3"])
@pytest.mark.parametrize("kind", [config for _, config, _ in NETWORKS.values()])
def test_files_that_are_no_configuration_are_refused(kind, text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises((ValueError, OSError)):
        kind.from_pretrained(tmp_path)


# Networks of others


def test_sizes_of_nested_configurations_are_checked():
    config = tiny_config()
    config.text_config.num_hidden_layers = 10**6
    with pytest.raises(ValueError, match=r"`text_config.num_hidden_layers` must lie between 0 and 256 .* 1,000,000"):
        check_architecture(config)


ARCHITECTURES = (
    "albert", "bert", "canine", "data2vec-audio", "deberta-v2", "distilbert", "electra", "funnel", "hubert",
    "longformer", "m2m_100", "marian", "mbart", "modernbert", "mpnet", "roberta", "t5", "wav2vec2", "wavlm", "whisper",
    "xlm-roberta", "xlnet",
)  # fmt: skip


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_architectures_of_transformers_pass_with_their_defaults(model_type):
    check_architecture(AutoConfig.for_model(model_type))


def test_foreign_network_is_loaded_whole_and_without_its_attention(tmp_path):
    folder = write_text_encoder(tmp_path / "encoder")
    settings = json.loads((folder / "config.json").read_text()) | {"attn_implementation": "someone/kernels"}
    (folder / "config.json").write_text(json.dumps(settings))
    assert load_network(AutoModel, folder).config._attn_implementation == "sdpa"
    assert load_network(AutoModel, folder, attn_implementation="eager").config._attn_implementation == "eager"
    changed(folder, tmp_path / "damaged", "nan")
    with pytest.raises(ValueError, match="not finite"):
        load_network(AutoModel, tmp_path / "damaged")
    with pytest.raises(ValueError, match="lacks weights of its own architecture: classifier.bias"):
        load_network(AutoModelForSequenceClassification, folder)
    new = load_network(AutoModelForSequenceClassification, folder, new=[r"classifier\."])
    assert new.classifier.out_features == 2


def test_code_of_a_foreign_network_is_neither_run_nor_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda prompt: pytest.fail(f"asked {prompt}"))
    settings = {"model_type": "stranger", "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'was run')!r}, 'w')\n")
    with pytest.raises(ValueError, match="cannot be used"):
        load_network(AutoModel, tmp_path)
    assert not (tmp_path / "was run").exists()


def test_foreign_configuration_beyond_the_limits_is_refused(tmp_path):
    BertConfig(num_hidden_layers=300).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="`num_hidden_layers` must lie between 0 and 256"):
        read_config(tmp_path)


def test_forged_number_of_labels_of_a_foreign_network_is_refused(tmp_path):
    folder = write_text_encoder(tmp_path)
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"num_labels": 10**12}))
    with pytest.raises(ValueError, match="The number of labels must lie between 1 and 10,000"):
        load_network(AutoModelForSequenceClassification, folder)


def test_configuration_of_another_model_is_refused(tmp_path):
    BertConfig().save_pretrained(tmp_path)
    for config in (EmoNetConfig, UnivaAffectRegressorConfig):
        with pytest.raises(ValueError, match=f"it is of a 'bert' model, not of a '{config.model_type}' one"):
            config.from_pretrained(tmp_path)
