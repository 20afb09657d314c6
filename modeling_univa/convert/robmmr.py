# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""State dicts of the official code of RobMMR (ShipingGe/MMER)."""

from typing import Any

from ..models.modeling_robmmr import RobmmrForEmotionClassification
from .official import PackedAttentionCheckpoint, State, layer_count


__all__ = ["ROBMMR"]

# What the official code calls the first layer and the later ones of each modality.
_PLACES = {"text": ("src1", "text"), "vision": ("src2", "video"), "audio": ("src3", "audio")}
_LAYER_PARTS = {
    r"self_attn\.out_proj\.": "attention.output.dense.",
    r"self_attn\.": "attention.self.",
    r"norm1\.": "attention.output.LayerNorm.",
    r"linear1\.": "intermediate.dense.",
    r"linear2\.": "output.dense.",
    r"norm2\.": "output.LayerNorm.",
}
_DECODER_PARTS = {
    r"self_attn\.out_proj\.": "self_attention.output.dense.",
    r"self_attn\.": "self_attention.self.",
    r"norm1\.": "self_attention.output.LayerNorm.",
    r"multihead_attn\.out_proj\.": "cross_attention.output.dense.",
    r"multihead_attn\.": "cross_attention.self.",
    r"norm2\.": "cross_attention.output.LayerNorm.",
    r"linear1\.": "intermediate.dense.",
    r"linear2\.": "output.dense.",
    r"norm3\.": "output.LayerNorm.",
}


def _renames() -> list[tuple[str, str | None]]:
    found = _encoder_renames("tri_modal_encoder", "tri_modal_encoder")
    for name, (first, later) in _PLACES.items():
        found += [
            *_encoder_renames(f"{later}_base_encoder", f"encoders.{name}"),
            (rf"{first}_linear\.0\.", f"projections.{name}."),
            (rf"{first}_linear\.1\.", f"norms.{name}."),
            (rf"{later}_scorer_net\.0\.", f"scorers.{name}."),
        ]
    layer = r"emotion_decoder\.layers\.(\d+)\."
    return [
        *found,
        *((layer + part, rf"decoder.layers.\1.{ours}") for part, ours in _DECODER_PARTS.items()),
        (r"emotion_decoder\.emotion_queries\.", "decoder.queries."),
        (r"emotion_decoder\.norm\.", "decoder.norm."),
        (r"emotion_decoder\.classifier\.0\.", "decoder.score."),
    ]


def _encoder_renames(official: str, ours: str) -> list[tuple[str, str | None]]:
    layer = rf"{official}\.layers\.(\d+)\."
    return [
        *((layer + part, rf"{ours}.encoder.layers.\1.{name}") for part, name in _LAYER_PARTS.items()),
        (rf"{official}\.norm\.", f"{ours}.norm."),
    ]


def _configure(state: State) -> dict[str, Any]:
    sizes = {
        f"{name}_feature_size": state[f"{first}_linear.0.weight"].shape[1] for name, (first, _) in _PLACES.items()
    }
    layers = {
        f"{name}_num_hidden_layers": layer_count(state, f"{later}_base_encoder")
        for name, (_, later) in _PLACES.items()
    }
    inner, width = state["tri_modal_encoder.layers.0.linear1.weight"].shape
    return {
        **sizes,
        **layers,
        "tri_modal_num_hidden_layers": layer_count(state, "tri_modal_encoder"),
        "decoder_num_hidden_layers": layer_count(state, "emotion_decoder"),
        "hidden_size": width,
        "intermediate_size": inner,
    }


ROBMMR = PackedAttentionCheckpoint(RobmmrForEmotionClassification, _configure, _renames())
