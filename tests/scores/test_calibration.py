# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Temperature and calibration error, of models whose temperature is known and against loops over bins."""

import math

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from modeling_univa.scores.calibration import (
    BINNINGS,
    calibrated,
    calibration_error,
    calibration_table,
    fit_temperature,
    label_calibration_errors,
    reliability,
)


def sigmoid_model(temperature: float, rows: int = 20000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores that are too confident by a temperature, and labels drawn from the probabilities without it."""
    random = np.random.default_rng(seed)
    logits = random.normal(-1, 1.5, (rows, 4))
    labels = (random.random(logits.shape) < expit(logits)).astype(np.int8)
    return expit(temperature * logits).astype(np.float32), labels


def softmax_model(temperature: float, rows: int = 40000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """As `sigmoid_model`, with one label a row that is drawn from a distribution."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1, (rows, 5))
    drawn = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)
    return softmax(temperature * logits, axis=1).astype(np.float32), np.eye(5, dtype=np.int8)[drawn]


MODELS = {"sigmoid": sigmoid_model, "softmax": softmax_model}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("decision", MODELS)
def test_temperature_of_a_model_that_is_too_confident_is_found(decision, temperature):
    scores, labels = MODELS[decision](temperature)
    found = fit_temperature(scores, labels, decision)
    assert found == pytest.approx(temperature, rel=0.05)
    better = calibrated(scores, found, decision)
    assert calibration_error(better, labels, decision) < 0.01
    if temperature != 1:
        assert calibration_error(scores, labels, decision) > 0.04


@pytest.mark.parametrize("decision", MODELS)
def test_no_other_temperature_has_a_higher_likelihood(decision):
    scores, labels = MODELS[decision](1.7, rows=200)
    found = fit_temperature(scores, labels, decision)

    def loss(temperature: float) -> float:
        changed = calibrated(scores, temperature, decision)
        if decision == "softmax":
            return log_loss(labels.argmax(axis=1), changed)
        return float(np.mean([log_loss(*pair, labels=[0, 1]) for pair in zip(labels.T, changed.T, strict=True)]))

    assert loss(found) <= min(loss(found * factor) for factor in np.geomspace(0.1, 10, 100)) + 1e-7


def test_several_labels_of_a_softmax_row_are_one_distribution():
    scores = softmax(np.array([[3.0, 3.0, 0.0]] * 5), axis=1)
    labels = np.array([[1, 1, 0]] * 3 + [[0, 0, 1], [0, 0, 0]])
    # Over the rows that have labels 3/8, 3/8 and 2/8, whose logits are log 1.5 apart.
    temperature = fit_temperature(scores, labels, "softmax")
    assert temperature == pytest.approx(3 / math.log(1.5), rel=1e-3)
    np.testing.assert_allclose(calibrated(scores, temperature, "softmax")[0], [0.375, 0.375, 0.25], atol=1e-4)
    expected = np.average(np.abs(scores[0, 1:] - [0.375, 0.25]), weights=[2, 1])
    assert calibration_error(scores, labels, "softmax") == pytest.approx(expected)


@pytest.mark.parametrize("decision", MODELS)
def test_temperature_of_one_changes_nothing_and_a_hot_one_flattens(decision):
    scores, _ = MODELS[decision](1.0, rows=50)
    np.testing.assert_allclose(calibrated(scores, 1.0, decision), scores, atol=1e-6)
    flat = 0.5 if decision == "sigmoid" else 1 / scores.shape[1]
    np.testing.assert_allclose(calibrated(scores, 1e6, decision), flat, atol=1e-4)


def test_scores_of_nought_and_one_are_finite():
    scores, labels = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0, 1], [0, 1]])
    for decision in MODELS:
        temperature = fit_temperature(scores, labels, decision)
        assert 1 < temperature <= 100 and np.isfinite(calibrated(scores, temperature, decision)).all()


NONE, ONE = np.zeros((0, 2)), np.ones((1, 2))


