# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""What may be given for the sound, faces and features of an utterance, read in the same way wherever it is given."""

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import Any

import numpy as np
import torch

from .limits_univa import check_limit
from .media_univa import MediaSource, NoSoundError, check_times, read_audio, read_image, resample


_WAVEFORM = "the waveform"
_CHANNELS = (1, 3, 4)


def media_source(name: str, value: Any) -> MediaSource:
    """
    Path or bytes of a file.

    Args:
        name: of the argument, for the message.
        value: a path, bytes, the dict that `datasets` makes of media that it does not decode, or the decoder that it
            makes of a video.

    Raises:
        `ValueError`: it is none of them.
    """
    value = getattr(value, "_hf_encoded", value)
    if isinstance(value, Mapping):
        value = value["bytes"] if value.get("bytes") is not None else value.get("path")
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if not isinstance(value, str | PathLike):
        raise ValueError(f"`{name}` must be the path or the bytes of a file, got {type(value).__name__}.")
    return value


def waveform_of(audio: Any, sampling_rate: int | None = None) -> tuple[np.ndarray, int] | None:
    """
    A waveform that comes as numbers, `float32 (samples,)`, with its rate in Hz; `None` for a file.

    Args:
        audio: `(array, rate)`, an array, the dict of a decoded `datasets.Audio`, or its decoder (`get_all_samples`).
        sampling_rate: of an array that comes alone.

    Raises:
        `ValueError`: it is not a mono waveform of floating-point samples, or its rate is missing.
    """
    if hasattr(audio, "get_all_samples"):
        samples = audio.get_all_samples()
        # (channels, samples), which are averaged as a file's are.
        audio, sampling_rate = np.asarray(samples.data).mean(axis=0), samples.sample_rate
    elif isinstance(audio, Mapping) and ("array" in audio or "raw" in audio):
        audio, sampling_rate = audio.get("array", audio.get("raw")), audio.get("sampling_rate", sampling_rate)
    elif isinstance(audio, tuple) and len(audio) == 2:
        audio, sampling_rate = audio
    if isinstance(audio, str | bytes | bytearray | memoryview | PathLike | Mapping):
        return None
    waveform = _array("audio", audio)
    if waveform.ndim != 1 or waveform.dtype.kind != "f":
        raise ValueError(
            "`audio` must be a file or a mono waveform, floating-point samples (samples,) in [-1, 1], got "
            f"{waveform.dtype} of shape {waveform.shape}."
        )
    if isinstance(sampling_rate, bool) or not isinstance(sampling_rate, int | np.integer) or sampling_rate <= 0:
        raise ValueError(f"A waveform as `audio` needs its `sampling_rate` in Hz beside it, got {sampling_rate!r}.")
    check_limit("sampling_rate", int(sampling_rate), "`sampling_rate`")
    return waveform.astype(np.float32), int(sampling_rate)


def read_sound(
    audio: Any, sampling_rate: int, start: float | None = None, end: float | None = None, given_rate: int | None = None
) -> np.ndarray:
    """
    Mono waveform `float32 (samples,)` at `sampling_rate` Hz of a file or of a waveform, or of a part of it.

    Args:
        audio: see `media_source` and `waveform_of`.
        sampling_rate: wanted.
        start, end: of the part, in seconds.
        given_rate: of a waveform that comes as an array alone, in Hz.

    Raises:
        `ValueError`: it is neither a file nor a waveform, or the times are not in order.
        `NoSoundError`: there is nothing between `start` and `end`.
    """
    found = waveform_of(audio, given_rate)
    if found is None:
        return read_audio(media_source("audio", audio), sampling_rate, start, end)
    waveform, rate = found
    first, last = check_times(_WAVEFORM, start, end)
    part = waveform[round(first * rate) : None if end is None else round(last * rate)]
    if len(waveform) and not len(part):
        lasts = len(waveform) / rate
        raise NoSoundError(_WAVEFORM, f"no samples from {first:g} s on: the sound lasts {lasts:g} s")
    return part if rate == sampling_rate else resample(part, rate, sampling_rate)


