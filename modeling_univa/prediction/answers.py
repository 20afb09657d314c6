# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""From what a language model answers to the emotions that it names."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal


__all__ = ["ANSWER_KINDS", "Answer", "AnswerKind", "parse_answer"]

AnswerKind = Literal["parsed", "empty", "refused", "unknown"]
# By what they are, in the order of a report.
ANSWER_KINDS: tuple[AnswerKind, ...] = ("parsed", "empty", "refused", "unknown")

# Words that stand for a label of the usual corpora.
_SYNONYMS = {
    "happy": ("happy", "happiness", "joy", "joyful", "cheerful"),
    "sad": ("sad", "sadness", "sorrow", "sorrowful"),
    "anger": ("anger", "angry", "furious", "mad"),
    "surprise": ("surprise", "surprised", "astonished"),
    "disgust": ("disgust", "disgusted"),
    "fear": ("fear", "afraid", "scared", "fearful", "frightened"),
    "neutral": ("neutral",),
}
_LABEL_OF_WORD = {word: label for label, words in _SYNONYMS.items() for word in words}
_REFUSAL = re.compile(
    r"\b(i('m| am) (sorry|unable|not able)|i (can ?not|can't|won't)|(can ?not|can't) (assist|help|comply)|"
    r"as an ai|against (my|the) (policy|guidelines))\b"
)
_NEGATION = re.compile(r"\b(not|no|nor|neither|never|without|isn't|doesn't|don't)(\s+\w+)?\s+$")
_LIST = re.compile(r"\[[^\[\]]*\]")


@dataclass(frozen=True)
class Answer:
    """
    What was understood of an answer.

    Args:
        kind: "parsed" names emotions of the list; "empty" is nothing at all, or an empty list; "refused" declines;
            "unknown" names nothing of the list.
        emotions: labels that it names, in the order of the data set.
    """

    kind: AnswerKind
    emotions: tuple[str, ...] = ()


def parse_answer(text: str, label_names: Sequence[str]) -> Answer:
    """
    The emotions that an answer names: those of the last JSON list in it, or else the names of labels and words of the
    same meaning in its text, unless it says that they do not apply.

    Args:
        text: the answer, with or without anything around the list.
        label_names: labels of the data set.
    """
    if not text.strip():
        return Answer("empty")
    named = _json_list(text)
    if named is not None:
        found = _in_order((_label(name, label_names) for name in named), label_names)
        return Answer("parsed", found) if found else Answer("unknown" if named else "empty")
    plain = text.lower().replace("’", "'")
    if _REFUSAL.search(plain):
        return Answer("refused")
    found = _in_order(_labels_in(plain, label_names), label_names)
    return Answer("parsed", found) if found else Answer("unknown")


def _json_list(text: str) -> list[str] | None:
    """The last list of strings in a text, `None` where there is none."""
    for part in reversed(_LIST.findall(text)):
        try:
            found = json.loads(part)
        except ValueError:
            continue
        if all(isinstance(item, str) for item in found):
            return found
    return None


def _label(word: str, label_names: Sequence[str]) -> str | None:
    """The label that a word is or stands for."""
    plain = word.strip().lower()
    exact = {name.lower(): name for name in label_names}
    return exact.get(plain) or exact.get(_LABEL_OF_WORD.get(plain, ""))


def _labels_in(text: str, label_names: Sequence[str]) -> list[str]:
    """Labels whose name, or a word of the same meaning, is in a text in lower case as a whole word, not negated."""
    words = {name.lower() for name in label_names} | set(_LABEL_OF_WORD)
    pattern = re.compile(r"(?<!\w)(" + "|".join(sorted(map(re.escape, words), key=len, reverse=True)) + r")(?!\w)")
    named = [found for found in pattern.finditer(text) if not _NEGATION.search(text[: found.start()])]
    return [label for found in named if (label := _label(found[1], label_names)) is not None]


def _in_order(found: Iterable[str | None], label_names: Sequence[str]) -> tuple[str, ...]:
    named = set(found)
    return tuple(name for name in label_names if name in named)
