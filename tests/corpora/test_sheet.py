# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Corpora from one sheet."""

import datetime
import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import yaml
from datasets import load_dataset
from media_corpora import write_sound
from sheets import sheet_rows, sheet_text, write_clips, write_sheet, write_workbook
from video_files import write_clip

from modeling_univa.commands.build import build_main
from modeling_univa.corpora.build import build_corpus, media_folder
from modeling_univa.corpora.sheet import Sheet
from modeling_univa.data.loading import load_corpus
from modeling_univa.models.light_features_univa import LogMelExtractor
from modeling_univa.models.media_univa import read_audio
from modeling_univa.training.arguments import parse_arguments
from modeling_univa.training.run import prepare_corpus


FACES = ["--face-detector", json.dumps({"detector": "whole-frame", "frame_rate": 2})]
NO_FEATURES = ["--audio-extractor=none", "--vision-extractor=none"]


def _build(sheet: Path, *arguments: str) -> int:
    output = ["--output", str(sheet.parent.parent / "corpus"), "--workers", "0", "--overwrite"]
    return build_main("sheet", ["--source", str(sheet), *output, *arguments])


def _rows(sheet: Path, split: str = "train"):
    folder = sheet.parent.parent
    return load_dataset(str(folder / "corpus"), cache_dir=str(folder / "cache"))[split]


