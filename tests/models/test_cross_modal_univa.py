# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The cross-modal transformer against a plain loop over its equations."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from modeling_univa.models.cross_modal_univa import (
    CrossModalSettings,
    CrossModalTransformer,
    sinusoidal_positions,
    steps_in_sight,
)
from modeling_univa.models.modeling_emotion import Frames


SETTINGS = CrossModalSettings(width=6, num_layers=2, num_heads=3)


def transformer(settings=SETTINGS, seed=0):
    """Random weights, none of them zero."""
    torch.manual_seed(seed)
    model = CrossModalTransformer(settings).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def frames(lengths, padded=None, width=6, seed=0):
    """Random frames of utterances of these lengths, what is beyond being neither zero nor masked as present."""
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(len(lengths), max(lengths), width, generator=generator)
    states = F.pad(states, (0, 0, 0, (padded or max(lengths)) - max(lengths)), value=3.0)
    mask = torch.arange(states.shape[1]) < torch.tensor(lengths)[:, None]
    return Frames(states, mask)


def naive(model, target, source=None):
    """States of one utterance, frame by frame and head by head; of one whose first channel is 0 without position."""
    settings = model.settings

    def embedded(states):
        rows = []
        for step, state in enumerate(states, start=1):
            position = sinusoidal_positions(torch.tensor([step]), settings.width)[0]
            rows.append(math.sqrt(settings.width) * state + position * (state[0] != 0))
        return torch.stack(rows)

    def attended(attention, query, read):
        size = settings.width // settings.num_heads
        q, k, v = attention.query(query), attention.key(read), attention.value(read)
        ahead = abs(len(read) - len(query))
        rows = []
        for step in range(len(query)):
            seen = min(len(read), step + ahead + 1) if settings.causal else len(read)
            parts = []
            for head in range(settings.num_heads):
                own = slice(head * size, (head + 1) * size)
                weights = (k[:seen, own] @ (q[step, own] / math.sqrt(size))).softmax(0)
                parts.append(weights @ v[:seen, own])
            rows.append(torch.cat(parts))
        return attention.output(torch.stack(rows))

    states = embedded(target)
    read = None if source is None else embedded(source)
    for layer in model.layers:
        query = layer.attention_norm(states)
        states = states + attended(layer.attention, query, query if read is None else layer.attention_norm(read))
        states = states + layer.output(layer.activation(layer.intermediate(layer.output_norm(states))))
    return model.norm(states)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("lengths", [(4, 7), (7, 4), (5, 5), (1, 3), (3, 1)])
def test_it_is_the_equations(lengths, causal):
    model = transformer(replace(SETTINGS, causal=causal, mask_padding=False))
    target, source = (frames([length], seed=length) for length in lengths)
    found = model(target, source)
    torch.testing.assert_close(found[0], naive(model, target.states[0], source.states[0]))
    torch.testing.assert_close(model(target)[0], naive(model, target.states[0]))


def test_one_norm_is_of_target_and_source():
    model = transformer()
    target, one, other = frames([3]), frames([4], seed=1), frames([4], seed=2)
    assert not torch.allclose(model(target, one), model(target, other))
    with torch.no_grad():
        for layer in model.layers:
            layer.attention_norm.weight.zero_()
    torch.testing.assert_close(model(target, one), model(target, other))


def test_a_causal_target_sees_the_source_up_to_the_difference_of_lengths():
    longer = steps_in_sight(torch.ones(1, 2).bool(), torch.ones(1, 4).bool(), causal=True)
    assert longer[0].tolist() == [[True, True, True, False], [True, True, True, True]]
    shorter = steps_in_sight(torch.ones(1, 4).bool(), torch.ones(1, 2).bool(), causal=True)
    assert shorter.all()
    own = steps_in_sight(torch.ones(1, 3).bool(), torch.ones(1, 3).bool(), causal=True)
    assert torch.equal(own[0], torch.ones(3, 3).tril().bool())


def test_lengths_are_those_of_the_utterance_not_of_its_padding():
    """The official code takes the padded ones: what a step sees then depends on the batch."""
    target, source = frames([2, 5], padded=6), frames([4, 1], padded=9)
    found = steps_in_sight(target.mask, source.mask, causal=True)
    for row, (length, read) in enumerate([(2, 4), (5, 1)]):
        alone = steps_in_sight(torch.ones(1, length).bool(), torch.ones(1, read).bool(), causal=True)
        assert torch.equal(found[row, :length, :read], alone[0])
        assert not found[row, :, read:].any()


