# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What every system has to do that remembers past batches in buffers: CARAT and LDDU."""

import os
from typing import ClassVar

import pytest
import torch
from common import CommonSystemTests
from forks import run_forked
from safetensors.torch import load_file, save_file
from testing_utils import REPOSITORY
from training_runs import tiny_trainer
from transformers import TrainerCallback

from modeling_univa.sharing.adapters import load_adapter, load_model
from modeling_univa.training.adapters import add_adapter
from modeling_univa.training.arguments import ModelArguments


class Stop(TrainerCallback):
    """Ends training after a step, as an interruption does after a checkpoint."""

    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step == self.step


class QueueSystemTests(CommonSystemTests):
    """
    Subclassed for each of them.

    Attributes:
        dropouts: fields of its configuration that turn dropout off, and nothing else.
        remembering: modules that have the buffers.
        projections: how many features of a label an utterance puts into the queue.
    """

    dropouts: ClassVar[dict[str, float]]
    remembering: ClassVar[tuple[str, ...]]
    projections: ClassVar[int]

    def remembered(self, model) -> dict[str, torch.Tensor]:
        """Copies of the buffers that training changes."""
        prefixes = tuple(f"{name}." for name in self.remembering)
        return {name: value.clone() for name, value in model.named_buffers() if name.startswith(prefixes)}

    def test_buffers_change_in_training_alone(self):
        config = self.config()
        model, batch = self.model(config), self.batch(config)
        before = {name: value.clone() for name, value in model.named_buffers()}
        model(**batch)
        assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
        model.train()(**batch)
        changed = {name for name, value in model.named_buffers() if not torch.equal(value, before[name])}
        assert changed == set(self.remembered(model))

    def test_no_batch_has_to_be_dropped(self):
        """A fault of the official code, whose queue takes whole batches alone that divide its size."""
        config = self.config(queue_size=1000)
        model = self.model(config).train()
        for rows in (range(5), range(5, 8), range(8, 9)):
            model(**self.batch(config, rows)).loss.backward()
        written = 9 * self.projections * config.num_labels
        assert model.queue.position == written
        assert (model.queue.classes[:written] >= 0).all() and (model.queue.classes[written:] == -1).all()

    def test_scores_do_not_depend_on_the_queue(self):
        config = self.config()
        model, batch = self.model(config), self.batch(config)
        before = model(**batch)
        model.queue.reset()
        after = model(**batch)
        assert torch.equal(before.logits, after.logits) and torch.equal(before.loss, after.loss)

    def test_labels_of_any_number(self):
        """A fault of the official code of LDDU, which has six written out."""
        config = self.config(id2label={0: "calm", 1: "tense"})
        model, batch = self.model(config).train(), self.batch(config)
        assert model(**batch).logits.shape == (16, 2)

    @pytest.mark.slow
    def test_an_interrupted_run_ends_with_the_same_buffers(self, tmp_path):
        config = self.config()
        options = {"save_strategy": "steps", "save_steps": 3, "eval_strategy": "no", "load_best_model_at_end": False}
        whole = tiny_trainer(tmp_path / "whole", config, self.model(config), **options)
        whole.train()
        first = tiny_trainer(tmp_path / "first", config, self.model(config), **options)
        first.add_callback(Stop(3))
        first.train()
        assert first.state.global_step == 3 < whole.state.global_step
        second = tiny_trainer(tmp_path / "second", config, self.model(config, seed=1), **options)
        second.train(resume_from_checkpoint=str(tmp_path / "first" / "checkpoint-3"))
        for name, value in whole.model.state_dict().items():
            assert torch.equal(second.model.state_dict()[name], value), name

    @pytest.mark.slow
    def test_an_adapter_keeps_the_buffers(self, tmp_path):
        config = self.config()
        start = self.model(config)
        before = self.remembered(start)
        adapted = add_adapter(start, ModelArguments(lora_rank=2), tmp_path, write_base=True)
        for _ in range(2):
            adapted.train()(**self.batch(config)).loss.backward()
        adapted.save_pretrained(tmp_path)
        trained = self.remembered(adapted.merge_and_unload())
        assert not any(torch.equal(value, before[name]) for name, value in trained.items() if "position" not in name)
        for found in (load_model(tmp_path), load_adapter(tmp_path).merge_and_unload()):
            assert all(torch.equal(value, trained[name]) for name, value in self.remembered(found).items())

    @pytest.mark.slow
    def test_processes_with_batches_of_different_sizes_remember_all_rows(self, tmp_path):
        config = self.config(**self.dropouts)
        model = self.model(config)
        before = self.remembered(model)
        model.save_pretrained(tmp_path / "model")
        for rank, rows in enumerate((range(11), range(11, 16))):
            save_file(self.batch(config, rows), tmp_path / f"batch-{rank}.safetensors")
        run_forked(REPOSITORY / "tests" / "integration" / "remembering_driver.py", [tmp_path], os.environ, tmp_path)
        first, second = (load_file(tmp_path / f"buffers-{rank}.safetensors") for rank in (0, 1))
        model.train()(**self.batch(config))
        for name, value in self.remembered(model).items():
            assert torch.equal(first[name], second[name]) and not torch.equal(first[name], before[name]), name
            torch.testing.assert_close(first[name], value, atol=1e-5, rtol=1e-4)