def _write(path: Path, rows: list[dict], **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(sheet_text(rows, **options), encoding="utf-8", newline="")
    return path


def _texts(count: int = 6, **cells) -> list[dict]:
    """Rows of text alone."""
    return [{"text": f"Well, {number}.", "emotion": ("joy", "anger")[number % 2], **cells} for number in range(count)]


def test_a_western_excel_sheet_with_its_own_columns(tmp_path, capsys):
    sheet = write_sheet(tmp_path / "lab")
    assert _build(sheet, *FACES) == 0
    rows, printed = _rows(sheet), capsys.readouterr().out
    # Turns were counted from 1, and those of A were not in order.
    assert rows["utterance_id"] == ["A-0", "A-1", "B-0", "B-1", "L-0", "L-1"]
    assert rows["dialogue_id"] == list("AABBLL") and rows["position"] == [0, 1] * 3
    assert rows["speaker"] == ["Max", "Zoë", "Max", "Ida", "Uwe", "Uwe"]
    assert rows["text"][:2] == ["Schön, dass du da bist!", "Nein, gar nicht; wirklich."]
    names = rows.features["emotions"].feature.names
    assert names == ["Freude", "Wut", "Überraschung"]
    assert [[names[label] for label in row] for row in rows["emotions"][:3]] == [
        ["Freude", "Überraschung"],
        ["Wut"],
        [],
    ]
    assert rows["video"][0] == "clips/day 1/Max_1.MP4"
    assert rows["video"][1] == "clips/" + unicodedata.normalize("NFD", "zoë_2.mp4")
    assert rows["audio"][2:] == ["sound/c.wav"] * 2 + ["sound/long.wav"] * 2
    assert rows["start"][4:] == [0.5, 1.5] and rows["end"][4:] == [1.25, 2.5]
    expected = LogMelExtractor()(read_audio(tmp_path / "lab/sound/long.wav", 16000, 0.5, 1.25), 16000)
    np.testing.assert_array_equal(rows["audio_features"][4], expected.astype(np.float16))
    assert [frames is not None for frames in rows["vision_features"]] == [True, True] + [False] * 4
    for line in (
        "sitzungen.csv: read as cp1252, cells separated by semicolons.",
        "Columns: dialogue_id=Session, position=Turn, text=Transcript, emotions=Emotions, speaker=Speaker, ",
        "Emotions of a cell are separated by ','.",
        "Labels of fewer than 10 rows: Freude (3), Wut (2), Überraschung (1).",
        "1 of 6 rows has no emotion; it counts as a row in which",
        "4 of 6 rows have no face.",
        f"1 media file in {tmp_path / 'lab'} is named by no row: sound/unnamed.wav.",
        "train: 6 utterances in 3 dialogues",
    ):
        assert line in printed, line
    card = (tmp_path / "corpus" / "README.md").read_text()
    assert "# sitzungen" in card and str(tmp_path) not in card
    assert load_corpus(str(tmp_path / "corpus")).label_names == names


def test_encodings_separators_and_workbooks_give_the_same_corpus(tmp_path):
    folder = write_clips(tmp_path / "lab")
    rows = sheet_rows()
    texts = {
        "utf8.csv": sheet_text(rows, ",").encode(),
        "mark.csv": b"\xef\xbb\xbf" + sheet_text(rows).encode(),
        "hint.csv": b"sep=|\r\n" + sheet_text(rows, "|").encode(),
        "wide.tsv": sheet_text(rows, "\t").encode("utf-16"),
        "unmarked.tsv": sheet_text(rows, "\t").encode("utf-16-be"),
    }
    for name, content in texts.items():
        (folder / name).write_bytes(content)
    typed = [row | {"Turn": float(row["Turn"])} for row in rows]
    typed[4] |= {"Start": datetime.time(0, 0, 0, 500000), "End": 1.25}
    typed[5] |= {"Start": 1.5, "End": datetime.timedelta(seconds=2.5)}
    write_workbook(folder / "book.xlsx", typed)
    found = []
    for name in (*texts, "book.xlsx"):
        assert _build(folder / name, *NO_FEATURES) == 0
        found.append(list(_rows(folder / name)))
        np.testing.assert_equal(found[-1], found[0], err_msg=name)
    assert found[0][4]["end"] == 1.25


def test_python_takes_the_folder_of_the_media_and_the_sheet(tmp_path):
    sheet = write_sheet(tmp_path / "lab")
    told: list[str] = []
    options = {"audio_extractor": "none", "vision_extractor": "none", "labels_map": "Wut=anger,Freude=happy"}
    builder = build_corpus(
        Sheet, tmp_path / "corpus", source=str(sheet.parent), sheet=str(sheet), listener=told.append, **options
    )
    assert builder.corpus.label_names == ["happy", "anger", "Überraschung"] and len(told) > 3


def test_columns_that_are_mapped_and_a_column_for_each_emotion(tmp_path, capsys):
    rows = [
        {"Who": "a", "Said": "One.", "Joy": "1", "Very  angry": "", "Label": "x", "Id": "u1"},
        {"Who": "b", "Said": "Two.", "Joy": "0", "Very  angry": "yes", "Label": "x", "Id": "u2"},
        {"Who": "b", "Said": "Three.", "Joy": "0,4", "Very  angry": "1", "Label": "x", "Id": "u3"},
    ]
    sheet = _write(tmp_path / "lab" / "s.csv", rows)
    arguments = [
        "--columns",
        "text=said,speaker=Who",
        "--label-columns",
        "joy,very angry",
        "--labels-map",
        "Joy=happy",
    ]
    assert _build(sheet, *arguments) == 0
    found = _rows(sheet)
    assert found["utterance_id"] == found["dialogue_id"] == ["u1", "u2"]
    assert found.features["emotions"].feature.names == ["happy", "Very  angry"] and found["emotions"] == [[0], [1]]
    assert "Columns that are not used: Label;" in capsys.readouterr().out
    (rejected,) = map(json.loads, (tmp_path / "corpus" / "rejected.jsonl").read_text().splitlines())
    assert rejected["reason"] == (
        "s.csv: line 4 (utterance 'u3'): the column 'Joy' has '0,4', expected 1 where the emotion is there, or else 0"
    )


def test_empty_cells_of_a_column_of_zeros_and_ones_are_told(tmp_path, capsys):
    cells = [("1", "", ""), ("0", "0", "x"), ("", "1", ""), ("1", "0", "x")]
    rows = [
        {"text": f"Well, {number}.", **dict(zip(("Joy", "Fear", "Anger"), row, strict=True))}
        for number, row in enumerate(cells)
    ]
    sheet = _write(tmp_path / "lab" / "s.csv", rows)
    assert _build(sheet, "--label-columns", "Joy,Fear,Anger", "--dry-run") == 0
    out = capsys.readouterr().out
    assert "Empty cells count as 0 in columns of one emotion that have 0 too: Joy (1), Fear (1).\n" in out


def test_names_and_order_that_a_sheet_does_not_have(tmp_path):
    for name in ("talk.wav", "a.wav"):
        write_sound(tmp_path / "lab" / name, 2)
    rows = [
        {"file": "talk", "start": "1", "end": "2", "text": "Later.", "label": "joy"},
        {"file": "a.wav", "start": "", "end": "", "text": "Alone.", "label": "joy"},
        {"file": "talk", "start": "0", "end": "1", "text": "First.", "label": "joy"},
        {"file": "", "start": "", "end": "", "text": "No file.", "label": "joy"},
    ]
    sheet = _write(tmp_path / "lab" / "s.csv", rows)
    assert _build(sheet, *NO_FEATURES) == 0
    found = _rows(sheet)
    assert found["utterance_id"] == ["talk-0", "talk-1", "a-0", "s-00004-0"]
    assert found["text"] == ["First.", "Later.", "Alone.", "No file."]


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (b"", [], "the sheet is empty; save it with a header and rows"),
        (b"text,label\n", [], "the sheet has a header and no rows"),
        (b"text,text\na,b\n", [], "the column 'text' is there twice"),
        (b"text,label\na,b,c\n", [], "line 2: 3 cells, expected 2 as in the header; quote cells that hold"),
        ("текст,эмоция\nда,радость\n".encode("cp1251"), [], "nor UTF-16 nor cp1252; pass its --encoding"),
        (b"text,label\n\xff,b\n", ["--encoding", "utf-8"], "not utf-8 (invalid start byte); pass its --encoding"),
        (b"text,label\na,b\n", ["--encoding", "klingon"], "--encoding 'klingon' is unknown"),
        (b"text,label\na,b\n", ["--separator", "ab"], "--separator 'ab' is not one character"),
        (b"text,la;bel\na,b;c\n", [], "commas and semicolons could both separate the cells; pass --separator"),
        (b"text,label\n\"a,b\n", [], "line 2: not sound csv"),
        (b"text,label\na,b\n", ["--worksheet", "x"], "only a workbook has a --worksheet"),
        (b"text,remark\na,b\n", [], "no column of emotions was recognised among remark; pass --columns emotions=NAME"),
        (b"text,emotion,Emotion\na,b,c\n", [], "the columns 'emotion' and 'Emotion' could both be emotions; pass"),
        (b"text,label\na,b\n", ["--columns", "txt=text"], "does not have, the nearest is 'text'"),
        (b"text,label\na,b\n", ["--columns", "text=Said"], "names the column 'Said', which the sheet does not have"),
        (b"text,label\na,b\n", ["--columns", "text"], "--columns must be pairs such as text=Transcript"),
        (b"text,label\na,b\n", ["--label-columns", "joy"], "--label-columns names the column 'joy'"),
        (b"text,label\na,b\n", ["--labels-map", "c=b"], "--labels-map names the label 'c', which no row has"),
        (b"text,label\na,b\n", ["--labels-map", "c"], "--labels-map must be pairs such as joy=happy"),
        (b"text;label\na;b,c\nd;e/f\n", [], "which could both separate labels; pass --label-sep"),
        (b"text,label,turn\na,b,one\n", [], "line 2: position 'one' is not a number"),
        (b"text,label,split\na,b,\n", [], "line 2: the split is empty"),
        (b"text,label,split\na,b,dev\n", ["--split-by", "dialogue"], "a column of splits, 'split', and --split-by"),
        (b"text,label\na,b\n", ["--split-by", "speaker"], "line 2: no speaker, which --split-by speaker needs"),
        (b"text,label\na,b\n", ["--split-by", "dialogue"], "one dialogue cannot be dealt to 3 splits"),
        (b"text,label\na,b\n", ["--split-by", "dialogue", "--ratios", "1"], "pass shares of train, validation"),
        (b"id,text,label\nu,a,b\nu,c,d\n", [], "line 3 (utterance 'u'): utterance_id 'u' was there before"),
        (b"text,label\na,Joy\nb,joy\n", [], "with --labels; otherwise rename it with --labels-map"),
    ],
)  # fmt: skip
def test_what_is_ambiguous_or_wrong_is_one_sentence(tmp_path, capsys, content, arguments, message):
    sheet = tmp_path / "lab" / "s.csv"
    sheet.parent.mkdir()
    sheet.write_bytes(content)
    assert _build(sheet, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and error.startswith("error: ")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"text,label\na,b\n"])
