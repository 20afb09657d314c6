# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A batch as parts of dialogues of about the same length, each padded to its own longest."""

from collections.abc import Iterator, Mapping

import numpy as np


__all__ = ["batch_parts"]

# Tokens and frames of a part: as many keep the products of all layers busy, and their states in the cache.
_PART = 512

Arrays = dict[str, np.ndarray]


def batch_parts(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[np.ndarray, Arrays]]:
    """
    Parts of a batch, each of whole dialogues of about the same length, so that attention sees less padding.

    Args:
        arrays: inputs of a model that tells padding from frames.

    Yields:
        The places of a part's utterances in the batch, and its inputs.
    """
    groups = _groups(arrays)
    sizes, longest = _sizes(arrays, groups)
    order = np.argsort(longest, kind="stable")
    # A part ends where the next dialogue would begin another multiple of the size.
    number = np.zeros(len(order), np.int64)
    number[order] = (np.cumsum(sizes[order]) - sizes[order]) // _PART
    for part in np.unique(number):
        dialogues = np.flatnonzero(number == part)
        utterances = np.flatnonzero(np.isin(groups, dialogues))
        if len(utterances):
            yield utterances, _part(arrays, utterances, dialogues)


def _groups(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Dialogue of each utterance; where the model does not ask, each is one by itself."""
    if "dialogue_index" in arrays:
        return arrays["dialogue_index"]
    return np.arange(len(next(iter(arrays.values()))))


def _sizes(arrays: Mapping[str, np.ndarray], groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and frames of each dialogue, and its longest sequence of any kind."""
    count = len(arrays["input_ids"]) if "input_ids" in arrays else int(groups.max()) + 1
    sizes, longest = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for name, mask in arrays.items():
        if not name.endswith("attention_mask"):
            continue
        lengths = mask.sum(axis=1).astype(np.int64)
        owners = np.arange(count) if name == "attention_mask" else groups
        np.add.at(sizes, owners, lengths)
        np.maximum.at(longest, owners, lengths)
    return sizes, longest


def _part(arrays: Mapping[str, np.ndarray], utterances: np.ndarray, dialogues: np.ndarray) -> Arrays:
    part = {}
    for name, values in arrays.items():
        rows = dialogues if name in ("input_ids", "attention_mask") else utterances
        part[name] = values[rows]
    if "dialogue_index" in part:
        part["dialogue_index"] = np.searchsorted(dialogues, part["dialogue_index"])
    for name in [name for name in part if name.endswith("attention_mask")]:
        used = np.flatnonzero(part[name].any(axis=0))
        length = int(used[-1]) + 1 if len(used) else 1
        for padded in _beside(name):
            if padded in part:
                part[padded] = np.ascontiguousarray(part[padded][:, :length])
    return part


def _beside(mask: str) -> tuple[str, ...]:
    """Inputs of the length of a mask."""
    if mask == "attention_mask":
        return (mask, "input_ids")
    modality = mask.removesuffix("_attention_mask")
    return (mask, f"{modality}_features", *(("face_emotions",) if modality == "vision" else ()))
