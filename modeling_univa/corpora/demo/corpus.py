# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The demo corpus: dialogues with written words, synthesised voices and drawn faces, made from a seed.

Nobody's data is in it, so it may be used for anything. It shows how a corpus looks and lets tests and newcomers train
in minutes; a score on it says nothing about people.
"""

import argparse
import csv
import json
import os
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from ...data.schema import CorpusError
from ...models.configuration_univa import MOSEI_EMOTIONS
from ...models.files_univa import replace_folder, scratch_folder
from ...options import OptionParser
from ..utterance_folder import UtteranceFolder, UtteranceFolderConfig
from .dialogues import NAMES, DemoUtterance, write_dialogues
from .drawing import cv2  # where it is missing, with what to install
from .face import Appearance, draw_faces
from .voice import SAMPLING_RATE, Voice, speak


__all__ = ["Demo", "DemoConfig", "write_demo_corpus"]

DEFAULT_SEED = 11
_COLUMNS = (
    "utterance_id", "dialogue_id", "position", "speaker", "text", "emotions", "text_emotion", "audio_emotion",
    "vision_emotion", "audio", "faces",
)  # fmt: skip
_MARKER = "demo_corpus.json"
# To be raised when the same seed makes other files than before.
_GENERATOR_VERSION = 1
_PERSON_STREAM, _MEDIA_STREAM = 2, 3
# Faint expressions are there too, so that no modality is read without error.
_VOICE_INTENSITY = (0.75, 1.0)
_FACE_INTENSITY = (0.35, 1.0)


@dataclass
class DemoConfig(UtteranceFolderConfig):
    """Options of `Demo`, those of `UtteranceFolder` among them.

    Args:
        source: Folder for the raw media; it is made if it does not hold this demo corpus yet.
        seed: Another seed draws other dialogues, people and expressions.
        num_dialogues: How many dialogues there are, about six utterances each.
    """

    va: str = "from-emotion"
    seed: int = DEFAULT_SEED
    num_dialogues: int = 60

    def __post_init__(self) -> None:
        # Not that of the other corpora, which wants the source to be there.
        datasets.BuilderConfig.__post_init__(self)
        if not self.source:
            raise CorpusError("the demo corpus needs a `source`, the folder to write its sounds and pictures to")

    def create_config_id(self, config_kwargs: dict, custom_features: datasets.Features | None = None) -> str:
        """Name of the cache folder. The options decide the files, which need not be there yet."""
        return datasets.BuilderConfig.create_config_id(self, config_kwargs, custom_features)


class Demo(UtteranceFolder):
    """Build the demo corpus: about 360 utterances with text, speech and faces, made from a seed.

    The raw media are written to `source` first and stay there; the paths of the corpus are relative to it.
    """

    BUILDER_CONFIG_CLASS = DemoConfig
    PRETTY_NAME = "UniVA demo corpus"
    LANGUAGE = "en"
    PROVENANCE = (
        "Made by a program: sentences from patterns, voices from a formant synthesiser, faces drawn from polygons. "
        "The emotions of words, voice and face of an utterance agree most of the time; its labels are all of them. "
        "A score on it says nothing about how well a model reads people."
    )

    LICENSE = "apache-2.0"
    SOURCE_OPTION = "--media"
    SOURCE_HELP = "folder for the raw wav and jpg files, which stay there (default OUTPUT-media)"
    SOURCE_REQUIRED = False

    @classmethod
    def complete_arguments(cls, arguments: argparse.Namespace) -> None:
        """Put the media beside the corpus where no other place is named."""
        arguments.source = arguments.source or f"{arguments.output.rstrip(os.sep)}-media"

    @classmethod
    def add_arguments(cls, parser: OptionParser) -> None:
        """Add the options of `DemoConfig`."""
        super().add_arguments(parser)
        parser.add_argument("--seed", type=int, help=f"draw other dialogues (default {DEFAULT_SEED})")
        parser.add_argument("--num-dialogues", type=int, help="number of dialogues (default 60)")

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        seed, num_dialogues = self.config.seed, self.config.num_dialogues
        if _read_marker(Path(self.config.source)) != _settings(seed, num_dialogues):
            write_demo_corpus(self.config.source, seed=seed, num_dialogues=num_dialogues)
        generators = super()._split_generators(dl_manager)
        self.notes.append(f"Drawn from seed {seed}, {num_dialogues} dialogues.")
        return generators


def write_demo_corpus(folder: str | Path, *, seed: int = DEFAULT_SEED, num_dialogues: int = 60) -> None:
    """Write the demo corpus as raw media, in the form that `UtteranceFolder` reads.

    metadata/{train,validation,test}.csv list the utterances, audio/ holds wav files (16 kHz, mono, 16 bit, 1 to 3 s),
    faces/ two to five jpg files of 112 x 112 pixels an utterance, labels.txt the emotions. One machine writes the same
    bytes for the same seed. All is written beside `folder` and renamed at the end.

    Args:
        folder: Where to write; a demo corpus that is there is replaced.
        seed: What everything is drawn from, at least 0.
        num_dialogues: Dialogues of all splits together, at least 3.

    Raises:
        CorpusError: `folder` holds something else, or an argument is out of range.
    """
    folder = Path(folder)
    if folder.exists() and _read_marker(folder) is None and (folder.is_file() or any(folder.iterdir())):
        raise CorpusError(f"{folder} already exists and is not a demo corpus (no {_MARKER}); choose another folder")
    dialogues = write_dialogues(seed, num_dialogues)
    with scratch_folder(folder) as scratch:
        new = Path(scratch, "new")
        _write_files(new, dialogues, seed)
        Path(new, _MARKER).write_text(json.dumps(_settings(seed, num_dialogues)) + "\n", encoding="utf-8")
        replace_folder(new, folder)


def _write_files(folder: Path, dialogues: dict[str, list[DemoUtterance]], seed: int) -> None:
    for name in ("metadata", "audio", "faces"):
        Path(folder, name).mkdir(parents=True)
    progress = datasets.utils.tqdm(total=sum(map(len, dialogues.values())), desc="Making the demo corpus", unit="row")
    with progress:
        for split, utterances in dialogues.items():
            rows = []
            for utterance in utterances:
                rows.append(_write_utterance(folder, utterance, seed))
                progress.update()
            _write_csv(folder / "metadata" / f"{split}.csv", rows)
    Path(folder, "labels.txt").write_text("\n".join(MOSEI_EMOTIONS) + "\n", encoding="utf-8")


def _write_utterance(folder: Path, utterance: DemoUtterance, seed: int) -> dict[str, Any]:
    """Write the media of an utterance and give its row of the csv file."""
    name = utterance.utterance_id
    # Every utterance has a stream of its own, whatever was drawn for those before it.
    rng = np.random.default_rng([seed, _MEDIA_STREAM, *name.encode()])
    person = np.random.default_rng([seed, _PERSON_STREAM, utterance.person])
    low_voice = utterance.person % 2 == 0
    voice, appearance = Voice.draw(person, high=not low_voice), Appearance.draw(person, bearded=low_voice)
    audio, faces = "", []
    if utterance.audio_emotion:
        audio = f"audio/{name}.wav"
        waveform = speak(utterance.text, utterance.audio_emotion, voice, rng, intensity=rng.uniform(*_VOICE_INTENSITY))
        _write_wav(folder / audio, waveform)
    if utterance.vision_emotion:
        num_frames = int(rng.integers(2, 6))
        images = draw_faces(utterance.vision_emotion, appearance, num_frames, rng, rng.uniform(*_FACE_INTENSITY))
        faces = [f"faces/{name}_{index}.jpg" for index in range(num_frames)]
        for path, image in zip(faces, images, strict=True):
            _write_jpg(folder / path, image)
    return {
        "utterance_id": name,
        "dialogue_id": utterance.dialogue_id,
        "position": utterance.position,
        "speaker": NAMES[utterance.person],
        "text": utterance.text,
        "emotions": ";".join(utterance.emotions),
        "text_emotion": utterance.text_emotion,
        "audio_emotion": utterance.audio_emotion or "",
        "vision_emotion": utterance.vision_emotion or "",
        "audio": audio,
        "faces": ";".join(faces),
    }


def _write_wav(path: Path, waveform: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLING_RATE)
        file.writeframes(np.rint(waveform * 32767).astype("<i2").tobytes())


def _write_jpg(path: Path, image: np.ndarray) -> None:
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
    path.write_bytes(encoded.tobytes())


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _settings(seed: int, num_dialogues: int) -> dict[str, int]:
    return {"version": _GENERATOR_VERSION, "seed": seed, "num_dialogues": num_dialogues}


def _read_marker(folder: Path) -> dict[str, int] | None:
    """What a demo corpus in `folder` was made with; None where there is none."""
    marker = folder / _MARKER
    return json.loads(marker.read_text(encoding="utf-8")) if marker.is_file() else None
