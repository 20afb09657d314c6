# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""States of a frozen text encoder: computed once for a split, and kept in the cache of `datasets`."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import torch
from datasets.arrow_writer import ArrowWriter
from tqdm import tqdm
from transformers import PreTrainedModel
from transformers.utils import logging

from ..models.files_univa import LOCK_FILE, locked, one_line, whole_file
from ..models.processing_univa import UnivaProcessor


__all__ = ["TEXT_STATES", "TextStates"]

logger = logging.get_logger(__name__)

TEXT_STATES = "text_states"
_CACHE_FOLDER = "univa_text_states"
# What an interruption costs at most, and what is held in memory at a time: 25 MB of 768 numbers a token.
_TOKENS_OF_A_PART = 1 << 14
# With padding; a longer dialogue is a batch of its own.
_TOKENS_OF_A_BATCH = 1 << 12
_FLOAT16 = datasets.Value("float16")

# Token ids `(L,)`, and the spans of its utterances in them `(utterances, 2)`.
Dialogue = tuple[np.ndarray, np.ndarray]


class TextStates:
    """
    States that a text encoder gives the utterances' own tokens, float16, in memory-mapped files.

    A dialogue that is there several times, as copies of rows are, is encoded and kept once. The folder of the files is
    named by what decides their content: the encoder's weights and configuration, and the tokens that it reads. Each is
    written to a temporary name and renamed, so that an interrupted job goes on; of several processes that need the
    same states one computes them while the others wait.

    Args:
        encoder: computes where it lies, without dropout.
        processor: pads its tokens.
        token_rows: ids of the dialogues, shape (L,) each.
        row_of_utterance: which of them each utterance is in, in order, shape (utterances,).
        spans: its tokens [start, end) in that row, shape (utterances, 2).
        name: of the split, for messages.

    Raises:
        ValueError: a state is not finite, or too large for float16.
    """

    def __init__(
        self,
        encoder: PreTrainedModel,
        processor: UnivaProcessor,
        token_rows: Sequence[np.ndarray],
        row_of_utterance: np.ndarray,
        spans: np.ndarray,
        name: str,
    ):
        self.lengths = spans[:, 1] - spans[:, 0]
        dialogues, self._places = _distinct_dialogues(token_rows, row_of_utterance, spans)
        self._states = _Encoding(encoder, processor, dialogues, name).states()

    def __getitem__(self, indices: Sequence[int]) -> pa.ChunkedArray:
        """Frames of some utterances, one list each."""
        return self._states[self._places[indices].tolist()].column(TEXT_STATES)


def _distinct_dialogues(
    token_rows: Sequence[np.ndarray], row_of_utterance: np.ndarray, spans: np.ndarray
) -> tuple[list[Dialogue], np.ndarray]:
    """The dialogues without those that are there before, and the place of every utterance among theirs."""
    edges = np.append(np.flatnonzero(np.diff(row_of_utterance, prepend=-1)), len(spans))
    first: dict[bytes, int] = {}
    distinct: list[Dialogue] = []
    places = np.empty(len(spans), dtype=np.int64)
    total = 0
    for row, (start, end) in enumerate(zip(edges, edges[1:], strict=False)):
        dialogue = token_rows[row], spans[start:end]
        key = _digest(dialogue)
        if key not in first:
            first[key] = total
            distinct.append(dialogue)
            total += end - start
        places[start:end] = first[key] + np.arange(end - start)
    return distinct, places


