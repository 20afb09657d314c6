# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Scores of a saved model on a data set, written where the Hub looks for them."""

import tempfile
import time
from pathlib import Path

from huggingface_hub import HfApi, ModelCard, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from transformers.utils import logging

from ..data.corpus import VALIDATION_NAMES, Corpus
from ..data.loading import check_extractors, load_corpus, make_split
from ..models.files_univa import write_text
from ..models.processing_univa import UnivaProcessor
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
from ..sharing.adapters import is_adapter, load_model
from ..sharing.card import ModelFacts, write_model_card
from .card_callback import label_similarity
from .trainer import UnivaTrainer
from .training_arguments import UnivaTrainingArguments


__all__ = ["evaluate_model", "record_evaluation"]

logger = logging.get_logger(__name__)


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
) -> Evaluation:
    """
    Score a model on a split with `metrics/multilabel_emotion`.

    Args:
        model_name: folder or Hub id of a model or adapter.
        dataset: folder or Hub id of a corpus.
        split: which of its splits.
        batch_size: utterances of a batch.
        revision, dataset_revision: branch, tag or commit of either on the Hub.
        dataset_id: Hub id of a corpus that is given as a folder.
        device: "cpu" keeps the model off a GPU that is there.

    Raises:
        CorpusError, ValueError, OSError: either cannot be loaded, or they do not fit each other.
    """
    if batch_size < 1:
        raise ValueError(f"the batch size must be at least 1, got {batch_size}")
    corpus = load_corpus(dataset, dataset_revision)
    model = load_model(model_name, revision).eval()
    processor = UnivaProcessor.from_pretrained(model_name, revision=revision or "main")
    check_extractors(corpus, processor)
    rows = make_split(corpus, split, processor, model.config)
    with tempfile.TemporaryDirectory() as scratch:
        args = UnivaTrainingArguments(
            scratch,
            per_device_eval_batch_size=batch_size,
            batching="whole_dialogues" if model.reads_dialogues else "length",
            eval_strategy="no",
            save_strategy="no",
            load_best_model_at_end=False,
            use_cpu=device == "cpu",
        )
        trainer = UnivaTrainer(model, args, processing_class=processor)
        metrics = trainer.evaluate(rows, metric_key_prefix="eval" if split in VALIDATION_NAMES else "test")
    on_hub = corpus.on_hub or dataset_id is not None
    return Evaluation(
        dataset_id or (corpus.name if corpus.on_hub else Path(dataset).resolve().name),
        split,
        without_prefix(metrics),
        model.config.decision_threshold,
        on_hub=on_hub,
        revision=_commit(corpus),
        date=time.strftime("%Y-%m-%d"),
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
        text = _before_citation(text, f"## Results\n\n{results_rule(evaluation.threshold)}\n\n")
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
