# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Where the emotions of a model stand in the plane of valence and arousal, and their names beside them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..models.configuration_emotion import EmotionConfig
from ..models.configuration_univa import known_affect


__all__ = ["emotion_points", "spread_names"]


def emotion_points(config: EmotionConfig) -> dict[str, tuple[float, float]]:
    """
    (valence, arousal) in [-1, 1] of the model's emotions, as far as they are known.

    What a configuration has on another scale than [0, 1] is spread over the plane, as the prior does.
    """
    given: Any = getattr(config, "label_affect", None)
    if given is None:
        known = {name: known_affect(name) for name in config.label_names}
        return {name: (2 * pair[0] - 1, 2 * pair[1] - 1) for name, pair in known.items() if pair is not None}
    values = np.array(given, dtype=np.float64)
    if values.min() < 0 or values.max() > 1:
        lowest, highest = values.min(axis=0), values.max(axis=0)
        values = (values - lowest) / np.maximum(highest - lowest, np.finfo(np.float64).tiny)
    places = (2 * values - 1).tolist()
    return {name: (place[0], place[1]) for name, place in zip(config.label_names, places, strict=True)}


def spread_names(
    points: Mapping[str, tuple[float, float]], character: float, line: float
) -> dict[str, tuple[float, bool]]:
    """
    Where the names of points in the plane are written, so that none lies over another.

    Args:
        points: (valence, arousal) by name.
        character, line: width of a character and height of a line, in units of the plane.

    Returns:
        By name the height of its middle, that of the point or the next free one above, and whether it is on the left
        of the point: there at the left edge, into the plane at the right.
    """
    taken: list[tuple[float, float, float]] = []
    found = {}
    for name, (valence, arousal) in sorted(points.items(), key=lambda item: item[1][1]):
        width, left = character * (len(name) + 1), valence < -0.75 or valence > 0.6
        start, end = (valence - width, valence) if left else (valence, valence + width)
        height = arousal
        for low, high, other in sorted(taken, key=lambda box: box[2]):
            if start < high and low < end and abs(other - height) < line:
                height = other + line
        taken.append((start, end, height))
        found[name] = (height, left)
    return found
