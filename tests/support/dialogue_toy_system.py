# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A small system that reads across the utterances of a dialogue, and knows where each is in it and who speaks."""

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from toy_system import ToyConfig, ToyModel
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from modeling_univa.models.modeling_emotion import EmotionOutput


@strict
class DialogueToyConfig(ToyConfig):
    """Its own field is the number of places and of speakers that are told apart."""

    model_type = "dialogue_toy"
    architecture = "dialogue_toy_system.DialogueToyModel"

    places: int = 6

    @property
    def extra_inputs(self):
        return ("position", "speaker_index")


class DialogueToyModel(ToyModel):
    """Means of the modalities, attention among the utterances of a dialogue, and a linear layer."""

    config_class = DialogueToyConfig
    reads_dialogues = True

    def __init__(self, config: DialogueToyConfig):
        super().__init__(config)
        width = config.width * len(config.modalities)
        self.positions = nn.Embedding(config.places, width)
        self.speakers = nn.Embedding(config.places + 1, width)
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.classifier = nn.Linear(2 * width, config.num_labels)
        self.post_init()

    def classify(self, frames, dialogue_index=None, position=None, speaker_index=None, **inputs):
        last = self.config.places - 1
        own = self.mean(frames) + self.positions(position.clamp(max=last))
        own = own + self.speakers(speaker_index.clamp(max=last) + 1)
        together = dialogue_index[:, None] == dialogue_index
        scores = (self.query(own) @ self.key(own).T).masked_fill(~together, float("-inf"))
        others = scores.softmax(dim=-1) @ own
        return EmotionOutput(logits=self.classifier(torch.cat([own, others], dim=-1).tanh()))


def register_dialogue_toy() -> None:
    """With the auto classes alone, as a system of another package is."""
    AutoConfig.register("dialogue_toy", DialogueToyConfig, exist_ok=True)
    for auto in (AutoModel, AutoModelForSequenceClassification):
        auto.register(DialogueToyConfig, DialogueToyModel, exist_ok=True)
