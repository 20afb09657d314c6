# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Probabilities of expressions as a column: of the same faces as the features, frame by frame, whoever makes them."""

import json
from pathlib import Path

import numpy as np
import pytest
from expression_networks import write_expression_network
from media_corpora import LABELS, folder_bytes, media_rows, write_image, write_media, write_media_corpus
from video_files import write_clip

from modeling_univa.commands.build import corpus_main
from modeling_univa.commands.extract import extract
from modeling_univa.corpora.utterance_folder import UtteranceFolder
from modeling_univa.data.loading import load_corpus
from modeling_univa.data.row_types import row_features
from modeling_univa.data.schema import FACE_EMOTIONS, CorpusError, RowError, RowValidator
from modeling_univa.features.engine import feature_engine
from modeling_univa.features.extraction import ExtractionJob, ExtractionOptions
from modeling_univa.features.workers import Workers
from modeling_univa.models.face_expressions_univa import FaceExpressionExtractor
from modeling_univa.models.light_features_univa import HogExtractor
from modeling_univa.models.media_univa import read_image


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("networks")
    return {kind: write_expression_network(base / kind, kind) for kind in ("vit", "mini-xception")}


@pytest.fixture
def root(tmp_path) -> Path:
    return write_media(tmp_path / "media")


@pytest.fixture
def corpus(tmp_path) -> Path:
    rows = {split: media_rows(sizes, split) for split, sizes in (("train", (3, 2, 4)), ("test", (2, 3)))}
    return write_media_corpus(tmp_path / "corpus", rows)


def check_rows(folder: Path, root: Path, network: Path) -> int:
    """Compare the columns of a corpus with what its extractors make of the faces of each row; how many have some."""
    emotions, features, found = FaceExpressionExtractor(str(network)), HogExtractor(), 0
    for rows in load_corpus(str(folder)).splits.values():
        for row in rows:
            assert (row["face_emotions"] is None) is (row["vision_features"] is None) is (row["faces"] is None)
            if row["faces"] is None:
                continue
            faces = [read_image(root / path) for path in row["faces"]]
            np.testing.assert_array_equal(row["vision_features"], features(faces).astype(np.float16))
            np.testing.assert_allclose(row["face_emotions"], emotions(faces), atol=1e-3)
            found += 1
    return found


@pytest.mark.parametrize("kind", ["vit", "mini-xception"])
def test_they_are_of_the_frames_of_the_features(kind, networks, corpus, root, tmp_path):
    options = {"vision_extractor": "hog", "face_emotions": str(networks[kind]), "media_root": root}
    output = extract(corpus, tmp_path / "output", batch_size=3, **options)
    assert check_rows(output, root, networks[kind]) > 8
    columns = list(load_corpus(str(output)).split("train").features)
    assert columns.index(FACE_EMOTIONS) == columns.index("vision_features") + 1 < columns.index("text_va")
    made = json.loads((output / "feature_extractors.json").read_text())
    assert made["face_emotions"] == FaceExpressionExtractor(str(networks[kind])).to_dict()
    assert made["vision"] == HogExtractor().to_dict()
    card = (output / "README.md").read_text()
    assert "| `face_emotions` | List(List(float16, " in card and "probabilities of expressions in each frame" in card
    assert '- face_emotions: `{"extractor_type": "face-expression"' in card


@pytest.mark.slow
def test_processes_and_shards_change_nothing(networks, corpus, root, tmp_path, monkeypatch):
    monkeypatch.setattr(Workers, "patience", 0.0)
    options = {"vision_extractor": "hog", "face_emotions": str(networks["mini-xception"]), "media_root": root}
    one, two = (extract(corpus, tmp_path / f"{count}", workers=count, **options) for count in (0, 2))
    assert folder_bytes(one) == folder_bytes(two)
    again = extract(one, tmp_path / "again", shard_rows=3, **options)
    assert check_rows(again, root, networks["mini-xception"]) > 8


def test_features_that_are_made_anew_drop_them(networks, corpus, root, tmp_path):
    both = {"vision_extractor": "hog", "face_emotions": str(networks["vit"]), "media_root": root}
    first = extract(corpus, tmp_path / "first", **both)
    spoken = extract(first, tmp_path / "spoken", audio_extractor="log-mel", media_root=root)
    assert check_rows(spoken, root, networks["vit"]) > 8
    assert "face_emotions" in json.loads((spoken / "feature_extractors.json").read_text())
    seen = extract(first, tmp_path / "seen", vision_extractor="hog", media_root=root)
    assert FACE_EMOTIONS not in load_corpus(str(seen)).split("train").features
    assert "face_emotions" not in json.loads((seen / "feature_extractors.json").read_text())


def test_alone_they_stand_beside_nothing(networks, corpus, root, tmp_path):
    with pytest.raises(CorpusError, match="`face_emotions` stand beside the frames of face features"):
        extract(corpus, tmp_path / "output", face_emotions=str(networks["vit"]), media_root=root)
    with pytest.raises(CorpusError, match="`face_emotions` hog: hog makes vision features"):
        extract(corpus, tmp_path / "output", vision_extractor="hog", face_emotions="hog", media_root=root)


