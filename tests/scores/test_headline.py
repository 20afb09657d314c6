# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""One list of metrics, for all that shows or compares them."""

import evaluate
import pytest

from modeling_univa.scores.headline import METRICS
from modeling_univa.scores.metrics import metric_path
from modeling_univa.scores.results import results_table
from modeling_univa.training.training_arguments import UnivaTrainingArguments


@pytest.fixture(scope="module")
def scores() -> dict[str, float]:
    metric = evaluate.load(str(metric_path()), "multi_hot", keep_in_memory=True)
    return metric.compute(predictions=[[1, 0, 1], [0, 1, 0]], references=[[1, 0, 0], [0, 1, 0]])


def test_all_are_figures_of_the_metric(scores):
    assert set(METRICS) <= set(scores)


def test_table_has_a_column_of_each_that_was_computed(scores):
    results = {"test": {f"eval_{key}": value for key, value in scores.items()}}
    head, row = results_table(results).splitlines()
    assert all(metric.column in head for metric in METRICS.values())
    assert "0.1667" in row and "75.00" in row and len(head) == len(row)
    del results["test"]["eval_hamming_loss"]
    assert METRICS["hamming_loss"].column not in results_table(results)


@pytest.mark.parametrize("name", METRICS)
def test_checkpoint_is_chosen_by_what_is_better(name, tmp_path):
    args = UnivaTrainingArguments(str(tmp_path), metric_for_best_model=name, use_cpu=True)
    assert args.greater_is_better is METRICS[name].greater_is_better
