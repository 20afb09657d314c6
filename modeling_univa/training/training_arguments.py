# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The arguments of `UnivaTrainer`: those of Trainer that mean something here, and ours."""

from dataclasses import dataclass, field, fields

import torch
from transformers import TrainingArguments
from transformers.debug_utils import DebugOption

from ..data.samplers import BATCHINGS
from ..data.va_scaling import VA_SCALINGS
from ..scores.headline import METRICS


__all__ = ["UnivaTrainingArguments", "refuse_slow_bfloat16"]


# Options of `TrainingArguments` that nothing here heeds, and what there is instead.
_BATCHES = "batches are made by `batching`"


_UNHEEDED = {
    "label_smoothing_factor": "the target is the softmax of the multi-hot labels, of which none is 0 or 1",
    "train_sampling_strategy": _BATCHES,
    "length_column_name": _BATCHES,
    "dataloader_drop_last": f"{_BATCHES}, and every row is in one of them",
    "remove_unused_columns": "the columns that the model needs are chosen already",
    "label_names": "the labels are called `labels`",
    "prediction_loss_only": "the metrics need the predictions",
    "include_for_metrics": "the metrics need predictions and labels alone",
    "eval_do_concat_batches": "the metrics are over all rows together",
    "batch_eval_metrics": "the metrics are over all rows together",
    "include_num_input_tokens_seen": "an utterance is more than its tokens",
    "use_cache": "the model generates nothing",
    "use_liger_kernel": "there are no such kernels for the model",
    "liger_kernel_config": "there are no such kernels for the model",
    "hub_always_push": "only a finished model is pushed",
}


_OPTIMIZERS_OF_MODULES = ("galore", "apollo", "lomo", "adalomo")


_UNHEEDED_OF_ACCELERATOR = {
    "split_batches": "`per_device_train_batch_size` is that of a process",
    "dispatch_batches": "every process reads its own rows",
}


