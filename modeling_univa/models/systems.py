# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The systems of this package, and its other networks. Nothing that travels with weights imports this module."""

from os import PathLike
from typing import Any

from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoProcessor,
    PreTrainedConfig,
)

from .configuration_emotion import EmotionConfig
from .modeling_affect_regressor import UnivaAffectRegressor
from .modeling_carat import CaratForEmotionClassification
from .modeling_emonet import EmoNetModel
from .modeling_emotion import EmotionModel
from .modeling_facialmmt import FacialmmtForEmotionClassification
from .modeling_hhmpn import HhmpnForEmotionClassification
from .modeling_inception_resnet_v1 import InceptionResnetV1Model
from .modeling_lddu import LdduForEmotionClassification
from .modeling_m3er import M3erForEmotionClassification
from .modeling_mdi import MdiForEmotionClassification
from .modeling_mini_xception import MiniXceptionModel
from .modeling_mult import MultForEmotionClassification
from .modeling_robmmr import RobmmrForEmotionClassification
from .modeling_tailor import TailorForEmotionClassification
from .modeling_univa import UnivaForEmotionClassification
from .modeling_wav2vec2_affect import Wav2Vec2AffectModel
from .processing_univa import UnivaProcessor


__all__ = ["SYSTEMS", "register_networks", "system_named", "system_of"]

_NETWORKS: list[type[EmotionModel]] = [
    CaratForEmotionClassification,
    FacialmmtForEmotionClassification,
    HhmpnForEmotionClassification,
    LdduForEmotionClassification,
    M3erForEmotionClassification,
    MdiForEmotionClassification,
    MultForEmotionClassification,
    RobmmrForEmotionClassification,
    TailorForEmotionClassification,
    UnivaForEmotionClassification,
]
# What extractors and scorers are made of.
_OTHERS: list[Any] = [
    EmoNetModel,
    InceptionResnetV1Model,
    MiniXceptionModel,
    UnivaAffectRegressor,
    Wav2Vec2AffectModel,
]
# By the `model_type` of the configuration.
SYSTEMS: dict[str, type[EmotionModel]] = {model.config_class.model_type: model for model in _NETWORKS}


def system_named(name: Any) -> Any:
    """
    The network of a system, one of this package or another that is registered with the auto classes.

    Args:
        name: the `model_type` of its configuration.

    Returns:
        Its class, or `None` where no system has that name.
    """
    config_class = CONFIG_MAPPING[name] if isinstance(name, str) and name in CONFIG_MAPPING else None
    if config_class is None or not issubclass(config_class, EmotionConfig):
        return None
    return MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.get(config_class, None)


def system_of(name_or_path: str | PathLike, **hub: Any) -> Any:
    """
    The class of a saved model.

    Args:
        name_or_path: its folder, or its id on the Hub.
        hub: `revision`, `token`, `cache_dir` and the like.

    Returns:
        That of its `model_type`; of another model, or of a folder without configuration, one that refuses it.
    """
    try:
        name = PreTrainedConfig.get_config_dict(name_or_path, **hub)[0].get("model_type")
    except (OSError, ValueError, RecursionError, AttributeError, TypeError):  # no file, or one that holds no object
        name = None
    return system_named(name) or UnivaForEmotionClassification


def register_networks() -> None:
    """Let transformers' auto classes load the systems and the other networks with the code of this package."""
    for model in (*SYSTEMS.values(), *_OTHERS):
        config: Any = model.config_class
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModel.register(config, model, exist_ok=True)
    for model in SYSTEMS.values():
        config = model.config_class
        AutoModelForSequenceClassification.register(config, model, exist_ok=True)
        AutoProcessor.register(config, UnivaProcessor, exist_ok=True)
