# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Trainer of UniVA: the objective's terms, batches of utterances, and the multi-label metrics."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate.data_loader import prepare_data_loader
from accelerate.utils import broadcast
from huggingface_hub import HfApi
from torch import nn
from torch.utils.data import DataLoader, SequentialSampler
from transformers import Trainer, TrainerCallback
from transformers.trainer import TRAINER_STATE_NAME, TRAINING_ARGS_NAME
from transformers.trainer_callback import TrainerState
from transformers.trainer_utils import EvalLoopOutput
from transformers.utils import logging

from ..data.samplers import DialogueBatches, UtteranceBatchSampler
from ..data.streaming import StreamedBatches, StreamedUtterances
from ..data.utterances import UtteranceCollator, UtteranceDataset
from ..models.modeling_emotion import EmotionModel, EmotionOutput
from ..models.processing_univa import UnivaProcessor
from ..scores.headline import METRICS
from ..scores.metrics import MultilabelMetrics
from ..scores.shared_labels import SharedLabels
from ..scores.thresholds import AUTO, THRESHOLD_CHOICES, Threshold, logged_threshold, threshold_problem
from ..sharing.adapters import BASE_FOLDER, set_base_threshold
from ..sharing.push import check_base_repository, make_repository, push_folder
from .card_callback import ModelCardCallback
from .checkpoints import last_complete_checkpoint, load_resume_state, save_resume_state, weights_damage
from .progress import show_training_progress, without_bars
from .sharded_weights import unsharded_class
from .training_arguments import UnivaTrainingArguments
from .weight_averaging import WeightAveraging


__all__ = ["UnivaTrainer", "last_complete_checkpoint"]

logger = logging.get_logger(__name__)


