# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A small system that reads the expressions of faces beside their features."""

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from toy_system import ToyConfig, ToyModel

from modeling_univa.models.modeling_emotion import EmotionOutput


__all__ = ["ExpressionToyConfig", "ExpressionToyModel"]


@strict
class ExpressionToyConfig(ToyConfig):
    """With the number of expressions, as any system that reads them."""

    model_type = "expression-toy"
    architecture = "expression_toy_system.ExpressionToyModel"

    face_emotion_size: int = 0

    @property
    def extra_inputs(self) -> tuple[str, ...]:
        """`face_emotions`, of a model with faces and as long as their number is not 0."""
        return ("face_emotions",) if self.face_emotion_size and "vision" in self.modalities else ()


class ExpressionToyModel(ToyModel):
    """The scores of the toy system, and a linear layer over the sum of the expressions of a clip."""

    config_class = ExpressionToyConfig
    head_parameters = (r"classifier\.", r"expressions\.")

    def __init__(self, config: ExpressionToyConfig):
        super().__init__(config)
        if config.extra_inputs:
            self.expressions = nn.Linear(config.face_emotion_size, config.num_labels, bias=False)
        self.post_init()

    def classify(self, frames, face_emotions: torch.Tensor | None = None, **inputs):
        logits = super().classify(frames, **inputs).logits
        if self.config.extra_inputs:
            logits = logits + self.expressions(face_emotions.sum(dim=1))
        return EmotionOutput(logits=logits)
