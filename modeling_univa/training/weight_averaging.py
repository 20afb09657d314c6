# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Exponential moving average of the weights over the steps of training, which is what is evaluated and kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .sharded_weights import copy_whole, whole


__all__ = ["RAW_WEIGHTS_NAME", "WeightAveraging"]

# In a checkpoint, whose model.safetensors holds the average: the weights that training goes on from.
RAW_WEIGHTS_NAME = "raw_weights.safetensors"


class WeightAveraging(TrainerCallback):
    """
    Keep `average = decay · average + (1 − decay) · weights` of all trained parameters, updated after every step.

    Args:
        decay: in (0, 1); the average reaches back over about 1 / (1 − decay) steps.
    """

    def __init__(self, decay: float):
        self.decay = decay
        self._update = get_ema_multi_avg_fn(decay)
        self._weights: dict[str, nn.Parameter] = {}
        self._averages: dict[str, torch.Tensor] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: nn.Module, **kwargs: Any
    ) -> None:
        """Begin with the weights as they are, unless `resume` has begun already."""
        if not self._averages:
            self._begin(model)

    @torch.no_grad()
    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Move the average towards the weights."""
        self._update(list(self._averages.values()), list(self._weights.values()), 0)

    @torch.no_grad()
    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Leave the model with the average; the best checkpoint, where one was loaded, already is one."""
        if not (args.load_best_model_at_end and state.best_model_checkpoint):
            self._swap()
        self._weights, self._averages = {}, {}

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the averaged weights inside this context, if it is being trained."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def save_raw_weights(self, folder: str | Path, is_writer: bool = True) -> None:
        """
        Save what training goes on from; to be called inside `applied`, by all processes.

        Args:
            folder: of the checkpoint.
            is_writer: whether this process writes the file.
        """
        weights = {name: whole(value).contiguous() for name, value in self._averages.items()}
        if is_writer:
            save_file(weights, Path(folder, RAW_WEIGHTS_NAME))

    @torch.no_grad()
    def resume(self, model: nn.Module, folder: str | Path) -> None:
        """
        Go on where a checkpoint was saved; `model` has that checkpoint's weights, the average.

        Raises:
            ValueError: the checkpoint was saved without averaging.
        """
        file = Path(folder, RAW_WEIGHTS_NAME)
        if not file.is_file():
            raise ValueError(f"{folder} has no {RAW_WEIGHTS_NAME}: it was trained without `ema_decay`.")
        self._begin(model)
        for name, value in load_file(file).items():
            copy_whole(self._weights[name], value)

    def _begin(self, model: nn.Module) -> None:
        self._weights = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self._averages = {name: value.detach().clone() for name, value in self._weights.items()}

    @torch.no_grad()
    def _swap(self) -> None:
        for name, average in self._averages.items():
            raw = self._weights[name].clone()
            self._weights[name].copy_(average)
            average.copy_(raw)
