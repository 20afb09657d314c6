# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The speech affect model against Wav2Vec2Model with its head written out, padding, the published folder."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from published_weights import SPEECH_SIZES, published_speech_config, published_speech_state, tiny_speech_model
from safetensors.torch import save_file
from transformers import AutoModel, Wav2Vec2Config, Wav2Vec2Model

from modeling_univa.models.modeling_wav2vec2_affect import DIMENSIONS, Wav2Vec2AffectConfig, Wav2Vec2AffectModel


@pytest.fixture(scope="module")
def model() -> Wav2Vec2AffectModel:
    return tiny_speech_model()


@pytest.fixture(scope="module")
def waveforms() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    lengths = (400, 5000, 16000, 9000, 5000)
    return [3 * generator.normal(size=length).astype(np.float32) + 1 for length in lengths]


def outputs_of(model: Wav2Vec2AffectModel, waveforms: list[np.ndarray]) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return dict(model(**model.preprocess(waveforms)))


def test_defaults_are_those_of_the_published_model():
    config = Wav2Vec2AffectConfig()
    sizes = (config.hidden_size, config.num_hidden_layers, config.num_attention_heads, config.intermediate_size)
    assert sizes == (1024, 12, 16, 4096)
    assert (config.feat_extract_norm, config.do_stable_layer_norm, config.conv_bias) == ("layer", True, True)
    assert config.id2label == dict(enumerate(DIMENSIONS))
    assert config.min_samples == 400


def test_outputs_are_those_of_wav2vec2_and_the_head_written_out(model, waveforms):
    encoder = Wav2Vec2Model(Wav2Vec2Config(**{**model.config.to_dict(), "model_type": "wav2vec2"})).eval()
    encoder.load_state_dict(model.wav2vec2.state_dict())
    state = model.state_dict()
    for waveform in waveforms:
        normalised = (waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7)
        with torch.no_grad():
            pooled = encoder(torch.from_numpy(normalised)[None]).last_hidden_state.mean(dim=1)
        hidden = torch.tanh(pooled @ state["classifier.dense.weight"].T + state["classifier.dense.bias"])
        scores = (hidden @ state["classifier.out_proj.weight"].T + state["classifier.out_proj.bias"])[0]
        found = outputs_of(model, [waveform])
        torch.testing.assert_close(found["pooled"], pooled, rtol=1e-5, atol=1e-5)
        for index, name in enumerate(("arousal", "dominance", "valence")):
            torch.testing.assert_close(found[name][0], scores[index], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("stable", [True, False])
def test_a_padded_batch_gives_what_one_by_one_gives(waveforms, norm, stable):
    model = tiny_speech_model(feat_extract_norm=norm, do_stable_layer_norm=stable)
    together = outputs_of(model, waveforms)
    for index, waveform in enumerate(waveforms):
        for name, value in outputs_of(model, [waveform]).items():
            torch.testing.assert_close(together[name][index], value[0], rtol=0, atol=1e-5)
    assert together["valence"].std() > 0.01


def test_padding_is_not_read(model, waveforms):
    inputs = model.preprocess(waveforms)
    inputs["input_values"][inputs["attention_mask"] == 0] = 1e3
    with torch.no_grad():
        torch.testing.assert_close(model(**inputs).pooled, outputs_of(model, waveforms)["pooled"], rtol=0, atol=1e-5)


def test_every_waveform_is_normalised_by_itself(model, waveforms):
    inputs = model.preprocess([waveforms[0], 50 * waveforms[1] - 7])
    assert inputs["input_values"].shape == inputs["attention_mask"].shape == (2, 5000)
    assert inputs["attention_mask"].sum(dim=1).tolist() == [400, 5000]
    assert not inputs["input_values"][0, 400:].any()
    for row, length in zip(inputs["input_values"], (400, 5000), strict=True):
        assert abs(row[:length].mean()) < 1e-5
        assert abs(row[:length].var(correction=0) - 1) < 1e-4
    loud = outputs_of(model, [50 * waveforms[1] - 7])["valence"]
    torch.testing.assert_close(loud, outputs_of(model, [waveforms[1]])["valence"], rtol=1e-4, atol=1e-4)


def test_silence_is_finite(model):
    assert all(value.isfinite().all() for value in outputs_of(model, [np.zeros(1600, np.float32)]).values())


@pytest.mark.parametrize(
    ("waveform", "rate", "message"),
    [
        (np.zeros(399, np.float32), 16000, r"Waveform 1 .*at least 400 samples \(25 ms\), got the shape \(399,\)"),
        (np.zeros(0, np.float32), 16000, "Waveform 1 .*at least 400 samples"),
        (np.zeros((2, 1600), np.float32), 16000, "Waveform 1 must be one-dimensional"),
        (np.zeros(1600, np.float32), 8000, "must be at 16000 Hz, got 8000"),
    ],
    ids=["short", "empty", "stereo", "rate"],
)
def test_what_cannot_be_scored_is_refused(model, waveform, rate, message):
    with pytest.raises(ValueError, match=message):
        model.preprocess([np.zeros(1600, np.float32), waveform], rate)


def write_published(folder: Path, model: Wav2Vec2AffectModel, weights: str) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(published_speech_config()))
    state = published_speech_state(model)
    if weights == "pytorch_model.bin":
        torch.save(state, folder / weights)
    else:
        save_file(state, folder / weights, {"format": "pt"})
    return folder


