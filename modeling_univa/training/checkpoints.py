# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a run that was stopped: which of them can be resumed from, and by what code."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, logging


__all__ = [
    "RESUME_STATE_NAME",
    "check_checkpoint",
    "clear_scratch",
    "last_complete_checkpoint",
    "load_resume_state",
    "save_resume_state",
    "weights_damage",
]

logger = logging.get_logger(__name__)

# In a checkpoint: what a resumed run needs, and a saved model does without.
RESUME_STATE_NAME = "resume_state.safetensors"
# What a run needs to go on, as Trainer, DeepSpeed or FSDP write it.
_PARTS = {
    "weights": ("model.safetensors", "model*.safetensors*", "adapter_model*", "global_step*", "pytorch_model_fsdp*"),
    "state of the optimizer": ("optimizer.pt", "optimizer.bin", "optimizer_0", "global_step*"),
    "state of the scheduler": ("scheduler.pt", "global_step*"),
    "random states": ("rng_state*.pth",),
}
# What is written before it takes its place, by Trainer, for the base of an adapter, and for texts.
_SCRATCH = ("tmp-checkpoint*", f"{PREFIX_CHECKPOINT_DIR}-*/tmp*", ".base-*", ".*.writing", "*/.*.writing")


def last_complete_checkpoint(output_dir: str | Path) -> str | None:
    """
    The newest checkpoint that was written to its end and whose files open, `None` if there is none.

    Trainer writes `trainer_state.json` last; a process that was killed while it saved leaves none. A checkpoint that
    has it and is damaged nevertheless is told, and passed over.
    """
    found = [folder for folder in Path(output_dir).glob(f"{PREFIX_CHECKPOINT_DIR}-*") if _step(folder) >= 0]
    for folder in sorted(found, key=_step, reverse=True):
        if not (folder / TRAINER_STATE_NAME).exists():
            continue
        problem = _damage(folder)
        if problem is None:
            return str(folder)
        logger.warning(f"{folder} is not used: {problem}.")
    return None


def _step(folder: Path) -> int:
    number = folder.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def check_checkpoint(folder: str | Path) -> None:
    """
    Check that a run can go on from a checkpoint.

    Raises:
        ValueError: names the file and what is wrong with it.
    """
    problem = _damage(Path(folder))
    if problem is not None:
        raise ValueError(f"{folder} is not a checkpoint to go on from: {problem}. Choose another one.")


def _damage(folder: Path) -> str | None:
    """What is missing from a checkpoint, or does not open."""
    try:
        json.loads((folder / TRAINER_STATE_NAME).read_text())["global_step"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{TRAINER_STATE_NAME} is damaged ({error})"
    for what, patterns in _PARTS.items():
        if not any(next(folder.glob(pattern), None) for pattern in patterns):
            return f"it has no {what} ({patterns[0]})"
    return weights_damage(folder) or _unreadable(folder)


def weights_damage(folder: str | Path) -> str | None:
    """Which file of weights in a checkpoint is missing or does not open."""
    index = Path(folder, SAFE_WEIGHTS_INDEX_NAME)
    shards = set(json.loads(index.read_text())["weight_map"].values()) if index.is_file() else set()
    missing = sorted(name for name in shards if not Path(folder, name).is_file())
    return f"it has no {missing[0]}" if missing else _unreadable(Path(folder), "*.safetensors")


def _unreadable(folder: Path, pattern: str = "*") -> str | None:
    for file in sorted(folder.glob(pattern)):
        try:
            if file.suffix == ".safetensors":
                with safe_open(file, "pt"):
                    pass
            elif file.suffix in (".pt", ".pth"):
                with zipfile.ZipFile(file) as archive:
                    broken = archive.testzip()
                if broken is not None:
                    return f"{file.name} is damaged"
        except (OSError, SafetensorError, zipfile.BadZipFile) as error:
            return f"{file.name} is damaged ({error})"
    return None


def save_resume_state(model: Any, folder: str | Path) -> None:
    """
    Write what a resumed run needs besides weights and buffers into a checkpoint.

    Args:
        model: any; a system of this package says by `resume_state` what that is.
        folder: the checkpoint.
    """
    state = model.resume_state() if hasattr(model, "resume_state") else {}
    if state:
        save_file({name: value.contiguous() for name, value in state.items()}, Path(folder, RESUME_STATE_NAME))


def load_resume_state(model: Any, folder: str | Path) -> None:
    """
    Load into a model what `save_resume_state` has written.

    Raises:
        ValueError: the checkpoint lacks what the model needs.
    """
    if not hasattr(model, "load_resume_state"):
        return
    file = Path(folder, RESUME_STATE_NAME)
    try:
        model.load_resume_state(load_file(file) if file.is_file() else {})
    except ValueError as error:
        raise ValueError(f"{folder} is not a checkpoint to go on from: {error}") from error


def clear_scratch(output_dir: str | Path) -> None:
    """Remove what a killed run was writing; for the one process that writes there."""
    for pattern in _SCRATCH:
        for path in Path(output_dir).glob(pattern):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
