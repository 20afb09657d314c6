# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What a built corpus says of itself: counts taken while it was written, and the card that shows them."""

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import datasets
import numpy as np
import yaml

from ..models.configuration_emotion import MODALITIES
from ..scores.headline import METRICS


__all__ = [
    "BENCHMARK_FILE",
    "CORPUS_ID",
    "ORIGIN",
    "SplitStatistics",
    "benchmark",
    "benchmark_file",
    "benchmark_tasks",
    "generated_sections",
    "summary_line",
    "task_categories",
]

# Stands for the corpus until a push knows its id.
CORPUS_ID = "ORG/NAME"
ORIGIN = "Source: "
BENCHMARK_FILE = "eval.yaml"

_COLUMN_MEANINGS = {
    "utterance_id": "unique over all splits",
    "dialogue_id": "rows of a dialogue share it and stand together, in order",
    "position": "place in the dialogue, from 0",
    "speaker": "who speaks, or null",
    "text": "the transcript; null in a corpus that has word vectors alone",
    "emotions": "the active labels; may be empty",
    "audio": "path of the sound file in the source, or null",
    "faces": "paths of the face images in the source, in order, or null",
    "video": "path of the video file in the source, or null",
    "start": "where the utterance begins in its audio and video file, in seconds; null: with the file",
    "end": "where it ends there, in seconds; null: with the file",
    "text_features": "word vectors, words x size, or null",
    "audio_features": "speech features, frames x size, or null where there is no speech",
    "vision_features": "face features, frames x size, or null where there is no face",
    "face_emotions": "probabilities of expressions in each frame of vision_features, frames x expressions, or null",
    **{f"{m}_va": "(valence, arousal) in [-1, 1], NaN where unknown; for training only" for m in MODALITIES},
}
SIZE_CATEGORIES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


class SplitStatistics:
    """Counts over the rows of one split, as they are written."""

    def __init__(self, label_names: Sequence[str]):
        self.label_names = list(label_names)
        self.num_rows = self.num_dialogues = self.num_without_emotion = 0
        self.label_counts: Counter[str] = Counter()
        self.num_frames = {modality: array("q") for modality in MODALITIES}
        # Count, sum and sum of squares of the known (valence, arousal) pairs.
        self._moments = {modality: np.zeros((3, 2)) for modality in MODALITIES}

    def add(self, record: Mapping[str, Any]) -> None:
        """Count one row, as it is written."""
        self.num_rows += 1
        self.num_dialogues += record["position"] == 0
        self.num_without_emotion += not record["emotions"]
        self.label_counts.update(record["emotions"])
        for modality in MODALITIES:
            va = record[f"{modality}_va"].astype(np.float64)
            if not np.isnan(va).any():
                self._moments[modality] += np.stack([np.ones(2), va, va**2])
            frames = record.get(f"{modality}_features")
            if frames is not None:
                self.num_frames[modality].append(len(frames))

    def va(self, modality: str) -> tuple[int, np.ndarray, np.ndarray]:
        """Rows with known VA, mean and standard deviation (n - 1) of valence and arousal."""
        (count, _), total, squares = self._moments[modality]
        if not count:
            return 0, np.full(2, np.nan), np.full(2, np.nan)
        mean = total / count
        variance = (squares - count * mean**2) / (count - 1) if count > 1 else np.full(2, np.nan)
        return int(count), mean, np.sqrt(np.maximum(variance, 0))


def benchmark(title: str, splits: Iterable[str]) -> str | None:
    """
    The `eval.yaml` that makes a data set a benchmark on the Hub, `None` where there is nothing but a training split.

    Each other split has a task for each metric of which more is better, named as `univa evaluate` names its results.
    """
    names = [split for split in splits if not split.startswith("train")]
    tasks = [task for split in names for task in benchmark_tasks(split, "default", split)]
    return benchmark_file(title, tasks) if tasks else None


def benchmark_tasks(name: str, config: str, split: str) -> list[dict[str, str]]:
    """
    Tasks of an `eval.yaml` on a split, one for each metric of which more is better.

    Args:
        name: what their ids begin with.
        config, split: of the data set.
    """
    metrics = [metric for metric, about in METRICS.items() if about.greater_is_better]
    return [{"id": f"{name}_{metric}", "config": config, "split": split} for metric in metrics]


