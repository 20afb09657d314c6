# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""VA scalings against the formulas written out."""

import math
import statistics

import numpy as np
import pytest
from testing_utils import random_rows

from modeling_univa.data.utterances import known_va, scaled_va
from modeling_univa.data.va_scaling import VA_SCALINGS, scale_va


NAN = float("nan")
VA = np.array([[0.5, -0.2], [NAN, NAN], [-0.9, 0.4], [0.1, 0.3]], dtype=np.float32)


def known(column: int, va: np.ndarray = VA) -> list[float]:
    return [float(row[column]) for row in va if not math.isnan(row[column])]


def expected(mean: tuple[float, float], deviation: tuple[float, float]) -> list[list[float]]:
    return [[(value - mean[i]) / deviation[i] for i, value in enumerate(row)] for row in VA.tolist()]


def test_none_leaves_the_values():
    np.testing.assert_array_equal(scale_va(VA.astype(np.float64), "none"), VA)


def test_released_takes_the_valence_statistics_for_both_columns():
    mean, deviation = statistics.mean(known(0)), statistics.stdev(known(0))
    found = scale_va(VA, "released")
    np.testing.assert_allclose(found, expected((mean, mean), (deviation, deviation)), rtol=1e-6)
    assert found.dtype == np.float32


def test_standardize_takes_each_column_by_itself():
    means = tuple(statistics.mean(known(column)) for column in (0, 1))
    deviations = tuple(statistics.stdev(known(column)) for column in (0, 1))
    np.testing.assert_allclose(scale_va(VA, "standardize"), expected(means, deviations), rtol=1e-6)


def test_standardize_takes_the_statistics_of_the_training_split():
    training = np.array([[0.0, 0.0], [1.0, 2.0], [NAN, NAN]], dtype=np.float32)
    found = scale_va(VA, "standardize", training)
    np.testing.assert_allclose(found, expected((0.5, 1.0), (math.sqrt(0.5), math.sqrt(2.0))), rtol=1e-6)


@pytest.mark.parametrize("scaling", VA_SCALINGS)
def test_unknown_stays_unknown_and_nothing_else_becomes_so(scaling):
    for va in (VA, VA[:1], VA[1:2], np.full((3, 2), 0.25, np.float32), np.zeros((0, 2), np.float32)):
        found = scale_va(va, scaling)
        assert found.shape == va.shape
        np.testing.assert_array_equal(np.isnan(found), np.isnan(va))
        assert not np.isinf(found).any()


def test_column_without_spread_is_centred():
    constant = np.array([[0.3, 0.1], [0.3, 0.5]], dtype=np.float32)
    np.testing.assert_allclose(scale_va(constant, "released"), [[0, -0.2], [0, 0.2]], atol=1e-7)


def test_unknown_scaling_is_refused():
    with pytest.raises(ValueError, match="must be one of none, released, standardize, got 'paper'"):
        scale_va(VA, "paper")


def test_every_modality_of_a_split_is_scaled_by_itself():
    rows = random_rows([4, 3, 5])
    raw, found = known_va(rows), scaled_va(rows, "released", ("text", "vision"))
    assert list(found) == ["text", "vision"]
    for modality, va in found.items():
        np.testing.assert_array_equal(va, scale_va(raw[modality], "released"))
    assert np.isnan(raw["audio"]).any()
    np.testing.assert_array_equal(raw["audio"], np.array(rows["audio_va"], dtype=np.float32))
