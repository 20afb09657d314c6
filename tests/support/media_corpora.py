# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Tiny corpora with raw media, made in code."""

import json
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import datasets
import numpy as np

from modeling_univa.data.corpus import EXTRACTORS_FILE
from modeling_univa.data.row_types import row_features
from modeling_univa.data.schema import MEDIA_COLUMNS, TIME_COLUMNS


LABELS = ("happy", "sad", "neutral")


def write_sound(file: Path, seconds: float, seed: int = 0, rate: int = 16000, channels: int = 1) -> Path:
    """A wav file of noise."""
    file.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).integers(-9000, 9000, (round(seconds * rate), channels))
    with wave.open(str(file), "wb") as sound:
        sound.setparams((channels, 2, rate, 0, "NONE", ""))
        sound.writeframes(samples.astype("<i2").tobytes())
    return file


def write_image(file: Path, seed: int = 0, side: int = 64) -> Path:
    """An image of noise."""
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8))
    return file


def write_media(root: Path, count: int = 6) -> Path:
    """`speech/0.wav` …, each of another length, and `faces/0.png` …"""
    for number in range(count):
        write_sound(root / "speech" / f"{number}.wav", 0.3 + 0.17 * (number * 5 % count), number)
        write_image(root / "faces" / f"{number}.png", number)
    return root


def media_rows(sizes: Sequence[int], prefix: str = "d", count: int = 6) -> list[dict[str, Any]]:
    """Rows of dialogues of `sizes` utterances with the files of `write_media`; some rows lack sound or faces."""
    rows = []
    for dialogue, size in enumerate(sizes):
        for position in range(size):
            number = len(rows)
            rows.append(
                {
                    "utterance_id": f"{prefix}{dialogue}_{position}",
                    "dialogue_id": f"{prefix}{dialogue}",
                    "position": position,
                    "text": f"this is number {number} or {chr(97 + number % 26)} of {prefix}",
                    "emotions": [number % len(LABELS)],
                    "audio": None if number % 7 == 3 else f"speech/{number % count}.wav",
                    "faces": None
                    if number % 5 == 4
                    else [f"faces/{(number + place) % count}.png" for place in range(1 + number % 3)],
                }
            )
    return rows


def write_media_corpus(folder: Path, splits: Mapping[str, Sequence[Mapping[str, Any]]], **options: Any) -> Path:
    """A built corpus without features, of rows such as those of `media_rows`; absent columns are null."""
    (folder / "data").mkdir(parents=True)
    names = {name for rows in splits.values() for row in rows for name in row}
    media = tuple(name for name in MEDIA_COLUMNS if name in names)
    times = tuple(name for name in TIME_COLUMNS if name in names)
    features = row_features(LABELS, media=media, times=times, **options)
    for split, rows in splits.items():
        va = {f"{modality}_va": [0.25, -0.5] for modality in ("text", "audio", "vision")}
        columns = {name: [{**va, **row}.get(name) for row in rows] for name in features}
        dataset = datasets.Dataset.from_dict(columns, features=features)
        dataset.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    (folder / EXTRACTORS_FILE).write_text(json.dumps(dict.fromkeys(("text", "audio", "vision"))))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n\n# Tiny\n\n## How it was built\n\nIn a test.\n")
    return folder


def folder_bytes(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
