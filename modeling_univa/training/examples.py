# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A few clips at the end of a run: the transcript, what is true, what is predicted, and the scores as bars."""

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import TextIO

import datasets
import numpy as np

from ..models.configuration_emotion import EmotionConfig
from ..models.files_univa import one_line
from ..options import counted
from ..prediction.score_bars import Marks, marks_for, score_legend, score_lines, screen_width
from ..scores.predictions import Predictions
from ..scores.thresholds import Threshold, predicted_labels


__all__ = ["choose_examples", "example_texts", "examples_screen"]

_SHOWN, _EMOTIONS_SHOWN = 3, 4
# Whether rows are right, whether they have a label, and how many rows there are after them.
_STEPS = (
    (False, True, 1),
    (False, False, 1),
    (True, True, _SHOWN),
    (False, True, _SHOWN),
    (True, False, _SHOWN),
    (False, False, _SHOWN),
)
_NOTES = {(True, True): "true, predicted", (True, False): "true, missed", (False, True): "predicted, not true"}


def choose_examples(found: Predictions, threshold: Threshold) -> list[int]:
    """
    Places of three rows, in order: the first two that are predicted as they are labelled and the first that is not,
    as far as there are such; of different dialogues and labels before others.

    A row without a label shows little, and is only taken where there are no others.

    Args:
        found: scores and labels of the rows.
        threshold: a label is predicted where its score is greater; one for all labels, or one each.
    """
    labels = np.asarray(found.labels, dtype=bool)
    right = (predicted_labels(found.scores, threshold) == labels).all(axis=1)
    places = {
        (is_right, has_label): np.flatnonzero((right == is_right) & (labels.any(axis=1) == has_label)).tolist()
        for is_right in (True, False)
        for has_label in (True, False)
    }
    chosen: list[int] = []
    for is_right, has_label, most in _STEPS:
        chosen = _varied(places[is_right, has_label], found, chosen, most)
    return sorted(chosen)


def _varied(places: Sequence[int], found: Predictions, chosen: Sequence[int], most: int) -> list[int]:
    """Some places and further ones up to a number: those first that are like none of them."""
    taken = list(chosen)
    for is_like in (_is_like, lambda *_: False):
        for place in places:
            if len(taken) < most and place not in taken and not any(is_like(found, place, other) for other in taken):
                taken.append(place)
    return taken


def _is_like(found: Predictions, place: int, other: int) -> bool:
    same_dialogue = found.dialogue_ids[place] == found.dialogue_ids[other]
    return same_dialogue or bool((found.labels[place] == found.labels[other]).all())


def example_texts(rows: datasets.Dataset, utterance_ids: Sequence[str]) -> dict[str, str]:
    """
    The transcripts of some rows of a split, by their ids.

    Args:
        rows: the split.
        utterance_ids: of rows of it.
    """
    wanted, ids = set(utterance_ids), rows["utterance_id"]
    places = [place for place, name in enumerate(ids) if name in wanted]
    small = rows.select_columns(["utterance_id", "text"]).with_format(None).select(places)
    return {row["utterance_id"]: row["text"] for row in small}


def examples_screen(
    found: Predictions,
    texts: Mapping[str, str],
    config: EmotionConfig,
    label_names: Sequence[str],
    threshold: Threshold,
    split: str,
    stream: TextIO,
) -> str:
    """
    Some rows for a terminal.

    Args:
        found: scores and labels of the rows, all of which are shown.
        texts: the transcripts, by the id of the utterance.
        config: of the model.
        label_names: of the columns of scores and labels.
        threshold: of all labels, or of each.
        split: its name.
        stream: where it is printed, whose encoding says what bars are made of.
    """
    marks, width = marks_for(stream), screen_width()
    predicted = predicted_labels(found.scores, threshold)
    wrong = int((predicted != found.labels.astype(bool)).any(axis=1).sum())
    lines = [f"{counted(len(predicted), 'clip')} of {split}, {len(predicted) - wrong} right and {wrong} wrong", ""]
    limits = threshold if isinstance(threshold, list) else [threshold] * len(label_names)
    for place, name in enumerate(found.utterance_ids):
        notes = {
            label: _NOTES[bool(holds), bool(says)]
            for label, holds, says in zip(label_names, found.labels[place], predicted[place], strict=True)
            if holds or says
        }
        scores = dict(zip(label_names, found.scores[place].tolist(), strict=True))
        lines += _head(name, texts.get(name, ""), notes, marks, width)
        lines += [*score_lines(scores, limits, marks, width, notes, _EMOTIONS_SHOWN), ""]
    return "\n".join([*lines, *score_legend(config, threshold, marks, width)])


def _head(name: str, text: str, notes: Mapping[str, str], marks: Marks, width: int) -> list[str]:
    """Id, sentence, truth and prediction."""
    opening, closing = marks.quotes[0], marks.quotes[1]
    said = shorten(one_line(text), width - 2, placeholder=f" {marks.more}")
    truth = [label for label, note in notes.items() if note.startswith("true")]
    predicted = [label for label, note in notes.items() if "predicted" in note]
    lines = [
        f"{one_line(name)}: {'right' if truth == predicted else 'wrong'}",
        f"{opening}{said}{closing}" if said else "(no transcript)",
    ]
    for what, labels in (("truth", truth), ("predicted", predicted)):
        lines.append(f"  {what:<9}  {shorten(one_line(', '.join(labels)) or '-', width - 13, placeholder=marks.more)}")
    return lines
