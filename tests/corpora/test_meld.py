# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""MELD as MELD.Raw unpacks."""

import json
import shutil
from pathlib import Path

import pytest
from datasets import load_dataset
from media_corpora import write_sound
from video_files import write_clip

from modeling_univa.commands.build import build_main
from modeling_univa.corpora.meld import Meld


FACES = ["--face-detector", json.dumps({"detector": "whole-frame", "frame_rate": 5}), "--workers", "1"]
NO_FEATURES = ["--audio-extractor", "none", "--vision-extractor", "none"]
HEADER = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime"
TIMES = '8,21,"00:16:16,059","00:16:21,731"'
# An apostrophe and three dots as the published tables have them: cp1252 that was taken for Latin-1.
TRAIN = [
    f'1,"My company\x92s plan, you know\x85 all of it.",Chandler,neutral,neutral,0,0,{TIMES}',
    f"2,Really?!,The Interviewer,surprise,positive,0,1,{TIMES}",
    f"3,No way!,Joey,Joy,positive,1,8,{TIMES}",
    f"4,Oh.,Joey,sadness,negative,1,3,{TIMES}",
]
DEV = [f"1,“Hey.”,Phoebe,fear,negative,0,0,{TIMES}"]
TEST = [f"1,Go away!,Mrs. Green,anger,negative,0,0,{TIMES}", f"2,Yuck.,Ross,disgust,negative,0,1,{TIMES}"]


def table(*lines: str) -> str:
    return "\n".join([HEADER, *lines]) + "\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "MELD.Raw"
    for name, lines, folder, clips in (
        ("train", TRAIN, "train/train_splits", ("dia0_utt0", "dia0_utt1", "dia1_utt8", "dia1_utt3")),
        ("dev", DEV, "dev_splits_complete", ("dia0_utt0",)),
        ("test", TEST, "output_repeated_splits_test", ("dia0_utt0", "final_videos_testdia0_utt0", "dia0_utt1")),
    ):
        (root / folder).mkdir(parents=True)
        place = root / "train" if name == "train" else root
        (place / f"{name}_sent_emo.csv").write_text(table(*lines), encoding="utf-8")
        for number, clip in enumerate(clips):
            write_clip(root / folder / f"{clip}.mp4", 0.6, seed=number)
            (root / folder / f"._{clip}.mp4").write_bytes(b"\x00\x05\x16\x07")
    return root


def run(source: Path, *arguments: str) -> int:
    return build_main("meld", ["--source", str(source), "--output", str(source.parent / "corpus"), *arguments])


def corpus(source: Path):
    return load_dataset(str(source.parent / "corpus"), cache_dir=str(source.parent / "cache"))


def rejected(source: Path) -> dict[str, str]:
    lines = (source.parent / "corpus" / "rejected.jsonl").read_text().splitlines()
    return {entry["utterance_id"]: entry["reason"] for entry in map(json.loads, lines)}


def test_published_labels_splits_and_clips(source, capsys):
    assert run(source, *FACES) == 0
    built = corpus(source)
    assert list(built) == ["train", "validation", "test"]
    rows = built["train"]
    assert rows["utterance_id"] == ["train_dia0_utt0", "train_dia0_utt1", "train_dia1_utt3", "train_dia1_utt8"]
    assert rows["dialogue_id"] == ["train_dia0", "train_dia0", "train_dia1", "train_dia1"]
    assert rows["position"] == [0, 1, 0, 1]
    assert rows["speaker"] == ["Chandler", "The Interviewer", "Joey", "Joey"]
    assert rows["text"][0] == "My company’s plan, you know… all of it."
    assert built["validation"]["text"] == ["“Hey.”"]
    labels = rows.features["emotions"].feature.names
    assert labels == ["neutral", "joy", "surprise", "anger", "sadness", "disgust", "fear"]
    assert [[labels[label] for label in row] for row in rows["emotions"]] == [
        ["neutral"], ["surprise"], ["sadness"], ["joy"],
    ]  # fmt: skip
    assert rows["video"][0] == "train/train_splits/dia0_utt0.mp4"
    assert "start" not in rows.column_names and "audio" not in rows.column_names
    assert all(rows["audio_features"]) and all(rows["vision_features"])
    # The clip that corrects another one is taken in its place.
    assert built["test"]["video"] == [
        f"output_repeated_splits_test/{name}.mp4" for name in ("final_videos_testdia0_utt0", "dia0_utt1")
    ]
    assert not (source.parent / "corpus" / "left_out_files.jsonl").exists()
    assert "train: train_sent_emo.csv has 4 utterances, 9989 were published." in capsys.readouterr().out
    card = (source.parent / "corpus" / "README.md").read_text()
    assert "license: gpl-3.0" in card and "Please cite: Soujanya Poria" in card
    assert "`train/train_sent_emo.csv`" in card
    assert Meld.FACE_READER.track == "speaking"


