# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Folds of a cross-validation: who is where, whatever the order of the rows, and what is refused."""

import logging
from collections import Counter
from hashlib import sha256

import datasets
import numpy as np
import pytest
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut
from testing_utils import random_rows, write_corpus

from modeling_univa.data.corpus import Corpus
from modeling_univa.data.folds import FoldChoice, fold_corpus, fold_names
from modeling_univa.data.loading import load_corpus
from modeling_univa.data.schema import CorpusError
from modeling_univa.data.speed_copies import name_of_copy


SIZES = [7, 2, 5, 3, 3, 9, 1, 4, 6, 2, 2, 8]


def corpus_of(rows: datasets.Dataset, **others: datasets.Dataset) -> Corpus:
    return Corpus("talks", datasets.DatasetDict(train=rows, **others))


def spoken(sizes=SIZES, speakers=None, prefix="d", seed=0) -> datasets.Dataset:
    """Dialogues by one speaker each, s0, s1, …, or of those that `speakers` lists for each."""
    speakers = speakers or [[f"s{number}"] for number in range(len(sizes))]
    rows = random_rows(sizes, prefix=prefix, seed=seed, modalities=["audio"], absent=0.0)
    names = [own[place % len(own)] for own, size in zip(speakers, sizes, strict=True) for place in range(size)]
    return rows.remove_columns("speaker").add_column("speaker", names).select_columns(rows.column_names)


def copies_of(rows: datasets.Dataset, speed: float) -> datasets.Dataset:
    return rows.map(
        lambda row: {name: name_of_copy(row[name], speed) for name in ("utterance_id", "dialogue_id")},
        load_from_cache_file=False,
    )


def assigned(corpus: Corpus) -> dict[str, str]:
    """Split of each utterance."""
    return {name: split for split, rows in corpus.splits.items() for name in rows["utterance_id"]}


def all_folds(corpus: Corpus, count: int, **options) -> list[Corpus]:
    return [fold_corpus(corpus, FoldChoice(count, fold, **options)) for fold in range(1, count + 1)]


# Who is where


@pytest.mark.parametrize("by", ["speaker", "dialogue"])
@pytest.mark.parametrize("count", [3, 5])
def test_no_group_is_in_two_splits_and_every_row_is_tested_once(by, count):
    # Two dialogues a speaker.
    corpus = corpus_of(spoken(speakers=[[f"s{number // 2}"] for number in range(len(SIZES))]))
    tested: Counter[str] = Counter()
    validated: Counter[str] = Counter()
    for found in all_folds(corpus, count, by=by):
        assert list(found.splits) == ["train", "validation", "test"]
        for column in {"dialogue_id", f"{by}_id" if by == "dialogue" else by}:
            groups = [set(rows[column]) for rows in found.splits.values()]
            assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
        assert sorted(assigned(found)) == sorted(corpus.splits["train"]["utterance_id"])
        assert sum(map(len, found.splits.values())) == sum(SIZES)
        tested.update(found.splits["test"]["utterance_id"])
        validated.update(found.splits["validation"]["utterance_id"])
    assert set(tested.values()) == set(validated.values()) == {1}
    assert len(tested) == len(validated) == sum(SIZES)


def test_the_next_fold_is_for_validation():
    found = all_folds(corpus_of(spoken()), 4)
    for place, fold in enumerate(found):
        after = found[(place + 1) % 4]
        assert fold.splits["validation"]["utterance_id"] == after.splits["test"]["utterance_id"]


def test_without_validation_the_rest_is_for_training():
    corpus = corpus_of(spoken())
    for place, fold in enumerate(all_folds(corpus, 2, with_validation=False)):
        assert list(fold.splits) == ["train", "test"]
        other = all_folds(corpus, 2, with_validation=False)[1 - place]
        assert fold.splits["train"]["utterance_id"] == other.splits["test"]["utterance_id"]


@pytest.mark.parametrize("seed", range(4))
def test_folds_are_about_as_balanced_as_those_of_scikit_learn(seed):
    sizes = np.random.default_rng(seed).integers(1, 40, 60).tolist()
    rows = spoken(sizes)
    ours = [len(found.splits["test"]) for found in all_folds(corpus_of(rows), 5, seed=seed)]
    places = GroupKFold(5).split(np.zeros(len(rows)), groups=rows["speaker"])
    theirs = [len(test) for _, test in places]
    assert sum(ours) == sum(theirs)
    # Theirs takes groups strictly by size and so has no seed; groups of up to 40 rows could leave folds 40 rows apart.
    assert max(ours) - min(ours) <= max(theirs) - min(theirs) + 8


