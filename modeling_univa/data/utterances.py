# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Rows of a corpus as a memory-mapped torch data set, and their way into model inputs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch.utils.data import Dataset as TorchDataset
from transformers import PreTrainedModel

from ..models.configuration_emotion import MODALITIES
from ..models.limits_univa import check_limit
from ..models.processing_univa import UnivaProcessor, pad_frames, speaker_indices
from ..options import verb
from ..scores.shared_labels import SharedLabels
from .label_map import describe_label_map
from .schema import FACE_EMOTIONS, CorpusError, feature_column
from .text_states import TEXT_STATES, TextStates
from .va_scaling import scale_va


__all__ = ["UtteranceCollator", "UtteranceDataset", "UtteranceRows", "known_va", "scaled_va", "speaker_names"]

_DIALOGUES_TOKENIZED_TOGETHER = 100


@dataclass(frozen=True)
class UtteranceRows:
    """
    Some rows of a corpus, features still in their Arrow buffers.

    Args:
        indices: place of each row in its split, shape (B,).
        features: one list column (float16 frames) for each input that comes as frames.
    """

    indices: np.ndarray
    features: pa.Table


class UtteranceDataset(TorchDataset):
    """
    One split of a corpus, ready for batching.

    Features stay in the memory-mapped file until a batch asks for them. What is small is held as arrays: labels, VA,
    dialogues, places and speakers, and the token ids of the dialogues, each dialogue tokenised and truncated once.

    Args:
        rows: the split, with the columns of the row contract.
        processor: of the model that will read it.
        label_names: labels of the model, in order.
        va: for each modality (valence, arousal), shape (rows, 2), NaN where unknown; see `known_va` and `scale_va`.
            Without it rows have no VA.
        name: of the split, for messages.
        text_encoder: of a model that does not train it. Its states of the utterances' own tokens are then computed
            once, where it lies, and batches have them in place of tokens; see `TextStates`.
        label_map: of rows with other labels than the model, the model's label for each of theirs, or the empty string;
            see [`resolve_label_map`]. What is scored then is `shared_labels`.

    Raises:
        CorpusError: no row, a column that the model needs is missing, features of another width, other labels, null
            where a name, a text or emotions must be, a text that is too long, rows of a dialogue that do not stand
            together, expressions of another number of faces than there are.
    """

    def __init__(
        self,
        rows: datasets.Dataset,
        processor: UnivaProcessor,
        label_names: Sequence[str],
        va: dict[str, np.ndarray] | None = None,
        name: str = "rows",
        text_encoder: PreTrainedModel | None = None,
        label_map: Mapping[str, str] | None = None,
    ):
        self.name = name
        self.processor = processor
        self.va = va or {}
        self.columns = {name: feature_column(name) for name in processor.extracted_sizes}
        self._check_columns(rows)
        for column in ("utterance_id", "dialogue_id", "emotions"):
            self._check_known(rows, column)
        self.labels = _multi_hot(rows, label_names, name, label_map)
        self.shared_labels = None if label_map is None else self._shared_labels(rows, label_names, label_map)
        self.dialogues = _dialogue_numbers(rows, name)
        self.positions, self.speakers = _positions(rows, self.dialogues), _speaker_numbers(rows, self.dialogues)
        # In place of a column of the file; and rows that have nothing of a column.
        self._replaced: dict[str, pa.Array] = {}
        self._removed: dict[str, np.ndarray] = {}
        columns = list(self.columns.values())
        self._features = rows.select_columns(columns).with_format("arrow") if columns else None
        self.frame_counts = {modality: _frame_counts(rows, column, name) for modality, column in self.columns.items()}
        self.utterance_ids, self.dialogue_ids = rows["utterance_id"], rows["dialogue_id"]
        self.speaker_names = speaker_names(rows)
        self._check_face_emotions(self.frame_counts.pop(FACE_EMOTIONS, None))
        self.text_states: TextStates | None = None
        if processor.tokenizer is not None and "text" in processor.modalities:
            self._tokenize(rows)
            if text_encoder is not None:
                self._encode(text_encoder)

    def _shared_labels(
        self, rows: datasets.Dataset, label_names: Sequence[str], label_map: Mapping[str, str]
    ) -> SharedLabels:
        names = [name for name in label_names if name in label_map.values()]
        lost = (_list_lengths(_column(rows, "emotions")) > 0) & ~self.labels.any(axis=1)
        if lost.all():
            raise CorpusError(
                f"{self.name}: every row has labels that `label_map` maps to nothing alone, so that none can be "
                "scored; map more of them"
            )
        columns = np.array([list(label_names).index(name) for name in names])
        return SharedLabels(names, columns, ~lost, describe_label_map(label_map, label_names))

    def _check_columns(self, rows: datasets.Dataset) -> None:
        if len(rows) == 0:
            raise CorpusError(f"{self.name}: there is no row; fill the split or leave it out")
        for modality, column in self.columns.items():
            if column not in rows.features:
                raise CorpusError(f"{self.name}: no column `{column}`, {_without(modality)}")
            found, size = rows.features[column].feature.length, self.processor.extracted_sizes[modality]
            if found != size:
                raise CorpusError(
                    f"{self.name}: `{column}` are {found} numbers wide, and the model takes {size}; train on the "
                    "features that the model was made for"
                )

    def _check_face_emotions(self, counts: np.ndarray | None) -> None:
        if counts is None:
            return
        faces = self.frame_counts["vision"]
        wrong = np.flatnonzero((counts != faces) & (counts > 0))
        if wrong.size:
            row = int(wrong[0])
            raise CorpusError(
                f"{self.name}: row {self.utterance_ids[row]!r} has {counts[row]} frames of `{FACE_EMOTIONS}` and "
                f"{faces[row]} of `vision_features`, expected as many; make them of the same faces"
            )

    def _check_known(self, rows: datasets.Dataset, column: str) -> None:
        found = _column(rows, column)
        row = pc.index(found.is_null(), True).as_py()
        if row >= 0:
            names = {"emotions": "a list of labels, empty where there is none", "text": "the transcript"}
            raise CorpusError(
                f"{self.name}: row {rows[row]['utterance_id'] or row!r} has null in the column {column!r}, expected "
                f"{names.get(column, 'a name')}; fill it in, or remove the row"
            )

    def _check_texts(self, rows: datasets.Dataset) -> None:
        missing = _column(rows, "text").null_count
        if missing:
            first = self.utterance_ids[pc.index(_column(rows, "text").is_null(), True).as_py()]
            others = " ".join(name for name in self.processor.modalities if name != "text")
            without = f", or leave the text out with `modalities` {others}" if others else ""
            raise CorpusError(
                f"{self.name}: {missing} of {len(rows)} rows {verb(missing, 'has', 'have')} no text, the first "
                f"{first!r}, and the model reads text; fill it in or remove {verb(missing, 'it', 'them')}{without}"
            )
        lengths = pc.utf8_length(_column(rows, "text"))
        longest = pc.max(lengths).as_py()
        try:
            check_limit("characters", longest, "the length of its text")
        except ValueError as error:
            row = pc.index(lengths, longest).as_py()
            raise CorpusError(f"{self.name}: row {rows[row]['utterance_id']!r}: {error}") from None

    def _tokenize(self, rows: datasets.Dataset) -> None:
        self._check_texts(rows)
        self.token_rows: list[np.ndarray] = []
        self.row_of_utterance = np.empty(len(rows), dtype=np.int64)
        self.spans = np.empty((len(rows), 2), dtype=np.int64)
        for start, token_ids in self._tokenized_dialogues(rows["text"]):
            for row in self.processor.build_dialogue(token_ids):
                stop = start + len(row.spans)
                self.row_of_utterance[start:stop] = len(self.token_rows)
                self.spans[start:stop] = row.spans
                self.token_rows.append(row.input_ids.astype(np.int32))
                start = stop

    def _tokenized_dialogues(self, texts: Sequence[str]) -> Iterator[tuple[int, list[list[int]]]]:
        """First row of each dialogue, and the token ids of its utterances."""
        edges = np.append(np.flatnonzero(np.diff(self.dialogues, prepend=-1)), len(texts))
        # Not all at once: what a tokenizer makes of a text is many times the size of its ids.
        for first in range(0, len(edges) - 1, _DIALOGUES_TOKENIZED_TOGETHER):
            block = edges[first : first + _DIALOGUES_TOKENIZED_TOGETHER + 1]
            token_ids = self.processor.tokenize(texts[block[0] : block[-1]])
            for start, end in zip(block, block[1:], strict=False):
                yield start, token_ids[start - block[0] : end - block[0]]

    def _encode(self, encoder: PreTrainedModel) -> None:
        """Let states take the place of the tokens."""
        where = self.token_rows, self.row_of_utterance, self.spans
        self.text_states = TextStates(encoder, self.processor, *where, self.name)
        self.frame_counts["text"] = self.text_states.lengths
        del self.token_rows, self.row_of_utterance, self.spans

    def without(self, modality: str, removed: np.ndarray) -> "UtteranceDataset":
        """
        The same rows, some of which lack a modality, as if the corpus had nothing of it. Text that is removed is
        removed from the dialogue too, where other utterances would see it; what was cut to fit a dialogue stays cut.

        Args:
            modality: "text", "audio" or "vision".
            removed (`np.ndarray` of shape `(rows,)`, bool): which rows lose it.

        Raises:
            ValueError: text comes as states of a frozen encoder, which have seen all of the dialogue.
        """
        if modality == "text" and self.text_states is not None:
            raise ValueError(
                "Text cannot be removed from states of an encoder: make the split without `text_encoder`."
            )
        found = copy(self)
        if modality == "text" and self.has_tokens:
            found._remove_tokens(removed)
            return found
        names = (modality, FACE_EMOTIONS) if modality == "vision" else (modality,)
        lost = {self.columns[name]: removed for name in names if name in self.columns}
        kept = {column: self._removed.get(column, False) | rows for column, rows in lost.items()}
        found._removed = {**self._removed, **kept}
        found.frame_counts = {**self.frame_counts, modality: np.where(removed, 0, self.frame_counts[modality])}
        return found

    def with_features(self, modality: str, frames: Sequence[np.ndarray | None]) -> "UtteranceDataset":
        """
        The same rows with other features of a modality.

        Args:
            modality: that comes as features.
            frames: of each row, `(frames, k)`; `None` where it has none.
        """
        found, column = copy(self), self.columns[modality]
        lengths = np.array([0 if one is None else len(one) for one in frames])
        size = self.processor.extracted_sizes[modality]
        values = np.concatenate([np.zeros((0, size), np.float16), *(one for one in frames if one is not None)])
        flat = pa.FixedSizeListArray.from_arrays(pa.array(values.astype(np.float16).reshape(-1)), size)
        offsets = pa.array(np.cumsum([0, *lengths]), pa.int32())
        found._replaced = {**self._replaced, column: pa.ListArray.from_arrays(offsets, flat)}
        found.frame_counts = {**self.frame_counts, modality: lengths}
        return found

    def _remove_tokens(self, removed: np.ndarray) -> None:
        self.token_rows, self.spans = list(self.token_rows), self.spans.copy()
        for number in np.unique(self.row_of_utterance[removed]):
            utterances = np.flatnonzero(self.row_of_utterance == number)
            ids = self.token_rows[number]
            own = [[] if removed[row] else ids[slice(*self.spans[row])].tolist() for row in utterances]
            # One row as before: it depends on the number of utterances alone.
            (dialogue,) = self.processor.build_dialogue(own)
            self.token_rows[number] = dialogue.input_ids.astype(np.int32)
            self.spans[utterances] = dialogue.spans

    @property
    def lengths(self) -> np.ndarray:
        """
        Cost of each row, for length grouping: its frames, and the tokens of its dialogue, or as states its own; shape
        (rows,).
        """
        total = sum(self.frame_counts.values(), np.zeros(len(self), dtype=np.int64))
        if self.has_tokens:
            total = total + np.array([len(row) for row in self.token_rows])[self.row_of_utterance]
        return total

    @property
    def has_tokens(self) -> bool:
        """Whether text comes as tokens of a pretrained encoder."""
        return hasattr(self, "token_rows")

    def count_cut(self) -> dict[str, int]:
        """Rows of each modality with more frames than the model takes; they are cut at the end."""
        limits = self.processor.max_lengths
        return {
            modality: int((counts > limits[modality]).sum())
            for modality, counts in self.frame_counts.items()
            if limits.get(modality)
        }

    def batches(self, size: int) -> Iterator[dict[str, torch.Tensor]]:
        """All rows as model inputs, in order, `size` of them at a time."""
        collate = UtteranceCollator(self)
        for start in range(0, len(self), size):
            yield collate(self.__getitems__(list(range(start, min(start + size, len(self))))))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> UtteranceRows:
        return self._rows([index])

    def __getitems__(self, indices: list[int]) -> list[UtteranceRows]:
        """What DataLoader calls: all rows of a batch at once."""
        return [self._rows(indices)]

    def _rows(self, indices: list[int]) -> UtteranceRows:
        features = pa.table({}) if self._features is None else self._changed(self._features[indices], indices)
        if self.text_states is not None:
            columns = [*features.columns, self.text_states[indices]]
            features = pa.table(columns, [*features.column_names, TEXT_STATES])
        return UtteranceRows(np.asarray(indices), features)

    def _changed(self, features: pa.Table, indices: list[int]) -> pa.Table:
        """Features of rows as `with_features` and `without` changed them."""
        for place, name in enumerate(features.column_names):
            column, lost = features.column(name), self._removed.get(name)
            if name in self._replaced:
                column = pa.chunked_array([self._replaced[name].take(pa.array(indices, pa.int64()))])
            if lost is not None:
                places = [None if lost[index] else row for row, index in enumerate(indices)]
                column = pa.chunked_array([column.combine_chunks().take(pa.array(places, pa.int64()))])
            features = features.set_column(place, name, column)
        return features


