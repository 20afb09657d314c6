# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Scalings of valence-arousal scores before their distances are taken."""

from typing import Literal, get_args

import numpy as np


__all__ = ["VA_SCALINGS", "VAScaling", "scale_va"]

VAScaling = Literal["none", "released", "standardize"]
VA_SCALINGS: tuple[str, ...] = get_args(VAScaling)


def scale_va(va: np.ndarray, scaling: str, training_va: np.ndarray | None = None) -> np.ndarray:
    """
    Scale the VA scores of one modality of one split.

    Args:
        va: (valence, arousal) in [-1, 1], shape (rows, 2); NaN where unknown.
        scaling: "none" (the paper); "released" (the authors' code: both columns take the mean and the sample standard
            deviation of the split's **valence** column); "standardize" (each column by its own mean and sample
            standard deviation over the training split).
        training_va: scores of the training split, for "standardize"; by default `va` itself.

    Returns:
        float32 of the same shape; NaN stays NaN. Statistics are over known rows; a column without spread is only
        centred.

    Raises:
        ValueError: an unknown scaling.
    """
    if scaling not in VA_SCALINGS:
        raise ValueError(f"`va_scaling` must be one of {', '.join(VA_SCALINGS)}, got {scaling!r}.")
    if scaling == "none":
        return va.astype(np.float32)
    reference = va[:, :1] if scaling == "released" else va if training_va is None else training_va
    known = reference[~np.isnan(reference).any(axis=1)].astype(np.float64)
    if not len(known):
        return va.astype(np.float32)
    spread = known.std(axis=0, ddof=1) if len(known) > 1 else np.zeros(known.shape[1])
    return ((va - known.mean(axis=0)) / np.where(spread > 0, spread, 1.0)).astype(np.float32)