def benchmark_file(title: str, tasks: Sequence[Mapping[str, str]]) -> str:
    """The content of an `eval.yaml` with tasks of [`benchmark_tasks`]."""
    description = (
        f"{title}: multi-label emotion recognition in dialogues. Accuracy is the mean Jaccard index of the labels of "
        "an utterance and those predicted (0 where there is neither); accuracy and F1 are in percent."
    )
    content = {"name": title, "description": description, "tasks": [dict(task) for task in tasks]}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def generated_sections(
    statistics: Mapping[str, SplitStatistics],
    rejected: Iterable[Mapping[str, Any]],
    extractors: Mapping[str, Mapping[str, Any] | None],
    features: datasets.Features,
) -> dict[str, str]:
    """The sections of a card that follow from the rows alone, by title."""
    return {
        "Splits": _splits_table(statistics, rejected),
        "Labels": _labels_table(statistics),
        "Valence and arousal": _va_table(statistics),
        "Features": _features_table(statistics, extractors),
        "Columns": _columns_table(features),
    }


def summary_line(num_rows: int, extractors: Mapping[str, Any]) -> str:
    """The first sentence of a card."""
    words = " and ".join({"text": "text", "audio": "speech", "vision": "faces"}[m] for m in _modalities(extractors))
    return (
        f"{num_rows} utterances with {words}, for multi-label emotion recognition in dialogues. "
        "One row is one utterance."
    )


def task_categories(extractors: Mapping[str, Any]) -> list[str]:
    """Categories of the Hub for a corpus with these features."""
    tasks = {"text": "text-classification", "audio": "audio-classification", "vision": "video-classification"}
    return [tasks[modality] for modality in _modalities(extractors)]


def _modalities(extractors: Mapping[str, Any]) -> list[str]:
    return [modality for modality in MODALITIES if modality == "text" or extractors.get(modality)]


def _splits_table(statistics: Mapping[str, SplitStatistics], rejected: Iterable[Mapping[str, Any]]) -> str:
    rejections = Counter(entry["split"] for entry in rejected)
    rows = [
        (split, counts.num_rows, counts.num_dialogues, counts.num_without_emotion, rejections[split])
        for split, counts in statistics.items()
    ]
    table = _table(("split", "utterances", "dialogues", "without any emotion", "rejected"), rows)
    if rejections:
        table += "\n\nRejected rows are in `rejected.jsonl` with the reason; `position` was recounted without them."
    return table


def _labels_table(statistics: Mapping[str, SplitStatistics]) -> str:
    label_names = next(iter(statistics.values())).label_names
    rows = [(name, *(counts.label_counts[name] for counts in statistics.values())) for name in label_names]
    return _table(("emotion", *statistics), rows)


def _va_table(statistics: Mapping[str, SplitStatistics]) -> str:
    rows = []
    for split, counts in statistics.items():
        for modality in MODALITIES:
            known, mean, deviation = counts.va(modality)
            values = ("–",) * 4 if not known else tuple(f"{value:.3f}" for value in (*mean, *deviation))
            rows.append((split, modality, f"{known} ({known / counts.num_rows:.1%})", *values))
    header = ("split", "modality", "known", "valence, mean", "arousal, mean", "valence, std", "arousal, std")
    return _table(header, rows) + "\n\nStandard deviations are those of the sample (n − 1)."


def _features_table(
    statistics: Mapping[str, SplitStatistics], extractors: Mapping[str, Mapping[str, Any] | None]
) -> str:
    made = {modality: settings for modality, settings in extractors.items() if settings}
    if not made:
        return "None."
    rows = []
    for split, counts in statistics.items():
        for modality, settings in made.items():
            if modality not in MODALITIES:  # how faces were found
                continue
            frames = counts.num_frames[modality]
            lengths = (
                (f"{np.mean(frames):.1f}", f"{np.percentile(frames, 95):.0f}", max(frames)) if frames else ("–",) * 3
            )
            rows.append((split, modality, settings["feature_size"], counts.num_rows - len(frames), *lengths))
    header = ("split", "modality", "size", "rows without", "frames, mean", "frames, 95 %", "frames, longest")
    makers = "\n".join(f"- {modality}: `{json.dumps(settings)}`" for modality, settings in made.items())
    return _table(header, rows) + f"\n\nWhat made them (also in `feature_extractors.json`):\n\n{makers}"


def _columns_table(features: datasets.Features) -> str:
    return _table(
        ("column", "type", "meaning"),
        [(f"`{name}`", _type_name(features[name]), _COLUMN_MEANINGS.get(name, "")) for name in features],
    )


def _type_name(feature: Any) -> str:
    if isinstance(feature, datasets.List):
        length = f", {feature.length}" if feature.length >= 0 else ""
        return f"List({_type_name(feature.feature)}{length})"
    return "ClassLabel" if isinstance(feature, datasets.ClassLabel) else feature.dtype


def card_section(title: str, body: str) -> str:
    """A section of the second level."""
    return f"## {title}\n\n{body}"


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
