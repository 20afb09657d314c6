# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from modeling_univa.affect.label_table import LabelAffectScorer, label_affect
from modeling_univa.models.configuration_univa import MOSEI_EMOTIONS, UnivaConfig


def test_words_of_the_table():
    scores = LabelAffectScorer().score(["happy", "Sad ", None, "", "neutral"])
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores[[0, 1, 4]], [[1, 0.47], [-0.55, -0.334], [0, 0]], atol=1e-6)
    assert np.isnan(scores[2:4]).all()
    assert LabelAffectScorer().score([]).shape == (0, 2)


@pytest.mark.parametrize(
    "text", ["Awe,0.8,0.6\nhappy,0.9,0.7\n", "Word\tValence\tArousal\nawe\t0.8\t0.6\nhappy\t0.9\t0.7\n\n"]
)
def test_lexicon_comes_on_top(tmp_path, text):
    (tmp_path / "lexicon").write_text(text)
    scores = LabelAffectScorer(tmp_path / "lexicon").score(["AWE", "happy", "fear"])
    np.testing.assert_allclose(scores, [[0.6, 0.2], [0.8, 0.4], [2 * 0.073 - 1, 2 * 0.84 - 1]], atol=1e-6)


def test_unknown_words_are_named_and_what_to_pass():
    with pytest.raises(
        ValueError, match="'awe', 'Hope' have no valence and arousal in the built-in table; pass a lex"
    ):
        LabelAffectScorer().score(["happy", "awe", "Joy", "Hope", "awe"])


def test_label_affect_is_what_the_configuration_takes(tmp_path):
    (tmp_path / "lexicon").write_text("awe,0.8,0.6\n")
    affect = label_affect(["awe", "sad"], tmp_path / "lexicon")
    assert affect == [[0.8, 0.6], [0.225, 0.333]]
    assert UnivaConfig(id2label={0: "awe", 1: "sad"}, label_affect=affect).label_affect == affect
    assert label_affect(MOSEI_EMOTIONS) == UnivaConfig().label_affect
