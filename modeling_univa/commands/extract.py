# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""`univa extract`: features of a whole corpus from its raw media."""

import argparse

from ..data.loading import load_corpus
from ..features.arguments import extractor_from_argument, face_reader_from_argument
from ..features.extraction import ExtractionJob, ExtractionOptions
from ..features.shards import own_device
from ..models.configuration_emotion import MODALITIES
from ..options import OptionParser
from .jobs import add_job_options, run_command


__all__ = ["add_options", "run"]


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    add_job_options(parser)
    parser.add_argument("--audio-extractor", metavar="NAME", help="log-mel, JSON settings, or a speech encoder")
    parser.add_argument("--vision-extractor", metavar="NAME", help="hog, JSON settings, or a face embedding network")
    parser.add_argument("--text-extractor", metavar="FILE", help="file of word vectors in GloVe's format")
    parser.add_argument("--face-detector", metavar="DETECTOR", help="for videos: yunet, haar, …, or JSON settings")
    parser.rename_option("--faces", "--face-detector")
    parser.add_argument("--dtype", choices=("auto", "float32", "float16", "bfloat16"), help="precision of networks")


def run(options: argparse.Namespace) -> int:
    """`univa extract`."""
    corpus = load_corpus(options.corpus)
    given = {modality: getattr(options, f"{modality}_extractor") for modality in MODALITIES}
    extractors = {
        modality: extractor_from_argument(modality, argument, own_device(options.device), options.dtype)
        for modality, argument in given.items()
        if argument
    }
    faces = face_reader_from_argument(options.face_detector) if options.face_detector else None
    settings = ExtractionOptions(
        options.media_root, faces, options.batch_size, options.workers, options.outside_media_root
    )
    return run_command(lambda: ExtractionJob(corpus, extractors, settings), options)
