# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Raw media to arrays: sound to waveforms, image files to pixels, video to frames, with one error type for all.

Every reader takes a path or the file's bytes and raises `MediaError`, which names the file and the reason. Sound files
go through libsndfile; video, its sound, mp3, streams of unknown length and sound that libsndfile does not know go
through PyAV.

Times are seconds from the file's start, which is 0 on the file's own clock, or the earliest time stamp of any stream
where that is later (transport streams, recordings cut out of a longer one). Sound and picture share this clock.

A file that ends before the length that it declares, or whose packets are damaged, is an error as soon as what was
asked for reaches into the missing part; a part that lies wholly before it reads well. Damage that a decoder conceals
without saying so, and the missing end of a file that declares no length (a live recording, mp3 without a header of
Xing, Info or VBRI), cannot be told.

Headers are claims: what they would make us allocate or loop over is held against `limits_univa.LIMITS` first.
"""

import io
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .declared_length_univa import (
    avi_is_cut,
    caf_is_cut,
    declared_frames,
    declares_frames,
    ends_within_page,
    has_no_length,
    indexed_samples,
    is_cut_off,
)
from .limits_univa import LIMITS, check_limit


__all__ = [
    "MediaError",
    "MediaSource",
    "NoSoundError",
    "NoVideoError",
    "VideoFrame",
    "check_times",
    "iter_frames",
    "media_duration",
    "read_audio",
    "read_image",
    "resample",
]

MediaSource = str | os.PathLike[str] | bytes

# Float files may go a little beyond full scale, and resampling overshoots; integers stored as floats are thousands.
_LARGEST_PEAK = 16.0

# What PyAV may open: media themselves, and no play lists or text, which would make it read other files or addresses.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,mxf,dv,wav,w64,aiff,caf,au,mp3,aac,ac3,eac3,"
    "flac,amr,ape,wv"
)
# Pictures are decoded to guess what the header does not tell, so that they are bounded before there is a decoder.
_OPEN_OPTIONS = {"format_whitelist": _CONTAINERS, "max_pixels": str(LIMITS["pixels"].most)}
# Containers whose header states a length that can be trusted; others guess it from the bit rate.
_DECLARES_DURATION = {"mov", "matroska", "avi"}
# Containers that tell by their bytes that they are cut off.
_IS_CUT = {"ogg": ends_within_page, "caf": caf_is_cut, "avi": avi_is_cut}
# Matroska rounds time stamps to a millisecond: frames that near a wanted time are taken to be at it.
_CLOCK_TOLERANCE = 1e-3
# Less than this missing at the end is rounding in the header, not a file that is cut off.
_TRUNCATION_TOLERANCE = 0.25
# The same for sound whose samples are counted.
_MISSING_SOUND = 0.05
# Samples of each channel that are read at once.
_BLOCK = 2**16
# A jump of the sound's time stamps from which it is a gap, to be filled with silence, and not jitter.
_SMALLEST_GAP = 0.05
# A longer one, or a picture that is shown for longer, is a broken time stamp.
_LONGEST_GAP = 600.0
_JPEG_START, _JPEG_SCAN = b"\xff\xd8", b"\xff\xda"
# By Pillow's names; the size of others is not known before OpenCV has decoded them.
_IMAGES = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
# Decoders of sound need some packets before the first sample is right (MP3 bit reservoir, Opus: 80 ms).
_SOUND_PREROLL = 0.5
# Frames are found by decoding time, which may be this much before the time at which they are shown.
_VIDEO_PREROLL = 0.3

# The first version of PyAV whose conversion of pictures starts threads.
_CONVERTS_ON_THREADS = 17

_NAMES = {"audio": "sound", "video": "picture"}
# FFmpeg's disposition of the picture on a sound file's cover.
_COVER_PICTURE = 0x400


class MediaError(ValueError):
    """A media file that cannot be used; the message says which one and why."""

    def __init__(self, source: MediaSource, reason: str):
        self.source = "<bytes>" if isinstance(source, bytes) else os.fspath(source)
        self.reason = reason
        super().__init__(f"{self.source}: {reason}")

    def __reduce__(self):
        # The message is built from two arguments, which the default pickling (worker processes) does not know.
        return type(self), (self.source, self.reason)


class NoSoundError(MediaError):
    """A file without sound, or without a sample of it in the part asked for."""


class NoVideoError(MediaError):
    """A file without a moving picture."""


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """One picture of a video.

    Args:
        time: When it is shown, in seconds from the file's start.
        image: uint8 pixels, shape (height, width, 3), red, green, blue, upright and with square pixels.
    """

    time: float
    image: np.ndarray


def read_audio(
    source: MediaSource,
    sampling_rate: int = 16000,
    start: float | None = None,
    end: float | None = None,
    *,
    max_seconds: float | None = None,
) -> np.ndarray:
    """Read a sound file, or the sound of a video, as one mono waveform.

    The same sound gives the same samples whatever file it is in, and a part is the same samples as that part of the
    whole (but in Matroska, whose time stamps are milliseconds, it may be shifted by up to half of one, and noise that
    an AAC decoder makes up is another). Where the sound of
    a video begins later than the file, or pauses, there is silence, so that it stays in step with the picture.

    Args:
        source: Path of a sound or video file (wav, flac, ogg, mp3, …; mp4, mov, mkv, webm, …), or its bytes.
        sampling_rate: Wanted rate in Hz; other rates are resampled with a polyphase filter.
        start: Where to begin, in seconds; the file's beginning by default.
        end: Where to stop, in seconds; the file's end by default, and where `end` lies beyond it.
        max_seconds: Longest sound to read, silence in its gaps included; the file is refused as soon as more was
            decoded, whatever length its header declares. By default the limits of `limits_univa` alone.

    Returns:
        float32 samples in [-1, 1], shape (samples,), the mean of the channels.

    Raises:
        NoSoundError: The file has no sound, or none between `start` and `end`.
        MediaError: The file is missing, unreadable, empty, cut off or damaged in the part asked for, holds NaN or
            infinite samples, samples that are not scaled to [-1, 1], or more than `max_seconds` or the limits allow.
        ImportError: soundfile is not installed.
    """
    if sampling_rate <= 0:
        raise ValueError(f"`sampling_rate` must be positive, got {sampling_rate}")
    check_limit("sampling_rate", sampling_rate, "`sampling_rate`")
    _check_file(source)
    part = _Part(*check_times(source, start, end), sampling_rate, _check_longest(max_seconds))
    file, reason = _open_sound_file(source)
    if file is not None:
        with file:
            waveform, first, native_rate = _read_sound_file(source, file, part)
    else:
        waveform, first, native_rate = _read_sound_stream(source, part, reason)
    _check_samples(source, waveform)
    resampled = resample(waveform, native_rate, sampling_rate)
    offset = first * sampling_rate // native_rate
    wanted = resampled[max(0, round(part.start * sampling_rate) - offset) :]
    if not math.isinf(part.end):
        wanted = wanted[: round(part.end * sampling_rate) - round(part.start * sampling_rate)]
    if not wanted.size:
        raise NoSoundError(source, f"no samples from {part.start:g} s to {part.end:g} s")
    return wanted.clip(-1.0, 1.0)


def iter_frames(
    source: MediaSource,
    frame_rate: float | None = None,
    start: float | None = None,
    end: float | None = None,
    *,
    max_seconds: float | None = None,
) -> Iterator[VideoFrame]:
    """Go through the pictures of a video, one at a time in memory.

    Time stamps decide, so that variable frame rates come out right. Rotation and mirroring that the file asks for
    (phones) are done, and pixels that are not square are made so.

    Args:
        source: Path of a video file that PyAV reads (mp4, mov, mkv, webm, …), or its bytes.
        frame_rate: Pictures a second: the one shown at `start`, at `start` + 1 / `frame_rate`, and so on, whichever
            rate the file has (a picture that is shown for long comes several times); `VideoFrame.time` is that time.
            By default every picture of the file comes once, with the time at which the file begins to show it.
        start: Where to begin, in seconds; the file's beginning by default.
        end: Where to stop, in seconds; the file's end by default, and where `end` lies beyond it.
        max_seconds: Longest video to go through; the file is refused as soon as a picture is shown later than this
            after `start`, whatever length its header declares. By default the limits of `limits_univa` alone.

    Yields:
        `VideoFrame`, in order; a picture that comes several times is the same array.

    Raises:
        NoVideoError: The file has no moving picture (a cover picture is none).
        MediaError: The file is missing, unreadable, empty, or no video; nothing is shown between `start` and `end`;
            the file is cut off or damaged in the part asked for, or goes beyond `max_seconds` or the limits (raised
            when the iteration gets there).
        ImportError: PyAV is not installed.
    """
    if frame_rate is not None and not 0 < frame_rate < math.inf:
        raise ValueError(f"`frame_rate` must be positive, got {frame_rate}")
    if frame_rate is not None:
        check_limit("frame_rate", frame_rate, "`frame_rate`")
    longest = _check_longest(max_seconds)
    _check_file(source)
    return _pictures(source, frame_rate, *check_times(source, start, end), longest)


def media_duration(source: MediaSource) -> float:
    """Length of a sound or video file in seconds: of its longest stream, as its header states where it does.

    It is a claim of the file. What bounds the work that a file makes is `max_seconds` of `read_audio` and
    `iter_frames`.

    Raises:
        MediaError: The file is missing, unreadable, empty, or neither sound nor video.
        ImportError: PyAV or soundfile is not installed.
    """
    _check_file(source)
    file, reason = _open_sound_file(source)
    if file is not None:
        with file:
            return file.frames / file.samplerate
    with _opened(source, reason) as container:
        if container.duration:
            return container.duration / 1e6
        try:
            ends = [_end_time(packet) for packet in container.demux() if packet.pts is not None]
        except _import_av(source, reason).FFmpegError as error:
            raise MediaError(source, f"is damaged: its length cannot be told ({error.strerror})") from error
        return max(ends, default=0.0) - _origin(container)


def read_image(source: MediaSource) -> np.ndarray:
    """Read an image file as RGB pixels, upright where the file says how it was held.

    Args:
        source: Path of a jpeg, png, webp, bmp, gif, tiff or ppm image, or its bytes.

    Returns:
        uint8 pixels, shape (height, width, 3), channels in the order red, green, blue; grey images are repeated.

    Raises:
        MediaError: The file is missing, empty, truncated or not such an image, or its header claims more than the
            limits of `limits_univa`.
        ImportError: OpenCV or Pillow is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise ImportError('reading images needs OpenCV: pip install "univa[media]"') from error
    _check_claim(source, "file_size", _check_file(source), "its size")
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        _check_image_header(source, data)
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error) as error:
        raise MediaError(source, f"not a readable image ({error})") from error
    if pixels is None:
        raise MediaError(source, "not an image, or one that is cut off")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _check_image_header(source: MediaSource, data: bytes) -> None:
    """Refuse a picture by the size in its header: OpenCV tells it when it has allocated and decoded all of it."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError('reading images needs Pillow: pip install "univa[media]"') from error
    try:
        width, height = _image_size(Image, data)
    except MemoryError:
        raise
    except Exception as error:  # its parsers raise whatever comes on a broken header
        known = ", ".join(_IMAGES)
        raise MediaError(source, f"not an image, or one that is cut off (readable are {known})") from error
    _check_picture_size(source, width, height)
    scans = max(1, data.count(_JPEG_SCAN)) if data.startswith(_JPEG_START) else 1
    _check_claim(source, "decoded_pixels", width * height * scans, f"what its picture decodes to in {scans} scans")


def _image_size(pillow: Any, data: bytes) -> tuple[int, int]:
    """Width and height by the header, without `Image.open`, which prints its own warning of large pictures first."""
    pillow.init()
    for kind in _IMAGES:
        make, accepts = pillow.OPEN[kind]
        if accepts is not None and accepts(data[:16]) is True:
            return make(io.BytesIO(data), None).size
    raise ValueError("none of the formats that are read")


def _check_file(source: MediaSource) -> int:
    """The size in bytes; what has no byte to read is refused before a decoder says so in its own words."""
    try:
        size = len(source) if isinstance(source, bytes) else os.stat(source).st_size
    except (OSError, ValueError) as error:  # ValueError: a path that holds a zero
        raise MediaError(source, getattr(error, "strerror", None) or str(error)) from error
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise MediaError(source, "not a file")
    if not size:
        raise MediaError(source, "the file is empty (0 bytes)")
    if not isinstance(source, bytes) and not os.access(source, os.R_OK):
        raise MediaError(source, "the file may not be read (permission denied)")
    return size


def check_times(source: MediaSource, start: float | None, end: float | None) -> tuple[float, float]:
    """
    Beginning and end of a part in seconds, 0 and infinity by default.

    Raises:
        MediaError: They are not numbers, not in order, or beyond the limit.
    """
    first, last = 0.0 if start is None else start, math.inf if end is None else end
    for name, value in (("start", first), ("end", last)):
        if isinstance(value, bool) or not isinstance(value, Real):
            raise MediaError(source, f"`{name}` must be a number of seconds, got {value!r}")
    if not 0 <= first < last:
        raise MediaError(source, f"wanted from {start} s to {end} s: start must be at least 0 and less than end")
    _check_claim(source, "time", first, "`start`")
    return float(first), float(last)


def _check_longest(max_seconds: float | None) -> float:
    if max_seconds is None:
        return math.inf
    if isinstance(max_seconds, bool) or not isinstance(max_seconds, Real) or not max_seconds > 0:
        raise ValueError(f"`max_seconds` must be a positive number of seconds, got {max_seconds!r}.")
    return float(max_seconds)


def _check_claim(source: MediaSource, kind: str, value: Any, name: str) -> None:
    """Refuse a file for a number outside of the range of its kind in `LIMITS`."""
    try:
        check_limit(kind, value, name)
    except ValueError as error:
        raise MediaError(source, str(error).rstrip(".")) from None


def _check_picture_size(source: MediaSource, width: int, height: int) -> None:
    for kind, value in (("pixels", width * height), ("picture_side", max(width, height))):
        _check_claim(source, kind, value, f"its picture ({width} x {height})")


def _too_long(source: MediaSource, longest: float) -> MediaError:
    return MediaError(source, f"it lasts longer than {longest:g} s, the maximum here: cut it into shorter clips")


# Sound


@dataclass(frozen=True)
class _Part:
    """What is wanted of a sound, in seconds, at which rate, and how many seconds of it may be read."""

    start: float
    end: float
    sampling_rate: int
    longest: float = math.inf

    def check_kept(self, source: MediaSource, samples: int, rate: int) -> None:
        """Refuse more samples at the file's rate, from the first of `native_range` on, than may be kept."""
        before = self.start * rate - self.native_range(rate)[0]
        if samples - before > (self.longest + _TRUNCATION_TOLERANCE) * rate:
            raise _too_long(source, self.longest)
        # What resampling makes of them counts as well.
        _check_claim(source, "samples", samples * max(rate, self.sampling_rate) // rate, "its length")

    def check_format(self, source: MediaSource, rate: int, channels: int) -> None:
        """Refuse a sound whose format would make reading or resampling it take any amount of memory."""
        _check_claim(source, "sampling_rate", rate, "its sampling rate")
        _check_claim(source, "channels", channels, "the number of its channels")
        steps = max(rate, self.sampling_rate) // math.gcd(rate, self.sampling_rate)
        _check_claim(source, "resampling", steps, f"resampling from {rate:,} Hz to {self.sampling_rate:,} Hz")

    def native_range(self, rate: int) -> tuple[int, float]:
        """Samples [first, last) at the file's rate that resampling to exactly this part needs.

        The filter of `resample_poly` reaches 10 periods of the lower rate to each side, and the first sample must be
        one at which both rates have a sample.
        """
        divisor = math.gcd(rate, self.sampling_rate)
        up, down = self.sampling_rate // divisor, rate // divisor
        reach = 0 if up == down else 10 * max(up, down) // up + 1
        first = max(0, round(self.start * rate) - reach) // down * down
        return first, math.inf if math.isinf(self.end) else round(self.end * rate) + reach


def _import_soundfile() -> Any:
    try:
        import soundfile
    except ImportError as error:
        raise ImportError('reading sound files needs soundfile: pip install "univa[media]"') from error
    return soundfile


def _open_sound_file(source: MediaSource) -> tuple[Any, str]:
    """The file as libsndfile opens it, or `None` and why it does not read it."""
    soundfile = _import_soundfile()
    try:
        file = soundfile.SoundFile(io.BytesIO(source) if isinstance(source, bytes) else os.fspath(source))
    except (soundfile.SoundFileError, UnicodeError) as error:
        return None, f"not a readable sound file ({getattr(error, 'error_string', error)})"
    # libsndfile guesses the length of mp3 and stops there, and opens it from a path alone.
    if file.format == "MP3" or has_no_length(file, source):
        file.close()
        return None, "not a sound file whose length libsndfile knows"
    return file, ""


def _read_sound_file(source: MediaSource, file: Any, part: _Part) -> tuple[np.ndarray, int, int]:
    """Mono samples around `part`, the index of the first, and their rate."""
    rate = file.samplerate
    part.check_format(source, rate, file.channels)
    declared = max(file.frames, declared_frames(file, source))
    if round(part.start * rate) >= declared:
        raise NoSoundError(source, f"no samples from {part.start:g} s on: the sound lasts {declared / rate:g} s")
    first, last = part.native_range(rate)
    last = min(last, file.frames)
    if last > first:  # else the file is cut off before the part begins, or holds nothing
        part.check_kept(source, int(last) - first, rate)
    samples = np.concatenate([np.zeros(0, np.float32), *_blocks(source, file, first, int(last))])
    lost = min(declared, part.end * rate) - (first + len(samples))
    is_cut = lost > _MISSING_SOUND * rate
    if is_cut or (part.end * rate > file.frames and is_cut_off(file, source)):
        found = f"it ends after {(first + len(samples)) / rate:.2f} s"
        raise MediaError(source, f"is cut off: {found}" + (f" and declares {declared / rate:.2f} s" if is_cut else ""))
    return samples, first, rate


def _blocks(source: MediaSource, file: Any, first: int, last: int) -> Iterator[np.ndarray]:
    """Mono samples [first, last), as far as the file holds them: what a header declares is never allocated."""
    soundfile = _import_soundfile()
    try:
        position = file.seek(first) if first < last else last
        while position < last:
            block = file.read(min(_BLOCK, last - position), dtype="float32", always_2d=True)
            if not len(block):
                return
            position += len(block)
            yield block.mean(axis=1)
    except soundfile.SoundFileError as error:
        reason = getattr(error, "error_string", "") or "its samples end early"
        raise MediaError(source, f"not a readable sound file: it is damaged or cut off ({reason})") from error


class _Timeline:
    """Chunks of sound put where their time stamps say, with silence in the gaps, cut to what is wanted."""

    def __init__(self, source: MediaSource, part: _Part, rate: int, time: float):
        self.source, self.part, self.rate, self.kept = source, part, rate, 0
        self.first, self.last = part.native_range(rate)
        self.wanted = part.start * rate, part.end * rate
        self.position = min(round(time * rate), self.first)
        self.tolerance = 0.0
        self.chunks: list[np.ndarray] = []
        self.heard = False

    def add(self, time: float, samples: np.ndarray) -> None:
        gap = round(time * self.rate) - self.position
        if gap > _LONGEST_GAP * self.rate:
            raise MediaError(self.source, f"the time stamps of its sound jump to {time:g} s")
        if gap > self.tolerance:
            self._keep(gap)
        self.tolerance = _SMALLEST_GAP * self.rate
        self.heard |= self.position < self.wanted[1] and self.position + len(samples) > self.wanted[0]
        self._keep(len(samples), samples)

    def _keep(self, count: int, samples: np.ndarray | None = None) -> None:
        """Go on by some samples, silence by default, of which what is wanted is kept."""
        begin, finish = max(0, self.first - self.position), int(max(0, min(count, self.last - self.position)))
        if finish > begin:
            self.kept += finish - begin
            self.part.check_kept(self.source, self.kept, self.rate)
            self.chunks.append(np.zeros(finish - begin, np.float32) if samples is None else samples[begin:finish])
        self.position += count


def _read_sound_stream(source: MediaSource, part: _Part, reason: str) -> tuple[np.ndarray, int, int]:
    """Mono samples around `part`, the index of the first, and their rate, of the sound that PyAV finds."""
    av = _import_av(source, reason)
    timeline, decoded = None, 0
    resampler = av.AudioResampler(format="fltp")
    for time, frame, _ in _decode(source, "audio", part.start, part.end, reason):
        part.check_format(source, frame.sample_rate, frame.layout.nb_channels)
        decoded += frame.samples * frame.layout.nb_channels
        _check_claim(source, "decoded_samples", decoded, "what its sound decodes to")
        timeline = timeline or _Timeline(source, part, frame.sample_rate, time)
        try:
            planes = [chunk.to_ndarray() for chunk in resampler.resample(frame)]
        except ValueError as error:
            raise MediaError(source, f"its sound changes rate or channels at {time:.2f} s ({error})") from error
        timeline.add(time, np.concatenate(planes, axis=1).mean(axis=0))
        if timeline.position >= timeline.last:
            break
    if timeline is None:
        raise NoSoundError(source, "its sound is empty")
    if not timeline.heard:
        raise NoSoundError(source, f"no sound from {part.start:g} s to {part.end:g} s")
    return np.concatenate(timeline.chunks), timeline.first, timeline.rate


# Video


def _pictures(
    source: MediaSource, frame_rate: float | None, start: float, end: float, longest: float
) -> Iterator[VideoFrame]:
    number, index, finish = 0, 0, 0.0
    to_rgb = _to_rgb(source)
    for begin, finish, picture, aspect in _shown(source, start, end):
        if begin >= end - _CLOCK_TOLERANCE:
            break
        _check_shown(source, begin, finish, start, end, longest)
        times: list[float] = []
        if frame_rate is None:
            times = [begin] if finish > start + _CLOCK_TOLERANCE else []
        else:
            # What lies before the first picture need not be counted one by one.
            index = max(index, math.floor((begin - start) * frame_rate) - 1)
            while (time := start + index / frame_rate) < min(finish, end) - _CLOCK_TOLERANCE:
                times += [time] if time >= begin - _CLOCK_TOLERANCE else []
                index += 1
        if times:
            number += len(times)
            _check_claim(source, "pictures", number, "the number of its pictures")
            image = _upright_rgb(source, picture, aspect, to_rgb)
            yield from (VideoFrame(time, image) for time in times)
    if not number:
        raise MediaError(source, f"no picture is shown from {start:g} s to {end:g} s (the last ends at {finish:g} s)")


def _check_shown(source: MediaSource, begin: float, finish: float, start: float, end: float, longest: float) -> None:
    """Refuse a picture that is shown for too long, or too late."""
    seconds = min(finish, end) - max(begin, start)
    if seconds > _LONGEST_GAP:
        raise MediaError(
            source, f"the time stamps of its picture jump: one is shown for {seconds:.0f} s from {begin:g} s on"
        )
    if min(finish, end) - start > longest + _TRUNCATION_TOLERANCE:
        raise _too_long(source, longest)


def _shown(source: MediaSource, start: float, end: float) -> Iterator[tuple[float, float, Any, Fraction]]:
    """Pictures with the times at which each appears and is replaced, and the shape of their pixels."""
    waiting = None
    for time, frame, stream in _decode(source, "video", start, end):
        if waiting is not None and time > waiting[0]:
            yield waiting[0], time, *waiting[1:]
        waiting = (time, frame, stream.sample_aspect_ratio or Fraction(1))
        duration = _duration(frame, stream)
    if waiting is None:
        raise NoVideoError(source, "its picture stream holds no picture")
    yield waiting[0], waiting[0] + duration, *waiting[1:]


def _duration(frame: Any, stream: Any) -> float:
    if getattr(frame, "duration", None) and frame.time_base:
        return float(frame.duration * frame.time_base)
    return float(1 / (stream.average_rate or 25))


def _to_rgb(source: MediaSource) -> Callable[..., Any]:
    """
    From a decoded frame to one in RGB, by one converter for all pictures of a video.

    What FFmpeg prepares for a conversion takes longer than the conversion, more so with a thread for each core.
    """
    av = _import_av(source, "")
    # Before there was a choice, one thread was all there was.
    threads = {"threads": 1} if int(av.__version__.partition(".")[0]) >= _CONVERTS_ON_THREADS else {}
    return partial(av.video.reformatter.VideoReformatter().reformat, format="rgb24", **threads)


def _upright_rgb(source: MediaSource, frame: Any, aspect: Fraction, to_rgb: Callable[..., Any]) -> np.ndarray:
    width = round(frame.width * aspect)
    _check_picture_size(source, width, frame.height)
    try:
        image = to_rgb(frame, **({} if aspect == 1 else {"width": width, "height": frame.height})).to_ndarray()
    except (OSError, ValueError) as error:  # FFmpeg's errors are one of the two
        raise MediaError(source, f"a picture of {width} x {frame.height} cannot be converted ({error})") from error
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image
    # Column vectors of a transformation in 16.16 fixed point: x' = a x + c y, y' = b x + d y, with y downwards.
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5]
    if abs(b) > abs(a):
        image, a, d = image.swapaxes(0, 1), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


