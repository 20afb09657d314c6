# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The one reader of an utterance's sound and faces, and the checks of precomputed features."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

import numpy as np
import torch

from .configuration_emotion import size_field
from .faces_univa import FaceTrack
from .limits_univa import check_limit
from .media_univa import (
    MediaSource,
    NoSoundError,
    NoVideoError,
    check_times,
    read_audio,
    read_image,
    resample,
)


_WAVEFORM = "the waveform"
_CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class MediaNote:
    """
    What an utterance turns out not to have, though there is a file for it.

    Args:
        source: the file, `<bytes>` for bytes.
        reason: why, such as "it has no sound" or "no face in 5 pictures", without the file.
    """

    source: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


class UtteranceMedia:
    """
    Sound and faces of one utterance, each read when it is asked for, and once.

    A file that is passed as `audio` must have sound. A video may do without sound, picture or face, which is then
    absent, and `notes` says why. What is wrong with a file otherwise is raised.

    Args:
        audio: path or bytes of a sound or video file, a waveform `(array, rate)`, an array with `sampling_rate` beside
            it, or an entry of a column of `datasets.Audio`.
        faces: images of the face in order, or a single one: paths, bytes, PIL images, entries of a column of
            `datasets.Image`, and uint8 arrays (see `read_images`).
        video: path or bytes of a video, or an entry of a column of `datasets.Video`, for the sound where there is no
            `audio` and the faces where there are no `faces`.
        start, end: the part of `audio` and `video` that is meant, in seconds; by default from the file's beginning to
            its end.
        sampling_rate: of an `audio` that is an array alone, in Hz.
        face_reader: what finds faces in videos, a `FaceReader` or another function of `(source, start, end)` that
            returns a `FaceTrack`; called where faces of a video are asked for.

    `notes` has a [`MediaNote`] for "audio" and "vision" where something read so far is absent or was left out.
    """

    def __init__(
        self,
        audio: Any = None,
        faces: Any = None,
        video: Any = None,
        start: float | None = None,
        end: float | None = None,
        sampling_rate: int | None = None,
        face_reader: Callable[..., FaceTrack] | None = None,
    ):
        self.audio, self.video, self.start, self.end = audio, video, start, end
        # None at all, as a row of a corpus has it whose faces are those of its video.
        self.face_images = None if isinstance(faces, list | tuple) and not faces else faces
        self.given_rate, self.face_reader = sampling_rate, face_reader
        self.notes: dict[str, MediaNote] = {}
        self._sounds: dict[int, np.ndarray | None] = {}
        self._track: FaceTrack | None = None

    @classmethod
    def of_clip(cls, kind: str, clip: Any, face_reader: Callable[..., FaceTrack] | None = None) -> "UtteranceMedia":
        """
        The media of one clip alone.

        Args:
            kind: "audio", "faces" or "video".
            clip: what is passed as such, for audio and video also a part of it as `(clip, start, end)` in seconds.
            face_reader: see the class.

        Raises:
            `ValueError`: a tuple of another length.
        """
        start, end = None, None
        is_waveform = kind == "audio" and isinstance(clip, tuple) and len(clip) == 2
        if kind != "faces" and isinstance(clip, tuple) and not is_waveform:
            if len(clip) != 3:
                raise ValueError(f"A part of a file is (source, start, end) with the times in seconds, got {clip!r}.")
            clip, start, end = clip
        return cls(**{kind: clip}, start=start, end=end, face_reader=face_reader)

    def has(self, modality: str) -> bool:
        """Whether there is anything to read "audio" or "vision" from; nothing is opened."""
        own = self.audio if modality == "audio" else self.face_images
        return own is not None or self.video is not None

    def sound(self, sampling_rate: int) -> np.ndarray | None:
        """
        Mono waveform `float32 (samples,)` in [-1, 1] at `sampling_rate` Hz; `None` where there is none.

        Raises:
            `MediaError`: a file that cannot be read, or an `audio` without sound.
            `ValueError`: `audio` is neither a file nor a waveform.
        """
        if sampling_rate not in self._sounds:
            self._sounds[sampling_rate] = self._read_sound(sampling_rate) if self.has("audio") else None
        return self._sounds[sampling_rate]

    def speech(self, sampling_rate: int) -> tuple[np.ndarray, int] | None:
        """The sound with its rate, as extractors and scorers take it; see `sound`."""
        waveform = self.sound(sampling_rate)
        return None if waveform is None else (waveform, sampling_rate)

    def faces(self) -> FaceTrack:
        """
        Face images in order, and when each is shown in the video (no times where images were passed).

        Raises:
            `MediaError`: a file that cannot be read.
            `ValueError`: an array of another shape, or something that is not an image.
        """
        if self._track is None:
            self._track = self._read_faces()
        return self._track

    @property
    def followed(self) -> FaceTrack | None:
        """The face that was read so far; `None` where `faces` was not called, or did not end well."""
        return self._track

    def _read_sound(self, sampling_rate: int) -> np.ndarray | None:
        if self.audio is not None:
            return read_sound(self.audio, sampling_rate, self.start, self.end, self.given_rate)
        try:
            return read_audio(media_source("video", self.video), sampling_rate, self.start, self.end)
        except NoSoundError as error:
            self._note("audio", error.source, error.reason)
            return None

    def _read_faces(self) -> FaceTrack:
        if self.face_images is not None or self.video is None:
            return FaceTrack(read_images(self.face_images), [], [], 0)
        if self.face_reader is None:
            raise ValueError("Faces of a video need a `face_reader`, which says how they are found.")
        source = media_source("video", self.video)
        try:
            track = self.face_reader(source, self.start, self.end)
        except NoVideoError as error:
            self._note("vision", error.source, error.reason)
            return FaceTrack([], [], [], 0, error.reason)
        if track.note or not len(track.images):
            name = "<bytes>" if isinstance(source, bytes) else fspath(source)
            self._note("vision", name, track.note or "no face was found")
        return track

    def _note(self, modality: str, source: str, reason: str) -> None:
        self.notes[modality] = MediaNote(source, reason)


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
        `MediaError`: a file that is not an image.
        `ValueError`: an array of another shape, something that is not an image, or more pixels in all of them than the
            limits of `limits_univa` allow.
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
    images: list[np.ndarray] = []
    for face in faces:
        images.append(_image(face))
        pixels = sum(image.shape[0] * image.shape[1] for image in images)
        check_limit("clip_pixels", pixels, f"The number of pixels of {len(images):,} images in `faces`")
    return images


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
    check_width(modality, frames, width)
    with np.errstate(over="ignore"):
        return frames.astype(np.float32)


def check_width(modality: str, frames: np.ndarray, width: int) -> None:
    """Refuse features `(frames, …)` of another width than a model takes, with a `ValueError`."""
    if len(frames) and frames.shape[-1] != width:
        raise ValueError(
            f"{modality} features of width {frames.shape[-1]} met a model of `{size_field(modality)}` = {width}: "
            "use the extractor that made the model's training features."
        )


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
        "again, or leave the modality of that utterance out."
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
    "MediaNote",
    "UtteranceMedia",
    "check_clips",
    "check_finite_rows",
    "check_width",
    "checked_frames",
    "media_source",
    "read_images",
    "read_sound",
    "waveform_of",
]
