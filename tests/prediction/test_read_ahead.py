# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Clips that processes read have the predictions of those that are read here."""

import copy
import os
import signal
from dataclasses import asdict
from pathlib import Path

import pytest
from testing_utils import tiny_config, tiny_model, tiny_processor
from video_files import write_clip

from modeling_univa.data.schema import CorpusError
from modeling_univa.features.workers import Workers
from modeling_univa.models import utterance_media_univa
from modeling_univa.models.faces_univa import FaceReader
from modeling_univa.models.light_features_univa import HogExtractor, LogMelExtractor
from modeling_univa.prediction.inputs import Utterance
from modeling_univa.prediction.predict import predict


@pytest.fixture(scope="module")
def model():
    speech, faces = LogMelExtractor(), HogExtractor(image_size=32, cell_size=16)
    config = tiny_config(audio_feature_size=speech.feature_size, vision_feature_size=faces.feature_size)
    reader = FaceReader(detector="whole-frame", frame_rate=4)
    extractors = {"audio": speech.to_dict(), "vision": faces.to_dict(), "faces": reader.to_dict()}
    return tiny_model(config), tiny_processor(config, extractors=extractors)


@pytest.fixture
def clips(tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    paths = [write_clip(tmp_path / f"{number}.mp4", seed=number) for number in range(3)]
    paths += [write_clip(tmp_path / "silent.mp4", sound=False), tmp_path / "broken.mp4", tmp_path / "absent.mp4"]
    clips = [Utterance(path.stem, path.stem, "yes no", video=path) for path in paths]
    return [*clips, Utterance("text", "text", "no"), Utterance("bad", "bad", "no", problem="it is bad")]


def _facts(predictions) -> list[tuple]:
    return [(one.utterance, one.scores, one.notes, one.error, one.face and asdict(one.face)) for one in predictions]


def _check(found: list[tuple], expected: list[tuple]) -> None:
    for (utterance, scores, *rest), (same, its_scores, *its_rest) in zip(found, expected, strict=True):
        assert (utterance, rest) == (same, its_rest)
        assert scores == pytest.approx(its_scores, abs=1e-5)


def test_processes_read_what_is_read_here(model, clips, monkeypatch):
    expected = _facts(predict(*model, clips, batch_size=3))
    assert [error is not None for *_, error, _ in expected] == [False] * 4 + [True, True, False, True]
    monkeypatch.setattr(Workers, "patience", 0.0)
    good, read = clips[:3], []
    monkeypatch.setattr(utterance_media_univa, "read_audio", lambda *given: read.append(given))
    # Nothing of them is read in this process.
    _check(_facts(predict(*model, good, batch_size=3, workers=2)), expected[:3])
    assert not read
    monkeypatch.undo()
    monkeypatch.setattr(Workers, "patience", 0.0)
    _check(_facts(predict(*model, clips, batch_size=3, workers=2)), expected)


def test_a_single_clip_is_read_here(model, clips, monkeypatch):
    monkeypatch.setattr(Workers, "patience", 0.0)
    monkeypatch.setattr(Workers, "submit", None)
    assert next(predict(*model, clips[:1], workers=4)).error is None


class Deadly(FaceReader):
    """A reader of whole frames whose process dies of one clip."""

    def __call__(self, source, *part, **options):
        if Path(source).stem == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(source, *part, **options)


@pytest.mark.processes
def test_a_clip_that_kills_its_process_is_lost_alone(model, clips, monkeypatch):
    monkeypatch.setattr(Workers, "patience", 0.0)
    network, processor = model
    processor = copy.deepcopy(processor)
    del processor.extractors["faces"]
    reader = Deadly(detector="whole-frame", frame_rate=4)
    found = list(predict(network, processor, clips[:3], batch_size=3, workers=2, face_reader=reader))
    assert [one.error for one in found] == [
        None,
        "With this clip alone a worker process was killed, most likely because there was not enough memory; cut it "
        "into shorter clips.",
        None,
    ]
    assert found[0].scores and found[2].scores


def test_a_clip_whose_process_is_killed_is_read_again(model, clips, monkeypatch):
    """Perhaps another one took its memory."""
    monkeypatch.setattr(Workers, "patience", 0.0)
    start = Workers._start_one
    killed = []

    def start_one(self):
        connection = start(self)
        if not killed:
            killed.append(self._processes[connection].pid)
            os.kill(killed[0], signal.SIGKILL)
        return connection

    monkeypatch.setattr(Workers, "_start_one", start_one)
    found = list(predict(*model, clips[:3], batch_size=3, workers=2))
    assert len(killed) == 1 and all(one.scores and one.error is None for one in found)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_cannot_be_read_ahead_is_told_of_its_clips_alone(model, clips, workers):
    network, processor = model
    processor = copy.deepcopy(processor)
    processor.extractors["faces"] = {"reader_type": "unknown"}
    found = list(predict(network, processor, [*clips[:2], clips[-2]], workers=workers))
    assert [one.error and "unknown reader_type 'unknown'" in one.error for one in found] == [True, True, None]


def test_workers_are_a_number_of_processes(model, clips):
    with pytest.raises(CorpusError, match="`workers` must be a number of processes"):
        next(predict(*model, clips, workers=-1))
