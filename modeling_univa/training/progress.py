# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What a run shows while it trains: one line an epoch, and one bar."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tqdm.auto import tqdm
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState
from transformers.trainer import DEFAULT_PROGRESS_CALLBACK
from transformers.trainer_utils import IntervalStrategy, has_length
from transformers.utils import logging

from ..scores.headline import METRICS
from .training_arguments import UnivaTrainingArguments


__all__ = ["TrainingProgress", "show_training_progress", "without_bars"]

_LOSS_WIDTH, _TIME_WIDTH = 11, 9


def show_training_progress(trainer: Trainer) -> None:
    """Let [`TrainingProgress`] show what a trainer does, in place of transformers' lines of all logged values."""
    for callback in list(trainer.callback_handler.callbacks):
        if type(callback) in (PrinterCallback, DEFAULT_PROGRESS_CALLBACK):
            trainer.remove_callback(callback)
    trainer.add_callback(TrainingProgress)


@contextmanager
def without_bars() -> Iterator[None]:
    """Nothing that transformers does meanwhile has a bar of its own, such as the writing of a checkpoint."""
    previous = logging.set_tqdm_hook(lambda factory, args, kwargs: factory(*args, **{**kwargs, "disable": True}))
    try:
        yield
    finally:
        logging.set_tqdm_hook(previous)


