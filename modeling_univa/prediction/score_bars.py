# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Scores against their threshold as bars of characters, for a terminal."""

import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TextIO

from ..models.configuration_emotion import EmotionConfig
from ..models.files_univa import one_line
from ..scores.thresholds import Threshold, perfect_scores, relative_score, threshold_text


__all__ = ["Marks", "columns", "marks_for", "padded", "screen_width", "score_legend", "score_lines"]

_NARROWEST, _WIDEST = 40, 100
_LONGEST_NAME, _SHORTEST_NAME = 24, 6
# Cells of a bar, and the multiples of the threshold that it spans at least and at most.
_BAR, _SHORTEST_BAR, _LEAST, _MOST = 30, 5, 2.0, 4.0
_LARGEST = 99.99
# Columns of a line beside name, bar and note.
_NUMBERS = 21
_HOLDING = ("to an emotion that holds alone", "to each of two", "to each of three")


@dataclass(frozen=True)
class Marks:
    """
    Characters that bars are made of.

    Args:
        full: a cell that is filled.
        parts: cells that are filled in part, from the least; nothing where there are none.
        limit: the threshold.
        times: between a number and what it is a multiple of.
        quotes: around the transcript.
        more: where something is left out.
    """

    full: str
    parts: str
    limit: str
    times: str
    quotes: str
    more: str


BLOCKS = Marks("█", "▏▎▍▌▋▊▉", "│", "×", "“”", "…")
ASCII = Marks("#", "", "|", "x", '""', "...")


def marks_for(stream: TextIO) -> Marks:
    """Blocks where the encoding of a stream has them, else ASCII."""
    try:
        "".join(vars(BLOCKS).values()).encode(getattr(stream, "encoding", None) or "ascii")
    except (LookupError, UnicodeEncodeError):
        return ASCII
    return BLOCKS


def screen_width() -> int:
    """Columns of the terminal, neither fewer nor more than can be read."""
    return min(max(shutil.get_terminal_size((_WIDEST, 24)).columns, _NARROWEST), _WIDEST)


def score_lines(
    scores: Mapping[str, float],
    thresholds: Sequence[float],
    marks: Marks,
    width: int,
    notes: Mapping[str, str] | None = None,
    most: int | None = None,
) -> list[str]:
    """
    One line an emotion, that of the greatest multiple of its threshold first: name, score, multiple and bar.

    Args:
        scores: probabilities by name.
        thresholds: of each of them.
        marks: see [`marks_for`].
        width: longest line.
        notes: words behind the bars of some emotions, which are always shown.
        most: how many emotions are shown, those with a note aside; by default all.
    """
    notes = notes or {}
    limits = dict(zip(scores, thresholds, strict=True))
    ratios = {name: relative_score(score, limits[name]) for name, score in scores.items()}
    order = sorted(ratios, key=lambda name: -ratios[name])
    shown = [name for place, name in enumerate(order) if most is None or place < most or name in notes]
    behind = max([0, *(columns(notes[name]) + 2 for name in shown if name in notes)])
    longest = max(_SHORTEST_NAME, min(_LONGEST_NAME, width - behind - _NUMBERS - _SHORTEST_BAR))
    names = {name: _shortened(name, longest, marks) for name in shown}
    widest = max(map(columns, names.values()))
    cells = min(_BAR, max(_SHORTEST_BAR, width - widest - behind - _NUMBERS))
    axis = min(max(_LEAST, *(ratios[name] for name in shown)), _MOST)
    lines = []
    for name in shown:
        multiple = f"{ratios[name]:.2f}" if ratios[name] <= _LARGEST else f">{_LARGEST:.0f}"
        bar = _bar(ratios[name], axis, cells, marks)
        line = f"  {padded(names[name], widest)}  {scores[name]:.3f}  {multiple:>5} {marks.times}  {bar}"
        lines.append(f"{line}  {notes.get(name, '')}".rstrip())
    left = [ratios[name] for name in order if name not in shown]
    if left:
        lines.append(f"  {len(left)} more, {max(left):.2f} {marks.times} or less")
    return lines


def score_legend(config: EmotionConfig, threshold: Threshold, marks: Marks, width: int) -> list[str]:
    """
    What the multiples mean, and how far a score can rise, in lines.

    Args:
        config, threshold, marks: as of [`score_notes`].
        width: longest line.
    """
    return [line for text in score_notes(config, threshold, marks) for line in wrap(text, width)]


def score_notes(config: EmotionConfig, threshold: Threshold, marks: Marks) -> list[str]:
    """
    What the multiples mean, and how far a score can rise, in two sentences.

    Args:
        config: of the model.
        threshold: of the emotions that are shown, or one each.
        marks: that the sentences are written with.
    """
    limit = "its own threshold" if isinstance(threshold, list) else f"the threshold {threshold_text(threshold)}"
    ceiling = "A perfect model gives 1 to an emotion that holds and 0 to others."
    if config.decision == "softmax":
        found = _ceilings(config.num_labels, threshold, marks)
        ceiling = f"Scores of a clip sum to 1: a perfect model gives {found}."
    return [f"1.00 {marks.times} is {limit}, above which an emotion is predicted.", ceiling]


def _ceilings(num_labels: int, threshold: Threshold, marks: Marks) -> str:
    """What a perfect model gives to an emotion that holds, where one, two or three do."""
    found = []
    for count, what in enumerate(_HOLDING[: max(1, num_labels - 1)], start=1):
        top = perfect_scores(num_labels, count)[0]
        one = threshold if isinstance(threshold, float | int) else 0.0
        multiple = f" ({relative_score(top, one):.2f} {marks.times})" if one else ""
        found.append(f"{top:.2f}{multiple} {what}")
    return ", ".join(found)


def columns(text: str) -> int:
    """Columns that a text takes on a screen: two for a wide character, none for one that is put on another."""
    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in text)
    return len(text) + wide - sum(unicodedata.combining(one) != 0 for one in text)


def padded(text: str, width: int) -> str:
    """A text with blanks up to a number of columns."""
    return text + " " * (width - columns(text))


def _shortened(name: str, longest: int, marks: Marks) -> str:
    """A name in at most that many columns."""
    plain = one_line(name)
    if columns(plain) <= longest:
        return plain
    while columns(plain) > longest - len(marks.more):
        plain = plain[:-1]
    return plain + marks.more


def _bar(ratio: float, axis: float, cells: int, marks: Marks) -> str:
    """Filled up to a multiple of the threshold, with a line at the threshold; the whole is `axis` times it."""
    limit = round(cells / axis)
    # The line takes no room from the bar, which has `cells` cells besides.
    filled = min(ratio / axis, 1.0) * cells
    # 0.3 / 0.2 is a little less than 1.5.
    whole = int(filled + 1e-6)
    part = int((filled + 1e-6 - whole) * (len(marks.parts) + 1))
    bar = marks.full * whole + (marks.parts[part - 1] if part else "")
    # A score on this side of the threshold is never drawn on the other.
    bar = bar[:limit] if ratio <= 1 else bar.ljust(limit, marks.full)
    bar = bar.ljust(cells)
    return bar[:limit] + marks.limit + bar[limit:]
