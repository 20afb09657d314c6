# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Training of scorers; what `univa train-affect` runs."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EvalPrediction,
    PreTrainedModel,
    Trainer,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging

from ..convert.packages import resolve_package
from ..data.corpus import VALIDATION_NAMES, find_validation_split
from ..data.schema import CorpusError
from ..models.checked_loading_univa import load_network, read_config
from ..models.files_univa import LOCK_FILE, exclusive, one_line, write_text
from ..models.modeling_affect_regressor import UnivaAffectRegressor, UnivaAffectRegressorConfig
from ..models.processing_univa import UnivaProcessor
from ..training.checkpoints import clear_scratch, last_complete_checkpoint
from ..training.training_arguments import refuse_slow_bfloat16
from .agreement import DIMENSIONS, affect_agreement
from .training_card import scorer_card
from .training_data import ClipCollator, Clips, RatedTexts, read_clips, read_rated_texts


__all__ = ["AffectTrainingOptions", "results_table", "train_affect"]

logger = logging.get_logger(__name__)

# What `AutoModelForSequenceClassification` puts on an encoder, which starts from new weights.
_HEADS = (r"(.*\.)?(pooler|pre_classifier|classifier|classification_head|head|score|sequence_summary|logits_proj)\.",)

RESULTS_FILE = "affect_results.json"
_OPTIONS_FILE = "options.json"


