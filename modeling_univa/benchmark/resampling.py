# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
What the intervals of a table resample as one: dialogues, or the speakers of a cross-validation by speaker.

Rows of one speaker are alike in what a system gets right of them. Where folds keep speakers apart, scores are about
speakers whom no system has heard in training, and another corpus has others.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..data.folds import linked_speakers
from ..scores.predictions import Predictions


__all__ = ["fold_by", "in_groups_of_speakers"]

# The predictions of each row by its name, one a seed.
_Rows = Mapping[str, Mapping[int, Predictions]]


def fold_by(run: Mapping[str, Any]) -> str | None:
    """By what the folds of a run are, as of `fold_by`, by its `run.json`; `None` of a run that is of no fold."""
    settings = run.get("settings")
    if not isinstance(settings, dict) or settings.get("num_folds") is None:
        return None
    return str(settings.get("fold_by"))


def in_groups_of_speakers(rows: _Rows) -> tuple[_Rows, list[str]]:
    """
    The same predictions with speakers as their `groups`; speakers with a common dialogue, and those linked by others,
    are one group, since folds keep them together.

    Args:
        rows: of a table. What one run knows of the speakers holds for all of them.

    Returns:
        The predictions, and why they have no groups where that is so, a sentence.
    """
    known = {name: speaker for one in _each(rows) for name, speaker in _spoken(one) if speaker is not None}
    dialogues = {name: dialogue for one in _each(rows) for name, dialogue in _heard(one)}
    unknown = [name for name in dialogues if name not in known]
    if unknown:
        return rows, [
            f"Folds are by speaker, and predictions of an earlier version do not say who speaks in {unknown[0]!r}: "
            "intervals are over dialogues, and too narrow. Make the runs again."
        ]
    if not dialogues:
        return rows, []
    members, of_row = linked_speakers([known[name] for name in dialogues], list(dialogues.values()))
    if len(members) < 2:
        whose = _listed(members[0])
        return rows, [f"All rows are of {whose}: intervals are over dialogues, and do not cover other speakers."]
    group = {name: members[place][0] for name, place in zip(dialogues, of_row.tolist(), strict=True)}
    kind = "groups of linked speakers" if any(one[1:] for one in members) else "speakers"
    found = {row: {seed: _grouped(one, group, kind) for seed, one in of.items()} for row, of in rows.items()}
    return found, []


def _each(rows: _Rows) -> Iterable[Predictions]:
    return (one for of in rows.values() for one in of.values())


def _spoken(found: Predictions) -> Iterable[tuple[str, str | None]]:
    return zip(found.utterance_ids, found.speakers or [None] * len(found.utterance_ids), strict=True)


def _heard(found: Predictions) -> Iterable[tuple[str, str]]:
    return zip(found.utterance_ids, found.dialogue_ids, strict=True)


def _grouped(found: Predictions, group: Mapping[str, str], kind: str) -> Predictions:
    return replace(found, groups=[group[name] for name in found.utterance_ids], group_kind=kind)


def _listed(speakers: Sequence[str]) -> str:
    return f"one speaker, {speakers[0]}" if len(speakers) == 1 else "speakers whom common dialogues link"
