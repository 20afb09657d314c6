# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Face crops as the square float images that face networks take."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn


def face_pixels(images: Sequence[np.ndarray], size: int) -> torch.Tensor:
    """
    Face crops of any sizes as one batch, stretched to squares by antialiased bilinear interpolation.

    Args:
        images: crops, each `(H, W, 3)` RGB or `(H, W)` grey, uint8.
        size: side of the square, in pixels.

    Returns:
        `(N, 3, size, size)` float32, RGB in [0, 255].

    Raises:
        `ValueError`: an image of another shape or type.
    """
    if not len(images):
        return torch.zeros(0, 3, size, size)
    return torch.cat([_square(image, index, size) for index, image in enumerate(images)])


def _square(image: np.ndarray, index: int, size: int) -> torch.Tensor:
    image = np.asarray(image)
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=-1)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3 or not image.size:
        raise ValueError(
            f"Face image {index} must be uint8 of shape (H, W, 3), RGB, or (H, W), grey; got {image.dtype} of shape "
            f"{image.shape}."
        )
    # The copy also makes views with negative strides (BGR turned round, mirrored faces) fit for torch.
    pixels = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
    if image.shape[:2] == (size, size):
        return pixels
    return nn.functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True)


__all__ = ["face_pixels"]
