# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Figure 4: M, the similarity of labels in the plane of valence and arousal, before and after training."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..models.modeling_univa import label_similarity
from ..training.card_callback import label_similarity as trained_similarity
from .analysis_files import NotApplicableError, read_analysis
from .trained_run import TrainedRun


__all__ = ["Similarity", "make_similarity", "read_similarity"]


@dataclass(frozen=True)
class Similarity:
    """
    M of a run.

    Args:
        label_names: of its lines and columns.
        initial (`np.ndarray` of shape `(C, C)`): of equation 8.
        trained (`np.ndarray` of shape `(C, C)`): after training; as `initial` where it is fixed.
        is_trainable: whether it was trained.
    """

    label_names: list[str]
    initial: np.ndarray
    trained: np.ndarray
    is_trainable: bool


def make_similarity(run: TrainedRun, folder: Path) -> dict[str, Any]:
    """
    The similarity of labels of a model.

    Args:
        run: with the model.
        folder: not used.

    Raises:
        NotApplicableError: its loss does not use any.
    """
    config: Any = run.model.config
    trained = trained_similarity(run.model)
    if trained is None:
        raise NotApplicableError(f"The loss of this {config.title} does not use a similarity of labels.")
    return {
        "label_names": list(config.label_names),
        "initial": label_similarity(torch.tensor(config.label_affect)).tolist(),
        "trained": trained.tolist(),
        "is_trainable": bool(config.learn_label_similarity),
    }


def read_similarity(run_folder: str | Path) -> Similarity | None:
    """The similarity that a run keeps, `None` where there is none."""
    found = read_analysis(run_folder, "similarity")
    if found is None or found["status"] != "complete":
        return None
    initial, trained = (np.array(found[name], np.float32) for name in ("initial", "trained"))
    return Similarity(found["label_names"], initial, trained, found["is_trainable"])
