# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What scorers are trained on: rated sentences, or the clips of a corpus with the valence and arousal of each."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import Dataset as TorchDataset

from ..corpora.emobank import read_emobank
from ..data.loading import load_corpus
from ..data.schema import CorpusError
from ..data.utterances import flatten_frames, known_va
from ..models.processing_univa import UnivaProcessor
from ..options import counted, verb


__all__ = ["ClipCollator", "Clips", "RatedTexts", "read_clips", "read_rated_texts"]

_MEDIA_COLUMNS = {"audio": "audio", "vision": "faces"}


@dataclass
class RatedTexts:
    """
    Sentences of one split.

    Args:
        texts: N sentences.
        va: (valence, arousal) in [-1, 1], float32 (N, 2).
        num_rows: rows of the split that they come from; those without rating or text were left out.
    """

    texts: list[str]
    va: np.ndarray
    num_rows: int


def read_rated_texts(name: str) -> dict[str, RatedTexts]:
    """
    Rated sentences by split.

    Args:
        name: emobank.csv; or folder or Hub id of a data set with the columns text, valence and arousal, such as
            `univa build emobank` makes; or of a corpus, whose `text_va` is taken.

    Raises:
        CorpusError: There is no such data set, or it lacks a column.
    """
    if Path(name).is_file():
        rows = read_emobank(name)
        splits = datasets.DatasetDict({split: datasets.Dataset.from_list(found) for split, found in rows.items()})
    else:
        try:
            splits = datasets.load_dataset(name)
        except (FileNotFoundError, ValueError, ConnectionError) as error:
            raise CorpusError(f"{name} cannot be loaded as a data set: {error}") from error
    return {split: _rated_texts(rows, f"{name} ({split})") for split, rows in splits.items()}


def _rated_texts(rows: datasets.Dataset, where: str) -> RatedTexts:
    if "text" in rows.column_names and "text_va" in rows.column_names:
        va = known_va(rows, ["text"])["text"]
    elif {"text", "valence", "arousal"} <= set(rows.column_names):
        va = np.array([rows["valence"], rows["arousal"]], dtype=np.float32).T
    else:
        raise CorpusError(f"{where}: expected the columns text, valence, arousal, or text, text_va, of a corpus")
    if np.nanmax(np.abs(va), initial=0) > 1:
        raise CorpusError(f"{where}: valence or arousal beyond [-1, 1]; scale ratings on 1 to 5 by (x - 3) / 2")
    texts = rows["text"]
    kept = [index for index in np.flatnonzero(~np.isnan(va).any(axis=1)).tolist() if (texts[index] or "").strip()]
    return RatedTexts([texts[index] for index in kept], va[kept], len(rows))


@dataclass(frozen=True)
class ClipBatch:
    """Some clips: their feature column, and (valence, arousal), float32 (B, 2)."""

    features: pa.Table
    va: np.ndarray


@dataclass
class Clips(TorchDataset):
    """
    The different clips of one split, features still in their Arrow buffers.

    A corpus may use one clip in many rows. Here it is once, with the mean of what its rows say, so that neither
    training nor a measure counts it more often.

    Args:
        features: the feature column of the split, in the arrow format.
        rows: for each clip a row that has it, shape (N,).
        va: (valence, arousal), float32 (N, 2).
        files: the media files (or the digest of the features, where the corpus names none) of each clip.
        num_rows: rows of the split with features and known VA.
        num_left_out: clips that were left out because a file of them is in the training split, too.
    """

    features: Any
    rows: np.ndarray
    va: np.ndarray
    files: list[tuple[str, ...]] = field(default_factory=list)
    num_rows: int = 0
    num_left_out: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> ClipBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: list[int]) -> ClipBatch:
        """What DataLoader calls: all clips of a batch at once."""
        return ClipBatch(self.features[self.rows[indices]], self.va[indices])

    def without(self, files: set[str]) -> "Clips":
        """The clips of which no file is among `files`."""
        kept = [index for index, own in enumerate(self.files) if files.isdisjoint(own)]
        own = [self.files[index] for index in kept]
        return Clips(self.features, self.rows[kept], self.va[kept], own, self.num_rows, len(self) - len(kept))