def test_a_workbook_that_is_none(tmp_path, capsys, content):
    sheet = tmp_path / "lab" / "s.xlsx"
    sheet.parent.mkdir()
    sheet.write_bytes(content)
    assert _build(sheet) == 2
    assert "cannot be read as a workbook" in capsys.readouterr().err


def test_sources_that_are_no_sheet(tmp_path, capsys):
    (tmp_path / "lab").mkdir()
    for source, message in (
        ("lab/none.csv", "cannot be read"),
        ("lab/s.pdf", "not a sheet"),
        ("lab", "holds no sheet"),
    ):
        assert build_main("sheet", ["--source", str(tmp_path / source), "--output", str(tmp_path / "corpus")]) == 2
        assert message in capsys.readouterr().err
    _write(tmp_path / "lab" / "s.csv", _texts())
    assert build_main("sheet", ["--source", str(tmp_path / "lab"), "--output", str(tmp_path / "corpus")]) == 0
    assert build_main("sheet", ["--source", str(tmp_path / "lab")]) == 2
    assert "--output is missing; pass the folder to make, or --dry-run" in capsys.readouterr().err
    arguments = ["--source", str(tmp_path / "lab"), "--media-root", str(tmp_path / "none"), "--dry-run"]
    assert build_main("sheet", arguments) == 2
    assert f"--media-root is {tmp_path / 'none'}, which is not a folder" in capsys.readouterr().err


