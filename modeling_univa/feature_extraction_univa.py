# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Light features of speech and faces that need no pretrained weights, so that raw media work offline.

An extractor is a frozen dataclass: its fields are all that decides the features, `to_dict` writes them beside the
model and `extractor_from_dict` rebuilds it. Further kinds (pretrained encoders among them) keep the same interface and
are added to `EXTRACTORS`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function


__all__ = ["EXTRACTORS", "HogExtractor", "LogMelExtractor", "extractor_from_dict"]


@dataclass(frozen=True)
class LogMelExtractor:
    """Log-mel frames of a waveform.

    Args:
        sampling_rate: Rate of the waveforms, in Hz.
        num_mel_bins: Number of mel bands.
        window_length: Analysis window, in samples.
        hop_length: Step between analysis windows, in samples.
        frame_rate: Output frames a second; as many analysis frames as fall into one are averaged.
        normalization: "none" keeps the level of the recording; "utterance" takes each band's mean over the clip away.
    """

    extractor_type: ClassVar[str] = "log-mel"

    sampling_rate: int = 16000
    num_mel_bins: int = 64
    window_length: int = 400
    hop_length: int = 160
    frame_rate: float = 12.5
    normalization: str = "none"

    def __post_init__(self):
        for name in ("sampling_rate", "num_mel_bins", "window_length", "hop_length", "frame_rate"):
            _check_positive(self, name)
        if self.normalization not in ("none", "utterance"):
            raise ValueError(f"`normalization` must be 'none' or 'utterance', got {self.normalization!r}")
        frames = self.sampling_rate / self.hop_length / self.frame_rate
        if frames < 1 or frames != round(frames):
            raise ValueError(
                f"`frame_rate` must divide the {self.sampling_rate / self.hop_length:g} analysis frames a second "
                f"(sampling_rate / hop_length) without remainder, got {self.frame_rate}"
            )

    @property
    def feature_size(self) -> int:
        """Numbers in one frame."""
        return self.num_mel_bins

    def to_dict(self) -> dict[str, Any]:
        """All fields, with the kind and the size of the features; `extractor_from_dict` reads it back."""
        return _to_dict(self)

    def __call__(self, waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
        """Compute the frames of one clip.

        Args:
            waveform: float32 mono samples in [-1, 1], shape (samples,). Less than one window is padded with silence.
            sampling_rate: Rate of `waveform` in Hz, which must be the extractor's.

        Returns:
            float32, shape (frames, feature_size), always finite, at least one frame.

        Raises:
            ValueError: Another sampling rate; a waveform that is empty, not one-dimensional, not floating point or
                not finite.
        """
        _check_waveform(waveform, sampling_rate, self.sampling_rate)
        missing = self.window_length - len(waveform)
        log_mel = spectrogram(
            np.pad(waveform, (0, max(0, missing))),
            window_function(self.window_length, "hann"),
            frame_length=self.window_length,
            hop_length=self.hop_length,
            fft_length=_next_power_of_two(self.window_length),
            power=2.0,
            center=False,
            mel_filters=_mel_filters(self.sampling_rate, self.num_mel_bins, _next_power_of_two(self.window_length)),
            log_mel="log",
        ).T
        if self.normalization == "utterance":
            log_mel = log_mel - log_mel.mean(axis=0)
        group = round(self.sampling_rate / self.hop_length / self.frame_rate)
        starts = np.arange(0, len(log_mel), group)
        counts = np.minimum(group, len(log_mel) - starts)[:, None]
        return (np.add.reduceat(log_mel, starts, axis=0) / counts).astype(np.float32)


@dataclass(frozen=True)
class HogExtractor:
    """Histograms of oriented gradients (Dalal and Triggs, 2005) of face images, one frame an image.

    Args:
        image_size: Side in pixels to which the grey image is resized.
        cell_size: Side of a cell in pixels; must divide `image_size`.
        block_size: Side of a block in cells; blocks step by one cell and are normalised each by itself.
        num_bins: Orientations of the histogram, over half a turn.
        equalize: Whether the histogram of the grey image is equalised first.
    """

    extractor_type: ClassVar[str] = "hog"

    image_size: int = 64
    cell_size: int = 8
    block_size: int = 2
    num_bins: int = 9
    equalize: bool = False

    def __post_init__(self):
        for name in ("image_size", "cell_size", "block_size", "num_bins"):
            _check_positive(self, name)
        if self.image_size % self.cell_size:
            raise ValueError(f"`cell_size` must divide `image_size` {self.image_size}, got {self.cell_size}")
        if self.block_size > self.image_size // self.cell_size:
            raise ValueError(
                f"`block_size` must be at most the {self.image_size // self.cell_size} cells of an image side, "
                f"got {self.block_size}"
            )

    @property
    def feature_size(self) -> int:
        """Numbers of one image."""
        blocks = self.image_size // self.cell_size - self.block_size + 1
        return blocks**2 * self.block_size**2 * self.num_bins

    def to_dict(self) -> dict[str, Any]:
        """All fields, with the kind and the size of the features; `extractor_from_dict` reads it back."""
        return _to_dict(self)

    def __call__(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Compute the frames of one face sequence.

        Args:
            images: At least one uint8 image, (height, width, 3) RGB or (height, width) grey.

        Returns:
            float32, shape (images, feature_size), always finite.

        Raises:
            ValueError: No image, or one of another type or shape.
            ImportError: OpenCV is not installed.
        """
        if not len(images):
            raise ValueError("expected at least one face image, got none")
        descriptor = self._descriptor()
        return np.stack([descriptor.compute(self._prepare(image, i)) for i, image in enumerate(images)])

    def _descriptor(self):
        side, cell = (self.image_size, self.image_size), (self.cell_size, self.cell_size)
        block = (self.block_size * self.cell_size,) * 2
        return _import_cv2().HOGDescriptor(side, block, cell, cell, self.num_bins)

    def _prepare(self, image: np.ndarray, index: int) -> np.ndarray:
        cv2 = _import_cv2()
        _check_image(image, index)
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        # Averaging over the area is the one that does not alias when an image shrinks.
        shrinks = min(image.shape[:2]) > self.image_size
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        grey = cv2.resize(grey, (self.image_size, self.image_size), interpolation=method)
        return cv2.equalizeHist(grey) if self.equalize else grey


EXTRACTORS: dict[str, type[LogMelExtractor] | type[HogExtractor]] = {
    extractor.extractor_type: extractor for extractor in (LogMelExtractor, HogExtractor)
}


def extractor_from_dict(config: dict[str, Any]) -> LogMelExtractor | HogExtractor:
    """Rebuild an extractor from what its `to_dict` gave.

    Raises:
        ValueError: An unknown kind or setting, or a `feature_size` that the settings do not give.
    """
    settings = dict(config)
    kind = settings.pop("extractor_type", None)
    feature_size = settings.pop("feature_size", None)
    if kind not in EXTRACTORS:
        raise ValueError(f"unknown `extractor_type` {kind!r}; known are {', '.join(sorted(EXTRACTORS))}")
    known = [field.name for field in fields(EXTRACTORS[kind])]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(f"the {kind} extractor has no setting {', '.join(unknown)}; it has {', '.join(known)}")
    extractor = EXTRACTORS[kind](**settings)
    if feature_size not in (None, extractor.feature_size):
        raise ValueError(
            f"the {kind} extractor with these settings makes features of size {extractor.feature_size}, "
            f"but its configuration says {feature_size}"
        )
    return extractor


def _to_dict(extractor: Any) -> dict[str, Any]:
    return {
        "extractor_type": extractor.extractor_type,
        **asdict(extractor),
        "feature_size": extractor.feature_size,
    }


def _check_positive(extractor: Any, name: str) -> None:
    value = getattr(extractor, name)
    if not value > 0:
        raise ValueError(f"`{name}` must be positive, got {value}")


def _check_waveform(waveform: np.ndarray, sampling_rate: int, expected_rate: int) -> None:
    if sampling_rate != expected_rate:
        raise ValueError(f"expected speech at {expected_rate} Hz, got {sampling_rate} Hz; resample it first")
    if not isinstance(waveform, np.ndarray) or waveform.dtype.kind != "f" or waveform.ndim != 1:
        found = f"{waveform.dtype} {waveform.shape}" if isinstance(waveform, np.ndarray) else type(waveform).__name__
        raise ValueError(f"expected a mono waveform, a float array (samples,) in [-1, 1], got {found}")
    if not waveform.size:
        raise ValueError("expected a waveform with at least one sample, got an empty one")
    if not np.isfinite(waveform).all():
        raise ValueError("the waveform holds samples that are NaN or infinite")


def _check_image(image: np.ndarray, index: int) -> None:
    is_bytes = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.size > 0
    if is_bytes and (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        return
    found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
    raise ValueError(f"face image {index}: expected uint8 (height, width, 3) RGB or (height, width) grey, got {found}")


def _import_cv2():
    try:
        import cv2
    except ImportError as error:
        raise ImportError('HOG features need OpenCV: pip install "univa[media]"') from error
    return cv2


def _next_power_of_two(length: int) -> int:
    return 1 << (length - 1).bit_length()


@lru_cache(maxsize=8)
def _mel_filters(sampling_rate: int, num_mel_bins: int, fft_length: int) -> np.ndarray:
    return mel_filter_bank(
        fft_length // 2 + 1, num_mel_bins, 0.0, sampling_rate / 2, sampling_rate, norm="slaney", mel_scale="slaney"
    )
