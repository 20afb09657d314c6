# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Malformed corpora and arguments: each is a good tiny corpus with one thing changed, and has its own message."""

import json
import os
import pickle
import re
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from csv_files import read_csv, write_csv

from modeling_univa.commands.build import corpus_main
from modeling_univa.corpora.m3ed import M3ed
from modeling_univa.corpora.mosei import Mosei
from modeling_univa.corpora.utterance_folder import UtteranceFolder


REPOSITORY = Path(__file__).resolve().parents[2]
Change = Callable[[Path], Any]


def _run(builder_class, source: Path, output: Path, arguments=()) -> int:
    return corpus_main(builder_class, ["--source", str(source), "--output", str(output), *arguments])


def _assert_refused(builder_class, source, tmp_path, arguments, message, capsys) -> None:
    """Exit status 2, one sentence on standard error, nothing written."""
    before = sorted(tmp_path.iterdir())
    assert _run(builder_class, source, tmp_path / "corpus", arguments) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "split:" not in line and line]
    assert line.startswith("error: ")
    assert re.search(message, line), line
    assert sorted(tmp_path.iterdir()) == before


def _assert_rejected(builder_class, source, tmp_path, utterance_id, message, capsys) -> None:
    """The row is left out and listed; `--strict` makes it an error."""
    assert _run(builder_class, source, tmp_path / "corpus") == 0
    (entry,) = map(json.loads, (tmp_path / "corpus" / "rejected.jsonl").read_text().splitlines())
    assert entry["utterance_id"] == utterance_id
    assert re.search(message, entry["reason"]), entry["reason"]
    assert "rejected 1 row, see rejected.jsonl; the first: " in capsys.readouterr().out
    assert _run(builder_class, source, tmp_path / "strict", ["--strict"]) == 2
    assert f"error: {entry['reason']}" in capsys.readouterr().err
    assert not (tmp_path / "strict").exists()


# -- metadata csv files


def _cell(row: int, column: str, value: str, split: str = "train") -> Change:
    def change(source: Path) -> None:
        path = source / "metadata" / f"{split}.csv"
        rows = read_csv(path)
        rows[row][column] = value
        write_csv(path, rows)

    return change


