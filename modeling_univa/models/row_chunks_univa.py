# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A batch in chunks of its utterances, so that the memory of a training step does not grow with the batch."""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch.utils.checkpoint import checkpoint
from transformers.utils import ModelOutput


__all__ = ["row_chunks", "classify_in_chunks"]

Inputs = Mapping[str, torch.Tensor | None]

# One row a dialogue; all other inputs have one an utterance.
_OF_DIALOGUES = ("input_ids", "attention_mask")


def classify_in_chunks(classify: Callable[[Inputs], ModelOutput], inputs: Inputs, size: int) -> list[ModelOutput]:
    """
    Outputs of a batch, chunk by chunk, of which nothing is kept for the backward pass but inputs and outputs.

    The backward pass computes each chunk again, with the same dropout, and lets go of it before the next. So a loss
    over the outputs of all chunks has its exact gradient, at the price of a second forward pass (Gao et al., "Scaling
    Deep Contrastive Learning Batch Size under Memory Limited Setup", RepL4NLP 2021).

    Args:
        classify: from inputs to outputs.
        inputs: of `EmotionModel.classify_batch`.
        size: utterances of a chunk.
    """
    return [checkpoint(classify, chunk, use_reentrant=False) for chunk in row_chunks(inputs, size)]


def row_chunks(inputs: Inputs, size: int) -> Iterator[dict[str, torch.Tensor | None]]:
    """
    The inputs of `size` utterances at a time, with no dialogues but theirs.

    Args:
        inputs: of `EmotionModel.classify_batch`.
        size: utterances of a chunk; the last one may have fewer.
    """
    lengths = [len(value) for name, value in inputs.items() if value is not None and name not in _OF_DIALOGUES]
    for start in range(0, max(lengths, default=1), size):
        rows = slice(start, start + size)
        chunk = {
            name: value if value is None or name in _OF_DIALOGUES else value[rows] for name, value in inputs.items()
        }
        yield _with_own_dialogues(chunk)


def _with_own_dialogues(chunk: dict[str, torch.Tensor | None]) -> dict[str, torch.Tensor | None]:
    index = chunk.get("dialogue_index")
    if index is None or chunk.get("input_ids") is None:
        return chunk
    dialogues, numbered = index.unique(return_inverse=True)
    own = {name: None if chunk.get(name) is None else chunk[name][dialogues] for name in _OF_DIALOGUES}  # type: ignore[index]
    return {**chunk, **own, "dialogue_index": numbered}
