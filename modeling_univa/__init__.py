# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""UniVA as a Hugging Face citizen: multimodal multi-label emotion recognition driven by valence and arousal.

Where this package is imported, transformers' auto classes load UniVA folders with its code, so that
`trust_remote_code` is not needed; elsewhere they load the code that lies beside the weights. The names of the package
are imported when they are used.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from .auto_classes import announce_networks


if TYPE_CHECKING:
    from .data.corpus import Corpus
    from .data.loading import load_corpus, make_split
    from .data.utterances import UtteranceCollator, UtteranceDataset
    from .models.configuration_emotion import EmotionConfig
    from .models.configuration_univa import UnivaConfig
    from .models.losses_univa import UnivaObjective
    from .models.modeling_emotion import EmotionModel, EmotionOutput
    from .models.modeling_univa import UnivaForEmotionClassification, UnivaModel
    from .models.pipeline_univa import UnivaPipeline
    from .models.processing_univa import UnivaProcessor
    from .prediction.table import predict
    from .scores.metrics import MultilabelMetrics, multilabel_metrics
    from .training.arguments import ModelArguments
    from .training.run import build_model
    from .training.trainer import UnivaTrainer
    from .training.training_arguments import UnivaTrainingArguments

try:
    __version__ = version("univa")
except PackageNotFoundError:  # a source tree that was not installed
    __version__ = "0+unknown"

# The public names, and where they come from.
_MODULES = {
    "Corpus": "data.corpus",
    "EmotionConfig": "models.configuration_emotion",
    "EmotionModel": "models.modeling_emotion",
    "EmotionOutput": "models.modeling_emotion",
    "ModelArguments": "training.arguments",
    "MultilabelMetrics": "scores.metrics",
    "UnivaConfig": "models.configuration_univa",
    "UnivaForEmotionClassification": "models.modeling_univa",
    "UnivaModel": "models.modeling_univa",
    "UnivaObjective": "models.losses_univa",
    "UnivaPipeline": "models.pipeline_univa",
    "UnivaProcessor": "models.processing_univa",
    "UnivaTrainer": "training.trainer",
    "UnivaTrainingArguments": "training.training_arguments",
    "UtteranceCollator": "data.utterances",
    "UtteranceDataset": "data.utterances",
    "build_model": "training.run",
    "load_corpus": "data.loading",
    "make_split": "data.loading",
    "multilabel_metrics": "scores.metrics",
    "predict": "prediction.table",
}

announce_networks()


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})


__all__ = [
    "Corpus",
    "EmotionConfig",
    "EmotionModel",
    "EmotionOutput",
    "ModelArguments",
    "MultilabelMetrics",
    "UnivaConfig",
    "UnivaForEmotionClassification",
    "UnivaModel",
    "UnivaObjective",
    "UnivaPipeline",
    "UnivaProcessor",
    "UnivaTrainer",
    "UnivaTrainingArguments",
    "UtteranceCollator",
    "UtteranceDataset",
    "build_model",
    "load_corpus",
    "make_split",
    "multilabel_metrics",
    "predict",
]
