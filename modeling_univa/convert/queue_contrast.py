# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Official names of the queue of past features, which CARAT and LDDU share."""

from typing import Any

import torch

from .official import State


__all__ = ["QUEUE_RENAMES", "queue_settings", "queue_tensor"]

QUEUE_RENAMES: list[tuple[str, str | None]] = [
    (r"queue_label$", "queue.classes"),
    (r"queue_ptr$", "queue.position"),
    (r"queue$", "queue.features"),
]


def queue_settings(state: State) -> dict[str, Any]:
    """Size of the queue, and width of what is in it."""
    size, width = state["queue"].shape
    return {"queue_size": size, "projection_size": width}


def queue_tensor(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """An official tensor as ours has it; the random classes of places that were never written become -1."""
    if name == "queue.position":
        return tensor.reshape(())
    if name == "queue.classes":
        classes = tensor.flatten()
        is_class = (classes >= 0) & (classes == classes.round())
        return torch.where(is_class, classes, -1).long()
    return tensor
