# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The model card, filled from what a model, its corpus and its training run say of themselves."""

import importlib.util
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import DatasetCard, ModelCard, ModelCardData

from ..data.corpus import Corpus
from ..data.licenses import license_of
from ..data.loading import corpus_file
from ..models.configuration_emotion import MODALITIES, EmotionConfig
from ..models.files_univa import write_text
from ..models.processing_univa import PRECOMPUTED
from ..models.trusted_paths_univa import is_hub_id
from ..scores.results import Evaluation, merged, model_index_results, results_rule, results_section, results_title
from ..scores.thresholds import threshold_text
from ..shipped import shipped
from .snippets import MODEL_ID, usage_snippets


__all__ = ["HEAT_MAP", "ModelFacts", "TrainingTime", "model_card", "pipeline_tag", "write_model_card"]

TEMPLATE = shipped("model_card.md")
HEAT_MAP = "emotion_correlation.png"

_WORDS = {"text": "text", "audio": "speech", "vision": "faces", "face_emotions": "expressions of faces"}
_TASKS = {"vision": "video-classification", "audio": "audio-classification", "text": "text-classification"}
_UNKNOWN_LICENSE = "not stated"


@dataclass
class TrainingTime:
    """
    What a training took, as measured.

    Args:
        seconds: of wall time, evaluations while training included.
        processes: how many worked on it.
        hardware: what they ran on, as far as it can be told.
    """

    seconds: float
    processes: int
    hardware: str | None = None

    def __str__(self) -> str:
        hours, minutes = self.seconds / 3600, self.seconds / 60
        amount = next(f"{value:.1f} {unit}" for value, unit in
                      ((hours, "h"), (minutes, "min"), (self.seconds, "s")) if value >= 1 or unit == "s")  # fmt: skip
        many = f"{self.processes} processes" if self.processes > 1 else "one process"
        machine = f" on {self.hardware}" if self.hardware else ""
        return (
            f"Training took {amount} of wall time, evaluation in between included, in {many}{machine} (measured). "
            "Energy was not measured, nor what came before: pretraining, extraction of features, other attempts."
        )


@dataclass
class ModelFacts:
    """
    What a card is filled with; sections of what is absent are left out.

    Args:
        config: of the model.
        extractors: of the processor.
        model_id: Hub id, for the snippets; without it they have a placeholder that pushing fills in.
        model_name: title.
        evaluations: scores on splits.
        corpus: that the model was trained on.
        settings: name, value and default of what differs from the defaults.
        starting_weights: `model` and `revision` of what the model was made from; a Hub id or a folder.
        adapter: whether the folder holds a LoRA adapter.
        label_similarity: M, (C, C).
        training_time: measured.
        threshold_split: which chose the decision threshold, if one did.
        license, language, tags: for the metadata; nothing is put there where they are not given.
    """

    config: EmotionConfig
    extractors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    model_id: str | None = None
    model_name: str = "UniVA"
    evaluations: Sequence[Evaluation] = ()
    corpus: Corpus | None = None
    settings: Sequence[dict[str, str]] = ()
    starting_weights: Mapping[str, Any] = field(default_factory=dict)
    adapter: bool = False
    label_similarity: torch.Tensor | None = None
    training_time: TrainingTime | None = None
    threshold_split: str | None = None
    license: str | None = None
    language: str | list[str] | None = None
    tags: Sequence[str] = ()


def write_model_card(folder: str | Path, facts: ModelFacts) -> Path:
    """Write `README.md`, and the picture of the emotion correlation where matplotlib is installed."""
    folder = Path(folder)
    image = _draw_similarity(folder, facts) if facts.label_similarity is not None else None
    if image is None:
        Path(folder, HEAT_MAP).unlink(missing_ok=True)
    file = folder / "README.md"
    write_text(file, str(model_card(facts, image)) + "\n")
    return file


