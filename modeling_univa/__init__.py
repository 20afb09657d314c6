# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""UniVA as a Hugging Face citizen: multimodal multi-label emotion recognition driven by valence and arousal.

Where this package is imported, transformers' auto classes load UniVA folders with its code, so that
`trust_remote_code` is not needed; elsewhere they load the code that lies beside the weights.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from transformers import AutoConfig, AutoModel

from .models.configuration_univa import UnivaConfig
from .models.losses_univa import UnivaObjective
from .models.modeling_affect_regressor import UnivaAffectRegressor, UnivaAffectRegressorConfig
from .models.modeling_emonet import EmoNetConfig, EmoNetModel
from .models.modeling_inception_resnet_v1 import InceptionResnetV1Config, InceptionResnetV1Model
from .models.modeling_mini_xception import MiniXceptionConfig, MiniXceptionModel
from .models.modeling_univa import UnivaForEmotionClassification, UnivaModel
from .models.modeling_wav2vec2_affect import Wav2Vec2AffectConfig, Wav2Vec2AffectModel
from .models.pipeline_univa import UnivaPipeline
from .models.processing_univa import UnivaProcessor
from .models.systems import register_systems


if TYPE_CHECKING:
    from .data.loading import load_corpus
    from .prediction.table import predict
    from .training.trainer import UnivaTrainer
    from .training.training_arguments import UnivaTrainingArguments

try:
    __version__ = version("univa")
except PackageNotFoundError:  # a source tree that was not installed
    __version__ = "0+unknown"

register_systems()
for _config, _model in (
    (EmoNetConfig, EmoNetModel),
    (InceptionResnetV1Config, InceptionResnetV1Model),
    (MiniXceptionConfig, MiniXceptionModel),
    (Wav2Vec2AffectConfig, Wav2Vec2AffectModel),
    (UnivaAffectRegressorConfig, UnivaAffectRegressor),
):
    AutoConfig.register(_config.model_type, _config)
    AutoModel.register(_config, _model)

# Imported when they are asked for: who uses a model need not wait for what trains one.
_LAZY = {
    "UnivaTrainer": ".training.trainer",
    "UnivaTrainingArguments": ".training.training_arguments",
    "load_corpus": ".data.loading",
    "predict": ".prediction.table",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})


__all__ = [
    "UnivaConfig",
    "UnivaForEmotionClassification",
    "UnivaModel",
    "UnivaObjective",
    "UnivaPipeline",
    "UnivaProcessor",
    "UnivaTrainer",
    "UnivaTrainingArguments",
    "load_corpus",
    "predict",
]
