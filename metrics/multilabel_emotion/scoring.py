# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What the metric computes of multi-hot labels and predictions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import f1_score, hamming_loss, jaccard_score


__all__ = ["FIGURES", "Figure", "score"]


@dataclass(frozen=True)
class Figure:
    """
    One number over all rows.

    Args:
        name: for people.
        meaning: what it is, in a few words.
        compute: from labels and predictions, arrays (rows, labels) of 0 and 1, and the accuracy of a row that has
            neither, 0 or 1; gives a fraction.
        percent: whether it is shown in percent.
    """

    name: str
    meaning: str
    compute: Callable[[np.ndarray, np.ndarray, int], float]
    percent: bool = True

    @property
    def unit(self) -> str:
        """In words."""
        return "percent" if self.percent else "fraction, 0 to 1"

    def value(self, expected: np.ndarray, predicted: np.ndarray, empty_score: int) -> float:
        """The number in its unit."""
        return (100 if self.percent else 1) * float(self.compute(expected, predicted, empty_score))

    def shown(self, value: float) -> str:
        """A value as text, with its unit."""
        return f"{value:.2f} %" if self.percent else f"{value:.4f}"


def _accuracy(expected: np.ndarray, predicted: np.ndarray, empty_score: int) -> float:
    return jaccard_score(expected, predicted, average="samples", zero_division=empty_score)


def _hamming_loss(expected: np.ndarray, predicted: np.ndarray, empty_score: int) -> float:
    return hamming_loss(expected, predicted)


def _micro_f1(expected: np.ndarray, predicted: np.ndarray, empty_score: int) -> float:
    return f1_score(expected, predicted, average="micro", zero_division=0)


def _macro_f1(expected: np.ndarray, predicted: np.ndarray, empty_score: int) -> float:
    return f1_score(expected, predicted, average=None, zero_division=0).mean()


FIGURES = {
    "accuracy": Figure("Accuracy", "mean of the rows: common labels / all labels", _accuracy),
    "hamming_loss": Figure("Hamming loss", "wrong / all row-label pairs; lower is better", _hamming_loss, False),
    "micro_f1": Figure("Micro F1", "all row-label pairs", _micro_f1),
    "macro_f1": Figure("Macro F1", "mean of the labels", _macro_f1),
}


def score(expected: np.ndarray, predicted: np.ndarray, names: Sequence[str], empty_score: int) -> dict[str, Any]:
    """All figures of arrays (rows, labels) of 0 and 1, F1 and support of every label, and counts of rows."""
    label_f1 = f1_score(expected, predicted, average=None, zero_division=0)
    return {
        **{key: figure.value(expected, predicted, empty_score) for key, figure in FIGURES.items()},
        "label_f1": {name: 100 * float(value) for name, value in zip(names, label_f1, strict=True)},
        "label_support": {name: int(count) for name, count in zip(names, expected.sum(axis=0), strict=True)},
        "num_rows": len(expected),
        "num_rows_without_label": int((expected.sum(axis=1) == 0).sum()),
        "num_rows_without_prediction": int((predicted.sum(axis=1) == 0).sum()),
    }
