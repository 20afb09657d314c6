# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Raw media to arrays: sound files to waveforms, image files to pixels, with one error type for whatever is wrong.

Every reader takes a path or the file's bytes and raises `MediaError`, which names the file and the reason. A reader of
video (frames and sound track of a clip, through PyAV) belongs beside the two that are here.
"""

import io
import math
import os
from pathlib import Path

import numpy as np


__all__ = ["MediaError", "MediaSource", "read_audio", "read_image"]

MediaSource = str | os.PathLike[str] | bytes

# Float files may go a little beyond full scale, and resampling overshoots; integers stored as floats are thousands.
_LARGEST_PEAK = 16.0


class MediaError(ValueError):
    """A media file that cannot be used; the message says which one and why."""

    def __init__(self, source: MediaSource, reason: str):
        self.source = "<bytes>" if isinstance(source, bytes) else os.fspath(source)
        self.reason = reason
        super().__init__(f"{self.source}: {reason}")

    def __reduce__(self):
        # The message is built from two arguments, which the default pickling (worker processes) does not know.
        return type(self), (self.source, self.reason)


def read_audio(
    source: MediaSource, sampling_rate: int = 16000, start: float | None = None, end: float | None = None
) -> np.ndarray:
    """Read a sound file as one mono waveform.

    Args:
        source: Path of a file that libsndfile reads (wav, flac, ogg, mp3, …), or its bytes.
        sampling_rate: Wanted rate in Hz; other rates are resampled with a polyphase filter.
        start: Where to begin, in seconds; the file's beginning by default.
        end: Where to stop, in seconds; the file's end by default, and where `end` lies beyond it.

    Returns:
        float32 samples in [-1, 1], shape (samples,), the mean of the channels.

    Raises:
        MediaError: The file is missing, unreadable, empty, without samples between `start` and `end`, holds NaN or
            infinite samples, or samples that are not scaled to [-1, 1].
        ImportError: soundfile is not installed.
    """
    soundfile = _import_soundfile()
    if sampling_rate <= 0:
        raise ValueError(f"`sampling_rate` must be positive, got {sampling_rate}")
    _check_file(source)
    try:
        with soundfile.SoundFile(io.BytesIO(source) if isinstance(source, bytes) else os.fspath(source)) as file:
            first, last = _sample_range(source, file.frames, file.samplerate, start, end)
            file.seek(first)
            waveform = file.read(last - first, dtype="float32", always_2d=True).mean(axis=1)
            native_rate = file.samplerate
    except soundfile.SoundFileError as error:
        raise MediaError(source, f"not a readable sound file ({error})") from error
    _check_samples(source, waveform)
    return _resample(waveform, native_rate, sampling_rate).clip(-1.0, 1.0)


def read_image(source: MediaSource) -> np.ndarray:
    """Read an image file as RGB pixels, upright where the file says how it was held.

    Args:
        source: Path of an image that OpenCV reads (jpeg, png, webp, bmp, …), or its bytes.

    Returns:
        uint8 pixels, shape (height, width, 3), channels in the order red, green, blue; grey images are repeated.

    Raises:
        MediaError: The file is missing, empty, truncated or not an image.
        ImportError: OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise ImportError('reading images needs OpenCV: pip install "univa[media]"') from error
    _check_file(source)
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error) as error:
        raise MediaError(source, f"not a readable image ({error})") from error
    if pixels is None:
        raise MediaError(source, "not an image, or one that is cut off")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _import_soundfile():
    try:
        import soundfile
    except ImportError as error:
        raise ImportError('reading sound files needs soundfile: pip install "univa[media]"') from error
    return soundfile


def _check_file(source: MediaSource) -> None:
    """Refuse what has no byte to read, before a decoder says so in its own words."""
    try:
        size = len(source) if isinstance(source, bytes) else os.stat(source).st_size
    except OSError as error:
        raise MediaError(source, error.strerror or str(error)) from error
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise MediaError(source, "not a file")
    if not size:
        raise MediaError(source, "the file is empty (0 bytes)")


def _sample_range(
    source: MediaSource, num_samples: int, rate: int, start: float | None, end: float | None
) -> tuple[int, int]:
    first_second, last_second = start or 0.0, math.inf if end is None else end
    if not 0 <= first_second < last_second:
        raise MediaError(source, f"wanted from {start} s to {end} s: start must be at least 0 and less than end")
    first = round(first_second * rate)
    last = num_samples if math.isinf(last_second) else min(num_samples, round(last_second * rate))
    if first >= last:
        raise MediaError(source, f"no samples from {first_second:g} s on: the sound lasts {num_samples / rate:g} s")
    return first, last


def _check_samples(source: MediaSource, waveform: np.ndarray) -> None:
    if not waveform.size:
        raise MediaError(source, "the file declares samples but holds none")
    if not np.isfinite(waveform).all():
        raise MediaError(source, "holds samples that are NaN or infinite")
    peak = np.abs(waveform).max()
    if peak > _LARGEST_PEAK:
        raise MediaError(source, f"samples reach {peak:g} where full scale is 1; divide them before saving")


def _resample(waveform: np.ndarray, native_rate: int, sampling_rate: int) -> np.ndarray:
    if native_rate == sampling_rate:
        return waveform
    try:
        from scipy.signal import resample_poly
    except ImportError as error:
        raise ImportError('resampling sound needs SciPy: pip install "univa[media]"') from error

    divisor = math.gcd(native_rate, sampling_rate)
    return resample_poly(waveform, sampling_rate // divisor, native_rate // divisor).astype(np.float32)
