# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Faces of a video: detection, tracks over frames, choice of one track, and its crops.

`FaceReader` is a frozen dataclass like the feature extractors: its fields are all that decides the crops, and they
travel with the model. The same video and fields give the same crops.
"""

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Protocol

import huggingface_hub
import numpy as np
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from transformers.utils import logging

from .extractor_base_univa import check_at_least, check_choice, check_limits
from .limits_univa import LIMITS, check_limit
from .media_univa import MediaError, MediaSource, NoSoundError, VideoFrame, iter_frames, media_duration, read_audio
from .trusted_paths_univa import check_digest, check_sha256, content_digest


__all__ = ["Face", "FaceDetector", "FaceReader", "FaceTrack", "reader_at_hand"]

logger = logging.get_logger(__name__)

Box = tuple[float, float, float, float]

_YUNET_REPOSITORY = "opencv/face_detection_yunet"
_YUNET_FILE = "face_detection_yunet_2023mar.onnx"
# In which the Hub has to answer.
_HUB_SECONDS = 5.0
_HAAR_FILE = "haarcascade_frontalface_default.xml"

# Overlap (intersection over union) of two boxes from which they may be one face, at a few frames a second; and from
# which two boxes of one picture are the same face found twice.
_MIN_OVERLAP, _MAX_OVERLAP = 0.25, 0.3
# Of more faces in a picture the largest are followed; linking takes a time that grows with the cube of their number.
_MOST_FACES = 64
# A face does not grow by more from one picture to the next.
_MAX_GROWTH = 1.4
# Seconds for which a track may go without a detection (at low frame rates, one picture).
_LONGEST_GAP = 1.0
# Mean difference of small pictures, on the scale of 0 to 255, from which the picture was cut. Motion of people stays
# below about 20; a cut between two dark shots is about 26.
_CUT_DIFFERENCE = 25.0
_THUMBNAIL = (32, 18)
# Pictures a second from which the motion of a mouth is measured.
_MOTION_RATE = 25.0
# Mouth, and eyes with nose (whose motion is that of the head), as fractions of the box: left, top, right, bottom.
_MOUTH, _UPPER_FACE = (0.25, 0.62, 0.75, 0.97), (0.2, 0.15, 0.8, 0.55)
_PATCH = (24, 16)
# Bytes of crops that are kept while faces are looked for; beyond them the video is gone through once more.
_KEPT_CROPS = 64 * 2**20
# Share of a clip from which a face counts as seen in all of it.
_MOST_OF_IT = 0.9


@dataclass(frozen=True)
class Face:
    """A detected face.

    Args:
        box: Left, top, width and height in pixels of the picture.
        score: The detector's confidence, on its own scale.
        eyes: Centres (x, y) of the eyes, the left one in the picture first, where the detector tells.
    """

    box: Box
    score: float
    eyes: tuple[tuple[float, float], tuple[float, float]] | None = None

    @property
    def area(self) -> float:
        """Square pixels of the box."""
        return self.box[2] * self.box[3]

    def scaled(self, factor: float) -> "Face":
        """The face in a picture that is `factor` as large."""
        x, y, width, height = (value * factor for value in self.box)
        eyes = self.eyes and tuple((a * factor, b * factor) for a, b in self.eyes)
        return Face((x, y, width, height), self.score, eyes)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """The faces of one person in a clip.

    Args:
        images: Crops, uint8, shape (size, size, 3), red, green, blue, in order of time; empty without a face.
        times: When each is shown, in seconds from the file's start.
        boxes: Left, top, width and height of each in the picture, in pixels, without margin.
        tracks_found: Tracks among which this one was chosen.
        note: What a user should know: no face, faces left out, another choice than the one asked for.
        people: At least and at most how many people were seen: as many as at once in one picture, and as tracks, since
            a face that is lost or that comes back after a cut has another track. (0, 0) where no video was looked at.
        start, end: When the chosen face is seen first and last, in seconds from the beginning of the clip.
        seconds: Length of the clip.
    """

    images: list[np.ndarray]
    times: list[float]
    boxes: list[Box]
    tracks_found: int
    note: str | None = None
    people: tuple[int, int] = (0, 0)
    start: float = 0.0
    end: float = 0.0
    seconds: float = 0.0

    @property
    def whose(self) -> str | None:
        """Which of the people seen this is, and when; `None` without a face of a video.

        Such as "face of 1 of 2 people, 2.2–3.0 s of 4.2 s".
        """
        if not self.people[0]:
            return None
        least, most = self.people
        number = f"{least}" if least == most else f"{least}–{most}"
        who = "face of the one person seen" if most == 1 else f"face of 1 of {number} people"
        return f"{who}, {self.start:.1f}–{self.end:.1f} s of {self.seconds:.1f} s"

    @property
    def is_partial(self) -> bool:
        """Whether others were seen, too, or the face for less than nine tenths of the clip."""
        return self.people[1] > 1 or self.end - self.start < _MOST_OF_IT * self.seconds


@dataclass(frozen=True)
class FaceReader:
    """Reads the face of a clip from its video.

    Args:
        detector: "yunet" (OpenCV's FaceDetectorYN), "haar" (frontal faces, in OpenCV itself, needs no file), "mtcnn"
            (of the package facenet-pytorch) or "whole-frame" (the video shows a face and nothing else: the middle
            square of the picture is taken).
        detector_model: For yunet a local onnx file, or a Hub repository with, optionally, a file in it
            ("owner/name/file.onnx"), by default that of OpenCV; for haar another cascade file.
        detector_revision: Revision of the Hub repository.
        detector_sha256: SHA-256 of a local `detector_model`; found out where it is not given, and else compared before
            the file is read.
        frame_rate: Pictures a second in which faces are looked for.
        track: "largest" (the largest sum of areas over time), "longest" (the most pictures), or "speaking" (the
            mouth moves with the loudness of the sound; the largest where none does).
        size: Side of a crop in pixels.
        margin: What is added around the box, as a fraction of its longer side; by default 0.2, and 0 for haar, whose
            boxes are wide.
        aligned: Whether crops are turned so that the eyes are level. yunet and mtcnn tell where eyes are; haar does
            not, and finds upright faces alone, so that its crops stay as they are.
        max_faces: Most crops of a clip; of more, this many are taken at even distances, and the note says so.
        min_confidence: What the best detection of a track must score, for the track to count; by default 0.8 (yunet),
            3 (haar, on whose scale true faces have about 1 to 10) and 0.95 (mtcnn).
        min_face_size: Smallest side of a face, as a fraction of the picture's shorter side.
        min_track_length: Pictures in which a face must be found to count, all of them in shorter clips.
    """

    reader_type: ClassVar[str] = "faces"

    detector: str = "yunet"
    detector_model: str | None = None
    detector_revision: str | None = None
    frame_rate: float = 5.0
    track: str = "largest"
    size: int = 160
    margin: float = None  # type: ignore[assignment]  # of the detector, by __post_init__
    aligned: bool = True
    max_faces: int = 128
    min_confidence: float = None  # type: ignore[assignment]
    min_face_size: float = 0.1
    min_track_length: int = 3
    detector_sha256: str | None = None

    def __post_init__(self):
        check_choice(self, detector=tuple(_DETECTORS), track=("largest", "longest", "speaking"))
        check_at_least(self, size=8, max_faces=1, min_track_length=1)
        check_limits(self, size="image_side", max_faces="pictures", min_track_length="pictures")
        check_limit("crops", self.max_faces * self.size**2, "`max_faces` times `size` squared")
        kind = _DETECTORS[self.detector]
        # Written out, so that a saved reader does not depend on what the defaults are later.
        for name, default in (("margin", kind.margin), ("min_confidence", kind.min_confidence)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)
        if self.detector_model is not None:
            object.__setattr__(self, "detector_model", str(self.detector_model))
            if not kind.takes_model:
                raise ValueError(
                    f"the {self.detector} detector takes no `detector_model`, got {self.detector_model!r}"
                )
        self._pin_model()
        for name, least, most in (("frame_rate", 0.01, 1000), ("margin", 0, 4), ("min_face_size", 0, 1),
                                  ("min_confidence", -1000, 1000)):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
                raise ValueError(f"`{name}` must be a number from {least} to {most}, got {value!r}")

    def _pin_model(self) -> None:
        if self.detector_sha256 is not None:
            check_sha256(self.detector_sha256, "detector_sha256")
        elif self.detector_model is not None and Path(self.detector_model).is_file():
            try:
                found = content_digest([Path(self.detector_model)])
            except OSError as error:
                raise ValueError(f"`detector_model` {self.detector_model} cannot be read as a file") from error
            object.__setattr__(self, "detector_model", str(Path(self.detector_model).absolute()))
            object.__setattr__(self, "detector_sha256", found)

    def to_dict(self) -> dict[str, Any]:
        """All fields and the kind; `from_dict` reads it back."""
        return {"reader_type": self.reader_type, **asdict(self)}

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> "FaceReader":
        """Rebuild a reader from `to_dict`, or from some of its fields.

        Raises:
            ValueError: Another kind of reader, or an argument that it does not have.
        """
        arguments = dict(config)
        kind = arguments.pop("reader_type", cls.reader_type)
        if kind != cls.reader_type:
            raise ValueError(f"unknown reader_type {kind!r}; known: {cls.reader_type}")
        unknown = set(arguments) - {one.name for one in fields(cls)}
        if unknown:
            raise ValueError(f"a face reader has no {', '.join(sorted(unknown))}; it has "
                             f"{', '.join(one.name for one in fields(cls))}")  # fmt: skip
        return cls(**arguments)

    def __call__(
        self,
        source: MediaSource,
        start: float | None = None,
        end: float | None = None,
        *,
        max_seconds: float | None = None,
    ) -> FaceTrack:
        """Find the face of one clip.

        Args:
            source: Path of a video file, or its bytes.
            start: Where the clip begins in the file, in seconds; the file's beginning by default.
            end: Where it ends; the file's end by default.
            max_seconds: Longest clip to look at; a longer one is refused as in `iter_frames`.

        Returns:
            `FaceTrack`; without a face it is empty, and its `note` says so.

        Raises:
            MediaError: The video cannot be read; see `iter_frames`.
            ImportError: The detector's package is not installed.
            OSError: The detector's file could not be downloaded.
        """
        part = _Clip(source, start, end, max_seconds)
        crops = _Crops(self._crop_small_face, self.size)
        tracks, num_pictures, num_doubtful = self._find_tracks(part, crops)
        if not tracks:
            doubtful = f" ({num_doubtful} seen too briefly or unclearly)" if num_doubtful else ""
            return FaceTrack([], [], [], 0, f"no face in {num_pictures} pictures{doubtful}")
        track, notes = self._choose(tracks, part)
        kept = np.arange(len(track.faces))
        if len(kept) > self.max_faces:
            kept = np.linspace(0, len(kept) - 1, self.max_faces).round().astype(int)
            notes.append(f"{self.max_faces} of {len(track.faces)} faces are used, at even distances")
        chosen = {track.indices[place]: track.faces[place] for place in kept}
        images = crops.of(chosen) or self._crop(chosen, part)
        first, seconds = part.start or 0.0, part.seconds(num_pictures / self.frame_rate)
        return FaceTrack(
            images,
            [track.times[place] for place in kept],
            [track.faces[place].box for place in kept],
            len(tracks),
            "; ".join(notes) or None,
            (_most_at_once(tracks), len(tracks)),
            track.times[0] - first,
            min(track.times[-1] - first + 1 / self.frame_rate, seconds),
            seconds,
        )

    def detect(self, image: np.ndarray) -> list[Face]:
        """Faces of one picture.

        Args:
            image: uint8 pixels, shape (height, width, 3), red, green, blue.

        Returns:
            The faces that are large enough, the largest first; weak detections too, which count as part of a track.
            Of more than 64, the largest.
        """
        cv2 = _import_cv2()

        named = self.detector_model, self.detector_revision, self.detector_sha256
        detector = _load_detector(self.detector, *named, threading.get_ident())
        short_side = min(image.shape[:2])
        factor = min(1.0, detector.working_side / short_side)
        small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) if factor < 1 else image
        faces = [face.scaled(1 / factor) for face in detector.find(small, self.min_face_size)]
        faces = [face for face in faces if min(face.box[2:]) >= self.min_face_size * short_side]
        boxes, scores = [face.box for face in faces], [face.score for face in faces]
        kept = cv2.dnn.NMSBoxes(boxes, scores, detector.lowest_score, _MAX_OVERLAP) if faces else []
        found = sorted((faces[place] for place in kept), key=lambda face: (-face.area, face.box))
        return found[:_MOST_FACES]

    def _find_tracks(self, part: "_Clip", crops: "_Crops") -> tuple[list["_Track"], int, int]:
        """Tracks that count, the number of pictures looked at, and the number of tracks that do not count."""
        tracks: list[_Track] = []
        active: list[_Track] = []
        index, previous, image, faces, number = -1, None, None, [], 0
        _import_cv2()
        for index, frame in enumerate(part.frames(self.frame_rate)):
            # A picture that is shown for long, or comes again, has the faces that it had.
            if image is None or not (frame.image is image or np.array_equal(frame.image, image)):
                image, faces = frame.image, self.detect(frame.image)
                thumbnail = _thumbnail(image)
                crops.cut(image, faces)
            crops.keep(index)
            cut = previous is not None and np.abs(thumbnail - previous).mean() > _CUT_DIFFERENCE
            previous = thumbnail
            # A whole frame is the face, whatever it shows.
            if cut and self.detector != "whole-frame":
                active = []
            longest_gap = max(_LONGEST_GAP, 2.5 / self.frame_rate)
            active = [one for one in active if frame.time - one.times[-1] < longest_gap]
            new = _link(active, faces, index, frame.time)
            active += new
            tracks += new
            number += len(faces)
            part.check("faces", number, "the number of faces found")
        shortest = min(self.min_track_length, index + 1)
        kept = [one for one in tracks if len(one.faces) >= shortest and one.score >= self.min_confidence]
        return kept, index + 1, len(tracks) - len(kept)

    def _choose(self, tracks: list["_Track"], part: "_Clip") -> tuple["_Track", list[str]]:
        if self.track == "longest":
            return max(tracks, key=lambda one: (len(one.faces), one.size)), []
        largest = max(tracks, key=lambda one: one.size)
        if self.track == "largest" or len(tracks) == 1:
            return largest, []
        try:
            sound = part.sound(_Loudness.sampling_rate)
            loudness = _Loudness(sound, part.start or 0.0)
        except NoSoundError:
            return largest, ["there is no sound to tell who speaks: the largest face was taken"]
        scores = _speaking_scores(tracks, loudness, part)
        if max(scores) <= 0:
            return largest, ["no mouth moves with the sound: the largest face was taken"]
        return tracks[int(np.argmax(scores))], []

    def _crop(self, faces: dict[int, Face], part: "_Clip") -> list[np.ndarray]:
        # Where the crops are not kept: those of every track could need any amount of memory.
        images = []
        for index, frame in enumerate(part.frames(self.frame_rate)):
            if index in faces:
                side = self._crop_side(faces[index])
                part.check("pixels", side * side, f"a crop of {side} x {side} around the face at {frame.time:.2f} s")
                images.append(self._crop_face(frame.image, faces[index]))
                if len(images) == len(faces):
                    break
        return images

    def _crop_side(self, face: Face) -> int:
        return max(1, round(max(face.box[2:]) * (1 + self.margin)))

    def _crop_small_face(self, image: np.ndarray, face: Face) -> np.ndarray | None:
        """The crop; `None` if it is larger than the limits allow, which is an error of a chosen face alone."""
        return self._crop_face(image, face) if self._crop_side(face) ** 2 <= LIMITS["pixels"].most else None

    def _crop_face(self, image: np.ndarray, face: Face) -> np.ndarray:
        """A square around the face, turned so that the eyes are level, the picture's edge repeated beyond it."""
        cv2 = _import_cv2()

        x, y, width, height = face.box
        side = self._crop_side(face)
        angle = 0.0
        if self.aligned and face.eyes is not None:
            (left_x, left_y), (right_x, right_y) = face.eyes
            angle = math.degrees(math.atan2(right_y - left_y, right_x - left_x))
        # Pixels are counted by their middle.
        centre = (x + (width - 1) / 2, y + (height - 1) / 2)
        matrix = cv2.getRotationMatrix2D(centre, angle, 1.0)
        matrix[:, 2] = matrix[:, 2] + (side - 1) / 2 - np.array(centre)
        square = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        method = cv2.INTER_AREA if side > self.size else cv2.INTER_CUBIC
        return cv2.resize(square, (self.size, self.size), interpolation=method)


def reader_at_hand(reader: FaceReader | None = None) -> FaceReader:
    """
    A reader for new features: this one, by default the usual one, or the same with the haar detector where it is
    yunet's, whose file can neither be downloaded nor is in the cache.

    What was made with one detector is not read with another: a corpus or model that names its reader keeps it.
    """
    reader = reader or FaceReader()
    if reader.detector != "yunet":
        return reader
    try:
        _yunet_path(reader.detector_model or _YUNET_REPOSITORY, reader.detector_revision)
    except OSError as error:
        reason = str(error.__cause__ or error).split("\n")[0]
        logger.warning_once(
            f"Faces are found by the haar detector, from the front alone: yunet's file is missing ({reason})."
        )
        of_yunet = ("detector_model", "detector_revision", "detector_sha256", "margin", "min_confidence")
        kept = {name: value for name, value in asdict(reader).items() if name not in of_yunet}
        return FaceReader(**{**kept, "detector": "haar"})
    return reader


@dataclass(frozen=True)
class _Clip:
    """What a reader is called with."""

    source: MediaSource
    start: float | None
    end: float | None
    max_seconds: float | None

    def frames(self, frame_rate: float) -> Iterator[VideoFrame]:
        return iter_frames(self.source, frame_rate, self.start, self.end, max_seconds=self.max_seconds)

    def sound(self, sampling_rate: int) -> np.ndarray:
        return read_audio(self.source, sampling_rate, self.start, self.end, max_seconds=self.max_seconds)

    def seconds(self, looked_at: float) -> float:
        """How long the clip is, where pictures were looked at for so long, the last of which may go beyond its end."""
        first = self.start or 0.0
        try:
            length = media_duration(self.source)
        except MediaError:  # of a damaged end, of which the clip has nothing
            length = math.inf
        last = length if self.end is None else min(self.end, length)
        return min(looked_at, last - first) if last > first else looked_at

    def check(self, kind: str, value: float, name: str) -> None:
        """Refuse the clip for a number outside of the range of its kind in `LIMITS`."""
        try:
            check_limit(kind, value, name)
        except ValueError as error:
            raise MediaError(self.source, str(error)) from None


class _Crops:
    """Crops of all faces found so far, as long as there are few, so that the video need not be decoded twice."""

    def __init__(self, crop: Callable[[np.ndarray, Face], np.ndarray | None], size: int):
        self._crop, self._bytes_of_one = crop, 3 * size**2
        self._last: dict[Face, np.ndarray | None] = {}
        #: By number of the picture; `None` where there were too many.
        self._kept: dict[int, dict[Face, np.ndarray | None]] | None = {}
        self._bytes = 0

    def cut(self, image: np.ndarray, faces: Sequence[Face]) -> None:
        """Cut the faces out of the next picture."""
        self._bytes += len(faces) * self._bytes_of_one
        if self._bytes > _KEPT_CROPS:
            self._kept = None
        if self._kept is not None:
            self._last = {face: self._crop(image, face) for face in faces}

    def keep(self, index: int) -> None:
        """Keep the crops of the picture at hand under its number; a picture that comes again has them again."""
        if self._kept is not None:
            self._kept[index] = self._last

    def of(self, faces: Mapping[int, Face]) -> list[np.ndarray]:
        """The crops of faces, by the number of their picture; none where not all of them were kept."""
        kept = self._kept or {}
        found = [crop for index, face in faces.items() if (crop := kept.get(index, {}).get(face)) is not None]
        return found if len(found) == len(faces) else []


# Tracks


@dataclass
class _Track:
    indices: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    faces: list[Face] = field(default_factory=list)

    def add(self, index: int, time: float, face: Face) -> None:
        self.indices.append(index)
        self.times.append(time)
        self.faces.append(face)

    @property
    def size(self) -> float:
        """Mean area times length."""
        return sum(face.area for face in self.faces)

    @property
    def score(self) -> float:
        """That of the best detection."""
        return max(face.score for face in self.faces)


def _most_at_once(tracks: Sequence[_Track]) -> int:
    """The largest number of tracks that are there in one picture, found or missed between two that are found."""
    begin = [track.indices[0] for track in tracks]
    return max(sum(one.indices[0] <= index <= one.indices[-1] for one in tracks) for index in begin)


def _link(tracks: Sequence[_Track], faces: Sequence[Face], index: int, time: float) -> list[_Track]:
    """Add each face to the track that it overlaps, all together as much as can be; the rest are new tracks."""
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise ImportError('following faces needs SciPy: pip install "univa[media]"') from error
    overlaps = np.array([[_overlap(track.faces[-1].box, face.box) for face in faces] for track in tracks])
    taken = set()
    if overlaps.size:
        for row, column in zip(*linear_sum_assignment(overlaps, maximize=True), strict=True):
            if overlaps[row, column] >= _MIN_OVERLAP:
                tracks[row].add(index, time, faces[column])
                taken.add(column)
    return [_Track([index], [time], [face]) for place, face in enumerate(faces) if place not in taken]


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union; 0 for boxes whose sizes are too unlike for one face."""
    if not 1 / _MAX_GROWTH**2 <= (one[2] * one[3]) / (other[2] * other[3]) <= _MAX_GROWTH**2:
        return 0.0
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    common = max(0.0, width) * max(0.0, height)
    return common / (one[2] * one[3] + other[2] * other[3] - common)


def _thumbnail(image: np.ndarray) -> np.ndarray:
    cv2 = _import_cv2()

    return cv2.resize(image, _THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)


# Who speaks


class _Loudness:
    """Level of a sound in decibels, at any time."""

    sampling_rate = 16000

    def __init__(self, waveform: np.ndarray, start: float):
        step = round(self.sampling_rate / _MOTION_RATE)
        blocks = np.pad(waveform, (0, -len(waveform) % step)).reshape(-1, step)
        self.levels = 10 * np.log10((blocks**2).mean(axis=1) + 1e-6)
        self.times = start + (np.arange(len(blocks)) + 0.5) / _MOTION_RATE

    def at(self, times: np.ndarray) -> np.ndarray:
        return np.interp(times, self.times, self.levels, left=-60.0, right=-60.0)


def _speaking_scores(tracks: Sequence[_Track], loudness: _Loudness, part: _Clip) -> list[float]:
    """Correlation of each track's mouth motion with the loudness, times the square root of its length."""
    motions: list[list[tuple[float, float]]] = [[] for _ in tracks]
    patches: list[tuple[np.ndarray, np.ndarray] | None] = [None for _ in tracks]
    paths = [_SmoothPath(track) for track in tracks]
    for frame in part.frames(_MOTION_RATE):
        for place, (track, path) in enumerate(zip(tracks, paths, strict=True)):
            if not track.times[0] <= frame.time <= track.times[-1]:
                continue
            box = path.at(frame.time)
            now = _patch(frame.image, box, _MOUTH), _patch(frame.image, box, _UPPER_FACE)
            before, patches[place] = patches[place], now
            if before is not None:
                mouth, head = (float(np.abs(a - b).mean()) for a, b in zip(now, before, strict=True))
                motions[place].append((frame.time - 0.5 / _MOTION_RATE, mouth - head))
    return [_correlation(np.array(motion).reshape(-1, 2), loudness) for motion in motions]


class _SmoothPath:
    """A track's box at any time: boxes of a detector jump a little, which must not look like motion."""

    def __init__(self, track: _Track):
        self.times = track.times
        self.boxes = _smooth(np.array([face.box for face in track.faces]))

    def at(self, time: float) -> np.ndarray:
        return np.array([np.interp(time, self.times, column) for column in self.boxes.T])


def _smooth(values: np.ndarray) -> np.ndarray:
    """Running mean of five rows, of fewer at the ends."""
    sums = np.cumsum(np.concatenate([np.zeros_like(values[:1]), values]), axis=0)
    first = np.maximum(np.arange(len(values)) - 2, 0)
    last = np.minimum(np.arange(len(values)) + 3, len(values))
    return (sums[last] - sums[first]) / (last - first)[:, None]


def _patch(image: np.ndarray, box: np.ndarray, part: tuple[float, float, float, float]) -> np.ndarray:
    """A part of the box as a small grey picture with a mean of 0, shape (16, 24)."""
    cv2 = _import_cv2()

    x, y, width, height = box
    left, top, right, bottom = part
    scale = np.array([(right - left) * width, (bottom - top) * height]) / _PATCH
    matrix = np.array([[scale[0], 0, x + left * width], [0, scale[1], y + top * height]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    patch = cv2.warpAffine(image, matrix, _PATCH, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    grey = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return grey - grey.mean()


def _correlation(motion: np.ndarray, loudness: _Loudness) -> float:
    if len(motion) < _MOTION_RATE / 2:
        return 0.0
    pair = _smooth(np.column_stack([motion[:, 1], loudness.at(motion[:, 0])]))
    if (pair.std(axis=0) < 1e-6).any():
        return 0.0
    return float(np.corrcoef(pair.T)[0, 1] * math.sqrt(len(pair)))


# Detectors


class FaceDetector(Protocol):
    """
    What finds faces in a picture.

    Args:
        model: file of its weights, or a Hub id, where it takes one (`takes_model`).
        revision: branch, tag or commit on the Hub.
    """

    #: Added to each side of its boxes, as a share of their size.
    margin: float
    #: Confidence of a face by default, and the lowest that it reports.
    min_confidence: float
    lowest_score: float
    takes_model: bool
    #: Maximum length of the shorter side of the picture that it gets, in pixels.
    working_side: float

    def __init__(self, model: str | None, revision: str | None): ...

    def find(self, image: np.ndarray, min_face_size: float) -> list[Face]:
        """Faces of an RGB picture, uint8 `(height, width, 3)`, of at least this share of its shorter side."""


class _YunetDetector(FaceDetector):
    """FaceDetectorYN of OpenCV (Wu et al., YuNet, 2023)."""

    margin, min_confidence, lowest_score, takes_model, working_side = 0.2, 0.8, 0.5, True, 360

    def __init__(self, model: str | None, revision: str | None):
        cv2 = _import_cv2()

        path = _yunet_path(model or _YUNET_REPOSITORY, revision)
        try:
            self.network = cv2.FaceDetectorYN.create(path, "", (320, 320), score_threshold=self.lowest_score)
        except cv2.error as error:
            raise OSError(f"{path} is not a YuNet model that this OpenCV ({cv2.__version__}) reads") from error

    def find(self, image: np.ndarray, min_face_size: float) -> list[Face]:
        self.network.setInputSize((image.shape[1], image.shape[0]))
        rows = self.network.detect(np.ascontiguousarray(image[:, :, ::-1]))[1]
        # Columns: box, five points (the person's right eye, which is left in the picture, first), score.
        return [
            Face(tuple(row[:4].tolist()), float(row[14]), (tuple(row[4:6].tolist()), tuple(row[6:8].tolist())))
            for row in ([] if rows is None else rows)
        ]


def _yunet_path(model: str, revision: str | None) -> str:
    if Path(model).is_file():
        return model
    owner, name, *file = [*model.split("/"), ""][:2] + model.split("/")[2:]
    advice = f"pass `detector_model`, the path of {_YUNET_FILE}, or use the haar detector, which needs no file"
    if not owner or not name or (not file and name.endswith(".onnx")) or owner in (".", ".."):
        raise FileNotFoundError(f"no such file: {model}; {advice}")
    try:
        return _from_hub(f"{owner}/{name}", "/".join(file) or _YUNET_FILE, revision)
    except (OSError, ValueError) as error:
        reason = str(error).split("\n")[0]
        raise OSError(
            f"the yunet detector's file could not be downloaded from {model} on the Hub ({reason}): {advice}"
        ) from error


# Threads and processes ask again for the same file.
@lru_cache(maxsize=32)
def _from_hub(repository: str, file: str, revision: str | None) -> str:
    """A file of the Hub, from the cache where the Hub cannot be reached, which is tried once, and not for long.

    `hf_hub_download` alone would try for half a minute before it looks into the cache, or gives up.
    """
    address = huggingface_hub.hf_hub_url(repository, file, revision=revision)
    try:
        huggingface_hub.get_hf_file_metadata(address, timeout=_HUB_SECONDS)
        is_reached = True
    except Exception as error:
        # An answer, whatever it is, is told by the download; else there is no connection, for one of many reasons.
        is_reached = isinstance(error, HfHubHTTPError)
    try:
        return huggingface_hub.hf_hub_download(repository, file, revision=revision, local_files_only=not is_reached)
    except LocalEntryNotFoundError as error:
        if is_reached:
            raise
        raise OSError("the Hub could not be reached, and the file is not in the cache") from error


class _HaarDetector(FaceDetector):
    """Boosted cascade of Haar features (Viola and Jones, 2001) on the equalised grey picture."""

    margin, min_confidence, lowest_score, takes_model, working_side = 0.0, 3.0, 0.0, True, 240
    smallest = 24  # of the bundled cascade, in pixels

    def __init__(self, model: str | None, revision: str | None):
        cv2 = _import_cv2()

        if not hasattr(cv2, "CascadeClassifier"):
            raise ImportError('the haar detector needs OpenCV 4: pip install "opencv-python-headless<5"')
        path = model or str(Path(cv2.__file__).parent / "data" / _HAAR_FILE)
        self.cascade = cv2.CascadeClassifier()
        if not Path(path).is_file() or not self.cascade.load(path):
            raise FileNotFoundError(f"no cascade file of the haar detector: {path}")

    def find(self, image: np.ndarray, min_face_size: float) -> list[Face]:
        cv2 = _import_cv2()

        grey = cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
        side = max(self.smallest, round(min_face_size * min(grey.shape)))
        boxes, _, weights = self.cascade.detectMultiScale3(
            grey, scaleFactor=1.1, minNeighbors=5, minSize=(side, side), outputRejectLevels=True
        )
        return [
            Face(tuple(float(value) for value in box), float(np.ravel(weight)[0]))  # type: ignore[arg-type]
            for box, weight in zip(boxes, weights, strict=True)
        ]


class _MtcnnDetector(FaceDetector):
    """MTCNN (Zhang et al., 2016) of facenet-pytorch."""

    margin, min_confidence, lowest_score, takes_model, working_side = 0.2, 0.95, 0.7, False, 360

    def __init__(self, model: str | None, revision: str | None):
        try:
            from facenet_pytorch import MTCNN
        except ImportError as error:
            raise ImportError(
                "the mtcnn detector needs facenet-pytorch: pip install --no-deps facenet-pytorch (with a torchvision "
                "that fits your torch), or use yunet or haar"
            ) from error
        self.network = MTCNN(keep_all=True, post_process=False)

    def find(self, image: np.ndarray, min_face_size: float) -> list[Face]:
        self.network.min_face_size = max(20, round(min_face_size * min(image.shape[:2])))
        boxes, scores, points = self.network.detect(image, landmarks=True)
        if boxes is None:
            return []
        return [
            Face(
                (float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])),
                float(score),
                ((float(eyes[0][0]), float(eyes[0][1])), (float(eyes[1][0]), float(eyes[1][1]))),
            )
            for box, score, eyes in zip(boxes, scores, points, strict=True)
        ]


class _WholeFrame(FaceDetector):
    """The middle square of the picture."""

    margin, min_confidence, lowest_score, takes_model, working_side = 0.0, 0.0, 0.0, False, math.inf

    def __init__(self, model: str | None, revision: str | None):
        pass

    def find(self, image: np.ndarray, min_face_size: float) -> list[Face]:
        height, width = image.shape[:2]
        side = min(height, width)
        return [Face(((width - side) / 2, (height - side) / 2, side, side), 1.0)]


_DETECTORS: dict[str, type[FaceDetector]] = {
    "yunet": _YunetDetector,
    "haar": _HaarDetector,
    "mtcnn": _MtcnnDetector,
    "whole-frame": _WholeFrame,
}


@lru_cache(maxsize=32)
def _load_detector(
    detector: str, model: str | None, revision: str | None, sha256: str | None, thread: int
) -> FaceDetector:
    """A detector of each thread's own, since they keep the picture's size and more from call to call."""
    _import_cv2()
    if model is not None:
        check_digest(model, sha256, is_folder=False)
    return _DETECTORS[detector](model, revision)


def _import_cv2() -> Any:
    # transformers asks for every package that a file beside the weights imports outside of `try`.
    try:
        import cv2
    except ImportError as error:
        raise ImportError('finding faces needs OpenCV: pip install "univa[media]"') from error
    return cv2