# Containers


def _decode(
    source: MediaSource, kind: str, start: float, end: float, reason: str = ""
) -> Iterator[tuple[float, Any, Any]]:
    """Decoded frames with their times and their stream, from one at or before `start` on where there is one."""
    preroll = _VIDEO_PREROLL if kind == "video" else _SOUND_PREROLL
    if start > preroll:
        frames = _decode_from(source, kind, start - preroll, end, reason)
        first = next(frames, None)
        if first is not None and first[0] <= start:
            yield first
            yield from frames
            return
        # Else the container has no usable index, or what is wanted begins later.
    yield from _decode_from(source, kind, None, end, reason)


def _decode_from(
    source: MediaSource, kind: str, seek_to: float | None, end: float, reason: str
) -> Iterator[tuple[float, Any, Any]]:
    av = _import_av(source, reason)
    time = 0.0
    with _opened(source, reason) as container:
        stream, origin = _pick_stream(source, container, kind), _origin(container)
        if kind == "video" and stream.width and stream.height:
            _check_picture_size(source, stream.width, stream.height)
        # Avi knows no time of showing; what FFmpeg makes up for it is out of order.
        by_dts = kind == "video" and container.format.name == "avi"
        try:
            if seek_to is not None:
                container.seek(int((seek_to + origin) / stream.time_base), stream=stream)
            if kind == "video":
                stream.thread_type = "AUTO"
            if torch.get_num_threads() == 1:
                # A worker process, beside others. FFmpeg would start a thread for each core, with pictures of its own.
                stream.codec_context.thread_count = 1
            reached: dict[int, float] = {}
            # All streams, because only together they tell whether the file goes on to the end that it declares.
            for packet in container.demux():
                if packet.pts is not None:
                    reached[packet.stream.index] = max(_end_time(packet), reached.get(packet.stream.index, 0.0))
                for frame in packet.decode() if packet.stream.index == stream.index else ():
                    stamp = frame.dts if by_dts else frame.pts
                    time = time if stamp is None else float(stamp * frame.time_base) - origin
                    if frame.is_corrupt:
                        raise MediaError(source, f"its {_NAMES[kind]} is damaged at {time:.2f} s")
                    yield time, frame, stream
                    time += _duration(frame, stream) if kind == "video" else frame.samples / frame.sample_rate
        except (av.FFmpegError, OverflowError, ZeroDivisionError) as error:  # the latter: of forged clocks
            why = getattr(error, "strerror", None) or error
            raise MediaError(source, f"its {_NAMES[kind]} is damaged or cut off after {time:.2f} s ({why})") from error
        _check_end(source, container, stream, reached, end + origin)


