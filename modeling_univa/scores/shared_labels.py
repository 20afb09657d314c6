# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What can be scored of a model on a corpus that has other labels."""

from dataclasses import dataclass, replace

import numpy as np

from .predictions import Predictions
from .thresholds import Threshold


__all__ = ["SharedLabels"]


@dataclass(frozen=True)
class SharedLabels:
    """
    The labels that a model and a corpus have in common, and the rows that have something to score.

    Args:
        names: labels of the model that stand for a label of the corpus, in the model's order.
        columns (`np.ndarray` of shape `(len(names),)`): their places among the labels of the model.
        rows (`np.ndarray` of shape `(rows,)`, bool): which rows are scored: not those that have labels, all of which
            are mapped to nothing.
        note: how labels were mapped, for people.
    """

    names: list[str]
    columns: np.ndarray
    rows: np.ndarray
    note: str

    @property
    def num_excluded(self) -> int:
        """Rows that are not scored."""
        return int((~self.rows).sum())

    @property
    def full_note(self) -> str:
        """`note`, and how many rows are not scored."""
        return f"{self.note} Excluded rows, all of whose labels are left out: {self.num_excluded:,}."

    def scored(self, found: Predictions) -> Predictions:
        """Of predictions of all rows and all labels of the model those that are scored."""
        rows = found.at(np.flatnonzero(self.rows))
        return replace(rows, scores=self.of(found.scores), labels=self.of(found.labels))

    def of(self, values: np.ndarray) -> np.ndarray:
        """Of values `(rows, C)` of all labels of the model those that are scored, `(scored rows, len(names))`."""
        return np.asarray(values)[self.rows][:, self.columns]

    def threshold_of(self, threshold: Threshold) -> Threshold:
        """The threshold of a model for the labels that are scored; one for all labels stays as it is."""
        return [threshold[column] for column in self.columns] if isinstance(threshold, list) else threshold
