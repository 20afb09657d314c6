# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Anyone's corpus: a folder with one metadata csv a split, and the sound and image files that they name."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.lexicon import affect_of_word, read_lexicon
from ..data.metadata import EMOTION_COLUMNS
from ..data.schema import CorpusError, check_inferred_labels, check_label_names
from ..data.tables import files_of, read_text
from ..models.configuration_emotion import MODALITIES
from ..models.configuration_univa import EMOTION_VALENCE_AROUSAL
from ..options import OptionParser
from .builder import CorpusDescription
from .media_corpus import MediaCorpus, MediaCorpusConfig
from .metadata_tables import MetadataTables, Tables


__all__ = ["UtteranceFolder", "UtteranceFolderConfig"]

_FROM_EMOTION_NOTE = (
    "Valence and arousal are those of the emotion that a row names for the modality, 2x - 1 of its entry in the "
    "emotion table. All splits have them; they are for training only."
)


@dataclass
class UtteranceFolderConfig(MediaCorpusConfig):
    """Options of `UtteranceFolder`.

    Args:
        labels: The emotions in the order of the model's outputs, separated by commas. By default the lines of
            labels.txt in the source or, without that file, the emotions that occur: first those of
            `EMOTION_VALENCE_AROUSAL` in its order, then the others by the alphabet.
        va: "given" takes VA from the columns text_valence, text_arousal, …; "from-emotion" from the emotion that a row
            names for each modality (text_emotion, …), as 2x - 1 of the word's valence and arousal on [0, 1].
        emotion_va: Lexicon of word, valence and arousal for `va="from-emotion"`; see [`read_lexicon`].
    """

    labels: str | None = None
    va: str = "given"
    emotion_va: str | None = None


class UtteranceFolder(MediaCorpus):
    """Build a corpus from a folder of metadata csv files, one a split, and the media that they name.

    Columns: utterance_id, dialogue_id, position, text, emotions (separated by semicolons, may be empty) and, where the
    corpus has them, speaker, audio (path), faces (paths separated by semicolons), video (path), start and end of the
    utterance in its audio and video files (seconds), text_valence, text_arousal and so on, text_emotion and so on, and
    text_features, audio_features, vision_features (path of a file of precomputed features).
    Paths are relative to the folder. A row without `audio` has the sound of its video, one without `faces` the faces
    of its video; a video without sound or without a face is a row without that modality.
    """

    BUILDER_CONFIG_CLASS = UtteranceFolderConfig

    tables: Tables

    @classmethod
    def add_arguments(cls, parser: OptionParser) -> None:
        """Add the options of `UtteranceFolderConfig`."""
        parser.add_argument("--labels", help="emotions in the order of the model's outputs: happy,sad,…")
        parser.add_argument("--va", choices=("given", "from-emotion"), help="where valence and arousal come from")
        parser.add_argument("--emotion-va", help="lexicon of word, valence, arousal for --va from-emotion")
        super().add_arguments(parser)

    def describe(self) -> CorpusDescription:
        """Read the headers and labels of all metadata files, and make the extractors."""
        self.tables = self.read_tables()
        self._check_va_options(self.tables.columns)
        self._lexicon = read_lexicon(self.config.emotion_va)
        if self.config.va == "from-emotion":
            self.notes.append(_FROM_EMOTION_NOTE)
        return self.describe_media(
            self.tables.columns,
            label_names=self._label_names(),
            splits=self.tables.splits,
            files=self.tables.files,
            transcripts=self.tables.transcripts,
        )

    def read_tables(self) -> Tables:
        """What lists the rows: the metadata files of the source. Raises `CorpusError`."""
        return MetadataTables(Path(self.config.source))

    def feature_rows(self, splits: Iterable[str]) -> Iterator[Mapping[str, Any]]:
        """The rows of the tables."""
        for split in splits:
            for _, _, row in self.tables.rows(split):
                yield row

    def source_rows(self, split: str) -> Iterator[dict[str, Any]]:
        """Rows of the split's table. The emotions of single modalities become VA and are in no column."""
        columns = ("utterance_id", "dialogue_id", "position", "speaker", "text", "emotions")
        for where, cells, found in self.tables.rows(split):
            row = {name: found[name] for name in columns}
            row.update({name: found.get(name) for name in (*self.corpus.media, *self.corpus.times)})
            row.update({f"{name}_features": found.get(f"{name}_features") for name in self.precomputed})
            for modality in MODALITIES:
                row[f"{modality}_va"] = self._va(modality, cells, where)
            yield row

    def _va(self, modality: str, cells: Mapping[str, str], where: str) -> tuple[Any, Any] | None:
        if self.config.va == "given":
            valence, arousal = (_number(cells.get(f"{modality}_{axis}", "")) for axis in ("valence", "arousal"))
            return valence, arousal
        word = cells.get(f"{modality}_emotion", "").strip()
        if not word:
            return None
        pair = affect_of_word(word, self._lexicon)
        if pair is None:
            raise CorpusError(
                f"{where}: {modality}_emotion {word!r} has no valence and arousal in the table; pass "
                "`emotion_va` (a file of word, valence and arousal), or VA columns and `va` = given"
            )
        return 2 * pair[0] - 1, 2 * pair[1] - 1

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

    def _label_names(self) -> list[str]:
        if self.config.labels:
            label_names = [name.strip() for name in self.config.labels.split(",")]
        else:
            listed = self.listed_labels()
            label_names = self._labels_that_occur() if listed is None else listed
        check_label_names(label_names)
        return label_names

    def listed_labels(self) -> list[str] | None:
        """The lines of labels.txt in the source, where it has one. Raises `CorpusError`."""
        root = Path(self.config.source)
        for listed in (path for path in files_of(root, ".txt") if path.name.lower() == "labels.txt"):
            names = [line.strip() for line in read_text(listed).splitlines() if line.strip()]
            check_inferred_labels(dict.fromkeys(names, f"{listed}: one label a line"))
            return names
        return None

    def check_labels(self, places: Mapping[str, str]) -> None:
        """Refuse labels that occur and are probably none, each with where it stands. Raises `CorpusError`."""
        check_inferred_labels(places)

    def _labels_that_occur(self) -> list[str]:
        found: dict[str, str] = {}
        for split in self.tables.splits:
            for where, _, row in self.tables.rows(split):
                for name in row["emotions"]:
                    found.setdefault(name, where)
        self.check_labels(found)
        known = [name for name in EMOTION_VALENCE_AROUSAL if name in found]
        return known + sorted(set(found).difference(known))


def _number(cell: str) -> float | str:
    """The number in a cell, NaN where it is empty; what is not a number stays text, for the row's check to report."""
    try:
        return float(cell) if cell.strip() else math.nan
    except ValueError:
        return cell


BUILDER = UtteranceFolder
