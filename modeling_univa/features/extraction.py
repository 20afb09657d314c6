# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa extract`: a corpus with raw media in, the same corpus with feature columns out."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa

from ..data.corpus import EXTRACTORS_FILE, Corpus
from ..data.schema import FACE_EMOTIONS, CorpusError, feature_column, holds_frames
from ..models.configuration_emotion import MODALITIES
from ..models.extractor_base_univa import Extractor, extractor_identity
from ..models.faces_univa import FaceReader
from .engine import feature_engine
from .face_emotions import check_face_emotions
from .media import Item, Missing, check_media, items_of
from .report import frame_counts, write_card
from .shards import REJECTED_FILE, Shard, ShardJob, ShardResult, device_kind, library_versions


__all__ = ["ABSENT_FILE", "ExtractionJob", "ExtractionOptions"]

ABSENT_FILE = "absent_modalities.jsonl"
# What an extractor can make, in the order in which it is listed.
_MADE = (*MODALITIES, FACE_EMOTIONS)


@dataclass
class ExtractionOptions:
    """How features are made.

    Args:
        media_root: Folder that the media paths of the corpus are relative to. It may differ between machines.
        face_reader: `FaceReader` for the faces of videos.
        batch_size: Clips (or face sequences, or texts) that an extractor gets at a time.
        workers: Processes that read media and run small extractors; with 0 or 1 there are none beside this one.
        outside_media_root: Whether the corpus may name files elsewhere, by paths or symbolic links.
    """

    media_root: Path | None = None
    face_reader: FaceReader | None = None
    batch_size: int = 16
    workers: int = 1
    outside_media_root: bool = False


