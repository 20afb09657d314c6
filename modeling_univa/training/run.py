# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""From arguments to a trained, tested and saved model; what `univa train` runs."""

import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoTokenizer, PreTrainedModel, TrainerCallback, set_seed
from transformers.trainer_utils import IntervalStrategy
from transformers.utils import logging

from ..convert.packages import resolve_package
from ..corpora.build import build_from_options, corpus_class, corpus_parser, summary
from ..data.corpus import VALIDATION_NAMES, Corpus
from ..data.folds import fold_corpus
from ..data.label_map import read_label_map
from ..data.loading import check_extractors, load_corpus, make_split
from ..data.schema import CorpusError, odd_labels
from ..data.streaming import StreamedCorpus, StreamedUtterances
from ..data.utterances import UtteranceDataset
from ..models.configuration_emotion import FACE_EMOTIONS, MODALITIES, EmotionConfig
from ..models.files_univa import exclusive, one_line, write_text
from ..models.modeling_emotion import EmotionModel
from ..models.processing_univa import UnivaProcessor
from ..models.systems import system_named, system_of
from ..models.trusted_paths_univa import has_hub_form
from ..scores.predictions import PREDICTIONS_FILE, TEST_PREDICTIONS_FILE, Predictions, write_predictions
from ..scores.results import results_table
from ..scores.shared_labels import SharedLabels
from ..scores.thresholds import Threshold, threshold_for
from ..sharing.adapters import is_adapter
from ..sharing.card import HEAT_MAP
from ..sharing.embedding import embed_small_networks
from .adapters import add_adapter, check_base_for_push, check_lora_arguments, shares_base
from .arguments import DataArguments, ModelArguments
from .card_callback import ModelCardCallback
from .checkpoints import check_checkpoint, clear_scratch, last_complete_checkpoint
from .config_options import system_config
from .evaluation import predictions_of
from .examples import choose_examples, example_texts, examples_screen
from .frozen_text import check_text_states, freeze_lower_layers, freeze_text_encoder, frozen_encoder
from .same_run import RESULTS_FILE, check_same_run
from .sharded_weights import whole
from .trainer import UnivaTrainer
from .training_arguments import UnivaTrainingArguments


__all__ = ["build_model", "prepare_corpus", "resolve_package", "run_training"]

logger = logging.get_logger(__name__)

# Files of a run that people look at.
_LEFT = {"model card": "README.md", "picture": HEAT_MAP, "predictions": PREDICTIONS_FILE}


def run_training(
    model_args: ModelArguments,
    data_args: DataArguments,
    training_args: UnivaTrainingArguments,
    callbacks: Sequence[TrainerCallback] = (),
) -> dict[str, dict[str, Any]]:
    """
    Train, choose the best checkpoint on validation, score validation and test, save the model.

    A run that was stopped goes on from its last complete checkpoint in `training_args.output_dir`.

    Args:
        callbacks: of the trainer, beside its own.

    Returns:
        Metrics of the validation split, `eval_…`, and, if asked for, of the test split, `test_…`, as also written to
        `all_results.json`.

    Raises:
        CorpusError, ValueError: what does not fit, in one sentence.
    """
    check_world_size(training_args)
    check_lora_arguments(model_args)
    check_text_states(model_args, data_args, training_args)
    if training_args.push_to_hub:
        check_base_for_push(model_args)
    output = training_args.output_dir
    with exclusive(output, "output_dir") if training_args.should_save else nullcontext():
        if training_args.should_save:
            clear_scratch(output)
        return _run_training(model_args, data_args, training_args, callbacks)


