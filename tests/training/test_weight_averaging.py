# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The average of the weights: what it is, and where it is used."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from training_runs import tiny_trainer
from transformers import TrainerCallback

from modeling_univa.training.checkpoints import last_complete_checkpoint
from modeling_univa.training.weight_averaging import RAW_WEIGHTS_NAME, WeightAveraging


class TorchAverage(TrainerCallback):
    """PyTorch's own average of the same steps, and the weights after each of them."""

    def __init__(self, decay: float):
        self.decay = decay
        self.weights: list[dict[str, torch.Tensor]] = []

    def on_train_begin(self, args, state, control, model, **kwargs):
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(self.decay))
        self.average.update_parameters(model)  # its first update takes the weights as they are

    def on_step_end(self, args, state, control, model, **kwargs):
        self.average.update_parameters(model)
        self.weights.append({name: value.detach().clone() for name, value in model.named_parameters()})

    def assert_equals(self, weights: dict[str, torch.Tensor]) -> None:
        expected = dict(self.average.module.named_parameters())
        assert weights.keys() == expected.keys()
        for name in weights:
            assert torch.equal(weights[name], expected[name]), name


def averaged_run(folder: Path, **options):
    trainer = tiny_trainer(folder, ema_decay=0.9, **options)
    reference = TorchAverage(0.9)
    trainer.add_callback(reference)
    trainer.train()
    return trainer, reference


def test_average_is_that_of_pytorch(tmp_path):
    trainer, reference = averaged_run(tmp_path, load_best_model_at_end=False)
    reference.assert_equals(dict(trainer.model.named_parameters()))
    changed = trainer.model.classifier.weight - reference.weights[-1]["classifier.weight"]
    assert changed.abs().max() > 1e-3


def test_checkpoint_holds_the_average_and_what_training_goes_on_from(tmp_path):
    _, reference = averaged_run(tmp_path, load_best_model_at_end=False)
    checkpoint = Path(last_complete_checkpoint(tmp_path))
    reference.assert_equals(load_file(checkpoint / "model.safetensors"))
    raw = load_file(checkpoint / RAW_WEIGHTS_NAME)
    assert raw.keys() == reference.weights[-1].keys()
    assert all(torch.equal(raw[name], reference.weights[-1][name]) for name in raw)


def test_scores_are_those_of_the_average(tmp_path):
    trainer, _ = averaged_run(tmp_path, load_best_model_at_end=False)
    during = [entry for entry in trainer.state.log_history if "eval_loss" in entry][-1]
    assert trainer.evaluate()["eval_loss"] == pytest.approx(during["eval_loss"], rel=1e-6)


def test_training_itself_is_not_changed(tmp_path):
    _, averaged = averaged_run(tmp_path / "averaged")
    plain = tiny_trainer(tmp_path / "plain")
    steps = TorchAverage(0.5)
    plain.add_callback(steps)
    plain.train()
    for one, other in zip(averaged.weights, steps.weights, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_resuming_gives_the_same_average(tmp_path):
    options = {"num_train_epochs": 3, "save_strategy": "steps", "save_steps": 5, "eval_strategy": "no"}
    options |= {"load_best_model_at_end": False, "save_total_limit": 5}
    whole, _ = averaged_run(tmp_path / "whole", **options)
    resumed = tiny_trainer(tmp_path / "resumed", ema_decay=0.9, **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-5"))
    expected = dict(whole.model.named_parameters())
    for name, value in resumed.model.named_parameters():
        assert torch.equal(value, expected[name]), name


def test_checkpoint_of_a_run_without_averaging_is_refused(tmp_path):
    trainer = tiny_trainer(tmp_path)
    with pytest.raises(ValueError, match="without `ema_decay`"):
        WeightAveraging(0.9).resume(trainer.model, tmp_path)


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5])
def test_decay_outside_0_to_1_is_refused(decay, tmp_path):
    with pytest.raises(ValueError, match=f"`ema_decay` must lie between 0 and 1, got {decay}"):
        tiny_trainer(tmp_path, ema_decay=decay)
