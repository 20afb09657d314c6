# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Predictions of test rows some of which lose a modality, or whose speech gets noise."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.schema import MEDIA_COLUMNS, TIME_COLUMNS
from ..data.utterances import UtteranceDataset
from ..features.media import MediaReader, check_media
from ..features.speech_noise import noisy_features
from ..scores.predictions import Predictions, read_predictions, write_predictions
from ..scores.thresholds import Threshold
from .analysis_files import analysis_file, hashed_order, read_analysis
from .trained_run import TrainedRun


__all__ = ["CLEAN", "Condition", "Robustness", "make_robustness", "read_robustness", "removed_rows"]

CLEAN = "clean"
PERCENTS, DECIBELS = (25, 50, 75, 100), (20, 10, 0)
# Number of clips whose features are made again to see that they are those of the corpus, and how far each may be.
_CHECKED_CLIPS, _TOLERANCE = 8, 1e-2
_NAME = "robustness"


@dataclass(frozen=True)
class Condition:
    """
    What was done to the rows.

    Args:
        name: of its predictions, such as "clean", "text-50" and "noise-10".
        kind: "clean", "removed" or "noise".
        modality: that was changed.
        percent: of the rows that lost it.
        decibels: ratio of speech to white noise, in all rows.
    """

    name: str
    kind: str
    modality: str | None = None
    percent: int = 0
    decibels: float | None = None


@dataclass(frozen=True)
class Robustness:
    """
    What a run keeps.

    Args:
        conditions: "clean" first.
        predictions: by the name of the condition.
        label_names: of their columns.
        threshold: the model's own.
        noise_reason: why there is no noise; `None` where there is.
    """

    conditions: Sequence[Condition]
    predictions: Mapping[str, Predictions]
    label_names: Sequence[str]
    threshold: Threshold
    noise_reason: str | None


def make_robustness(run: TrainedRun, folder: Path) -> dict[str, Any]:
    """
    Predictions in every condition, into `robustness.parquet`, whose column `split` has the name of the condition.

    Args:
        run: with the model.
        folder: of the run.

    Returns:
        Split, rows, conditions, how speech got noise, or why not.
    """
    found, reason, lost = _removals(run), _no_noise(run), 0
    if reason is None:
        noisy, lost = _with_noise(run)
        found |= noisy
    config = run.model.config
    predictions = {condition.name: predicted for condition, predicted in found.items()}
    file = analysis_file(folder, _NAME, ".parquet")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_predictions(file, predictions, config.label_names, config.decision_threshold)
    facts = {"split": run.split, "rows": len(run.rows), "conditions": [asdict(condition) for condition in found]}
    return {**facts, "noise": "white" if reason is None else None, "noise_reason": reason, "rows_without_sound": lost}


def read_robustness(run_folder: str | Path) -> Robustness | None:
    """
    Predictions that a run keeps, `None` where there are none.

    Raises:
        ValueError: the file is damaged.
    """
    found = read_analysis(run_folder, _NAME)
    if found is None or found["status"] != "complete":
        return None
    predictions, label_names, threshold = read_predictions(analysis_file(run_folder, _NAME, ".parquet"))
    conditions = [Condition(**one) for one in found["conditions"]]
    return Robustness(conditions, predictions, label_names, threshold, found["noise_reason"])


def removed_rows(utterance_ids: Iterable[str], modality: str, percent: float, seed: int = 0) -> np.ndarray:
    """
    Which rows lose a modality: the same ones for every system, and with a larger share all of those before.

    Args:
        utterance_ids: of all rows of the split.
        modality: that is lost.
        percent: of the rows, rounded to the nearest row.
        seed: another seed has other rows.

    Returns:
        `np.ndarray` of shape `(rows,)`, bool.
    """
    order = hashed_order(utterance_ids, f"{_NAME} {modality}", seed)
    removed = np.zeros(len(order), bool)
    removed[order[: round(len(order) * percent / 100)]] = True
    return removed