def model_card(facts: ModelFacts, image: str | None = None) -> ModelCard:
    """
    The card, metadata on top.

    Args:
        image: name of the file with the picture of the emotion correlation.
    """
    config, about = facts.config, _corpus_metadata(facts.corpus)
    card = ModelCard.from_template(
        _metadata(facts, about),
        template_str=TEMPLATE.read_text(encoding="utf-8"),
        title=facts.model_name,
        citation=config.citation,
        summary=_summary(config),
        limits=_limits(config, facts.extractors),
        official_code=config.official_code,
        deviations=config.deviations,
        snippets=usage_snippets(config, facts.extractors, facts.model_id or MODEL_ID, facts.adapter),
        data=_data(facts.corpus, about),
        split_rows={} if facts.corpus is None else _split_rows(facts.corpus),
        settings=facts.settings,
        evaluations=[{"title": results_title(one), "body": results_section(one)} for one in facts.evaluations],
        results_rule=results_rule(config.decision_threshold, facts.threshold_split, config.label_names),
        label_names=config.label_names,
        components=_components(facts),
        similarity=_similarity(facts, image),
        training_time="" if facts.training_time is None else str(facts.training_time),
        versions=_versions(facts.adapter) if facts.training_time is not None else "",
    )
    card.content = re.sub(r"\n{3,}", "\n\n", card.content).strip()
    return card


# Parts of the card


def pipeline_tag(modalities: Iterable[str]) -> str:
    """The Hub's task for a model of these modalities."""
    return next(task for modality, task in _TASKS.items() if modality in set(modalities))


def _metadata(facts: ModelFacts, about: Mapping[str, Any]) -> ModelCardData:
    config = facts.config
    task = pipeline_tag(config.modalities)
    results = [item for one in facts.evaluations for item in model_index_results(one, task)]
    on_hub = [one.dataset for one in facts.evaluations if one.on_hub]
    if facts.corpus is not None and facts.corpus.on_hub:
        on_hub.insert(0, facts.corpus.name)
    tags = list(dict.fromkeys(["univa", config.model_type])) + ["emotion-recognition", "multi-label-classification"]
    tags += ["multimodal"] if len(config.modalities) > 1 else []
    tags += ["valence-arousal"] if config.uses_va else []
    started_from = facts.starting_weights.get("model")
    return ModelCardData(
        license=facts.license,
        language=facts.language or about.get("language"),
        library_name="peft" if facts.adapter else "transformers",
        pipeline_tag=task,
        tags=[*tags, *(["lora"] if facts.adapter else []), *facts.tags],
        datasets=list(dict.fromkeys(on_hub)) or None,
        metrics=sorted({item.metric_type for item in results}) or None,
        base_model=started_from if is_hub_id(started_from, without_owner=True) else None,
        model_name=facts.model_name if results else None,
        eval_results=merged([], results) or None,
    )


def _summary(config: EmotionConfig) -> str:
    words = [_WORDS[modality] for modality in config.modalities]
    taken = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
    context = ", in the context of the dialogue" if config.text_config is not None and "text" in words else ""
    idea = f": {config.idea}" if config.idea else ""
    return (
        f"Emotions of an utterance from its {taken}{context}: any of {', '.join(config.label_names)}. A "
        f"[{config.title}]({config.paper}) model{idea}."
    )


def _limits(config: EmotionConfig, extractors: Mapping[str, Mapping[str, Any]]) -> list[str]:
    limits = []
    most = _most_emotions(config)
    if config.decision == "softmax" and most < config.num_labels:
        than = threshold_text(config.decision_threshold, config.label_names)
        limits.append(
            f"An emotion is predicted where its probability is greater than {than}. The probabilities of an "
            f"utterance sum to one, so that it gets at most {most} emotions."
        )
    for modality, size in config.extracted_sizes.items():
        made = extractors.get(modality, {})
        if made.get("extractor_type", PRECOMPUTED) == PRECOMPUTED:
            by = f", made by `{made['name']}`" if made.get("name") else ""
            limits.append(
                f"{_WORDS[modality].capitalize()} must be given as precomputed features of width {size}{by}; `univa "
                "complete` gives the model an extractor, so that it takes raw media."
            )
    return limits


def _most_emotions(config: EmotionConfig) -> int:
    """How many emotions can be predicted at once where the probabilities sum to one."""
    sums = accumulate(sorted(config.label_thresholds))
    # But for rounding: ten times 0.1 is one.
    return sum(total < 1 - 1e-9 for total in sums)


