# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Inception-ResNet-v1 (Szegedy et al., AAAI 2017) as FaceNet's embedding of a face (Schroff et al., CVPR 2015)."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from torch.nn.functional import normalize
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from .checked_loading_univa import CheckedConfig, CheckedModel, check_finite_fields
from .face_images_univa import face_pixels
from .limits_univa import check_limit


# Side of the images that the published weights were trained on, in pixels.
IMAGE_SIZE = 160
# Below it the stride of the network leaves nothing to pool.
_SMALLEST_IMAGE = 75

# One convolution of a branch: output channels and kernel.
_Layer = tuple[int, int | tuple[int, int]]


@strict
class InceptionResnetV1Config(CheckedConfig, PreTrainedConfig):
    r"""
    Configuration of Inception-ResNet-v1. The defaults are those of the published weights.

    Args:
        num_blocks_35, num_blocks_17, num_blocks_8 (`int`, defaults to 5, 10, 5):
            Residual blocks at each of the three resolutions (named after those of a 299 x 299 image); the last block,
            without scale and ReLU, comes on top.
        embedding_size (`int`, defaults to 512):
            Width of the embedding.
        dropout (`float`, defaults to 0.6):
            Dropout before the projection to the embedding.
        batch_norm_eps (`float`, defaults to 0.001):
            Added to the variance in every batch norm.
    """

    model_type = "inception-resnet-v1"

    num_blocks_35: int = 5
    num_blocks_17: int = 10
    num_blocks_8: int = 5
    embedding_size: int = 512
    dropout: float | int = 0.6
    batch_norm_eps: float = 0.001

    def validate_architecture(self) -> None:
        """Check fields by themselves; called by the strict dataclass."""
        check_finite_fields(self)
        check_limit("width", self.embedding_size, "`embedding_size`")
        for name in ("num_blocks_35", "num_blocks_17", "num_blocks_8"):
            check_limit("layers", getattr(self, name), f"`{name}`")
        if not 0 <= self.dropout <= 1:
            raise ValueError(f"`dropout` must lie in [0, 1], got {self.dropout}.")


@dataclass
class InceptionResnetV1Output(ModelOutput):
    """
    Args:
        embeddings (`torch.FloatTensor` of shape `(B, embedding_size)`): one vector of length 1 a face.
    """

    embeddings: torch.Tensor | None = None


class ConvNorm(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(
        self,
        config: InceptionResnetV1Config,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: tuple[int, int] = (0, 0),
    ):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=config.batch_norm_eps)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`(B, in_channels, h, w)` to `(B, out_channels, h', w')`."""
        return self.bn(self.conv(features)).relu_()


def _branch(config: InceptionResnetV1Config, in_channels: int, *layers: _Layer, last_stride: int = 1) -> nn.Sequential:
    """Convolutions in a row that keep the resolution, but for a last one with a stride, which has no padding."""
    modules = []
    for index, (out_channels, kernel) in enumerate(layers, start=1):
        stride = last_stride if index == len(layers) else 1
        height, width = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        padding = (height // 2, width // 2) if stride == 1 else (0, 0)
        modules.append(ConvNorm(config, in_channels, out_channels, (height, width), stride, padding))
        in_channels = out_channels
    return nn.Sequential(*modules)


class ResidualBlock(nn.Module):
    """`relu(x + scale * conv1x1(branches side by side))`; the last block of the network goes without the ReLU."""

    def __init__(
        self,
        config: InceptionResnetV1Config,
        channels: int,
        branches: Sequence[Sequence[_Layer]],
        scale: float,
        has_relu: bool = True,
    ):
        super().__init__()
        self.branches = nn.ModuleList(_branch(config, channels, *layers) for layers in branches)
        self.conv2d = nn.Conv2d(sum(layers[-1][0] for layers in branches), channels, 1)
        self.scale = scale
        self.has_relu = has_relu

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`(B, channels, h, w)` to the same shape."""
        update = self.conv2d(torch.cat([branch(features) for branch in self.branches], dim=1))
        features = features + self.scale * update
        return features.relu_() if self.has_relu else features