def _run_training(
    model_args: ModelArguments,
    data_args: DataArguments,
    training_args: UnivaTrainingArguments,
    callbacks: Sequence[TrainerCallback],
) -> dict[str, dict[str, Any]]:
    checkpoint = training_args.resume_from_checkpoint or last_complete_checkpoint(training_args.output_dir)
    if checkpoint is not None:
        check_checkpoint(checkpoint)
    set_seed(training_args.seed)
    corpus = prepare_corpus(data_args, training_args)
    check_labels(corpus, model_args)
    test_corpus = prepare_test_corpus(data_args, corpus)
    check_same_run(checkpoint, model_args, data_args, training_args, corpus)
    eval_split, test_split = choose_splits(corpus, data_args, training_args, test_corpus)
    model, processor = build_model(model_args, corpus)
    if model_args.text_states:
        model.to(training_args.device)
    encoder = frozen_encoder(model, model_args)
    # Before training, so that what does not fit does not end it at the last moment.
    test = make_test_split(test_corpus, test_split, data_args, processor, model.config, encoder)
    if training_args.should_save:
        embed_small_networks(training_args.output_dir, processor)
    if model_args.lora_rank is not None:
        write_base = checkpoint is None and training_args.should_save
        model = add_adapter(model, model_args, training_args.output_dir, write_base, processor)
    trainer = build_trainer(model, processor, corpus, data_args, training_args, model_args, eval_split, test_corpus)
    for callback in callbacks:
        trainer.add_callback(callback)
    trainer.train(resume_from_checkpoint=checkpoint)
    results, predictions, shared = {}, {}, {}
    if eval_split:
        results[eval_split] = trainer.evaluate()
        predictions[eval_split] = predictions_of(trainer, trainer.eval_dataset)
    if test is not None:
        name = tested_name(corpus, test_corpus, str(test_split))
        results[name] = trainer.evaluate(test, metric_key_prefix="test")
        predictions[name] = predictions_of(trainer, test)
        shared = {} if test.shared_labels is None else {name: test.shared_labels}
    rows = {eval_split: corpus.split(eval_split)} if eval_split else {}
    if test is not None:
        rows[tested_name(corpus, test_corpus, str(test_split))] = test_corpus.split(str(test_split))
    finish(trainer, results, predictions, shared, rows)
    return results


def finish(
    trainer: UnivaTrainer,
    results: dict[str, dict[str, Any]],
    predictions: dict[str, Predictions],
    shared: Mapping[str, SharedLabels],
    rows: Mapping[str, datasets.Dataset],
) -> None:
    """
    Save the model, its metrics and its predictions, tell them with a few clips of the last split, and push them where
    that is wanted.

    Args:
        shared: what is scored of those splits that have other labels than the model; they get a file of their own.
        rows: of the splits, as the corpus has them.

    Raises:
        ValueError: training has diverged.
    """
    broken = [name for name, value in trainer.model.named_parameters() if not whole(value.isfinite().all())]
    if broken:
        raise ValueError(
            f"Training has diverged: {len(broken)} weights, {broken[0]} among them, are not finite. Use a lower "
            "`learning_rate`, in another `output_dir`."
        )
    trainer.save_model(_internal_call=True)
    trainer.save_state()
    if trainer.is_world_process_zero():
        output, config = Path(trainer.args.output_dir), trainer.model.config
        write_text(output / RESULTS_FILE, json.dumps(results, indent=2) + "\n")
        write_all_predictions(output, predictions, shared, config.label_names, config.decision_threshold)
        if results:
            print(results_table(results), _last_screen(trainer, predictions, shared, rows), sep="\n\n")
    if trainer.args.push_to_hub:
        trainer.push_to_hub()


def _last_screen(
    trainer: UnivaTrainer,
    predictions: Mapping[str, Predictions],
    shared: Mapping[str, SharedLabels],
    rows: Mapping[str, datasets.Dataset],
) -> str:
    """A few clips of the split that was scored last, and where everything lies."""
    split, found = list(predictions.items())[-1]
    config, folder = trainer.model.config, Path(trainer.args.output_dir)
    names, threshold = config.label_names, config.decision_threshold
    if split in shared:
        names, threshold = shared[split].names, shared[split].threshold_of(threshold)
    chosen = found.at(choose_examples(found, threshold))
    texts = example_texts(rows[split], chosen.utterance_ids)
    screen = examples_screen(chosen, texts, config, names, threshold, split, sys.stdout)
    files = {"model": folder, **{what: folder / name for what, name in _LEFT.items()}}
    places = [f"{what:<13}{place}" for what, place in files.items() if place.exists()]
    return "\n".join([screen, "", *places])


def write_all_predictions(
    folder: Path,
    predictions: Mapping[str, Predictions],
    shared: Mapping[str, SharedLabels],
    label_names: Sequence[str],
    threshold: Threshold,
) -> None:
    """
    Write the predictions of a run.

    Args:
        folder: of the files.
        predictions: by split.
        shared: what is scored of those splits that have other labels; they get a file of their own.
        label_names, threshold: of the model.
    """
    own = {name: found for name, found in predictions.items() if name not in shared}
    if own:
        write_predictions(folder / PREDICTIONS_FILE, own, label_names, threshold)
    for name, labels in shared.items():
        file, note = folder / TEST_PREDICTIONS_FILE, labels.full_note
        write_predictions(file, {name: predictions[name]}, labels.names, labels.threshold_of(threshold), note)


