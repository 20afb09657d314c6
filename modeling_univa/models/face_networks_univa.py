# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Features of faces by pretrained networks: embeddings of a face, and of its expression."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from transformers import PreTrainedConfig

from .extractor_base_univa import (
    DTYPES,
    cannot_be_loaded,
    check_at_least,
    check_choice,
    check_image,
    check_limits,
    exact_float32,
    extractor_to_dict,
    pin,
    placement,
    runtime_setting,
)
from .modeling_inception_resnet_v1 import InceptionResnetV1Config, InceptionResnetV1Model
from .modeling_mini_xception import MiniXceptionConfig, MiniXceptionModel
from .trusted_paths_univa import check_digest


__all__ = ["FaceEmbeddingExtractor", "FaceNetworkExtractor"]


_FACE_NETWORK = "a face network (`univa convert inception` or `mini-xception` writes one)"


@dataclass(frozen=True)
class FaceNetworkExtractor:
    """
    What extractors by a network that looks at one face at a time have in common; they make one frame a face.

    Args:
        model: Hub id or folder of the network.
        revision: Branch, tag or commit on the Hub; what is kept is the commit.
        sha256: Of the folder's files; found out where it is not given, and else compared when the network is loaded.
        feature_size: Width of a frame; read from the checkpoint.
        device, dtype: As in `SpeechEncoderExtractor`.
        batch_images: Faces in a batch.

    Raises:
        ValueError: A setting out of range, or no such network can be loaded.
    """

    model: str
    revision: str | None = None
    sha256: str | None = None
    feature_size: int = 0
    device: str | None = runtime_setting(None)
    dtype: str = runtime_setting("auto")
    batch_images: int = runtime_setting(64)

    def __post_init__(self):
        check_at_least(self, feature_size=0, batch_images=1)
        check_limits(self, batch_images="batch")
        check_choice(self, dtype=DTYPES)
        pin(self, self._describe)

    def _describe(self) -> dict[str, Any]:
        """What the checkpoint says of the frames."""
        raise NotImplementedError

    def _frames(self, images: Sequence[np.ndarray], device: str, dtype: torch.dtype) -> torch.Tensor:
        """Frames of some images `(images, feature_size)`."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """All that decides the features; `extractor_from_dict` reads it back."""
        return extractor_to_dict(self)

    def __call__(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """
        Compute the frames of one face sequence.

        Args:
            images: At least one uint8 crop, (height, width, 3) RGB or (height, width) grey.

        Returns:
            float32, shape (images, feature_size).

        Raises:
            ValueError: No image, or one of another type or shape; the network cannot be loaded or is not the one that
                is named.
        """
        return self.extract_batch([images])[0]

    @exact_float32()
    @torch.inference_mode()
    def extract_batch(self, items: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
        """Frames of several face sequences; see `__call__`."""
        for images in items:
            if not len(images):
                raise ValueError("expected at least one face image, got none")
            for index, image in enumerate(images):
                check_image(image, index)
        if not items:
            return []
        placed = placement(self.device, self.dtype)
        faces = [image for images in items for image in images]
        batches = (faces[start : start + self.batch_images] for start in range(0, len(faces), self.batch_images))
        frames = [self._frames(batch, *placed).float().cpu() for batch in batches]
        borders = np.cumsum([len(images) for images in items])[:-1]
        return np.split(torch.cat(frames).numpy(), borders)


class FaceEmbeddingExtractor(FaceNetworkExtractor):
    """
    Embeddings of face crops, one frame a face: by Inception-ResNet-v1, L2-normalised (section 4.1 of the paper), or by
    mini-Xception, which was trained on expressions.

    `model` is a Hub id, or a folder as `univa convert inception` and `univa convert mini-xception` write it.
    """

    extractor_type: ClassVar[str] = "face-embedding"
    modality: ClassVar[str] = "vision"
    # Every process may have one.
    small: ClassVar[bool] = True

    def _describe(self) -> dict[str, Any]:
        return {"feature_size": _read_face_config(self.model, self.revision).embedding_size}

    def _frames(self, images: Sequence[np.ndarray], device: str, dtype: torch.dtype) -> torch.Tensor:
        network = _face_network(self.model, self.revision, self.sha256, device, dtype)
        return network(network.preprocess(images)["pixel_values"].to(device, dtype)).embeddings


def _face_networks() -> dict[str, tuple[Any, Any]]:
    """Configuration and model of the networks that embed faces, by their `model_type`."""

    pairs = ((InceptionResnetV1Config, InceptionResnetV1Model), (MiniXceptionConfig, MiniXceptionModel))
    return {config.model_type: (config, model) for config, model in pairs}


def _read_face_config(model: str, revision: str | None) -> Any:
    networks = _face_networks()
    try:
        settings, _ = PreTrainedConfig.get_config_dict(model, revision=revision or "main")
        kind = settings.get("model_type")
        if kind not in networks:
            raise ValueError(f"its `model_type` is {kind!r}; such networks are {', '.join(networks)}")
        return networks[kind][0].from_pretrained(model, revision=revision or "main")
    except (OSError, ValueError) as error:
        raise cannot_be_loaded(model, _FACE_NETWORK, error) from error


@lru_cache(maxsize=4)
def _face_network(model: str, revision: str | None, sha256: str | None, device: str, dtype: torch.dtype) -> Any:
    check_digest(model, sha256)
    config = _read_face_config(model, revision)
    try:
        network = _face_networks()[config.model_type][1].from_pretrained(
            model, revision=revision or "main", config=config, dtype=dtype
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise cannot_be_loaded(model, _FACE_NETWORK, error) from error
    return network.eval().requires_grad_(False).to(device)
