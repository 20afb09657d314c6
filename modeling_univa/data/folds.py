# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Cross-validation: new training, validation and test splits of a corpus that share no speaker or dialogue."""

import dataclasses
import hashlib
import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import datasets
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from transformers.utils import logging

from ..options import nearest
from .corpus import Corpus
from .schema import CorpusError
from .speed_copies import originals_of_copies


__all__ = ["ALL_FOLDS", "FoldBy", "FoldChoice", "fold_corpus", "fold_names", "linked_speakers"]

logger = logging.get_logger(__name__)

# A number of folds: as many as there are groups.
ALL_FOLDS = "all"
FoldBy = Literal["speaker", "dialogue"]
_NAMES_SHOWN = 10


@dataclass(frozen=True)
class FoldChoice:
    """
    One fold of a cross-validation.

    Args:
        num_folds: number of folds, or "all" for leave-one-out: a fold for each speaker or dialogue.
        fold: which one is tested: its number from 1 to `num_folds`; with "all" the name of a speaker or dialogue.
        by: what is never in two of training, validation and test.
        seed: of the order in which speakers or dialogues are dealt into folds.
        with_validation: whether the fold after the tested one, after the last the first, is for validation; otherwise
            it is for training too.

    Raises:
        ValueError: too few folds, no such fold, or an unknown `by`.
    """

    num_folds: int | str
    fold: int | str
    by: str = "speaker"
    seed: int = 0
    with_validation: bool = True

    def __post_init__(self) -> None:
        if self.by not in get_args(FoldBy):
            raise ValueError(f"`fold_by` must be one of {', '.join(get_args(FoldBy))}, got {self.by!r}.")
        if self.num_folds == ALL_FOLDS:
            return
        if not isinstance(self.num_folds, int) or self.num_folds < self.fewest:
            raise ValueError(
                f"`num_folds` must be {ALL_FOLDS} or a number of at least {self.fewest}, {self._needed()}, got "
                f"{self.num_folds!r}."
            )
        if not isinstance(self.fold, int) or not 1 <= self.fold <= self.num_folds:
            raise ValueError(f"`fold` must be a number from 1 to {self.num_folds}, got {self.fold!r}.")

    @property
    def fewest(self) -> int:
        """The smallest number of folds that will do."""
        return 3 if self.with_validation else 2

    def _needed(self) -> str:
        return "to train, to validate and to test on" if self.with_validation else "to train and to test on"

    def __str__(self) -> str:
        if self.num_folds == ALL_FOLDS:
            return f"fold {self.fold} of leave-one-{self.by}-out"
        return f"fold {self.fold} of {self.num_folds} by {self.by}"


@dataclass(frozen=True)
class _Groups:
    """
    Rows that belong together.

    Args:
        members: names of the speakers or dialogues of each group, sorted.
        of_row: group of each row, shape (rows,).
        is_copy: whether a row is a copy at another speed, shape (rows,).
        has_copy: whether there are copies of a row's dialogue, shape (rows,).
    """

    members: list[list[str]]
    of_row: np.ndarray
    is_copy: np.ndarray
    has_copy: np.ndarray

    @property
    def sizes(self) -> list[int]:
        """Rows of each group, without copies."""
        return np.bincount(self.of_row[~self.is_copy], minlength=len(self.members)).tolist()


def fold_corpus(corpus: Corpus, choice: FoldChoice) -> Corpus:
    """
    A corpus as one fold of a cross-validation over all of its rows.

    All splits are pooled. Speakers or dialogues are dealt into folds of about as many rows, by a rule that depends on
    their names, their numbers of rows and the seed alone, not on the order of the rows. A dialogue is never cut: by
    speaker, what belongs together are the speakers who occur in a common dialogue, and those linked by others. Copies
    that speed perturbation has made are for training alone, and never where their original is not.

    Args:
        corpus: from a folder, the Hub or memory, but not a stream.
        choice: which fold.

    Returns:
        The corpus with the splits "train", "validation" (unless the choice is without) and "test".

    Raises:
        CorpusError, ValueError: a stream, rows without a speaker, a dialogue in two splits, too few speakers or
            dialogues, or none of the name that was chosen.
    """
    rows = _pooled(corpus)
    groups = _grouped(rows, choice.by, corpus.name)
    folds, count = _deal(groups, choice, corpus.name)
    tested = _tested_fold(groups, folds, choice, corpus.name)
    held_out = {"validation": (tested + 1) % count} if choice.with_validation else {}
    held_out["test"] = tested
    of_row = folds[groups.of_row]
    places = {"train": np.flatnonzero(~np.isin(of_row, list(held_out.values())))}
    places |= {name: np.flatnonzero((of_row == fold) & ~groups.is_copy) for name, fold in held_out.items()}
    _tell_linked(groups, choice)
    _tell_uneven_copies(groups, places["train"], corpus.name)
    splits = datasets.DatasetDict({name: rows.select(found) for name, found in places.items()})
    names = {name: _names_in(groups, folds, fold) for name, fold in held_out.items()}
    return dataclasses.replace(corpus, splits=splits, fold=str(choice), fold_note=_note(choice, names))


