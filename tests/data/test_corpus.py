# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Loading a built corpus, and what is said of one that cannot be loaded."""

import json

import datasets
import numpy as np
import pytest
from datasets import ClassLabel, LargeList, List, Value
from testing_utils import random_rows, write_corpus

from modeling_univa.data.corpus import EXTRACTORS_FILE
from modeling_univa.data.loading import load_corpus
from modeling_univa.data.schema import CorpusError
from modeling_univa.data.utterances import known_va
from modeling_univa.models.configuration_univa import MOSEI_EMOTIONS


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
    with pytest.raises(CorpusError, match=f"has no column '{column}'; build it with `univa build`"):
        load_corpus(str(write_corpus(tmp_path / "corpus", {"train": rows})))


# What other libraries make of a corpus


def _from_pandas(rows: datasets.Dataset) -> datasets.Dataset:
    return datasets.Dataset.from_pandas(rows.to_pandas(), preserve_index=False)


@pytest.mark.parametrize("kind", [List(Value("int64")), List(Value("string")), Value("string"), Value("int64")])
def test_emotions_that_are_no_class_labels_are_refused(tmp_path, kind):
    rows = random_rows([3])
    cell = "0" if kind == Value("string") else 0 if kind == Value("int64") else [0]
    content = {**rows[:], "emotions": [cell] * 3}
    rows = datasets.Dataset.from_dict(content, features=datasets.Features({**rows.features, "emotions": kind}))
    with pytest.raises(CorpusError, match=r"in the column 'emotions', expected lists of class.* `cast_column`"):
        load_corpus(str(write_corpus(tmp_path / "corpus", {"train": rows})))


def test_a_pandas_round_trip_is_refused_for_its_lost_labels(tmp_path):
    rows = _from_pandas(random_rows([3, 2], absent=0.0))
    with pytest.raises(CorpusError, match=r"List\(Value\('int64'\)\) in the column 'emotions'"):
        load_corpus(str(write_corpus(tmp_path / "corpus", {"train": rows})))


@pytest.mark.parametrize("kind", [List, LargeList])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_lists_of_one_width_are_read_though_their_type_does_not_say_so(tmp_path, dtype, kind):
    written = random_rows([3, 2, 4], absent=0.3)
    lost = _from_pandas(written)
    kinds = {"emotions": List(ClassLabel(names=list(MOSEI_EMOTIONS))), "text_va": kind(Value("float64"))}
    kinds |= {f"{name}_features": kind(kind(Value(dtype))) for name in ("audio", "vision")}
    lost = lost.cast(datasets.Features({**lost.features, **kinds}))
    corpus = load_corpus(str(write_corpus(tmp_path / "corpus", {"train": lost, "test": lost})))
    assert [corpus.feature_size(name) for name in ("audio", "vision")] == [5, 3]
    found = corpus.split("test")
    assert found.features["audio_features"] == List(List(Value(dtype), length=5))
    assert found.features["text_va"] == List(Value("float64"), length=2)
    for name in ("audio_features", "vision_features", "emotions"):
        assert found[name] == written[name]
    np.testing.assert_array_equal(known_va(found)["text"], known_va(written)["text"])
    with pytest.raises(CorpusError, match=r"\(train\) has .* in the column 'audio_features', expected lists of"):
        load_corpus(corpus.name, streaming=True)


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        (
            "audio_features",
            [[0.0] * 5, [0.0] * 4],
            "a list of 4 numbers in the column 'audio_features', expected lists of 5",
        ),
        (
            "vision_features",
            [[0.0] * 3, None],
            "null for a list of numbers in the column 'vision_features', expected lists of 3",
        ),
        ("text_va", [0.5], "a list of 1 numbers in the column 'text_va', expected lists of 2"),
    ],
)
def test_lists_of_other_widths_are_refused_with_their_row(tmp_path, column, cell, message):
    rows = random_rows([3, 2], absent=0.0)
    kind = List(Value("float32"))
    features = datasets.Features({**rows.features, column: kind if column.endswith("_va") else List(kind)})
    cells = [*rows[column][:3], cell, rows[column][4]]
    rows = datasets.Dataset.from_dict({**rows[:], column: cells}, features=features)
    with pytest.raises(CorpusError, match=rf"corpus \(train\): row 'd1_0' has {message}"):
        load_corpus(str(write_corpus(tmp_path / "corpus", {"train": rows})))


@pytest.mark.parametrize("column", ["audio_features", "text_va"])
def test_columns_of_no_numbers_are_refused(tmp_path, column):
    rows = random_rows([3]).remove_columns(column).add_column(column, ["a", "b", "c"])
    with pytest.raises(CorpusError, match=f"in the column '{column}', expected lists of"):
        load_corpus(str(write_corpus(tmp_path / "corpus", {"train": rows})))


def test_features_without_a_frame_have_no_width(tmp_path):
    rows = random_rows([3], absent=1.0).cast_column("audio_features", List(List(Value("float32"))))
    with pytest.raises(CorpusError, match=r"has no frame in the column 'audio_features', so that its width is"):
        load_corpus(str(write_corpus(tmp_path / "corpus", {"train": rows})))
