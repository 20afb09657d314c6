# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""What the networks of all systems share."""

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput


__all__ = ["EmotionOutput"]


@dataclass
class EmotionOutput(ModelOutput):
    """
    What any system gives for B utterances over C emotions.

    Args:
        loss (`torch.FloatTensor` of shape `()`, *optional*):
            With `labels` only: what the method minimises in training; in evaluation the terms of the labels alone.
        logits (`torch.FloatTensor` of shape `(B, C)`):
            Scores of the emotions; `config.probabilities(logits)` are compared with `config.decision_threshold`.
        text_embeds, audio_embeds, vision_embeds (`torch.FloatTensor` of shape `(B, H)`, *optional*):
            Embedding of each modality; `None` for a modality that the model does not have.
        loss_terms (`dict[str, torch.FloatTensor]`, *optional*):
            The weighted terms whose sum is `loss`, scalars by their names.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    text_embeds: torch.Tensor | None = None
    audio_embeds: torch.Tensor | None = None
    vision_embeds: torch.Tensor | None = None
    loss_terms: dict[str, torch.Tensor] | None = None
