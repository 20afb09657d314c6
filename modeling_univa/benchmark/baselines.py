# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
What a system has to beat: predictions that do not look at a clip, and a linear model.

* **majority** predicts the most frequent label of the training rows for every row;
* **all** predicts every label;
* **prior** has for every row the frequencies of the labels in the training rows as scores;
* **linear** is one logistic regression a label on mean and standard deviation over time of every feature stream. Text
  comes as word vectors, or as states of the text encoder as it was pretrained.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..data.corpus import Corpus
from ..data.loading import make_split
from ..data.utterances import UtteranceDataset
from ..models.configuration_emotion import MODALITIES
from ..scores.predictions import Predictions
from ..scores.thresholds import best_threshold, predicted_labels
from ..training.arguments import DataArguments, ModelArguments
from ..training.frozen_text import frozen_encoder
from ..training.run import (
    build_model,
    choose_splits,
    make_test_split,
    prepare_corpus,
    prepare_test_corpus,
    tested_name,
    write_all_predictions,
)
from ..training.training_arguments import UnivaTrainingArguments


__all__ = ["BASELINES", "baseline_configuration", "constant_scores", "fit_baseline", "summaries"]

BASELINES = ("majority", "all", "prior", "linear")
# Which rows are for training, validation and test.
_SPLITS = ("train_split", "eval_split", "test_split", "num_folds", "fold", "fold_by", "fold_seed", "test_dataset",
           "test_dataset_revision", "label_map")  # fmt: skip
# Of the settings of a system, those that decide what the linear model reads.
_OF_FEATURES = ("model", "model_revision", "modalities", "text_model", "text_model_revision")
_LENGTHS = tuple(f"max_{modality}_length" for modality in MODALITIES)
# What contradicts states of a frozen text encoder, and has no use here.
_TRAINED_TEXT = ("lora_rank", "lora_alpha", "lora_dropout", "lora_target_modules", "frozen_text_layers",
                 "text_attention_dropout")  # fmt: skip
_ROWS = 64
# Their scores are 0 and 1.
_DECIDED, _HALF = ("majority", "all"), 0.5
# Inverse strengths of the linear model's penalty; validation chooses one of them.
_STRENGTHS, _USUAL_STRENGTH = (0.001, 0.01, 0.1, 1.0), 0.01
_ITERATIONS = 1000


def baseline_configuration(name: str, configuration: Mapping[str, Any]) -> dict[str, Any]:
    """
    The resolved configuration of a baseline: of that of a system only what decides here. The seed is 0, since nothing
    is random.

    Args:
        name: one of `BASELINES`.
        configuration: of the system in whose table it is; see `resolved_configuration`.
    """
    names = (*_SPLITS, *_OF_FEATURES, *_LENGTHS) if name == "linear" else _SPLITS
    settings = {key: value for key, value in configuration["settings"].items() if key in names}
    return {**configuration, "system": name, "settings": {**settings, "seed": 0}}


def fit_baseline(
    name: str,
    model_args: ModelArguments,
    data_args: DataArguments,
    training_args: UnivaTrainingArguments,
    folder: str | Path,
) -> Corpus:
    """
    Fit a baseline on the training rows, and write what it says of validation and test rows, as a training does.

    Args:
        name: one of `BASELINES`.
        model_args, data_args, training_args: of the system in whose table it is.
        folder: of the files of predictions.

    Returns:
        The corpus that it was fitted on.

    Raises:
        CorpusError, ValueError: what does not fit, in one sentence.
    """
    data_args = replace(data_args, streaming=False)
    corpus = prepare_corpus(data_args, training_args)
    test_corpus = prepare_test_corpus(data_args, corpus)
    eval_split, test_split = choose_splits(corpus, data_args, training_args, test_corpus)
    if eval_split is None and test_split is None:
        raise ValueError("Nothing was evaluated: the corpus has neither a split to validate nor one to test on.")
    reader, train = _Reader(name, model_args, data_args, training_args, corpus), data_args.train_split
    scored = {} if eval_split is None else {eval_split: reader.split(eval_split)}
    tested = reader.tested(test_corpus, test_split)
    scored |= {} if tested is None else {tested_name(corpus, test_corpus, str(test_split)): tested}
    splits = {train: reader.split(train), **scored}
    scores = _linear(splits, train, eval_split) if name == "linear" else _constant(name, splits, train)
    chooser = eval_split or train
    threshold = None if name in _DECIDED else best_threshold(scores[chooser], splits[chooser].labels)
    found = {split: _predictions(rows, scores[split]) for split, rows in scored.items()}
    shared = {split: rows.shared_labels for split, rows in scored.items() if rows.shared_labels is not None}
    threshold = _HALF if threshold is None else threshold
    write_all_predictions(Path(folder), found, shared, corpus.label_names, threshold)
    return corpus


