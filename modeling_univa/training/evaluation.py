# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Scores of a saved model on a data set, written where the Hub looks for them."""

import tempfile
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi, ModelCard, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from transformers.utils import logging

from ..data.corpus import VALIDATION_NAMES, Corpus, find_validation_split
from ..data.label_map import read_label_map
from ..data.loading import check_extractors, load_corpus, make_split
from ..data.utterances import UtteranceDataset
from ..models.files_univa import write_text
from ..models.modeling_emotion import EmotionModel
from ..models.processing_univa import UnivaProcessor
from ..scores.calibration import fit_temperature
from ..scores.metrics import multilabel_metrics
from ..scores.predictions import Predictions, read_predictions
from ..scores.results import (
    Evaluation,
    merged,
    model_index_results,
    results_rule,
    results_section,
    results_title,
    with_section,
    without_prefix,
    write_eval_results,
)
from ..scores.thresholds import Threshold, choose_threshold
from ..sharing.adapters import is_adapter, load_model
from ..sharing.card import ModelFacts, write_model_card
from .card_callback import label_similarity
from .same_run import check_not_of_a_fold
from .trainer import UnivaTrainer
from .training_arguments import UnivaTrainingArguments


__all__ = ["OnValidation", "evaluate_model", "evaluate_predictions", "predictions_of", "record_evaluation"]

logger = logging.get_logger(__name__)


@dataclass(frozen=True)
class OnValidation:
    """
    What is chosen on validation rows before others are scored.

    Args:
        threshold: "auto" for one threshold of highest micro-F1, "per-label" for one of highest F1 for each label;
            `None` for that of the model.
        temperature: whether one is fitted.
        split: which rows; by default the split called validation, valid, val or dev.
    """

    threshold: str | None = None
    temperature: bool = False
    split: str | None = None

    def split_of(self, splits: Collection[str]) -> str | None:
        """
        The split that chooses, `None` where nothing is chosen.

        Raises:
            ValueError: there is no such split, or nothing for it to choose.
        """
        if self.threshold is None and not self.temperature:
            if self.split is not None:
                raise ValueError(
                    "Without `tune_threshold` and `calibrate` a `validation_split` chooses nothing: leave it out."
                )
            return None
        name = self.split or find_validation_split(splits)
        if name is None:
            raise ValueError(
                f"There is no split called {', '.join(VALIDATION_NAMES)} to choose on: pass `validation_split`, one "
                f"of {', '.join(splits)}."
            )
        if name not in splits:
            raise ValueError(f"`validation_split` must be one of {', '.join(splits)}, got {name!r}.")
        return name

    def made_on(self, rows: Predictions) -> tuple[Threshold | None, float | None]:
        """
        Threshold and temperature, each `None` where it is not asked for.

        Raises:
            ValueError: the rows have no label to choose by.
        """
        threshold = None
        if self.threshold is not None:
            threshold = choose_threshold(rows.scores, rows.labels, self.threshold)
            if threshold is None:
                raise ValueError("A threshold is chosen on rows with labels, and no validation row has any.")
        return threshold, fit_temperature(rows.scores, rows.labels, rows.decision) if self.temperature else None


def predictions_of(trainer: UnivaTrainer, rows: UtteranceDataset) -> Predictions:
    """What the model says of the rows that were evaluated last; of those with other labels, of what is scored."""
    evaluation: Any = trainer.last_evaluation
    config: Any = trainer.model.config
    scores = config.probabilities(torch.from_numpy(evaluation.predictions)).numpy()
    labels, shared = evaluation.label_ids, rows.shared_labels
    found = Predictions(rows.utterance_ids, rows.dialogue_ids, scores, labels, rows.speaker_names, config.decision)
    return found if shared is None else shared.scored(found)