def read_images(faces: Any) -> list[np.ndarray]:
    """
    Face images `uint8`, (H, W, 3) RGB or (H, W) grey, of one clip, in order.

    Args:
        faces: one image, or several: paths, bytes, the dicts of `datasets.Image`, PIL images, and arrays (H, W),
            (H, W, 1), (H, W, 3) or (H, W, 4), of which the last channel is opacity. One array (faces, H, W, channels)
            holds several. `None` for none.

    Raises:
        `ValueError`: an array of another shape, or something that is not an image.
    """
    if faces is None:
        return []
    if isinstance(faces, np.ndarray | torch.Tensor):
        array = _array("faces", faces)
        return [_channels(image) for image in array] if array.ndim == 4 else [_channels(array)]
    if isinstance(faces, str | bytes | bytearray | PathLike | Mapping) or hasattr(faces, "convert"):
        return [_image(faces)]
    if not isinstance(faces, Iterable):
        raise ValueError(f"`faces` must be the images of a clip, got {type(faces).__name__}.")
    return [_image(face) for face in faces]


def _image(face: Any) -> np.ndarray:
    if hasattr(face, "convert"):
        return np.asarray(face.convert("RGB"))
    if isinstance(face, np.ndarray | torch.Tensor):
        return _channels(_array("faces", face))
    return read_image(media_source("faces", face))


def _channels(image: np.ndarray) -> np.ndarray:
    if image.ndim == 2:
        return image
    if image.ndim != 3 or image.shape[2] not in _CHANNELS:
        raise ValueError(
            "`faces` takes arrays (H, W) or (H, W, channels) with 1, 3 or 4 channels, a list of them for several "
            f"faces, got the shape {image.shape}."
        )
    return image[:, :, 0] if image.shape[2] == 1 else image[:, :, :3]


def checked_frames(modality: str, features: Any, width: int) -> np.ndarray:
    """
    Ready features `float32 (frames, width)` of one clip.

    Raises:
        `ValueError`: they are not numbers, or of another shape.
    """
    frames = _array(f"{modality}_features", features)
    if frames.size == 0:
        return np.zeros((0, width), np.float32)
    if frames.dtype.kind not in "fiu":
        raise ValueError(f"{modality} features must be numbers (frames, {width}) each, got {frames.dtype}.")
    if frames.ndim != 2:
        raise ValueError(f"{modality} features must be (frames, {width}) each, got shape {frames.shape}.")
    with np.errstate(over="ignore"):
        return frames.astype(np.float32)


def check_finite_rows(modality: str, padded: np.ndarray, name_of: Callable[[int], str] | None = None) -> None:
    """
    Refuse features that hold NaN or infinity, of which a model would make NaN without a word.

    Args:
        padded: `(B, frames, width)`.
        name_of: from the place of an utterance to what the message calls it.

    Raises:
        `ValueError`: names the utterance and the number of such values.
    """
    # The sum is finite where all of them are, or else is looked at in detail.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(padded.sum()):
            return
    wrong = np.count_nonzero(~np.isfinite(padded), axis=(1, 2))
    if not wrong.any():
        return
    row = int(np.flatnonzero(wrong)[0])
    name = f"input {row}" if name_of is None else name_of(row)
    others = np.count_nonzero(wrong) - 1
    more = f", and {others} more of the {len(wrong)} have such values" if others else ""
    raise ValueError(
        f"The {modality} features of {name} hold {wrong[row]} values that are NaN or infinite{more}: extract them "
        "anew, or leave the modality of that utterance out."
    )


def check_clips(name: str, clips: Any) -> None:
    """Raise a `ValueError` where the one clip is given and a list of clips is wanted."""
    is_waveform = isinstance(clips, tuple) and len(clips) == 2 and isinstance(clips[1], int | np.integer)
    is_image = isinstance(clips, np.ndarray | torch.Tensor) and clips.ndim < 5
    is_file = isinstance(clips, str | bytes | bytearray | PathLike | Mapping)
    if is_waveform or is_image or is_file or not isinstance(clips, Iterable):
        raise ValueError(
            f"`{name}` must be a list with one entry an utterance, got {type(clips).__name__}: put it into a list."
        )


def _array(name: str, value: Any) -> np.ndarray:
    try:
        return np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"`{name}` cannot be read as an array of numbers: {error}") from error


__all__ = [
    "check_clips",
    "check_finite_rows",
    "checked_frames",
    "media_source",
    "read_images",
    "read_sound",
    "waveform_of",
]
