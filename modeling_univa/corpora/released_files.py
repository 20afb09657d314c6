# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The data files that the authors of UniVA published for MOSEI and M3ED: labels, dialogues, VA scores and features."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..data.schema import CorpusError, RowError
from ..data.tables import read_json
from ..data.unpickler import load_restricted_pickle
from ..models.configuration_emotion import MODALITIES
from ..models.processing_univa import PRECOMPUTED
from ..options import OptionParser, counted, verb
from .builder import CorpusConfig, CorpusDescription, UnivaCorpusBuilder


__all__ = ["Annotation", "ReleasedConfig", "ReleasedCorpus"]

_DIFFERENCES = "label_differences.jsonl"
# Scores in the JSON file have four decimals.
_VA_TOLERANCE = 1e-3
_LARGEST_VA_OVERSHOOT = 1.25


@dataclass
class ReleasedConfig(CorpusConfig):
    """Options of the builders of the released files.

    Args:
        label_source: "released" takes the labels from `labels_class` in the feature files, which is what the released
            code trains and scores on, so that results compare with the published ones; "annotations" takes those of
            the csv or JSON file.
        text_features: "glove" adds the released word vectors; "none" leaves them out.
    """

    label_source: str = "released"
    text_features: str = "none"


@dataclass(frozen=True)
class Annotation:
    """One utterance of the annotation file; `problem` says why it cannot be used, `order` is its place if told."""

    utterance_id: str
    dialogue_id: str
    text: str
    emotions: list[str]
    order: int | None = None
    problem: str | None = None


@dataclass(frozen=True)
class _Signal:
    """One modality of a split as released: frames (rows, length, size), mask (rows, length), VA (rows, 2)."""

    path: Path
    frames: np.ndarray
    mask: np.ndarray
    va: np.ndarray

    def row(self, index: int) -> np.ndarray | None:
        """Frames (true length, size) of a row, or `None` where its mask is all zero."""
        frames = self.frames[index][self.mask[index] == 1]
        return frames if len(frames) else None


