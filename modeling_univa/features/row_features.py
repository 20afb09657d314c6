# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Light features of media files while a corpus is built, each clip read once however many rows name it."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.utils.memory import should_reduce_batch_size

from ..data.schema import CorpusError, RowError
from ..models.media_univa import NoSoundError, NoVideoError, read_audio, read_image
from ..models.trusted_paths_univa import inside


__all__ = ["AbsentSignal", "Clip", "MediaFeatures", "TOO_LARGE", "lacks_memory"]

TOO_LARGE = "there is not enough memory for it; cut it into shorter clips"
_CACHE_BYTES = 256 * 2**20

# A file and where the clip begins and ends in it, in seconds; `None` is the file's own beginning or end.
Clip = tuple[str, float | None, float | None]


class AbsentSignal(ValueError):
    """A sound clip that has nothing of a modality: a video without a sound track, or one without a face."""


class MediaFeatures:
    """Speech and face features of the files of a corpus.

    Args:
        root: Folder that paths are relative to.
        audio_extractor, vision_extractor: As in `feature_extraction_univa`; a vision extractor makes one frame an
            image. `None` where no features of the modality are wanted.
        face_reader: Finds the faces in videos, `faces_univa.FaceReader`; `None` where there are no videos.
        cache_bytes: Features are kept up to this size, those not used for longest going first.
        outside: Whether paths and links may lead out of `root`.

    `notes` collects what the face reader says of videos that do show a face, such as that some faces were left out.
    """

    def __init__(
        self,
        root: Path,
        audio_extractor: Any,
        vision_extractor: Any,
        face_reader: Any = None,
        cache_bytes: int = _CACHE_BYTES,
        outside: bool = False,
    ):
        self.root = root
        self.outside = outside
        self.audio_extractor = audio_extractor
        self.vision_extractor = vision_extractor
        self.face_reader = face_reader
        self.cache_bytes = cache_bytes
        self._cache: OrderedDict[tuple[str, Clip], np.ndarray | AbsentSignal] = OrderedDict()
        self._cached_bytes = 0
        self.notes: list[str] = []

    def speech(self, clip: Clip, speed: float = 1.0) -> np.ndarray:
        """Features (frames, size) of a clip of a sound file, played at `speed` times its own.

        Raises `RowError` where the file is of no use.
        """
        return self._once(f"speech at {speed}", clip, partial(self._read_speech, speed=speed))

    def speech_of_video(self, clip: Clip, speed: float = 1.0) -> np.ndarray:
        """As `speech`, of a video. Raises `AbsentSignal` where it has no sound track."""
        return self._once(f"speech of video at {speed}", clip, partial(self._read_speech_of_video, speed=speed))

    def faces(self, paths: Sequence[str]) -> np.ndarray:
        """Features (images, size) of a sequence of images. Raises `RowError` where a file is of no use."""
        return np.concatenate([self._once("face", (path, None, None), self._read_face) for path in paths])

    def faces_of_video(self, clip: Clip) -> np.ndarray:
        """Features (faces, size) of a clip of a video. Raises `AbsentSignal` where it shows no face."""
        return self._once("faces of video", clip, self._read_faces_of_video)

    def _read_speech(self, clip: Clip, speed: float) -> np.ndarray:

        path, start, end = clip
        rate = self.audio_extractor.sampling_rate
        # Fewer samples a second, taken for the extractor's rate, are the sound played faster.
        return self.audio_extractor(
            read_audio(inside(self.root, path, self.outside), round(rate / speed), start, end), rate
        )

    def _read_speech_of_video(self, clip: Clip, speed: float) -> np.ndarray:

        try:
            return self._read_speech(clip, speed)
        except NoSoundError as error:
            raise AbsentSignal(error.reason) from None

    def _read_face(self, clip: Clip) -> np.ndarray:

        return self.vision_extractor([read_image(inside(self.root, clip[0], self.outside))])

    def _read_faces_of_video(self, clip: Clip) -> np.ndarray:

        path, start, end = clip
        try:
            track = self.face_reader(inside(self.root, path, self.outside), start, end)
        except NoVideoError as error:
            raise AbsentSignal(error.reason) from None
        if not len(track.images):
            raise AbsentSignal(track.note or "no face was found")
        if track.note:
            self.notes.append(f"{path}: {track.note}")
        return self.vision_extractor(track.images)

    def _once(self, kind: str, clip: Clip, read: Callable[[Clip], np.ndarray]) -> np.ndarray:
        if (kind, clip) in self._cache:
            self._cache.move_to_end((kind, clip))
            found = self._cache[kind, clip]
        else:
            found = self._cache[kind, clip] = self._read(clip, read)
            self._cached_bytes += _num_bytes(found)
            while self._cached_bytes > self.cache_bytes:
                self._cached_bytes -= _num_bytes(self._cache.popitem(last=False)[1])
        if isinstance(found, AbsentSignal):
            raise found
        return found

    def _read(self, clip: Clip, read: Callable[[Clip], np.ndarray]) -> np.ndarray | AbsentSignal:
        path = clip[0]
        try:
            return read(clip)
        except (ImportError, OSError) as error:
            raise CorpusError(str(error)) from None  # a package or a detector is missing, for every clip alike
        except AbsentSignal as error:
            return AbsentSignal(f"{path}: {error}")
        except ValueError as error:
            raise RowError(f"{path}: {str(error).removeprefix(f'{self.root / path}: ')}") from None
        except Exception as error:
            if lacks_memory(error):
                raise RowError(f"{path}: {TOO_LARGE}") from None
            raise


def lacks_memory(error: Exception) -> bool:
    """Whether a smaller clip, or fewer of them at a time, might do."""
    return isinstance(error, MemoryError) or should_reduce_batch_size(error)


def _num_bytes(found: np.ndarray | AbsentSignal) -> int:
    return found.nbytes if isinstance(found, np.ndarray) else 0
