# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""MOSEI from computational sequences: tiny HDF5 files as the CMU SDK writes them, and what can be wrong with them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset

from modeling_univa.commands.build import corpus_main
from modeling_univa.corpora.build import build_corpus
from modeling_univa.corpora.computational_sequences import find_sequences, segment_name, split_name
from modeling_univa.corpora.mosei import MoseiSequences
from modeling_univa.data.schema import CorpusError


h5py = pytest.importorskip("h5py")
REPOSITORY = Path(__file__).resolve().parents[2]
FOLDS = {"train": ["-a_1", "b"], "validation": ["c"], "test": ["d"]}
# Segments out of order in time, as some are in the published file; sentiment, then the six intensities.
LABELS = {
    "-a_1": ([(4.0, 6.0), (0.0, 2.0), (2.0, 4.0)],
             [[-3, 0, 0, 0, 0, 0, 0], [3, 3, 0, 0, 1 / 3, 0, 0], [0, 0, 2, 1, 0, 0, 1]]),
    "b": ([(0.5, 3.5)], [[0, 0, 0, 0, 0, 0.66, 0]]),
    "c": ([(0.0, 3.0)], [[0, 1, 0, 0, 0, 0, 0]]),
    "d": ([(0.0, 3.0)], [[0, 0, 1, 0, 0, 0, 0]]),
}  # fmt: skip


def _write(path: Path, name: str, entries: dict[str, tuple]) -> None:
    with h5py.File(path, "w") as file:
        for video, (intervals, features) in entries.items():
            group = file.create_group(f"{name}/data/{video}")
            group["intervals"] = np.asarray(intervals, dtype=np.float64)
            group["features"] = features
        file.create_group(f"{name}/metadata")["root name"] = name


def _words(video: str) -> tuple:
    """A word every half second, each second one a pause; the word at 1.75 s reaches over the border at 2 s."""
    times = np.arange(0, 6, 0.5)
    intervals = np.stack([times, times + 0.5], axis=1)
    intervals[3] = (1.5, 2.4)
    words = [f"{video}w{i}".encode() if i % 2 else b"sp" for i in range(len(times))]
    return intervals, np.array(words, dtype="S32")[:, None]


def _frames(size: int, rate: int) -> tuple:
    times = np.arange(6 * rate) / rate
    frames = np.arange(6 * rate * size, dtype=np.float32).reshape(-1, size)
    return np.stack([times, times + 1 / rate], axis=1), frames


@pytest.fixture
def sequences(tmp_path: Path) -> Path:
    """Folder of sequences (labels, words, COVAREP, OpenFace_2) beside the folder of the folds."""
    folder, folds = tmp_path / "csd", tmp_path / "folds"
    folder.mkdir()
    folds.mkdir()
    for split, videos in FOLDS.items():
        (folds / f"{split}.txt").write_text("\n".join(videos) + "\n")
    _write(folder / "CMU_MOSEI_Labels.csd", "All Labels", {k: (i, np.float32(v)) for k, (i, v) in LABELS.items()})
    _write(folder / "CMU_MOSEI_TimestampedWords.csd", "words", {video: _words(video) for video in LABELS})
    _write(folder / "CMU_MOSEI_COVAREP.csd", "COVAREP", {video: _frames(4, 10) for video in LABELS})
    _write(folder / "CMU_MOSEI_VisualOpenFace2.csd", "OpenFace_2", {v: _frames(3, 5) for v in LABELS if v != "b"})
    return folder


@pytest.fixture(scope="module")
def builder_class():
    return MoseiSequences


def _options(folder: Path) -> dict:
    return {"source": str(folder), "folds": str(folder.parent / "folds")}


def _run(builder_class, folder: Path, output: str = "corpus", arguments: tuple[str, ...] = ()) -> int:
    paths = ["--csd", str(folder), "--folds", str(folder.parent / "folds"), "--output", str(folder.parent / output)]
    return corpus_main(builder_class, [*paths, "--audio-sequence", "COVAREP", *arguments])


def _load(folder: Path, output: str = "corpus"):
    return load_dataset(str(folder.parent / output), cache_dir=str(folder.parent / "cache"))


