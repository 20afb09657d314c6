# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Every kind of extractor by its name, and extractors from what was saved of them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from .extractor_base_univa import Extractor, settings_of
from .face_expressions_univa import FaceExpressionExtractor
from .face_networks_univa import FaceEmbeddingExtractor
from .light_features_univa import HogExtractor, LogMelExtractor  # noqa: F401
from .speech_encoder_univa import SpeechEncoderExtractor
from .word_vectors_univa import WordVectorExtractor


__all__ = ["EXTRACTORS", "LIGHT_EXTRACTORS", "PRETRAINED_EXTRACTORS", "extractor_from_dict"]


# Every kind that is imported above.
EXTRACTORS: dict[str, type[Any]] = {
    kind.extractor_type: kind for kind in list(globals().values()) if hasattr(kind, "extractor_type")
}
# Without pretrained weights, which may be named by their kind alone.
LIGHT_EXTRACTORS = {
    name: kind for name, kind in EXTRACTORS.items() if not any(item.name == "model" for item in fields(kind))
}
# What a Hub id or a path stands for, by modality.
PRETRAINED_EXTRACTORS: dict[str, type[Any]] = {
    kind.modality: kind
    for kind in (SpeechEncoderExtractor, FaceEmbeddingExtractor, FaceExpressionExtractor, WordVectorExtractor)
}


def extractor_from_dict(config: Mapping[str, Any]) -> Extractor:
    """Rebuild an extractor from what its `to_dict` gave.

    Raises:
        ValueError: An unknown kind or setting, or a `feature_size` that the settings do not give.
    """
    settings = {name: value for name, value in config.items() if name != "replaces"}
    kind = settings.pop("extractor_type", None)
    feature_size = settings.get("feature_size")
    if not isinstance(kind, str) or kind not in EXTRACTORS:
        raise ValueError(f"unknown `extractor_type` {kind!r}; known are {', '.join(sorted(EXTRACTORS))}")
    known = settings_of(EXTRACTORS[kind])
    if "feature_size" not in known:
        settings.pop("feature_size", None)
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(f"the {kind} extractor has no setting {', '.join(unknown)}; it has {', '.join(known)}")
    switches = [item.name for item in fields(EXTRACTORS[kind]) if isinstance(item.default, bool)]
    for name, value in settings.items():
        if name in switches and not isinstance(value, bool):
            raise ValueError(f"`{name}` of the {kind} extractor must be true or false, got {value!r}")
    extractor = EXTRACTORS[kind](**settings)
    if feature_size not in (None, extractor.feature_size):
        raise ValueError(
            f"the {kind} extractor with these settings makes features of size {extractor.feature_size}, "
            f"but its configuration says {feature_size}"
        )
    return extractor
