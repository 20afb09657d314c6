# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Linear layers that start as published networks start theirs."""

from torch import nn
from transformers import initialization as init


__all__ = ["XavierLinear"]


class XavierLinear(nn.Linear):
    """
    A linear layer of Xavier-uniform weights, times `gain`, and no biases at first.

    A class of its own, since transformers takes no module without parameters of its own to `_init_weights`.
    """

    def __init__(self, in_features: int, out_features: int, gain: float = 1.0):
        self.gain = gain
        super().__init__(in_features, out_features)

    def reset_parameters(self) -> None:
        """As initialised."""
        init.xavier_uniform_(self.weight, gain=self.gain)
        init.zeros_(self.bias)
