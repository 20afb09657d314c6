# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa score-affect`: a corpus in, the same corpus with the scorers' valence and arousal in its VA columns out."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa

from ..data.corpus import SCORERS_FILE, Corpus
from ..data.licenses import license_of
from ..data.schema import CorpusError, holds_frames
from ..models.affect_scorers_univa import AffectScorer
from ..models.configuration_emotion import MODALITIES
from ..models.extractor_base_univa import Translator
from ..models.faces_univa import FaceReader
from ..models.translation_univa import TranslationCache
from ..models.trusted_paths_univa import content_digest, network_files
from .engine import FeatureEngine
from .media import Item, MediaReader, Missing, check_media, in_batches, sound_of, vision_of
from .report import frame_counts, write_card
from .shards import REJECTED_FILE, Shard, ShardJob, ShardResult, corpus_folder, device_kind, library_versions


__all__ = ["SCORERS_FILE", "ScoringJob", "ScoringOptions", "describe_scorer"]

TRANSLATIONS_FILE = "translations.jsonl"

# A shard, its rows as a table and as dicts, and the lines of files beside the output.
_Group = tuple[Shard, pa.Table, list[dict[str, Any]], dict[str, list[dict[str, Any]]]]

_UNKNOWN = np.full(2, np.nan, dtype=np.float32)


@dataclass
class ScoringOptions:
    """How a corpus is scored.

    Args:
        splits: Which splits; those that are not named keep the VA that they have. All by default.
        translator: Translates the text for its scorer; the corpus keeps the text as it is.
        media_root: Folder that the media paths of the corpus are relative to. It may differ between machines.
        face_reader: `FaceReader` for the faces of videos.
        batch_size: Items that go through a scorer together.
        workers: Processes that read media for the scorers; with 0 or 1 there are none beside this one.
        outside_media_root: Whether the corpus may name files elsewhere, by paths or symbolic links.
    """

    splits: Sequence[str] | None = None
    translator: Translator | None = None
    media_root: Path | None = None
    face_reader: FaceReader | None = None
    batch_size: int = 16
    workers: int = 1
    outside_media_root: bool = False


