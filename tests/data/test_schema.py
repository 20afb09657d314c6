# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
from datasets import ClassLabel, List, Value

from modeling_univa.data.row_types import row_features
from modeling_univa.data.schema import CorpusError, RowError, RowValidator


LABELS = ("happy", "sad")


def _row(**changes):
    row = {
        "utterance_id": "d0_0",
        "dialogue_id": "d0",
        "position": 0,
        "speaker": None,
        "text": "Hello.",
        "emotions": ["happy"],
        "audio": "a.wav",
        "faces": ["f.jpg"],
        "audio_features": np.ones((3, 4), np.float32),
        "text_va": (0.5, -0.5),
        "audio_va": None,
        "vision_va": (math.nan, math.nan),
    }
    return row | changes


@pytest.fixture
def validator(tmp_path):
    for name in ("a.wav", "f.jpg"):
        (tmp_path / name).write_bytes(b"x")
    features = row_features(LABELS, audio_feature_size=4, media=("audio", "faces"))
    return RowValidator(features, media_root=tmp_path)


def _check(validator, row):
    validator.check_structure(row, "train", "row 1")
    validator.check_content(row, "row 1")
    validator.check_signals(row, "row 1")


def test_columns_are_those_of_the_contract():
    features = row_features(LABELS, audio_feature_size=4, vision_feature_size=2, text_feature_size=3, media=["faces"])
    assert features["emotions"] == List(ClassLabel(names=list(LABELS)))
    assert features["position"] == Value("int32")
    assert features["faces"] == List(Value("string"))
    for modality, size in (("audio", 4), ("vision", 2), ("text", 3)):
        assert features[f"{modality}_features"] == List(List(Value("float16"), length=size))
        assert features[f"{modality}_va"] == List(Value("float32"), length=2)
    assert "audio" not in features
    assert "audio_features" not in row_features(LABELS)
    assert row_features(LABELS, media=["video"], times=["end"])["end"] == Value("float64")
    with pytest.raises(CorpusError, match="unknown media column 'middle'; known are start, end"):
        row_features(LABELS, times=["middle"])


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (None, None, None),
        (0, 0.5, None),
        (1.5, None, None),
        (-0.1, None, "start -0.1, expected seconds"),
        (math.nan, 2.0, "start nan, expected"),
        (None, math.inf, "end inf, expected"),
        ("1", 2.0, "start '1', expected"),
        (2.0, 2.0, "the clip ends at 2 s, not after its start"),
        (None, 0.0, "the clip ends at 0 s"),
    ],
)
def test_times_of_a_clip(start, end, message):
    validator = RowValidator(row_features(LABELS, times=("start", "end")))
    row = {name: value for name, value in _row().items() if name not in ("audio", "faces", "audio_features")}
    row |= {"start": start, "end": end}
    if message is None:
        _check(validator, row)
    else:
        with pytest.raises(RowError, match=f"row 1: {message}"):
            _check(validator, row)


@pytest.mark.parametrize(
    ("labels", "media", "message"),
    [
        ((), (), "no emotion label"),
        (("happy", "happy"), (), "'happy' is listed twice"),
        (("happy", " "), (), "empty name"),
        (LABELS, ("sound",), "unknown media column 'sound'"),
    ],
)
def test_bad_columns(labels, media, message):
    with pytest.raises(CorpusError, match=message):
        row_features(labels, media=media)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"emotions": []},
        {"audio": None, "faces": None, "audio_features": None},
        {"audio_features": np.full((1, 4), 65504.0)},
        {"audio_features": np.ones((2, 4), np.int64)},
        {"text_va": (-1.0, 1.0)},
    ],
)
def test_good_rows(validator, changes):
    _check(validator, _row(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": " \n"}, "the text is empty"),
        ({"text": None}, "the text is empty"),
        ({"emotions": ["sad", "sad"]}, "named twice in 'sad;sad'"),
        ({"audio": "b.wav"}, r"audio file 'b.wav' is not in"),
        ({"faces": ["f.jpg", "g.jpg"]}, r"faces file 'g.jpg' is not in"),
        ({"audio_features": np.ones((3, 5))}, r"expected shape \(frames, 4\), found \(3, 5\)"),
        ({"audio_features": np.ones(4)}, r"expected shape \(frames, 4\), found \(4,\)"),
        ({"audio_features": np.ones((0, 4))}, "no frames"),
        ({"audio_features": np.array([[1, 2, np.nan, np.inf]])}, "2 NaN or infinite values"),
        ({"audio_features": np.full((1, 4), 65536.0)}, r"up to 65536, expected at most 65504"),
        ({"audio_features": np.array([[None] * 4])}, "array of numbers, found an array of object"),
        ({"audio_features": [[1.0] * 4]}, "array of numbers, found list"),
        ({"text_va": (1.01, 0.0)}, r"in \[-1, 1\], found \[1.01, 0.0\]"),
        ({"text_va": (0.0, -math.inf)}, r"in \[-1, 1\]"),
        ({"text_va": (math.nan, 0.0)}, "only one of valence and arousal"),
        ({"text_va": (0.0, 0.0, 0.0)}, r"found shape \(3,\)"),
        ({"text_va": ("high", "low")}, "as numbers"),
    ],
)
def test_bad_content_spoils_its_row_alone(validator, changes, message):
    with pytest.raises(RowError, match=f"^row 1.*{message}"):
        _check(validator, _row(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"utterance_id": ""}, "utterance_id is empty"),
        ({"dialogue_id": None}, "dialogue_id is empty"),
        ({"emotions": ["joy"]}, "unknown emotion 'joy'; the labels of this corpus are happy, sad"),
        ({"position": 1}, "position 1 in dialogue 'd0', expected 0"),
        ({"audio": "/etc/passwd"}, "leaves the source folder"),
        ({"faces": ["../f.jpg"]}, "leaves the source folder"),
        ({"audio": "C:\\a.wav"}, "leaves the source folder"),
        ({"mood": "good"}, "unknown column 'mood'"),
    ],
)
def test_bad_structure_is_no_matter_of_one_row(validator, changes, message):
    with pytest.raises(CorpusError, match=f"^row 1.*{message}") as error:
        _check(validator, _row(**changes))
    assert not isinstance(error.value, RowError)


def test_missing_column(validator):
    row = _row()
    del row["text"]
    with pytest.raises(CorpusError, match="no column 'text'"):
        _check(validator, row)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a", "d0", 0, "train"), ("a", "d0", 1, "train")], "'a' was there before, in split train"),
        ([("a", "d0", 0, "train"), ("a", "d1", 0, "test")], "'a' was there before, in split train"),
        ([("a", "d0", 0, "train"), ("b", "d0", 1, "test")], "'d0' is in the splits train and test"),
        ([("a", "d0", 0, "train"), ("b", "d1", 0, "train"), ("c", "d0", 1, "train")], "do not stand together"),
        ([("a", "d0", 0, "train"), ("b", "d0", 2, "train")], "position 2 in dialogue 'd0', expected 1"),
        ([("a", "d0", 0, "train"), ("b", "d0", 0, "train")], "position 0 in dialogue 'd0', expected 1"),
    ],
)
def test_rows_that_do_not_fit_together(validator, rows, message):
    with pytest.raises(CorpusError, match=message):
        for utterance, dialogue, position, split in rows:
            row = _row(utterance_id=utterance, dialogue_id=dialogue, position=position)
            validator.check_structure(row, split, "row 1")