def constant_scores(name: str, labels: np.ndarray) -> np.ndarray:
    """
    Scores `(C,)` that are the same for every row.

    Args:
        name: "majority", "all" or "prior".
        labels: of the training rows, multi-hot `(rows, C)`.
    """
    frequencies = np.asarray(labels, np.float64).mean(axis=0)
    if name == "majority":
        return (np.arange(len(frequencies)) == frequencies.argmax()).astype(np.float64)
    return np.ones_like(frequencies) if name == "all" else frequencies


def summaries(rows: UtteranceDataset) -> np.ndarray:
    """Mean and standard deviation over the frames of each feature stream, `(rows, n)`; 0 where it is absent."""
    return np.concatenate([_summary(batch) for batch in rows.batches(_ROWS)])


def _summary(batch: Mapping[str, torch.Tensor]) -> np.ndarray:
    columns = []
    for modality in MODALITIES:
        frames = batch.get(f"{modality}_features", batch.get(f"{modality}_states"))
        if frames is None:
            continue
        known = batch[f"{modality}_attention_mask"].float()[..., None]
        frames, count = frames.float(), known.sum(dim=1).clamp(min=1)
        mean = (frames * known).sum(dim=1) / count
        variance = ((frames - mean[:, None]).square() * known).sum(dim=1) / count
        columns += [mean, variance.sqrt()]
    return torch.cat(columns, dim=1).numpy()


class _Reader:
    """Reads splits as the system of the table does; for the linear model with states in place of tokens."""

    def __init__(
        self,
        name: str,
        model_args: ModelArguments,
        data_args: DataArguments,
        training_args: UnivaTrainingArguments,
        corpus: Corpus,
    ):
        self.corpus, self.data_args = corpus, data_args
        changes: dict[str, Any] = {**dict.fromkeys(_TRAINED_TEXT), "text_states": False}
        self.model, self.processor = build_model(replace(model_args, **changes), corpus)
        self.encoder = None
        if name == "linear" and self.model.config.reads_tokens:
            model_args = replace(model_args, **{**changes, "text_states": True})
            self.model, self.processor = build_model(model_args, corpus)
            self.model.to(training_args.device)
            self.encoder = frozen_encoder(self.model, model_args)

    def split(self, name: str) -> UtteranceDataset:
        """A split of the corpus that is trained on."""
        return make_split(self.corpus, name, self.processor, self.model.config, text_encoder=self.encoder)

    def tested(self, corpus: Corpus, split: str | None) -> UtteranceDataset | None:
        """The split of the corpus that is tested, if one is."""
        return make_test_split(corpus, split, self.data_args, self.processor, self.model.config, self.encoder)


def _constant(name: str, splits: Mapping[str, UtteranceDataset], train: str) -> dict[str, np.ndarray]:
    scores = constant_scores(name, splits[train].labels)
    return {split: np.tile(scores, (len(rows), 1)) for split, rows in splits.items()}


def _linear(splits: Mapping[str, UtteranceDataset], train: str, validation: str | None) -> dict[str, np.ndarray]:
    """Scores of every split, of the penalty that does best on validation."""
    features = {split: summaries(rows) for split, rows in splits.items()}

    def scores(strength: float) -> dict[str, np.ndarray]:
        model = OneVsRestClassifier(LogisticRegression(C=strength, max_iter=_ITERATIONS))
        model = make_pipeline(StandardScaler(), model).fit(features[train], splits[train].labels)
        width = splits[train].labels.shape[1]
        # Of one label alone there are columns of both answers.
        return {split: model.predict_proba(one)[:, -width:] for split, one in features.items()}

    if validation is None:
        return scores(_USUAL_STRENGTH)
    found = [scores(strength) for strength in _STRENGTHS]
    return max(found, key=lambda one: _micro_f1(one[validation], splits[validation].labels))


def _micro_f1(scores: np.ndarray, labels: np.ndarray) -> float:
    threshold = best_threshold(scores, labels)
    predicted = predicted_labels(scores, _HALF if threshold is None else threshold)
    return f1_score(labels.ravel(), predicted.ravel(), zero_division=0)


def _predictions(rows: UtteranceDataset, scores: np.ndarray) -> Predictions:
    found = Predictions(
        rows.utterance_ids, rows.dialogue_ids, scores.astype(np.float32), rows.labels, rows.speaker_names
    )
    return found if rows.shared_labels is None else rows.shared_labels.scored(found)
