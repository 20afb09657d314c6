# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What decides the result of a run, and whether a checkpoint belongs to the run that is to be resumed."""

import json
from pathlib import Path
from typing import Any

from transformers.utils import logging

from ..data.corpus import Corpus
from ..models.files_univa import sha256_of_files, write_text
from .arguments import DataArguments, ModelArguments
from .training_arguments import UnivaTrainingArguments


__all__ = [
    "ARGUMENTS_FILE",
    "RESULTS_FILE",
    "check_not_of_a_fold",
    "check_same_run",
    "code_digest",
    "decisive_arguments",
]

logger = logging.get_logger(__name__)

ARGUMENTS_FILE = "run_arguments.json"
RESULTS_FILE = "all_results.json"

# Training arguments that change the weights a run ends with.
_DECISIVE_ARGUMENTS = (
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "world_size",
    "num_train_epochs",
    "max_steps",
    "learning_rate",
    "heads_learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "adam_epsilon",
    "max_grad_norm",
    "seed",
    "data_seed",
    "batching",
    "va_scaling",
    "ema_decay",
    "logit_adjustment",
    "fp16",
    "bf16",
    "optim",
    "optim_args",
    "adam_beta1",
    "adam_beta2",
    "lr_scheduler_kwargs",
    "neftune_noise_alpha",
    "metric_for_best_model",
    "greater_is_better",
    "load_best_model_at_end",
    # Among which checkpoints the best one is chosen.
    "eval_strategy",
    "eval_steps",
    "eval_delay",
    "save_strategy",
    "save_steps",
)


def decisive_arguments(
    model_args: ModelArguments, data_args: DataArguments, training_args: UnivaTrainingArguments
) -> dict[str, Any]:
    """The arguments that decide the result of a run on a given corpus, by name, as JSON holds them."""
    arguments = {**vars(model_args), **vars(data_args)}
    arguments |= {name: getattr(training_args, name) for name in _DECISIVE_ARGUMENTS}
    return json.loads(json.dumps(arguments, default=str))


def check_same_run(
    checkpoint: str | None,
    model_args: ModelArguments,
    data_args: DataArguments,
    training_args: UnivaTrainingArguments,
    corpus: Corpus,
) -> None:
    """
    Remember what a run was started with, and refuse to resume from a checkpoint of a run with other arguments or
    another corpus.

    Raises:
        ValueError: names the first argument that differs.
    """
    rows = {split: len(found) for split, found in corpus.splits.items() if hasattr(found, "__len__")}
    arguments = decisive_arguments(model_args, data_args, training_args)
    arguments |= {"corpus_rows": rows, "corpus_labels": corpus.label_names, "corpus_extractors": corpus.extractors}
    arguments = json.loads(json.dumps(arguments, default=str))
    file = Path(training_args.output_dir, ARGUMENTS_FILE)
    if checkpoint is not None:
        logger.warning(f"Resuming from {checkpoint}; to start over choose another `output_dir`.")
        _compare(checkpoint, _previous(file), arguments)
    elif training_args.should_save:
        write_text(file, json.dumps({**arguments, "code": code_digest()}, indent=2) + "\n")


def _previous(file: Path) -> dict[str, Any]:
    """The arguments of a run, nothing where they were not noted."""
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ValueError(
            f"{file} is damaged, expected the arguments of the run as a JSON object: copy the folder again, or remove "
            "the file."
        )
    return content


def _compare(checkpoint: str, previous: dict[str, Any], arguments: dict[str, Any]) -> None:
    code = code_digest()
    if previous.get("code", code) != code:
        logger.warning(
            f"{checkpoint} was written by other code of this package: the result will be that of neither. Choose "
            "another `output_dir` to start over."
        )
    for name, value in arguments.items():
        if previous.get(name, value) != value:
            raise ValueError(
                f"{checkpoint} is of a run with {name} = {previous.get(name)!r}, and now it is {value!r}: choose "
                "another `output_dir` to start over, or use the earlier value to resume."
            )


def code_digest() -> str:
    """SHA-256 of the package's Python files: a run that resumes with other code is neither the old one nor the new."""
    package = Path(__file__).parents[1]
    return sha256_of_files(*sorted(package.rglob("*.py")))


def check_not_of_a_fold(model_name: str, dataset: str) -> None:
    """
    Refuse the splits of a corpus for a model that was trained on a fold of it, across these splits.

    Args:
        model_name, dataset: folder or Hub id of each; of a model from the Hub it is not known.

    Raises:
        ValueError: says where the scores of the fold are.
    """
    run = _previous(Path(model_name, ARGUMENTS_FILE))
    if run.get("num_folds") is not None and _place(str(run.get("dataset"))) == _place(dataset):
        raise ValueError(
            f"{model_name} was trained on rows of all splits of {dataset}, as fold {run.get('fold')} of `num_folds` "
            f"{run['num_folds']}: its scores on the fold that it has not seen are in {Path(model_name, RESULTS_FILE)}."
        )


def _place(name: str) -> str:
    return str(Path(name).resolve()) if Path(name).is_dir() else name
