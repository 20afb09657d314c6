# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""MOSEI from the data files that the authors of UniVA published, or from CMU's own computational sequences."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from ..data.schema import CorpusError, RowError
from ..data.tables import csv_rows, read_text
from ..models.configuration_emotion import MODALITIES
from ..models.configuration_univa import MOSEI_EMOTIONS
from ..models.files_univa import sha256_of_files
from ..models.processing_univa import PRECOMPUTED
from ..options import OptionParser
from .builder import CorpusConfig, CorpusDescription, UnivaCorpusBuilder
from .computational_sequences import (
    ComputationalSequence,
    find_sequences,
    segment_name,
    split_name,
)
from .precomputed_features import StorableFrames
from .released_files import Annotation, ReleasedCorpus


_FOLDS = (("train",), ("validation", "valid", "dev"), ("test",))
_PAUSE = "sp"
_LARGEST_INTENSITY = 3


class Mosei(ReleasedCorpus):
    """Build MOSEI from the released files (or, with --csd DIR --folds DIR instead of --source, from CMU's own files).

    An emotion is active where its annotated intensity is not 0.
    """

    PRETTY_NAME = "MOSEI (features released with UniVA)"
    LANGUAGE = "en"
    PROVENANCE = "Made of the data files that the authors of UniVA published; nothing was extracted or scored again."
    DATASET = "MOSEI"
    LABEL_NAMES = MOSEI_EMOTIONS
    ANNOTATION_FILE = "final_multi_labels.csv"
    TEXT_VA_LENGTH = 3
    EXTRACTORS = {
        "text": ("GloVe", 300),
        "audio": ("jonatasgrosmann/wav2vec2-large-xlsr-53-english", 1024),
        "vision": ("InceptionResnetV1 (casia-webface)", 512),
    }

    @classmethod
    def for_arguments(cls, arguments: Sequence[str]) -> type[UnivaCorpusBuilder]:
        """CMU's own files where `--csd` names them."""
        return MoseiSequences if any(argument.split("=")[0] == "--csd" for argument in arguments) else cls

    def read_annotations(self) -> dict[str, list[Annotation]]:
        """Rows of final_multi_labels.csv by split (column `mode`), in its order."""
        found: dict[str, list[Annotation]] = {}
        columns = ("video_id", "clip_id", "text", *MOSEI_EMOTIONS, "mode", "truely_sort")
        for where, cells in csv_rows(self.root / self.ANNOTATION_FILE, columns):
            found.setdefault(cells["mode"], []).append(_annotation(cells, where))
        return found


def _annotation(cells: dict[str, str], where: str) -> Annotation:
    kinds: dict[str, type] = {**dict.fromkeys(MOSEI_EMOTIONS, float), "truely_sort": int}
    intensities: dict[str, float] = {}
    for name, kind in kinds.items():
        try:
            intensities[name] = kind(cells[name])
        except ValueError:
            raise CorpusError(f"{where}: {name} is {cells[name]!r}, expected a number; correct it") from None
    order = int(intensities.pop("truely_sort"))
    # NaN is not 0, and would make a label out of an absent annotation.
    odd = [name for name, value in intensities.items() if not 0 <= value < math.inf]
    return Annotation(
        utterance_id=f"{cells['video_id']}_{cells['clip_id']}",
        dialogue_id=cells["video_id"],
        text=cells["text"],
        emotions=[name for name, value in intensities.items() if value != 0],
        order=order,
        problem=f"{where}: intensity {cells[odd[0]]} of {odd[0]}, expected 0 or more" if odd else None,
    )


