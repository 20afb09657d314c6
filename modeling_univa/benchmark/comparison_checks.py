# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Whether every row of a comparison can be trained on its corpus, before the first run starts."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from transformers.utils import logging

from ..data.corpus import Corpus
from ..data.folds import fold_corpus
from ..data.loading import make_split
from ..data.schema import CorpusError
from ..training.arguments import parse_arguments
from ..training.run import (
    build_model,
    check_labels,
    choose_splits,
    make_test_split,
    make_training_split,
    prepare_test_corpus,
)
from .baselines import BASELINES
from .plan import Plan, Run


__all__ = ["check_rows"]


def check_rows(plan: Plan, corpus: Corpus, making: Collection[Run]) -> None:
    """
    Refuse what the corpus lacks: each row that has runs to make is prepared as its first run will do it.

    Args:
        plan: of one corpus.
        corpus: that corpus.
        making: runs that will be made.

    Raises:
        CorpusError, ValueError: what does not fit, with the name of the row.
    """
    chosen = {run.id for run in making}
    with _without_bars():
        for row in plan.rows():
            run = next((run for runs in row.runs.values() for run in runs if run.id in chosen), None)
            if run is not None:
                _check(row.name, run, corpus, row.system in BASELINES)


@contextmanager
def _without_bars() -> Iterator[None]:
    """Each row loads the text encoder, and nothing is to be said of that."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _check(name: str, run: Run, corpus: Corpus, is_baseline: bool) -> None:
    try:
        _prepare(run, corpus, is_baseline)
    except ValueError as error:
        # A newcomer has no recipe to write this into.
        hint = f" (`settings` {name}.contrastive_loss=none)" if "`contrastive_loss` none" in str(error) else ""
        raise type(error)(f"{name}: {error}{hint}") from error


def _prepare(run: Run, corpus: Corpus, is_baseline: bool) -> None:
    arguments: Any = parse_arguments([], run.recipe)
    model_args, data_args, training_args = arguments
    if data_args.fold_choice is not None:
        corpus = fold_corpus(corpus, data_args.fold_choice)
    check_labels(corpus, model_args)
    test_corpus = prepare_test_corpus(data_args, corpus)
    _, test_split = choose_splits(corpus, data_args, training_args, test_corpus)
    if test_split is None:
        raise CorpusError(
            f"{corpus.name} has no split {data_args.test_split!r} to test on; it has {', '.join(corpus.splits)}: pass "
            "`num_folds` 5 for a cross-validation, or build the corpus with a split to test on"
        )
    model, processor = build_model(model_args, corpus)
    if is_baseline:
        make_split(corpus, data_args.train_split, processor, model.config)
    else:
        make_training_split(corpus, data_args, processor, model.config, training_args.va_scaling)
    make_test_split(test_corpus, test_split, data_args, processor, model.config)
