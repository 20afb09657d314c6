# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Anyone's corpus: a folder with one metadata csv a split, and the sound and image files that they name."""

import argparse
import csv
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..configuration_univa import EMOTION_VALENCE_AROUSAL, MODALITIES
from ..feature_extraction_univa import HogExtractor, LogMelExtractor, extractor_from_dict
from .builder import CorpusConfig, CorpusDescription, UnivaCorpusBuilder
from .extraction import MediaFeatures
from .schema import MEDIA_COLUMNS, CorpusError, check_label_names
from .tables import csv_header, csv_rows, read_text


__all__ = ["UtteranceFolder", "UtteranceFolderConfig"]

_REQUIRED = ("utterance_id", "dialogue_id", "position", "text", "emotions")
_VA_COLUMNS = tuple(f"{modality}_{axis}" for modality in MODALITIES for axis in ("valence", "arousal"))
_EMOTION_COLUMNS = tuple(f"{modality}_emotion" for modality in MODALITIES)
_KNOWN = (*_REQUIRED, "speaker", *MEDIA_COLUMNS, *_VA_COLUMNS, *_EMOTION_COLUMNS)
_SPLIT_ORDER = ("train", "validation", "valid", "dev", "test")
_EXTRACTORS: dict[str, tuple[str, type[LogMelExtractor] | type[HogExtractor]]] = {
    "audio": ("audio", LogMelExtractor),
    "vision": ("faces", HogExtractor),
}
_FROM_EMOTION_NOTE = (
    "Valence and arousal are those of the emotion that a row names for the modality, 2x - 1 of its entry in the "
    "emotion table. All splits have them; they are for training only."
)


@dataclass
class UtteranceFolderConfig(CorpusConfig):
    """Options of `UtteranceFolder`.

    Args:
        labels: The emotions in the order of the model's outputs, separated by commas. By default the lines of
            labels.txt in the source or, without that file, the emotions that occur: first those of
            `EMOTION_VALENCE_AROUSAL` in its order, then the others by the alphabet.
        va: "given" takes VA from the columns text_valence, text_arousal, …; "from-emotion" from the emotion that a row
            names for each modality (text_emotion, …), as 2x - 1 of the word's valence and arousal on [0, 1].
        emotion_va: Lexicon (csv or tab separated; word, valence, arousal on [0, 1]) for `va="from-emotion"`.
        audio_features, vision_features: "log-mel" and "hog", or "none"; by default made where there are media.
        audio_extractor, vision_extractor: Settings of the extractor as JSON, or the path of a JSON file.
    """

    labels: str | None = None
    va: str = "given"
    emotion_va: str | None = None
    audio_features: str | None = None
    vision_features: str | None = None
    audio_extractor: str | None = None
    vision_extractor: str | None = None


