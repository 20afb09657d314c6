# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Which utterances make a training batch."""

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
from torch.utils.data import Sampler


__all__ = ["BATCHINGS", "Batching", "UtteranceBatchSampler"]

Batching = Literal["length", "dialogue", "random"]
BATCHINGS: tuple[str, ...] = get_args(Batching)

# As in transformers' length grouping: sorting runs over this many batches at the most and a quarter of the epoch, so
# that the rows of a batch change from epoch to epoch.
_BATCHES_SORTED_TOGETHER = 50


class UtteranceBatchSampler(Sampler[list[int]]):
    """
    Batches of row indices that take every row exactly once an epoch, on any number of processes.

    The number of batches is a multiple of `num_processes`, and batches differ by at most one row in size, so that no
    process waits for a batch that is not there and no row is repeated to fill one up. The order depends on `seed` and
    the epoch only.

    Args:
        lengths: cost of each row (tokens and frames), shape (rows,).
        dialogues: number of each row's dialogue, shape (rows,); rows of a dialogue stand together.
        batch_size: rows of a batch at the most.
        batching: "length": random rows, alike in length. "dialogue": whole dialogues in random order, alike in
            length, cut into batches; a dialogue is then encoded about once an epoch. "random": random rows.
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
        rounds = -(-len(lengths) // (batch_size * num_processes))
        self.num_processes = num_processes
        self.num_batches = min(rounds * num_processes, len(lengths) // num_processes * num_processes)
        starts = np.flatnonzero(np.diff(dialogues, prepend=dialogues[0] - 1))
        self._dialogue_rows = np.split(np.arange(len(dialogues)), starts[1:])
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

    def _group_size(self, items: int) -> int:
        batches = max(1, min(_BATCHES_SORTED_TOGETHER, self.num_batches // 4))
        return -(-items * batches // self.num_batches)


def _sorted_in_groups(order: np.ndarray, lengths: np.ndarray, group_size: int) -> np.ndarray:
    groups = np.split(order, range(group_size, len(order), group_size))
    return np.concatenate([group[np.argsort(lengths[group], kind="stable")] for group in groups])
