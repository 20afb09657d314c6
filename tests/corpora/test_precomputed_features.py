# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Features of one's own: columns of paths in the metadata, or one file for all utterances."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from csv_files import read_csv, write_csv
from datasets import load_dataset

from modeling_univa.commands.build import corpus_main
from modeling_univa.corpora.build import build_corpus
from modeling_univa.corpora.utterance_folder import UtteranceFolder
from modeling_univa.data.schema import CorpusError


def _write(path: Path, frames: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, frames)
    elif path.suffix == ".pt":
        torch.save(torch.from_numpy(frames), path)
    else:
        head = "frame, face_id, timestamp, confidence, success, AU01_r, AU02_r, AU04_r\n"
        path.write_text(head + "".join(f"1, 0, 0, 0.9, 1, {', '.join(map(str, frame))}\n" for frame in frames))


@pytest.fixture
def source(folder: Path) -> Path:
    """`folder` with features of the faces (OpenFace, numpy, torch) of every utterance but one of each dialogue."""
    suffixes = (".csv", ".npy", ".pt")
    for path in (folder / "metadata").glob("*.csv"):
        rows = read_csv(path)
        for number, row in enumerate(rows):
            name = "" if number % 3 == 1 else f"au/{row['utterance_id']}{suffixes[number % 3]}"
            row["vision_features"] = name
            if name:
                _write(folder / name, np.full((1 + number, 3), number, np.float32))
        write_csv(path, rows)
    return folder


def _change(source: Path, number: int, **cells: str) -> None:
    path = source / "metadata" / "train.csv"
    rows = read_csv(path)
    rows[number].update(cells)
    write_csv(path, rows)


def _build(source: Path, tmp_path: Path, **config: Any) -> Any:
    return build_corpus(UtteranceFolder, tmp_path / "corpus", source=str(source), overwrite=True, **config)


def _train(tmp_path: Path) -> Any:
    return load_dataset(str(tmp_path / "corpus"), cache_dir=str(tmp_path / "cache"))["train"]


def _rejected(tmp_path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (tmp_path / "corpus" / "rejected.jsonl").read_text().splitlines()]


def test_a_file_an_utterance(source, tmp_path):
    """Beside sound from which features are made; an empty cell is an absent modality."""
    builder = _build(source, tmp_path)
    for number, row in enumerate(_train(tmp_path)):
        expected = None if number % 3 == 1 else np.full((1 + number, 3), number).tolist()
        assert row["vision_features"] == expected
        assert (row["audio_features"] is None) == (row["audio"] is None)
    made = json.loads((tmp_path / "corpus" / "feature_extractors.json").read_text())
    assert made["vision"] == {"extractor_type": "precomputed", "name": "OpenFace", "feature_size": 3}
    assert made["audio"]["extractor_type"] == "log-mel" and not builder.rejected
    card = (tmp_path / "corpus" / "README.md").read_text()
    assert "The vision features came precomputed (by: OpenFace; 3 numbers a frame)" in card


def test_name_of_what_made_them(source, tmp_path):
    builder = _build(source, tmp_path, vision_features_name="OpenFace 2.2 action units")
    assert builder.corpus.made_by()["vision"]["name"] == "OpenFace 2.2 action units"


