# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Predictions on new utterances from their text and raw media."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TextIO

import numpy as np

from ..corpora.precomputed_features import storable_frames
from ..data.feature_files import read_frames
from ..data.schema import FACE_EMOTIONS, CorpusError
from ..features.workers import check_workers
from ..models.configuration_emotion import EmotionConfig
from ..models.faces_univa import FaceReader, FaceTrack
from ..models.files_univa import explanation
from ..models.media_univa import MediaError
from ..models.modeling_emotion import EmotionModel
from ..models.pipeline_univa import UnivaPipeline
from ..models.processing_univa import UnivaProcessor
from ..models.utterance_media_univa import UtteranceMedia
from ..scores.thresholds import Threshold, relative_score, threshold_text
from .inputs import Utterance, read_utterances
from .onnx_model import UnivaOnnxModel
from .read_ahead import ReadAhead, media_of
from .score_bars import Marks, marks_for, score_legend, score_lines, screen_width


__all__ = ["Prediction", "Utterance", "predict", "prediction_screen", "prediction_table", "read_utterances"]

# What is wrong with one clip, such as one that is too large; the others are predicted all the same.
_OF_ONE_CLIP = (ValueError, MemoryError, RuntimeError)
# Of more clips bars would fill screens.
_CLIPS_WITH_BARS = 5
_NO_TEXT = "no text (pass `text`, a text file of the clip's name beside it, or `transcribe`)"


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
        notes: what the utterance did not have, one sentence each; and whose face was followed where there were others,
            or it was seen for a part of the clip.
        error: why it could not be predicted.
        face: which face of a video was followed, without its images; `None` where none was, or no video was read.
    """

    utterance: Utterance
    scores: dict[str, float] = field(default_factory=dict)
    emotions: list[str] = field(default_factory=list)
    valence_arousal: dict[str, tuple[float, float] | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    error: str | None = None
    face: FaceTrack | None = field(default=None, repr=False)


def predict(
    model: EmotionModel | UnivaOnnxModel,
    processor: UnivaProcessor,
    utterances: Sequence[Utterance],
    wanted: Iterable[str] | None = None,
    batch_size: int = 16,
    *,
    transcriber: Any = None,
    scorers: Mapping[str, Any] | None = None,
    face_reader: FaceReader | None = None,
    workers: int = 0,
) -> Iterator[Prediction]:
    """
    Predict utterances by the pipeline of the model, each in the context of its whole dialogue. A model that reads
    across utterances gets whole dialogues, also where some of their utterances are not wanted.

    An utterance that cannot be predicted (a file that cannot be read, nothing that the model could go by) gives a
    `Prediction` with an `error`, and does not disturb the others.

    Args:
        model, processor: as loaded from one folder; the model also as `univa export` wrote it.
        utterances: of one or more dialogues, those of a dialogue in order.
        wanted: ids of the ones to predict; by default all.
        batch_size: utterances of a batch; a model that reads across utterances may get longer dialogues.
        transcriber: `Transcriber` for utterances without text.
        scorers: by modality, the scorer of valence and arousal; see `va_scorers` of [`UnivaPipeline`].
        face_reader: `FaceReader` for videos where the model names none (it was trained on images of faces); the usual
            one by default.
        workers: processes that read the media of several clips, where that takes longer than to start them; with 0 or
            1 they are read here, one after the other.

    Raises:
        CorpusError: an id in `wanted` that is not there, or `workers` below 0.
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
    classifier = UnivaPipeline(
        model=model.eval(),
        processor=processor,
        va_scorers=scorers,
        face_reader=face_reader,
        device=None if getattr(model, "hf_device_map", None) else model.device,
    )
    check_workers(workers)
    ahead = ReadAhead(classifier, transcriber, workers if len(chosen) > 1 else 0)
    predictor = _Predictor(classifier, utterances, transcriber, ahead)
    predictor.check_extractors(chosen)
    with contextlib.closing(ahead):
        batches = list(predictor.batches(chosen, batch_size))
        for batch, following in zip(batches, [*batches[1:], ()], strict=True):
            yield from predictor.batch(batch, following)


