# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The columns of a built corpus as types of datasets, which who predicts clips need not import."""

from collections.abc import Collection, Sequence
from typing import Any

from datasets import ClassLabel, Features, List, Value

from ..models.configuration_emotion import MODALITIES
from .schema import (
    FACE_EMOTIONS,
    MEDIA_COLUMNS,
    TIME_COLUMNS,
    CorpusError,
    check_label_names,
    feature_column,
)


__all__ = ["row_features"]


def row_features(
    label_names: Sequence[str],
    *,
    audio_feature_size: int | None = None,
    vision_feature_size: int | None = None,
    text_feature_size: int | None = None,
    face_emotion_size: int | None = None,
    media: Collection[str] = (),
    times: Collection[str] = (),
) -> Features:
    """Columns of a built corpus.

    Args:
        label_names: The emotions, in the order of the model's outputs.
        audio_feature_size, vision_feature_size, text_feature_size: Width of a frame (of a word vector for text);
            without one the corpus has no features of that modality.
        face_emotion_size: Number of expressions of which each face frame has the probabilities, if it has any.
        media: Which of `MEDIA_COLUMNS` the corpus has.
        times: Which of `TIME_COLUMNS` it has.

    Raises:
        CorpusError: No label, a label twice, or an unknown media or time column.
    """
    check_label_names(label_names)
    for given, known in ((media, MEDIA_COLUMNS), (times, TIME_COLUMNS)):
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise CorpusError(f"unknown media column {unknown[0]!r}; known are {', '.join(known)}")
    columns: dict[str, Any] = {
        "utterance_id": Value("string"),
        "dialogue_id": Value("string"),
        "position": Value("int32"),
        "speaker": Value("string"),
        "text": Value("string"),
        "emotions": List(ClassLabel(names=list(label_names))),
    }
    for column in MEDIA_COLUMNS:
        if column in media:
            columns[column] = List(Value("string")) if column == "faces" else Value("string")
    columns.update({column: Value("float64") for column in TIME_COLUMNS if column in times})
    sizes = {
        "audio": audio_feature_size, "vision": vision_feature_size, "text": text_feature_size,
        FACE_EMOTIONS: face_emotion_size,
    }  # fmt: skip
    for name, size in sizes.items():
        if size is not None:
            columns[feature_column(name)] = List(List(Value("float16"), length=size))
    for modality in MODALITIES:
        columns[f"{modality}_va"] = List(Value("float32"), length=2)
    return Features(columns)
