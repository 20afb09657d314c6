# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Drawing in the coordinates of a face: (0, 0) its middle, x to the viewer's right, y down, 1 about half a head."""

from collections.abc import Sequence

import numpy as np


try:
    import cv2
except ImportError as error:
    raise ImportError('drawing the faces of the demo corpus needs OpenCV: pip install "univa[media]"') from error


IMAGE_SIZE = 112
_OVERSAMPLING = 3
_SPAN = 1.12

Colour = tuple[int, int, int]


class Canvas:
    """An image that is drawn on in the coordinates of the face, some times larger than wanted, to smooth its edges."""

    def __init__(self, wall: Colour, centre: np.ndarray, scale: float, degrees: float):
        self.size = IMAGE_SIZE * _OVERSAMPLING
        self.pixels: np.ndarray = np.full((self.size, self.size, 3), wall, np.uint8)
        angle = np.deg2rad(degrees)
        self.unit = scale * self.size / (2 * _SPAN)
        self.rotation = self.unit * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        self.origin = self.size / 2 + centre * self.unit

    def _place(self, points: np.ndarray) -> np.ndarray:
        return np.rint(points @ self.rotation.T + self.origin).astype(np.int32)

    def fill(self, points: np.ndarray, colour: Colour) -> None:
        """Fill the polygon of `points` (n, 2)."""
        cv2.fillPoly(self.pixels, [self._place(points)], colour)

    def line(self, points: np.ndarray, colour: Colour, width: float) -> None:
        """Draw an open line through `points` (n, 2), `width` in units of the face."""
        cv2.polylines(self.pixels, [self._place(points)], False, colour, max(1, round(width * self.unit)))

    def clip(self, points: np.ndarray, before: np.ndarray) -> None:
        """Keep what was drawn since `before` only inside the outline."""
        mask = np.zeros(self.pixels.shape[:2], np.uint8)
        cv2.fillPoly(mask, [self._place(points)], 1)
        self.pixels = np.asarray(cv2.copyTo(self.pixels, mask, before))


def ellipse(x: float, y: float, width: float, height: float, power: float = 2.0) -> np.ndarray:
    """Outline of a (super-)ellipse, 48 points; width and height are halves."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.sign(circle) * np.abs(circle) ** (2 / power) * (width, height) + (x, y)


def curve(*points: Sequence[float]) -> np.ndarray:
    """Smooth line of 24 points through three or more, by a polynomial over their order."""
    order = np.linspace(0, 1, len(points))
    coefficients = np.polyfit(order, np.array(points), len(points) - 1)
    time = np.linspace(0, 1, 24)
    return np.stack([np.polyval(column, time) for column in coefficients.T], axis=1)


def shade(colour: Colour, factor: float) -> Colour:
    """The colour, darker (`factor` below 1) or brighter."""
    red, green, blue = (int(np.clip(channel * factor, 0, 255)) for channel in colour)
    return red, green, blue
