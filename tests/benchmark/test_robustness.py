# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Rows that lose a modality and speech with noise: which rows, and what the model says of them."""

import numpy as np
import pytest
import torch
from trained_runs import MDI, heard_corpus, trained_run
from training_runs import write_training_inputs

from modeling_univa.benchmark.analysis_files import write_analysis
from modeling_univa.benchmark.robustness import make_robustness, read_robustness, removed_rows
from modeling_univa.data.utterances import UtteranceCollator, UtteranceDataset
from modeling_univa.features.media import MediaReader
from modeling_univa.features.speech_noise import noisy_features
from modeling_univa.scores.predictions import read_predictions


# Which rows


def test_rows_are_the_same_for_every_system():
    ids = [f"row {number}" for number in range(57)]
    for modality in ("text", "audio"):
        shares = {percent: removed_rows(ids, modality, percent) for percent in (0, 25, 50, 75, 100)}
        assert {percent: int(rows.sum()) for percent, rows in shares.items()} == {
            0: 0,
            25: 14,
            50: 28,
            75: 43,
            100: 57,
        }
        # A larger share has all rows of a smaller one, and the order of the rows does not matter.
        assert all(
            (shares[more] | shares[less] == shares[more]).all() for less, more in ((25, 50), (50, 75), (75, 100))
        )
        assert np.array_equal(removed_rows(ids[::-1], modality, 50)[::-1], shares[50])
    assert not np.array_equal(removed_rows(ids, "text", 50), removed_rows(ids, "audio", 50))
    assert not np.array_equal(removed_rows(ids, "text", 50), removed_rows(ids, "text", 50, seed=1))


# What the model says


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_training_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    return heard_corpus(tmp_path_factory.mktemp("heard"))


def kept(run, folder):
    facts = make_robustness(run, folder)
    write_analysis(folder, "robustness", "complete", facts)
    return facts, read_robustness(folder)


def scores_without(run, modality: str, removed: np.ndarray) -> np.ndarray:
    """The model's scores of a corpus that never had the modality of some rows, all rows in one batch."""
    column, nothing = ("text", "") if modality == "text" else (f"{modality}_features", None)
    rows = run.corpus.split("test").with_format(None)
    values = [nothing if lost else row[column] for row, lost in zip(rows, removed, strict=True)]
    content = {**rows[:], column: values}
    rows = type(rows).from_dict(content, features=rows.features)
    dataset = UtteranceDataset(rows, run.processor, run.model.config.label_names)
    batch = UtteranceCollator(dataset)(dataset.__getitems__(list(range(len(dataset)))))
    with torch.no_grad():
        return run.model.config.probabilities(run.model(**batch).logits).numpy()


@pytest.mark.numeric
@pytest.mark.parametrize("extra", [{}, {"text_states": True}, MDI])
def test_modality_that_all_rows_lose_is_a_model_without_it(extra, inputs, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    run = trained_run(inputs, tmp_path, num_train_epochs=2, learning_rate=0.01, **extra)()
    facts, found = kept(run, tmp_path)
    changes = [f"{name}-{percent}" for name in ("text", "audio", "vision") for percent in (25, 50, 75, 100)]
    assert [condition.name for condition in found.conditions] == ["clean", *changes] == list(found.predictions)
    # With nothing removed it is what the training predicted.
    predicted = read_predictions(tmp_path / "model" / "predictions.parquet")[0]["test"]
    clean = found.predictions["clean"]
    assert list(clean.utterance_ids) == list(predicted.utterance_ids)
    assert clean.scores == pytest.approx(predicted.scores, abs=1e-5)
    for condition in found.conditions[1:]:
        removed = removed_rows(run.rows.utterance_ids, condition.modality, condition.percent)
        expected = scores_without(run, condition.modality, removed)
        tolerance = 2e-3 if "text_states" in extra else 1e-5  # states are kept in half precision
        assert found.predictions[condition.name].scores == pytest.approx(expected, abs=tolerance), condition.name
    assert np.abs(found.predictions["text-100"].scores - clean.scores).max() > 1e-3
    assert facts["noise"] is None and found.noise_reason.startswith("The audio features were precomputed")
    assert found.threshold == run.model.config.decision_threshold and facts["rows"] == 5
    # Once more, it is the same to the last bit.
    again = kept(run, tmp_path)[1]
    assert all(np.array_equal(again.predictions[name].scores, one.scores) for name, one in found.predictions.items())


@pytest.mark.numeric
def test_noise_goes_through_the_extractor_of_the_model(heard, tmp_path):
    inputs, media = heard
    run = trained_run(inputs, tmp_path, media, modalities="audio", text_model=None)()
    facts, found = kept(run, tmp_path)
    names = ["clean", "audio-25", "audio-50", "audio-75", "audio-100", "noise-20", "noise-10", "noise-0"]
    assert list(found.predictions) == names and facts["noise"] == "white" and facts["rows_without_sound"] == 0
    rows = run.corpus.split("test").with_format(None)
    reader = MediaReader(media)
    made = list(noisy_features(rows, reader, run.processor.extractor("audio"), (20, 10, 0)))
    for place, name in enumerate(names[-3:]):
        frames = [one[place] for one in made]
        dataset = run.rows.with_features("audio", frames)
        batch = UtteranceCollator(dataset)(dataset.__getitems__(list(range(len(dataset)))))
        with torch.no_grad():
            expected = run.model.config.probabilities(run.model(**batch).logits).numpy()
        assert found.predictions[name].scores == pytest.approx(expected, abs=1e-5)
    quiet = [row for row, one in enumerate(rows["audio"]) if one is None]
    assert quiet == [3]
    scores = {name: one.scores for name, one in found.predictions.items()}
    assert scores["noise-0"][quiet] == pytest.approx(scores["clean"][quiet], abs=1e-6)
    assert np.abs(scores["noise-0"] - scores["clean"]).max() > 1e-4


def test_why_there_is_no_noise(heard, inputs, tmp_path):
    folder, media = heard
    load = trained_run(folder, tmp_path, media, modalities="audio", text_model=None, max_steps=1)
    run = load()
    run.media_root = None
    assert make_robustness(run, tmp_path)["noise_reason"].startswith("The sound files were not found: ")
    # Features that something else made, or made otherwise.
    run = load()
    run.processor.extractors["audio"] = {**run.processor.extractors["audio"], "normalization": "utterance"}
    reason = make_robustness(run, tmp_path)["noise_reason"]
    assert "are not those that the model's extractor makes of its sound file" in reason
    silent = trained_run(inputs, tmp_path / "silent", modalities="vision", text_model=None, max_steps=1)()
    assert make_robustness(silent, tmp_path)["noise_reason"] == "The model does not read audio."