@pytest.mark.parametrize("weights", ["pytorch_model.bin", "model.safetensors"])
def test_the_published_folder_loads_as_it_is(model, waveforms, tmp_path, weights):
    folder = write_published(tmp_path / "published", model, weights)
    loaded, report = Wav2Vec2AffectModel.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values()), report
    assert loaded.config.model_type == "wav2vec2-affect"
    found = outputs_of(loaded, waveforms)
    for name, value in outputs_of(model, waveforms).items():
        torch.testing.assert_close(found[name], value, msg=name)


def test_saved_folder_loads_as_it_was(model, waveforms, tmp_path):
    model.save_pretrained(tmp_path)
    for kind in (Wav2Vec2AffectModel, AutoModel):
        loaded = kind.from_pretrained(tmp_path)
        assert isinstance(loaded, Wav2Vec2AffectModel)
        torch.testing.assert_close(outputs_of(loaded, waveforms)["valence"], outputs_of(model, waveforms)["valence"])


def test_an_encoder_without_the_head_gets_a_new_one_where_it_is_asked_for(model, tmp_path):
    model.wav2vec2.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="lacks weights of its own architecture: classifier.dense.bias"):
        Wav2Vec2AffectModel.from_pretrained(tmp_path)
    loaded, report = Wav2Vec2AffectModel.from_pretrained(
        tmp_path, ignore_mismatched_sizes=True, output_loading_info=True
    )
    head = {f"classifier.{layer}.{kind}" for layer in ("dense", "out_proj") for kind in ("weight", "bias")}
    assert set(report["missing_keys"]) == head
    for name, value in model.wav2vec2.state_dict().items():
        assert torch.equal(loaded.wav2vec2.state_dict()[name], value), name
    assert all(value.isfinite().all() for value in loaded.classifier.state_dict().values())


def test_outputs_as_a_tuple(model, waveforms):
    with torch.no_grad():
        values = model(**model.preprocess(waveforms), return_dict=False)
    assert [tuple(value.shape) for value in values] == [(5,), (5,), (5,), (5, 32)]


def test_every_parameter_learns(waveforms):
    torch.manual_seed(0)
    options = {"layerdrop": 0.0, "mask_time_prob": 0.0}
    learner = Wav2Vec2AffectModel(Wav2Vec2AffectConfig(**SPEECH_SIZES, **options)).train()
    output = learner(**learner.preprocess(waveforms))
    (output.valence + output.arousal + output.dominance).sum().backward()
    assert [name for name, value in learner.named_parameters() if value.grad is None] == []
