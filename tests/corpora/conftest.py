# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Tiny good corpora in the three source formats; a test of bad input changes one thing of them."""

import wave
from pathlib import Path

import cv2
import numpy as np
import pytest
from csv_files import write_csv
from released_trees import write_m3ed, write_mosei


COLUMNS = (
    "utterance_id", "dialogue_id", "position", "speaker", "text", "emotions", "audio", "faces", "text_emotion",
    "audio_emotion", "vision_emotion", "text_valence", "text_arousal",
)  # fmt: skip


def _utterance(split: str, dialogue: int, position: int) -> dict[str, str]:
    first = (dialogue, position) == (0, 0)
    cells = {
        "utterance_id": f"{split}_{dialogue}_{position}",
        "dialogue_id": f"{split}_{dialogue}",
        "position": str(position),
        "speaker": "" if position else "Ada",
        "text": "None" if first else f"Well, this is {position}.",
        "emotions": ("happy;sad", "neutral", "")[position],
        "audio": "" if position == 2 else f"speech/{position}.wav",
        "faces": "" if position == 1 else "faces/0.png;faces/1.png",
        "text_emotion": "happy",
        "audio_emotion": "" if position == 2 else "sad",
        "vision_emotion": "neutral",
        "text_valence": "0.5",
        "text_arousal": "-0.25",
    }
    return {name: cells[name] for name in COLUMNS}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for `UtteranceFolder`: two splits of two dialogues of three utterances, absent modalities included."""
    source = tmp_path / "source"
    for name in ("metadata", "speech", "faces"):
        (source / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(2):
        with wave.open(str(source / "speech" / f"{index}.wav"), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(rng.integers(-9000, 9000, 4000 + 4000 * index).astype("<i2").tobytes())
        cv2.imwrite(str(source / "faces" / f"{index}.png"), rng.integers(0, 255, (70, 70, 3), dtype=np.uint8))
    for split in ("train", "dev_2"):
        rows = [_utterance(split, dialogue, position) for dialogue in range(2) for position in range(3)]
        write_csv(source / "metadata" / f"{split}.csv", rows)
    return source


@pytest.fixture
def mosei_tree(tmp_path: Path) -> Path:
    """MOSEI as released, three utterances of one video in each of two splits."""
    return write_mosei(tmp_path / "source")


@pytest.fixture
def m3ed_tree(tmp_path: Path) -> Path:
    """M3ED as released, three utterances of one dialogue in each of two splits."""
    return write_m3ed(tmp_path / "source")