class UtteranceFolder(UnivaCorpusBuilder):
    """Build a corpus from a folder of metadata csv files, one a split, and the media that they name.

    Columns: utterance_id, dialogue_id, position, text, emotions (separated by semicolons, may be empty) and, where the
    corpus has them, speaker, audio (path), faces (paths separated by semicolons), video (path), text_valence,
    text_arousal and so on, text_emotion and so on. Paths are relative to the folder.
    """

    BUILDER_CONFIG_CLASS = UtteranceFolderConfig

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add the options of `UtteranceFolderConfig`."""
        parser.add_argument("--labels", help="emotions in the order of the model's outputs: happy,sad,…")
        parser.add_argument("--va", choices=("given", "from-emotion"), help="where valence and arousal come from")
        parser.add_argument("--emotion-va", help="lexicon of word, valence, arousal on [0, 1] for --va from-emotion")
        parser.add_argument(
            "--audio-features", choices=("log-mel", "none"), help="default: log-mel where there is audio"
        )
        parser.add_argument("--vision-features", choices=("hog", "none"), help="default: hog where there are faces")
        parser.add_argument("--audio-extractor", help="settings of the speech features: JSON, or a JSON file")
        parser.add_argument("--vision-extractor", help="settings of the face features: JSON, or a JSON file")

    def describe(self) -> CorpusDescription:
        """Read the headers and labels of all metadata files, and make the extractors."""
        root = Path(self.config.source)
        self._files = _metadata_files(root)
        columns = set().union(*(_columns(path) for path in self._files.values()))
        self._check_va_options(columns)
        self._lexicon = _read_lexicon(self.config.emotion_va)
        extractors = {modality: self._make_extractor(modality, columns) for modality in _EXTRACTORS}
        if self.config.va == "from-emotion":
            self.notes.append(_FROM_EMOTION_NOTE)
        self._media = MediaFeatures(root, extractors["audio"], extractors["vision"])
        return CorpusDescription(
            label_names=self._label_names(),
            splits={split: path.relative_to(root).as_posix() for split, path in self._files.items()},
            media=tuple(column for column in MEDIA_COLUMNS if column in columns),
            extractors={modality: made.to_dict() if made else None for modality, made in extractors.items()},
            files=list(self._files.values()),
        )

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """Rows of the split's csv file. The emotions of single modalities become VA and are in no column."""
        for where, cells in csv_rows(self._files[split], _REQUIRED):
            row: dict[str, Any] = {name: cells[name] for name in ("utterance_id", "dialogue_id", "text")}
            row["position"] = _integer(cells["position"], f"{where}: position")
            row["speaker"] = cells.get("speaker") or None
            row["emotions"] = _split_cell(cells["emotions"])
            for column in self.corpus.media:
                paths = _split_cell(cells.get(column, ""))
                row[column] = paths or None if column == "faces" else "".join(paths) or None
            for modality in MODALITIES:
                row[f"{modality}_va"] = self._va(modality, cells, where)
            yield row

    def signals(self, split: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """Features of the row's media."""
        features: dict[str, Any] = {}
        if self._media.audio_extractor is not None:
            features["audio_features"] = self._media.speech(row["audio"]) if row["audio"] else None
        if self._media.vision_extractor is not None:
            features["vision_features"] = self._media.faces(row["faces"]) if row["faces"] else None
        return features

    def _va(self, modality: str, cells: Mapping[str, str], where: str) -> tuple[Any, Any] | None:
        if self.config.va == "given":
            valence, arousal = (_number(cells.get(f"{modality}_{axis}", "")) for axis in ("valence", "arousal"))
            return valence, arousal
        word = cells.get(f"{modality}_emotion", "").strip()
        if not word:
            return None
        if word.lower() not in self._lexicon:
            raise CorpusError(
                f"{where}: {modality}_emotion {word!r} has no valence and arousal in the table; give "
                "--emotion-va FILE (word,valence,arousal on [0, 1]), or VA columns and --va given"
            )
        valence, arousal = self._lexicon[word.lower()]
        return 2 * valence - 1, 2 * arousal - 1

    def _check_va_options(self, columns: set[str]) -> None:
        if self.config.va not in ("given", "from-emotion"):
            raise CorpusError(f"va {self.config.va!r} is unknown; choose 'given' or 'from-emotion'")
        if self.config.va == "from-emotion" and not columns.intersection(_EMOTION_COLUMNS):
            raise CorpusError(f"--va from-emotion needs a column {', '.join(_EMOTION_COLUMNS)}; the corpus has none")
        if self.config.emotion_va and self.config.va != "from-emotion":
            raise CorpusError("--emotion-va is used with --va from-emotion only; give both or neither")
        for modality in MODALITIES:
            found = [axis for axis in ("valence", "arousal") if f"{modality}_{axis}" in columns]
            if len(found) == 1:
                raise CorpusError(f"the corpus has {modality}_{found[0]} alone; VA needs valence and arousal")

    def _make_extractor(self, modality: str, columns: set[str]) -> LogMelExtractor | HogExtractor | None:
        column, kind = _EXTRACTORS[modality]
        wanted = getattr(self.config, f"{modality}_features")
        settings = getattr(self.config, f"{modality}_extractor")
        if wanted == "none" or (column not in columns and not wanted and not settings):
            if settings:
                raise CorpusError(f"--{modality}-extractor is given with --{modality}-features none; drop one of them")
            return None
        if wanted not in (None, kind.extractor_type):
            raise CorpusError(f"unknown {modality} features {wanted!r}; choose {kind.extractor_type} or none")
        if column not in columns:
            raise CorpusError(f"{modality} features need a column {column!r}, and no metadata file has one")
        try:
            extractor = extractor_from_dict(_read_settings(settings)) if settings else kind()
        except (TypeError, ValueError) as error:
            raise CorpusError(f"--{modality}-extractor: {error}") from None
        if not isinstance(extractor, kind):
            raise CorpusError(f"--{modality}-extractor: {extractor.extractor_type} does not make {modality} features")
        return extractor

    def _label_names(self) -> list[str]:
        listed = Path(self.config.source, "labels.txt")
        if self.config.labels:
            label_names = [name.strip() for name in self.config.labels.split(",")]
        elif listed.is_file():
            label_names = [line.strip() for line in read_text(listed).splitlines() if line.strip()]
        else:
            found = {
                name
                for path in self._files.values()
                for _, cells in csv_rows(path, _REQUIRED)
                for name in _split_cell(cells["emotions"])
            }
            known = [name for name in EMOTION_VALENCE_AROUSAL if name in found]
            label_names = known + sorted(found.difference(known))
        check_label_names(label_names)
        return label_names


def _metadata_files(root: Path) -> dict[str, Path]:
    folder = root / "metadata" if (root / "metadata").is_dir() else root
    files = {path.stem: path for path in sorted(folder.glob("*.csv"))}
    if not files:
        raise CorpusError(f"{folder} has no metadata csv files; give one a split, such as {folder / 'train.csv'}")
    order = sorted(files, key=lambda split: (_SPLIT_ORDER.index(split) if split in _SPLIT_ORDER else 9, split))
    return {split: files[split] for split in order}


def _columns(path: Path) -> list[str]:
    header = csv_header(path, _REQUIRED)
    # A misspelt optional column would otherwise be as good as absent, and nobody would see it.
    unknown = [name for name in header if name not in _KNOWN]
    if unknown:
        raise CorpusError(f"{path}: unknown column {unknown[0]!r}; remove or rename it, known are {', '.join(_KNOWN)}")
    return header


def _read_settings(settings: str) -> dict[str, Any]:
    text = settings if settings.lstrip().startswith("{") else read_text(Path(settings))
    loaded = json.loads(text)
    if not isinstance(loaded, dict):
        raise ValueError(f"expected a JSON object with extractor_type, found {text[:40]!r}")
    return loaded


def _read_lexicon(path: str | None) -> dict[str, tuple[float, float]]:
    """The emotion VA table, with the words of a lexicon file (comma or tab separated, header or none) on top."""
    lexicon = dict(EMOTION_VALENCE_AROUSAL)
    if path is None:
        return lexicon
    lines = read_text(Path(path)).splitlines()
    delimiter = "\t" if lines and "\t" in lines[0] else ","
    for number, cells in enumerate(csv.reader(lines, delimiter=delimiter), start=1):
        if number == 1 and len(cells) > 2 and isinstance(_number(cells[1]), str):
            continue
        values = [_number(cell) for cell in cells[1:3]]
        if len(values) < 2 or not all(isinstance(value, float) and 0 <= value <= 1 for value in values):
            raise CorpusError(
                f"{path}: line {number}: expected word, valence and arousal on [0, 1], found {cells}; "
                "rescale a lexicon on [-1, 1] by (x + 1) / 2"
            )
        lexicon[cells[0].strip().lower()] = (float(values[0]), float(values[1]))
    return lexicon


def _split_cell(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(";") if part.strip()]


def _integer(cell: str, where: str) -> int:
    try:
        return int(cell)
    except ValueError:
        raise CorpusError(f"{where} {cell!r} is not a whole number; count from 0 in each dialogue") from None


def _number(cell: str) -> float | str:
    """The number in a cell, NaN where it is empty; what is no number stays text, for the row's check to report."""
    try:
        return float(cell) if cell.strip() else math.nan
    except ValueError:
        return cell
