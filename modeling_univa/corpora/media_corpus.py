# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What corpora of raw media share: extractors or precomputed features, expressions, the face reader, speed copies."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import datasets

from ..data.schema import FACE_EMOTIONS, MEDIA_COLUMNS, TIME_COLUMNS, CorpusError
from ..data.speed_copies import name_of_copy
from ..features.arguments import extractor_from_argument, face_reader_from_argument
from ..features.engine import feature_engine
from ..features.face_emotions import check_face_emotions
from ..features.media import Item, Missing, items_of
from ..models.configuration_emotion import MODALITIES
from ..models.extractor_base_univa import Extractor
from ..models.faces_univa import FaceReader, reader_at_hand
from ..models.light_features_univa import HogExtractor, LogMelExtractor
from ..options import OptionParser
from .builder import CorpusConfig, CorpusDescription, UnivaCorpusBuilder
from .precomputed_features import AbsentSignal, FeaturesOfFiles, FeaturesOfTable, PrecomputedFeatures


__all__ = ["MediaCorpus", "MediaCorpusConfig"]

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


@dataclass
class MediaCorpusConfig(CorpusConfig):
    """Options of `MediaCorpus`.

    Args:
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
            By default that of the corpus, "yunet" in most; "haar" where the file of yunet cannot be downloaded.
        speed_perturbation: Speeds, separated by commas, at which the sound of the training rows is played for a copy
            of them each (Ko et al., 2015): "0.9,1.1" makes three rows of one. A voice that is played faster is higher,
            and its vocal tract shorter: as many speakers more that a model cannot learn by heart.
    """

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


