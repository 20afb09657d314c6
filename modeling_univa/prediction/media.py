# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Utterances to predict, and their sound and faces, read when they are needed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..models.media_univa import NoSoundError, NoVideoError, read_audio, read_image


__all__ = ["Utterance", "UtteranceMedia"]


@dataclass(frozen=True)
class Utterance:
    """
    One utterance to predict.

    Args:
        utterance_id, dialogue_id: its name, and that of the dialogue that gives it context.
        text: the transcript; `None` where there is none.
        audio: sound file, `None` without sound or where it is that of `video`.
        faces: image files of its faces, in order; none where they are those of `video`.
        video: video file.
        start, end: where the utterance begins and ends in `audio` and `video`, in seconds; by default with the file.
        problem: why it cannot be predicted, where that is known before its media are read.
    """

    utterance_id: str
    dialogue_id: str
    text: str | None = None
    audio: Path | None = None
    faces: tuple[Path, ...] = ()
    video: Path | None = None
    start: float | None = None
    end: float | None = None
    problem: str | None = None


class UtteranceMedia:
    """
    Sound and faces of one utterance, each read once.

    Args:
        utterance: which.
        face_reader: gives the `FaceReader` for videos; called where there is one.
        notes: takes a sentence for everything that a video turns out not to have.
    """

    def __init__(self, utterance: Utterance, face_reader: Callable[[], Any], notes: list[str]):
        self.utterance = utterance
        self.notes = notes
        self._face_reader = face_reader
        self._sound: dict[int, np.ndarray | None] = {}
        self._faces: list[np.ndarray] | None = None

    def sound(self, sampling_rate: int) -> np.ndarray | None:
        """
        Waveform (samples,) float32 at `sampling_rate` Hz; `None` where there is none.

        Raises:
            MediaError: a file that cannot be read, or a sound file without sound.
        """
        if sampling_rate not in self._sound:
            self._sound[sampling_rate] = self._read_sound(sampling_rate)
        return self._sound[sampling_rate]

    def faces(self) -> list[np.ndarray]:
        """
        Face images (H, W, 3) uint8 RGB in order; none where no face is seen.

        Raises:
            MediaError: a file that cannot be read.
        """
        if self._faces is None:
            self._faces = self._read_faces()
        return self._faces

    def _read_sound(self, sampling_rate: int) -> np.ndarray | None:
        one = self.utterance
        source = one.audio or one.video
        if source is None:
            return None
        try:
            return read_audio(source, sampling_rate, one.start, one.end)
        except NoSoundError as error:
            if one.audio is not None:
                raise
            self._note(f"no sound ({error.reason})")
            return None

    def _read_faces(self) -> list[np.ndarray]:
        one = self.utterance
        if one.faces:
            return [read_image(path) for path in one.faces]
        if one.video is None:
            return []
        try:
            track = self._face_reader()(one.video, one.start, one.end)
        except NoVideoError as error:
            self._note(f"no picture ({error.reason})")
            return []
        if track.note or not len(track.images):
            self._note(track.note or "no face found")
        return list(track.images)

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)
