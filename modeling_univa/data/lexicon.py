# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Valence and arousal of emotion words: the built-in table and the user's own lexicon file."""

import csv
from pathlib import Path

from ..models.configuration_univa import EMOTION_VALENCE_AROUSAL
from .schema import CorpusError
from .tables import read_text


__all__ = ["read_lexicon"]


def read_lexicon(path: str | Path | None = None) -> dict[str, tuple[float, float]]:
    """(valence, arousal) on [0, 1] by word in lower case.

    Args:
        path: A lexicon whose first three columns are word, valence and arousal on [0, 1], comma or tab separated, with
            a header line or none, such as NRC-VAD's; its words come on top of `EMOTION_VALENCE_AROUSAL`, which is all
            there is without it.

    Raises:
        CorpusError: The file cannot be read, or the line that is named holds something else.
    """
    lexicon = dict(EMOTION_VALENCE_AROUSAL)
    if path is None:
        return lexicon
    words: dict[str, tuple[float, float]] = {}
    lines = read_text(Path(path)).splitlines()
    delimiter = "\t" if lines and "\t" in lines[0] else ","
    for number, cells in enumerate(csv.reader(lines, delimiter=delimiter), start=1):
        values = [_number(cell) for cell in cells[1:3]]
        if not any(cell.strip() for cell in cells) or (number == 1 and values == [None, None]):
            continue
        if len(values) < 2 or any(value is None or not 0 <= value <= 1 for value in values):
            raise CorpusError(
                f"{path}: line {number}: expected word, valence and arousal on [0, 1], found {cells}; "
                "rescale a lexicon on [-1, 1] by (x + 1) / 2"
            )
        words[cells[0].strip().lower()] = (float(cells[1]), float(cells[2]))
    if not words:
        raise CorpusError(f"{path}: no line of word, valence and arousal; check the path")
    return lexicon | words


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
