# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The metrics that tables, cards and the Hub show, and that choose a checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, field


__all__ = ["METRICS", "Metric"]


@dataclass(frozen=True)
class Metric:
    """
    A figure of `metrics/multilabel_emotion`.

    Args:
        name: in cards, with the unit.
        column: head of its column in tables of results.
        hub_type: the metric on the Hub.
        hub_arguments: of that metric.
        decimals: that are shown.
        greater_is_better: whether a larger value is a better one.
    """

    name: str
    column: str
    hub_type: str
    hub_arguments: Mapping[str, str] = field(default_factory=dict)
    decimals: int = 2
    greater_is_better: bool = True

    @property
    def width(self) -> int:
        """Characters of its column in tables of results."""
        return max(8, len(self.column) + 2)


METRICS = {
    "accuracy": Metric("Accuracy (Jaccard), %", "Acc %", "accuracy"),
    "hamming_loss": Metric("Hamming loss", "HL", "hamming_loss", decimals=4, greater_is_better=False),
    "micro_f1": Metric("Micro F1, %", "miF1 %", "f1", {"average": "micro"}),
    "macro_f1": Metric("Macro F1, %", "maF1 %", "f1", {"average": "macro"}),
}