@dataclass
class MoseiSequencesConfig(CorpusConfig):
    """Options of `MoseiSequences`.

    Args:
        folds: Folder of train.txt, validation.txt (or valid.txt, dev.txt) and test.txt, one video id a line.
        label_sequence, word_sequence: Names of the sequences with the labels and the words.
        text_sequence, audio_sequence, vision_sequence: Names of the sequences with features; `None` for none.
        audio_pool, vision_pool: Number of consecutive frames averaged into one, for sequences finer than a model can
            take.
    """

    folds: str = ""
    label_sequence: str = "All Labels"
    word_sequence: str = "words"
    text_sequence: str | None = None
    audio_sequence: str | None = None
    vision_sequence: str | None = None
    audio_pool: int = 1
    vision_pool: int = 1

    def create_config_id(self, config_kwargs: dict, custom_features: datasets.Features | None = None) -> str:
        """Name of the cache folder; the lists of the folds may lie outside the source folder."""
        folds = {split: sha256_of_files(path) for split, path in _fold_files(Path(self.folds)).items()}
        return super().create_config_id({**config_kwargs, "folds_state": folds}, custom_features)


@dataclass(frozen=True)
class _Segment:
    """An annotated piece of a video, `start` to `end` in seconds; `problem` says why it cannot be used."""

    video: str
    number: int
    start: float = math.nan
    end: float = math.nan
    emotions: tuple[str, ...] = ()
    problem: str | None = None


