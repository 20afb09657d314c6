# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Training batches: every row once, equal numbers of batches, and an order that seed and epoch alone decide."""

import itertools

import numpy as np
import pytest
from accelerate.data_loader import BatchSamplerShard

from modeling_univa.data.samplers import BATCHINGS, DialogueBatches, UtteranceBatchSampler


# Those of which a batch may cut a dialogue.
CUTTING = tuple(name for name in BATCHINGS if name != "whole_dialogues")


def corpus(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of rows, and their dialogues of 1 to 9 rows."""
    generator = np.random.default_rng(seed)
    dialogues = np.repeat(np.arange(rows), generator.integers(1, 10, rows))[:rows]
    return generator.integers(1, 500, rows), dialogues


def batches_of(sampler: UtteranceBatchSampler, epoch: int = 0) -> list[list[int]]:
    sampler.set_epoch(epoch)
    return list(sampler)


def encoded_dialogues(batches: list[list[int]], dialogues: np.ndarray) -> int:
    """How often a dialogue goes through the text encoder in an epoch."""
    return sum(len(set(dialogues[batch])) for batch in batches)


@pytest.mark.parametrize("batching", CUTTING)
@pytest.mark.parametrize("processes", [1, 2, 3, 4])
@pytest.mark.parametrize(("rows", "batch_size"), [(101, 8), (96, 8), (7, 1), (13, 4), (5, 50), (1000, 32)])
def test_every_row_once_in_batches_of_equal_number_and_size(batching, processes, rows, batch_size):
    sampler = UtteranceBatchSampler(*corpus(rows), batch_size, batching, processes)
    for epoch in range(3):
        batches = batches_of(sampler, epoch)
        assert sorted(index for batch in batches for index in batch) == list(range(rows))
        assert len(batches) == len(sampler)
        assert len(batches) % processes == 0
        sizes = {len(batch) for batch in batches}
        assert max(sizes) - min(sizes) <= 1
        # More only where rows are too few to give every process a batch as small as that.
        assert max(sizes) <= max(batch_size, -(-rows // (rows // processes * processes)))


@pytest.mark.parametrize("batching", BATCHINGS)
@pytest.mark.parametrize("processes", [2, 3, 4])
def test_accelerate_shares_the_batches_without_repeating_a_row(batching, processes):
    rows = 103
    shards = [
        list(BatchSamplerShard(UtteranceBatchSampler(*corpus(rows), 8, batching, processes), processes, index))
        for index in range(processes)
    ]
    assert len({len(shard) for shard in shards}) == 1
    assert sorted(index for shard in shards for batch in shard for index in batch) == list(range(rows))


@pytest.mark.parametrize("batching", BATCHINGS)
def test_seed_and_epoch_decide_the_order(batching):
    lengths, dialogues = corpus(200)
    one = UtteranceBatchSampler(lengths, dialogues, 8, batching, seed=3)
    same = UtteranceBatchSampler(lengths, dialogues, 8, batching, seed=3)
    other = UtteranceBatchSampler(lengths, dialogues, 8, batching, seed=4)
    np.random.seed(0)
    first = batches_of(one, 1)
    np.random.seed(1)
    assert batches_of(same, 1) == first
    assert batches_of(one, 2) != first
    assert batches_of(other, 1) != first
    assert batches_of(one, 1) == first


def test_length_batches_are_alike_in_length():
    lengths, dialogues = corpus(2000)
    spread = {
        batching: np.mean(
            [np.ptp(lengths[batch]) for batch in batches_of(UtteranceBatchSampler(lengths, dialogues, 20, batching))]
        )
        for batching in ("length", "random")
    }
    assert spread["length"] < spread["random"] / 5


def test_batches_at_the_same_time_are_alike_in_length():
    lengths, dialogues = corpus(2000)
    batches = batches_of(UtteranceBatchSampler(lengths, dialogues, 10, "length", num_processes=4))
    longest = np.array([lengths[batch].max() for batch in batches]).reshape(-1, 4)
    assert np.ptp(longest, axis=1).mean() < np.ptp(longest, axis=0).mean() / 5


def test_batches_come_in_random_order_of_length():
    lengths, dialogues = corpus(2000)
    batches = batches_of(UtteranceBatchSampler(lengths, dialogues, 20, "length"))
    means = np.array([lengths[batch].mean() for batch in batches])
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


def test_dialogue_batches_encode_a_dialogue_about_once():
    lengths, dialogues = corpus(1000)
    sampler = UtteranceBatchSampler(lengths, dialogues, 32, "dialogue")
    batches, count = batches_of(sampler), len(set(dialogues))
    # A border between two batches cuts one dialogue at most.
    assert encoded_dialogues(batches, dialogues) <= count + len(batches) - 1
    random = batches_of(UtteranceBatchSampler(lengths, dialogues, 32, "random"))
    assert encoded_dialogues(random, dialogues) > 3 * count
    # What stands together in a batch is in the order of the corpus.
    for batch in batches:
        for dialogue in set(dialogues[batch]):
            own = [index for index in batch if dialogues[index] == dialogue]
            assert own == list(range(own[0], own[0] + len(own)))


@pytest.mark.parametrize("batching", BATCHINGS)
@pytest.mark.parametrize("rows", [200, 4000])
def test_what_shares_a_batch_changes_from_epoch_to_epoch(batching, rows):
    lengths, dialogues = corpus(rows)
    sampler = UtteranceBatchSampler(lengths, dialogues, 16, batching)
    pairs = []
    for epoch in (0, 1):
        in_batches = {
            pair for batch in batches_of(sampler, epoch) for pair in itertools.combinations(sorted(batch), 2)
        }
        pairs.append({(one, other) for one, other in in_batches if dialogues[one] != dialogues[other]})
    assert len(pairs[0] & pairs[1]) < len(pairs[0]) / 2


# Whole dialogues


def assert_whole(batches: list[list[int]], dialogues: np.ndarray, batch_size: int) -> None:
    for batch in batches:
        found = set(dialogues[batch])
        assert len(batch) <= batch_size or len(found) == 1
        assert sorted(batch) == np.flatnonzero(np.isin(dialogues, list(found))).tolist()


def dialogues_of(*sizes: int) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes)


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
@pytest.mark.parametrize(("rows", "batch_size"), [(101, 8), (96, 12), (20, 1), (13, 4), (50, 100), (1000, 32)])
def test_no_dialogue_is_cut_and_every_row_comes_once(processes, rows, batch_size):
    lengths, dialogues = corpus(rows)
    sampler = UtteranceBatchSampler(lengths, dialogues, batch_size, "whole_dialogues", processes)
    for epoch in range(3):
        batches = batches_of(sampler, epoch)
        assert len(batches) == len(sampler) and len(batches) % processes == 0
        assert_whole(batches, dialogues, batch_size)
        distinct = {tuple(batch) for batch in batches}
        assert sorted(index for batch in distinct for index in batch) == list(range(rows))
        # What fills up a round is repeated, and no round is made of repeated batches alone.
        assert len(batches) - len(distinct) < processes


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_batches_of_whole_dialogues_are_few_and_alike(processes):
    lengths, dialogues = corpus(2000)
    sampler = UtteranceBatchSampler(lengths, dialogues, 32, "whole_dialogues", processes)
    batches = batches_of(sampler)
    assert len(batches) <= 1.1 * 2000 / 32 + processes
    sizes = [len(batch) for batch in batches]
    assert max(sizes) - min(sizes) <= 9
    assert len({tuple(batch) for batch in batches}) == len(batches)


@pytest.mark.parametrize(
    ("sizes", "batch_size", "processes", "expected"),
    [
        # Larger ones are batches of their own, whatever else would fit.
        ((20, 3, 5, 8), 8, 1, [8, 8, 20]),
        ((20, 3, 5, 8), 16, 1, [16, 20]),
        # Three batches for two processes: one is there twice.
        ((20, 20, 20), 8, 2, [20, 20, 20, 20]),
        ((4, 4, 4), 8, 2, [4, 8]),
        ((5,), 8, 3, [5, 5, 5]),
    ],
)
def test_sizes_of_batches_of_whole_dialogues(sizes, batch_size, processes, expected):
    dialogues = dialogues_of(*sizes)
    sampler = UtteranceBatchSampler(np.ones(len(dialogues), int), dialogues, batch_size, "whole_dialogues", processes)
    batches = batches_of(sampler)
    assert sorted(map(len, batches)) == expected
    assert_whole(batches, dialogues, batch_size)


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
@pytest.mark.parametrize(("rows", "batch_size"), [(101, 8), (20, 1), (13, 4), (50, 100)])
def test_evaluation_takes_whole_dialogues_in_order(processes, rows, batch_size):
    _, dialogues = corpus(rows)
    sampler = DialogueBatches(dialogues, batch_size, processes)
    batches = list(sampler)
    assert len(batches) == len(sampler) and len(batches) % processes == 0
    assert_whole(batches, dialogues, batch_size)
    last = len(batches) - processes
    ends = [index for batch in batches[last:] for index in batch][: sampler.rows_of_last_round]
    assert [index for batch in batches[:last] for index in batch] + ends == list(range(rows))
    # As full as the order allows.
    distinct = [batch for place, batch in enumerate(batches) if batch not in batches[:place]]
    for one, other in itertools.pairwise(distinct):
        assert len(one) + np.sum(dialogues == dialogues[other[0]]) > batch_size


def test_unknown_batching_is_refused():
    with pytest.raises(ValueError, match="must be one of length, dialogue, whole_dialogues, random, got 'speaker'"):
        UtteranceBatchSampler(*corpus(10), 4, "speaker")


@pytest.mark.parametrize("rows", [0, 3])
def test_fewer_rows_than_processes_are_refused(rows):
    with pytest.raises(ValueError, match=f"{rows} training rows cannot be shared by 4 processes"):
        UtteranceBatchSampler(*corpus(rows), 4, num_processes=4)
