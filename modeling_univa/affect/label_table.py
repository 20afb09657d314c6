# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Valence and arousal of emotion words, looked up."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..data.lexicon import affect_of_word, affect_of_words, read_lexicon


__all__ = ["LabelAffectScorer", "label_affect"]


class LabelAffectScorer:
    """Scores emotion words by a table: NRC-VAD's values of the seven words of the paper, and a user's own lexicon.

    Args:
        lexicon: Path of a lexicon file (see `read_lexicon`), whose words come on top of the built-in ones.

    Raises:
        CorpusError: The lexicon cannot be read.
    """

    def __init__(self, lexicon: str | Path | None = None):
        self.lexicon = lexicon
        self.table = read_lexicon(lexicon)

    def score(self, words: Sequence[str | None], batch_size: int | None = None) -> np.ndarray:
        """(valence, arousal) in [-1, 1] of each word, float32 (N, 2); NaN for `None` and for an empty word.

        Args:
            words: In any case.
            batch_size: Has no effect; the other scorers have it.

        Raises:
            ValueError: The table does not have a word.
        """
        pairs = [affect_of_word(word, self.table) if word and word.strip() else (np.nan, np.nan) for word in words]
        unknown = [str(word) for word, pair in zip(words, pairs, strict=True) if pair is None]
        if unknown:
            raise ValueError(
                f"{', '.join(map(repr, dict.fromkeys(unknown)))} have no valence and arousal in "
                f"{self.lexicon or 'the built-in table'}; pass a lexicon file that has them"
            )
        return 2 * np.array(pairs, dtype=np.float32).reshape(-1, 2) - 1


def label_affect(label_names: Sequence[str], lexicon: str | Path | None = None) -> list[list[float]]:
    """(valence, arousal) on [0, 1] of each label, for `UnivaConfig.label_affect`.

    Raises:
        CorpusError: The lexicon cannot be read, or does not have a label.
    """
    return affect_of_words(label_names, lexicon=lexicon)
