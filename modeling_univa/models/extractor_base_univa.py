# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What extractors of speech, faces and words have in common: settings, checks, and what names their weights."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field, fields
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from transformers.utils import CONFIG_NAME, cached_file
from transformers.utils.hub import extract_commit_hash

from .files_univa import one_line
from .limits_univa import check_limit
from .trusted_paths_univa import check_digest, check_sha256, content_digest, network_files


__all__ = [
    "Extractor",
    "Scorer",
    "Translator",
    "check_at_least",
    "check_choice",
    "check_image",
    "check_limits",
    "check_waveform",
    "extractor_identity",
    "extractor_to_dict",
    "same_extractor",
]


class Extractor(Protocol):
    """
    What makes features from media of one modality: a frozen dataclass whose fields decide the features.

    Speech extractors have `sampling_rate` too, in Hz, and take `(waveform, sampling_rate)`; those of faces take a list
    of uint8 images, those of text a string. To compute the frames of one clip, use `__call__`.
    One that every worker process may have, since it is small and needs no batches, says `small = True`.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    #: Names the kind in saved settings.
    extractor_type: ClassVar[str]
    #: "text", "audio" or "vision".
    modality: ClassVar[str]

    @property
    def feature_size(self) -> int:
        """Numbers in one frame."""

    def to_dict(self) -> dict[str, Any]:
        """Kind, fields and feature size; `extractor_from_dict` reads it back."""

    def extract_batch(self, items: Sequence[Any]) -> list[np.ndarray]:
        """Frames of several clips, float32 `(frames, feature_size)` each."""


class Scorer(Protocol):
    """What scores valence and arousal of media of one modality."""

    def score(self, items: Sequence[Any]) -> np.ndarray:
        """(valence, arousal) in [-1, 1] of each item, shape `(items, 2)`; NaN where there is none."""


class Translator(Protocol):
    """What turns texts into texts. `name` tells it and its languages apart from others, in the cache."""

    name: str

    def translate(self, texts: Sequence[str]) -> list[str]:
        """One translation a text, in order."""


def extractor_identity(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without the place of what a checksum names, which may be another one on each machine."""
    places = {"model": settings.get("sha256"), "detector_model": settings.get("detector_sha256")}
    return {name: value for name, value in settings.items() if not places.get(name)}


