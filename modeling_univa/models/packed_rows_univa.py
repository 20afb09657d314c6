# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Padded rows through transformer layers without their padding, on a CPU: end to end, each attending to itself."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, create_bidirectional_mask, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .dropout_univa import draw_kept


__all__ = ["LEAST_WORK", "PACKED_ATTENTION", "PACK_TRACED", "PackedRows", "encode_rows", "pack_rows", "through_layers"]

#: Name of the attention in transformers' interface: SDPA, and of packed rows each row by itself.
PACKED_ATTENTION = "packed_sdpa"

# Encoders whose layers hand `cu_seq_lens_q` on to the attention, and which know a token's place by absolute positions
# alone: those that count from 0, and those that count from after the padding's id, by which padding is skipped.
_COUNTED = ("bert", "electra")
_COUNTED_AFTER_PADDING = ("camembert", "roberta", "xlm-roberta")

# Products of a row in one layer (tokens · width²) below which the calls for each row cost more than padding.
LEAST_WORK = 1_000_000

#: What packs rows while a graph is traced, if anything: `pack_rows` of numbers that are known when the graph runs.
PACK_TRACED: ContextVar[Callable[[Any, torch.Tensor], "PackedRows"] | None] = ContextVar("PACK_TRACED", default=None)

# Weights of attention that are dropped at a time, so that they stay in the cache of a core.
_BLOCK = 1 << 18
# Weights of attention that take the time of the calls for one more row.
_ROW_CALLS = 1 << 15


@dataclass(frozen=True)
class PackedRows:
    """
    Where what is there of padded rows lies.

    Args:
        index (`torch.LongTensor` of shape `(N,)`): its places among all of `B * T`.
        ends (`torch.IntTensor` of shape `(R + 1,)`): 0, and where each row that has something ends among the N.
        shape: `(B, T)`.
    """

    index: torch.Tensor
    ends: torch.Tensor
    shape: tuple[int, int]

    @classmethod
    def of(cls, mask: torch.Tensor) -> "PackedRows":
        """What `mask`, `(B, T)` bool, says is there."""
        lengths = mask.sum(dim=1, dtype=torch.int32)
        ends = F.pad(lengths[lengths > 0].cumsum(0, dtype=torch.int32), (1, 0))
        return cls(mask.flatten().nonzero().squeeze(1), ends, (mask.shape[0], mask.shape[1]))

    @property
    def places(self) -> torch.Tensor:
        """Place of each in its row, `(1, N)`."""
        return (self.index % self.shape[1])[None]

    @cached_property
    def attention(self) -> dict[str, Any]:
        """What layers need besides the packed states, by the names of variable-length attention in transformers."""
        longest = int(self.ends.diff().max())
        return {
            "cu_seq_lens_q": self.ends,
            "cu_seq_lens_k": self.ends,
            "max_length_q": longest,
            "max_length_k": longest,
        }

    def pack(self, padded: torch.Tensor) -> torch.Tensor:
        """`(B, T, …)` to `(1, N, …)`."""
        if len(self.index) == self.shape[0] * self.shape[1]:
            return padded.flatten(0, 1)[None]
        return padded.flatten(0, 1).index_select(0, self.index)[None]

    def unpack(self, packed: torch.Tensor) -> torch.Tensor:
        """`(1, N, …)` to `(B, T, …)`, with zeros for padding."""
        rest = packed.shape[2:]
        if len(self.index) == self.shape[0] * self.shape[1]:
            return packed.reshape(*self.shape, *rest)
        padded = packed.new_zeros(self.shape[0] * self.shape[1], *rest).index_copy(0, self.index, packed[0])
        return padded.view(*self.shape, *rest)


