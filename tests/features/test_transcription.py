# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest
import torch
from testing_asr import write_ctc_model, write_whisper_model

from modeling_univa.features.transcription import Transcriber


@pytest.fixture(scope="module")
def ctc(tmp_path_factory):
    return write_ctc_model(tmp_path_factory.mktemp("ctc"))


def _speech(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, int(16000 * seconds)).astype(np.float32)


def test_ctc_words_are_those_of_the_model(ctc):
    from transformers import Wav2Vec2ForCTC, Wav2Vec2Processor

    model, processor = Wav2Vec2ForCTC.from_pretrained(ctc).eval(), Wav2Vec2Processor.from_pretrained(ctc)
    waveform = _speech(1)
    with torch.inference_mode():
        logits = model(**processor(waveform, sampling_rate=16000, return_tensors="pt")).logits
    expected = processor.batch_decode(logits.argmax(-1))[0].strip()
    transcriber = Transcriber(str(ctc))
    assert transcriber.sampling_rate == 16000
    assert expected and transcriber(waveform) == expected


def test_long_sound_is_cut_into_pieces(ctc, monkeypatch):
    transcriber = Transcriber(str(ctc))
    seen = []
    original = transcriber._pipeline.model.forward
    monkeypatch.setattr(
        transcriber._pipeline.model, "forward", lambda *args, **inputs: seen.append(1) or original(*args, **inputs)
    )
    assert transcriber(_speech(65))
    assert len(seen) > 1


def test_whisper(tmp_path):
    transcriber = Transcriber(str(write_whisper_model(tmp_path)))
    text = transcriber(_speech(1))
    assert isinstance(text, str) and text == transcriber(_speech(1))


def test_too_short_a_sound_is_a_value_error(ctc):
    with pytest.raises(ValueError, match="cannot be transcribed"):
        Transcriber(str(ctc))(np.zeros(10, np.float32))


def test_other_models_are_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot be loaded as a speech recognition model"):
        Transcriber(str(tmp_path / "nothing"))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match="cannot be loaded as a speech recognition model"):
        Transcriber(str(tmp_path))
