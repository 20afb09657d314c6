# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Analyses of a run: one that fails or does not apply leaves the others alone."""

import pytest
from trained_runs import trained_run
from training_runs import training_options, write_training_inputs

from modeling_univa.benchmark.analyses import make_analyses
from modeling_univa.benchmark.analysis_files import ANALYSES, analysis_file, read_analysis
from modeling_univa.training.arguments import parse_arguments


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_training_inputs(tmp_path_factory.mktemp("inputs"))


def test_analyses_end_one_by_one(inputs, tmp_path, monkeypatch):
    trained_run(inputs, tmp_path, max_steps=1, correlation_prior_weight=0)
    arguments = parse_arguments(training_options(inputs, tmp_path / "model", correlation_prior_weight=0))
    # Something is in the way of one of them.
    analysis_file(tmp_path, "embeddings", ".npz").mkdir(parents=True)
    assert make_analyses(ANALYSES, tmp_path, tmp_path / "model", arguments) == ["embeddings"]
    found = {name: read_analysis(tmp_path, name) for name in ANALYSES}
    assert [found[name]["status"] for name in ANALYSES] == ["failed", "not applicable", "complete"]
    assert found["embeddings"]["reason"] and found["robustness"]["seconds"] > 0


def test_model_that_cannot_be_loaded_fails_all(inputs, tmp_path):
    arguments = parse_arguments(training_options(inputs, tmp_path / "nothing"))
    names = ["similarity", "robustness"]
    assert make_analyses(names, tmp_path, tmp_path / "nothing", arguments) == names
    assert {read_analysis(tmp_path, name)["status"] for name in names} == {"failed"}
    assert read_analysis(tmp_path, "embeddings") is None
