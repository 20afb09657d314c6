# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa predict`: what it makes of clips is what the processor and the model make of them."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from testing_asr import write_ctc_model
from testing_utils import bert_tokenizer, text_config, tiny_config, tiny_model, tiny_processor
from transformers import BertForSequenceClassification
from video_files import write_clip

import modeling_univa
from modeling_univa import cli
from modeling_univa.data.schema import CorpusError
from modeling_univa.models.affect_scorers_univa import load_scorer
from modeling_univa.models.configuration_univa import MOSEI_EMOTIONS
from modeling_univa.models.faces_univa import FaceReader
from modeling_univa.models.light_features_univa import HogExtractor, LogMelExtractor
from modeling_univa.models.modeling_univa import UnivaForEmotionClassification
from modeling_univa.models.processing_univa import UnivaProcessor
from modeling_univa.models.utterance_media_univa import UtteranceMedia
from modeling_univa.prediction.inputs import Utterance
from modeling_univa.prediction.predict import Prediction, predict, prediction_screen, prediction_table


SPEECH, FACES = LogMelExtractor(), HogExtractor(image_size=32, cell_size=16)
READER = FaceReader(detector="whole-frame", frame_rate=4)


def _save(folder: Path, faces: FaceReader | None = READER, **overrides) -> Path:
    config = tiny_config(audio_feature_size=SPEECH.feature_size, vision_feature_size=FACES.feature_size, **overrides)
    extractors = {"audio": SPEECH.to_dict(), "vision": FACES.to_dict()}
    extractors = {name: made for name, made in extractors.items() if name in config.modalities}
    if faces is not None:
        extractors["faces"] = faces.to_dict()
    model = tiny_model(config)
    with torch.no_grad():
        model.classifier.weight.normal_(generator=torch.Generator().manual_seed(1))
    model.save_pretrained(folder)
    tiny_processor(config, extractors=extractors).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    return _save(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def loaded(saved):
    return UnivaForEmotionClassification.from_pretrained(saved), UnivaProcessor.from_pretrained(saved)


@pytest.fixture
def clips(tmp_path) -> Path:
    """Two good videos, one with its text beside it, and a text file named .mp4."""
    folder = tmp_path / "clips"
    write_clip(folder / "a.mp4")
    write_clip(folder / "b.mp4", seed=3)
    (folder / "a.txt").write_text("yes no\n")
    (folder / "c.mp4").write_text("this is no video")
    return folder


def _scores(model, inputs) -> np.ndarray:
    with torch.inference_mode():
        return model(**inputs).logits.softmax(-1).numpy()


def _lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_clip_meets_the_features_of_the_processor(saved, loaded, clips, capsys):
    model, processor = loaded
    assert cli.main(["predict", str(saved), str(clips / "a.mp4"), "--json"]) == 0
    (line,) = _lines(capsys.readouterr().out)
    expected = _scores(model, processor([["yes no"]], [(0, 0)], video=[clips / "a.mp4"]))[0]
    assert list(line["scores"].values()) == pytest.approx(expected.tolist(), abs=1e-6)
    # That is, of its sound and of the faces that the model's own reader finds in it.
    sound = processor.extract_audio(clips / "a.mp4")
    faces = FACES(READER(clips / "a.mp4").images)
    features = processor([["yes no"]], [(0, 0)], audio_features=[sound], vision_features=[faces])
    assert expected == pytest.approx(_scores(model, features)[0], abs=1e-6)
    assert line["utterance"]["text"] == "yes no" and line["error"] is None and line["notes"] == []
    above = [name for name, score in line["scores"].items() if score > model.config.decision_threshold]
    assert sorted(line["emotions"]) == sorted(above) and above


@pytest.mark.parametrize("people", [1, 2])
def test_whose_face_is_told(saved, clips, capsys, monkeypatch, people):
    find = FaceReader.__call__

    def several(self, *args):
        return replace(find(self, *args), people=(people, people), start=0.25, end=0.9, seconds=1.0)

    monkeypatch.setattr(FaceReader, "__call__", several)
    assert cli.main(["predict", str(saved), str(clips / "a.mp4"), "--json"]) == 0
    captured = capsys.readouterr()
    (line,) = _lines(captured.out)
    who = "face of the one person seen" if people == 1 else "face of 1 of 2 people"
    words = f"{who}, 0.2–0.9 s of 1.0 s"
    assert line["face"] == {"whose": words, "people": [people] * 2, "start": 0.25, "end": 0.9, "seconds": 1.0}
    assert line["notes"] == [words] and f"note: {clips / 'a.mp4'}: {words}" in captured.err
    # Nothing is told of a face where there is no video.
    assert cli.main(["predict", str(saved), "--text", "yes", "--json"]) == 0
    assert _lines(capsys.readouterr().out)[0]["face"] is None


def test_a_bad_clip_does_not_end_the_job(saved, clips, capsys):
    assert cli.main(["predict", str(saved), str(clips), "--json"]) == 1
    captured = capsys.readouterr()
    good, silent, bad = _lines(captured.out)
    assert good["scores"] and good["error"] is None
    assert silent["scores"] and silent["notes"][0].startswith("no text (pass `text`")
    assert not bad["scores"] and bad["error"] and str(clips / "c.mp4") == bad["utterance"]["utterance_id"]
    assert f"not predicted: {clips / 'c.mp4'}: {bad['error']}" in captured.err
    assert "Traceback" not in captured.err
    assert cli.main(["predict", str(saved), str(clips), "--strict", "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1] == f"univa: {clips / 'c.mp4'}: {bad['error']}"


def test_table(saved, clips, capsys):
    assert cli.main(["predict", str(saved), str(clips)]) == 1
    lines = capsys.readouterr().out.splitlines()
    heads = [place for place, line in enumerate(lines) if line.startswith(str(clips))]
    assert [lines[place].split()[0] for place in heads] == [str(clips / f"{name}.mp4") for name in "abc"]
    bars = lines[heads[0] + 1 : heads[1] - 1]
    assert sorted(bar.split()[0] for bar in bars) == sorted(MOSEI_EMOTIONS)
    for bar in bars:
        name, score, multiple = bar.split()[:3]
        assert float(multiple) == pytest.approx(float(score) / 0.18, abs=0.01)
        assert (float(multiple) > 1) is (name in lines[heads[0]])
    assert "not predicted: " in lines[heads[2]]
    assert "1.00 × is the threshold 0.18, above which an emotion is predicted." in lines


def test_table_of_many_clips_has_multiples_of_the_threshold():
    scores = {"happy": 0.27, "sad": 0.09}
    found = [Prediction(Utterance(f"clip{place}", "d"), scores, ["happy"]) for place in range(6)]
    config = tiny_config(id2label=dict(enumerate(scores)), decision_threshold=0.18)
    header, *rows = prediction_screen(found, config, sys.stdout).splitlines()
    assert header.split() == ["score", "/", "threshold", "happy", "sad", "emotions", "(>", "0.18)"]
    assert [row.split() for row in rows] == [[f"clip{place}", "1.50", "0.50", "happy"] for place in range(6)]
    each = prediction_table(found[:1], [0.3, 0.03]).splitlines()
    assert each[1].split()[1:3] == ["0.90", "3.00"]


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_batches_do_not_matter(loaded, clips, batch_size):
    utterances = [Utterance(name, "d", "yes", video=clips / f"{name}.mp4") for name in "acb"]
    found = list(predict(*loaded, utterances, batch_size=batch_size))
    one = list(predict(*loaded, utterances, ["b"], batch_size=1))
    assert [item.utterance.utterance_id for item in found] == ["a", "c", "b"]
    assert list(found[2].scores.values()) == pytest.approx(list(one[0].scores.values()), abs=1e-5)
    assert found[1].error and not found[0].error


def test_dialogues_give_context(saved, loaded, tmp_path, capsys):
    path = tmp_path / "test.csv"
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([("utterance_id", "dialogue_id", "text"), ("u", "d", "yes"), ("v", "d", "no")])
    assert cli.main(["predict", str(saved), str(path), "--utterance", "v", "--json"]) == 0
    (line,) = _lines(capsys.readouterr().out)
    model, processor = loaded
    expected = _scores(model, processor([["yes", "no"]], [(0, 1)], audio=[None], faces=[None]))[0]
    assert list(line["scores"].values()) == pytest.approx(expected.tolist(), abs=1e-6)


def test_parts_of_a_file(loaded, tmp_path):
    video = write_clip(tmp_path / "long.mp4", 2)
    part = Utterance("u", "d", "yes", video=video, start=0.5, end=1.25)
    (found,) = predict(*loaded, [part])
    model, processor = loaded
    expected = _scores(model, processor([["yes"]], [(0, 0)], video=[(video, 0.5, 1.25)]))[0]
    assert list(found.scores.values()) == pytest.approx(expected.tolist(), abs=1e-6)


def test_text_sound_and_faces_given_alone(saved, loaded, clips, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "face.png"), np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8))
    given = ["--audio", str(clips / "a.mp4"), "--faces", str(tmp_path / "face.png")]
    assert cli.main(["predict", str(saved), "--text", "yes", *given, "--json"]) == 0
    (line,) = _lines(capsys.readouterr().out)
    model, processor = loaded
    inputs = processor([["yes"]], [(0, 0)], audio=[clips / "a.mp4"], faces=[[tmp_path / "face.png"]])
    assert list(line["scores"].values()) == pytest.approx(_scores(model, inputs)[0].tolist(), abs=1e-6)
    assert line["utterance"]["utterance_id"] == "clip"


def test_videos_without_sound_or_picture(loaded, tmp_path):
    silent = write_clip(tmp_path / "silent.mp4", sound=False)
    dark = write_clip(tmp_path / "dark.mp4", picture=False)
    found = list(predict(*loaded, [Utterance(path.stem, path.stem, "yes", video=path) for path in (silent, dark)]))
    assert [item.error for item in found] == [None, None]
    assert [item.notes for item in found] == [[f"{silent}: it has no sound"], [f"{dark}: it has no moving picture"]]
    model, processor = loaded
    inputs = processor([["yes"]], [(0, 0)], audio=[None], faces=[READER(silent).images])
    assert list(found[0].scores.values()) == pytest.approx(_scores(model, inputs)[0].tolist(), abs=1e-6)


def test_nothing_to_go_by_is_an_error_of_the_clip(tmp_path, clips):
    folder = _save(tmp_path / "model", faces=None, modalities=["text"])
    model, processor = UnivaForEmotionClassification.from_pretrained(folder), UnivaProcessor.from_pretrained(folder)
    utterances = [Utterance(name, name, text, video=clips / "a.mp4") for name, text in (("u", None), ("v", "yes"))]
    found = list(predict(model, processor, utterances))
    assert found[0].error == "There is nothing to predict from: the model takes text, and the input has none of these."
    assert found[0].notes[0].startswith("no text (pass `text`")
    assert found[1].error is None and found[1].scores


def test_transcription(saved, loaded, clips, tmp_path, capsys):
    asr = write_ctc_model(tmp_path)
    assert cli.main(["predict", str(saved), str(clips / "b.mp4"), "--transcribe", str(asr), "--json"]) == 0
    (line,) = _lines(capsys.readouterr().out)
    from modeling_univa.features.transcription import Transcriber
    from modeling_univa.models.media_univa import read_audio

    text = Transcriber(str(asr))(read_audio(clips / "b.mp4"))
    assert text and line["utterance"]["text"] == text and line["notes"] == []
    model, processor = loaded
    expected = _scores(model, processor([[text]], [(0, 0)], video=[clips / "b.mp4"]))[0]
    assert list(line["scores"].values()) == pytest.approx(expected.tolist(), abs=1e-6)


class _Scorer:
    """Scores by length, so that a wrong item would show; NaN where there is nothing."""

    sampling_rate = 8000

    def score(self, items):
        sizes = [0 if item is None else len(item[0]) if isinstance(item, tuple) else len(item) for item in items]
        return np.array([(size / 1e5, -0.5) if size else (np.nan, np.nan) for size in sizes], np.float32)


def test_valence_and_arousal_by_modality(loaded, clips):
    scorers = {name: _Scorer() for name in ("vision", "text", "audio")}
    utterances = [Utterance("u", "u", "yes", video=clips / "a.mp4"), Utterance("v", "v", "no!")]
    found = list(predict(*loaded, utterances, scorers=scorers))
    affect = found[0].valence_arousal
    assert list(affect) == ["text", "audio", "vision"]
    assert affect["text"] == pytest.approx((3e-5, -0.5)) and affect["vision"] == pytest.approx((4e-5, -0.5))
    assert affect["audio"][0] == pytest.approx(0.08, abs=0.01)
    assert found[1].valence_arousal == {"text": pytest.approx((3e-5, -0.5)), "audio": None, "vision": None}
    table = prediction_table(found, 0.18).splitlines()
    assert "text V/A" in table[0] and "-0.50" in table[1]
    assert json.loads(json.dumps(found[1].valence_arousal))["audio"] is None


def test_a_scorer_of_text_on_the_command_line(saved, clips, tmp_path, capsys):
    torch.manual_seed(0)
    config = text_config("bert")
    config.id2label = {0: "valence", 1: "arousal"}
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    bert_tokenizer().save_pretrained(tmp_path)
    options = ["--text-scorer", str(tmp_path), "--text", "yes no", "--json"]
    assert cli.main(["predict", str(saved), str(clips / "b.mp4"), *options]) == 0
    (line,) = _lines(capsys.readouterr().out)
    expected = load_scorer("text", str(tmp_path)).score(["yes no"])[0]
    assert line["valence_arousal"] == {"text": pytest.approx(expected.tolist(), abs=1e-6)}


@pytest.mark.slow
def test_pictures(saved, clips, tmp_path, capsys):
    assert cli.main(["predict", str(saved), str(clips), "--plot", str(tmp_path / "plots" / "p.png")]) == 1
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["p-a.mp4.png", "p-b.mp4.png"]
    capsys.readouterr()
    assert cli.main(["predict", str(saved), "--text", "yes", "--plot", str(tmp_path / "one.pdf")]) == 0
    assert (tmp_path / "one.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Pass clips, a folder of clips, a sheet, or --text"),
        (["{clips}/a.mp4", "--audio", "x.wav"], "leave INPUT out, or them"),
        (["{clips}", "--text", "yes"], "--text is the transcript of one clip, and there are 3"),
        (["{clips}/a.mp4", "--utterance", "nobody"], "there is no utterance 'nobody'; the first are "),
        (["{clips}/a.mp4", "--batch-size", "0"], "the batch size must be at least 1, got 0"),
        (["{clips}/a.mp4", "--plot", "x.docx"], "the suffix must be one of"),
        (["{clips}/a.mp4", "--transcribe", "{clips}"], "cannot be loaded as a speech recognition model"),
        (["{clips}/a.mp4", "--text-scorer", "{clips}"], "Unrecognized model"),
        (["{clips}/a.mp4", "--face-detector", "haar"], "leave `face_reader` out"),
        (["{clips}/a.mp4", "--face-detector", "cascade"], "detector"),
        (["{clips}/none.csv"], "none.csv: cannot be read"),
    ],
)  # fmt: skip
def test_mistakes_end_in_one_sentence(saved, clips, capsys, arguments, message):
    assert cli.main(["predict", str(saved), *(argument.format(clips=clips) for argument in arguments)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("univa: ") and message in last


def test_a_sheet_with_columns_of_its_own_is_predicted(saved, tmp_path, capsys):
    (tmp_path / "lab.csv").write_text("Sitzung;Satz;Sprecher\nA;yes;Ada\nA;no;Bo\n", encoding="utf-16")
    columns = "dialogue_id=Sitzung,text=Satz,speaker=Sprecher"
    assert cli.main(["predict", str(saved), str(tmp_path / "lab.csv"), "--json", "--columns", columns]) == 0
    captured = capsys.readouterr()
    found = [line["utterance"] for line in _lines(captured.out)]
    assert [(one["utterance_id"], one["text"], one["speaker"]) for one in found] == [
        ("A-0", "yes", "Ada"), ("A-1", "no", "Bo"),
    ]  # fmt: skip
    assert "lab.csv: read as utf-16, cells separated by semicolons." in captured.err
    frame = modeling_univa.predict(saved, tmp_path / "lab.csv", columns=columns)
    assert list(frame.dialogue_id) == ["A", "A"] and list(frame.text) == ["yes", "no"]


def test_a_missing_file_is_a_bad_clip(saved, tmp_path, capsys):
    assert cli.main(["predict", str(saved), str(tmp_path / "none.mp4"), "--json"]) == 1
    assert "No such file" in _lines(capsys.readouterr().out)[0]["error"]


def test_model_of_ready_made_features_is_refused(tmp_path, clips):
    config = tiny_config()
    model, processor = tiny_model(config), tiny_processor(config)
    with pytest.raises(ValueError, match="cannot make them from raw media"):
        list(predict(model, processor, [Utterance("u", "u", "yes", video=clips / "a.mp4")]))
    assert next(predict(model, processor, [Utterance("u", "u", "yes")])).error is None


def test_faces_of_a_model_that_was_trained_on_images(tmp_path, clips):
    folder = _save(tmp_path / "model", faces=None)
    model, processor = UnivaForEmotionClassification.from_pretrained(folder), UnivaProcessor.from_pretrained(folder)
    (found,) = predict(model, processor, [Utterance("u", "u", "yes", video=clips / "a.mp4")], face_reader=READER)
    images = READER(clips / "a.mp4").images
    inputs = processor([["yes"]], [(0, 0)], audio=[clips / "a.mp4"], faces=[images])
    assert list(found.scores.values()) == pytest.approx(_scores(model, inputs)[0].tolist(), abs=1e-6)


def test_faces_that_are_left_out_are_told(tmp_path, clips):
    folder = _save(tmp_path / "model", faces=FaceReader(detector="whole-frame", max_faces=1))
    model, processor = UnivaForEmotionClassification.from_pretrained(folder), UnivaProcessor.from_pretrained(folder)
    (found,) = predict(model, processor, [Utterance("u", "u", "yes", video=clips / "a.mp4")])
    assert found.error is None and found.notes == [f"{clips / 'a.mp4'}: 1 of 5 faces are used, at even distances"]


def test_unknown_utterance(loaded):
    with pytest.raises(CorpusError, match="there is no utterance 'x'"):
        list(predict(*loaded, [Utterance("u", "u", "yes")], ["x"]))
    assert prediction_table([], 0.18) == "nothing to predict"
    assert "not predicted: broken" in prediction_table([Prediction(Utterance("u", "u"), error="broken")], 0.18)


def test_a_csv_with_mistakes_in_single_rows(saved, tmp_path, capsys):
    lines = ["utterance_id;dialogue_id;text;start", "a;d;yes;00:00:01", "b;d;no;soon", "c;d;yes no;"]
    (tmp_path / "test.csv").write_text("\n".join(lines) + "\n", encoding="utf-16")
    assert cli.main(["predict", str(saved), str(tmp_path / "test.csv"), "--json"]) == 1
    captured = capsys.readouterr()
    found = _lines(captured.out)
    assert [bool(line["scores"]) for line in found] == [True, False, True]
    assert "line 3: start 'soon', expected seconds" in found[1]["error"]
    assert "problem" not in found[0]["utterance"]


def test_a_path_out_of_the_folder_ends_its_own_clip_alone(saved, clips, tmp_path, capsys):
    (tmp_path / "csv").mkdir()
    table = tmp_path / "csv" / "test.csv"
    table.write_text(f"utterance_id,dialogue_id,text,video\na,d,yes,{clips / 'a.mp4'}\nb,d,no,\n")
    assert cli.main(["predict", str(saved), str(table), "--json"]) == 1
    outside, good = _lines(capsys.readouterr().out)
    assert good["scores"] and not outside["scores"]
    assert "line 2: " in outside["error"] and "leads out of the folder of the media" in outside["error"]
    assert cli.main(["predict", str(saved), str(table), "--strict"]) == 2
    assert "leads out of the folder of the media" in capsys.readouterr().err.splitlines()[-1]


def test_what_a_clip_with_a_path_out_of_the_folder_says_is_not_transcribed(loaded, clips, monkeypatch):
    heard = []
    monkeypatch.setattr(
        "modeling_univa.models.utterance_media_univa.UtteranceMedia.sound", lambda self, _: heard.append(self)
    )
    dialogue = [Utterance("a", "d", audio=clips / "a.mp4", problem="outside"), Utterance("b", "d", "yes")]
    transcriber = SimpleNamespace(sampling_rate=16000)
    assert [one.error for one in predict(*loaded, dialogue, transcriber=transcriber)] == ["outside", None]
    assert not heard


def test_the_text_file_beside_a_clip_is_not_read_where_a_text_is_named(saved, clips, capsys):
    (clips / "a.txt").write_bytes("Déjà vu".encode("latin-1"))
    assert cli.main(["predict", str(saved), str(clips / "a.mp4"), "--json"]) == 1
    assert "a.txt: not UTF-8" in _lines(capsys.readouterr().out)[0]["error"]
    assert cli.main(["predict", str(saved), str(clips / "a.mp4"), "--text", "yes", "--json"]) == 0
    (found,) = _lines(capsys.readouterr().out)
    assert found["error"] is None and found["utterance"]["text"] == "yes"


def test_one_text_that_is_not_utf8_does_not_end_the_job(saved, clips, capsys):
    (clips / "b.TXT").write_bytes("Déjà vu".encode("latin-1"))
    assert cli.main(["predict", str(saved), str(clips), "--json"]) == 1
    good, latin, _ = _lines(capsys.readouterr().out)
    assert good["scores"] and not latin["scores"]
    assert "b.TXT: not UTF-8" in latin["error"]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("out of luck")])