def pack_rows(config: Any, mask: torch.Tensor) -> PackedRows | None:
    """
    How rows go through layers without their padding, or `None` where they go as they are: on accelerators, which would
    have to wait for their lengths; while a graph is compiled, or traced without `PACK_TRACED`; where another attention
    than SDPA was asked for, or chunks of tokens; and where rows are so small that a call for each of them costs more.

    Args:
        config: that of the layers; its attention is [`PACKED_ATTENTION`] afterwards.
        mask (`torch.BoolTensor` of shape `(B, T)`): what is there of each row.
    """
    # In chunks of tokens, the batch was padded to a multiple of their size; its rows are not.
    if getattr(config, "is_decoder", False) or getattr(config, "chunk_size_feed_forward", 0):
        return None
    if torch.jit.is_tracing():
        pack = PACK_TRACED.get()
        return None if pack is None else pack(config, mask)
    if mask.device.type != "cpu" or torch.compiler.is_compiling():
        return None
    if config._attn_implementation not in ("sdpa", PACKED_ATTENTION):
        return None
    rows = PackedRows.of(mask)
    if not len(rows.index) or len(rows.index) * config.hidden_size**2 < LEAST_WORK * (len(rows.ends) - 1):
        return None
    # It stays: layers are run again by gradient checkpointing, and at the same time by other threads. Of `config`
    # alone, not of the configurations inside of it.
    config._attn_implementation = {"": PACKED_ATTENTION}
    return rows


