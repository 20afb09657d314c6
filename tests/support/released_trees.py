# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Tiny MOSEI and M3ED in the files that the authors released."""

import csv
import json
import pickle
from pathlib import Path

import numpy as np

from modeling_univa.models.configuration_univa import M3ED_EMOTIONS, MOSEI_EMOTIONS


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


def _write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_mosei(source: Path) -> Path:
    """MOSEI as released, three utterances of one video in each of two splits."""
    root = source / "MOSEI"
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
    _write_csv(root / "final_multi_labels.csv", rows)
    _write_json(root / "preprocess_data" / "videos_structure.json", structure)
    _write_json(root / "preprocess_data" / "raw_utt_text_textVA.json", text_va)
    return source


def write_m3ed(source: Path) -> Path:
    """M3ED as released, three utterances of one dialogue in each of two splits."""
    root = source / "M3ED"
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
    return source