def test_memory_of_one_clip_is_the_error_of_that_clip(loaded, clips, monkeypatch, error):
    read = UtteranceMedia.sound

    def sound(self, sampling_rate):
        if self.video.stem == "b":
            raise error
        return read(self, sampling_rate)

    monkeypatch.setattr(UtteranceMedia, "sound", sound)
    found = list(predict(*loaded, [Utterance(name, name, "yes", video=clips / f"{name}.mp4") for name in "ab"]))
    assert found[0].error is None
    assert found[1].error == str(error) or found[1].error.startswith("There is not enough memory: ")


def test_memory_of_a_batch_is_the_error_of_one_of_its_clips(loaded, monkeypatch):
    model, processor = loaded
    encode = processor.tokenize

    def tokenize(texts):
        if "no" in texts:
            raise MemoryError
        return encode(texts)

    monkeypatch.setattr(processor, "tokenize", tokenize)
    found = list(predict(model, processor, [Utterance(text, text, text) for text in ("yes", "no", "yes no")]))
    assert [item.error is None for item in found] == [True, False, True]


class _CountingTranscriber:
    sampling_rate = 16000

    def __init__(self):
        self.heard = 0

    def __call__(self, waveform):
        self.heard += 1
        if self.heard == 1:
            raise ValueError("nothing to hear")
        return "yes"


