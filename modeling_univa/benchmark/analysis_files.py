# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What is kept of the analyses of a run: of each a JSON file, written last, and a file of arrays or predictions."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..models.files_univa import write_text


__all__ = [
    "ANALYSES",
    "ANALYSIS_VERSION",
    "NotApplicableError",
    "analysis_file",
    "hashed_order",
    "read_analysis",
    "write_analysis",
]

# What each is of: a plan asks for them by these names.
ANALYSES = {
    "embeddings": "embeddings of each modality, with silhouette scores and linear probes",
    "similarity": "the similarity of labels that the loss uses",
    "robustness": "predictions where a modality is removed, and where speech is noisy",
}
# Of the files; those of other versions count as missing.
ANALYSIS_VERSION = 1
_FOLDER = "analyses"


class NotApplicableError(ValueError):
    """A model or corpus that an analysis cannot be made of, with the reason."""


def analysis_file(run_folder: str | Path, name: str, suffix: str = ".json") -> Path:
    """A file of an analysis in the folder of a run."""
    return Path(run_folder) / _FOLDER / f"{name}{suffix}"


def read_analysis(run_folder: str | Path, name: str) -> dict[str, Any] | None:
    """
    What a run keeps of an analysis.

    Args:
        run_folder: `StoredRun.folder`.
        name: a key of `ANALYSES`.

    Returns:
        `status`, "complete", "not applicable" or "failed", with its `reason`, and what the analysis adds; `None` where
        it was not made yet, or by a version of this package whose files differ.
    """
    try:
        content = json.loads(analysis_file(run_folder, name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_known = isinstance(content, dict) and content.get("schema_version") == ANALYSIS_VERSION
    return content if is_known and "status" in content else None


def write_analysis(run_folder: str | Path, name: str, status: str, facts: Mapping[str, Any]) -> None:
    """Note how an analysis ended; its other files are there already."""
    content = {"schema_version": ANALYSIS_VERSION, "name": name, "status": status, **facts}
    file = analysis_file(run_folder, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def hashed_order(names: Iterable[str], topic: str, seed: int = 0) -> np.ndarray:
    """
    An order of names that looks random and is the same whoever asks: that of the SHA-256 of `seed topic name`.

    Args:
        names: of rows or dialogues.
        topic: what the order is for; another topic has another one.
        seed: another seed has another order.

    Returns:
        Places in `names`, shape `(names,)`; equal names stay in order.
    """
    keys: Sequence[bytes] = [hashlib.sha256(f"{seed} {topic} {name}".encode()).digest() for name in names]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