def _table(function: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> Change:
    def change(source: Path) -> None:
        path = source / "metadata" / "train.csv"
        write_csv(path, function(read_csv(path)))

    return change


def _text(function: Callable[[bytes], bytes]) -> Change:
    def change(source: Path) -> None:
        path = source / "metadata" / "train.csv"
        path.write_bytes(function(path.read_bytes()))

    return change


def _rename(old: str, new: str) -> Change:
    return _text(lambda data: data.replace(old.encode(), new.encode(), 1))


def _nothing(source: Path) -> None:
    pass


def _remove_metadata(source: Path) -> None:
    for path in (source / "metadata").iterdir():
        path.unlink()


FACE_NETWORK = {"extractor_type": "face-embedding", "model": "lab/faces", "revision": "0" * 40, "feature_size": 8}
FOLDER_ERRORS: dict[str, tuple[Change, str, tuple[str, ...]]] = {
    "missing column": (_rename("emotions", "feelings"), "train.csv: no column 'emotions'; the header needs", ()),
    "unknown column": (_rename("speaker", "speeker"), "train.csv: unknown column 'speeker'; remove or rename it", ()),
    "column twice": (_rename("faces", "text"), "train.csv: a column is named twice", ()),
    "no metadata": (_remove_metadata, "has no metadata csv files; add one per split", ()),
    "header only": (_text(lambda data: data.splitlines(True)[0]), "split train has no rows", ()),
    "empty file": (_text(lambda data: b""), "train.csv: no column 'utterance_id'", ()),
    "cells missing": (_text(lambda data: data + b"a,b,c\n"), "train.csv: line 8: 3 cells, expected 13", ()),
    "open quote": (_text(lambda data: data + b'a,"b\n'), "train.csv: line 8: not sound csv", ()),
    "empty id": (_cell(1, "utterance_id", " "), r"train.csv: row 2 \(utterance ' '\): utterance_id is empty", ()),
    "empty dialogue": (_cell(1, "dialogue_id", ""), "dialogue_id is empty; fill it in for every row", ()),
    "duplicate id": (_cell(2, "utterance_id", "train_0_0"), "'train_0_0' was there before, in split train", ()),
    "duplicate id, other split": (_cell(0, "utterance_id", "train_0_0", "dev_2"), "before, in split train", ()),
    "dialogue in two splits": (_cell(0, "dialogue_id", "train_0", "dev_2"), "is in the splits train and dev_2", ()),
    "scattered dialogue": (_table(lambda rows: [*rows[:2], *rows[3:], rows[2]]), "do not stand together", ()),
    "wrong order": (_table(lambda rows: [rows[1], rows[0], *rows[2:]]), "position 1 in dialogue 'train_0', exp", ()),
    "gap": (_cell(2, "position", "3"), "position 3 in dialogue 'train_0', expected 2", ()),
    "no number": (_cell(0, "position", "first"), "line 2: position 'first' is not a whole number", ()),
    "unknown emotion": (
        _cell(0, "emotions", "joy"),
        "unknown emotion 'joy'; the labels of this corpus are happy, neutral, sad",
        ("--labels", "happy,sad,neutral"),
    ),
    "emotions by commas": (
        _cell(0, "emotions", "happy,sad"),
        "line 2: emotion 'happy,sad' holds ',': separate",
        (),
    ),
    "emotions by bars": (_cell(0, "emotions", "happy|sad"), r"line 2: emotion 'happy\|sad' holds '\|': separate", ()),
    "emotions as a list": (
        _cell(0, "emotions", "['happy', 'sad']"),
        "holds .*: separate several emotions by semi",
        (),
    ),
    "an empty list": (_cell(2, "emotions", "[]"), r"line 4: emotion '\[\]' holds '\[': .*leave the cell empty", ()),
    "an emotion in two cases": (_cell(3, "emotions", "Happy"), "line 5: emotion 'Happy' differs from 'happy' in", ()),
    "no emotion": (
        _cell(2, "emotions", "nan"),
        "line 4: emotion 'nan' looks like an empty cell: leave it|the cell",
        (),
    ),
    "emotions by commas, labels given": (
        _cell(0, "emotions", "happy,sad"),
        "unknown emotion 'happy,sad'; the labels .*separate several emotions by semicolons",
        ("--labels", "happy,sad,neutral"),
    ),
    "labels in one line": (
        lambda source: (source / "labels.txt").write_text("happy, sad, neutral"),
        "labels.txt: one label a line: emotion 'happy, sad, neutral' holds ','",
        (),
    ),
    "two files of a split": (
        lambda source: (source / "metadata" / "TRAIN.CSV").write_bytes((source / "metadata/train.csv").read_bytes()),
        "TRAIN.CSV and .*train.csv are both the split train; keep one of them",
        (),
    ),
    "label twice": (_nothing, "label 'sad' is listed twice", ("--labels", "sad,happy,sad,neutral")),
    "empty label": (_nothing, "empty name among the emotion labels", ("--labels", "happy,,sad,neutral")),
    "path leaves the source": (_cell(0, "audio", "../secret.wav"), "'../secret.wav' leaves the source folder", ()),
    "absolute path": (_cell(0, "faces", "/etc/passwd"), "faces path '/etc/passwd' leaves the source folder", ()),
    "emotion not in the table": (
        _cell(0, "audio_emotion", "bored"),
        "audio_emotion 'bored' has no valence and arousal in the table; pass --emotion-va",
        ("--va", "from-emotion"),
    ),
    "lexicon without use": (_nothing, "--emotion-va is used with --va = from-emotion only", ("--emotion-va", "x.csv")),
    "no lexicon": (_nothing, "none.csv: cannot be read", ("--va", "from-emotion", "--emotion-va", "none.csv")),
    "extractor JSON": (
        _nothing,
        "--audio-extractor {.*}: ",
        ("--audio-extractor", "{'extractor_type'}"),
    ),
    "extractor kind": (
        _nothing,
        "--audio-extractor .*: unknown `extractor_type` 'mfcc'; known are .*hog, log-mel",
        ("--audio-extractor", '{"extractor_type": "mfcc"}'),
    ),
    "extractor of another modality": (
        _nothing,
        "--audio-extractor .*: hog makes vision features",
        ("--audio-extractor", '{"extractor_type": "hog"}'),
    ),
    "extractor setting": (
        _nothing,
        "--vision-extractor .*: the hog extractor has no setting colour",
        ("--vision-extractor", '{"extractor_type": "hog", "colour": 1}'),
    ),
    "extractor that is not a network": (
        _nothing,
        "--vision-extractor nowhere/at/all: nowhere/at/all: not a folder, and not a Hub id",
        ("--vision-extractor", "nowhere/at/all"),
    ),
    "extractor file": (_nothing, "none.json: cannot be read", ("--vision-extractor", "none.json")),
    "shard size": (_nothing, "--max-shard-size 'large' is not a size", ("--max-shard-size", "large")),
}


@pytest.mark.parametrize("name", FOLDER_ERRORS)
def test_folder_is_refused(folder, tmp_path, capsys, name):
    change, message, arguments = FOLDER_ERRORS[name]
    change(folder)
    _assert_refused(UtteranceFolder, folder, tmp_path, arguments, message, capsys)


def _all_files(function: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> Change:
    def change(source: Path) -> None:
        for path in (source / "metadata").iterdir():
            write_csv(path, function(read_csv(path)))

    return change


def _without(*columns: str) -> Change:
    return _all_files(lambda rows: [{k: v for k, v in row.items() if k not in columns} for row in rows])


@pytest.mark.parametrize(
    ("change", "message", "arguments"),
    [
        (_text(lambda data: data.replace(b"Well", b"W\xe9ll")), r"train.csv: not UTF-8 \(.*\); save the file as", ()),
        (_all_files(lambda rows: [row | {"emotions": ""} for row in rows]), "the corpus names no emotion label", ()),
        (_without("text_arousal"), "the corpus has text_valence alone", ()),
        (_without("audio"), "audio features need a column 'audio'", ("--audio-extractor", "log-mel")),
        (
            _without("text_emotion", "audio_emotion", "vision_emotion"),
            "--va = from-emotion needs a column text_emotion",
            ("--va", "from-emotion"),
        ),
        (
            _all_files(lambda rows: [row | {"text": ""} for row in rows]),
            "every row of split train was rejected; the first one: .*the text is empty",
            (),
        ),
        (
            lambda source: (source / "metadata" / "train.csv").rename(source / "metadata" / "a-b.csv"),
            "'a-b' cannot",
            (),
        ),
    ],
)
def test_folder_is_refused_as_a_whole(folder, tmp_path, capsys, change, message, arguments):
    change(folder)
    _assert_refused(UtteranceFolder, folder, tmp_path, arguments, message, capsys)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("bored,-1.5,0.1", r"line 1: expected word, valence and arousal on \[0, 1\].*, found .*rescale"),
        ("bored,0.5", "line 1: expected word, valence and arousal"),
    ],
)
def test_bad_lexicon(folder, tmp_path, capsys, line, message):
    (tmp_path / "lexicon.csv").write_text(line + "\n")
    arguments = ["--va", "from-emotion", "--emotion-va", str(tmp_path / "lexicon.csv")]
    _assert_refused(UtteranceFolder, folder, tmp_path, arguments, f"lexicon.csv: {message}", capsys)


