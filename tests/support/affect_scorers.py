# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Tiny scorers of valence and arousal in folders, random weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from testing_utils import bert_tokenizer, text_config
from transformers import AutoModelForSequenceClassification

from modeling_univa.models.modeling_affect_regressor import UnivaAffectRegressor, UnivaAffectRegressorConfig
from modeling_univa.models.processing_univa import UnivaProcessor


def write_text_scorer(folder: Path, labels: Sequence[str] = ("valence", "arousal"), **settings: Any) -> Path:
    """A text classifier with these outputs, and its tokenizer."""
    torch.manual_seed(0)
    config = text_config("bert")
    config.update({"id2label": dict(enumerate(labels)), "label2id": {name: i for i, name in enumerate(labels)}})
    config.update(settings)
    model = AutoModelForSequenceClassification.from_config(config)
    model.classifier.weight.data.normal_(std=2)
    model.save_pretrained(folder)
    bert_tokenizer().save_pretrained(folder)
    return folder


def write_regressor(folder: Path, modality: str, extractor: Mapping[str, Any]) -> Path:
    """A regressor of the features that an extractor with these settings makes of sound or faces."""
    torch.manual_seed(0)
    config = UnivaAffectRegressorConfig(
        modality=modality, feature_size=extractor["feature_size"], hidden_size=8, num_attention_heads=2,
        intermediate_size=8, max_length=20,
    )  # fmt: skip
    UnivaAffectRegressor(config).save_pretrained(folder)
    UnivaProcessor.from_config(config, None, {modality: extractor}).save_pretrained(folder)
    return folder
