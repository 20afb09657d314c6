# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The chosen threshold against a search of all of them, and what is said of one that does not fit."""

import math

import numpy as np
import pytest
from sklearn.metrics import f1_score

from modeling_univa.scores.thresholds import (
    best_threshold,
    best_thresholds,
    choose_threshold,
    logged_threshold,
    perfect_scores,
    predicted_labels,
    threshold_for,
    threshold_metrics,
    threshold_problem,
    threshold_text,
)


def micro_f1(labels: np.ndarray, scores: np.ndarray, threshold: float) -> float:
    return f1_score(labels, scores > threshold, average="micro", zero_division=0)


@pytest.mark.slow
@pytest.mark.parametrize("decimals", [1, 2, 8])
def test_no_other_threshold_is_better(decimals):
    generator = np.random.default_rng(decimals)
    for _ in range(60):
        shape = generator.integers(1, 12), generator.integers(2, 6)
        # Of few decimals, so that many scores are equal.
        scores, labels = generator.random(shape).round(decimals), (generator.random(shape) < 0.3).astype(int)
        found = best_threshold(scores, labels)
        values = {0.0, *scores.ravel(), *(scores.ravel() - 1e-9).clip(0)}
        others = [micro_f1(labels, scores, value) for value in values]
        if found is None:
            assert max(others) == 0
        else:
            assert 0 <= found < 1
            assert micro_f1(labels, scores, found) == max(others)


def test_threshold_lies_in_the_middle_of_the_widest_of_the_best_gaps():
    labels = np.array([[1, 1, 0, 0]])
    assert best_threshold(np.array([[0.4, 0.35, 0.15, 0.1]]), labels) == 0.25
    # As good above 0.5 as above 0.1: two of two, and one of one.
    assert best_threshold(np.array([[0.2, 0.2, 0.2, 0.2]]), labels) == 0.1
    # The same whatever the order, and for scores in single precision.
    scores = np.random.default_rng(0).dirichlet(np.ones(6), 50)
    labels = (np.random.default_rng(1).random((50, 6)) < 0.4).astype(int)
    order = np.random.default_rng(2).permutation(50)
    assert best_threshold(scores, labels) == best_threshold(scores[order], labels[order])
    assert best_threshold(scores.astype(np.float32), labels) == pytest.approx(best_threshold(scores, labels), abs=1e-4)


def test_nothing_to_choose_by():
    assert best_threshold(np.random.default_rng(0).random((4, 3)), np.zeros((4, 3))) is None


def random_rows(seed: int, rows: int = 40, labels: int = 4) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    scores = generator.dirichlet(np.ones(labels), rows).astype(np.float32)
    return scores, (generator.random((rows, labels)) < scores + 0.1).astype(int)


@pytest.mark.parametrize("seed", range(5))
def test_threshold_of_each_label_is_that_of_its_own_column(seed):
    scores, labels = random_rows(seed)
    found = best_thresholds(scores, labels)
    for index, threshold in enumerate(found):
        column, holds = scores[:, index], labels[:, index]
        best = max(f1_score(holds, column > value, zero_division=0) for value in [0, *column])
        assert f1_score(holds, predicted_labels(column, threshold)) == best


@pytest.mark.parametrize("seed", range(5))
def test_thresholds_of_labels_have_the_macro_f1_of_any_one_threshold_or_more(seed):
    scores, labels = random_rows(seed)

    def macro_f1(threshold: float | list[float]) -> float:
        return f1_score(labels, predicted_labels(scores, threshold), average="macro", zero_division=0)

    each = macro_f1(best_thresholds(scores, labels))
    assert each >= max(macro_f1(float(value)) for value in [best_threshold(scores, labels), 0, *scores.ravel()])
    assert each > macro_f1(best_threshold(scores, labels))


def test_label_that_no_row_has_gets_the_threshold_of_all():
    scores, labels = random_rows(0)
    labels[:, 2] = 0
    found = best_thresholds(scores, labels)
    assert found[2] == best_threshold(scores, labels) and len(set(found)) > 1
    assert best_thresholds(scores, np.zeros_like(labels)) is None


def test_way_of_choosing_has_a_name():
    scores, labels = random_rows(1)
    assert choose_threshold(scores, labels) == best_threshold(scores, labels)
    assert choose_threshold(scores, labels, "per-label") == best_thresholds(scores, labels)
    with pytest.raises(ValueError, match="one of auto, per-label, got 'best'"):
        choose_threshold(scores, labels, "best")


def test_scores_are_compared_as_the_metric_compares_them():
    """In double precision, in which the score 0.18 in single precision is a little more."""
    scores = np.array([[0.18, 0.25]], np.float32)
    assert predicted_labels(scores, 0.18).tolist() == [[True, True]]
    assert predicted_labels(scores, [0.18, 0.25]).tolist() == [[True, False]]


@pytest.mark.parametrize("threshold", [0.2, [0.2, 0.3]])
def test_what_is_logged_is_read(threshold):
    logged = {f"eval_{name}": value for name, value in threshold_metrics(threshold, ["sad", "happy"]).items()}
    assert all(isinstance(value, float) for value in logged.values())
    # Files of the log have their keys in alphabetical order.
    assert logged_threshold(dict(sorted(logged.items())), ["sad", "happy"]) == threshold
    assert logged_threshold({"loss": 1.0}, ["sad", "happy"]) is None


def test_thresholds_are_told_with_their_labels():
    assert threshold_text(0.18) == threshold_text(0.18, ["sad", "happy"]) == "0.18"
    assert threshold_text([0.2, 0.5]) == "0.2, 0.5"
    assert threshold_text([0.2, 0.5], ["sad", "happy"]) == "sad 0.2, happy 0.5"
    message = threshold_problem(np.full((4, 2), 0.1), np.ones((4, 2)), [0.2, 0.5])
    assert "For 4 of 4 rows no label is predicted: `decision_threshold` is 0.2, 0.5. With 2" in message
    assert threshold_problem(np.full((4, 2), 0.3), np.ones((4, 2)), [0.2, 0.5]) is None


@pytest.mark.parametrize("num_labels", [2, 3, 6, 7, 12, 20, 100])
def test_threshold_of_a_number_of_labels_separates_one_or_two_perfectly(num_labels):
    for active in (1, 2):
        target = np.exp((np.arange(num_labels) < active).astype(float))
        holds, absent = perfect_scores(num_labels, active)
        np.testing.assert_allclose(target / target.sum(), np.where(np.arange(num_labels) < active, holds, absent))
        if active < num_labels:
            assert absent < threshold_for(num_labels) < holds


def test_what_does_not_fit_is_told_with_what_a_perfect_model_gives():
    labels = np.zeros((10, 12))
    labels[:, :2] = 1
    scores = np.exp(labels) / np.exp(labels).sum(axis=1, keepdims=True)
    assert scores[0, 0] == pytest.approx(math.e / (2 * math.e + 10))
    message = threshold_problem(scores, labels, 0.18)
    assert (
        "For 10 of 10 rows no label is predicted: `decision_threshold` is 0.18. With 12 labels, 2 of which" in message
    )
    assert "a perfect model gives 0.176 to one that holds and 0.065 to one that does not" in message
    assert "For 10 of 10 rows all labels are predicted" in threshold_problem(scores, labels, 0.01)
    assert threshold_problem(scores, labels, best_threshold(scores, labels)) is None