def fold_names(corpus: Corpus, by: str = "speaker") -> list[str]:
    """
    What `fold` may be of leave-one-out, one name for each fold: of speakers whom common dialogues link the first.

    Args:
        corpus: as of [`fold_corpus`].
        by: "speaker" or "dialogue".

    Raises:
        CorpusError, ValueError: as of [`fold_corpus`].
    """
    groups = _grouped(_pooled(corpus), by, corpus.name)
    return [members[0] for members, size in zip(groups.members, groups.sizes, strict=True) if size]


def _tell_linked(groups: _Groups, choice: FoldChoice) -> None:
    """Leaving one speaker out leaves out those, too, who speak in the same dialogues."""
    if choice.num_folds != ALL_FOLDS:
        return
    members = next(members for members in groups.members if str(choice.fold) in members)
    if members[1:]:
        others = [name for name in members if name != str(choice.fold)]
        logger.warning(
            f"Common dialogues link {choice.by} {choice.fold} to {len(others)} others, who are tested too: there are "
            f"{len(groups.members)} groups of linked speakers, and folds of two speakers of one group are the same."
        )


def _pooled(corpus: Corpus) -> datasets.Dataset:
    """The rows of all splits, one split after the other."""
    first = next(iter(corpus.splits))
    place: dict[str, str] = {}
    for split, rows in corpus.splits.items():
        if not isinstance(rows, datasets.Dataset):
            raise ValueError(f"`num_folds` needs all rows of {corpus.name} at once: load it without `streaming`.")
        if rows.features != corpus.splits[first].features:
            raise CorpusError(
                f"{corpus.name}: the columns of the split {split} differ from those of {first}, and folds need the "
                "rows of all splits; build the corpus again"
            )
        dialogues = _names(rows, "dialogue_id", corpus.name, "name every dialogue")
        for dialogue in dict.fromkeys(dialogues):
            if place.setdefault(dialogue, split) != split:
                raise CorpusError(
                    f"{corpus.name}: dialogue {dialogue!r} is in the splits {place[dialogue]} and {split}, and folds "
                    "need one dialogue of each name; rename one of the two"
                )
    return datasets.concatenate_datasets(list(corpus.splits.values()))


def _names(rows: datasets.Dataset, column: str, corpus: str, advice: str) -> list[str]:
    """A column of names as text. Raises `CorpusError` for a row without one."""
    found, kind = rows.select_columns([column])[:][column], rows.features[column]
    for row, name in enumerate(found):
        if name is None or not str(name).strip():
            utterance = rows[row]["utterance_id"]
            raise CorpusError(f"{corpus}: row {utterance!r} has no {column}, expected a name for folds; {advice}")
    return [kind.int2str(name) if isinstance(kind, datasets.ClassLabel) else str(name) for name in found]


def _grouped(rows: datasets.Dataset, by: str, corpus: str) -> _Groups:
    utterances = _names(rows, "utterance_id", corpus, "name every row")
    dialogues = _names(rows, "dialogue_id", corpus, "name every dialogue")
    originals = originals_of_copies(utterances, dialogues)
    is_copy = np.array([name in originals for name in dialogues])
    copied = set(originals.values())
    has_copy = np.array([name in copied for name in dialogues])
    dialogues = [originals.get(name, name) for name in dialogues]
    if by == "dialogue":
        members, of_row = np.unique(np.array(dialogues, dtype=object), return_inverse=True)
        return _Groups([[name] for name in members.tolist()], of_row, is_copy, has_copy)
    if "speaker" not in rows.features:
        raise CorpusError(f"{corpus} has no column 'speaker', which `fold_by` speaker needs; pass `fold_by` dialogue")
    speakers = _names(rows, "speaker", corpus, "fill it in, or pass `fold_by` dialogue")
    return _Groups(*linked_speakers(speakers, dialogues), is_copy, has_copy)


def linked_speakers(speakers: Sequence[str], dialogues: Sequence[str]) -> tuple[list[list[str]], np.ndarray]:
    """Groups of speakers who are linked by common dialogues, in order of their names, and the group of each row."""
    names, speaker = np.unique(np.array(speakers, dtype=object), return_inverse=True)
    _, dialogue = np.unique(np.array(dialogues, dtype=object), return_inverse=True)
    size = len(names) + dialogue.max() + 1
    links = coo_array((np.ones(len(speaker)), (speaker, len(names) + dialogue)), shape=(size, size))
    _, component = connected_components(links, directed=False)
    # Numbered by the first name in each, since their own numbers follow the order of the rows.
    _, first, group = np.unique(component[: len(names)], return_index=True, return_inverse=True)
    number = np.argsort(np.argsort(first))[group]
    members = [names[number == place].tolist() for place in range(len(first))]
    return members, number[speaker]