@dataclass
class AffectTrainingOptions:
    """
    Args:
        data: emobank.csv, or folder or Hub id of rated sentences (see `read_rated_texts`); for audio and vision folder
            or Hub id of a corpus.
        output: Folder to make.
        modality: "text", "audio" or "vision".
        model: For text, the encoder: folder, Hub id, or package://NAME/FOLDER; not used elsewhere.
        revision: Of the encoder on the Hub.
        epochs, batch_size, learning_rate: By default those of `DEFAULTS` for the modality.
        head_learning_rate: For text, of what is not the pretrained encoder.
        max_length: Longest sentence in tokens, or clip in frames.
        train_split, eval_split: `eval_split` chooses the best epoch (by default that called validation, valid, val or
            dev); all other splits are tested.
        bf16: Whether to train in bfloat16, on hardware that has it.
        seed: Of weights, dropout and batches.
    """

    data: str
    output: str
    modality: str = "text"
    model: str | None = None
    revision: str | None = None
    epochs: float | None = None
    batch_size: int = 32
    learning_rate: float | None = None
    head_learning_rate: float = 1e-3
    max_length: int | None = None
    train_split: str = "train"
    eval_split: str | None = None
    bf16: bool = False
    seed: int = 1111

    def __post_init__(self) -> None:
        if self.modality not in DEFAULTS:
            raise ValueError(f"there is no modality {self.modality!r}; choose {', '.join(DEFAULTS)}")
        if (self.modality == "text") != (self.model is not None):
            new = "starts from new weights: leave `model` out"
            needs = "needs `model`, an encoder" if self.modality == "text" else new
            raise ValueError(f"a scorer of {self.modality} {needs}")
        for name, value in DEFAULTS[self.modality].items():
            if getattr(self, name) is None:
                setattr(self, name, value)
        for name in ("epochs", "batch_size", "learning_rate", "head_learning_rate", "max_length"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be greater than 0, got {getattr(self, name)}")
        if self.bf16 and not torch.accelerator.is_available():
            refuse_slow_bfloat16("bf16")


# Chosen on the validation splits of EmoBank and of the emotion mosaic.
DEFAULTS: dict[str, dict[str, Any]] = {
    "text": {"epochs": 3, "learning_rate": 5e-5, "max_length": 128},
    "audio": {"epochs": 30, "learning_rate": 1e-3, "max_length": 512},
    "vision": {"epochs": 20, "learning_rate": 3e-4, "max_length": 128},
}
_CLIP_DROPOUT = 0.3


@dataclass
class _Task:
    """What a modality brings to the training: a model, its inputs, and what is to be said of them."""

    model: Any
    processing: Any
    datasets: dict[str, Any]
    collator: Callable[[Any], dict[str, torch.Tensor]]
    facts: dict[str, dict[str, int]]


def train_affect(options: AffectTrainingOptions) -> dict[str, Any]:
    """
    Train a scorer, keep the epoch of highest mean CCC on the validation split, test it and write it. (By Pearson r an
    early epoch may win whose scores are all but constant; distances between scores are what they are for.)

    The output appears when all is done. Until then its parts are in a hidden folder beside it, from which the same
    command goes on where it was stopped.

    Returns:
        `splits`, the measures of `affect_agreement` by split, with `seconds` and `options`; also in
        `affect_results.json`.

    Raises:
        ValueError: What does not fit, in one sentence.
    """
    output = Path(options.output)
    if output.is_file() or (output.is_dir() and any(output.iterdir())):
        _clear_finished(output)
        raise ValueError(f"output {output} already exists; choose another folder")
    with _held(_scratch_of(output)) as scratch:
        return _train_affect(options, scratch, output)


def _scratch_of(output: Path) -> Path:
    return output.parent / f".{output.name}.training"


@contextmanager
def _held(scratch: Path) -> Iterator[Path]:
    """The folder of a run, for one run at a time; one that has left nothing in it is removed."""
    if int(os.environ.get("RANK", 0)):
        yield scratch
        return
    with exclusive(scratch):
        try:
            yield scratch
        finally:
            if {path.name for path in scratch.glob("*")} <= {LOCK_FILE}:
                shutil.rmtree(scratch, ignore_errors=True)


def _clear_finished(output: Path) -> None:
    """Remove what a run that was killed after it had written its scorer left of its parts."""
    if (output / RESULTS_FILE).is_file() and _scratch_of(output).is_dir():
        with suppress(ValueError), exclusive(_scratch_of(output)):
            shutil.rmtree(_scratch_of(output))


def _train_affect(options: AffectTrainingOptions, scratch: Path, output: Path) -> dict[str, Any]:
    checkpoint = _check_same_run(scratch, options)
    started = time.perf_counter()
    set_seed(options.seed)
    task = _text_task(options) if options.modality == "text" else _clip_task(options)
    given, options = options, _with_splits(task, options)
    scratch.mkdir(parents=True, exist_ok=True)
    write_text(scratch / _OPTIONS_FILE, json.dumps(asdict(given), indent=2) + "\n")
    trainer = _trainer(task, options, scratch)
    trainer.train(resume_from_checkpoint=checkpoint)
    splits = {
        split: _measures(trainer, dataset) | task.facts[split]
        for split, dataset in task.datasets.items()
        if split != options.train_split
    }
    seconds = round(time.perf_counter() - started, 1)
    results = {"splits": splits, "seconds": seconds, "options": _public_options(options)}
    if trainer.is_world_process_zero():
        _write(task, results, scratch, output)
    return results


def _public_options(options: AffectTrainingOptions) -> dict[str, Any]:
    """The options, with folders of this machine, which are not the business of others, cut to their last part."""
    named = {name: value for name, value in asdict(options).items() if name != "output"}
    for name in ("data", "model"):
        if named[name] is not None and Path(named[name]).exists():
            named[name] = Path(named[name]).name
    return named


def _check_same_run(scratch: Path, options: AffectTrainingOptions) -> str | None:
    """The checkpoint to go on from, if there is one; refuses other options than it was made with."""
    checkpoint = last_complete_checkpoint(scratch)
    if checkpoint is None:
        # Parts of a run that was killed before its first checkpoint, perhaps one with other options.
        for path in scratch.glob("*"):
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK_FILE:
                path.unlink()
        return None
    clear_scratch(scratch)
    previous = json.loads((scratch / _OPTIONS_FILE).read_text())
    changed = [name for name, value in asdict(options).items() if previous.get(name) != value]
    if changed:
        raise ValueError(
            f"{scratch} is of a run that was stopped, with {changed[0]} = {previous.get(changed[0])!r}: pass that to "
            "resume, or remove the folder to start over"
        )
    logger.warning(f"Going on with the run in {scratch}.")
    return checkpoint


def _with_splits(task: _Task, options: AffectTrainingOptions) -> AffectTrainingOptions:
    """The options with the split that chooses the epoch, both splits checked to be there."""
    eval_split = options.eval_split or find_validation_split(task.datasets) or VALIDATION_NAMES[0]
    options = replace(options, eval_split=eval_split)
    for split in (options.train_split, options.eval_split):
        if split not in task.datasets:
            raise CorpusError(f"{options.data} has no split {split!r}; it has {', '.join(task.datasets)}")
    return options


def _text_task(options: AffectTrainingOptions) -> _Task:
    splits = read_rated_texts(options.data)
    name, hub = resolve_package(str(options.model)), {"revision": options.revision or "main"}
    try:
        config = read_config(
            name,
            id2label=dict(enumerate(DIMENSIONS)),
            label2id={label: index for index, label in enumerate(DIMENSIONS)},
            problem_type="regression",
            **hub,
        )
        model = load_network(AutoModelForSequenceClassification, name, config=config, new=_HEADS, **hub)
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False, **hub)
    except OSError as error:
        raise ValueError(f"{options.model} cannot be loaded: {one_line(error)}") from error
    length = min(options.max_length or 512, tokenizer.model_max_length)
    return _Task(
        model=model,
        processing=tokenizer,
        datasets={split: _tokenized(texts, tokenizer, length) for split, texts in splits.items()},
        collator=DataCollatorWithPadding(tokenizer),
        facts={split: {"num_rows_of_split": texts.num_rows} for split, texts in splits.items()},
    )


