# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A clip with the face that was followed and its emotions drawn over it, with its own sound."""

import math
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ..models.configuration_emotion import EmotionConfig
from ..models.faces_univa import FaceTrack
from ..models.files_univa import whole_file
from ..models.media_univa import NoSoundError, iter_frames, media_duration, read_audio
from .inputs import VIDEO_SUFFIXES, Utterance
from .plot import installed_fonts, plain_names
from .predict import Prediction


__all__ = ["draw_prediction", "drawing_files"]


@dataclass(frozen=True)
class _Format:
    """How a video is written: FFmpeg's names of the container and of the two encoders, and options of the first."""

    container: str
    picture: str
    sound: str
    options: dict[str, str]


_X264 = {"preset": "veryfast", "crf": "20"}
_FORMATS = {
    ".mp4": _Format("mp4", "libx264", "aac", _X264),
    ".mov": _Format("mov", "libx264", "aac", _X264),
    ".mkv": _Format("matroska", "libx264", "aac", _X264),
    ".webm": _Format("webm", "libvpx", "libopus", {"deadline": "realtime", "cpu-used": "5", "crf": "10", "b": "4M"}),
}
# Fine enough for any time stamp of a picture.
_CLOCK = Fraction(1, 90_000)
_SOUND_RATE = 48_000
# Seconds of sound that are in memory at once.
_PIECE = 20.0
# Emotions that are listed: those that are predicted, and the likeliest of the others.
_LINES = 6
# Height of the letters as a share of that of the picture: 40 pixels at 1080. Letters of less than 10 cannot be read.
_LETTERS, _SMALLEST = 1 / 27, 10
_ACTIVE, _INACTIVE, _WORDS = (255, 138, 76), (170, 178, 186), (240, 242, 244)
# A face that is not found for longer is not there.
_LONGEST_GAP = 1.0
# From here on a letter is of a script that matplotlib's own font does not have.
_ASIAN = "\u2e80"


def drawing_files(path: Path, clips: Sequence[Utterance]) -> dict[str, Path]:
    """
    Where the video of each clip goes, by the clip's id; of those that have a video.

    Args:
        path: a file for one clip, or a folder for any number of them.
        clips: that will be predicted.

    Raises:
        ImportError: what reads and writes videos is not installed.
        ValueError: a suffix that is not known, one file for several clips, or the place of a clip itself.
    """
    _import_all()
    with_video = [clip for clip in clips if clip.video is not None]
    if path.is_dir() or not path.suffix:
        places = [path / f"{name}.mp4" for name in _stems([clip.utterance_id for clip in with_video])]
    elif path.suffix.lower() not in _FORMATS:
        raise ValueError(f"`draw` {path}: the suffix must be one of {', '.join(_FORMATS)}, or name a folder.")
    elif len(clips) > 1:
        raise ValueError(f"`draw` {path} is one file, and there are {len(clips)} clips: name a folder.")
    else:
        places = [path] * len(with_video)
    for place in places:
        for clip in with_video:
            if place.exists() and clip.video is not None and clip.video.exists() and place.samefile(clip.video):
                raise ValueError(f"`draw` would overwrite the clip {clip.video}: name another place.")
    return {clip.utterance_id: place for clip, place in zip(with_video, places, strict=True)}


def _stems(utterance_ids: Sequence[str]) -> list[str]:
    names = plain_names(utterance_ids)
    short = [Path(name).stem if Path(name).suffix.lower() in VIDEO_SUFFIXES else name for name in names]
    return short if len(set(short)) == len(short) else names


