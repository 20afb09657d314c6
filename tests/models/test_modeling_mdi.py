# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""After MDI: which utterances of a dialogue read which."""

import pytest
import torch
from common import CommonSystemTests
from huggingface_hub.errors import StrictDataclassError
from testing_utils import Utterances

from modeling_univa.models.losses_univa import kl_divergence_loss
from modeling_univa.models.modeling_mdi import INTERACTIONS, MdiConfig, MdiForEmotionClassification, interactions


class TestMdi(CommonSystemTests):
    system = MdiForEmotionClassification
    tiny = {"hidden_size": 16, "num_attention_heads": 4, "intermediate_size": 32, "num_hidden_layers": 1}
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}

    def test_another_dialogue_changes_nothing(self):
        config = self.config(num_hidden_layers=2)
        model, utterances = self.model(config), Utterances(config, sizes=(4, 3))
        inputs = utterances.inputs()
        expected = self.scores(model, inputs)
        changed = {**inputs, "audio_features": inputs["audio_features"].clone()}
        changed["audio_features"][4:] = inputs["audio_features"][4:].flip(0) + 1
        found = self.scores(model, changed)
        torch.testing.assert_close(found[:4], expected[:4])
        assert not torch.allclose(found[4:], expected[4:], atol=1e-3)

    def test_the_order_of_rows_does_not_matter(self):
        """Their `position` tells where they are."""
        config = self.config("words")
        model, inputs = self.model(config), Utterances(config, sizes=(4, 3)).inputs()
        order = torch.tensor([6, 1, 0, 5, 3, 2, 4])
        moved = {name: value[order] for name, value in inputs.items()}
        torch.testing.assert_close(self.scores(model, moved), self.scores(model, inputs)[order], atol=1e-5, rtol=1e-4)

    @pytest.mark.parametrize("kind", INTERACTIONS)
    def test_what_an_interaction_does_not_read_changes_nothing(self, kind):
        """An utterance depends on others through the heads of the four interactions alone."""
        config = self.config("words", local_window=1)
        model = self.model(config)
        inputs = Utterances(config, sizes=(5,)).inputs()
        inputs["speaker_index"] = torch.tensor([0, 1, 0, 1, -1])
        # Other heads write nothing.
        rows = torch.arange(4).repeat_interleave(4) != INTERACTIONS.index(kind)
        value = model.layers[0].attention.self.value
        with torch.no_grad():
            value.weight[rows] = value.bias[rows] = 0.0
        readable = interactions(*(inputs[name] for name in ("dialogue_index", "position", "speaker_index")), 1)[kind]
        expected = self.scores(model, inputs)
        for other in range(5):
            changed = {**inputs, "vision_features": inputs["vision_features"].clone()}
            changed["vision_features"][other] += 1
            differs = ((self.scores(model, changed) - expected).abs() > 1e-5).any(dim=1)
            assert torch.equal(differs, readable[:, other])

    def test_utterances_after_the_last_place_share_it(self):
        config = self.config("words", max_dialogue_length=2, local_window=9)
        model, inputs = self.model(config), Utterances(config, sizes=(4,)).inputs()
        expected = self.scores(model, inputs)
        inputs["position"] = torch.tensor([0, 1, 1, 1])
        torch.testing.assert_close(self.scores(model, inputs), expected)

    @pytest.mark.parametrize("name", ["dialogue_index", "position", "speaker_index"])
    def test_missing_places_are_refused(self, name):
        config = self.config("words")
        inputs = Utterances(config).inputs()
        inputs.pop(name)
        with pytest.raises(ValueError, match="needs `dialogue_index`, `position` and `speaker_index`"):
            self.model(config)(**inputs)

    def test_the_loss_is_the_divergence_of_univa(self):
        config = self.config()
        output = self.model(config)(**self.batch(config))
        assert set(output.loss_terms) == {"kl"}
        labels = self.batch(config)["labels"]
        torch.testing.assert_close(output.loss, kl_divergence_loss(output.logits, labels, "released"))


def test_interactions_against_a_loop():
    dialogues, places, speakers = [0, 0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 0, 1, 2], [0, 1, 0, -1, 0, 0, -1]
    found = interactions(*(torch.tensor(values) for values in (dialogues, places, speakers)), window=1)
    assert tuple(found) == INTERACTIONS
    for i in range(7):
        for j in range(7):
            together, alike = dialogues[i] == dialogues[j], speakers[i] == speakers[j] != -1
            expected = {
                "global": together,
                "local": together and abs(places[i] - places[j]) <= 1,
                "intra": together and (alike or i == j),
                "inter": together and (not alike or i == j),
            }
            assert {name: mask[i, j].item() for name, mask in found.items()} == expected


def test_of_one_speaker_the_others_are_none():
    found = interactions(torch.zeros(3), torch.arange(3), torch.zeros(3), window=0)
    assert torch.equal(found["intra"], found["global"])
    assert torch.equal(found["inter"], torch.eye(3, dtype=torch.bool))


@pytest.mark.parametrize(("wrong", "message"), [
    ({"num_attention_heads": 2}, "`num_attention_heads` must be a multiple of 4, got 2"),
    ({"local_window": -1}, "`local_window` must lie"),
    ({"max_dialogue_length": 0}, "`max_dialogue_length` must lie"),
    ({"hidden_act": "none"}, "hidden_act"),
    ({"decision": "sigmoid"}, "needs `decision='softmax'`"),
])  # fmt: skip
def test_a_wrong_configuration_is_refused(wrong, message):
    with pytest.raises(StrictDataclassError, match=message):
        MdiConfig(**wrong)
