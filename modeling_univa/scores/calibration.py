# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
Whether probabilities mean what they say: reliability, calibration error, and the temperature that reduces it.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. The scores of a sigmoid system are compared with the
labels: of decisions with a score of 0.8, a share of 0.8 should hold. The scores of a softmax system are a distribution
over the labels, and are compared with the labels of the row as a distribution: 1 / k for each of k labels. A row
without labels has no such distribution and is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, logit, softmax


__all__ = [
    "BINNINGS",
    "Reliability",
    "calibrated",
    "calibration_error",
    "calibration_table",
    "fit_temperature",
    "label_calibration_errors",
    "reliability",
]

BINNINGS = ("uniform", "quantile")
_BINS = 15
# What float32 tells from 0 and 1.
_LEAST = 1e-7
_COLDEST, _HOTTEST = 1e-2, 1e2


@dataclass(frozen=True)
class Reliability:
    """
    Scores against what holds, in the bins that have any.

    Args:
        score (`np.ndarray` of shape `(bins,)`): mean score of a bin.
        share (`np.ndarray` of shape `(bins,)`): mean of the targets, the share of the decisions that hold.
        count (`np.ndarray` of shape `(bins,)`): decisions in it.
    """

    score: np.ndarray
    share: np.ndarray
    count: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error in [0, 1]: the mean distance of score and share over the decisions."""
        return float(np.average(np.abs(self.score - self.share), weights=self.count))


def calibrated(scores: np.ndarray, temperature: float, decision: str) -> np.ndarray:
    """
    The probabilities `(rows, C)` of the logits divided by a temperature.

    Args:
        scores: probabilities `(rows, C)`.
        temperature: greater than 1 for less confident ones.
        decision: "sigmoid" or "softmax", what made the scores of logits.

    Raises:
        ValueError: the temperature is not greater than 0.
    """
    if not temperature > 0:
        raise ValueError(f"`temperature` must be greater than 0, got {temperature!r}.")
    logits = _logits(scores, decision) / temperature
    return softmax(logits, axis=1) if decision == "softmax" else expit(logits)


def fit_temperature(scores: np.ndarray, labels: np.ndarray, decision: str) -> float:
    """
    The temperature of least negative log likelihood, in [0.01, 100]; fit it on validation rows.

    Args:
        scores: probabilities `(rows, C)`.
        labels: multi-hot `(rows, C)`.
        decision: "sigmoid" for the mean binary cross-entropy over all labels of all rows, "softmax" for the
            cross-entropy with the labels of each row as one distribution.

    Raises:
        ValueError: there is no row to fit it on.
    """
    logits, targets = _logits(scores, decision), _targets(labels, decision)
    known = ~np.isnan(targets).any(axis=1)
    if not known.any():
        raise ValueError("A temperature needs rows to be fitted on, of a softmax system rows with a label; got none.")
    logits, targets = logits[known], targets[known]

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        if decision == "softmax":
            return float(-(targets * log_softmax(scaled, axis=1)).sum(axis=1).mean())
        # Minus the log of sigmoid(x) where the label holds, of sigmoid(-x) elsewhere.
        return float((np.logaddexp(0, scaled) - targets * scaled).mean())

    # Convex in 1 / temperature, so that there is one minimum.
    found = minimize_scalar(loss, bounds=(np.log(_COLDEST), np.log(_HOTTEST)), method="bounded")
    return float(np.exp(found.x))


def reliability(
    scores: np.ndarray, labels: np.ndarray, decision: str, bins: int = _BINS, binning: str = "uniform"
) -> Reliability:
    """
    The reliability curve of all decisions together, in the bins of `sklearn.calibration.calibration_curve`, which
    returns no counts and takes no distributions.

    Args:
        scores, labels: shape (rows, C); one column of both for one label by itself, of a sigmoid system.
        decision: "sigmoid" or "softmax".
        bins: maximum number of them.
        binning: "uniform" for bins of equal width, "quantile" for bins of equally many decisions.

    Raises:
        ValueError: there is no decision, no bin, or another `binning`.
    """
    return _binned(np.asarray(scores, np.float64), _targets(labels, decision), bins, binning)


def calibration_error(
    scores: np.ndarray, labels: np.ndarray, decision: str, bins: int = _BINS, binning: str = "uniform"
) -> float:
    """The expected calibration error of all decisions together, in [0, 1]; arguments as of [`reliability`]."""
    return reliability(scores, labels, decision, bins, binning).error


def label_calibration_errors(
    scores: np.ndarray, labels: np.ndarray, decision: str, bins: int = _BINS, binning: str = "uniform"
) -> np.ndarray:
    """The expected calibration error of each label by itself, `(C,)`; arguments as of [`reliability`]."""
    columns = zip(np.asarray(scores, np.float64).T, _targets(labels, decision).T, strict=True)
    return np.array([_binned(column, targets, bins, binning).error for column, targets in columns])


def calibration_table(
    scores: np.ndarray,
    labels: np.ndarray,
    label_names: Sequence[str],
    decision: str,
    temperature: float | None = None,
) -> str:
    """
    The expected calibration error of all decisions and of each label as aligned text, in bins of equal width and of
    equally many decisions, without and with a temperature.

    Args:
        scores, labels: shape (rows, C).
        label_names: of the columns, in order.
        decision: "sigmoid" or "softmax", what made the scores.
        temperature: of [`fit_temperature`], fitted on other rows.
    """
    known = int((~np.isnan(_targets(labels, decision)).any(axis=1)).sum())
    found = {"": scores}
    if temperature is not None:
        found[f", T={temperature:.3g}"] = calibrated(scores, temperature, decision)
    columns = {
        f"{head}{name}": [one, *each]
        for name, values in found.items()
        for head, binning in zip(("ECE", "equal counts"), BINNINGS, strict=True)
        for one in [calibration_error(values, labels, decision, binning=binning)]
        for each in [label_calibration_errors(values, labels, decision, binning=binning)]
    }
    lines = [f"{f'calibration, {known} rows':<26}{''.join(f'{head:>{_width(head)}}' for head in columns)}"]
    for index, name in enumerate(["all labels", *label_names]):
        lines.append(f"{name:<26}{''.join(f'{one[index]:>{_width(head)}.4f}' for head, one in columns.items())}")
    return "\n".join(lines)


def _width(head: str) -> int:
    return max(8, len(head) + 2)


def _logits(scores: np.ndarray, decision: str) -> np.ndarray:
    """Logits of probabilities, up to a constant of each row for a softmax system."""
    values = np.asarray(scores, np.float64)
    return np.log(values.clip(_LEAST)) if decision == "softmax" else logit(values.clip(_LEAST, 1 - _LEAST))


def _targets(labels: np.ndarray, decision: str) -> np.ndarray:
    """What the scores of a perfect system are, `(rows, C)`; NaN for a row that says nothing."""
    if decision not in ("sigmoid", "softmax"):
        raise ValueError(f"`decision` must be sigmoid or softmax, got {decision!r}.")
    values = np.asarray(labels, np.float64)
    if decision == "sigmoid":
        return values
    count = values.sum(axis=1, keepdims=True)
    return np.divide(values, count, out=np.full(values.shape, np.nan), where=count > 0)


def _binned(scores: np.ndarray, targets: np.ndarray, bins: int, binning: str) -> Reliability:
    known = ~np.isnan(targets.ravel())
    values, wanted = scores.ravel()[known], targets.ravel()[known]
    if bins < 1 or not values.size:
        raise ValueError(f"Calibration needs at least one bin and one decision, got {bins} and {values.size}.")
    if binning not in BINNINGS:
        raise ValueError(f"`binning` must be one of {', '.join(BINNINGS)}, got {binning!r}.")
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    place = np.searchsorted(np.quantile(values, inner) if binning == "quantile" else inner, values)
    count = np.bincount(place, minlength=bins)
    filled = count > 0
    score, share = (np.bincount(place, weights=one, minlength=bins)[filled] for one in (values, wanted))
    return Reliability(score / count[filled], share / count[filled], count[filled])
