# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The trainer's callback that fills the model card."""

import dataclasses
import enum
import json
import platform
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState
from transformers.utils import is_peft_available

from ..convert.packages import resolve_package
from ..data.corpus import Corpus
from ..models.configuration_emotion import EmotionConfig
from ..models.processing_univa import UnivaProcessor
from ..scores.results import RESULTS_FOLDER, Evaluation, without_prefix, write_eval_results
from ..sharing.card import ModelFacts, TrainingTime, write_model_card
from .arguments import ModelArguments
from .sharded_weights import whole
from .training_arguments import UnivaTrainingArguments


__all__ = ["ModelCardCallback", "label_similarity"]

# What follows from labels and features, or says nothing about how the model was made.
_HIDDEN_CONFIG = ("id2label", "label2id", "text_config", "label_affect")
_HIDDEN_MODEL_ARGUMENTS = ("model_revision", "text_model_revision", "attn_implementation")
_HIDDEN_TRAINING_ARGUMENTS = re.compile(
    r"output_dir|logging_|log_|eval_(?!delay)|per_device_eval|save_|hub_|push_|dataloader_|report_to|run_name|project|"
    r"trackio|disable_tqdm|use_cpu|ddp_|local_rank|resume_|do_(train|eval|predict)|debug|skip_memory|include_|card_|"
    r"accelerator_config|parallelism_config|restore_|ignore_data|load_best|enable_jit|_n_gpu|"
    r"prediction_loss|batch_eval|remove_unused|label_names"
)