class TrainingProgress(TrainerCallback):
    """
    Prints an aligned line an epoch, on the first process alone: epoch, mean loss, validation scores, `*` where
    `metric_for_best_model` is the best so far, and the seconds left.

    A run that is evaluated by steps has a line an evaluation, and one without validation a line a log. Everything else
    that is logged goes to the history and to trackers. Lines go to standard output and are ASCII; the bar goes to
    standard error, if that is a terminal and `disable_tqdm` is not set.
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._is_training = False
        self._started, self._first_step = 0.0, 0
        # Of the steps since the last line: the sum of their losses, as far as they are logged, and how many those are.
        self._loss_sum, self._logged_steps, self._last_logged = 0.0, 0, 0

    def on_train_begin(
        self, args: UnivaTrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Print the head of the table, and begin to measure."""
        self._is_training, self._started = True, time.perf_counter()
        self._first_step = self._last_logged = state.global_step
        self._loss_sum, self._logged_steps = 0.0, 0
        # A finished run that is started again has nothing to show.
        if state.is_world_process_zero and state.global_step < state.max_steps:
            self._close()
            print(_heading(args), flush=True)
            self._bar = _bar(args, state.max_steps, "training", initial=state.global_step)

    def on_step_end(
        self, args: UnivaTrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_prediction_step(
        self,
        args: UnivaTrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        eval_dataloader: Any = None,
        **kwargs: Any,
    ) -> None:
        """Move a bar of its own, where the evaluation is not a part of training."""
        if self._is_training or not state.is_world_process_zero or not has_length(eval_dataloader):
            return
        if self._bar is None:
            self._bar = _bar(args, len(eval_dataloader), "evaluation")
        self._bar.update(1)

    def on_predict(
        self, args: UnivaTrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the bar of an evaluation."""
        if not self._is_training:
            self._close()

    def on_log(
        self,
        args: UnivaTrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Take up the loss; where no evaluation follows, print the line."""
        if not self._is_training or logs is None or "loss" not in logs:
            return
        steps = state.global_step - self._last_logged
        self._loss_sum, self._logged_steps = self._loss_sum + steps * logs["loss"], self._logged_steps + steps
        self._last_logged = state.global_step
        by_epoch = args.logging_strategy == IntervalStrategy.EPOCH
        if not control.should_evaluate and (by_epoch or args.eval_strategy == IntervalStrategy.NO):
            self._print(args, state, {})

    def on_evaluate(
        self,
        args: UnivaTrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Print the line of an evaluation while training; close the bar of another."""
        if self._is_training:
            self._print(args, state, metrics or {})
        else:
            self._close()

    def on_train_end(
        self, args: UnivaTrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the bar."""
        self._is_training = False
        self._close()

    def _print(self, args: UnivaTrainingArguments, state: TrainerState, metrics: Mapping[str, float]) -> None:
        if not state.is_world_process_zero:
            return
        loss = f"{self._loss_sum / self._logged_steps:.4g}" if self._logged_steps else "-"
        cells = [_place(args, state), f"{loss:>{_LOSS_WIDTH}}", *_score_cells(args, metrics)]
        star = "*" if _is_best(args, state, metrics) else " "
        line = f"{''.join(cells)} {star}{self._seconds_left(state):>{_TIME_WIDTH}.0f}"
        # The bar makes room for the line and comes again below it.
        with tqdm.external_write_mode():
            print(line, flush=True)
        self._loss_sum, self._logged_steps = 0.0, 0

    def _seconds_left(self, state: TrainerState) -> float:
        done = max(1, state.global_step - self._first_step)
        return (time.perf_counter() - self._started) / done * (state.max_steps - state.global_step)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _bar(args: UnivaTrainingArguments, total: int, what: str, initial: int = 0) -> Any:
    # `None` is not a bar where there is no terminal, such as in the log of a cluster.
    disable = True if args.disable_tqdm else None
    return tqdm(total=total, initial=initial, desc=what, unit="step", leave=False, dynamic_ncols=True, disable=disable)


def _counts_epochs(args: UnivaTrainingArguments) -> bool:
    """Whether there is a line an epoch, and not one every few steps."""
    evaluated = args.eval_strategy != IntervalStrategy.NO
    return (args.eval_strategy if evaluated else args.logging_strategy) == IntervalStrategy.EPOCH


def _has_scores(args: UnivaTrainingArguments) -> bool:
    return args.eval_strategy != IntervalStrategy.NO


def _place_width(args: UnivaTrainingArguments) -> int:
    return 9 if _counts_epochs(args) else 15


def _heading(args: UnivaTrainingArguments) -> str:
    name = "epoch" if _counts_epochs(args) else "step"
    cells = [f"{name:>{_place_width(args)}}{'loss':>{_LOSS_WIDTH}}"]
    if _has_scores(args):
        cells += [f"{metric.column:>{metric.width}}" for metric in METRICS.values()]
    note = ""
    if _has_scores(args) and args.metric_for_best_model is not None:
        note = f"   (* best {args.metric_for_best_model.removeprefix('eval_')} so far)"
    return f"{''.join(cells)}  {'s left':>{_TIME_WIDTH}}{note}"


def _place(args: UnivaTrainingArguments, state: TrainerState) -> str:
    """How far the run is."""
    if not _counts_epochs(args):
        return f"{f'{state.global_step}/{state.max_steps}':>{_place_width(args)}}"
    epoch, total = state.epoch or 0.0, args.num_train_epochs
    # Where `max_steps` ends the run, within an epoch perhaps, the number of epochs says nothing.
    of_total = f"/{total:g}" if args.max_steps <= 0 else ""
    return f"{f'{round(epoch, 2):g}{of_total}':>{_place_width(args)}}"


def _score_cells(args: UnivaTrainingArguments, metrics: Mapping[str, float]) -> list[str]:
    if not _has_scores(args):
        return []
    found = {name: metrics.get(f"eval_{name}") for name in METRICS}
    return [
        f"{'-' if value is None else f'{value:.{METRICS[name].decimals}f}':>{METRICS[name].width}}"
        for name, value in found.items()
    ]


def _is_best(args: UnivaTrainingArguments, state: TrainerState, metrics: Mapping[str, float]) -> bool:
    """Whether an evaluation is better than all before it, which the trainer notes afterwards."""
    name = str(args.metric_for_best_model).removeprefix("eval_")
    score, best = metrics.get(f"eval_{name}"), state.best_metric
    if score is None or best is None:
        return score is not None
    return score > best if args.greater_is_better else score < best
