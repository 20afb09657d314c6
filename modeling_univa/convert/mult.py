# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""State dicts of the official code of MulT (yaohungt/Multimodal-Transformer)."""

from typing import Any

from ..models.modeling_mult import MultForEmotionClassification
from .cross_modal import encoder_renames
from .official import PackedAttentionCheckpoint, State, layer_count


__all__ = ["MULT"]


def _configure(state: State) -> dict[str, Any]:
    hidden_size = state["trans_l_with_a.layer_norm.weight"].shape[0]
    # A modality of the right width has no convolution.
    sizes = {
        name: state[f"proj_{letter}.weight"].shape[1] if f"proj_{letter}.weight" in state else hidden_size
        for name, letter in (("text", "l"), ("audio", "a"), ("vision", "v"))
    }
    return {
        **{f"{name}_feature_size": size for name, size in sizes.items()},
        "hidden_size": hidden_size,
        "num_hidden_layers": layer_count(state, "trans_l_with_a"),
    }


MULT = PackedAttentionCheckpoint(
    MultForEmotionClassification,
    _configure,
    [
        ("proj_l", "projections.text.convolution"),
        ("proj_a", "projections.audio.convolution"),
        ("proj_v", "projections.vision.convolution"),
        *encoder_renames("", "cross_modal."),
        ("proj1", "residual.intermediate"),
        ("proj2", "residual.output"),
        ("out_layer", "classifier"),
    ],
)
