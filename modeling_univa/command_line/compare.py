# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Options of `univa compare`: systems or recipes on one corpus, over seeds and folds."""

import argparse

from ..options import OptionParser
from ..shipped import named_file
from .benchmark_runs import add_run_options
from .places import check_corpus


__all__ = ["add_options", "check"]


def add_options(parser: OptionParser) -> None:
    """Add its options."""
    parser.add_argument("corpus", help="corpus folder, or its Hub id")
    parser.add_argument(
        "--systems",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME",
        help="rows: systems with settings for a small corpus, such as univa mult, and majority, all, prior, linear",
    )
    parser.add_argument(
        "--recipes",
        action="extend",
        nargs="+",
        default=[],
        metavar="FILE",
        help="rows, called as the files: recipes with all settings",
    )
    parser.add_argument("--recipe", help="settings for all rows, such as a recipe of `univa train`")
    parser.add_pairs(
        "--set",
        "keys of recipes for all rows that have them, such as num_train_epochs=5, or ROW.KEY=VALUE for one",
        dest="settings",
    )
    parser.add_argument(
        "--modalities",
        action="extend",
        nargs="+",
        choices=("text", "audio", "vision"),
        help="what systems read (default: what the corpus has)",
    )
    parser.add_argument(
        "--text-encoder", help="pretrained encoder of the text, kept as it is: folder, Hub id or package://NAME/FOLDER"
    )
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each row and fold (default %(default)s)")
    parser.add_argument(
        "--folds",
        dest="num_folds",
        metavar="N",
        help="number of folds of a cross-validation, or all to leave one out; by default the corpus' own splits",
    )
    parser.add_argument(
        "--fold-by", choices=("speaker", "dialogue"), help="what is in one fold alone (default speaker)"
    )
    parser.add_argument("--output", default="outputs/compare", help="where runs and tables lie (default %(default)s)")
    parser.add_argument("--draws", type=int, default=10_000, help="of the bootstrap (default %(default)s)")
    add_run_options(parser)


def check(options: argparse.Namespace) -> None:
    """Refuse a corpus or a recipe that does not exist, before the job is imported."""
    check_corpus(options.corpus)
    for recipe in options.recipes if options.recipe is None else (options.recipe, *options.recipes):
        named_file(recipe)