class OneFrame(HogExtractor):
    """All faces of a clip in one frame."""

    def extract_batch(self, items):
        return [frames.mean(axis=0, keepdims=True) for frames in super().extract_batch(items)]


def test_features_of_other_frames_are_refused_before_the_first_clip(networks, corpus, root, tmp_path):
    extractors = {"vision": OneFrame(), FACE_EMOTIONS: FaceExpressionExtractor(str(networks["vit"]))}
    job = ExtractionJob(load_corpus(str(corpus)), extractors, ExtractionOptions(root))
    shard = job.corpus.splits["train"].with_format("arrow")[:]
    with pytest.raises(ValueError, match="are of single faces, and hog makes 1 frames of 2 faces: choose a"):
        next(job.process([(None, shard)], lambda count: None))
    assert list(feature_engine({}, root).rows([("row", {})])) == [("row", {}, [])]


def write_source(folder: Path, video: bool = False) -> Path:
    (folder / "metadata").mkdir(parents=True)
    for split in ("train", "test"):
        lines = []
        for number in range(3):
            faces = [f"{split}{number}{place}.png" for place in range(number)]
            for place, face in enumerate(faces):
                write_image(folder / face, seed=10 * number + place)
            lines.append(f"{split}_{number},d_{split},{number},Well.,{LABELS[number]},{';'.join(faces)}")
            if video:
                name = f"{split}{number}.mp4" if number else ""
                if name:
                    write_clip(folder / name, seed=number)
                lines[-1] += f",{name}"
        header = "utterance_id,dialogue_id,position,text,emotions,faces" + (",video" if video else "")
        (folder / "metadata" / f"{split}.csv").write_text("\n".join([header, *lines]) + "\n")
    return folder


def test_a_builder_writes_them(networks, tmp_path, capsys):
    source, output = write_source(tmp_path / "source"), tmp_path / "output"
    build = ["--source", str(source), "--output", str(output), "--face-emotions", str(networks["vit"])]
    assert corpus_main(UtteranceFolder, build) == 0, capsys.readouterr().err
    corpus = load_corpus(str(output))
    assert corpus.feature_size("face_emotions") == 4
    assert corpus.extractors["face_emotions"]["labels"] == ["joy", "rage", "calm", "other"]
    emotions = FaceExpressionExtractor(str(networks["vit"]))
    for row in corpus.split("train"):
        if row["faces"]:
            expected = emotions([read_image(source / path) for path in row["faces"]])
            np.testing.assert_allclose(row["face_emotions"], expected, atol=1e-3)
        else:
            assert row["face_emotions"] is row["vision_features"] is None
    assert "face_emotions" in (output / "README.md").read_text()


def test_faces_of_videos_have_them_too(networks, tmp_path, capsys):
    source, output = write_source(tmp_path / "source", video=True), tmp_path / "output"
    build = ["--source", str(source), "--output", str(output), "--face-emotions", str(networks["mini-xception"])]
    build += ["--face-detector", '{"detector": "whole-frame", "frame_rate": 4}', "--audio-extractor", "none"]
    assert corpus_main(UtteranceFolder, build) == 0, capsys.readouterr().err
    rows = load_corpus(str(output)).split("test")
    counts = [len(row["vision_features"] or ()) for row in rows]
    assert counts == [len(row["face_emotions"] or ()) for row in rows]
    assert counts[0] == 0 and counts[1] == 1 and counts[2] == 2


def test_a_builder_refuses_them_without_features_of_its_own(networks, tmp_path, capsys):
    source = write_source(tmp_path / "source")
    build = ["--source", str(source), "--output", str(tmp_path / "output"), "--vision-extractor", "none"]
    assert corpus_main(UtteranceFolder, [*build, "--face-emotions", str(networks["vit"])]) == 2
    assert "stand beside the frames of face features" in capsys.readouterr().err


BAD = {
    "too few": (np.full((2, 4), 0.25), "2 frames of face_emotions and 3 of vision_features"),
    "no sum": (np.full((3, 4), 0.2), "must be probabilities that sum to 1 in each frame"),
    "negative": (np.array([[1.5, -0.5, 0, 0]] * 3), "must be probabilities"),
    "width": (np.full((3, 5), 0.2), r"expected shape \(frames, 4\), found \(3, 5\)"),
}


@pytest.mark.parametrize("case", BAD)
def test_rows_are_checked(case):
    validator = RowValidator(row_features(LABELS, vision_feature_size=2, face_emotion_size=4))
    row = {"vision_features": np.zeros((3, 2), np.float32), "face_emotions": np.full((3, 4), 0.25)}
    validator.check_signals(row, "row 1")
    validator.check_signals({**row, "face_emotions": None}, "row 1")
    with pytest.raises(RowError, match=BAD[case][1]):
        validator.check_signals({**row, "face_emotions": BAD[case][0]}, "row 1")
    with pytest.raises(RowError, match="3 frames of face_emotions and none of vision_features"):
        validator.check_signals({**row, "vision_features": None}, "row 1")