class _Encoding:
    """
    The job of encoding some dialogues.

    Args:
        dialogues: each another one.
    """

    def __init__(
        self,
        encoder: PreTrainedModel,
        processor: UnivaProcessor,
        dialogues: Sequence[Dialogue],
        name: str,
    ):
        self.encoder, self.processor, self.dialogues, self.name = encoder, processor, dialogues, name
        size = encoder.config.hidden_size
        self._features = datasets.Features({TEXT_STATES: datasets.List(datasets.List(_FLOAT16, length=size))})
        self._lengths = np.array([len(ids) for ids, _ in dialogues])
        numbers = np.cumsum(self._lengths) // _TOKENS_OF_A_PART
        parts = np.split(np.arange(len(dialogues)), np.flatnonzero(np.diff(numbers)) + 1)
        self._parts = {self._folder / f"{number:05d}.arrow": part for number, part in enumerate(parts)}

    @cached_property
    def _folder(self) -> Path:
        config = {name: value for name, value in self.encoder.config.to_dict().items() if name != "_name_or_path"}
        settings = json.dumps(config, sort_keys=True, default=str)
        weights = (part for name, value in self.encoder.state_dict().items() for part in (name, _bytes(value)))
        tokens = (array for dialogue in self.dialogues for array in dialogue)
        keys = settings, _digest(weights), str(_TOKENS_OF_A_PART), _digest(tokens)
        return Path(datasets.config.HF_DATASETS_CACHE, _CACHE_FOLDER, _digest(keys).hex())

    def states(self) -> datasets.Dataset:
        """One row an utterance, computed where they are not there yet."""
        found = self._found()
        if len(found) < len(self._parts):
            self._folder.mkdir(parents=True, exist_ok=True)
            with locked(self._folder / LOCK_FILE, wait=True):
                self._write_missing(self._found())
            found = self._found()
        return datasets.concatenate_datasets(list(found.values())).with_format("arrow")

    def _found(self) -> dict[Path, datasets.Dataset]:
        opened = {file: self._opened(file) for file in self._parts if file.exists()}
        return {file: rows for file, rows in opened.items() if rows is not None}

    def _opened(self, file: Path) -> datasets.Dataset | None:
        try:
            rows = datasets.Dataset.from_file(str(file))
        except (OSError, pa.ArrowException) as error:
            logger.warning(f"{file} is damaged ({one_line(error)}): it is made again.")
            return None
        expected = sum(len(self.dialogues[place][1]) for place in self._parts[file])
        return rows if len(rows) == expected else None

    def _write_missing(self, found: dict[Path, datasets.Dataset]) -> None:
        for scratch in self._folder.glob(".*.writing"):
            scratch.unlink(missing_ok=True)
        missing = {file: places for file, places in self._parts.items() if file not in found}
        left = sum(int(self._lengths[places].sum()) for places in missing.values())
        was_training = self.encoder.training
        self.encoder.eval()
        total = int(self._lengths.sum())
        with tqdm(total=total, initial=total - left, unit="token", desc=f"text states of {self.name}") as bar:
            for file, places in missing.items():
                with whole_file(file) as temporary:
                    self._write(temporary, places, bar.update)
        self.encoder.train(was_training)

    def _write(self, file: Path, places: np.ndarray, advance: Callable[[int], Any]) -> None:
        encoded: dict[int, np.ndarray] = {}
        for batch in _batches(self._lengths[places]):
            chosen = places[batch]
            encoded.update(zip(chosen.tolist(), self._encode(chosen), strict=True))
            advance(int(self._lengths[chosen].sum()))
        values = np.concatenate([encoded[place] for place in places.tolist()])
        lengths = np.concatenate([np.diff(self.dialogues[place][1], axis=1)[:, 0] for place in places])
        frames = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
        lists = pa.ListArray.from_arrays(pa.array(np.append(0, np.cumsum(lengths)), pa.int32()), frames)
        with ArrowWriter(path=str(file), features=self._features) as writer:
            writer.write_table(pa.table({TEXT_STATES: lists}))
            writer.finalize()

    @torch.inference_mode()
    def _encode(self, places: np.ndarray) -> list[np.ndarray]:
        """States of the utterances' tokens of some dialogues, (tokens, k) float16 each."""
        chosen = [self.dialogues[place] for place in places]
        inputs = self.processor.pad_dialogues([ids for ids, _ in chosen])
        inputs = {name: value.to(self.encoder.device) for name, value in inputs.items()}
        states = self.encoder(**inputs).last_hidden_state.to(torch.float16).cpu().numpy()
        if not np.isfinite(states).all():
            raise ValueError(
                f"Some states that the text encoder ({self.encoder.config.model_type}) has for {self.name} are not "
                "finite, or too large for float16: leave `text_states` out."
            )
        pairs = zip(states, chosen, strict=True)
        return [np.concatenate([rows[start:end] for start, end in spans]) for rows, (_, spans) in pairs]


def _batches(lengths: np.ndarray) -> Iterator[list[int]]:
    """Places of all lengths, those alike together."""
    batch: list[int] = []
    for place in np.argsort(lengths, kind="stable").tolist():
        if batch and (len(batch) + 1) * lengths[place] > _TOKENS_OF_A_BATCH:
            yield batch
            batch = []
        batch.append(place)
    yield batch


def _digest(parts: Iterable[str | bytes | np.ndarray]) -> bytes:
    """SHA-256 of some texts, bytes or arrays, and of their sizes."""
    digest = hashlib.sha256()
    for part in parts:
        content: Any = part.encode() if isinstance(part, str) else part
        digest.update(memoryview(content).nbytes.to_bytes(8, "little"))
        digest.update(content)
    return digest.digest()


def _bytes(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