@dataclass
class _Ready:
    """An utterance whose media are read, for the pipeline."""

    utterance: Utterance
    media: UtteranceMedia
    notes: list[str]
    prepared: Any


class _Predictor:
    def __init__(self, classifier: UnivaPipeline, utterances: Sequence[Utterance], transcriber: Any, ahead: ReadAhead):
        self.classifier, self.transcriber, self.ahead = classifier, transcriber, ahead
        self.dialogues: dict[str, list[Utterance]] = {}
        self._places: dict[str, int] = {}
        for utterance in utterances:
            dialogue = self.dialogues.setdefault(utterance.dialogue_id, [])
            self._places[utterance.utterance_id] = len(dialogue)
            dialogue.append(utterance)
        self._texts: dict[str, tuple[str, ...]] = {}
        self._transcripts: dict[str, str | Exception] = {}

    @property
    def _reads_text(self) -> bool:
        return "text" in self.classifier.processor.modalities

    def check_extractors(self, utterances: Sequence[Utterance]) -> None:
        """Refuse a model that cannot make features of what is there, before anything is read."""
        kinds = {"audio": ("audio", "video"), "vision": ("faces", "video"), FACE_EMOTIONS: ("faces", "video")}
        for modality, columns in kinds.items():
            from_media = (one for one in utterances if modality not in one.features)
            given = any(getattr(one, column) for one in from_media for column in columns)
            if modality in self.classifier.processor.extracted_sizes and given:
                self.classifier.processor.extractor(modality)

    def batches(self, utterances: Sequence[Utterance], size: int) -> Iterator[Sequence[Utterance]]:
        """The utterances in order, that many at a time, counting all of a dialogue where the model reads all of it."""
        if not self.classifier.reads_dialogues:
            yield from (utterances[start : start + size] for start in range(0, len(utterances), size))
            return
        batch: list[Utterance] = []
        read: dict[str, int] = {}
        for utterance in utterances:
            name, length = utterance.dialogue_id, len(self.dialogues[utterance.dialogue_id])
            if batch and name not in read and sum(read.values()) + length > size:
                yield batch
                batch, read = [], {}
            batch.append(utterance)
            read[name] = length
        if batch:
            yield batch

    def _to_read(self, utterances: Sequence[Utterance]) -> Sequence[Utterance]:
        if not self.classifier.reads_dialogues:
            return utterances
        names = dict.fromkeys(utterance.dialogue_id for utterance in utterances)
        return [utterance for name in names for utterance in self.dialogues[name]]

    def batch(self, utterances: Sequence[Utterance], following: Sequence[Utterance] = ()) -> Iterator[Prediction]:
        """Predictions of some utterances, in order; those that follow are read meanwhile."""
        found: dict[str, Prediction] = {}
        ready = []
        wanted = self._to_read(utterances)
        self.ahead.begin(wanted, self._to_read(following))
        for utterance in wanted:
            media = media_of(utterance, self.classifier)
            try:
                media = self.ahead.media(utterance)
                ready.append(self._read(utterance, media))
            except _OF_ONE_CLIP as error:
                found[utterance.utterance_id] = self._failed(utterance, media, error)
        for prediction in self._together(ready):
            found[prediction.utterance.utterance_id] = prediction
        yield from (found[utterance.utterance_id] for utterance in utterances)

    def _read(self, utterance: Utterance, media: UtteranceMedia) -> _Ready:
        if utterance.problem is not None:
            raise ValueError(utterance.problem)
        text, place = self._text(utterance, media), self._places[utterance.utterance_id]
        others = self.dialogues[utterance.dialogue_id]
        silent = ("",) * place + (text,) + ("",) * (len(others) - place - 1)
        features, notes = _features_of(utterance)
        prepared = self.classifier.read(
            self._dialogue(utterance.dialogue_id) if self._reads_text else silent,
            place,
            media,
            features,
            return_va=bool(self.classifier.va_scorers),
            speakers=[one.speaker for one in others],
            dialogue_id=utterance.dialogue_id,
        )
        return _Ready(replace(utterance, text=text or None), media, notes, prepared)

    def _text(self, utterance: Utterance, media: UtteranceMedia) -> str:
        if utterance.text is not None and utterance.text.strip():
            return utterance.text
        if self.transcriber is None or not (self._reads_text or "text" in self.classifier.va_scorers):
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

    def _dialogue(self, name: str) -> tuple[str, ...]:
        """The transcripts of a dialogue, the same object for all of its utterances."""
        if name not in self._texts:
            self._texts[name] = tuple(self._context_text(one) for one in self.dialogues[name])
        return self._texts[name]

    def _context_text(self, utterance: Utterance) -> str:
        if utterance.problem is not None:
            return utterance.text or ""
        try:
            return self._text(utterance, media_of(utterance, self.classifier))
        except _OF_ONE_CLIP:
            return ""  # where this one is to be predicted itself, it says why

    def _together(self, items: Sequence[_Ready]) -> list[Prediction]:
        """All items at once; should they be refused, one by one, so that only the bad ones are lost."""
        if not items:
            return []
        try:
            outputs = self.classifier.forward(
                [item.prepared for item in items], return_va=bool(self.classifier.va_scorers)
            )
            return [self._prediction(item, output) for item, output in zip(items, outputs, strict=True)]
        except _OF_ONE_CLIP as error:
            if len(items) == 1:
                return [self._failed(items[0].utterance, items[0].media, error)]
            problem = error
        if not self.classifier.reads_dialogues:
            return [prediction for item in items for prediction in self._together([item])]
        dialogues: dict[str, list[_Ready]] = {}
        for item in items:
            dialogues.setdefault(item.utterance.dialogue_id, []).append(item)
        if len(dialogues) == 1:
            return self._without_the_bad(items, problem)
        return [prediction for dialogue in dialogues.values() for prediction in self._together(dialogue)]

    def _without_the_bad(self, items: Sequence[_Ready], problem: Exception) -> list[Prediction]:
        """The utterances of a dialogue that was refused; those that are refused alone stand there as text alone."""
        alone = {id(item): self._together([item])[0] for item in items}
        good = [item for item in items if alone[id(item)].error is None]
        if len(good) == len(items):
            return [self._failed(item.utterance, item.media, problem) for item in items]
        return [*(one for one in alone.values() if one.error is not None), *self._together(good)]

    def _prediction(self, item: _Ready, output: dict[str, Any]) -> Prediction:
        config = self.classifier.model.config
        found = self.classifier.postprocess(output, threshold=None)
        emotions = found if isinstance(found, list) else found["emotions"]
        affect = {} if isinstance(found, list) else found["valence_arousal"]
        scores = {one["label"]: one["score"] for one in emotions}
        limits = dict(zip(config.label_names, config.label_thresholds, strict=True))
        return Prediction(
            item.utterance,
            {label: scores[label] for label in config.label_names},
            [label for label, score in scores.items() if score > limits[label]],
            {modality: pair and (pair["valence"], pair["arousal"]) for modality, pair in affect.items()},
            [*self._notes(item.utterance, item.media), *item.notes],
            face=_followed(item.media),
        )

    def _failed(self, utterance: Utterance, media: UtteranceMedia, error: Exception) -> Prediction:
        return Prediction(utterance, notes=self._notes(utterance, media), error=_reason(utterance, error))

    def _notes(self, utterance: Utterance, media: UtteranceMedia) -> list[str]:
        """What the utterance lacks, beginning with the file where the id does not name it already."""
        notes = [note.reason if note.source == utterance.utterance_id else str(note) for note in media.notes.values()]
        face = _followed(media)
        if face is not None and face.is_partial:
            notes.append(str(face.whose))
        without_text = self._reads_text and not (utterance.text or "").strip() and utterance.problem is None
        return [*notes, _NO_TEXT] if without_text else notes