def test_five_kinds_of_broken_files_go_and_the_others_stay(tmp_path, capsys):
    folder = tmp_path / "lab"
    whole = write_clip(folder / "whole.mp4")
    content = whole.read_bytes()
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "cut.mp4").write_bytes(content[: len(content) // 3])
    (folder / "text.mp4").write_text("This is no video.")
    write_clip(folder / "sound.mp4", picture=False)
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "twin.mp4").write_bytes(content)
    names = ("whole", "empty", "cut", "text", "sound", "none", "twin", "b/twin", "a/whole")
    rows = [{"id": name, "file": f"{name}.mp4", "text": "Well.", "emotion": "joy"} for name in names]
    sheet = _write(folder / "s.csv", rows)
    assert _build(sheet, *FACES) == 0
    assert _rows(sheet)["utterance_id"] == ["whole", "sound", "b/twin"]
    lines = map(json.loads, (tmp_path / "corpus" / "rejected.jsonl").read_text().splitlines())
    reasons = {line["utterance_id"]: line["reason"] for line in lines}
    assert set(reasons) == {"empty", "cut", "text", "none", "twin", "a/whole"}
    assert "'none.mp4' is not in" in reasons["none"] and "'a/whole.mp4' is not in" in reasons["a/whole"]
    assert "'twin.mp4' could be a/twin.mp4, b/twin.mp4; write the folder before it" in reasons["twin"]
    assert all(f"{name}.mp4" in reasons[name] for name in ("empty", "cut", "text"))
    absent = (tmp_path / "corpus" / "absent_modalities.jsonl").read_text()
    assert json.loads(absent)["utterance_id"] == "sound" and json.loads(absent)["modality"] == "vision"
    assert "3 rows are left out: " in capsys.readouterr().out


def test_paths_of_another_computer_and_paths_that_lead_out(tmp_path):
    folder = tmp_path / "lab"
    write_sound(folder / "day1" / "a.wav", 1)
    write_sound(tmp_path / "secret.wav", 1)
    names = (
        "D:\\study\\day1\\A.WAV",
        "/home/ann/day1/a.wav",
        "day2/a.wav",
        "../secret.wav",
        str(tmp_path / "secret.wav"),
    )
    sheet = _write(folder / "s.csv", [{"audio": name, "text": "So.", "emotion": "joy"} for name in names])
    assert _build(sheet, *NO_FEATURES) == 0
    # There is no folder day2, so that it is one of another computer.
    assert _rows(sheet)["audio"] == ["day1/a.wav"] * 3
    assert len((tmp_path / "corpus" / "rejected.jsonl").read_text().splitlines()) == 2
    assert _build(sheet, *NO_FEATURES, "--outside-source") == 0
    assert "../secret.wav" in _rows(sheet)["audio"]


def test_text_that_is_missing(tmp_path, capsys):
    write_sound(tmp_path / "lab" / "a.wav", 1)
    rows = [{"audio": "a.wav", "text": text, "emotion": "joy"} for text in ("Said.", "")]
    sheet = _write(tmp_path / "lab" / "s.csv", rows)
    assert _build(sheet) == 0
    assert _rows(sheet)["text"] == ["Said."]
    assert "1 of 2 rows has no text and is left out: fill it in" in capsys.readouterr().out
    assert _build(sheet, "--keep-empty-text") == 0
    assert _rows(sheet)["text"] == ["Said.", None]
    assert _build(sheet, "--columns", "text=") == 0
    assert _rows(sheet)["text"] == [None, None]
    assert "2 of 2 rows have no text; a model that reads text cannot be trained" in capsys.readouterr().out


def test_splits_of_a_column_and_by_speaker(tmp_path, capsys):
    rows = [
        row | {"Set": name}
        for row, name in zip(_texts(6), ("Test", "TRAIN", "dev", "x", "train", "test"), strict=True)
    ]
    sheet = _write(tmp_path / "lab" / "s.csv", rows)
    assert _build(sheet) == 0
    assert set(load_corpus(str(tmp_path / "corpus")).splits) == {"train", "dev", "test", "x"}
    rows = [row | {"speaker": f"s{number // 10}"} for number, row in enumerate(_texts(100))]
    rows[3]["emotion"], rows[4]["emotion"] = "Joy ", "rare"
    sheet = _write(tmp_path / "lab" / "s.csv", rows)
    capsys.readouterr()
    options = ["--split-by", "speaker", "--labels-map", "Joy=joy", "--rare-below", "2"]
    assert _build(sheet, *options) == 0
    splits = load_corpus(str(tmp_path / "corpus")).splits
    speakers = {split: set(rows["speaker"]) for split, rows in splits.items()}
    assert [len(found) for found in speakers.values()] == [7, 1, 2] and len(set.union(*speakers.values())) == 10
    printed = capsys.readouterr().out
    assert "Labels of fewer than 2 rows: rare (1)." in printed and "lacks the labels rare." in printed
    assert "Split by speaker with seed 0" in (tmp_path / "corpus" / "README.md").read_text()
    assert _build(sheet, *options) == 0
    again = load_corpus(str(tmp_path / "corpus")).splits
    assert {split: set(rows["speaker"]) for split, rows in again.items()} == speakers


def test_dry_run_says_what_would_be_built_and_builds_nothing(tmp_path, capsys):
    sheet = write_sheet(tmp_path / "lab")
    rows = sheet_rows()
    rows[2] |= {"Emotions": "wut", "File": "gone.wav"}
    sheet.write_bytes(sheet_text(rows).encode("cp1252"))
    before = sorted(tmp_path.rglob("*"))
    rows[3]["Speaker"] = " IDA"
    rows[1]["Speaker"] = "Ida"
    sheet.write_bytes(sheet_text(rows).encode("cp1252"))
    before = sorted(tmp_path.rglob("*"))
    arguments = ["--source", str(sheet), "--dry-run"]
    assert build_main("sheet", arguments) == 0
    printed = capsys.readouterr().out
    for line in (
        "The labels 'Wut' (2) and 'wut' (1) differ by case or blanks alone; join them with --labels-map wut=Wut.",
        "The speakers 'Ida' (1) and 'IDA' (1) differ by case or blanks alone, and count as different ones;",
        "1 row is left out: sitzungen.csv: line 4: 'gone.wav' is not in the folder of the media; correct the path",
        "This would not be built: sitzungen.csv: line 4: emotion 'wut' differs from 'Wut' in case alone: ",
        "labels: Freude, Wut, wut, Überraschung",
        "train: 6 utterances in 3 dialogues, 1 of them left out",
        '"utterance_id": "A-0", "dialogue_id": "A"',
    ):
        assert line in printed, line
    assert sorted(tmp_path.rglob("*")) == before


def test_a_recipe_builds_it_and_a_benchmark_finds_its_media(tmp_path):
    media = write_sheet(tmp_path / "lab").parent
    (tmp_path / "sheets").mkdir()
    sheet = (media / "sitzungen.csv").rename(tmp_path / "sheets" / "sitzungen.csv")
    output, options = str(tmp_path / "corpus"), [f"--media-root={media}", "--split-by=dialogue", *NO_FEATURES]
    recipe = {
        "corpus_script": "sheet", "corpus_source": str(sheet), "corpus_options": options, "dataset": output,
        "output_dir": str(tmp_path / "run"),
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    _, data_args, training_args = parse_arguments([str(tmp_path / "recipe.yaml")])
    corpus = prepare_corpus(data_args, training_args)
    assert {split: len(rows) for split, rows in corpus.splits.items()} == {"train": 2, "validation": 2, "test": 2}
    found = media_folder("sheet", output, str(sheet), options)
    assert found == str(media)
    assert media_folder("sheet", output, str(sheet), []) == str(sheet.parent)
