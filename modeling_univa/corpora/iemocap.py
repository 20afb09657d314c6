# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""IEMOCAP: ten actors in five sessions of scripted and improvised dialogues (Busso et al., LRE 2008)."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..data.schema import CorpusError
from ..data.tables import files_of
from ..models.configuration_emotion import MODALITIES
from ..models.faces_univa import FaceReader
from ..options import OptionParser
from .published import PublishedConfig, PublishedCorpus, check_option, decoded_text, number_between


__all__ = ["Iemocap", "IemocapConfig"]

# Published labels with their names; the last one says that no majority agrees.
_NAMES = {
    "neu": "neutral", "hap": "happiness", "sad": "sadness", "ang": "anger", "sur": "surprise", "fea": "fear",
    "dis": "disgust", "fru": "frustration", "exc": "excited", "oth": "other",
}  # fmt: skip
_NO_MAJORITY = "xxx"
# As annotators' lines write them where it is not the name.
_SPELLINGS = {"neutral state": "neutral", "excitement": "excited"}
_LABEL_SETS = {
    "four": ("neutral", "happiness", "sadness", "anger"),
    "six": ("neutral", "happiness", "sadness", "anger", "frustration", "excited"),
    "all": tuple(_NAMES.values()),
}
_SESSIONS = (1, 2, 3, 4, 5)
_TIME = r"\[\s*([\d.]+)\s*-\s*([\d.]+)\s*\]"
_TURN = re.compile(rf"{_TIME}\s+(\S+)\s+(\w+)\s+\[\s*([\d.]+)\s*,\s*([\d.]+)\s*,\s*([\d.]+)\s*\]\s*")
_TRANSCRIPT = re.compile(rf"(\S+)\s+{_TIME}\s*:(.*)")
# Annotators; what the actors said of themselves is in lines C-F1 and C-M1.
_VOTE = re.compile(r"C-E\d+\s*:([^()]*)")


@dataclass
class _Turn:
    name: str
    start: float
    end: float
    label: str
    valence: float
    arousal: float
    # What each annotator named.
    votes: list[set[str]] = field(default_factory=list)


@dataclass
class IemocapConfig(PublishedConfig):
    """Options of `Iemocap`.

    Args:
        labels_from: "majority" takes the published label, "votes" every emotion that enough annotators named.
        min_votes: Number of annotators who must have named an emotion.
        label_set: "all" ten, "six" or "four" of the usual experiments.
        merge_excited: Whether excited counts as happiness: "auto" does it with the four labels.
        unlabelled: What becomes of utterances without a label of the set: "drop", or "keep" without an emotion.
        test_session, validation_session: Sessions that are these splits; validation may be 0 for none.
        va_from_annotations: Whether the annotated valence and arousal become those of all modalities.
    """

    labels_from: str = "majority"
    min_votes: int = 1
    label_set: str = "all"
    merge_excited: str = "auto"
    unlabelled: str = "drop"
    test_session: int = 5
    validation_session: int = 4
    va_from_annotations: bool = False


