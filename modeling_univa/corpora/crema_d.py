# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""CREMA-D: 91 actors, twelve sentences, six emotions, each clip rated by many (Cao et al., IEEE TAFFC 2014)."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.media_files import SOUND_SUFFIXES, VIDEO_SUFFIXES
from ..data.schema import CorpusError
from ..data.tables import csv_rows
from ..options import OptionParser
from .published import (
    PublishedConfig,
    PublishedCorpus,
    number_between,
    split_of_speakers,
)


__all__ = ["CremaD", "CremaDConfig"]

_NAME = re.compile(r"\d{4}_[A-Z]{3}_[A-Z]{3}_[A-Z]{1,2}")
# In the order of the letters that votes have.
_EMOTIONS = {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
_OF_LETTER = {code[0]: name for code, name in _EMOTIONS.items()}
_SENTENCES = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
_ACTORS = tuple(str(number) for number in range(1001, 1092))
_NUM_CLIPS = 7442
# What raters had of a clip, and the digit for it in the published tables.
_RATINGS = {"voice": "1", "face": "2", "both": "3"}
_TABULATED = "tabulatedVotes.csv"
_RESPONSES = "finishedResponses.csv"


@dataclass
class CremaDConfig(PublishedConfig):
    """Options of `CremaD`.

    Args:
        labels_from: "intended" takes the emotion that the actor was asked for, "votes" those that raters saw.
        ratings: What the raters had of the clip: "both", "voice" or "face".
        min_share: Share of the votes that an emotion needs to be a label.
        split_seed: Of the assignment of actors to splits.
    """

    labels_from: str = "intended"
    ratings: str = "both"
    min_share: float = 0.25
    split_seed: int = 0


class CremaD(PublishedCorpus):
    """Build CREMA-D from a copy of its repository (VideoFlash, AudioWAV and the tables of ratings).

    Published: the names of the files, which give actor, sentence and the emotion that was asked for, and the votes of
    the raters. Our choice: a clip is one utterance and one dialogue; there are no published splits, so 61 actors are
    for training, 15 for validation and 15 for test, by a seed (an actor is in the same split whatever part is there);
    with --labels-from votes a clip has every emotion that at least --min-share of its raters chose, and is left out
    where no emotion has. The sound is that of AudioWAV where it is there, else that of the video.
    """

    BUILDER_CONFIG_CLASS = CremaDConfig
    PRETTY_NAME = "CREMA-D"
    LICENSE = "odbl"
    SOURCE_URL = "https://github.com/CheyneyComputerScience/CREMA-D"
    CITATION = (
        "Houwei Cao, David G. Cooper, Michael K. Keutmann, Ruben C. Gur, Ani Nenkova and Ragini Verma. 2014. CREMA-D: "
        "Crowd-sourced Emotional Multimodal Actors Dataset. IEEE Transactions on Affective Computing 5(4): 377-390. "
        "https://doi.org/10.1109/TAFFC.2014.2336244"
    )
    PROVENANCE = (
        "Made of the files of CREMA-D; actor, sentence and intended emotion are those that the names of the files "
        "give. The splits are not published ones: they are by actor, with a seed."
    )
    CHOICES = (
        ("labels_from", ("intended", "votes"), "the emotion asked for (default), or those that raters saw"),
        ("ratings", ("both", "voice", "face"), "what the raters had of the clip, for votes (default both)"),
    )

    @classmethod
    def add_arguments(cls, parser: OptionParser) -> None:
        """Add the options of `CremaDConfig`."""
        super().add_arguments(parser)
        parser.add_argument("--min-share", type=float, help="share of the votes that makes a label (default 0.25)")
        parser.add_argument("--split-seed", type=int, help="another assignment of actors to splits (default 0)")

    def label_names(self) -> list[str]:
        """The six emotions."""
        return list(_EMOTIONS.values())

    def read_splits(self) -> dict[str, list[dict[str, Any]]]:
        """One row a clip, in the order of their names."""
        number_between("min_share", self.config.min_share, 0.01, 1)
        kinds = {"video": VIDEO_SUFFIXES, "audio": SOUND_SUFFIXES}
        found = {kind: self._known(self.find(_NAME, kinds[kind], "1001_DFA_ANG_XX")) for kind in kinds}
        media = self.take_media([kind for kind, paths in found.items() if paths])
        clips = sorted(found["video"].keys() | found["audio"].keys() if media == "video" else found["audio"])
        self.notes.append(f"{len(clips)} of the {_NUM_CLIPS} published clips are there.")
        votes = self._votes() if self.config.labels_from == "votes" else None
        split_of = split_of_speakers([_ACTORS], self.config.split_seed)
        splits: dict[str, list[dict[str, Any]]] = {"train": [], "validation": [], "test": []}
        for name in clips:
            emotions = self._emotions(name, votes)
            if emotions:
                paths = {"audio": found["audio"].get(name), "video": found["video"].get(name)}
                row = {**_row(name, emotions), **(paths if media == "video" else {"audio": paths["audio"]})}
                splits[split_of[name[:4]]].append(row)
        self.note_empty(splits, "actor")
        return splits

    def _known(self, paths: Mapping[str, str]) -> dict[str, str]:
        """The files whose names say an actor, a sentence and an emotion of the corpus."""
        known = {}
        for name, path in paths.items():
            actor, sentence, emotion, _ = name.split("_")
            parts = {"actor": (actor, _ACTORS), "sentence": (sentence, _SENTENCES), "emotion": (emotion, _EMOTIONS)}
            odd = [f"unknown {part} {code}" for part, (code, codes) in parts.items() if code not in codes]
            if odd:
                self.leave_out(path, odd[0])
            else:
                known[name] = path
        return known

    def _emotions(self, name: str, votes: Mapping[str, Counter[str]] | None) -> list[str]:
        """The labels of a clip; none where it is left out."""
        if votes is None:
            return [_EMOTIONS[name.split("_")[2]]]
        counts = votes.get(name, Counter())
        needed = self.config.min_share * counts.total()
        emotions = [emotion for emotion in _EMOTIONS.values() if counts[emotion] and counts[emotion] >= needed]
        if not emotions:
            why = f"no emotion has a share of {self.config.min_share:g} of its votes" if counts else "it has no votes"
            self.leave_out(name, why)
        return emotions

    def _votes(self) -> dict[str, Counter[str]]:
        """The votes for each clip, of the table of them or else counted from the responses."""
        root, votes = Path(self.config.source), dict[str, Counter[str]]()
        tables = [path for name in (_TABULATED, _RESPONSES) for path in sorted(root.rglob(name))]
        if not tables:
            raise CorpusError(
                f"{root} has neither {_TABULATED} nor {_RESPONSES}; copy one from {self.SOURCE_URL}, or pass "
                "`labels_from` intended"
            )
        self.files = [tables[0]]
        read = _tabulated if tables[0].name == _TABULATED else _responses
        for name, emotion, number in read(tables[0], _RATINGS[self.config.ratings]):
            votes.setdefault(name, Counter())[emotion] += number
        return votes


def _row(name: str, emotions: list[str]) -> dict[str, Any]:
    actor, sentence, _, _ = name.split("_")
    return {
        "utterance_id": name,
        "dialogue_id": name,
        "speaker": f"actor_{actor}",
        "text": _SENTENCES[sentence],
        "emotions": emotions,
    }


def _tabulated(path: Path, digit: str) -> list[tuple[str, str, int]]:
    """Clip, emotion and number of votes; the first column is a number that begins with the kind of rating."""
    found = []
    for where, cells in csv_rows(path, ("", *_OF_LETTER, "fileName")):
        if cells[""].startswith(digit):
            found += [(cells["fileName"], name, _count(cells[x], f"{where}: {x}")) for x, name in _OF_LETTER.items()]
    return found


def _responses(path: Path, digit: str) -> list[tuple[str, str, int]]:
    found = []
    for where, cells in csv_rows(path, ("queryType", "clipName", "respEmo")):
        if cells["queryType"] == digit:
            if cells["respEmo"] not in _OF_LETTER:
                raise CorpusError(f"{where}: respEmo {cells['respEmo']!r}, expected one of {', '.join(_OF_LETTER)}")
            found.append((cells["clipName"], _OF_LETTER[cells["respEmo"]], 1))
    return found


def _count(cell: str, where: str) -> int:
    if not cell.isdecimal():
        raise CorpusError(f"{where} {cell!r}, expected a number of votes; download the table again")
    return int(cell)


BUILDER = CremaD
