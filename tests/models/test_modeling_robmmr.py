# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""RobMMR: the official code's numbers, what every system does, and what is its own."""

import itertools
import re
from collections import defaultdict
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from common import CommonSystemTests
from huggingface_hub.errors import StrictDataclassError
from official_fixtures import OfficialFixture

from modeling_univa.convert.robmmr import ROBMMR
from modeling_univa.models.modeling_robmmr import (
    RobmmrConfig,
    RobmmrForEmotionClassification,
    asymmetric_loss,
    soft_top_k,
)
from modeling_univa.training.adapters import add_adapter
from modeling_univa.training.arguments import ModelArguments


class TestRobmmr(CommonSystemTests):
    system = RobmmrForEmotionClassification
    tiny = {
        "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12, "text_num_hidden_layers": 1,
        "audio_num_hidden_layers": 1, "vision_num_hidden_layers": 1, "tri_modal_num_hidden_layers": 1,
    }  # fmt: skip
    still = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"), 0.0)

    def trained(self, **settings: Any) -> tuple[RobmmrForEmotionClassification, dict[str, torch.Tensor]]:
        """A model in training without dropout, whose perturbation counts, and a batch."""
        config = self.config("words", **{**self.still, "perturbation_weight": 1e4, **settings})
        return self.model(config).train(), self.batch(config)

    def test_the_gradient_is_that_of_three_backward_passes(self):
        """As the official step has it: the parameters are moved, a second loss goes backward, and they go back."""
        model, batch = self.trained()
        model(**batch).loss.backward()
        found = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
        model.zero_grad()
        model.config.perturbation_weight = 0.0
        output = model(**batch)
        output.loss.backward()
        before = [parameter.detach().clone() for parameter in model.tri_modal_encoder.parameters()]
        tensors = defaultdict(list)
        for name, parameter in model.tri_modal_encoder.named_parameters():
            # Query, key and value are one tensor of the official code.
            tensors[re.sub(r"\.(query|key|value)\.", ".", name)].append(parameter)
        with torch.no_grad():
            for parts in tensors.values():
                norm = torch.cat([part.grad.flatten() for part in parts]).norm()
                for part in parts:
                    part += part.grad / norm
        scores = output.scores.detach().softmax(-1)
        perturbed = model(**batch).logits.sigmoid().softmax(-1)
        (1e4 * (scores * (scores / perturbed).log()).mean()).backward()
        with torch.no_grad():
            for parameter, value in zip(model.tri_modal_encoder.parameters(), before, strict=True):
                parameter.copy_(value)
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(found[name], parameter.grad, atol=2e-3, rtol=1e-3, msg=name)

    def test_nothing_but_the_gradient_is_left_of_a_step(self):
        """Parameters stay as they are, bit by bit, and gradients of earlier batches too, as accumulation needs it."""
        model, batch = self.trained()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        loss = model(**batch).loss
        assert all(bool((parameter.grad == 1).all()) for parameter in model.parameters())
        loss.backward()
        for name, value in model.state_dict().items():
            torch.testing.assert_close(value, before[name], atol=0, rtol=0)

    def test_accumulated_gradients_are_the_sum(self):
        model, _ = self.trained()
        batches = [self.batch(model.config, rows) for rows in (range(0, 8), range(8, 16))]
        alone = []
        for batch in batches:
            model.zero_grad()
            model(**batch).loss.backward()
            alone.append([parameter.grad.clone() for parameter in model.parameters()])
        model.zero_grad()
        for batch in batches:
            model(**batch).loss.backward()
        for parameter, *parts in zip(model.parameters(), *alone, strict=True):
            torch.testing.assert_close(parameter.grad, sum(parts), atol=1e-3, rtol=1e-4)

    def gradients(self, model: Any, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        model.zero_grad()
        model(**batch).loss.backward()
        return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

    def test_activation_checkpointing_changes_nothing(self, monkeypatch):
        """Layers that are recomputed in the backward pass would be so without the perturbation."""
        model, batch = self.trained(tri_modal_num_hidden_layers=2)
        expected = self.gradients(model, batch)
        model.activation_checkpointing_enable()
        found = self.gradients(model, batch)
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, atol=1e-4, rtol=1e-4, msg=name)
        layer = model.tri_modal_encoder.encoder.layers[0]
        assert layer.gradient_checkpointing
        monkeypatch.setattr("modeling_univa.models.modeling_robmmr._without_checkpointing", nullcontext)
        faulty = self.gradients(model, batch)
        assert any(not torch.allclose(faulty[name], expected[name], rtol=1e-2) for name in expected)

    @pytest.mark.slow
    def test_it_learns_rows_by_heart(self):
        assert self.loss_by_heart(steps=120) < 0.1

    def test_without_gradients_the_loss_is_the_same(self):
        model, batch = self.trained()
        expected = model(**batch)
        with torch.no_grad():
            found = model(**batch)
        assert not found.loss.requires_grad and not found.logits.requires_grad
        for name, term in expected.loss_terms.items():
            torch.testing.assert_close(found.loss_terms[name], term)

    def test_frozen_parameters_are_not_perturbed(self):
        model, batch = self.trained()
        assert not torch.allclose(model(**batch).perturbed_logits, model(**batch).logits, atol=1e-3)
        model.tri_modal_encoder.requires_grad_(False)
        output = model(**batch)
        torch.testing.assert_close(output.perturbed_logits, output.logits)
        torch.testing.assert_close(output.loss_terms["perturbation"], torch.tensor(0.0), atol=1e-2, rtol=0)

    def test_a_small_perturbation_raises_the_loss(self):
        model, batch = self.trained(perturbation_size=0.01, masked_weight=0.0)
        output = model(**batch)
        raised = asymmetric_loss(output.perturbed_logits, batch["labels"])
        assert raised > output.loss_terms["asl"]

    def test_both_adversaries_can_be_left_out(self):
        model, batch = self.trained(perturbation_weight=0.0, masked_weight=0.0)
        assert not hasattr(model, "scorers")
        assert set(model(**batch).loss_terms) == {"asl"}

    def test_an_adapter_perturbs_what_it_trains(self, tmp_path):
        pytest.importorskip("peft")
        config = self.config(**self.still)
        model = add_adapter(self.model(config), ModelArguments(lora_rank=2), tmp_path, write_base=False).train()
        output = model(**self.batch(config))
        assert not torch.allclose(output.perturbed_logits, output.logits, atol=1e-3)
        output.loss.backward()
        assert all(p.grad.any() for n, p in model.named_parameters() if "tri_modal" in n and p.requires_grad)

    def test_masked_frames_are_those_of_the_lowest_scores(self):
        model, batch = self.trained()
        seen = {}
        for name, scorer in model.scorers.items():
            scorer.register_forward_hook(lambda module, inputs, found, name=name: seen.update({name: found}))
        hidden = model(**batch).temporal_masks
        for name in ("audio", "vision"):
            mask = batch[f"{name}_attention_mask"].bool()
            assert not hidden[name][~mask & mask.any(dim=1, keepdim=True)].any()
            for row in range(len(mask)):
                scores = seen[name][row, mask[row], 0]
                found = hidden[name][row, mask[row]]
                assert found[scores.argsort()].diff().le(1e-6).all()

    def test_the_scorers_work_against_the_loss(self):
        """A step along the gradient of the scorers raises the loss of masked frames, and lowers it in others."""
        model, batch = self.trained(perturbation_weight=0.0, reversal_factor=1.0)
        start = model(**batch).loss_terms["asl_masked"]
        start.backward()
        with torch.no_grad():
            for parameter in model.scorers.parameters():
                parameter -= 0.05 * parameter.grad / parameter.grad.norm().clamp(min=1e-12)
            assert model(**batch).loss_terms["asl_masked"] > start

    def test_the_kl_divergence_of_univa(self):
        model, batch = self.trained(objective="kl", decision="softmax")
        assert set(model(**batch).loss_terms) == {"kl", "kl_masked", "perturbation"}

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"objective": "kl"}, "decision='softmax'"),
            ({"masked_share": 1.0}, "masked_share"),
            ({"sinkhorn_iterations": 0}, "sinkhorn_iterations"),
            ({"tri_modal_num_hidden_layers": -1}, "tri_modal_num_hidden_layers"),
        ],
    )
    def test_a_wrong_configuration_is_refused(self, settings, message):
        with pytest.raises(StrictDataclassError, match=message):
            self.config(**settings)

    def test_weights_start_as_those_of_torch_do(self):
        """Xavier-uniform, query, key and value as one matrix of three times as many rows."""
        model = self.system(self.config(hidden_size=64))
        attention = model.tri_modal_encoder.encoder.layers[0].attention
        for linear, rows in ((attention.self.query, 3 * 64), (attention.output.dense, 64), (model.decoder.score, 1)):
            limit = (6 / (64 + rows)) ** 0.5
            assert 0.8 * limit < linear.weight.abs().max() <= limit
        assert not attention.self.key.bias.any() and not attention.output.dense.bias.any()
        assert not any(absent.weight.any() for absent in model.absent.values())


