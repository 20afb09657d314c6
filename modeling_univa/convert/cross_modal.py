# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Official names of the cross-modal transformer, which MulT, HHMPN and FacialMMT share."""

import re

from ..models.configuration_emotion import MODALITIES


__all__ = ["encoder_renames", "transformer_renames"]

# The official letter of each modality.
_LETTERS = dict(zip(MODALITIES, "lav", strict=True))
_LAYER_PARTS = {
    r"self_attn\.(query|key|value)\.": r"attention.\2.",
    r"self_attn\.out_proj\.": "attention.output.",
    r"layer_norms\.0\.": "attention_norm.",
    r"layer_norms\.1\.": "output_norm.",
    r"fc1\.": "intermediate.",
    r"fc2\.": "output.",
}


def transformer_renames(official: str, ours: str) -> list[tuple[str, str | None]]:
    """Renames of the parameters of one transformer, whose official and own name are given without a dot at the end."""
    layer = rf"{re.escape(official)}\.layers\.(\d+)\."
    return [
        *((layer + part, rf"{ours}.layers.\1.{name}") for part, name in _LAYER_PARTS.items()),
        (rf"{re.escape(official)}\.layer_norm\.", f"{ours}.norm."),
        (rf"{re.escape(official)}\.(?:version|embed_positions\.)", None),
    ]


def encoder_renames(official: str, ours: str) -> list[tuple[str, str | None]]:
    """Renames of the six transformers of pairs of modalities and the three of each alone; names end with a dot."""
    found = []
    for target, letter in _LETTERS.items():
        found += transformer_renames(f"{official}trans_{letter}_mem", f"{ours}memories.{target}")
        for source in MODALITIES:
            if source != target:
                name = f"{official}trans_{letter}_with_{_LETTERS[source]}"
                found += transformer_renames(name, f"{ours}crossings.{target}.{source}")
    return found
