# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
How much UniVA's contrastive terms do in training: their gradients beside those of the KL divergence.

    python benchmarks/contrastive_terms.py --recipe recipes/ravdess_av.yaml [--steps N] [--output FILE.json]
        [option of train_hf.py …]

A run of N steps at a constant learning rate; figures are means over its second half.
"""

import argparse
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from memory import machine, machine_line
from speed import be_quiet, epoch_of
from systems import build_loop

from modeling_univa.models.losses_univa import UnivaObjective, UnivaOutput


_FIGURES = ("gradient", "own_copy", "positives", "cosine_of_positives", "cosine_of_others", "length")


@dataclass(frozen=True, kw_only=True)
class RecordedObjective(UnivaObjective):
    """The objective, which notes in `found` what its contrastive terms do to the embeddings of each modality."""

    found: ClassVar[list[dict[str, dict[str, float]]]] = []

    def __call__(self, outputs: UnivaOutput, labels: Any, **rest: Any) -> dict[str, torch.Tensor]:
        """As that of the objective."""
        terms = super().__call__(outputs, labels, **rest)
        weighted = self.weighted(terms)
        self.found.append({name: self._facts(name, outputs, labels, weighted, rest) for name in self.modalities})
        return terms

    def _facts(
        self, modality: str, outputs: UnivaOutput, labels: Any, weighted: dict[str, torch.Tensor], rest: dict[str, Any]
    ) -> dict[str, float]:
        embeds = getattr(outputs, f"{modality}_embeds")
        contrastive, kl = (
            torch.autograd.grad(weighted[name], embeds, retain_graph=True)[0].norm()
            for name in (f"contrastive_{modality}", "kl")
        )
        with torch.no_grad():
            compared, keys = self._compared(modality, outputs, labels, rest[f"{modality}_va"])
            own = torch.eye(len(labels), dtype=torch.bool)
            positives = self._positives(keys, keys) & ~own
            directions = F.normalize(embeds.float())
            cosines = directions @ directions.T
            similarities = compared.float() @ compared.float().T / self.contrastive_temperature
        values = (
            contrastive / kl,
            own_share(similarities).mean(),
            positives.sum(dim=1).float().mean(),
            cosines[positives].mean(),
            cosines[~positives & ~own].mean(),
            embeds.detach().norm(dim=1).mean(),
        )
        return dict(zip(_FIGURES, map(float, values), strict=True))


def own_share(similarities: torch.Tensor) -> torch.Tensor:
    """
    The share of the softmax that the own copy of each utterance has.

    Args:
        similarities: over the temperature, shape (B, B). As in the loss, all utterances are there twice, but of the
            anchor the one copy that is not itself.

    Returns:
        Shape (B,), in [0, 1].
    """
    counts = 2 - torch.eye(len(similarities))
    return (similarities + counts.log()).softmax(dim=1).diagonal()


def main(arguments: list[str] | None = None) -> int:
    """Run; a mistake of the user ends in one sentence and exit status 2."""
    parser = argparse.ArgumentParser(description="What UniVA's contrastive terms do.", allow_abbrev=False)
    parser.add_argument("--recipe", required=True, help="of a UniVA with a contrastive loss")
    parser.add_argument("--steps", type=int, default=400, help="of training")
    parser.add_argument("--output", help="write the figures to this JSON file")
    options, further = parser.parse_known_args(arguments)
    be_quiet()
    try:
        found = measure([options.recipe, *further], options.steps)
    except ValueError as error:
        print(f"contrastive_terms.py: {error}", file=sys.stderr)
        return 2
    report = {"recipe": options.recipe, "options": further, "steps": options.steps, "modalities": found}
    report["machine"] = machine()
    print(_table(report))
    if options.output:
        Path(options.output).write_text(json.dumps(report, indent=2) + "\n")
    return 0


def measure(recipe: list[str], steps: int) -> dict[str, dict[str, float]]:
    """
    Means over the second half of the steps, by modality.

    Returns:
        `gradient`: norm of the gradient of the weighted contrastive term by the embeddings of the batch, over that of
        the weighted KL divergence. `own_copy`: of [`own_share`]. `positives`: of an utterance in its batch, besides
        itself. `cosine_of_positives`, `cosine_of_others`: of two embeddings. `length` of an embedding. NaN where no
        batch has a pair for a cosine, as with `contrastive_loss` self.

    Raises:
        ValueError: the recipe cannot be followed, has no contrastive loss, or has a `contrastive_chunk_size`.
    """
    loop = build_loop(recipe)
    config = loop.trainer.model.config
    if getattr(config, "contrastive_loss", "none") == "none":
        raise ValueError(f"{recipe[0]} has no contrastive loss")
    if config.contrastive_chunk_size:
        raise ValueError(
            "`contrastive_chunk_size` separates embeddings and logits, whose gradients are compared: leave it out"
        )
    loop.trainer.model.objective_class = RecordedObjective
    RecordedObjective.found.clear()
    batches: list[list[int]] = []
    while len(batches) < steps:
        batches += epoch_of(loop.trainer, loop.trainer.args.batching)
    for batch in batches[:steps]:
        loop.training_step(batch)
    last = RecordedObjective.found[steps // 2 :]
    return {
        modality: {figure: _mean([facts[modality][figure] for facts in last]) for figure in _FIGURES}
        for modality in config.modalities
    }


def _mean(values: list[float]) -> float:
    """A batch without a pair of positives has no cosine of them."""
    known = [value for value in values if value == value]
    return fmean(known) if known else math.nan


def _table(report: dict[str, Any]) -> str:
    lines = [machine_line(report["machine"]), f"{report['recipe']} {' '.join(report['options'])}: the last "
             f"{report['steps'] - report['steps'] // 2} of {report['steps']} steps", ""]  # fmt: skip
    lines.append(
        f"{'modality':<10}{'gradient / KL':>15}{'own copy':>10}{'positives':>11}{'cosine, positives':>19}"
        f"{'others':>8}{'length':>8}"
    )
    for modality, found in report["modalities"].items():
        lines.append(
            f"{modality:<10}{found['gradient']:>15.3f}{found['own_copy']:>10.2f}{found['positives']:>11.1f}"
            f"{found['cosine_of_positives']:>19.2f}{found['cosine_of_others']:>8.2f}{found['length']:>8.1f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