@pytest.mark.parametrize("suffix", [".npz", ".pt", ".csv"])
def test_one_file_for_all(folder, tmp_path, suffix):
    """Utterances without an entry have no such modality; copies at other speeds have the features of their row."""
    names = [row["utterance_id"] for path in (folder / "metadata").glob("*.csv") for row in read_csv(path)]
    features = {name: np.full((2, 3), place, np.float32) for place, name in enumerate(names) if name != "train_0_1"}
    path = tmp_path / f"features{suffix}"
    if suffix == ".npz":
        np.savez(path, **features)
    elif suffix == ".pt":
        torch.save({name: torch.from_numpy(frames) for name, frames in features.items()}, path)
    else:
        rows = [f"{name},{','.join(map(str, frame))}" for name, frames in features.items() for frame in frames]
        path.write_text("\n".join(["utterance_id,a,b,c", *rows]))
    builder = _build(folder, tmp_path, vision_features_file=str(path), speed_perturbation="0.9")
    rows = _train(tmp_path)
    assert len(rows) == 12
    for row in rows:
        name = row["utterance_id"].removeprefix("sp0.9-")
        assert row["vision_features"] == (features[name].tolist() if name in features else None)
    absent = [json.loads(line) for line in (tmp_path / "corpus" / "absent_modalities.jsonl").read_text().splitlines()]
    assert [entry["utterance_id"] for entry in absent] == ["train_0_1", "sp0.9-train_0_1"]
    assert f"features{suffix} has no utterance 'train_0_1'" in absent[0]["reason"]
    assert any("the features of 2 utterances have no vision modality" in note for note in builder.notes)
    assert any(f"The vision features are those of `features{suffix}` " in note for note in builder.notes)


def test_text_features(folder, tmp_path):
    np.save(folder / "words.npy", np.eye(4, dtype=np.float32))
    for path in (folder / "metadata").glob("*.csv"):
        write_csv(path, [row | {"text_features": "words.npy"} for row in read_csv(path)])
    builder = _build(folder, tmp_path, text_features_name="own words", audio_extractor="none")
    assert builder.corpus.made_by()["text"]["name"] == "own words"
    assert _train(tmp_path)[5]["text_features"] == np.eye(4).tolist()


def test_features_that_are_not_wanted(source, tmp_path):
    _build(source, tmp_path, vision_extractor="none")
    assert "vision_features" not in _train(tmp_path).column_names


def test_values_that_are_no_numbers_are_replaced_and_counted(source, tmp_path):
    values = np.array([[np.nan, 1.0, -np.inf], [2.0, 1e30, 3.0]])
    for number in (2, 5):
        torch.save(torch.from_numpy(values), source / "au" / f"train_{number // 3}_2.pt")
    builder = _build(source, tmp_path)
    assert _train(tmp_path)[2]["vision_features"] == [[0, 1, 0], [2, 65504, 3]]
    note = "train: 6 values of the vision features in 2 utterances were NaN or infinite (now 0) or beyond float16"
    assert any(note in found for found in builder.notes)
    assert note in (tmp_path / "corpus" / "README.md").read_text()


def test_frames_without_a_face(source, tmp_path):
    """OpenFace keeps them, with success 0: they are not frames; an utterance of them alone lacks the modality."""
    head = "frame, face_id, timestamp, confidence, success, AU01_r, AU02_r, AU04_r\n"
    (source / "au" / "train_0_0.csv").write_text(head + "1, 0, 0, 0, 0, 9, 9, 9\n")
    (source / "au" / "train_1_0.csv").write_text(head + "1, 0, 0, 0, 0, 9, 9, 9\n2, 0, 0, 1, 1, 1, 2, 3\n")
    builder = _build(source, tmp_path)
    rows = _train(tmp_path)
    assert rows[0]["vision_features"] is None and rows[3]["vision_features"] == [[1, 2, 3]]
    assert "train: 1 frames without success were left out of the vision features." in builder.notes
    assert builder.side_files["absent_modalities.jsonl"][0]["reason"] == "au/train_0_0.csv: no frame"


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((2, 4)), "au/x.npy: 4 features a frame, expected 3 as in au/train_0_0.csv"),
        (np.zeros((2, 2, 3)), "au/x.npy: expected the shape (frames, size), or (size,) of one frame, found (2, 2, 3)"),
        (np.array(["happy"]), "au/x.npy: expected an array of numbers"),
        (None, "vision_features file 'au/x.npy' is not in"),
    ],
)
def test_a_bad_file_spoils_its_row_alone(source, tmp_path, frames, message):
    _change(source, 2, vision_features="au/x.npy")
    if frames is not None:
        np.save(source / "au" / "x.npy", frames)
    _build(source, tmp_path)
    (entry,) = _rejected(tmp_path)
    assert entry["utterance_id"] == "train_0_2" and message in entry["reason"]
    assert str(tmp_path / "source" / "au") not in entry["reason"]