def naive_error(scores: np.ndarray, targets: np.ndarray, edges: np.ndarray) -> float:
    """Expected calibration error in bins (low, high], of which the first has its lower edge too."""
    total, bins = 0.0, zip(edges[:-1], edges[1:], strict=True)
    for number, (low, high) in enumerate(bins):
        inside = [
            i for i, score in enumerate(scores) if (low < score or (number == 0 and low == score)) and score <= high
        ]
        if inside:
            gap = abs(sum(scores[i] for i in inside) / len(inside) - sum(targets[i] for i in inside) / len(inside))
            total += len(inside) / len(scores) * gap
    return total


@pytest.mark.parametrize("binning", BINNINGS)
@pytest.mark.parametrize("bins", [1, 4, 15])
def test_error_is_that_of_a_loop_over_bins(bins, binning):
    scores, labels = sigmoid_model(2.0, rows=120)
    scores, labels = scores.astype(float), labels.astype(int)

    def expected(values: np.ndarray, targets: np.ndarray) -> float:
        steps = np.linspace(0, 1, bins + 1)
        return naive_error(values, targets, np.quantile(values, steps) if binning == "quantile" else steps)

    found = calibration_error(scores, labels, "sigmoid", bins, binning)
    assert found == pytest.approx(expected(scores.ravel(), labels.ravel()))
    each = [expected(*pair) for pair in zip(scores.T, labels.T, strict=True)]
    np.testing.assert_allclose(label_calibration_errors(scores, labels, "sigmoid", bins, binning), each)


@pytest.mark.parametrize("binning", BINNINGS)
def test_curve_is_that_of_scikit_learn(binning):
    scores, labels = sigmoid_model(2.0, rows=300)
    share, score = calibration_curve(labels.ravel(), scores.ravel(), n_bins=10, strategy=binning)
    curve = reliability(scores, labels, "sigmoid", 10, binning)
    np.testing.assert_allclose(curve.share, share)
    np.testing.assert_allclose(curve.score, score, rtol=1e-6)
    assert curve.count.sum() == labels.size
    if binning == "quantile":
        assert curve.count.max() - curve.count.min() <= 1


def test_perfect_scores_have_no_error():
    labels = sigmoid_model(1.0, rows=30)[1]
    assert calibration_error(labels, labels, "sigmoid") == 0
    assert calibration_error(1 - labels, labels, "sigmoid") == 1


def test_table_has_every_label_and_the_rows_it_rests_on():
    scores, labels = softmax_model(3.0, rows=500)
    labels[:20] = 0
    names = list("abcde")
    head, pooled, *each = calibration_table(scores, labels, names, "softmax", temperature=3.0).splitlines()
    assert head.startswith("calibration, 480 rows") and head.endswith("ECE, T=3  equal counts, T=3")
    values = [float(word) for word in pooled.removeprefix("all labels").split()]
    expected = [
        calibration_error(one, labels, "softmax", binning=binning)
        for one in (scores, calibrated(scores, 3.0, "softmax"))
        for binning in BINNINGS
    ]
    assert values == pytest.approx(expected, abs=1e-4) and values[2] < values[0] / 3
    assert [line.split()[0] for line in each] == names and len({len(line) for line in (head, pooled, *each)}) == 1
    assert "T=" not in calibration_table(scores, labels, names, "softmax")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_temperature(np.full((2, 2), 0.5), np.zeros((2, 2)), "softmax"), "needs rows to be fitted on"),
        (lambda: fit_temperature(NONE, NONE, "sigmoid"), "needs rows to be fitted on"),
        (
            lambda: calibration_error(NONE, NONE, "sigmoid"),
            "at least one bin and one decision",
        ),
        (lambda: calibration_error(ONE, ONE, "sigmoid", 0), "at least one bin"),
        (
            lambda: calibration_error(ONE, ONE, "tanh"),
            "must be sigmoid or softmax, got 'tanh'",
        ),
        (lambda: reliability(ONE, ONE, "sigmoid", 5, "log"), "one of uniform, quantile"),
        (lambda: calibrated(ONE, 0, "sigmoid"), "must be greater than 0, got 0"),
        (lambda: calibrated(ONE, math.nan, "sigmoid"), "must be greater than 0, got nan"),
    ],
)
def test_what_cannot_be_computed_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