class UtteranceCollator:
    """
    Rows of an `UtteranceDataset` to model inputs (names and shapes: [`UnivaModel.forward`]), and their VA.

    Of every utterance there are also its dialogue, its `position` there and its `speaker_index`, (B,) long each.
    Speakers are numbered 0, 1, 2, … as they first speak in the dialogue; -1 is an unknown one.

    Args:
        dataset: where the rows are from.
        with_va: also give `text_va`, `audio_va`, `vision_va` (B, 2), for the objective; evaluation has no use for it.
    """

    def __init__(self, dataset: UtteranceDataset, with_va: bool = False):
        self.dataset = dataset
        self.with_va = with_va

    def __call__(self, parts: Sequence[UtteranceRows]) -> dict[str, torch.Tensor]:
        """One batch of the rows of all `parts`, in order."""
        dataset, rows = self.dataset, _joined(parts)
        indices = rows.indices
        # Labels come first: Trainer reads the batch size off the first tensor.
        batch = {"labels": torch.from_numpy(dataset.labels[indices].astype(np.float32)), **self._text_inputs(indices)}
        if dataset.text_states is not None:
            batch.update(_padded_states(rows))
        names = self._names(indices)
        for name, column in dataset.columns.items():
            values, lengths = flatten_frames(rows.features.column(column))
            if name == FACE_EMOTIONS:
                faces = batch["vision_attention_mask"].shape[1]
                batch[name] = dataset.processor.pad_face_emotions(values, lengths, faces, names)
            else:
                batch.update(dataset.processor.pad_features(name, values, lengths, names))
        if self.with_va:
            batch.update({f"{name}_va": torch.from_numpy(va[indices]) for name, va in dataset.va.items()})
        return batch

    def _names(self, indices: np.ndarray) -> Callable[[int], str]:
        return lambda row: f"row {self.dataset.utterance_ids[int(indices[row])]!r} of {self.dataset.name}"

    def _text_inputs(self, indices: np.ndarray) -> dict[str, torch.Tensor]:
        """Where the utterances are, in which dialogue and by whom, and the tokens of their dialogues."""
        dataset = self.dataset
        rows = dataset.row_of_utterance if dataset.has_tokens else dataset.dialogues
        used, dialogue_index = np.unique(rows[indices], return_inverse=True)
        inputs = {"dialogue_index": torch.from_numpy(dialogue_index.astype(np.int64))}
        if dataset.has_tokens:
            inputs["utterance_span"] = torch.from_numpy(dataset.spans[indices])
        inputs["position"] = torch.from_numpy(dataset.positions[indices])
        inputs["speaker_index"] = torch.from_numpy(dataset.speakers[indices])
        if dataset.has_tokens:
            inputs |= dataset.processor.pad_dialogues([dataset.token_rows[row] for row in used])
        return inputs


