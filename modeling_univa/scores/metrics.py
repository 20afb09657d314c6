# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""The metrics of `metrics/multilabel_emotion` on a model's logits."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import torch
from transformers import EvalPrediction

from ..shipped import shipped
from .thresholds import best_threshold


__all__ = ["MultilabelMetrics", "metric_path"]


class MultilabelMetrics:
    """
    The metrics of `metrics/multilabel_emotion` on a model's logits, for `Trainer(compute_metrics=…)`.

    Args:
        config: of the model, which says what its logits mean; it may also be set later.
    """

    def __init__(self, config: Any = None):
        self.config = config
        self._chooses = False
        self._metric: evaluate.EvaluationModule | None = None

    @property
    def threshold(self) -> float:
        """That of the model, now."""
        return self.config.decision_threshold

    @contextmanager
    def choosing(self, chooses: bool = True) -> Iterator[None]:
        """Inside this context the model's threshold is set to that of highest micro-F1 on what is scored."""
        before, self._chooses = self._chooses, chooses
        try:
            yield
        finally:
            self._chooses = before

    def __call__(self, prediction: EvalPrediction) -> dict[str, float]:
        scores = self.config.probabilities(torch.from_numpy(np.asarray(prediction.predictions))).numpy()
        if not np.isfinite(scores).all():
            raise ValueError("The model's scores are not finite: training has diverged; use a lower learning rate.")
        chosen = best_threshold(scores, prediction.label_ids) if self._chooses else None
        if chosen is not None:
            self.config.decision_threshold = chosen
        return {**self.compute(scores, prediction.label_ids), "threshold": self.threshold}

    def compute(self, scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Metrics of probabilities `(rows, C)` against multi-hot labels `(rows, C)`, one number a name."""
        if self._metric is None:
            self._metric = evaluate.load(str(metric_path()), "multi_hot", keep_in_memory=True)
        metrics = self._metric.compute(
            predictions=scores.tolist(),
            references=labels.astype(int).tolist(),
            threshold=self.threshold,
            label_names=self.config.label_names,
        )
        by_label = {f"f1_{label}": value for label, value in metrics.pop("label_f1").items()}
        support = {f"support_{label}": value for label, value in metrics.pop("label_support").items()}
        return {**metrics, **by_label, **support}


def metric_path() -> Path:
    """Folder of the `evaluate` module."""
    return shipped("metrics/multilabel_emotion")
