# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""`univa extract`: a corpus with raw media in, the same corpus with feature columns out."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa

from ..data.corpus import EXTRACTORS_FILE, Corpus
from ..data.schema import CorpusError, RowError, check_frames
from ..models.configuration_emotion import MODALITIES
from ..models.extractor_base_univa import Extractor, extractor_identity
from .media import Item, MediaReader, Missing, check_media, in_batches, sound_of, vision_of
from .report import frame_counts, write_card
from .shards import REJECTED_FILE, Shard, ShardJob, ShardResult, device_kind, library_versions


__all__ = ["ABSENT_FILE", "ExtractionJob", "ExtractionOptions"]

ABSENT_FILE = "absent_modalities.jsonl"


@dataclass
class ExtractionOptions:
    """How features are made.

    Args:
        media_root: Folder that the media paths of the corpus are relative to. It may differ between machines.
        face_reader: `FaceReader` for the faces of videos.
        batch_size: Clips (or face sequences, or texts) that an extractor gets at a time.
        workers: Threads that read media ahead of the extractors.
        outside_media_root: Whether the corpus may name files elsewhere, by paths or symbolic links.
    """

    media_root: Path | None = None
    face_reader: Any = None
    batch_size: int = 16
    workers: int = 2
    outside_media_root: bool = False


class ExtractionJob(ShardJob):
    """Features of the rows of a corpus.

    A row whose media cannot be used is left out, as the corpus builders do, and is listed in `rejected.jsonl`; the
    positions in its dialogue are counted anew. A row that merely lacks a signal (a video without sound, or without a
    face) stays, with the modality absent, and is listed in `absent_modalities.jsonl`.

    Args:
        corpus: The input; its other columns are kept.
        extractors: By modality, which features to make; the corpus keeps what it has of the others.
        options: How.

    Raises:
        CorpusError: Nothing to do, no such media, or a batch size or number of workers below 1.
    """

    name = "extract"

    def __init__(self, corpus: Corpus, extractors: Mapping[str, Extractor], options: ExtractionOptions):
        super().__init__(corpus)
        if not extractors:
            raise CorpusError("nothing to extract: pass `audio_extractor`, `vision_extractor` or `text_extractor`")
        if min(options.batch_size, options.workers) < 1:
            raise CorpusError("the batch size and the number of workers must be at least 1")
        self.extractors = {name: extractors[name] for name in MODALITIES if name in extractors}
        self.options = options
        self._tried = False
        self._check_columns()
        rate = getattr(self.extractors.get("audio"), "sampling_rate", 16000)
        self._media = MediaReader(
            options.media_root, rate, options.face_reader, options.workers, options.outside_media_root
        )

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
            f"{name}_features": datasets.List(datasets.List(datasets.Value("float16"), length=extractor.feature_size))
            for name, extractor in self.extractors.items()
        }
        last = {f"{name}_va" for name in MODALITIES}
        features = {name: old[name] for name in old if not name.endswith("_features") and name not in last}
        for modality in ("audio", "vision", "text"):
            column = f"{modality}_features"
            if column in made or column in old:
                features[column] = made.get(column) or old[column]
        return datasets.Features({**features, **{name: old[name] for name in old if name in last}})

    def settings(self) -> dict[str, Any]:
        """What made the features of the output, as in `feature_extractors.json`."""
        made = {name: self.corpus.extractors.get(name) for name in [*MODALITIES, "faces"]}
        made |= {name: extractor.to_dict() for name, extractor in self.extractors.items()}
        if self.reads_video_faces:
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

    def _try_extractors(self) -> None:
        """A network that cannot be loaded must end the job, and not have clip after clip rejected."""
        self._tried = True
        samples = {"text": "yes", "vision": [np.full((160, 160, 3), 128, np.uint8)]}
        rate = self._media.sampling_rate
        samples["audio"] = (np.sin(np.arange(rate) * 0.1).astype(np.float32) / 10, rate)
        for modality, extractor in self.extractors.items():
            extractor.extract_batch([samples[modality]])
        if self.reads_video_faces:
            self.options.face_reader.detect(samples["vision"][0])

    def process(self, shard: Shard, rows: pa.Table, advance: Callable[[int], Any]) -> ShardResult:
        """Features of the rows of a shard. Nothing is kept from one shard to the next: what a batch holds decides the
        last bit of what comes out, and which shards a process makes is chance."""
        if not self._tried:
            self._try_extractors()
        columns = [name for name in rows.column_names if not name.endswith(("_features", "_va"))]
        wanted = [self._items(row) for row in rows.select(columns).to_pylist()]
        made: dict[Item, np.ndarray | Missing] = {}
        flat = [[item for items in row.values() for item in items] for row in wanted]
        for num_rows, raw in self._media.rows(flat, self.options.batch_size):
            self._extract(raw, made)
            advance(num_rows)
        return self._result(shard, rows, wanted, made)

    def _items(self, row: Mapping[str, Any]) -> dict[str, list[Item]]:
        """What each modality of a row is made from. Face images are read one by one, since rows may share them."""
        wanted: dict[str, list[Item]] = {}
        if "text" in self.extractors:
            wanted["text"] = [Item("text", row["text"])]
        if "audio" in self.extractors:
            sound = sound_of(row)
            wanted["audio"] = [sound] if sound else []
        if "vision" in self.extractors:
            vision = vision_of(row)
            if vision is not None and vision.kind == "faces":
                wanted["vision"] = [Item("faces", (path,)) for path in vision.source]
            else:
                wanted["vision"] = [vision] if vision else []
        return wanted

    def _extract(self, raw: Mapping[Item, Any], made: dict[Item, np.ndarray | Missing]) -> None:
        for modality, extractor in self.extractors.items():
            mine = {item: value for item, value in raw.items() if item.modality == modality}
            for item, frames in in_batches(extractor.extract_batch, mine, self.options.batch_size).items():
                made[item] = frames if isinstance(frames, Missing) else _checked(frames, item, extractor.feature_size)

    def _result(
        self,
        shard: Shard,
        rows: pa.Table,
        wanted: Sequence[Mapping[str, list[Item]]],
        made: Mapping[Item, np.ndarray | Missing],
    ) -> ShardResult:
        lines: dict[str, list[dict[str, Any]]] = {}
        kept = []
        ids = rows.select(["utterance_id", "dialogue_id"]).to_pylist()
        for place, items in enumerate(wanted):
            missing = [(name, why) for name in items for item in items[name] if isinstance(why := made[item], Missing)]
            rejected = [why for _, why in missing if why.rejected]
            if rejected:
                entry = {"split": shard.split, **ids[place], "reason": rejected[0].reason}
                lines.setdefault(REJECTED_FILE, []).append(entry)
                continue
            kept.append(place)
            for name, why in missing:
                entry = {"split": shard.split, "utterance_id": ids[place]["utterance_id"], "modality": name}
                lines.setdefault(ABSENT_FILE, []).append({**entry, "reason": why.reason})
        table = rows if len(kept) == len(wanted) else _renumbered(rows.take(pa.array(kept, pa.int64())))
        columns = {name: table[name] for name in table.column_names}
        schema = self.features.arrow_schema
        for modality in self.extractors:
            frames = [_joined([made[item] for item in wanted[place][modality]]) for place in kept]
            column = schema.field(f"{modality}_features")
            columns[column.name] = _feature_array(frames, self.extractors[modality].feature_size).cast(column.type)
        return ShardResult(pa.table([columns[name] for name in schema.names], schema.names), lines)

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


