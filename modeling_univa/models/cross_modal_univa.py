# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
The cross-modal transformer of MulT (Tsai et al., ACL 2019): frames of one modality read those of another.

B is the number of utterances, T and S the numbers of frames of target and source, d the width of a frame.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer

from .linear_layers_univa import XavierLinear
from .modeling_emotion import Frames


__all__ = [
    "CrossModalAttention",
    "CrossModalEncoder",
    "CrossModalLayer",
    "CrossModalSettings",
    "CrossModalTransformer",
    "sinusoidal_positions",
    "steps_in_sight",
]


_LEAST_MEMORY_LAYERS = 3


@dataclass(frozen=True)
class CrossModalSettings:
    """
    Sizes and options of a [`CrossModalTransformer`].

    Args:
        width (`int`): d, of target, source and result.
        num_layers, num_heads (`int`): of attention; `num_heads` divides `width`.
        activation (`str`): of the feed-forward layers, a name that transformers knows.
        causal (`bool`): whether a step of the target sees steps of the source up to its own only; see
            [`steps_in_sight`].
        mask_padding (`bool`): `False` computes as published code without masks: padding is data, and a step whose
            first channel is exactly 0 has no position.
        embed_dropout, attention_dropout, activation_dropout, residual_dropout (`float`): on the frames with their
            positions, the attention weights, the inner feed-forward activations, and what each layer adds.

    Raises:
        `ValueError`: `num_heads` does not divide `width`.
    """

    width: int
    num_layers: int
    num_heads: int
    activation: str = "relu"
    causal: bool = True
    mask_padding: bool = True
    embed_dropout: float = 0.0
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    residual_dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.width % self.num_heads:
            raise ValueError(f"The number of attention heads ({self.num_heads}) must divide the width ({self.width}).")

    @classmethod
    def from_config(cls, config: Any) -> "CrossModalSettings":
        """Of a configuration with the sizes by transformers' names, and such of the options as it has."""
        sizes = {"width": "hidden_size", "num_layers": "num_hidden_layers", "num_heads": "num_attention_heads"}
        names = {field.name: sizes.get(field.name, field.name) for field in fields(cls)}
        return cls(**{name: getattr(config, theirs) for name, theirs in names.items() if hasattr(config, theirs)})


class CrossModalAttention(nn.Module):
    """
    Multi-head attention; queries and keys may come from sequences of different lengths.

    Args:
        projections: to queries, keys and values, and of what has been read.
        num_heads, dropout: of the attention.
    """

    def __init__(self, projections: Iterable[nn.Linear], num_heads: int, dropout: float):
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.query, self.key, self.value, self.output = projections

    def forward(self, target: torch.Tensor, source: torch.Tensor, in_sight: torch.Tensor) -> torch.Tensor:
        """
        What each step of `target` `(B, T, d)` reads of `source` `(B, S, d)`.

        Args:
            in_sight (`torch.BoolTensor` that broadcasts to `(B, num_heads, T, S)`): which steps each attends to.
        """
        heads = (self._heads(self.query(target)), self._heads(self.key(source)), self._heads(self.value(source)))
        dropout = self.dropout if self.training else 0.0
        read = F.scaled_dot_product_attention(*heads, attn_mask=in_sight, dropout_p=dropout)
        return self.output(read.transpose(1, 2).flatten(2))

    def _heads(self, states: torch.Tensor) -> torch.Tensor:
        return states.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class CrossModalLayer(GradientCheckpointingLayer):
    """
    Pre-norm attention to the source and feed-forward layers of four times the width.

    One LayerNorm normalises the target and the source alike.
    """

    def __init__(self, settings: CrossModalSettings):
        super().__init__()
        width = settings.width
        # In the official code query, key and value are one matrix of three times the width.
        gains = (*[math.sqrt(2 / 4)] * 3, 1.0)
        projections = [XavierLinear(width, width, gain) for gain in gains]
        self.attention = CrossModalAttention(projections, settings.num_heads, settings.attention_dropout)
        self.attention_norm = nn.LayerNorm(width)
        self.intermediate = XavierLinear(width, 4 * width)
        self.activation = ACT2FN[settings.activation]
        self.output = XavierLinear(4 * width, width)
        self.output_norm = nn.LayerNorm(width)
        self.activation_dropout = nn.Dropout(settings.activation_dropout)
        self.residual_dropout = nn.Dropout(settings.residual_dropout)

    def forward(self, target: torch.Tensor, source: torch.Tensor | None, in_sight: torch.Tensor) -> torch.Tensor:
        """States `(B, T, d)` of the target after reading `source` `(B, S, d)`, without one those of the target."""
        query = self.attention_norm(target)
        read = self.attention(query, query if source is None else self.attention_norm(source), in_sight)
        target = target + self.residual_dropout(read)
        inner = self.activation_dropout(self.activation(self.intermediate(self.output_norm(target))))
        return target + self.residual_dropout(self.output(inner))


