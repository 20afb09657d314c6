# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import csv
import json
import pickle

import numpy as np
import pytest
from csv_files import read_csv, write_csv
from datasets import load_dataset

from modeling_univa.commands.build import corpus_main
from modeling_univa.corpora.build import build_corpus
from modeling_univa.corpora.mosei import Mosei


LABELS = ["happy", "sad", "anger", "surprise", "disgust", "fear"]


@pytest.fixture(scope="module")
def mosei():
    return Mosei


def _raw(data, split):
    """What the files say of a split, read without the package: {utterance_id: …}."""
    root = data / "authors_format" / "MOSEI"
    with open(root / "final_multi_labels.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["mode"] == split]
    text_va = json.loads((root / "preprocess_data" / "raw_utt_text_textVA.json").read_text())[split]
    found = {}
    features = root / "preprocess_data" / "final_feat"
    with open(features / "A" / f"MOSEI_{split}_audio_utt_VA.pkl", "rb") as file:
        audio = pickle.load(file)[split]
    with open(features / "V" / f"MOSEI_{split}_vision_utt_VA.pkl", "rb") as file:
        vision = pickle.load(file)[split]
    with open(features / "T" / f"MOSEI_{split}_text_glove300_VA.pkl", "rb") as file:
        glove = pickle.load(file)
    for i, row in enumerate(rows):
        name = f"{row['video_id']}_{row['clip_id']}"
        found[name] = {
            "text": row["text"],
            "emotions": [label for label in LABELS if float(row[label]) != 0],
            "text_va": np.array([float(value) for value in text_va[name][1:]]),
            "audio_va": audio["audio_VA_values"][i],
            "vision_va": vision["vision_VA_values"][i],
            "audio": audio["audio"][i, : int(audio["audio_utt_mask"][i].sum())],
            "vision": vision["vision"][i, : int(vision["vision_utt_mask"][i].sum())],
            "text_features": glove["text"][i, : int(glove["text_utt_mask"][i].sum())],
        }
    return found


def test_released_files_row_by_row(mosei, shared_data, tmp_path):
    output, source = tmp_path / "corpus", str(shared_data / "authors_format")
    build_corpus(mosei, output, source=source, text_features="glove")
    corpus = load_dataset(str(output), cache_dir=str(tmp_path / "cache"))
    structure = shared_data / "authors_format" / "MOSEI" / "preprocess_data" / "videos_structure.json"
    structure = json.loads(structure.read_text())
    assert set(corpus) == {"train", "valid", "test"}
    for split, rows in corpus.items():
        assert rows.features["emotions"].feature.names == LABELS
        expected = [(name, video, i) for video, names in structure[split].items() for i, name in enumerate(names)]
        assert list(zip(rows["utterance_id"], rows["dialogue_id"], rows["position"], strict=True)) == expected
        raw = _raw(shared_data, split)
        assert len(raw) == len(rows)
        for row in rows:
            want = raw[row["utterance_id"]]
            assert row["text"] == want["text"]
            assert [LABELS[label] for label in row["emotions"]] == want["emotions"]
            for modality in ("text", "audio", "vision"):
                np.testing.assert_allclose(row[f"{modality}_va"], want[f"{modality}_va"], atol=1e-6)
            for column, name in (("audio", "audio"), ("vision", "vision"), ("text", "text_features")):
                np.testing.assert_array_equal(row[f"{column}_features"], want[name].astype(np.float16))
    assert any(not labels for labels in corpus["train"]["emotions"])
    made = json.loads((output / "feature_extractors.json").read_text())
    assert made["audio"] == {"extractor_type": "precomputed", "name": "unknown", "feature_size": 64}
    assert made["text"] == {"extractor_type": "precomputed", "name": "GloVe", "feature_size": 300}


def test_word_vectors_are_left_out_unless_asked_for(mosei, mosei_tree, tmp_path):
    for path in mosei_tree.rglob("*glove*"):
        path.unlink()
    build_corpus(mosei, tmp_path / "corpus", source=str(mosei_tree))
    rows = load_dataset(str(tmp_path / "corpus"), cache_dir=str(tmp_path / "cache"))["train"]
    assert "text_features" not in rows.column_names
    assert rows["utterance_id"] == ["-train_4", "-train_7", "-train_9"]
    # The tree has an all-zero mask in the last row of the annotations, which is the middle one of the video.
    assert [frames is None for frames in rows["audio_features"]] == [False, True, False]


def test_dataset_folder_itself_is_a_source_too(mosei, mosei_tree, tmp_path):
    build_corpus(mosei, tmp_path / "corpus", source=str(mosei_tree / "MOSEI"))
    assert (tmp_path / "corpus" / "data" / "test-00000-of-00001.parquet").is_file()


@pytest.mark.parametrize("labels", ["released", "annotations"])
def test_every_label_difference_is_reported(mosei, mosei_tree, tmp_path, capsys, labels):
    path = mosei_tree / "MOSEI" / "final_multi_labels.csv"
    rows = read_csv(path)
    rows[0] |= {"happy": "1.0"}  # the third clip of the train video, "anger" in labels_class
    rows[4] |= {"happy": "0.0"}  # the first clip of the test video, "happy" in labels_class
    write_csv(path, rows)
    output = tmp_path / "corpus"
    arguments = ["--source", str(mosei_tree), "--output", str(output), "--label-source", labels]
    assert corpus_main(mosei, arguments) == 0
    used = "labels_class" if labels == "released" else "final_multi_labels.csv"
    printed = capsys.readouterr().out
    for split in ("train", "test"):
        line = (
            f"{split}: labels_class differs from final_multi_labels.csv in 1 of 3 rows (see label_differences.jsonl)"
        )
        assert f"{line}; the corpus has the labels of {used}." in printed
    lines = [json.loads(line) for line in (output / "label_differences.jsonl").read_text().splitlines()]
    assert [(line["split"], line["utterance_id"], line["file"]) for line in lines] == [
        ("train", "-train_9", "audio features"),
        ("train", "-train_9", "vision features"),
        ("test", "-test_4", "audio features"),
        ("test", "-test_4", "vision features"),
    ]
    assert lines[0]["annotations"] == ["happy", "anger"] and lines[0]["labels_class"] == ["anger"]
    corpus = load_dataset(str(output), cache_dir=str(tmp_path / "cache"))
    assert corpus["train"]["emotions"][2] == ([2] if labels == "released" else [0, 2])
    assert corpus["test"]["emotions"][0] == ([0] if labels == "released" else [])


def _edit_pickle(tree, name, change):
    path = next(tree.rglob(name))
    with open(path, "rb") as file:
        content = pickle.load(file)
    change(content)
    path.write_bytes(pickle.dumps(content))


def test_scores_a_little_beyond_the_range_are_clipped(mosei, mosei_tree, tmp_path):
    _edit_pickle(
        mosei_tree,
        "MOSEI_test_audio*",
        lambda content: content["test"]["audio_VA_values"].__setitem__(0, (1.1, -1.02)),
    )
    builder = build_corpus(mosei, tmp_path / "corpus", source=str(mosei_tree))
    assert any("test: VA of 1 row in MOSEI_test_audio_utt_VA.pkl lies a little outside" in n for n in builder.notes)
    rows = load_dataset(str(tmp_path / "corpus"), cache_dir=str(tmp_path / "cache"))["test"]
    assert rows["audio_va"][2] == [1.0, -1.0]
    assert not builder.rejected


def test_disagreements_between_the_files_are_told(mosei, mosei_tree, tmp_path):
    path = mosei_tree / "MOSEI" / "final_multi_labels.csv"
    rows = read_csv(path)
    rows[0]["truely_sort"], rows[1]["truely_sort"] = rows[1]["truely_sort"], rows[0]["truely_sort"]
    rows[2]["text"] = "Other words."
    write_csv(path, rows)
    scores = mosei_tree / "MOSEI" / "preprocess_data" / "raw_utt_text_textVA.json"
    content = json.loads(scores.read_text())
    del content["test"]["-test_7"]
    scores.write_text(json.dumps(content))
    builder = build_corpus(mosei, tmp_path / "corpus", source=str(mosei_tree), text_features="glove")
    notes = " ".join(builder.notes)
    assert "train: the order in 1 dialogue ('-train', …) differs from that in final_multi_labels.csv" in notes
    assert "train: 1 utterance ('-train_7', …) has another text in raw_utt_text_textVA.json" in notes
    assert "test: 1 utterance ('-test_7', …) has no entry in raw_utt_text_textVA.json; the text VA is unkn" in notes
    assert "text VA of the word-vector file differs from raw_utt_text_textVA.json in 3 of 3 rows" in notes
    rows = load_dataset(str(tmp_path / "corpus"), cache_dir=str(tmp_path / "cache"))
    assert np.isnan(rows["test"]["text_va"][1]).all()
    assert rows["train"]["text"][1] == "Other words."


def test_utterances_that_are_not_in_both_files_are_rejected(mosei, mosei_tree, tmp_path):
    path = mosei_tree / "MOSEI" / "preprocess_data" / "videos_structure.json"
    structure = json.loads(path.read_text())
    structure["train"]["-train"] = ["-train_4", "-train_5", "-train_9"]
    path.write_text(json.dumps(structure))
    builder = build_corpus(mosei, tmp_path / "corpus", source=str(mosei_tree))
    reasons = {entry["utterance_id"]: entry["reason"] for entry in builder.rejected}
    assert reasons == {
        "-train_5": "videos_structure.json: utterance '-train_5' is not in final_multi_labels.csv",
        "-train_7": "final_multi_labels.csv: utterance '-train_7' is not in videos_structure.json",
    }
    rows = load_dataset(str(tmp_path / "corpus"), cache_dir=str(tmp_path / "cache"))["train"]
    assert list(zip(rows["utterance_id"], rows["position"], strict=True)) == [("-train_4", 0), ("-train_9", 1)]