class ModelCardCallback(TrainerCallback):
    """
    Writes `README.md` into the output folder after training and after every evaluation that follows.

    Time and scores are those of the weights at the end: of a run that was resumed, the parts are summed, and of an
    evaluation while training only that of the checkpoint that was kept counts.

    Args:
        processor: of the model.
        corpus: that it is trained on.
        model_args: arguments of the run that made the model.
        threshold_split: which chooses the decision threshold, if one does.
        test_corpus: that it is tested on, if that is another one.
    """

    def __init__(
        self,
        processor: UnivaProcessor | None = None,
        corpus: Corpus | None = None,
        model_args: ModelArguments | None = None,
        threshold_split: str | None = None,
        test_corpus: Corpus | None = None,
    ):
        self.test_corpus = test_corpus
        self.processor, self.corpus, self.model_args = processor, corpus, model_args
        self.threshold_split = threshold_split
        self._scores: dict[tuple[str, str], dict[int, Evaluation]] = {}
        self._started: float | None = None
        self._former_seconds = 0.0

    def on_train_begin(self, args, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Begin to measure, on top of what a resumed run took before."""
        self._scores.clear()
        self._former_seconds = _seconds(state)
        self._started = time.perf_counter()

    def on_log(self, args, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Keep the time with the log, which checkpoints carry."""
        if self._started is not None and state.log_history:
            elapsed = time.perf_counter() - self._started
            state.log_history[-1]["training_seconds"] = round(self._former_seconds + elapsed, 3)

    def on_evaluate(
        self, args, state: TrainerState, control: TrainerControl, metrics=None, eval_dataloader=None, **kwargs: Any
    ) -> None:
        """Remember the scores; after training also write the card."""
        dataset = getattr(eval_dataloader, "dataset", None)
        if metrics is None or dataset is None:
            return
        source, split = _source_of(dataset.name)
        own = next((known for known in (self.corpus, self.test_corpus) if known and known.name == source), None)
        fold, shared = own and own.fold, getattr(dataset, "shared_labels", None)
        threshold = kwargs["model"].config.decision_threshold
        # Rows of a fold are not those of the split that the Hub knows by this name.
        on_hub = own is not None and own.on_hub and fold is None
        self._scores.setdefault((source, split), {})[state.global_step] = Evaluation(
            source if on_hub else Path(source).name,
            f"{split} of {fold}" if fold else split,
            without_prefix(metrics),
            threshold if shared is None else shared.threshold_of(threshold),
            on_hub=on_hub,
            revision=own.revision if own is not None and on_hub else None,
            date=time.strftime("%Y-%m-%d"),
            label_note=None if shared is None else shared.note,
        )
        if self._started is None:
            self.write(args, state, kwargs["model"])

    def on_train_end(self, args, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Keep the scores of the weights that are left, and write the card."""
        self.on_log(args, state, control)
        self._started = None
        loaded = state.best_global_step if args.load_best_model_at_end else None
        step = loaded or state.global_step
        self._scores = {key: {step: found[step]} for key, found in self._scores.items() if step in found}
        if state.is_world_process_zero:
            shutil.rmtree(Path(args.output_dir, RESULTS_FOLDER), ignore_errors=True)
        self.write(args, state, kwargs["model"])

    def write(self, args: UnivaTrainingArguments, state: TrainerState, model: PreTrainedModel, **given: Any) -> None:
        """
        Write the card and the evaluation results, on the first process.

        Args:
            given: `ModelFacts` that are known better than the run knows them.
        """
        # All processes ask for the facts: of a model in parts (FSDP) each holds some of a weight that the card shows.
        facts = self.facts(args, state, model)
        if not state.is_world_process_zero:
            return
        facts = dataclasses.replace(facts, **{name: value for name, value in given.items() if value is not None})
        write_model_card(args.output_dir, facts)
        for evaluation in facts.evaluations:
            if evaluation.on_hub:
                write_eval_results(Path(args.output_dir), evaluation)

    def facts(self, args: UnivaTrainingArguments, state: TrainerState, model: PreTrainedModel) -> ModelFacts:
        """What is known of the run; asked for by all processes, or of a model that each has whole."""
        config, seconds = model.config, _seconds(state)
        evaluations = [found[max(found)] for found in self._scores.values()]
        return ModelFacts(
            config,
            extractors={} if self.processor is None else self.processor.extractors,
            model_id=args.hub_model_id if args.push_to_hub and "/" in (args.hub_model_id or "") else None,
            model_name=(args.hub_model_id or Path(args.output_dir).resolve().name).split("/")[-1],
            evaluations=evaluations,
            corpus=self.corpus,
            settings=[*_model_settings(config, self.model_args), *_training_settings(args)],
            starting_weights=_starting_weights(self.model_args),
            adapter=_is_adapter(model),
            label_similarity=label_similarity(model),
            training_time=TrainingTime(seconds, args.world_size, _hardware(args)) if seconds else None,
            threshold_split=self.threshold_split,
            license=getattr(args, "card_license", None),
            language=getattr(args, "card_language", None),
        )


def _seconds(state: TrainerState) -> float:
    return max((entry.get("training_seconds", 0.0) for entry in state.log_history), default=0.0)


def _source_of(name: str) -> tuple[str, str]:
    """Corpus and split of an `UtteranceDataset` by its name, `CORPUS (SPLIT)`."""
    found = re.fullmatch(r"(.*) \((\S+)\)", name)
    return (found[1], found[2]) if found else (name, "evaluation")


def _hardware(args: UnivaTrainingArguments) -> str | None:
    if args.device.type == "cuda":
        return torch.cuda.get_device_name(args.device)
    if args.device.type != "cpu":
        return args.device.type
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    threads = torch.get_num_threads()
    return f"{name} ({threads} {'threads' if threads > 1 else 'thread'} a process)" if name else None


def _is_adapter(model: PreTrainedModel) -> bool:
    if not is_peft_available():
        return False
    from peft import PeftModel

    return isinstance(model, PeftModel)


def label_similarity(model: PreTrainedModel) -> torch.Tensor | None:
    """M where the objective uses it; of an adapter, the trained copy."""
    if not getattr(model.config, "correlation_prior_weight", 0):
        return None
    found = {name: value for name, value in model.state_dict().items() if name.endswith("label_similarity")}
    names = sorted(found, key=lambda name: "modules_to_save" not in name)
    return whole(found[names[0]].detach()).float().cpu() if names else None


def _starting_weights(args: ModelArguments | None) -> dict[str, Any]:
    if args is None or not (args.model or args.text_model):
        return {}
    revision = args.model_revision if args.model else args.text_model_revision
    return {"model": resolve_package(str(args.model or args.text_model)), "revision": revision}


def _model_settings(config: EmotionConfig, args: ModelArguments | None) -> list[dict[str, str]]:
    annotated = [*EmotionConfig.__annotations__, *type(config).__annotations__]
    own = [name for name in dict.fromkeys(annotated) if name not in _HIDDEN_CONFIG and hasattr(config, name)]
    defaults = type(config)(id2label=config.id2label, **config.settings_for(config.label_names))
    known = {item.name for item in dataclasses.fields(config)}
    if config.text_config is not None:
        own.remove("text_feature_size")
    settings = [(name, getattr(config, name), getattr(defaults, name)) for name in own if name in known]
    if args is not None:
        settings += [
            (item.name, getattr(args, item.name), item.default)
            for item in dataclasses.fields(args)
            if item.name not in known and item.name not in _HIDDEN_MODEL_ARGUMENTS
        ]
    return _differing(settings)


def _training_settings(args: UnivaTrainingArguments) -> list[dict[str, str]]:
    settings = []
    for item in dataclasses.fields(args):
        if not _HIDDEN_TRAINING_ARGUMENTS.match(item.name):
            factory = item.default_factory
            default = item.default if factory is dataclasses.MISSING else factory()
            settings.append((item.name, getattr(args, item.name), default))
    return _differing(settings)


def _differing(settings: Iterable[tuple[str, Any, Any]]) -> list[dict[str, str]]:
    plain = ((name, _plain(value), _plain(default)) for name, value, default in settings)
    return [
        {"name": name, "value": _shown(value), "default": "–" if default is None else _shown(default)}
        for name, value, default in plain
        # Some that are not given become False.
        if value != default and not (value is False and default is None)
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def _shown(value: Any) -> str:
    if isinstance(value, str):
        # A path says nothing to others.
        return Path(value).name if Path(value).is_absolute() or Path(value).exists() else value
    return json.dumps(value, default=str) if isinstance(value, list | dict) else str(value)