def draw_prediction(prediction: Prediction, config: EmotionConfig, file: Path) -> None:
    """
    Write a clip as a video, whole or not at all: a box around the face that was followed while it is seen, the
    likeliest emotions with their probability as a bar and the threshold as a line, and the clip's own sound.

    Pictures keep their times, and sound and pictures theirs to one another. However long the clip is, some pictures
    and 20 s of sound are in memory.

    Args:
        prediction: without an error, of an utterance with a video.
        config: that of the model.
        file: its suffix says in which form.

    Raises:
        MediaError: the clip cannot be read.
        ImportError: what reads and writes videos is not installed.
        ValueError: the utterance has no video.
        OSError: the file cannot be written.
    """
    clip = prediction.utterance
    if clip.video is None:
        raise ValueError(f"{clip.utterance_id} has no video to draw on.")
    path = None if prediction.face is None else _BoxPath(prediction.face)
    start = clip.start or 0.0
    with whole_file(file) as scratch, closing(_Writer(scratch, _FORMATS[file.suffix.lower()])) as writer:
        sound = _sound(clip.audio or clip.video, start, clip.end)
        panel = None
        for frame in iter_frames(clip.video, None, clip.start, clip.end):
            image = np.array(frame.image[: frame.image.shape[0] // 2 * 2, : frame.image.shape[1] // 2 * 2])
            if panel is None:
                panel = _panel(prediction, config, image.shape[0], image.shape[1])
                writer.begin(image.shape[1], image.shape[0], sound)
            _draw_box(image, None if path is None else path.at(frame.time))
            _lay_over(image, panel)
            writer.add(max(0.0, frame.time - start), image)
        writer.end()


class _BoxPath:
    """Where a face is at any time: between two pictures in which it was found, on the straight line."""

    def __init__(self, face: FaceTrack):
        self.times, self.boxes = np.array(face.times), np.array(face.boxes, dtype=float).reshape(-1, 4)
        steps = np.diff(self.times)
        self.step = float(np.median(steps)) if len(steps) else 0.2
        # Of very many faces only some are kept, at even distances.
        self.longest = max(_LONGEST_GAP, 2.5 * self.step)

    def at(self, time: float) -> np.ndarray | None:
        """Left, top, width and height in pixels; `None` while the face is not there."""
        before = int(np.searchsorted(self.times, time, side="right")) - 1
        if before < 0:
            return None
        is_last = before == len(self.times) - 1
        if is_last or self.times[before + 1] - self.times[before] > self.longest:
            return self.boxes[before] if time < self.times[before] + self.step else None
        return np.array([np.interp(time, self.times, column) for column in self.boxes.T])


def _draw_box(image: np.ndarray, box: np.ndarray | None) -> None:
    if box is None:
        return
    import cv2

    left, top, width, height = box
    corners = (round(left), round(top)), (round(left + width), round(top + height))
    cv2.rectangle(image, *corners, _ACTIVE, max(2, min(image.shape[:2]) // 180), cv2.LINE_AA)


# The panel


def _shown(prediction: Prediction) -> list[str]:
    """Emotions of the panel: all that are predicted as far as there is room, then the likeliest of the others."""
    others = sorted((name for name in prediction.scores if name not in prediction.emotions),
                    key=lambda name: -prediction.scores[name])  # fmt: skip
    return [*prediction.emotions, *others][:_LINES]


def _panel(prediction: Prediction, config: EmotionConfig, height: int, width: int) -> np.ndarray:
    """
    What is laid over each picture.

    Returns:
        Red, green, blue and opacity, float32 in [0, 255] and [0, 1], shape (height, width, 4), not larger than the
        picture.
    """
    from PIL import Image, ImageDraw

    names = _shown(prediction)
    limits = dict(zip(config.label_names, config.label_thresholds, strict=True))
    letters = max(_SMALLEST, round(height * _LETTERS))
    font, pad, line = _font(letters, "".join(names)), letters // 2, round(1.35 * letters)
    words = max(font.getlength(name) for name in names)
    bar_left, bar = pad + math.ceil(words) + pad, 6 * letters
    right = bar_left + bar + pad + math.ceil(font.getlength("0.00")) + pad
    full = Image.new("RGBA", (right, 2 * pad + line * len(names)), (16, 20, 24, 170))
    pen = ImageDraw.Draw(full)
    longest = max(*prediction.scores.values(), *limits.values(), 1e-6)
    for place, name in enumerate(names):
        score, limit, top = prediction.scores[name], limits[name], pad + place * line
        colour = _ACTIVE if name in prediction.emotions else _INACTIVE
        pen.text((pad, top), name, fill=colour, font=font)
        pen.rectangle((bar_left, top + letters // 4, bar_left + bar * score / longest, top + letters), fill=colour)
        tick = bar_left + bar * limit / longest
        pen.line((tick, top, tick, top + line - 2), fill=_WORDS, width=max(1, letters // 12))
        pen.text((bar_left + bar + pad, top), f"{score:.2f}", fill=colour, font=font)
    if full.width > width or full.height > height:
        full.thumbnail((width, height))
    pixels = np.asarray(full, np.float32)
    return np.concatenate([pixels[:, :, :3], pixels[:, :, 3:] / 255], axis=2)


def _font(size: int, text: str) -> Any:
    """A font of Pillow for a text; matplotlib, where it is installed, brings and finds more of them."""
    from PIL import ImageFont

    try:
        from matplotlib.font_manager import FontProperties, findfont

        own, *asian = installed_fonts()
        family = asian[0] if asian and max(text, default="") >= _ASIAN else own
        return ImageFont.truetype(findfont(FontProperties(family=family)), size)
    except (ImportError, OSError):
        return ImageFont.load_default(size)


def _lay_over(image: np.ndarray, panel: np.ndarray) -> None:
    """Blend a panel into the upper left corner, in place."""
    part = image[: panel.shape[0], : panel.shape[1]]
    opacity = panel[:, :, 3:]
    part[:] = (part * (1 - opacity) + panel[:, :, :3] * opacity).round().astype(np.uint8)


# Sound and file


def _sound(source: Any, start: float, end: float | None) -> Iterator[tuple[float, np.ndarray]]:
    """The sound of a part of a file in pieces: when each begins, in seconds from `start`, and its samples."""
    last = media_duration(source)
    last = last if end is None else min(end, last)
    begin = start
    while begin < last:
        finish = min(begin + _PIECE, last)
        with suppress(NoSoundError):  # nothing in this piece, or in the whole file
            yield begin - start, read_audio(source, _SOUND_RATE, begin, finish)
        begin = finish


class _Writer:
    """A video file that is being written; pictures and sound go on side by side."""

    def __init__(self, file: Path, form: _Format):
        self.av, self.form = _import_all(), form
        self.container = self.av.open(str(file), "w", format=form.container)
        self.pictures: Any = None
        self.sound: Any = None
        self.pieces: Iterator[tuple[float, np.ndarray]] = iter(())
        self.waiting: tuple[float, np.ndarray] | None = None
        self.samples, self.last = 0, -1
        self.size = 0, 0

    def begin(self, width: int, height: int, sound: Iterator[tuple[float, np.ndarray]]) -> None:
        """Say what comes: pictures of this size, and sound if there is any."""
        self.pictures = self.container.add_stream(self.form.picture, rate=30, options=self.form.options)
        self.pictures.width, self.pictures.height, self.pictures.pix_fmt = width, height, "yuv420p"
        self.pictures.codec_context.time_base = _CLOCK
        self.size = width, height
        self.waiting = next(sound, None)
        if self.waiting is not None:
            self.sound = self.container.add_stream(self.form.sound, rate=_SOUND_RATE, layout="mono")
            self.pieces = sound

    def add(self, time: float, image: np.ndarray) -> None:
        """The picture that is shown from a time on, in seconds."""
        self._add_sound(time)
        if image.shape[1::-1] != self.size:  # a stream may change its size on the way
            import cv2

            image = cv2.resize(image, self.size, interpolation=cv2.INTER_AREA)
        frame = self.av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        self.last = max(self.last + 1, round(time / _CLOCK))
        frame.pts, frame.time_base = self.last, _CLOCK
        self.container.mux(self.pictures.encode(frame))

    def end(self) -> None:
        """No more pictures; the sound to its end."""
        self._add_sound(math.inf)
        for stream in (self.pictures, self.sound):
            if stream is not None:
                self.container.mux(stream.encode(None))

    def close(self) -> None:
        """Close the file, also after an error."""
        self.container.close()

    def _add_sound(self, until: float) -> None:
        while self.waiting is not None and self.waiting[0] <= until:
            time, samples = self.waiting
            missing = round(time * _SOUND_RATE) - self.samples
            for part in chain(_silence(missing), [samples]):
                self._encode(part)
            self.waiting = next(self.pieces, None)

    def _encode(self, samples: np.ndarray) -> None:
        frame = self.av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = _SOUND_RATE, self.samples, Fraction(1, _SOUND_RATE)
        self.samples += len(samples)
        self.container.mux(self.sound.encode(frame))


def _silence(samples: int) -> Iterator[np.ndarray]:
    """That many zeros, some at a time."""
    while samples > 0:
        part = min(samples, round(_PIECE * _SOUND_RATE))
        yield np.zeros(part, np.float32)
        samples -= part


def _import_all() -> Any:
    try:
        import av
        import cv2
        import PIL
    except ImportError as error:
        raise ImportError('drawing over videos needs PyAV, OpenCV and Pillow: pip install "univa[media]"') from error
    del cv2, PIL
    return av
