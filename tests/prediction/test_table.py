# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Predictions as a file or a frame: a row a clip, the same values in each form."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from testing_utils import random_rows, tiny_config, tiny_model, tiny_processor

import modeling_univa
from modeling_univa import cli
from modeling_univa.data.schema import CorpusError
from modeling_univa.models.configuration_univa import MOSEI_EMOTIONS
from modeling_univa.models.faces_univa import FaceTrack
from modeling_univa.models.light_features_univa import LogMelExtractor
from modeling_univa.prediction.inputs import Utterance, utterances_of_rows
from modeling_univa.prediction.predict import Prediction
from modeling_univa.prediction.table import prediction_records, write_table


LABELS = ["happy", "sad"]
GOOD = Prediction(
    Utterance("clips/ä.mp4", "d0", "=1+1, “so” she said\nand left", speaker="Ada"),
    {"happy": 0.1 + 0.2, "sad": 0.25},
    ["happy", "sad"],
    {"text": (0.5, -0.25), "audio": None},
    ["no face in 3 pictures", "file: no sound"],
    face=FaceTrack([], [2.2], [(0, 0, 9, 9)], 1, None, (2, 2), 2.2, 3.0, 4.2),
)
BAD = Prediction(Utterance("b\udce9.mp4", "d1"), notes=[], error="the file is empty (0 bytes)")


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A model of text and sound."""
    folder, speech = tmp_path_factory.mktemp("model"), LogMelExtractor()
    config = tiny_config(modalities=["text", "audio"], audio_feature_size=speech.feature_size)
    tiny_model(config).save_pretrained(folder)
    tiny_processor(config, extractors={"audio": speech.to_dict()}).save_pretrained(folder)
    return folder


def test_records_have_a_column_for_all_that_is_told():
    good, bad = prediction_records([GOOD, BAD], LABELS)
    assert list(good) == list(bad) == [
        "utterance_id", "dialogue_id", "speaker", "text", "emotions", "score_happy", "score_sad",
        "text_valence", "text_arousal", "audio_valence", "audio_arousal", "face", "notes", "error",
    ]  # fmt: skip
    assert good["emotions"] == ["happy", "sad"] and (good["score_happy"], good["score_sad"]) == (0.1 + 0.2, 0.25)
    assert (good["text_valence"], good["text_arousal"], good["audio_valence"]) == (0.5, -0.25, None)
    assert good["face"] == "face of 1 of 2 people, 2.2–3.0 s of 4.2 s" and bad["face"] is None
    assert bad["score_happy"] is None and bad["emotions"] == [] and bad["error"] == "the file is empty (0 bytes)"
    assert bad["utterance_id"] == "b\\udce9.mp4" and good["error"] is None


def test_every_form_has_the_same_values(tmp_path):
    files = [tmp_path / "deep" / f"found{suffix}" for suffix in (".parquet", ".jsonl", ".csv")]
    for file in files:
        write_table(file, [GOOD, BAD], LABELS)
    expected = prediction_records([GOOD, BAD], LABELS)
    assert pq.read_table(files[0]).to_pylist() == expected
    assert [json.loads(line) for line in files[1].read_text(encoding="utf-8").splitlines()] == expected
    assert files[2].read_bytes().startswith(b"\xef\xbb\xbfutterance_id,")
    with open(files[2], encoding="utf-8-sig", newline="") as stream:
        good, bad = csv.DictReader(stream)
    assert good["text"] == f"'{GOOD.utterance.text}" and good["emotions"] == "happy;sad"
    assert float(good["score_happy"]) == 0.1 + 0.2 and float(good["text_arousal"]) == -0.25
    assert good["notes"] == "no face in 3 pictures;file: no sound" and bad["score_sad"] == bad["text"] == ""
    assert sorted(os.listdir(tmp_path / "deep")) == ["found.csv", "found.jsonl", "found.parquet"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_cell_of_a_spreadsheet_begins_a_formula(start, tmp_path):
    name = f'{start}HYPERLINK("http://x")'
    one = Prediction(Utterance(name, name, name, speaker=name), {"a": 0.5}, [name], {}, [name], name)
    write_table(tmp_path / "found.csv", [one], ["a"])
    with open(tmp_path / "found.csv", encoding="utf-8-sig", newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert row.pop("score_a") == "0.5" and row.pop("face") == ""
    assert set(row.values()) == {f"'{name}"}


def test_nothing_predicted_is_a_table_without_rows(tmp_path):
    write_table(tmp_path / "none.parquet", [], LABELS)
    write_table(tmp_path / "failed.parquet", [BAD], LABELS)
    assert pq.read_table(tmp_path / "none.parquet").num_rows == 0
    assert pd.read_parquet(tmp_path / "failed.parquet").score_happy.dtype == np.float64


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_the_command_writes_a_table(suffix, saved, tmp_path, capsys):
    sheet = tmp_path / "rows.csv"
    sheet.write_text("utterance_id,dialogue_id,text,audio\nu0,d0,yes no,\nu1,d1,no,gone.wav\n")
    file = tmp_path / f"found{suffix.upper()}"
    assert cli.main(["predict", str(saved), str(sheet), "--json", "--output", str(file)]) == 1
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert f"wrote {file}" in captured.err
    read = {".csv": pd.read_csv, ".jsonl": lambda path: pd.read_json(path, lines=True), ".parquet": pd.read_parquet}
    frame = read[suffix](file)
    assert list(frame.utterance_id) == ["u0", "u1"] and frame.error[1] == lines[1]["error"]
    assert frame.score_sad[0] == pytest.approx(lines[0]["scores"]["sad"], abs=1e-12) and np.isnan(frame.score_sad[1])


@pytest.mark.parametrize("name", ["found.xlsx", "found", "folder.csv"])
def test_a_file_that_cannot_be_written_is_refused_first(name, saved, tmp_path, capsys):
    (tmp_path / "folder.csv").mkdir()
    arguments = ["predict", str(saved), "--text", "yes", "--output", str(tmp_path / name)]
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    expected = "is a folder" if name == "folder.csv" else "the suffix must be one of .csv, .jsonl, .parquet"
    (line,) = [line for line in captured.err.splitlines() if line.startswith("univa: ")]
    assert expected in line and "--output" in line and not captured.out


# In Python


def test_a_frame_of_a_csv_is_the_table_of_the_command(saved, tmp_path):
    sheet = tmp_path / "rows.csv"
    sheet.write_text("utterance_id,dialogue_id,text,audio\nu0,d0,yes no,\nu1,d1,no,gone.wav\n")
    cli.main(["predict", str(saved), str(sheet), "--output", str(tmp_path / "found.parquet")])
    frame = modeling_univa.predict(saved, sheet)
    read, told = pq.read_table(tmp_path / "found.parquet").to_pylist(), frame.to_dict("records")
    assert list(frame) == list(read[0]) and told[1]["error"] == read[1]["error"]
    # What is not known is NaN in a column of texts.
    assert {**told[0], "error": None} == read[0] and frame.error.isna()[0]
    assert frame.score_sad.dtype == np.float64 and frame.error.notna().tolist() == [False, True]


def test_rows_may_be_dicts_or_a_frame(saved):
    rows = [
        {"text": "yes", "dialogue_id": 7, "speaker": "Ada"},
        {"text": "no no", "dialogue_id": 7},
        {"text": None, "audio": "gone.wav"},
    ]
    frame = modeling_univa.predict(saved, rows, batch_size=2)
    assert list(frame.utterance_id) == ["0", "1", "2"] and list(frame.dialogue_id) == ["7", "7", "2"]
    assert frame.error.notna().tolist() == [False, False, True] and "gone.wav" in frame.error[2]
    assert frame.filter(like="score_").columns.tolist() == [f"score_{name}" for name in MOSEI_EMOTIONS]
    pd.testing.assert_frame_equal(frame, modeling_univa.predict(saved, pd.DataFrame(rows), batch_size=2))
    # The dialogue is their context.
    alone = modeling_univa.predict(saved, {"text": "no no"})
    assert alone.score_sad[0] != frame.score_sad[1]


def test_rows_of_a_corpus_leave_labels_aside(tmp_path):
    row = {name: random_rows([1])[0][name] for name in ("utterance_id", "dialogue_id", "position", "text", "emotions")}
    (found,) = utterances_of_rows([row])
    assert (found.utterance_id, found.text) == (row["utterance_id"], row["text"])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"transcript": "yes"}, "row 1 has no use for 'transcript': its columns are utterance_id, dialogue_id"),
        ({"text": 3}, "row 1: text must be text, found int"),
        ({"faces": "a.png"}, "row 1: faces must be a list of paths, found str"),
        ({"faces": [b""]}, "row 1: faces must be a list of paths, found list"),
        ({"utterance_id": "0", "text": "a"}, "row 1: utterance_id '0' was there before"),
    ],
)
def test_rows_that_are_none_are_refused(row, message):
    with pytest.raises(CorpusError, match=message):
        utterances_of_rows([{"text": "yes"}, row])


def test_one_bad_row_is_a_problem_of_its_own(tmp_path):
    rows = [{"text": "a", "start": 3.0, "end": 2.0}, {"text": "b", "audio": "../gone.wav"}, {"text": "c"}]
    problems = [one.problem for one in utterances_of_rows(rows, tmp_path)]
    assert "not after its start" in problems[0] and "leads out of the folder" in problems[1] and problems[2] is None
    assert utterances_of_rows(rows)[1].audio == Path("../gone.wav")


def test_rows_and_a_text_exclude_each_other(saved):
    with pytest.raises(ValueError, match="Rows have their own `text`: leave the argument out"):
        modeling_univa.predict(saved, [{"text": "yes"}], text="no")
    assert len(modeling_univa.predict(saved, text="no")) == 1
