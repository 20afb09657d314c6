# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What decides the result of a run, runs that are not to be resumed, and models of a fold."""

import json
from dataclasses import fields

import pytest
from testing_utils import random_rows, write_corpus
from transformers import TrainingArguments

from modeling_univa.data.loading import load_corpus
from modeling_univa.training.arguments import parse_arguments
from modeling_univa.training.same_run import check_not_of_a_fold, check_same_run, decisive_arguments
from modeling_univa.training.training_arguments import UnivaTrainingArguments


# What is written on the card decides about no weight.
OF_THE_CARD = {"card_license", "card_language"}


def test_every_own_option_of_training_decides_or_is_known_not_to():
    """Or a benchmark would take two runs of different options for one."""
    own = {item.name for item in fields(UnivaTrainingArguments)} - {item.name for item in fields(TrainingArguments)}
    decisive = decisive_arguments(*parse_arguments([]))
    assert own - OF_THE_CARD <= set(decisive) and not OF_THE_CARD & set(decisive)


@pytest.mark.parametrize(
    ("option", "value", "changed"),
    [
        ("learning_rate", "0.5", True),
        ("hidden_size", "24", True),
        ("train_split", "validation", True),
        ("eval_delay", "2", True),
        ("batching", "random", True),
        ("logging_steps", "7", False),
        ("per_device_eval_batch_size", "3", False),
    ],
)
def test_run_is_resumed_if_what_decides_is_the_same(option, value, changed, tmp_path):
    rows = {name: random_rows([2], seed=seed, prefix=name) for seed, name in enumerate(("train", "validation"))}
    corpus = load_corpus(str(write_corpus(tmp_path / "corpus", rows)))
    before = ["--dataset", str(tmp_path / "corpus"), "--output_dir", str(tmp_path / "run")]
    check_same_run(None, *parse_arguments(before), corpus)
    check_same_run("checkpoint-1", *parse_arguments(before), corpus)
    after = parse_arguments([*before, f"--{option}", value])
    if not changed:
        return check_same_run("checkpoint-1", *after, corpus)
    with pytest.raises(ValueError, match=f"checkpoint-1 is of a run with {option} = .*, and now it is"):
        check_same_run("checkpoint-1", *after, corpus)


def test_run_is_not_resumed_on_other_rows(tmp_path):
    arguments = parse_arguments(["--output_dir", str(tmp_path / "run")])
    corpora = [
        load_corpus(str(write_corpus(tmp_path / str(size), {"train": random_rows([size], seed=1)}))) for size in (2, 3)
    ]
    check_same_run(None, *arguments, corpora[0])
    with pytest.raises(ValueError, match="is of a run with corpus_rows = {'train': 2}, and now it is {'train': 3}"):
        check_same_run("checkpoint-1", *arguments, corpora[1])


# A model of a fold


def test_the_corpus_of_a_fold_is_known_by_its_folder_or_id(tmp_path, monkeypatch):
    model, corpus = tmp_path / "model", tmp_path / "talks"
    model.mkdir()
    corpus.mkdir()
    monkeypatch.chdir(tmp_path)
    for trained, scored in (("talks", str(corpus)), (str(corpus), "./talks"), ("lab/talks", "lab/talks")):
        settings = {"dataset": trained, "num_folds": "all", "fold": "s1"}
        (model / "run_arguments.json").write_text(json.dumps(settings))
        with pytest.raises(ValueError, match="as fold s1 of `num_folds` all: its scores .*/all_results.json"):
            check_not_of_a_fold(str(model), scored)
    check_not_of_a_fold(str(model), "lab/others")


@pytest.mark.parametrize("settings", [{"dataset": "lab/talks"}, {"dataset": "lab/talks", "num_folds": None}, None])
def test_other_models_may_be_scored_on_their_corpus(settings, tmp_path):
    if settings is not None:
        (tmp_path / "run_arguments.json").write_text(json.dumps(settings))
    check_not_of_a_fold(str(tmp_path), "lab/talks")
    check_not_of_a_fold("lab/model", "lab/talks")


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000])
def test_damaged_arguments_are_named(content, tmp_path):
    (tmp_path / "run_arguments.json").write_text(content)
    with pytest.raises(ValueError, match="run_arguments.json is damaged"):
        check_not_of_a_fold(str(tmp_path), "lab/talks")
    corpus = load_corpus(str(write_corpus(tmp_path / "corpus", {"train": random_rows([2], seed=1)})))
    with pytest.raises(ValueError, match="run_arguments.json is damaged"):
        check_same_run("checkpoint-1", *parse_arguments(["--output_dir", str(tmp_path)]), corpus)
