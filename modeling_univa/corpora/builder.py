# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The builder that all corpora share: rows in, checked rows out, in whatever format `datasets` writes."""

import argparse
import json
import os
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import datasets
import numpy as np
from datasets.exceptions import DatasetGenerationError
from datasets.fingerprint import Hasher

from ..data.corpus_card import SplitStatistics
from ..data.row_types import row_features
from ..data.schema import (
    FACE_EMOTIONS,
    FEATURE_COLUMNS,
    CorpusError,
    RowError,
    RowValidator,
    feature_column,
)
from ..features.engine import FeatureEngine, FeatureStore, MemoryStore
from ..features.extraction import ABSENT_FILE
from ..features.media import Item, Missing
from ..features.shards import REJECTED_FILE, library_versions
from ..models.configuration_emotion import MODALITIES
from ..models.processing_univa import PRECOMPUTED
from ..options import OptionParser, counted, verb


__all__ = ["CorpusConfig", "CorpusDescription", "UnivaCorpusBuilder"]

_FACE_NOTES = "face_notes.jsonl"


@dataclass
class CorpusConfig(datasets.BuilderConfig):
    """Options that every corpus builder has.

    Args:
        source: Folder of the corpus as it was published or recorded.
        strict: Whether the first bad row ends the job; by default it is left out and listed.
        outside_source: Whether media may be links out of the folder.
    """

    source: str = ""
    strict: bool = False
    outside_source: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.source or not Path(self.source).is_dir():
            raise CorpusError(f"source {self.source!r} is not a folder; pass the folder of the corpus")

    def create_config_id(self, config_kwargs: dict, custom_features: datasets.Features | None = None) -> str:
        """Name of the cache folder; it changes with the options and with the files in the source folder."""
        return super().create_config_id({**config_kwargs, "source_state": self.source_state()}, custom_features)

    def source_state(self) -> list[tuple[str, int, int]]:
        """Name, size and time of every file in the source folder."""
        return [
            # A name that is not UTF-8 cannot be hashed as text.
            (os.fsencode(path.relative_to(self.source)).hex(), path.stat().st_size, path.stat().st_mtime_ns)
            for path in sorted(Path(self.source).rglob("*"))
            if path.is_file()
        ]


@dataclass
class CorpusDescription:
    """What a builder knows of its corpus before any row is made.

    Args:
        label_names: The emotions, in the order of the model's outputs.
        splits: For every split the file that lists its rows, as messages shall name it.
        media: Which media columns there are (`schema.MEDIA_COLUMNS`).
        times: Which columns of a clip's times there are (`schema.TIME_COLUMNS`).
        extractors: For text, audio and vision what made the features, with its `feature_size`; absent or `None`
            where the corpus has no features.
        face_emotions: What made the probabilities of expressions of the face features, where there are any.
        face_reader: What found the faces in videos, where the face features came from video.
        files: Files that list rows and labels; the corpus card gives their checksums.
        transcripts: Whether every row has a text; `False` where word vectors are all that there is of it.
    """

    label_names: list[str]
    splits: dict[str, str]
    media: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    extractors: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    face_emotions: dict[str, Any] | None = None
    face_reader: dict[str, Any] | None = None
    files: list[Path] = field(default_factory=list)
    transcripts: bool = True

    def features(self) -> datasets.Features:
        """The columns of the built corpus."""
        sizes = {f"{name}_feature_size": made["feature_size"] for name, made in self.extractors.items() if made}
        expressions = None if self.face_emotions is None else self.face_emotions["feature_size"]
        return row_features(
            self.label_names, media=self.media, times=self.times, face_emotion_size=expressions, **sizes
        )

    def made_by(self) -> dict[str, dict[str, Any] | None]:
        """What made the features of each modality and, where there is any, the expressions and the faces of videos."""
        made = {modality: self.extractors.get(modality) for modality in MODALITIES}
        others = {FACE_EMOTIONS: self.face_emotions, "faces": self.face_reader}
        return {**made, **{name: settings for name, settings in others.items() if settings is not None}}