class ClipCollator:
    """Batches of `Clips` to inputs of a `UnivaAffectRegressor`, `labels` among them."""

    def __init__(self, processor: UnivaProcessor):
        self.processor = processor
        (self.modality,) = processor.feature_sizes

    def __call__(self, batch: ClipBatch) -> dict[str, torch.Tensor]:
        values, lengths = flatten_frames(_single_column(batch.features))
        return {"labels": torch.from_numpy(batch.va), **self.processor.pad_features(self.modality, values, lengths)}


def read_clips(name: str, modality: str, train_split: str) -> tuple[dict[str, Clips], dict[str, Any]]:
    """
    The clips of a corpus by split, those of other splits without what is in `train_split`, and their extractor.

    Args:
        name: folder or Hub id of a corpus with features and VA of the modality.
        modality: "audio" or "vision".
        train_split: the split to train on.

    Raises:
        CorpusError: There is no such corpus or split, or it has no features or no known VA of the modality.
    """
    corpus = load_corpus(name)
    column = f"{modality}_features"
    if column not in corpus.split(train_split).column_names:
        raise CorpusError(f"{name} has no column {column!r}; build the corpus with features of {modality}")
    clips = {split: _clips(corpus.split(split), modality) for split in corpus.splits}
    trained_on = {file for files in clips[train_split].files for file in files}
    clips |= {split: found.without(trained_on) for split, found in clips.items() if split != train_split}
    for split, found in clips.items():
        if not len(found):
            are = verb(found.num_left_out, "is", "are")
            also = (
                f"; {counted(found.num_left_out, 'clip')} of it {are} in {train_split}, too"
                if found.num_left_out
                else ""
            )
            raise CorpusError(f"{name} ({split}): no row with {column} and known {modality}_va{also}")
    return clips, corpus.extractors.get(modality, {})


def _clips(rows: datasets.Dataset, modality: str) -> Clips:
    features = rows.select_columns([f"{modality}_features"]).with_format("arrow")
    va = known_va(rows, [modality])[modality]
    found: dict[tuple[str, ...], list[int]] = {}
    for index, (digest, named) in enumerate(zip(_digests(features), _file_names(rows, modality), strict=True)):
        if digest is not None and not np.isnan(va[index]).any():
            found.setdefault(named or (digest,), []).append(index)
    return Clips(
        features=features,
        rows=np.array([indices[0] for indices in found.values()], dtype=np.int64),
        va=np.array([va[indices].mean(axis=0) for indices in found.values()], dtype=np.float32).reshape(-1, 2),
        files=list(found),
        num_rows=sum(map(len, found.values())),
    )


def _file_names(rows: datasets.Dataset, modality: str) -> list[tuple[str, ...]]:
    """For each row the files of its clip (with start and end, where it is a part of one); none where unknown."""
    columns = [name for name in ("start", "end", _MEDIA_COLUMNS[modality]) if name in rows.column_names]
    if columns[-1:] != [_MEDIA_COLUMNS[modality]]:
        return [()] * len(rows)
    if modality == "vision":
        return [tuple(files or ()) for files in rows[columns[-1]]]
    return [
        (f"{row['audio']} {row.get('start')} {row.get('end')}",) if row["audio"] else ()
        for row in rows.select_columns(columns)
    ]


def _digests(features: datasets.Dataset) -> Iterator[str | None]:
    """For each row a digest of its frames, `None` where there are none."""
    for batch in features.iter(batch_size=256):
        values, lengths = flatten_frames(_single_column(batch))
        ends = np.cumsum(lengths)
        for start, end in zip(ends - lengths, ends, strict=True):
            yield hashlib.sha256(values[start:end].tobytes()).hexdigest() if end > start else None


def _single_column(table: pa.Table) -> pa.ChunkedArray:
    return table.column(table.column_names[0])
