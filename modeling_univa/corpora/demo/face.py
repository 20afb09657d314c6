# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The faces of the demo corpus: a drawn head whose brows, lids, nose and mouth show an emotion.

Everything is drawn in the plane of the face: (0, 0) between the eyes and the mouth, x to the viewer's right, y down,
1 about the height of half a head. How brows, eyes and mouth move follows the valence and arousal of the emotion, with
what is typical of it on top (the wrinkled nose of disgust, the oblique brows of sadness, …).
"""

from dataclasses import dataclass, replace

import numpy as np

from ...models.configuration_univa import EMOTION_VALENCE_AROUSAL
from .drawing import IMAGE_SIZE, Canvas, Colour, curve, cv2, ellipse, shade


_SKINS: tuple[Colour, ...] = (
    (255, 224, 196), (241, 194, 156), (224, 172, 128), (198, 134, 92), (141, 85, 52), (96, 60, 40)
)  # fmt: skip
_HAIRS: tuple[Colour, ...] = (
    (32, 26, 24), (74, 48, 34), (120, 76, 42), (176, 128, 70), (222, 190, 128), (150, 62, 30), (168, 166, 164)
)  # fmt: skip
_EYES: tuple[Colour, ...] = ((84, 54, 32), (60, 92, 130), (82, 112, 74), (44, 34, 30))
_CLOTHES: tuple[Colour, ...] = (
    (52, 78, 120),
    (140, 50, 54),
    (70, 110, 78),
    (60, 58, 66),
    (196, 160, 70),
    (214, 214, 208),
)
_WALLS: tuple[Colour, ...] = ((206, 212, 216), (176, 190, 178), (214, 202, 182), (130, 144, 164), (96, 92, 98))


@dataclass(frozen=True)
class Appearance:
    """What a person looks like whatever the mood. Colours are RGB, `width` to `brow_weight` factors of the average.

    `light` is where the light comes from, -1 the left and 1 the right.
    """

    skin: Colour
    hair: Colour
    eyes: Colour
    clothes: Colour
    wall: Colour
    hair_style: str
    beard: bool
    glasses: bool
    width: float
    nose: float
    brow_weight: float
    light: float

    @classmethod
    def draw(cls, rng: np.random.Generator, bearded: bool) -> "Appearance":
        """A random person; only those who may be `bearded` are bald or wear a beard."""
        skin, hair, eyes, clothes, wall = (
            palette[rng.integers(len(palette))] for palette in (_SKINS, _HAIRS, _EYES, _CLOTHES, _WALLS)
        )
        if sum(skin) < 500:
            hair = _HAIRS[rng.integers(2)]
        styles = ("short", "fringe", "bald") if bearded else ("long", "fringe", "bun")
        return cls(
            skin=skin,
            hair=hair,
            eyes=eyes,
            clothes=clothes,
            wall=wall,
            hair_style=styles[rng.integers(len(styles))],
            beard=bool(rng.random() < 0.35 and bearded),
            glasses=bool(rng.random() < 0.2),
            width=rng.uniform(0.92, 1.08),
            nose=rng.uniform(0.85, 1.2),
            brow_weight=rng.uniform(0.8, 1.3),
            light=rng.uniform(-1, 1),
        )


@dataclass
class Expression:
    """Where the parts of a face are, 0 being rest. `smile` and the brows go both ways (corners or brows up are
    positive), `eyes` and `mouth_width` are changes of the resting size, the others are 0 to 1."""

    smile: float = 0.0
    mouth_open: float = 0.0
    mouth_width: float = 0.0
    teeth: float = 0.0
    brow_inner: float = 0.0
    brow_outer: float = 0.0
    brow_squeeze: float = 0.0
    eyes: float = 0.0
    lower_lid: float = 0.0
    nose_wrinkle: float = 0.0

    @classmethod
    def of(cls, emotion: str, intensity: float) -> "Expression":
        """The expression of an emotion, from neutral (`intensity` 0) to full (1)."""
        valence, arousal = ((2 * value - 1) * intensity for value in EMOTION_VALENCE_AROUSAL[emotion])
        expression = cls(
            smile=0.8 * valence,
            mouth_open=max(0.0, 0.3 * arousal),
            brow_inner=0.3 * arousal,
            brow_outer=0.3 * arousal,
            eyes=0.35 * arousal,
        )
        for name, amount in _TYPICAL[emotion].items():
            setattr(expression, name, getattr(expression, name) + amount * intensity)
        return expression


_TYPICAL: dict[str, dict[str, float]] = {
    "happy": {"smile": 0.3, "mouth_open": 0.1, "mouth_width": 0.25, "teeth": 1.0, "lower_lid": 0.6, "eyes": -0.3},
    "sad": {
        "smile": -0.4, "brow_inner": 0.9, "brow_outer": -0.4, "brow_squeeze": 0.4, "eyes": -0.2, "mouth_width": -0.1,
    },
    "anger": {
        "smile": -0.1, "mouth_open": 0.05, "teeth": 1.0, "brow_inner": -1.4, "brow_outer": 0.2, "brow_squeeze": 1.0,
        "eyes": -0.45, "lower_lid": 0.3, "mouth_width": 0.05,
    },
    "surprise": {
        "smile": -0.6, "mouth_open": 0.6, "mouth_width": -0.4, "brow_inner": 0.7, "brow_outer": 0.8, "eyes": 0.25,
    },
    "disgust": {
        "smile": -0.1, "mouth_open": -0.06, "mouth_width": -0.1, "brow_inner": -0.9, "brow_outer": -0.5, "eyes": -0.7,
        "brow_squeeze": 0.6, "lower_lid": 0.6, "nose_wrinkle": 1.0,
    },
    "fear": {
        "mouth_open": 0.2, "mouth_width": 0.15, "teeth": 0.4, "brow_inner": 0.9, "brow_outer": -0.1,
        "brow_squeeze": 0.7, "eyes": 0.35,
    },
    "neutral": {},
}  # fmt: skip


def draw_faces(
    emotion: str, appearance: Appearance, num_frames: int, rng: np.random.Generator, intensity: float = 1.0
) -> list[np.ndarray]:
    """Draw a face that speaks, for some frames: the emotion grows to its full, head and mouth move a little.

    Args:
        emotion: One of `EMOTION_VALENCE_AROUSAL`.
        appearance: Whose face.
        num_frames: How many images.
        rng: Draws position, light, motion and noise.
        intensity: How strongly the emotion is expressed, from 0 (as neutral) to 1.

    Returns:
        Images of 112 x 112 pixels, each uint8 of shape (112, 112, 3), RGB.
    """
    centre = rng.normal(0, 0.035, 2)
    scale, turn = rng.normal(1, 0.03), rng.normal(0, 3.5)
    own = rng.normal(0, 0.13, 5)
    frames = []
    for growth in np.linspace(0.7, 1.0, num_frames):
        expression = Expression.of(emotion, intensity * growth)
        for name, amount in zip(("smile", "brow_inner", "brow_outer", "eyes", "mouth_width"), own, strict=True):
            setattr(expression, name, getattr(expression, name) + amount)
        expression.mouth_open += abs(rng.normal(0, 0.08))
        if rng.random() < 0.05:
            expression = replace(expression, eyes=-1.0)
        canvas = Canvas(appearance.wall, centre + rng.normal(0, 0.012, 2), scale, turn + rng.normal(0, 1))
        _draw_person(canvas, appearance, expression)
        frames.append(_expose(canvas.pixels, appearance.light, rng))
    return frames


def _draw_person(canvas: Canvas, person: Appearance, expression: Expression) -> None:
    width = 0.62 * person.width
    _draw_behind(canvas, person, width)
    for side in (-1, 1):
        canvas.fill(ellipse(side * width, 0.05, 0.09, 0.15), shade(person.skin, 0.92))
    jaw = 0.06 * max(0.0, expression.mouth_open)
    canvas.fill(ellipse(0, 0.02 + jaw / 2, width, 0.8 + jaw / 2, 2.3), person.skin)
    if person.beard:
        _draw_beard(canvas, person, width, jaw)
    _draw_hair(canvas, person, width)
    for side in (-1, 1):
        _draw_eye(canvas, person, expression, side)
        _draw_brow(canvas, person, expression, side)
    _draw_nose(canvas, person, expression)
    _draw_mouth(canvas, person, expression)
    _draw_folds(canvas, person, expression)
    if person.glasses:
        _draw_glasses(canvas)


def _draw_behind(canvas: Canvas, person: Appearance, width: float) -> None:
    """What is behind the head: long hair, neck and shoulders."""
    if person.hair_style == "long":
        canvas.fill(ellipse(0, 0.15, width + 0.2, 1.0, 2.6), person.hair)
    elif person.hair_style == "bun":
        canvas.fill(ellipse(0, -0.92, 0.22, 0.18), person.hair)
    canvas.fill(ellipse(0, 1.4, 1.0, 0.5, 2.6), person.clothes)
    canvas.fill(ellipse(0, 0.8, 0.26, 0.3, 3), shade(person.skin, 0.82))


def _draw_beard(canvas: Canvas, person: Appearance, width: float, jaw: float) -> None:
    before = canvas.pixels.copy()
    canvas.fill(ellipse(0, 0.82, width * 1.05, 0.56, 2.2), shade(person.hair, 1.1))
    canvas.clip(ellipse(0, 0.02 + jaw / 2, width, 0.8 + jaw / 2, 2.3), before)


def _draw_hair(canvas: Canvas, person: Appearance, width: float) -> None:
    if person.hair_style == "bald":
        return
    line = {"short": -0.52, "long": -0.5, "fringe": -0.44, "bun": -0.56}[person.hair_style]
    middle = line if person.hair_style == "fringe" else line - 0.12
    edge, temple = width + 0.1, 0.75 * width
    hairline = curve((edge, -0.1), (temple, line), (0, middle), (-temple, line), (-edge, -0.1))
    before = canvas.pixels.copy()
    canvas.fill(np.concatenate([hairline, [(-edge, -1.2), (edge, -1.2)]]), person.hair)
    canvas.clip(ellipse(0, -0.02, width + 0.05, 0.88, 2.3), before)


def _draw_eye(canvas: Canvas, person: Appearance, expression: Expression, side: int) -> None:
    x, y, half = 0.27 * side, -0.1, 0.15
    opening = float(np.clip(1 + expression.eyes, 0.05, 1.8))
    upper, lower = y - 0.085 * opening, y + 0.06 * min(opening, 1.3) - 0.045 * expression.lower_lid * min(opening, 1.0)
    lid = curve((x - half, y), (x - 0.07, upper), (x + 0.07, upper), (x + half, y))
    rim = curve((x + half, y), (x, lower), (x - half, y))
    outline = np.concatenate([lid, rim])
    before = canvas.pixels.copy()
    canvas.fill(outline, (246, 244, 240))
    canvas.fill(ellipse(x, y - 0.01, 0.075, 0.075), person.eyes)
    canvas.fill(ellipse(x, y - 0.01, 0.036, 0.036), (14, 12, 12))
    canvas.fill(ellipse(x + 0.025, y - 0.035, 0.014, 0.014), (255, 255, 255))
    canvas.clip(outline, before)
    canvas.line(lid, shade(person.skin, 0.28), 0.03)
    canvas.line(rim, shade(person.skin, 0.6), 0.014)


def _draw_brow(canvas: Canvas, person: Appearance, expression: Expression, side: int) -> None:
    inner_x = side * (0.12 - 0.045 * expression.brow_squeeze)
    inner_y = -0.31 - 0.1 * expression.brow_inner
    outer_y = -0.3 - 0.1 * expression.brow_outer
    arch = (inner_y + outer_y) / 2 - 0.035 - 0.03 * max(0.0, expression.brow_inner + expression.brow_outer) / 2
    brow = curve((inner_x, inner_y), (0.27 * side, arch), (0.45 * side, outer_y + 0.03))
    canvas.line(brow, shade(person.hair, 0.75), 0.055 * person.brow_weight)


def _draw_nose(canvas: Canvas, person: Appearance, expression: Expression) -> None:
    shadow, wrinkle = shade(person.skin, 0.68), expression.nose_wrinkle
    width, tip = 0.09 * person.nose * (1 + 0.35 * max(0.0, wrinkle)), 0.2 - 0.04 * wrinkle
    nostrils = ((-width, tip - 0.03), (-0.8 * width, tip + 0.03), (0, tip + 0.02), (0.8 * width, tip + 0.03))
    canvas.line(curve((-0.035, -0.02), (-0.05, 0.1), (-width, tip - 0.02)), shade(person.skin, 0.85), 0.02)
    canvas.line(curve(*nostrils, (width, tip - 0.03)), shadow, 0.025)
    if wrinkle > 0.2:
        for y in (-0.1, -0.03, 0.04):
            canvas.line(curve((-0.07, y - 0.03), (0, y + 0.015), (0.07, y - 0.03)), shadow, 0.018 * wrinkle)


def _draw_mouth(canvas: Canvas, person: Appearance, expression: Expression) -> None:
    half = 0.24 * (1 + expression.mouth_width)
    opening = max(0.0, expression.mouth_open - 0.05)
    corner = 0.45 - 0.13 * expression.smile
    # A wrinkled nose pulls the middle of the upper lip up with it.
    upper = 0.45 + 0.05 * expression.smile - 0.1 * opening - 0.1 * expression.nose_wrinkle
    lower = max(upper, 0.45 + 0.1 * expression.smile + 0.36 * opening - 0.02 * expression.nose_wrinkle)
    red, green, blue = person.skin
    lips = (85 + round(0.3 * red), 25 + round(0.3 * green), 30 + round(0.3 * blue))
    roundness = float(np.clip(-2.5 * expression.mouth_width, 0, 1))
    top = _lip(half, corner, upper, roundness)
    outline = np.concatenate([top, _lip(half, corner, lower, roundness)[::-1]])
    before = canvas.pixels.copy()
    canvas.fill(outline, (70, 18, 22))
    canvas.fill(ellipse(0, lower + 0.03, half * 0.6, 0.09), (176, 72, 74))
    if expression.teeth > 0.1:
        canvas.line(top + (0, 0.03), (244, 242, 236), 0.13 * min(1.0, expression.teeth))
    canvas.clip(outline, before)
    canvas.line(np.concatenate([outline, top[:1]]), lips, 0.042 + 0.02 * max(0.0, expression.nose_wrinkle))


def _lip(half: float, corner: float, middle: float, roundness: float) -> np.ndarray:
    """A lip from the left corner to the right one: a parabola, or with `roundness` 1 half an ellipse."""
    angle = np.linspace(np.pi, 0, 24)
    height = np.sin(angle) ** (2 - roundness)
    return np.stack([half * np.cos(angle), corner + (middle - corner) * height], axis=1)


def _draw_folds(canvas: Canvas, person: Appearance, expression: Expression) -> None:
    """The lines that an expression throws: between the brows, on the forehead, beside the nose."""
    shadow = shade(person.skin, 0.72)
    if expression.brow_squeeze > 0.5:
        for side in (-1, 1):
            canvas.line(curve((0.035 * side, -0.38), (0.03 * side, -0.32), (0.045 * side, -0.25)), shadow, 0.016)
    lift = (expression.brow_inner + expression.brow_outer) / 2
    if lift > 0.5:
        for y in (-0.55, -0.49):
            canvas.line(curve((-0.22, y + 0.02), (0, y), (0.22, y + 0.02)), shadow, 0.014)
    depth = max(expression.smile - 0.3, expression.nose_wrinkle - 0.3)
    if depth > 0:
        for side in (-1, 1):
            canvas.line(curve((0.13 * side, 0.18), (0.27 * side, 0.27), (0.31 * side, 0.42)), shadow, 0.02)


def _draw_glasses(canvas: Canvas) -> None:
    frame = (40, 38, 42)
    for side in (-1, 1):
        lens = ellipse(0.27 * side, -0.08, 0.2, 0.17, 2.6)
        canvas.line(np.concatenate([lens, lens[:1]]), frame, 0.02)
        canvas.line(np.array([(0.47 * side, -0.1), (0.6 * side, -0.12)]), frame, 0.02)
    canvas.line(np.array([(-0.07, -0.1), (0.07, -0.1)]), frame, 0.02)


def _expose(pixels: np.ndarray, light: float, rng: np.random.Generator) -> np.ndarray:
    """Take the picture: light from one side, brightness, blur and noise of a small camera."""
    image = cv2.resize(pixels, (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_AREA).astype(np.float32)
    side = np.linspace(-1, 1, IMAGE_SIZE, dtype=np.float32)
    image *= (1 + 0.22 * light * side)[None, :, None] * (1 - 0.08 * side)[:, None, None] * rng.normal(1, 0.05)
    image = cv2.GaussianBlur(image, (0, 0), 0.5) + rng.normal(0, 4, image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
