# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
HHMPN: the heterogeneous hierarchical message passing network (Zhang et al., AAAI 2021).

Frames of the modalities send messages to each other, then to the labels, and labels to labels along a graph of those
that occur together. The released code leaves out the last and mixes up streams; both readings are here.
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import initialization as init

from .configuration_emotion import EmotionConfig
from .cross_modal_univa import CrossModalAttention, CrossModalEncoder, CrossModalSettings
from .modeling_emotion import EmotionOutput, FrameModel, Frames, check_shape
from .processing_univa import UnivaProcessor  # noqa: F401  (saved beside the network)


__all__ = ["HhmpnConfig", "HhmpnForEmotionClassification", "label_graph"]

# Labels that occur together at least this often, against how often each occurs, are joined.
_JOINED_FROM = 0.2
_SCORE_SIZE = 32
# Which stream the label decoder of each modality reads in the released code.
_RELEASED_STREAMS = {"text": "vision", "audio": "audio", "vision": "text"}


@strict
class HhmpnConfig(EmotionConfig):
    """
    Configuration of HHMPN.

    The published network is larger than its data ask for: `hidden_size=512`, `num_hidden_layers=6`,
    `num_label_layers=3` and `label_intermediate_size=512` are 368 million parameters. The defaults are for real use.

    Args:
        variant (`str`, defaults to "paper"): "paper", after the paper: each label decoder reads its own modality,
            labels send messages to each other along their graph, modalities are weighed against each other, and the
            label vectors are those of the decoders. "released", as the official code computes: the decoders of text
            and vision read each other's stream, labels send no messages, labels are weighed against each other, and
            the label vectors of the scores are free.
        hidden_size (`int`, defaults to 128): width of frames and labels.
        num_attention_heads (`int`, defaults to 4): of the frames; they divide `hidden_size`.
        num_hidden_layers (`int`, defaults to 2): layers in which one modality reads another; those in which each
            reads itself are as many, but at least 3.
        num_label_layers (`int`, defaults to 2): of the label decoder of each modality.
        num_label_heads (`int`, defaults to 8): of the labels; they divide `hidden_size`.
        label_intermediate_size (`int`, defaults to 128): of the feed-forward layers of the label decoders.
        causal (`bool`, defaults to `True`): whether a frame reads those before it only, as the official code does.
        embed_dropout (`float`, defaults to 0.25): on what enters each stack of layers of frames.
        attention_dropout, activation_dropout, residual_dropout (`float`, defaults to 0.1): in those layers.
        label_dropout (`float`, defaults to 0.2): in the label decoders.

    Raises:
        `huggingface_hub.errors.StrictDataclassError`: a field of the wrong type, or heads that do not divide the
            width.
    """

    model_type = "hhmpn"
    architecture = "modeling_hhmpn.HhmpnForEmotionClassification"
    title = "HHMPN"
    paper = "https://doi.org/10.1609/aaai.v35i16.17686"
    idea = "frames send messages to those of other modalities and to the labels, and the labels to each other"
    official_code = "[MANLP-suda/HHMPN](https://github.com/MANLP-suda/HHMPN), no licence"
    deviations = (
        "Padding is never attended, pooled or counted in a loss; `mask_padding=False` computes as released.",
        '`variant="paper"` is after the paper where the released code mixes up streams, leaves out the '
        "messages between labels and weighs labels in place of modalities; its details are ours.",
        "The network is smaller by default: the published one has 368 million parameters.",
    )
    citation: ClassVar[str] = """@inproceedings{zhang2021multimodal,
  title = {Multi-modal Multi-label Emotion Recognition with Heterogeneous Hierarchical Message Passing},
  author = {Zhang, Dong and Ju, Xincheng and Zhang, Wei and Li, Junhui and Li, Shoushan and Zhu, Qiaoming and Zhou,
    Guodong},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  volume = {35},
  number = {16},
  pages = {14338--14346},
  year = {2021}
}"""

    variant: Literal["paper", "released"] = "paper"
    hidden_size: int = 128
    num_attention_heads: int = 4
    num_hidden_layers: int = 2
    num_label_layers: int = 2
    num_label_heads: int = 8
    label_intermediate_size: int = 128
    causal: bool = True
    embed_dropout: float | int = 0.25
    attention_dropout: float | int = 0.1
    activation_dropout: float | int = 0.1
    residual_dropout: float | int = 0.1
    label_dropout: float | int = 0.2
    decision: Literal["sigmoid"] = "sigmoid"

    @property
    def streams(self) -> dict[str, str]:
        """Whose stream the label decoder of each modality reads."""
        mixed = self.variant == "released" and {"text", "vision"} <= set(self.modalities)
        return {name: _RELEASED_STREAMS[name] if mixed else name for name in self.modalities}


