# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
The probability above which a label is predicted.

The target of training is the softmax of the multi-hot labels: of C labels, k of which hold, those get
e / (k e + C − k) each and the others 1 / (k e + C − k). A threshold that separates them for 6 labels predicts nothing
for 14 and everything for 3, so that it has to fit the labels.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np


__all__ = [
    "AUTO",
    "PER_LABEL",
    "THRESHOLD_CHOICES",
    "Threshold",
    "best_threshold",
    "best_thresholds",
    "choose_threshold",
    "logged_threshold",
    "perfect_scores",
    "predicted_labels",
    "relative_score",
    "threshold_for",
    "threshold_metrics",
    "threshold_problem",
    "threshold_text",
]

# One for all labels, or one each in the order of the labels.
Threshold = float | list[float]

# How a threshold is chosen: one of highest micro-F1, or for each label that of its highest F1.
AUTO, PER_LABEL = "auto", "per-label"
THRESHOLD_CHOICES = (AUTO, PER_LABEL)

# A typical number of labels of an utterance.
_USUAL_LABELS = 2
_DECIMALS = range(2, 8)


def perfect_scores(num_labels: int, active: int, decision: str = "softmax") -> tuple[float, float]:
    """Probability that a perfect model gives a label that holds, and one that does not, where `active` hold."""
    if decision == "sigmoid":
        return 1.0, 0.0
    total = active * math.e + num_labels - active
    return math.e / total, 1 / total


def relative_score(score: float, threshold: float) -> float:
    """How many times its threshold a score is, by which scores of any number of labels compare; above 1 predicts."""
    if threshold > 0:
        return score / threshold
    return math.inf if score > 0 else 0.0


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


def best_thresholds(scores: np.ndarray, labels: np.ndarray) -> list[float] | None:
    """
    The threshold of highest F1 of each label by itself, and so those of highest macro-F1 (SCut of Yang, "A Study of
    Thresholding Strategies for Text Categorization", SIGIR 2001).

    A label that no row has gets the one threshold of highest micro-F1 over all labels: there is nothing to choose by.

    Args:
        scores, labels: as of [`best_threshold`].

    Returns:
        One number in [0, 1) a label; `None` where no row has a label.
    """
    common = best_threshold(scores, labels)
    if common is None:
        return None
    columns = zip(np.asarray(scores).T, np.asarray(labels).T, strict=True)
    found = [best_threshold(column, holds) for column, holds in columns]
    return [common if one is None else one for one in found]


def choose_threshold(scores: np.ndarray, labels: np.ndarray, how: str = AUTO) -> Threshold | None:
    """
    The threshold, or the threshold of each label, that does best on these rows.

    Args:
        scores, labels: as of [`best_threshold`].
        how: "auto" for one threshold of highest micro-F1, "per-label" for one of highest F1 for each label.

    Raises:
        ValueError: `how` is neither.
    """
    if how not in THRESHOLD_CHOICES:
        raise ValueError(f"A threshold is chosen by one of {', '.join(THRESHOLD_CHOICES)}, got {how!r}.")
    return best_threshold(scores, labels) if how == AUTO else best_thresholds(scores, labels)


def predicted_labels(scores: np.ndarray, threshold: float | Sequence[float] | np.ndarray) -> np.ndarray:
    """
    Which labels are predicted, bool `(rows, C)`: those whose score is greater, compared in float64.

    Args:
        scores: probabilities, shape (rows, C).
        threshold: one for all labels, one each, or one for each label of each row, `(rows, C)`.
    """
    return np.asarray(scores, np.float64) > np.asarray(threshold, np.float64)


def threshold_text(threshold: float | Sequence[float], label_names: Sequence[str] = ()) -> str:
    """A threshold, or the threshold of each label with its name, in a few words."""
    if not isinstance(threshold, Sequence):
        return f"{threshold:g}"
    names = [f"{name} " for name in label_names] or [""] * len(threshold)
    return ", ".join(f"{name}{value:g}" for name, value in zip(names, threshold, strict=True))


def threshold_metrics(threshold: Threshold, label_names: Sequence[str]) -> dict[str, float]:
    """A threshold as numbers for the log: `threshold`, or `threshold_LABEL` of every label."""
    if not isinstance(threshold, list):
        return {"threshold": threshold}
    return {f"threshold_{name}": value for name, value in zip(label_names, threshold, strict=True)}


def logged_threshold(
    entry: Mapping[str, float], label_names: Sequence[str], prefix: str = "eval_"
) -> Threshold | None:
    """What [`threshold_metrics`] has written to an entry of the log; `None` where there is nothing of it."""
    each = [entry.get(f"{prefix}threshold_{name}") for name in label_names]
    known = [value for value in each if value is not None]
    return known if known and len(known) == len(each) else entry.get(f"{prefix}threshold")


def _rounded(low: float, high: float) -> float:
    """The number of fewest decimals in the middle half of [low, high)."""
    middle, reach = (low + high) / 2, (high - low) / 4
    rounded = (round(middle, decimals) for decimals in _DECIMALS)
    return next((value for value in rounded if abs(value - middle) <= reach), middle)


def threshold_problem(
    scores: np.ndarray, labels: np.ndarray, threshold: float | Sequence[float], decision: str = "softmax"
) -> str | None:
    """
    Why most rows have no predicted label, or all of them; `None` where that is not so.

    Args:
        scores, labels: as of [`best_threshold`].
        threshold: a label was predicted where its score was greater; one for all labels, or one each.
        decision: what made probabilities of the logits, as in [`EmotionConfig`].
    """
    counts, num_labels = predicted_labels(scores, threshold).sum(axis=1), scores.shape[1]
    for found, what in ((counts == 0, "no label is"), (counts == num_labels, "all labels are")):
        if 2 * found.sum() > len(counts):
            return (
                f"For {found.sum()} of {len(counts)} rows {what} predicted: `decision_threshold` is "
                f"{threshold_text(threshold)}. {_reason(labels, num_labels, decision)}"
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
