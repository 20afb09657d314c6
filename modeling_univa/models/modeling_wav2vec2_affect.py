# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Arousal, dominance and valence of speech: audeering's wav2vec 2.0 (Wagner et al., IEEE TPAMI 2023)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model, Wav2Vec2PreTrainedModel
from transformers.utils import ModelOutput

from .checked_loading_univa import CheckedConfig, CheckedModel, check_architecture


# Order of the published head's outputs.
DIMENSIONS: tuple[str, ...] = ("arousal", "dominance", "valence")
SAMPLING_RATE = 16000


@strict
class Wav2Vec2AffectConfig(CheckedConfig, Wav2Vec2Config):
    r"""
    Configuration of [`Wav2Vec2AffectModel`]: that of its `Wav2Vec2Model`, with the defaults of
    `audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim`. `final_dropout` is the dropout of the head.

    A configuration of type `wav2vec2`, as the published folder has, is read too.
    """

    model_type = "wav2vec2-affect"

    hidden_size: int = 1024
    num_hidden_layers: int = 12
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    feat_extract_norm: str = "layer"
    conv_bias: bool = True
    do_stable_layer_norm: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        self.id2label = dict(enumerate(DIMENSIONS))
        self.label2id = {name: index for index, name in enumerate(DIMENSIONS)}
        super().__post_init__(**kwargs)

    def validate_architecture(self) -> None:
        """Check fields by themselves and against each other; called by the strict dataclass."""
        check_architecture(self)
        super().validate_architecture()

    @classmethod
    def get_config_dict(cls, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The file as a dictionary; a `wav2vec2` one is taken for ours."""
        config, kwargs = super().get_config_dict(*args, **kwargs)
        if config.get("model_type") == Wav2Vec2Config.model_type:
            config["model_type"] = cls.model_type
        return config, kwargs

    @property
    def min_samples(self) -> int:
        """Length of the shortest waveform that gives a frame, in samples."""
        samples = 1
        for kernel, stride in zip(reversed(self.conv_kernel), reversed(self.conv_stride), strict=True):
            samples = (samples - 1) * stride + kernel
        return samples


@dataclass
class Wav2Vec2AffectOutput(ModelOutput):
    """
    What the model tells of B waveforms.

    Args:
        arousal, dominance, valence (`torch.FloatTensor` of shape `(B,)`):
            About 0 to 1, 0.5 being neutral; not limited to it.
        pooled (`torch.FloatTensor` of shape `(B, hidden_size)`):
            Mean of the last hidden states over the valid frames.
    """

    arousal: torch.Tensor | None = None
    dominance: torch.Tensor | None = None
    valence: torch.Tensor | None = None
    pooled: torch.Tensor | None = None


class Wav2Vec2AffectHead(nn.Module):
    """Dropout, linear, tanh, dropout, linear."""

    def __init__(self, config: Wav2Vec2AffectConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.final_dropout)
        self.out_proj = nn.Linear(config.hidden_size, len(DIMENSIONS))

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """`(B, hidden_size)` to `(B, 3)`."""
        return self.out_proj(self.dropout(torch.tanh(self.dense(self.dropout(pooled)))))


class Wav2Vec2AffectModel(CheckedModel, Wav2Vec2PreTrainedModel):
    """
    `Wav2Vec2Model`, mean over the valid frames, and a head with three outputs (Wagner et al., 2023).

    `from_pretrained` takes `audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim` as it is; its weights are for
    non-commercial use.
    """

    config: Wav2Vec2AffectConfig
    config_class = Wav2Vec2AffectConfig
    head_parameters = (r"classifier\.",)

    def __init__(self, config: Wav2Vec2AffectConfig):
        super().__init__(config)
        self.wav2vec2 = Wav2Vec2Model(config)
        self.classifier = Wav2Vec2AffectHead(config)
        self.post_init()

    def forward(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Wav2Vec2AffectOutput | tuple:
        """
        Args:
            input_values (`torch.FloatTensor` of shape `(B, T)`):
                Waveforms at 16 kHz, each of zero mean and unit variance, padded with 0 at the end; see [`preprocess`].
            attention_mask (`torch.LongTensor` of shape `(B, T)`, *optional*):
                1 for samples, 0 for padding. A row gives the same alone and in a padded batch. With
                `feat_extract_norm="group"` (the base models, not the published one) the norm would run over the
                padding: rows of different lengths are then computed one length after the other.
        """
        if attention_mask is None or self.config.feat_extract_norm == "layer":
            pooled = self._pool(input_values, attention_mask, **kwargs)
        else:
            pooled = self._pool_by_length(input_values, attention_mask, **kwargs)
        scores = dict(zip(DIMENSIONS, self.classifier(pooled).unbind(dim=-1), strict=True))
        output = Wav2Vec2AffectOutput(**scores, pooled=pooled)
        return output.to_tuple() if return_dict is False else output

    def _pool(self, input_values: torch.Tensor, attention_mask: torch.Tensor | None, **kwargs: Any) -> torch.Tensor:
        hidden_states = self.wav2vec2(input_values, attention_mask=attention_mask, **kwargs).last_hidden_state
        if attention_mask is None:
            return hidden_states.mean(dim=1)
        mask = self._get_feature_vector_attention_mask(hidden_states.shape[1], attention_mask)
        hidden_states = hidden_states.masked_fill(~mask[..., None], 0)
        return hidden_states.sum(dim=1) / mask.sum(dim=1, keepdim=True)

    def _pool_by_length(self, input_values: torch.Tensor, attention_mask: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        lengths = attention_mask.sum(dim=1)
        pooled = input_values.new_zeros(len(lengths), self.config.output_hidden_size)
        for length in lengths.unique().tolist():
            rows = lengths == length
            pooled[rows] = self._pool(input_values[rows, :length], None, **kwargs)
        return pooled

    def preprocess(
        self, waveforms: Sequence[np.ndarray], sampling_rate: int = SAMPLING_RATE
    ) -> dict[str, torch.Tensor]:
        """
        Inputs of the model from waveforms: `model(**model.preprocess(waveforms))`.

        Args:
            waveforms: mono, any lengths, float; each is brought to zero mean and unit variance by itself.
            sampling_rate: in Hz; has to be 16000.

        Returns:
            `input_values (B, T)`, padded with 0 to the longest, and `attention_mask (B, T)`, where the model is.

        Raises:
            `ValueError`: another sampling rate, or a waveform that is not mono or too short for a single frame.
        """
        if sampling_rate != SAMPLING_RATE:
            raise ValueError(f"`waveforms` must be at {SAMPLING_RATE} Hz, got {sampling_rate}: resample them first.")
        shortest = self.config.min_samples
        for index, waveform in enumerate(waveforms):
            if np.ndim(waveform) != 1 or len(waveform) < shortest:
                raise ValueError(
                    f"Waveform {index} must be one-dimensional with at least {shortest} samples "
                    f"({1000 * shortest / SAMPLING_RATE:g} ms), got the shape {np.shape(waveform)}."
                )
        extractor = Wav2Vec2FeatureExtractor(
            sampling_rate=SAMPLING_RATE, padding_value=0.0, do_normalize=True, return_attention_mask=True
        )
        inputs = extractor(
            [np.asarray(waveform, dtype=np.float32) for waveform in waveforms],
            sampling_rate=sampling_rate,
            padding=True,
            return_tensors="pt",
        )
        return {
            "input_values": inputs["input_values"].to(self.device, self.dtype),
            "attention_mask": inputs["attention_mask"].to(self.device),
        }


Wav2Vec2AffectConfig.register_for_auto_class()
Wav2Vec2AffectModel.register_for_auto_class("AutoModel")

__all__ = [
    "DIMENSIONS",
    "SAMPLING_RATE",
    "Wav2Vec2AffectConfig",
    "Wav2Vec2AffectModel",
    "Wav2Vec2AffectOutput",
]