def test_segments_text_labels_and_features(builder_class, sequences):
    features = {"audio_sequence": "COVAREP", "vision_sequence": "OpenFace_2"}
    builder = build_corpus(builder_class, sequences.parent / "corpus", **_options(sequences), **features)
    corpus = _load(sequences)
    assert set(corpus) == {"train", "validation", "test"}
    train = corpus["train"]
    names = train.features["emotions"].feature.names
    assert names == ["happy", "sad", "anger", "surprise", "disgust", "fear"]
    # By time, not by place in the file; the number is the place.
    assert train["utterance_id"] == ["-a_1[1]", "-a_1[2]", "-a_1[0]", "b[0]"]
    assert train["dialogue_id"] == ["-a_1"] * 3 + ["b"]
    assert train["position"] == [0, 1, 2, 0]
    labels = [[names[label] for label in row] for row in train["emotions"]]
    assert labels == [["happy", "surprise"], ["sad", "anger", "fear"], [], ["disgust"]]
    # The middle of w3 is 1.95 s.
    assert train["text"] == ["-a_1w1 -a_1w3", "-a_1w5 -a_1w7", "-a_1w9 -a_1w11", "bw1 bw3 bw5"]
    all_frames = _frames(4, 10)[1].astype(np.float16)
    np.testing.assert_array_equal(train["audio_features"][1], all_frames[20:40])
    np.testing.assert_array_equal(train["vision_features"][2], _frames(3, 5)[1][20:30])
    assert train["vision_features"][3] is None
    assert np.isnan(train["text_va"]).all()
    assert "train: 1 utterance has no frame of OpenFace_2, absent there." in builder.notes
    made = json.loads((sequences.parent / "corpus" / "feature_extractors.json").read_text())
    assert made["audio"] == {"extractor_type": "precomputed", "name": "COVAREP", "feature_size": 4}
    assert made["text"] is None and made["vision"]["name"] == "OpenFace_2"
    assert not builder.rejected and not (sequences.parent / "corpus" / "fold_differences.jsonl").exists()


@pytest.mark.slow
def test_script_chooses_by_its_options(sequences):
    output = sequences.parent / "corpus"
    paths = [f"--csd={sequences}", "--folds", str(sequences.parent / "folds"), "--output", str(output)]
    command = [sys.executable, str(REPOSITORY / "datasets_scripts" / "mosei.py"), *paths]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "train: 4 utterances in 2 dialogues" in run.stdout
    assert "No feature sequence was asked for" in run.stdout and "COVAREP, OpenFace_2" in run.stdout
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert run.returncode == 2 and "is not empty" in run.stderr


def test_what_float16_cannot_hold_is_replaced_and_counted(builder_class, sequences, capsys):
    with h5py.File(sequences / "CMU_MOSEI_COVAREP.csd", "a") as file:
        frames = file["COVAREP/data/-a_1/features"]
        frames[3, 0], frames[3, 1], frames[25, 2], frames[4, 3] = -np.inf, np.nan, np.inf, -1e30
        frames[40:60] = np.nan
    assert _run(builder_class, sequences) == 0
    rows = _load(sequences)["train"]["audio_features"]
    assert rows[0][3][:3] == [0.0, 0.0, 14.0] and rows[0][4][3] == -65504.0 and rows[1][5][2] == 0.0
    assert rows[2] is None
    printed = capsys.readouterr().out
    assert "train: 4 values of COVAREP in 2 utterances were NaN or infinite (now 0) or beyond float16" in printed
    assert "train: 1 utterance has no frame of COVAREP" in printed


def test_pooling_takes_the_mean_of_consecutive_frames(builder_class, sequences):
    assert _run(builder_class, sequences, arguments=("--audio-pool", "8")) == 0
    frames = _frames(4, 10)[1][:20]
    expected = [frames[:8].mean(0), frames[8:16].mean(0), frames[16:].mean(0)]
    np.testing.assert_array_equal(_load(sequences)["train"]["audio_features"][0], np.float16(expected))
    made = json.loads((sequences.parent / "corpus" / "feature_extractors.json").read_text())
    assert made["audio"]["pool"] == 8


