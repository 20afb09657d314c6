# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""LDDU: the official code's numbers, what every system does, and what is its own."""

import itertools
import math

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from official_fixtures import OfficialFixture
from queue_common import QueueSystemTests

from modeling_univa.convert.lddu import LDDU
from modeling_univa.models.modeling_lddu import (
    LdduConfig,
    LdduDistribution,
    LdduForEmotionClassification,
    LdduLabelAttention,
    calibration_loss,
)


DROPOUTS = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"), 0.0)
TERMS = {
    "common_bce": ("gate_label", 0.3),
    "final_bce": ("label", 1.0),
    "contrastive": ("contrastive", 1.0),
    "calibration": ("calibration", 0.3),
}


class TestLddu(QueueSystemTests):
    system = LdduForEmotionClassification
    tiny = {
        "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 12, "text_num_hidden_layers": 1,
        "audio_num_hidden_layers": 1, "vision_num_hidden_layers": 1, "label_size": 6, "attention_size": 10,
        "latent_size": 4, "queue_size": 40, "initializer_range": 0.5,
    }  # fmt: skip
    dropouts = DROPOUTS
    remembering = ("queue",)
    projections = 3
    # The queue changes from batch to batch.
    still = {**DROPOUTS, "contrastive_weight": 0.0}

    @pytest.mark.slow
    def test_it_learns_rows_by_heart(self):
        """But for the calibration, which is never zero."""
        assert self.loss_by_heart(steps=200) < 0.25


@pytest.fixture(scope="module")
def official(shared_data) -> OfficialFixture:
    return OfficialFixture(shared_data, "lddu")


@pytest.fixture
def converted(official) -> LdduForEmotionClassification:
    labels = {"id2label": dict(enumerate("abcdef"))}
    return LDDU.build(official.initial, num_attention_heads=2, mask_padding=False, **labels, **DROPOUTS)


def test_three_training_steps_are_those_of_the_official_code(official, converted):
    steps = official.train(converted)
    assert set(steps[0][0].loss_terms) == {ours for ours, _ in TERMS.values()}
    official.check_steps(steps, TERMS)
    official.check_outputs("scores", [output.scores for output, _ in steps])
    official.check_outputs("scores", [converted.config.probabilities(output.logits) for output, _ in steps])
    first = steps[0][0]
    for name, found in (("mu", first.centres), ("std", first.widths)):
        official.check_outputs(name, [found.transpose(1, 2).flatten(2)])
    # 3 steps of 5 rows, 3 modalities and 6 labels; the rest of the queue is as it began.
    written = 3 * 5 * 3 * 6
    assert converted.queue.position == written
    assert torch.equal(converted.queue.classes[:written].float(), official.outputs["queue_label.final"][:written, 0])
    assert (converted.queue.classes[written:] == -1).all()
    torch.testing.assert_close(converted.queue.features, official.outputs["queue.final"], atol=1e-3, rtol=0)


def test_linear_layers_outside_of_the_encoders_start_xavier_uniform():
    model = LdduForEmotionClassification(TestLddu().config(hidden_size=64, initializer_range=0.02))
    for linear in (model.label_attention["text"].output, model.distributions["audio"].mean, model.gate[0]):
        limit = (6 / (linear.in_features + linear.out_features)) ** 0.5
        assert 0.8 * limit < linear.weight.abs().max() <= limit
    assert 0.015 < model.encoders["text"].projection.weight.std() < 0.025


def test_the_published_size():
    """6,086,707 parameters of the official code less 594,188 that it never uses."""
    sizes = {"text_feature_size": 768, "audio_feature_size": 74, "vision_feature_size": 35}
    lengths = {"max_text_length": 60, "max_audio_length": 60, "max_vision_length": 60}
    with torch.device("meta"):
        model = LdduForEmotionClassification(LdduConfig(**sizes, **lengths, id2label=dict(enumerate("abcdef"))))
    absent = sum(sizes.values())
    assert model.num_parameters() == 6_086_707 - 594_188 + absent


