# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The frame encoder against torch's own layers, and the soft alignment against loops over rows and paths."""

import itertools

import pytest
import torch
from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError
from torch import nn

from modeling_univa.models.frame_encoder_univa import FrameEncoder, FrameEncoderConfig, SoftAlignment, alignment_loss
from modeling_univa.models.modeling_emotion import Frames


@strict
class Config(FrameEncoderConfig):
    """That of some system."""

    model_type = "frame-encoder-of-a-test"


def config(**overrides) -> Config:
    settings = {
        "id2label": {0: "a", 1: "b"}, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12,
        "audio_num_hidden_layers": 2, "audio_feature_size": 5, "max_audio_length": 9,
    }  # fmt: skip
    found = Config(**{**settings, **overrides})
    found._attn_implementation = "sdpa"  # as a model sets it
    return found


def frames(lengths=(4, 1, 6), size=5, longest=6) -> Frames:
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    return Frames(torch.randn(len(lengths), longest, size, generator=generator), mask)


def torch_layer(layer: nn.Module, size: int = 8, inner: int = 12) -> nn.TransformerEncoderLayer:
    """torch's post-norm layer with the weights of a BERT layer."""
    found = nn.TransformerEncoderLayer(size, 2, inner, 0.0, "gelu", 1e-12, batch_first=True).eval()
    own = layer.attention.self
    pairs = {
        found.self_attn.out_proj: layer.attention.output.dense, found.norm1: layer.attention.output.LayerNorm,
        found.linear1: layer.intermediate.dense, found.linear2: layer.output.dense,
        found.norm2: layer.output.LayerNorm,
    }  # fmt: skip
    for ours, theirs in pairs.items():
        ours.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        found.self_attn.in_proj_weight.copy_(torch.cat([own.query.weight, own.key.weight, own.value.weight]))
        found.self_attn.in_proj_bias.copy_(torch.cat([own.query.bias, own.key.bias, own.value.bias]))
    return found


@pytest.fixture
def encoder() -> FrameEncoder:
    torch.manual_seed(0)
    return FrameEncoder(config(), "audio").eval()


def test_a_frame_encoder_is_norm_projection_positions_norm_and_layers(encoder):
    found = frames()
    states = encoder.projection(encoder.input_norm(found.states)) + encoder.position_embeddings.weight[:6]
    hidden = encoder.norm(states)
    for layer in encoder.encoder.layers:
        hidden = torch_layer(layer)(hidden, src_key_padding_mask=~found.mask)
    expected = hidden[found.mask]
    torch.testing.assert_close(encoder(found)[found.mask], expected, atol=1e-5, rtol=1e-5)


def test_a_frame_encoder_reads_no_padding(encoder):
    found = frames()
    longer = Frames(nn.functional.pad(found.states, (0, 0, 0, 3), value=9.0), nn.functional.pad(found.mask, (0, 3)))
    torch.testing.assert_close(encoder(longer)[longer.mask], encoder(found)[found.mask])


def test_dropout_is_after_the_norm(encoder):
    """So that in training a share of the layers' input is zero."""
    seen = []
    encoder.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    encoder.train()(frames())
    assert 0.1 < (seen[0] == 0).float().mean() < 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_attention_heads": 3}, "multiple of `num_attention_heads`"),
        ({"hidden_dropout_prob": 1.5}, "hidden_dropout_prob"),
        ({"hidden_act": "none such"}, "hidden_act"),
        ({"audio_num_hidden_layers": -1}, "audio_num_hidden_layers"),
        ({"mask_padding": False, "fixed_length": 10}, "fixed_length"),
    ],
)
def test_a_wrong_configuration_is_refused(settings, message):
    with pytest.raises(StrictDataclassError, match=message):
        config(**settings)


# The soft alignment


@pytest.fixture
def alignment() -> SoftAlignment:
    torch.manual_seed(0)
    return SoftAlignment(5, max_length=4)


def test_an_alignment_sums_the_frames_by_their_probabilities(alignment):
    found, words = frames(), torch.tensor([[1, 1, 0], [1, 1, 1], [1, 0, 0]]).bool()
    aligned, log_probs = alignment(found, words)
    assert aligned.states.shape == (3, 3, 5) and aligned.mask is words
    for row in range(3):
        length, num_words = int(found.mask[row].sum()), int(words[row].sum())
        states = found.states[row, :length]
        probabilities = alignment.lstm(states)[0][:, : 1 + num_words].softmax(dim=-1)
        torch.testing.assert_close(log_probs[row, :length, : 1 + num_words].exp(), probabilities)
        for word in range(num_words):
            mixture = sum(probabilities[frame, 1 + word] * states[frame] for frame in range(length))
            torch.testing.assert_close(aligned.states[row, word], mixture)


def paths(log_probs: torch.Tensor, num_words: int) -> torch.Tensor:
    """Log-probability that the frames `(l, 1 + T)` say the words in order, from all the ways to do so."""
    total = []
    for path in itertools.product(range(1 + num_words), repeat=len(log_probs)):
        said = [word for word, _ in itertools.groupby(path) if word]
        if said == list(range(1, num_words + 1)):
            total.append(sum(log_probs[frame, word] for frame, word in enumerate(path)))
    return torch.stack(total).logsumexp(0)


def test_the_alignment_loss_is_that_of_all_paths(alignment):
    found, words = frames((4, 3, 5), longest=5), torch.tensor([[1, 1, 0], [1, 1, 1], [1, 0, 0]]).bool()
    log_probs = alignment(found, words)[1]
    lengths = found.mask.sum(1).tolist(), words.sum(1).tolist()
    rows = zip(log_probs, *lengths, strict=True)
    expected = torch.stack([-paths(row[:length], count) / count for row, length, count in rows]).mean()
    loss = alignment_loss(log_probs, found.mask, words)
    torch.testing.assert_close(loss, expected)
    wanted = torch.autograd.grad(expected, log_probs, retain_graph=True)[0]
    # torch's own gradient is that with respect to what the log-softmax was taken of.
    weights = tuple(alignment.parameters())
    for ours, theirs in zip(
        torch.autograd.grad(loss, weights, retain_graph=True),
        torch.autograd.grad(log_probs, weights, wanted),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)


def test_an_alignment_learns_to_go_through_the_words(alignment):
    found, words = frames((6, 5), longest=6), torch.tensor([[1, 1, 1], [1, 1, 0]]).bool()
    optimizer = torch.optim.Adam(alignment.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = alignment_loss(alignment(found, words)[1], found.mask, words)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_fewer_frames_than_words_give_no_loss(alignment):
    found, words = frames((1,), longest=1), torch.ones(1, 3).bool()
    loss = alignment_loss(alignment(found, words)[1], found.mask, words)
    loss.backward()
    assert loss == 0 and all(parameter.grad.isfinite().all() for parameter in alignment.parameters())