class MediaCorpus(UnivaCorpusBuilder):
    """Base of the builders of raw media.

    A subclass yields the rows of a split with their media in `source_rows`, and returns from `describe` what
    `describe_media` makes of its columns.
    """

    BUILDER_CONFIG_CLASS = MediaCorpusConfig
    # What finds the faces in videos, where the user does not say it, and its detector's file is at hand.
    FACE_READER: ClassVar[FaceReader] = FaceReader()

    precomputed: dict[str, PrecomputedFeatures]

    def source_rows(self, split: str) -> Iterator[dict[str, Any]]:
        """Rows of a split as those of `rows`, without copies at other speeds."""
        raise NotImplementedError

    def feature_rows(self, splits: Iterable[str]) -> Iterator[Mapping[str, Any]]:
        """Rows of these splits with `utterance_id` and the paths of precomputed features; asked within `describe`."""
        for split in splits:
            yield from self.source_rows(split)

    @classmethod
    def add_arguments(cls, parser: OptionParser) -> None:
        """Add the options of `MediaCorpusConfig`."""
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

    def describe_media(
        self,
        columns: Collection[str],
        *,
        label_names: list[str],
        splits: dict[str, str],
        files: Sequence[Path],
        transcripts: bool = True,
    ) -> CorpusDescription:
        """
        Make the extractors for these columns.

        Args:
            columns: Those of media, times and features that the rows have.
            label_names, splits, files, transcripts: As of `CorpusDescription`.

        Raises:
            CorpusError: Options do not fit the columns.
        """
        self.precomputed = self._open_precomputed(columns, splits)
        extractors = {modality: self._make_extractor(modality, columns) for modality in _EXTRACTORS}
        face_reader = self._make_face_reader(columns, with_vision=extractors["vision"] is not None)
        self._read_speeds(with_audio=extractors["audio"] is not None, with_train=_TRAIN in splits)
        self._made = {modality: made for modality, made in extractors.items() if made is not None}
        expressions = self._face_emotions()
        if self._made:
            self.engine = feature_engine(
                {**self._made, **expressions}, Path(self.config.source), face_reader, workers=self.workers,
                outside=self.config.outside_source,
            )  # fmt: skip
        return CorpusDescription(
            label_names=label_names,
            splits=splits,
            media=tuple(column for column in MEDIA_COLUMNS if column in columns),
            times=tuple(column for column in TIME_COLUMNS if column in columns),
            extractors={
                **{modality: made.to_dict() if made else None for modality, made in extractors.items()},
                **{modality: features.made_by for modality, features in self.precomputed.items()},
            },
            face_emotions=expressions[FACE_EMOTIONS].to_dict() if expressions else None,
            face_reader=face_reader.to_dict() if face_reader is not None else None,
            files=list(files),
            transcripts=transcripts,
        )

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """The rows of a split and, of the training split, their copies at other speeds."""
        yield from self.source_rows(split)
        for speed in self._speeds if split == _TRAIN else ():
            for row in self.source_rows(split):
                for name in ("utterance_id", "dialogue_id"):
                    row[name] = name_of_copy(row[name], speed)
                self._speed_of[row["utterance_id"]] = speed
                yield row

    def signals(self, split: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """Features that came with the row."""
        original = self.original_of(row["utterance_id"])
        found: dict[str, Any] = {}
        for modality, features in self.precomputed.items():
            try:
                found[f"{modality}_features"] = features.frames({**row, "utterance_id": original})
            except AbsentSignal as error:
                found[f"{modality}_features"] = Missing(str(error), rejected=False)
        return found

    def original_of(self, utterance_id: str) -> str:
        """The utterance that one is a copy of at another speed, or itself."""
        speed = self._speed_of.get(utterance_id)
        return utterance_id if speed is None else utterance_id.removeprefix(name_of_copy("", speed))

    def media_items(self, row: Mapping[str, Any]) -> dict[str, list[Item]]:
        """The row's sound, at its speed, and faces."""
        return items_of(row, self._made, self._speed_of.get(row["utterance_id"], 1.0))

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        yield from super()._generate_examples(split)
        for features in self.precomputed.values():
            self.notes += features.notes(split)

    def _open_precomputed(self, columns: Collection[str], splits: Collection[str]) -> dict[str, PrecomputedFeatures]:
        """The features that need no extractor, opened at their first row."""
        found: dict[str, PrecomputedFeatures] = {}
        for modality in MODALITIES:
            features = self._precomputed_of(modality, columns)
            if features is not None:
                features.open(self.feature_rows(splits))
                found[modality] = features
                self.notes += features.about()
        return found

    def _precomputed_of(self, modality: str, columns: Collection[str]) -> PrecomputedFeatures | None:
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

    def _make_extractor(self, modality: str, columns: Collection[str]) -> Extractor | None:
        column, kind = _EXTRACTORS[modality]
        settings = getattr(self.config, f"{modality}_extractor")
        if modality in self.precomputed:
            if settings:
                raise CorpusError(
                    f"the {modality} features are precomputed, and {settings!r} would make others; drop one"
                )
            return None
        has_media = column in columns or "video" in columns
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

    def _make_face_reader(self, columns: Collection[str], with_vision: bool) -> FaceReader | None:
        settings = self.config.face_detector
        if "video" not in columns or not with_vision:
            if settings:
                raise CorpusError(
                    "`face_detector` is given, but no face features are to be made from a column 'video'"
                )
            return None
        return face_reader_from_argument(settings) if settings else reader_at_hand(self.FACE_READER)

    def _read_speeds(self, with_audio: bool, with_train: bool) -> None:
        given = self.config.speed_perturbation
        speeds = [_speed(cell) for cell in given.split(",")] if given else []
        self._speeds = [speed for speed in speeds if 0.5 <= speed <= 2 and speed != 1]
        self._speed_of: dict[str, float] = {}
        if not given:
            return
        if len(set(self._speeds)) < len(speeds):
            raise CorpusError(
                f"`speed_perturbation` {given!r}: pass different speeds from 0.5 to 2 other than 1: 0.9,1.1"
            )
        if not (with_audio and with_train):
            raise CorpusError(f"`speed_perturbation` needs a split {_TRAIN!r} and speech features to be made")
        self.notes.append(
            f"{_TRAIN}: for each of the speeds {given} there is a copy of every row, its speech features those of the "
            "sound played at that speed. Columns with media name the recordings as they are."
        )


def _state(path: Path) -> tuple[int, int] | None:
    return (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else None


def _speed(cell: str) -> float:
    """The number in a cell; NaN, which is not a speed, where there is none."""
    try:
        return float(cell)
    except ValueError:
        return math.nan
