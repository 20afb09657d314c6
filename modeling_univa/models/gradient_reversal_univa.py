# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Gradient reversal, by which an encoder works against a head that is trained on it."""

from typing import Any

import torch


__all__ = ["reverse_gradient"]


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, states: torch.Tensor, factor: float) -> torch.Tensor:
        context.factor = factor
        return states.view_as(states)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[override]
        return -context.factor * gradient, None


def reverse_gradient(states: torch.Tensor, factor: float = 1.0) -> torch.Tensor:
    """
    The states as they are, with their gradient times −`factor` (Ganin and Lempitsky, ICML 2015).

    Args:
        states (`torch.Tensor`): of any shape.
        factor (`float`): weight of the gradient.
    """
    # A graph that is exported has no use for it, and no operator.
    return states if torch.jit.is_tracing() else _Reversal.apply(states, factor)  # type: ignore[no-untyped-call]
