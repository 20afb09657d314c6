# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""LoRA adapters in training: low-rank updates of the text encoder, everything else trained in full."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import nn
from transformers import PreTrainedModel
from transformers.utils import CONFIG_NAME, logging

from ..models.configuration_emotion import EmotionConfig
from ..models.modeling_emotion import EmotionModel
from ..models.processing_univa import UnivaProcessor
from ..models.systems import system_of
from ..scores.thresholds import THRESHOLD_CHOICES
from ..sharing.adapters import BASE_FOLDER, AdapterBase, require_peft, write_model
from .arguments import ModelArguments


if TYPE_CHECKING:
    from peft import PeftModel


__all__ = ["ATTENTION", "ALL_LINEAR", "check_lora_arguments", "check_base_for_push", "add_adapter", "shares_base"]

logger = logging.get_logger(__name__)


ATTENTION, ALL_LINEAR = "attention", "all-linear"


_ATTENTION_NAMES = ("attention", "attn")


def check_lora_arguments(args: ModelArguments) -> None:
    """
    Check the `lora_*` arguments against each other.

    Raises:
        ValueError: names the argument, what it was and what it must be.
        ImportError: an adapter is asked for and peft is missing.
    """
    if args.lora_rank is None:
        given = [name for name, value in vars(args).items() if name.startswith("lora_") and value is not None]
        if given:
            raise ValueError(f"`{given[0]}` needs `lora_rank`: pass it too, or leave both out to train all weights.")
        return
    require_peft()
    for name, value in (("lora_rank", args.lora_rank), ("lora_alpha", args.lora_alpha)):
        if value is not None and value < 1:
            raise ValueError(f"`{name}` must be at least 1, got {value}.")
    if args.lora_dropout is not None and not 0 <= args.lora_dropout < 1:
        raise ValueError(f"`lora_dropout` must lie in [0, 1), got {args.lora_dropout}.")


def check_base_for_push(args: ModelArguments) -> None:
    """
    Check, before a run that will be pushed, that others can have the base of its adapter.

    Raises:
        ValueError: the base is the folder that the run goes on from.
    """
    if args.lora_rank is None or args.model is None or not Path(args.model, CONFIG_NAME).is_file():
        return
    try:
        config: Any = system_of(args.model).config_class.from_pretrained(args.model, **args.config_overrides())
    except ValueError:
        return  # Building the model says what does not fit.
    base = _shared_base(config, args)
    if base is not None:
        raise ValueError(
            f"The adapter that `lora_rank` trains would be one of the model in {base.name}, which others cannot "
            "download: push that model and use its Hub id as `model`, or leave `push_to_hub` out."
        )


def add_adapter(
    model: EmotionModel,
    args: ModelArguments,
    output_dir: str | Path,
    write_base: bool,
    processor: UnivaProcessor | None = None,
) -> "PeftModel":
    """
    Freeze a model but for low-rank updates in its text encoder and for all of its modules outside of it.

    Args:
        model: as the run starts with; text layers that are frozen get no update.
        args: the run's arguments, `lora_rank` among them.
        output_dir: the run's folder, for the base where the run has one of its own.
        write_base: whether this process writes that base.
        processor: the model's, saved with the base.

    Raises:
        ValueError: an argument out of range, a model without a pretrained text encoder, or target modules that it
            does not have.
        ImportError: peft is missing.
    """
    check_lora_arguments(args)
    from peft import LoraConfig, get_peft_model

    encoder = _text_encoder(model)
    rank = cast(int, args.lora_rank)
    base = _shared_base(model.config, args)
    if base is None:
        base = AdapterBase(str(Path(output_dir, BASE_FOLDER).resolve()))
        if write_base:
            write_model(model, processor, Path(base.name))
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank if args.lora_alpha is None else args.lora_alpha,
        lora_dropout=args.lora_dropout or 0.0,
        target_modules=_target_modules(model, encoder, args.lora_target_modules or [ATTENTION]),
        modules_to_save=list(_modules_outside(model, encoder)),
    )
    total = model.num_parameters()
    adapted = get_peft_model(model, config)
    # `get_peft_model` sets both to what the model was loaded from, which is not the base where that is new.
    adapted.peft_config["default"].base_model_name_or_path = base.name
    adapted.peft_config["default"].revision = base.revision
    trained, _ = adapted.get_nb_trainable_parameters()
    share = f"{trained / total:.1%} of the {total:,} that the base has"
    logger.warning(f"LoRA of rank {rank} on {base.name} trains {trained:,} parameters, {share}.")
    return adapted


