# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Which folds of a cross-validation the recipe of a row stands for, where it names none or several."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.folds import ALL_FOLDS, fold_names
from ..data.loading import load_corpus


__all__ = ["Folds", "folds_in_words", "planned_folds"]

Folds = Sequence[int | str]
_USUAL = "speaker"
_MOST_SHOWN = 10


def planned_folds(recipe: Mapping[str, Any]) -> Folds | None:
    """
    The folds that are made for one seed, values of `fold`; `None` where a seed is one run.

    With `num_folds` and without `fold` these are all folds, and a list in `fold` is some of them. The names of
    leave-one-out come from the corpus, which has to be there as a folder, unless a list names them.

    Args:
        recipe: of a row.

    Raises:
        CorpusError, ValueError: `fold` does not list different folds, or the names of the folds are not known.
    """
    count, given = recipe.get("num_folds"), recipe.get("fold")
    if isinstance(given, list):
        return _checked(given, count)
    if count is None or given is not None:
        return None
    if count == ALL_FOLDS:
        return _names(recipe)
    # A wrong number of folds is refused with its first fold, by the checks of a training.
    return range(1, max(1, int(count)) + 1) if str(count).isdecimal() else [1]


def folds_in_words(recipe: Mapping[str, Any], folds: Folds) -> str:
    """Which folds these are, such as "5 folds by speaker"."""
    count, by = recipe.get("num_folds"), recipe.get("fold_by") or _USUAL
    if count == ALL_FOLDS:
        return f"leave-one-{by}-out, {_counted(folds)}"
    if len(folds) == int(str(count)):
        return f"{_counted(folds)} by {by}"
    return f"{_counted(folds)} of {count} by {by}, {_listed(folds)}"


def _checked(given: list[Any], count: Any) -> Folds:
    if count is None:
        raise ValueError("`fold` is a list without `num_folds`: add it.")
    is_name = all(isinstance(fold, str) or type(fold) is int for fold in given)
    if not given or not is_name or len(set(map(str, given))) < len(given):
        raise ValueError(f"`fold` is {given!r}, expected a list of different folds, names in quotes.")
    return given


def _names(recipe: Mapping[str, Any]) -> Folds:
    dataset = recipe.get("dataset")
    if dataset is None or not Path(str(dataset)).is_dir():
        raise ValueError(
            f"`num_folds` {ALL_FOLDS} takes the names of the folds from the corpus, and {dataset} is not a folder "
            "here: build the corpus first, or list the names, such as `fold: [Ann, Ben]`."
        )
    return fold_names(load_corpus(str(dataset)), str(recipe.get("fold_by") or _USUAL))


def _counted(folds: Folds) -> str:
    return f"{len(folds)} fold{'s' if len(folds) > 1 else ''}"


def _listed(folds: Folds) -> str:
    more = f" and {len(folds) - _MOST_SHOWN} more" if len(folds) > _MOST_SHOWN else ""
    return ", ".join(map(str, folds[:_MOST_SHOWN])) + more
