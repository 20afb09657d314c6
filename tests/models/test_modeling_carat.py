# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""CARAT: the official code's numbers, what every system does, and what is its own."""

import itertools

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from official_fixtures import OfficialFixture
from queue_common import QueueSystemTests
from torch.nn import functional as F

from modeling_univa.convert.carat import CARAT
from modeling_univa.models.modeling_carat import CaratAutoencoder, CaratConfig, CaratForEmotionClassification


DROPOUTS = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.0)


class TestCarat(QueueSystemTests):
    system = CaratForEmotionClassification
    tiny = {
        "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12, "text_num_hidden_layers": 1,
        "audio_num_hidden_layers": 1, "vision_num_hidden_layers": 1, "projection_size": 5, "queue_size": 40,
        "initializer_range": 0.5,
    }  # fmt: skip
    dropouts = DROPOUTS
    remembering = ("queue", "autoencoders")
    projections = 9
    # The queue and the prototypes change from batch to batch.
    still = {**DROPOUTS, "shuffled_label_weight": 0.0, "contrastive_weight": 0.0, "prototype_momentum": 1.0}

    def model(self, config, seed=0):
        """With prototypes, which start at zero and would say nothing."""
        model = super().model(config, seed)
        for coder in model.autoencoders.values():
            coder.positive.normal_(), coder.negative.normal_()
        return model

    @pytest.mark.slow
    def test_it_learns_rows_by_heart(self):
        assert self.loss_by_heart(steps=200) < 0.1


@pytest.fixture(scope="module")
def official(shared_data) -> OfficialFixture:
    return OfficialFixture(shared_data, "carat")


@pytest.fixture
def converted(official) -> CaratForEmotionClassification:
    labels = {"id2label": dict(enumerate("abcdef"))}
    return CARAT.build(official.initial, num_attention_heads=2, mask_padding=False, **labels, **DROPOUTS)


TERMS = {
    "contrastive": ("contrastive", 1.0),
    "clf_lsr": ("feature_label", 0.01),
    "clf_aug": ("alpha_label", 0.1),
    "clf_beta": ("beta_label", 1.0),
    "total_aug_clf": ("fused_label", 1.0),
    "shuffle_aug_clf": ("shuffled_label", 0.1),
    "mse_recon": ("reconstruction", 1.0),
    "mse_aug": ("alpha_reconstruction", 1.0),
}


def test_three_training_steps_are_those_of_the_official_code(official, converted):
    """With the recorded permutations; the third step wraps around the queue."""
    batches = [official.batch(step) for step in range(3)]
    draws = iter([(batch["shuffle_rows"], batch["shuffle_modalities"]) for batch in batches])
    converted.draw_shuffle = lambda batch_size: next(draws)
    steps = official.train(converted)
    assert set(steps[0][0].loss_terms) == {ours for ours, _ in TERMS.values()}
    official.check_steps(steps, TERMS)
    official.check_outputs("scores", [converted.config.probabilities(output.logits) for output, _ in steps])
    # 3 steps of 5 rows, 9 projections of a label and 6 labels, in a queue of 600.
    assert converted.queue.position == 3 * 5 * 9 * 6 - 600
    assert torch.equal(converted.queue.classes.float(), official.outputs["queue_label.final"].flatten())
    state = {"queue.features": "queue.final"}
    for ours, name in (("text", "text"), ("vision", "visual"), ("audio", "audio")):
        state[f"autoencoders.{ours}.positive"] = f"{name}_pos_protos.final"
        state[f"autoencoders.{ours}.negative"] = f"{name}_neg_protos.final"
    for ours, name in state.items():
        torch.testing.assert_close(converted.state_dict()[ours], official.outputs[name], atol=1e-3, rtol=0)
    with torch.no_grad():
        scores = converted.config.probabilities(converted.eval()(**official.batch(0)).logits)
    torch.testing.assert_close(scores, official.outputs["scores.eval"], atol=1e-3, rtol=0)


def test_the_distance_of_the_second_replacement_has_no_weight_but_can_have_one(official, converted):
    converted.config.beta_reconstruction_weight = 1.0
    output = converted.train()(**official.batch(0))
    recorded = official.expected["steps"][0]["mse_beta"]
    assert output.loss_terms["beta_reconstruction"].item() == pytest.approx(recorded, rel=1e-4)


def test_stacked_layers_start_xavier_uniform():
    model = CaratForEmotionClassification(TestCarat().config(hidden_size=64, initializer_range=0.02))
    for linear in (model.aggregation[0], model.autoencoders["text"].encoder[0]):
        limit = (6 / (linear.in_features + linear.out_features)) ** 0.5
        assert 0.8 * limit < linear.weight.abs().max() <= limit
    assert 0.015 < model.encoders["text"].projection.weight.std() < 0.025


