# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""One score a label, from learned queries of the labels that attend to each other and to a sequence.

Shared by TAILOR and RobMMR.
"""

from typing import Any, Literal

import torch
from torch import nn
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.models.bert.modeling_bert import BertAttention, BertIntermediate, BertOutput


__all__ = ["LabelDecoder", "LabelDecoderLayer"]


class LabelDecoderLayer(GradientCheckpointingLayer):
    """Attention among the labels, attention to the sequence, feed-forward; post-norm, of the parts of BERT's layer."""

    def __init__(self, config: Any):
        super().__init__()
        self.self_attention = BertAttention(config)
        self.cross_attention = BertAttention(config, is_cross_attention=True)
        self.intermediate = BertIntermediate(config)
        self.output = BertOutput(config)

    def forward(
        self, labels: torch.Tensor, memory: torch.Tensor, memory_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """
        Args:
            labels (`torch.FloatTensor` of shape `(B, C, d)`): hidden states of the labels.
            memory (`torch.FloatTensor` of shape `(B, T, d)`): what they read.
            memory_mask: of `create_bidirectional_mask`.

        Returns:
            `torch.FloatTensor` of shape `(B, C, d)`.
        """
        labels = self.self_attention(labels)[0]
        read = {"encoder_hidden_states": memory, "encoder_attention_mask": memory_mask}
        labels = self.cross_attention(labels, **read)[0]
        return self.output(self.intermediate(labels), labels)


class LabelDecoder(nn.Module):
    """
    Scores of the labels of an utterance from a sequence of its hidden states.

    Args:
        config: sizes of its layers, `num_labels`, and `classifier_dropout`, which is on the scores themselves.
        num_layers: of the decoder.
        norm: whether the layer norm is before the layers, with dropout after it, or after them.
    """

    def __init__(self, config: Any, num_layers: int, norm: Literal["input", "output"]):
        super().__init__()
        self.config = config
        self.queries = nn.Embedding(config.num_labels, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.layers = nn.ModuleList(LabelDecoderLayer(config) for _ in range(num_layers))
        # One for all labels: what tells them apart are their queries.
        self.score = nn.Linear(config.hidden_size, 1)
        self.score_dropout = nn.Dropout(config.classifier_dropout)
        self.is_norm_first = norm == "input"

    def forward(self, memory: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """
        Args:
            memory (`torch.FloatTensor` of shape `(B, T, hidden_size)`): padded.
            mask (`torch.BoolTensor` of shape `(B, T)`): which of it is there, at least one of each row.

        Returns:
            `torch.FloatTensor` of shape `(B, C)`: the logits.
        """
        labels = self.queries.weight.expand(memory.shape[0], -1, -1)
        memory_mask = create_bidirectional_mask(self.config, labels, mask.long(), encoder_hidden_states=memory)
        if self.is_norm_first:
            labels = self.dropout(self.norm(labels))
        for layer in self.layers:
            labels = layer(labels, memory, memory_mask)
        if not self.is_norm_first:
            labels = self.norm(labels)
        return self.score_dropout(self.score(labels).squeeze(-1))
