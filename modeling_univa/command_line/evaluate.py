# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Options of `univa evaluate`: scores of a model on a data set, for its card and the Hub."""

import argparse
from pathlib import Path

from ..options import OptionParser
from .places import check_corpus, check_model


__all__ = ["add_options", "check"]

_PREDICTIONS = ".parquet"


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    parser.add_argument("model", help="model folder or Hub id, or a predictions file (.parquet) of a run")
    parser.add_argument("dataset", nargs="?", help="corpus folder or Hub id; none for a predictions file")
    parser.add_argument("--split", default="test", help="which rows (default test)")
    parser.add_argument("--batch-size", type=int, default=16, help="utterances of a batch (default 16)")
    parser.add_argument("--output", help="folder for the results and the card (default: the model's)")
    parser.add_argument("--revision", help="branch, tag or commit of a model on the Hub")
    parser.add_argument("--dataset-revision", help="branch, tag or commit of a data set on the Hub")
    parser.add_argument("--dataset-id", metavar="ORG/NAME", help="Hub id of a data set that is given as a folder")
    parser.add_argument(
        "--label-map",
        help="score a data set with other labels on those in common: joy=happy,contempt= (or a JSON object)",
    )
    parser.add_argument("--device", choices=("cpu",), help="cpu: leave a GPU alone")
    chosen = parser.add_argument_group("chosen on validation")
    chosen.add_argument(
        "--tune-threshold",
        choices=("auto", "per-label"),
        help="score at another threshold than the model's: auto, one of highest micro-F1; per-label, one for each "
        "label, of its highest F1",
    )
    chosen.add_argument(
        "--calibrate",
        action="store_true",
        help="fit a temperature, and print the calibration error without and with it",
    )
    chosen.add_argument("--validation-split", help="split that chooses (default: validation, valid, val or dev)")
    parser.add_argument(
        "--predictions",
        type=Path,
        metavar="FILE",
        help="where scores, labels and decisions of every row go (default: predictions/DATASET-SPLIT.parquet beside "
        "the results)",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw confusion, co-occurrence, F1, reliability")


def check(options: argparse.Namespace) -> None:
    """Refuse a model or a corpus that does not exist, before the job is imported."""
    if options.model.endswith(_PREDICTIONS) and not Path(options.model).is_file():
        raise ValueError(f"{options.model} is not a file: pass the predictions of a run, or a model.")
    check_model(options.model)
    if options.dataset is not None:
        check_corpus(options.dataset)