def _without(modality: str) -> str:
    """What to do about a column that is missing."""
    if modality == FACE_EMOTIONS:
        return "which the model reads; extract it with `face_emotions`, or set `face_emotion_size` to 0"
    return (
        f"which a model with {modality} needs; build the corpus with features of {modality}, or leave it out of "
        "`modalities`"
    )


def _padded_states(rows: UtteranceRows) -> dict[str, torch.Tensor]:
    states, mask = pad_frames(*flatten_frames(rows.features.column(TEXT_STATES)))
    return {"text_states": torch.from_numpy(states), "text_attention_mask": torch.from_numpy(mask)}


def _joined(parts: Sequence[UtteranceRows]) -> UtteranceRows:
    if len(parts) == 1:
        return parts[0]
    tables = [part.features for part in parts]
    return UtteranceRows(np.concatenate([part.indices for part in parts]), pa.concat_tables(tables))


def flatten_frames(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """
    Frames of a feature column end to end, without a Python object for each number.

    Returns:
        `(values, lengths)`: float16 (sum of lengths, k), and the frames of each row (rows,), 0 where it is null.
    """
    array = column.combine_chunks()
    frames = array.flatten()
    values = frames.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(frames), frames.type.list_size), _list_lengths(column)


def known_va(rows: datasets.Dataset, modalities: Sequence[str] = MODALITIES) -> dict[str, np.ndarray]:
    """(valence, arousal) columns of a split, as they are: float32 (rows, 2) each, NaN where unknown."""
    return {modality: _va_column(rows, f"{modality}_va") for modality in modalities}


