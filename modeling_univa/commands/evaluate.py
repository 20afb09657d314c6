# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""`univa evaluate`: scores of a model on a data set, for its card and the Hub."""

import argparse
from pathlib import Path

from transformers.utils import logging

from ..models.trusted_paths_univa import has_hub_form
from ..options import OptionParser
from ..scores.results import (
    results_table,
)
from ..training.evaluation import evaluate_model, record_evaluation


__all__ = ["add_options", "run"]

logger = logging.get_logger(__name__)


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    parser.add_argument("model", help="model folder or Hub id")
    parser.add_argument("dataset", help="corpus folder or Hub id")
    parser.add_argument("--split", default="test", help="which rows (default test)")
    parser.add_argument("--batch-size", type=int, default=16, help="utterances of a batch (default 16)")
    parser.add_argument("--output", help="folder for the results and the card (default: the model's)")
    parser.add_argument("--revision", help="branch, tag or commit of a model on the Hub")
    parser.add_argument("--dataset-revision", help="branch, tag or commit of a data set on the Hub")
    parser.add_argument("--dataset-id", metavar="ORG/NAME", help="Hub id of a data set that is given as a folder")
    parser.add_argument("--device", choices=("cpu",), help="cpu: leave a GPU alone")


def run(options: argparse.Namespace) -> int:
    """`univa evaluate`."""
    is_folder = Path(options.model).is_dir()
    if not is_folder and not has_hub_form(options.model):
        raise ValueError(f"{options.model} is neither a folder nor a model id such as ORG/NAME")
    evaluation = evaluate_model(
        options.model,
        options.dataset,
        options.split,
        batch_size=options.batch_size,
        revision=options.revision,
        dataset_revision=options.dataset_revision,
        dataset_id=options.dataset_id,
        device=options.device,
    )
    print(results_table({options.split: evaluation.scores}))
    folder = options.output or (options.model if is_folder else None)
    if folder is None:
        print(f"nothing was written: {options.model} is on the Hub, and there is no --output")
        return 0
    file = record_evaluation(folder, evaluation, options.model, options.revision)
    print(f"wrote {file} and {Path(folder, 'README.md')}")
    if not evaluation.on_hub:
        logger.warning(
            f"{options.dataset} is a folder: the Hub connects results with a data set by its id alone, `--dataset-id "
            "ORG/NAME`."
        )
    return 0
