# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Padded rows through the layers of an exported graph without their padding."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ..models.packed_rows_univa import PACK_TRACED, PackedRows


__all__ = ["GRAPH_ATTENTION", "GraphRows", "packed_in_graphs"]

#: Name of the attention in transformers' interface.
GRAPH_ATTENTION = "packed_graph"

_ROWS = "graph_rows"


@dataclass(frozen=True)
class GraphRows(PackedRows):
    """
    Rows whose lengths a graph is told when it runs.

    Products with weights, where the time goes, are of what is there; attention, whose rows a graph cannot go through
    one by one, is of padded rows. A row without anything keeps its first place, so that nothing is empty.

    Args:
        mask (`torch.BoolTensor` of shape `(B, T)`): what is there.
    """

    mask: torch.Tensor

    @classmethod
    def of(cls, mask: torch.Tensor) -> "GraphRows":
        """Rows of a mask `(B, T)`, each with one place at least."""
        first = torch.arange(mask.shape[1]) == 0
        mask = mask | (first & ~mask.any(dim=1, keepdim=True))
        ends = mask.sum(dim=1).cumsum(0)
        return cls(mask.flatten().nonzero().squeeze(1), ends, (mask.shape[0], mask.shape[1]), mask)

    @cached_property
    def attention(self) -> dict[str, Any]:
        """What layers pass on to attention."""
        return {_ROWS: self}

    @cached_property
    def _sources(self) -> torch.Tensor:
        """For each of all `B * T` places, which of the N it is; of padding, any."""
        return (self.mask.flatten().long().cumsum(0) - 1).clamp(min=0)

    @cached_property
    def bias(self) -> torch.Tensor:
        """What keeps attention from padding, `(B, 1, 1, T)`."""
        lowest = torch.finfo(torch.float32).min
        return torch.zeros(self.mask.shape).masked_fill(~self.mask, lowest)[:, None, None]

    def pack(self, padded: torch.Tensor) -> torch.Tensor:
        """`(B, T, …)` to `(1, N, …)`, whatever the padding of the batch that is traced."""
        return padded.flatten(0, 1).index_select(0, self.index)[None]

    def unpack(self, packed: torch.Tensor) -> torch.Tensor:
        """`(1, N, …)` to `(B, T, …)`; of padding, any of the N."""
        return packed[0].index_select(0, self._sources).view(*self.shape, *packed.shape[2:])


def _graph_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    rows = kwargs.pop(_ROWS, None)
    if rows is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    query, key, value = (rows.unpack(states.transpose(1, 2)).transpose(1, 2) for states in (query, key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    weights = (query @ key.transpose(2, 3) * scale + rows.bias).softmax(dim=-1)
    return rows.pack((weights @ value).transpose(1, 2)), None


ALL_ATTENTION_FUNCTIONS.register(GRAPH_ATTENTION, _graph_attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(GRAPH_ATTENTION, sdpa_mask)


@contextlib.contextmanager
def packed_in_graphs() -> Iterator[None]:
    """Graphs that are traced meanwhile go through layers without padding."""

    def pack(config: Any, mask: torch.Tensor) -> PackedRows:
        config._attn_implementation = {"": GRAPH_ATTENTION}
        return GraphRows.of(mask)

    token = PACK_TRACED.set(pack)
    try:
        yield
    finally:
        PACK_TRACED.reset(token)
