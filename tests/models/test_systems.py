# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Every system does what all have to do; a new one is a line in `SYSTEMS` of the package and a class here."""

from pathlib import Path

import pytest
from common import CommonSystemTests
from dialogue_toy_system import DialogueToyModel, register_dialogue_toy
from toy_system import ToyConfig, ToyModel
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from modeling_univa.convert.systems import OFFICIAL
from modeling_univa.models.modeling_univa import UnivaForEmotionClassification
from modeling_univa.models.systems import SYSTEMS


class TestUniva(CommonSystemTests):
    system = UnivaForEmotionClassification
    tiny = {
        "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "text_num_hidden_layers": 1,
        "audio_num_hidden_layers": 1, "vision_num_hidden_layers": 1,
    }  # fmt: skip
    still = dict.fromkeys(
        ("projection_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"), 0.0
    )


class TestToy(CommonSystemTests):
    """The least that a system can be, of independent labels."""

    system = ToyModel

    @pytest.fixture(autouse=True)
    def registered(self):
        """With the auto classes alone, as a system of another package is."""
        AutoConfig.register("toy", ToyConfig, exist_ok=True)
        for auto in (AutoModel, AutoModelForSequenceClassification):
            auto.register(ToyConfig, ToyModel, exist_ok=True)


class TestDialogueToy(CommonSystemTests):
    """The least that a system can be that reads across utterances."""

    system = DialogueToyModel

    @pytest.fixture(autouse=True)
    def registered(self):
        register_dialogue_toy()


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
def test_every_system_is_tested(system):
    files = Path(__file__).parent.glob("test_*.py")
    assert any(f"    system = {system.__name__}\n" in file.read_text() for file in files)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_is_known_by_its_model_type(name):
    assert AutoConfig.for_model(name).model_type == name


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_says_what_it_is_and_where_it_comes_from(name):
    config = AutoConfig.for_model(name)
    assert config.title and config.paper.startswith("https://") and config.citation.startswith("@")
    assert config.idea and not config.idea.endswith(".")
    assert config.deviations and all(sentence.endswith(".") for sentence in config.deviations)
    assert bool(config.official_code) == (name in OFFICIAL or name == "univa")
