# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Predictions on new utterances from their text and raw media."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from .data.schema import CorpusError
from .data.tables import csv_rows
from .modeling_univa import UnivaForEmotionClassification
from .processing_univa import UnivaProcessor


__all__ = ["Prediction", "Utterance", "predict", "prediction_table", "read_utterances"]


@dataclass(frozen=True)
class Utterance:
    """
    One utterance to predict.

    Args:
        utterance_id, dialogue_id: its name, and that of the dialogue that gives it context.
        text: the transcript.
        audio: sound file, `None` without sound.
        faces: image files of its faces, in order.
    """

    utterance_id: str
    dialogue_id: str
    text: str
    audio: Path | None = None
    faces: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """
    What a model says of an utterance.

    Args:
        utterance: which.
        scores: softmax probability of every emotion, in the model's order.
        emotions: those above the model's threshold, likeliest first.
    """

    utterance: Utterance
    scores: dict[str, float]
    emotions: list[str] = field(default_factory=list)


def read_utterances(metadata: Path) -> list[Utterance]:
    """
    Utterances of a metadata csv (columns utterance_id, dialogue_id, text and, optionally, audio and faces).

    Media paths are relative to the csv's folder, or to the folder above where the csv lies in one called `metadata`.

    Raises:
        CorpusError: the file cannot be read, or a column is missing.
    """
    root = metadata.parent.parent if metadata.parent.name == "metadata" else metadata.parent
    utterances = []
    for _, cells in csv_rows(metadata, ("utterance_id", "dialogue_id", "text")):
        faces = tuple(root / path for path in cells.get("faces", "").split(";") if path)
        audio = root / cells["audio"] if cells.get("audio") else None
        utterances.append(Utterance(cells["utterance_id"], cells["dialogue_id"], cells["text"], audio, faces))
    return utterances


@torch.inference_mode()
def predict(
    model: UnivaForEmotionClassification,
    processor: UnivaProcessor,
    utterances: Sequence[Utterance],
    wanted: Iterable[str] | None = None,
    batch_size: int = 16,
) -> Iterator[Prediction]:
    """
    Predict utterances, each in the context of its whole dialogue.

    Args:
        model, processor: as loaded from one folder.
        utterances: of one or more dialogues, those of a dialogue in order.
        wanted: ids of the ones to predict; by default all.
        batch_size: utterances of a batch.

    Raises:
        CorpusError: an id in `wanted` that is not there.
        MediaError: a media file that cannot be read.
    """
    known = {utterance.utterance_id: utterance for utterance in utterances}
    absent = [name for name in wanted or () if name not in known]
    if absent:
        raise CorpusError(f"there is no utterance {absent[0]!r}; the first are {', '.join(list(known)[:3])}")
    chosen = utterances if wanted is None else [known[name] for name in wanted]
    dialogues: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        dialogues.setdefault(utterance.dialogue_id, []).append(utterance)
    model.eval()
    for start in range(0, len(chosen), batch_size):
        batch = chosen[start : start + batch_size]
        inputs = _model_inputs(processor, dialogues, batch).to(model.device)
        for utterance, probabilities in zip(batch, model(**inputs).logits.float().softmax(-1), strict=True):
            yield _prediction(model, utterance, probabilities)


def _model_inputs(processor: UnivaProcessor, dialogues: dict[str, list[Utterance]], batch: Sequence[Utterance]):
    media: dict[str, list] = {}
    if "audio" in processor.modalities:
        media["audio"] = [utterance.audio for utterance in batch]
    if "vision" in processor.modalities:
        media["faces"] = [utterance.faces for utterance in batch]
    if processor.tokenizer is None:
        return processor(**media)
    names = list(dict.fromkeys(utterance.dialogue_id for utterance in batch))
    texts = [[utterance.text for utterance in dialogues[name]] for name in names]
    places = [(names.index(item.dialogue_id), dialogues[item.dialogue_id].index(item)) for item in batch]
    return processor(texts, places, **media)


def _prediction(model: UnivaForEmotionClassification, utterance: Utterance, probabilities: torch.Tensor) -> Prediction:
    scores = dict(zip(model.config.label_names, probabilities.tolist(), strict=True))
    above = [name for name in scores if scores[name] > model.config.decision_threshold]
    return Prediction(utterance, scores, sorted(above, key=scores.__getitem__, reverse=True))


def prediction_table(predictions: Sequence[Prediction], threshold: float) -> str:
    """The predictions as aligned text: id, all scores, emotions above the threshold."""
    if not predictions:
        return "nothing to predict"
    names = list(predictions[0].scores)
    width = max(len("utterance"), *(len(item.utterance.utterance_id) for item in predictions))
    lines = [f"{'utterance':<{width}}" + "".join(f"{name:>10}" for name in names) + f"  emotions (> {threshold:g})"]
    for item in predictions:
        scores = "".join(f"{item.scores[name]:>10.3f}" for name in names)
        lines.append(f"{item.utterance.utterance_id:<{width}}{scores}  {', '.join(item.emotions) or '-'}")
    return "\n".join(lines)
