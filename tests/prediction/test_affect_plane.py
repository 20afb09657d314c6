# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The plane of valence and arousal."""

from itertools import combinations

import pytest
from testing_utils import tiny_config

from modeling_univa.models.configuration_univa import EMOTION_VALENCE_AROUSAL
from modeling_univa.prediction.affect_plane import emotion_points, spread_names


def test_words_are_those_of_the_model():
    config = tiny_config()
    assert emotion_points(config)["sad"] == pytest.approx([2 * value - 1 for value in EMOTION_VALENCE_AROUSAL["sad"]])
    own = tiny_config(id2label={0: "bliss", 1: "happy"}, label_affect=[[1.0, 0.5], [0.0, 0.0]])
    assert emotion_points(own) == {"bliss": (1.0, 0.0), "happy": (-1.0, -1.0)}


def test_other_forms_are_in_the_plane_of_a_model_without_the_prior_too():
    config = tiny_config(id2label={0: "bored", 1: "Joy"}, label_affect=None, correlation_prior_weight=0.0)
    assert config.label_affect is None
    assert emotion_points(config) == {"Joy": (1.0, pytest.approx(0.47))}


@pytest.mark.parametrize("affect", [[[1.0, 9.0], [5.0, 5.0], [9.0, 1.0]], [[-3.0, 4.0], [0.0, 0.0], [3.0, -4.0]]])
def test_values_of_another_scale_stay_in_the_plane(affect):
    config = tiny_config(id2label={0: "a", 1: "b", 2: "c"}, label_affect=affect)
    assert emotion_points(config) == {"a": (-1, 1), "b": (0, 0), "c": (1, -1)}


def test_no_name_lies_over_another():
    points = {f"emotion {index}": (0.1 * (index % 4) - 0.2, 0.3 + 0.01 * index) for index in range(12)}
    places = spread_names({**points, "far": (-0.9, -0.9), "right": (0.9, 0.3)}, 0.05, 0.1)
    assert places["far"] == (-0.9, True) and places["right"][1]
    boxes = []
    for name, (height, left) in places.items():
        valence, width = points.get(name, {"far": (-0.9, 0), "right": (0.9, 0)}.get(name))[0], 0.05 * len(name)
        boxes.append((valence - width if left else valence, valence if left else valence + width, height))
    for one, other in combinations(boxes, 2):
        assert one[1] <= other[0] or other[1] <= one[0] or abs(one[2] - other[2]) > 0.0999
