# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Text encoders that training leaves as they are, as a whole or in their lower layers."""

from torch import nn
from transformers import PreTrainedModel

from ..models.modeling_emotion import EmotionModel
from .arguments import DataArguments, ModelArguments
from .training_arguments import UnivaTrainingArguments


__all__ = ["check_text_states", "freeze_lower_layers", "freeze_text_encoder", "frozen_encoder"]


def check_text_states(
    model_args: ModelArguments, data_args: DataArguments, training_args: UnivaTrainingArguments
) -> None:
    """
    Check that nothing else that is asked for contradicts `text_states`.

    Raises:
        ValueError: names the argument that does.
    """
    if not model_args.text_states:
        return
    contradictions = {
        "lora_rank": (model_args.lora_rank, "trains updates of it"),
        "text_attention_dropout": (model_args.text_attention_dropout, "changes them from step to step"),
        "neftune_noise_alpha": (training_args.neftune_noise_alpha, "changes them from step to step"),
        "streaming": (data_args.streaming, "keeps nothing for the next epoch"),
    }
    for name, (value, reason) in contradictions.items():
        if value:
            raise ValueError(
                f"`text_states` computes the states of the text encoder once, and `{name}` = {value} {reason}: leave "
                "one of them out."
            )


def freeze_text_encoder(model: EmotionModel, frozen_layers: int | None = None) -> None:
    """
    Exclude the text encoder of a model from training.

    Args:
        frozen_layers: how many layers were to be frozen, if that was said.

    Raises:
        ValueError: the model has none, or some of its layers were to be trained.
    """
    encoder = model.text_encoder
    if encoder is None:
        has_text = "text" in model.config.modalities
        raise ValueError(
            "`text_states` are those of a pretrained text encoder, and this model has "
            + ("none: pass `text_model`, or set `text_states` to false." if has_text else "no text: set it to false.")
        )
    count = len(_layers(encoder))
    if frozen_layers not in (None, count):
        raise ValueError(
            f"`text_states` freezes all {count} layers of the text encoder, and `frozen_text_layers` is "
            f"{frozen_layers}: pass {count}, or leave one of them out."
        )
    encoder.requires_grad_(False)


def frozen_encoder(model: EmotionModel, args: ModelArguments) -> PreTrainedModel | None:
    """The text encoder whose states batches have in place of tokens, if that was asked for."""
    return model.text_encoder if args.text_states else None


def freeze_lower_layers(encoder: PreTrainedModel, count: int) -> None:
    """Exclude the embeddings and the `count` lowest layers of a text encoder from training."""
    layers = _layers(encoder)
    if not 0 <= count <= len(layers):
        raise ValueError(
            f"`frozen_text_layers` must lie between 0 and {len(layers)}, the encoder's layers, got {count}."
        )
    layers[:count].requires_grad_(False)
    for name, parameter in encoder.named_parameters():
        if "embeddings." in name:
            parameter.requires_grad_(False)


def _layers(encoder: PreTrainedModel) -> nn.ModuleList:
    return next((module for module in encoder.modules() if isinstance(module, nn.ModuleList)), nn.ModuleList())
