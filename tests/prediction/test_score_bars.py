# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Bars of characters."""

import io

import pytest
from testing_utils import tiny_config

from modeling_univa.prediction.score_bars import columns, marks_for, padded, score_legend, score_lines, screen_width
from modeling_univa.scores.thresholds import relative_score


def marks(encoding: str | None):
    return marks_for(type("Stream", (), {"encoding": encoding})())


BLOCKS, ASCII = marks("utf-8"), marks("ascii")
SCORES = {"happy": 0.27, "sad": 0.09, "fear": 0.18}
NOTES = {"happy": "true", "sad": "true, missed"}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (
            BLOCKS,
            [
                "  happy  0.270   1.50 ×  ███████████████│███████▌         true",
                "  fear   0.180   1.00 ×  ███████████████│",
                "  sad    0.090   0.50 ×  ███████▌       │                 true, missed",
            ],
        ),
        (
            ASCII,
            [
                "  happy  0.270   1.50 x  ###############|#######          true",
                "  fear   0.180   1.00 x  ###############|",
                "  sad    0.090   0.50 x  #######        |                 true, missed",
            ],
        ),
    ],
)
def test_lines_with_the_threshold_in_the_middle(kind, expected):
    assert score_lines(SCORES, [0.18] * 3, kind, 80, NOTES) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp437", "latin-1", "ascii", "no such", None])
def test_marks_are_those_that_the_encoding_has(encoding):
    found = marks(encoding)
    assert found == (BLOCKS if encoding in ("utf-8", "utf-16") else ASCII)
    assert marks_for(io.StringIO()) == ASCII
    lines = score_lines(SCORES, [0.18] * 3, found, 80) + score_legend(tiny_config(), 0.18, found, 80)
    if found == ASCII:
        "\n".join(lines).encode("ascii")


def test_a_score_is_never_on_the_wrong_side_of_the_line():
    for ratio in (0.0, 0.2, 0.97, 0.999, 1.0, 1.001, 1.03, 1.9, 2.0, 3.0, 4.0, 50.0):
        for width in range(40, 101, 7):
            lines = score_lines({"a": ratio * 0.1, "b": 0.3}, [0.1, 0.1], BLOCKS, width)
            bar = next(line for line in lines if line.startswith("  a")).partition("×  ")[2]
            assert (len(bar.partition("│")[2].strip()) > 0) is (ratio > 1.05) or 0.95 < ratio < 1.05
            assert not bar.partition("│")[2].strip() or ratio > 1
            assert "│" in bar


def test_each_emotion_has_its_threshold():
    found = score_lines(SCORES, [0.5, 0.05, 0.09], ASCII, 80)
    assert [line.split()[:3] for line in found] == [
        ["fear", "0.180", "2.00"],
        ["sad", "0.090", "1.80"],
        ["happy", "0.270", "0.54"],
    ]


def test_threshold_of_nothing():
    assert relative_score(0.27, 0.18) == pytest.approx(1.5)
    assert (relative_score(0.1, 0), relative_score(0, 0)) == (float("inf"), 0)
    over, none = score_lines({"a": 0.1, "b": 0.0}, [0.0, 0.0], ASCII, 80)
    assert ">100 x" in over and "#|#" in over
    assert "0.00 x" in none and "#" not in none


def test_lines_are_no_longer_than_the_screen():
    names = {"happy": 0.2, "unbeschreiblich überwältigt": 0.3, "悲しい" * 12: 0.1, "a\nb\x1b[31m": 0.1}
    for kind in (BLOCKS, ASCII):
        for width in (40, 60, 100):
            lines = score_lines(names, [0.18] * 4, kind, width, {"happy": "missed"})
            lines += score_legend(tiny_config(), 0.18, kind, width)
            assert max(map(columns, lines)) <= width and all(line.isprintable() for line in lines)
            # Bars of wide characters begin where others do.
            assert len({columns(line.partition(kind.limit)[0]) for line in lines[:4]}) == 1
    assert (columns("悲し"), columns("e\u0301"), padded("悲", 3)) == (4, 1, "悲 ")


def test_only_some_of_many_emotions_and_all_that_have_a_note():
    scores = {f"e{index}": 0.01 * index for index in range(20)}
    *lines, more = score_lines(scores, [0.1] * 20, ASCII, 80, {"e3": "true, missed"}, most=4)
    assert [line.split()[0] for line in lines] == ["e19", "e18", "e17", "e16", "e3"]
    assert more == "  15 more, 1.50 x or less"


@pytest.mark.parametrize(("columns", "width"), [("10", 40), ("77", 77), ("500", 100)])
def test_screen_is_as_wide_as_can_be_read(columns, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    assert screen_width() == width


# How far a score can rise


def test_ceiling_of_one_distribution_follows_from_the_number_of_labels():
    text = " ".join(score_legend(tiny_config(), 0.18, BLOCKS, 80))
    assert text == (
        "1.00 × is the threshold 0.18, above which an emotion is predicted. Scores of a clip sum to 1: a perfect "
        "model gives 0.35 (1.96 ×) to an emotion that holds alone, 0.29 (1.60 ×) to each of two, 0.24 (1.35 ×) to "
        "each of three."
    )
    two = tiny_config(id2label={0: "happy", 1: "sad"}, decision_threshold=[0.5, 0.4])
    text = " ".join(score_legend(two, two.decision_threshold, ASCII, 80))
    assert text == (
        "1.00 x is its own threshold, above which an emotion is predicted. Scores of a clip sum to 1: a perfect model "
        "gives 0.73 to an emotion that holds alone."
    )


def test_independent_labels_reach_1():
    class Independent:
        decision, num_labels = "sigmoid", 6

    assert score_legend(Independent(), 0.5, ASCII, 80)[1] == (
        "A perfect model gives 1 to an emotion that holds and 0 to others."
    )