def test_sequences_that_the_sdk_has_aligned(builder_class, sequences):
    """Ids of segments instead of videos, for labels, words and features alike."""
    for file, name in (("Labels", "All Labels"), ("TimestampedWords", "words"), ("COVAREP", "COVAREP")):
        entries = {}
        for video, (intervals, labels) in LABELS.items():
            for number, interval in enumerate(intervals):
                if name == "All Labels":
                    features, times = np.float32(labels[number])[None], [interval]
                elif name == "words":
                    features, times = np.array([[b"sp"], [f"{video}{number}".encode()]]), [interval, interval]
                else:
                    features, times = np.full((2, 4), number, np.float32), [interval, interval]
                entries[segment_name(video, number)] = (times, features)
        _write(sequences / f"CMU_MOSEI_{file}.csd", name, entries)
    assert _run(builder_class, sequences) == 0
    train = _load(sequences)["train"]
    assert train["utterance_id"] == ["-a_1[1]", "-a_1[2]", "-a_1[0]", "b[0]"]
    assert train["text"] == ["-a_11", "-a_12", "-a_10", "b0"]
    np.testing.assert_array_equal(train["audio_features"][1], np.full((2, 4), 2))


def test_word_vectors(builder_class, sequences):
    vectors = {video: (_words(video)[0], np.eye(12, dtype=np.float32)) for video in LABELS}
    _write(sequences / "vectors.h5", "glove_vectors", vectors)
    assert _run(builder_class, sequences, arguments=("--text-sequence", "glove_vectors")) == 0
    np.testing.assert_array_equal(_load(sequences)["train"]["text_features"][1], np.eye(12)[4:8])


def test_videos_that_one_side_lacks_are_reported(builder_class, sequences, capsys):
    folds = sequences.parent / "folds"
    (folds / "train.txt").write_text("-a_1\n\nnowhere\n")
    assert _run(builder_class, sequences) == 0
    assert "1 videos of the folds have no labels and 1 videos with labels are in no fold" in capsys.readouterr().out
    lines = (sequences.parent / "corpus" / "fold_differences.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"video": "nowhere", "fold": "train", "reason": "not in the label sequence"},
        {"video": "b", "fold": None, "reason": "in no fold"},
    ]
    assert len(_load(sequences)["train"]) == 3


def test_cache_name_changes_with_the_folds(builder_class, sequences, tmp_path):
    def name():
        return builder_class(cache_dir=str(tmp_path / "hf"), **_options(sequences)).config_id

    before = name()
    assert name() == before
    (sequences.parent / "folds" / "test.txt").write_text("d\ne\n")
    assert name() != before


def test_ids():
    assert split_name("-a_1[12]") == ("-a_1", 12)
    assert split_name("x[]") == ("x[]", None)
    assert segment_name("v", 3) == "v[3]"


# -- bad input

Change = Callable[[Path], None]


def _edit(file: str, path: str, features=None, intervals=None) -> Change:
    """Replace the data sets of one id."""

    def change(folder: Path) -> None:
        with h5py.File(folder / f"CMU_MOSEI_{file}.csd", "a") as opened:
            for name, value in (("features", features), ("intervals", intervals)):
                if value is not None:
                    del opened[path][name]
                    opened[path][name] = value

    return change


def _fold(name: str, text: str) -> Change:
    return lambda folder: (folder.parent / "folds" / name).write_text(text) and None


def _labels(row: list[float], interval: tuple[float, float] = (0.5, 3.5)) -> Change:
    return _edit("Labels", "All Labels/data/b", np.array([row]), np.array([interval]))


def _truncate(folder: Path) -> None:
    path = folder / "CMU_MOSEI_COVAREP.csd"
    path.write_bytes(path.read_bytes()[:600])


def _without_data(folder: Path) -> None:
    with h5py.File(folder / "CMU_MOSEI_COVAREP.csd", "w") as file:
        file.create_group("COVAREP/metadata")