def test_leave_one_out_is_that_of_scikit_learn():
    rows = spoken(speakers=[[f"s{number // 2}"] for number in range(len(SIZES))])
    groups, names = np.array(rows["speaker"]), np.array(rows["utterance_id"])
    expected = {groups[test][0]: set(names[test]) for _, test in LeaveOneGroupOut().split(names, groups=groups)}
    assert len(expected) == 6
    for speaker, tested in expected.items():
        found = fold_corpus(corpus_of(rows), FoldChoice("all", speaker))
        assert set(found.splits["test"]["utterance_id"]) == tested
        assert len(set(found.splits["validation"]["speaker"])) == 1
        assert len(set(found.splits["train"]["speaker"])) == 4


def test_speakers_of_one_dialogue_stay_together_also_through_others(caplog):
    """As in IEMOCAP, whose sessions are two speakers each."""
    logging.getLogger("transformers").addHandler(caplog.handler)
    pairs = [["a", "b"], ["c", "d"], ["b", "e"], ["f"], ["g", "h"], ["d"]]
    corpus = corpus_of(spoken([4, 4, 4, 4, 4, 4], pairs))
    for chosen, members in (("a", "abe"), ("e", "abe"), ("c", "cd"), ("f", "f"), ("h", "gh")):
        caplog.clear()
        found = fold_corpus(corpus, FoldChoice("all", chosen))
        assert set(found.splits["test"]["speaker"]) == set(members)
        linked = f"link speaker {chosen} to {len(members) - 1} others, who are tested too: there are 4 groups"
        assert (linked in caplog.text) == (len(members) > 1)
        for split in ("train", "validation"):
            assert not set(found.splits[split]["speaker"]) & set(members)
            assert not set(found.splits[split]["dialogue_id"]) & set(found.splits["test"]["dialogue_id"])
    logging.getLogger("transformers").removeHandler(caplog.handler)


def test_assignment_does_not_depend_on_the_order_of_rows_or_on_the_splits():
    rows = spoken()
    starts = np.cumsum([0, *SIZES])
    order = np.random.default_rng(0).permutation(len(SIZES))
    moved = rows.select(np.concatenate([np.arange(starts[place], starts[place + 1]) for place in order]))
    half = int(starts[6])
    spread = corpus_of(rows.select(range(half)), valid=rows.select(range(half, len(rows))))
    for fold in (1, 2, 3):
        expected = assigned(fold_corpus(corpus_of(rows), FoldChoice(3, fold)))
        assert assigned(fold_corpus(corpus_of(moved), FoldChoice(3, fold))) == expected
        assert assigned(fold_corpus(spread, FoldChoice(3, fold))) == expected


@pytest.mark.parametrize("seed", [0, 1])
def test_groups_of_one_size_are_dealt_in_the_order_of_a_hash(seed):
    """Which is the same on every machine and with every version of a library."""
    found = all_folds(corpus_of(spoken([4] * 9)), 3, seed=seed)
    order = sorted((f"s{number}" for number in range(9)), key=lambda name: sha256(f"{seed}\n{name}".encode()).digest())
    assert [set(one.splits["test"]["speaker"]) for one in found] == [set(order[fold::3]) for fold in range(3)]
    assert seed != 0 or set(found[0].splits["test"]["speaker"]) == {"s1", "s6", "s7"}


def test_rows_come_with_all_columns_in_the_order_of_the_corpus(tmp_path):
    folder = write_corpus(tmp_path / "c", {"train": spoken(), "dev": spoken([3, 4], [["x"], ["y"]], "e", seed=1)})
    corpus = load_corpus(str(folder))
    pooled = [row for rows in corpus.splits.values() for row in rows.to_list()]
    found = fold_corpus(corpus, FoldChoice(3, 2))
    for rows in found.splits.values():
        names = set(rows["utterance_id"])
        np.testing.assert_equal(rows.to_list(), [row for row in pooled if row["utterance_id"] in names])
    assert (found.name, found.label_names, found.extractors) == (corpus.name, corpus.label_names, corpus.extractors)
    assert corpus.fold is None and found.fold == "fold 2 of 3 by speaker"


