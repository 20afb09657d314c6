# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What a contrastive loss compares a batch with beyond the batch: rows of other processes, and of past batches."""

import torch
from torch import distributed


__all__ = ["ContrastMemory", "gather_rows"]


class ContrastMemory:
    """
    The rows of past batches, the last `size` of them (Wang et al., "Cross-Batch Memory for Embedding Learning",
    CVPR 2020).

    It is not a buffer of the network: a saved model has no embeddings of its training rows, and none are allocated
    where it is not trained. The same on every process, as long as each writes what all have, see [`gather_rows`].

    Args:
        size: how many rows are kept.

    Attributes:
        rows (`torch.Tensor` of shape `(N, …)`): N ≤ `size`, the oldest first; `None` before the first batch.
    """

    def __init__(self, size: int):
        self.size = size
        self.rows: torch.Tensor | None = None

    def write(self, rows: torch.Tensor) -> None:
        """
        Put the rows of a batch in the places of the oldest.

        Args:
            rows (`torch.Tensor` of shape `(B, …)`): taken as constant. Of more than `size` the last ones stay.
        """
        previous = [] if self.rows is None else [self.rows]
        self.rows = torch.cat([*previous, rows.detach()])[-self.size :]


def gather_rows(rows: torch.Tensor, with_gradient: bool = False) -> torch.Tensor:
    """
    Rows of all processes in their order; all of them have to call it.

    Args:
        rows (`torch.Tensor` of shape `(N, …)`): of this process; N may differ from process to process.
        with_gradient: whether gradients reach the rows of this process, times the number of processes. If all
            processes compute one loss from what was gathered, the mean of their gradients, which is what
            DistributedDataParallel takes, is that of one process with all rows. Otherwise the rows are constant.
    """
    if not distributed.is_available() or not distributed.is_initialized():
        return rows if with_gradient else rows.detach()
    parts = _gathered(rows.detach())
    if with_gradient and rows.requires_grad:
        own = rows.view_as(rows)
        own.register_hook(lambda gradient: gradient * len(parts))
        parts[distributed.get_rank()] = own
    return torch.cat(parts)


def _gathered(rows: torch.Tensor) -> list[torch.Tensor]:
    """The rows of each process."""
    count = torch.tensor(len(rows), device=rows.device)
    counts = [torch.empty_like(count) for _ in range(distributed.get_world_size())]
    distributed.all_gather(counts, count)
    lengths = torch.stack(counts).tolist()
    # Collectives take the same shape of every process.
    padded = rows.new_zeros(max(lengths), *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in lengths]
    distributed.all_gather(parts, padded)
    return [part[:length] for part, length in zip(parts, lengths, strict=True)]
