# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Rows without their padding against padded ones: states, gradients, dropout on attention, and what stays padded."""

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from testing_utils import Utterances, tiny_config, tiny_model
from torch import nn
from transformers import AutoConfig, AutoModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from modeling_univa.models import packed_rows_univa
from modeling_univa.models.configuration_emotion import MODALITIES
from modeling_univa.models.packed_rows_univa import PACKED_ATTENTION, PackedRows, encode_rows, pack_rows


ENCODERS = ["bert", "electra", "roberta", "xlm-roberta", "camembert"]
# One token, all that the encoder takes, none, and some.
LENGTHS = (1, 30, 0, 7)


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    """Also the small rows of tests."""
    monkeypatch.setattr(packed_rows_univa, "LEAST_WORK", 0)


def never_packed(monkeypatch):
    monkeypatch.setattr(packed_rows_univa, "LEAST_WORK", math.inf)


def tiny_encoder(kind: str, **fields):
    sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 24, "max_position_embeddings": 32, "pad_token_id": 1, **fields}
    torch.manual_seed(0)
    return AutoModel.from_config(AutoConfig.for_model(kind, **sizes)).eval()


def tokens(lengths=LENGTHS, left=False) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    mask = mask.flip(1) if left else mask
    ids = torch.randint(2, 50, mask.shape, generator=generator)
    return {"input_ids": torch.where(mask.bool(), ids, 1), "attention_mask": mask}


