# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import json
import pickle

import numpy as np
import pytest
from datasets import load_dataset

from modeling_univa.corpora.build import build_corpus
from modeling_univa.corpora.m3ed import M3ed


LABELS = ["happy", "surprise", "sad", "disgust", "anger", "fear", "neutral"]


@pytest.fixture(scope="module")
def m3ed():
    return M3ed


def test_released_files_row_by_row(m3ed, shared_data, tmp_path):
    source = shared_data / "authors_format"
    build_corpus(m3ed, tmp_path / "corpus", source=str(source))
    corpus = load_dataset(str(tmp_path / "corpus"), cache_dir=str(tmp_path / "cache"))
    data = source / "M3ED" / "preprocess_data"
    structure, annotations, scores = (
        json.loads((data / f"{name}.json").read_text())
        for name in ("videos_structure", "utt_annot", "raw_utt_text_textVA")
    )
    for split, rows in corpus.items():
        assert rows.features["emotions"].feature.names == LABELS
        expected = [(name, tv, i) for tv, names in structure[split].items() for i, name in enumerate(names)]
        assert list(zip(rows["utterance_id"], rows["dialogue_id"], rows["position"], strict=True)) == expected
        order = list(annotations[split])
        signals = {}
        for modality in ("audio", "vision"):
            path = data / "final_feat" / modality[0].upper() / f"M3ED_{split}_{modality}_utt_VA.pkl"
            with open(path, "rb") as file:
                signals[modality] = pickle.load(file)[split]
        for row in rows:
            name = row["utterance_id"]
            annotation, i = annotations[split][name], order.index(name)
            assert row["text"] == annotation["text"]
            assert {LABELS[label] for label in row["emotions"]} == set(annotation["Emotion"].lower().split(","))
            assert row["emotions"] == np.flatnonzero(signals["audio"]["labels_class"][i]).tolist()
            np.testing.assert_allclose(row["text_va"], [float(value) for value in scores[split][name][2:]], atol=1e-6)
            for modality, table in signals.items():
                np.testing.assert_allclose(row[f"{modality}_va"], table[f"{modality}_VA_values"][i], atol=1e-6)
                frames = table[modality][i, : int(table[f"{modality}_utt_mask"][i].sum())]
                np.testing.assert_array_equal(row[f"{modality}_features"], frames.astype(np.float16))


def test_dialogue_is_the_id_up_to_its_last_underscore(m3ed, m3ed_tree, tmp_path):
    builder = build_corpus(m3ed, tmp_path / "corpus", source=str(m3ed_tree), label_source="annotations")
    rows = load_dataset(str(tmp_path / "corpus"), cache_dir=str(tmp_path / "cache"))["train"]
    assert rows["dialogue_id"] == ["a_tv_train"] * 3
    assert rows["text"] == ["第0句", "第1句", "第2句"]
    assert rows["emotions"] == [[0, 6], [1, 6], [2, 6]]
    assert not builder.rejected
    assert "language: zh" in (tmp_path / "corpus" / "README.md").read_text()
    assert [note for note in builder.notes if "labels_class" in note] == [
        f"{split}: labels_class differs from preprocess_data/utt_annot.json in 0 of 3 rows; "
        "the corpus has the labels of preprocess_data/utt_annot.json."
        for split in ("train", "test")
    ]
