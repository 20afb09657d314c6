# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Baselines: constants against counts, the linear model against its parts, and what their names depend on."""

from pathlib import Path

import datasets
import numpy as np
import pytest
from testing_utils import random_rows, tiny_config, write_corpus
from training_runs import tiny_split, training_options, write_training_inputs

from modeling_univa.benchmark.baselines import (
    BASELINES,
    baseline_configuration,
    constant_scores,
    fit_baseline,
    summaries,
)
from modeling_univa.benchmark.configuration import resolved_configuration, run_id
from modeling_univa.data.loading import load_corpus
from modeling_univa.models.configuration_univa import MOSEI_EMOTIONS
from modeling_univa.scores.predictions import read_note, read_predictions
from modeling_univa.scores.thresholds import best_threshold
from modeling_univa.training.arguments import parse_arguments


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    return write_training_inputs(tmp_path_factory.mktemp("inputs"))


def multi_hot(rows) -> np.ndarray:
    labels = np.zeros((len(rows), 6))
    for place, emotions in enumerate(rows["emotions"]):
        labels[place, emotions] = 1
    return labels


def test_constants():
    labels = np.array([[1, 0, 1], [1, 0, 0], [0, 0, 1], [1, 1, 0]])
    assert constant_scores("majority", labels).tolist() == [1, 0, 0]
    assert constant_scores("all", labels).tolist() == [1, 1, 1]
    assert constant_scores("prior", labels).tolist() == [0.75, 0.25, 0.5]


@pytest.mark.numeric
def test_summaries_are_mean_and_deviation_of_the_frames_that_are_there():
    rows = tiny_split(tiny_config("words"), (3, 4, 2, 60), seed=1)
    found, column = summaries(rows), 0
    for modality in ("text", "audio", "vision"):
        frames = rows._features[:].column(f"{modality}_features").to_pylist()
        width = rows.processor.extracted_sizes[modality]
        for row, one in enumerate(frames):
            values = np.array(one[: rows.processor.max_lengths[modality]] if one else np.zeros((1, width)), np.float64)
            expected = np.concatenate([values.mean(axis=0), values.std(axis=0)])
            np.testing.assert_allclose(found[row, column : column + 2 * width], expected, atol=1e-4)
        column += 2 * width
    assert found.shape == (69, column) and any(not one for one in frames)


@pytest.mark.parametrize("name", BASELINES)
def test_what_is_fitted_and_written(name, inputs, tmp_path):
    arguments = parse_arguments(training_options(inputs, tmp_path / "model", frozen_text_layers=1))
    corpus = fit_baseline(name, *arguments, tmp_path)
    splits, labels, threshold = read_predictions(tmp_path / "predictions.parquet")
    assert list(splits) == ["validation", "test"] and labels == corpus.label_names
    rows = {split: load_corpus(str(inputs / "corpus")).split(split) for split in ("train", "validation", "test")}
    for split, found in splits.items():
        assert list(found.utterance_ids) == list(rows[split]["utterance_id"])
        np.testing.assert_array_equal(found.labels, multi_hot(rows[split]))
    scores = splits["test"].scores
    if name != "linear":
        frequencies = multi_hot(rows["train"]).mean(axis=0)
        np.testing.assert_allclose(scores, np.tile(constant_scores(name, multi_hot(rows["train"])), (5, 1)), rtol=1e-6)
        assert 0 < frequencies.max() < 1
    else:
        assert len(np.unique(scores[:, 0])) == 5 and ((scores > 0) & (scores < 1)).all()
    if name in ("majority", "all"):
        assert threshold == 0.5 and (scores > threshold).sum() == (5 if name == "majority" else 30)
    else:
        chosen = best_threshold(splits["validation"].scores, splits["validation"].labels)
        assert threshold == pytest.approx(chosen, abs=1e-3)


