# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Deal speakers or dialogues into training, validation and test, with about the same share of every label in each."""

import hashlib
from collections.abc import Sequence

import numpy as np

from .folds import linked_speakers
from .schema import CorpusError


__all__ = ["read_ratios", "split_groups"]

_MOST_PASSES = 20


def read_ratios(given: str) -> dict[str, float]:
    """
    Shares of the splits train, validation and test, or of train and test, as they are written in options.

    Args:
        given: `0.7,0.1,0.2`, or `80,20`.

    Returns:
        Share of each split, which sum to 1; a split of share 0 is left out.

    Raises:
        CorpusError: They are not two or three numbers, or there is none for training or for one other split.
    """
    try:
        numbers = [float(part) for part in given.split(",")]
    except ValueError:
        numbers = []
    names = ("train", "validation", "test") if len(numbers) == 3 else ("train", "test")
    if len(numbers) != len(names) or not all(0 <= number < np.inf for number in numbers):
        raise CorpusError(f"`ratios` {given!r}: pass shares of train, validation and test: 0.7,0.1,0.2")
    shares = {name: number / (sum(numbers) or 1) for name, number in zip(names, numbers, strict=True) if number}
    if "train" not in shares or len(shares) < 2:
        raise CorpusError(f"`ratios` {given!r}: training and at least one other split need a share above 0")
    return shares


def split_groups(
    speakers: Sequence[str] | None,
    dialogues: Sequence[str],
    labels: np.ndarray,
    shares: dict[str, float],
    seed: int = 0,
) -> list[str]:
    """
    The split of each row, such that no group is in two of them.

    Groups are dealt one by one, large ones first, each to the split that then comes nearest to its share of the rows
    and of every label; at last single groups are moved as long as that brings the splits nearer.

    Args:
        speakers: Of each row; those whom common dialogues link are one group. Without them dialogues are the groups.
        dialogues: Of each row.
        labels: Which labels a row has, bool (rows, labels).
        shares: By split, as of `read_ratios`.
        seed: Decides between groups of like size.

    Raises:
        CorpusError: There are fewer groups than splits.
    """
    if speakers is None:
        names, of_row = np.unique(np.array(dialogues, dtype=object), return_inverse=True)
        members = [[name] for name in names]
    else:
        members, of_row = linked_speakers(speakers, dialogues)
    if len(members) < len(shares):
        advice = "" if speakers is None else ", or `split_by` dialogue"
        raise CorpusError(
            f"{_found(members, speakers)} cannot be dealt to {len(shares)} splits; pass fewer `ratios`{advice}"
        )
    columns = np.column_stack([np.ones(len(labels)), labels])
    counts = np.zeros((len(members), columns.shape[1]))
    np.add.at(counts, of_row, columns)
    ranks = [hashlib.sha256(f"{seed}\n{names[0]}".encode()).digest() for names in members]
    order = sorted(range(len(members)), key=lambda group: (-int(counts[group, 0]).bit_length(), ranks[group]))
    # Of each label the part of its rows that a group has, so that rare labels count like frequent ones.
    parts = counts / np.maximum(counts.sum(axis=0), 1)
    wanted = np.array(list(shares.values()))
    dealt = _moved(parts, _dealt(parts, order, wanted), wanted)
    return [list(shares)[split] for split in dealt[of_row]]


def _found(members: Sequence[Sequence[str]], speakers: Sequence[str] | None) -> str:
    if speakers is None:
        return _count(len(members), "dialogue")
    names = sum(map(len, members))
    linked = f", whom common dialogues link to {_count(len(members), 'group')}," if names > len(members) else ""
    return f"{_count(names, 'speaker')}{linked}"


def _count(number: int, what: str) -> str:
    return f"one {what}" if number == 1 else f"{number} {what}s"


def _dealt(parts: np.ndarray, order: Sequence[int], shares: np.ndarray) -> np.ndarray:
    held = np.zeros((len(shares), parts.shape[1]))
    split_of = np.full(len(parts), -1)
    for place, group in enumerate(order):
        empty = [split for split in range(len(shares)) if split not in split_of]
        # The last groups are for splits that have none.
        choices = empty if len(order) - place <= len(empty) else range(len(shares))
        costs = {split: _gain(held[split], parts[group], shares[split]) for split in choices}
        chosen = min(costs, key=lambda split: costs[split])
        split_of[group] = chosen
        held[chosen] += parts[group]
    return split_of


def _gain(held: np.ndarray, added: np.ndarray, share: float) -> float:
    """By how much a split is further from its share with a group than without it, squared; relative to the share."""
    return float((((held + added - share) ** 2) - (held - share) ** 2).sum() / share)


def _moved(parts: np.ndarray, split_of: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Move a group to another split as long as that brings the shares nearer and leaves no split empty."""
    held = np.zeros((len(shares), parts.shape[1]))
    np.add.at(held, split_of, parts)
    sizes = np.bincount(split_of, minlength=len(shares))
    for _ in range(_MOST_PASSES):
        moved = False
        for group, part in enumerate(parts):
            now = split_of[group]
            if sizes[now] == 1:
                continue
            left = _gain(held[now], -part, shares[now])
            costs = [left + _gain(held[split], part, shares[split]) for split in range(len(shares))]
            costs[now] = np.inf
            best = int(np.argmin(costs))
            if costs[best] < -1e-12:
                held[now] -= part
                held[best] += part
                sizes[now] -= 1
                sizes[best] += 1
                split_of[group] = best
                moved = True
        if not moved:
            break
    return split_of
