# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Which checkpoint a run goes on from, and what of a killed one is cleared away."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers.trainer import TRAINER_STATE_NAME

from modeling_univa.training.checkpoints import check_checkpoint, clear_scratch, last_complete_checkpoint


def write(folder: Path, step: int) -> Path:
    """A checkpoint with the files of Trainer."""
    place = folder / f"checkpoint-{step}"
    place.mkdir(parents=True)
    save_file({"weight": torch.arange(100.0)}, place / "model.safetensors")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.save({"state": torch.arange(100.0)}, place / name)
    (place / TRAINER_STATE_NAME).write_text(json.dumps({"global_step": step}))
    return place


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    # Inside of the numbers, far from names and directories.
    content[content.index(torch.arange(100.0).numpy().tobytes()) + 200] ^= 1
    file.write_bytes(content)


DAMAGES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "weights cut off": ("model.safetensors", cut),
    "weights missing": ("model.safetensors", Path.unlink),
    "optimizer cut off": ("optimizer.pt", cut),
    "optimizer missing": ("optimizer.pt", Path.unlink),
    "a byte of the optimizer": ("optimizer.pt", flip),
    "optimizer empty": ("optimizer.pt", lambda file: file.write_bytes(b"")),
    "scheduler missing": ("scheduler.pt", Path.unlink),
    "random states cut off": ("rng_state.pth", cut),
    "state cut off": (TRAINER_STATE_NAME, cut),
    "state of something else": (TRAINER_STATE_NAME, lambda file: file.write_text("[]")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_checkpoint_is_told_and_the_one_before_is_taken(damage, tmp_path, caplog):
    before, newest = write(tmp_path, 9), write(tmp_path, 10)
    assert last_complete_checkpoint(tmp_path) == str(newest)
    check_checkpoint(newest)
    name, spoil = DAMAGES[damage]
    spoil(newest / name)
    with caplog.at_level(logging.WARNING):
        assert last_complete_checkpoint(tmp_path) == str(before)
    assert f"{newest} is not used: " in caplog.text
    with pytest.raises(ValueError, match=f"{newest} is not a checkpoint to go on from: "):
        check_checkpoint(newest)
    # Without a word of those that are not needed.
    assert str(before) not in caplog.text


def test_unfinished_checkpoint_is_passed_over(tmp_path, caplog):
    assert last_complete_checkpoint(tmp_path) is None
    assert last_complete_checkpoint(tmp_path / "nowhere") is None
    complete = write(tmp_path, 9)
    (write(tmp_path, 10) / TRAINER_STATE_NAME).unlink()
    (tmp_path / "checkpoint-11").mkdir()
    (tmp_path / "checkpoint-best").mkdir()
    assert last_complete_checkpoint(tmp_path) == str(complete)
    assert not caplog.text


def test_weights_in_several_files_count_if_all_are_there(tmp_path):
    folder = write(tmp_path, 4)
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    (folder / "model.safetensors").rename(folder / names[0])
    save_file({"bias": torch.zeros(2)}, folder / names[1])
    index = {"weight_map": {"weight": names[0], "bias": names[1]}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert last_complete_checkpoint(tmp_path) == str(folder)
    (folder / names[1]).unlink()
    assert last_complete_checkpoint(tmp_path) is None
    # What `ema_decay` keeps beside the weights is not them.
    (write(tmp_path, 5) / "model.safetensors").rename(tmp_path / "checkpoint-5" / "raw_weights.safetensors")
    assert last_complete_checkpoint(tmp_path) is None


def test_checkpoints_of_several_processes_count(tmp_path):
    folder = write(tmp_path, 4)
    (folder / "rng_state.pth").rename(folder / "rng_state_0.pth")
    assert last_complete_checkpoint(tmp_path) == str(folder)


def test_what_a_killed_run_was_writing_is_cleared(tmp_path):
    kept = write(tmp_path, 4)
    (tmp_path / "base").mkdir()
    for name in ("tmp-checkpoint-8", ".base-x1y2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_text("")
    (tmp_path / ".README.md-abc.writing").write_text("")
    clear_scratch(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "checkpoint-4"]
    assert len(list(kept.iterdir())) == 5