def _data(corpus: Corpus | None, about: Mapping[str, Any]) -> list[str]:
    if corpus is None:
        return []
    name = f"[{corpus.name}](https://huggingface.co/datasets/{corpus.name})" if corpus.on_hub else None
    title = about.get("pretty_name") or Path(corpus.name).name
    license = about.get("license")
    licensed = "" if license in (None, "unknown") else f" Its licence: {license}."
    trained = f"Trained on {title}{f' ({name})' if name else ''}.{licensed}"
    return [trained, *([corpus.fold_note] if corpus.fold_note else [])]


def _split_rows(corpus: Corpus) -> dict[str, int]:
    return {split: len(rows) for split, rows in corpus.splits.items() if hasattr(rows, "__len__")}


def _components(facts: ModelFacts) -> list[dict[str, str]]:
    parts = []
    if facts.starting_weights:
        parts.append(("starting weights", "text", dict(facts.starting_weights)))
    for modality in facts.config.extracted_sizes:
        if facts.extractors.get(modality):
            parts.append(("features", modality, dict(facts.extractors[modality])))
    if "vision" in facts.config.modalities and facts.extractors.get("faces"):
        parts.append(("faces in videos", "vision", dict(facts.extractors["faces"])))
    scorers = {} if facts.corpus is None or not facts.config.uses_va else facts.corpus.affect_scorers
    parts += [
        ("valence and arousal", modality, dict(scorers[modality])) for modality in MODALITIES if scorers.get(modality)
    ]
    return [
        {"what": what, "modality": modality, "made_by": _maker(made), "license": _license_of_maker(made)}
        for what, modality, made in parts
    ]


def _maker(made: Mapping[str, Any]) -> str:
    kind = made.get("extractor_type") or made.get("reader_type")
    name = made.get("model") or made.get("name") or made.get("detector")
    described = [str(kind)] if kind and kind != PRECOMPUTED else []
    if name:
        described.append(f"`{Path(name).name if Path(name).is_absolute() or Path(name).exists() else name}`")
    if made.get("revision"):
        described.append(f"at {made['revision']}")
    if made.get("translator"):
        described.append(f"after translation by `{made['translator']}`")
    return ", ".join(described)


def _license_of_maker(made: Mapping[str, Any]) -> str:
    if made.get("license"):
        return str(made["license"])
    name = made.get("model") or made.get("detector_model")
    if not name and made.get("extractor_type") != PRECOMPUTED:
        return "no weights"
    # A name without a folder is not one of the current directory.
    name = str(name or made.get("name"))
    if "/" not in name:
        return _UNKNOWN_LICENSE
    return license_of(name, made.get("revision")) or _UNKNOWN_LICENSE


def _corpus_metadata(corpus: Corpus | None) -> dict[str, Any]:
    """What the card of the corpus says of it."""
    if corpus is None:
        return {}
    file = corpus_file(corpus.name, "README.md", corpus.revision)
    if file is None:
        return {}
    return DatasetCard(file.read_text(encoding="utf-8"), ignore_metadata_errors=True).data.to_dict()


def _similarity(facts: ModelFacts, image: str | None) -> dict[str, Any]:
    if facts.label_similarity is None:
        return {}
    rows = [[f"{value:.2f}" for value in row] for row in facts.label_similarity.tolist()]
    return {"rows": rows, "image": image, "learned": facts.config.learn_label_similarity}


def _draw_similarity(folder: Path, facts: ModelFacts) -> str | None:
    if importlib.util.find_spec("matplotlib") is None or facts.label_similarity is None:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names, values = facts.config.label_names, facts.label_similarity.tolist()
    size = 1.6 + 0.7 * len(names)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.add_subplot()
    limit = max(1.0, *(abs(value) for row in values for value in row))
    image = axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            colour = "white" if abs(value) > 0.6 * limit else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=9)
    figure.colorbar(image, ax=axes, shrink=0.8)
    FigureCanvasAgg(figure)
    folder.mkdir(parents=True, exist_ok=True)
    # The same picture for the same numbers, so that pushing again changes nothing.
    figure.savefig(folder / HEAT_MAP, dpi=120, metadata={"Software": None})
    return HEAT_MAP


def _versions(adapter: bool) -> str:
    packages = ["torch", "transformers", "datasets", "huggingface_hub", *(["peft"] if adapter else [])]
    return ", ".join(f"{name} {metadata.version(name)}" for name in packages)