class UnivaCorpusBuilder(datasets.GeneratorBasedBuilder):
    """Base of the corpus builders.

    A subclass says in `describe` what the corpus is, yields the rows of a split in `rows` (without features) and adds
    in `signals` what its source has of them. Features of media are made by the `engine`, if `describe` sets one, of
    what `media_items` names. Structure (identifiers, order, splits, labels) is checked over all splits before the
    first feature is made. Rows whose content is bad are left out and listed in `rejected`; positions are then counted
    again, so that the rest of the dialogue is still 0, 1, 2, …. A row whose media merely lack a signal stays.

    `workers` is the number of processes that make features. They are kept in `partial_folder`, if there is one, until
    its owner removes it: a build that was stopped goes on with them.
    """

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = CorpusConfig
    # Rows of 150 x 1024 float16 are 300 kB; the writer holds this many, and a row group of the file is as large.
    DEFAULT_WRITER_BATCH_SIZE = 64

    PRETTY_NAME: ClassVar[str] = ""
    LANGUAGE: ClassVar[str | None] = None
    PROVENANCE: ClassVar[str] = ""
    LICENSE: ClassVar[str | None] = None
    # Where the corpus comes from, and what its authors ask to be cited.
    SOURCE_URL: ClassVar[str | None] = None
    CITATION: ClassVar[str | None] = None
    # What the command line calls `source`, and whether it must be there.
    SOURCE_OPTION: ClassVar[str] = "--source"
    SOURCE_HELP: ClassVar[str] = "folder of the corpus as it was published or recorded"
    SOURCE_REQUIRED: ClassVar[bool] = True
    # Whether the command line can show what would be built.
    HAS_PREVIEW: ClassVar[bool] = False

    corpus: CorpusDescription
    rejected: list[dict[str, str]]
    statistics: dict[str, SplitStatistics]
    notes: list[str]
    side_files: dict[str, list[dict[str, Any]]]
    engine: FeatureEngine | None = None
    workers: int = 1
    partial_folder: Path | None = None
    # Where remarks on the source go before anything is built.
    listener: Callable[[str], None] | None = None

    def tell(self, lines: Iterable[str]) -> None:
        """Pass on what the user should know before features are made."""
        if self.listener is not None:
            for line in lines:
                self.listener(line)

    def preview(self, rows_of_split: int = 3) -> list[str]:
        """Read and check the source, and say in lines what would be built of it. Raises `CorpusError`."""
        generators = self._split_generators(None)
        lines = [f"labels: {', '.join(self.corpus.label_names)}"]
        try:
            for generator in generators:
                checked = list(self._checked_rows(generator.name))
                rejected = sum(row.problem is not None for row in checked)
                dialogues = len({row.row["dialogue_id"] for row in checked})
                left_out = f", {rejected} of them left out" if rejected else ""
                rows = f"{counted(len(checked), 'utterance')} in {counted(dialogues, 'dialogue')}"
                lines.append(f"{generator.name}: {rows}{left_out}")
                lines += [row.shown() for row in checked[:rows_of_split]]
        finally:
            self.close()
        return [*lines, *self.notes]

    def close(self) -> None:
        """End the processes of the engine and close the files of the store, where there are any."""
        if self.engine is not None:
            self.engine.close()
        if "_store" in vars(self):
            self._store.close()

    def describe(self) -> CorpusDescription:
        """Read what describes the corpus. Called once, before `rows`. Raises `CorpusError`."""
        raise NotImplementedError

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """Rows of a split in order: the columns of `row_features` without features, emotions as names.

        `position` may be left out.
        """
        raise NotImplementedError

    @classmethod
    def for_arguments(cls, arguments: Sequence[str]) -> "type[UnivaCorpusBuilder]":
        """The builder for these arguments of the command line, where a corpus comes in several forms."""
        return cls

    @classmethod
    def complete_arguments(cls, arguments: argparse.Namespace) -> None:
        """Set what follows from the other options."""

    @classmethod
    def add_arguments(cls, parser: OptionParser) -> None:
        """Add the command-line options of this corpus, named as the fields of its config."""

    def check_row(self, split: str, row: Mapping[str, Any]) -> None:
        """Refuse a row for what its source says of it, before its content is checked. Raises `RowError`."""

    def signals(self, split: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """Columns to add to a row or to replace: features (frames, size) or why they are `Missing`, and VA.

        Raises `RowError`.
        """
        return {}

    def media_items(self, row: Mapping[str, Any]) -> dict[str, list[Item]]:
        """By modality, what the `engine` makes the features of a row of."""
        raise NotImplementedError

    def download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        """As in `datasets`, but what is wrong with the corpus arrives as the `CorpusError` that says so."""
        try:
            super().download_and_prepare(*args, **kwargs)
        except DatasetGenerationError as error:
            # A disk that is full, a path that is none or a package that is missing is said by its own error.
            if isinstance(error.__cause__, ValueError | OSError | ImportError):
                raise error.__cause__ from None
            raise
        finally:
            self.close()

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo()

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        self.rejected, self.statistics, self.notes, self.side_files = [], {}, [], {}
        self.corpus = self.describe()
        self.info.features = self.corpus.features()
        self._validator = RowValidator(
            self.info.features,
            media_root=Path(self.config.source),
            outside=self.config.outside_source,
            transcripts=self.corpus.transcripts,
        )
        generators = []
        for split in self.corpus.splits:
            _check_split_name(split)
            generator = datasets.SplitGenerator(name=split, gen_kwargs={"split": split})
            # Known ahead, so that the progress bar can say how much is left.
            generator.split_info.num_examples = self._check_structure(split)
            generators.append(generator)
        return generators

    @cached_property
    def _store(self) -> MemoryStore:
        if self.engine is None or self.partial_folder is None:
            return MemoryStore()
        plan = {
            "options": {name: value for name, value in vars(self.config).items() if name != "version"},
            "source": Hasher.hash(self.config.source_state()),
            "extractors": self.corpus.made_by(),
            "versions": library_versions(),
        }
        return FeatureStore(self.partial_folder, plan)

    def _check_structure(self, split: str) -> int:
        num_rows = 0
        for num_rows, row in enumerate(self._numbered_rows(split), start=1):
            self._validator.check_structure(row, split, self._where(split, num_rows, row))
        if not num_rows:
            raise CorpusError(f"{self.corpus.splits[split]}: split {split} has no rows; remove it or fill it")
        return num_rows

    def _numbered_rows(self, split: str) -> Iterator[dict[str, Any]]:
        """The rows, each with its place in the dialogue, which is counted where `rows` does not say it."""
        position, dialogue = -1, None
        for row in self.rows(split):
            position = position + 1 if row.get("dialogue_id") == dialogue else 0
            dialogue = row.get("dialogue_id")
            yield {"position": position, **row}

    def _where(self, split: str, number: int, row: Mapping[str, Any]) -> str:
        return f"{self.corpus.splits[split]}: row {number} (utterance {row.get('utterance_id')!r})"

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        statistics = self.statistics[split] = SplitStatistics(self.corpus.label_names)
        position, dialogue = 0, None
        for checked, made, notes in self._with_features(self._checked_rows(split)):
            try:
                row, missing = checked.complete(made)
                self._validator.check_signals(row, checked.where)
            except RowError as error:
                self._reject(split, checked.row, str(error))
                continue
            self._tell(split, row["utterance_id"], missing, notes)
            position = position + 1 if row["dialogue_id"] == dialogue else 0
            dialogue = row["dialogue_id"]
            record = _to_record(row, position)
            statistics.add(record)
            yield checked.number, record
        if not statistics.num_rows:
            first = next(entry["reason"] for entry in self.rejected if entry["split"] == split)
            raise CorpusError(f"every row of split {split} was rejected; the first one: {first}")
        self._sum_up(split)

    def _checked_rows(self, split: str) -> Iterator["_CheckedRow"]:
        for number, row in enumerate(self._numbered_rows(split), start=1):
            where = self._where(split, number, row)
            try:
                self._located(self.check_row, split, row, where)
                self._validator.check_content(row, where)
                found = self._located(self.signals, split, row, where)
                yield _CheckedRow(number, {**row, **found}, where)
            except RowError as error:
                yield _CheckedRow(number, row, where, error)

    def _with_features(
        self, rows: Iterable["_CheckedRow"]
    ) -> Iterator[tuple["_CheckedRow", dict[str, Any], list[str]]]:
        if self.engine is None:
            # One by one: `signals` is only ever asked for the latest.
            yield from ((row, {}, []) for row in rows)
        else:
            items = ((row, {} if row.problem else self.media_items(row.row)) for row in rows)
            yield from self.engine.rows(items, self._store)

    def _tell(self, split: str, utterance_id: str, missing: Mapping[str, Missing], notes: Sequence[str]) -> None:
        """List what a row lacks, and what is to be said of the faces in its video."""
        for column, why in missing.items():
            entry = {"split": split, "utterance_id": utterance_id, "modality": column.removesuffix("_features")}
            self.side_files.setdefault(ABSENT_FILE, []).append({**entry, "reason": why.reason})
        for note in notes:
            self.side_files.setdefault(_FACE_NOTES, []).append({"split": split, "note": note})

    def _sum_up(self, split: str) -> None:
        notes, absent = (
            [entry for entry in self.side_files.get(name, []) if entry["split"] == split]
            for name in (_FACE_NOTES, ABSENT_FILE)
        )
        if notes:
            remarks, are = counted(len(notes), "remark"), verb(len(notes), "is", "are")
            self.notes.append(f"{split}: {remarks} on the faces in videos {are} in {_FACE_NOTES}.")
        for modality, count in Counter(entry["modality"] for entry in absent).items():
            made_by = self.corpus.extractors.get(modality) or {}
            what = "features" if made_by.get("extractor_type") == PRECOMPUTED else "videos"
            utterances = counted(count, "utterance")
            self.notes.append(f"{split}: the {what} of {utterances} have no {modality} modality (see {ABSENT_FILE}).")

    def _located(self, function: Callable[..., Any], split: str, row: Mapping[str, Any], where: str) -> Any:
        try:
            return function(split, row)
        except RowError as error:
            raise RowError(f"{where}: {error}") from None

    def _reject(self, split: str, row: Mapping[str, Any], reason: str) -> None:
        if self.config.strict:
            raise CorpusError(reason)
        entry = {name: row[name] for name in ("utterance_id", "dialogue_id")}
        self.rejected.append({"split": split, **entry, "reason": reason})

    def _save_info(self) -> None:
        super()._save_info()
        self._write("feature_extractors.json", json.dumps(self.corpus.made_by(), indent=2) + "\n")
        for name, entries in {REJECTED_FILE: self.rejected, **self.side_files}.items():
            if entries:
                self._write(name, "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries))

    def _write(self, name: str, text: str) -> None:
        with self._fs.open(posixpath.join(self._output_dir, name), "w", encoding="utf-8") as file:
            file.write(text)


@dataclass
class _CheckedRow:
    number: int
    row: Mapping[str, Any]
    where: str
    problem: RowError | None = None

    def shown(self) -> str:
        """The row in a line, without what is not there; features by their shapes."""
        if self.problem is not None:
            return f"  left out: {self.problem}"
        found = {name: value for name, value in self.row.items() if _is_known(value)}
        shown = {name: list(value.shape) if isinstance(value, np.ndarray) else value for name, value in found.items()}
        return f"  {json.dumps(shown, ensure_ascii=False, default=str)}"

    def complete(self, made: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Missing]]:
        """The row with what was made of its media, and which columns are missing. Raises `RowError`."""
        if self.problem is not None:
            raise self.problem
        row = {**self.row, **{feature_column(name): found for name, found in made.items()}}
        missing = {column: why for column, why in row.items() if isinstance(why, Missing)}
        for why in missing.values():
            if why.rejected:
                raise RowError(f"{self.where}: {why.reason}")
        return {**row, **dict.fromkeys(missing)}, missing


def _is_known(value: Any) -> bool:
    is_va = isinstance(value, tuple) and all(isinstance(number, float) for number in value)
    return value is not None and not isinstance(value, Missing) and not (is_va and np.isnan(value).all())


def _check_split_name(split: str) -> None:
    if not re.fullmatch(r"\w+(\.\w+)*", split) or split == "all":
        raise CorpusError(
            f"split name {split!r} cannot be used; take letters, digits and underscores, and not the word 'all'"
        )


def _to_record(row: Mapping[str, Any], position: int) -> dict[str, Any]:
    """The row as it is written: features as float16, unknown VA as NaN."""
    record = {**row, "position": position}
    for modality in MODALITIES:
        va = row.get(f"{modality}_va")
        record[f"{modality}_va"] = np.asarray((np.nan, np.nan) if va is None else va, dtype=np.float32)
    for column in (*FEATURE_COLUMNS, FACE_EMOTIONS):
        if row.get(column) is not None:
            record[column] = row[column].astype(np.float16, copy=False)
    return record