def states_and_gradients(encoder, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    encoder.zero_grad()
    states = encode_rows(encoder, **inputs)[inputs["attention_mask"].bool()]
    states.square().sum().backward()
    found = {name: value.grad for name, value in encoder.named_parameters() if value.grad is not None}
    return states.detach(), {name: value.clone() for name, value in found.items()}


def attention(query, key, value, lengths, dropout=0.0):
    """Of packed rows, `(1, heads, N, d)` to `(1, N, heads, d)`."""
    ends = torch.tensor((0, *lengths)).cumsum(0).int()
    function = ALL_ATTENTION_FUNCTIONS[PACKED_ATTENTION]
    module = SimpleNamespace(is_causal=False)
    return function(module, query, key, value, None, dropout=dropout, scaling=0.3, cu_seq_lens_q=ends)[0]


def random_heads(length: int, width: int, number: int = 3, dtype=torch.float32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, 2, length, width, generator=generator, dtype=dtype) for _ in range(number)]


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("left", [False, True])
def test_an_encoder_gives_the_same_states_and_gradients(kind, left, monkeypatch):
    encoder, inputs = tiny_encoder(kind), tokens(left=left)
    states, gradients = states_and_gradients(encoder, inputs)
    assert encoder.config._attn_implementation == PACKED_ATTENTION
    never_packed(monkeypatch)
    expected, expected_gradients = states_and_gradients(encoder, inputs)
    torch.testing.assert_close(states, expected, atol=1e-5, rtol=1e-5)
    for name in gradients.keys() | expected_gradients.keys():
        # Of a position that padding alone has, the padded way has a gradient of zero, up to rounding.
        torch.testing.assert_close(gradients[name], expected_gradients[name], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_padding_token_inside_a_row_has_the_place_that_the_encoder_gives_it(kind):
    encoder, inputs = tiny_encoder(kind), tokens()
    inputs["input_ids"][1, 3] = 1
    with torch.no_grad():
        expected = encoder(**inputs).last_hidden_state
        found = encode_rows(encoder, **inputs)
    mask = inputs["attention_mask"].bool()
    torch.testing.assert_close(found[mask], expected[mask], atol=1e-5, rtol=1e-5)
    assert not found[~mask].any()


def test_rows_know_nothing_of_each_other():
    encoder, inputs = tiny_encoder("roberta"), tokens((7, 30, 5))
    with torch.no_grad():
        together = encode_rows(encoder, **inputs)
        alone = encode_rows(encoder, inputs["input_ids"][:1, :7], inputs["attention_mask"][:1, :7])
    torch.testing.assert_close(together[0, :7], alone[0], atol=1e-6, rtol=1e-5)


def test_packing_and_unpacking_are_inverse():
    mask = torch.tensor([[1, 1, 0], [0, 0, 0], [1, 0, 1]]).bool()
    rows, values = PackedRows.of(mask), torch.arange(18.0).view(3, 3, 2)
    assert rows.places.tolist() == [[0, 1, 0, 2]] and rows.ends.tolist() == [0, 2, 4]
    assert rows.attention["max_length_q"] == 2
    assert torch.equal(rows.unpack(rows.pack(values)), values * mask[..., None])


@pytest.mark.parametrize("route", ["roberta", "words"])
@pytest.mark.parametrize("sizes", [(3, 1, 4), (1,)])
def test_a_model_has_the_same_scores_losses_and_gradients(route, sizes, monkeypatch):
    """Some modalities are absent; and one batch is of one utterance."""
    still = {"projection_dropout": 0.0, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = tiny_config(route, **still, classifier_dropout=0.0)
    if config.text_config is not None:
        config.text_config.hidden_dropout_prob = config.text_config.attention_probs_dropout_prob = 0.0
    model = tiny_model(config).train()
    utterances = Utterances(config, sizes=sizes, absent=0.2 if len(sizes) > 1 else 0.0)
    va = torch.linspace(-1, 1, 2 * len(utterances.labels)).view(-1, 2)
    batch = {**utterances.inputs(), "labels": utterances.labels, **{f"{name}_va": va for name in MODALITIES}}
    found = []
    for pack in (True, False):
        if not pack:
            never_packed(monkeypatch)
        model.zero_grad()
        output = model(**batch)
        output.loss.backward()
        gradients = {name: value.grad for name, value in model.named_parameters()}
        found.append((output.logits.detach(), output.loss.detach(), copy.deepcopy(gradients)))
    assert config._attn_implementation == PACKED_ATTENTION
    torch.testing.assert_close(found[0][:2], found[1][:2], atol=1e-5, rtol=1e-5)
    for name, gradient in found[1][2].items():
        if gradient is not None:
            torch.testing.assert_close(found[0][2][name], gradient, atol=1e-5, rtol=1e-4)


def test_gradient_checkpointing_gives_the_same_gradients():
    """Also with dropout: layers are run again with the same masks."""
    encoder, inputs = tiny_encoder("roberta").train(), tokens()
    found = []
    for checkpoints in (False, True):
        if checkpoints:
            encoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        torch.manual_seed(0)
        found.append(states_and_gradients(encoder, inputs))
    torch.testing.assert_close(found[0], found[1])


def test_autocast_to_sixteen_bits():
    encoder, inputs = tiny_encoder("roberta").train(), tokens()
    expected, _ = states_and_gradients(encoder.eval(), inputs)
    with torch.autocast("cpu", torch.bfloat16):
        states, gradients = states_and_gradients(encoder, inputs)
    torch.testing.assert_close(states.float(), expected, atol=0.1, rtol=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        assert all(value.isfinite().all() for value in states_and_gradients(encoder.train(), inputs)[1].values())
    assert gradients


def test_gradients_are_the_same_under_an_autocast_that_the_forward_pass_was_not_in():
    encoder, inputs, found = tiny_encoder("roberta").train(), tokens(), []
    for enabled in (False, True):
        torch.manual_seed(0)
        loss = encode_rows(encoder, **inputs).square().sum()
        encoder.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss.backward()
        found.append(encoder.encoder.layer[0].attention.self.query.weight.grad.clone())
    torch.testing.assert_close(*found, atol=0.05, rtol=0.05)


def test_single_layers_may_be_compiled():
    """As `accelerate` compiles regions; with dropout, for which the graph takes SDPA."""
    encoder = tiny_encoder("roberta", num_hidden_layers=1).train()
    encoder.encoder.layer[0].compile(backend="aot_eager")
    states, gradients = states_and_gradients(encoder, tokens())
    assert states.isfinite().all()
    assert gradients["encoder.layer.0.attention.self.query.weight"].any()


# Dropout on the weights of attention


def weights_of(lengths, dropout: float) -> list[torch.Tensor]:
    """Weights `(2, L, L)` of each row, with dropout: what is attended to are the columns of the identity."""
    width = max(lengths)
    query, key = random_heads(sum(lengths), width, 2)
    values = torch.cat([torch.eye(width)[:length] for length in lengths])[None, None].expand(1, 2, -1, -1)
    output = attention(query, key, values, lengths, dropout)[0]
    return [
        part[..., :length].transpose(0, 1) for part, length in zip(output.split(list(lengths)), lengths, strict=True)
    ]


def test_what_is_not_dropped_is_scaled():
    for kept, weights in zip(weights_of((40, 3, 60), 0.3), weights_of((40, 3, 60), 0.0), strict=True):
        assert weights.sum(-1).allclose(torch.ones(()))
        torch.testing.assert_close(kept, torch.where(kept == 0, 0.0, weights / 0.7), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_the_share_that_is_dropped(p):
    """Over 72,000 weights, within five standard deviations; of the rows and the heads by themselves."""
    torch.manual_seed(0)
    dropped = weights_of((190,), p)[0] == 0
    deviation = (p * (1 - p)) ** 0.5
    assert abs(float(dropped.float().mean()) - p) < 5 * deviation / dropped.numel() ** 0.5
    assert ((dropped.float().mean(-1) - p).abs() < 5 * deviation / 190**0.5).all()
    assert abs(float((dropped[0] & dropped[1]).float().mean()) - p**2) < 0.01
    assert abs(float((dropped[:, 1:] & dropped[:, :-1]).float().mean()) - p**2) < 0.01


def test_the_mean_over_draws_is_attention_without_dropout():
    heads = random_heads(9, 4)
    torch.manual_seed(0)
    mean = torch.stack([attention(*heads, (9,), 0.2) for _ in range(3000)]).mean(0)
    torch.testing.assert_close(mean, attention(*heads, (9,)), atol=0.05, rtol=0)


def test_a_probability_that_rounds_to_one_still_keeps_some():
    torch.manual_seed(0)
    weights = weights_of((400,), 1 - 1e-7)[0]
    assert 0 < (weights > 0).sum() < 40


@pytest.mark.parametrize("block", [1, 1 << 18])
@pytest.mark.parametrize("together", [False, True])
def test_gradients_of_attention_with_dropout(block, together, monkeypatch):
    """By finite differences, with the same mask; all heads at a time and one by one, rows alike."""
    monkeypatch.setattr(packed_rows_univa, "_BLOCK", block)
    monkeypatch.setattr(packed_rows_univa, "_ROW_CALLS", 1 << 15 if together else 0)
    heads = [value.requires_grad_() for value in random_heads(8, 3, dtype=torch.float64)]

    def seeded(*heads):
        torch.manual_seed(0)
        return attention(*heads, (5, 3), 0.4)

    assert torch.autograd.gradcheck(seeded, heads)


# Rows together


@pytest.mark.parametrize("lengths", [(5, 3, 1), (4, 4), (6,)])
def test_rows_together_are_as_each_by_itself(lengths, monkeypatch):
    """Also those of one length, of which nothing is padded."""
    heads = [value.requires_grad_() for value in random_heads(sum(lengths), 3)]
    weights = torch.randn(sum(lengths), 2, 3)
    found = []
    for together in (True, False):
        monkeypatch.setattr(packed_rows_univa, "_pays_together", lambda *_, together=together: together)
        output = attention(*heads, lengths)
        found.append((output, *torch.autograd.grad((output * weights).sum(), heads)))
    assert found[0][0].shape == (1, sum(lengths), 2, 3)
    torch.testing.assert_close(found[0], found[1])


def test_what_is_not_there_is_not_attended_to_with_dropout_either():
    """Of rows together: the weights of the shorter sum to one."""
    assert packed_rows_univa._pays_together([40, 3, 60], 2)
    torch.manual_seed(0)
    means = torch.stack(
        [torch.stack([part.sum(-1).mean() for part in weights_of((40, 3, 60), 0.3)]) for _ in range(300)]
    )
    torch.testing.assert_close(means.mean(0), torch.ones(3), atol=0.02, rtol=0)


def test_rows_go_together_where_their_padding_costs_less_than_calls():
    pays = packed_rows_univa._pays_together
    assert pays([512], 12) and pays([512, 512], 12) and pays([30, 20, 25, 30], 8)
    assert not pays([512, 226], 12) and not pays([157, 30], 12)


def test_rows_of_one_length_are_not_copied():
    rows, values = PackedRows.of(torch.ones(2, 3, dtype=torch.bool)), torch.rand(2, 3, 4)
    packed = rows.pack(values)
    assert packed.shape == (1, 6, 4) and torch.equal(rows.unpack(packed), values)
    assert packed.data_ptr() == values.data_ptr() == rows.unpack(packed).data_ptr()


# Where rows stay padded


class EncodesRows(nn.Module):
    """`encode_rows` as a module, which is what can be traced."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return encode_rows(self.encoder, input_ids, attention_mask)


def test_rows_stay_padded_where_packing_is_of_no_use(monkeypatch):
    mask = torch.ones(2, 5, dtype=torch.bool)
    config = tiny_encoder("roberta").config
    assert pack_rows(config, mask) is not None
    assert pack_rows(config, torch.zeros_like(mask)) is None
    assert pack_rows(config, mask.to("meta")) is None
    for fields in ({"_attn_implementation": "eager"}, {"is_decoder": True}, {"chunk_size_feed_forward": 5}):
        other = copy.deepcopy(config)
        for name, value in fields.items():
            setattr(other, name, value)
        assert pack_rows(other, mask) is None
        assert other._attn_implementation == fields.get("_attn_implementation", PACKED_ATTENTION)
    monkeypatch.setattr(packed_rows_univa, "LEAST_WORK", 5 * config.hidden_size**2 + 1)
    assert pack_rows(config, mask) is None


def test_other_encoders_are_given_padded_rows():
    encoder, inputs = tiny_encoder("distilbert", dim=16, n_heads=2, hidden_dim=24), tokens((4, 6))
    with torch.no_grad():
        assert torch.equal(encode_rows(encoder, **inputs), encoder(**inputs).last_hidden_state)
    assert encoder.config._attn_implementation == "sdpa"


def test_a_graph_is_traced_of_padded_rows():
    encoder, inputs = tiny_encoder("roberta"), tokens((4, 6))
    with torch.no_grad():
        encode_rows(encoder, **inputs)
        traced = torch.jit.trace(EncodesRows(encoder), tuple(inputs.values()), check_trace=False)
        others = tokens((9, 2, 7))
        expected = encode_rows(encoder, **others)
    mask = others["attention_mask"].bool()
    torch.testing.assert_close(traced(*others.values())[mask], expected[mask], atol=1e-5, rtol=1e-5)


def test_attention_of_the_configurations_inside_stays_as_it_is():
    model = tiny_model(tiny_config("roberta"))
    model.set_attn_implementation({"": "sdpa", "text_config": "eager"})
    model(**Utterances(model.config).inputs())
    assert model.config._attn_implementation == PACKED_ATTENTION
    assert model.config.text_config._attn_implementation == "eager"


def test_a_saved_model_says_nothing_of_it(tmp_path):
    model = tiny_model(tiny_config("roberta"))
    model(**Utterances(model.config).inputs())
    model.save_pretrained(tmp_path)
    assert PACKED_ATTENTION not in (tmp_path / "config.json").read_text()
    loaded = type(model).from_pretrained(tmp_path)
    assert loaded.config._attn_implementation == loaded.text_encoder.config._attn_implementation == "sdpa"
