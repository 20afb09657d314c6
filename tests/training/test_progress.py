# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What a run shows while it trains."""

import io
import re
import shutil
import sys
from pathlib import Path

import pytest
from training_runs import tiny_trainer
from transformers import PrinterCallback, ProgressCallback, TrainerControl, TrainerState
from transformers.utils import logging

from modeling_univa.training.progress import TrainingProgress
from modeling_univa.training.training_arguments import UnivaTrainingArguments


SCORES = {"eval_accuracy": 38.654, "eval_hamming_loss": 0.22696, "eval_micro_f1": 47.54, "eval_macro_f1": 39.23}
HEADING = "    epoch       loss   Acc %      HL  miF1 %  maF1 %     s left"


def played(args: UnivaTrainingArguments, losses: list[float], scores: list[dict[str, float]], **state) -> None:
    """Drive the callback as a trainer would: two steps an epoch, a log at each end, and an evaluation if there is."""
    callback, control = TrainingProgress(), TrainerControl()
    first = state.pop("epoch", 0)
    state = TrainerState(max_steps=2 * int(args.num_train_epochs), global_step=2 * first, **state)
    callback.on_train_begin(args, state, control)
    for epoch, loss in enumerate(losses, start=first + 1):
        state.global_step, state.epoch = 2 * epoch, float(epoch)
        control.should_evaluate = bool(scores)
        callback.on_step_end(args, state, control)
        callback.on_log(args, state, control, logs={"loss": loss, "grad_norm": 1.0})
        if scores:
            metrics = scores[epoch - first - 1]
            callback.on_log(args, state, control, logs=metrics)
            callback.on_evaluate(args, state, control, metrics=metrics)
            state.best_metric = max(metrics["eval_micro_f1"], state.best_metric or 0.0)
    callback.on_log(args, state, control, logs={"train_runtime": 3.0, "train_loss": 1.0})
    callback.on_train_end(args, state, control)
    callback.on_evaluate(args, state, control, metrics=SCORES)


def arguments(folder: Path, **options) -> UnivaTrainingArguments:
    return UnivaTrainingArguments(str(folder), **{"use_cpu": True, "num_train_epochs": 20, **options})


def without_seconds(line: str) -> str:
    assert re.search(r" \d+$", line), line
    return re.sub(r" *\d+$", "", line)


def test_one_aligned_line_an_epoch_with_a_star_at_the_best_so_far(tmp_path, capsys):
    scores = [SCORES, {**SCORES, "eval_micro_f1": 44.26}, {**SCORES, "eval_micro_f1": 100.0, "eval_accuracy": 100.0}]
    played(arguments(tmp_path), [16.3112, 8.9, 0.00123456], scores)
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading == f"{HEADING}   (* best micro_f1 so far)"
    assert [without_seconds(line) for line in lines] == [
        "     1/20      16.31   38.65  0.2270   47.54   39.23 *",
        "     2/20        8.9   38.65  0.2270   44.26   39.23",
        "     3/20   0.001235  100.00  0.2270  100.00   39.23 *",
    ]
    assert {len(line) for line in lines} == {len(HEADING)}


def test_lower_is_better_for_a_loss_and_a_metric_that_is_not_shown_chooses_too(tmp_path, capsys):
    args = arguments(tmp_path, metric_for_best_model="hamming_loss")
    state = TrainerState(max_steps=4, best_metric=0.2)
    callback = TrainingProgress()
    callback.on_train_begin(args, state, TrainerControl())
    for value in (0.3, 0.1):
        callback.on_evaluate(args, state, TrainerControl(), metrics={"eval_hamming_loss": value})
    lines = capsys.readouterr().out.splitlines()
    assert ["*" in line for line in lines[1:]] == [False, True]
    # What was not computed or logged is no 0.
    assert without_seconds(lines[2]).split() == ["0/20", "-", "-", "0.1000", "-", "-", "*"]


def test_resumed_run_counts_on_and_knows_the_best_of_before(tmp_path, capsys):
    scores = [{**SCORES, "eval_micro_f1": 50.0}, {**SCORES, "eval_micro_f1": 61.0}]
    played(arguments(tmp_path), [1.0, 0.5], scores, epoch=4, best_metric=60.0)
    lines = [without_seconds(line) for line in capsys.readouterr().out.splitlines()[1:]]
    assert [line.split()[0] for line in lines] == ["5/20", "6/20"]
    assert [line.endswith("*") for line in lines] == [False, True]