class ScoringJob(ShardJob):
    """Valence and arousal of the rows of a corpus.

    VA is unknown (NaN) where a row has no such signal. It is also unknown where the signal cannot be read or scored;
    that is listed in `rejected.jsonl` with the modality, and the row stays, because the model does without it.

    Args:
        corpus: The input; its other columns are kept.
        scorers: By modality; the corpus keeps the VA that it has of the others.
        about: By modality, what `describe_scorer` says; it decides whether a run may be gone on with.
        options: How.

    Raises:
        CorpusError: Nothing to do, no such media or split, or a batch size or number of workers that is none.
    """

    name = "score-affect"

    def __init__(
        self,
        corpus: Corpus,
        scorers: Mapping[str, AffectScorer],
        about: Mapping[str, Mapping[str, Any]],
        options: ScoringOptions,
    ):
        super().__init__(corpus)
        if not scorers:
            raise CorpusError("nothing to score: pass `text_scorer`, `audio_scorer` or `vision_scorer`")
        self.scorers = {name: scorers[name] for name in MODALITIES if name in scorers}
        self.about, self.options = about, options
        self.splits = sorted(options.splits or corpus.splits)
        columns = [corpus.split(split).column_names for split in self.splits][0]
        for modality in ("audio", "vision"):
            if modality in self.scorers:
                check_media(columns, options.media_root, f"`{modality}_scorer`")
        if "vision" in self.scorers and "video" in columns and options.face_reader is None:
            raise CorpusError("the corpus has videos: say with `face_detector` how faces are found in them")
        if "text" not in self.scorers and options.translator is not None:
            raise CorpusError("`translate` is for `text_scorer`: pass both or neither")
        rate = getattr(self.scorers.get("audio"), "sampling_rate", 16000)
        # A detector that cannot be loaded must end the job, and not have clip after clip rejected.
        grey = np.full((160, 160, 3), 128, np.uint8)
        probe = None if options.face_reader is None else partial(options.face_reader.detect, grey)
        self._engine = FeatureEngine(
            MediaReader(options.media_root, rate, options.face_reader, options.outside_media_root),
            {modality: partial(self._score, scorer) for modality, scorer in self.scorers.items()},
            batch_size=options.batch_size, workers=options.workers, probe=probe,
        )  # fmt: skip

    @property
    def features(self) -> datasets.Features:
        """The input's columns, and VA of every modality."""
        old = next(iter(self.corpus.splits.values())).features
        va = datasets.List(datasets.Value("float32"), length=2)
        return datasets.Features({**old, **{f"{modality}_va": va for modality in MODALITIES}})

    def arguments(self) -> dict[str, Any]:
        """Scorers, splits and batch size: another batch size rounds otherwise."""
        reader = self.options.face_reader
        about = {name: dict(self.about[name]) for name in self.scorers}
        for value in about.values():
            # The checksum tells which network it is; it may lie elsewhere on another machine.
            value.pop("model" if value.get("sha256") else "", None)
        return {
            "scorers": about,
            "splits": self.splits,
            "translator": getattr(self.options.translator, "name", None),
            "faces": reader.to_dict() if reader is not None else None,
            "device": device_kind(str(next(iter(self.scorers.values())).device)),
            "batch_size": self.options.batch_size,
            "versions": library_versions(),
        }

    def process(
        self, shards: Iterable[tuple[Shard, pa.Table]], advance: Callable[[int], Any]
    ) -> Iterator[tuple[Shard, ShardResult]]:
        """Score the rows of shards; those of a split that is not scored pass as they are."""
        for (shard, rows, wanted, lines), made in self._engine.groups(map(self._group, shards)):
            if shard.split not in self.splits:
                advance(len(rows))
                yield shard, ShardResult(self._table(rows, {}))
                continue
            scored = []
            for _, found, _ in made:
                scored.append(found)
                advance(1)
            yield shard, ShardResult(self._table(rows, self._va(shard, wanted, scored, lines)), lines)

    def _group(self, given: tuple[Shard, pa.Table]) -> tuple[_Group, list[tuple[int, dict[str, list[Item]]]]]:
        """What the engine gets of a shard: nothing of one that is not scored."""
        shard, rows = given
        lines: dict[str, list[dict[str, Any]]] = {}
        if shard.split not in self.splits:
            return (shard, rows, [], lines), []
        columns = [name for name in rows.column_names if not (holds_frames(name) or name.endswith("_va"))]
        wanted = rows.select(columns).to_pylist()
        texts = self._translated([row["text"] or "" for row in wanted] if "text" in self.scorers else [], lines)
        items = [(place, self._items(row, texts)) for place, row in enumerate(wanted)]
        return (shard, rows, wanted, lines), items

    def close(self) -> None:
        """End the worker processes."""
        self._engine.close()

    def _items(self, row: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, list[Item]]:
        """What each scorer gets of a row, the faces of a clip all together."""
        text = row["text"] or ""
        items = {"text": Item("text", texts.get(text, text)), "audio": sound_of(row), "vision": vision_of(row)}
        return {modality: [item] for modality in self.scorers if (item := items[modality]) is not None}

    def _translated(self, texts: Sequence[Any], lines: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
        """Translations of a shard's texts: those that came with the corpus, the others made for this shard alone, so
        that they do not depend on which shards were made before."""
        translator = self.options.translator
        if translator is None or not texts:
            return {}
        known = {text: self._kept.get(translator.name, text) for text in dict.fromkeys(texts) if text.strip()}
        missing = [text for text, translation in known.items() if translation is None]
        made = dict(zip(missing, translator.translate(missing), strict=True)) if missing else {}
        lines[TRANSLATIONS_FILE] = [
            {"translator": translator.name, "text": text, "translation": translation}
            for text, translation in made.items()
        ]
        return {text: made.get(text) or translation or "" for text, translation in known.items()}

    @cached_property
    def _kept(self) -> TranslationCache:
        """Translations that came with the corpus."""
        return TranslationCache(corpus_folder(self.corpus) / TRANSLATIONS_FILE)

    def _score(self, scorer: AffectScorer, raw: Mapping[Item, Any]) -> dict[Item, np.ndarray | Missing]:
        size = self.options.batch_size
        return in_batches(partial(scorer.score, batch_size=size), raw, size)

    def _va(
        self,
        shard: Shard,
        rows: Sequence[Mapping[str, Any]],
        scored: Sequence[Mapping[str, np.ndarray | Missing]],
        lines: dict[str, list[dict[str, Any]]],
    ) -> dict[str, np.ndarray]:
        """Scores (rows, 2) of each modality."""
        va = {modality: np.tile(_UNKNOWN, (len(rows), 1)) for modality in self.scorers}
        for place, (row, made) in enumerate(zip(rows, scored, strict=True)):
            for modality, found in made.items():
                if not isinstance(found, Missing):
                    va[modality][place] = found
                elif found.rejected:
                    ids = {name: row[name] for name in ("utterance_id", "dialogue_id")}
                    entry = {"split": shard.split, **ids, "modality": modality, "reason": found.reason}
                    lines.setdefault(REJECTED_FILE, []).append(entry)
        return va

    def _table(self, rows: pa.Table, va: Mapping[str, np.ndarray]) -> pa.Table:
        columns = {name: rows[name] for name in rows.column_names}
        for modality in MODALITIES:
            name = f"{modality}_va"
            if modality in va or name not in columns:
                values = va.get(modality, np.tile(_UNKNOWN, (len(rows), 1)))
                columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), 2)
        schema = self.features.arrow_schema
        return pa.table([columns[name].cast(schema.field(name).type) for name in schema.names], schema.names)

    def summary(self, table: pa.Table) -> dict[str, Any]:
        """Frames of each row, for the card."""
        return frame_counts(table)

    def write_card(self, folder: Path, shards: Iterable[tuple[Shard, pa.Table, dict[str, Any]]]) -> None:
        """Write `affect_scorers.json`, and bring the card of the input up to date."""
        file = folder / SCORERS_FILE
        scorers = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        translator = getattr(self.options.translator, "name", None)
        for modality in self.scorers:
            about = self.about[modality]
            license = license_of(about["model"], about.get("revision"))
            scorers[modality] = {**about, "splits": self.splits, **({"license": license} if license else {})}
            if modality == "text" and translator:
                scorers[modality]["translator"] = translator
        file.write_text(json.dumps(scorers, indent=2) + "\n", encoding="utf-8")
        names = ", ".join(f"{modality} by `{Path(self.about[modality]['model']).name}`" for modality in self.scorers)
        note = f"Valence and arousal of {', '.join(self.splits)} were then scored by `univa score-affect`: {names} "
        write_card(folder, self.features, self.corpus.extractors, shards, f"{note}(see `{SCORERS_FILE}`).")


def describe_scorer(scorer: AffectScorer, model: str) -> dict[str, Any]:
    """Which network a scorer is: the commit on the Hub, or the SHA-256 of the files of a folder."""
    if not Path(model).is_dir():
        return {"model": model, "revision": getattr(scorer.model.config, "_commit_hash", None)}
    return {"model": model, "sha256": content_digest(network_files(Path(model)))}
