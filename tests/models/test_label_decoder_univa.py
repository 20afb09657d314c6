# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The decoder of labels against torch's own decoder layer."""

import pytest
import torch
from torch import nn
from transformers import BertConfig

from modeling_univa.models.label_decoder_univa import LabelDecoder, LabelDecoderLayer


SIZES = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12, "layer_norm_eps": 1e-5}


def decoder(norm: str, **settings) -> LabelDecoder:
    config = BertConfig(**SIZES, num_labels=4, classifier_dropout=0.0, **settings)
    config._attn_implementation = "sdpa"  # as a model sets it
    torch.manual_seed(0)
    return LabelDecoder(config, 2, norm).eval()


def memory() -> tuple[torch.Tensor, torch.Tensor]:
    mask = torch.arange(5) < torch.tensor([[3], [5], [1]])
    return torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0)), mask


def torch_attention(attention: nn.Module) -> nn.MultiheadAttention:
    found, own = nn.MultiheadAttention(8, 2, batch_first=True), attention.self
    with torch.no_grad():
        found.in_proj_weight.copy_(torch.cat([own.query.weight, own.key.weight, own.value.weight]))
        found.in_proj_bias.copy_(torch.cat([own.query.bias, own.key.bias, own.value.bias]))
    found.out_proj.load_state_dict(attention.output.dense.state_dict())
    return found


def torch_layer(layer: LabelDecoderLayer) -> nn.TransformerDecoderLayer:
    """torch's post-norm layer with the weights of one of ours."""
    found = nn.TransformerDecoderLayer(8, 2, 12, 0.0, "gelu", 1e-5, batch_first=True).eval()
    found.self_attn, found.multihead_attn = map(torch_attention, (layer.self_attention, layer.cross_attention))
    pairs = {
        found.norm1: layer.self_attention.output.LayerNorm, found.norm2: layer.cross_attention.output.LayerNorm,
        found.linear1: layer.intermediate.dense, found.linear2: layer.output.dense,
        found.norm3: layer.output.LayerNorm,
    }  # fmt: skip
    for theirs, ours in pairs.items():
        theirs.load_state_dict(ours.state_dict())
    return found


@pytest.mark.parametrize("norm", ["input", "output"])
def test_the_layers_are_those_of_torch(norm):
    ours, (states, mask) = decoder(norm), memory()
    hidden = ours.queries.weight.expand(3, -1, -1)
    hidden = ours.norm(hidden) if norm == "input" else hidden
    for layer in ours.layers:
        hidden = torch_layer(layer)(hidden, states, memory_key_padding_mask=~mask)
    hidden = ours.norm(hidden) if norm == "output" else hidden
    expected = hidden @ ours.score.weight[0] + ours.score.bias
    torch.testing.assert_close(ours(states, mask), expected, atol=1e-5, rtol=1e-5)


def test_padding_is_not_read():
    ours, (states, mask) = decoder("input"), memory()
    changed = torch.where(mask[..., None], states, 9.0)
    torch.testing.assert_close(ours(changed, mask), ours(states, mask))


def test_labels_read_each_other():
    """In both directions: a score depends on the queries of the labels before and after it."""
    ours, (states, mask) = decoder("output"), memory()
    expected = ours(states, mask)
    for label in (0, 3):
        changed = decoder("output")
        with torch.no_grad():
            changed.queries.weight[label] *= -1
        assert ((changed(states, mask) - expected).abs() > 1e-5).all()


def test_dropout_is_on_the_scores():
    ours, (states, mask) = decoder("output", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0), memory()
    ours.score_dropout.p = 0.5
    scores, expected = ours.train()(states, mask), ours.eval()(states, mask)
    dropped = scores == 0
    assert dropped.any() and not dropped.all()
    torch.testing.assert_close(scores[~dropped], 2 * expected[~dropped])
