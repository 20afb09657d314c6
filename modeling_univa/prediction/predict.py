# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Predictions on new utterances from their text and raw media."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from transformers.utils import logging

from ..data.schema import CorpusError
from ..models.configuration_emotion import MODALITIES
from ..models.extractor_base_univa import same_extractor
from ..models.faces_univa import FaceReader
from ..models.files_univa import explanation
from ..models.media_univa import MediaError
from ..models.modeling_univa import UnivaForEmotionClassification
from ..models.processing_univa import UnivaProcessor
from .inputs import read_utterances
from .media import Utterance, UtteranceMedia
from .onnx_model import UnivaOnnxModel


__all__ = ["Prediction", "Utterance", "predict", "prediction_table", "read_utterances"]

logger = logging.get_logger(__name__)

# Batches go through the dialogues in order, so that few are needed again.
_PREPARED_DIALOGUES = 64
# What is wrong with one clip, such as one that is too large; the others are predicted all the same.
_OF_ONE_CLIP = (ValueError, MemoryError, RuntimeError)
_NO_TEXT = "no text (give --text, a text file of the clip's name beside it, or --transcribe MODEL)"


@dataclass(frozen=True)
class Prediction:
    """
    What a model says of an utterance.

    Args:
        utterance: which, with the text that was transcribed where none was given.
        scores: probability of every emotion, in the model's order; empty where there is an `error`.
        emotions: those above the model's threshold, likeliest first.
        valence_arousal: (valence, arousal) in [-1, 1] of each modality that a scorer was given for; `None` where the
            utterance has nothing of it.
        notes: what the utterance did not have, one sentence each.
        error: why it could not be predicted.
    """

    utterance: Utterance
    scores: dict[str, float] = field(default_factory=dict)
    emotions: list[str] = field(default_factory=list)
    valence_arousal: dict[str, tuple[float, float] | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    error: str | None = None


def predict(
    model: UnivaForEmotionClassification | UnivaOnnxModel,
    processor: UnivaProcessor,
    utterances: Sequence[Utterance],
    wanted: Iterable[str] | None = None,
    batch_size: int = 16,
    *,
    transcriber: Any = None,
    scorers: Mapping[str, Any] | None = None,
    face_reader: Any = None,
) -> Iterator[Prediction]:
    """
    Predict utterances, each in the context of its whole dialogue.

    An utterance that cannot be predicted (a file that cannot be read, nothing that the model could go by) gives a
    `Prediction` with an `error`, and does not disturb the others.

    Args:
        model, processor: as loaded from one folder; the model also as `univa export` wrote it.
        utterances: of one or more dialogues, those of a dialogue in order.
        wanted: ids of the ones to predict; by default all.
        batch_size: utterances of a batch.
        transcriber: `Transcriber` for utterances without text.
        scorers: by modality, the scorer of valence and arousal (`affect.scorers.load_scorer`).
        face_reader: `FaceReader` for videos where the model names none (it was trained on images of faces); the usual
            one by default.

    Raises:
        CorpusError: an id in `wanted` that is not there.
        ValueError: raw media of a modality that the processor has no extractor for, or another face reader than the
            model's own.
    """
    if batch_size < 1:
        raise ValueError(f"the batch size must be at least 1, got {batch_size}")
    known = {utterance.utterance_id: utterance for utterance in utterances}
    absent = [name for name in wanted or () if name not in known]
    if absent:
        raise CorpusError(f"there is no utterance {absent[0]!r}; the first are {', '.join(list(known)[:3])}")
    chosen = list(utterances) if wanted is None else [known[name] for name in wanted]
    predictor = _Predictor(model, processor, utterances, transcriber, dict(scorers or {}), face_reader)
    predictor.check_extractors(chosen)
    for start in range(0, len(chosen), batch_size):
        yield from predictor.batch(chosen[start : start + batch_size])


@dataclass
class _Ready:
    """An utterance whose text, sound and faces are read, as far as the model or a scorer wants them."""

    utterance: Utterance
    media: UtteranceMedia
    notes: list[str]
    sound: tuple[np.ndarray, int] | None = None
    faces: list[np.ndarray] = field(default_factory=list)


class _Predictor:
    def __init__(
        self,
        model: UnivaForEmotionClassification | UnivaOnnxModel,
        processor: UnivaProcessor,
        utterances: Sequence[Utterance],
        transcriber: Any,
        scorers: dict[str, Any],
        face_reader: Any,
    ):
        self.model, self.processor = model.eval(), processor
        self.transcriber, self.scorers = transcriber, scorers
        self.dialogues: dict[str, list[Utterance]] = {}
        self._places: dict[str, int] = {}
        for utterance in utterances:
            dialogue = self.dialogues.setdefault(utterance.dialogue_id, [])
            self._places[utterance.utterance_id] = len(dialogue)
            dialogue.append(utterance)
        self._prepared: dict[str, Any] = {}
        self._transcripts: dict[str, str | Exception] = {}
        self._given_reader = face_reader
        self._face_reader: Any = None

    def check_extractors(self, utterances: Sequence[Utterance]) -> None:
        """Refuse a model that cannot make features of what is there, before anything is read."""
        kinds = {"audio": ("audio", "video"), "vision": ("faces", "video")}
        for modality, columns in kinds.items():
            given = any(getattr(one, column) for one in utterances for column in columns)
            if modality in self.processor.modalities and given:
                self.processor._extractor(modality)
        own = self.processor.extractors.get("faces")
        if own and self._given_reader is not None and not same_extractor(self._given_reader.to_dict(), own):
            raise ValueError(f"the model was trained on faces that {own} found: leave the face reader out")

    @torch.inference_mode()
    def batch(self, utterances: Sequence[Utterance]) -> Iterator[Prediction]:
        """Predictions of some utterances, in order."""
        found: dict[str, Prediction] = {}
        ready = []
        for utterance in utterances:
            try:
                ready.append(self._read(utterance))
            except _OF_ONE_CLIP as error:
                found[utterance.utterance_id] = Prediction(utterance, error=_reason(utterance, error))
        for prediction in _together(self._predict, ready):
            found[prediction.utterance.utterance_id] = prediction
        yield from (found[utterance.utterance_id] for utterance in utterances)

    def _read(self, utterance: Utterance) -> _Ready:
        if utterance.problem is not None:
            raise ValueError(utterance.problem)
        notes: list[str] = []
        media = UtteranceMedia(utterance, self.face_reader, notes)
        item = _Ready(replace(utterance, text=self._text(utterance, media) or None), media, notes)
        modalities = self.processor.modalities
        if "audio" in modalities and (utterance.audio or utterance.video):
            rate = self.processor._extractor("audio").sampling_rate
            waveform = media.sound(rate)
            item.sound = None if waveform is None else (waveform, rate)
        if "vision" in modalities or "vision" in self.scorers:
            item.faces = media.faces()
        has_text = "text" in modalities and item.utterance.text is not None
        if "text" in modalities and not has_text:
            notes.append(_NO_TEXT)
        if not (has_text or item.sound is not None or ("vision" in modalities and item.faces)):
            reasons = "; ".join(notes) or "neither sound nor face"
            raise ValueError(f"nothing to predict from by {', '.join(modalities)}: {reasons}")
        return item

    def face_reader(self) -> Any:
        """That of the model, or the usual one for a model that was trained on images of faces."""
        if self._face_reader is None:
            if self.processor.extractors.get("faces"):
                self._face_reader = FaceReader.from_dict(self.processor.resolved_extractor("faces"))
            else:
                self._face_reader = self._given_reader or FaceReader()
                logger.warning_once(
                    "The model does not say how faces are found in videos (it was trained on images of faces): they "
                    f"are found by {self._face_reader}."
                )
        return self._face_reader

    def _text(self, utterance: Utterance, media: UtteranceMedia) -> str:
        if utterance.text is not None and utterance.text.strip():
            return utterance.text
        if self.transcriber is None or not {"text"}.intersection((*self.processor.modalities, *self.scorers)):
            return ""
        name = utterance.utterance_id
        if name not in self._transcripts:
            self._transcripts[name] = self._transcribed(media)
        found = self._transcripts[name]
        if isinstance(found, Exception):
            raise found
        return found

    def _transcribed(self, media: UtteranceMedia) -> str | Exception:
        try:
            waveform = media.sound(self.transcriber.sampling_rate)
            return "" if waveform is None else self.transcriber(waveform)
        except _OF_ONE_CLIP as error:
            return error  # not to be tried again for each batch that its dialogue is in

    def _context_text(self, utterance: Utterance) -> str:
        if utterance.problem is not None:
            return utterance.text or ""
        try:
            return self._text(utterance, UtteranceMedia(utterance, self.face_reader, []))
        except _OF_ONE_CLIP:
            return ""  # where this one is to be predicted itself, it says why

    def _predict(self, items: Sequence[_Ready]) -> list[Prediction]:
        if not items:
            return []
        logits = self.model(**self._inputs(items).to(self.model.device)).logits
        affect = {modality: self._affect(modality, items) for modality in MODALITIES if modality in self.scorers}
        return [
            self._prediction(item, probabilities, {modality: values[index] for modality, values in affect.items()})
            for index, (item, probabilities) in enumerate(
                zip(items, self.model.config.probabilities(logits), strict=True)
            )
        ]

    def _inputs(self, items: Sequence[_Ready]) -> Any:
        processor = self.processor
        media: dict[str, list] = {}
        if "audio" in processor.modalities:
            media["audio"] = [item.sound for item in items]
        if "vision" in processor.modalities:
            media["faces"] = [item.faces for item in items]
        if "text" not in processor.modalities:
            return processor(**media)
        names = list(dict.fromkeys(item.utterance.dialogue_id for item in items))
        places = [
            (names.index(item.utterance.dialogue_id), self._places[item.utterance.utterance_id]) for item in items
        ]
        return processor([self._dialogue(name) for name in names], places, **media)

    def _dialogue(self, name: str) -> Any:
        """What the processor takes for a dialogue, prepared once for all the batches that it is in."""
        if name not in self._prepared:
            texts = [self._context_text(one) for one in self.dialogues[name]]
            with_tokens = self.processor.tokenizer is not None
            self._prepared[name] = self.processor.encode_dialogue(texts) if with_tokens else texts
            if len(self._prepared) > _PREPARED_DIALOGUES:
                self._prepared.pop(next(iter(self._prepared)))
        return self._prepared[name]

    def _affect(self, modality: str, items: Sequence[_Ready]) -> list[tuple[float, float] | None]:
        scorer = self.scorers[modality]
        given: list[Any] = [item.utterance.text for item in items]
        if modality == "audio":
            waveforms = [item.media.sound(scorer.sampling_rate) for item in items]
            given = [None if waveform is None else (waveform, scorer.sampling_rate) for waveform in waveforms]
        elif modality == "vision":
            given = [item.faces for item in items]
        return [None if np.isnan(pair).any() else (float(pair[0]), float(pair[1])) for pair in scorer.score(given)]

    def _prediction(
        self, item: _Ready, probabilities: torch.Tensor, affect: dict[str, tuple[float, float] | None]
    ) -> Prediction:
        config = self.model.config
        scores = dict(zip(config.label_names, probabilities.tolist(), strict=True))
        above = [name for name in scores if scores[name] > config.decision_threshold]
        emotions = sorted(above, key=scores.__getitem__, reverse=True)
        return Prediction(item.utterance, scores, emotions, affect, item.notes)


def _together(compute: Callable[[Sequence[_Ready]], list[Prediction]], items: Sequence[_Ready]) -> list[Prediction]:
    """All items at once; should they be refused, one by one, so that only the bad ones are lost."""
    try:
        return compute(items)
    except _OF_ONE_CLIP as error:
        if len(items) == 1:
            item = items[0]
            return [Prediction(item.utterance, notes=item.notes, error=_reason(item.utterance, error))]
    return [prediction for item in items for prediction in _together(compute, [item])]


def _reason(utterance: Utterance, error: Exception) -> str:
    """Why an utterance could not be predicted, beginning with the file where the id does not name it already."""
    if isinstance(error, MediaError) and error.source == utterance.utterance_id:
        return error.reason
    return str(error) if isinstance(error, ValueError) and str(error) else explanation(error)


def prediction_table(predictions: Sequence[Prediction], threshold: float) -> str:
    """The predictions as aligned text: id, all scores, valence/arousal by modality, emotions above the threshold."""
    if not predictions:
        return "nothing to predict"
    good = next((item for item in predictions if item.error is None), Prediction(predictions[0].utterance))
    modalities = list(good.valence_arousal)
    width = max(len("utterance"), *(len(item.utterance.utterance_id) for item in predictions))
    widths = {name: max(10, len(name) + 2) for name in good.scores}
    columns = [*(f"{name:>{widths[name]}}" for name in good.scores), *(f"{name + ' V/A':>14}" for name in modalities)]
    lines = [f"{'utterance':<{width}}{''.join(columns)}  emotions (> {threshold:g})"]
    for item in predictions:
        name = f"{item.utterance.utterance_id:<{width}}"
        if item.error is not None:
            lines.append(f"{name}  not predicted: {item.error}")
            continue
        cells = [f"{score:>{widths[label]}.3f}" for label, score in item.scores.items()]
        cells += [_affect_cell(item.valence_arousal[modality]) for modality in modalities]
        lines.append(f"{name}{''.join(cells)}  {', '.join(item.emotions) or '-'}")
    return "\n".join(lines)


def _affect_cell(pair: tuple[float, float] | None) -> str:
    return f"{'-':>14}" if pair is None else f"{f'{pair[0]:+.2f} {pair[1]:+.2f}':>14}"
