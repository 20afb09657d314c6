# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Which utterances make a training batch."""

import heapq
from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
from torch.utils.data import Sampler


__all__ = ["BATCHINGS", "Batching", "DialogueBatches", "UtteranceBatchSampler"]

Batching = Literal["length", "dialogue", "whole_dialogues", "random"]
BATCHINGS: tuple[str, ...] = get_args(Batching)

# As in transformers' length grouping: sorting runs over at most this many batches and a quarter of the epoch, so
# that the rows of a batch change from epoch to epoch.
_BATCHES_SORTED_TOGETHER = 50


class UtteranceBatchSampler(Sampler[list[int]]):
    """
    Batches of row indices that take every row exactly once an epoch, on any number of processes.

    The number of batches is a multiple of `num_processes`, and batches differ by at most one row in size, so that no
    process waits for a batch that is not there and no row is repeated to fill one up. The order depends on `seed` and
    the epoch only.

    With "whole_dialogues" batches differ in size by up to a dialogue, and where there are fewer batches than the
    processes need, some are repeated.

    Args:
        lengths: cost of each row (tokens and frames), shape (rows,).
        dialogues: number of each row's dialogue, shape (rows,); rows of a dialogue stand together.
        batch_size: maximum number of rows of a batch.
        batching: "length": random rows, alike in length. "dialogue": whole dialogues in random order, alike in
            length, cut into batches; a dialogue is then encoded about once an epoch. "whole_dialogues": random
            dialogues, none of them cut; one of more than `batch_size` rows is a batch of its own. "random": random
            rows.
        num_processes: processes that share the batches.
        seed: of the order.

    Raises:
        ValueError: an unknown batching, or fewer rows than processes.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        dialogues: np.ndarray,
        batch_size: int,
        batching: str = "length",
        num_processes: int = 1,
        seed: int = 0,
    ):
        if batching not in BATCHINGS:
            raise ValueError(f"`batching` must be one of {', '.join(BATCHINGS)}, got {batching!r}.")
        if len(lengths) < num_processes:
            raise ValueError(f"{len(lengths)} training rows cannot be shared by {num_processes} processes.")
        self.row_lengths = np.asarray(lengths)
        self.batching = batching
        self.seed = seed
        self.epoch = 0
        self.num_processes = num_processes
        self._dialogue_rows = _rows_of_dialogues(dialogues)
        rounds = -(-len(lengths) // (batch_size * num_processes))
        self.num_batches = min(rounds * num_processes, len(lengths) // num_processes * num_processes)
        if batching == "whole_dialogues":
            self._num_bins = _bins_needed(self._dialogue_sizes, batch_size, num_processes)
            self.num_batches = -(-self._num_bins // num_processes) * num_processes
        # Batches differ in size; accelerate leaves such a sampler's batches as they are where `batch_size` is None.
        self.batch_size = None
        self.drop_last = False

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration gives."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng((self.seed, self.epoch))
        if self.batching == "whole_dialogues":
            batches = self._whole_dialogues(generator)
        else:
            batches = np.array_split(self._order(generator), self.num_batches)
        # Batches that run at the same time on different processes stay together: they are alike in length.
        rounds = np.arange(self.num_batches).reshape(-1, self.num_processes)
        for index in generator.permutation(rounds).ravel():
            yield batches[index].tolist()

    def _order(self, generator: np.random.Generator) -> np.ndarray:
        rows = len(self.row_lengths)
        if self.batching == "random":
            return generator.permutation(rows)
        if self.batching == "length":
            return _sorted_in_groups(generator.permutation(rows), self.row_lengths, self._group_size(rows))
        lengths = np.array([self.row_lengths[dialogue].max() for dialogue in self._dialogue_rows])
        dialogues = _sorted_in_groups(generator.permutation(len(lengths)), lengths, self._group_size(len(lengths)))
        return np.concatenate([self._dialogue_rows[dialogue] for dialogue in dialogues])

    @property
    def _dialogue_sizes(self) -> np.ndarray:
        return np.array([len(rows) for rows in self._dialogue_rows])

    def _whole_dialogues(self, generator: np.random.Generator) -> list[np.ndarray]:
        """Random dialogues in batches of about as many rows each, the batches in order of their longest row."""
        order = generator.permutation(len(self._dialogue_rows))
        bins = _fill_bins(self._dialogue_sizes[order], self._num_bins, generator)
        batches = [np.concatenate([self._dialogue_rows[order[item]] for item in items]) for items in bins]
        repeated = generator.integers(len(batches), size=self.num_batches - len(batches))
        batches += [batches[place] for place in repeated]
        return sorted(batches, key=lambda rows: self.row_lengths[rows].max())

    def _group_size(self, items: int) -> int:
        batches = max(1, min(_BATCHES_SORTED_TOGETHER, self.num_batches // 4))
        return -(-items * batches // self.num_batches)


def _sorted_in_groups(order: np.ndarray, lengths: np.ndarray, group_size: int) -> np.ndarray:
    groups = np.split(order, range(group_size, len(order), group_size))
    return np.concatenate([group[np.argsort(lengths[group], kind="stable")] for group in groups])


def _rows_of_dialogues(dialogues: np.ndarray) -> list[np.ndarray]:
    starts = np.flatnonzero(np.diff(dialogues, prepend=dialogues[0] - 1))
    return np.split(np.arange(len(dialogues)), starts[1:])


def _fill_bins(sizes: np.ndarray, count: int, generator: np.random.Generator) -> list[list[int]]:
    """
    Items dealt into bins, the largest first, each into one of those that hold least, so that the bins end up alike.

    How full they get depends on the sizes alone, not on the order of equal items, nor on the generator.

    Args:
        sizes: of the items, shape (items,).
        count: of the bins; at most as many as items.
    """
    bins: list[list[int]] = [[] for _ in range(count)]
    heap = [(0, generator.random(), place) for place in range(count)]
    heapq.heapify(heap)
    for item in np.argsort(-sizes, kind="stable").tolist():
        load, _, place = heap[0]
        bins[place].append(item)
        heapq.heapreplace(heap, (load + int(sizes[item]), generator.random(), place))
    return bins


def _bins_needed(sizes: np.ndarray, room: int, multiple: int) -> int:
    """
    How many bins `_fill_bins` needs, so that none with several items holds more than `room`.

    It is a multiple of `multiple`, unless every item needs a bin of its own.
    """

    def fits(count: int) -> bool:
        bins = _fill_bins(sizes, count, np.random.default_rng(0))
        return all(len(items) == 1 or sizes[items].sum() <= room for items in bins)

    few, enough = 0, len(sizes) // multiple + 1
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if fits(middle * multiple) else (middle, enough)
    return min(enough * multiple, len(sizes))


class DialogueBatches(Sampler[list[int]]):
    """
    Batches of row indices in the order of the rows, in which no dialogue is cut.

    A batch takes dialogues up to `batch_size` rows; a larger one is a batch of its own. The batches that processes
    have at the same time follow each other, and their number is a multiple of `num_processes`: the last round may
    repeat a batch, which comes after all others.

    Args:
        dialogues: number of each row's dialogue, shape (rows,); rows of a dialogue stand together.
        batch_size: maximum number of rows of a batch.
        num_processes: processes that share the batches.

    Attributes:
        rows_of_last_round: how many rows the last `num_processes` batches have, without the repeated ones.
    """

    # As of `UtteranceBatchSampler`.
    batch_size = None
    drop_last = False

    def __init__(self, dialogues: np.ndarray, batch_size: int, num_processes: int = 1):
        self._batches: list[list[int]] = []
        for rows in map(np.ndarray.tolist, _rows_of_dialogues(dialogues)):
            if self._batches and len(self._batches[-1]) + len(rows) <= batch_size:
                self._batches[-1] += rows
            else:
                self._batches.append(rows)
        last = (len(self._batches) - 1) // num_processes * num_processes
        self.rows_of_last_round = sum(map(len, self._batches[last:]))
        self._batches += self._batches[-1:] * (last + num_processes - len(self._batches))

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches)
