# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Dropout that on a CPU draws sixteen bits an element and keeps a byte of it for the backward pass."""

import torch
from torch import nn


__all__ = ["ByteDropout", "draw_kept", "use_byte_dropout"]

# Random numbers of 16 bits decide, a quarter of an integer each: it is the drawing that takes the time. They round the
# probability to 1/65536; the scale is that of the rounded one.
_DRAWS = 1 << 16
# Elements below which the calls cost more than PyTorch's own drawing.
_LEAST = 1 << 13


def draw_kept(kept: torch.Tensor, p: float) -> float:
    """
    Draw which elements dropout keeps, from PyTorch's default generator.

    Args:
        kept (`torch.ByteTensor`): on the CPU; 1 where an element is kept and 0 where it is dropped, on return.
        p (`float`): probability of 0, rounded to 1/65536, at most 65535/65536.

    Returns:
        `float`: by which kept elements are multiplied, so that their mean stays.
    """
    dropped = min(round(p * _DRAWS), _DRAWS - 1)
    wide = torch.empty((kept.numel() + 3) // 4, dtype=torch.int64, device=kept.device)
    draws = wide.random_(-(2**63), None).view(torch.int16)[: kept.numel()].view(kept.shape)
    # Into bytes and not bools, in which comparison and product are three to five times slower.
    torch.ge(draws, dropped - _DRAWS // 2, out=kept)
    return _DRAWS / (_DRAWS - dropped)


class ByteDropout(nn.Dropout):
    """`nn.Dropout`, a third of its time on a CPU; elsewhere, and in a graph that is traced or compiled, the same."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Some elements 0, the others divided by `1 - p`; as they are in evaluation."""
        if not self.training or self.inplace or not 0 < self.p < 1 or not _pays(input):
            return super().forward(input)
        kept = torch.empty(input.shape, dtype=torch.uint8, device=input.device)
        scale = draw_kept(kept, self.p)
        return (input * kept).mul_(scale)


def _pays(input: torch.Tensor) -> bool:
    # A graph cannot read random integers as ones of another width.
    if torch.jit.is_tracing() or torch.compiler.is_compiling():
        return False
    return input.device.type == "cpu" and input.numel() >= _LEAST


def use_byte_dropout(module: nn.Module) -> None:
    """Let every `nn.Dropout` in a module be a [`ByteDropout`]; neither names nor hooks nor weights change."""
    for part in module.modules():
        if type(part) is nn.Dropout:
            part.__class__ = ByteDropout
