# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Anyone's corpus: a folder with one metadata csv a split, and the sound and image files that they name."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets

from ..data.corpus import VALIDATION_NAMES
from ..data.lexicon import read_lexicon
from ..data.metadata import EMOTION_COLUMNS, metadata_columns, metadata_rows
from ..data.schema import (
    FACE_EMOTIONS,
    FEATURE_COLUMNS,
    MEDIA_COLUMNS,
    TIME_COLUMNS,
    CorpusError,
    check_inferred_labels,
    check_label_names,
)
from ..data.speed_copies import name_of_copy
from ..data.tables import files_of, read_text
from ..features.arguments import extractor_from_argument, face_reader_from_argument
from ..features.engine import feature_engine
from ..features.face_emotions import check_face_emotions
from ..features.media import Item, Missing, items_of
from ..models.configuration_emotion import MODALITIES
from ..models.configuration_univa import EMOTION_VALENCE_AROUSAL
from ..models.extractor_base_univa import Extractor
from ..models.faces_univa import FaceReader
from ..models.light_features_univa import HogExtractor, LogMelExtractor
from ..options import OptionParser
from .builder import CorpusConfig, CorpusDescription, UnivaCorpusBuilder
from .precomputed_features import AbsentSignal, FeaturesOfFiles, FeaturesOfTable, PrecomputedFeatures


__all__ = ["UtteranceFolder", "UtteranceFolderConfig"]