class Reduction(nn.Module):
    """Branches of stride 2 beside a max-pooling, side by side."""

    def __init__(self, branches: Sequence[nn.Sequential]):
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.pool = nn.MaxPool2d(3, stride=2)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`(B, channels, h, w)` to more channels at half the resolution."""
        return torch.cat([*(branch(features) for branch in self.branches), self.pool(features)], dim=1)


def _block_35(config: InceptionResnetV1Config) -> ResidualBlock:
    branches: list[list[_Layer]] = [[(32, 1)], [(32, 1), (32, 3)], [(32, 1), (32, 3), (32, 3)]]
    return ResidualBlock(config, 256, branches, scale=0.17)


def _block_17(config: InceptionResnetV1Config) -> ResidualBlock:
    branches: list[list[_Layer]] = [[(128, 1)], [(128, 1), (128, (1, 7)), (128, (7, 1))]]
    return ResidualBlock(config, 896, branches, scale=0.10)


def _block_8(config: InceptionResnetV1Config, is_last: bool = False) -> ResidualBlock:
    branches: list[list[_Layer]] = [[(192, 1)], [(192, 1), (192, (1, 3)), (192, (3, 1))]]
    return ResidualBlock(config, 1792, branches, scale=1.0 if is_last else 0.20, has_relu=not is_last)


def _trunk(config: InceptionResnetV1Config) -> nn.Sequential:
    """All that comes before the pooling, under the names that the published weights have for it."""
    reduction_a = [
        _branch(config, 256, (384, 3), last_stride=2),
        _branch(config, 256, (192, 1), (192, 3), (256, 3), last_stride=2),
    ]
    reduction_b = [
        _branch(config, 896, (256, 1), (384, 3), last_stride=2),
        _branch(config, 896, (256, 1), (256, 3), last_stride=2),
        _branch(config, 896, (256, 1), (256, 3), (256, 3), last_stride=2),
    ]
    modules: dict[str, nn.Module] = {
        "conv2d_1a": ConvNorm(config, 3, 32, 3, stride=2),
        "conv2d_2a": ConvNorm(config, 32, 32, 3),
        "conv2d_2b": ConvNorm(config, 32, 64, 3, padding=(1, 1)),
        "maxpool_3a": nn.MaxPool2d(3, stride=2),
        "conv2d_3b": ConvNorm(config, 64, 80, 1),
        "conv2d_4a": ConvNorm(config, 80, 192, 3),
        "conv2d_4b": ConvNorm(config, 192, 256, 3, stride=2),
        "repeat_1": nn.Sequential(*(_block_35(config) for _ in range(config.num_blocks_35))),
        "mixed_6a": Reduction(reduction_a),
        "repeat_2": nn.Sequential(*(_block_17(config) for _ in range(config.num_blocks_17))),
        "mixed_7a": Reduction(reduction_b),
        "repeat_3": nn.Sequential(*(_block_8(config) for _ in range(config.num_blocks_8))),
        "block8": _block_8(config, is_last=True),
    }
    return nn.Sequential(OrderedDict(modules))


class InceptionResnetV1Model(CheckedModel, PreTrainedModel):
    """
    Inception-ResNet-v1: a face to a vector of length 1, near to those of other pictures of the same person.

    `univa convert inception` makes a folder for `from_pretrained` from the weights published with facenet-pytorch.
    """

    config: InceptionResnetV1Config
    config_class = InceptionResnetV1Config
    base_model_prefix = "inception_resnet_v1"
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: InceptionResnetV1Config):
        super().__init__(config)
        self.trunk = _trunk(config)
        self.dropout = nn.Dropout(config.dropout)
        self.last_linear = nn.Linear(1792, config.embedding_size, bias=False)
        self.last_bn = nn.BatchNorm1d(config.embedding_size, eps=config.batch_norm_eps)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """PyTorch's own defaults: transformers' normal(0, 0.02) all but silences a network of this depth."""
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            module.reset_parameters()
        else:
            super()._init_weights(module)

    def forward(self, pixel_values: torch.Tensor, return_dict: bool | None = None) -> InceptionResnetV1Output | tuple:
        """
        Args:
            pixel_values (`torch.FloatTensor` of shape `(B, 3, 160, 160)`):
                Faces, RGB, standardised as `(x - 127.5) / 128`; see [`preprocess`]. Other sizes from 75 on work, but
                the published weights were trained on this one.

        Raises:
            `ValueError`: another number of channels, or images too small.
        """
        shape = tuple(pixel_values.shape)
        if len(shape) != 4 or shape[1] != 3 or min(shape[2:]) < _SMALLEST_IMAGE:
            raise ValueError(
                f"`pixel_values` must have the shape (batch, 3, {IMAGE_SIZE}, {IMAGE_SIZE}), got {shape}: "
                "`InceptionResnetV1Model.preprocess` makes it from face images."
            )
        pooled = self.trunk(pixel_values).mean(dim=(2, 3))
        embeddings = normalize(self.last_bn(self.last_linear(self.dropout(pooled))), dim=1)
        output = InceptionResnetV1Output(embeddings=embeddings)
        return output.to_tuple() if return_dict is False else output

    def preprocess(self, images: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
        """
        Inputs of the model from face crops: `model(**model.preprocess(images))`.

        Args:
            images: crops of any sizes, each `(H, W, 3)` RGB or `(H, W)` grey, uint8; one aligned face each.

        Returns:
            `pixel_values (N, 3, 160, 160)`, `(x - 127.5) / 128`, where the model is and of its type.
        """
        pixels = (face_pixels(images, IMAGE_SIZE) - 127.5) / 128
        return {"pixel_values": pixels.to(self.device, self.dtype)}


InceptionResnetV1Config.register_for_auto_class()
InceptionResnetV1Model.register_for_auto_class("AutoModel")

__all__ = ["IMAGE_SIZE", "InceptionResnetV1Config", "InceptionResnetV1Model", "InceptionResnetV1Output"]
