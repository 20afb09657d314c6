# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from modeling_univa.affect.agreement import affect_agreement, agreement


def test_against_loops():
    generator = np.random.default_rng(0)
    scores, ratings = generator.normal(size=(2, 30))
    ratings += scores
    mean_s, mean_r = sum(scores) / 30, sum(ratings) / 30
    covariance = sum((s - mean_s) * (r - mean_r) for s, r in zip(scores, ratings, strict=True)) / 30
    variance_s = sum((s - mean_s) ** 2 for s in scores) / 30
    variance_r = sum((r - mean_r) ** 2 for r in ratings) / 30
    found = agreement(scores, ratings)
    assert found["pearson_r"] == pytest.approx(covariance / (variance_s * variance_r) ** 0.5)
    assert found["ccc"] == pytest.approx(2 * covariance / (variance_s + variance_r + (mean_s - mean_r) ** 2))
    assert found["mae"] == pytest.approx(sum(abs(s - r) for s, r in zip(scores, ratings, strict=True)) / 30)


def test_scale_and_offset_cost_concordance_only():
    ratings = np.linspace(-1, 1, 11)
    assert agreement(ratings, ratings) == pytest.approx({"pearson_r": 1, "ccc": 1, "mae": 0})
    shifted = agreement(0.5 * ratings + 0.3, ratings)
    assert shifted["pearson_r"] == pytest.approx(1)
    assert shifted["ccc"] == pytest.approx(2 * 0.5 * 0.4 / (0.4 + 0.1 + 0.09))
    assert agreement(-ratings, ratings)["ccc"] == pytest.approx(-1)


def test_constant_scores_and_nothing():
    constant = agreement(np.zeros(3), np.array([0.0, 1, 2]))
    assert constant == pytest.approx({"pearson_r": 0, "ccc": 0, "mae": 1})
    with pytest.raises(ValueError, match="expected as many scores as ratings"):
        agreement(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match="expected as many scores as ratings"):
        agreement(np.zeros(3), np.zeros(2))


def test_both_dimensions():
    scores = np.array([[0.0, 1], [1, 0], [2, -1]])
    found = affect_agreement(scores, scores * [1, -1])
    assert (found["valence_pearson_r"], found["arousal_pearson_r"]) == pytest.approx((1, -1))
    assert found["mean_ccc"] == pytest.approx((found["valence_ccc"] + found["arousal_ccc"]) / 2)
    assert found["num_rows"] == 3
