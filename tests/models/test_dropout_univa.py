# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Dropout by bytes: shares, scale, gradients, seeds, where it is PyTorch's own, and that models have it."""

import copy
import pickle

import pytest
import torch
from testing_utils import tiny_config, tiny_model, write_text_encoder
from torch import nn
from torch.utils.checkpoint import checkpoint

from modeling_univa.models import dropout_univa
from modeling_univa.models.dropout_univa import ByteDropout, draw_kept, use_byte_dropout
from modeling_univa.models.modeling_univa import UnivaForEmotionClassification


SIZE = 200_000


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_share_that_is_dropped_and_the_scale_of_the_rest(p):
    """Within five standard deviations; also of neighbours, whose bits are of one integer."""
    torch.manual_seed(0)
    dropped = ByteDropout(p)(torch.full((SIZE,), 3.0)) == 0
    deviation = (p * (1 - p) / SIZE) ** 0.5
    assert abs(float(dropped.float().mean()) - p) < 5 * deviation
    for distance in (1, 2, 3, 4):
        both = dropped[distance:] & dropped[:-distance]
        assert abs(float(both.float().mean()) - p**2) < 10 * deviation
    kept = ByteDropout(p)(torch.full((SIZE,), 3.0)).unique()
    torch.testing.assert_close(kept, torch.tensor([0.0, 3 / (1 - p)]), atol=0, rtol=1e-3)


def test_the_scale_is_that_of_the_rounded_probability():
    """So that the mean stays, to the last digit."""
    kept = torch.empty(5, dtype=torch.uint8)
    for p, dropped in ((0.1, 6554), (1e-9, 0), (1 - 1e-9, 65535)):
        assert draw_kept(kept, p) == 65536 / (65536 - dropped)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_any_number_of_elements_is_drawn(size):
    torch.manual_seed(0)
    kept = torch.full((1000, size), 7, dtype=torch.uint8)
    for row in kept:
        draw_kept(row, 0.5)
    assert kept.max() == 1
    assert ((kept.float().mean(0) - 0.5).abs() < 5 * 0.5 / 1000**0.5).all()


def test_gradients_are_of_what_was_kept_and_a_byte_is_remembered():
    states = torch.randn(SIZE, requires_grad=True)
    remembered: list[torch.Tensor] = []

    def remember(value):
        remembered.append(value)
        return value

    with torch.autograd.graph.saved_tensors_hooks(remember, lambda value: value):
        dropped = ByteDropout(0.3)(states)
    dropped.sum().backward()
    assert torch.equal(states.grad == 0, dropped == 0)
    torch.testing.assert_close(states.grad * states, dropped)
    assert sum(value.numel() * value.element_size() for value in remembered) == SIZE


def test_a_seed_decides():
    module, states = ByteDropout(0.2), torch.ones(SIZE)
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(module(states))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_the_type_stays_also_under_autocast(dtype):
    states = torch.ones(SIZE, dtype=dtype, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        dropped = ByteDropout(0.5)(states)
    dropped.sum().backward()
    assert dropped.dtype == states.grad.dtype == dtype
    assert dropped.unique().tolist() == [0, 2]


def pytorchs_own(module: nn.Dropout, states: torch.Tensor) -> bool:
    """Whether a module draws as `nn.Dropout` does."""
    own = nn.Dropout(module.p, module.inplace).train(module.training)
    found = []
    for each in (module, own):
        torch.manual_seed(0)
        found.append(each(states.clone()))
    return torch.equal(*found)


def test_where_it_does_not_pay_it_is_pytorchs_own():
    states = torch.ones(SIZE)
    assert not pytorchs_own(ByteDropout(0.3), states)
    assert pytorchs_own(ByteDropout(0.3), states[: dropout_univa._LEAST - 1])
    assert pytorchs_own(ByteDropout(0.3, inplace=True), states)
    assert pytorchs_own(ByteDropout(0.3).eval(), states)
    assert pytorchs_own(ByteDropout(0.0), states) and not ByteDropout(1.0)(states).any()
    assert ByteDropout(0.3)(states.to("meta")).shape == states.shape


def test_the_default_device_may_be_another_one():
    states = torch.ones(SIZE)
    with torch.device("meta"):
        dropped = ByteDropout(0.5)(states)
    assert dropped.device.type == "cpu" and 0.45 < float((dropped != 0).float().mean()) < 0.55


def test_a_graph_has_the_dropout_of_pytorch():
    module, states = ByteDropout(0.3), torch.ones(SIZE)
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    assert 0.65 < float((compiled(states) != 0).float().mean()) < 0.75
    assert "aten::dropout" in str(torch.jit.trace(module, states, check_trace=False).inlined_graph)


def test_modules_keep_names_hooks_and_whether_they_train():
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.4), nn.Sequential(nn.Dropout(0.2)), nn.AlphaDropout(0.1))
    module[2].eval()
    seen = []
    module[1].register_forward_hook(lambda *_: seen.append(True))
    before = list(module.state_dict())
    use_byte_dropout(module)
    assert [type(part) for part in (module[1], module[2][0], module[3])] == [ByteDropout, ByteDropout, nn.AlphaDropout]
    assert (module[1].p, module[2][0].p, module[2][0].training) == (0.4, 0.2, False)
    module(torch.ones(1, 2))
    assert seen and list(module.state_dict()) == before
    for again in (copy.deepcopy(module), pickle.loads(pickle.dumps(nn.Sequential(module[0], ByteDropout(0.4))))):
        assert type(again[1]) is ByteDropout and again[1].p == 0.4


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_a_checkpoint_drops_the_same_again(use_reentrant):
    module, states = ByteDropout(0.3), torch.randn(SIZE, requires_grad=True)
    dropped = checkpoint(module, states, use_reentrant=use_reentrant)
    dropped.sum().backward()
    assert torch.equal(states.grad == 0, dropped == 0)


def test_every_dropout_of_a_model_is_of_this_kind(tmp_path):
    """Of transformers' layers too, of one that is loaded, and of a pretrained text encoder."""
    model = tiny_model(tiny_config("roberta"))
    model.save_pretrained(tmp_path / "model")
    pretrained = str(write_text_encoder(tmp_path / "encoder"))
    for network in (
        model,
        UnivaForEmotionClassification.from_pretrained(tmp_path / "model"),
        UnivaForEmotionClassification.from_text_encoder(tiny_config("roberta"), pretrained),
    ):
        kinds = {type(part) for part in network.modules() if isinstance(part, nn.Dropout)}
        assert kinds == {ByteDropout}
