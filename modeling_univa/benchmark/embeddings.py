# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Figure 3: embeddings of each modality, and numbers that say what the figure only shows."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, silhouette_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..data.utterances import UtteranceDataset, known_va
from ..models.configuration_emotion import MODALITIES
from ..models.files_univa import whole_file
from .analysis_files import NotApplicableError, analysis_file, hashed_order, read_analysis
from .trained_run import TrainedRun


__all__ = [
    "QUADRANTS",
    "Embeddings",
    "embedding_numbers",
    "linear_probe",
    "make_embeddings",
    "quadrants",
    "read_embeddings",
    "silhouettes",
    "single_labels",
]

# Rows that the probe is trained on, whole dialogues; and those of the test rows that silhouettes are computed of.
TRAIN_ROWS, SILHOUETTE_ROWS = 2000, 1000
# By the number that `quadrants` gives.
QUADRANTS = ("negative, calm", "negative, aroused", "positive, calm", "positive, aroused")
_NAME = "embeddings"


@dataclass(frozen=True)
class Embeddings:
    """
    Embeddings of the modalities of one split.

    Args:
        utterance_ids: of the rows.
        label_names: of the columns of `labels`.
        labels (`np.ndarray` of shape `(rows, C)`, int8): multi-hot.
        embeds: by modality `(rows, H)`, float32.
        va: by modality (valence, arousal) `(rows, 2)`, NaN where unknown; empty of training rows.
    """

    utterance_ids: Sequence[str]
    label_names: Sequence[str]
    labels: np.ndarray
    embeds: Mapping[str, np.ndarray]
    va: Mapping[str, np.ndarray]

    def part(self, rows: np.ndarray) -> "Embeddings":
        """Some of the rows, by their places."""
        embeds, va = ({name: values[rows] for name, values in of.items()} for of in (self.embeds, self.va))
        return Embeddings([self.utterance_ids[row] for row in rows], self.label_names, self.labels[rows], embeds, va)

    def sample(self, count: int, seed: int = 0) -> "Embeddings":
        """At most `count` rows, which follow from their names and the seed, in order."""
        return self.part(np.sort(hashed_order(self.utterance_ids, _NAME, seed)[:count]))


def make_embeddings(run: TrainedRun, folder: Path) -> dict[str, Any]:
    """
    Embeddings of all test rows and of some dialogues of training, into `embeddings.npz`.

    Args:
        run: with the model.
        folder: of the run.

    Returns:
        Rows, silhouettes and probes, see `embedding_numbers`.

    Raises:
        NotApplicableError: the model has no embedding of a modality.
    """
    test = _embeddings(run, run.rows, np.arange(len(run.rows)))
    test = Embeddings(
        test.utterance_ids, test.label_names, test.labels, test.embeds,
        known_va(run.corpus.split(run.split), list(test.embeds)),
    )  # fmt: skip
    rows = run.rows_of(run.data_args.train_split)
    train = _embeddings(run, rows, _some_dialogues(rows, TRAIN_ROWS))
    arrays: Any = {**_arrays(test, ""), **_arrays(train, "train_"), "label_names": np.array(test.label_names)}
    with whole_file(analysis_file(folder, _NAME, ".npz")) as scratch, open(scratch, "wb") as stream:
        np.savez_compressed(stream, **arrays)
    return {"split": run.split, **embedding_numbers(test, train)}


def read_embeddings(run_folder: str | Path) -> tuple[Embeddings, Embeddings] | None:
    """Embeddings of the test rows and of the training rows that a run keeps, `None` where there are none."""
    found = read_analysis(run_folder, _NAME)
    if found is None or found["status"] != "complete":
        return None
    with np.load(analysis_file(run_folder, _NAME, ".npz"), allow_pickle=False) as arrays:
        return _from_arrays(arrays, ""), _from_arrays(arrays, "train_")


def embedding_numbers(test: Embeddings, train: Embeddings) -> dict[str, Any]:
    """
    What Figure 3 claims, as numbers.

    Returns:
        `rows`, `train_rows`, `silhouettes` (see there) and `probe`: by modality, and "all" for the embeddings of all
        modalities side by side, the macro-F1 in percent of a linear probe.
    """
    probed = {name: (train.embeds[name], test.embeds[name]) for name in test.embeds}
    if len(probed) > 1:
        parts = [np.concatenate(list(found.embeds.values()), axis=1) for found in (train, test)]
        probed["all"] = parts[0], parts[1]
    probe = {name: linear_probe(*of, train.labels, test.labels) for name, of in probed.items()}
    numbers = {"rows": len(test.labels), "train_rows": len(train.labels)}
    return {**numbers, "probe": probe, "silhouettes": silhouettes(test.sample(SILHOUETTE_ROWS))}