def test_the_published_size():
    """7,359,736 parameters of the official code less 197,376 of poolers that it never uses."""
    sizes = {"text_feature_size": 300, "audio_feature_size": 74, "vision_feature_size": 35}
    lengths = {"max_text_length": 60, "max_audio_length": 500, "max_vision_length": 500}
    with torch.device("meta"):
        model = CaratForEmotionClassification(CaratConfig(**sizes, **lengths, id2label=dict(enumerate("abcdef"))))
    absent = sum(sizes.values())
    assert model.num_parameters() == 7_359_736 - 197_376 + absent


# Prototypes


def autoencoder(labels: int = 3, seed: int = 0) -> CaratAutoencoder:
    torch.manual_seed(seed)
    config = CaratConfig(id2label=dict(enumerate("abcdef"[:labels])), hidden_size=8, projection_size=4)
    coder = CaratAutoencoder(config)
    coder.positive.normal_(), coder.negative.normal_()
    return coder


@pytest.mark.parametrize("momentum", [0.99, 0.5, 0.0, 1.0])
def test_prototypes_move_as_in_a_loop_over_the_rows(momentum):
    coder, wanted = autoencoder(), autoencoder()
    projections = F.normalize(torch.randn(9, 3, 4), dim=-1)
    labels = (torch.rand(9, 3) < 0.4).float()
    labels[:, 2] = 0  # a label that no row has
    coder.remember(projections, labels, momentum)
    for row, label in itertools.product(range(9), range(3)):
        prototypes = wanted.positive if labels[row, label] else wanted.negative
        prototypes[label] = momentum * prototypes[label] + (1 - momentum) * projections[row, label]
    for name, value in wanted.named_buffers():
        torch.testing.assert_close(coder.get_buffer(name), value)


def test_the_more_similar_prototype_in_evaluation_and_both_in_training():
    coder, projected = autoencoder(), torch.randn(5, 3, 4)
    hard, soft = coder.eval().prototype(projected), coder.train().prototype(projected)
    for row, label in itertools.product(range(5), range(3)):
        unit = projected[row, label] / projected[row, label].norm()
        both = torch.stack([coder.positive[label], coder.negative[label]])
        similarities = both @ unit
        torch.testing.assert_close(hard[row, label], both[similarities.argmax()])
        torch.testing.assert_close(soft[row, label], similarities.softmax(0) @ both)


# Shuffling


def test_shuffled_features_come_with_the_label_of_their_utterance():
    case = TestCarat()
    model = case.model(case.config()).train()
    batch, count, num_labels, width = 4, 3, model.config.num_labels, model.config.hidden_size
    features, targets = torch.randn(batch, count, num_labels, width), (torch.rand(batch, num_labels) < 0.5).float()
    rows, slots = model.draw_shuffle(batch)
    assert torch.equal(rows.sort(dim=-1).values, torch.arange(batch).expand(num_labels, count, batch))
    assert torch.equal(slots.sort(dim=-1).values, torch.arange(count).expand(num_labels, batch, count))
    model.draw_shuffle = lambda batch_size: (rows, slots)
    losses = []
    for row, slot in itertools.product(range(batch), range(count)):
        sources = [int(rows[label, slot, row]) for label in range(num_labels)]
        parts = [features[source, slots[label, row, slot], label] for label, source in enumerate(sources)]
        wanted = torch.stack([targets[source, label] for label, source in enumerate(sources)])
        losses.append(F.binary_cross_entropy_with_logits(model.aggregation(torch.cat(parts)), wanted))
    torch.testing.assert_close(model._shuffled_loss(features, targets), torch.stack(losses).mean())


def test_every_batch_is_shuffled_anew():
    model = TestCarat().model(TestCarat().config())
    first, second = model.draw_shuffle(8), model.draw_shuffle(8)
    assert not any(torch.equal(*pair) for pair in zip(first, second, strict=True))


# Settings


def test_weights_of_zero_leave_terms_out():
    case = TestCarat()
    config = case.config(**case.still)
    terms = case.model(config).train()(**case.batch(config)).loss_terms
    assert {"contrastive", "shuffled_label", "beta_reconstruction"}.isdisjoint(terms) and "fused_label" in terms


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"contrastive_temperature": 0}, "contrastive_temperature"),
        ({"prototype_momentum": 1.5}, "prototype_momentum"),
        ({"queue_size": 0}, "queue_size"),
        ({"projection_size": 0}, "projection_size"),
    ],
)
def test_a_wrong_configuration_is_refused(settings, message):
    with pytest.raises(StrictDataclassError, match=message):
        CaratConfig(id2label={0: "a"}, **settings)
