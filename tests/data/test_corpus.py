# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Loading a built corpus, and what is said of one that cannot be loaded."""

import json

import pytest
from testing_utils import random_rows, write_corpus

from modeling_univa.configuration_univa import MOSEI_EMOTIONS
from modeling_univa.data.corpus import EXTRACTORS_FILE, load_corpus
from modeling_univa.data.schema import CorpusError


@pytest.fixture
def folder(tmp_path):
    return write_corpus(tmp_path / "corpus", {"train": random_rows([3, 2]), "odd_name": random_rows([2], prefix="x")})


def test_corpus_knows_splits_labels_sizes_and_extractors(folder):
    corpus = load_corpus(str(folder))
    assert set(corpus.splits) == {"train", "odd_name"}
    assert corpus.label_names == list(MOSEI_EMOTIONS)
    assert [corpus.feature_size(name) for name in ("text", "audio", "vision")] == [None, 5, 3]
    assert corpus.extractors["audio"]["name"] == "tiny audio"
    assert len(corpus.split("train")) == 5


def test_rows_come_back_as_they_were_written(folder):
    written, found = random_rows([3, 2]), load_corpus(str(folder)).split("train")
    assert found.features == written.features
    for name in ("utterance_id", "text", "emotions", "audio_features"):
        assert found[name] == written[name]


def test_one_split_is_enough(tmp_path):
    assert list(load_corpus(str(write_corpus(tmp_path / "c", {"test": random_rows([2])}))).splits) == ["test"]


def test_extractors_may_be_unknown(folder):
    (folder / EXTRACTORS_FILE).unlink()
    assert load_corpus(str(folder)).extractors == {}
    (folder / EXTRACTORS_FILE).write_text(json.dumps({"text": None, "audio": None, "vision": None}))
    assert load_corpus(str(folder)).extractors == {}


def test_missing_split_is_refused_with_those_there_are(folder):
    with pytest.raises(CorpusError, match="has no split 'valid'; it has .*train"):
        load_corpus(str(folder)).split("valid")


@pytest.mark.parametrize("name", ["dev", "val", "valid", "validation"])
def test_the_validation_split_is_known_by_its_usual_names(tmp_path, name):
    rows = random_rows([2])
    corpus = load_corpus(str(write_corpus(tmp_path / "c", {"train": rows, "a": rows, name: rows})))
    assert corpus.validation_split == name
    assert load_corpus(str(write_corpus(tmp_path / "d", {"train": rows, "a": rows}))).validation_split is None


@pytest.mark.parametrize("name", ["nowhere", "/absolute/nowhere", "a/b/c", "./nowhere", "../nowhere"])
def test_neither_folder_nor_id_is_refused(name):
    with pytest.raises(CorpusError, match="neither a folder nor a data set id"):
        load_corpus(name)


def test_unreachable_id_is_refused():
    with pytest.raises(CorpusError, match="someone/corpus cannot be loaded"):
        load_corpus("someone/corpus")


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="cannot be loaded as a data set"):
        load_corpus(str(tmp_path))


def test_broken_file_is_refused(folder):
    file = folder / "data" / "train-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(CorpusError, match="00000-of-00001.parquet is damaged"):
        load_corpus(str(folder))


def test_broken_extractors_are_refused(folder):
    (folder / EXTRACTORS_FILE).write_text('{"audio": ')
    with pytest.raises(CorpusError, match=f"{EXTRACTORS_FILE} is not JSON"):
        load_corpus(str(folder))


@pytest.mark.parametrize("column", ["utterance_id", "dialogue_id", "text", "emotions"])
def test_other_data_sets_are_refused(column, tmp_path):
    rows = random_rows([3]).remove_columns(column)
    with pytest.raises(CorpusError, match=f"has no column '{column}'; build it with a script"):
        load_corpus(str(write_corpus(tmp_path / "corpus", {"train": rows})))
