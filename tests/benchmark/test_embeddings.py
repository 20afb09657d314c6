# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Embeddings of a trained model, and the numbers made of them against loops."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from trained_runs import MDI, trained_run
from training_runs import write_training_inputs

from modeling_univa.benchmark.analysis_files import NotApplicableError, write_analysis
from modeling_univa.benchmark.embeddings import (
    Embeddings,
    embedding_numbers,
    linear_probe,
    make_embeddings,
    quadrants,
    read_embeddings,
    silhouettes,
    single_labels,
)
from modeling_univa.data.utterances import UtteranceCollator, known_va


def some(rows: int = 40, seed: int = 0, sizes: tuple[int, ...] = (6, 6, 6)) -> Embeddings:
    generator = np.random.default_rng(seed)
    labels = (generator.random((rows, 3)) < 0.4).astype(np.int8)
    names = ("text", "audio", "vision")
    shift = labels @ generator.normal(size=(3, max(sizes)))
    embeds = {
        name: shift[:, :size] + generator.normal(size=(rows, size)) for name, size in zip(names, sizes, strict=True)
    }
    va = {name: generator.uniform(-1, 1, (rows, 2)) for name in names}
    va["audio"][:5] = np.nan
    return Embeddings([f"u{row}" for row in range(rows)], ["a", "b", "c"], labels, embeds, va)


def silhouette_by_loops(values: np.ndarray, groups: np.ndarray) -> float:
    values, groups = values[groups >= 0], groups[groups >= 0]
    found = []
    for row, group in enumerate(groups):
        distances = {other: [] for other in set(groups.tolist())}
        for place, other in enumerate(groups):
            if place != row:
                distances[other].append(np.sqrt(((values[row] - values[place]) ** 2).sum()))
        own = distances.pop(group)
        nearest = min(np.mean(one) for one in distances.values())
        found.append((nearest - np.mean(own)) / max(nearest, np.mean(own)) if own else 0.0)
    return float(np.mean(found))


def test_silhouettes_are_those_of_loops():
    found = some()
    numbers = silhouettes(found)
    together, owner = np.concatenate(list(found.embeds.values())), np.repeat(range(3), 40)
    assert numbers["modality"] == pytest.approx(silhouette_by_loops(together, owner))
    for name, values in found.embeds.items():
        emotions = [int(row.argmax()) if row.sum() == 1 else -1 for row in found.labels]
        assert numbers["emotion"][name] == pytest.approx(silhouette_by_loops(values, np.array(emotions)))
        places = [-1 if np.isnan(v) else 2 * (v >= 0) + (a >= 0) for v, a in found.va[name]]
        assert numbers["quadrant"][name] == pytest.approx(silhouette_by_loops(values, np.array(places, int)))
    assert numbers["rows"] == 40


def test_what_has_fewer_than_two_groups_has_no_silhouette():
    found = some(sizes=(6, 6, 4))
    alone = Embeddings(found.utterance_ids, found.label_names, np.ones_like(found.labels), found.embeds, {})
    numbers = silhouettes(alone)
    # Sizes differ, all rows have several labels, and nothing is known of valence and arousal.
    assert numbers["modality"] is None and set(numbers["emotion"].values()) == {None} and numbers["quadrant"] == {}


def test_groups_of_rows():
    assert single_labels(np.array([[0, 1], [1, 1], [0, 0], [1, 0]])).tolist() == [1, -1, -1, 0]
    va = np.array([[-1, -1], [-1, 0.5], [0, -0.1], [1, 0], [np.nan, 1], [1, np.nan]])
    assert quadrants(va).tolist() == [0, 1, 2, 3, -1, -1]


def test_probe_is_a_logistic_regression_a_label():
    train, test = some(80, seed=1), some(30, seed=2)
    values, others = train.embeds["text"], test.embeds["text"]
    labels = np.column_stack([train.labels, np.zeros(80, np.int8), np.ones(80, np.int8)])
    truth = np.column_stack([test.labels, np.arange(30) % 2, np.arange(30) % 2])
    scores = []
    for label in range(5):
        if label < 3:
            mean, spread = values.mean(axis=0), values.std(axis=0)
            model = LogisticRegression(class_weight="balanced", max_iter=1000)
            model.fit((values - mean) / spread, labels[:, label])
            predicted = model.predict((others - mean) / spread)
        else:
            predicted = np.full(30, labels[0, label])
        hits = int((predicted * truth[:, label]).sum())
        scores.append(2 * hits / max(1, int(predicted.sum() + truth[:, label].sum())))
    assert linear_probe(values, others, labels, truth) == pytest.approx(100 * np.mean(scores))
    assert scores[3] == 0


def test_numbers_rest_on_all_modalities():
    train, test = some(80, seed=1), some(30, seed=2)
    numbers = embedding_numbers(test, train)
    assert list(numbers["probe"]) == ["text", "audio", "vision", "all"]
    parts = [np.concatenate(list(found.embeds.values()), axis=1) for found in (train, test)]
    assert numbers["probe"]["all"] == linear_probe(*parts, train.labels, test.labels)
    assert (numbers["rows"], numbers["train_rows"]) == (30, 80)


def test_sample_follows_from_names():
    found = some()
    part = found.sample(10)
    shuffled = found.part(np.random.default_rng(0).permutation(40)).sample(10)
    assert len(part.utterance_ids) == 10 and set(part.utterance_ids) == set(shuffled.utterance_ids)
    rows = [int(name[1:]) for name in part.utterance_ids]
    assert rows == sorted(rows) and np.array_equal(part.embeds["audio"], found.embeds["audio"][rows])
    assert found.sample(100).utterance_ids == found.utterance_ids


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_training_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.mark.numeric
@pytest.mark.parametrize("extra", [{}, MDI])
def test_embeddings_are_those_of_the_model(extra, inputs, tmp_path):
    run = trained_run(inputs, tmp_path, **extra)()
    facts = make_embeddings(run, tmp_path)
    write_analysis(tmp_path, "embeddings", "complete", facts)
    test, train = read_embeddings(tmp_path)
    # The whole split at once: one dialogue of five rows, and three of training.
    for split, found in (("test", test), ("train", train)):
        rows = run.rows_of(split)
        batch = UtteranceCollator(rows)(rows.__getitems__(list(range(len(rows)))))
        with torch.no_grad():
            output = run.model(**batch)
        assert found.utterance_ids == list(rows.utterance_ids) and np.array_equal(found.labels, rows.labels)
        for name in ("text", "audio", "vision"):
            # Kept in half precision.
            assert found.embeds[name] == pytest.approx(output[f"{name}_embeds"].numpy(), rel=2e-3, abs=2e-3)
    for name, va in known_va(run.corpus.split("test")).items():
        assert np.array_equal(test.va[name], va, equal_nan=True)
    assert train.va == {} and test.label_names == run.model.config.label_names
    assert facts["split"] == "test" and (facts["rows"], facts["train_rows"]) == (5, 12)
    assert make_embeddings(run, tmp_path) == facts


def test_system_without_embeddings_is_told(inputs, tmp_path):
    run = trained_run(inputs, tmp_path, system="tailor", max_steps=1)()
    with pytest.raises(NotApplicableError, match="TAILOR has no embedding of a modality alone"):
        make_embeddings(run, tmp_path)
    assert read_embeddings(tmp_path) is None