def through_layers(
    layers: nn.ModuleList, config: PreTrainedConfig, hidden_states: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """
    Padded rows through BERT layers.

    Args:
        config: that of the layers.
        hidden_states (`torch.FloatTensor` of shape `(B, T, hidden_size)`): padded.
        mask (`torch.BoolTensor` of shape `(B, T)`): which of them are there, at least one of each row.

    Returns:
        `torch.FloatTensor` of shape `(B, T, hidden_size)`; of padding, meaningless.
    """
    rows = pack_rows(config, mask)
    if rows is None:
        attention_mask = create_bidirectional_mask(config, hidden_states, mask.long())
        for layer in layers:
            hidden_states = layer(hidden_states, attention_mask)
        return hidden_states
    packed = rows.pack(hidden_states)
    for layer in layers:
        packed = layer(packed, None, **rows.attention)
    return rows.unpack(packed)


def encode_rows(encoder: PreTrainedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """
    Last hidden states of a text encoder.

    Args:
        input_ids, attention_mask (`torch.LongTensor` of shape `(D, L)`): tokens, padded; 1 = keep.

    Returns:
        `torch.FloatTensor` of shape `(D, L, hidden_size)`; of padding, meaningless.
    """
    config: Any = encoder.config
    model: Any = encoder
    known = config.model_type in (*_COUNTED, *_COUNTED_AFTER_PADDING)
    rows = pack_rows(config, attention_mask.bool()) if known else None
    if rows is None:
        return model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
    packed_ids = rows.pack(input_ids)
    packed = model(
        input_ids=packed_ids,
        token_type_ids=torch.zeros_like(packed_ids),
        position_ids=_positions(config, input_ids, rows),
        **rows.attention,
    )
    return rows.unpack(packed.last_hidden_state)


def _positions(config: PreTrainedConfig, input_ids: torch.Tensor, rows: PackedRows) -> torch.Tensor:
    """Positions `(1, N)` that the encoder would give to the tokens of padded rows."""
    if config.model_type in _COUNTED:
        return rows.places
    is_token = (input_ids != config.pad_token_id).long()
    return rows.pack(is_token.cumsum(dim=1) * is_token + config.pad_token_id)


class _DropoutAttention(torch.autograd.Function):
    """
    Attention with dropout on its weights, heads `(H, L, d)` of one row or more, a few at a time; `bias`, `(H, 1, L)`,
    is 0 for what is attended to and `-inf` for the rest.

    Keeps the weights and a byte for each of them, where PyTorch's own keeps three numbers.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        bias: torch.Tensor | None,
        scaling: float,
        p: float,
    ):
        heads, length = query.shape[:2]
        weights = query.new_empty(heads, length, length)
        keep = torch.empty(weights.shape, dtype=torch.uint8, device=query.device)
        rescale = 1.0
        output = query.new_empty(heads, length, value.shape[2])
        for some in _heads(heads, length):
            own = weights[some]
            start, beta = (own, 0) if bias is None else (bias[some], 1)
            torch.baddbmm(start, query[some], key[some].mT, beta=beta, alpha=scaling, out=own)
            torch.softmax(own, dim=-1, out=own)
            rescale = draw_kept(keep[some], p)
            torch.bmm(own * keep[some], value[some], out=output[some])
        output *= rescale
        ctx.save_for_backward(query, key, value, weights, keep, output)
        ctx.factors = scaling, rescale
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor):
        query, key, value, weights, keep, output = ctx.saved_tensors
        scaling, rescale = ctx.factors
        # The sum over a row that the derivative of softmax has, without a further pass over the weights.
        sums = (gradient * output).sum(dim=-1, keepdim=True)
        gradient = gradient * rescale
        by_query, by_key, by_value = (torch.empty_like(found) for found in (query, key, value))
        # `backward` may be called under an autocast that `forward` was not.
        with torch.autocast("cpu", enabled=False):
            for some in _heads(*query.shape[:2]):
                own, kept, above = weights[some], keep[some], gradient[some]
                torch.bmm((own * kept).mT, above, out=by_value[some])
                by_score = torch.bmm(above, value[some].mT).mul_(kept).sub_(sums[some]).mul_(own)
                torch.baddbmm(by_query[some], by_score, key[some], beta=0, alpha=scaling, out=by_query[some])
                torch.baddbmm(by_key[some], by_score.mT, query[some], beta=0, alpha=scaling, out=by_key[some])
        return by_query, by_key, by_value, None, None, None


def _heads(heads: int, length: int) -> list[slice]:
    size = max(1, _BLOCK // length**2)
    return [slice(start, start + size) for start in range(0, heads, size)]


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None = None,
    *,
    scaling: float | None,
    dropout: float,
) -> torch.Tensor:
    """Attention of rows, `(R, heads, L, d)`; to those keys alone that `mask`, `(R, L)` bool, says are there."""
    # A graph of single layers cannot read random integers as ones of another width; autocast has SDPA's own types.
    plain = not torch.compiler.is_compiling() and not torch.is_autocast_enabled("cpu")
    if plain and 0 < dropout < 1 and query.dtype in (torch.float32, torch.float64):
        bias = None
        if mask is not None:
            bias = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(~mask, -torch.inf)
            bias = bias.repeat_interleave(query.shape[1], dim=0)[:, None]
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        flat = (states.flatten(0, 1) for states in (query, key, value))
        found: torch.Tensor = _DropoutAttention.apply(*flat, bias, scale, dropout)
        return found.unflatten(0, query.shape[:2])
    seen = None if mask is None else mask[:, None, None]
    return F.scaled_dot_product_attention(query, key, value, attn_mask=seen, dropout_p=dropout, scale=scaling)


def _attend_together(
    heads: tuple[torch.Tensor, torch.Tensor, torch.Tensor], lengths: torch.Tensor, longest: int, **settings: Any
) -> torch.Tensor:
    """Attention of packed rows `(1, heads, N, d)`, padded for it alone, to `(1, N, heads, d)`."""
    mask = torch.arange(longest, device=lengths.device) < lengths[:, None]
    rows = PackedRows.of(mask)
    query, key, value = (rows.unpack(states.transpose(1, 2)).transpose(1, 2) for states in heads)
    attended = _attend(query, key, value, None if len(rows.index) == mask.numel() else mask, **settings)
    return rows.pack(attended.transpose(1, 2))


def _pays_together(lengths: list[int], heads: int) -> bool:
    """Whether padding the weights of attention takes less time than calls for each row."""
    padding = sum(max(lengths) ** 2 - length**2 for length in lengths)
    return not torch.compiler.is_compiling() and padding * heads <= _ROW_CALLS * (len(lengths) - 1)


def _packed_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    ends = kwargs.get("cu_seq_lens_q")
    if ends is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    lengths = ends.diff().tolist()
    if _pays_together(lengths, query.shape[1]):
        settings = {"scaling": scaling, "dropout": dropout}
        return _attend_together((query, key, value), ends.diff(), max(lengths), **settings), None
    rows = zip(*(states.split(lengths, dim=2) for states in (query, key, value)), strict=True)
    attended = [_attend(*row, scaling=scaling, dropout=dropout).transpose(1, 2) for row in rows]
    return torch.cat(attended, dim=1), None


ALL_ATTENTION_FUNCTIONS.register(PACKED_ATTENTION, _packed_attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(PACKED_ATTENTION, sdpa_mask)
