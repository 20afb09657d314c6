# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Reference outputs of the official code of a system, and three training steps of ours beside them."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from modeling_univa.models.modeling_emotion import EmotionModel


@dataclass
class OfficialFixture:
    """
    A folder of data/parity/baselines.

    Args:
        folder: where it is.
        name: of the system.
    """

    folder: Path
    name: str
    expected: dict[str, Any] = field(init=False)
    outputs: dict[str, torch.Tensor] = field(init=False)
    initial: dict[str, torch.Tensor] = field(init=False)

    def __post_init__(self):
        place = self.folder / "parity" / "baselines" / self.name
        self.expected = json.loads((place / "expected.json").read_text())
        self.outputs = load_file(place / "expected.safetensors")
        self.initial = load_file(place / "initial.safetensors")
        self._batches = load_file(place / "batches.safetensors")

    @property
    def text_config(self) -> dict[str, Any]:
        """Configuration of the text encoder, of a system that has one."""
        return json.loads((self.folder / "parity" / "baselines" / self.name / "text_config.json").read_text())

    def batch(self, step: int) -> dict[str, torch.Tensor]:
        """Inputs of a step by their names."""
        suffix = f".{step}"
        return {key.removesuffix(suffix): value for key, value in self._batches.items() if key.endswith(suffix)}

    def train(self, model: EmotionModel) -> list[tuple[Any, float]]:
        """Three steps of the optimiser of the fixture: the output and the gradient norm before clipping of each."""
        settings = self.expected["optimizer"]
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=settings["lr"], betas=settings["betas"], eps=settings["eps"], weight_decay=0.0
        )
        steps = []
        model.train()
        for step in range(3):
            optimizer.zero_grad()
            output = model(**self.batch(step))
            output.loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings["clip_grad_norm"])
            optimizer.step()
            steps.append((output, norm.item()))
        return steps

    def check_steps(self, steps: list[tuple[Any, float]], terms: dict[str, tuple[str, float]] | None = None) -> None:
        """
        Compare losses and gradient norms with the recorded ones, within the tolerances of the README beside them.

        Args:
            steps: of `train`.
            terms: for each recorded term, its name in `loss_terms` and the weight that ours carries.
        """
        for (output, norm), recorded in zip(steps, self.expected["steps"], strict=True):
            _check(output.loss.item(), recorded["loss"], 1e-4)
            _check(norm, recorded["grad_norm"], 1e-3)
            for name, (ours, weight) in (terms or {}).items():
                _check(output.loss_terms[ours].item(), recorded[name] * weight, 1e-4)

    def check_outputs(self, name: str, found: list[torch.Tensor]) -> None:
        """Compare an output of each step: exact in the first, within 1e-3 after two updates."""
        for step, (tensor, tolerance) in enumerate(zip(found, (1e-5, 1e-3, 1e-3), strict=False)):
            torch.testing.assert_close(tensor.detach(), self.outputs[f"{name}.{step}"], atol=tolerance, rtol=0)


def _check(found: float, wanted: float, tolerance: float) -> None:
    assert abs(found - wanted) <= tolerance * max(abs(wanted), 1e-8), (found, wanted)
