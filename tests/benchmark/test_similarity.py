# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""M of a model before and after training."""

import numpy as np
import pytest
from trained_runs import MULT, trained_run
from training_runs import write_training_inputs

from modeling_univa.benchmark.analysis_files import NotApplicableError, write_analysis
from modeling_univa.benchmark.similarity import make_similarity, read_similarity


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_training_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.mark.parametrize("is_trainable", [True, False])
def test_similarity_of_labels_is_kept(is_trainable, inputs, tmp_path):
    run = trained_run(inputs, tmp_path, learn_label_similarity=is_trainable, learning_rate=0.01)()
    write_analysis(tmp_path, "similarity", "complete", make_similarity(run, tmp_path))
    found = read_similarity(tmp_path)
    names = found.label_names
    assert names == run.model.config.label_names and found.is_trainable is is_trainable
    # Check values of the paper's equation 8.
    for first, second, value in (("happy", "sad", -0.850), ("happy", "surprise", 0.884), ("disgust", "fear", 0.985)):
        assert found.initial[names.index(first), names.index(second)] == pytest.approx(value, abs=6e-4)
    kept = run.model.correlation_prior.label_similarity.detach().numpy()
    assert np.array_equal(found.trained, kept)
    assert (found.trained != found.initial).any() == is_trainable


@pytest.mark.parametrize("extra", [{"correlation_prior_weight": 0}, MULT])
def test_loss_without_similarity_is_told(extra, inputs, tmp_path):
    run = trained_run(inputs, tmp_path, max_steps=1, **extra)()
    with pytest.raises(NotApplicableError, match="does not use a similarity of labels"):
        make_similarity(run, tmp_path)
    assert read_similarity(tmp_path) is None