def test_a_dialogue_is_prepared_once_for_all_its_batches(loaded, clips, monkeypatch):
    model, processor = loaded
    tokenized = []
    encode = processor.tokenize
    monkeypatch.setattr(processor, "tokenize", lambda texts: tokenized.append(len(texts)) or encode(texts))
    transcriber = _CountingTranscriber()
    utterances = [Utterance(str(place), "d", "yes no") for place in range(8)]
    utterances += [Utterance("bad", "d", None, video=clips / "a.mp4"), Utterance("good", "d", video=clips / "b.mp4")]
    found = list(predict(model, processor, utterances, batch_size=2, transcriber=transcriber))
    assert (tokenized, transcriber.heard) == ([10], 2)
    assert [item.error is None for item in found] == [True] * 8 + [False, True]
    expected = _scores(model, processor([["yes no"] * 8 + ["", "yes"]], [(0, 3)], audio=[None], faces=[None]))[0]
    assert list(found[3].scores.values()) == pytest.approx(expected.tolist(), abs=1e-5)


def test_long_names_of_labels_stay_apart():
    scores = {"embarrassment": 0.5, "overwhelmedness": 0.25, "sad": 0.25}
    table = prediction_table([Prediction(Utterance("u", "u"), scores)], 0.2).splitlines()
    assert table[0].split()[3:6] == list(scores)
    for name, value in zip(scores, ("2.50", "1.25", "1.25"), strict=True):
        end = table[0].index(name) + len(name)
        assert table[1][:end].endswith(value)