def test_only_the_first_process_prints(tmp_path, capsys):
    played(arguments(tmp_path), [1.0], [SCORES], is_world_process_zero=False)
    assert capsys.readouterr().out == ""


def test_without_validation_the_lines_are_of_the_loss(tmp_path, capsys):
    args = arguments(tmp_path, eval_strategy="no", num_train_epochs=2)
    played(args, [2.5, 1.25], [])
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading == "    epoch       loss     s left"
    assert [without_seconds(line) for line in lines] == ["      1/2        2.5", "      2/2       1.25"]


def test_by_steps_the_loss_is_the_mean_over_all_steps_since_the_last_line(tmp_path, capsys):
    args = arguments(tmp_path, eval_strategy="steps", eval_steps=30, logging_strategy="steps", logging_steps=10,
                     max_steps=60)  # fmt: skip
    callback, state, control = TrainingProgress(), TrainerState(max_steps=60), TrainerControl()
    callback.on_train_begin(args, state, control)
    for step, loss in ((10, 4.0), (30, 1.0)):
        state.global_step, control.should_evaluate = step, step == 30
        callback.on_log(args, state, control, logs={"loss": loss})
    callback.on_evaluate(args, state, control, metrics=SCORES)
    heading, line = capsys.readouterr().out.splitlines()
    assert heading.split()[0] == "step"
    assert line.split()[:2] == ["30/60", "2"]


# In a trainer


def test_run_prints_nothing_else_and_the_history_has_it_all(tmp_path, capsys):
    trainer = tiny_trainer(tmp_path, learning_rate=0.05)
    kinds = [type(callback) for callback in trainer.callback_handler.callbacks]
    assert kinds.count(TrainingProgress) == 1 and not {PrinterCallback, ProgressCallback} & set(kinds)
    trainer.train()
    trainer.evaluate()
    _, *lines = capsys.readouterr().out.splitlines()
    losses = [entry for entry in trainer.state.log_history if "loss" in entry]
    found = [entry for entry in trainer.state.log_history if "eval_micro_f1" in entry]
    assert (len(lines), len(losses), len(found)) == (2, 2, 3)
    for line, logged, scores in zip(lines, losses, found, strict=False):
        cells = line.split()
        assert cells[0] == f"{scores['epoch']:g}/2"
        assert float(cells[1]) == pytest.approx(logged["loss"], rel=1e-3)
        assert cells[4] == f"{scores['eval_micro_f1']:.2f}"
    best = [place for place, line in enumerate(lines) if "*" in line][-1]
    assert found[best]["step"] == trainer.state.best_global_step


def test_resumed_trainer_goes_on_with_the_right_epoch(tmp_path, capsys):
    tiny_trainer(tmp_path / "whole", num_train_epochs=3).train()
    whole = [without_seconds(line) for line in capsys.readouterr().out.splitlines()[1:]]
    trainer = tiny_trainer(tmp_path / "parts", num_train_epochs=3, save_total_limit=None)
    trainer.train()
    for step in (8, 12):
        shutil.rmtree(tmp_path / "parts" / f"checkpoint-{step}")
    capsys.readouterr()
    again = tiny_trainer(tmp_path / "parts", num_train_epochs=3)
    again.train(resume_from_checkpoint=str(tmp_path / "parts" / "checkpoint-4"))
    resumed = [without_seconds(line) for line in capsys.readouterr().out.splitlines()[1:]]
    assert resumed == whole[1:]


def test_output_that_is_not_utf8_gets_the_same_lines(tmp_path, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", errors="strict"))
    played(arguments(tmp_path), [1.0], [SCORES])
    sys.stdout.flush()
    assert raw.getvalue().splitlines()[1].startswith(b"     1/20          1")


def test_bar_is_for_terminals_alone(tmp_path, capsys):
    trainer = tiny_trainer(tmp_path, disable_tqdm=False, num_train_epochs=1)
    trainer.train()
    trainer.evaluate()
    assert "\r" not in capsys.readouterr().err
    # Other bars of transformers are there again.
    assert not logging.tqdm(disable=False, total=1).disable