def test_tables_in_cp1252(source):
    file = source / "dev_sent_emo.csv"
    file.write_text(table(f"1,It’s me…,Phoebe,fear,negative,0,0,{TIMES}"), encoding="cp1252")
    assert run(source, *NO_FEATURES) == 0
    assert corpus(source)["validation"]["text"] == ["It’s me…"]


def test_absent_and_broken_clips_are_left_out_and_counted(source, capsys):
    folder = source / "train" / "train_splits"
    (folder / "dia0_utt1.mp4").unlink()
    (folder / "dia1_utt3.mp4").write_bytes((folder / "dia1_utt3.mp4").read_bytes()[:200])
    shutil.copy(folder / "dia0_utt0.mp4", folder / "trailer.mp4")
    for name in ("dia7_utt0", "dia7_utt1"):
        shutil.copy(folder / "dia0_utt0.mp4", folder / f"{name}.mp4")
    assert run(source, *FACES) == 0
    reasons = rejected(source)
    assert set(reasons) == {"train_dia0_utt1", "train_dia1_utt3"}
    assert "the clip train/train_splits/dia0_utt1.mp4 is not there" in reasons["train_dia0_utt1"]
    assert "dia1_utt3.mp4" in reasons["train_dia1_utt3"]
    rows = corpus(source)["train"]
    assert rows["utterance_id"] == ["train_dia0_utt0", "train_dia1_utt8"] and rows["position"] == [0, 0]
    printed = capsys.readouterr().out
    assert (
        "train: of 4 utterances listed in train_sent_emo.csv, 1 has no video file in its place, and is left out"
        in printed
    )
    assert "1 file is left out: the name is not one of MELD, such as dia0_utt0.mp4" in printed
    unlisted = (
        "2 clips in train/train_splits are not listed in train_sent_emo.csv and are left out, the first dia7_utt0."
    )
    assert f"train: {unlisted}" in printed and printed.count("not listed in") == 1
    assert run(source, "--strict", "--overwrite", *FACES) == 2


def test_sound_alone_of_clips_or_of_files_beside_them(source):
    write_sound(source / "dev_splits_complete" / "dia0_utt0.wav", 0.5)
    assert run(source, "--media", "audio", "--label-words", "univa", *NO_FEATURES) == 0
    built = corpus(source)
    assert built["validation"]["audio"] == ["dev_splits_complete/dia0_utt0.wav"]
    assert built["test"]["audio"][0] == "output_repeated_splits_test/final_videos_testdia0_utt0.mp4"
    assert "video" not in built["train"].column_names
    names = built["train"].features["emotions"].feature.names
    assert names == ["neutral", "happy", "surprise", "anger", "sad", "disgust", "fear"]


def test_texts_alone_and_a_split_that_is_not_there(source, capsys):
    (source / "dev_sent_emo.csv").unlink()
    shutil.rmtree(source / "output_repeated_splits_test")
    assert run(source) == 2
    assert (
        "its clips are in a folder output_repeated_splits_test, and" in (told := capsys.readouterr().err)
        and "unpack test.tar.gz there" in told
    )
    assert run(source, "--media", "none") == 0
    assert set(corpus(source)) == {"train", "test"}
    assert "dev_sent_emo.csv not found: there are no such splits." in capsys.readouterr().out
    for path in ("train", "dev_splits_complete"):
        shutil.rmtree(source / path)
    assert run(source, "--overwrite") == 2
    assert "has no audio or video of MELD; unpack its archives there, or pass --media none" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (",fear,", ",fright,", "line 2: unknown emotion 'fright'; MELD has neutral, joy,"),
        ("negative,0,0", "negative,zero,0", "line 2: expected numbers as Dialogue_ID and Utterance_ID, found ['zero'"),
        ("Utterance,Speaker", "Utterance,Who", "no column 'Speaker'; the table needs Utterance, Speaker,"),
        (TIMES, f"{TIMES}\n2,Hey.,Phoebe,fear,negative,0,0,{TIMES}", "'dev_dia0_utt0' was there before"),
    ],
    ids=["emotion", "number", "column", "twice"],
)
def test_tables_that_cannot_be_used(source, capsys, before, after, message):
    file = source / "dev_sent_emo.csv"
    file.write_text(file.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")
    assert run(source, *NO_FEATURES) == 2
    assert message in capsys.readouterr().err


def test_a_folder_without_tables_is_refused(tmp_path, capsys):
    (tmp_path / "MELD.Raw").mkdir()
    assert run(tmp_path / "MELD.Raw") == 2
    assert "has no train_sent_emo.csv; pass the folder MELD.Raw with its archives" in capsys.readouterr().err