def _followed(media: UtteranceMedia) -> FaceTrack | None:
    """The face of a video that was read for a prediction."""
    found = media.followed
    return None if found is None or not found.times else replace(found, images=[])


def _features_of(utterance: Utterance) -> tuple[dict[str, np.ndarray], list[str]]:
    """Features of the files that an utterance names, as a corpus holds them, and what is to be said of them."""
    features, notes = {}, []
    for modality, path in utterance.features.items():
        held, replaced = storable_frames(None if path is None else read_frames(path).values)
        features[f"{modality}_features"] = np.zeros((0, 0), np.float16) if held is None else held.astype(np.float16)
        if replaced:
            notes.append(f"{path}: {replaced} values were NaN or infinite (now 0) or beyond float16 (now the largest)")
        if path is not None and held is None:
            notes.append(f"{path}: no frame")
    return features, notes


def _reason(utterance: Utterance, error: Exception) -> str:
    """Why an utterance could not be predicted, beginning with the file where the id does not name it already."""
    if isinstance(error, MediaError) and error.source == utterance.utterance_id:
        return error.reason
    return explanation(error)


def prediction_screen(predictions: Sequence[Prediction], config: EmotionConfig, stream: TextIO) -> str:
    """
    Predictions for a terminal: of a few clips the scores as bars, of more of them a table.

    Args:
        predictions: of one model.
        config: of the model.
        stream: where they are printed, whose encoding says what bars are made of.
    """
    if len(predictions) > _CLIPS_WITH_BARS or not any(item.scores for item in predictions):
        return prediction_table(predictions, config.decision_threshold)
    marks, width = marks_for(stream), screen_width()
    lines = []
    for item in predictions:
        lines += _block(item, config, marks, width)
    return "\n".join([*lines, *score_legend(config, config.decision_threshold, marks, width)])


