# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""State dicts of official code become folders that load, to the official scores."""

from pathlib import Path
from typing import Any

import pytest
import torch
from official_fixtures import OfficialFixture
from safetensors.torch import save_file
from transformers import AutoModel, AutoProcessor

from modeling_univa import cli
from modeling_univa.convert.official import convert_official
from modeling_univa.convert.systems import OFFICIAL


# What the shapes of the parameters do not tell, where the fixture has other than the published sizes.
SETTINGS: dict[str, dict[str, Any]] = {
    "carat": {"num_attention_heads": 2, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "hhmpn": {"num_label_heads": 2},
    "tailor": {"num_attention_heads": 2},
}
# Whose recorded scores are those of training, without dropout; in evaluation they are others.
IN_TRAINING = ("carat",)


@pytest.fixture(params=OFFICIAL)
def fixture(request, shared_data) -> OfficialFixture:
    return OfficialFixture(shared_data, request.param)


@pytest.fixture
def checkpoint(fixture, tmp_path) -> Path:
    """As `torch.save` writes a state dict."""
    torch.save(fixture.initial, tmp_path / "official.pt")
    return tmp_path / "official.pt"


def test_a_folder_loads_to_the_official_scores(fixture, checkpoint, tmp_path):
    settings = {"fixed_length": None, **SETTINGS.get(fixture.name, {})}
    folder = convert_official(OFFICIAL[fixture.name], checkpoint, tmp_path / "model", **settings)
    model = AutoModel.from_pretrained(folder).train(fixture.name in IN_TRAINING)
    with torch.no_grad():
        logits = model(**fixture.batch(0)).logits
    wanted = {"logits.0": logits, "scores.0": model.config.probabilities(logits)}
    compared = [name for name in wanted if name in fixture.outputs]
    assert compared
    for name in compared:
        torch.testing.assert_close(wanted[name], fixture.outputs[name], atol=1e-5, rtol=0)


@pytest.mark.slow
def test_the_command_writes_a_folder(fixture, checkpoint, tmp_path, capsys):
    folder = tmp_path / "model"
    assert cli.main(["convert", fixture.name, "--checkpoint", str(checkpoint), "--output", str(folder)]) == 0
    assert f"wrote {folder}" in capsys.readouterr().out
    model, processor = AutoModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    # Where there are learned positions, they tell the length.
    length = OFFICIAL[fixture.name].configure(fixture.initial).get("fixed_length", 60)
    assert (model.config.mask_padding, model.config.fixed_length) == (False, length)
    assert processor.feature_sizes == model.config.feature_sizes
    expected = OFFICIAL[fixture.name].converted(fixture.initial)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in expected.items())


@pytest.mark.parametrize("fault", ["unknown", "missing", "misshapen", "another"])
def test_what_is_not_the_state_dict_of_the_code_is_refused(fixture, tmp_path, fault):
    state = fixture.initial
    state = {
        "unknown": {**state, "of_another.code": torch.zeros(1)},
        "missing": {name: value for name, value in state.items() if not name.endswith("bias")},
        "misshapen": {name: value[:1].clone() if name.endswith("bias") else value for name, value in state.items()},
        "another": {"of_another.code": torch.zeros(1)},
    }[fault]
    save_file(state, tmp_path / "official.safetensors")
    with pytest.raises(ValueError, match="checkpoint (lacks|has|does not fit)"):
        convert_official(OFFICIAL[fixture.name], tmp_path / "official.safetensors", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_folder_that_is_not_empty_is_refused(fixture, checkpoint, tmp_path):
    with pytest.raises(ValueError, match="already exists and is not empty"):
        convert_official(OFFICIAL[fixture.name], checkpoint, tmp_path)
