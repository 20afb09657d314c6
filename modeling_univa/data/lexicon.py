# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Valence and arousal of emotion words: the built-in table, a lexicon file, and what an option says."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers.utils import logging

from ..models.configuration_univa import EMOTION_ALIASES, EMOTION_VALENCE_AROUSAL
from ..models.limits_univa import check_limit
from ..options import nearest
from .schema import CorpusError
from .tables import read_text


__all__ = ["SCALES", "affect_of_words", "affect_of_word", "read_label_affect", "read_lexicon"]

logger = logging.get_logger(__name__)

# Lowest and highest value of a lexicon, by the name of its scale.
SCALES: dict[str, tuple[float, float]] = {"unit": (0.0, 1.0), "signed": (-1.0, 1.0), "nine-point": (1.0, 9.0)}
# Names of the columns, in lower case, in the NRC-VAD lexicon, in the norms of Warriner et al. and in ANEW.
_COLUMNS = (
    ("word", "term", "words", "lemma", "description", "label", "emotion"),
    ("valence", "v.mean.sum", "valmn", "valence mean", "v"),
    ("arousal", "a.mean.sum", "aromn", "arousal mean", "a"),
)
# A smaller share of words with a negative value is a slip in a file on [0, 1] rather than a sign of [-1, 1].
_NEGATIVE_SHARE = 0.05
_EXPECTED = "word, valence and arousal on [0, 1], [-1, 1] or [1, 9]"

# Number of a line, and what it holds.
_Entry = tuple[int, str, float, float]


def read_lexicon(path: str | Path | None = None, scale: str | None = None) -> dict[str, tuple[float, float]]:
    """(valence, arousal) on [0, 1] by word in lower case.

    Args:
        path: A lexicon, whose words come on top of `EMOTION_VALENCE_AROUSAL`, which is all there is without it. Cells
            are separated by tabs, commas or semicolons. Columns are found by the names in a header line, as of the
            NRC-VAD lexicon and the norms of Warriner et al.; by default the first three are word, valence and arousal.
        scale: One of `SCALES`; by default the one that the values have, which is logged if it is not [0, 1].

    Raises:
        CorpusError: The file cannot be read, is too large, or the line that is named holds something else.
    """
    table = dict(EMOTION_VALENCE_AROUSAL)
    if path is None:
        return table
    path = Path(path)
    _check_size(path)
    entries = _entries(path)
    if not entries:
        raise CorpusError(f"{path}: no line of word, valence and arousal; check the path")
    low, high = SCALES[scale or _scale_of(path, entries)]
    for number, word, *values in entries:
        if not (low <= min(values) and max(values) <= high):
            raise CorpusError(f"{path}: line {number}: expected values from {low:g} to {high:g}, found {values}")
        valence, arousal = ((value - low) / (high - low) for value in values)
        table[word] = (valence, arousal)
    return table


def affect_of_word(word: str, table: Mapping[str, tuple[float, float]]) -> tuple[float, float] | None:
    """
    (valence, arousal) of a word, or of that which it is another form of; `None` where the table has neither.

    Args:
        word: in any case.
        table: by words in lower case.
    """
    name = word.strip().lower()
    return table.get(name) or table.get(EMOTION_ALIASES.get(name, name))


def affect_of_words(
    words: Sequence[str],
    given: Mapping[str, tuple[float, float]] | None = None,
    lexicon: str | Path | None = None,
    scale: str | None = None,
) -> list[list[float]]:
    """
    (valence, arousal) on [0, 1] of each label, for `UnivaConfig.label_affect`.

    Args:
        words: names of the labels, in order.
        given: of some of them, before what a lexicon says; see [`read_label_affect`].
        lexicon: path of a file, whose words come before the built-in ones; see [`read_lexicon`].
        scale: of the lexicon.

    Raises:
        CorpusError: the lexicon cannot be read, `given` names another label, or a label is in none of them.
    """
    given = dict(given or {})
    unknown = next((name for name in given if name not in words), None)
    if unknown is not None:
        raise CorpusError(
            f"`label_affect` names the label {unknown!r}, which the corpus does not have{nearest(unknown, words)}; it "
            f"has {', '.join(words)}"
        )
    table = read_lexicon(lexicon, scale)
    found = {word: given.get(word) or affect_of_word(word, table) for word in words}
    missing = [word for word, pair in found.items() if pair is None]
    if missing:
        source = "the built-in table" if lexicon is None else str(lexicon)
        raise CorpusError(
            f"{', '.join(map(repr, missing))} {'has' if len(missing) == 1 else 'have'} no valence and arousal in "
            f"{source}; pass `label_affect` ({missing[0]}: [VALENCE, AROUSAL], on [0, 1]), or a `label_lexicon` that "
            f"has {'it' if len(missing) == 1 else 'them'}"
        )
    return [list(pair) for pair in found.values() if pair is not None]