def tested_name(corpus: Corpus, test_corpus: Corpus, split: str) -> str:
    """The name of the split that is tested; splits of two corpora may have one name."""
    return split if test_corpus is corpus else f"{Path(test_corpus.name).name}/{split}"


def check_world_size(args: UnivaTrainingArguments) -> None:
    """Refuse to run as several independent processes when one run over all of them was meant."""
    launched = int(os.environ.get("WORLD_SIZE", 1))
    if launched != args.world_size:
        raise ValueError(
            f"{launched} processes were launched, but the training arguments see {args.world_size}. On CPU start them "
            "with `torchrun --nproc_per_node N -m modeling_univa.cli train … --use_cpu true`."
        )


def prepare_corpus(data_args: DataArguments, training_args: UnivaTrainingArguments) -> Corpus:
    """
    Load the corpus, or one fold of it, building it first where the recipe says how and it is not there yet.

    Raises:
        CorpusError, ValueError: there is none, or not what was asked for.
    """
    if data_args.dataset is None:
        raise ValueError("There is no corpus to train on: pass `dataset`, a folder or a Hub id.")
    if data_args.corpus_script and not Path(data_args.dataset).exists():
        _check_is_folder(data_args.dataset)
        with training_args.main_process_first(desc="building the corpus"):
            if not Path(data_args.dataset).exists():
                _build_corpus(data_args, data_args.corpus_script)
    if data_args.streaming and training_args.max_steps <= 0:
        raise ValueError("A stream has no end: pass `max_steps` with `streaming`.")
    corpus = load_corpus(data_args.dataset, data_args.dataset_revision, data_args.streaming)
    problems = [f"{label!r} {problem}" for label, problem in odd_labels(corpus.label_names).items()]
    if problems:
        more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
        logger.warning(
            f"{corpus.name} has odd labels: {problems[0]}{more}. Build the corpus again if that is not one label."
        )
    return corpus if data_args.fold_choice is None else fold_corpus(corpus, data_args.fold_choice)


def prepare_test_corpus(data_args: DataArguments, corpus: Corpus) -> Corpus:
    """
    The corpus to test on: another one if `test_dataset` names it, otherwise that which is trained on.

    Raises:
        CorpusError: there is no such corpus, or no such split of it.
    """
    if data_args.test_dataset is None:
        return corpus
    found = load_corpus(data_args.test_dataset, data_args.test_dataset_revision)
    if data_args.test_split not in found.splits:
        raise CorpusError(
            f"`test_dataset` {found.name} has no split {data_args.test_split!r} to test on; it has "
            f"{', '.join(found.splits)}: pass one of them as `test_split`"
        )
    return found


def make_test_split(
    corpus: Corpus,
    split: str | None,
    data_args: DataArguments,
    processor: UnivaProcessor,
    config: EmotionConfig,
    text_encoder: PreTrainedModel | None = None,
) -> UtteranceDataset | None:
    """
    The split to test on, of `corpus`, with labels as `label_map` says; `None` for no test.

    Raises:
        CorpusError, ValueError: labels or features that the model does not know.
    """
    if split is None:
        return None
    check_extractors(corpus, processor)
    label_map = None if data_args.label_map is None else read_label_map(data_args.label_map)
    return make_split(corpus, split, processor, config, text_encoder=text_encoder, label_map=label_map)


def _check_is_folder(dataset: str) -> None:
    """Refuse to build what may as well be on the Hub."""
    if has_hub_form(dataset):
        raise ValueError(
            f"`dataset` is {dataset!r}, which is a Hub id: write './{dataset}' for a folder that `corpus_script` "
            "builds, or leave `corpus_script` out to load the data set of the Hub."
        )