class UnivaTrainer(Trainer):
    """
    Trains a system, an `EmotionModel`, on `UtteranceDataset` splits.

    Args:
        model: to train; its configuration says what the objective is. Or `model_init`, a function that makes it, for
            `hyperparameter_search`.
        args: `UnivaTrainingArguments`.
        train_dataset, eval_dataset: `UtteranceDataset`; VA is read from the training set only, which may also be
            `StreamedUtterances` (with `max_steps`).
        processing_class: the model's `UnivaProcessor`, saved beside it.
        choose_threshold: whether every evaluation of `eval_dataset` while training sets the model's
            `decision_threshold` to that of highest micro-F1; "per-label" sets one threshold a label, each of highest
            F1 of its label. The model that is left has that of its checkpoint.

    Raises:
        ValueError: several GPUs in one process, which would split dialogues and utterances alike; `logit_adjustment`
            with a stream, whose frequencies of labels are not known; a `metric_for_best_model` that there
            is not; a `batching` that cuts dialogues for a model that reads across utterances; `logit_adjustment` for
            a model whose loss is not made of its logits. In `train`, a model that takes statistics of the training
            split, with a stream.
    """

    # The objective is a mean over the batch, so Trainer divides it by the accumulation steps.
    loss_is_scaled_for_ga = False

    def __init__(
        self,
        model: EmotionModel | None = None,
        args: UnivaTrainingArguments | None = None,
        train_dataset: UtteranceDataset | StreamedUtterances | None = None,
        eval_dataset: UtteranceDataset | None = None,
        processing_class: UnivaProcessor | None = None,
        choose_threshold: bool | str = True,
        **kwargs: Any,
    ):
        args = args or UnivaTrainingArguments()
        if args.n_gpu > 1:
            raise ValueError(
                f"One process sees {args.n_gpu} GPUs, and DataParallel would split dialogues and utterances alike: "
                "start one process a GPU, `torchrun --nproc_per_node N -m modeling_univa.cli train …` or `accelerate "
                "launch -m modeling_univa.cli train …`."
            )
        self.processor = processing_class
        self._terms: dict[str, torch.Tensor] = {}
        self._term_counts: dict[str, int] = defaultdict(int)
        self.choose_threshold = choose_threshold
        _check_choice(choose_threshold)
        self._metrics = MultilabelMetrics()
        self._given_threshold: Threshold | None = None
        self._has_own_metrics = "compute_metrics" not in kwargs
        if self._has_own_metrics:
            kwargs["compute_metrics"] = self._metrics
        if model is not None:
            self._take(model, args)
        super().__init__(
            model,
            args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            # Trainer reads special tokens off a processor's tokenizer, and word vectors have none; see `_save`.
            processing_class=getattr(processing_class, "tokenizer", None) and processing_class,
            data_collator=lambda rows: rows,
            **kwargs,
        )
        self.averaging: WeightAveraging | None = None
        # Logits and labels of all rows, in their order.
        self.last_evaluation: EvalLoopOutput | None = None
        self._follow_arguments()
        self.add_callback(_FitStatistics(self))
        show_training_progress(self)

    def _take(self, model: EmotionModel, args: UnivaTrainingArguments) -> None:
        """Check that the arguments fit a model, and have the metrics follow its probabilities and threshold."""
        if args.neftune_noise_alpha is not None and model.get_input_embeddings() is None:
            raise ValueError("`neftune_noise_alpha` needs a pretrained text encoder, and the model has none.")
        if _reads_dialogues(model) and args.batching != "whole_dialogues":
            raise ValueError(
                f"`batching` must be whole_dialogues, since {type(model).__name__} reads across the utterances of a "
                f"dialogue, got {args.batching!r}."
            )
        if args.logit_adjustment and not getattr(model, "loss_reads_logits", True):
            raise ValueError(
                f"`logit_adjustment` moves logits, and the loss of {type(model).__name__} is not made of them: leave "
                "it out."
            )
        if self._has_own_metrics:
            _check_metric(args, model.config)
        self._metrics.config = model.config

    def call_model_init(self, trial: Any = None) -> nn.Module:
        """As Trainer's; a configuration that all models share has not the threshold that was chosen for the last."""
        before, given = self._metrics.config, self._given_threshold
        model = super().call_model_init(trial)
        if before is model.config:
            model.config.decision_threshold = given
        self._given_threshold = model.config.decision_threshold
        self._take(model, self.args)
        return model

    def _follow_arguments(self) -> None:
        """Make again what the arguments decide; a search changes them from trial to trial."""
        self._label_offsets = self._make_label_offsets()
        decay = self.args.ema_decay
        if decay != (self.averaging and self.averaging.decay):
            self.pop_callback(WeightAveraging)
            self.averaging = None if decay is None else WeightAveraging(decay)
            if self.averaging is not None:
                self.add_callback(self.averaging)

    def _make_label_offsets(self) -> torch.Tensor | None:
        """What `logit_adjustment` adds to the logits in the loss, (C,)."""
        if not self.args.logit_adjustment or self.train_dataset is None:
            return None
        if isinstance(self.train_dataset, StreamedUtterances):
            raise ValueError("`logit_adjustment` needs the frequencies of the labels, which a stream does not tell.")
        labels = self.train_dataset.labels
        # A label that never occurs counts as occurring once.
        frequencies = labels.sum(axis=0).clip(1) / len(labels)
        offsets = self.args.logit_adjustment * np.log(frequencies)
        return torch.tensor(offsets, dtype=torch.float32, device=self.args.device)

    # Batches

    def _loader_options(self, workers: int | None = None) -> dict[str, Any]:
        """How a `DataLoader` works, whatever it loads."""
        return {
            "num_workers": self.args.dataloader_num_workers if workers is None else workers,
            "pin_memory": self.args.dataloader_pin_memory and self.args.device.type != "cpu",
            "multiprocessing_context": self.args.dataloader_multiprocessing_context,
            "prefetch_factor": self.args.dataloader_prefetch_factor,
            "in_order": self.args.dataloader_in_order,
        }

    def get_train_dataloader(self) -> DataLoader:
        """Batches of `UtteranceBatchSampler`, with VA, shared by all processes."""
        self._follow_arguments()
        if isinstance(self.train_dataset, StreamedUtterances):
            return self._streaming_dataloader(self.train_dataset)
        dataset: UtteranceDataset = self.train_dataset
        sampler = UtteranceBatchSampler(
            dataset.lengths,
            dataset.dialogues,
            self._train_batch_size,
            self.args.batching,
            self.args.world_size,
            self.args.data_seed if self.args.data_seed is not None else self.args.seed,
        )
        self.pop_callback(_SetEpoch)
        self.add_callback(_SetEpoch(sampler))
        loader = DataLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=cast(Any, UtteranceCollator(dataset, with_va=True)),
            persistent_workers=self.args.dataloader_persistent_workers,
            **self._loader_options(),
        )
        return self.accelerator.prepare(loader)

    def _streaming_dataloader(self, utterances: StreamedUtterances) -> DataLoader:
        batches = StreamedBatches(
            utterances,
            self._train_batch_size,
            self.args.batching,
            self.args.world_size,
            self.args.process_index,
            self.args.data_seed if self.args.data_seed is not None else self.args.seed,
        )
        workers = min(self.args.dataloader_num_workers, 1)
        if workers < self.args.dataloader_num_workers:
            logger.warning("A stream is read by one worker: a second one would read the same rows again.")
        loader = DataLoader(batches, batch_size=None, **self._loader_options(workers))
        # The processes share the batches already; accelerate would share them again, and by default hand out slices
        # of what the first process reads.
        return prepare_data_loader(
            loader, self.args.device, num_processes=1, process_index=0, put_on_device=True, dispatch_batches=False
        )

    def get_eval_dataloader(self, eval_dataset: str | UtteranceDataset | None = None) -> DataLoader:
        """
        Corpus order, batches of fixed size: only a dialogue that a border cuts is encoded twice. For a model that
        reads across utterances, batches of whole dialogues.
        """
        if eval_dataset is None:
            return self.get_test_dataloader(self.eval_dataset)
        return self.get_test_dataloader(
            self.eval_dataset[eval_dataset] if isinstance(eval_dataset, str) else eval_dataset
        )

    def get_test_dataloader(self, test_dataset: UtteranceDataset) -> DataLoader:
        """As `get_eval_dataloader`."""
        size, batches = self.args.eval_batch_size, None
        how: dict[str, Any] = {"sampler": SequentialSampler(test_dataset), "batch_size": size}
        if _reads_dialogues(self.model):
            batches = DialogueBatches(test_dataset.dialogues, size, self.args.world_size)
            how = {"batch_sampler": batches}
        loader = DataLoader(
            test_dataset, collate_fn=cast(Any, UtteranceCollator(test_dataset)), **how, **self._loader_options()
        )
        prepared = self.accelerator.prepare(loader)
        prepared.whole_dialogues = batches
        return prepared

    # Objective

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        """The model's own loss: in training what the method minimises, in evaluation the terms of the labels."""
        if model.training and self._label_offsets is not None:
            inputs = {**inputs, "logit_offsets": self._label_offsets}
        outputs = model(**inputs)
        if model.training:
            self._track(outputs.loss_terms)
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def evaluation_loop(self, dataloader: DataLoader, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """
        As Trainer's, but the loss is over every row once: Trainer's counts those again that fill up a batch.

        Of rows with other labels than the model (`UtteranceDataset.shared_labels`) those in common are scored, and
        there is no loss.
        """
        batches = getattr(dataloader, "whole_dialogues", None)
        self.gather_function = self.accelerator.gather_for_metrics
        if batches is not None:
            self.gather_function = partial(self._gather_uneven, batches.rows_of_last_round)
        shared: SharedLabels | None = getattr(dataloader.dataset, "shared_labels", None)
        with self._metrics.restricted_to(shared):
            output = super().evaluation_loop(dataloader, *args, **kwargs)
        self.last_evaluation = output
        if output.predictions is not None and output.label_ids is not None:
            logits, labels = torch.from_numpy(output.predictions), torch.from_numpy(output.label_ids)
            loss_name = f"{kwargs.get('metric_key_prefix', 'eval')}_loss"
            if shared is None:
                model = self.accelerator.unwrap_model(self.model)
                output.metrics[loss_name] = model.with_loss(EmotionOutput(logits=logits), labels).loss.item()
            else:
                # That a label is absent from the corpus does not mean that it does not hold.
                output.metrics.pop(loss_name, None)
            if not self.is_in_train:
                self._tell_problem(logits, output.label_ids, shared)
        return output

    def _gather_uneven(self, rows_of_last_round: int, rows: torch.Tensor) -> torch.Tensor:
        """Rows of all processes, which may have different numbers of them; those of repeated batches are left out."""
        counts = self.accelerator.gather(torch.tensor([len(rows)], device=rows.device)).tolist()
        parts = self.accelerator.gather(self.accelerator.pad_across_processes(rows)).split(max(counts))
        gathered = torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
        is_last = self.accelerator.gradient_state.end_of_dataloader
        return gathered[:rows_of_last_round] if is_last else gathered

    def _tell_problem(self, logits: torch.Tensor, labels: np.ndarray, shared: SharedLabels | None) -> None:
        config = self._metrics.config
        scores, threshold = config.probabilities(logits).numpy(), config.decision_threshold
        if shared is not None:
            scores, labels, threshold = shared.of(scores), shared.of(labels), shared.threshold_of(threshold)
        problem = threshold_problem(scores, labels, threshold, config.decision)
        if problem is not None and self.is_world_process_zero():
            logger.warning(problem)

    def evaluate(self, eval_dataset: Any = None, *args: Any, **kwargs: Any) -> dict[str, float]:
        """
        As Trainer's; of the averaged weights where they are averaged (`ema_decay`).

        Of `eval_dataset`, while training, at the threshold that `choose_threshold` chooses, which the model gets.
        After training the model's threshold stays as it is, but for a model that was not evaluated when it was saved.
        """
        is_due = self.is_in_train or (self.state.global_step > 0 and self._threshold_of(self._kept_step) is None)
        how = AUTO if self.choose_threshold is True else self.choose_threshold or None
        choice = how if eval_dataset is None and is_due else None
        with self._averaged(), self._kept_precision(), self._metrics.choosing(choice):
            return super().evaluate(eval_dataset, *args, **kwargs)

    def hyperparameter_search(
        self,
        hp_space: Callable[[Any], dict[str, float]] | None = None,
        compute_objective: Callable[[dict[str, float]], float] | None = None,
        n_trials: int = 20,
        direction: str | list[str] | None = None,
        **kwargs: Any,
    ) -> Any:
        """
        As Trainer's; by default a trial's score is `metric_for_best_model` of `eval_dataset`, of the checkpoint that
        the trial keeps.

        Args:
            direction: by default as `greater_is_better` says.

        Raises:
            RuntimeError: there is no `model_init`.
            ValueError: there is no `eval_dataset`, or no `metric_for_best_model` and no `compute_objective`.
        """
        if self.eval_dataset is None:
            raise ValueError("A search chooses by the scores on `eval_dataset`: pass one.")
        if compute_objective is None:
            if self.args.metric_for_best_model is None:
                raise ValueError("A search chooses by `metric_for_best_model` or `compute_objective`: pass one.")
            compute_objective = self._score_of_trial
        direction = direction or ("maximize" if self.args.greater_is_better else "minimize")
        return super().hyperparameter_search(hp_space, compute_objective, n_trials, direction, **kwargs)

    def _score_of_trial(self, metrics: dict[str, float]) -> float:
        name = str(self.args.metric_for_best_model).removeprefix("eval_")
        score, best = metrics[f"eval_{name}"], self.state.best_metric
        if not self.args.load_best_model_at_end or best is None:
            return score
        return max(score, best) if self.args.greater_is_better else min(score, best)

    @property
    def _kept_step(self) -> int:
        """Of the checkpoint whose weights the model has after training."""
        loaded = self.args.load_best_model_at_end and self.state.best_model_checkpoint
        return (loaded and self.state.best_global_step) or self.state.global_step

    def _threshold_of(self, step: int | None) -> Threshold | None:
        return _logged_threshold(self.state, self._metrics.config.label_names, step)

    def _set_threshold(self, value: Threshold | None) -> None:
        if self.choose_threshold and value is not None:
            self._metrics.config.decision_threshold = value

    @contextmanager
    def _kept_precision(self) -> Iterator[None]:
        """Trainer's `…_full_eval` moves the weights themselves to half precision, also those that are saved later."""
        halved = (self.args.fp16_full_eval or self.args.bf16_full_eval) and not self.is_in_train
        tensors = [*self.model.parameters(), *self.model.buffers()] if halved else []
        before = [tensor.data for tensor in tensors]
        yield
        for tensor, value in zip(tensors, before, strict=True):
            tensor.data = value

    def _averaged(self) -> AbstractContextManager[None]:
        return nullcontext() if self.averaging is None else self.averaging.applied()

    def _track(self, terms: dict[str, torch.Tensor]) -> None:
        for name, value in terms.items():
            self._terms[name] = self._terms.get(name, 0.0) + value.detach()
            self._term_counts[name] += 1

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the mean of every objective term since the last log, over all processes, to the training logs."""
        if "loss" in logs and self._terms:
            names = sorted(self._terms)
            means = torch.stack([self._terms[name] / self._term_counts[name] for name in names])
            gathered = self.accelerator.gather(means[None]).mean(dim=0)
            logs.update(zip(names, gathered.tolist(), strict=True))
            self._terms.clear()
            self._term_counts.clear()
        super().log(logs, start_time)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """As Trainer's, with a learning rate of their own for all parameters but the text encoder's, if asked for."""
        is_new = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if is_new and self.args.heads_learning_rate is not None:
            text_encoder = self.accelerator.unwrap_model(self.model).text_encoder
            encoder = set() if text_encoder is None else {id(value) for value in text_encoder.parameters()}
            for group in list(optimizer.param_groups):
                heads = [value for value in group["params"] if id(value) not in encoder]
                group["params"] = [value for value in group["params"] if id(value) in encoder]
                optimizer.add_param_group({**group, "params": heads, "lr": self.args.heads_learning_rate})
        return optimizer

    # Files

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        with self._averaged():
            super()._save_checkpoint(model, trial)

    def _load_best_model(self) -> None:
        best = str(self.state.best_model_checkpoint)
        problem = weights_damage(best)
        if problem is not None:
            raise ValueError(
                f"{best}, the best checkpoint, cannot be loaded: {problem}. Remove the folder and run again, "
                "which keeps the last checkpoint."
            )
        super()._load_best_model()
        self._set_threshold(self._threshold_of(self.state.best_global_step))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        state = TrainerState.load_from_json(str(Path(resume_from_checkpoint, TRAINER_STATE_NAME)))
        self._set_threshold(_logged_threshold(state, self._metrics.config.label_names))
        load_resume_state(self.accelerator.unwrap_model(model or self.model), resume_from_checkpoint)
        if self.averaging is not None:
            self.averaging.resume(model or self.model, resume_from_checkpoint)

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        if self.averaging is not None:
            self.averaging.save_raw_weights(output_dir, self.args.should_save)
        if self.args.should_save:
            save_resume_state(self.accelerator.unwrap_model(self.model), output_dir)
        # The first process writes `trainer_state.json` next, which declares the checkpoint of all of them complete.
        self.accelerator.wait_for_everyone()

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        card = folder / "README.md"
        previous = card.read_bytes() if card.exists() else None
        with without_bars(), unsharded_class(self.model):
            super()._save(output_dir, state_dict)
        # A pickle has no place beside weights that are to be shared, nor the empty form of a card that PEFT writes.
        if self.args.should_save:
            if previous is not None:
                card.write_bytes(previous)
            else:
                card.unlink(missing_ok=True)
            if self.processing_class is None and self.processor is not None:
                self.processor.save_pretrained(folder)
            (folder / TRAINING_ARGS_NAME).unlink(missing_ok=True)
            (folder / "training_args.json").write_text(self.args.to_json_string() + "\n")
            set_base_threshold(folder, self._metrics.threshold)

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Make the repository before training begins: a token that may not write fails now and not at the end."""

        if self.is_world_process_zero():
            name = self.args.hub_model_id or Path(self.args.output_dir).absolute().name
            private = self.args.hub_private_repo if private is None else private
            self.hub_model_id = make_repository(name, private=private, token=token or self.args.hub_token)
            self.push_in_progress = None
            if Path(self.args.output_dir, BASE_FOLDER).is_dir():
                check_base_repository(self.hub_model_id, token or self.args.hub_token)

    def create_model_card(
        self,
        language: str | list[str] | None = None,
        license: str | None = None,
        tags: str | list[str] | None = None,
        model_name: str | None = None,
        **others: Any,
    ) -> None:
        """
        Write `README.md` into the output folder from what the run and its [`ModelCardCallback`] know.

        Args:
            language, license, tags, model_name: instead of what is known, or besides.

        Raises:
            ValueError: one of the other arguments of `Trainer.create_model_card`; the card has them from the run.
        """

        if any(value is not None for value in others.values()):
            raise ValueError(f"The card says by itself what was trained on what: leave {sorted(others)} out.")
        callbacks = [item for item in self.callback_handler.callbacks if isinstance(item, ModelCardCallback)]
        callback = callbacks[0] if callbacks else ModelCardCallback(self.processor)
        given = {"language": language, "license": license, "model_name": model_name, "model_id": self.hub_model_id}
        names = [tags] if isinstance(tags, str) else tags
        callback.write(self.args, self.state, self.accelerator.unwrap_model(self.model), tags=names, **given)

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """
        Save the model, write its card, and push both in one commit; see [`sharing.push.push_folder`].

        Args:
            blocking: whether to wait for the end, or return a `Future`.
            token, revision, private: by default the `hub_…` arguments of the run.
            kwargs: of `create_model_card`.

        Returns:
            On the first process the commit, elsewhere `None`.

        Raises:
            PushError: the Hub refused, or the connection broke; run it again.
        """

        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        token = self.args.hub_token if token is None else token
        if self.hub_model_id is None:
            self.init_hf_repo(token=token, private=private)
        self.save_model(_internal_call=True)
        kwargs.setdefault("model_name", self.hub_model_id.split("/")[-1])
        self.create_model_card(**kwargs)
        if not self.is_world_process_zero():
            return None
        push = partial(
            push_folder,
            self.args.output_dir,
            self.hub_model_id,
            private=self.args.hub_private_repo if private is None else private,
            revision=revision or self.args.hub_revision,
            commit_message=commit_message or "End of training",
            token=token,
        )
        return push() if blocking else HfApi().run_as_future(push)


def _logged_threshold(state: TrainerState, label_names: Sequence[str], step: int | None = None) -> Threshold | None:
    """The `decision_threshold` of the evaluation after this step; by default of the last one."""
    entries = (entry for entry in reversed(state.log_history) if step in (None, entry["step"]))
    found = (logged_threshold(entry, label_names) for entry in entries)
    return next((threshold for threshold in found if threshold is not None), None)


def _check_choice(choice: bool | str) -> None:
    """Refuse a way of choosing thresholds that there is not."""
    if not isinstance(choice, bool) and choice not in THRESHOLD_CHOICES:
        known = ", ".join(THRESHOLD_CHOICES)
        raise ValueError(f"`choose_threshold` must be True, False or one of {known}, got {choice!r}.")


def _check_metric(args: UnivaTrainingArguments, config: Any) -> None:
    """Refuse a `metric_for_best_model` that no evaluation will have."""
    if args.metric_for_best_model is None or args.eval_strategy == "no":
        return
    known = [*METRICS, "loss", *(f"f1_{label}" for label in config.label_names)]
    name = args.metric_for_best_model.removeprefix("eval_")
    if name not in known:
        near = get_close_matches(name, known, n=len(known), cutoff=0.5)
        ordered = [*near, *(other for other in known if other not in near)]
        raise ValueError(f"`metric_for_best_model` must be one of {', '.join(ordered)}, got {name!r}.")


def _reads_dialogues(model: Any) -> bool:
    """Whether the scores of an utterance depend on the others of its dialogue in the batch."""
    return getattr(model, "reads_dialogues", False)


class _FitStatistics(TrainerCallback):
    """Lets the model take from the training split what its method needs, unless it comes from a checkpoint."""

    def __init__(self, trainer: UnivaTrainer):
        self.trainer = trainer

    def on_train_begin(self, args, state, control, **kwargs):
        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        if state.global_step > 0 or _fits_nothing(model):
            return
        if isinstance(self.trainer.train_dataset, StreamedUtterances):
            raise ValueError(
                f"{type(model).__name__} takes statistics of the whole training split, which a stream does not have: "
                "leave `streaming` out."
            )
        model.fit_statistics(self.trainer.train_dataset)
        if args.world_size > 1:
            # Sums may differ in their last bits from process to process.
            broadcast(list(model.buffers()))


def _fits_nothing(model: Any) -> bool:
    method = getattr(model, "fit_statistics", None)
    return method is None or getattr(method, "__func__", None) is EmotionModel.fit_statistics


class _SetEpoch(TrainerCallback):
    """Tells the batch sampler which epoch begins, also after resuming in the middle of one."""

    def __init__(self, sampler: UtteranceBatchSampler):
        self.sampler = sampler

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.sampler.set_epoch(int(state.epoch or 0))
