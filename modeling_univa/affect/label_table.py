# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Valence and arousal of emotion words, looked up."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..data.lexicon import read_lexicon


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
        keys = [word.strip().lower() if word else "" for word in words]
        unknown = sorted({key for key in keys if key and key not in self.table})
        if unknown:
            raise ValueError(
                f"{unknown[0]!r} has no valence and arousal in {self.lexicon or 'the built-in table'}; pass a lexicon "
                "file that has it (word,valence,arousal on [0, 1])"
            )
        unit = np.array([self.table.get(key, (np.nan, np.nan)) for key in keys], dtype=np.float32)
        return 2 * unit.reshape(-1, 2) - 1


def label_affect(label_names: Sequence[str], lexicon: str | Path | None = None) -> list[list[float]]:
    """(valence, arousal) on [0, 1] of each label, for `UnivaConfig.label_affect`.

    Raises:
        CorpusError: The lexicon cannot be read.
        ValueError: It does not have a label.
    """
    scorer = LabelAffectScorer(lexicon)
    scorer.score(label_names)
    return [list(scorer.table[name.strip().lower()]) for name in label_names]
