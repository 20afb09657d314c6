# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""MulT: the official code's numbers, what every system does, and what ours does better than the original."""

import pytest
import torch
import torch.nn.functional as F
from common import CommonSystemTests
from huggingface_hub.errors import StrictDataclassError
from official_fixtures import OfficialFixture

from modeling_univa.convert.mult import MULT
from modeling_univa.models.configuration_univa import MOSEI_EMOTIONS
from modeling_univa.models.losses_univa import kl_divergence_loss
from modeling_univa.models.modeling_mult import MultConfig, MultForEmotionClassification


DROPOUTS = (
    "embed_dropout", "attention_dropout", "audio_attention_dropout", "vision_attention_dropout", "activation_dropout",
    "residual_dropout", "output_dropout",
)  # fmt: skip
LABELS = dict(enumerate(MOSEI_EMOTIONS))


class TestMult(CommonSystemTests):
    system = MultForEmotionClassification
    tiny = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}
    still = dict.fromkeys(DROPOUTS, 0.0)

    @pytest.mark.parametrize("options", [
        {"text_kernel_size": 3, "audio_kernel_size": 3}, {"causal": False},
        {"objective": "kl", "decision": "softmax"}, {"hidden_size": 6},
    ], ids=lambda options: "-".join(options))  # fmt: skip
    def test_with_every_option_scores_do_not_depend_on_the_batch(self, options):
        class Other(TestMult):
            tiny = {**TestMult.tiny, **options}

        Other().test_scores_do_not_depend_on_the_batch("words")
        Other().test_padding_is_not_read("words")
        Other().test_every_weight_gets_a_gradient_from_the_whole_loss("words")

    def test_the_last_frame_of_a_short_row_is_not_padding(self):
        """The official code takes the last step, of padding or not, so that scores change with the padded length."""
        config = self.config(modalities=["audio"])
        frames = torch.randn(1, 3, config.audio_feature_size)
        inputs = {
            "audio_features": F.pad(frames, (0, 0, 0, 4)),
            "audio_attention_mask": torch.tensor([[1] * 3 + [0] * 4]),
        }
        alone = {"audio_features": frames, "audio_attention_mask": torch.ones(1, 3)}
        model = self.model(config)
        torch.testing.assert_close(self.scores(model, inputs), self.scores(model, alone))
        model = self.model(self.config(modalities=["audio"], mask_padding=False))
        assert not torch.allclose(self.scores(model, inputs), self.scores(model, alone), atol=1e-3)

    def test_a_zero_frame_counts(self):
        """The official code takes a frame whose first channel is 0 for padding, though it may be a silent one."""
        config = self.config(modalities=["audio"], audio_feature_size=8)  # as wide as the network: no convolution
        model = self.model(config)
        frames = torch.randn(1, 3, 8)
        frames[0, 1] = 0.0
        mask = torch.ones(1, 3)
        moved = frames.clone()
        moved[0, 1, 0] = 1e-7
        found = self.scores(model, {"audio_features": frames, "audio_attention_mask": mask})
        near = self.scores(model, {"audio_features": moved, "audio_attention_mask": mask})
        torch.testing.assert_close(found, near, atol=1e-4, rtol=0)

    def test_the_order_of_modalities_is_that_of_the_embeddings(self):
        model = self.model(self.config())
        output = model(**self.batch(self.config()))
        hidden = torch.cat([output.text_embeds, output.audio_embeds, output.vision_embeds], dim=-1)
        torch.testing.assert_close(output.logits, model.classifier(model.residual(hidden)))

    @pytest.mark.slow
    def test_it_learns_rows_by_heart(self):
        assert self.loss_by_heart(steps=80) < 0.1


@pytest.fixture(scope="module")
def fixture(shared_data):
    return OfficialFixture(shared_data, "mult")


@pytest.fixture
def official(fixture):
    settings = dict.fromkeys(DROPOUTS, 0.0)
    return MULT.build(fixture.initial, id2label=LABELS, mask_padding=False, **settings)


def test_the_official_steps(fixture, official):
    steps = fixture.train(official)
    fixture.check_steps(steps, {"loss": ("bce", 1.0)})
    outputs = [output for output, _ in steps]
    fixture.check_outputs("logits", [output.logits for output in outputs])
    hidden = [torch.cat([output.text_embeds, output.audio_embeds, output.vision_embeds], dim=-1) for output in outputs]
    fixture.check_outputs("last_hidden", hidden)


def test_the_kl_of_the_official_scores(fixture):
    for step, recorded in enumerate(fixture.expected["steps"]):
        found = kl_divergence_loss(fixture.outputs[f"logits.{step}"], fixture.batch(step)["labels"], "released")
        assert found.item() == pytest.approx(recorded["kl_released"], rel=1e-4)


def test_objective_kl_is_the_loss():
    config = MultConfig(
        id2label=LABELS, objective="kl", decision="softmax", modalities=["vision"], num_hidden_layers=1,
        vision_feature_size=4,
    )  # fmt: skip
    model = MultForEmotionClassification(config)
    labels = torch.tensor([[1.0, 0, 0, 0, 0, 1], [0.0] * 6])
    inputs = {"vision_features": torch.randn(2, 3, 4), "vision_attention_mask": torch.ones(2, 3)}
    output = model.eval()(labels=labels, **inputs)
    assert set(output.loss_terms) == {"kl"}
    torch.testing.assert_close(output.loss, kl_divergence_loss(output.logits, labels, "released"))


def test_the_published_size():
    config = MultConfig(id2label=LABELS, text_feature_size=300, audio_feature_size=74, vision_feature_size=35)
    with torch.device("meta"):
        model = MultForEmotionClassification(config)
    absent = sum(parameter.numel() for parameter in model.absent.parameters())
    assert sum(parameter.numel() for parameter in model.parameters()) - absent == 1_074_636


def test_initial_weights():
    torch.manual_seed(0)
    model = MultForEmotionClassification(MultConfig(id2label=LABELS, hidden_size=60, modalities=["vision"]))
    layer = model.cross_modal.memories["vision"].layers[0]
    assert layer.attention.key.weight.std().item() == pytest.approx((2 / (60 + 3 * 60)) ** 0.5, rel=0.05)
    assert layer.intermediate.weight.std().item() == pytest.approx((2 / (60 + 4 * 60)) ** 0.5, rel=0.05)
    assert not layer.attention.key.bias.any() and not layer.intermediate.bias.any()


@pytest.mark.parametrize(("wrong", "message"), [
    ({"num_attention_heads": 4}, r"`hidden_size` must be a multiple of `num_attention_heads`, got 30 and 4"),
    ({"objective": "kl"}, "needs `decision='softmax'`"),
    ({"decision": "softmax"}, "needs `decision='sigmoid'`"),
    ({"audio_kernel_size": 2}, "audio_kernel_size"),
])  # fmt: skip
def test_a_wrong_configuration_is_refused(wrong, message):
    with pytest.raises(StrictDataclassError, match=message):
        MultConfig(id2label=LABELS, **wrong)
