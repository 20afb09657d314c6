# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Contrastive terms over the utterances of two processes: those of one process that has all of them."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from forks import run_forked
from safetensors.torch import load_file, save_file
from testing_utils import Utterances, tiny_config, tiny_model


DRIVER = Path(__file__).with_name("gathering_driver.py")
NO_DROPOUT = dict.fromkeys(
    ("projection_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"), 0.0
)
STEPS = 3
# Of the rows of a step those that the first process has; the second has the others.
EQUAL, UNEQUAL = ((6, 6, 6), (9, 7, 3))
# With a weight of 1 nothing is left but the contrastive terms, whose mean is over all rows. The mean over two
# processes of the other terms is that over all rows if both have the same number of them.
VARIANTS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "whole objective": (EQUAL, {"objective": "paper", "contrastive_weight": 0.45}),
    "rows without padding": (EQUAL, {"objective": "paper", "contrastive_weight": 0.45}),
    "uneven batches": (UNEQUAL, {"contrastive_weight": 1.0}),
    "same labels": (UNEQUAL, {"contrastive_weight": 1.0, "contrastive_loss": "supervised"}),
    "memory in chunks": (UNEQUAL, {"contrastive_weight": 1.0, "contrastive_memory": 20, "contrastive_chunk_size": 2}),
}


def batch_of(utterances: Utterances, places: list[tuple[int, int]], step: int) -> dict[str, torch.Tensor]:
    rows = [utterances.places.index(place) for place in places]
    generator = torch.Generator().manual_seed(step)
    batch = utterances.inputs(places)
    batch["labels"] = (torch.rand(len(utterances.places), 6, generator=generator) < 0.3).float()[rows]
    for modality in utterances.config.modalities:
        va = torch.randint(-2, 3, (len(utterances.places), 2), generator=generator) / 10
        va[generator.initial_seed()] = torch.nan
        batch[f"{modality}_va"] = va[rows]
    return batch


def write_batches(folder: Path, config: Any, first: tuple[int, ...]) -> None:
    """Those of one process in `one`, those of two in `two`."""
    for processes in ("one", "two"):
        (folder / processes).mkdir()
        tiny_model(config).save_pretrained(folder / processes / "model")
    for step, count in enumerate(first):
        utterances = Utterances(config, (3, 1, 4, 2, 2), seed=step, absent=0.1)
        places = utterances.places
        save_file(batch_of(utterances, places, step), folder / "one" / f"batch-{step}-0.safetensors")
        for rank, own in enumerate((places[:count], places[count:])):
            save_file(batch_of(utterances, own, step), folder / "two" / f"batch-{step}-{rank}.safetensors")


def run(folder: Path, processes: str, packs: bool = False) -> list[dict[str, torch.Tensor]]:
    """
    Args:
        packs: whether rows go through layers without their padding, as larger ones do.
    """
    arguments = [folder / processes, folder / f"out-{processes}", 0 if packs else sys.maxsize]
    run_forked(DRIVER, arguments, os.environ, folder, {"one": 1, "two": 2}[processes])
    return [load_file(file) for file in sorted(folder.glob(f"out-{processes}-*.safetensors"))]


def config_of(gathers: bool, **options: Any) -> Any:
    config = tiny_config(**NO_DROPOUT, gather_across_devices=gathers, **options)
    config.text_config.hidden_dropout_prob = config.text_config.attention_probs_dropout_prob = 0.0
    return config


def weights(found: dict[str, torch.Tensor], prefix: str = "weight.") -> torch.Tensor:
    """All of them in one vector, in the order of their names."""
    return torch.cat([value.flatten() for name, value in sorted(found.items()) if name.startswith(prefix)])


def difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Relative, of two vectors or scalars."""
    return float(torch.linalg.vector_norm(found - expected) / torch.linalg.vector_norm(expected))


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_two_processes_that_gather_are_one_with_all_rows(variant, tmp_path):
    first, options = VARIANTS[variant]
    write_batches(tmp_path, config_of(True, **options), first)
    packs = variant == "rows without padding"
    # Two processes without padding against one with it.
    (one,), two = run(tmp_path, "one"), run(tmp_path, "two", packs)
    assert one.pop("world_size") == 1 and [found.pop("world_size") for found in two] == [2, 2]
    assert one.pop("packed") == 0 and all((found.pop("packed") > 0) == packs for found in two)
    for name, expected in one.items():
        found = [process[name] for process in two]
        if name.startswith("term.") and (".contrastive_" in name or options["contrastive_weight"] < 1):
            assert difference(sum(found) / 2, expected) <= 1e-6, name
            assert ".contrastive_" not in name or torch.equal(*found)
    before = weights(load_file(tmp_path / "one" / "model" / "model.safetensors"), prefix="")
    after = [weights(found) for found in (one, *two)]
    assert torch.equal(*after[1:]) and len(before) == len(after[0])
    assert difference(after[1], after[0]) <= 1e-6
    torch.testing.assert_close(after[1], after[0], rtol=1e-6, atol=1e-6)
    # What the steps have changed is a small part of the weights.
    assert difference(after[1] - before, after[0] - before) <= 1e-5
    assert sum(name.startswith("term.") for name in one) == 5 * STEPS
    if "contrastive_memory" in options:
        memories = [found["contrast_memory"] for found in (one, *two)]
        # Unknown valence and arousal are NaN.
        assert torch.equal(*(rows.nan_to_num(7) for rows in memories[1:])) and len(memories[0]) == 20
        torch.testing.assert_close(memories[1], memories[0], rtol=1e-5, atol=1e-5, equal_nan=True)


@pytest.mark.slow
def test_without_gathering_each_process_has_its_own_rows(tmp_path):
    """So that the comparison above can fail."""
    first, options = VARIANTS["whole objective"]
    write_batches(tmp_path, config_of(False, **options), first)
    (one,), two = run(tmp_path, "one"), run(tmp_path, "two")
    before = weights(load_file(tmp_path / "one" / "model" / "model.safetensors"), prefix="")
    assert difference(weights(two[0]) - before, weights(one) - before) > 1e-2
    for modality in ("text", "audio", "vision"):
        name = f"term.0.contrastive_{modality}"
        assert two[0][name] != two[1][name] and difference(two[0][name], one[name]) > 1e-2
