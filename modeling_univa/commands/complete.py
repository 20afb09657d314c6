# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""`univa complete`: attach feature extractors to a model trained on precomputed features."""

import argparse

from ..data.schema import FACE_EMOTIONS
from ..features.arguments import extractor_from_argument, face_reader_from_argument
from ..options import OptionParser
from ..sharing.embedding import complete_model


__all__ = ["add_options", "run"]


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    parser.add_argument("model", help="model folder or Hub id")
    parser.add_argument("--revision", help="branch, tag or commit of a model on the Hub")
    parser.add_argument("--audio-extractor", metavar="NAME", help="speech encoder (folder or Hub id), or settings")
    parser.add_argument("--vision-extractor", metavar="NAME", help="face embedding network, or settings")
    parser.add_argument("--face-emotions", metavar="NAME", help="what tells expressions, for a model that reads them")
    parser.add_argument("--text-extractor", metavar="FILE", help="file of word vectors in GloVe's format")
    parser.add_argument(
        "--text-words", type=int, metavar="N", help="copy the N most frequent words (default: the file stays outside)"
    )
    parser.add_argument("--face-detector", metavar="DETECTOR", help="for videos: yunet, haar, …, or JSON settings")
    parser.rename_option("--faces", "--face-detector")
    parser.add_argument("--output", help="folder to write (default: the model's own)")


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
