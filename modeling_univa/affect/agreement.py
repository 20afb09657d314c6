# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""How well scores agree with ratings: Pearson's r, Lin's concordance, mean absolute error."""

import numpy as np


__all__ = ["DIMENSIONS", "affect_agreement", "agreement"]

DIMENSIONS = ("valence", "arousal")


def agreement(scores: np.ndarray, ratings: np.ndarray) -> dict[str, float]:
    """
    Agreement of scores with ratings in one dimension.

    `ccc` is Lin's concordance correlation coefficient (Lin, Biometrics 1989), 2 cov / (var + var + (mean - mean)^2)
    with population moments: r, less what scale and offset cost.

    Args:
        scores, ratings: shape (N,), finite.

    Returns:
        `pearson_r` and `ccc`, which are 0 where one of the two is constant, and `mae`.

    Raises:
        ValueError: Other shapes, or nothing to compare.
    """
    if scores.shape != ratings.shape or scores.ndim != 1 or not len(scores):
        raise ValueError(f"expected as many scores as ratings, (N,) each, got {scores.shape} and {ratings.shape}")
    scores, ratings = scores.astype(np.float64), ratings.astype(np.float64)
    covariance = ((scores - scores.mean()) * (ratings - ratings.mean())).mean()
    spread = scores.std() * ratings.std()
    total = scores.var() + ratings.var() + (scores.mean() - ratings.mean()) ** 2
    return {
        "pearson_r": float(covariance / spread) if spread else 0.0,
        "ccc": float(2 * covariance / total) if spread else 0.0,
        "mae": float(np.abs(scores - ratings).mean()),
    }


def affect_agreement(scores: np.ndarray, ratings: np.ndarray) -> dict[str, float]:
    """
    Agreement of (valence, arousal) scores, shape (N, 2), with ratings of the same shape.

    Returns:
        `valence_pearson_r`, `valence_ccc`, `valence_mae`, the same for arousal, `mean_ccc` (of the two dimensions),
        and `num_rows`.
    """
    found: dict[str, float] = {}
    for column, name in enumerate(DIMENSIONS):
        measures = agreement(scores[:, column], ratings[:, column])
        found |= {f"{name}_{measure}": value for measure, value in measures.items()}
    found["mean_ccc"] = float(np.mean([found[f"{name}_ccc"] for name in DIMENSIONS]))
    return {**found, "num_rows": len(scores)}
