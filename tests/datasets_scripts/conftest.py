# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Tiny good corpora in the three source formats; a test of bad input changes one thing of them."""

import importlib.util
import json
import pickle
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from csv_files import write_csv

from modeling_univa.configuration_univa import M3ED_EMOTIONS, MOSEI_EMOTIONS


SCRIPTS = Path(__file__).resolve().parents[2] / "datasets_scripts"
COLUMNS = (
    "utterance_id", "dialogue_id", "position", "speaker", "text", "emotions", "audio", "faces", "text_emotion",
    "audio_emotion", "vision_emotion", "text_valence", "text_arousal",
)  # fmt: skip


@pytest.fixture(scope="session")
def load_script() -> Callable[[str], ModuleType]:
    """Import a script of datasets_scripts, which is not a package, by name."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"{name}_script", SCRIPTS / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


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


def _write_pickle(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=4))


def _write_signals(root: Path, dataset: str, split: str, labels: np.ndarray) -> None:
    rng = np.random.default_rng([len(dataset), len(split)])
    num_rows = len(labels)
    for modality, length, size in (("audio", 5, 4), ("vision", 4, 3), ("text", 3, 2)):
        lengths = rng.integers(1, length + 1, num_rows)
        if modality != "text":
            lengths[-1] = 0
        mask = (np.arange(length) < lengths[:, None]).astype(np.float32)
        table = {
            modality: rng.standard_normal((num_rows, length, size), dtype=np.float32) * mask[..., None],
            f"{modality}_utt_mask": mask,
            f"{modality}_VA_values": rng.uniform(-0.7, 0.7, (num_rows, 2)),
        }
        features = root / "preprocess_data" / "final_feat"
        if modality == "text":
            _write_pickle(features / "T" / f"{dataset}_{split}_text_glove300_VA.pkl", table)
        else:
            content = {split: {**table, "labels_class": labels}, "num_labels": labels.shape[1]}
            path = features / modality[0].upper() / f"{dataset}_{split}_{modality}_utt_VA.pkl"
            _write_pickle(path, content)


def _write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


# The annotation files list utterances out of order, as the published ones do.
ORDER = (2, 0, 1)


@pytest.fixture
def mosei_tree(tmp_path: Path) -> Path:
    """MOSEI as released, three utterances of one video in each of two splits."""
    root = tmp_path / "source" / "MOSEI"
    rows, structure, text_va = [], {}, {}
    for split in ("train", "test"):
        video = f"-{split}"
        structure[split] = {video: [f"{video}_{clip}" for clip in (4, 7, 9)]}
        labels = np.zeros((3, 6), np.float32)
        for row, place in enumerate(ORDER):
            labels[row, place] = 1
            clip = (4, 7, 9)[place]
            intensities = {name: "0.333" if labels[row, j] else "0.0" for j, name in enumerate(MOSEI_EMOTIONS)}
            rows.append({"video_id": video, "clip_id": str(clip), "text": f"Clip, {clip}."} | intensities)
            rows[-1] |= {"mode": split, "truely_sort": str(place)}
            text_va.setdefault(split, {})[f"{video}_{clip}"] = [f"Clip, {clip}.", f"0.{place}", f"-0.{place}"]
        _write_signals(root, "MOSEI", split, labels)
    write_csv(root / "final_multi_labels.csv", rows)
    _write_json(root / "preprocess_data" / "videos_structure.json", structure)
    _write_json(root / "preprocess_data" / "raw_utt_text_textVA.json", text_va)
    return root.parent


@pytest.fixture
def m3ed_tree(tmp_path: Path) -> Path:
    """M3ED as released, three utterances of one dialogue in each of two splits."""
    root = tmp_path / "source" / "M3ED"
    annotations: dict[str, dict] = {}
    structure, text_va = {}, {}
    for split in ("train", "test"):
        dialogue = f"a_tv_{split}"
        structure[split] = {dialogue: [f"{dialogue}_{place}" for place in range(3)]}
        labels = np.zeros((3, 7), np.float32)
        for row, place in enumerate(ORDER):
            labels[row, [place, 6]] = 1
            name = f"{dialogue}_{place}"
            emotion = f"{M3ED_EMOTIONS[place].capitalize()},Neutral"
            annotations.setdefault(split, {})[name] = {"text": f"第{place}句", "Emotion": emotion}
            text_va.setdefault(split, {})[name] = [f"第{place}句", f"Sentence {place}", f"0.{place}", f"-0.{place}"]
        _write_signals(root, "M3ED", split, labels)
    _write_json(root / "preprocess_data" / "utt_annot.json", annotations)
    _write_json(root / "preprocess_data" / "videos_structure.json", structure)
    _write_json(root / "preprocess_data" / "raw_utt_text_textVA.json", text_va)
    return root.parent
