# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""M3ED from the data files that the authors of UniVA published."""

from typing import Any

from ..data.schema import CorpusError
from ..data.tables import read_json
from ..models.configuration_univa import M3ED_EMOTIONS
from .released_files import Annotation, ReleasedCorpus


class M3ed(ReleasedCorpus):
    """Build M3ED from the released files. The text is the Chinese one; its VA was scored on a translation."""

    PRETTY_NAME = "M3ED (features released with UniVA)"
    LANGUAGE = "zh"
    PROVENANCE = "Made of the data files that the authors of UniVA published; nothing was extracted or scored again."
    DATASET = "M3ED"
    LABEL_NAMES = M3ED_EMOTIONS
    ANNOTATION_FILE = "preprocess_data/utt_annot.json"
    TEXT_VA_LENGTH = 4
    EXTRACTORS = {
        "text": ("GloVe", 300),
        "audio": ("jonatasgrosmann/wav2vec2-large-xlsr-53-chinese-zh-cn", 1024),
        "vision": ("InceptionResnetV1 (casia-webface)", 512),
    }

    def read_annotations(self) -> dict[str, list[Annotation]]:
        """Utterances of utt_annot.json by split, in its order."""
        path = self.root / self.ANNOTATION_FILE
        found = read_json(path)
        for split, utterances in found.items():
            if not isinstance(utterances, dict):
                raise CorpusError(f"{path}: expected an object of utterances for {split!r}, found {utterances!r}")
        return {
            split: [_annotation(name, entry, f"{path}: utterance {name!r}") for name, entry in utterances.items()]
            for split, utterances in found.items()
        }


def _annotation(utterance_id: str, entry: Any, where: str) -> Annotation:
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("text", "Emotion")):
        raise CorpusError(f"{where}: expected an object with the strings 'text' and 'Emotion', found {entry!r}")
    dialogue_id, underscore, _ = utterance_id.rpartition("_")
    if not underscore:
        raise CorpusError(f"{where}: expected an id like dialogue_number, to tell its dialogue")
    named = [name.strip().lower() for name in entry["Emotion"].split(",") if name.strip()]
    unknown = [name for name in named if name not in M3ED_EMOTIONS]
    if unknown:
        raise CorpusError(f"{where}: unknown emotion {unknown[0]!r}; M3ED has {', '.join(M3ED_EMOTIONS)}")
    return Annotation(utterance_id, dialogue_id, entry["text"], named)


BUILDER = M3ed