def scaled_va(rows: datasets.Dataset, scaling: str, modalities: Sequence[str] = MODALITIES) -> dict[str, np.ndarray]:
    """VA of the training split, scaled; see `scale_va`."""
    return {modality: scale_va(va, scaling) for modality, va in known_va(rows, modalities).items()}


def speaker_names(rows: datasets.Dataset) -> list[str | None] | None:
    """Who speaks in each row, `None` where unknown; `None` for all where the corpus does not say."""
    if "speaker" not in rows.features:
        return None
    kind, found = rows.features["speaker"], _column(rows, "speaker").to_pylist()
    to_name = kind.int2str if isinstance(kind, datasets.ClassLabel) else str
    names = [None if name is None else to_name(name).strip() for name in found]
    return [name or None for name in names]


def _column(rows: datasets.Dataset, column: str) -> pa.Array:
    """A column of small cells as a whole, in its Arrow buffers."""
    return rows.select_columns([column]).with_format("arrow")[:].column(column).combine_chunks()


def _va_column(rows: datasets.Dataset, column: str) -> np.ndarray:
    if column not in rows.features:
        return np.full((len(rows), 2), np.nan, dtype=np.float32)
    array = _column(rows, column)
    va = np.full((len(rows), 2), np.nan, dtype=np.float32)
    va[array.is_valid().to_numpy(zero_copy_only=False)] = array.flatten().to_numpy(zero_copy_only=False).reshape(-1, 2)
    return va