def _external_root(folder: Path) -> None:
    (folder / "CMU_MOSEI_COVAREP.csd").rename(folder / "elsewhere.hdf")
    with h5py.File(folder / "link.csd", "w") as file:
        file["COVAREP"] = h5py.ExternalLink(str(folder / "elsewhere.hdf"), "COVAREP")


def _copy(folder: Path) -> None:
    (folder / "copy.h5").write_bytes((folder / "CMU_MOSEI_COVAREP.csd").read_bytes())


def _remove_sequences(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


ERRORS: dict[str, tuple[Change, str, tuple[str, ...]]] = {
    "no file": (_remove_sequences, "has no computational sequence", ()),
    "truncated file": (_truncate, "COVAREP.csd: not a sound HDF5 file", ()),
    "text file": (lambda folder: (folder / "notes.csd").write_text("hello") and None, "notes.csd: not a sound", ()),
    "no data group": (_without_data, "expected the group COVAREP/data", ()),
    "link to another file": (_external_root, "link.csd: expected the group COVAREP/data", ()),
    "same sequence twice": (_copy, "sequence 'COVAREP' is both in", ()),
    "unknown sequence": (lambda folder: None, "--vision-sequence: there is no sequence 'FACET'; found 'COVAREP', ",
                         ("--vision-sequence", "FACET")),
    "words as features": (lambda folder: None, r"words holds \|S32, expected numbers", ("--vision-sequence", "words")),
    "other labels": (lambda folder: None, r"COVAREP/data/-a_1: expected the numbers sentiment, happy",
                     ("--label-sequence", "COVAREP")),
    "no words": (lambda folder: None, "--word-sequence: there is no sequence 'w'", ("--word-sequence", "w")),
    "pool": (lambda folder: None, "are numbers of frames, at least 1", ("--audio-pool", "0")),
    "no fold": (lambda folder: (folder.parent / "folds" / "test.txt").unlink(), "expected one file test.txt", ()),
    "two folds of a name": (_fold("dev.txt", "x\n"), "validation.txt or valid.txt or dev.txt of video ids, fo", ()),
    "empty fold": (_fold("test.txt", "\n"), "test.txt: no video id", ()),
    "video twice in a fold": (_fold("test.txt", "d\nd\n"), "test.txt: line 2: video 'd' is there before, at", ()),
    "video in two folds": (_fold("test.txt", "d\nb\n"), r"'b' is there before, at .*train.txt: line 2", ()),
    "fold as a list": (_fold("test.txt", "['d', 'e']"), "test.txt: line 1: expected one video id a line", ()),
    "fold not UTF-8": (lambda folder: (folder.parent / "folds" / "test.txt").write_bytes(b"\xff\xfed") and None,
                       "test.txt: not UTF-8", ()),
    "no video of a fold": (_fold("test.txt", "e\n"), "split test has no rows", ()),
    "all rows bad": (_edit("Labels", "All Labels/data/d", np.full((1, 7), -1.0)), "every row of split test was", ()),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_corpus_is_refused(builder_class, sequences, capsys, name):
    change, message, arguments = ERRORS[name]
    change(sequences)
    assert _run(builder_class, sequences, arguments=arguments) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "split:" not in line and line]
    assert line.startswith("error: ") and re.search(message, line), line
    assert not (sequences.parent / "corpus").exists()


def _damaged(folder: Path) -> None:
    """A compressed data set whose bytes are spoilt, so that reading it fails and opening it does not."""
    path = folder / "CMU_MOSEI_COVAREP.csd"
    with h5py.File(path, "a") as file:
        group = file["COVAREP/data/b"]
        del group["features"]
        made = group.create_dataset("features", data=_frames(4, 10)[1], chunks=(60, 4), compression="gzip")
        chunk = made.id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + 2 : chunk.byte_offset + chunk.size] = bytes(chunk.size - 2)
    path.write_bytes(bytes(content))


def _external_bytes(folder: Path) -> None:
    (folder / "secret.bin").write_bytes(bytes(60 * 4 * 4))
    with h5py.File(folder / "CMU_MOSEI_COVAREP.csd", "a") as file:
        group = file["COVAREP/data/b"]
        del group["features"]
        external = [(str(folder / "secret.bin"), 0, h5py.h5f.UNLIMITED)]
        group.create_dataset("features", (60, 4), "f4", external=external)