def _removals(run: TrainedRun) -> dict[Condition, Predictions]:
    found = {Condition(CLEAN, "clean"): run.predictions(run.rows)}
    for modality in run.model.config.modalities:
        # States of a frozen encoder have seen all texts of a dialogue.
        has_states = modality == "text" and run.rows.text_states is not None
        rows = run.rows_of(run.split, tokens=True) if has_states else run.rows
        for percent in PERCENTS:
            removed = removed_rows(rows.utterance_ids, modality, percent)
            condition = Condition(f"{modality}-{percent}", "removed", modality, percent)
            found[condition] = run.predictions(rows.without(modality, removed))
    return found


def _no_noise(run: TrainedRun) -> str | None:
    """Why speech cannot get noise."""
    if "audio" not in run.model.config.modalities:
        return "The model does not read audio."
    if not run.processor.can_extract("audio"):
        return "The audio features were precomputed: the model has no extractor of them."
    columns = run.corpus.split(run.split).column_names
    if not {"audio", "video"}.intersection(columns):
        return "The corpus does not name its sound files."
    try:
        check_media(columns, run.media_root, _NAME)
    except ValueError as error:
        return f"The sound files were not found: {error}."
    return _other_features(run)


def _other_features(run: TrainedRun) -> str | None:
    """What is wrong where the features of the corpus are not those of the extractor."""
    rows = run.rows
    heard = np.flatnonzero(rows.frame_counts["audio"])[:_CHECKED_CLIPS]
    if not len(heard):
        return "No row has audio."
    made = [clip for (clip,) in _speech(run, heard, [None])]
    for row, clip in zip(heard.tolist(), made, strict=True):
        stored = _stored_frames(rows, row)
        if (
            clip is None
            or clip.shape != stored.shape
            or not np.allclose(clip, stored, rtol=_TOLERANCE, atol=_TOLERANCE)
        ):
            return (
                f"The audio features of {rows.utterance_ids[row]!r} in the corpus are not those that the model's "
                "extractor makes of its sound file."
            )
    return None


def _stored_frames(rows: UtteranceDataset, row: int) -> np.ndarray:
    column = rows[row].features.column(rows.columns["audio"])
    return np.asarray(column[0].as_py(), np.float32)


def _with_noise(run: TrainedRun) -> tuple[dict[Condition, Predictions], int]:
    """Predictions at each ratio, and how many rows with audio have no sound that can be used."""
    heard = np.flatnonzero(run.rows.frame_counts["audio"])
    clips: list[list[np.ndarray | None]] = [[None] * len(run.rows) for _ in DECIBELS]
    lost = 0
    for row, made in zip(heard.tolist(), _speech(run, heard, DECIBELS), strict=True):
        lost += made[0] is None
        for ratio, clip in enumerate(made):
            clips[ratio][row] = clip
    found = {}
    for decibels, frames in zip(DECIBELS, clips, strict=True):
        condition = Condition(f"noise-{decibels}", "noise", "audio", decibels=decibels)
        found[condition] = run.predictions(run.rows.with_features("audio", frames))
    return found, lost


def _speech(
    run: TrainedRun, indices: np.ndarray, decibels: Sequence[float | None]
) -> Iterator[list[np.ndarray | None]]:
    """Features of the speech of rows at some ratios."""
    rows = run.corpus.split(run.split)
    columns = [name for name in ("utterance_id", *MEDIA_COLUMNS, *TIME_COLUMNS) if name in rows.column_names]
    extractor = run.processor.extractor("audio")
    # Builders refuse such paths unless they are told not to.
    outside = "--outside-source" in (run.data_args.corpus_options or [])
    reader = MediaReader(run.media_root, extractor.sampling_rate, outside=outside)
    chosen = rows.select(indices.tolist()).select_columns(columns).with_format(None)
    return noisy_features(chosen, reader, extractor, decibels)