def _deal(groups: _Groups, choice: FoldChoice, corpus: str) -> tuple[np.ndarray, int]:
    """Fold of each group, from 0, and the number of folds; −1 for a group of copies alone, which is for training."""
    sizes = groups.sizes
    dealt = [group for group, size in enumerate(sizes) if size]
    count = len(dealt) if choice.num_folds == ALL_FOLDS else int(choice.num_folds)
    if len(dealt) < max(count, choice.fewest):
        raise CorpusError(f"{corpus} {_found(groups, dealt, choice.by)}, and {_wanted(choice)}")
    # Large groups first, so that small ones even the folds out. Within a factor of two the seed decides, by a hash: a
    # random generator may change with the version of its library, and a sort by size alone would leave ties open.
    order = sorted(dealt, key=lambda group: (-sizes[group].bit_length(), _rank(groups.members[group], choice.seed)))
    heap = [(0, fold) for fold in range(count)]
    folds = np.full(len(sizes), -1)
    for group in order:
        rows, folds[group] = heap[0]
        heapq.heapreplace(heap, (rows + sizes[group], int(folds[group])))
    return folds, count


def _rank(members: Sequence[str], seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\n{members[0]}".encode()).digest()


def _found(groups: _Groups, dealt: Sequence[int], by: str) -> str:
    if by == "dialogue":
        return f"has {len(dealt)} dialogues"
    speakers = sum(len(groups.members[group]) for group in dealt)
    if speakers == len(dealt):
        return f"has {speakers} speakers"
    groups_found = "one group" if len(dealt) == 1 else f"{len(dealt)} groups"
    return f"has {speakers} speakers, whom common dialogues link to {groups_found} that no fold may divide"


def _wanted(choice: FoldChoice) -> str:
    is_fewest = choice.num_folds in (ALL_FOLDS, choice.fewest)
    advice = [] if is_fewest else ["pass a smaller `num_folds`"]
    advice += ["pass `eval_split` none for folds without validation"] if is_fewest and choice.with_validation else []
    advice += ["pass `fold_by` dialogue"] if choice.by == "speaker" else []
    needed = choice.fewest if choice.num_folds == ALL_FOLDS else choice.num_folds
    return f"`num_folds` {choice.num_folds} needs at least {needed}: " + (
        ", or ".join(advice) or "use a larger corpus"
    )


def _tested_fold(groups: _Groups, folds: np.ndarray, choice: FoldChoice, corpus: str) -> int:
    if choice.num_folds != ALL_FOLDS:
        return int(choice.fold) - 1
    fold_of = {
        name: int(folds[group])
        for group, members in enumerate(groups.members)
        for name in members
        if folds[group] >= 0
    }
    name = str(choice.fold)
    if name not in fold_of:
        raise CorpusError(
            f"{corpus} has no {choice.by} {name!r}{nearest(name, fold_of)}; `fold` takes the name of one to test on: "
            f"{_listed(sorted(fold_of))}"
        )
    return fold_of[name]


def _names_in(groups: _Groups, folds: np.ndarray, fold: int) -> list[str]:
    return sorted(name for group in np.flatnonzero(folds == fold) for name in groups.members[group])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


def _note(choice: FoldChoice, names: dict[str, list[str]]) -> str:
    rule = (
        "each group is a fold"
        if choice.num_folds == ALL_FOLDS
        else f"dealt into {choice.num_folds} folds of about as many rows"
    )
    held = "; ".join(f"{_listed(found)} for {split}" for split, found in names.items())
    return (
        f"This model is of {choice} of a cross-validation. The rows of all splits of the corpus were pooled and split "
        f"by {choice.by} ({rule}, seed {choice.seed}); no {choice.by} and no dialogue is in two splits. Held out "
        f"were: {held}. Scores on its test rows are those of one fold, and not of a split that the corpus comes with."
    )


def _tell_uneven_copies(groups: _Groups, training: np.ndarray, corpus: str) -> None:
    """Warn if a part of the training rows has copies at other speeds, and so counts more than the rest."""
    originals = training[~groups.is_copy[training]]
    with_copy = int(groups.has_copy[originals].sum())
    if 0 < with_copy < len(originals):
        logger.warning(
            f"{corpus}: {with_copy} of the {len(originals)} training rows of this fold have copies at other speeds, "
            "those that the corpus has in its own training split, and so count more than the others: build a corpus "
            "with all rows in the split train for folds in which all count alike."
        )
