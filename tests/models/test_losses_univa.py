# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The objective against double loops over the equations, and against the reference outputs."""

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch._subclasses.fake_tensor import FakeTensorMode

from modeling_univa.models.configuration_emotion import MODALITIES
from modeling_univa.models.configuration_univa import UnivaConfig
from modeling_univa.models.losses_univa import (
    CONTRASTIVE_LOSSES,
    OBJECTIVES,
    UnivaObjective,
    correlation_prior_loss,
    kl_divergence_loss,
    modality_contrastive_loss,
    supervised_positives,
    va_positives,
)


OPTIONS = {
    "modalities": list(MODALITIES),
    "objective": "released",
    "contrastive_loss": "va",
    "contrastive_weight": 0.3,
    "contrastive_temperature": 0.5,
    "contrastive_modality_weights": [3.0, 1.0, 0.5],
    "va_distance_threshold": 0.3,
    "correlation_prior_weight": 1.0,
    "contrastive_cosine": False,
    "gather_across_devices": False,
}
Tensors = dict[str, torch.Tensor]


def make_batch(batch_size: int = 7, num_labels: int = 6, hidden_size: int = 5) -> Tensors:
    generator = torch.Generator().manual_seed(batch_size)
    batch = {
        "logits": torch.randn(batch_size, num_labels, generator=generator),
        "labels": (torch.rand(batch_size, num_labels, generator=generator) < 0.3).float(),
        "label_similarity": torch.rand(num_labels, num_labels, generator=generator) * 2 - 1,
    }
    for modality in MODALITIES:
        batch[f"{modality}_embeds"] = torch.randn(batch_size, hidden_size, generator=generator) / 2
        batch[f"{modality}_va"] = torch.rand(batch_size, 2, generator=generator) * 2 - 1
    return batch


def changed(**tensors: Callable[[torch.Tensor], torch.Tensor]) -> Tensors:
    """The ordinary batch with some tensors, named by how their keys end, replaced."""
    return {
        key: next((change(value) for ending, change in tensors.items() if key.endswith(ending)), value)
        for key, value in make_batch().items()
    }


