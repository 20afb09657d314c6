# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A built corpus, from a folder or from the Hub."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets

from .schema import CorpusError, feature_column


__all__ = ["EXTRACTORS_FILE", "SCORERS_FILE", "VALIDATION_NAMES", "Corpus", "find_validation_split"]

EXTRACTORS_FILE = "feature_extractors.json"
SCORERS_FILE = "affect_scorers.json"
# Names of the split that chooses checkpoints and thresholds, the usual one first.
VALIDATION_NAMES = ("validation", "valid", "val", "dev")


@dataclass
class Corpus:
    """
    A corpus and what made its features.

    Args:
        name: folder or Hub id.
        splits: by name.
        extractors: for text, audio and vision the extractor's `to_dict()`, where the corpus has such features; so for
            `face_emotions`, and for `faces` how they were found in videos.
        affect_scorers: for text, audio and vision what scored its valence and arousal, where a scorer did.
        revision: branch, tag or commit on the Hub.
        fold: which fold of a cross-validation the splits are, if they are one; see [`fold_corpus`].
        fold_note: what the card says of it.
    """

    name: str
    splits: datasets.DatasetDict
    extractors: dict[str, dict[str, Any]] = field(default_factory=dict)
    affect_scorers: dict[str, dict[str, Any]] = field(default_factory=dict)
    revision: str | None = None
    fold: str | None = None
    fold_note: str | None = None

    @property
    def on_hub(self) -> bool:
        """Whether `name` is a Hub id."""
        return not Path(self.name).is_dir()

    @property
    def label_names(self) -> list[str]:
        """The emotions, in the order of the corpus."""
        return next(iter(self.splits.values())).features["emotions"].feature.names

    @property
    def validation_split(self) -> str | None:
        """Name of the split that chooses checkpoints and thresholds, `None` where there is none."""
        return find_validation_split(self.splits)

    def split(self, name: str) -> datasets.Dataset:
        """
        One split.

        Raises:
            CorpusError: there is no such split; the message lists those there are.
        """
        if name not in self.splits:
            raise CorpusError(f"{self.name} has no split {name!r}; it has {', '.join(self.splits)}")
        return self.splits[name]

    def feature_size(self, modality: str) -> int | None:
        """Width of the features of a modality, or of `face_emotions`; `None` where the corpus has none."""
        features, column = next(iter(self.splits.values())).features, feature_column(modality)
        return features[column].feature.length if column in features else None


def find_validation_split(splits: Collection[str]) -> str | None:
    """Which of some splits chooses checkpoints and thresholds, where no other is named."""
    return next((name for name in VALIDATION_NAMES if name in splits), None)