def _frame_counts(rows: datasets.Dataset, column: str, name: str) -> np.ndarray:
    # By and by, since the features of a filtered split would all be copied into memory at once.
    counts = [np.zeros(0, dtype=np.int64)]
    for batch in rows.select_columns([column]).with_format("arrow").iter(batch_size=1000):
        lists = batch.column(column).combine_chunks()
        counts.append(_list_lengths(lists))
        frames = lists.flatten()
        if frames.null_count:
            frame = pc.index(frames.is_null(), True).as_py() + sum(part.sum() for part in counts[:-1])
            row = int(np.searchsorted(np.concatenate(counts).cumsum(), frame, side="right"))
            raise CorpusError(
                f"{name}: row {rows[row]['utterance_id']!r} has null for a frame in the column {column!r}, expected "
                f"{frames.type.list_size} numbers; leave the frame out, or build the corpus again"
            )
    return np.concatenate(counts)


def _list_lengths(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    return pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)


def _multi_hot(
    rows: datasets.Dataset, label_names: Sequence[str], name: str, label_map: Mapping[str, str] | None = None
) -> np.ndarray:
    found = rows.features["emotions"].feature.names
    if label_map is None and sorted(found) != sorted(label_names):
        raise CorpusError(
            f"{name}: the corpus has the labels {found}, and the model has {list(label_names)}; an evaluation with "
            "`label_map` scores those that they share"
        )
    column, places = _column(rows, "emotions"), {label: place for place, label in enumerate(label_names)}
    # −1 is a label that is left out.
    to_model = np.array([places.get(label if label_map is None else label_map[label], -1) for label in found])
    labels = np.zeros((len(rows), len(label_names)), dtype=np.uint8)
    numbers = pc.fill_null(column.flatten(), -1).to_numpy(zero_copy_only=False)
    owners = np.repeat(np.arange(len(rows)), _list_lengths(column))
    wrong = np.flatnonzero((numbers < 0) | (numbers >= len(found)))
    if wrong.size:
        raise CorpusError(
            f"{name}: row {rows[int(owners[wrong[0]])]['utterance_id']!r} has the label {numbers[wrong[0]]}, expected "
            f"numbers from 0 to {len(found) - 1}, which stand for {', '.join(found)}; build the corpus again"
        )
    targets = to_model[numbers]
    labels[owners[targets >= 0], targets[targets >= 0]] = 1
    return labels


