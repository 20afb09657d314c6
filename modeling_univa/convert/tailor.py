# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of the official code of TAILOR (kniter1/TAILOR)."""

from typing import Any

from ..models.modeling_tailor import TailorForEmotionClassification
from .frame_encoder import encoder_renames, encoder_settings
from .official import OfficialCheckpoint, State, layer_count


__all__ = ["TAILOR"]

# Their frame encoder of the text is not a pretrained one.
_ENCODERS = {"bert": "text", "visual": "vision", "audio": "audio"}
_NORMS = {"text": "text", "visual": "vision", "audio": "audio"}
_CROSS_ENCODERS = {
    "va_cross": "cross_encoders.audio",
    "vat_cross": "cross_encoders.text",
    "pc_cross": "common_encoder",
}
_CROSS_PARTS = {
    r"embeddings\.position_embeddings\.": "position_embeddings.",
    r"embeddings\.token_type_embeddings\.": "type_embeddings.",
    r"embeddings\.LayerNorm\.": "norm.",
    r"encoder\.layer\.": "encoder.layers.",
}
_DECODER_PARTS = {
    r"embeddings\.word_embeddings\.": "queries.",
    r"embeddings\.LayerNorm\.": "norm.",
    r"decoder\.layer\.(\d+)\.slf_attn\.att\.": r"layers.\1.self_attention.self.",
    r"decoder\.layer\.(\d+)\.slf_attn\.": r"layers.\1.self_attention.",
    r"decoder\.layer\.(\d+)\.enc_attn\.att\.": r"layers.\1.cross_attention.self.",
    r"decoder\.layer\.(\d+)\.enc_attn\.": r"layers.\1.cross_attention.",
    r"decoder\.layer\.": "layers.",
}


def _renames() -> list[tuple[str, str | None]]:
    found = encoder_renames(_ENCODERS, _NORMS)
    for official, ours in _CROSS_ENCODERS.items():
        found += [(rf"{official}\.{part}", f"{ours}.{name}") for part, name in _CROSS_PARTS.items()]
        found.append((rf"{official}\.pooler\.", None))
    found += [(rf"decoder\.{part}", f"decoder.{name}") for part, name in _DECODER_PARTS.items()]
    for number, name in enumerate(("text", "vision", "audio")):
        found.append((rf"private_feature_extractor\.{number}\.0\.", f"private_projections.{name}."))
    return [
        *found,
        (r"cross_classifier\.dense\.", "decoder.score."),
        (r"common_classfier\.0\.", "common_classifier."),
        (r"common_feature_extractor\.0\.", "common_projection."),
        (r"modal_discriminator\.", "discriminator."),
    ]


def _configure(state: State) -> dict[str, Any]:
    settings = encoder_settings(state, _ENCODERS)
    length = settings["max_text_length"]
    return {
        **settings,
        "aligned": True,
        "aligned_length": length,
        "fixed_length": length,
        "mask_padding": False,
        "cross_num_hidden_layers": layer_count(state, "va_cross.encoder"),
        "decoder_num_hidden_layers": layer_count(state, "decoder.decoder"),
    }


TAILOR = OfficialCheckpoint(TailorForEmotionClassification, _configure, _renames())