def _write(name: str, content: bytes) -> Change:
    def change(source: Path) -> None:
        _cell(0, "audio" if name.endswith("wav") else "faces", name)(source)
        (source / name).write_bytes(content)

    return change


def _empty_sound(source: Path) -> None:
    _cell(0, "audio", "speech/none.wav")(source)
    with wave.open(str(source / "speech" / "none.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))


FOLDER_REJECTIONS: dict[str, tuple[Change, str]] = {
    "empty text": (_cell(0, "text", " "), r"^metadata/train.csv: row 1 \(utterance 'train_0_0'\): the text is empty"),
    "emotion twice": (_cell(0, "emotions", "sad;sad"), "an emotion is named twice in 'sad;sad'"),
    "missing sound": (_cell(0, "audio", "speech/9.wav"), "audio file 'speech/9.wav' is not in"),
    "missing face": (_cell(0, "faces", "faces/0.png;faces/9.png"), "faces file 'faces/9.png' is not in"),
    "sound of 0 bytes": (_write("speech/x.wav", b""), "speech/x.wav: the file is empty"),
    "sound without samples": (_empty_sound, r"speech/none.wav: "),
    "no sound file": (_write("speech/x.wav", b"text"), "speech/x.wav: not a readable sound file"),
    "no image": (_write("faces/x.png", b"text"), "faces/x.png: not an image"),
    "VA out of range": (_cell(0, "text_valence", "3.5"), r"text_va: expected valence and arousal in \[-1, 1\]"),
    "half of a VA": (_cell(0, "text_valence", ""), "text_va: only one of valence and arousal is known"),
    "VA in words": (_cell(0, "text_valence", "high"), "text_va: expected valence and arousal as numbers"),
}


@pytest.mark.parametrize("name", FOLDER_REJECTIONS)
def test_row_of_a_folder_is_rejected(folder, tmp_path, capsys, name):
    change, message = FOLDER_REJECTIONS[name]
    change(folder)
    _assert_rejected(UtteranceFolder, folder, tmp_path, "train_0_0", message, capsys)


class _Wrong:
    """An extractor whose features cannot be used for the first file; what comes before is not from a file."""

    sampling_rate, feature_size, extractor_type = 16000, 2, "log-mel"

    def __init__(self, features):
        self.features = [features, np.ones((1, 2), np.float32)]

    def to_dict(self):
        return {"extractor_type": self.extractor_type, "feature_size": self.feature_size}

    def extract_batch(self, items):
        return [self.features.pop() if self.features else np.ones((1, 2), np.float32) for _ in items]


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.ones((2, 3), np.float32), r"0.wav: expected shape \(frames, 2\), found \(2, 3\)"),
        (np.array([[np.nan, 1.0]], np.float32), "0.wav: 1 NaN or infinite values"),
        (np.array([[1e6, 1.0]], np.float32), r"0.wav: values up to 1e\+06, expected at most 65504"),
        (np.ones((0, 2), np.float32), "0.wav: no frames"),
    ],
)
def test_bad_features(folder, tmp_path, monkeypatch, features, message):
    original = UtteranceFolder._make_extractor

    def make(self, modality, columns):
        return _Wrong(features) if modality == "audio" else original(self, modality, columns)

    monkeypatch.setattr(UtteranceFolder, "_make_extractor", make)
    assert _run(UtteranceFolder, folder, tmp_path / "corpus") == 0
    entries = [json.loads(line) for line in (tmp_path / "corpus" / "rejected.jsonl").read_text().splitlines()]
    # Both rows that use this file go: it is read once.
    assert [entry["utterance_id"] for entry in entries if entry["split"] == "train"] == ["train_0_0", "train_1_0"]
    assert re.search(message, entries[0]["reason"]), entries[0]["reason"]