class MoseiSequences(UnivaCorpusBuilder):
    """Build MOSEI from CMU's computational sequences, with the folds given as lists of video ids.

    Utterances are the segments of the labels (sentiment, happy, sad, anger, surprise, disgust, fear); an emotion is
    active where its intensity is above 0. The text of a segment is the words whose middle lies in it, without the
    pauses ("sp"); its frames are those that overlap with it. One video is in memory at a time.
    """

    BUILDER_CONFIG_CLASS = MoseiSequencesConfig
    SOURCE_OPTION = "--csd"
    PRETTY_NAME = "CMU-MOSEI (computational sequences)"
    LANGUAGE = "en"
    PROVENANCE = (
        "Made of CMU computational sequences. Utterance ids are video[n] for the n-th annotated segment, as the CMU "
        "SDK names them; the transcripts have neither case nor punctuation beyond that of the words sequence. Valence "
        "and arousal are unknown."
    )

    @classmethod
    def add_arguments(cls, parser: OptionParser) -> None:
        """Add the options of `MoseiSequencesConfig`."""
        parser.add_argument("--folds", required=True, help="folder of train.txt, validation.txt, test.txt: video ids")
        parser.add_argument("--label-sequence", help="sequence of the labels (default 'All Labels')")
        parser.add_argument("--word-sequence", help="sequence of the words (default 'words')")
        parser.add_argument("--text-sequence", help="sequence of word vectors, such as glove_vectors")
        parser.add_argument("--audio-sequence", help="sequence of speech features, such as COVAREP")
        parser.add_argument("--vision-sequence", help="sequence of face features, such as OpenFace_2")
        parser.add_argument(
            "--audio-pool", type=int, help="number of consecutive speech frames averaged into one (default 1)"
        )
        parser.add_argument(
            "--vision-pool", type=int, help="number of consecutive face frames averaged into one (default 1)"
        )

    def describe(self) -> CorpusDescription:
        """Open the sequences, read the folds, and compare the videos of both."""
        root = Path(self.config.source)
        self._pools = {"text": 1, "audio": self.config.audio_pool, "vision": self.config.vision_pool}
        if min(self._pools.values()) < 1:
            raise CorpusError(f"`audio_pool` and `vision_pool` are numbers of frames, at least 1, not {self._pools}")
        sequences = find_sequences(root)
        self._labels = _named(sequences, self.config.label_sequence, "label_sequence")
        self._words = _named(sequences, self.config.word_sequence, "word_sequence")
        self._features = {
            modality: _named(sequences, name, f"{modality}_sequence")
            for modality in MODALITIES
            if (name := getattr(self.config, f"{modality}_sequence"))
        }
        self._storable = {modality: StorableFrames(sequence.name) for modality, sequence in self._features.items()}
        if not self._features:
            others = sorted(set(sequences) - {self._labels.name, self._words.name})
            self.notes.append(f"No feature sequence was asked for; {root} has {', '.join(others) or 'none'}.")
        files = _fold_files(Path(self.config.folds))
        self._videos = self._match(_read_folds(files))
        self.notes.extend(
            f"Fold {split}: `{path.name}` {sha256_of_files(path)} (SHA-256)." for split, path in files.items()
        )
        return CorpusDescription(
            label_names=list(MOSEI_EMOTIONS),
            splits={split: path.name for split, path in files.items()},
            extractors={modality: self._made_by(modality) for modality in self._features},
            files=[self._labels.path, self._words.path],
        )

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """Segments of the fold's videos, in the order of the list and of time."""
        for video, names in self._videos[split].items():
            segments = sorted(self._segments(video, names), key=lambda one: (one.start, one.number))
            # Rows are asked for one by one, and `check_row` and `signals` only ever for the latest.
            self._current: dict[str, _Segment] = {}
            for position, segment in enumerate(segments):
                name, text = segment_name(video, segment.number), ""
                if segment.problem is None:
                    try:
                        text = self._transcript(segment)
                    except RowError as error:
                        segment = _Segment(video, segment.number, problem=str(error))
                self._current[name] = segment
                yield {
                    "utterance_id": name,
                    "dialogue_id": video,
                    "position": position,
                    "speaker": None,
                    "text": text,
                    "emotions": list(segment.emotions),
                }

    def check_row(self, split: str, row: Mapping[str, Any]) -> None:
        """Refuse segments that the labels or the words say nothing sound of."""
        problem = self._current[row["utterance_id"]].problem
        if problem:
            raise RowError(problem)

    def signals(self, split: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """Features of the segment from every sequence that was asked for."""
        segment = self._current[row["utterance_id"]]
        return {f"{modality}_features": self._frames(split, modality, segment) for modality in self._features}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        yield from super()._generate_examples(split)
        for storable in self._storable.values():
            self.notes += storable.notes(split)

    def _match(self, folds: Mapping[str, list[str]]) -> dict[str, dict[str, list[str]]]:
        """Ids in the label sequence of each fold's videos; videos that only one side has are listed."""
        labelled: dict[str, list[str]] = {}
        for name in self._labels:
            labelled.setdefault(split_name(name)[0], []).append(name)
        listed = {video: split for split, videos in folds.items() for video in videos}
        without = [video for video in listed if video not in labelled]
        unlisted = [video for video in labelled if video not in listed]
        differences = self.side_files.setdefault("fold_differences.jsonl", [])
        for video in without:
            differences.append({"video": video, "fold": listed[video], "reason": "not in the label sequence"})
        for video in unlisted:
            differences.append({"video": video, "fold": None, "reason": "in no fold"})
        if differences:
            self.notes.append(
                f"{len(without)} videos of the folds have no labels and {len(unlisted)} videos with labels are in no "
                "fold; they are left out (see fold_differences.jsonl)."
            )
        return {split: {one: labelled[one] for one in videos if one in labelled} for split, videos in folds.items()}

    def _segments(self, video: str, names: list[str]) -> Iterator[_Segment]:
        for name in names:
            number = split_name(name)[1]
            try:
                entry = self._labels.entry(name)
            except RowError as error:
                yield _Segment(video, number or 0, problem=str(error))
                continue
            if entry.features.dtype.kind not in "fiu" or entry.features.shape[1] != 1 + len(MOSEI_EMOTIONS):
                raise CorpusError(
                    f"{self._labels.path}: {self._labels.name}/data/{name}: expected the numbers sentiment, "
                    f"{', '.join(MOSEI_EMOTIONS)} of each segment, found {entry.features.dtype} of shape "
                    f"{entry.features.shape}; pass `label_sequence`"
                )
            for row, (labels, interval) in enumerate(zip(entry.features, entry.intervals, strict=True)):
                yield _segment(video, row if number is None else number + row, labels, interval)

    def _transcript(self, segment: _Segment) -> str:
        words = self._words.segment(segment.video, segment.number, segment.start, segment.end, centred=True)
        if words is None:
            raise RowError(f"{self._words.name} has nothing of video {segment.video!r}")
        found = [_word(cell, self._words) for cell in words[:, 0]] if words.size else []
        text = " ".join(word for word in found if word and word != _PAUSE)
        if not text:
            raise RowError(f"{self._words.name} has no word from {segment.start:g} s to {segment.end:g} s")
        return text

    def _frames(self, split: str, modality: str, segment: _Segment) -> np.ndarray | None:
        """Features of a segment, values that float16 cannot hold replaced and counted."""
        sequence, pool = self._features[modality], self._pools[modality]
        where = (segment.video, segment.number, segment.start, segment.end)
        frames = sequence.segment(*where, centred=modality == "text")
        if frames is not None and frames.dtype.kind not in "fiu":
            raise RowError(f"{sequence.name}: expected numbers, found {frames.dtype}")
        held = self._storable[modality](frames)
        if held is None:
            return None
        starts = np.arange(0, len(held), pool)
        return np.add.reduceat(held, starts) / np.diff([*starts, len(held)])[:, None] if pool > 1 else held

    def _made_by(self, modality: str) -> dict[str, Any]:
        sequence = self._features[modality]
        for name in sequence:
            try:
                features = sequence.entry(name).features
            except RowError:
                continue  # its rows are rejected later
            if features.dtype.kind not in "fiu":
                raise CorpusError(f"{sequence.path}: {sequence.name} holds {features.dtype}, expected numbers")
            made = {"extractor_type": PRECOMPUTED, "name": sequence.name, "feature_size": features.shape[1]}
            return {**made, "pool": self._pools[modality]} if self._pools[modality] > 1 else made
        raise CorpusError(f"{sequence.path}: {sequence.name} has no readable features; fetch the file again")


def _segment(video: str, number: int, labels: np.ndarray, interval: np.ndarray) -> _Segment:
    intensities = dict(zip(MOSEI_EMOTIONS, labels[1:].tolist(), strict=True))
    start, end = interval.tolist()
    odd = next((name for name, value in intensities.items() if not 0 <= value <= _LARGEST_INTENSITY), None)
    problem = None
    if odd is not None:
        problem = f"intensity {intensities[odd]:g} of {odd}, expected 0 to {_LARGEST_INTENSITY}"
    elif not 0 <= start < end < math.inf:
        problem = f"the labels' interval from {start:g} s to {end:g} s is none; start must be at least 0, before end"
    if problem:
        return _Segment(video, number, problem=problem)
    return _Segment(video, number, start, end, tuple(name for name, value in intensities.items() if value > 0))


def _word(cell: Any, sequence: ComputationalSequence) -> str:
    if not isinstance(cell, bytes | str):
        raise RowError(f"{sequence.name}: expected words, found {type(cell).__name__}")
    try:
        return (cell.decode("utf-8") if isinstance(cell, bytes) else cell).strip()
    except UnicodeDecodeError:
        raise RowError(f"{sequence.name}: the word {cell!r} is not UTF-8") from None


def _named(sequences: Mapping[str, ComputationalSequence], name: str, argument: str) -> ComputationalSequence:
    if name not in sequences:
        raise CorpusError(f"`{argument}`: there is no sequence {name!r}; found {', '.join(map(repr, sequences))}")
    return sequences[name]


def _fold_files(folder: Path) -> dict[str, Path]:
    files = {}
    for names in _FOLDS:
        found = [name for name in names if (folder / f"{name}.txt").is_file()]
        if len(found) != 1:
            wanted = " or ".join(f"{name}.txt" for name in names)
            raise CorpusError(f"{folder}: expected one file {wanted} of video ids, found {len(found)}; see `folds`")
        files[found[0]] = folder / f"{found[0]}.txt"
    return files


def _read_folds(files: Mapping[str, Path]) -> dict[str, list[str]]:
    places: dict[str, str] = {}
    folds: dict[str, list[str]] = {split: [] for split in files}
    for split, path in files.items():
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            video, where = line.strip(), f"{path}: line {number}"
            if not video:
                continue
            if len(video.split()) > 1 or "," in video:
                raise CorpusError(f"{where}: expected one video id a line, found {video[:60]!r}")
            if video in places:
                raise CorpusError(f"{where}: video {video!r} is there before, at {places[video]}; keep one of them")
            places[video] = where
            folds[split].append(video)
        if not folds[split]:
            raise CorpusError(f"{path}: no video id; write one a line")
    return folds


BUILDER = Mosei