class ReleasedCorpus(UnivaCorpusBuilder):
    """Base of the MOSEI and M3ED builders: subclasses read the annotation file.

    Feature rows follow the annotation file, dialogues follow videos_structure.json. All features of one split are in
    memory at a time, as they lie in one pickle each.
    """

    BUILDER_CONFIG_CLASS = ReleasedConfig
    DATASET: ClassVar[str]
    LABEL_NAMES: ClassVar[tuple[str, ...]]
    ANNOTATION_FILE: ClassVar[str]
    # Length of an entry of raw_utt_text_textVA.json: text, perhaps its translation, valence, arousal.
    TEXT_VA_LENGTH: ClassVar[int]
    # What made the features, by the width that it has.
    EXTRACTORS: ClassVar[dict[str, tuple[str, int]]]

    @classmethod
    def add_arguments(cls, parser: OptionParser) -> None:
        """Add the options of `ReleasedConfig`."""
        parser.add_argument(
            "--label-source",
            choices=("released", "annotations"),
            help="labels of the feature files, which the published results rest on (default), or of the annotations",
        )
        parser.rename_option("--labels", "--label-source")
        parser.add_argument("--text-features", choices=("none", "glove"), help="add the word vectors (default none)")

    def read_annotations(self) -> dict[str, list[Annotation]]:
        """Utterances of every split in the order of the annotation file. Raises `CorpusError`."""
        raise NotImplementedError

    def describe(self) -> CorpusDescription:
        """Read dialogues, annotations and text VA, and the features of the first split for their width."""
        self.root = self._find_root()
        data = self.root / "preprocess_data"
        self._text_va = read_json(data / "raw_utt_text_textVA.json")
        structure = read_json(data / "videos_structure.json")
        self._annotations = self.read_annotations()
        if set(structure) != set(self._annotations) or not structure:
            raise CorpusError(
                f"{data / 'videos_structure.json'} has the splits {sorted(structure)}, {self.ANNOTATION_FILE} has "
                f"{sorted(self._annotations)}; the files do not belong together"
            )
        self._index = {split: _by_id(rows, self.ANNOTATION_FILE) for split, rows in self._annotations.items()}
        self._check_files_exist()
        self._dialogues = {split: self._match(split, _dialogues(structure[split], split)) for split in structure}
        self._loaded_split: str | None = None
        self._signals: dict[str, _Signal] = {}
        self._labels: dict[str, np.ndarray] = {}
        self._load(next(iter(structure)))
        return CorpusDescription(
            label_names=list(self.LABEL_NAMES),
            splits=dict.fromkeys(structure, "preprocess_data/videos_structure.json"),
            extractors={modality: self._made_by(modality) for modality in self._signals},
            files=[
                self.root / self.ANNOTATION_FILE,
                data / "videos_structure.json",
                data / "raw_utt_text_textVA.json",
            ],
        )

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """Utterances in the order of the dialogues, with the emotions of the annotation file."""
        for dialogue_id, utterance_ids in self._dialogues[split].items():
            for position, utterance_id in enumerate(utterance_ids):
                annotation = self._annotations[split][self._index[split][utterance_id]]
                yield {
                    "utterance_id": utterance_id,
                    "dialogue_id": dialogue_id,
                    "position": position,
                    "speaker": None,
                    "text": annotation.text,
                    "emotions": annotation.emotions,
                }

    def signals(self, split: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """Released features, VA and, where they are wanted, labels of a row."""
        if self._loaded_split != split:
            self._load(split)
        index = self._index[split][row["utterance_id"]]
        problem = self._annotations[split][index].problem
        if problem:
            raise RowError(problem)
        found: dict[str, Any] = {"text_va": self._text_va_of(split, row["utterance_id"])}
        for modality, signal in self._signals.items():
            found[f"{modality}_features"] = signal.row(index)
            if modality != "text":
                found[f"{modality}_va"] = signal.va[index]
        if self.config.label_source == "released":
            found["emotions"] = self._names(self._labels["audio"][index])
        return found

    def _find_root(self) -> Path:
        source = Path(self.config.source)
        for root in (source / self.DATASET, source):
            if (root / "preprocess_data").is_dir():
                return root
        raise CorpusError(
            f"{source} holds no {self.DATASET}/preprocess_data; pass the folder that holds {self.DATASET}"
        )

    def _path(self, split: str, modality: str) -> Path:
        folder = self.root / "preprocess_data" / "final_feat" / modality[0].upper()
        name = "text_glove300_VA" if modality == "text" else f"{modality}_utt_VA"
        return folder / f"{self.DATASET}_{split}_{name}.pkl"

    def _modalities(self) -> list[str]:
        text, labels = self.config.text_features, self.config.label_source
        if text not in ("none", "glove") or labels not in ("released", "annotations"):
            raise CorpusError(
                f"`text_features` {text!r}, `label_source` {labels!r}: expected 'none' or 'glove', and 'released' or "
                "'annotations'"
            )
        return [name for name in MODALITIES if name != "text" or self.config.text_features == "glove"]

    def _check_files_exist(self) -> None:
        paths = [self._path(split, modality) for split in self._annotations for modality in self._modalities()]
        for path in paths:
            if not path.is_file():
                raise CorpusError(f"{path} is not there; copy the whole preprocess_data folder")

    def _match(self, split: str, dialogues: Mapping[str, list[str]]) -> dict[str, list[str]]:
        """Dialogues with the utterances that are annotated; the others, and those in no dialogue, are rejected."""
        annotations, index = self._annotations[split], self._index[split]
        kept = {name: [one for one in utterances if one in index] for name, utterances in dialogues.items()}
        for name, utterances in dialogues.items():
            for one in utterances:
                if one not in index:
                    reason = f"videos_structure.json: utterance {one!r} is not in {self.ANNOTATION_FILE}"
                    self._reject(split, {"utterance_id": one, "dialogue_id": name}, reason)
                elif annotations[index[one]].dialogue_id != name:
                    raise CorpusError(f"videos_structure.json: utterance {one!r} is in dialogue {name!r}; correct it")
        placed = {one for utterances in kept.values() for one in utterances}
        for annotation in annotations:
            if annotation.utterance_id not in placed:
                reason = (
                    f"{self.ANNOTATION_FILE}: utterance {annotation.utterance_id!r} is not in videos_structure.json"
                )
                self._reject(split, vars(annotation), reason)
        self._note_order(split, kept)
        self._note_text_va(split)
        return kept

    def _note_order(self, split: str, dialogues: Mapping[str, list[str]]) -> None:
        annotations, index = self._annotations[split], self._index[split]
        unordered = []
        for name, utterances in dialogues.items():
            order = [place for one in utterances if (place := annotations[index[one]].order) is not None]
            if order != sorted(set(order)):
                unordered.append(name)
        if unordered:
            found = counted(len(unordered), "dialogue")
            self.notes.append(
                f"{split}: the order in {found} ({unordered[0]!r}, …) differs from that in "
                f"{self.ANNOTATION_FILE}; videos_structure.json is followed."
            )

    def _note_text_va(self, split: str) -> None:
        annotations, entries = self._annotations[split], self._text_va.get(split, {})
        if not isinstance(entries, dict):
            raise CorpusError(
                f"raw_utt_text_textVA.json: expected an object for split {split}, found {_kind(entries)}"
            )
        absent = [one.utterance_id for one in annotations if one.utterance_id not in entries]
        if absent:
            utterances, have = counted(len(absent), "utterance"), verb(len(absent), "has", "have")
            self.notes.append(
                f"{split}: {utterances} ({absent[0]!r}, …) {have} no entry in raw_utt_text_textVA.json; "
                "the text VA is unknown there."
            )
        other = [one for one in annotations if _first(entries.get(one.utterance_id)) not in (None, one.text)]
        if other:
            utterances, have = counted(len(other), "utterance"), verb(len(other), "has", "have")
            self.notes.append(
                f"{split}: {utterances} ({other[0].utterance_id!r}, …) {have} another text in "
                f"raw_utt_text_textVA.json; the corpus has that of {self.ANNOTATION_FILE}."
            )

    def _text_va_of(self, split: str, utterance_id: str) -> list[Any] | None:
        entry = self._text_va.get(split, {}).get(utterance_id)
        if entry is None:
            return None
        if not isinstance(entry, list) or len(entry) != self.TEXT_VA_LENGTH:
            raise RowError(f"raw_utt_text_textVA.json: expected a list of {self.TEXT_VA_LENGTH}, found {entry!r}")
        return entry[-2:]

    def _made_by(self, modality: str) -> dict[str, Any]:
        """Features of another width than the published ones were made by something that we cannot name."""
        name, published_size = self.EXTRACTORS[modality]
        size = self._signals[modality].frames.shape[2]
        known = name if size == published_size else "unknown"
        return {"extractor_type": PRECOMPUTED, "name": known, "feature_size": size}

    def _load(self, split: str) -> None:
        sizes = {modality: signal.frames.shape[2] for modality, signal in self._signals.items()}
        # Two splits of 16,000 x 150 x 1024 floats would be twice the memory.
        self._signals.clear()
        self._labels.clear()
        for modality in self._modalities():
            signal = self._signals[modality] = self._read_signal(split, modality)
            size = signal.frames.shape[2]
            if size != sizes.get(modality, size):
                raise CorpusError(f"{signal.path}: features of width {size}, other splits have {sizes[modality]}")
        self._report_labels(split)
        self._note_glove_va(split)
        self._loaded_split = split

    def _read_signal(self, split: str, modality: str) -> _Signal:
        path = self._path(split, modality)
        table = load_restricted_pickle(path)
        if modality != "text":
            table = self._split_table(table, split, path)
            self._labels[modality] = self._array(table, "labels_class", (split, len(self.LABEL_NAMES)), path)
            _check_binary(self._labels[modality], "labels_class", path)
        frames = self._array(table, modality, (split, None, None), path)
        mask = self._array(table, f"{modality}_utt_mask", (split, frames.shape[1]), path)
        _check_binary(mask, f"{modality}_utt_mask", path)
        va = self._array(table, f"{modality}_VA_values", (split, 2), path)
        return _Signal(path, frames, mask, self._clip_va(va, split, path))

    def _clip_va(self, va: np.ndarray, split: str, path: Path) -> np.ndarray:
        """Scoring models are regressions and overshoot a little; what is far off stays, and its row is rejected."""
        slight = (np.abs(va) > 1) & (np.abs(va) <= _LARGEST_VA_OVERSHOOT)
        if slight.any():
            rows = counted(slight.any(axis=1).sum(), "row")
            self.notes.append(
                f"{split}: VA of {rows} in {path.name} lies a little outside [-1, 1], "
                f"up to {np.abs(va[slight]).max():.3f}, and was clipped."
            )
        return np.where(slight, np.clip(va, -1, 1), va)

    def _split_table(self, loaded: Any, split: str, path: Path) -> Any:
        if not isinstance(loaded, dict) or split not in loaded or "num_labels" not in loaded:
            found = sorted(map(str, loaded)) if isinstance(loaded, dict) else type(loaded).__name__
            raise CorpusError(f"{path}: expected the keys {split!r} and 'num_labels', found {found}")
        if loaded["num_labels"] != len(self.LABEL_NAMES):
            raise CorpusError(
                f"{path}: num_labels is {loaded['num_labels']}, {self.DATASET} has {len(self.LABEL_NAMES)}"
            )
        return loaded[split]

    def _array(self, table: Any, key: str, shape: tuple[Any, ...], path: Path) -> np.ndarray:
        """An array of numbers; `shape` begins with the split, whose utterances its rows are, `None` is any length."""
        split, *rest = shape
        if not isinstance(table, dict) or key not in table:
            found = sorted(map(str, table)) if isinstance(table, dict) else type(table).__name__
            raise CorpusError(f"{path}: no {key!r}, found {found}")
        array, num_rows = table[key], len(self._annotations[split])
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
            raise CorpusError(f"{path}: expected {key!r} to be an array of numbers, found {_kind(array)}")
        expected = (
            num_rows,
            *(size if want is None else want for want, size in zip(rest, array.shape[1:], strict=False)),
        )
        if array.ndim != len(shape) or array.shape != expected:
            raise CorpusError(
                f"{path}: {key!r} has the shape {array.shape}, but {self.ANNOTATION_FILE} lists {num_rows} utterances "
                f"for {split} and {('rows', *rest)} is expected; the files do not belong together"
            )
        return array

    def _report_labels(self, split: str) -> None:
        """Compare both feature files' labels with the annotations, row by row."""
        differing = set()
        for modality, labels in self._labels.items():
            for index, annotation in enumerate(self._annotations[split]):
                released = self._names(labels[index])
                if set(released) != set(annotation.emotions):
                    differing.add(index)
                    where = {"split": split, "utterance_id": annotation.utterance_id, "file": f"{modality} features"}
                    both = {"annotations": annotation.emotions, "labels_class": released}
                    self.side_files.setdefault(_DIFFERENCES, []).append({**where, **both})
        listed = f" (see {_DIFFERENCES})" if differing else ""
        used = "labels_class" if self.config.label_source == "released" else self.ANNOTATION_FILE
        self.notes.append(
            f"{split}: labels_class differs from {self.ANNOTATION_FILE} in {len(differing)} of "
            f"{len(self._annotations[split])} rows{listed}; the corpus has the labels of {used}."
        )

    def _note_glove_va(self, split: str) -> None:
        if "text" not in self._signals:
            return
        unequal = 0
        for annotation, va in zip(self._annotations[split], self._signals["text"].va, strict=True):
            try:
                entry = self._text_va_of(split, annotation.utterance_id) or (np.nan, np.nan)
                unequal += not np.allclose(np.asarray(entry, float), va, atol=_VA_TOLERANCE, equal_nan=True)
            except ValueError:
                continue  # the row is rejected for it later
        if unequal:
            self.notes.append(
                f"{split}: text VA of the word-vector file differs from raw_utt_text_textVA.json in {unequal} of "
                f"{len(self._annotations[split])} rows; the corpus has that of raw_utt_text_textVA.json."
            )

    def _names(self, multi_hot: np.ndarray) -> list[str]:
        return [name for name, active in zip(self.LABEL_NAMES, multi_hot, strict=True) if active]


def _by_id(annotations: list[Annotation], file: str) -> dict[str, int]:
    index: dict[str, int] = {}
    for place, annotation in enumerate(annotations):
        if annotation.utterance_id in index:
            raise CorpusError(f"{file}: utterance {annotation.utterance_id!r} is there twice; keep one of them")
        index[annotation.utterance_id] = place
    return index


def _dialogues(found: Any, split: str) -> dict[str, list[str]]:
    if not isinstance(found, dict) or not all(isinstance(ids, list) for ids in found.values()):
        raise CorpusError(f"videos_structure.json: expected {{dialogue: [utterance, …]}} for split {split}")
    for dialogue, ids in found.items():
        odd = [one for one in ids if not isinstance(one, str)]
        if odd:
            raise CorpusError(f"videos_structure.json: dialogue {dialogue!r} has {odd[0]!r}, expected utterance ids")
    return found


def _first(entry: Any) -> Any:
    return entry[0] if isinstance(entry, list) and entry else None


def _check_binary(array: np.ndarray, key: str, path: Path) -> None:
    odd = array[~np.isin(array, (0, 1))]
    if odd.size:
        raise CorpusError(f"{path}: expected 0 and 1 in {key!r}, found {odd.flat[0]}; the file is damaged")


def _kind(value: Any) -> str:
    return f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