class Iemocap(PublishedCorpus):
    """Build IEMOCAP from IEMOCAP_full_release (Session1 to Session5).

    Published: the label on which most annotators agree (xxx where they do not), what each of them named,
    valence and arousal on 1 to 5, transcripts, and sessions as the unit of splits. Our choice: session 5 is the test
    split, session 4 validation (--test-session, --validation-session); utterances without a label of --label-set are
    left out and counted; with --labels-from votes an utterance has every emotion that at least --min-votes annotators
    named, without the actors' own judgements. Turns of a dialogue are in order of their start. By default the rows
    name the sound of each turn; with --media video the recording of the whole dialogue with times, in which both
    actors are to be seen side by side: the face that moves with the sound is taken for the speaker's.
    """

    BUILDER_CONFIG_CLASS = IemocapConfig
    PRETTY_NAME = "IEMOCAP"
    LICENSE = "other"
    SOURCE_URL = "https://sail.usc.edu/iemocap/"
    CITATION = (
        "Carlos Busso, Murtaza Bulut, Chi-Chun Lee, Abe Kazemzadeh, Emily Mower, Samuel Kim, Jeannette N. Chang, "
        "Sungbok Lee and Shrikanth S. Narayanan. 2008. IEMOCAP: Interactive emotional dyadic motion capture database. "
        "Language Resources and Evaluation 42(4): 335-359. https://doi.org/10.1007/s10579-008-9076-6"
    )
    PROVENANCE = (
        "Made of IEMOCAP_full_release, which its authors release for research to those who sign their form; it may "
        "not be passed on. Splits are sessions."
    )
    MEDIA = ("audio", "video", "none")
    LISTING = "the files of EmoEvaluation"
    # Several people are in the picture.
    FACE_READER = FaceReader(track="speaking")
    CHOICES = (
        ("labels_from", ("majority", "votes"), "the published label (default), or what enough annotators named"),
        ("label_set", tuple(_LABEL_SETS), "labels of the usual experiments (default all)"),
        ("merge_excited", ("auto", "yes", "no"), "excited counts as happiness (default: with four labels)"),
        ("unlabelled", ("drop", "keep"), "utterances without a label of the set (default drop)"),
    )

    @classmethod
    def add_arguments(cls, parser: OptionParser) -> None:
        """Add the options of `IemocapConfig`."""
        super().add_arguments(parser)
        parser.add_argument("--min-votes", type=int, help="annotators who must have named an emotion (default 1)")
        parser.add_argument("--test-session", type=int, help="session that is the test split (default 5)")
        parser.add_argument("--validation-session", type=int, help="that of validation; 0 for none (default 4)")
        parser.add_argument(
            "--va-from-annotations",
            action="store_true",
            default=None,
            help="valence and arousal of all modalities are those that annotators gave",
        )

    def label_names(self) -> list[str]:
        """Those of the set, without excited where it counts as happiness."""
        return [name for name in _LABEL_SETS[self.config.label_set] if name != "excited" or not self._merges]

    def read_splits(self) -> dict[str, list[dict[str, Any]]]:
        """The turns of each session, dialogue by dialogue."""
        self._check_numbers()
        sessions = self._sessions()
        self._media = self.take_media(_present(sessions.values()))
        self._dropped: Counter[str] = Counter()
        self._clipped = 0
        splits: dict[str, list[dict[str, Any]]] = {"train": [], "validation": [], "test": []}
        number = 0
        for session, folder in sessions.items():
            for file in _evaluations(folder):
                self.files.append(file)
                turns = _turns(file)
                number += len(turns)
                splits[self._split(session)] += self._rows(folder, file.stem, turns)
        self._add_notes(sessions, number)
        self.note_empty(splits, "session")
        return splits

    @property
    def _merges(self) -> bool:
        wanted = self.config.merge_excited
        return wanted == "yes" or (wanted == "auto" and self.config.label_set == "four")

    def _check_numbers(self) -> None:
        test, validation = self.config.test_session, self.config.validation_session
        check_option("test_session", test, _SESSIONS)
        check_option("validation_session", validation, (0, *_SESSIONS))
        if test == validation:
            raise CorpusError(f"`test_session` and `validation_session` are both {test}; choose two sessions")
        number_between("min_votes", self.config.min_votes, 1, 100)

    def _split(self, session: int) -> str:
        named = {self.config.validation_session: "validation", self.config.test_session: "test"}
        return named.get(session, "train")

    def _sessions(self) -> dict[int, Path]:
        """The folders of the sessions, in the source or one folder below it."""
        source = Path(self.config.source)
        for root in (source, *sorted(path for path in source.iterdir() if path.is_dir())):
            found = {number: root / f"Session{number}" for number in _SESSIONS}
            found = {number: folder for number, folder in found.items() if _evaluations(folder)}
            if found:
                return found
        raise CorpusError(f"{source} has no Session1/dialog/EmoEvaluation/*.txt; pass the folder IEMOCAP_full_release")

    def _rows(self, folder: Path, dialogue: str, turns: list[_Turn]) -> Iterator[dict[str, Any]]:
        transcripts = _transcripts(folder / "dialog" / "transcriptions" / f"{dialogue}.txt")
        for turn in turns:
            emotions = self._emotions(turn)
            if not emotions:
                self._dropped[turn.label] += 1
            if emotions or self.config.unlabelled == "keep":
                yield {
                    "utterance_id": turn.name,
                    "dialogue_id": dialogue,
                    # The letter of the dialogue is who wears the markers, that of the turn who speaks.
                    "speaker": f"{dialogue[:5]}{turn.name.rpartition('_')[2][:1]}",
                    "text": transcripts.get(turn.name, ""),
                    "emotions": emotions,
                    **self._media_of(folder, dialogue, turn),
                    **self._va(turn),
                }

    def _emotions(self, turn: _Turn) -> list[str]:
        majority = [{_NAMES[turn.label]}] if turn.label in _NAMES else []
        votes, needed = (turn.votes, self.config.min_votes) if self.config.labels_from == "votes" else (majority, 1)
        # An annotator who named both of two that are one here has one voice.
        counts = Counter(name for names in votes for name in {self._merged(name) for name in names})
        return [name for name in self.label_names() if counts[name] >= needed]

    def _merged(self, name: str) -> str:
        return "happiness" if name == "excited" and self._merges else name

    def _media_of(self, folder: Path, dialogue: str, turn: _Turn) -> dict[str, Any]:
        source = Path(self.config.source)
        if self._media == "audio":
            file = folder / "sentences" / "wav" / dialogue / f"{turn.name}.wav"
            return {"audio": file.relative_to(source).as_posix()}
        if self._media == "none":
            return {}
        sound = folder / "dialog" / "wav" / f"{dialogue}.wav"
        return {
            "video": (folder / "dialog" / "avi" / "DivX" / f"{dialogue}.avi").relative_to(source).as_posix(),
            "audio": sound.relative_to(source).as_posix() if sound.is_file() else None,
            "start": turn.start,
            "end": turn.end,
        }

    def _va(self, turn: _Turn) -> dict[str, Any]:
        if not self.config.va_from_annotations:
            return {}
        scaled = (np.array([turn.valence, turn.arousal]) - 3) / 2
        self._clipped += bool(np.abs(scaled).max() > 1)
        return dict.fromkeys((f"{modality}_va" for modality in MODALITIES), tuple(scaled.clip(-1, 1).tolist()))

    def _add_notes(self, sessions: dict[int, Path], number: int) -> None:
        absent = [str(session) for session in _SESSIONS if session not in sessions]
        if absent:
            self.notes.append(f"Of the five sessions {', '.join(absent)} are not there.")
        if self._dropped:
            counts = ", ".join(f"{label} {count}" for label, count in self._dropped.most_common())
            what = "are left out" if self.config.unlabelled == "drop" else "have no emotion"
            self.notes.append(
                f"{self._dropped.total()} of {number} utterances {what}: without a label of the set. By their "
                f"published label: {counts}."
            )
        if self.config.va_from_annotations:
            self.notes.append(
                "Valence and arousal of all modalities are (x - 3) / 2 of the means x that annotators of sound and "
                f"picture gave; {self._clipped} beyond 1 to 5 were clipped. All splits have them; they are for "
                "training only."
            )


