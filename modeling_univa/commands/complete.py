# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa complete`: attach feature extractors to a model trained on precomputed features."""

import argparse

from ..data.schema import FACE_EMOTIONS
from ..features.arguments import extractor_from_argument, face_reader_from_argument
from ..sharing.embedding import complete_model


__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Run it; returns the exit status."""
    given = {name: getattr(options, f"{name}_extractor") for name in ("text", "audio", "vision")}
    given[FACE_EMOTIONS] = options.face_emotions
    extractors = {name: extractor_from_argument(name, argument) for name, argument in given.items() if argument}
    faces = face_reader_from_argument(options.face_detector).to_dict() if options.face_detector else None
    if not extractors and faces is None:
        raise ValueError("Nothing to complete: pass an extractor (`vision_extractor`, say) or `face_detector`.")
    folder = complete_model(
        options.model,
        extractors,
        faces=faces,
        output=options.output,
        revision=options.revision,
        most_frequent_words=options.text_words,
    )
    print(f"wrote {folder}")
    return 0
