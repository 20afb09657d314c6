# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The loop that speed.py measures ours against: same weights, same rows, same numbers, none of the sharing.

Every utterance brings its own copy of its dialogue, padded to the longest row that the encoder takes; features are
padded to the longest clip of the corpus; positive pairs are found pair by pair in Python.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from modeling_univa.data.utterances import UtteranceCollator, UtteranceDataset, UtteranceRows, flatten_frames
from modeling_univa.models.losses_univa import UnivaObjective


class NaiveCollator(UtteranceCollator):
    """
    Rows to the same names as `UtteranceCollator` gives, with D = B dialogues of `max_text_length` tokens.

    Args:
        dataset: where the rows are from.
        longest: frames that the features of each modality are padded to; see `longest_clips`.
        with_va: as in `UtteranceCollator`.
    """

    def __init__(self, dataset: UtteranceDataset, longest: dict[str, int], with_va: bool = False):
        super().__init__(dataset, with_va)
        self.longest = longest

    def __call__(self, parts: Sequence[UtteranceRows]) -> dict[str, torch.Tensor]:
        (rows,) = parts
        dataset, indices = self.dataset, rows.indices
        batch = {"labels": torch.from_numpy(dataset.labels[indices].astype(np.float32)), **self._text_inputs(indices)}
        for modality, longest in self.longest.items():
            values, lengths = flatten_frames(rows.features.column(f"{modality}_features"))
            clips = np.split(values, np.cumsum(lengths)[:-1])
            features, mask = _padded(clips, longest, torch.zeros(len(clips), longest, values.shape[1]))
            batch |= {f"{modality}_features": features, f"{modality}_attention_mask": mask}
        if self.with_va:
            batch.update({f"{name}_va": torch.from_numpy(va[indices]) for name, va in dataset.va.items()})
        return batch

    def _text_inputs(self, indices: np.ndarray) -> dict[str, torch.Tensor]:
        dataset, processor = self.dataset, self.dataset.processor
        dialogues = [dataset.token_rows[dataset.row_of_utterance[index]] for index in indices]
        shape = (len(dialogues), processor.max_text_length)
        pad = torch.full(shape, processor.tokenizer.pad_token_id)
        input_ids, attention_mask = _padded(dialogues, processor.max_text_length, pad)
        return {
            "dialogue_index": torch.arange(len(dialogues)),
            "utterance_span": torch.from_numpy(dataset.spans[indices]),
            "position": torch.from_numpy(dataset.positions[indices]),
            "speaker_index": torch.from_numpy(dataset.speakers[indices]),
            "input_ids": input_ids,
            "attention_mask": attention_mask,
        }


class NaiveObjective(UnivaObjective):
    """The objective, whose positive pairs come from a double loop over the utterances of a batch."""

    def _positives(self, keys: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        positive: Callable[[Any, Any], bool]
        if self.contrastive_loss == "va":
            positive = lambda a, b: math.dist(a, b) < self.va_distance_threshold  # noqa: E731
        else:
            positive = lambda a, b: self.contrastive_loss == "supervised" and a == b  # noqa: E731
        # Plain numbers: element by element on tensors the loop would be some twenty times slower still.
        items = others.tolist()
        return torch.tensor([[positive(a, b) for b in items] for a in keys.tolist()], device=keys.device)


def longest_clips(*splits: UtteranceDataset) -> dict[str, int]:
    """Frames of the longest clip in some splits, for each modality that comes as features; at least 1."""
    longest = {}
    for modality in splits[0].frame_counts:
        found = max(int(split.frame_counts[modality].max()) for split in splits)
        longest[modality] = max(1, min(found, splits[0].processor.max_lengths.get(modality) or found))
    return longest


def _padded(items: list[np.ndarray], longest: int, padded: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    mask = torch.zeros(len(items), longest, dtype=torch.long)
    for row, item in enumerate(items):
        kept = min(len(item), longest)
        padded[row, :kept] = torch.tensor(item[:kept])
        mask[row, :kept] = 1
    return padded, mask