def choose_splits(
    corpus: Corpus,
    data_args: DataArguments,
    training_args: UnivaTrainingArguments,
    test_corpus: Corpus | None = None,
) -> tuple[str | None, str | None]:
    """
    Names of the splits to validate and to test on, as far as there are any; without validation the arguments are
    changed to keep the last checkpoint.

    Args:
        test_corpus: to test on, if that is another one than `corpus`.

    Raises:
        CorpusError, ValueError: a split that there is not, or one split for both.
    """
    test_corpus = test_corpus or corpus
    _check_splits(corpus, data_args.train_split, data_args.eval_split)
    _check_splits(test_corpus, data_args.test_split)
    eval_split = data_args.eval_split
    if eval_split is None:
        eval_split = corpus.validation_split or "none"
    test_split = data_args.test_split if data_args.test_split in test_corpus.splits else None
    if eval_split in (test_split if test_corpus is corpus else None, data_args.train_split):
        raise ValueError(
            f"`eval_split` is {eval_split!r}, which is the split to {'test' if eval_split == test_split else 'train'} "
            "on: the checkpoint and the threshold would be chosen on rows that must not decide about them. Choose "
            "another split, or `none` to keep the last checkpoint."
        )
    if test_split is None and data_args.test_split is not None:
        logger.warning(f"{corpus.name} has no split {data_args.test_split!r}: nothing is tested.")
    if eval_split == "none":
        _train_without_validation(corpus, data_args, training_args)
    if training_args.eval_strategy == "no" and (data_args.eval_split or eval_split != "none"):
        logger.warning(
            "Nothing is evaluated while training (`eval_strategy`, `eval_split`): the last checkpoint is kept."
        )
    return (None if eval_split == "none" else eval_split), test_split


def _check_splits(corpus: Corpus, *names: str | None) -> None:
    for name in names:
        if name not in (None, "none", DataArguments.test_split, *corpus.splits):
            raise CorpusError(f"{corpus.name} has no split {name!r}; it has {', '.join(corpus.splits)}")


def _train_without_validation(corpus: Corpus, data_args: DataArguments, training_args: UnivaTrainingArguments) -> None:
    if data_args.eval_split is None:
        logger.warning(
            f"{corpus.name} has no split called {', '.join(VALIDATION_NAMES[:-1])} or {VALIDATION_NAMES[-1]}: the "
            "last checkpoint is kept. Name another one with `eval_split`."
        )
    for name, value in (("save_strategy", "best"), ("lr_scheduler_type", "reduce_lr_on_plateau"),
                        ("lr_scheduler_type", "greedy")):  # fmt: skip
        if getattr(training_args, name) == value:
            raise ValueError(f"`{name}` = {value} needs a validation split: name one with `eval_split`.")
    training_args.eval_strategy = IntervalStrategy.NO
    training_args.do_eval = training_args.load_best_model_at_end = training_args.eval_on_start = False


def check_labels(corpus: Corpus, args: ModelArguments) -> None:
    """
    Check that the labels of a corpus are some that a model can learn to tell apart.

    Raises:
        CorpusError: there is one label alone, and the probabilities are one distribution over the labels.
    """
    names = corpus.label_names
    decision = args.config_overrides().get("decision", system_config(args.system).decision)
    if len(names) < 2 and decision == "softmax":
        raise CorpusError(
            f"{corpus.name} has one label alone, {', '.join(names)}: the scores of a row sum to 1, so that it would "
            "always be predicted; add a label for what is not, such as neutral"
        )


def _build_corpus(data_args: DataArguments, name: str) -> None:
    started = time.perf_counter()
    arguments = ["--output", str(data_args.dataset), *(data_args.corpus_options or [])]
    builder_class = corpus_class(name, arguments)
    if data_args.corpus_source:
        arguments += [builder_class.SOURCE_OPTION, data_args.corpus_source]
    try:
        options = corpus_parser(builder_class).parse_args(arguments)
        builder = build_from_options(builder_class, options)
    except (SystemExit, CorpusError) as error:
        reason = "see the message above" if isinstance(error, SystemExit) else str(error)
        raise CorpusError(f"`corpus_script` {name} could not build {data_args.dataset}: {reason}") from error
    print("\n".join(summary(builder, str(data_args.dataset), time.perf_counter() - started)))


def build_model(args: ModelArguments, corpus: Corpus) -> tuple[EmotionModel, UnivaProcessor]:
    """
    The model and the processor of a run: a trained one to go on from, or a new one that fits the corpus.

    Raises:
        ValueError: there is no such model or text encoder, arguments that contradict each other, or the corpus'
            features were made by another extractor than the trained model's.
    """
    try:
        return _build_model(args, corpus)
    except OSError as error:
        raise ValueError(f"{args.model or args.text_model} cannot be loaded: {one_line(error)}") from error
    except StrictDataclassError as error:
        raise ValueError(str(error).rsplit("Error: ", maxsplit=1)[-1]) from error