def _runtime(extractor: Any) -> dict[str, Any]:
    """What an extractor does not save, and what changes the last bits all the same."""
    settings = {item.name: getattr(extractor, item.name) for item in fields(extractor) if item.metadata.get("runtime")}
    # Processes of one job have a device each, of the same kind.
    return {**settings, "device": device_kind(settings["device"])} if "device" in settings else settings


def _columns(corpus: Corpus) -> list[str]:
    return next(iter(corpus.splits.values())).column_names


def _checked(frames: np.ndarray, item: Item, size: int) -> np.ndarray | Missing:
    """Frames as they are stored, or why there are none."""
    if item.kind == "text" and not len(frames):
        return Missing("the text has no word that the extractor knows", rejected=False)
    try:
        check_frames(frames, size, item.name)
    except RowError as error:
        return Missing(str(error), rejected=True)
    return frames.astype(np.float16)


def _joined(parts: Sequence[Any]) -> np.ndarray | None:
    frames = [part for part in parts if not isinstance(part, Missing)]
    return np.concatenate(frames) if frames else None


def _renumbered(rows: pa.Table) -> pa.Table:
    """Positions counted anew in every dialogue; a shard holds whole dialogues."""
    positions: list[int] = []
    former = None
    for dialogue in rows["dialogue_id"].to_pylist():
        positions.append(positions[-1] + 1 if positions and dialogue == former else 0)
        former = dialogue
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
