# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The clips at the end of a run."""

import io
from dataclasses import replace

import datasets
import numpy as np
import pytest
from testing_utils import tiny_config

from modeling_univa.scores.predictions import Predictions
from modeling_univa.training.examples import choose_examples, example_texts, examples_screen


def rows(labels: list[list[int]], right: list[bool], dialogues: str | None = None) -> Predictions:
    """Rows whose predictions are their labels, or the others."""
    truth = np.array(labels, dtype=np.int8)
    said = np.where(np.array(right)[:, None], truth, 1 - truth)
    names = [f"u{place}" for place in range(len(labels))]
    return Predictions(names, list(dialogues or names), np.where(said, 0.3, 0.1).astype(np.float32), truth)


A, B, NONE = [1, 0], [0, 1], [0, 0]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        # One that is wrong, and two that are right.
        (rows([A, B, A, B, A], [True, True, True, True, False]), [0, 1, 4]),
        (rows([A, B, A, B, A], [False, False, False, True, True]), [0, 3, 4]),
        # Of other dialogues and with other labels, as far as there are such.
        (rows([A, A, B, A], [True, True, True, False]), [0, 2, 3]),
        (rows([A, B, B, A], [False, True, True, True], "ddee"), [0, 1, 2]),
        (rows([A, B, B, [1, 1]], [False, True, True, True], "ddef"), [0, 2, 3]),
        (rows([A, A, A], [True, True, False]), [0, 1, 2]),
        # Not three of both kinds.
        (rows([A, B, A], [True, True, True]), [0, 1, 2]),
        (rows([A, B, A, B], [False, False, False, False]), [0, 1, 2]),
        (rows([A, B, A, B], [False, False, True, False]), [0, 1, 2]),
        (rows([B], [False]), [0]),
        # Without a label only in need.
        (rows([NONE, NONE, A, B, B, A], [True, False, True, True, False, True]), [2, 3, 4]),
        (rows([NONE, NONE, A], [True, False, True]), [0, 1, 2]),
    ],
)
def test_choice_follows_the_order_of_the_corpus(found, expected):
    assert choose_examples(found, 0.2) == expected
    assert choose_examples(found, [0.2, 0.2]) == expected


def test_a_score_at_the_threshold_is_not_predicted():
    found = replace(rows([A, B, A], [True] * 3), scores=np.array([[0.2, 0.1]] * 3))
    assert choose_examples(found, 0.2) == [0, 1, 2]
    screen = examples_screen(found, {}, tiny_config(), ["a", "b"], 0.2, "test", io.StringIO())
    assert screen.startswith("3 clips of test, 0 right and 3 wrong")


def test_texts_are_found_by_their_ids():
    split = datasets.Dataset.from_dict({"utterance_id": ["a", "b", "c"], "text": ["x", "y", "z"], "other": [1, 2, 3]})
    assert example_texts(split, ["c", "a"]) == {"a": "x", "c": "z"}


def test_golden_screen():
    found = rows([[1, 0, 0], [0, 1, 1], [0, 0, 0]], [True, True, True])
    found = replace(found, scores=np.array([[0.3, 0.1, 0.1], [0.05, 0.3, 0.1], [0.1, 0.1, 0.25]]))
    texts = {"u0": "How\nwas  it? " + "Yes. " * 50, "u1": "“No”, she said.", "u2": ""}
    names = ["happy", "sad", "fear"]
    config = tiny_config(id2label=dict(enumerate(names)))
    screen = examples_screen(found, texts, config, names, 0.2, "test", io.TextIOWrapper(io.BytesIO(), "utf-8"))
    lines = screen.splitlines()
    assert lines[:2] == ["3 clips of test, 1 right and 2 wrong", ""]
    assert lines[2] == "u0: right" and lines[3].startswith("“How was it? Yes. Yes.") and lines[3].endswith(" …”")
    assert max(map(len, lines)) <= 100
    assert lines[4:9] == [
        "  truth      happy",
        "  predicted  happy",
        "  happy  0.300   1.50 ×  ███████████████│███████▌         true, predicted",
        "  sad    0.100   0.50 ×  ███████▌       │",
        "  fear   0.100   0.50 ×  ███████▌       │",
    ]
    assert lines[10:17] == [
        "u1: wrong",
        "““No”, she said.”",
        "  truth      sad, fear",
        "  predicted  sad",
        "  sad    0.300   1.50 ×  ███████████████│███████▌         true, predicted",
        "  fear   0.100   0.50 ×  ███████▌       │                 true, missed",
        "  happy  0.050   0.25 ×  ███▊           │",
    ]
    assert lines[18:22] == ["u2: wrong", "(no transcript)", "  truth      -", "  predicted  fear"]
    assert lines[22].endswith("predicted, not true")
    assert lines[26].startswith("1.00 × is the threshold 0.2")


def test_screen_without_blocks_and_with_what_strangers_wrote():
    found = rows([A], [False])
    names = ["\x1b[31mred", "b" * 300]
    screen = examples_screen(found, {"u0": "a\x1b[2Jb\u202e\n"}, tiny_config(), names, 0.2, "test", io.StringIO())
    assert "█" not in screen and "#" in screen
    assert all(line.isprintable() and len(line) <= 100 for line in screen.splitlines())