def _block(item: Prediction, config: EmotionConfig, marks: Marks, width: int) -> list[str]:
    name = item.utterance.utterance_id
    if item.error is not None:
        return [f"{name}  not predicted: {item.error}", ""]
    affect = [f"  {modality} V/A {_affect_cell(pair).strip()}" for modality, pair in item.valence_arousal.items()]
    scores = score_lines(item.scores, config.label_thresholds, marks, width)
    return [f"{name}  {', '.join(item.emotions) or '-'}", *scores, *affect, ""]


def prediction_table(predictions: Sequence[Prediction], threshold: Threshold) -> str:
    """
    The predictions as aligned text: id, all scores as multiples of their threshold, valence/arousal by modality,
    emotions above the threshold.
    """
    if not predictions:
        return "nothing to predict"
    good = next((item for item in predictions if item.error is None), Prediction(predictions[0].utterance))
    modalities = list(good.valence_arousal)
    width = max(len("score / threshold"), *(len(item.utterance.utterance_id) for item in predictions))
    widths = {name: max(10, len(name) + 2) for name in good.scores}
    columns = [*(f"{name:>{widths[name]}}" for name in good.scores), *(f"{name + ' V/A':>14}" for name in modalities)]
    lines = [f"{'score / threshold':<{width}}{''.join(columns)}  emotions (> {threshold_text(threshold)})"]
    for item in predictions:
        name = f"{item.utterance.utterance_id:<{width}}"
        if item.error is not None:
            lines.append(f"{name}  not predicted: {item.error}")
            continue
        limits = threshold if isinstance(threshold, list) else [threshold] * len(item.scores)
        multiples = (
            (label, relative_score(score, limit))
            for (label, score), limit in zip(item.scores.items(), limits, strict=True)
        )
        cells = [f"{multiple:>{widths[label]}.2f}" for label, multiple in multiples]
        cells += [_affect_cell(item.valence_arousal[modality]) for modality in modalities]
        lines.append(f"{name}{''.join(cells)}  {', '.join(item.emotions) or '-'}")
    return "\n".join(lines)


def _affect_cell(pair: tuple[float, float] | None) -> str:
    return f"{'-':>14}" if pair is None else f"{f'{pair[0]:+.2f} {pair[1]:+.2f}':>14}"
