# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""State dicts of official code become folders that load, to the official scores."""

from pathlib import Path
from typing import Any

import pytest
import torch
from official_fixtures import OfficialFixture
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing
from transformers import AutoConfig, AutoModel, AutoProcessor, PreTrainedTokenizerFast

from modeling_univa import cli
from modeling_univa.convert.official import convert_official
from modeling_univa.convert.systems import OFFICIAL


# What the shapes of the parameters do not tell, where the fixture has other than the published sizes.
SETTINGS: dict[str, dict[str, Any]] = {
    "carat": {"num_attention_heads": 2, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "facialmmt": {"num_attention_heads": 2, "max_utterance_length": 7},
    "hhmpn": {"num_label_heads": 2},
    "lddu": {"num_attention_heads": 2},
    "robmmr": {"num_attention_heads": 2},
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


@pytest.fixture
def text_model(fixture, shared_data, tmp_path) -> str | None:
    """A folder with the configuration of the text encoder, and a tokenizer of few words, of a system that has one."""
    if not OFFICIAL[fixture.name].reads_tokens:
        return None
    AutoConfig.for_model(**fixture.text_config).save_pretrained(tmp_path / "encoder")
    special = {"cls_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>", "unk_token": "<unk>"}
    words = Tokenizer(WordLevel({word: number for number, word in enumerate(special.values())}, unk_token="<unk>"))
    words.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(tmp_path / "encoder")
    return str(tmp_path / "encoder")


def test_a_folder_loads_to_the_official_scores(fixture, checkpoint, text_model, tmp_path):
    settings = {"fixed_length": None, **SETTINGS.get(fixture.name, {})}
    folder = convert_official(OFFICIAL[fixture.name], checkpoint, tmp_path / "model", text_model, **settings)
    model = AutoModel.from_pretrained(folder).train(fixture.name in IN_TRAINING)
    with torch.no_grad():
        logits = model(**fixture.batch(0)).logits
    wanted = {"logits.0": logits, "scores.0": model.config.probabilities(logits)}
    compared = [name for name in wanted if name in fixture.outputs]
    assert compared
    for name in compared:
        torch.testing.assert_close(wanted[name], fixture.outputs[name], atol=1e-5, rtol=0)


@pytest.mark.slow
def test_the_command_writes_a_folder(fixture, checkpoint, text_model, tmp_path, capsys):
    folder = tmp_path / "model"
    names = [f"l{number}" for number in range(fixture.batch(0)["labels"].shape[1])]
    arguments = ["--checkpoint", str(checkpoint), "--output", str(folder), "--labels", ",".join(names)]
    arguments += [] if text_model is None else ["--text-model", text_model]
    assert cli.main(["convert", fixture.name, *arguments]) == 0
    assert f"wrote {folder}" in capsys.readouterr().out
    model, processor = AutoModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    # Where there are learned positions, they tell the length.
    length = OFFICIAL[fixture.name].configure(fixture.initial).get("fixed_length", 60)
    assert (model.config.mask_padding, model.config.fixed_length) == (False, length)
    assert processor.feature_sizes == model.config.feature_sizes
    assert model.config.label_names == names
    expected = OFFICIAL[fixture.name].converted(fixture.initial)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in expected.items())


@pytest.mark.parametrize("fault", ["unknown", "missing", "misshapen", "another"])
def test_what_is_not_the_state_dict_of_the_code_is_refused(fixture, text_model, tmp_path, fault):
    state = fixture.initial
    state = {
        "unknown": {**state, "of_another.code": torch.zeros(1)},
        "missing": {name: value for name, value in state.items() if not name.endswith("bias")},
        "misshapen": {name: value[:1].clone() if name.endswith("bias") else value for name, value in state.items()},
        "another": {"of_another.code": torch.zeros(1)},
    }[fault]
    save_file(state, tmp_path / "official.safetensors")
    with pytest.raises(ValueError, match="checkpoint (lacks|has|does not fit)"):
        convert_official(OFFICIAL[fixture.name], tmp_path / "official.safetensors", tmp_path / "model", text_model)
    assert not (tmp_path / "model").exists()


def test_a_folder_that_is_not_empty_is_refused(fixture, checkpoint, tmp_path):
    with pytest.raises(ValueError, match="already exists and is not empty"):
        convert_official(OFFICIAL[fixture.name], checkpoint, tmp_path)


def test_a_text_model_is_needed_where_there_is_a_text_encoder_alone(fixture, checkpoint, text_model, tmp_path):
    other = None if text_model else "encoder"
    with pytest.raises(ValueError, match="text encoder, got `text_model`="):
        convert_official(OFFICIAL[fixture.name], checkpoint, tmp_path / "model", other)