def _build_model(args: ModelArguments, corpus: Corpus) -> tuple[EmotionModel, UnivaProcessor]:
    attention = {"attn_implementation": args.attn_implementation} if args.attn_implementation else {}
    if args.model:
        hub = {"revision": args.model_revision or "main"}
        if is_adapter(args.model, args.model_revision):
            raise ValueError(
                f"{args.model} is an adapter: make a whole model of it first, `univa merge-adapter {args.model} "
                "--output FOLDER`."
            )
        system = system_of(args.model, **hub)
        if system.config_class.model_type != args.system:
            raise ValueError(f"{args.model} is of the system {system.config_class.model_type}: pass it as `system`.")
        config: Any = system.config_class.from_pretrained(args.model, **hub, **args.config_overrides())
        has_labels = sorted(corpus.label_names) == sorted(config.label_names)
        if has_labels:
            _set_label_affect(config, args)
        model = system.from_pretrained(args.model, config=config, **hub, **attention)
        if not has_labels:
            model = with_new_labels(model, args, corpus.label_names)
        processor = UnivaProcessor.from_pretrained(args.model, **hub)
        check_extractors(corpus, processor)
    else:
        model, tokenizer = _new_model(args, config_for_corpus(args, corpus), attention)
        made_by = corpus.extractors
        # Faces that were found in videos are part of how the vision features were made.
        kept = [*model.config.extracted_sizes, *(["faces"] if "vision" in model.config.feature_sizes else [])]
        extractors = {name: made_by[name] for name in kept if name in made_by}
        processor = UnivaProcessor.from_config(model.config, tokenizer, extractors, source=corpus.name)
    tell_unused(args, processor.tokenizer is not None)
    if args.text_states:
        freeze_text_encoder(model, args.frozen_text_layers)
    elif args.frozen_text_layers is not None and processor.tokenizer is not None:
        freeze_lower_layers(model.text_encoder, args.frozen_text_layers)
    return model, processor


def _set_label_affect(config: Any, args: ModelArguments) -> None:
    """
    Let a trained model have the valence and arousal of labels that the arguments say.

    Raises:
        ValueError: it was trained without, so that it has no weights of the prior.
    """
    settings = args.affect_overrides(config.label_names)
    if settings and config.label_affect is None:
        raise ValueError(
            f"{args.model} was trained without valence and arousal of its labels: leave `label_affect` and "
            "`label_lexicon` out, or train a new model."
        )
    for name, value in settings.items():
        setattr(config, name, value)


def tell_unused(args: ModelArguments, has_text_encoder: bool) -> None:
    """Name the arguments that were given and change nothing."""
    of_a_new_encoder = ("text_model", "text_model_revision", "text_attention_dropout")
    reasons = {name: f"the text encoder is that of {args.model}" for name in of_a_new_encoder if args.model}
    if not has_text_encoder:
        reasons |= dict.fromkeys((*of_a_new_encoder, "frozen_text_layers"), "the model has no pretrained text encoder")
    if args.model is None:
        reasons["model_revision"] = "there is no `model`"
    if "label_affect" not in {item.name for item in fields(system_config(args.system))}:
        no_prior = f"{args.system} has no prior of emotion similarity"
        reasons |= dict.fromkeys(("label_affect", "label_lexicon"), no_prior)
    for name, reason in reasons.items():
        if getattr(args, name) is not None:
            logger.warning(f"`{name}` has no effect: {reason}.")


def with_new_labels(model: EmotionModel, args: ModelArguments, label_names: list[str]) -> EmotionModel:
    """A model for other labels with the encoders of a trained one; what depends on the labels is new."""
    overrides = args.config_overrides()
    if model.config.decision == "softmax":
        overrides.setdefault("decision_threshold", threshold_for(len(label_names)))
    elif isinstance(model.config.decision_threshold, list):
        overrides.setdefault("decision_threshold", type(model.config).decision_threshold)
    labels = {"id2label": dict(enumerate(label_names)), "label2id": {name: i for i, name in enumerate(label_names)}}
    affect = args.affect_overrides(label_names)
    config = type(model.config).from_dict(model.config.to_dict(), **{**overrides, **affect, **labels})
    new = type(model)._from_config(config, attn_implementation=model.config._attn_implementation, dtype=model.dtype)
    head = re.compile("|".join(model.head_parameters))
    new.load_state_dict(
        {name: value for name, value in model.state_dict().items() if not head.match(name)}, strict=False
    )
    logger.warning(
        f"{args.model} has the labels {', '.join(model.config.label_names)}, and the corpus has "
        f"{', '.join(label_names)}: its encoders are kept, and the classifier and the label similarity start from "
        "new weights."
    )
    return new