_SPLIT_ORDER = ("train", *VALIDATION_NAMES, "test")
_EXTRACTORS: dict[str, tuple[str, type[LogMelExtractor] | type[HogExtractor]]] = {
    "audio": ("audio", LogMelExtractor),
    "vision": ("faces", HogExtractor),
}
_TRAIN = "train"
# Options by their earlier names.
_RENAMED = {
    "--face-reader": "--face-detector",
    "--audio-features": "--audio-extractor",
    "--vision-features": "--vision-extractor",
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
        text_features_file, audio_features_file, vision_features_file: A file of precomputed features of all
            utterances, by utterance_id (`feature_files.open_table`), instead of a column `audio_features` and so on
            in the metadata with the path of a file an utterance.
        text_features_name, audio_features_name, vision_features_name: What made precomputed features, for the card
            and for comparison with other corpora; by default what their columns tell.
        audio_extractor, vision_extractor: An extractor as `univa extract` takes it: a name, settings as JSON or the
            path of a JSON file, or the Hub id or folder of a network; "none" for no such features. By default
            "log-mel" and "hog" where there are media.
        face_emotions: What tells the expressions of the faces, for a column of their probabilities beside the face
            features: "mini-xception", settings, or the Hub id or folder of a network, as `vision_extractor`.
        face_detector: Settings of what finds the faces in videos (`FaceReader`) likewise, or a detector's name alone.
        speed_perturbation: Speeds, separated by commas, at which the sound of the training rows is played for a copy
            of them each (Ko et al., 2015): "0.9,1.1" makes three rows of one. A voice that is played faster is higher,
            and its vocal tract shorter: as many speakers more that a model cannot learn by heart.
    """

    labels: str | None = None
    va: str = "given"
    emotion_va: str | None = None
    text_features_file: str | None = None
    audio_features_file: str | None = None
    vision_features_file: str | None = None
    text_features_name: str | None = None
    audio_features_name: str | None = None
    vision_features_name: str | None = None
    audio_extractor: str | None = None
    vision_extractor: str | None = None
    face_emotions: str | None = None
    face_detector: str | None = None
    speed_perturbation: str | None = None

    def create_config_id(self, config_kwargs: dict, custom_features: datasets.Features | None = None) -> str:
        """Name of the cache folder; files of features may lie outside the source folder."""
        paths = [getattr(self, f"{modality}_features_file") for modality in MODALITIES]
        states = [_state(Path(path)) if path else None for path in paths]
        return super().create_config_id({**config_kwargs, "features_state": states}, custom_features)


class UtteranceFolder(UnivaCorpusBuilder):
    """Build a corpus from a folder of metadata csv files, one a split, and the media that they name.

    Columns: utterance_id, dialogue_id, position, text, emotions (separated by semicolons, may be empty) and, where the
    corpus has them, speaker, audio (path), faces (paths separated by semicolons), video (path), start and end of the
    utterance in its audio and video files (seconds), text_valence, text_arousal and so on, text_emotion and so on, and
    text_features, audio_features, vision_features (path of a file of precomputed features).
    Paths are relative to the folder. A row without `audio` has the sound of its video, one without `faces` the faces
    of its video; a video without sound or without a face is a row without that modality.
    """

    BUILDER_CONFIG_CLASS = UtteranceFolderConfig

    @classmethod
    def add_arguments(cls, parser: OptionParser) -> None:
        """Add the options of `UtteranceFolderConfig`."""
        parser.add_argument("--labels", help="emotions in the order of the model's outputs: happy,sad,…")
        parser.add_argument("--va", choices=("given", "from-emotion"), help="where valence and arousal come from")
        parser.add_argument("--emotion-va", help="lexicon of word, valence, arousal on [0, 1] for --va from-emotion")
        parser.add_argument(
            "--audio-extractor", help="log-mel (default where there is sound), none, JSON, a JSON file, or a network"
        )
        parser.add_argument(
            "--vision-extractor", help="hog (default where there are faces), mini-xception, none, JSON, … likewise"
        )
        parser.add_argument(
            "--face-emotions",
            help="also probabilities of expressions, by mini-xception, JSON, … or an image classifier",
        )
        for modality in MODALITIES:
            parser.add_argument(
                f"--{modality}-features-file", help="precomputed features of all utterances, by utterance_id"
            )
            parser.add_argument(f"--{modality}-features-name", help="what made precomputed features, for the card")
        parser.add_argument("--face-detector", help="for videos: detector (yunet, haar, …), JSON, or a JSON file")
        for earlier, name in _RENAMED.items():
            parser.rename_option(earlier, name)
        parser.add_argument(
            "--speed-perturbation", help="copies of the training rows with faster or slower sound: 0.9,1.1"
        )

    def describe(self) -> CorpusDescription:
        """Read the headers and labels of all metadata files, and make the extractors."""
        root = Path(self.config.source)
        self._files = _metadata_files(root)
        columns = set().union(*(metadata_columns(path, others=FEATURE_COLUMNS) for path in self._files.values()))
        self._check_va_options(columns)
        self._lexicon = read_lexicon(self.config.emotion_va)
        self._precomputed = self._open_precomputed(columns)
        extractors = {modality: self._make_extractor(modality, columns) for modality in _EXTRACTORS}
        if self.config.va == "from-emotion":
            self.notes.append(_FROM_EMOTION_NOTE)
        face_reader = self._make_face_reader(columns, with_vision=extractors["vision"] is not None)
        self._read_speeds(with_audio=extractors["audio"] is not None)
        self._made = {modality: made for modality, made in extractors.items() if made is not None}
        expressions = self._face_emotions()
        if self._made:
            self.engine = feature_engine(
                {**self._made, **expressions}, root, face_reader, workers=self.workers,
                outside=self.config.outside_source,
            )  # fmt: skip
        return CorpusDescription(
            label_names=self._label_names(),
            splits={split: path.relative_to(root).as_posix() for split, path in self._files.items()},
            media=tuple(column for column in MEDIA_COLUMNS if column in columns),
            times=tuple(column for column in TIME_COLUMNS if column in columns),
            extractors={
                **{modality: made.to_dict() if made else None for modality, made in extractors.items()},
                **{modality: features.made_by for modality, features in self._precomputed.items()},
            },
            face_emotions=expressions[FACE_EMOTIONS].to_dict() if expressions else None,
            face_reader=face_reader.to_dict() if face_reader is not None else None,
            files=list(self._files.values()),
        )

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """Rows of the split's csv file. The emotions of single modalities become VA and are in no column."""
        yield from self._rows(split)
        for speed in self._speeds if split == _TRAIN else ():
            for row in self._rows(split):
                for name in ("utterance_id", "dialogue_id"):
                    row[name] = name_of_copy(row[name], speed)
                self._speed_of[row["utterance_id"]] = speed
                yield row

    def _rows(self, split: str) -> Iterator[dict[str, Any]]:
        columns = ("utterance_id", "dialogue_id", "position", "speaker", "text", "emotions")
        for where, cells, found in metadata_rows(self._files[split]):
            row = {name: found[name] for name in columns}
            row.update({name: found.get(name) for name in (*self.corpus.media, *self.corpus.times)})
            row.update({f"{name}_features": found.get(f"{name}_features") for name in self._precomputed})
            for modality in MODALITIES:
                row[f"{modality}_va"] = self._va(modality, cells, where)
            yield row

    def signals(self, split: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """Features that came with the row."""
        copy = row["utterance_id"]
        original = copy.removeprefix(name_of_copy("", self._speed_of[copy])) if copy in self._speed_of else copy
        found: dict[str, Any] = {}
        for modality, features in self._precomputed.items():
            try:
                found[f"{modality}_features"] = features.frames({**row, "utterance_id": original})
            except AbsentSignal as error:
                found[f"{modality}_features"] = Missing(str(error), rejected=False)
        return found

    def media_items(self, row: Mapping[str, Any]) -> dict[str, list[Item]]:
        """The row's sound, at its speed, and faces."""
        return items_of(row, self._made, self._speed_of.get(row["utterance_id"], 1.0))

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        yield from super()._generate_examples(split)
        for features in self._precomputed.values():
            self.notes += features.notes(split)

    def _va(self, modality: str, cells: Mapping[str, str], where: str) -> tuple[Any, Any] | None:
        if self.config.va == "given":
            valence, arousal = (_number(cells.get(f"{modality}_{axis}", "")) for axis in ("valence", "arousal"))
            return valence, arousal
        word = cells.get(f"{modality}_emotion", "").strip()
        if not word:
            return None
        if word.lower() not in self._lexicon:
            raise CorpusError(
                f"{where}: {modality}_emotion {word!r} has no valence and arousal in the table; pass "
                "`emotion_va` (a file of word,valence,arousal on [0, 1]), or VA columns and `va` = given"
            )
        valence, arousal = self._lexicon[word.lower()]
        return 2 * valence - 1, 2 * arousal - 1

    def _check_va_options(self, columns: set[str]) -> None:
        if self.config.va not in ("given", "from-emotion"):
            raise CorpusError(f"va {self.config.va!r} is unknown; choose 'given' or 'from-emotion'")
        if self.config.va == "from-emotion" and not columns.intersection(EMOTION_COLUMNS):
            raise CorpusError(f"`va` = from-emotion needs a column {', '.join(EMOTION_COLUMNS)}; the corpus has none")
        if self.config.emotion_va and self.config.va != "from-emotion":
            raise CorpusError("`emotion_va` is used with `va` = from-emotion only; pass both or neither")
        for modality in MODALITIES:
            found = [axis for axis in ("valence", "arousal") if f"{modality}_{axis}" in columns]
            if len(found) == 1:
                raise CorpusError(f"the corpus has {modality}_{found[0]} alone; VA needs valence and arousal")

    def _open_precomputed(self, columns: set[str]) -> dict[str, PrecomputedFeatures]:
        """The features that need no extractor, opened at their first row."""
        found: dict[str, PrecomputedFeatures] = {}
        for modality in MODALITIES:
            features = self._precomputed_of(modality, columns)
            if features is not None:
                features.open(row for path in self._files.values() for _, _, row in metadata_rows(path))
                found[modality] = features
                self.notes += features.about()
        return found

    def _precomputed_of(self, modality: str, columns: set[str]) -> PrecomputedFeatures | None:
        column, settings = f"{modality}_features", vars(self.config)
        file, name = settings[f"{column}_file"], settings[f"{column}_name"]
        refused = settings.get(f"{modality}_extractor") == "none"
        has_column = column in columns and not refused
        if file and (has_column or refused):
            other = f"the metadata's column {column!r}" if has_column else f"`{modality}_extractor` none"
            raise CorpusError(f"`{column}_file` {file} cannot be used together with {other}; drop one of them")
        if file:
            return FeaturesOfTable(modality, name, Path(file))
        if has_column:
            return FeaturesOfFiles(modality, name, Path(self.config.source), self.config.outside_source)
        if name:
            raise CorpusError(f"`{column}_name` names precomputed features, and the corpus has no {column!r}; drop it")
        return None

    def _make_extractor(self, modality: str, columns: set[str]) -> Extractor | None:
        column, kind = _EXTRACTORS[modality]
        settings = getattr(self.config, f"{modality}_extractor")
        if modality in self._precomputed:
            if settings:
                raise CorpusError(
                    f"the {modality} features are precomputed, and {settings!r} would make others; drop one"
                )
            return None
        has_media = not columns.isdisjoint((column, "video"))
        if settings == "none" or not (has_media or settings):
            return None
        if not has_media:
            raise CorpusError(f"{modality} features need a column {column!r} or 'video', and no metadata file has one")
        return extractor_from_argument(modality, settings) if settings else kind()

    def _face_emotions(self) -> dict[str, Extractor]:
        """What tells the expressions of the faces, if anything shall."""
        if not self.config.face_emotions:
            return {}
        found = {FACE_EMOTIONS: extractor_from_argument(FACE_EMOTIONS, self.config.face_emotions)}
        check_face_emotions({**self._made, **found})
        return found

    def _make_face_reader(self, columns: set[str], with_vision: bool) -> FaceReader | None:
        settings = self.config.face_detector
        if "video" not in columns or not with_vision:
            if settings:
                raise CorpusError(
                    "`face_detector` is given, but no face features are to be made from a column 'video'"
                )
            return None

        return face_reader_from_argument(settings) if settings else FaceReader()

    def _read_speeds(self, with_audio: bool) -> None:
        given = self.config.speed_perturbation
        speeds = [_number(speed) for speed in given.split(",")] if given else []
        self._speeds = [speed for speed in speeds if isinstance(speed, float) and 0.5 <= speed <= 2 and speed != 1]
        self._speed_of: dict[str, float] = {}
        if not given:
            return
        if len(set(self._speeds)) < len(speeds):
            raise CorpusError(
                f"`speed_perturbation` {given!r}: pass different speeds from 0.5 to 2 other than 1: 0.9,1.1"
            )
        if not with_audio or _TRAIN not in self._files:
            raise CorpusError(f"`speed_perturbation` needs a split {_TRAIN!r} and speech features to be made")
        self.notes.append(
            f"{_TRAIN}: for each of the speeds {given} there is a copy of every row, its speech features those of the "
            "sound played at that speed. Columns with media name the recordings as they are."
        )

    def _label_names(self) -> list[str]:
        if self.config.labels:
            label_names = [name.strip() for name in self.config.labels.split(",")]
        else:
            listed = self._listed_labels()
            label_names = self._labels_that_occur() if listed is None else listed
        check_label_names(label_names)
        return label_names

    def _listed_labels(self) -> list[str] | None:
        root = Path(self.config.source)
        for listed in (path for path in files_of(root, ".txt") if path.name.lower() == "labels.txt"):
            names = [line.strip() for line in read_text(listed).splitlines() if line.strip()]
            check_inferred_labels(dict.fromkeys(names, f"{listed}: one label a line"))
            return names
        return None

    def _labels_that_occur(self) -> list[str]:
        found: dict[str, str] = {}
        for path in self._files.values():
            for where, _, row in metadata_rows(path):
                for name in row["emotions"]:
                    found.setdefault(name, where)
        check_inferred_labels(found)
        known = [name for name in EMOTION_VALENCE_AROUSAL if name in found]
        return known + sorted(set(found).difference(known))


def _metadata_files(root: Path) -> dict[str, Path]:
    folder = root / "metadata" if (root / "metadata").is_dir() else root
    files: dict[str, Path] = {}
    for path in files_of(folder, ".csv"):
        # Only the usual names are the same in any case.
        split = path.stem.lower() if path.stem.lower() in _SPLIT_ORDER else path.stem
        if split in files:
            raise CorpusError(f"{files[split]} and {path} are both the split {split}; keep one of them")
        files[split] = path
    if not files:
        raise CorpusError(f"{folder} has no metadata csv files; add one per split, such as {folder / 'train.csv'}")
    order = sorted(files, key=lambda split: (_SPLIT_ORDER.index(split) if split in _SPLIT_ORDER else 9, split))
    return {split: files[split] for split in order}


def _state(path: Path) -> tuple[int, int] | None:
    return (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else None


def _number(cell: str) -> float | str:
    """The number in a cell, NaN where it is empty; what is no number stays text, for the row's check to report."""
    try:
        return float(cell) if cell.strip() else math.nan
    except ValueError:
        return cell


BUILDER = UtteranceFolder