def test_note_names_who_was_held_out():
    found = fold_corpus(corpus_of(spoken([3] * 30)), FoldChoice(3, 1, seed=7))
    names = sorted(set(found.splits["test"]["speaker"]))
    assert f"{', '.join(names[:10])} and 0 more for test" not in found.fold_note
    assert f"{', '.join(names)} for test" in found.fold_note and "seed 7" in found.fold_note
    many = fold_corpus(corpus_of(spoken([1] * 36)), FoldChoice(3, 1))
    names = sorted(set(many.splits["test"]["speaker"]))
    assert f"{', '.join(names[:10])} and 2 more for test" in many.fold_note


def test_speakers_may_be_class_labels_or_numbers():
    rows = spoken([3] * 4, [["x"], ["y"], ["z"], ["w"]])
    classes = rows.cast_column("speaker", datasets.ClassLabel(names=["w", "x", "y", "z"]))
    numbers = rows.remove_columns("speaker").add_column("speaker", [7] * 3 + [8] * 3 + [9] * 3 + [10] * 3)
    plain = assigned(fold_corpus(corpus_of(rows), FoldChoice("all", "z")))
    assert assigned(fold_corpus(corpus_of(classes), FoldChoice("all", "z"))) == plain
    found = fold_corpus(corpus_of(numbers), FoldChoice("all", "9"))
    assert found.splits["test"]["utterance_id"] == ["d2_0", "d2_1", "d2_2"]


# Copies at other speeds


@pytest.mark.parametrize("by", ["speaker", "dialogue"])
def test_copies_are_for_training_alone_with_their_originals(by, caplog):
    rows = spoken()
    copies = [copies_of(rows, speed) for speed in (0.9, 1.1)]
    corpus = corpus_of(datasets.concatenate_datasets([rows, *copies]))
    plain = corpus_of(rows)
    logging.getLogger("transformers").addHandler(caplog.handler)
    for fold in (1, 2, 3):
        found, expected = (fold_corpus(one, FoldChoice(3, fold, by)) for one in (corpus, plain))
        for split in ("validation", "test"):
            assert found.splits[split]["utterance_id"] == expected.splits[split]["utterance_id"]
        originals = expected.splits["train"]["utterance_id"]
        wanted = [*originals, *(name_of_copy(name, speed) for speed in (0.9, 1.1) for name in originals)]
        assert found.splits["train"]["utterance_id"] == wanted
    logging.getLogger("transformers").removeHandler(caplog.handler)
    assert "have copies" not in caplog.text


def test_copies_of_a_part_of_the_rows_are_told(caplog):
    rows, others = spoken(), spoken([3] * 6, [[f"t{number}"] for number in range(6)], "e", seed=1)
    corpus = corpus_of(datasets.concatenate_datasets([rows, copies_of(rows, 0.9)]), test=others)
    logging.getLogger("transformers").addHandler(caplog.handler)
    found = fold_corpus(corpus, FoldChoice(3, 1)).splits["train"]["utterance_id"]
    logging.getLogger("transformers").removeHandler(caplog.handler)
    copied = sum(name.startswith("sp0.9-") for name in found)
    originals = len(found) - copied
    assert 0 < copied < originals
    assert f"{copied} of the {originals} training rows of this fold have copies at other speeds" in caplog.text


def test_copies_whose_originals_are_gone_are_for_training():
    """Their recordings could be read at one speed alone, when the corpus was built."""
    rows = spoken()
    gone = rows.filter(lambda row: row["dialogue_id"] != "d3", load_from_cache_file=False)
    corpus = corpus_of(datasets.concatenate_datasets([gone, copies_of(rows, 0.9)]))
    for fold in (1, 2, 3):
        found = fold_corpus(corpus, FoldChoice(3, fold, "dialogue"))
        assert "sp0.9-d3_0" in found.splits["train"]["utterance_id"]
    with pytest.raises(CorpusError, match="has no dialogue 'd3'"):
        fold_corpus(corpus, FoldChoice("all", "d3", "dialogue"))


def test_dialogues_that_are_called_like_copies_are_none():
    """Speaker 2, dialogue 3, and a dialogue 3 beside it."""
    rows = spoken([3] * 6, prefix="sp2-")
    others = spoken([3] * 6, prefix="", seed=1)
    columns = {**others[:], "utterance_id": [f"other{number}" for number in range(18)]}
    corpus = corpus_of(rows, test=datasets.Dataset.from_dict(columns, features=others.features))
    tested = [name for found in all_folds(corpus, 3, by="dialogue") for name in found.splits["test"]["dialogue_id"]]
    assert {f"sp2-{number}" for number in range(6)} <= set(tested) and len(tested) == 36


