# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""RAVDESS: 24 actors who speak and sing two sentences in eight emotions (Livingstone and Russo, PLoS ONE 2018)."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..data.media_files import SOUND_SUFFIXES, VIDEO_SUFFIXES
from ..options import OptionParser
from .published import (
    PublishedConfig,
    PublishedCorpus,
    split_of_speakers,
)


__all__ = ["Ravdess", "RavdessConfig"]

_NAME = re.compile(r"(\d\d)-(\d\d-\d\d-\d\d-\d\d-\d\d-\d\d)")
_FULL, _VIDEO_ONLY, _AUDIO_ONLY = "01", "02", "03"
_CHANNELS = {"01": "speech", "02": "song"}
_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
_SUNG = 6
_STATEMENTS = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}
_ACTORS = tuple(f"{number:02d}" for number in range(1, 25))
# Of whom no song was published.
_SILENT_SINGER = "18"


class _Take(NamedTuple):
    """What the name of a file says, but its first part."""

    channel: str
    emotion: str
    intensity: str
    statement: str
    repetition: str
    actor: str


@dataclass
class RavdessConfig(PublishedConfig):
    """Options of `Ravdess`.

    Args:
        channel: "speech", "song" or "both".
        calm: "label" keeps calm as a label of its own, "neutral" counts it as neutral.
        split_seed: Of the assignment of actors to splits.
    """

    channel: str = "speech"
    calm: str = "label"
    split_seed: int = 0


class Ravdess(PublishedCorpus):
    """Build RAVDESS from its archives, unpacked anywhere below the folder (Video_Speech_Actor_01 to 24, and so on).

    Published: the names of the files, which give the emotion that the actor was asked for, sentence and actor. Our
    choice: files of one take are one utterance and one dialogue; there are no published splits, so eight women and
    eight men are for training, two of each for validation and two for test, by a seed (an actor is in the same split
    whatever part of the archives is there). The sound is that of the audio-only file of a take where there is one, the
    picture that of the full file, or else of the video-only one. Two sentences: text tells nothing of the emotion.
    """

    BUILDER_CONFIG_CLASS = RavdessConfig
    PRETTY_NAME = "RAVDESS"
    LICENSE = "cc-by-nc-sa-4.0"
    SOURCE_URL = "https://zenodo.org/records/1188976"
    CITATION = (
        "Steven R. Livingstone and Frank A. Russo. 2018. The Ryerson Audio-Visual Database of Emotional Speech and "
        "Song (RAVDESS): A dynamic, multimodal set of facial and vocal expressions in North American English. PLoS "
        "ONE 13(5): e0196391. https://doi.org/10.1371/journal.pone.0196391"
    )
    PROVENANCE = (
        "Made of the files of RAVDESS; labels, sentences and actors are those that the names of the files give. The "
        "splits are not published ones: they are by actor, with a seed."
    )
    CHOICES = (
        ("channel", (*_CHANNELS.values(), "both"), "spoken or sung takes (default speech)"),
        ("calm", ("label", "neutral"), "calm as a label of its own, as published (default), or as neutral"),
    )

    @classmethod
    def add_arguments(cls, parser: OptionParser) -> None:
        """Add the options of `RavdessConfig`."""
        super().add_arguments(parser)
        parser.add_argument("--split-seed", type=int, help="another assignment of actors to splits (default 0)")

    def label_names(self) -> list[str]:
        """The emotions of the channel."""
        names = _EMOTIONS[:_SUNG] if self.config.channel == "song" else _EMOTIONS
        return [name for name in names if name != "calm" or self.config.calm == "label"]

    def read_splits(self) -> dict[str, list[dict[str, Any]]]:
        """One row a take, in the order of their names."""
        takes = self._takes()
        media = self.take_media(_present(takes.values()))
        split_of = split_of_speakers([_ACTORS[::2], _ACTORS[1::2]], self.config.split_seed)
        splits: dict[str, list[dict[str, Any]]] = {"train": [], "validation": [], "test": []}
        for name, files in sorted(takes.items()):
            take = _Take(*name.split("-"))
            splits[split_of[take.actor]].append({**self._row(name, take), **_media_of(files, media)})
        self._note_missing(takes)
        self.note_empty(splits, "actor")
        return splits

    def _takes(self) -> dict[str, dict[tuple[str, str], str]]:
        """For each take of the wanted channels its files by their kind and the first part of their name."""
        takes: dict[str, dict[tuple[str, str], str]] = {}
        for kind, suffixes in (("video", VIDEO_SUFFIXES), ("audio", SOUND_SUFFIXES)):
            for stem, path in self.find(_NAME, suffixes, "01-01-05-02-01-02-12.mp4").items():
                modality, name = stem.split("-", 1)
                problem = _problem(modality, _Take(*name.split("-")))
                if problem:
                    self.leave_out(path, problem)
                elif self.config.channel in ("both", _CHANNELS[name[:2]]):
                    takes.setdefault(name, {})[kind, modality] = path
        return takes

    def _row(self, name: str, take: _Take) -> dict[str, Any]:
        emotion = _EMOTIONS[int(take.emotion) - 1]
        return {
            "utterance_id": name,
            "dialogue_id": name,
            "speaker": f"actor_{take.actor}",
            "text": _STATEMENTS[take.statement],
            "emotions": ["neutral" if emotion == "calm" and self.config.calm == "neutral" else emotion],
        }

    def _note_missing(self, takes: Mapping[str, Any]) -> None:
        """Say how many of the published takes are not there, and of whom."""
        for code, channel in _CHANNELS.items():
            published = _published(code)
            missing = Counter(_Take(*name.split("-")).actor for name in published if name not in takes)
            if self.config.channel in (channel, "both") and missing:
                here = len(published) - missing.total()
                self.notes.append(
                    f"{here} of the {len(published)} published takes of {channel} are there; missing, by actor: "
                    f"{', '.join(f'{actor} ({count})' for actor, count in sorted(missing.items()))}."
                )


