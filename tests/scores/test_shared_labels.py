# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Scores of the labels that a model and a corpus share."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, hamming_loss, jaccard_score
from transformers import EvalPrediction

from modeling_univa.scores.metrics import MultilabelMetrics
from modeling_univa.scores.predictions import Predictions
from modeling_univa.scores.shared_labels import SharedLabels


def test_what_is_not_shared_takes_no_part():
    shared = SharedLabels(["c", "a"], np.array([2, 0]), np.array([True, False, True]), "note")
    values = np.arange(9).reshape(3, 3)
    np.testing.assert_array_equal(shared.of(values), [[2, 0], [8, 6]])
    assert shared.num_excluded == 1
    assert shared.threshold_of(0.3) == 0.3 and shared.threshold_of([0.1, 0.2, 0.3]) == [0.3, 0.1]
    assert shared.full_note == "note Excluded rows, all of whose labels are left out: 1."
    found = shared.scored(Predictions(list("xyz"), list("ddd"), values, values + 1, decision="softmax"))
    assert (found.utterance_ids, found.decision) == (["x", "z"], "softmax")
    np.testing.assert_array_equal(found.scores, [[2, 0], [8, 6]])
    np.testing.assert_array_equal(found.labels, [[3, 1], [9, 7]])


@pytest.mark.parametrize("threshold", [0.3, [0.2, 0.9, 0.9, 0.4]])
def test_metrics_are_those_of_scikit_learn_on_the_shared_part(threshold):
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(size=(40, 4)).astype(np.float32), generator.integers(0, 2, (40, 4))
    rows = generator.random(40) < 0.7
    config = SimpleNamespace(
        decision_threshold=threshold, label_names=list("abcd"), probabilities=lambda logits: torch.softmax(logits, -1)
    )
    metrics = MultilabelMetrics(config)
    with metrics.restricted_to(SharedLabels(["a", "d"], np.array([0, 3]), rows, "note")):
        found = metrics(EvalPrediction(logits, labels))
    # Probabilities are over all four labels, also of those that are not scored.
    predicted = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True) > np.array(threshold))[rows][:, [0, 3]]
    expected = labels[rows][:, [0, 3]]
    assert found["micro_f1"] == 100 * f1_score(expected, predicted, average="micro")
    assert np.isclose(found["hamming_loss"], hamming_loss(expected, predicted))
    jaccard = jaccard_score(expected, predicted, average="samples", zero_division=0)
    assert np.isclose(found["accuracy"], 100 * jaccard)
    assert (found["num_rows"], found["num_rows_excluded"]) == (rows.sum(), (~rows).sum())
    assert [name for name in found if name.startswith("f1_")] == ["f1_a", "f1_d"]
    each = {name: value for name, value in found.items() if name.startswith("threshold")}
    assert each == ({"threshold": 0.3} if threshold == 0.3 else {"threshold_a": 0.2, "threshold_d": 0.4})
    after = metrics(EvalPrediction(logits, labels))
    assert after["num_rows"] == 40 and "num_rows_excluded" not in after and "f1_b" in after