def _evaluations(session: Path) -> list[Path]:
    folder = session / "dialog" / "EmoEvaluation"
    return files_of(folder, ".txt") if folder.is_dir() else []


def _present(sessions: Any) -> set[str]:
    folders = {"audio": Path("sentences", "wav"), "video": Path("dialog", "avi", "DivX")}
    return {medium for medium, below in folders.items() if any((session / below).is_dir() for session in sessions)}


def _turns(file: Path) -> list[_Turn]:
    """The turns of a file of EmoEvaluation with the annotators' votes, in order of their start."""
    turns: list[_Turn] = []
    for number, line in enumerate(decoded_text(file).splitlines(), start=1):
        where = f"{file}: line {number}"
        if line.startswith("["):
            turns.append(_turn(line, where))
        vote = _VOTE.match(line)
        if vote and turns:
            turns[-1].votes.append(_named(vote[1], where))
    return sorted(turns, key=lambda turn: (turn.start, turn.end))


def _turn(line: str, where: str) -> _Turn:
    found = _TURN.fullmatch(line)
    if found is None:
        raise CorpusError(f"{where}: expected [start - end], name, label and [V, A, D], found {line[:80]!r}")
    start, end, name, label, valence, arousal, _ = found.groups()
    if label not in _NAMES and label != _NO_MAJORITY:
        raise CorpusError(f"{where}: unknown emotion {label!r}; IEMOCAP has {', '.join(_NAMES)} and {_NO_MAJORITY}")
    try:
        return _Turn(name, float(start), float(end), label, float(valence), float(arousal))
    except ValueError:
        raise CorpusError(f"{where}: a time or a rating is not a number in {line[:80]!r}") from None


def _named(cell: str, where: str) -> set[str]:
    """The emotions that one annotator named."""
    words = [word.strip().lower() for word in cell.split(";") if word.strip()]
    names = {_SPELLINGS.get(word, word) for word in words}
    unknown = sorted(names.difference(_NAMES.values()))
    if unknown:
        raise CorpusError(f"{where}: unknown emotion {unknown[0]!r}; IEMOCAP has {', '.join(_NAMES.values())}")
    return names


def _transcripts(file: Path) -> dict[str, str]:
    """The texts of a dialogue by turn; lines of another form, such as those of laughter without times, are none."""
    if not file.is_file():
        return {}
    found = map(_TRANSCRIPT.fullmatch, decoded_text(file).splitlines())
    return {line[1]: line[4].strip() for line in found if line}


BUILDER = Iemocap