class ExtractionJob(ShardJob):
    """Features of the rows of a corpus.

    A row whose media cannot be used is left out, as the corpus builders do, and is listed in `rejected.jsonl`; the
    positions in its dialogue are recounted. A row that merely lacks a signal (a video without sound, or without a
    face) stays, with the modality absent, and is listed in `absent_modalities.jsonl`.

    Args:
        corpus: The input; its other columns are kept.
        extractors: By modality, which features to make; the corpus keeps what it has of the others. Under
            `FACE_EMOTIONS` that of the probabilities of expressions, for the faces whose features are made.
        options: How.

    Raises:
        CorpusError: Nothing to do, no such media, expressions without face features, or a batch size or number of
            workers that is none.
    """

    name = "extract"

    def __init__(self, corpus: Corpus, extractors: Mapping[str, Extractor], options: ExtractionOptions):
        super().__init__(corpus)
        if not extractors:
            raise CorpusError("nothing to extract: pass `audio_extractor`, `vision_extractor` or `text_extractor`")
        check_face_emotions(extractors)
        self.extractors = {name: extractors[name] for name in _MADE if name in extractors}
        self.options = options
        self._check_columns()
        self._engine = feature_engine(
            self.extractors, options.media_root, options.face_reader, batch_size=options.batch_size,
            workers=options.workers, outside=options.outside_media_root,
        )  # fmt: skip

    def _check_columns(self) -> None:
        columns = set(_columns(self.corpus))
        for modality, needed in (("audio", ("audio", "video")), ("vision", ("faces", "video"))):
            if modality not in self.extractors:
                continue
            check_media(columns, self.options.media_root, f"`{modality}_extractor`")
            if not columns.intersection(needed):
                raise CorpusError(f"`{modality}_extractor` needs a column {' or '.join(needed)}; the corpus has none")
        if self.reads_video_faces and self.options.face_reader is None:
            raise CorpusError("the corpus has videos: say with `face_detector` how faces are found in them")
        if self.options.face_reader is not None and not self.reads_video_faces:
            raise CorpusError("`face_detector` is for faces of videos: it needs a column video and `vision_extractor`")

    @property
    def reads_video_faces(self) -> bool:
        """Whether faces come from videos."""
        return "vision" in self.extractors and "video" in _columns(self.corpus)

    @property
    def features(self) -> datasets.Features:
        """The input's columns; those of features in the order in which the builders write them, before VA."""
        old = next(iter(self.corpus.splits.values())).features
        made = {
            feature_column(name): datasets.List(
                datasets.List(datasets.Value("float16"), length=extractor.feature_size)
            )
            for name, extractor in self.extractors.items()
        }
        last = {f"{name}_va" for name in MODALITIES}
        features = {name: old[name] for name in old if not holds_frames(name) and name not in last}
        for name in ("audio", "vision", "text", FACE_EMOTIONS):
            column = feature_column(name)
            if column in made or (column in old and name not in self._outdated):
                features[column] = made.get(column) or old[column]
        return datasets.Features({**features, **{name: old[name] for name in old if name in last}})

    @property
    def _outdated(self) -> tuple[str, ...]:
        """What is of the face features that are made again."""
        return (FACE_EMOTIONS,) if "vision" in self.extractors else ()

    def settings(self) -> dict[str, Any]:
        """What made the features of the output, as in `feature_extractors.json`."""
        kept = [name for name in (*_MADE, "faces") if name not in self._outdated]
        made = {name: self.corpus.extractors.get(name) for name in kept}
        made |= {name: extractor.to_dict() for name, extractor in self.extractors.items()}
        if self.reads_video_faces and self.options.face_reader is not None:
            made["faces"] = self.options.face_reader.to_dict()
        return {name: value for name, value in made.items() if value or name in MODALITIES}

    def arguments(self) -> dict[str, Any]:
        """Extractors and batch size: another batch size rounds otherwise."""
        extractors = {name: value and extractor_identity(value) for name, value in self.settings().items()}
        runtime = {name: _runtime(extractor) for name, extractor in self.extractors.items()}
        return {
            "extractors": extractors,
            "runtime": {name: value for name, value in runtime.items() if value},
            "batch_size": self.options.batch_size,
            "versions": library_versions(),
        }

    def process(
        self, shards: Iterable[tuple[Shard, pa.Table]], advance: Callable[[int], Any]
    ) -> Iterator[tuple[Shard, ShardResult]]:
        """Features of the rows of shards. Nothing is kept from one shard to the next: what a batch holds decides the
        last bit of what comes out, and which shards a process makes is chance."""
        for (shard, rows), made in self._engine.groups(((shard, rows), self._items(rows)) for shard, rows in shards):
            yield shard, self._result(shard, rows, made, advance)

    def _result(self, shard: Shard, rows: pa.Table, made: Iterable[Any], advance: Callable[[int], Any]) -> ShardResult:
        lines: dict[str, list[dict[str, Any]]] = {}
        kept: list[tuple[int, Mapping[str, Any]]] = []
        for place, (row, features, _) in enumerate(made):
            if self._list_missing(shard, row, features, lines):
                kept.append((place, features))
            advance(1)
        return ShardResult(self._table(rows, kept), lines)

    def _items(self, rows: pa.Table) -> Iterator[tuple[dict[str, Any], dict[str, list[Item]]]]:
        columns = [name for name in rows.column_names if not (holds_frames(name) or name.endswith("_va"))]
        modalities = [name for name in self.extractors if name in MODALITIES]
        return ((row, items_of(row, modalities)) for row in rows.select(columns).to_pylist())

    def close(self) -> None:
        """End the worker processes."""
        self._engine.close()

    def _list_missing(
        self, shard: Shard, row: Mapping[str, Any], features: Mapping[str, Any], lines: dict[str, list[dict[str, Any]]]
    ) -> bool:
        """Whether the row stays."""
        missing = {name: why for name, why in features.items() if isinstance(why, Missing)}
        entry = {"split": shard.split, "utterance_id": row["utterance_id"]}
        for why in missing.values():
            if why.rejected:
                entry |= {"dialogue_id": row["dialogue_id"], "reason": why.reason}
                lines.setdefault(REJECTED_FILE, []).append(entry)
                return False
        for name, why in missing.items():
            lines.setdefault(ABSENT_FILE, []).append({**entry, "modality": name, "reason": why.reason})
        return True

    def _table(self, rows: pa.Table, kept: Sequence[tuple[int, Mapping[str, Any]]]) -> pa.Table:
        table = rows
        if len(kept) < len(rows):
            table = _renumbered(rows.take(pa.array([place for place, _ in kept], pa.int64())))
        columns = {name: table[name] for name in table.column_names}
        schema = self.features.arrow_schema
        for name, extractor in self.extractors.items():
            frames = [None if isinstance(made[name], Missing) else made[name] for _, made in kept]
            column = schema.field(feature_column(name))
            columns[column.name] = _feature_array(frames, extractor.feature_size).cast(column.type)
        return pa.table([columns[name] for name in schema.names], schema.names)

    def summary(self, table: pa.Table) -> dict[str, Any]:
        """Frames of each row, for the card."""
        return frame_counts(table)

    def write_card(self, folder: Path, shards: Iterable[tuple[Shard, pa.Table, dict[str, Any]]]) -> None:
        """Write `feature_extractors.json`, and bring the card of the input up to date."""
        settings = self.settings()
        (folder / EXTRACTORS_FILE).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        made = ", ".join(f"{name} by `{extractor.extractor_type}`" for name, extractor in self.extractors.items())
        note = f"Features were then made by `univa extract` (batches of {self.options.batch_size}): {made}."
        write_card(folder, self.features, settings, shards, note)


def _runtime(extractor: Extractor) -> dict[str, Any]:
    """What an extractor does not save, and what changes the last bits all the same."""
    settings = {item.name: getattr(extractor, item.name) for item in fields(extractor) if item.metadata.get("runtime")}
    # Processes of one job have a device each, of the same kind.
    return {**settings, "device": device_kind(settings["device"])} if "device" in settings else settings


def _columns(corpus: Corpus) -> list[str]:
    return next(iter(corpus.splits.values())).column_names


def _renumbered(rows: pa.Table) -> pa.Table:
    """Positions recounted in every dialogue; a shard holds whole dialogues."""
    positions: list[int] = []
    previous = None
    for dialogue in rows["dialogue_id"].to_pylist():
        positions.append(positions[-1] + 1 if positions and dialogue == previous else 0)
        previous = dialogue
    place = rows.schema.get_field_index("position")
    return rows.set_column(place, rows.schema.field(place), pa.array(positions, rows.schema.field(place).type))


def _feature_array(frames: Sequence[np.ndarray | None], size: int) -> pa.ListArray:
    """Lists of frames, null where there are none."""
    lengths = [0 if clip is None else len(clip) for clip in frames]
    values = np.concatenate([np.zeros((0, size), np.float16), *(clip for clip in frames if clip is not None)])
    return pa.ListArray.from_arrays(
        pa.array(np.cumsum([0, *lengths]), pa.int32()),
        pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), size),
        mask=pa.array([clip is None for clip in frames], pa.bool_()),
    )
