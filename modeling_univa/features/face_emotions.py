# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Probabilities of expressions beside the face features, made of the same faces in one go and cut off at the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..data.schema import FACE_EMOTIONS, CorpusError
from ..models.extractor_base_univa import Extractor


__all__ = ["FacesAndEmotions", "check_face_emotions", "with_emotions", "without_emotions"]


@dataclass(frozen=True)
class FacesAndEmotions:
    """
    Two extractors of faces as one: each frame has the face features, and the probabilities of expressions after them.

    Args:
        parts: That of the features, and that of the probabilities.
    """

    modality: ClassVar[str] = "vision"
    extractor_type: ClassVar[str] = "faces-and-emotions"

    parts: tuple[Extractor, Extractor]

    @property
    def feature_size(self) -> int:
        """Numbers in one frame."""
        return sum(part.feature_size for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """What made the features; a corpus keeps what made the probabilities beside it."""
        return self.parts[0].to_dict()

    def extract_batch(self, items: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
        """
        Frames of several face sequences.

        Raises:
            ValueError: There is not one frame of features a face.
        """
        made = [part.extract_batch(items) for part in self.parts]
        for faces, frames in zip(items, made[0], strict=True):
            if len(frames) != len(faces):
                raise ValueError(
                    f"`face_emotions` are of single faces, and {self.parts[0].extractor_type} makes {len(frames)} "
                    f"frames of {len(faces)} faces: choose a `vision_extractor` of one frame a face, or leave "
                    "`face_emotions` out"
                )
        return [np.concatenate(frames, axis=1) for frames in zip(*made, strict=True)]


def check_face_emotions(extractors: Mapping[str, Any]) -> None:
    """Refuse probabilities of expressions without the face features that they stand beside, with a `CorpusError`."""
    if FACE_EMOTIONS in extractors and "vision" not in extractors:
        raise CorpusError(
            "`face_emotions` stand beside the frames of face features, frame by frame: make those too, by a "
            "`vision_extractor`"
        )


def with_emotions(extractors: Mapping[str, Extractor]) -> dict[str, Any]:
    """The extractors by modality, that of the probabilities as a part of that of the faces."""
    check_face_emotions(extractors)
    found = dict(extractors)
    emotions = found.pop(FACE_EMOTIONS, None)
    if emotions is not None:
        found["vision"] = FacesAndEmotions((found["vision"], emotions))
    return found


def without_emotions(made: dict[str, Any], extractors: Mapping[str, Extractor]) -> dict[str, Any]:
    """What was made by `with_emotions(extractors)`, with the probabilities for themselves, `None` without a face."""
    if FACE_EMOTIONS not in extractors or "vision" not in made:
        return made
    frames, size = made["vision"], extractors["vision"].feature_size
    if not isinstance(frames, np.ndarray):
        return {**made, FACE_EMOTIONS: None}
    return {**made, "vision": frames[:, :size], FACE_EMOTIONS: frames[:, size:]}
