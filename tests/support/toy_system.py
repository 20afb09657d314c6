# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""A small system of independent labels: the mean of each modality's frames, and a linear layer."""

import torch
from huggingface_hub.dataclasses import strict
from torch import nn

from modeling_univa.models.configuration_emotion import EmotionConfig
from modeling_univa.models.modeling_emotion import AbsentFrames, EmotionModel, EmotionOutput, build_text_encoder


@strict
class ToyConfig(EmotionConfig):
    """Its own field is the size of an embedding."""

    model_type = "toy"
    architecture = "toy_system.ToyModel"

    width: int = 8
    decision: str = "sigmoid"


class ToyModel(EmotionModel):
    """Late fusion by a linear layer over the means."""

    config_class = ToyConfig
    head_parameters = (r"classifier\.",)

    def __init__(self, config: ToyConfig):
        super().__init__(config)
        sizes = dict(config.feature_sizes)
        if config.text_config is not None and "text" in config.modalities:
            self.text_encoder = build_text_encoder(config.text_config)
            sizes["text"] = config.text_config.hidden_size
        self.absent = nn.ModuleDict({modality: AbsentFrames(sizes[modality]) for modality in config.modalities})
        self.projections = nn.ModuleDict({name: nn.Linear(sizes[name], config.width) for name in config.modalities})
        self.classifier = nn.Linear(config.width * len(config.modalities), config.num_labels)
        self.post_init()

    def classify(self, frames, **inputs):
        means = []
        for modality, found in frames.items():
            found = self.absent[modality](found)
            mask = found.mask[..., None].to(found.states.dtype)
            means.append(self.projections[modality]((found.states * mask).sum(1) / mask.sum(1)))
        return EmotionOutput(logits=self.classifier(torch.cat(means, dim=-1).tanh()))

    def loss_terms(self, output, labels, va):
        return {"bce": nn.functional.binary_cross_entropy_with_logits(output.logits.float(), labels.float())}