def _text_encoder(model: EmotionModel) -> PreTrainedModel:
    encoder = model.text_encoder
    if encoder is None:
        raise ValueError(
            "`lora_rank` adapts a pretrained text encoder, and this model has none: pass `text_model`, or a "
            "`model` that has one."
        )
    return encoder


def _shared_base(config: EmotionConfig, args: ModelArguments) -> AdapterBase | None:
    """The trained model that the run goes on from, `None` where it starts from anything else."""
    if args.model is None:
        return None
    hub = {"revision": args.model_revision or "main"}
    source: Any = system_of(args.model, **hub).config_class.from_pretrained(args.model, **hub)
    overrides = args.config_overrides()
    if args.decision_threshold in THRESHOLD_CHOICES or source.label_names != config.label_names:
        return None
    names = [*overrides, *args.affect_overrides(source.label_names)]
    if any(getattr(source, name) != getattr(config, name) for name in names):
        return None
    if Path(args.model).is_dir():
        return AdapterBase(str(Path(args.model).resolve()))
    return AdapterBase(args.model, _commit_of(args.model, args.model_revision))


def shares_base(config: EmotionConfig, args: ModelArguments) -> bool:
    """Whether a run trains an adapter of a model that is not its own, so that its configuration stays as it is."""
    return args.lora_rank is not None and _shared_base(config, args) is not None


def _commit_of(name: str, revision: str | None) -> str | None:
    """The commit whose files `from_pretrained` took from the cache; as given where that cannot be told."""
    from transformers.utils.hub import cached_file, extract_commit_hash

    file = cached_file(name, "config.json", revision=revision or "main", local_files_only=True)
    return extract_commit_hash(file, None) or revision


def _target_modules(model: nn.Module, encoder: nn.Module, wanted: Sequence[str]) -> list[str]:
    """Full names of the text encoder's linear layers that get an update."""
    names = [
        name
        for name, module in _named_inside(model, encoder)
        if isinstance(module, nn.Linear) and module.weight.requires_grad and _is_wanted(name, wanted)
    ]
    missing = [
        name for name in wanted if not any(_is_wanted(found, [name]) for found, _ in _named_inside(model, encoder))
    ]
    if missing or not names:
        known = sorted({name.rpartition(".")[2] for name in _linear_names(model, encoder)})
        raise ValueError(
            f"`lora_target_modules` {list(wanted)} fits no linear layer of the text encoder that is not frozen: "
            f"give {ALL_LINEAR!r}, or some of {known}."
        )
    return names


def _linear_names(model: nn.Module, encoder: nn.Module) -> list[str]:
    return [name for name, module in _named_inside(model, encoder) if isinstance(module, nn.Linear)]


def _named_inside(model: nn.Module, encoder: nn.Module) -> list[tuple[str, nn.Module]]:
    prefix = next(name for name, module in model.named_modules() if module is encoder)
    return [(f"{prefix}.{name}", module) for name, module in encoder.named_modules() if name]


def _is_wanted(name: str, wanted: Sequence[str]) -> bool:
    return any(
        (choice == ALL_LINEAR)
        or (choice == ATTENTION and any(part in name.lower() for part in _ATTENTION_NAMES))
        or name.endswith(f".{choice}")
        for choice in wanted
    )


def _modules_outside(module: nn.Module, encoder: nn.Module, prefix: str = "") -> Iterator[str]:
    """Names of the largest modules with parameters or buffers that neither are nor hold the text encoder."""
    for name, child in module.named_children():
        if child is encoder:
            continue
        # PEFT takes no container as a whole.
        if isinstance(child, nn.ModuleDict | nn.ModuleList) or any(inner is encoder for inner in child.modules()):
            yield from _modules_outside(child, encoder, f"{prefix}{name}.")
        elif child.state_dict():
            yield f"{prefix}{name}"
