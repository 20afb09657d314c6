# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Checks of the systems that remember past batches in buffers: CARAT and LDDU."""

import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from testing_utils import REPOSITORY, run_command, subprocess_environment
from training_runs import tiny_trainer
from transformers import TrainerCallback

from modeling_univa.sharing.adapters import load_adapter, load_model
from modeling_univa.training.adapters import add_adapter
from modeling_univa.training.arguments import ModelArguments


__all__ = ["check_adapter_keeps", "check_resumed_run", "check_two_processes_remember"]


class Stop(TrainerCallback):
    """Ends training after a step, as an interruption does after a checkpoint."""

    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step == self.step


def check_resumed_run(case: Any, folder: Path) -> None:
    """
    A run that is interrupted and resumed by a new network ends with the buffers and weights of one that is not.

    Args:
        case: the `CommonSystemTests` of the system.
        folder: to train in.
    """
    config = case.config()
    options = {"save_strategy": "steps", "save_steps": 3, "eval_strategy": "no", "load_best_model_at_end": False}
    whole = tiny_trainer(folder / "whole", config, case.model(config), **options)
    whole.train()
    first = tiny_trainer(folder / "first", config, case.model(config), **options)
    first.add_callback(Stop(3))
    first.train()
    assert first.state.global_step == 3 < whole.state.global_step
    second = tiny_trainer(folder / "second", config, case.model(config, seed=1), **options)
    second.train(resume_from_checkpoint=str(folder / "first" / "checkpoint-3"))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], value), name


def check_adapter_keeps(case: Any, folder: Path, modules: list[str]) -> None:
    """
    An adapter has the buffers of these modules as training left them, also where it is merged.

    Args:
        case: the `CommonSystemTests` of the system.
        folder: to save in.
        modules: names of the modules that have the buffers.
    """
    config = case.config()
    start = case.model(config)
    names = [name for name, _ in start.named_buffers() if name.startswith(tuple(modules))]
    before = {name: start.get_buffer(name).clone() for name in names}
    adapted = add_adapter(start, ModelArguments(lora_rank=2), folder, write_base=True)
    for _ in range(2):
        adapted.train()(**case.batch(config)).loss.backward()
    adapted.save_pretrained(folder)
    trained = adapted.merge_and_unload()
    for found in (load_model(folder), load_adapter(folder).merge_and_unload()):
        for name in names:
            assert torch.equal(found.get_buffer(name), trained.get_buffer(name)), name
    changed = [name for name in names if not torch.equal(trained.get_buffer(name), before[name])]
    assert {name.rpartition(".")[0] for name in changed} == set(modules)


def check_two_processes_remember(case: Any, folder: Path, **settings: Any) -> None:
    """
    Two processes with batches of different sizes are left with the buffers of one that has the rows of both.

    Args:
        case: the `CommonSystemTests` of the system.
        folder: to save in.
        settings: of its configuration, without dropout.
    """
    config = case.config(**settings)
    model = case.model(config)
    model.save_pretrained(folder / "model")
    for rank, rows in enumerate((range(11), range(11, 16))):
        save_file(case.batch(config, rows), folder / f"batch-{rank}.safetensors")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2]
    driver = REPOSITORY / "tests" / "integration" / "remembering_driver.py"
    result = run_command([*torchrun, driver, folder], subprocess_environment(folder / "cache"), folder)
    assert result.returncode == 0, result.stderr[-3000:]
    first, second = (load_file(folder / f"buffers-{rank}.safetensors") for rank in (0, 1))
    before = {name: value.clone() for name, value in model.named_buffers()}
    model.train()(**case.batch(config))
    for name, value in model.named_buffers():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, atol=1e-5, rtol=1e-4)
    assert any(not torch.equal(value, first[name]) for name, value in before.items())