def _command(saved, *arguments, **options):
    command = [sys.executable, "-m", "modeling_univa.cli", "predict", str(saved), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=120, check=False, **options)


@pytest.mark.processes
@pytest.mark.parametrize("kind", ["--json", "table"])
def test_terminals_that_know_ascii_alone(saved, tmp_path, kind):
    name = os.fsencode(tmp_path) + b"/\xe9.wav"
    (tmp_path / "test.csv").write_text("utterance_id,dialogue_id,text\nü,d,yès 😀\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    options = ["--json"] if kind == "--json" else []
    done = _command(saved, tmp_path / "test.csv", os.fsdecode(name), *options, env=environment)
    assert done.returncode == 1, done.stderr
    assert b"Traceback" not in done.stderr and b"codec" not in done.stderr
    lines = done.stdout.decode("ascii").splitlines()
    if kind == "--json":
        found = [json.loads(line) for line in lines]
        assert (found[0]["utterance"]["utterance_id"], found[0]["utterance"]["text"]) == ("ü", "yès 😀")
        assert found[1]["utterance"]["utterance_id"] == os.fsdecode(name) and found[1]["error"]
    else:
        assert lines[0].startswith("\\xfc ") and any("\\udce9.wav  not predicted" in line for line in lines)
        assert "#" in lines[1] and "|" in lines[1]


@pytest.mark.processes
def test_a_reader_that_goes_away(saved, tmp_path):
    rows = [f"{place},d{place},yes" for place in range(40)]
    (tmp_path / "test.csv").write_text("\n".join(["utterance_id,dialogue_id,text", *rows]) + "\n")
    command = f"{sys.executable} -m modeling_univa.cli predict {saved} {tmp_path}/test.csv --json --batch-size 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -n 1"], capture_output=True, timeout=120, check=False
    )
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1), done.stderr
    assert b"Broken" not in done.stderr and b"Traceback" not in done.stderr
