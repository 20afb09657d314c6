# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Official names of the cross-modal transformer, which MulT, HHMPN and FacialMMT share."""

import re

import torch

from ..models.configuration_emotion import MODALITIES
from .official import OfficialCheckpoint, State


__all__ = ["CrossModalCheckpoint", "encoder_renames", "layer_count", "transformer_renames"]

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


class CrossModalCheckpoint(OfficialCheckpoint):
    """Of a system whose query, key and value projections are one official tensor."""

    def converted(self, state: State) -> dict[str, torch.Tensor]:
        """As [`OfficialCheckpoint.converted`], with the three projections apart."""
        apart = {}
        for name, tensor in state.items():
            found = re.fullmatch(r"(.*attn)\.in_proj_(weight|bias)", name)
            if found is None:
                apart[name] = tensor
                continue
            # A tensor that is too short is refused where it is loaded.
            for part, chunk in zip(("query", "key", "value"), tensor.chunk(3), strict=False):
                apart[f"{found[1]}.{part}.{found[2]}"] = chunk.contiguous()
        return super().converted(apart)


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


def layer_count(state: State, transformer: str) -> int:
    """How many layers a transformer of an official name has."""
    pattern = re.compile(rf"{re.escape(transformer)}\.layers\.(\d+)\.")
    return len({found[1] for name in state if (found := pattern.match(name))})
