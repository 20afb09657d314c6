# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`UtteranceFolder` with video files, and with clips given by their times."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from csv_files import read_csv, write_csv
from datasets import load_dataset
from video_files import write_clip

from modeling_univa.commands.build import corpus_main
from modeling_univa.corpora.build import build_corpus
from modeling_univa.corpora.utterance_folder import UtteranceFolder
from modeling_univa.models.faces_univa import FaceReader
from modeling_univa.models.light_features_univa import HogExtractor, LogMelExtractor
from modeling_univa.models.media_univa import read_audio


READER = FaceReader(detector="whole-frame", frame_rate=5)
OPTIONS = ["--face-detector", json.dumps({"detector": "whole-frame", "frame_rate": 5})]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One split: two parts of a long video, a silent video, a video without a picture, a part of a sound file."""
    source = tmp_path / "source"
    write_clip(source / "clips" / "long.mp4", 3)
    write_clip(source / "clips" / "silent.mp4", 1, sound=False, seed=1)
    write_clip(source / "clips" / "dark.mp4", 1, picture=False, seed=2)
    rows = [
        _row(0, video="clips/long.mp4", start="0.5", end="1.5"),
        _row(1, video="clips/long.mp4", start="2"),
        _row(2, video="clips/silent.mp4"),
        _row(3, video="clips/dark.mp4"),
        _row(4, audio="clips/dark.mp4", start="0.25", end="0.75"),
        _row(5),
    ]
    write_csv(source / "train.csv", rows)
    return source


def _row(position: int, **cells: str) -> dict[str, str]:
    row = {"utterance_id": f"u{position}", "dialogue_id": "d", "position": str(position), "text": "Well."}
    return row | {"emotions": "happy", "audio": "", "video": "", "start": "", "end": ""} | cells


def _run(folder: Path, *arguments: str, output: str = "corpus") -> int:
    return corpus_main(UtteranceFolder, ["--source", str(folder), "--output", str(folder.parent / output), *arguments])


def _rows(folder: Path):
    return load_dataset(str(folder.parent / "corpus"), cache_dir=str(folder.parent / "cache"))["train"]


def test_features_of_videos_and_of_parts_of_files(folder, capsys):
    assert _run(folder, *OPTIONS) == 0
    rows = _rows(folder)
    assert rows["start"] == [0.5, 2.0, None, None, 0.25, None] and rows["end"] == [1.5, None, None, None, 0.75, None]
    long, dark = folder / "clips" / "long.mp4", folder / "clips" / "dark.mp4"
    for index, clip in ((0, (long, 0.5, 1.5)), (1, (long, 2.0, None)), (3, (dark,)), (4, (dark, 0.25, 0.75))):
        path, *times = clip
        expected = LogMelExtractor()(read_audio(path, 16000, *times), 16000).astype(np.float16)
        np.testing.assert_array_equal(rows["audio_features"][index], expected)
    for index, times in ((0, (0.5, 1.5)), (1, (2.0, None))):
        expected = HogExtractor()(READER(long, *times).images).astype(np.float16)
        assert len(expected) == 5
        np.testing.assert_array_equal(rows["vision_features"][index], expected)
    assert [frames is None for frames in rows["audio_features"]] == [False, False, True, False, False, True]
    assert [frames is None for frames in rows["vision_features"]] == [False, False, False, True, True, True]
    printed = capsys.readouterr().out
    assert "train: the videos of 1 utterance have no audio modality (see absent_modalities.jsonl)" in printed
    absent = (folder.parent / "corpus" / "absent_modalities.jsonl").read_text().splitlines()
    found = {(entry["utterance_id"], entry["modality"]): entry["reason"] for entry in map(json.loads, absent)}
    assert set(found) == {("u2", "audio"), ("u3", "vision")}
    assert found["u2", "audio"].startswith("clips/silent.mp4: ")


def test_corpus_says_how_faces_were_found(folder):
    assert _run(folder, *OPTIONS) == 0
    made = json.loads((folder.parent / "corpus" / "feature_extractors.json").read_text())
    assert made["faces"] == READER.to_dict()
    card = (folder.parent / "corpus" / "README.md").read_text()
    assert "whole-frame" in card and "| `start` | float64 |" in card


def test_default_detector_needs_no_network(folder, tmp_path, monkeypatch):
    """The model that is trained on it keeps to the one that was taken."""

    def refuse(*arguments, **more):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert _run(folder) == 0
    made = json.loads((folder.parent / "corpus" / "feature_extractors.json").read_text())
    assert made["faces"] == FaceReader(detector="haar").to_dict()
    # A detector that was asked for is not replaced.
    assert _run(folder, "--face-detector", "yunet", output="other") == 2


def test_a_clip_without_a_face_says_so(folder):
    assert _run(folder, "--face-detector", "haar") == 0
    entries = map(json.loads, (folder.parent / "corpus" / "absent_modalities.jsonl").read_text().splitlines())
    reasons = [entry["reason"] for entry in entries if entry["utterance_id"] == "u0" and entry["modality"] == "vision"]
    assert len(reasons) == 1 and re.match(r"clips/long.mp4: no face in \d+ pictures", reasons[0])


def test_faces_that_are_left_out_are_told(folder, capsys):
    assert _run(folder, "--face-detector", json.dumps({"detector": "whole-frame", "max_faces": 2})) == 0
    (first, *_) = map(json.loads, (folder.parent / "corpus" / "face_notes.jsonl").read_text().splitlines())
    assert first == {"split": "train", "note": "clips/long.mp4: 2 of 5 faces are used, at even distances"}
    assert "remarks on the faces in videos are in face_notes.jsonl" in capsys.readouterr().out


def test_without_features_videos_are_paths_only(folder):
    build_corpus(
        UtteranceFolder, folder.parent / "corpus", source=str(folder), audio_extractor="none", vision_extractor="none"
    )
    rows = _rows(folder)
    assert rows["video"][0] == "clips/long.mp4" and "vision_features" not in rows.column_names
    assert "faces" not in json.loads((folder.parent / "corpus" / "feature_extractors.json").read_text())


def test_face_images_and_a_sound_file_go_before_the_video(folder):
    import cv2

    cv2.imwrite(str(folder / "face.png"), np.full((70, 70, 3), 90, np.uint8))
    rows = [
        row | {"faces": "face.png" if row["utterance_id"] == "u0" else ""} for row in read_csv(folder / "train.csv")
    ]
    rows[0] |= {"audio": "clips/dark.mp4"}
    write_csv(folder / "train.csv", rows)
    assert _run(folder, *OPTIONS) == 0
    row = _rows(folder)[0]
    assert len(row["vision_features"]) == 1
    expected = LogMelExtractor()(read_audio(folder / "clips" / "dark.mp4", 16000, 0.5, 1.5), 16000).astype(np.float16)
    np.testing.assert_array_equal(row["audio_features"], expected)


def _change(folder: Path, row: int, **cells: str) -> None:
    rows = read_csv(folder / "train.csv")
    rows[row].update(cells)
    write_csv(folder / "train.csv", rows)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"start": "-1"}, r"start -1.0, expected seconds from the beginning of the file"),
        ({"start": "soon"}, "start 'soon', expected seconds"),
        ({"end": "nan"}, "end nan, expected seconds"),
        ({"start": "2", "end": "1"}, "the clip ends at 1 s, not after its start"),
        ({"end": "0"}, "the clip ends at 0 s, not after its start"),
        ({"start": "50", "end": "60"}, "clips/long.mp4: "),
        ({"video": "clips/none.mp4"}, "video file 'clips/none.mp4' is not in"),
        ({"video": "train.mp4"}, "train.mp4: "),
        ({"video": "cut.mp4", "start": ""}, "cut.mp4: "),
        ({"video": "", "audio": "clips/silent.mp4", "start": "", "end": ""}, "clips/silent.mp4: "),
    ],
)
def test_bad_clips_are_rejected(folder, cells, message):
    (folder / "train.mp4").write_bytes((folder / "train.csv").read_bytes())
    (folder / "cut.mp4").write_bytes((folder / "clips" / "long.mp4").read_bytes()[:3000])
    _change(folder, 0, **cells)
    assert _run(folder, *OPTIONS) == 0
    (entry,) = map(json.loads, (folder.parent / "corpus" / "rejected.jsonl").read_text().splitlines())
    assert entry["utterance_id"] == "u0" and re.search(message, entry["reason"]), entry["reason"]
    assert _run(folder, *OPTIONS, "--strict", output="strict") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--face-detector", "cascade"), "--face-detector cascade: .*detector"),
        (("--face-detector", '{"detector": "haar", "speed": 3}'), "--face-detector .*: a face reader has no speed"),
        (("--face-detector", "{"), "--face-detector {: "),
        (("--face-detector", "none.json"), "none.json: cannot be read"),
        (("--face-detector", "haar", "--vision-extractor", "none"), "no face features are to be made"),
    ],
)
def test_bad_face_readers_are_refused(folder, capsys, arguments, message):
    assert _run(folder, *arguments) == 2
    assert re.search(f"error: .*{message}", capsys.readouterr().err)


def test_a_detector_that_cannot_be_had_ends_the_job(folder, capsys):
    """It is missing for every clip alike."""
    settings = json.dumps({"detector": "yunet", "detector_model": str(folder / "none.onnx")})
    assert _run(folder, "--face-detector", settings) == 2
    assert "none.onnx" in capsys.readouterr().err
