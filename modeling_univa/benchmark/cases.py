# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Table 7: rows with what systems predict of them, chosen by a rule that knows no favourites."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..data.licenses import license_of
from ..data.loading import load_corpus
from ..scores.comparison import Run
from ..scores.thresholds import predicted_labels
from .analysis_files import hashed_order


__all__ = ["CASE_KINDS", "Case", "Cases", "choose_cases", "with_texts"]

# A row is right where exactly its labels are predicted. By whether the first system is right, and the second.
CASE_KINDS = {
    (True, False): "{first} right, {second} wrong",
    (False, True): "{first} wrong, {second} right",
    (True, True): "both right",
    (False, False): "both wrong",
}
# By the beginning; what they cover may be quoted.
_QUOTABLE = ("cc0", "cc-by", "apache", "mit", "bsd", "odc-by", "odbl", "pddl", "unlicense")


@dataclass(frozen=True)
class Case:
    """
    A row.

    Args:
        kind: a value of `CASE_KINDS`, with names.
        utterance_id, dialogue_id: of the row.
        labels: that hold.
        predicted: by each system.
        text: where it was added.
    """

    kind: str
    utterance_id: str
    dialogue_id: str
    labels: Sequence[str]
    predicted: Mapping[str, Sequence[str]]
    text: str | None = None


@dataclass(frozen=True)
class Cases:
    """
    Rows that were chosen, and what they were chosen from.

    Args:
        cases: in the order of `CASE_KINDS`.
        counts: rows of each kind.
        num_rows: with at least one label; others are not cases.
    """

    cases: Sequence[Case]
    counts: Mapping[str, int]
    num_rows: int


def choose_cases(
    systems: Mapping[str, Run],
    label_names: Sequence[str],
    first: str,
    second: str,
    per_kind: int = 1,
    seed: int = 0,
) -> Cases:
    """
    Choose rows: of each kind those that come first in an order of hashed names, which no prediction changes.

    Args:
        systems: one run each, all on the same rows, in any order.
        label_names: of their columns.
        first, second: systems whose right and wrong predictions make the kinds.
        per_kind: rows of each kind.
        seed: another seed has another order.

    Raises:
        ValueError: a system is missing, or systems were scored on different rows.
    """
    missing = [name for name in (first, second) if name not in systems]
    if missing:
        raise ValueError(f"There is no system {missing[0]!r}; there are {', '.join(systems)}.")
    ids = list(systems[first].predictions.utterance_ids)
    predicted = {name: _in_order(name, run, ids) for name, run in systems.items()}
    labels = systems[first].predictions.labels.astype(bool)
    right = {name: (found == labels).all(axis=1) for name, found in predicted.items()}
    order = [row for row in hashed_order(ids, "cases", seed).tolist() if labels[row].any()]
    cases, counts = [], {}
    for (is_first, is_second), kind in CASE_KINDS.items():
        named = kind.format(first=first, second=second)
        rows = [row for row in order if right[first][row] == is_first and right[second][row] == is_second]
        counts[named] = len(rows)
        for row in rows[:per_kind]:
            names = {name: _names(found[row], label_names) for name, found in predicted.items()}
            dialogue = systems[first].predictions.dialogue_ids[row]
            cases.append(Case(named, ids[row], dialogue, _names(labels[row], label_names), names))
    return Cases(cases, counts, len(order))


def with_texts(found: Cases, corpus: str | Path) -> Cases:
    """
    Add the transcripts.

    Args:
        found: cases of a corpus.
        corpus: its folder.

    Raises:
        ValueError: its licence does not say that its texts may be quoted.
        CorpusError: it cannot be loaded, or lacks a row.
    """
    license = license_of(str(corpus))
    if license is None or not license.lower().startswith(_QUOTABLE):
        has = f"has the licence {license!r}, which" if license else "has no licence on its card, which"
        raise ValueError(
            f"`corpus` {corpus} {has} does not say that its texts may be quoted: show cases without them."
        )
    wanted = {case.utterance_id for case in found.cases}
    texts: dict[str, str] = {}
    for rows in load_corpus(str(corpus)).splits.values():
        small = rows.select_columns(["utterance_id", "text"]).with_format(None)
        texts |= {row["utterance_id"]: row["text"] for row in small if row["utterance_id"] in wanted}
    missing = sorted(wanted - set(texts))
    if missing:
        raise ValueError(f"`corpus` {corpus} has no row {missing[0]!r}: pass the corpus that the runs were tested on.")
    return replace(found, cases=[replace(case, text=texts[case.utterance_id]) for case in found.cases])


def _in_order(name: str, run: Run, ids: Sequence[str]) -> np.ndarray:
    """Which labels a system predicts, `(rows, C)` bool, in the order of some rows."""
    places = {utterance: row for row, utterance in enumerate(run.predictions.utterance_ids)}
    if places.keys() != set(ids):
        raise ValueError(f"{name} was scored on other rows than the first system: compare runs on the same split.")
    predicted = predicted_labels(run.predictions.scores, run.threshold)
    return predicted[[places[utterance] for utterance in ids]].astype(bool)


def _names(active: np.ndarray, label_names: Sequence[str]) -> list[str]:
    return [name for name, is_active in zip(label_names, active, strict=True) if is_active]
