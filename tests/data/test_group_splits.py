# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from modeling_univa.data.group_splits import read_ratios, split_groups
from modeling_univa.data.schema import CorpusError


SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}


def _people(count: int = 60, seed: int = 0):
    """Speakers of 1 to 30 rows, each with habits of their own, with four labels of which one is rare."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 31, count)
    speakers = np.repeat([f"s{number:02d}" for number in range(count)], sizes).tolist()
    habits = np.repeat(rng.dirichlet((4, 2, 1, 0.3), count), sizes, axis=0)
    labels = habits > rng.random((len(speakers), 4)) * 0.8
    return speakers, [f"d{row}" for row in range(len(speakers))], labels


@pytest.mark.parametrize("by_speaker", [True, False])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_groups_stay_whole_and_every_label_has_its_share(by_speaker, seed):
    speakers, dialogues, labels = _people(seed=seed)
    found = split_groups(speakers if by_speaker else None, dialogues if by_speaker else speakers, labels, SHARES, seed)
    split_of = {}
    for name, split in zip(speakers, found, strict=True):
        assert split_of.setdefault(name, split) == split
    for split, share in SHARES.items():
        held = np.array([name == split for name in found])
        assert held.mean() == pytest.approx(share, abs=0.02)
        np.testing.assert_allclose(labels[held].sum(axis=0) / labels.sum(axis=0), share, atol=0.05)


def test_it_is_nearer_to_the_shares_than_chance():
    speakers, dialogues, labels = _people()
    names = sorted(set(speakers))

    def distance(of_row):
        rows = np.array(of_row)
        return sum(
            np.abs(labels[rows == split].sum(axis=0) / labels.sum(axis=0) - share).sum()
            for split, share in SHARES.items()
        )

    ours = distance(split_groups(speakers, dialogues, labels, SHARES))
    rng = np.random.default_rng(0)
    for _ in range(20):
        by_chance = dict(zip(names, rng.choice(list(SHARES), len(names), p=list(SHARES.values())), strict=True))
        assert ours < distance([by_chance[name] for name in speakers])


def test_speakers_of_a_common_dialogue_go_together_and_the_seed_decides():
    speakers = ["a", "b", "c", "d", "e", "f"]
    dialogues = ["1", "1", "2", "3", "4", "5"]
    labels = np.ones((6, 1), dtype=bool)
    shares = {"train": 0.5, "test": 0.5}
    dealt = {seed: split_groups(speakers, dialogues, labels, shares, seed) for seed in range(8)}
    assert all(found[0] == found[1] and found.count("train") == 3 for found in dealt.values())
    assert len({tuple(found) for found in dealt.values()}) > 1
    assert dealt[0] == split_groups(speakers, dialogues, labels, shares, 0)


def test_no_split_is_empty_and_too_few_groups_are_refused():
    labels = np.ones((3, 1), dtype=bool)
    assert set(split_groups(None, ["a", "b", "c"], labels, SHARES)) == set(SHARES)
    with pytest.raises(CorpusError, match="2 dialogues cannot be dealt to 3 splits"):
        split_groups(None, ["a", "b", "b"], labels, SHARES)
    with pytest.raises(
        CorpusError, match="^3 speakers, whom common dialogues link to 2 groups, cannot .* or `split_by` dialogue"
    ):
        split_groups(["a", "b", "c"], ["x", "x", "y"], labels, SHARES)
    with pytest.raises(CorpusError, match="^one speaker cannot be dealt to 3 splits"):
        split_groups(["a", "a", "a"], ["x", "y", "z"], labels, SHARES)


def test_rows_without_any_label_are_dealt_too():
    found = split_groups(None, list("abcdefghij"), np.zeros((10, 0), dtype=bool), {"train": 0.8, "test": 0.2})
    assert found.count("test") == 2


@pytest.mark.parametrize(
    ("given", "shares"),
    [
        ("70,10,20", SHARES),
        ("4,1", {"train": 0.8, "test": 0.2}),
        ("0.8,0,0.2", {"train": 0.8, "test": 0.2}),
    ],
)
def test_ratios(given, shares):
    assert read_ratios(given) == pytest.approx(shares)


@pytest.mark.parametrize("given", ["", "1", "a,b", "1,0", "0,1,1", "-1,2", "inf,1", "nan,1", "1,1,1,1"])
def test_ratios_that_are_none(given):
    with pytest.raises(CorpusError, match="`ratios`"):
        read_ratios(given)