def _drop(file: str, path: str) -> Change:
    def change(folder: Path) -> None:
        with h5py.File(folder / f"CMU_MOSEI_{file}.csd", "a") as opened:
            del opened[path]

    return change


REJECTED: dict[str, tuple[Change, str]] = {
    "negative intensity": (_labels([0, 0, 0, 0, 0, -1, 0]), "intensity -1 of disgust, expected 0 to 3"),
    "intensity NaN": (_labels([0, 0, np.nan, 0, 0, 0, 0]), "intensity nan of sad"),
    "intensity too large": (_labels([0, 100, 0, 0, 0, 0, 0]), "intensity 100 of happy"),
    "interval backwards": (_labels([0] * 7, (3.5, 0.5)), "interval from 3.5 s to 0.5 s is none"),
    "interval NaN": (_labels([0] * 7, (np.nan, 0.5)), "interval from nan s"),
    "interval before the video": (_labels([0] * 7, (-1.0, 0.5)), "interval from -1 s to 0.5 s is none"),
    "intervals of another length": (
        _edit("Labels", "All Labels/data/b", intervals=np.zeros((3, 2))),
        r"All Labels/data/b: expected one interval \(start, end\) for each of 1 features, found float64 of shape \(3",
    ),
    "no labels in the entry": (_drop("Labels", "All Labels/data/b/features"), "data set 'features', found none"),
    "no words": (_drop("TimestampedWords", "words/data/b"), "words has nothing of video 'b'"),
    "no words in the segment": (_labels([0] * 7, (50, 60)), "words has no word from 50 s to 60 s"),
    "pauses only": (
        _edit("TimestampedWords", "words/data/b", np.array([[b"sp"]] * 12)), "words has no word from 0.5 s to 3.5 s"
    ),
    "words as numbers": (
        _edit("TimestampedWords", "words/data/b", np.zeros((12, 1))), "words: expected words, found float64"
    ),
    "words not UTF-8": (
        _edit("TimestampedWords", "words/data/b", np.array([[b"caf\xe9"]] * 12)), "the word .* is not UTF-8"
    ),
    "features of another width": (
        _edit("COVAREP", "COVAREP/data/b", np.zeros((60, 5), np.float32)), r"expected shape \(frames, 4\), found"
    ),
    "features in one dimension": (
        _edit("COVAREP", "COVAREP/data/b", np.zeros(60)), r"expected a two-dimensional data set 'features', found shap"
    ),
    "features as words": (
        _edit("COVAREP", "COVAREP/data/b", np.array([[b"a"]] * 60)), r"COVAREP: expected numbers, found \|S1"
    ),
    "damaged features": (_damaged, r"COVAREP/data/b: features cannot be read \(.*\); fetch the file again"),
    "features in another file": (_external_bytes, "features lie in another file; store them in this one"),
}  # fmt: skip


@pytest.mark.parametrize("name", REJECTED)
def test_row_is_rejected(builder_class, sequences, capsys, name):
    change, message = REJECTED[name]
    change(sequences)
    assert _run(builder_class, sequences) == 0
    (entry,) = map(json.loads, (sequences.parent / "corpus" / "rejected.jsonl").read_text().splitlines())
    assert entry["utterance_id"] == "b[0]"
    assert entry["reason"].startswith("train.txt: row 4 (utterance 'b[0]'): ")
    assert re.search(message, entry["reason"]), entry["reason"]
    assert len(_load(sequences)["train"]) == 3
    assert _run(builder_class, sequences, "strict", ("--strict",)) == 2
    assert f"error: {entry['reason']}" in capsys.readouterr().err
    assert not (sequences.parent / "strict").exists()


def test_only_one_video_is_held(sequences):
    found = find_sequences(sequences)["COVAREP"]
    first = found.entry("-a_1")
    assert found.entry("-a_1") is first
    found.entry("b")
    assert found.entry("-a_1") is not first


def test_without_h5py_the_extra_is_named(sequences, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(CorpusError, match=r'pip install "univa\[mosei\]"'):
        find_sequences(sequences)
