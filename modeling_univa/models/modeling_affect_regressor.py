# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A small network from speech or face features to valence and arousal, for where no pretrained scorer is available."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers.configuration_utils import PreTrainedConfig
from transformers.utils import ModelOutput

from .checked_loading_univa import CheckedConfig, check_activation, check_finite_fields, estimated_parameters
from .limits_univa import check_limit
from .modeling_emotion import checked_frames
from .modeling_univa import UnivaPreTrainedModel, UnivaSequenceEncoder

# The model comes with this processor, which makes its inputs from raw media: imported, so that it is saved beside it.
from .processing_univa import UnivaProcessor  # noqa: F401


_AUTO_MAP = {
    "AutoConfig": "modeling_affect_regressor.UnivaAffectRegressorConfig",
    "AutoModel": "modeling_affect_regressor.UnivaAffectRegressor",
    "AutoProcessor": "processing_univa.UnivaProcessor",
}
# Which limit each size has.
_SIZES = {
    **dict.fromkeys(["feature_size", "hidden_size", "num_attention_heads", "intermediate_size"], "width"),
    "num_hidden_layers": "layers",
    "max_length": "length",
}
_DROPOUTS = ("projection_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")


@strict
class UnivaAffectRegressorConfig(CheckedConfig, PreTrainedConfig):
    r"""
    Configuration of a [`UnivaAffectRegressor`].

    Args:
        modality (`"audio"` or `"vision"`):
            What the frames are of: speech or faces.
        feature_size (`int`, defaults to 95):
            Width of a frame.
        max_length (`int`, defaults to 512):
            Longest clip in frames.
        hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, hidden_act, layer_norm_eps:
            Sizes of the transformer layers over the frames.
        projection_dropout, hidden_dropout_prob, attention_probs_dropout_prob, classifier_dropout (`float`):
            Dropout after the input projection, in the layers, on the attention weights, and before the last layer.

    Raises:
        `huggingface_hub.errors.StrictDataclassError`: a field of the wrong type, or fields that contradict each other.
    """

    model_type = "univa_affect_regressor"
    # transformers' own BERT layers are built from this configuration and ask for these two.
    is_decoder: ClassVar[bool] = False
    add_cross_attention: ClassVar[bool] = False

    modality: Literal["audio", "vision"] = "audio"
    feature_size: int = 95
    max_length: int = 512
    hidden_size: int = 128
    num_hidden_layers: int = 1
    num_attention_heads: int = 4
    intermediate_size: int = 256
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    projection_dropout: float | int = 0.1
    hidden_dropout_prob: float | int = 0.1
    attention_probs_dropout_prob: float | int = 0.1
    classifier_dropout: float | int = 0.1

    def __post_init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("id2label", {0: "valence", 1: "arousal"})
        kwargs.setdefault("label2id", {"valence": 0, "arousal": 1})
        kwargs.setdefault("auto_map", dict(_AUTO_MAP))
        super().__post_init__(**kwargs)

    # What `UnivaSequenceEncoder` reads, for the one modality that there is.

    @property
    def feature_sizes(self) -> dict[str, int]:
        """Frame width by modality."""
        return {self.modality: self.feature_size}

    @property
    def extracted_sizes(self) -> dict[str, int]:
        """The same: expressions of faces are not read."""
        return self.feature_sizes

    @property
    def max_lengths(self) -> dict[str, int]:
        """Longest clip in frames, by modality."""
        return {self.modality: self.max_length}

    @property
    def audio_num_hidden_layers(self) -> int:
        """Layers over speech frames."""
        return self.num_hidden_layers

    @property
    def vision_num_hidden_layers(self) -> int:
        """Layers over face frames."""
        return self.num_hidden_layers

    @property
    def modalities(self) -> list[str]:
        """The one modality; for [`UnivaProcessor.from_config`], as the next."""
        return [self.modality]

    @property
    def reads_tokens(self) -> bool:
        """There is no text."""
        return False

    def validate_architecture(self) -> None:
        """Check fields against each other; called by the strict dataclass."""
        for name, kind in _SIZES.items():
            check_limit(kind, getattr(self, name), f"`{name}`")
        check_limit("parameters", max(1, estimated_parameters(self)), "The network")
        check_finite_fields(self)
        check_activation(self.hidden_act)
        for name in _DROPOUTS:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"`{name}` must lie in [0, 1], got {getattr(self, name)}.")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"`hidden_size` must be a multiple of `num_attention_heads`, got {self.hidden_size} and "
                f"{self.num_attention_heads}."
            )


@dataclass
class UnivaAffectOutput(ModelOutput):
    """
    Valence and arousal of B clips.

    Args:
        loss (`torch.FloatTensor` of shape `()`, *optional*):
            Mean squared error, with `labels` only.
        logits (`torch.FloatTensor` of shape `(B, 2)`):
            (valence, arousal); meant for [-1, 1] but not confined to it.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None


class UnivaAffectRegressor(UnivaPreTrainedModel):
    """The sequence encoder that UniVA has for one modality (equation 2), with two outputs on top."""

    config_class = UnivaAffectRegressorConfig
    config: UnivaAffectRegressorConfig
    base_model_prefix = "encoder"

    def __init__(self, config: UnivaAffectRegressorConfig):
        super().__init__(config)
        self.encoder = UnivaSequenceEncoder(config, config.modality)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(config.hidden_size, 2)
        self.post_init()

    def forward(
        self,
        labels: torch.Tensor | None = None,
        audio_features: torch.Tensor | None = None,
        audio_attention_mask: torch.Tensor | None = None,
        vision_features: torch.Tensor | None = None,
        vision_attention_mask: torch.Tensor | None = None,
        return_dict: bool | None = None,
    ) -> UnivaAffectOutput | tuple[torch.Tensor, ...]:
        """
        Score B clips. Only the inputs of the model's own modality are read.

        Args:
            labels (`torch.FloatTensor` of shape `(B, 2)`): (valence, arousal).
            audio_features, vision_features (`torch.FloatTensor` of shape `(B, frames, feature_size)`): padded.
            audio_attention_mask, vision_attention_mask (`torch.LongTensor` of shape `(B, frames)`): 1 = keep.

        Raises:
            `ValueError`: the inputs of the modality are missing, or of the wrong shape.
        """
        inputs = {"audio": (audio_features, audio_attention_mask), "vision": (vision_features, vision_attention_mask)}
        features, mask = inputs[self.config.modality]
        if features is None or mask is None:
            name = self.config.modality
            raise ValueError(f"This model needs `{name}_features` and `{name}_attention_mask`.")
        frames = checked_frames(self.config, self.config.modality, features, mask)
        logits = self.classifier(self.dropout(self.encoder(frames)[0]))
        loss = None if labels is None else nn.functional.mse_loss(logits.float(), labels.float())
        result = UnivaAffectOutput(loss=loss, logits=logits)
        return result if (self.config.return_dict if return_dict is None else return_dict) else result.to_tuple()


UnivaAffectRegressorConfig.register_for_auto_class()
UnivaAffectRegressor.register_for_auto_class("AutoModel")

__all__ = ["UnivaAffectOutput", "UnivaAffectRegressor", "UnivaAffectRegressorConfig"]
