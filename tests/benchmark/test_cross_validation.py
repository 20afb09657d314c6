# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Which folds a recipe of a plan stands for."""

import pytest
from testing_utils import random_rows, write_corpus

from modeling_univa.benchmark.cross_validation import folds_in_words, planned_folds
from modeling_univa.data.corpus import Corpus
from modeling_univa.data.folds import FoldChoice, fold_corpus
from modeling_univa.data.loading import load_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    """Four dialogues of one row, by Ann, Ben, Cy and Ann."""
    rows = random_rows([1] * 4, speakers=["Ann", "Ben", "Cy", "Ann"], modalities=["audio"])
    return load_corpus(str(write_corpus(tmp_path_factory.mktemp("folds") / "corpus", {"train": rows})))


@pytest.mark.parametrize(
    ("recipe", "folds", "words"),
    [
        ({"num_folds": 3}, [1, 2, 3], "3 folds by speaker"),
        ({"num_folds": "4", "fold_by": "dialogue"}, [1, 2, 3, 4], "4 folds by dialogue"),
        ({"num_folds": 5, "fold": [2, 4]}, [2, 4], "2 folds of 5 by speaker, 2, 4"),
        ({"num_folds": 5, "fold": [3]}, [3], "1 fold of 5 by speaker, 3"),
        ({"num_folds": "all", "fold": ["Ann", "Ben"]}, ["Ann", "Ben"], "leave-one-speaker-out, 2 folds"),
    ],
)
def test_folds_without_a_fold_are_all(recipe, folds, words):
    found = planned_folds(recipe)
    assert list(found) == folds and folds_in_words(recipe, found) == words


@pytest.mark.parametrize("recipe", [{}, {"num_folds": 5, "fold": 2}, {"num_folds": "all", "fold": "Ann"}])
def test_one_fold_and_none_are_one_run(recipe):
    assert planned_folds(recipe) is None


@pytest.mark.parametrize("by", ["speaker", "dialogue"])
def test_leave_one_out_tests_every_row_of_a_corpus_once(by, corpus):
    found = planned_folds({"num_folds": "all", "fold_by": by, "dataset": corpus.name})
    assert len(found) == (3 if by == "speaker" else 4)
    tested = [
        name
        for fold in found
        for name in fold_corpus(corpus, FoldChoice("all", fold, by)).splits["test"]["utterance_id"]
    ]
    assert sorted(tested) == sorted(corpus.splits["train"]["utterance_id"])


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"fold": [1, 2]}, "`fold` is a list without `num_folds`: add it"),
        ({"num_folds": 5, "fold": []}, "expected a list of different folds"),
        ({"num_folds": 5, "fold": [1, "1"]}, "expected a list of different folds"),
        ({"num_folds": 5, "fold": [1.5]}, "expected a list of different folds"),
        ({"num_folds": "all", "dataset": "nowhere"}, "nowhere is not a folder here: build the corpus first, or list"),
    ],
)
def test_what_is_no_list_of_folds_is_refused(recipe, message):
    with pytest.raises(ValueError, match=message):
        planned_folds(recipe)