def test_columns_in_another_order(source, tmp_path):
    path = source / "au" / "train_1_0.csv"
    path.write_text(path.read_text().replace("AU01_r, AU02_r", "AU02_r, AU01_r"))
    _build(source, tmp_path)
    (entry,) = _rejected(tmp_path)
    assert "au/train_1_0.csv: a column 'AU02_r', expected 'AU01_r' as in au/train_0_0.csv" in entry["reason"]


def test_files_outside_of_the_source(source, tmp_path):
    """Neither a link nor `..` leads out of it, unless the user wants that."""
    np.save(tmp_path / "secret.npy", np.ones((1, 3)))
    (source / "au" / "link.npy").symlink_to(tmp_path / "secret.npy")
    _change(source, 2, vision_features="au/link.npy")
    _build(source, tmp_path)
    assert "'au/link.npy' is a link out of" in _rejected(tmp_path)[0]["reason"]
    _change(source, 5, vision_features="../secret.npy")
    with pytest.raises(CorpusError, match="'../secret.npy' leaves the source folder; .*`outside_source`"):
        _build(source, tmp_path)
    _build(source, tmp_path, outside_source=True)
    assert _train(tmp_path)[2]["vision_features"] == _train(tmp_path)[5]["vision_features"] == [[1, 1, 1]]
    _change(source, 5, vision_features=str(tmp_path / "secret.npy"))
    with pytest.raises(CorpusError, match="leaves the source folder; use paths relative to it"):
        _build(source, tmp_path, outside_source=True)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"vision_features_file": "none.npz"}, "cannot be used together with the metadata's column 'vision_features'"),
        ({"audio_features_file": "none.npz"}, "none.npz: cannot be read"),
        ({"audio_features_file": "none.npz", "audio_extractor": "none"}, "together with `audio_extractor` none"),
        ({"audio_features_name": "x"}, "`audio_features_name` names precomputed features, and the corpus has no"),
        ({"vision_extractor": "hog"}, "the vision features are precomputed, and 'hog' would make others"),
    ],
)
def test_options_that_contradict_each_other(source, tmp_path, config, message):
    with pytest.raises(CorpusError, match=message):
        _build(source, tmp_path, **config)


def test_file_of_other_utterances(folder, tmp_path):
    np.savez(tmp_path / "other.npz", elsewhere=np.ones((1, 3)))
    with pytest.raises(CorpusError, match=r"none of its ids \('elsewhere', …\) is an utterance_id of the corpus"):
        _build(folder, tmp_path, vision_features_file=str(tmp_path / "other.npz"))


def test_column_without_any_features(source, tmp_path, capsys):
    for path in (source / "metadata").glob("*.csv"):
        write_csv(path, [row | {"vision_features": ""} for row in read_csv(path)])
    assert corpus_main(UtteranceFolder, ["--source", str(source), "--output", str(tmp_path / "corpus")]) == 2
    assert "no row has vision features that can be used; correct or drop them" in capsys.readouterr().err


def test_ravdess_as_it_is(shared_data, tmp_path):
    """Sound in another folder than the metadata, action units in one file an utterance."""
    real = shared_data / "ravdess_av"
    source = tmp_path / "data" / "ravdess_av"
    (source / "metadata").mkdir(parents=True)
    (source / "action_units").symlink_to(real / "action_units")
    (tmp_path / "data" / "emotion_mosaic").symlink_to(shared_data / "emotion_mosaic")
    for path in (real / "metadata").glob("*.csv"):
        write_csv(source / "metadata" / path.name, read_csv(path)[:6])
    builder = _build(source, tmp_path, outside_source=True, va="from-emotion")
    assert not builder.rejected and builder.corpus.made_by()["vision"]["feature_size"] == 35
    for row, cells in zip(_train(tmp_path), read_csv(source / "metadata" / "train.csv"), strict=True):
        expected = np.load(real / cells["vision_features"]).astype(np.float16)
        np.testing.assert_array_equal(np.array(row["vision_features"], np.float16), expected)
        assert np.shape(row["audio_features"])[1] == 121
