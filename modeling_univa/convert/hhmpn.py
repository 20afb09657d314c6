# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""State dicts of the official code of HHMPN (MANLP-suda/HHMPN)."""

from typing import Any

import torch

from ..models.modeling_hhmpn import HhmpnForEmotionClassification
from .cross_modal import encoder_renames
from .official import PackedAttentionCheckpoint, State, layer_count


__all__ = ["HHMPN"]

_LETTERS = {"text": "l", "audio": "a", "vision": "v"}
# The code hands what it calls the stream of sound to the decoder of vision, and the other way round.
_STREAM_LETTERS = {"text": "l", "audio": "v", "vision": "a"}
_DECODERS = {"text": "text", "audio": "audio", "vision": "visual"}
_LAYER_PARTS = {
    r"enc_attn\.w_qs\.": "cross_attention.attention.query.",
    r"enc_attn\.w_ks\.": "cross_attention.attention.key.",
    r"enc_attn\.w_vs\.": "cross_attention.attention.value.",
    r"enc_attn\.fc\.": "cross_attention.attention.output.",
    r"enc_attn\.layer_norm\.": "cross_attention.norm.",
    **{
        rf"pos_ffn{number}\.{official}\.": f"{ours}.{part}."
        for number, ours in ((1, "feed_forward"), (2, "last_feed_forward"))
        for official, part in (("w_1", "intermediate"), ("w_2", "output"), ("layer_norm", "norm"))
    },
}
# What the code builds and never uses; `tgt_word_proj.weight` is the label embeddings once more.
_DEAD = (
    r"decoder\.(?:com_nodeattn|lyr_nodeattn|dense|proj1|proj2)\.|encoder\.(?:align_|layer_)|"
    r"encoder\.mult\.(?:out_layer\.|proj[12]\.)|tgt_word_proj\.weight$"
)


def _configure(state: State) -> dict[str, Any]:
    intermediate, hidden_size = state["decoder.layer_text_stack.0.pos_ffn1.w_1.weight"].shape[:2]
    layers = {name.split(".")[2] for name in state if name.startswith("decoder.layer_text_stack.")}
    return {
        **{
            f"{name}_feature_size": state[f"encoder.mult.align_{letter}.weight"].shape[1]
            for name, letter in _LETTERS.items()
        },
        "variant": "released",
        "hidden_size": hidden_size,
        "num_hidden_layers": layer_count(state, "encoder.mult.trans_l_with_a"),
        "num_label_layers": len(layers),
        "label_intermediate_size": intermediate,
    }


def _reshape(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """A convolution over one label at a time as the linear layer that it is."""
    return tensor.squeeze(-1) if "feed_forward" in name and tensor.ndim == 3 else tensor


def _renames() -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = [(_DEAD, None), *encoder_renames("encoder.mult.", "cross_modal.")]
    for name, letter in _LETTERS.items():
        found.append((rf"encoder\.mult\.align_{letter}\.", f"projections.{name}."))
    for name, letter in _STREAM_LETTERS.items():
        for place, part in ((0, f"trans_{letter}1"), (2, f"trans_{letter}2"), (3, f"out_layer_{letter}")):
            found.append((rf"encoder\.mult\.{part}\.", f"streams.{name}.{place}."))
    for name, official in _DECODERS.items():
        layer = rf"decoder\.layer_{official}_stack\.(\d+)\."
        found += [(layer + part, rf"decoders.{name}.layers.\1.{ours}") for part, ours in _LAYER_PARTS.items()]
    for number, name in enumerate(("text", "vision", "audio"), start=1):
        found.append((rf"decoder\.multi_angle_fus\.get_angle_{number}\.", f"fusion.angles.{name}."))
    return [
        *found,
        (r"decoder\.multi_angle_fus\.get_score_1\.", "fusion.score.0."),
        (r"decoder\.multi_angle_fus\.get_score_2\.", "fusion.score.1."),
        (r"decoder\.multi_angle_fus\.out_put\.", "fusion.output."),
        (r"decoder\.tgt_word_emb\.", "labels."),
        (r"tgt_word_proj\.linear\.", "classifier."),
    ]


HHMPN = PackedAttentionCheckpoint(HhmpnForEmotionClassification, _configure, _renames(), _reshape)
