# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""State dicts of the official code of FacialMMT (NUSTM/FacialMMT), of the network without its Swin transformer."""

from typing import Any

from ..models.modeling_facialmmt import FacialmmtForEmotionClassification
from .cross_modal import transformer_renames
from .official import PackedAttentionCheckpoint, State, layer_count


__all__ = ["FACIALMMT"]

# Expressions of Aff-Wild2, whose probabilities stand after the features of a face.
_EXPRESSIONS = 7
_ENCODER = r"(audio|vision)_utt_transformer\."
_LAYER, _LAYER_TO = _ENCODER + r"layer\.(\d+)\.", r"encoders.\1.layers.\2."


def _configure(state: State) -> dict[str, Any]:
    hidden_size = state["classifier.weight"].shape[1]
    return {
        "id2label": {number: f"LABEL_{number}" for number in range(len(state["classifier.weight"]))},
        "audio_feature_size": state["audio_linear.weight"].shape[1],
        "vision_feature_size": state["vision_linear.weight"].shape[1] - _EXPRESSIONS,
        "face_emotion_size": _EXPRESSIONS,
        "hidden_size": hidden_size,
        "num_attention_heads": max(1, hidden_size // 64),
        "intermediate_size": len(state["audio_utt_transformer.layer.0.intermediate.dense.weight"]),
        **{f"{name}_num_hidden_layers": layer_count(state, f"{name}_utt_transformer") for name in ("audio", "vision")},
        "text_audio_num_layers": layer_count(state, "CrossModalTrans_TA"),
        "text_audio_vision_num_layers": layer_count(state, "CrossModalTrans_TA_V"),
        **{
            f"max_{name}_length": len(state[f"{name}_utt_transformer.position_embeddings.weight"])
            for name in ("audio", "vision")
        },
        "fixed_length": None,
    }


FACIALMMT = PackedAttentionCheckpoint(
    FacialmmtForEmotionClassification,
    _configure,
    [
        (r"roberta\.(?:pooler\.|embeddings\.(?:position_ids|token_type_ids)$)", None),
        (r"roberta\.", "text_encoder."),
        (r"text_linear\.", "encoders.text.projection."),
        (r"(audio|vision)_linear\.", r"encoders.\1.projection."),
        (_ENCODER + r"position_embeddings\.", r"encoders.\1.position_embeddings."),
        (_LAYER + r"transformer_self_attention\.selfatt\.", _LAYER_TO + "attention.self."),
        (_LAYER + r"transformer_self_attention\.dense_norm\.", _LAYER_TO + "attention.output."),
        (_LAYER, _LAYER_TO),
        *transformer_renames("CrossModalTrans_TA", "crossings.text_audio"),
        *transformer_renames("CrossModalTrans_TA_V", "crossings.text_audio_vision"),
        (r"attention\.query_vector", "pooling.query_vector"),
        (r"attention\.value\.", "pooling.score."),
        (r"attention\.P\.", "pooling.key."),
        (r"attention\.Q\.", "pooling.query."),
        (r"classifier\.", "classifier."),
    ],
    features={"audio": "wav2vec2-base of FacialMMT", "vision": "Swin-T of FacialMMT"},
    reads_tokens=True,
)
