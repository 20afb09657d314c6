# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""EmoNet: valence, arousal and expression of a face (Toisoul et al., Nature Machine Intelligence 2021).

Facial landmarks and affect in one pass: two stacked hourglasses find 68 landmarks, whose heatmaps tell the affect head
where to look.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from torch.nn.functional import interpolate, max_pool2d, relu
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from .checked_loading_univa import CheckedConfig, CheckedModel, checked_labels
from .face_images_univa import face_pixels
from .limits_univa import check_limit


_FIVE = ("neutral", "happy", "sad", "surprise", "fear")
# Names of the expressions by their number, in the order of the published weights.
EXPRESSIONS: dict[int, tuple[str, ...]] = {5: _FIVE, 8: (*_FIVE, "disgust", "anger", "contempt")}

# The pooling of the affect head fits this size alone.
IMAGE_SIZE = 256
_HOURGLASS_DEPTH = 4
_NUM_AFFECT_BLOCKS = 4


@strict
class EmoNetConfig(CheckedConfig, PreTrainedConfig):
    r"""
    Configuration of EmoNet. The defaults are those of the published network with eight expressions.

    Args:
        hidden_size (`int`, defaults to 256):
            Channels of the hourglasses, a multiple of 16; the stem and the affect head take their widths from it.
        num_landmarks (`int`, defaults to 68):
            Number of landmark heatmaps.
        id2label (`dict`, *optional*):
            Names of the expressions; by default those of the published network with `num_labels` (5 or 8).
    """

    model_type = "emonet"

    id2label: dict[int, str] | dict[str, str] | None = None
    label2id: dict[str, int] | dict[str, str] | None = None
    hidden_size: int = 256
    num_landmarks: int = 68

    def __post_init__(self, **kwargs: Any) -> None:
        if self.id2label is None:
            number = kwargs.get("num_labels", 8)
            self.id2label = dict(enumerate(EXPRESSIONS[number])) if number in tuple(EXPRESSIONS) else None
        self.id2label, self.label2id = checked_labels(self.id2label, kwargs.get("num_labels"))
        super().__post_init__(**kwargs)

    def validate_architecture(self) -> None:
        """Check fields against each other; called by the strict dataclass."""
        for name in ("hidden_size", "num_landmarks"):
            check_limit("width", getattr(self, name), f"`{name}`")
        if self.hidden_size < 16 or self.hidden_size % 16:
            raise ValueError(f"`hidden_size` must be a multiple of 16, got {self.hidden_size}.")


@dataclass
class EmoNetOutput(ModelOutput):
    """
    What EmoNet tells of B faces.

    Args:
        valence, arousal (`torch.FloatTensor` of shape `(B,)`):
            Trained on [-1, 1], but not limited to it.
        logits (`torch.FloatTensor` of shape `(B, E)`):
            Scores of the expressions before softmax, in the order of `config.id2label`.
        heatmaps (`torch.FloatTensor` of shape `(B, num_landmarks, 64, 64)`):
            Heatmaps of the landmarks, from the last hourglass.
    """

    valence: torch.Tensor | None = None
    arousal: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    heatmaps: torch.Tensor | None = None


class EmoNetBlock(nn.Module):
    """Three pre-activated 3 x 3 convolutions in a row; their outputs side by side, added to the input."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        widths = (in_channels, out_channels // 2, out_channels // 4, out_channels // 4)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[:-1])
        self.convs = nn.ModuleList(
            nn.Conv2d(width, next_width, 3, padding=1, bias=False) for width, next_width in pairwise(widths)
        )
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.BatchNorm2d(in_channels), nn.ReLU(), nn.Conv2d(in_channels, out_channels, 1, bias=False)
            )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`(B, in_channels, h, w)` to `(B, out_channels, h, w)`."""
        outputs, hidden = [], features
        for norm, conv in zip(self.norms, self.convs, strict=True):
            hidden = conv(relu(norm(hidden), inplace=True))
            outputs.append(hidden)
        return torch.cat(outputs, dim=1) + self.shortcut(features)