@dataclass
class UnivaTrainingArguments(TrainingArguments):
    """
    Arguments of a UniVA run: those of `TrainingArguments`, with the method's defaults, and the ones below.

    The defaults evaluate and save every epoch and keep the checkpoint of best validation micro-F1.
    """

    eval_strategy: str = field(default="epoch", metadata={"help": "When to evaluate."})
    save_strategy: str | None = field(
        default=None, metadata={"help": "When to save a checkpoint; by default when evaluating, or every epoch."}
    )
    save_steps: float | None = field(
        default=None,
        metadata={
            "help": "Steps, or below 1 the share of steps, between checkpoints; by default those of evaluation."
        },
    )
    logging_strategy: str = field(default="epoch", metadata={"help": "When to log the objective's terms."})
    load_best_model_at_end: bool = field(
        default=True, metadata={"help": "Test the checkpoint of best validation score."}
    )
    metric_for_best_model: str | None = field(default="micro_f1", metadata={"help": "The validation score."})
    save_total_limit: int | None = field(default=2, metadata={"help": "Checkpoints to keep: the best and the last."})
    remove_unused_columns: bool | None = field(default=False, metadata={"help": "Our collator chooses the columns."})
    # Trainer switches this off with activation checkpointing, which changes nothing about what goes unused.
    ddp_find_unused_parameters: bool | None = field(
        default=True, metadata={"help": "Whether some parameters may go unused in a step, over several processes."}
    )
    hub_strategy: str = field(default="end", metadata={"help": "Only end: a finished model is pushed, in one commit."})
    adam_epsilon: float = field(default=1e-6, metadata={"help": "Epsilon of AdamW, as in the released code."})
    warmup_steps: float = field(default=0.1, metadata={"help": "Steps, or below 1 the share of steps, of warm-up."})
    seed: int = field(default=1111, metadata={"help": "Seed of weights, dropout and batches."})
    batching: str = field(
        default="length",
        metadata={"help": f"What a training batch is made of: {', '.join(BATCHINGS)} (see UtteranceBatchSampler)."},
    )
    va_scaling: str = field(
        default="released", metadata={"help": f"Scaling of VA scores: {', '.join(VA_SCALINGS)} (see scale_va)."}
    )
    heads_learning_rate: float | None = field(
        default=None,
        metadata={"help": "Learning rate of all but the pretrained text encoder; by default `learning_rate`."},
    )
    ema_decay: float | None = field(
        default=None,
        metadata={
            "help": "Evaluate and keep an exponential moving average of the weights over the steps, with this decay "
            "(0.995, say); by default the weights themselves."
        },
    )
    logit_adjustment: float = field(
        default=0.0,
        metadata={
            "help": "This many times the logarithm of a label's frequency in the training split is added to its logit "
            "in the loss (Menon et al., 2021), so that the model itself predicts rare labels more often: 0.2, say."
        },
    )
    card_license: str | None = field(
        default=None,
        metadata={"help": "Licence of the model on its card, an identifier of the Hub's list; none by default."},
    )
    card_language: list[str] | None = field(
        default=None, metadata={"help": "Languages on the model's card, such as en; by default those of the corpus."}
    )

    def __post_init__(self) -> None:
        for name, known in (("batching", BATCHINGS), ("va_scaling", VA_SCALINGS)):
            if getattr(self, name) not in known:
                raise ValueError(f"`{name}` must be one of {', '.join(known)}, got {getattr(self, name)!r}.")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ValueError(f"`ema_decay` must lie between 0 and 1, got {self.ema_decay}.")
        if not 0 <= self.logit_adjustment < float("inf"):
            raise ValueError(f"`logit_adjustment` must be at least 0, got {self.logit_adjustment}.")
        if self.hub_strategy != "end":
            raise ValueError(f"`hub_strategy` must be end, got {self.hub_strategy!r}: only a whole model is pushed.")
        for name in ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1, got {getattr(self, name)}.")
        if self.num_train_epochs <= 0 and self.max_steps <= 0:
            raise ValueError(f"`num_train_epochs` must be greater than 0, got {self.num_train_epochs}.")
        self._save_when_evaluating()
        metric = METRICS.get(str(self.metric_for_best_model).removeprefix("eval_"))
        if metric is not None and vars(self)["greater_is_better"] is None:
            self.greater_is_better = metric.greater_is_better
        super().__post_init__()
        if self.lr_scheduler_type in ("reduce_lr_on_plateau", "greedy"):
            # By default both take a score that falls for a better one.
            mode = {"mode": "max" if self.greater_is_better else "min"}
            self.lr_scheduler_kwargs = mode | (vars(self)["lr_scheduler_kwargs"] or {})
        self._refuse_what_is_unheeded()

    def _save_when_evaluating(self) -> None:
        """Defaults that depend on when the run is evaluated."""
        if self.eval_strategy == "no":
            if self.save_strategy == "best":
                raise ValueError("`save_strategy` = best needs an `eval_strategy` other than no, got no.")
            self.load_best_model_at_end = False
        if self.save_strategy is None:
            self.save_strategy = "epoch" if self.eval_strategy == "no" else self.eval_strategy
        if self.save_steps is None:
            by_steps = self.eval_strategy == self.save_strategy == "steps"
            self.save_steps = (self.eval_steps or self.logging_steps) if by_steps else 500

    def _refuse_what_is_unheeded(self) -> None:
        for item in fields(UnivaTrainingArguments):
            default = item.default_factory() if callable(item.default_factory) else item.default
            if item.name in _UNHEEDED and getattr(self, item.name) != default:
                raise ValueError(f"`{item.name}` has no effect here, so leave it out: {_UNHEEDED[item.name]}.")
        if self.optim_target_modules is not None and not str(self.optim.value).startswith(_OPTIMIZERS_OF_MODULES):
            raise ValueError(
                f"`optim_target_modules` has no effect with `optim` = {self.optim.value}, so leave it out."
            )
        if DebugOption.UNDERFLOW_OVERFLOW in self.debug:
            raise ValueError("`debug` = underflow_overflow cannot read the model's masks, so leave it out.")
        for name, reason in _UNHEEDED_OF_ACCELERATOR.items():
            if getattr(self.accelerator_config, name):
                raise ValueError(f"`{name}` of `accelerator_config` has no effect here, so leave it out: {reason}.")
        for name in ("fp16", "fp16_full_eval"):
            if getattr(self, name) and self.device.type == "cpu":
                raise ValueError(
                    f"`{name}` has no effect on a CPU: leave it out, or use `{name.replace('fp16', 'bf16')}`."
                )
        if self.device.type == "cpu":
            for name in ("bf16", "bf16_full_eval"):
                if getattr(self, name):
                    refuse_slow_bfloat16(name)


def refuse_slow_bfloat16(argument: str) -> None:
    """
    Refuse an argument that asks for bfloat16 on a CPU that can only imitate it, hundreds of times slower than float32.

    Raises:
        ValueError: this processor, or this build of PyTorch, has no matrix product in bfloat16.
    """
    if not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        raise ValueError(
            f"`{argument}` needs a processor that multiplies in bfloat16 (AVX-512 on x86), and this one does not: "
            "leave it out."
        )