@pytest.mark.parametrize("causal", [True, False])
def test_no_step_is_without_sight(causal):
    """Softmax over nothing is NaN; also steps of padding, and a target that begins with it."""
    target = torch.tensor([[True, False, False], [False, True, True], [False, False, False]])
    source = torch.tensor([[True, False, False, False], [True, True, False, False], [True, True, True, True]])
    assert steps_in_sight(target, source, causal).any(dim=-1).all()


@pytest.mark.parametrize("causal", [True, False])
def test_a_batch_is_its_utterances(causal):
    model = transformer(replace(SETTINGS, causal=causal))
    lengths = [(2, 4), (5, 1), (3, 3)]
    target = frames([length for length, _ in lengths], padded=7)
    source = frames([length for _, length in lengths], padded=6, seed=1)
    together = {"cross": model(target, source), "self": model(target)}
    for row, (length, read) in enumerate(lengths):
        alone = [Frames(found.states[row : row + 1, :size], torch.ones(1, size).bool())
                 for found, size in ((target, length), (source, read))]  # fmt: skip
        torch.testing.assert_close(together["cross"][row, :length], model(*alone)[0])
        torch.testing.assert_close(together["self"][row, :length], model(alone[0])[0])


def test_without_masks_padding_is_data():
    model = transformer(replace(SETTINGS, mask_padding=False))
    target, padded = frames([2]), frames([2], padded=4, seed=1)
    found = model(target, padded)
    torch.testing.assert_close(found, model(target, Frames(padded.states, torch.ones(1, 4).bool())))
    assert not torch.allclose(found, model(target, frames([2], seed=1)))


def test_a_step_whose_first_channel_is_zero_has_no_position():
    states = torch.zeros(1, 3, 6)
    states[0, 1, 0] = 2.0
    states[0, 2, 5] = 2.0
    found = Frames(states, torch.tensor([[True, True, False]]))
    positions = sinusoidal_positions(torch.arange(1, 4), 6)
    released = transformer(replace(SETTINGS, mask_padding=False))._embedded(found)[0] - math.sqrt(6) * states[0]
    torch.testing.assert_close(released, positions * torch.tensor([[0.0], [1.0], [0.0]]))
    masked = transformer()._embedded(found)[0] - math.sqrt(6) * states[0]
    torch.testing.assert_close(masked, positions * torch.tensor([[1.0], [1.0], [0.0]]))


def test_positions():
    found = sinusoidal_positions(torch.tensor([1, 5]), 8)
    for row, step in zip(found, (1, 5), strict=True):
        rates = [10_000 ** (-index / 3) for index in range(4)]
        expected = [math.sin(step * rate) for rate in rates] + [math.cos(step * rate) for rate in rates]
        assert row.tolist() == pytest.approx(expected, abs=1e-6)
    odd = sinusoidal_positions(torch.tensor([1, 5]), 7)
    assert odd.shape == (2, 7) and not odd[:, -1].any() and torch.isfinite(odd).all()
    assert torch.isfinite(sinusoidal_positions(torch.tensor([1]), 2)).all()


def test_initial_weights_are_those_of_one_packed_matrix():
    torch.manual_seed(0)
    model = CrossModalTransformer(replace(SETTINGS, width=96, num_layers=1))
    attention, layer = model.layers[0].attention, model.layers[0]
    for linear, bound in (
        (attention.query, math.sqrt(6 / (4 * 96))), (attention.value, math.sqrt(6 / (4 * 96))),
        (attention.output, math.sqrt(6 / (2 * 96))), (layer.intermediate, math.sqrt(6 / (5 * 96))),
        (layer.output, math.sqrt(6 / (5 * 96))),
    ):  # fmt: skip
        assert linear.weight.abs().max() <= bound
        assert linear.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        assert not linear.bias.any()


def test_each_dropout_is_drawn_in_training_alone():
    inputs = frames([3]), frames([4], seed=1)
    for name in ("embed_dropout", "attention_dropout", "activation_dropout", "residual_dropout"):
        model = transformer(replace(SETTINGS, **{name: 0.5}))
        torch.testing.assert_close(model(*inputs), model(*inputs))
        model.train()
        assert not torch.allclose(model(*inputs), model(*inputs)), name


def test_heads_divide_the_width():
    with pytest.raises(ValueError, match=r"heads \(4\) must divide the width \(6\)"):
        replace(SETTINGS, num_heads=4)
