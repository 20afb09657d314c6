# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""
The probability above which a label is predicted.

The target of training is the softmax of the multi-hot labels: of C labels, k of which hold, those get
e / (k e + C − k) each and the others 1 / (k e + C − k). A threshold that separates them for 6 labels predicts nothing
for 14 and everything for 3, so that it has to fit the labels.
"""

import math

import numpy as np


__all__ = ["best_threshold", "perfect_scores", "threshold_for", "threshold_problem"]

# A typical number of labels of an utterance.
_USUAL_LABELS = 2
_DECIMALS = range(2, 8)


def perfect_scores(num_labels: int, active: int, decision: str = "softmax") -> tuple[float, float]:
    """Probability that a perfect model gives a label that holds, and one that does not, where `active` hold."""
    if decision == "sigmoid":
        return 1.0, 0.0
    total = active * math.e + num_labels - active
    return math.e / total, 1 / total


def threshold_for(num_labels: int) -> float:
    """A threshold for this number of labels where none can be chosen: the geometric mean of both perfect scores."""
    return round(math.sqrt(math.prod(perfect_scores(num_labels, min(_USUAL_LABELS, num_labels)))), 4)


def best_threshold(scores: np.ndarray, labels: np.ndarray) -> float | None:
    """
    The threshold of highest micro-F1, of all that there are.

    Micro-F1 is the same for all thresholds between two neighbouring scores: the middle of the widest of the best gaps
    is taken, rounded as far as it stays near there.

    Args:
        scores: probabilities, shape (rows, C); a label is predicted where its score is greater than the threshold.
        labels: multi-hot, shape (rows, C).

    Returns:
        A number in [0, 1); `None` where no row has a label, so that all thresholds have a micro-F1 of 0.
    """
    holds = np.asarray(labels, dtype=bool).ravel()
    if not holds.any():
        return None
    values, places = np.unique(np.asarray(scores, dtype=np.float64).ravel(), return_inverse=True)
    counts, hits = np.bincount(places), np.bincount(places, weights=holds)
    # At place i: what is predicted by a threshold below value i, and not below value i − 1.
    predicted, correct = np.cumsum(counts[::-1])[::-1], np.cumsum(hits[::-1])[::-1]
    f1 = 2 * correct / (predicted + holds.sum())
    below = np.concatenate([[0.0], values[:-1]])
    best = np.flatnonzero((f1 == f1[values > 0].max(initial=0)) & (values > 0))
    if not best.size:
        return None
    widest = best[np.argmax((values - below)[best])]
    return _rounded(float(below[widest]), float(values[widest]))


def _rounded(low: float, high: float) -> float:
    """The number of fewest decimals in the middle half of [low, high)."""
    middle, reach = (low + high) / 2, (high - low) / 4
    rounded = (round(middle, decimals) for decimals in _DECIMALS)
    return next((value for value in rounded if abs(value - middle) <= reach), middle)


def threshold_problem(
    scores: np.ndarray, labels: np.ndarray, threshold: float, decision: str = "softmax"
) -> str | None:
    """
    Why most rows have no predicted label, or all of them; `None` where that is not so.

    Args:
        scores, labels: as of [`best_threshold`].
        threshold: a label was predicted where its score was greater.
        decision: what made probabilities of the logits, as in [`EmotionConfig`].
    """
    counts, num_labels = (np.asarray(scores) > threshold).sum(axis=1), scores.shape[1]
    for found, what in ((counts == 0, "no label is"), (counts == num_labels, "all labels are")):
        if 2 * found.sum() > len(counts):
            return (
                f"For {found.sum()} of {len(counts)} rows {what} predicted: `decision_threshold` is {threshold:g}. "
                f"{_reason(labels, num_labels, decision)}"
            )
    return None


def _reason(labels: np.ndarray, num_labels: int, decision: str) -> str:
    given = labels.sum(axis=1)
    active = max(1, round(float(given[given > 0].mean()))) if (given > 0).any() else 1
    holds, absent = perfect_scores(num_labels, active, decision)
    return (
        f"With {num_labels} labels, {active} of which hold, a perfect model gives {holds:.3f} to one that holds and "
        f"{absent:.3f} to one that does not: train with `decision_threshold: auto`, or set one between them. If it "
        "lies there already, the model has not learned to tell the labels apart."
    )