# -- the authors' files


def _pickle(name: str, function: Callable[[Any], Any]) -> Change:
    def change(source: Path) -> None:
        path = next(source.rglob(name))
        with open(path, "rb") as file:
            content = pickle.load(file)
        result = function(content)
        path.write_bytes(pickle.dumps(content if result is None else result))

    return change


def _json(name: str, function: Callable[[Any], Any]) -> Change:
    def change(source: Path) -> None:
        path = next(source.rglob(name))
        content = json.loads(path.read_text())
        result = function(content)
        path.write_text(json.dumps(content if result is None else result))

    return change


def _bytes(name: str, function: Callable[[bytes], bytes]) -> Change:
    def change(source: Path) -> None:
        path = next(source.rglob(name))
        path.write_bytes(function(path.read_bytes()))

    return change


def _mosei_cell(row: int, **cells: str) -> Change:
    def change(source: Path) -> None:
        path = source / "MOSEI" / "final_multi_labels.csv"
        rows = read_csv(path)
        rows[row] |= cells
        write_csv(path, rows)

    return change


class _Evil:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def _delete(*keys: str) -> Callable[[Any], None]:
    def delete(content: Any) -> None:
        for key in keys[:-1]:
            content = content[key]
        del content[keys[-1]]

    return delete


def _put(split: str, key: str, index: Any, value: Any) -> Callable[[Any], None]:
    return lambda content: content[split][key].__setitem__(index, value)