def with_rows(value: float, rows: list[int]) -> Callable[[torch.Tensor], torch.Tensor]:
    def replace(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.clone()
        tensor[rows] = value
        return tensor

    return replace


def with_equal_columns(logits: torch.Tensor) -> torch.Tensor:
    return torch.cat([logits[:, :1], logits[:, :1], logits[:, 2:]], dim=1)


CASES = {
    "ordinary": make_batch(),
    "one_row": make_batch(batch_size=1),
    "two_labels": make_batch(num_labels=2),
    "no_pair": changed(_va=lambda va: torch.arange(len(va)).float()[:, None].expand(-1, 2)),
    "all_pairs": changed(_va=torch.zeros_like),
    "no_labels": changed(labels=with_rows(0.0, [0, 2, 3])),
    "no_label_at_all": changed(labels=torch.zeros_like),
    "all_labels": changed(labels=torch.ones_like),
    "equal_labels": changed(labels=lambda labels: labels[:1].expand(len(labels), -1)),
    "unknown_va": changed(_va=with_rows(math.nan, [1, 4])),
    "all_va_unknown": changed(_va=lambda va: torch.full_like(va, math.nan)),
    "equal_columns": changed(logits=with_equal_columns),
    "uniform_logits": changed(logits=torch.zeros_like),
    "confident_logits": changed(logits=lambda logits: 40 * logits),
    "equal_embeds": changed(_embeds=torch.ones_like),
    "zero_embeds": changed(_embeds=torch.zeros_like),
    "big_embeds": changed(_embeds=lambda embeds: 1000 * embeds),
}


def naive_kl(logits: torch.Tensor, labels: torch.Tensor, objective: str) -> torch.Tensor:
    batch_size, num_labels = logits.shape
    total = logits.new_zeros(())
    for i in range(batch_size):
        log_p = logits[i] - torch.logsumexp(logits[i], 0)
        log_q = labels[i] - torch.logsumexp(labels[i], 0)
        for j in range(num_labels):
            total = total + log_q[j].exp() * (log_q[j] - log_p[j])
    return total / batch_size if objective == "paper" else 1000 * total / (batch_size * num_labels)


def naive_prior(logits: torch.Tensor, similarity: torch.Tensor, objective: str) -> torch.Tensor:
    batch_size, num_labels = logits.shape
    log_p = torch.stack([row - torch.logsumexp(row, 0) for row in logits])
    total = logits.new_zeros(())
    for j in range(num_labels):
        for k in range(num_labels):
            if objective == "paper":
                for i in range(batch_size):
                    total = total + similarity[j, k] * (log_p[i, j].exp() - log_p[i, k].exp()) ** 2
            elif (log_p[:, j] != log_p[:, k]).any():  # the norm, and by convention its gradient, is 0 otherwise
                total = total + similarity[j, k] * ((log_p[:, j] - log_p[:, k]) ** 2).sum().sqrt()
    return total / batch_size


def naive_is_positive(anchor: int, other: int, batch: Tensors, modality: str, options: dict) -> bool:
    if anchor == other or options["contrastive_loss"] == "self":
        return anchor == other
    if options["contrastive_loss"] == "supervised":
        return batch["labels"][anchor].tolist() == batch["labels"][other].tolist()
    (v1, a1), (v2, a2) = batch[f"{modality}_va"][anchor].tolist(), batch[f"{modality}_va"][other].tolist()
    return math.sqrt((v1 - v2) ** 2 + (a1 - a2) ** 2) < options["va_distance_threshold"]


def naive_contrastive(batch: Tensors, modality: str, options: dict, past: Tensors | None = None) -> torch.Tensor:
    batch_size = len(batch["labels"])
    if past is not None:
        names = ("labels", f"{modality}_va", f"{modality}_embeds")
        batch = {name: torch.cat([batch[name], past[name].detach()]) for name in names}
    embeds = batch[f"{modality}_embeds"]
    views, rows = torch.cat([embeds, embeds]), len(embeds)
    total = embeds.new_zeros(())
    for i in range(batch_size):
        scores = {
            a: torch.dot(views[i], views[a]) / options["contrastive_temperature"] for a in range(2 * rows) if a != i
        }
        log_denominator = torch.logsumexp(torch.stack(list(scores.values())), 0)
        positives = [a for a in scores if naive_is_positive(i, a % rows, batch, modality, options)]
        total = total - sum(scores[p] - log_denominator for p in positives) / len(positives)
    return total if options["objective"] == "paper" else total / batch_size


def naive_objective(batch: Tensors, options: dict) -> Tensors:
    objective, weight = options["objective"], options["contrastive_weight"]
    kl = naive_kl(batch["logits"], batch["labels"], objective)
    prior = naive_prior(batch["logits"], batch["label_similarity"], objective)
    terms = {"kl": kl, "prior": prior}
    prior = prior * options["correlation_prior_weight"]
    if options["contrastive_loss"] == "none":
        return terms | {"loss": (1 - weight) * kl + prior if objective == "paper" else kl + prior}
    losses = {modality: naive_contrastive(batch, modality, options) for modality in MODALITIES}
    terms |= {f"contrastive_{modality}": loss for modality, loss in losses.items()}
    if objective == "paper":
        contrastive = losses["text"] + losses["audio"] + losses["vision"]
        loss = weight * contrastive + (1 - weight) * kl + prior
    else:
        text, audio, vision = options["contrastive_modality_weights"]
        contrastive = (text * losses["text"] + audio * losses["audio"] + vision * losses["vision"]) / 3
        loss = weight * contrastive + (1 - weight) * (kl + prior)
    return terms | {"contrastive": contrastive, "loss": loss}


def prepare(batch: Tensors, dtype: torch.dtype, learn_label_similarity: bool) -> Tensors:
    """A copy whose model outputs are leaves of `dtype`."""
    prepared = {}
    for key, value in batch.items():
        is_output = key == "logits" or key.endswith("_embeds")
        if is_output or key == "label_similarity":
            value = value.detach().clone().to(dtype)
            value.requires_grad_(is_output or learn_label_similarity)
        prepared[key] = value
    return prepared


def run_objective(batch: Tensors, options: dict) -> Tensors:
    outputs = SimpleNamespace(**{key: batch[key] for key in batch if key != "labels" and not key.endswith("_va")})
    va = {key: batch[key] for key in batch if key.endswith("_va")}
    return UnivaObjective.from_config(SimpleNamespace(**options))(outputs, labels=batch["labels"], **va)


def reference(batch: Tensors, options: dict, dtype: torch.dtype) -> tuple[Tensors, Tensors]:
    """Values of the terms and gradients of the loss: the loops in float64, on outputs that were rounded to `dtype`."""
    rounded = {key: value.detach().double() for key, value in prepare(batch, dtype, True).items()}
    leaves = prepare(rounded, torch.float64, True)
    terms = naive_objective(leaves, options)
    terms["loss"].backward()
    # A leaf that no term reaches has no gradient: the same as zero.
    gradients = {
        key: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        for key, leaf in leaves.items()
        if leaf.requires_grad
    }
    return {name: value.detach() for name, value in terms.items()}, gradients


def assert_near(name: str, actual: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    atol = tolerance * max(1.0, expected.abs().max().item())
    torch.testing.assert_close(actual.double(), expected, rtol=tolerance, atol=atol, msg=lambda m: f"{name}: {m}")


@pytest.mark.parametrize("contrastive_loss", CONTRASTIVE_LOSSES)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("case", CASES)
def test_equals_double_loop(case: str, objective: str, contrastive_loss: str) -> None:
    options = OPTIONS | {"objective": objective, "contrastive_loss": contrastive_loss}
    expected, gradients = reference(CASES[case], options, torch.float32)
    for autocast, learned in itertools.product([False, True], repeat=2):
        batch = prepare(CASES[case], torch.float32, learned)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            terms = run_objective(batch, options)
        assert set(terms) == set(expected)
        for name, value in terms.items():
            assert value.dtype == torch.float32 and value.ndim == 0
            assert_near(name, value, expected[name], 1e-5)

        terms["loss"].backward()
        assert learned or batch["label_similarity"].grad is None
        for name in gradients.keys() - (set() if learned else {"label_similarity"}):
            gradient = batch[name].grad
            assert_near(name, torch.zeros_like(batch[name]) if gradient is None else gradient, gradients[name], 1e-5)


def outputs_of(batch: Tensors) -> tuple[SimpleNamespace, Tensors]:
    """What a model gives, and valence and arousal."""
    outputs = {key: value for key, value in batch.items() if key != "labels" and not key.endswith("_va")}
    return SimpleNamespace(**outputs), {key: value for key, value in batch.items() if key.endswith("_va")}


@pytest.mark.parametrize("contrastive_loss", ["va", "supervised", "self"])
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("case", ["ordinary", "one_row", "unknown_va", "all_va_unknown", "equal_labels", "big_embeds"])
def test_a_memory_equals_double_loop(case: str, objective: str, contrastive_loss: str) -> None:
    options = OPTIONS | {"objective": objective, "contrastive_loss": contrastive_loss}
    past = make_batch(batch_size=9)
    for modality, rows in (("text", [0, 5]), ("audio", [3]), ("vision", list(range(9)))):
        past[f"{modality}_va"][rows] = math.nan
    # As a row of the batch is, so that there are pairs of equal ones.
    past["text_va"][1], past["labels"][1] = CASES[case]["text_va"][0], CASES[case]["labels"][0]
    batch = prepare(CASES[case], torch.float32, True)
    objective_of = UnivaObjective.from_config(SimpleNamespace(**options))
    (outputs, va), (past_outputs, past_va) = outputs_of(batch), outputs_of(past)
    memory = objective_of.contrast_rows(past_outputs, past["labels"], past_va)
    assert memory.shape == (9, 3, 5 + {"va": 2, "supervised": 6, "self": 0}[contrastive_loss])
    terms = objective_of(outputs, batch["labels"], **va, memory=memory)
    alone = run_objective(prepare(CASES[case], torch.float32, True), options)
    leaves = prepare({key: value.double() for key, value in CASES[case].items()}, torch.float64, True)
    past = {key: value.double() for key, value in past.items()}
    for modality in MODALITIES:
        expected = naive_contrastive(leaves, modality, options, past)
        assert_near(modality, terms[f"contrastive_{modality}"], expected.detach(), 1e-5)
        assert case == "big_embeds" or terms[f"contrastive_{modality}"] != alone[f"contrastive_{modality}"]
        expected.backward()
        terms[f"contrastive_{modality}"].backward(retain_graph=True)
        assert_near(modality, batch[f"{modality}_embeds"].grad, leaves[f"{modality}_embeds"].grad, 1e-5)
    assert torch.equal(terms["kl"], alone["kl"]) and torch.equal(terms["prior"], alone["prior"])


@pytest.mark.parametrize("contrastive_loss", ["va", "supervised", "self"])
def test_cosine_is_the_dot_product_of_embeddings_of_length_1(contrastive_loss: str) -> None:
    options = OPTIONS | {"contrastive_loss": contrastive_loss}
    batch = CASES["unknown_va"] | {
        name: 40 * value for name, value in CASES["unknown_va"].items() if name.endswith("_embeds")
    }
    leaves = prepare(batch, torch.float32, True)
    terms = run_objective(leaves, options | {"contrastive_cosine": True})
    terms["loss"].backward()
    copies = prepare({name: value.double() for name, value in batch.items()}, torch.float64, True)
    of_length_1 = {
        name: value / value.square().sum(dim=1, keepdim=True).sqrt() if name.endswith("_embeds") else value
        for name, value in copies.items()
    }
    losses = [naive_contrastive(of_length_1, modality, options) for modality in MODALITIES]
    for modality, loss in zip(MODALITIES, losses, strict=True):
        assert_near(modality, terms[f"contrastive_{modality}"], loss.detach(), 1e-5)
    torch.stack([0.3 * weight / 3 * loss for weight, loss in zip((3, 1, 0.5), losses, strict=True)]).sum().backward()
    for name in (f"{modality}_embeds" for modality in MODALITIES):
        torch.testing.assert_close(leaves[name].grad.double(), copies[name].grad, rtol=1e-4, atol=1e-8)


def test_cosine_of_an_absent_modality_has_a_gradient_of_usual_size() -> None:
    """The embedding of an absent modality begins as zeros, where the gradient of a length is not bounded."""
    batch = dict(CASES["ordinary"])
    batch["audio_embeds"] = batch["audio_embeds"].clone()
    batch["audio_embeds"][0] = 0
    leaves = prepare(batch, torch.float32, True)
    run_objective(leaves, OPTIONS | {"contrastive_cosine": True})["loss"].backward()
    sizes = leaves["audio_embeds"].grad.norm(dim=1)
    assert 0 < sizes[0] < 100 * sizes[1:].max()


def test_a_memory_of_one_modality_is_nothing_to_another() -> None:
    objective = UnivaObjective.from_config(SimpleNamespace(**OPTIONS))
    batch, past = make_batch(), make_batch(batch_size=9)
    outputs, va = outputs_of(batch)
    found = []
    for rows in (past, past | {"audio_embeds": -past["audio_embeds"], "audio_va": past["audio_va"] / 2}):
        past_outputs, past_va = outputs_of(rows)
        memory = objective.contrast_rows(past_outputs, rows["labels"], past_va)
        found.append(objective(outputs, batch["labels"], **va, memory=memory))
    first, second = found
    assert first["contrastive_audio"] != second["contrastive_audio"]
    assert torch.equal(first["contrastive_text"], second["contrastive_text"])
    assert torch.equal(first["contrastive_vision"], second["contrastive_vision"])


@pytest.mark.parametrize("contrastive_loss", CONTRASTIVE_LOSSES)
def test_gathering_from_one_process_changes_nothing(contrastive_loss: str) -> None:
    found = []
    for gathers in (False, True):
        batch = prepare(CASES["unknown_va"], torch.float32, True)
        options = OPTIONS | {"contrastive_loss": contrastive_loss, "gather_across_devices": gathers}
        terms = run_objective(batch, options)
        terms["loss"].backward()
        found.append({**terms, **{name: value.grad for name, value in batch.items() if value.requires_grad}})
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("contrastive_loss", CONTRASTIVE_LOSSES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_half_precision_outputs(objective: str, contrastive_loss: str, dtype: torch.dtype) -> None:
    options = OPTIONS | {"objective": objective, "contrastive_loss": contrastive_loss}
    for case in ("ordinary", "one_row", "no_labels", "unknown_va", "equal_columns"):
        expected, gradients = reference(CASES[case], options, dtype)
        batch = prepare(CASES[case], dtype, True)
        terms = run_objective(batch, options)
        for name, value in terms.items():
            assert value.dtype == torch.float32
            assert_near(f"{case} {name}", value, expected[name], 1e-5)
        terms["loss"].backward()
        for name, gradient in gradients.items():
            # Gradients come back in the dtype of the outputs, with its rounding.
            if batch[name].grad is not None:
                assert_near(f"{case} {name}", batch[name].grad, gradient, 2 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("contrastive_loss", ["va", "supervised", "self"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_embeds_at_the_float16_maximum_are_finite(objective: str, contrastive_loss: str) -> None:
    options = OPTIONS | {"objective": objective, "contrastive_loss": contrastive_loss}
    batch = prepare(changed(_embeds=lambda embeds: embeds.sign() * 65504), torch.float32, True)
    terms = run_objective(batch, options)
    terms["loss"].backward()
    assert all(value.isfinite() for value in terms.values())
    assert all(value.grad.isfinite().all() for value in batch.values() if value.requires_grad)


def test_small_loss_of_large_embeds_keeps_its_digits() -> None:
    # Similarities of 400 have a float32 spacing of 3e-5; the losses are 0.013 and 3e-5.
    embeds = torch.tensor([[20.0, 0.0], [19.75, 4.0]])
    loss = modality_contrastive_loss(embeds, torch.zeros(2, 2, dtype=torch.bool), 1.0, "paper")
    expected = math.log1p(2 * math.exp(395 - 400)) + math.log1p(2 * math.exp(395 - 406.0625))
    assert loss.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("contrastive_loss", CONTRASTIVE_LOSSES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_reference_outputs(shared_data: Path, objective: str, contrastive_loss: str) -> None:
    folder = shared_data / "parity" / "objective"
    reference = json.loads((folder / "cases.json").read_text())
    tensors = load_file(folder / "cases.safetensors")
    settings = reference["settings"]
    options = OPTIONS | {
        "objective": objective,
        "contrastive_loss": contrastive_loss,
        "contrastive_weight": settings["lam"],
        "contrastive_temperature": settings["tau"],
        "contrastive_modality_weights": settings["contrastive_modality_weights"],
        "va_distance_threshold": settings["delta"],
    }
    assert len(reference["expected"]) == 8
    for case, expected in reference["expected"].items():
        batch = {key.removeprefix(f"{case}."): v.float() for key, v in tensors.items() if key.startswith(f"{case}.")}
        terms = {name: value.item() for name, value in run_objective(batch, options).items()}
        assert terms == pytest.approx(expected[objective][contrastive_loss], rel=1e-5), case


@pytest.mark.parametrize("contrastive_loss", CONTRASTIVE_LOSSES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_never_synchronises_with_the_host(objective: str, contrastive_loss: str) -> None:
    # Fake tensors have no data: item(), bool() and nonzero() raise on them.
    options = OPTIONS | {"objective": objective, "contrastive_loss": contrastive_loss}
    with FakeTensorMode(allow_non_fake_inputs=False) as mode:
        batch = {key: mode.from_tensor(value) for key, value in make_batch().items()}
        with pytest.raises(torch._subclasses.fake_tensor.DataDependentOutputException):
            batch["logits"].sum().item()
        terms = run_objective(prepare(batch, torch.float32, True), options)
        terms["loss"].backward()


@pytest.mark.parametrize("modalities", [["text"], ["audio", "vision"], ["text", "vision"]])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_absent_modality_drops_its_term(objective: str, modalities: list[str]) -> None:
    options = OPTIONS | {"objective": objective}
    everything = run_objective(make_batch(), options)
    absent = [modality for modality in MODALITIES if modality not in modalities]
    batch = make_batch() | {f"{modality}_{name}": None for modality in absent for name in ("embeds", "va")}
    terms = run_objective(batch, options | {"modalities": modalities})

    assert {name for name in terms if name.startswith("contrastive_")} == {f"contrastive_{m}" for m in modalities}
    weights = dict(zip(MODALITIES, [3 / 3, 1 / 3, 0.5 / 3] if objective == "released" else [1, 1, 1], strict=True))
    expected = sum(weights[modality] * everything[f"contrastive_{modality}"] for modality in modalities)
    torch.testing.assert_close(terms["contrastive"], expected)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_prior_weight(objective: str) -> None:
    options = OPTIONS | {"objective": objective, "contrastive_loss": "none"}
    losses = [run_objective(make_batch(), options | {"correlation_prior_weight": w}) for w in (0.0, 1.0, 2.5)]
    assert "prior" not in losses[0]
    torch.testing.assert_close(losses[1]["prior"], losses[2]["prior"])
    torch.testing.assert_close(losses[2]["loss"] - losses[0]["loss"], 2.5 * losses[1]["prior"], rtol=1e-4, atol=1e-4)


def test_prior_off_needs_no_label_similarity() -> None:
    terms = run_objective(make_batch() | {"label_similarity": None}, OPTIONS | {"correlation_prior_weight": 0})
    assert set(terms) == {"loss", "kl", "contrastive", *(f"contrastive_{modality}" for modality in MODALITIES)}


def test_prior_gradient_is_zero_where_emotions_agree() -> None:
    logits = torch.zeros(4, 3, requires_grad=True)
    similarity = torch.ones(3, 3, requires_grad=True)
    correlation_prior_loss(logits, similarity, "released").backward()
    assert (logits.grad == 0).all() and (similarity.grad == 0).all()


def test_va_positives_are_closer_than_the_threshold() -> None:
    va = torch.tensor([[0.0, 0.0], [0.75, 1.0], [0.0, 1.25], [math.nan, 0.0]])
    far = va_positives(va, 1.25)
    assert far.int().tolist() == [[1, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert va_positives(va, 1.26)[0].tolist() == [True, True, True, False]


def test_va_positives_are_exact_in_large_batches() -> None:
    # A distance from squared norms would be wrong here by more than the threshold.
    va = torch.full((64, 2), 1000.0)
    va[32:, 0] += 0.25
    positives = va_positives(va, 0.1)
    assert positives[:32, :32].all() and positives[32:, 32:].all() and not positives[:32, 32:].any()


def test_supervised_positives_take_any_dtype() -> None:
    labels = torch.tensor([[1, 0], [1, 0], [1, 1], [0, 0], [0, 0]])
    expected = [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 1, 1]]
    for dtype in (torch.long, torch.bool, torch.float16):
        assert supervised_positives(labels.to(dtype)).int().tolist() == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": torch.zeros(7, 5)}, r"`labels` must have shape \(7, 6\), got \(7, 5\)"),
        ({"labels": torch.zeros(7)}, r"`labels` must have shape \(7, 6\), got \(7,\)"),
        ({"labels": None}, "`labels` is missing"),
        ({"logits": torch.zeros(7)}, r"`logits` must have shape \(any, any\), got \(7,\)"),
        ({"logits": torch.zeros(0, 6), "labels": torch.zeros(0, 6)}, r"`logits` must have shape"),
        ({"label_similarity": torch.zeros(6, 5)}, r"`label_similarity` must have shape \(6, 6\)"),
        ({"label_similarity": None}, "`label_similarity` is missing: correlation_prior_weight is not 0"),
        ({"text_embeds": torch.zeros(6, 5)}, r"`text_embeds` must have shape \(7, any\), got \(6, 5\)"),
        ({"vision_embeds": torch.zeros(7, 2, 5)}, r"`vision_embeds` must have shape"),
        ({"audio_embeds": None}, "`audio_embeds` is missing: audio is one of the model's modalities"),
        ({"audio_va": torch.zeros(7, 3)}, r"`audio_va` must have shape \(7, 2\), got \(7, 3\)"),
        ({"audio_va": torch.zeros(6, 2)}, r"`audio_va` must have shape \(7, 2\), got \(6, 2\)"),
        ({"vision_va": None}, "`vision_va` is missing: contrastive_loss='va'.*NaN where unknown"),
    ],
)
def test_bad_tensors_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run_objective(make_batch() | changes, OPTIONS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "published"}, r"`objective` must be one of \['released', 'paper'\], got 'published'"),
        ({"contrastive_loss": "simclr"}, r"`contrastive_loss` must be one of \['va', 'supervised', 'self', 'none'\]"),
        ({"modalities": ["text", "video"]}, r"`modalities` must be one of \['text', 'audio', 'vision'\], got 'video'"),
        ({"contrastive_temperature": 0.0}, "`contrastive_temperature` must be greater than 0, got 0.0"),
        ({"contrastive_temperature": math.nan}, "`contrastive_temperature` must be greater than 0, got nan"),
        ({"contrastive_modality_weights": [1.0, 1.0]}, "`contrastive_modality_weights` needs one number for each"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UnivaObjective(**(OPTIONS | options))


def test_functions_refuse_unknown_objective_and_shapes() -> None:
    with pytest.raises(ValueError, match="`objective` must be one of"):
        kl_divergence_loss(torch.zeros(2, 3), torch.zeros(2, 3), "other")
    with pytest.raises(ValueError, match=r"`positives` must have shape \(2, 2\)"):
        modality_contrastive_loss(torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool), 1.0, "paper")
    with pytest.raises(ValueError, match=r"`va` must have shape \(any, 2\)"):
        va_positives(torch.zeros(2, 3), 0.1)


def test_from_config() -> None:
    config = UnivaConfig(objective="paper", contrastive_loss="self", contrastive_weight=0.2, modalities=["audio"])
    objective = UnivaObjective.from_config(config)
    described = objective.get_config_dict()
    assert json.loads(json.dumps(described)) == described
    assert described == {name: getattr(config, name) for name in OPTIONS}
    assert UnivaObjective(**described) == objective
    assert "10.1145/3664647.3681638" in UnivaConfig.citation
