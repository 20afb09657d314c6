# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A batch in chunks: the same scores, loss and gradients, and nothing kept of a chunk but what goes in and out."""

from typing import Any

import pytest
import torch
from testing_utils import Utterances, tiny_config, tiny_model

from modeling_univa.models import row_chunks_univa
from modeling_univa.models.row_chunks_univa import row_chunks


DROPOUTS = ("projection_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
SIZES = (3, 1, 4, 2)


def batch_of(config: Any, sizes: tuple[int, ...] = SIZES, absent: float = 0.2) -> dict[str, torch.Tensor]:
    utterances = Utterances(config, sizes, absent=absent)
    # The utterances of a dialogue are not side by side, and those of two are in no chunk's order.
    places = sorted(utterances.places, key=lambda place: place[::-1])
    generator = torch.Generator().manual_seed(0)
    batch = utterances.inputs(places)
    batch["labels"] = (torch.rand(len(places), config.num_labels, generator=generator) < 0.3).float()
    for modality in config.modalities:
        batch[f"{modality}_va"] = torch.randint(-1, 2, (len(places), 2), generator=generator) / 10
    return batch


def config_of(route: str, with_dropout: bool, **options: Any) -> Any:
    config = tiny_config(route, **({} if with_dropout else dict.fromkeys(DROPOUTS, 0.0)), **options)
    if config.text_config is not None and not with_dropout:
        config.text_config.hidden_dropout_prob = config.text_config.attention_probs_dropout_prob = 0.0
    return config


def step(
    config: Any, batch: dict[str, torch.Tensor], seed: int = 3, checkpointing: bool = False
) -> tuple[Any, dict[str, torch.Tensor]]:
    """Output and gradients of a training step of the model that is the same for all configurations."""
    model = tiny_model(config).train()
    if checkpointing:
        model.activation_checkpointing_enable()
    torch.manual_seed(seed)
    output = model(**batch)
    output.loss.backward()
    found = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    return output, found


def assert_same(found: tuple[Any, dict[str, torch.Tensor]], expected: tuple[Any, dict[str, torch.Tensor]]) -> None:
    torch.testing.assert_close(found[0].logits, expected[0].logits, rtol=1e-5, atol=1e-5)
    assert found[0].loss_terms.keys() == expected[0].loss_terms.keys()
    for name, value in expected[0].loss_terms.items():
        torch.testing.assert_close(found[0].loss_terms[name], value, rtol=1e-5, atol=0)
    largest = max(gradient.abs().max() for gradient in expected[1].values())
    assert found[1].keys() == expected[1].keys() and largest > 0
    for name, gradient in expected[1].items():
        norm = torch.linalg.vector_norm(gradient)
        assert torch.linalg.vector_norm(found[1][name] - gradient) <= 1e-5 * norm + 1e-7 * largest, name


@pytest.mark.parametrize("objective", ["released", "paper"])
@pytest.mark.parametrize("route", ["bert", "words"])
@pytest.mark.parametrize("size", [1, 4, 10, 64])
def test_gradients_are_those_of_the_whole_batch(route, objective, size):
    config = config_of(route, with_dropout=False, objective=objective)
    batch = batch_of(config)
    chunked = config_of(route, with_dropout=False, objective=objective, contrastive_chunk_size=size)
    assert_same(step(chunked, batch), step(config, batch))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_are_those_of_one_pass_with_the_same_dropout(checkpointing, monkeypatch):
    config = config_of("bert", with_dropout=True, modality_dropout=0.3, contrastive_chunk_size=3)
    batch = batch_of(config)
    found = step(config, batch, checkpointing=checkpointing)
    monkeypatch.setattr(row_chunks_univa, "checkpoint", lambda score, chunk, use_reentrant: score(chunk))
    expected = step(config, batch)
    assert_same(found, expected)
    # Dropout is on, and another draw gives other gradients.
    with pytest.raises(AssertionError):
        assert_same(step(config, batch, seed=4), expected)


def test_chunks_have_the_dialogues_of_their_utterances_alone():
    config = config_of("bert", with_dropout=False)
    batch = Utterances(config, SIZES).inputs()
    chunks = list(row_chunks(batch, 4))
    assert [len(chunk["dialogue_index"]) for chunk in chunks] == [4, 4, 2]
    start = 0
    for chunk in chunks:
        rows = slice(start, start + len(chunk["dialogue_index"]))
        assert len(chunk["input_ids"]) == len(batch["dialogue_index"][rows].unique())
        own = batch["input_ids"][batch["dialogue_index"][rows]]
        assert torch.equal(chunk["input_ids"][chunk["dialogue_index"]], own)
        assert torch.equal(chunk["audio_features"], batch["audio_features"][rows])
        start = rows.stop
    assert start == len(batch["dialogue_index"])


def test_an_input_of_another_length_is_refused():
    config = config_of("words", with_dropout=False, contrastive_chunk_size=4)
    batch = batch_of(config)
    for name in ("audio_features", "audio_attention_mask"):
        batch[name] = torch.cat([batch[name], batch[name][:3]])
    with pytest.raises(ValueError, match="Every modality needs one entry an utterance"):
        tiny_model(config).train()(**batch)


def test_evaluation_is_not_in_chunks(monkeypatch):
    config = config_of("bert", with_dropout=False, contrastive_chunk_size=2)
    batch = batch_of(config)
    monkeypatch.setattr(row_chunks_univa, "checkpoint", None)
    with torch.no_grad():
        tiny_model(config)(**batch)
    with pytest.raises(TypeError):
        tiny_model(config).train()(**batch)


def kept_bytes(config: Any, batch: dict[str, torch.Tensor]) -> int:
    """Bytes that the forward pass keeps for the backward pass, outside of what is computed again."""
    kept: dict[int, int] = {}
    model = tiny_model(config).train()
    parameters = {value.data_ptr() for value in model.parameters()}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in parameters:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(**batch)
    assert output.loss.requires_grad
    return sum(kept.values())


def test_little_is_kept_of_an_utterance():
    whole, chunked = (config_of("words", True, contrastive_chunk_size=size) for size in (0, 4))
    found = {}
    for name, config in (("whole", whole), ("chunked", chunked)):
        small, large = (kept_bytes(config, batch_of(config, (4,) * count, absent=0)) for count in (4, 12))
        found[name] = (large - small) / 32
    # The embeddings, the logits, and what the loss makes of them.
    assert found["chunked"] < 0.1 * found["whole"]
