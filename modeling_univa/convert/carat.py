# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of the official code of CARAT (chengzju/CARAT)."""

from typing import Any

from ..models.modeling_carat import CaratForEmotionClassification
from .frame_encoder import encoder_renames, encoder_settings
from .official import OfficialCheckpoint, State
from .queue_contrast import QUEUE_RENAMES, queue_tensor


__all__ = ["CARAT"]

_MODALITIES = {"text": "text", "visual": "vision", "audio": "audio"}
# The two modalities that one is told from, and that one.
_REPLACEMENTS = {"va2t": "text", "ta2v": "vision", "tv2a": "audio"}


def _renames() -> list[tuple[str, str | None]]:
    found = encoder_renames(_MODALITIES, _MODALITIES)
    for name, ours in _MODALITIES.items():
        found += [
            (rf"{name}_attention\.attention\.", f"label_attention.{ours}.attention."),
            (rf"{name}_clf_weight$", f"label_classifiers.{ours}.weight"),
            (rf"{name}_pos_protos$", f"autoencoders.{ours}.positive"),
            (rf"{name}_neg_protos$", f"autoencoders.{ours}.negative"),
            *_layer_renames(f"proj_{name}", f"autoencoders.{ours}.encoder"),
            *_layer_renames(f"de_proj_{name}", f"autoencoders.{ours}.decoder"),
        ]
    found += [(rf"{name}\.output\.", f"replacements.{ours}.0.") for name, ours in _REPLACEMENTS.items()]
    return [*found, *_layer_renames("agg", "aggregation"), *QUEUE_RENAMES]


def _layer_renames(official: str, ours: str) -> list[tuple[str, str | None]]:
    """Of two linear layers with relu between them."""
    return [(rf"{official}\.linear\.0\.", f"{ours}.0."), (rf"{official}\.output\.", f"{ours}.2.")]


def _configure(state: State) -> dict[str, Any]:
    settings = encoder_settings(state, _MODALITIES)
    size, width = state["queue"].shape
    return {**settings, "queue_size": size, "projection_size": width, "fixed_length": settings["max_text_length"]}


CARAT = OfficialCheckpoint(CaratForEmotionClassification, _configure, _renames(), queue_tensor)