def evaluate_model(
    model_name: str,
    dataset: str,
    split: str = "test",
    *,
    batch_size: int = 16,
    revision: str | None = None,
    dataset_revision: str | None = None,
    dataset_id: str | None = None,
    device: str | None = None,
    choices: OnValidation = OnValidation(),
    label_map: str | None = None,
) -> Evaluation:
    """
    Score a model on a split with `metrics/multilabel_emotion`.

    With a `label_map` the labels that model and corpus share are scored. The model's probabilities and its threshold
    stay as they are; about a label that the corpus lacks nothing is decided. A row all of whose labels are left out is
    read, as a part of its dialogue, and not scored.

    Args:
        model_name: folder or Hub id of a model or adapter.
        dataset: folder or Hub id of a corpus.
        split: which of its splits.
        batch_size: utterances of a batch.
        revision, dataset_revision: branch, tag or commit of either on the Hub.
        dataset_id: Hub id of a corpus that is given as a folder.
        device: "cpu" keeps the model off a GPU that is there.
        choices: what is chosen on validation; by default nothing.
        label_map: of a corpus with other labels than the model, which of the model's they stand for; see
            [`read_label_map`].

    Raises:
        CorpusError, ValueError, OSError: either cannot be loaded, or they do not fit each other.
    """
    if batch_size < 1:
        raise ValueError(f"the batch size must be at least 1, got {batch_size}")
    check_not_of_a_fold(model_name, dataset)
    _check_chooses_nothing(label_map, choices)
    corpus = load_corpus(dataset, dataset_revision)
    model = load_model(model_name, revision).eval()
    processor = UnivaProcessor.from_pretrained(model_name, revision=revision or "main")
    check_extractors(corpus, processor)
    table = None if label_map is None else read_label_map(label_map)
    rows = {split: make_split(corpus, split, processor, model.config, label_map=table)}
    validation = choices.split_of(corpus.splits)
    if validation not in (None, split):
        rows[validation] = make_split(corpus, validation, processor, model.config)
    name = dataset_id or (corpus.name if corpus.on_hub else Path(dataset).resolve().name)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = _trainer(model, processor, scratch, batch_size, device)
        evaluation = _evaluated(trainer, rows, name, split, choices, validation)
    return replace(
        evaluation,
        on_hub=corpus.on_hub or dataset_id is not None,
        revision=_commit(corpus),
        date=time.strftime("%Y-%m-%d"),
    )


def evaluate_predictions(file: str | Path, split: str = "test", choices: OnValidation = OnValidation()) -> Evaluation:
    """
    Score the predictions file of a run, as [`evaluate_model`] scores the model that made it.

    Args:
        file: that a run, `univa evaluate` or `univa zero-shot` wrote.
        split: which of its splits.
        choices: what is chosen on validation; by default nothing.

    Raises:
        ValueError: it is not such a file, or has no such split.
    """
    splits, names, threshold = read_predictions(file)
    if split not in splits:
        raise ValueError(f"{file} has no split {split!r}; it has {', '.join(splits)}")
    validation, found = choices.split_of(splits), splits[split]
    chosen, temperature = None, None
    if validation is not None:
        chosen, temperature = choices.made_on(splits[validation])
    threshold = threshold if chosen is None else chosen
    return Evaluation(
        Path(file).name,
        split,
        multilabel_metrics(found.scores, found.labels, threshold, names),
        threshold,
        threshold_split=None if chosen is None else validation,
        temperature=temperature,
        predictions={split: found} if validation is None else {validation: splits[validation], split: found},
    )


def _trainer(
    model: EmotionModel, processor: UnivaProcessor, scratch: str, batch_size: int, device: str | None
) -> UnivaTrainer:
    args = UnivaTrainingArguments(
        scratch,
        per_device_eval_batch_size=batch_size,
        batching="whole_dialogues" if model.reads_dialogues else "length",
        eval_strategy="no",
        save_strategy="no",
        load_best_model_at_end=False,
        use_cpu=device == "cpu",
    )
    return UnivaTrainer(model, args, processing_class=processor)