def _dialogue_numbers(rows: datasets.Dataset, name: str) -> np.ndarray:
    identifiers = np.array(_column(rows, "dialogue_id").to_pylist(), dtype=object)
    first = np.flatnonzero(np.concatenate([[True], identifiers[1:] != identifiers[:-1]]))
    if len(set(identifiers[first])) != len(first):
        raise CorpusError(f"{name}: the rows of a dialogue do not stand together; sort the split by dialogue")
    return np.repeat(np.arange(len(first)), np.diff([*first, len(identifiers)]))


def _positions(rows: datasets.Dataset, dialogues: np.ndarray) -> np.ndarray:
    """Place of each row in its dialogue, as the corpus says, else among the rows that there are; shape (rows,)."""
    places = np.arange(len(dialogues)) - np.searchsorted(dialogues, dialogues)
    if "position" not in rows.features:
        return places
    column = _column(rows, "position")
    known = column.is_valid().to_numpy(zero_copy_only=False)
    return np.where(known, pc.fill_null(column, 0).to_numpy(zero_copy_only=False), places).astype(np.int64)


def _speaker_numbers(rows: datasets.Dataset, dialogues: np.ndarray) -> np.ndarray:
    """Speakers of each dialogue in order of their first utterance, -1 where unknown; shape (rows,)."""
    if "speaker" not in rows.features:
        return np.full(len(dialogues), -1, dtype=np.int64)
    return speaker_indices(_column(rows, "speaker").to_pylist(), dialogues.tolist())