def test_linear_model_learns_what_a_feature_says(inputs, tmp_path):
    """Without validation, on a corpus whose audio holds the labels."""

    def telling(rows: datasets.Dataset) -> datasets.Dataset:
        def change(row):
            frame = [float(index in row["emotions"]) for index in range(len(row["audio_features"][0]))]
            return {"audio_features": [frame] * 3}

        return rows.map(change, features=rows.features)

    splits = {name: telling(random_rows([8] * 12, seed=seed, prefix=name, absent=0.0, modalities=("audio",)))
              for seed, name in enumerate(("train", "test"))}  # fmt: skip
    write_corpus(tmp_path / "corpus", splits)
    options = training_options(inputs, tmp_path / "model", dataset=tmp_path / "corpus", text_model=None)
    arguments = parse_arguments([*options, "--modalities", "audio"])
    fit_baseline("linear", *arguments, tmp_path)
    found, _, threshold = read_predictions(tmp_path / "predictions.parquet")
    told = found["test"].labels[:, :5]  # a frame is five numbers wide
    assert ((found["test"].scores[:, :5] > threshold) == told).mean() > 0.95


def test_name_depends_on_what_a_baseline_reads_alone(inputs, tmp_path):
    def name_of(baseline: str, **changes: object) -> str:
        configuration = resolved_configuration(*parse_arguments(training_options(inputs, tmp_path, **changes)))
        return run_id(baseline_configuration(baseline, configuration))

    for baseline in BASELINES:
        usual = name_of(baseline)
        assert {name_of(baseline, **change) for change in (
            {"hidden_size": 32}, {"seed": 7}, {"learning_rate": 0.1}, {"num_train_epochs": 3},
        )} == {usual}  # fmt: skip
        assert name_of(baseline, test_split="validation", eval_split="none") != usual
    assert name_of("prior", max_audio_length=3) == name_of("prior")
    assert name_of("linear", max_audio_length=3) != name_of("linear")
    assert len({name_of(baseline) for baseline in BASELINES}) == 4


@pytest.mark.parametrize("name", ["prior", "linear"])
def test_another_corpus_is_tested_on_the_labels_in_common(name, inputs, tmp_path):
    """The other corpus calls the first label joy, and has one that the first has not."""
    other = ["joy", *MOSEI_EMOTIONS[1:3], "contempt"]
    rows = random_rows([4, 3], seed=5, prefix="other", label_names=other, modalities=("text", "audio", "vision"))
    write_corpus(tmp_path / "other", {"dev": rows})
    options = training_options(inputs, tmp_path / "model", test_dataset=tmp_path / "other", test_split="dev",
                               label_map=f"joy={MOSEI_EMOTIONS[0]},contempt=")  # fmt: skip
    fit_baseline(name, *parse_arguments(options), tmp_path)
    own, names, threshold = read_predictions(tmp_path / "predictions.parquet")
    assert list(own) == ["validation"] and names == list(MOSEI_EMOTIONS)
    found, shared, same = read_predictions(tmp_path / "test_dataset_predictions.parquet")
    assert list(found) == ["other/dev"] and shared == list(MOSEI_EMOTIONS[:3]) and same == threshold
    kept = [place for place, labels in enumerate(rows["emotions"]) if labels != [3]]
    assert found["other/dev"].utterance_ids == [rows["utterance_id"][place] for place in kept]
    expected = [[label in rows["emotions"][place] for label in range(3)] for place in kept]
    np.testing.assert_array_equal(found["other/dev"].labels, expected)
    if name == "prior":
        np.testing.assert_allclose(found["other/dev"].scores, [own["validation"].scores[0, :3]] * len(kept))
    assert f"left out: {7 - len(kept)}." in read_note(tmp_path / "test_dataset_predictions.parquet")


def test_folds_are_different_baselines(inputs, tmp_path):
    def name_of(baseline: str, **changes: object) -> str:
        configuration = resolved_configuration(*parse_arguments(training_options(inputs, tmp_path, **changes)))
        return run_id(baseline_configuration(baseline, configuration))

    for baseline in BASELINES:
        folds = [name_of(baseline, num_folds=3, fold=fold, fold_by="dialogue") for fold in (1, 2, 3)]
        assert len({*folds, name_of(baseline)}) == 4
