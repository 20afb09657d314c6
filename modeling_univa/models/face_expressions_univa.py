# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Probabilities of expressions in faces, by any network that classifies them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, ClassVar

import numpy as np
import torch
from transformers import (
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING,
    AutoImageProcessor,
    AutoModelForImageClassification,
    PreTrainedConfig,
)

from .checked_loading_univa import load_network, read_config
from .extractor_base_univa import cannot_be_loaded, set_values
from .face_networks_univa import FaceNetworkExtractor
from .limits_univa import check_limit
from .modeling_emonet import EmoNetConfig, EmoNetModel
from .modeling_mini_xception import MiniXceptionConfig, MiniXceptionModel
from .trusted_paths_univa import check_digest


__all__ = ["FaceExpressionExtractor"]

_NETWORK = "a network that tells expressions"
# Networks of this package, by their `model_type`.
_OWN: dict[str, tuple[Any, Any]] = {
    config.model_type: (config, model)
    for config, model in ((MiniXceptionConfig, MiniXceptionModel), (EmoNetConfig, EmoNetModel))
}


@dataclass(frozen=True)
class FaceExpressionExtractor(FaceNetworkExtractor):
    """
    Probabilities of expressions in face crops, one frame a face: softmax over the scores of mini-Xception, EmoNet or
    any image classifier of transformers.

    Args:
        model: Hub id, or folder, of a network that `univa convert mini-xception` or `univa convert emonet` wrote, or
            that `AutoModelForImageClassification` loads.
        labels: Names of the expressions, in the order of a frame; read from the checkpoint.
        revision, sha256, feature_size, device, dtype, batch_images: As in [`FaceNetworkExtractor`].

    Raises:
        ValueError: A setting out of range, or no such network can be loaded.
    """

    extractor_type: ClassVar[str] = "face-expression"
    modality: ClassVar[str] = "face_emotions"

    labels: tuple[str, ...] = ()

    def __post_init__(self):
        if not all(isinstance(name, str) for name in self.labels) or isinstance(self.labels, str):
            raise ValueError(f"`labels` must be the names of the expressions, got {self.labels!r}")
        set_values(self, {"labels": tuple(self.labels)})
        super().__post_init__()
        if self.labels and len(self.labels) != self.feature_size:
            raise ValueError(f"`labels` must be {self.feature_size} names of expressions, got {len(self.labels)}")

    @property
    def small(self) -> bool:
        """Whether every process may have one."""
        return _read_config(self.model, self.revision).model_type in _OWN

    def to_dict(self) -> dict[str, Any]:
        """All that decides the probabilities; `extractor_from_dict` reads it back."""
        return {**super().to_dict(), "labels": list(self.labels)}

    def _describe(self) -> dict[str, Any]:
        config = _read_config(self.model, self.revision)
        labels = [config.id2label[number] for number in range(config.num_labels)]
        return {"feature_size": len(labels), "labels": tuple(labels)}

    def _frames(self, images: Sequence[np.ndarray], device: str, dtype: torch.dtype) -> torch.Tensor:
        scores = _classifier(self.model, self.revision, self.sha256, device, dtype)(images)
        return scores.float().softmax(dim=-1)


def _read_config(model: str, revision: str | None) -> Any:
    hub = {"revision": revision or "main"}
    try:
        kind = PreTrainedConfig.get_config_dict(model, **hub)[0].get("model_type")
        if kind in _OWN:
            return _OWN[kind][0].from_pretrained(model, **hub)
        config = read_config(model, **hub)
        if type(config) not in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING:
            raise ValueError(f"its `model_type` is {kind!r}, of which transformers has no image classifier")
    except (OSError, ValueError) as error:
        raise cannot_be_loaded(model, _NETWORK, error) from error
    return config


@lru_cache(maxsize=4)
def _classifier(
    model: str, revision: str | None, sha256: str | None, device: str, dtype: torch.dtype
) -> Callable[[Sequence[np.ndarray]], torch.Tensor]:
    """From face images to scores of expressions `(images, E)`."""
    check_digest(model, sha256)
    config, hub = _read_config(model, revision), {"revision": revision or "main"}
    try:
        if config.model_type in _OWN:
            network = _OWN[config.model_type][1].from_pretrained(model, config=config, dtype=dtype, **hub).eval()
            preprocess = network.preprocess
        else:
            network = load_network(AutoModelForImageClassification, model, config=config, dtype=dtype, **hub)
            preprocess = partial(_pixels, _image_processor(model, hub))
    except (OSError, ValueError, RuntimeError) as error:
        raise cannot_be_loaded(model, _NETWORK, error) from error
    network = network.requires_grad_(False).to(device)
    return lambda images: network(preprocess(images)["pixel_values"].to(device, dtype)).logits


def _image_processor(model: str, hub: dict[str, Any]) -> Any:
    # Pictures are scaled in another way by torchvision, which is not on every machine.
    processor = AutoImageProcessor.from_pretrained(model, trust_remote_code=False, backend="pil", **hub)
    for name in ("size", "crop_size"):
        for side, pixels in dict(getattr(processor, name, None) or {}).items():
            if pixels is not None:
                check_limit("image_side", pixels, f"`{side}` of its `{name}`")
    return processor


def _pixels(processor: Any, images: Sequence[np.ndarray]) -> Any:
    colours = [np.repeat(image[..., None], 3, axis=-1) if image.ndim == 2 else image for image in images]
    return processor(colours, input_data_format="channels_last", return_tensors="pt")
