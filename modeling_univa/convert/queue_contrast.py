# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Official names of the queue of past features, which CARAT and LDDU share."""

import torch


__all__ = ["QUEUE_RENAMES", "queue_tensor"]

QUEUE_RENAMES: list[tuple[str, str | None]] = [
    (r"queue_label$", "queue.classes"),
    (r"queue_ptr$", "queue.position"),
    (r"queue$", "queue.features"),
]


def queue_tensor(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """An official tensor as ours has it; the random classes of places that were never written become -1."""
    if name == "queue.position":
        return tensor.reshape(())
    if name == "queue.classes":
        classes = tensor.flatten()
        is_class = (classes >= 0) & (classes == classes.round())
        return torch.where(is_class, classes, -1).long()
    return tensor
