# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""The builder that all corpora share: rows in, checked rows out, in whatever format `datasets` writes."""

import argparse
import json
import os
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import datasets
import numpy as np
from datasets.exceptions import DatasetGenerationError

from ..data.corpus_card import SplitStatistics
from ..data.schema import CorpusError, RowError, RowValidator, row_features
from ..models.configuration_emotion import MODALITIES
from ..options import OptionParser


__all__ = ["CorpusConfig", "CorpusDescription", "UnivaCorpusBuilder"]


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
            raise CorpusError(f"source {self.source!r} is not a folder; give the folder of the corpus")

    def create_config_id(self, config_kwargs: dict, custom_features: datasets.Features | None = None) -> str:
        """Name of the cache folder; it changes with the options and with the files in the source folder."""
        state = [
            # A name that is not UTF-8 cannot be hashed as text.
            (os.fsencode(path.relative_to(self.source)).hex(), path.stat().st_size, path.stat().st_mtime_ns)
            for path in sorted(Path(self.source).rglob("*"))
            if path.is_file()
        ]
        return super().create_config_id({**config_kwargs, "source_state": state}, custom_features)


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
        face_reader: What found the faces in videos, where the face features came from video.
        files: Files that list rows and labels; the corpus card gives their checksums.
    """

    label_names: list[str]
    splits: dict[str, str]
    media: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    extractors: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    face_reader: dict[str, Any] | None = None
    files: list[Path] = field(default_factory=list)

    def features(self) -> datasets.Features:
        """The columns of the built corpus."""
        sizes = {f"{name}_feature_size": made["feature_size"] for name, made in self.extractors.items() if made}
        return row_features(self.label_names, media=self.media, times=self.times, **sizes)

    def made_by(self) -> dict[str, dict[str, Any] | None]:
        """What made the features of each modality and, where they came from videos, what found the faces."""
        made = {modality: self.extractors.get(modality) for modality in MODALITIES}
        return made if self.face_reader is None else {**made, "faces": self.face_reader}


class UnivaCorpusBuilder(datasets.GeneratorBasedBuilder):
    """Base of the corpus builders.

    A subclass says in `describe` what the corpus is, yields the rows of a split in `rows` (without features) and adds
    what is costly in `signals`. Structure (identifiers, order, splits, labels) is checked over all splits before the
    first feature is made. Rows whose content is bad are left out and listed in `rejected`; positions are then counted
    anew, so that the rest of the dialogue is still 0, 1, 2, ….
    """

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = CorpusConfig
    # Rows of 150 x 1024 float16 are 300 kB; the writer holds this many, and a row group of the file is as large.
    DEFAULT_WRITER_BATCH_SIZE = 64

    PRETTY_NAME: ClassVar[str] = ""
    LANGUAGE: ClassVar[str | None] = None
    PROVENANCE: ClassVar[str] = ""
    LICENSE: ClassVar[str | None] = None
    # What the command line calls `source`, and whether it must be there.
    SOURCE_OPTION: ClassVar[str] = "--source"
    SOURCE_HELP: ClassVar[str] = "folder of the corpus as it was published or recorded"
    SOURCE_REQUIRED: ClassVar[bool] = True

    corpus: CorpusDescription
    rejected: list[dict[str, str]]
    statistics: dict[str, SplitStatistics]
    notes: list[str]
    side_files: dict[str, list[dict[str, Any]]]

    def describe(self) -> CorpusDescription:
        """Read what describes the corpus. Called once, before `rows`. Raises `CorpusError`."""
        raise NotImplementedError

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """Rows of a split in order: the columns of `schema.row_features` without features, emotions as names."""
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
        """Columns to add to a row or to replace: features (frames, size) and VA. Raises `RowError`."""
        return {}

    def download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        """As in `datasets`, but what is wrong with the corpus arrives as the `CorpusError` that says so."""
        try:
            super().download_and_prepare(*args, **kwargs)
        except DatasetGenerationError as error:
            # A disk that is full, or a path that is none, is said by its own error.
            if isinstance(error.__cause__, CorpusError | OSError):
                raise error.__cause__ from None
            raise

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo()

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        self.rejected, self.statistics, self.notes, self.side_files = [], {}, [], {}
        self.corpus = self.describe()
        self.info.features = self.corpus.features()
        self._validator = RowValidator(
            self.info.features, media_root=Path(self.config.source), outside=self.config.outside_source
        )
        generators = []
        for split in self.corpus.splits:
            _check_split_name(split)
            generator = datasets.SplitGenerator(name=split, gen_kwargs={"split": split})
            # Known ahead, so that the progress bar can say how much is left.
            generator.split_info.num_examples = self._check_structure(split)
            generators.append(generator)
        return generators

    def _check_structure(self, split: str) -> int:
        num_rows = 0
        for num_rows, row in enumerate(self.rows(split), start=1):
            self._validator.check_structure(row, split, self._where(split, num_rows, row))
        if not num_rows:
            raise CorpusError(f"{self.corpus.splits[split]}: split {split} has no rows; remove it or fill it")
        return num_rows

    def _where(self, split: str, number: int, row: Mapping[str, Any]) -> str:
        return f"{self.corpus.splits[split]}: row {number} (utterance {row.get('utterance_id')!r})"

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        statistics = self.statistics[split] = SplitStatistics(self.corpus.label_names)
        position, dialogue = 0, None
        for number, row in enumerate(self.rows(split), start=1):
            where = self._where(split, number, row)
            try:
                self._located(self.check_row, split, row, where)
                self._validator.check_content(row, where)
                complete = {**row, **self._located(self.signals, split, row, where)}
                self._validator.check_signals(complete, where)
            except RowError as error:
                self._reject(split, row, str(error))
                continue
            position = position + 1 if row["dialogue_id"] == dialogue else 0
            dialogue = row["dialogue_id"]
            record = _to_record(complete, position)
            statistics.add(record)
            yield number, record
        if not statistics.num_rows:
            first = next(entry["reason"] for entry in self.rejected if entry["split"] == split)
            raise CorpusError(f"every row of split {split} was rejected; the first one: {first}")

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
        for name, entries in {"rejected.jsonl": self.rejected, **self.side_files}.items():
            if entries:
                self._write(name, "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries))

    def _write(self, name: str, text: str) -> None:
        with self._fs.open(posixpath.join(self._output_dir, name), "w", encoding="utf-8") as file:
            file.write(text)


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
        frames = row.get(f"{modality}_features")
        if frames is not None:
            record[f"{modality}_features"] = frames.astype(np.float16, copy=False)
    return record
