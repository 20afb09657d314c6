# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A small system of independent labels: the mean of each modality's frames, and a linear layer."""

import torch
from huggingface_hub.dataclasses import strict
from torch import nn

from modeling_univa.models.configuration_emotion import EmotionConfig
from modeling_univa.models.modeling_emotion import EmotionOutput, FrameModel


@strict
class ToyConfig(EmotionConfig):
    """Its own field is the size of an embedding."""

    model_type = "toy"
    architecture = "toy_system.ToyModel"

    width: int = 8
    decision: str = "sigmoid"


class ToyModel(FrameModel):
    """Late fusion by a linear layer over the means."""

    config_class = ToyConfig
    head_parameters = (r"classifier\.",)

    def __init__(self, config: ToyConfig):
        super().__init__(config)
        self.projections = nn.ModuleDict(
            {name: nn.Linear(size, config.width) for name, size in config.frame_sizes.items()}
        )
        self.classifier = nn.Linear(config.width * len(config.modalities), config.num_labels)
        self.post_init()

    def mean(self, frames):
        """The projected means of all modalities side by side, (B, width x modalities)."""
        return torch.cat([self.projections[name](found.mean()) for name, found in frames.items()], dim=-1)

    def classify(self, frames, **inputs):
        return EmotionOutput(logits=self.classifier(self.mean(frames).tanh()))

    def loss_terms(self, output, labels, va):
        return {"bce": nn.functional.binary_cross_entropy_with_logits(output.logits.float(), labels.float())}