def read_label_affect(given: str) -> dict[str, tuple[float, float]]:
    """
    Valence and arousal of labels as they are written in options: a JSON object, `{"hope": [0.6, 0.2]}`.

    Raises:
        ValueError: it is not one, or has something else than two numbers on [0, 1].
    """
    try:
        content = json.loads(given)
    except (TypeError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not content:
        raise ValueError(
            '`label_affect` must name valence and arousal of labels on [0, 1], such as {"hope": [0.6, 0.2]}, got '
            f"{given!r}."
        )
    return {name: _checked_pair(name, pair) for name, pair in content.items()}


def _checked_pair(name: str, pair: Any) -> tuple[float, float]:
    numbers = pair if isinstance(pair, list) else []
    if len(numbers) != 2 or not all(type(one) in (int, float) and 0 <= one <= 1 for one in numbers):
        raise ValueError(
            f"`label_affect` of {name!r} must be [VALENCE, AROUSAL] on [0, 1], got {pair!r}; rescale x on [-1, 1] by "
            "(x + 1) / 2, and x on [1, 9] by (x - 1) / 8."
        )
    return float(numbers[0]), float(numbers[1])


def _check_size(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise CorpusError(f"{path}: not a file; expected a lexicon of {_EXPECTED}")
    try:
        check_limit("lexicon", path.stat().st_size if path.exists() else 0, str(path))
    except ValueError as error:
        raise CorpusError(str(error)) from None


def _entries(path: Path) -> list[_Entry]:
    """The words of a file with their values as they stand there."""
    rows = _rows(path)
    columns = (0, 1, 2)
    if rows and all(_number(cell) is None for cell in rows[0][1][1:3]):
        columns = _named_columns(rows.pop(0)[1])
    found = []
    for number, cells in rows:
        picked = [cells[place].strip() if place < len(cells) else "" for place in columns]
        valence, arousal = (_number(cell) for cell in picked[1:])
        if not picked[0] or valence is None or arousal is None:
            raise CorpusError(f"{path}: line {number}: expected {_EXPECTED}, found {cells}")
        found.append((number, picked[0].lower(), valence, arousal))
    return found


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Number and cells of every line that holds anything; a decimal comma becomes a point."""
    lines = read_text(path).splitlines()
    first = next((line for line in lines if line.strip()), "")
    delimiter = next((mark for mark in "\t;" if mark in first), ",")
    # A quote in a file of tabs is a part of a word.
    how: Any = {"quoting": csv.QUOTE_NONE} if delimiter == "\t" else {}
    reader = csv.reader(lines, delimiter=delimiter, **how)
    try:
        rows = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise CorpusError(f"{path}: line {reader.line_num}: not sound csv ({error}); save it as csv again") from None
    if delimiter == ",":
        return rows
    return [(number, [cells[0], *(cell.replace(",", ".") for cell in cells[1:])]) for number, cells in rows]


def _named_columns(header: Sequence[str]) -> tuple[int, int, int]:
    """Places of word, valence and arousal; the first three where the names say nothing."""
    names = [name.strip().lower() for name in header]
    word, valence, arousal = (next((names.index(name) for name in known if name in names), None) for known in _COLUMNS)
    return (0, 1, 2) if valence is None or arousal is None else (word or 0, valence, arousal)


def _scale_of(path: Path, entries: Sequence[_Entry]) -> str:
    """The scale that the values have."""
    lowest, highest = (choose(value for entry in entries for value in entry[2:]) for choose in (min, max))
    fitting = [name for name, (low, high) in SCALES.items() if low <= lowest and highest <= high]
    if not fitting:
        inside = {name: sum(_is_on(entry, name) for entry in entries) for name in SCALES}
        usual = max(inside, key=lambda name: inside[name])
        number, *_, valence, arousal = next(entry for entry in entries if not _is_on(entry, usual))
        raise CorpusError(
            f"{path}: line {number}: expected {_EXPECTED}, found {[valence, arousal]}, and the values of the file lie "
            f"between {lowest:g} and {highest:g}; mend the line, or rescale the file"
        )
    if fitting[0] == "signed":
        _check_signed(path, entries)
    if fitting[0] != "unit":
        low, high = SCALES[fitting[0]]
        logger.warning(f"{path} is read on the scale from {low:g} to {high:g}, which its values have.")
    return fitting[0]


def _is_on(entry: _Entry, scale: str) -> bool:
    low, high = SCALES[scale]
    return all(low <= value <= high for value in entry[2:])


def _check_signed(path: Path, entries: Sequence[_Entry]) -> None:
    negative = [entry for entry in entries if min(entry[2:]) < 0]
    if len(negative) < _NEGATIVE_SHARE * len(entries):
        number, *_, valence, arousal = negative[0]
        raise CorpusError(
            f"{path}: line {number}: found {[valence, arousal]}, and hardly any other line has a negative number; "
            "mend it if the file is on [0, 1], else rescale the file by (x + 1) / 2, or pass its scale"
        )


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
