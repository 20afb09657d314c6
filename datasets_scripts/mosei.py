# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Build MOSEI from the data files that the authors of UniVA published.

python datasets_scripts/mosei.py --source DIR --output DIR [--text-features glove] [--labels annotations]
"""

import math
import sys

from modeling_univa.configuration_univa import MOSEI_EMOTIONS
from modeling_univa.data.corpus_command import corpus_main
from modeling_univa.data.released_files import Annotation, ReleasedCorpus
from modeling_univa.data.schema import CorpusError
from modeling_univa.data.tables import csv_rows


class Mosei(ReleasedCorpus):
    """Build MOSEI from the released files. An emotion is active where its annotated intensity is not 0."""

    PRETTY_NAME = "MOSEI (features released with UniVA)"
    LANGUAGE = "en"
    PROVENANCE = "Made of the data files that the authors of UniVA published; nothing was extracted or scored anew."
    DATASET = "MOSEI"
    LABEL_NAMES = MOSEI_EMOTIONS
    ANNOTATION_FILE = "final_multi_labels.csv"
    TEXT_VA_LENGTH = 3
    EXTRACTORS = {
        "text": ("GloVe", 300),
        "audio": ("jonatasgrosmann/wav2vec2-large-xlsr-53-english", 1024),
        "vision": ("InceptionResnetV1 (casia-webface)", 512),
    }

    def read_annotations(self) -> dict[str, list[Annotation]]:
        """Rows of final_multi_labels.csv by split (column `mode`), in its order."""
        found: dict[str, list[Annotation]] = {}
        columns = ("video_id", "clip_id", "text", *MOSEI_EMOTIONS, "mode", "truely_sort")
        for where, cells in csv_rows(self.root / self.ANNOTATION_FILE, columns):
            found.setdefault(cells["mode"], []).append(_annotation(cells, where))
        return found


def _annotation(cells: dict[str, str], where: str) -> Annotation:
    try:
        intensities = {name: float(cells[name]) for name in MOSEI_EMOTIONS}
        order = int(cells["truely_sort"])
    except ValueError as error:
        raise CorpusError(f"{where}: expected intensities and truely_sort as numbers ({error}); correct it") from None
    # NaN is not 0, and would make a label out of an absent annotation.
    odd = [name for name, value in intensities.items() if not 0 <= value < math.inf]
    return Annotation(
        utterance_id=f"{cells['video_id']}_{cells['clip_id']}",
        dialogue_id=cells["video_id"],
        text=cells["text"],
        emotions=[name for name, value in intensities.items() if value != 0],
        order=order,
        problem=f"{where}: intensity {cells[odd[0]]} of {odd[0]}, expected 0 or more" if odd else None,
    )


if __name__ == "__main__":
    sys.exit(corpus_main(Mosei))
