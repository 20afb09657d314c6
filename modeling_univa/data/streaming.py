# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Training from a corpus that is read as it comes, without a copy of it."""

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import torch
from datasets.arrow_writer import ArrowWriter
from datasets.table import InMemoryTable
from torch.utils.data import IterableDataset

from ..models.files_univa import one_line
from ..models.processing_univa import UnivaProcessor
from .corpus import Corpus
from .samplers import UtteranceBatchSampler
from .schema import CorpusError
from .utterances import UtteranceCollator, UtteranceDataset
from .va_scaling import scale_va


__all__ = ["StreamedBatches", "StreamedCorpus", "StreamedUtterances"]

_READ_TOGETHER = 64


@dataclass
class StreamedCorpus(Corpus):
    """
    A corpus whose splits are streams; one that is asked for as a whole (to be evaluated on) is written to a file.

    Args:
        splits: `datasets.IterableDatasetDict`.
    """

    _files: dict[str, datasets.Dataset] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="univa-stream-")

    def stream(self, name: str) -> datasets.IterableDataset:
        """One split as it comes. Raises `CorpusError` as `split`."""
        return super().split(name)

    def split(self, name: str) -> datasets.Dataset:
        """One split, memory-mapped; see `Corpus.split`."""
        if name not in self._files:
            stream, file = self.stream(name), str(Path(self._scratch.name, f"{name}.arrow"))
            with ArrowWriter(path=file, features=stream.features) as writer:
                for table in _tables(stream, _READ_TOGETHER, self.name):
                    writer.write_table(table)
                writer.finalize()
            self._files[name] = datasets.Dataset.from_file(file)
        return self._files[name]


class StreamedUtterances:
    """
    The training split of a corpus as a stream of batches.

    Rows are taken in the order of the corpus into a window of whole dialogues, which is shuffled, cut into batches as
    `UtteranceBatchSampler` does, and given up for the next one. The longer the window, the more alike is this to
    training on the whole corpus; a window that holds it all is the same but for the order of the batches.

    Args:
        stream: rows of the row contract.
        processor: of the model.
        label_names: labels of the model, in order.
        va_scaling: see `scale_va`. The statistics are those of the whole split, for which its VA columns are read once
            beforehand, unless it is "none".
        window_rows: rows of a window at the least, but for a corpus that has fewer.
        name: of the split, for messages.

    Raises:
        CorpusError: `window_rows` below 1, or what `UtteranceDataset` refuses, when the row comes.
    """

    def __init__(
        self,
        stream: datasets.IterableDataset,
        processor: UnivaProcessor,
        label_names: Sequence[str],
        va_scaling: str = "none",
        window_rows: int = 2000,
        name: str = "stream",
    ):
        if window_rows < 1:
            raise CorpusError(f"a window must hold at least 1 row, got {window_rows}")
        self.stream, self.processor, self.label_names = stream, processor, list(label_names)
        self.va_scaling, self.window_rows, self.name = va_scaling, window_rows, name
        self._va = None if va_scaling == "none" else self._scaled_va()

    def _scaled_va(self) -> dict[str, np.ndarray]:
        columns = [name for name in self._va_columns if name in self.stream.features]
        reader = self.stream.select_columns(columns).with_format("arrow")
        tables = list(reader.iter(batch_size=1000)) if columns else []
        if not tables:
            return {}
        va = _known_va(pa.concat_tables(tables), columns)
        return {modality: scale_va(values, self.va_scaling) for modality, values in va.items()}

    @property
    def _va_columns(self) -> list[str]:
        return [f"{modality}_va" for modality in self.processor.modalities]

    def windows(self, num_processes: int = 1) -> Iterator[UtteranceDataset]:
        """The whole split once, in windows of whole dialogues, none shorter than the split or `num_processes` rows."""
        start = 0
        for table in self._tables(max(self.window_rows, num_processes)):
            rows = datasets.Dataset(InMemoryTable(table), info=datasets.DatasetInfo(features=self.stream.features))
            if self._va is None:
                va = _known_va(table, [name for name in self._va_columns if name in table.column_names])
            else:
                va = {modality: values[start : start + len(table)] for modality, values in self._va.items()}
            yield UtteranceDataset(rows, self.processor, self.label_names, va, self.name)
            start += len(table)

    def _tables(self, window_rows: int) -> Iterator[pa.Table]:
        kept: list[pa.Table] = []
        ready: pa.Table | None = None
        for table in _tables(self.stream, min(_READ_TOGETHER, window_rows), self.name):
            kept.append(table)
            if sum(map(len, kept)) < window_rows:
                continue
            window = pa.concat_tables(kept)
            edge = _last_dialogue(window)
            if edge < window_rows:
                continue
            if ready is not None:
                yield ready
            ready, kept = window.slice(0, edge), [window.slice(edge)]
        rest = [table for table in (ready, *kept) if table is not None]
        # The end joins the last window: alone it might be too short to be shuffled, or to be shared by processes.
        if rest:
            yield pa.concat_tables(rest).combine_chunks()


class StreamedBatches(IterableDataset):
    """
    Batches of model inputs, with VA, epoch after epoch without end: a run over a stream ends by `max_steps`.

    Of every `num_processes` batches that belong to one step, each process has one. All of them read the whole stream:
    files are not shared, as their rows differ in number and a dialogue may go through a border. The order depends on
    the seed alone, so that a run that is resumed skips what it has had.

    Args:
        utterances: where they come from.
        batch_size, batching, num_processes, seed: as of `UtteranceBatchSampler`.
        process_index: which of the processes this is.
    """

    def __init__(
        self,
        utterances: StreamedUtterances,
        batch_size: int,
        batching: str = "length",
        num_processes: int = 1,
        process_index: int = 0,
        seed: int = 0,
    ):
        self.utterances, self.batch_size, self.batching = utterances, batch_size, batching
        self.num_processes, self.process_index, self.seed = num_processes, process_index, seed

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        number = itertools.count()
        while True:
            for window in self.utterances.windows(self.num_processes):
                collate = UtteranceCollator(window, with_va=True)
                sampler = UtteranceBatchSampler(
                    window.lengths, window.dialogues, self.batch_size, self.batching, self.num_processes, self.seed
                )
                sampler.set_epoch(next(number))
                for indices in itertools.islice(sampler, self.process_index, None, self.num_processes):
                    yield collate(window.__getitems__(indices))


def _tables(stream: datasets.IterableDataset, size: int, name: str) -> Iterator[pa.Table]:
    """Rows of a stream as they come. Raises `CorpusError` for a file that cannot be read to its end."""
    try:
        yield from stream.with_format("arrow").iter(batch_size=size)
    except (OSError, pa.ArrowException) as error:
        reason = one_line(error)
        raise CorpusError(
            f"{name}: a file of it cannot be read ({reason}); build the corpus again, or download it again"
        ) from error


def _last_dialogue(table: pa.Table) -> int:
    """Row at which the last dialogue begins."""
    names = table.column("dialogue_id").to_pylist()
    return next((row + 1 for row in range(len(names) - 2, -1, -1) if names[row] != names[-1]), 0)


def _known_va(table: pa.Table, columns: Sequence[str]) -> dict[str, np.ndarray]:
    found = {}
    for name in columns:
        column = table.column(name).combine_chunks()
        va = np.full((len(table), 2), np.nan, dtype=np.float32)
        known = column.is_valid().to_numpy(zero_copy_only=False)
        va[known] = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, 2)
        found[name.removesuffix("_va")] = va
    return found
