# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Options of `univa train-affect`: train a scorer of valence and arousal."""

import argparse

from ..options import OptionParser
from .places import check_corpus, check_texts


__all__ = ["add_options", "check"]


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    parser.add_argument(
        "--dataset", dest="data", required=True, help="emobank.csv, folder or Hub id; for audio and vision a corpus"
    )
    parser.add_argument("--output", required=True, help="folder to make")
    parser.add_argument("--modality", choices=("text", "audio", "vision"), default="text", help="default text")
    parser.add_argument(
        "--text-model", dest="model", help="for text: encoder, folder or Hub id or package://NAME/FOLDER"
    )
    parser.add_argument(
        "--text-model-revision", dest="revision", help="branch, tag or commit of --text-model on the Hub"
    )
    for earlier, name in (
        ("--data", "--dataset"),
        ("--model", "--text-model"),
        ("--revision", "--text-model-revision"),
    ):
        parser.rename_option(earlier, name)
    parser.add_argument("--epochs", type=float, help="default 3 for text, 30 for audio, 20 for vision")
    parser.add_argument("--batch-size", type=int, default=32, help="sentences or clips of a batch (default 32)")
    parser.add_argument("--learning-rate", type=float, help="default 5e-5 for text, 1e-3 audio, 3e-4 vision")
    parser.add_argument("--head-learning-rate", type=float, default=1e-3, help="for text: of the head (default 1e-3)")
    parser.add_argument("--max-length", type=int, help="longest sentence in tokens, or clip in frames")
    parser.add_argument("--train-split", default="train", help="default train")
    parser.add_argument("--eval-split", help="chooses the epoch (default validation, valid, val or dev)")
    parser.add_argument("--bf16", action="store_true", help="train in bfloat16, where the hardware has it")
    parser.add_argument("--seed", type=int, default=1111, help="default 1111")


def check(options: argparse.Namespace) -> None:
    """Refuse sentences or a corpus that do not exist, before the job is imported."""
    check = check_texts if options.modality == "text" else check_corpus
    check(options.data)
