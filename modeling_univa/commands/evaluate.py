# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa evaluate`: scores of a model on a data set, for its card and the Hub."""

import argparse
import json
from pathlib import Path

from transformers.utils import logging

from ..models.trusted_paths_univa import has_hub_form
from ..prediction.plot import check_plotting
from ..prediction.scores_plot import plot_scores
from ..scores.calibration import calibration_table
from ..scores.predictions import PREDICTIONS_FOLDER, write_predictions
from ..scores.results import Evaluation, results_table, results_title
from ..training.evaluation import OnValidation, evaluate_model, evaluate_predictions, record_evaluation


__all__ = ["run"]

logger = logging.get_logger(__name__)

# Arguments that a predictions file has no use for.
_OF_A_MODEL = ("dataset", "output", "revision", "dataset_revision", "dataset_id", "device", "label_map")


def run(options: argparse.Namespace) -> int:
    """`univa evaluate`."""
    if options.plot is not None:
        check_plotting(options.plot)
    evaluation = _evaluate(options)
    print(results_table({options.split: evaluation.scores}))
    if evaluation.label_note:
        print(evaluation.label_note)
    _tell_choices(evaluation, options)
    folder = _results_folder(evaluation, options)
    _write_files(evaluation, options, folder)
    if not Path(options.model).is_file():
        _record(evaluation, options, folder)
    return 0


def _evaluate(options: argparse.Namespace) -> Evaluation:
    choices = OnValidation(options.tune_threshold, options.calibrate, options.validation_split)
    if Path(options.model).is_file():
        _check_options_of_a_file(options)
        return evaluate_predictions(options.model, options.split, choices)
    if not Path(options.model).is_dir() and not has_hub_form(options.model):
        raise ValueError(f"{options.model} is neither a folder nor a model id such as ORG/NAME")
    if options.dataset is None:
        raise ValueError("A model is scored on a corpus: pass `dataset`, its folder or Hub id.")
    return evaluate_model(
        options.model,
        options.dataset,
        options.split,
        batch_size=options.batch_size,
        revision=options.revision,
        dataset_revision=options.dataset_revision,
        dataset_id=options.dataset_id,
        device=options.device,
        choices=choices,
        label_map=options.label_map,
    )


def _check_options_of_a_file(options: argparse.Namespace) -> None:
    useless = [name for name in _OF_A_MODEL if getattr(options, name) is not None]
    if useless:
        named = ", ".join(f"`{name}`" for name in useless)
        raise ValueError(f"{options.model} is a predictions file, which has no use for {named}: leave it out.")
    output = options.predictions
    if output is not None and output.exists() and output.samefile(options.model):
        raise ValueError(
            f"`predictions` {output} is the file that is read, and would keep the split {options.split} alone: choose "
            "another file."
        )


def _tell_choices(evaluation: Evaluation, options: argparse.Namespace) -> None:
    if evaluation.threshold_split is not None:
        setting = f'"decision_threshold": {json.dumps(evaluation.threshold)}'
        print(f"chosen on {evaluation.threshold_split}; to keep it, in the model's config.json: {setting}")
    if options.calibrate:
        found = evaluation.predictions[options.split]
        temperature = evaluation.temperature
        table = calibration_table(found.scores, found.labels, evaluation.label_names, found.decision, temperature)
        print(table)


def _write_files(evaluation: Evaluation, options: argparse.Namespace, folder: Path | None) -> None:
    names, threshold = evaluation.label_names, evaluation.threshold
    # A file for each data set and split, as results have: `predictions.parquet` of the folder is that of training.
    beside = folder and folder / PREDICTIONS_FOLDER / f"{evaluation.file_stem}.parquet"
    if (file := options.predictions or beside) is not None:
        write_predictions(file, evaluation.predictions, names, threshold)
        print(f"wrote {file}")
    if options.plot is not None:
        found, title = evaluation.predictions[options.split], results_title(evaluation)
        plot_scores(found, names, threshold, options.plot, temperature=evaluation.temperature, title=title)
        print(f"wrote {options.plot}")


def _results_folder(evaluation: Evaluation, options: argparse.Namespace) -> Path | None:
    """Where results go: `--output`, else the model's own folder, unless they are at another threshold than its own."""
    if options.output:
        return Path(options.output)
    is_own = Path(options.model).is_dir() and evaluation.threshold_split is None
    return Path(options.model) if is_own else None


def _record(evaluation: Evaluation, options: argparse.Namespace, folder: Path | None) -> None:
    if folder is None:
        is_own = evaluation.threshold_split is None
        reason = f"{options.model} is on the Hub" if is_own else "the model has another threshold than these scores"
        print(f"no results were written: {reason}, and there is no --output")
        return
    file = record_evaluation(folder, evaluation, options.model, options.revision)
    print(f"wrote {file} and {folder / 'README.md'}")
    if not evaluation.on_hub:
        logger.warning(
            f"{options.dataset} is a folder: the Hub connects results with a data set by its id alone, `--dataset-id "
            "ORG/NAME`."
        )