def _new_model(args: ModelArguments, config: EmotionConfig, attention: dict[str, str]) -> tuple[EmotionModel, Any]:
    system = system_named(config.model_type)
    if args.text_model is None or "text" not in config.modalities:
        return system._from_config(config, **attention), None
    name, hub = resolve_package(args.text_model), {"revision": args.text_model_revision or "main"}
    dropout = args.text_attention_dropout
    overrides = None if dropout is None else {"attention_probs_dropout_prob": dropout}
    model = system.from_text_encoder(config, name, text_config_overrides=overrides, **hub, **attention)
    return model, AutoTokenizer.from_pretrained(name, trust_remote_code=False, **hub)


def config_for_corpus(args: ModelArguments, corpus: Corpus) -> EmotionConfig:
    """Configuration of a new model: the labels and feature sizes of the corpus, and what the arguments say."""
    overrides = args.config_overrides()
    sizes = {modality: corpus.feature_size(modality) for modality in ("text", "audio", "vision")}
    sizes = {f"{modality}_feature_size": size for modality, size in sizes.items() if size is not None}
    config_class: Any = system_config(args.system)
    if _reads_expressions(config_class) and "vision" in overrides.get("modalities", MODALITIES):
        sizes["face_emotion_size"] = corpus.feature_size(FACE_EMOTIONS) or 0
    affect = args.affect_overrides(corpus.label_names)
    remark = None if affect else config_class.remark_on(corpus.label_names)
    if remark is not None:
        logger.warning(remark)
    settings = {**(affect or config_class.settings_for(corpus.label_names)), **sizes, **overrides}
    if settings.get("decision", config_class.decision) == "softmax":
        settings.setdefault("decision_threshold", threshold_for(len(corpus.label_names)))
    return config_class(id2label=dict(enumerate(corpus.label_names)), **settings)


def _reads_expressions(config_class: type[EmotionConfig]) -> bool:
    return "face_emotion_size" in {item.name for item in fields(config_class)}


def make_training_split(
    corpus: Corpus,
    data_args: DataArguments,
    processor: UnivaProcessor,
    config: EmotionConfig,
    va_scaling: str,
    text_encoder: PreTrainedModel | None = None,
) -> UtteranceDataset | StreamedUtterances:
    """
    The split to train on, with VA, and with the states of a frozen `text_encoder` if there is one.

    Raises:
        CorpusError: The loss of the model needs VA, and no row has any.
    """
    if not isinstance(corpus, StreamedCorpus):
        split = make_split(corpus, data_args.train_split, processor, config, va_scaling, text_encoder)
        if config.uses_va and all(np.isnan(va).any(axis=1).all() for va in split.va.values()):
            raise CorpusError(
                f"{split.name}: no row has valence and arousal, which the loss of {config.title} needs; score them "
                "with `univa score-affect`, or train without: `contrastive_loss` none, or another `system`"
            )
        absent = [name for name, count in zip(config.label_names, split.labels.sum(axis=0), strict=True) if not count]
        if absent:
            logger.warning(f"No row of {split.name} has {', '.join(absent)}: the model cannot learn to predict that.")
        return split
    name = f"{corpus.name} ({data_args.train_split})"
    stream = corpus.stream(data_args.train_split)
    return StreamedUtterances(stream, processor, config.label_names, va_scaling, data_args.streaming_window, name)


def build_trainer(
    model: EmotionModel,
    processor: UnivaProcessor,
    corpus: Corpus,
    data_args: DataArguments,
    training_args: UnivaTrainingArguments,
    model_args: ModelArguments | None = None,
    eval_split: str | None = "validation",
    test_corpus: Corpus | None = None,
) -> UnivaTrainer:
    """
    The trainer of a run; `model_args` are for the model card and say whether the threshold is chosen, and
    `test_corpus`, if that is another one, is for the card.
    """
    config, args = model.config, model_args or ModelArguments()
    choice = None if eval_split is None or shares_base(config, args) else args.threshold_choice
    encoder = frozen_encoder(model, args)
    return UnivaTrainer(
        model,
        training_args,
        train_dataset=make_training_split(corpus, data_args, processor, config, training_args.va_scaling, encoder),
        eval_dataset=make_split(corpus, eval_split, processor, config, text_encoder=encoder) if eval_split else None,
        processing_class=processor,
        choose_threshold=choice or False,
        callbacks=[ModelCardCallback(processor, corpus, model_args, eval_split if choice else None, test_corpus)],
    )
