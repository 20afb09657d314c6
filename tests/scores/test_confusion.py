# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Confusion and co-occurrence of labels against loops over rows."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix as single_label_confusion
from sklearn.metrics import f1_score, precision_score, recall_score

from modeling_univa.scores.confusion import confusion_matrix, cooccurrence, cooccurrence_rates, label_scores


def some(rows: int = 200, labels: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions of the same rows, some of them empty."""
    random = np.random.default_rng(seed)
    return (random.random((rows, labels)) < 0.3).astype(np.int8), random.random((rows, labels)) < 0.3


def mlcm_of_a_row(truth: set[int], found: set[int], size: int) -> np.ndarray:
    """The contribution of one row, as section III of Heydarian et al. has it."""
    matrix = np.zeros((size + 1, size + 1), int)
    if not truth and not found:
        matrix[size, size] = 1
    for label in truth & found:
        matrix[label, label] += 1
    missed, wrong = truth - found, found - truth
    if not wrong:
        for label in missed:
            matrix[label, size] += 1
    for other in wrong:
        for label in missed or truth or {size}:
            matrix[label, other] += 1
    return matrix


def test_confusion_is_the_sum_over_the_rows():
    labels, predicted = some()
    expected = np.zeros((6, 6), int)
    for row, found in zip(labels, predicted, strict=True):
        expected += mlcm_of_a_row(set(np.flatnonzero(row)), set(np.flatnonzero(found)), 5)
    np.testing.assert_array_equal(confusion_matrix(labels, predicted), expected)
    assert expected[-1, -1] > 0 and expected[-1, :-1].all() and expected[:-1, -1].all()


@pytest.mark.parametrize(
    ("truth", "found", "cells"),
    [
        ([1, 1, 0], [1, 0, 0], {(0, 0): 1, (1, 3): 1}),
        ([1, 0, 0], [1, 1, 1], {(0, 0): 1, (0, 1): 1, (0, 2): 1}),
        ([1, 1, 0], [1, 0, 1], {(0, 0): 1, (1, 2): 1}),
        ([0, 0, 0], [0, 1, 0], {(3, 1): 1}),
        ([0, 1, 0], [0, 0, 0], {(1, 3): 1}),
        ([0, 0, 0], [0, 0, 0], {(3, 3): 1}),
    ],
)
def test_each_kind_of_row_counts_where_the_paper_says(truth, found, cells):
    matrix = confusion_matrix(np.array([truth]), np.array([found]))
    assert {tuple(map(int, cell)): matrix[tuple(cell)] for cell in np.argwhere(matrix)} == cells


def test_confusion_of_one_label_a_row_is_the_usual_one():
    random = np.random.default_rng(3)
    truth, found = random.integers(0, 4, 100), random.integers(0, 4, 100)
    matrix = confusion_matrix(np.eye(4)[truth], np.eye(4)[found])
    np.testing.assert_array_equal(matrix[:-1, :-1], single_label_confusion(truth, found))
    assert not matrix[-1].any() and not matrix[:, -1].any()


def test_cooccurrence_counts_rows():
    labels, predicted = some(60)
    for other in (labels, predicted):
        expected = [
            [sum(a[i] and b[j] for a, b in zip(labels, other, strict=True)) for j in range(5)] for i in range(5)
        ]
        np.testing.assert_array_equal(cooccurrence(labels, other), expected)
        rates = np.array(expected) / labels.sum(axis=0)[:, None]
        np.testing.assert_allclose(cooccurrence_rates(labels, other), rates)
    np.testing.assert_array_equal(cooccurrence(labels), cooccurrence(labels, labels))


def test_rate_of_a_label_that_no_row_has_is_not_a_number():
    rates = cooccurrence_rates(np.array([[1, 0], [1, 0]]), np.array([[1, 1], [0, 0]]))
    np.testing.assert_array_equal(rates, [[0.5, 0.5], [np.nan, np.nan]])


def test_small_integers_do_not_overflow():
    labels = np.ones((1000, 2), np.int8)
    assert cooccurrence(labels)[0, 1] == confusion_matrix(labels, labels)[0, 0] == 1000


def test_scores_of_labels_are_those_of_each_column():
    labels, predicted = some(50)
    labels[:, 4] = predicted[:, 4] = 0
    found = label_scores(labels, predicted)
    for index in range(5):
        column, decided = labels[:, index], predicted[:, index]
        scores = [score(column, decided, zero_division=0) for score in (precision_score, recall_score, f1_score)]
        assert [found.precision[index], found.recall[index], found.f1[index]] == pytest.approx(scores)
        assert (found.support[index], found.predicted[index]) == (column.sum(), decided.sum())
    assert found.f1[4] == 0 < found.f1[:4].min()
