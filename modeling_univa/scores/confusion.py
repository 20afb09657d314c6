# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Which labels hold together, which are mistaken for which, and the scores of each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import precision_recall_fscore_support


__all__ = [
    "LabelScores",
    "SpeakerScores",
    "confusion_matrix",
    "cooccurrence",
    "cooccurrence_rates",
    "label_scores",
    "speaker_scores",
]


@dataclass(frozen=True)
class LabelScores:
    """
    Scores of each label by itself.

    Args:
        precision, recall, f1 (`np.ndarray` of shape `(C,)`): in [0, 1]; 0 where there is nothing to divide by.
        support (`np.ndarray` of shape `(C,)`): rows that have the label.
        predicted (`np.ndarray` of shape `(C,)`): rows for which it is predicted.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray
    predicted: np.ndarray


@dataclass(frozen=True)
class SpeakerScores:
    """
    Micro-F1 of the rows of each speaker by themselves.

    Args:
        names: of the speakers, those with the most rows first.
        f1 (`np.ndarray` of shape `(speakers,)`): in [0, 1]; 0 where no label holds or is predicted.
        rows (`np.ndarray` of shape `(speakers,)`): on which it rests.
        unknown: rows whose speaker is not known, which are left out.
    """

    names: list[str]
    f1: np.ndarray
    rows: np.ndarray
    unknown: int


def cooccurrence(given: np.ndarray, other: np.ndarray | None = None) -> np.ndarray:
    """
    In how many rows labels hold together, int `(C, C)`: the one of the line in `given`, that of the column in `other`.

    Args:
        given: multi-hot, shape (rows, C).
        other: multi-hot of the same rows, by default `given`, whose diagonal then counts the rows of each label.
            Labels and predictions count how often j is predicted where i holds.
    """
    first = np.asarray(given, np.int64)
    return first.T @ (first if other is None else np.asarray(other, np.int64))


def cooccurrence_rates(given: np.ndarray, other: np.ndarray | None = None) -> np.ndarray:
    """
    P(j in `other` | i in `given`), `(C, C)`: the share of the rows with label i that have label j. A line of a label
    that no row has is NaN.

    Args:
        given, other: as of [`cooccurrence`].
    """
    support = np.asarray(given, np.int64).sum(axis=0)[:, None]
    counts = cooccurrence(given, other).astype(float)
    return np.divide(counts, support, out=np.full(counts.shape, np.nan), where=support > 0)


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """
    The multi-label confusion matrix MLCM, int `(C + 1, C + 1)`: true labels by line, predicted ones by column.

    Heydarian, Doyle and Samavi, "MLCM: Multi-Label Confusion Matrix", IEEE Access 10, 2022. A label that is predicted
    and holds counts on the diagonal. Of a row whose predictions

    * only miss labels, each of these counts in the last column, "no prediction";
    * only have wrong labels, each of these counts in the line of every true label; where there is none, in the last
      line, "no true label";
    * do both, each wrong label counts in the line of every missed label.

    A row with neither counts in the last line and column. For one label a row that is the usual matrix.

    Args:
        labels, predicted: multi-hot, shape (rows, C).
    """
    truth, found = np.asarray(labels, bool), np.asarray(predicted, bool)
    missed, wrong = truth & ~found, found & ~truth
    has_missed, has_wrong = missed.any(axis=1, keepdims=True), wrong.any(axis=1, keepdims=True)
    matrix = np.zeros((truth.shape[1] + 1, truth.shape[1] + 1), np.int64)
    blamed = np.where(has_missed, missed, truth)
    matrix[:-1, :-1] = cooccurrence(blamed, wrong) + np.diag((truth & found).sum(axis=0))
    matrix[:-1, -1] = (missed & ~has_wrong).sum(axis=0)
    matrix[-1, :-1] = (wrong & ~truth.any(axis=1, keepdims=True)).sum(axis=0)
    matrix[-1, -1] = (~(truth | found).any(axis=1)).sum()
    return matrix


def label_scores(labels: np.ndarray, predicted: np.ndarray) -> LabelScores:
    """
    Precision, recall and F1 of each label.

    Args:
        labels, predicted: multi-hot, shape (rows, C).
    """
    truth, found = np.asarray(labels, np.int64), np.asarray(predicted, np.int64)
    precision, recall, f1, support = precision_recall_fscore_support(truth, found, average=None, zero_division=0)
    return LabelScores(precision, recall, f1, support, found.sum(axis=0))


def speaker_scores(labels: np.ndarray, predicted: np.ndarray, speakers: Sequence[str | None]) -> SpeakerScores:
    """
    Micro-F1 of each speaker.

    Args:
        labels, predicted: multi-hot, shape (rows, C).
        speakers: who speaks in each row, `None` where it is not known.
    """
    truth, found = np.asarray(labels, bool), np.asarray(predicted, bool)
    places: dict[str, list[int]] = {}
    for place, name in enumerate(speakers):
        if name is not None:
            places.setdefault(name, []).append(place)
    names = sorted(places, key=lambda name: (-len(places[name]), name))
    f1 = np.array([_micro_f1(truth[places[name]], found[places[name]]) for name in names])
    rows = np.array([len(places[name]) for name in names], dtype=np.int64)
    return SpeakerScores(names, f1, rows, len(speakers) - int(rows.sum()))


def _micro_f1(truth: np.ndarray, found: np.ndarray) -> float:
    total = int(truth.sum() + found.sum())
    return 2 * int((truth & found).sum()) / total if total else 0.0