MOSEI_ERRORS: dict[str, tuple[Change, str]] = {
    "runs code": (
        _pickle("MOSEI_test_vision*", lambda content: {**content, "note": _Evil()}),
        "MOSEI_test_vision_utt_VA.pkl: refused, it wants to load posix.mkdir",
    ),
    "truncated pickle": (
        _bytes("MOSEI_train_audio*", lambda data: data[: len(data) // 2]),
        "MOSEI_train_audio_utt_VA.pkl: the pickle is cut off; copy the file again",
    ),
    "no pickle": (_bytes("MOSEI_train_audio*", lambda data: b"<html>"), "not a sound pickle of numpy arrays"),
    "missing pickle": (
        lambda source: next(source.rglob("MOSEI_test_audio*")).unlink(),
        "is not there; copy the whole",
    ),
    "other split in the pickle": (
        _pickle("MOSEI_train_audio*", lambda content: {"valid": content["train"], "num_labels": 6}),
        r"expected the keys 'train' and 'num_labels', found \['num_labels', 'valid'\]",
    ),
    "other number of labels": (_pickle("MOSEI_train_audio*", lambda c: c.update(num_labels=7)), "num_labels is 7"),
    "missing array": (
        _pickle("MOSEI_train_audio*", _delete("train", "audio_utt_mask")),
        "no 'audio_utt_mask', found",
    ),
    "missing rows": (
        _pickle("MOSEI_train_vision*", lambda c: c["train"].update(vision=c["train"]["vision"][:2])),
        r"'vision' has the shape \(2, 4, 3\), but final_multi_labels.csv lists 3 utterances for train",
    ),
    "object array": (
        _pickle("MOSEI_train_audio*", lambda c: c["train"].update(audio=np.full((3, 5, 4), None))),
        "expected 'audio' to be an array of numbers, found an array of object",
    ),
    "features as a list": (
        _pickle("MOSEI_train_audio*", lambda c: c["train"].update(audio=[[1.0]])),
        "expected 'audio' to be an array of numbers, found list",
    ),
    "width differs between splits": (
        _pickle("MOSEI_test_audio*", lambda c: c["test"].update(audio=np.ones((3, 5, 6)))),
        "MOSEI_test_audio_utt_VA.pkl: features of width 6, other splits have 4",
    ),
    "mask of lengths": (
        _pickle("MOSEI_train_audio*", _put("train", "audio_utt_mask", 0, 3)),
        "0 and 1 in 'audio_utt_",
    ),
    "labels of intensities": (
        _pickle("MOSEI_train_audio*", _put("train", "labels_class", 0, 0.333)),
        "0 and 1 in 'lab",
    ),
    "annotated twice": (_mosei_cell(1, clip_id="9"), "utterance '-train_9' is there twice"),
    "intensity in words": (
        _mosei_cell(0, happy="very"),
        "final_multi_labels.csv: line 2: happy is 'very', expected a number",
    ),
    "other splits": (_json("videos_structure.json", _delete("test")), "the files do not belong tog"),
    "key twice": (
        _bytes("videos_structure.json", lambda d: d.replace(b'"test"', b'"train"')),
        "'train' is there twice",
    ),
    "cut off JSON": (_bytes("raw_utt_text*", lambda data: data[:-10]), "raw_utt_text_textVA.json: not sound JSON"),
    "JSON list": (_json("videos_structure.json", lambda content: [1]), "expected a JSON object, found list"),
    "structure of strings": (
        _json("videos_structure.json", lambda c: c["train"].update({"-train": "-train_4"})),
        r"videos_structure.json: expected \{dialogue: \[utterance, …\]\} for split train",
    ),
    "placed twice": (
        _json("videos_structure.json", lambda c: c["train"]["-train"].append("-train_4")),
        "utterance_id '-train_4' was there before",
    ),
    "no such dataset": (lambda source: (source / "MOSEI").rename(source / "other"), "holds no MOSEI/preprocess_data"),
}


@pytest.fixture(scope="module")
def mosei():
    return Mosei


@pytest.fixture(scope="module")
def m3ed():
    return M3ed


@pytest.mark.parametrize("name", MOSEI_ERRORS)
def test_mosei_is_refused(mosei, mosei_tree, tmp_path, monkeypatch, capsys, name):
    change, message = MOSEI_ERRORS[name]
    change(mosei_tree)
    monkeypatch.chdir(tmp_path)
    _assert_refused(mosei, mosei_tree, tmp_path, (), message, capsys)


MOSEI_REJECTIONS: dict[str, tuple[Change, str]] = {
    "NaN feature": (_pickle("MOSEI_train_audio*", _put("train", "audio", (0, 0, 0), np.nan)), "audio_features: 1 NaN"),
    "NaN intensity": (_mosei_cell(0, fear="nan"), "intensity nan of fear, expected 0 or more"),
    "empty text": (_mosei_cell(0, text=""), "the text is empty"),
    "VA far out of range": (
        _pickle("MOSEI_train_audio*", _put("train", "audio_VA_values", 0, 3.0)),
        r"audio_va: expected valence and arousal in \[-1, 1\], found \[3.0, 3.0\]",
    ),
    "half of a VA": (_pickle("MOSEI_train_vision*", _put("train", "vision_VA_values", (0, 1), np.nan)), "only one of"),
    "VA in words": (
        _json("raw_utt_text*", lambda c: c["train"].update({"-train_9": ["Clip, 9.", "high", "low"]})),
        "text_va: expected valence and arousal as numbers, found",
    ),
    "VA missing": (
        _json("raw_utt_text*", lambda c: c["train"].update({"-train_9": ["Clip, 9.", "0.1"]})),
        "raw_utt_text_textVA.json: expected a list of 3",
    ),
}


@pytest.mark.parametrize("name", MOSEI_REJECTIONS)
def test_row_of_mosei_is_rejected(mosei, mosei_tree, tmp_path, capsys, name):
    change, message = MOSEI_REJECTIONS[name]
    change(mosei_tree)
    _assert_rejected(mosei, mosei_tree, tmp_path, "-train_9", message, capsys)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda c: c["train"]["a_tv_train_0"].update(Emotion="Happy,Awe"), "unknown emotion 'awe'; M3ED has happy"),
        (_delete("train", "a_tv_train_0", "text"), "with the strings 'text' and 'Emotion'"),
        (lambda c: c["train"].update(nothing={"text": "x", "Emotion": "Sad"}), "expected an id like dialogue_number"),
    ],
)
def test_m3ed_is_refused(m3ed, m3ed_tree, tmp_path, capsys, function, message):
    _json("utt_annot.json", function)(m3ed_tree)
    _assert_refused(m3ed, m3ed_tree, tmp_path, (), message, capsys)