def _evaluated(
    trainer: UnivaTrainer,
    rows: Mapping[str, UtteranceDataset],
    name: str,
    split: str,
    choices: OnValidation,
    validation: str | None,
) -> Evaluation:
    """The scores of a split of the corpus `name`, at the threshold that validation chooses where it is asked for."""
    config, found = trainer.model.config, {}
    chosen, temperature = None, None
    if validation is not None:
        trainer.evaluate(rows[validation])
        found[validation] = predictions_of(trainer, rows[validation])
        chosen, temperature = choices.made_on(found[validation])
    if chosen is not None:
        config.decision_threshold = chosen
    metrics = trainer.evaluate(rows[split], metric_key_prefix="eval" if split in VALIDATION_NAMES else "test")
    found[split] = predictions_of(trainer, rows[split])
    shared, threshold = rows[split].shared_labels, config.decision_threshold
    return Evaluation(
        name,
        split,
        without_prefix(metrics),
        threshold if shared is None else shared.threshold_of(threshold),
        threshold_split=None if chosen is None else validation,
        temperature=temperature,
        predictions=found,
        label_note=None if shared is None else shared.note,
    )


def _check_chooses_nothing(label_map: str | None, choices: OnValidation) -> None:
    if label_map is not None and choices != OnValidation():
        raise ValueError(
            "`label_map` is for scores at the threshold of the model, which another corpus does not choose: leave it "
            "out, or what is to be chosen on validation."
        )


def _commit(corpus: Corpus) -> str | None:
    if not corpus.on_hub:
        return None
    try:
        return HfApi().dataset_info(corpus.name, revision=corpus.revision).sha
    except OSError:
        return corpus.revision


def record_evaluation(
    folder: str | Path, evaluation: Evaluation, model_name: str, revision: str | None = None
) -> Path:
    """
    Write an evaluation to `.eval_results/` and to the card of a model, in place of that of the same rows before.

    Args:
        folder: of the model, or another one to write to.
        model_name: folder or Hub id of the model, from which comes the card where `folder` has none.

    Returns:
        The file in `.eval_results/`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "README.md"
    if not file.is_file():
        _first_card(folder, model_name, revision)
    card = ModelCard(file.read_text(encoding="utf-8"), ignore_metadata_errors=True)
    data = card.data
    results = model_index_results(evaluation, data.get("pipeline_tag") or "text-classification")
    data["model_name"] = data.get("model_name") or Path(model_name).resolve().name
    data["eval_results"] = merged(data.get("eval_results") or [], results)
    data["metrics"] = sorted({item.metric_type for item in results} | set(data.get("metrics") or ()))
    if evaluation.on_hub:
        known = data.get("datasets") or []
        data["datasets"] = list(dict.fromkeys([*([known] if isinstance(known, str) else known), evaluation.dataset]))
    text = card.text.strip()
    if "\n## Results\n" not in text:
        rule = results_rule(evaluation.threshold, evaluation.threshold_split, evaluation.label_names)
        text = _before_citation(text, f"## Results\n\n{rule}\n\n")
    text = with_section(text, results_title(evaluation), results_section(evaluation), "Results")
    write_text(file, f"---\n{data.to_yaml()}\n---\n\n{text}")
    return write_eval_results(folder, evaluation)


def _before_citation(text: str, section: str) -> str:
    place = text.find("\n## Citation\n")
    return f"{text}\n\n{section}" if place < 0 else f"{text[: place + 1]}{section}{text[place + 1 :]}"


def _first_card(folder: Path, model_name: str, revision: str | None) -> None:
    """The model's own card, else one that says what the model says of itself."""
    if not Path(model_name).is_dir():
        try:
            card = hf_hub_download(model_name, "README.md", revision=revision)
            write_text(folder / "README.md", Path(card).read_text(encoding="utf-8"))
            return
        except EntryNotFoundError:
            pass
    elif Path(model_name, "README.md").is_file():
        write_text(folder / "README.md", Path(model_name, "README.md").read_text(encoding="utf-8"))
        return
    model = load_model(model_name, revision)
    processor = UnivaProcessor.from_pretrained(model_name, revision=revision or "main")
    on_hub = not Path(model_name).is_dir()
    facts = ModelFacts(
        model.config,
        processor.extractors,
        model_id=model_name if on_hub else None,
        model_name=Path(model_name).resolve().name,
        adapter=is_adapter(model_name, revision),
        label_similarity=label_similarity(model),
    )
    write_model_card(folder, facts)