def test_labels_attend_to_frames_that_are_there():
    """A fault of the official code, which reads padding."""
    torch.manual_seed(0)
    case = TestLddu()
    config = case.config(**DROPOUTS)
    attention = LdduLabelAttention(config)
    labels, hidden_states = torch.randn(6, config.label_size), torch.randn(3, 5, config.hidden_size)
    mask = torch.arange(5) < torch.tensor([[5], [2], [1]])
    found = attention(labels, hidden_states, mask)
    for row, label in itertools.product(range(3), range(6)):
        keys = attention.key(hidden_states[row, mask[row]])
        weights = (keys @ attention.query(labels[label]) / config.attention_size**0.5).softmax(0)
        torch.testing.assert_close(found[row, label], attention.output(weights @ keys))


def test_a_width_is_the_root_of_a_variance():
    case = TestLddu()
    distribution = LdduDistribution(case.config())
    features = torch.randn(2, 16)
    centre, width = distribution(features)
    hidden = features
    for layer in distribution.layers:
        hidden = layer(hidden).clamp(min=0)
    torch.testing.assert_close(centre, distribution.mean(hidden))
    torch.testing.assert_close(width.square(), distribution.log_variance(hidden).exp())


# Calibration


def example() -> tuple[torch.Tensor, torch.Tensor]:
    """Gates `(B, C)` and widths `(B, M, C, k)`."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(3, 4, generator=generator), torch.rand(3, 2, 4, 5, generator=generator) + 0.1


def divergences(a: list[float], b: list[float]) -> float:
    return sum(p * math.log(p / q) + q * math.log(q / p) for p, q in zip(a, b, strict=True)) / 2


@pytest.mark.parametrize("calibration", ["released", "row"])
def test_calibration_is_that_of_a_naive_loop(calibration):
    gates, widths = example()
    lengths = [
        [math.dist(widths[row, :, label].flatten().tolist(), [0] * 10) for label in range(4)] for row in range(3)
    ]
    everything = sum(math.exp(length) for row in lengths for length in row)
    total = 0.0
    for row in range(3):
        own = everything if calibration == "released" else sum(map(math.exp, lengths[row]))
        shares = [math.exp(length) / own for length in lengths[row]]
        total += divergences(gates[row].softmax(0).tolist(), shares)
    found = calibration_loss(gates, widths, calibration)
    assert found.item() == pytest.approx(total / 12, rel=1e-5)


def test_released_calibration_compares_what_is_no_distribution_over_the_same():
    """A fault of the official code: gates that are right for every row still have a loss; by rows they have none."""
    _, widths = example()
    gates = widths.square().sum(dim=(1, 3)).sqrt()
    assert calibration_loss(gates, widths, "row").item() == pytest.approx(0, abs=1e-7)
    assert calibration_loss(gates, widths, "released") > 0.05


def test_calibration_of_rows_does_not_depend_on_the_batch():
    gates, widths = example()
    alone = [calibration_loss(gates[row : row + 1], widths[row : row + 1], "row") for row in range(3)]
    torch.testing.assert_close(calibration_loss(gates, widths, "row"), torch.stack(alone).mean())


def test_a_model_is_calibrated_as_its_configuration_says():
    case, terms = TestLddu(), {}
    for calibration in ("released", "row"):
        config = case.config(**DROPOUTS, calibration=calibration)
        terms[calibration] = case.model(config).train()(**case.batch(config)).loss_terms["calibration"]
    assert abs(terms["released"] - terms["row"]) > 0.01


# Settings


def test_weights_of_zero_leave_terms_out():
    case = TestLddu()
    config = case.config(contrastive_weight=0.0, calibration_weight=0.0)
    terms = case.model(config).train()(**case.batch(config)).loss_terms
    assert set(terms) == {"label", "gate_label"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"contrastive_temperature": 0}, "contrastive_temperature"),
        ({"calibration": "none"}, "calibration"),
        ({"queue_size": 0}, "queue_size"),
        ({"latent_size": 0}, "latent_size"),
    ],
)
def test_a_wrong_configuration_is_refused(settings, message):
    with pytest.raises(StrictDataclassError, match=message):
        LdduConfig(id2label={0: "a"}, **settings)