class HhmpnLabels(nn.Module):
    """Vectors of the labels, and after the paper which of them send messages to each other."""

    graph: torch.Tensor

    def __init__(self, config: HhmpnConfig):
        super().__init__()
        self.tied = config.variant == "paper"
        self.weight = nn.Parameter(torch.empty(config.num_labels, config.hidden_size))
        if self.tied:
            self.register_buffer("graph", torch.ones(config.num_labels, config.num_labels, dtype=torch.bool))

    def init_weights(self) -> None:
        """Standard normal; where they score too, so that a score of a random vector has the variance 1."""
        init.normal_(self.weight, std=self.weight.shape[1] ** -0.5 if self.tied else 1.0)
        if self.tied:
            init.ones_(self.graph)


class HhmpnLinear(nn.Linear):
    """A projection of the attention, without biases, whose weights are normal at first."""

    def __init__(self, width: int, std: float):
        self.std = std
        super().__init__(width, width, bias=False)

    def reset_parameters(self) -> None:
        """As initialised."""
        init.normal_(self.weight, std=self.std)


class HhmpnAttention(nn.Module):
    """Attention without biases, added to what enters and normalised."""

    def __init__(self, config: HhmpnConfig):
        super().__init__()
        width, heads = config.hidden_size, config.num_label_heads
        # As the official code has them: the last is Xavier's.
        stds = (*[math.sqrt(2 / (width + width // heads))] * 3, math.sqrt(2 / (width + width)))
        self.attention = CrossModalAttention([HhmpnLinear(width, std) for std in stds], heads, config.label_dropout)
        self.dropout = nn.Dropout(config.label_dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, labels: torch.Tensor, memory: torch.Tensor, in_sight: torch.Tensor) -> torch.Tensor:
        """Labels `(B, C, d)` after reading `memory` `(B, T, d)` where `in_sight`, which fits `(B, 1, C, T)`."""
        return self.norm(labels + self.dropout(self.attention(labels, memory, in_sight)))


class HhmpnFeedForward(nn.Module):
    """Two layers, added to what enters and normalised."""

    def __init__(self, config: HhmpnConfig):
        super().__init__()
        self.intermediate = nn.Linear(config.hidden_size, config.label_intermediate_size)
        self.output = nn.Linear(config.label_intermediate_size, config.hidden_size)
        self.dropout = nn.Dropout(config.label_dropout)
        self.norm = nn.LayerNorm(config.hidden_size)

    def forward(self, labels: torch.Tensor) -> torch.Tensor:
        """Labels `(B, C, d)`."""
        return self.norm(labels + self.dropout(self.output(F.relu(self.intermediate(labels)))))


class HhmpnDecoderLayer(nn.Module):
    """Messages of the frames to the labels, and after the paper those of the labels to each other."""

    def __init__(self, config: HhmpnConfig):
        super().__init__()
        self.cross_attention = HhmpnAttention(config)
        self.feed_forward = HhmpnFeedForward(config)
        self.label_attention = HhmpnAttention(config) if config.variant == "paper" else None
        self.last_feed_forward = HhmpnFeedForward(config)

    def forward(self, labels: torch.Tensor, frames: Frames, graph: torch.Tensor | None) -> torch.Tensor:
        """Labels `(B, C, d)` after reading frames `(B, T, d)` and each other where `graph` `(C, C)` joins them."""
        labels = self.feed_forward(self.cross_attention(labels, frames.states, frames.mask[:, None, None]))
        if self.label_attention is not None:
            labels = self.label_attention(labels, labels, graph)
        return self.last_feed_forward(labels)


class HhmpnDecoder(nn.Module):
    """The labels read the frames of one stream."""

    def __init__(self, config: HhmpnConfig):
        super().__init__()
        self.layers = nn.ModuleList(HhmpnDecoderLayer(config) for _ in range(config.num_label_layers))

    def forward(self, labels: torch.Tensor, frames: Frames, graph: torch.Tensor | None) -> torch.Tensor:
        """Labels `(B, C, d)`; see [`HhmpnDecoderLayer`]."""
        for layer in self.layers:
            labels = layer(labels, frames, graph)
        return labels


class HhmpnFusion(nn.Module):
    """The labels of every modality, weighted and added."""

    def __init__(self, config: HhmpnConfig):
        super().__init__()
        size = config.hidden_size
        # The modality of (B, C, M) whose weights add up to 1; the released code leaves it to torch, which takes C.
        self.dim = 2 if config.variant == "paper" else 1
        self.angles = nn.ModuleDict({name: nn.Linear(size, size) for name in config.modalities})
        self.score = nn.Sequential(nn.Linear(size, _SCORE_SIZE), nn.Linear(_SCORE_SIZE, 1))
        self.output = nn.Linear(size, size)

    def forward(self, labels: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Labels `(B, C, d)` of each modality to those of all."""
        angles = torch.stack([self.angles[name](found) for name, found in labels.items()], dim=2)
        weights = self.score(angles).softmax(dim=self.dim)
        return self.output((weights * angles).sum(dim=2))


class HhmpnForEmotionClassification(FrameModel):
    """HHMPN; see [`HhmpnConfig`] for its two variants."""

    config_class = HhmpnConfig
    config: HhmpnConfig
    head_parameters = (r"labels\.", r"classifier\.")

    def __init__(self, config: HhmpnConfig):
        super().__init__(config)
        size = config.hidden_size
        self.projections = nn.ModuleDict({name: nn.Linear(width, size) for name, width in config.frame_sizes.items()})
        self.cross_modal = CrossModalEncoder(config.modalities, CrossModalSettings.from_config(config))
        self.streams = nn.ModuleDict({name: _stream(self.cross_modal.width, size) for name in config.modalities})
        self.labels = HhmpnLabels(config)
        self.decoders = nn.ModuleDict({name: HhmpnDecoder(config) for name in config.modalities})
        self.fusion = HhmpnFusion(config)
        self.classifier = None if config.variant == "paper" else nn.Embedding(config.num_labels, size)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """PyTorch's own defaults but for attention, and for the vectors of labels."""
        if isinstance(module, (nn.Linear, nn.LayerNorm)):
            module.reset_parameters()
        elif isinstance(module, nn.Embedding):
            init.xavier_normal_(module.weight)
        elif isinstance(module, HhmpnLabels):
            module.init_weights()

    def classify(self, frames: dict[str, Frames], **inputs: Any) -> EmotionOutput:
        """Scores of the labels: each one's fused state against its vector."""
        labels = self.labels.weight.expand(next(iter(frames.values())).mask.shape[0], -1, -1)
        memories = self._memories(frames).items()
        graph = self.labels.graph if self.labels.tied else None
        fused = self.fusion({name: self.decoders[name](labels, memory, graph) for name, memory in memories})
        vectors = self.labels.weight if self.classifier is None else self.classifier.weight
        return EmotionOutput(logits=(fused * vectors).sum(dim=-1))

    def _memories(self, frames: dict[str, Frames]) -> dict[str, Frames]:
        """What the label decoder of each modality reads."""
        projected = {name: self.projections[name](found.states.to(self.dtype)) for name, found in frames.items()}
        encoded = self.cross_modal({name: Frames(projected[name], found.mask) for name, found in frames.items()})
        memories = {}
        for name, source in self.config.streams.items():
            mask = encoded[source].mask if self.config.mask_padding else self._released_mask(name, source, frames)
            memories[name] = Frames(self.streams[name](encoded[source].states), mask)
        return memories

    @staticmethod
    def _released_mask(name: str, source: str, frames: Mapping[str, Frames]) -> torch.Tensor:
        """Frames of a decoder's own modality that are not zero, also where it reads another stream."""
        if frames[name].mask.shape != frames[source].mask.shape:
            lengths = f"{frames[source].mask.shape[1]} and {frames[name].mask.shape[1]} frames"
            raise ValueError(
                f"The released code reads {source} under the mask of {name}, which have {lengths}: set "
                "`fixed_length`, or `mask_padding=True`."
            )
        return _not_zero(frames[name].states)

    def loss_terms(self, output: Any, labels: torch.Tensor, va: Any) -> dict[str, torch.Tensor]:
        """Binary cross-entropy of each emotion by itself."""
        return {"bce": F.binary_cross_entropy_with_logits(output.logits.float(), labels.float())}

    @torch.no_grad()
    def fit_statistics(self, dataset: Any) -> None:
        """
        Join the labels that occur together in the training set; see [`label_graph`].

        Args:
            dataset: with `labels` `(N, C)`, as `UtteranceDataset`.
        """
        if self.labels.tied:
            self.labels.graph.copy_(label_graph(torch.as_tensor(dataset.labels)))


def label_graph(labels: torch.Tensor, joined_from: float = _JOINED_FROM) -> torch.Tensor:
    r"""
    Which labels send messages to each other: i and j where n_ij / √(n_i n_j) ≥ `joined_from`, and each to itself.

    Args:
        labels (`torch.Tensor` of shape `(N, C)`): multi-hot; n_ij is how many rows have both.

    Returns:
        `torch.BoolTensor` of shape `(C, C)`.
    """
    check_shape("labels", labels, ("rows", "labels"))
    active = labels.double()
    together = active.T @ active
    alone = together.diagonal()
    return (together >= joined_from * (alone[:, None] * alone).sqrt().clamp(min=1)) | torch.eye(len(alone)).bool()


def _stream(width: int, size: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.Linear(width, size))


def _not_zero(states: torch.Tensor) -> torch.Tensor:
    """Frames that are not all zero, or all of an utterance that has nothing else."""
    found = states.ne(0).any(dim=-1)
    return found | ~found.any(dim=1, keepdim=True)


HhmpnConfig.register_for_auto_class()
HhmpnForEmotionClassification.register_for_auto_class("AutoModel")
