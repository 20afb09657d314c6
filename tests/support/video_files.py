# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Small videos written by PyAV for the tests that read them."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest


av = pytest.importorskip("av")

# Fine enough for any frame rate and for the millisecond of Matroska.
_CLOCK = Fraction(1, 1000)
_PICTURE_CODECS = {".webm": "libvpx"}
_SOUND_CODECS = {".webm": "libopus", ".mkv": "pcm_s16le", ".avi": "mp3"}


def levels(number: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Grey pictures, each brighter than the one before by 4, so that decoding tells which is which."""
    return [np.full((height, width, 3), 20 + 4 * index, np.uint8) for index in range(number)]


def level_index(image: np.ndarray) -> int:
    """Which of `levels` a decoded picture is."""
    return round((float(image.mean()) - 20) / 4)


def tone(rate: int, seconds: float, frequency: float = 440.0) -> np.ndarray:
    return (0.4 * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def write_video(
    path: Path,
    images: Sequence[np.ndarray] = (),
    frame_rate: int = 25,
    times: Sequence[float] | None = None,
    sound: np.ndarray | None = None,
    sampling_rate: int = 48000,
    sound_codec: str | None = None,
    rotation: int | None = None,
    sound_start: float = 0.0,
    options: dict[str, str] | None = None,
) -> Path:
    """Write images and sound, (samples,) or (2, samples), to a file whose suffix says the container."""
    with av.open(str(path), "w", options=options or {}) as container:
        streams = []
        if len(images):
            streams.append((_picture_stream(container, path, images, frame_rate, rotation), images))
        if sound is not None:
            codec = sound_codec or _SOUND_CODECS.get(path.suffix, "aac")
            layout = "mono" if sound.ndim == 1 else "stereo"
            streams.append((container.add_stream(codec, rate=sampling_rate, layout=layout), None))
        packets = []
        for stream, pictures in streams:
            frames = _pictures(pictures, frame_rate, times) if pictures else _chunks(sound, stream, sound_start)
            for frame in [*frames, None]:
                packets += [(packet.pts * packet.time_base, packet) for packet in stream.encode(frame)]
        for _, packet in sorted(packets, key=lambda pair: (pair[1].dts * pair[1].time_base, pair[1].stream.index)):
            container.mux(packet)
    return path


def write_clip(path: Path, seconds: float = 1.0, *, sound: bool = True, picture: bool = True, seed: int = 0) -> Path:
    """Write a moving pattern of 64 x 64 pixels, 10 pictures a second, with a rising tone at 16 kHz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[:64, :64]
    images = [
        np.stack([rows * 3, columns * 3, (rows + columns + 9 * index + 40 * seed) % 256], axis=-1).astype(np.uint8)
        for index in range(round(10 * seconds) if picture else 0)
    ]
    times = np.arange(int(16000 * seconds)) / 16000
    samples = (0.4 * np.sin(2 * np.pi * (200 + 80 * seed + 150 * times) * times)).astype(np.float32)
    return write_video(path, images, 10, sound=samples if sound else None, sampling_rate=16000)


def _picture_stream(container, path: Path, images, frame_rate: int, rotation: int | None):
    stream = container.add_stream(_PICTURE_CODECS.get(path.suffix, "libx264"), rate=frame_rate)
    stream.height, stream.width = images[0].shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.gop_size = 12
    stream.bit_rate = 2_000_000
    if rotation is not None:
        stream.set_display_rotation(rotation)
    stream.codec_context.time_base = _CLOCK
    return stream


def _pictures(images, frame_rate: int, times):
    for index, image in enumerate(images):
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.time_base = _CLOCK
        frame.pts = round(1000 * (times[index] if times is not None else index / frame_rate))
        yield frame


def _chunks(sound: np.ndarray, stream, start: float):
    rate, samples = stream.rate, np.atleast_2d(sound)
    resampler = av.AudioResampler(format=stream.codec_context.format, frame_size=stream.codec_context.frame_size)
    for first in range(0, samples.shape[1], 1000):
        piece = np.ascontiguousarray(samples[:, first : first + 1000])
        chunk = av.AudioFrame.from_ndarray(piece, format="fltp", layout=stream.layout.name)
        chunk.rate, chunk.time_base, chunk.pts = rate, Fraction(1, rate), first + round(start * rate)
        yield from resampler.resample(chunk)
    yield from resampler.resample(None)