def test_the_asymmetric_loss_is_that_of_a_loop():
    logits = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).mul(4).double().requires_grad_()
    labels = (torch.rand(4, 6, generator=torch.Generator().manual_seed(1)) < 0.4).double()
    total = torch.zeros((), dtype=torch.float64)
    for row, label in itertools.product(range(4), range(6)):
        p = 1 / (1 + torch.exp(-logits[row, label]))
        q = torch.minimum(1 - p + 0.05, torch.ones(()).double())
        if labels[row, label]:
            total = total - (1 - p) * torch.log(p.clamp(min=1e-5))
        else:
            total = total - (1 - q) ** 2 * torch.log(q.clamp(min=1e-5))
    expected = 1000 * total / 24
    found = asymmetric_loss(logits, labels)
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-5)
    for ours, theirs in zip(*(torch.autograd.grad(loss, logits) for loss in (found, expected)), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_the_soft_choice_is_the_transport_of_least_cost():
    """Of a row alone: mass on 0 is μ / (1 + t · exp((c₀ − c₁)/ε)), with the t that makes the sum right."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(10) < torch.tensor([[10], [7], [1]])
    scores = torch.rand(3, 10, generator=generator)
    found = soft_top_k(scores, mask, 0.4, 0.1, 500)
    valid = scores[mask]
    largest = torch.maximum(valid.square(), (valid - 1).square()).max()
    for row, (length, chosen) in enumerate([(10, 4), (7, 3)]):
        own = scores[row, :length].double()
        costs = (own.square() - (own - 1).square()) / largest / 0.1
        low, high = torch.tensor(-60.0).double(), torch.tensor(60.0).double()
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if (1 / (1 + (costs + middle).exp())).sum() > chosen else (low, middle)
        torch.testing.assert_close(found[row, :length].double(), 1 / (1 + (costs + low).exp()), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(found.sum(dim=1), torch.tensor([4.0, 3.0, 1.0]))
    assert not found[~mask].any()


@pytest.mark.parametrize("length", [5, 10, 15, 20, 35, 60])
def test_as_many_frames_are_masked_as_the_share_says(length):
    """24 of 60, as published, whatever 0.4 times the length is rounded to."""
    scores = torch.rand(2, length, generator=torch.Generator().manual_seed(length))
    found = soft_top_k(scores, torch.ones(2, length).bool(), 0.4, 0.1, 100)
    torch.testing.assert_close(found.sum(dim=1), torch.full((2,), length * 2 / 5))
    assert (found >= 0).all() and (found <= 1 + 1e-5).all()


@pytest.fixture(scope="module")
def official(shared_data) -> OfficialFixture:
    return OfficialFixture(shared_data, "robmmr")


@pytest.fixture
def converted(official) -> RobmmrForEmotionClassification:
    dropouts = dict.fromkeys(TestRobmmr.still, 0.0)
    labels = {"id2label": dict(enumerate("abcdef"))}
    return ROBMMR.build(official.initial, num_attention_heads=2, mask_padding=False, **labels, **dropouts)


def test_three_training_steps_are_those_of_the_official_code(official, converted):
    steps = official.train(converted)
    terms = {
        "asl": ("asl", 1.0),
        "asl_masked_times_0_1": ("asl_masked", 1.0),
        "perturbation_kl": ("perturbation", 1.0),
    }
    assert set(steps[0][0].loss_terms) == {ours for ours, _ in terms.values()}
    official.check_steps(steps, terms)
    outputs = [output for output, _ in steps]
    official.check_outputs("scores", [output.scores for output in outputs])
    official.check_outputs("masked_scores", [output.masked_logits.sigmoid() for output in outputs])
    official.check_outputs("perturbed_scores", [output.perturbed_logits.sigmoid() for output in outputs])
    for name in converted.config.modalities:
        official.check_outputs(f"mask_{name}", [output.temporal_masks[name] for output in outputs])


def test_the_published_perturbation_hardly_counts(official, converted):
    """Its gradient is 1e-5 of the rest, which is as the official code has it; both norms can be asked for."""
    batch = official.batch(0)
    norms = converted.train().gradient_norms(**batch)
    assert set(norms) == {"asl", "asl_masked", "perturbation"}
    assert 0 < norms["perturbation"] < 2e-5 * norms["asl"]
    converted.config.perturbation_weight = 0.0
    converted(**batch).loss.backward()
    total = torch.stack([parameter.grad.norm() for parameter in converted.parameters()]).norm()
    assert total.item() == pytest.approx(official.expected["steps"][0]["grad_norm_before_perturbation"], rel=1e-3)


def test_the_published_size():
    sizes = {"text_feature_size": 300, "audio_feature_size": 74, "vision_feature_size": 35}
    with torch.device("meta"):
        model = RobmmrForEmotionClassification(RobmmrConfig(**sizes, id2label=dict(enumerate("abcdef"))))
    absent = sum(sizes.values())
    assert model.num_parameters() == 28_612_100 + absent
