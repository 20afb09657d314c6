# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of the official code of LDDU (201983290498/lddu_mmer)."""

from typing import Any

from ..models.modeling_lddu import LdduForEmotionClassification
from .frame_encoder import encoder_renames, encoder_settings
from .official import OfficialCheckpoint, State
from .queue_contrast import QUEUE_RENAMES, queue_tensor


__all__ = ["LDDU"]

# Their frame encoder of the text is not a pretrained one.
_ENCODERS = {"bert": "text", "visual": "vision", "audio": "audio"}
_NORMS = {"text": "text", "visual": "vision", "audio": "audio"}
# By their number.
_ORDER = ("vision", "audio", "text")
_ATTENTION = {"label_projection": "query", "seq_projection": "key", "out_projection": "output"}


def _renames() -> list[tuple[str, str | None]]:
    found = encoder_renames(_ENCODERS, _NORMS)
    for number, name in enumerate(_ORDER):
        attention = [(rf"label_wise_attention\.{part}\.{number}\.", ours) for part, ours in _ATTENTION.items()]
        found += [(pattern, f"label_attention.{name}.{ours}.") for pattern, ours in attention]
        found += [
            (rf"encoder\.{number}\.linear\.", f"distributions.{name}.layers."),
            (rf"encoder\.{number}\.output\.", f"distributions.{name}.layers.2."),
            (rf"encoder\.{number}\.fc_mu\.", f"distributions.{name}.mean."),
            (rf"encoder\.{number}\.fc_var\.", f"distributions.{name}.log_variance."),
        ]
    return [
        *found,
        (r"embedding_layer\.", "label_embeddings."),
        (r"common_classfier\.", "gate."),
        (r"final_classifier\.", "centre_heads."),
        (r"var_classifier1\.", "width_heads."),
        (r"(?:final_classifer2|var_classifier2)\.", None),
        *QUEUE_RENAMES,
    ]


def _configure(state: State) -> dict[str, Any]:
    settings = encoder_settings(state, _ENCODERS)
    attention, label = state["label_wise_attention.label_projection.0.weight"].shape
    return {
        **settings,
        "label_size": label,
        "attention_size": attention,
        "latent_size": state["encoder.0.fc_mu.weight"].shape[0],
        "queue_size": state["queue"].shape[0],
        # The published features are 50 frames long.
        "fixed_length": min(50, settings["max_text_length"]),
    }


LDDU = OfficialCheckpoint(
    LdduForEmotionClassification,
    _configure,
    _renames(),
    queue_tensor,
    features={"text": "bert", "audio": "covarep", "vision": "facet-4.2"},
)