def _problem(modality: str, take: _Take) -> str | None:
    """Why a name of the right form cannot be one of RAVDESS."""
    ranges = {
        "modality": (modality, 3), "channel": (take.channel, 2), "emotion": (take.emotion, len(_EMOTIONS)),
        "intensity": (take.intensity, 2), "statement": (take.statement, 2), "repetition": (take.repetition, 2),
        "actor": (take.actor, len(_ACTORS)),
    }  # fmt: skip
    odd = [(part, code, most) for part, (code, most) in ranges.items() if not 1 <= int(code) <= most]
    return f"the {odd[0][0]} {odd[0][1]} is not one of 01 to {odd[0][2]:02d}" if odd else None


def _present(takes: Iterable[Iterable[tuple[str, str]]]) -> set[str]:
    """Which media there are of these files; the full files of video have sound."""
    kinds = {key for files in takes for key in files}
    return {kind for kind, _ in kinds} | ({"audio"} if ("video", _FULL) in kinds else set())


def _media_of(files: Mapping[tuple[str, str], str], media: str) -> dict[str, str | None]:
    audio = files.get(("audio", _AUDIO_ONLY)) or files.get(("audio", _FULL))
    if media == "audio":
        return {"audio": audio or files.get(("video", _FULL))}
    return {"video": files.get(("video", _FULL)) or files.get(("video", _VIDEO_ONLY)), "audio": audio}


def _published(channel: str) -> list[str]:
    """The names of all takes of a channel: strong intensity of all emotions but neutral, two repetitions each."""
    emotions = len(_EMOTIONS) if _CHANNELS[channel] == "speech" else _SUNG
    return [
        f"{channel}-{emotion:02d}-{intensity}-{statement}-{repetition}-{actor}"
        for actor in _ACTORS
        if _CHANNELS[channel] == "speech" or actor != _SILENT_SINGER
        for emotion in range(1, emotions + 1)
        for intensity in (("01",) if emotion == 1 else ("01", "02"))
        for statement in _STATEMENTS
        for repetition in ("01", "02")
    ]


BUILDER = Ravdess
