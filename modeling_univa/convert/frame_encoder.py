# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Official names of the frame encoder, which TAILOR, CARAT and LDDU share."""

from collections.abc import Mapping
from typing import Any

from .official import State, layer_count


__all__ = ["encoder_renames", "encoder_settings"]

_PARTS = {
    r"embeddings\.word_embeddings\.": "projection.",
    r"embeddings\.position_embeddings\.": "position_embeddings.",
    r"embeddings\.LayerNorm\.": "norm.",
    r"encoder\.layer\.": "encoder.layers.",
}


def encoder_renames(encoders: Mapping[str, str], norms: Mapping[str, str]) -> list[tuple[str, str | None]]:
    """
    Renames of the parameters of the frame encoders.

    Args:
        encoders, norms: official names of the encoders, and of the norms of what enters them, to our modalities.
    """
    found: list[tuple[str, str | None]] = []
    for official, modality in encoders.items():
        found += [(rf"{official}\.{part}", f"encoders.{modality}.{ours}") for part, ours in _PARTS.items()]
        found.append((rf"{official}\.pooler\.", None))
    return found + [(rf"{name}_norm\.\w*norm2d\.", f"encoders.{ours}.input_norm.") for name, ours in norms.items()]


def encoder_settings(state: State, encoders: Mapping[str, str]) -> dict[str, Any]:
    """Sizes of the frame encoders, by their official names."""
    settings: dict[str, Any] = {}
    for official, modality in encoders.items():
        width, size = state[f"{official}.embeddings.word_embeddings.weight"].shape
        inner = state[f"{official}.encoder.layer.0.intermediate.dense.weight"].shape[0]
        settings |= {
            f"{modality}_feature_size": size,
            f"max_{modality}_length": state[f"{official}.embeddings.position_embeddings.weight"].shape[0],
            f"{modality}_num_hidden_layers": layer_count(state, f"{official}.encoder"),
            "hidden_size": width,
            "intermediate_size": inner,
        }
    return settings