def same_extractor(config: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two configurations make the same features.

    `replaces` is what a model was trained on before it got the extractor of it.
    """

    def compared(settings: Mapping[str, Any]) -> dict[str, Any]:
        found = extractor_identity(settings)
        found.pop("replaces", None)
        # Settings that were saved before there was this one lack it.
        return {name: value for name, value in found.items() if name != "detector_sha256" or value is not None}

    return compared(config) == compared(other) or config.get("replaces") == other or other.get("replaces") == config


def extractor_to_dict(extractor: Any) -> dict[str, Any]:
    """Kind, settings and feature size of an extractor, without the settings of this machine."""
    return {
        "extractor_type": extractor.extractor_type,
        **{name: getattr(extractor, name) for name in settings_of(type(extractor))},
        "feature_size": extractor.feature_size,
    }


def settings_of(extractor: Any) -> list[str]:
    """Names of the settings that decide the features."""
    return [item.name for item in fields(extractor) if not item.metadata.get("runtime")]


def check_at_least(extractor: Any, **minima: int) -> None:
    """Raise a `ValueError` where a setting of an extractor is not a whole number of at least its minimum."""
    for name, minimum in minima.items():
        value = getattr(extractor, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise ValueError(f"`{name}` must be a whole number of at least {minimum}, got {value!r}")


def check_limits(extractor: Any, **kinds: str) -> None:
    """Raise a `ValueError` where a setting of an extractor is beyond the limit of its kind in `LIMITS`."""
    for name, kind in kinds.items():
        check_limit(kind, getattr(extractor, name), f"`{name}`")


def check_choice(extractor: Any, **choices: tuple[Any, ...]) -> None:
    """Raise a `ValueError` where a setting of an extractor is none of its choices."""
    for name, allowed in choices.items():
        if getattr(extractor, name) not in allowed:
            raise ValueError(f"`{name}` must be one of {', '.join(allowed)}, got {getattr(extractor, name)!r}")


def check_waveform(waveform: np.ndarray, sampling_rate: int, expected_rate: int) -> None:
    """Raise a `ValueError` for what is not finite mono speech (samples,) in [-1, 1] at the expected rate in Hz."""
    if sampling_rate != expected_rate:
        raise ValueError(f"expected speech at {expected_rate} Hz, got {sampling_rate} Hz; resample it first")
    if not isinstance(waveform, np.ndarray) or waveform.dtype.kind != "f" or waveform.ndim != 1:
        found = f"{waveform.dtype} {waveform.shape}" if isinstance(waveform, np.ndarray) else type(waveform).__name__
        raise ValueError(f"expected a mono waveform, a float array (samples,) in [-1, 1], got {found}")
    if not waveform.size:
        raise ValueError("expected a waveform with at least one sample, got an empty one")
    if not np.isfinite(waveform).all():
        raise ValueError("the waveform holds samples that are NaN or infinite")
    peak = np.abs(waveform).max()
    if peak > 16:
        raise ValueError(f"expected samples in [-1, 1], got a peak of {peak:g}; divide integer samples by full scale")


def check_image(image: np.ndarray, index: int) -> None:
    """Raise a `ValueError` for what is not a uint8 image (height, width, 3) RGB or (height, width) grey."""
    is_bytes = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.size > 0
    if is_bytes and (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        return
    found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
    raise ValueError(f"face image {index}: expected uint8 (height, width, 3) RGB or (height, width) grey, got {found}")


DTYPES = ("auto", "float32", "float16", "bfloat16")


_COMMIT = re.compile(r"[0-9a-f]{40}")


def runtime_setting(default: Any) -> Any:
    """A setting of this machine, which does not decide the features and is neither saved nor compared."""
    return field(default=default, compare=False, metadata={"runtime": True})


def pin(extractor: Any, describe: Any) -> None:
    """Complete an extractor by what its checkpoint says of itself, and by which checkpoint that is."""
    check_names(extractor, "revision")
    folder = Path(extractor.model)
    is_folder = folder.is_dir()
    pinned = extractor.sha256 if is_folder else _COMMIT.fullmatch(extractor.revision or "")
    if extractor.feature_size and (pinned or extractor.sha256):
        return
    if not is_folder and (folder.is_absolute() or extractor.model.count("/") > 1 or extractor.model.startswith(".")):
        raise ValueError(f"{extractor.model}: not a folder, and not a Hub id (ORG/NAME)")
    if extractor.sha256 is not None:
        # Before anything of it is parsed.
        check_digest(extractor.model, extractor.sha256)
    found = describe()
    if is_folder:
        found |= {"model": str(folder.resolve()), "revision": None}
        found["sha256"] = extractor.sha256 or content_digest(network_files(folder))
    else:
        file = cached_file(extractor.model, CONFIG_NAME, revision=extractor.revision or "main")
        found["revision"] = extract_commit_hash(file, None)
    for name, value in found.items():
        given = getattr(extractor, name)
        if name in ("feature_size", "sampling_rate") and given not in (0, value):
            raise ValueError(f"{extractor.model} has `{name}` {value}, but {given} was asked for")
    set_values(extractor, found)


def check_names(extractor: Any, *optional: str) -> None:
    """Refuse names that are not text, and what is not a SHA-256: it names a folder of the cache, too."""
    for name in ("model", *optional):
        value = getattr(extractor, name)
        if not isinstance(value, str) and (name == "model" or value is not None):
            raise ValueError(f"`{name}` must be text, got {type(value).__name__}.")
    if extractor.sha256 is not None:
        check_sha256(extractor.sha256, "sha256")


def set_values(extractor: Any, values: dict[str, Any]) -> None:
    """Set fields of an extractor, which is frozen, while it is made."""
    for name, value in values.items():
        object.__setattr__(extractor, name, value)


def placement(device: str | None, dtype: str) -> tuple[str, torch.dtype]:
    """Where a network runs and in which precision: by default on the accelerator, in float16 on CUDA."""
    if device is None:
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        device = "cpu" if accelerator is None else accelerator.type
    if dtype == "auto":
        dtype = "float16" if device.startswith("cuda") else "float32"
    return device, getattr(torch, dtype)


@contextmanager
def exact_float32() -> Iterator[None]:
    """
    Convolutions in float32 where that is the precision of the network.

    PyTorch lets cuDNN compute them in TF32, whose three digits are not those of a CPU nor of another batch.
    """
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def cannot_be_loaded(model: str, kind: str, error: Exception) -> ValueError:
    """The error of a checkpoint that is not of the kind that was expected."""
    return ValueError(f"{model} cannot be loaded as {kind}: {one_line(error)}")