class CrossModalTransformer(nn.Module):
    """
    Layers in which frames of one modality read those of another, or of their own.

    The source is the same in every layer: its frames with their positions.
    """

    def __init__(self, settings: CrossModalSettings):
        super().__init__()
        self.settings = settings
        self.layers = nn.ModuleList(CrossModalLayer(settings) for _ in range(settings.num_layers))
        self.norm = nn.LayerNorm(settings.width)
        self.dropout = nn.Dropout(settings.embed_dropout)

    def forward(self, target: Frames, source: Frames | None = None) -> torch.Tensor:
        """
        Args:
            target: frames `(B, T, d)`, at least one an utterance.
            source: frames `(B, S, d)` that they read, likewise; by default their own.

        Returns:
            States `(B, T, d)`, those of padding to be left out by the caller.
        """
        states = self._embedded(target)
        read = None if source is None else self._embedded(source)
        in_sight = self._in_sight(target.mask, target.mask if source is None else source.mask)
        for layer in self.layers:
            states = layer(states, read, in_sight)
        return self.norm(states)

    def _embedded(self, frames: Frames) -> torch.Tensor:
        """Scaled frames with their positions."""
        width = self.settings.width
        if self.settings.mask_padding:
            # Sequences end to end have padding between them.
            placed, steps = frames.mask, frames.mask.long().cumsum(dim=1)
        else:
            placed = frames.states[..., 0] != 0
            steps = torch.arange(1, frames.mask.shape[1] + 1, device=frames.mask.device)
        table = sinusoidal_positions(steps, width).to(frames.states.dtype)
        return self.dropout(math.sqrt(width) * frames.states + table * placed[..., None])

    def _in_sight(self, target: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        if not self.settings.mask_padding:
            target, source = torch.ones_like(target), torch.ones_like(source)
        return steps_in_sight(target, source, self.settings.causal)[:, None]


class CrossModalEncoder(nn.Module):
    """
    Every modality reads each other one, and then what it has read.

    Args:
        modalities: in order; what a modality has read of the others stands side by side in that order.
        settings: of the stacks in which one modality reads another. Those in which each reads itself have as many
            layers, but at least 3, and are as wide as what it has read, or as its frames where it is alone.
        source_dropout: attention dropout of the stacks that read a modality, where it is not that of `settings`.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        settings: CrossModalSettings,
        source_dropout: Mapping[str, float] | None = None,
    ):
        super().__init__()
        dropout = dict.fromkeys(modalities, settings.attention_dropout) | dict(source_dropout or {})
        reading = {name: replace(settings, attention_dropout=dropout[name]) for name in modalities}
        self.crossings = nn.ModuleDict()
        for target in modalities:
            stacks = {name: CrossModalTransformer(reading[name]) for name in modalities if name != target}
            self.crossings[target] = nn.ModuleDict(stacks)
        self.width = settings.width * max(1, len(modalities) - 1)
        memory = replace(settings, width=self.width, num_layers=max(settings.num_layers, _LEAST_MEMORY_LAYERS))
        self.memories = nn.ModuleDict({name: CrossModalTransformer(memory) for name in modalities})

    def forward(self, frames: Mapping[str, Frames]) -> dict[str, Frames]:
        """Frames `(B, T, d)` of each modality, of any lengths, to states `(B, T, width)` under the same mask."""
        found = {}
        for name, target in frames.items():
            stacks: Mapping[str, nn.Module] = self.crossings[name]  # type: ignore[assignment]
            read = [stack(target, frames[source]) for source, stack in stacks.items()]
            states = torch.cat(read, dim=-1) if read else target.states
            found[name] = Frames(self.memories[name](Frames(states, target.mask)), target.mask)
        return found


def steps_in_sight(target: torch.Tensor, source: torch.Tensor, causal: bool) -> torch.Tensor:
    """
    Which frames of the source each frame of the target attends.

    Causal attention of sequences of T and S frames lets frame i of the target see the frames j ≤ i + |S − T|, so that
    its last one sees them all. T and S are those of the utterance, whatever it is padded to.

    Args:
        target (`torch.BoolTensor` of shape `(B, T)`): which of its frames are there.
        source (`torch.BoolTensor` of shape `(B, S)`): likewise, at least one an utterance.

    Returns:
        `torch.BoolTensor` of shape `(B, T, S)`, without a row that is empty.
    """
    if not causal:
        return source[:, None].expand(-1, target.shape[1], -1)
    target_steps, source_steps = target.long().cumsum(dim=1), source.long().cumsum(dim=1)
    ahead = (source_steps[:, -1:] - target_steps[:, -1:]).abs()
    last_seen = (target_steps + ahead).clamp(min=1)
    return (source_steps[:, None] <= last_seen[..., None]) & source[:, None]


def sinusoidal_positions(steps: torch.Tensor, width: int) -> torch.Tensor:
    """
    Sine and cosine of each step in `width / 2` frequencies, from 1 down to 1/10,000.

    Args:
        steps (`torch.LongTensor` of shape `(…, T)`): counted from 1.

    Returns:
        `torch.FloatTensor` of shape `(…, T, width)`: sines, then cosines, and a zero where `width` is odd.
    """
    half = width // 2
    exponents = torch.arange(half, device=steps.device, dtype=torch.float32) / max(half - 1, 1)
    angles = steps.float()[..., None] * torch.exp(-math.log(10_000) * exponents)
    return F.pad(torch.cat([angles.sin(), angles.cos()], dim=-1), (0, width % 2))
