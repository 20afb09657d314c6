# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Values pass as they are, gradients the other way."""

import torch

from modeling_univa.models.gradient_reversal_univa import reverse_gradient


def test_the_gradient_is_reversed_and_weighted():
    states = torch.randn(3, 4, requires_grad=True)
    weights = torch.randn(3, 4)
    reversed_states = reverse_gradient(states, 0.1)
    torch.testing.assert_close(reversed_states, states, atol=0, rtol=0)
    (gradient,) = torch.autograd.grad((reversed_states * weights).sum(), states)
    torch.testing.assert_close(gradient, -0.1 * weights)


def test_without_a_factor_it_is_the_negative():
    states = torch.randn(5, requires_grad=True)
    (gradient,) = torch.autograd.grad(reverse_gradient(states).square().sum(), states)
    torch.testing.assert_close(gradient, -2 * states.detach())
