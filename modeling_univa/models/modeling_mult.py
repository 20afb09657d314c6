# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""MulT: the multimodal transformer for unaligned sequences (Tsai et al., ACL 2019)."""

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import nn

from .configuration_emotion import EmotionConfig, check_objective
from .cross_modal_univa import CrossModalEncoder, CrossModalSettings
from .losses_univa import kl_divergence_loss
from .modeling_emotion import EmotionOutput, FrameModel, Frames
from .processing_univa import UnivaProcessor  # noqa: F401  (saved beside the network)


__all__ = ["MultConfig", "MultForEmotionClassification"]


@strict
class MultConfig(EmotionConfig):
    """
    Configuration of MulT. The defaults are those of the official code.

    The paper has for MOSEI: `hidden_size=40`, `num_attention_heads=8`, `num_hidden_layers=4`, kernels of 1 or 3
    frames, `embed_dropout=0.3`, `output_dropout=0.1`.

    Args:
        hidden_size (`int`, defaults to 30): width of the frames of every modality in the network.
        num_attention_heads (`int`, defaults to 5): they divide `hidden_size`.
        num_hidden_layers (`int`, defaults to 5): layers in which one modality reads another; those in which each
            reads itself are as many, but at least 3.
        text_kernel_size, audio_kernel_size, vision_kernel_size (`int`, defaults to 1): frames that the convolution
            to `hidden_size` sees, 1 or 3.
        causal (`bool`, defaults to `True`): whether a frame reads those before it only, as the official code does.
        embed_dropout (`float`, defaults to 0.25): on the text frames, and on what enters each stack of layers.
        attention_dropout (`float`, defaults to 0.1): of the attention to text and of each modality to itself.
        audio_attention_dropout, vision_attention_dropout (`float`, defaults to 0.0): of the attention to these.
        activation_dropout, residual_dropout (`float`, defaults to 0.1): inside the feed-forward layers, and on what a
            layer adds.
        output_dropout (`float`, defaults to 0.0): inside the residual block before the classifier.
        objective (`str`, defaults to "bce"): "bce", binary cross-entropy of each emotion by itself; or "kl", the KL
            divergence of UniVA, which goes with `decision="softmax"`.

    Raises:
        `huggingface_hub.errors.StrictDataclassError`: a field of the wrong type, heads that do not divide the width,
            or an objective that does not go with `decision`.
    """

    model_type = "mult"
    architecture = "modeling_mult.MultForEmotionClassification"
    title = "MulT"
    paper = "https://aclanthology.org/P19-1656"
    idea = "every modality reads each other one frame by frame, then itself, and the last frames are classified"
    official_code = "[yaohungt/Multimodal-Transformer](https://github.com/yaohungt/Multimodal-Transformer), MIT"
    deviations = (
        "Padding is never attended, pooled or counted in a loss; `mask_padding=False` computes as released.",
        "Binary cross-entropy and the threshold are ours: the published tasks are sentiment and single emotions.",
    )
    citation: ClassVar[str] = """@inproceedings{tsai2019multimodal,
  title = {Multimodal Transformer for Unaligned Multimodal Language Sequences},
  author = {Tsai, Yao-Hung Hubert and Bai, Shaojie and Liang, Paul Pu and Kolter, J. Zico and Morency, Louis-Philippe
    and Salakhutdinov, Ruslan},
  booktitle = {Proceedings of the 57th Annual Meeting of the Association for Computational Linguistics},
  year = {2019}
}"""

    hidden_size: int = 30
    num_attention_heads: int = 5
    num_hidden_layers: int = 5
    text_kernel_size: Literal[1, 3] = 1
    audio_kernel_size: Literal[1, 3] = 1
    vision_kernel_size: Literal[1, 3] = 1
    causal: bool = True
    embed_dropout: float | int = 0.25
    attention_dropout: float | int = 0.1
    audio_attention_dropout: float | int = 0.0
    vision_attention_dropout: float | int = 0.0
    activation_dropout: float | int = 0.1
    residual_dropout: float | int = 0.1
    output_dropout: float | int = 0.0
    objective: Literal["bce", "kl"] = "bce"
    decision: Literal["softmax", "sigmoid"] = "sigmoid"

    def validate_architecture(self) -> None:
        """Check fields against each other; called by the strict dataclass."""
        super().validate_architecture()
        check_objective(self.objective, self.decision)


