# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The metrics of `metrics/multilabel_emotion`, on scores and on a model's logits."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import torch
from transformers import EvalPrediction

from ..shipped import shipped
from .shared_labels import SharedLabels
from .thresholds import AUTO, Threshold, choose_threshold, threshold_metrics


__all__ = ["MultilabelMetrics", "metric_path", "multilabel_metrics"]


class MultilabelMetrics:
    """
    The metrics of `metrics/multilabel_emotion` on a model's logits, for `Trainer(compute_metrics=…)`.

    Args:
        config: of the model, which says what its logits mean; it may also be set later.
    """

    def __init__(self, config: Any = None):
        self.config = config
        self._choice: str | None = None
        self._shared: SharedLabels | None = None

    @property
    def threshold(self) -> Threshold:
        """That of the model, now; one for all labels, or one each."""
        return self.config.decision_threshold

    @contextmanager
    def choosing(self, how: str | None = AUTO) -> Iterator[None]:
        """
        Inside this context the model's threshold is chosen on what is scored.

        Args:
            how: of `choose_threshold`; `None` leaves the threshold as it is.
        """
        before, self._choice = self._choice, how
        try:
            yield
        finally:
            self._choice = before

    @contextmanager
    def restricted_to(self, shared: SharedLabels | None) -> Iterator[None]:
        """Inside this context only labels and rows are scored that a model shares with a corpus; by default all."""
        before, self._shared = self._shared, shared
        try:
            yield
        finally:
            self._shared = before

    def __call__(self, prediction: EvalPrediction) -> dict[str, float]:
        scores = self.config.probabilities(torch.from_numpy(np.asarray(prediction.predictions))).numpy()
        if not np.isfinite(scores).all():
            raise ValueError("The model's scores are not finite: training has diverged; use a lower learning rate.")
        chosen = None if self._choice is None else choose_threshold(scores, prediction.label_ids, self._choice)
        if chosen is not None:
            self.config.decision_threshold = chosen
        return self._scored(scores, prediction.label_ids)

    def _scored(self, scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        shared, names, threshold = self._shared, self.config.label_names, self.threshold
        if shared is None:
            return {**self.compute(scores, labels), **threshold_metrics(threshold, names)}
        names, threshold = shared.names, shared.threshold_of(threshold)
        metrics = multilabel_metrics(shared.of(scores), shared.of(labels), threshold, names)
        return {**metrics, "num_rows_excluded": shared.num_excluded, **threshold_metrics(threshold, names)}

    def compute(self, scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """[`multilabel_metrics`] at the threshold of the model, for its labels."""
        return multilabel_metrics(scores, labels, self.threshold, self.config.label_names)


def multilabel_metrics(
    scores: np.ndarray, labels: np.ndarray, threshold: Threshold, label_names: Sequence[str]
) -> dict[str, float]:
    """
    The metrics of probabilities, with `f1_LABEL` and `support_LABEL` of every label, one number a name.

    Args:
        scores: probabilities, shape (rows, C).
        labels: multi-hot, shape (rows, C).
        threshold: a label is predicted where its score is greater; one for all labels, or one each.
        label_names: of the columns, in order.
    """
    metrics = _metric().compute(
        predictions=scores.tolist(),
        references=labels.astype(int).tolist(),
        threshold=threshold,
        label_names=list(label_names),
    )
    by_label = {f"f1_{label}": value for label, value in metrics.pop("label_f1").items()}
    support = {f"support_{label}": value for label, value in metrics.pop("label_support").items()}
    return {**metrics, **by_label, **support}


@cache
def _metric() -> evaluate.EvaluationModule:
    return evaluate.load(str(metric_path()), "multi_hot", keep_in_memory=True)


def metric_path() -> Path:
    """Folder of the `evaluate` module."""
    return shipped("metrics/multilabel_emotion")