class EmoNetHourglass(nn.Module):
    """Features at full and at half resolution, the latter through the next smaller hourglass, added up."""

    def __init__(self, channels: int, depth: int):
        super().__init__()
        self.skip = EmoNetBlock(channels, channels)
        self.down = EmoNetBlock(channels, channels)
        self.inner = EmoNetHourglass(channels, depth - 1) if depth > 1 else EmoNetBlock(channels, channels)
        self.up = EmoNetBlock(channels, channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`(B, channels, h, w)` to the same shape; h and w are multiples of 2 to the power of the depth."""
        low = self.up(self.inner(self.down(max_pool2d(features, 2))))
        return self.skip(features) + interpolate(low, scale_factor=2, mode="nearest")


class EmoNetStage(nn.Module):
    """An hourglass, and the landmark heatmaps that are read off it."""

    def __init__(self, config: EmoNetConfig):
        super().__init__()
        channels = config.hidden_size
        self.hourglass = EmoNetHourglass(channels, _HOURGLASS_DEPTH)
        self.block = EmoNetBlock(channels, channels)
        self.conv = nn.Conv2d(channels, channels, 1)
        self.norm = nn.BatchNorm2d(channels)
        self.heatmap = nn.Conv2d(channels, config.num_landmarks, 1)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features `(B, hidden_size, 64, 64)` and heatmaps `(B, num_landmarks, 64, 64)`."""
        features = relu(self.norm(self.conv(self.block(self.hourglass(features)))), inplace=True)
        return features, self.heatmap(features)


class EmoNetStem(nn.Module):
    """Images at a quarter of their resolution."""

    def __init__(self, config: EmoNetConfig):
        super().__init__()
        width = config.hidden_size
        self.conv = nn.Conv2d(3, width // 4, 7, stride=2, padding=3)
        self.norm = nn.BatchNorm2d(width // 4)
        self.blocks = nn.ModuleList(
            [EmoNetBlock(width // 4, width // 2), EmoNetBlock(width // 2, width // 2), EmoNetBlock(width // 2, width)]
        )

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """`(B, 3, 256, 256)` to `(B, hidden_size, 64, 64)`."""
        features = self.blocks[0](relu(self.norm(self.conv(pixel_values)), inplace=True))
        return self.blocks[2](self.blocks[1](max_pool2d(features, 2)))


class EmoNetAffectHead(nn.Module):
    """Stem features, and hourglass features where the landmarks are, to expression scores, valence and arousal."""

    def __init__(self, config: EmoNetConfig):
        super().__init__()
        width = config.hidden_size
        self.projection = nn.Conv2d(3 * width, width, 1)
        self.blocks = nn.ModuleList(EmoNetBlock(width, width) for _ in range(_NUM_AFFECT_BLOCKS))
        self.classifier = nn.Sequential(
            nn.Linear(width, width // 2),
            nn.BatchNorm1d(width // 2),
            nn.ReLU(),
            nn.Linear(width // 2, config.num_labels + 2),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`(B, 3 * hidden_size, 64, 64)` to `(B, E + 2)`, the last two being valence and arousal."""
        features = self.projection(features)
        for block in self.blocks:
            features = max_pool2d(block(features), 2)
        return self.classifier(features.mean(dim=(2, 3)))


class EmoNetModel(CheckedModel, PreTrainedModel):
    """
    EmoNet (Toisoul et al., 2021): valence, arousal, expression and landmark heatmaps of a face.

    `univa convert emonet` makes a folder for `from_pretrained` from the published weights, which are for
    non-commercial use.
    """

    config: EmoNetConfig
    config_class = EmoNetConfig
    base_model_prefix = "emonet"
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: EmoNetConfig):
        super().__init__(config)
        width = config.hidden_size
        self.stem = EmoNetStem(config)
        self.stages = nn.ModuleList([EmoNetStage(config), EmoNetStage(config)])
        self.feature_link = nn.Conv2d(width, width, 1)
        self.heatmap_link = nn.Conv2d(config.num_landmarks, width, 1)
        self.affect_head = EmoNetAffectHead(config)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """PyTorch's own defaults: transformers' normal(0, 0.02) all but silences a network of this depth."""
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            module.reset_parameters()
        else:
            super()._init_weights(module)

    def forward(self, pixel_values: torch.Tensor, return_dict: bool | None = None) -> EmoNetOutput | tuple:
        """
        Args:
            pixel_values (`torch.FloatTensor` of shape `(B, 3, 256, 256)`): faces, RGB in [0, 1]; see [`preprocess`].

        Raises:
            `ValueError`: images of another size.
        """
        if pixel_values.ndim != 4 or tuple(pixel_values.shape[1:]) != (3, IMAGE_SIZE, IMAGE_SIZE):
            raise ValueError(
                f"`pixel_values` must have the shape (batch, 3, {IMAGE_SIZE}, {IMAGE_SIZE}), got "
                f"{tuple(pixel_values.shape)}: `EmoNetModel.preprocess` makes it from face images."
            )
        features = self.stem(pixel_values)
        first, heatmaps = self.stages[0](features)
        first = self.feature_link(first)
        second, heatmaps = self.stages[1](features + first + self.heatmap_link(heatmaps))
        attention = heatmaps.sum(dim=1, keepdim=True)
        scores = self.affect_head(torch.cat([features, first * attention, second * attention], dim=1))
        output = EmoNetOutput(valence=scores[:, -2], arousal=scores[:, -1], logits=scores[:, :-2], heatmaps=heatmaps)
        return output.to_tuple() if return_dict is False else output

    def preprocess(self, images: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
        """
        Inputs of the model from face crops: `model(**model.preprocess(images))`.

        Args:
            images: crops of any sizes, each `(H, W, 3)` RGB or `(H, W)` grey, uint8; one face each, tightly cropped.

        Returns:
            `pixel_values (N, 3, 256, 256)`, RGB in [0, 1], where the model is and of its type.
        """
        return {"pixel_values": (face_pixels(images, IMAGE_SIZE) / 255).to(self.device, self.dtype)}


EmoNetConfig.register_for_auto_class()
EmoNetModel.register_for_auto_class("AutoModel")

__all__ = ["EXPRESSIONS", "IMAGE_SIZE", "EmoNetConfig", "EmoNetModel", "EmoNetOutput"]