class MultProjection(nn.Module):
    """A convolution without bias over the frames of one modality; none where the width is right already."""

    def __init__(self, config: MultConfig, modality: str):
        super().__init__()
        size, kernel_size = config.frame_sizes[modality], getattr(config, f"{modality}_kernel_size")
        # On the text alone, as the official code has it.
        self.dropout = nn.Dropout(config.embed_dropout if modality == "text" else 0.0)
        self.convolution: nn.Conv1d | None = None
        if kernel_size > 1 or size != config.hidden_size:
            self.convolution = nn.Conv1d(size, config.hidden_size, kernel_size, padding="same", bias=False)

    def forward(self, frames: Frames) -> Frames:
        """Frames of width `hidden_size`; those of padding are zero."""
        states = self.dropout(frames.states * frames.mask[..., None])
        if self.convolution is not None:
            states = states.to(self.convolution.weight.dtype)
            states = self.convolution(states.transpose(1, 2)).transpose(1, 2)
        return Frames(states, frames.mask)


class MultResidual(nn.Module):
    """A feed-forward layer of the same width and what it adds to."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.intermediate, self.output = nn.Linear(width, width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """States of the same shape."""
        return hidden + self.output(self.dropout(F.relu(self.intermediate(hidden))))


class MultForEmotionClassification(FrameModel):
    """
    MulT: every modality reads each other one frame by frame, then itself; the last frames of all are classified.

    The convolutions of three frames are ours: they keep the number of frames, where the paper does not say.
    """

    config_class = MultConfig
    config: MultConfig
    head_parameters = (r"classifier\.",)

    def __init__(self, config: MultConfig):
        super().__init__(config)
        self.projections = nn.ModuleDict({name: MultProjection(config, name) for name in config.modalities})
        dropout = {"audio": config.audio_attention_dropout, "vision": config.vision_attention_dropout}
        self.cross_modal = CrossModalEncoder(config.modalities, CrossModalSettings.from_config(config), dropout)
        width = self.cross_modal.width * len(config.modalities)
        self.residual = MultResidual(width, config.output_dropout)
        self.classifier = nn.Linear(width, config.num_labels)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """PyTorch's own defaults, and Xavier-uniform in the stacks, as the official code has it."""
        if isinstance(module, (nn.Linear, nn.LayerNorm, nn.Conv1d)):
            module.reset_parameters()

    def classify(self, frames: dict[str, Frames], **inputs: Any) -> EmotionOutput:
        """Scores of the last frames of all modalities, side by side, through a residual block."""
        encoded = self.cross_modal({name: self.projections[name](found) for name, found in frames.items()})
        embeds: dict[str, Any] = {f"{name}_embeds": _last(found) for name, found in encoded.items()}
        hidden = self.residual(torch.cat(list(embeds.values()), dim=-1))
        return EmotionOutput(logits=self.classifier(hidden), **embeds)

    def loss_terms(self, output: Any, labels: torch.Tensor, va: Any) -> dict[str, torch.Tensor]:
        """Binary cross-entropy of each emotion by itself, or UniVA's KL divergence (as released)."""
        if self.config.objective == "kl":
            return {"kl": kl_divergence_loss(output.logits, labels, "released")}
        return {"bce": F.binary_cross_entropy_with_logits(output.logits.float(), labels.float())}


def _last(frames: Frames) -> torch.Tensor:
    """The last frame that is there of each utterance, `(B, d)`."""
    steps = torch.arange(frames.mask.shape[1], device=frames.mask.device)
    last = (frames.mask * steps).amax(dim=1)
    rows = torch.arange(frames.mask.shape[0], device=frames.mask.device)
    return frames.states[rows, last]


MultConfig.register_for_auto_class()
MultForEmotionClassification.register_for_auto_class("AutoModel")
