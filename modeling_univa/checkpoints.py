# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Where weights lie: checkpoints of a run that was stopped, and encoders that Python packages carry."""

import json
from importlib import resources
from pathlib import Path

from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR


__all__ = ["last_complete_checkpoint", "resolve_package"]


def last_complete_checkpoint(output_dir: str | Path) -> str | None:
    """
    The newest checkpoint that was written to its end, `None` if there is none.

    Trainer writes `trainer_state.json` last; a process that was killed while it saved leaves none, or half of one.
    """
    steps = {}
    for folder in Path(output_dir).glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        try:
            steps[json.loads((folder / TRAINER_STATE_NAME).read_text())["global_step"]] = str(folder)
        except (OSError, ValueError, KeyError):
            continue
    return steps[max(steps)] if steps else None


def resolve_package(name: str) -> str:
    """A Hub id or folder as it is; `package://NAME/FOLDER` as the folder inside the installed Python package."""
    if not name.startswith("package://"):
        return name
    package, _, folder = name.removeprefix("package://").partition("/")
    try:
        return str(resources.files(package) / folder)
    except ModuleNotFoundError:
        raise ValueError(f"{name} needs the Python package: pip install {package.replace('_', '-')}") from None