def linear_probe(train: np.ndarray, test: np.ndarray, train_labels: np.ndarray, test_labels: np.ndarray) -> float:
    """
    How well labels can be read off embeddings by a linear model.

    A logistic regression a label (C = 1, both classes weighted alike) on embeddings that are standardised over the
    training rows; a label is predicted above 0.5. One that all or none of the training rows have is predicted so.

    Args:
        train, test: embeddings, `(rows, H)` each.
        train_labels, test_labels: multi-hot, `(rows, C)` each.

    Returns:
        Macro-F1 on the test rows in percent; 0 for a label that is neither there nor predicted.
    """
    predicted = np.zeros(test_labels.shape, bool)
    for label, targets in enumerate(train_labels.T):
        if targets.min() == targets.max():
            predicted[:, label] = targets[0]
            continue
        model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            predicted[:, label] = model.fit(train, targets).predict(test)
    return 100 * float(f1_score(test_labels, predicted, average="macro", zero_division=0))


def silhouettes(found: Embeddings) -> dict[str, Any]:
    """
    Mean silhouettes, in [-1, 1], of Euclidean distances.

    Returns:
        `rows` that were used; `modality`, how far the embeddings of the modalities lie apart (`None` where their sizes
        differ); `emotion` and `quadrant` by modality, how far rows of different labels (those with exactly one) and of
        different quadrants of valence and arousal do. `None` where there are fewer than two groups.
    """
    sizes = {values.shape[1] for values in found.embeds.values()}
    apart = None
    if len(sizes) == 1:
        owner = np.repeat(np.arange(len(found.embeds)), len(found.labels))
        apart = _silhouette(np.concatenate(list(found.embeds.values())), owner)
    emotions = single_labels(found.labels)
    by_emotion = {name: _silhouette(values, emotions) for name, values in found.embeds.items()}
    by_quadrant = {
        name: _silhouette(found.embeds[name], quadrants(va)) for name, va in found.va.items() if name in found.embeds
    }
    return {"rows": len(found.labels), "modality": apart, "emotion": by_emotion, "quadrant": by_quadrant}


def single_labels(labels: np.ndarray) -> np.ndarray:
    """The label of each row that has exactly one, else -1; from multi-hot `(rows, C)` to `(rows,)`."""
    return np.where(labels.sum(axis=1) == 1, labels.argmax(axis=1), -1)


def quadrants(va: np.ndarray) -> np.ndarray:
    """Places in `QUADRANTS` of (valence, arousal) `(rows, 2)`, where 0 counts as positive; -1 where it is unknown."""
    with np.errstate(invalid="ignore"):
        place = 2 * (va[:, 0] >= 0) + (va[:, 1] >= 0)
    return np.where(np.isnan(va).any(axis=1), -1, place)


def _silhouette(values: np.ndarray, groups: np.ndarray) -> float | None:
    known = groups >= 0
    if not 2 <= len(set(groups[known].tolist())) < known.sum():
        return None
    return float(silhouette_score(values[known], groups[known]))


def _some_dialogues(rows: UtteranceDataset, count: int) -> np.ndarray:
    """Places of the rows of whole dialogues, as few as hold `count` rows, in order."""
    first = np.flatnonzero(np.diff(rows.dialogues, prepend=-1))
    names = [rows.dialogue_ids[int(place)] for place in first]
    sizes = np.bincount(rows.dialogues)
    order = hashed_order(names, _NAME)
    needed = int(np.searchsorted(sizes[order].cumsum(), count)) + 1
    return np.flatnonzero(np.isin(rows.dialogues, order[:needed]))


def _embeddings(run: TrainedRun, rows: UtteranceDataset, indices: np.ndarray) -> Embeddings:
    parts: dict[str, list[np.ndarray]] = {}
    places = []
    for batch, output in run.outputs(rows, indices):
        places.append(batch)
        for name in MODALITIES:
            values = getattr(output, f"{name}_embeds", None)
            if values is not None:
                parts.setdefault(name, []).append(values.float().cpu().numpy())
    if not parts:
        raise NotApplicableError(f"{run.model.config.title} has no embedding of a modality alone.")
    order = np.concatenate(places)
    embeds = {name: np.concatenate(found) for name, found in parts.items()}
    ids = [rows.utterance_ids[int(place)] for place in order]
    return Embeddings(ids, list(run.model.config.label_names), rows.labels[order].astype(np.int8), embeds, {})


def _arrays(found: Embeddings, prefix: str) -> dict[str, np.ndarray]:
    # Half the bytes, and no figure shows the difference; what half precision cannot hold stays as it is.
    embeds = {name: _halved(values) for name, values in found.embeds.items()}
    return {
        f"{prefix}utterance_ids": np.array(list(found.utterance_ids)),
        f"{prefix}labels": found.labels,
        **{f"{prefix}{name}_embeds": values for name, values in embeds.items()},
        **{f"{prefix}{name}_va": values for name, values in found.va.items()},
    }


def _halved(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16) if np.abs(values).max(initial=0) < np.finfo(np.float16).max else values


def _from_arrays(arrays: Any, prefix: str) -> Embeddings:
    def by_modality(what: str) -> dict[str, np.ndarray]:
        names = {name: f"{prefix}{name}_{what}" for name in MODALITIES}
        return {name: arrays[key].astype(np.float32) for name, key in names.items() if key in arrays}

    ids, labels = arrays[f"{prefix}utterance_ids"].tolist(), arrays[f"{prefix}labels"]
    return Embeddings(ids, arrays["label_names"].tolist(), labels, by_modality("embeds"), by_modality("va"))
