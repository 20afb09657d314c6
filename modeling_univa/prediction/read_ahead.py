# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Clips that are read by processes of their own while the network is at work on others."""

import contextlib
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from ..data.schema import FACE_EMOTIONS, CorpusError
from ..features.media import SHORTER
from ..features.workers import ProcessKilled, Workers
from ..models.affect_scorers_univa import SAMPLING_RATE
from ..models.pipeline_univa import UnivaPipeline
from ..models.utterance_media_univa import UtteranceMedia
from .inputs import Utterance


__all__ = ["ReadAhead", "media_of"]


@dataclass(frozen=True)
class _Clip:
    """Media, and what will be asked of them: sound at some rates in Hz, and faces."""

    media: UtteranceMedia
    rates: tuple[int, ...]
    faces: bool


class ReadAhead:
    """
    Sound and faces of utterances before they are asked for.

    Args:
        classifier: what will ask for them.
        transcriber: `Transcriber` for utterances without text, if there is one.
        workers: processes; with 0 or 1 all is read where it is asked for.
    """

    def __init__(self, classifier: UnivaPipeline, transcriber: Any, workers: int):
        self._classifier, self._transcriber, self._workers = classifier, transcriber, Workers(workers)
        self._begun: dict[str, tuple[_Clip, Future[UtteranceMedia]]] = {}

    def begin(self, utterances: Iterable[Utterance], following: Iterable[Utterance]) -> None:
        """Begin with some, and with those that follow them, as soon as it is worth while to have processes."""
        if self._workers.count < 2:
            return
        self._submit(utterances)
        if self._workers.at_work:
            self._submit(following)

    def media(self, utterance: Utterance) -> UtteranceMedia:
        """
        The media of an utterance, read as far as they could be; what is wrong is raised when it is asked for.

        Raises:
            `CorpusError`: reading them alone killed its process.
        """
        begun = self._begun.pop(utterance.utterance_id, None)
        media = media_of(utterance, self._classifier)
        if begun is None:
            return media
        read = self._read(*begun)
        read.face_reader = media.face_reader
        return read

    def close(self) -> None:
        """End the processes."""
        self._workers.close()

    def _read(self, clip: _Clip, future: "Future[UtteranceMedia]") -> UtteranceMedia:
        with contextlib.suppress(ProcessKilled):
            return future.result()
        # Once more alone: what killed it may have been the memory of all processes together.
        (read,) = self._workers.one_by_one(_read, [clip])
        if isinstance(read, ProcessKilled):
            raise CorpusError(f"With this clip alone a worker process {read.how}; {SHORTER}.")
        return read

    def _submit(self, utterances: Iterable[Utterance]) -> None:
        for utterance in utterances:
            if utterance.problem is None and utterance.utterance_id not in self._begun:
                clip = None
                # An error is met again, and told of this utterance alone, where the media are asked for.
                with contextlib.suppress(Exception):
                    clip = self._clip(utterance)
                if clip is not None and (clip.rates or clip.faces):
                    self._begun[utterance.utterance_id] = clip, self._workers.submit(_read, clip)

    def _clip(self, utterance: Utterance) -> _Clip:
        media, classifier = media_of(utterance, self._classifier), self._classifier
        processor, scorers = classifier.processor, classifier.va_scorers
        extracted = processor.extracted_sizes.keys() - utterance.features.keys()
        rates = set()
        if media.has("audio"):
            if "audio" in extracted:
                rates.add(processor.extractor("audio").sampling_rate)
            if "audio" in scorers:
                rates.add(getattr(scorers["audio"], "sampling_rate", SAMPLING_RATE))
            if self._transcriber is not None and not (utterance.text or "").strip():
                rates.add(self._transcriber.sampling_rate)
        faces = media.has("vision") and bool({"vision", FACE_EMOTIONS} & extracted or "vision" in scorers)
        # A function would not pickle.
        media.face_reader = classifier.resolved_face_reader() if faces and media.video is not None else None
        return _Clip(media, tuple(rates), faces)


def media_of(one: Utterance, classifier: UnivaPipeline) -> UtteranceMedia:
    """The media of an utterance, of which nothing is read yet."""
    return classifier.media(audio=one.audio, faces=one.faces, video=one.video, start=one.start, end=one.end)


def _read(clip: _Clip) -> UtteranceMedia:
    # As in `_submit`.
    with contextlib.suppress(Exception):
        for rate in clip.rates:
            clip.media.sound(rate)
        if clip.faces:
            clip.media.faces()
    clip.media.face_reader = None
    return clip.media