def _tokenized(texts: RatedTexts, tokenizer: Any, max_length: int) -> datasets.Dataset:
    inputs = dict(tokenizer(texts.texts, truncation=True, max_length=max_length))
    lengths = [len(ids) for ids in inputs["input_ids"]]
    return datasets.Dataset.from_dict({**inputs, "labels": texts.va, "length": lengths})


def _clip_task(options: AffectTrainingOptions) -> _Task:
    clips, extractor = read_clips(options.data, options.modality, options.train_split)
    size = clips[options.train_split].features.features[f"{options.modality}_features"].feature.length
    config = UnivaAffectRegressorConfig(
        modality=options.modality,
        feature_size=size,
        max_length=options.max_length or 512,
        projection_dropout=_CLIP_DROPOUT,
        hidden_dropout_prob=_CLIP_DROPOUT,
        classifier_dropout=_CLIP_DROPOUT,
    )
    processor = UnivaProcessor.from_config(config, None, {options.modality: extractor}, source=options.data)
    return _Task(
        model=UnivaAffectRegressor(config),
        processing=processor,
        datasets=dict(clips),
        collator=ClipCollator(processor),
        facts={split: _clip_facts(found) for split, found in clips.items()},
    )


def _clip_facts(clips: Clips) -> dict[str, int]:
    files = {file for own in clips.files for file in own}
    return {"num_rows_of_split": clips.num_rows, "num_files": len(files), "num_left_out": clips.num_left_out}


def _trainer(task: _Task, options: AffectTrainingOptions, scratch: Path) -> Trainer:
    is_text = options.modality == "text"
    arguments = TrainingArguments(
        output_dir=str(scratch),
        num_train_epochs=float(options.epochs or 1),
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=4 * options.batch_size,
        learning_rate=float(options.learning_rate or 0),
        warmup_steps=0.1,
        weight_decay=0.01,
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="mean_ccc",
        greater_is_better=True,
        train_sampling_strategy="group_by_length" if is_text else "random",
        # Clips choose their columns themselves.
        remove_unused_columns=is_text,
        dataloader_pin_memory=torch.cuda.is_available(),
        bf16=options.bf16,
        # Trainer wants to be told that bf16 is meant for the CPU.
        use_cpu=not torch.accelerator.is_available(),
        seed=options.seed,
        report_to="none",
    )
    return Trainer(
        task.model,
        arguments,
        train_dataset=task.datasets[options.train_split],
        eval_dataset=task.datasets[str(options.eval_split)],
        data_collator=task.collator,
        compute_metrics=_compute_metrics,
        optimizers=(_optimizer(task.model, options), None),
    )


def _optimizer(model: PreTrainedModel, options: AffectTrainingOptions) -> torch.optim.Optimizer:
    """AdamW, with a learning rate of its own for what is not the pretrained encoder."""
    pretrained = {id(value) for value in model.base_model.parameters()} if options.modality == "text" else set()
    rates = (options.learning_rate, options.head_learning_rate) if pretrained else (0.0, options.learning_rate)
    groups = [
        {"params": [value for value in model.parameters() if (id(value) in pretrained) == chosen], "lr": rate}
        for chosen, rate in zip((True, False), rates, strict=True)
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=0.01, fused=True)


def _measures(trainer: Trainer, dataset: Any) -> dict[str, Any]:
    predicted = trainer.predict(dataset)
    return affect_agreement(predicted.predictions, predicted.label_ids)


def _compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
    return affect_agreement(prediction.predictions, prediction.label_ids)


def _write(task: _Task, results: dict[str, Any], scratch: Path, output: Path) -> None:
    folder = scratch / "scorer"
    shutil.rmtree(folder, ignore_errors=True)
    task.model.save_pretrained(folder)
    task.processing.save_pretrained(folder)
    (folder / RESULTS_FILE).write_text(json.dumps(results, indent=2) + "\n")
    (folder / "README.md").write_text(scorer_card(results), encoding="utf-8")
    if output.is_dir():
        output.rmdir()
    folder.rename(output)
    shutil.rmtree(scratch)


def results_table(results: dict[str, Any]) -> str:
    """Agreement by split as aligned text, with the number of rows that it rests on."""
    lines = [f"{'split':<12}{'dimension':<11}{'Pearson r':>10}{'CCC':>8}{'MAE':>8}{'scored':>8}{'rows':>8}"]
    for split, measures in results["splits"].items():
        for name in DIMENSIONS:
            values = [measures[f"{name}_{measure}"] for measure in ("pearson_r", "ccc", "mae")]
            counts = (measures["num_rows"], measures["num_rows_of_split"])
            lines.append(
                f"{split:<12}{name:<11}{values[0]:>10.3f}{values[1]:>8.3f}{values[2]:>8.3f}{counts[0]:>8}{counts[1]:>8}"
            )
    return "\n".join(lines)
