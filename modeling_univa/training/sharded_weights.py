# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Weights of a model in parts, of which each process holds some (FSDP2)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


__all__ = ["copy_whole", "unsharded_class", "whole"]


def whole(value: torch.Tensor) -> torch.Tensor:
    """A weight with the parts of all processes, which all have to ask for it; any other tensor as it is."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value


@torch.no_grad()
def copy_whole(target: torch.Tensor, value: torch.Tensor) -> None:
    """Copy a whole weight, which all processes have, to one that may be in parts, each process its own part."""
    parts: Any = target
    if hasattr(parts, "full_tensor"):
        from torch.distributed.tensor import distribute_tensor

        value = distribute_tensor(value.to(target.device), parts.device_mesh, parts.placements)
    target.copy_(value)


@contextmanager
def unsharded_class(model: nn.Module) -> Iterator[None]:
    """
    The model has the class inside this context that it had before it was put in parts.

    FSDP2 makes a class `FSDP<Model>` of torch's own module, whose source `save_pretrained` would take for the model's.
    """
    sharded = type(model)
    if hasattr(model, "unshard"):
        # Its bases are `FSDPModule` and the class of the model.
        model.__class__ = sharded.__bases__[-1]
    try:
        yield
    finally:
        model.__class__ = sharded