def _check_end(source: MediaSource, container: Any, stream: Any, reached: dict[int, float], end: float) -> None:
    """Refuse a file that stops before both the length that it declares and the end of what is wanted."""
    name = container.format.name.split(",")[0]
    latest = max(reached.values(), default=0.0)
    if name in _IS_CUT and latest < end and _IS_CUT[name](source):
        raise MediaError(source, f"is cut off: it ends after {latest:.2f} s")
    if name not in _DECLARES_DURATION and not (name == "mp3" and declares_frames(source)):
        return
    if stream.duration:
        found = reached.get(stream.index, 0.0)
        declared = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    else:
        found, declared = latest, (container.duration or 0) / 1e6
    if found < min(declared, end) - _TRUNCATION_TOLERANCE:
        raise MediaError(source, f"is cut off: it ends after {found:.2f} s and declares {declared:.2f} s")


def _import_av(source: MediaSource, reason: str) -> Any:
    try:
        import av
    except ImportError as error:
        hint = 'needs PyAV: pip install "univa[media]"'
        # A sound file that is broken must not end a long job for want of a package that it would not have needed.
        if reason:
            raise MediaError(source, f"{reason}; the sound of video and other formats {hint}") from error
        raise ImportError(f"reading video {hint}") from error
    return av


@contextmanager
def _opened(source: MediaSource, reason: str = "") -> Iterator[Any]:
    av = _import_av(source, reason)
    indexed, size = indexed_samples(source)
    if indexed > size:
        raise MediaError(source, f"its index lists {indexed:,} samples in {size:,} bytes: {LIMITS['time'].advice}")
    try:
        # The prefix keeps a colon in a file name from being taken for a protocol.
        file = io.BytesIO(source) if isinstance(source, bytes) else f"file:{os.fspath(source)}"
        container = av.open(file, options=_OPEN_OPTIONS, metadata_errors="ignore")
    except (av.FFmpegError, ValueError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise MediaError(source, f"{reason + ', nor' if reason else 'not'} a readable video ({why})") from error
    with container:
        yield container


def _pick_stream(source: MediaSource, container: Any, kind: str) -> Any:
    if kind == "audio":
        stream = container.streams.best("audio")
        if stream is None:
            raise NoSoundError(source, "it has no sound")
    else:
        stream = next((one for one in container.streams.video if not int(one.disposition) & _COVER_PICTURE), None)
        if stream is None:
            raise NoVideoError(source, "it has no moving picture")
    if stream.codec_context is None:
        raise MediaError(source, f"the codec of its {_NAMES[kind]} is unknown")
    return stream


def _origin(container: Any) -> float:
    """The file's start on its own clock, in seconds; what lies before 0 is a decoder's run-up."""
    return max(0, container.start_time or 0) / 1e6


def _end_time(packet: Any) -> float:
    return float((packet.pts + (packet.duration or 0)) * packet.time_base)


# Samples


def _check_samples(source: MediaSource, waveform: np.ndarray) -> None:
    if not waveform.size:
        raise MediaError(source, "the file declares samples but holds none")
    if not np.isfinite(waveform).all():
        raise MediaError(source, "holds samples that are NaN or infinite")
    peak = np.abs(waveform).max()
    if peak > _LARGEST_PEAK:
        raise MediaError(source, f"samples reach {peak:g} where full scale is 1; divide them before saving")


def resample(waveform: np.ndarray, native_rate: int, sampling_rate: int) -> np.ndarray:
    """A float waveform (samples,) at another rate in Hz, by a polyphase filter.

    Raises:
        ValueError: A rate outside of the limits, or rates whose ratio needs a filter of any length.
        ImportError: SciPy is not installed and the rates differ.
    """
    if native_rate == sampling_rate:
        return waveform
    check_limit("sampling_rate", native_rate, "the sampling rate of the sound")
    try:
        from scipy.signal import resample_poly
    except ImportError as error:
        raise ImportError('resampling sound needs SciPy: pip install "univa[media]"') from error

    check_limit("samples", len(waveform) * sampling_rate // native_rate, "the length of the resampled sound")
    divisor = math.gcd(native_rate, sampling_rate)
    check_limit("resampling", max(native_rate, sampling_rate) // divisor, f"resampling from {native_rate:,} Hz")
    return resample_poly(waveform, sampling_rate // divisor, native_rate // divisor).astype(np.float32)
