# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""RAVDESS in the folders in which it is distributed."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from datasets import load_dataset
from media_corpora import write_sound
from video_files import write_clip

from modeling_univa.commands.build import build_main
from modeling_univa.corpora.build import build_corpus
from modeling_univa.corpora.ravdess import Ravdess
from modeling_univa.data.schema import CorpusError


FACES = ["--face-detector", json.dumps({"detector": "whole-frame", "frame_rate": 5}), "--workers", "1"]
# Whose real takes are read.
ACTORS = ("01", "02", "03", "04")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Archives as they unpack: full and video-only files of actor 01, audio-only files of two actors."""
    root = tmp_path / "source"
    video, audio = root / "Video_Speech_Actor_01" / "Actor_01", root / "Audio_Speech_Actors_01-24"
    write_clip(video / "01-01-05-02-01-02-01.mp4", 1)
    write_clip(video / "02-01-05-02-01-02-01.mp4", 1, sound=False)
    write_clip(video / "02-01-03-01-02-01-01.mp4", 1, sound=False, seed=1)
    write_sound(audio / "Actor_01" / "03-01-05-02-01-02-01.wav", 0.7)
    write_sound(audio / "Actor_01" / "03-01-02-01-01-01-01.wav", 0.7, seed=1)
    write_sound(audio / "Actor_02" / "03-01-08-01-02-01-02.wav", 0.7, seed=2)
    write_sound(audio / "Actor_02" / "03-02-04-01-02-01-02.wav", 0.7, seed=3)
    return root


def run(source: Path, *arguments: str) -> int:
    return build_main("ravdess", ["--source", str(source), "--output", str(source.parent / "corpus"), *arguments])


def rows(source: Path) -> dict[str, dict]:
    corpus = load_dataset(str(source.parent / "corpus"), cache_dir=str(source.parent / "cache"))
    return {row["utterance_id"]: {**row, "split": split} for split, part in corpus.items() for row in part}


def names(source: Path) -> list[str]:
    corpus = load_dataset(str(source.parent / "corpus"), cache_dir=str(source.parent / "cache"))
    return next(iter(corpus.values())).features["emotions"].feature.names


def test_one_row_a_take_with_the_sound_and_the_picture_of_it(source, capsys):
    assert run(source, *FACES) == 0
    found = rows(source)
    assert set(found) == {"01-05-02-01-02-01", "01-03-01-02-01-01", "01-02-01-01-01-01", "01-08-01-02-01-02"}
    full = found["01-05-02-01-02-01"]
    assert full["video"] == "Video_Speech_Actor_01/Actor_01/01-01-05-02-01-02-01.mp4"
    assert full["audio"] == "Audio_Speech_Actors_01-24/Actor_01/03-01-05-02-01-02-01.wav"
    assert full["speaker"] == "actor_01" and full["dialogue_id"] == full["utterance_id"]
    assert full["text"] == "Kids are talking by the door."
    assert found["01-03-01-02-01-01"]["text"] == "Dogs are sitting by the door."
    labels = names(source)
    assert labels == ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]
    emotions = {name: [labels[label] for label in row["emotions"]] for name, row in found.items()}
    assert emotions == {
        "01-05-02-01-02-01": ["angry"],
        "01-03-01-02-01-01": ["happy"],
        "01-02-01-01-01-01": ["calm"],
        "01-08-01-02-01-02": ["surprised"],
    }
    # A video-only file has no sound, an audio-only file no face.
    assert found["01-03-01-02-01-01"]["audio_features"] is None
    assert found["01-02-01-01-01-01"]["vision_features"] is None
    assert full["audio_features"] and full["vision_features"]
    printed = capsys.readouterr().out
    assert "4 of the 1440 published takes of speech are there; missing, by actor: 01 (57), 02 (59), " in printed
    assert "No actor of the split" in printed
    card = (source.parent / "corpus" / "README.md").read_text()
    assert "license: cc-by-nc-sa-4.0" in card and "Source: https://zenodo.org/records/1188976" in card
    assert "Please cite: Steven R. Livingstone" in card


def test_sound_alone_song_and_words_of_labels(source):
    assert run(source, "--media", "audio", "--channel", "both", "--calm", "neutral", "--label-words", "univa") == 0
    found = rows(source)
    assert "video" not in next(iter(found.values()))
    labels = names(source)
    assert labels == ["neutral", "happy", "sad", "anger", "fear", "disgust", "surprise"]
    # Without an audio-only file the sound is that of the full file; a video-only file alone has none.
    assert labels[found["01-02-01-01-01-01"]["emotions"][0]] == "neutral"
    assert found["02-04-01-02-01-02"]["audio"].endswith("Actor_02/03-02-04-01-02-01-02.wav")
    assert found["01-03-01-02-01-01"]["audio"] is None
    (source / "Audio_Speech_Actors_01-24" / "Actor_01" / "03-01-05-02-01-02-01.wav").unlink()
    assert run(source, "--media", "audio", "--overwrite") == 0
    assert rows(source)["01-05-02-01-02-01"]["audio"].endswith("/01-01-05-02-01-02-01.mp4")


def test_song_has_six_emotions(source, capsys):
    assert run(source, "--media", "audio", "--channel", "song") == 0
    assert names(source) == ["neutral", "calm", "happy", "sad", "angry", "fearful"]
    # No song of actor 18 was published.
    printed = capsys.readouterr().out
    assert "1 of the 1012 published takes of song are there" in printed and " 18 (" not in printed


def test_an_actor_is_in_one_split_whatever_is_there(source, tmp_path):
    for actor in range(1, 25):
        write_sound(source / "more" / f"03-01-01-01-01-01-{actor:02d}.wav", 0.3, seed=actor)
    assert run(source, "--media", "audio", "--audio-extractor", "none") == 0
    split_of = {row["speaker"]: row["split"] for row in rows(source).values()}
    assert len(split_of) == 24
    for first in (1, 2):
        # Odd numbers are men, even ones women.
        splits = [split_of[f"actor_{actor:02d}"] for actor in range(first, 25, 2)]
        assert [splits.count(name) for name in ("train", "validation", "test")] == [8, 2, 2]
    shutil.rmtree(source / "Video_Speech_Actor_01")
    for actor in range(1, 13):
        (source / "more" / f"03-01-01-01-01-01-{actor:02d}.wav").unlink()
    assert run(source, "--media", "audio", "--audio-extractor", "none", "--overwrite") == 0
    again = {row["speaker"]: row["split"] for row in rows(source).values()}
    assert len(again) == 14 and again.items() <= split_of.items()
    assert run(source, "--split-seed", "1", "--media", "audio", "--audio-extractor", "none", "--overwrite") == 0
    assert {row["speaker"]: row["split"] for row in rows(source).values()} != again


def test_files_that_make_no_row_are_listed(source, capsys):
    audio = source / "Audio_Speech_Actors_01-24"
    # One archive on the web holds everything twice.
    shutil.copytree(audio / "Actor_02", source / "archive" / "audio" / "Actor_02")
    write_sound(audio / "Actor_02" / "03-01-09-01-02-01-02.wav", 0.3)
    write_sound(audio / "Actor_02" / "angry one.wav", 0.3)
    write_sound(audio / "Actor_02" / "._03-01-03-01-02-01-02.wav", 0.3)
    assert run(source, "--media", "audio") == 0
    listed = (source.parent / "corpus" / "left_out_files.jsonl").read_text().splitlines()
    found = {entry["file"]: entry["reason"] for entry in map(json.loads, listed)}
    assert found == {
        "archive/audio/Actor_02/03-01-08-01-02-01-02.wav": "there is another file of this name",
        "archive/audio/Actor_02/03-02-04-01-02-01-02.wav": "there is another file of this name",
        "Audio_Speech_Actors_01-24/Actor_02/03-01-09-01-02-01-02.wav": "the emotion 09 is not one of 01 to 08",
        "Audio_Speech_Actors_01-24/Actor_02/angry one.wav": (
            "the name is not one of RAVDESS, such as 01-01-05-02-01-02-12.mp4"
        ),
    }
    assert "2 files are left out: there is another file of this name" in capsys.readouterr().out
    with pytest.raises(CorpusError, match=r"03-01-08-01-02-01-02\.wav: there is another file"):
        build_corpus(Ravdess, source.parent / "strict", source=str(source), media="audio", strict=True)


def test_what_is_no_clip_is_rejected(source, capsys):
    (source / "Audio_Speech_Actors_01-24" / "Actor_01" / "03-01-02-01-01-01-01.wav").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"
    )
    (source / "Audio_Speech_Actors_01-24" / "Actor_01" / "03-01-05-02-01-02-01.wav").write_bytes(b"RIFF")
    assert run(source, "--media", "audio") == 0
    listed = (source.parent / "corpus" / "rejected.jsonl").read_text().splitlines()
    reasons = {entry["utterance_id"]: entry["reason"] for entry in map(json.loads, listed)}
    assert set(reasons) == {"01-02-01-01-01-01", "01-05-02-01-02-01"}
    assert "run `git lfs pull`" in reasons["01-02-01-01-01-01"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--channel", "song", "--media", "video"],
            "has no video of RAVDESS; unpack its archives",
        ),
        (["--channel", "shout"], "invalid choice: 'shout'"),
    ],
)
def test_mistakes_are_one_sentence(source, capsys, arguments, message):
    try:
        status = run(source, *arguments)
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    assert message in capsys.readouterr().err


def test_a_folder_without_takes_is_refused(tmp_path, capsys):
    (tmp_path / "source").mkdir()
    assert run(tmp_path / "source") == 2
    assert "has no audio or video of RAVDESS; unpack its archives there" in capsys.readouterr().err
    with pytest.raises(CorpusError, match="`calm` 'no' is unknown; choose one of label, neutral"):
        build_corpus(Ravdess, tmp_path / "corpus", source=str(tmp_path / "source"), calm="no")


def test_real_takes(shared_data, tmp_path):
    """Copies of spoken takes of four actors: every name is understood, and agrees with the list that comes along."""
    folder = shared_data / "ravdess_av"
    if not folder.is_dir():
        pytest.skip("no takes of RAVDESS here")
    expected = {}
    for split in ("train", "validation", "test"):
        with open(folder / "metadata" / f"{split}.csv", encoding="utf-8", newline="") as file:
            for cells in csv.DictReader(file):
                stem = Path(cells["audio"]).stem
                if stem.endswith(ACTORS):
                    expected[stem[3:]] = cells
    source = tmp_path / "source"
    for name, cells in expected.items():
        target = source / f"Actor_{name[-2:]}" / f"03-{name}.flac"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to((folder / cells["audio"]).resolve())
    build_corpus(
        Ravdess, tmp_path / "corpus", source=str(source), outside_source=True, calm="neutral", label_words="univa",
        audio_extractor="none",
    )  # fmt: skip
    found = rows(source)
    assert set(found) == set(expected) and len(found) > 100
    labels = names(source)
    for name, row in found.items():
        assert [labels[label] for label in row["emotions"]] == expected[name]["emotions"].split(";")
        assert (row["text"], row["speaker"]) == (expected[name]["text"], expected[name]["speaker"])
