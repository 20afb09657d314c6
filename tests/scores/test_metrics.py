# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Metrics of scores against those of scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from modeling_univa.scores.metrics import multilabel_metrics


@pytest.mark.parametrize("threshold", [0.4, [0.2, 0.7, 0.5]])
def test_metrics_of_scores_are_numbers_by_name(threshold):
    generator = np.random.default_rng(0)
    scores, labels = generator.random((30, 3)).astype(np.float32), generator.integers(0, 2, (30, 3)).astype(np.int8)
    found = multilabel_metrics(scores, labels, threshold, ("b", "a", "c"))
    predicted = scores > np.array(threshold)
    for average in ("micro", "macro"):
        assert found[f"{average}_f1"] == pytest.approx(100 * f1_score(labels, predicted, average=average))
    each = dict(zip(("f1_b", "f1_a", "f1_c"), 100 * f1_score(labels, predicted, average=None), strict=True))
    assert {name: found[name] for name in each} == pytest.approx(each)
    assert [found[f"support_{name}"] for name in "bac"] == labels.sum(axis=0).tolist()
    assert all(np.isscalar(value) for value in found.values())
