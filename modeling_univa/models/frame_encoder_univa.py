# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Frames of one modality to hidden states by BERT layers, and their soft alignment to the words of the text.

Shared by the systems of one lineage: TAILOR, CARAT and LDDU; the layers and their sizes also by RobMMR.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import PreTrainedConfig
from transformers.models.bert.modeling_bert import BertLayer

from .checked_loading_univa import estimated_parameters
from .configuration_emotion import EmotionConfig
from .limits_univa import check_limit
from .modeling_emotion import Frames
from .packed_rows_univa import through_layers


__all__ = ["BertLayers", "BertLayersConfig", "FrameEncoder", "FrameEncoderConfig", "SoftAlignment", "alignment_loss"]


@strict
class BertLayersConfig(EmotionConfig):
    """
    Configuration of a system of BERT layers over the frames of each modality, from which its own one derives.

    Labels, modalities, lengths, text encoder and decision are those of [`EmotionConfig`].

    Args:
        text_num_hidden_layers, audio_num_hidden_layers, vision_num_hidden_layers (`int`):
            Layers over the tokens or words, speech frames and face frames.
        hidden_size, num_attention_heads, intermediate_size, hidden_act, layer_norm_eps:
            Sizes of all layers.
        hidden_dropout_prob, attention_probs_dropout_prob (`float`):
            Dropout in the layers and after their input, and on the attention weights.
    """

    # transformers' own BERT layers are built from this configuration and ask for these two.
    is_decoder: ClassVar[bool] = False
    add_cross_attention: ClassVar[bool] = False

    text_num_hidden_layers: int = 6
    audio_num_hidden_layers: int = 4
    vision_num_hidden_layers: int = 4
    hidden_size: int = 256
    num_attention_heads: int = 8
    intermediate_size: int = 256
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    hidden_dropout_prob: float | int = 0.3
    attention_probs_dropout_prob: float | int = 0.3

    def validate_architecture(self) -> None:
        """Check fields against each other; called by the strict dataclass. A system calls it before its own checks."""
        super().validate_architecture()
        self._validate_fixed_length()
        check_limit("parameters", sum(map(self._estimated_parameters, self.modalities)), "The network")

    def _validate_fixed_length(self) -> None:
        shortest = min(self.max_lengths[name] for name in self.modalities)
        if self.fixed_length is not None and self.fixed_length > shortest:
            raise ValueError(
                f"`fixed_length` ({self.fixed_length}) must not exceed the longest sequence of any modality, "
                f"got {shortest}."
            )

    def _estimated_parameters(self, modality: str) -> int:
        width = self.hidden_size
        text = estimated_parameters(self.text_config) if modality == "text" and self.reads_tokens else 0
        layers = getattr(self, f"{modality}_num_hidden_layers") * width * (4 * width + 2 * self.intermediate_size)
        return text + layers + width * (self.frame_sizes[modality] + self.max_lengths[modality])


@strict
class FrameEncoderConfig(BertLayersConfig):
    """
    Configuration of a system of frame encoders, from which its own one derives; see [`BertLayersConfig`].

    Args:
        initializer_range (`float`, defaults to 0.02):
            Standard deviation of the initial weights.
    """

    initializer_range: float | int = 0.02


class BertLayers(nn.Module):
    """Some BERT layers one after another, post-norm, over what is not padding."""

    def __init__(self, config: PreTrainedConfig, num_layers: int):
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(BertLayer(config, layer_idx=index) for index in range(num_layers))

    def forward(self, hidden_states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """
        Args:
            hidden_states (`torch.FloatTensor` of shape `(B, T, hidden_size)`): padded.
            mask (`torch.BoolTensor` of shape `(B, T)`): which of them are there, at least one of each row.

        Returns:
            `torch.FloatTensor` of shape `(B, T, hidden_size)`; of padding, meaningless.
        """
        return through_layers(self.layers, self.config, hidden_states, mask)


class FrameEncoder(nn.Module):
    """
    Frames of one modality to hidden states: layer norm of the features, projection, learned positions, layer norm,
    dropout, BERT layers.

    Args:
        config: a [`FrameEncoderConfig`].
        modality: whose `frame_sizes`, number of layers and longest sequence are taken.
        max_length: longest sequence, where it is another one.
    """

    def __init__(self, config: Any, modality: str, max_length: int | None = None):
        super().__init__()
        size, width = config.frame_sizes[modality], config.hidden_size
        self.input_norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.projection = nn.Linear(size, width)
        self.position_embeddings = nn.Embedding(max_length or config.max_lengths[modality], width)
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.encoder = BertLayers(config, getattr(config, f"{modality}_num_hidden_layers"))

    def forward(self, frames: Frames) -> torch.Tensor:
        """Hidden states `(B, T, hidden_size)` of the frames; of padding, meaningless."""
        projected = self.projection(self.input_norm(frames.states.to(self.projection.weight.dtype)))
        positions = self.position_embeddings.weight[: projected.shape[1]]
        return self.encoder(self.dropout(self.norm(projected + positions)), frames.mask)


class SoftAlignment(nn.Module):
    """
    Frames to as many mixtures of them as the text has words: an LSTM gives each frame a distribution over the words
    and a blank, by which frames are summed.

    Args:
        size: width of the frames.
        max_length: most words; what a frame gives to the words after them is lost.
    """

    def __init__(self, size: int, max_length: int):
        super().__init__()
        self.lstm = nn.LSTM(size, max_length + 1, num_layers=2, batch_first=True)

    def forward(self, frames: Frames, words: torch.Tensor) -> tuple[Frames, torch.Tensor]:
        """
        Args:
            frames: of B utterances, `(B, l, k)`.
            words (`torch.BoolTensor` of shape `(B, T)`): which words of the text are there, at most `max_length`.

        Returns:
            The `T` mixtures of each utterance, and log-probabilities `(B, l, 1 + T)`, float32, of the blank and the
            words for each frame.
        """
        states = frames.states.to(self.lstm.all_weights[0][0].dtype)
        # Processors without instructions for it have no LSTM of 16 bits.
        with torch.autocast(states.device.type, enabled=False):
            scores = self.lstm(states)[0][..., : words.shape[1] + 1].float()
        allowed = F.pad(words, (1, 0), value=True)[:, None]
        log_probs = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min).log_softmax(dim=-1)
        weights = log_probs[..., 1:].exp() * frames.mask[..., None]
        return Frames(weights.to(states.dtype).transpose(1, 2) @ states, words), log_probs


def alignment_loss(log_probs: torch.Tensor, frames: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """
    CTC loss of a soft alignment: the frames should go through the words 1, 2, … in order.

    Args:
        log_probs (`torch.FloatTensor` of shape `(B, l, 1 + T)`): of [`SoftAlignment`], the blank first.
        frames (`torch.BoolTensor` of shape `(B, l)`): which frames are there.
        words (`torch.BoolTensor` of shape `(B, T)`): which words are there.

    Returns:
        `torch.Tensor`: float32 scalar, the mean over the utterances of the loss a word. An utterance of fewer frames
        than words, which has no such path, counts as 0.
    """
    order = torch.arange(1, words.shape[1] + 1, device=words.device).expand(words.shape)
    lengths = frames.sum(dim=1), words.sum(dim=1)
    return F.ctc_loss(log_probs.float().transpose(0, 1), order, *lengths, blank=0, zero_infinity=True)
