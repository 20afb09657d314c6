# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Inputs of the pipeline: what each may hold, and which of them are one dialogue."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from mimetypes import guess_type
from typing import Any

import numpy as np

from .configuration_emotion import FACE_EMOTIONS, MODALITIES


FEATURES = (*(f"{modality}_features" for modality in MODALITIES), FACE_EMOTIONS)
_CONTENT = ("text", "audio", "video", "faces", *FEATURES)
_DETAILS = ("utterance", "sampling_rate", "start", "end", "speaker", "dialogue_id", "position")
OF_MEDIA = ("audio", "faces", "video", "start", "end", "sampling_rate")
# Columns of a corpus that say nothing about what to predict from.
_ROW_COLUMNS = ("utterance_id", "emotions", "text_states", *(f"{modality}_va" for modality in MODALITIES))


@dataclass
class PreparedInput:
    """An utterance whose media are read."""

    dialogue: tuple[str, ...]
    place: int
    start: float
    # Who speaks the utterances of the dialogue.
    speakers: tuple[Any, ...]
    # Where it is in its dialogue, if that is not its place.
    position: int | None = None
    # Tells its dialogue from others with the same text, where that matters.
    dialogue_id: Any = None
    # What messages call it.
    name: str = "the input"
    # By modality, what its extractor takes.
    raw: dict[str, Any] = field(default_factory=dict)
    # Made of `raw` when the utterance goes through the model, but for those that came as features.
    features: dict[str, np.ndarray | None] = field(default_factory=dict)
    # By modality, (start, end) of each frame in seconds, where it is known.
    times: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    # By modality, what its scorer of valence and arousal is given.
    scored: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Its transcript."""
        return self.dialogue[self.place]

    @property
    def key(self) -> Any:
        """What the utterances of a dialogue have in common."""
        return self.dialogue if self.dialogue_id is None else self.dialogue_id


def checked_input(given: Any) -> dict[str, Any]:
    """An input as a dictionary of what it has. Raises `ValueError` where it is none, or has something unknown."""
    item = {"text": given} if isinstance(given, str) else given
    if isinstance(given, str) and _names_media(given):
        raise ValueError(
            f"A string is a transcript, but {given!r} names a file: pass it as {{'video': …}}, {{'audio': …}} or "
            f"{{'faces': …}}, or as {{'text': …}} if it is a transcript."
        )
    if not isinstance(item, Mapping):
        raise ValueError(
            f"An input is a string or a dict with any of {', '.join(_CONTENT)}, got {type(given).__name__}."
        )
    unknown = sorted(set(item) - {*_CONTENT, *_DETAILS, *_ROW_COLUMNS})
    if unknown:
        raise ValueError(
            f"An input has {unknown[0]!r}, which is unknown; it takes {', '.join((*_CONTENT, *_DETAILS))}."
        )
    return {name: value for name, value in item.items() if value is not None}


def _names_media(given: str) -> bool:
    """Whether a bare string is the path or URL of a recording, which other pipelines of transformers take."""
    kind = guess_type(given)[0] or ""
    return len(given.split()) == 1 and kind.split("/")[0] in ("audio", "video", "image")


def dialogue_of(item: Mapping[str, Any]) -> tuple[tuple[str, ...], int]:
    """The transcripts of the dialogue of an input, and the index of its own utterance. Raises `ValueError`."""
    text = item.get("text", "")
    dialogue = (text,) if isinstance(text, str) else tuple(text) if isinstance(text, Sequence) else ()
    if not dialogue or not all(isinstance(utterance, str) for utterance in dialogue):
        raise ValueError(f"`text` must be a string, or a dialogue as the list of its utterances, got {text!r}.")
    place = item.get("utterance", len(dialogue) - 1)
    if not isinstance(place, int) or not -len(dialogue) <= place < len(dialogue):
        raise ValueError(f"`utterance` must be the index of one of the {len(dialogue)} utterances, got {place!r}.")
    return tuple(utterance if utterance.strip() else "" for utterance in dialogue), place % len(dialogue)


def place_of(item: Mapping[str, Any], dialogue: Sequence[str], place: int) -> dict[str, Any]:
    """Which dialogue an input is of, where in it, and who speaks there. Raises `ValueError`."""
    name, speaker = item.get("dialogue_id"), item.get("speaker")
    speakers: list[Any] = [None] * len(dialogue)
    if isinstance(speaker, Sequence) and not isinstance(speaker, str):
        if len(speaker) != len(dialogue):
            raise ValueError(
                f"`speaker` must have a name (or `None`) for each of the {len(dialogue)} utterances of `text`, got "
                f"{speaker!r}."
            )
        speakers = list(speaker)
    else:
        speakers[place] = speaker
    return {
        "dialogue_id": None if name is None else str(name),
        "position": _position(item.get("position")),
        "speakers": speakers,
    }


def _position(given: Any) -> int | None:
    # A column of a data frame has NaN where nothing is known.
    if given is None or given != given:
        return None
    try:
        position = int(given)
    except (TypeError, ValueError):
        position = -1
    if position < 0 or position != given:
        raise ValueError(f"`position` must count the utterances of a dialogue from 0, got {given!r}.")
    return position


def named_inputs(batches: Iterable[list[PreparedInput]]) -> Iterator[list[PreparedInput]]:
    """The items with the names that messages call them."""
    done = 0
    for batch in batches:
        for number, item in enumerate(batch, start=done):
            item.name = f"input {number}"
        done += len(batch)
        yield batch


def dialogues_of(items: Iterable[PreparedInput]) -> Iterator[list[PreparedInput]]:
    """
    Items that follow each other and are of one dialogue, each with all that they say of it together.

    Raises:
        ValueError: there is more of a dialogue after another one.
    """
    ended: set[Any] = set()
    dialogue: list[PreparedInput] = []
    for item in items:
        if dialogue and not _continues(item, dialogue):
            ended.add(_name_of_rows(dialogue[0]))
            yield _joined(dialogue)
            dialogue = []
        name = _name_of_rows(item)
        if not dialogue and name is not None and name in ended:
            raise ValueError(
                f"{item.name} is of the dialogue {name!r}, and so are inputs before it that other dialogues follow: "
                "sort the inputs by dialogue."
            )
        dialogue.append(item)
    if dialogue:
        yield _joined(dialogue)


def _name_of_rows(item: PreparedInput) -> Any:
    """The dialogue of an input that has its own text alone, such as a row of a corpus."""
    return item.dialogue_id if len(item.dialogue) == 1 else None


def _continues(item: PreparedInput, dialogue: Sequence[PreparedInput]) -> bool:
    """Whether an item is of the same dialogue as those before it."""
    last = dialogue[-1]
    if len(item.dialogue) == 1 or len(last.dialogue) == 1:
        return _name_of_rows(item) is not None and _name_of_rows(item) == _name_of_rows(last)
    is_same = item.dialogue == last.dialogue and item.dialogue_id == last.dialogue_id
    return is_same and all(item.place != one.place for one in dialogue)


def _joined(items: list[PreparedInput]) -> list[PreparedInput]:
    texts = items[0].dialogue
    if len(texts) == 1:
        texts, speakers = zip(*((item.text, item.speakers[0]) for item in items), strict=True)
        for place, item in enumerate(items):
            item.place = place
    else:
        said = zip(*(item.speakers for item in items), strict=True)
        speakers = tuple(next((name for name in names if name is not None), None) for names in said)
    # Other dialogues may have the same text, and no name.
    dialogue_id = object()
    for item in items:
        item.dialogue, item.speakers, item.dialogue_id = texts, speakers, dialogue_id
    return items


def packed_dialogues(dialogues: Iterable[list[PreparedInput]], batch_size: int) -> Iterator[list[PreparedInput]]:
    """Whole dialogues in batches of at most that many utterances, those that are not an input among them."""
    batch: list[PreparedInput] = []
    size = 0
    for dialogue in dialogues:
        if batch and size + len(dialogue[0].dialogue) > batch_size:
            yield batch
            batch, size = [], 0
        batch, size = batch + dialogue, size + len(dialogue[0].dialogue)
    if batch:
        yield batch


__all__ = [
    "FEATURES",
    "OF_MEDIA",
    "PreparedInput",
    "checked_input",
    "dialogue_of",
    "dialogues_of",
    "named_inputs",
    "packed_dialogues",
    "place_of",
]