# What is refused


def test_rows_without_a_speaker_are_refused():
    rows = spoken()
    for empty in (None, " "):
        names = [empty if place == 8 else name for place, name in enumerate(rows["speaker"])]
        holed = rows.remove_columns("speaker").add_column("speaker", names)
        with pytest.raises(CorpusError, match="talks: row 'd1_1' has no speaker, .* or pass `fold_by` dialogue"):
            fold_corpus(corpus_of(holed), FoldChoice(3, 1))
        fold_corpus(corpus_of(holed), FoldChoice(3, 1, "dialogue"))
    with pytest.raises(CorpusError, match="has no column 'speaker', which `fold_by` speaker needs"):
        fold_corpus(corpus_of(rows.remove_columns("speaker")), FoldChoice(3, 1))


@pytest.mark.parametrize(
    ("speakers", "choice", "message"),
    [
        (
            None,
            FoldChoice(5, 1),
            "has 4 speakers, and `num_folds` 5 needs at least 5: pass a smaller `num_folds`, or",
        ),
        (
            [["a", "b"], ["c", "b"], ["c"], ["d"]],
            FoldChoice(3, 1),
            "4 speakers, whom common dialogues link to 2 groups that no fold may divide, and `num_folds` 3 needs at "
            "least 3: pass `eval_split` none for folds without validation, or pass `fold_by` dialogue",
        ),
        ([["a", "b"]] * 4, FoldChoice("all", "a"), "has 2 speakers, whom common dialogues link to one group that"),
        (
            None,
            FoldChoice(9, 1, "dialogue"),
            "has 4 dialogues, and `num_folds` 9 needs at least 9: pass a smaller",
        ),
        (None, FoldChoice("all", "s22"), "talks has no speaker 's22', the nearest is 's2'; .* s0, s1, s2, s3"),
        (None, FoldChoice("all", "zzz", "dialogue"), "talks has no dialogue 'zzz'; .* d0, d1, d2, d3"),
    ],
)
def test_folds_that_cannot_be_are_refused(speakers, choice, message):
    with pytest.raises(CorpusError, match=message):
        fold_corpus(corpus_of(spoken([4, 4, 4, 4], speakers)), choice)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((2, 1), "`num_folds` must be all or a number of at least 3, to train, to validate and to test on, got 2"),
        (("some", 1), "must be all or a number of at least 3, .*, got 'some'"),
        ((1, 1, "speaker", 0, False), "a number of at least 2, to train and to test on, got 1"),
        ((5, 0), "`fold` must be a number from 1 to 5, got 0"),
        ((5, 6), "`fold` must be a number from 1 to 5, got 6"),
        ((5, "s1"), "`fold` must be a number from 1 to 5, got 's1'"),
        ((5, 1, "row"), "`fold_by` must be one of speaker, dialogue, got 'row'"),
    ],
)
def test_choices_that_are_none_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        FoldChoice(*given)


def test_a_dialogue_in_two_splits_is_refused():
    corpus = corpus_of(spoken(), test=spoken([2], [["x"]], "d", seed=1))
    with pytest.raises(CorpusError, match="dialogue 'd0' is in the splits train and test"):
        fold_corpus(corpus, FoldChoice(3, 1))


def test_splits_of_other_columns_are_refused():
    corpus = corpus_of(spoken(), test=spoken([2], [["x"]], "e").remove_columns("text_va"))
    with pytest.raises(CorpusError, match="the columns of the split test differ from those of train"):
        fold_corpus(corpus, FoldChoice(3, 1))


def test_a_stream_is_refused(tmp_path):
    folder = write_corpus(tmp_path / "c", {"train": spoken()})
    with pytest.raises(ValueError, match="at once: load it without `streaming`"):
        fold_corpus(load_corpus(str(folder), streaming=True), FoldChoice(3, 1))


def test_names_of_all_folds_are_one_of_each_group():
    corpus = corpus_of(spoken([2, 1, 3, 1], speakers=[["b", "c"], ["a"], ["c", "d"], ["a"]]))
    assert fold_names(corpus) == ["a", "b"]
    assert fold_names(corpus, "dialogue") == sorted(set(corpus.splits["train"]["dialogue_id"]))
    # A speaker of copies alone is in no fold.
    rows = spoken([2, 1, 3], speakers=[["a"], ["b"], ["c"]])
    assert fold_names(corpus_of(rows, copies=copies_of(rows, 0.9))) == ["a", "b", "c"]