def test_m3ed_dialogues_must_agree(m3ed, m3ed_tree, tmp_path, capsys):
    change = _json("videos_structure.json", lambda c: c["train"].update(b_tv=c["train"].pop("a_tv_train")))
    change(m3ed_tree)
    _assert_refused(m3ed, m3ed_tree, tmp_path, (), "utterance 'a_tv_train_0' is in dialogue 'b_tv'; corr", capsys)


def test_glove_is_missing(m3ed, m3ed_tree, tmp_path, capsys):
    next(m3ed_tree.rglob("*train*glove*")).unlink()
    message = "M3ED_train_text_glove300_VA.pkl is not there"
    _assert_refused(m3ed, m3ed_tree, tmp_path, ("--text-features", "glove"), message, capsys)


# -- as a user runs them


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("utterance_folder", ["--source", "none", "--output", "out"], "error: source 'none' is not a folder"),
        ("mosei", ["--source", ".", "--output", "out"], "error: . holds no MOSEI/preprocess_data"),
        ("m3ed", ["--source", "."], "the following arguments are required: --output"),
    ],
)
def test_scripts_end_with_status_2_and_without_traceback(tmp_path, script, arguments, message):
    command = [sys.executable, str(REPOSITORY / "datasets_scripts" / f"{script}.py"), *arguments]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "HF_HOME": str(tmp_path / "hf")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--label-source", "mine"], "argument --label-source: invalid choice: 'mine'"),
        (["--lables", "released"], "Unknown option '--lables', the nearest is '--label-source'"),
        (["--text-features", "word2vec"], "argument --text-features: invalid choice: 'word2vec'"),
    ],
)
def test_arguments_that_are_unknown(mosei, mosei_tree, tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        _run(mosei, mosei_tree, tmp_path / "corpus", arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_interrupted_command_says_so(folder, tmp_path, monkeypatch, capsys):
    def interrupt(self, items):
        raise KeyboardInterrupt

    monkeypatch.setattr("modeling_univa.features.media.MediaReader.read_all", interrupt)
    assert _run(UtteranceFolder, folder, tmp_path / "corpus") == 130
    assert "Interrupted. Run the same command again to resume." in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
