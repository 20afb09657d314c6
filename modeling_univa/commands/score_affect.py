# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""`univa score-affect`: valence and arousal of a whole corpus by pretrained scorers."""

import argparse

from ..data.loading import load_corpus
from ..features.arguments import face_reader_from_argument
from ..features.scoring import ScoringJob, ScoringOptions, describe_scorer
from ..features.shards import own_device
from ..models.affect_scorers_univa import load_scorer
from ..models.configuration_emotion import MODALITIES
from ..models.translation_univa import load_translator
from ..options import OptionParser
from .jobs import add_job_options, run_command, with_revision


__all__ = ["add_options", "run"]


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    add_job_options(parser)
    for modality in ("text", "audio", "vision"):
        parser.add_argument(
            f"--{modality}-scorer", metavar="MODEL", help=f"scorer of {modality}: folder, or ID[@REVISION]"
        )
        parser.rename_option(f"--{modality}", f"--{modality}-scorer")
    parser.add_argument("--splits", nargs="+", help="only these; VA is used in training alone (default: all)")
    parser.add_argument("--face-detector", metavar="DETECTOR", help="for videos: yunet, haar, …, or JSON settings")
    parser.rename_option("--faces", "--face-detector")
    parser.add_argument("--translate", metavar="MODEL", help="seq2seq model, or deepl, that translates text first")
    parser.add_argument("--source-language", help="language of the text, in the codes of --translate")
    parser.add_argument("--target-language", default="en", help="language of the scorer (default en)")


def run(options: argparse.Namespace) -> int:
    """`univa score-affect`."""
    corpus = load_corpus(options.corpus)
    scorers, about = {}, {}
    for modality in MODALITIES:
        if given := getattr(options, f"{modality}_scorer"):
            model, revision = with_revision(given)
            scorers[modality] = load_scorer(modality, model, revision, own_device(options.device))
            about[modality] = describe_scorer(scorers[modality], model)
    translator = None
    if options.translate:
        translator = load_translator(
            options.translate, options.source_language, options.target_language, device=own_device(options.device)
        )
    settings = ScoringOptions(
        splits=options.splits,
        translator=translator,
        media_root=options.media_root,
        face_reader=face_reader_from_argument(options.face_detector) if options.face_detector else None,
        batch_size=options.batch_size,
        workers=options.workers,
        outside_media_root=options.outside_media_root,
    )
    return run_command(lambda: ScoringJob(corpus, scorers, about, settings), options)
