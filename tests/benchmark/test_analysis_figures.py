# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Figures of analyses: what they refuse, and embeddings that t-SNE does not survive."""

from dataclasses import replace

import numpy as np
import pytest

from modeling_univa.benchmark.analysis_figures import draw_embeddings, draw_similarity, projected
from modeling_univa.benchmark.embeddings import Embeddings
from modeling_univa.benchmark.similarity import Similarity


def test_matrices_are_drawn_before_and_after_training():
    fixed = Similarity(["a", "b"], np.eye(2), np.eye(2), False)
    trained = Similarity(["a", "b"], np.eye(2), np.array([[0.5, -0.25], [-0.25, 1.0]]), True)
    figure = draw_similarity({"full": trained, "fixed": fixed})
    texts = [[text.get_text() for text in panel.texts] for panel in figure.axes]
    assert texts == [
        ["1.00", "0.00", "0.00", "1.00"],
        ["0.50", "−0.25", "−0.25", "1.00"],
        ["1.00", "0.00", "0.00", "1.00"],
        [],
    ]
    assert len(draw_similarity({"fixed": fixed}).axes) == 1


def test_points_of_a_seed_stay_where_they_are():
    values = np.random.default_rng(0).normal(size=(12, 4))
    first = projected(values)
    assert first.shape == (12, 2) and np.array_equal(first, projected(values))
    repeated = projected(np.repeat(values[:2], 6, axis=0))
    assert np.isfinite(repeated).all() and np.ptp(repeated, axis=0).any()


def test_what_cannot_be_drawn_is_refused():
    found = Embeddings(["a"], ["x", "y"], np.zeros((1, 2), np.int8), {"text": np.zeros((1, 4), np.float32)}, {})
    with pytest.raises(ValueError, match="`colours` must be emotion or quadrant, got 'speaker'"):
        draw_embeddings({"full": found}, "speaker")
    with pytest.raises(ValueError, match="t-SNE needs four rows at least, and 'full' has 1"):
        draw_embeddings({"full": found})
    # Sizes that differ have no plane of their own; the modalities are drawn all the same.
    # So are embeddings that are all the same, which scikit-learn does not survive.
    embeds = {"text": np.random.default_rng(0).normal(size=(6, 4)), "audio": np.ones((6, 3))}
    many = replace(found, utterance_ids=list("abcdef"), labels=np.eye(6, 2, dtype=np.int8), embeds=embeds)
    figure = draw_embeddings({"full": many})
    assert [panel.get_title() for panel in figure.axes] == ["all modalities", "text", "audio"]
