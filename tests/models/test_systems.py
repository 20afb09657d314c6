# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Every system does what all have to do; a new one is a line in `SYSTEMS` of the package and a class here."""

from dataclasses import fields
from pathlib import Path

import pytest
import torch
from common import CommonSystemTests
from dialogue_toy_system import DialogueToyModel, register_dialogue_toy
from expression_toy_system import ExpressionToyConfig, ExpressionToyModel
from huggingface_hub.errors import StrictDataclassError
from testing_utils import Utterances
from toy_system import ToyConfig, ToyModel
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PreTrainedConfig

from modeling_univa.convert.systems import OFFICIAL
from modeling_univa.models.configuration_emotion import MODALITIES
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


class TestExpressionToy(CommonSystemTests):
    """One that reads the expressions of faces beside their features."""

    system = ExpressionToyModel
    tiny = {"face_emotion_size": 4}

    @pytest.fixture(autouse=True)
    def registered(self):
        AutoConfig.register("expression-toy", ExpressionToyConfig, exist_ok=True)
        for auto in (AutoModel, AutoModelForSequenceClassification):
            auto.register(ExpressionToyConfig, ExpressionToyModel, exist_ok=True)

    def test_expressions_count_and_are_asked_for(self):
        config = self.config()
        model, inputs = self.model(config), Utterances(config, absent=0.2).inputs()
        assert inputs["face_emotions"].shape == (*inputs["vision_attention_mask"].shape, 4)
        others = {**inputs, "face_emotions": torch.zeros_like(inputs["face_emotions"])}
        assert not torch.allclose(self.scores(model, others), self.scores(model, inputs), atol=1e-4)
        with pytest.raises(ValueError, match="reads `face_emotions`, the probabilities of 4 expressions of every"):
            model(**{name: value for name, value in inputs.items() if name != "face_emotions"})
        with pytest.raises(ValueError, match="`face_emotions` must have shape"):
            model(**{**inputs, "face_emotions": inputs["face_emotions"][..., :3]})

    def test_without_faces_there_are_none(self):
        config = self.config(modalities=["text", "audio"])
        assert config.extracted_sizes == {"audio": 5} and config.extra_inputs == ()
        assert "face_emotions" not in Utterances(config).inputs()


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


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_forged_size_of_any_system_is_refused(name):
    """Or a network of a thousand million layers would be built before anybody looks at it."""
    config_class = AutoConfig.for_model(name).__class__
    inherited = {item.name for item in fields(PreTrainedConfig)}
    own = {item.name: item.default for item in fields(config_class) if item.name not in inherited}
    sizes = [field for field, default in own.items() if type(default) is int]
    assert {f"max_{modality}_length" for modality in MODALITIES} < set(sizes)
    for field in sizes:
        for forged in (10**9, -1):
            with pytest.raises((StrictDataclassError, ValueError), match=field):
                config_class(num_labels=3, **{field: forged})


@pytest.mark.parametrize("name", sorted(set(SYSTEMS) - {"univa"}))
def test_a_decision_that_the_loss_is_not_for_is_refused(name):
    """Labels that binary losses train are not a distribution, and a distribution has no independent labels."""
    config_class = AutoConfig.for_model(name).__class__
    other = {"softmax": "sigmoid", "sigmoid": "softmax"}[config_class.decision]
    with pytest.raises((StrictDataclassError, ValueError), match="decision"):
        config_class(num_labels=3, decision=other)


@pytest.mark.parametrize(
    ("name", "field"),
    [(name, item.name) for name in SYSTEMS for item in fields(AutoConfig.for_model(name))
     if item.name.endswith("_temperature")],
)  # fmt: skip
def test_a_temperature_of_any_system_is_positive(name, field):
    for value in (0, -1.0):
        with pytest.raises((StrictDataclassError, ValueError), match=f"`{field}` must be greater than 0"):
            AutoConfig.for_model(name, num_labels=3, **{field: value})


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_dropout_of_any_system_is_a_share(name):
    config_class = AutoConfig.for_model(name).__class__
    for field in (item.name for item in fields(config_class) if "dropout" in item.name):
        with pytest.raises((StrictDataclassError, ValueError), match=rf"`{field}` must lie in \[0, 1"):
            config_class(num_labels=3, **{field: 1.5})
