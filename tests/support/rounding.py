# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
Another processor's rounding, on this one.

Kernels choose their path by where weights lie in memory: those of a file that is mapped need not lie where those of a
model built in memory do, and on some processors the same product then differs in its last bit. `UNIVA_TEST_ROUNDING=1`
makes it differ on every processor, so that a test that compares computed numbers bit for bit fails here too.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch


ALIGNMENT = 64
LAST_BITS = 1 + 2.0**-23


def round_by_alignment() -> None:
    """From now on products with weights that are not aligned differ in their last bits."""
    for name in ("linear", "conv1d", "conv2d", "layer_norm", "group_norm", "batch_norm"):
        original = getattr(torch.nn.functional, name)
        setattr(torch.nn.functional, name, _rounding_otherwise(original))


def _rounding_otherwise(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    @functools.wraps(function)
    def wrapped(inputs: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
        outputs = function(inputs, *arguments, **options)
        if torch.jit.is_tracing() or torch.compiler.is_compiling():
            return outputs
        weights = [value for value in (*arguments, *options.values()) if isinstance(value, torch.Tensor)]
        return outputs * LAST_BITS if any(value.data_ptr() % ALIGNMENT for value in weights) else outputs

    return wrapped
