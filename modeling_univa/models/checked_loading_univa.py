# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The one door through which configurations and weights come in, of this package's networks and of others.

A folder or repository may be damaged or forged. It is refused in one sentence where its weights are not all there or
not finite, where its configuration asks for more than `LIMITS` allows, and nothing in it decides which code runs here.
"""

import json
import logging
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path, PurePath
from typing import Any, ClassVar

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import AutoConfig, PreTrainedConfig
from transformers.activations import ACT2FN
from transformers.utils import CONFIG_NAME, SAFE_WEIGHTS_INDEX_NAME

from .files_univa import field_message, one_line
from .limits_univa import LIMITS, check_limit


# What says how to compute, not what: such a value may name a repository whose code transformers would download and
# run, a file to read instead of the weights, or patches of transformers itself. It counts where a caller passes it.
_RUNTIME_SETTINGS = frozenset(
    {
        "attn_implementation", "_attn_implementation", "_attn_implementation_internal", "_attn_implementation_autoset",
        "experts_implementation", "_experts_implementation", "_experts_implementation_internal",
        "chunk_size_feed_forward", "distributed_config", "fusion_config", "kernel_config", "return_dict",
        "transformers_weights", "use_kernels",
    }
)  # fmt: skip
# Weights that decide nothing in evaluation, which published checkpoints may lack.
_MAY_LACK = (r"num_batches_tracked$", r"masked_spec_embed$")
# Maximum number of values that a checkpoint may leave to be made up: a new classifier has fewer by far.
_MOST_NEW_NUMBERS = 2**28
# Which limit a field of a configuration has, by what its name holds; the first one that fits.
_FIELD_LIMITS = (
    ("vocab", "vocabulary"),
    ("layer|depth|block", "layers"),
    ("position|length", "length"),
    ("size|dim|width|head|hidden|channel|kernel|stride|expert|group|embd|inner|ffn|^d_|^n_|num_", "width"),
)
_NOT_SIZES = re.compile(r"(_ids?|_index|_idx|_seed)$|^(num_labels|chunk_size_feed_forward)$")
# Those without which no network is built; others may be 0 or, as a switch, -1.
_CORE_SIZES = ("hidden_size", "num_attention_heads", "vocab_size", "max_position_embeddings", "num_hidden_layers")
_MOST_NAMED = 3
_LONGEST_REASON = 500


class CheckedConfig:
    """Mixin of a configuration: what a file says is checked before it is believed. Goes before the configuration."""

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """
        As `PreTrainedConfig.from_dict`, with every field that `kwargs` overrides in place before the rest is derived
        from it, and without what a file has no say in: attention and expert implementations, kernels and the like.
        """
        _check_label_numbers(config_dict)
        kind, own = config_dict.get("model_type"), getattr(cls, "model_type", "")
        if kind not in (None, own):
            raise ValueError(f"it is of a {kind!r} model, not of a {own!r} one.")
        fields, nested = getattr(cls, "__dataclass_fields__", {}), getattr(cls, "sub_configs", {})
        # Of a dictionary for a nested configuration transformers changes single fields; it also knows what "auto" is.
        names = [
            name
            for name, value in kwargs.items()
            if name in fields and name != "dtype" and not (name in nested and isinstance(value, dict))
        ]
        overrides = {name: kwargs.pop(name) for name in names}
        settings = cls._overridden(own_settings(config_dict), overrides, kwargs)
        _check_dtype(settings.get("dtype", settings.get("torch_dtype")))
        return super().from_dict(settings, **kwargs)  # type: ignore[misc]

    @classmethod
    def _overridden(cls, settings: dict[str, Any], overrides: dict[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
        """The file's settings with those of the caller; `rest` are arguments of `from_dict` that name no field."""
        return {**settings, **overrides}

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | PathLike, **kwargs: Any) -> Any:
        """
        As `PreTrainedConfig.from_pretrained`.

        Raises:
            `ValueError`: the configuration cannot be used; names the folder and the field.
            `OSError`: there is none.
        """
        with refusal(pretrained_model_name_or_path, "The configuration of {} cannot be used", CONFIG_NAME):
            return super().from_pretrained(pretrained_model_name_or_path, **kwargs)  # type: ignore[misc]


class CheckedModel:
    """Mixin of a network: a folder whose weights do not make up all of it is refused. Goes before the network."""

    # Patterns of the parameters that depend on the labels; made again with `ignore_mismatched_sizes=True`.
    head_parameters: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | PathLike | None,
        *model_args: Any,
        output_loading_info: bool = False,
        ignore_mismatched_sizes: bool = False,
        **kwargs: Any,
    ) -> Any:
        """
        As `PreTrainedModel.from_pretrained`, but that every weight has to be there and finite.

        Args:
            ignore_mismatched_sizes: make what depends on the labels again where the weights do not have it, or have it
                in another size.

        Raises:
            `ValueError`: weights are missing, unknown, of another shape or not finite; or they cannot be read.
            `OSError`: there is no such folder or repository.
        """
        name = pretrained_model_name_or_path
        _check_folder(name, kwargs)
        with refusal(name, "{} cannot be loaded", CONFIG_NAME), _without_load_report():
            # The sentence about other shapes comes from here.
            model, report = super().from_pretrained(  # type: ignore[misc]
                name, *model_args, output_loading_info=True, ignore_mismatched_sizes=True, **kwargs
            )
        new = cls.head_parameters if ignore_mismatched_sizes else ()
        check_weights(name, model, report, new=new, may_have=model.unused_parameters)
        return (model, report) if output_loading_info else model

    @property
    def unused_parameters(self) -> tuple[str, ...]:
        """Patterns of parameters that a checkpoint may have and this network does without."""
        return ()

    def post_init(self) -> None:
        """As in transformers, once the size of the network is found to be sane; loading has not allocated it then."""
        check_limit("parameters", sum(parameter.numel() for parameter in self.parameters()), "The network")  # type: ignore[attr-defined]
        super().post_init()  # type: ignore[misc]

    def _move_missing_keys_from_meta_to_device(self, missing_keys: Any, *args: Any, **kwargs: Any) -> None:
        # transformers is about to allocate what the weights lack, as large as the configuration says.
        parameters: dict[str, Any] = dict(self.named_parameters())  # type: ignore[attr-defined]
        lacking = sum(parameters[name].numel() for name in set(missing_keys) & set(parameters))
        if lacking > _MOST_NEW_NUMBERS:
            raise ValueError(
                f"its configuration describes {lacking:,} numbers that its weights lack: download it again."
            )
        super()._move_missing_keys_from_meta_to_device(missing_keys, *args, **kwargs)  # type: ignore[misc]


# Networks of others


def read_config(name: str | PathLike, **kwargs: Any) -> Any:
    """
    The configuration of a network of transformers, without code of its own and what a file has no say in.

    Args:
        name: folder or Hub id.
        kwargs: of `AutoConfig.from_pretrained`; also `attn_implementation`.

    Raises:
        `ValueError`: it is not of an architecture of transformers, or asks for more than the limits allow.
        `OSError`: there is none.
    """
    attention = kwargs.pop("attn_implementation", None)
    with refusal(name, "The configuration of {} cannot be used", CONFIG_NAME):
        _check_label_numbers(PreTrainedConfig.get_config_dict(name, **_hub_arguments(kwargs))[0])
        config = AutoConfig.from_pretrained(name, trust_remote_code=False, **kwargs)
        forget_runtime_settings(config)
        check_architecture(config)
    if attention is not None:
        config._attn_implementation = attention
    return config


def load_network(
    auto_class: Any, name: str | PathLike, config: Any = None, new: Iterable[str] = (), **kwargs: Any
) -> Any:
    """
    A network of transformers in evaluation mode, of which nothing is made up and no code of its own is run.

    Args:
        auto_class: such as `AutoModel`.
        name: folder or Hub id.
        config: read by `read_config`, if it is at hand.
        new: patterns of parameters that may be missing or of another shape, and are then made again.
        kwargs: of `from_pretrained`.

    Raises:
        `ValueError`: weights are missing, of another shape or not finite; or they cannot be read.
        `OSError`: there is no such folder or repository.
    """
    if config is None:
        config = read_config(name, **_hub_arguments(kwargs))
    _check_folder(name, kwargs)
    with refusal(name, "{} cannot be loaded", CONFIG_NAME), _without_load_report():
        model, report = auto_class.from_pretrained(
            name,
            config=config,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **kwargs,
        )
    # Checkpoints of others may have a head that this class does without.
    check_weights(name, model, {**report, "unexpected_keys": ()}, new=new)
    return model.eval()


def _check_folder(name: Any, options: Mapping[str, Any]) -> None:
    folder = Path(str(name), options.get("subfolder") or "")
    if not folder.is_dir():
        return
    if options.get("config") is None and not (folder / CONFIG_NAME).is_file():
        if any((folder / "data").glob("*.parquet")):
            raise Refusal(f"{folder} is a corpus, and a model is expected in its place.")
        raise Refusal(f"{folder} cannot be loaded: it has no file {CONFIG_NAME}. Save the model again.")
    check_index(folder)


def check_weights(
    name: str | PathLike | None,
    model: nn.Module,
    report: Mapping[str, Any],
    new: Iterable[str] = (),
    may_have: Iterable[str] = (),
) -> None:
    """
    Refuse a network that is not, all of it and nothing else, what was saved.

    Args:
        name: what it was loaded from, for the message.
        model: the loaded network.
        report: what `from_pretrained(…, output_loading_info=True)` told.
        new: patterns of parameters that may be missing or of another shape.
        may_have: patterns of parameters that the weights may have beyond those of the network.

    Raises:
        `ValueError`: names the parameters and what to do.
    """
    kept = re.compile("|".join([*_MAY_LACK, *(f"^(?:{pattern})" for pattern in new)]))
    surplus = re.compile("|".join(f"^(?:{pattern})" for pattern in [*new, *may_have]) or "(?!)")
    missing = sorted(key for key in report["missing_keys"] if not kept.search(key))
    if missing:
        raise ValueError(f"{name} lacks weights of its own architecture: {_named(missing)}. {_REMEDY}")
    unknown = sorted(key for key in report["unexpected_keys"] if not surplus.search(key))
    if unknown:
        raise ValueError(
            f"{name} has weights that the architecture in its config.json does not have: {_named(unknown)}. {_REMEDY}"
        )
    shapes = sorted(tuple(entry) for entry in report["mismatched_keys"] if not kept.search(entry[0]))
    if shapes:
        key, found, expected = shapes[0]
        raise ValueError(
            f"{name} has {key} in the shape {tuple(found)}, and its configuration says {tuple(expected)}: use the "
            "configuration that it was saved with, or pass `ignore_mismatched_sizes=True` for a classifier of other "
            "labels."
        )
    check_finite(name, model)


def check_finite(name: str | PathLike | None, model: nn.Module) -> None:
    """Raise a `ValueError` where a saved number of a network is NaN or infinite."""
    for key, tensor in model.state_dict().items():
        if torch.is_tensor(tensor) and tensor.is_floating_point() and not tensor.is_meta and not _is_finite(tensor):
            raise ValueError(f"{name} has values that are not finite in {key}. {_REMEDY}")


_REMEDY = "The folder is damaged: save the model again, or download it again."


def _is_finite(tensor: torch.Tensor) -> bool:
    if not tensor.numel():
        return True
    # One pass without a copy, where `isfinite` takes several; NaN counts as the smallest and as the largest.
    values = tensor.float() if tensor.element_size() == 1 else tensor
    return all(bool(torch.isfinite(extreme)) for extreme in values.detach().aminmax())


def _named(keys: list[str]) -> str:
    more = f" and {len(keys) - _MOST_NAMED} more" if len(keys) > _MOST_NAMED else ""
    return f"{', '.join(keys[:_MOST_NAMED])}{more}"


class Refusal(ValueError):
    """A sentence on what is wrong with a folder or repository."""


@contextmanager
def refusal(name: Any, sentence: str, *files: str) -> Iterator[None]:
    """
    Turn whatever a damaged folder makes a library raise into a `Refusal`: one line that says what is wrong where.

    Args:
        name: folder or Hub id.
        sentence: what it is not good for; `{}` stands for the name.
        files: that are read, one of which is at fault where nothing better is known. `OSError` passes.
    """
    try:
        yield
    except (OSError, MemoryError, ImportError, Refusal):
        raise
    except Exception as error:
        place = " or ".join(files) or "it"
        reason = _damaged_file(name) or _reason(error) or f"{place} has a value of a wrong kind"
        if type(error) is Exception:
            # That of tokenizers, which does not say of which file it speaks.
            reason = f"{place}: {reason}"
        if len(reason) > _LONGEST_REASON:
            reason = f"{reason[:_LONGEST_REASON]}…"
        raise Refusal(f"{sentence.format(name)}: {reason}") from error


def _reason(error: Exception) -> str | None:
    """What an exception says to a user; `None` where it speaks of Python."""
    if isinstance(error, TypeError | AttributeError | LookupError | ArithmeticError | AssertionError | RecursionError):
        return None
    text = field_message(error) if isinstance(error, StrictDataclassError) else one_line(error)
    return text or None


def _damaged_file(name: Any) -> str | None:
    """Which file of a folder cannot be read at all."""
    folder = Path(str(name))
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            if not isinstance(json.loads(path.read_text(encoding="utf-8")), dict):
                return f"{path.name} must hold a JSON object: copy the file again"
        except RecursionError:
            return f"{path.name} is nested too deeply: copy the file again"
        except (OSError, ValueError) as error:
            return f"{path.name} cannot be read as JSON ({one_line(error)}): copy the file again"
    for path in sorted(folder.glob("*.safetensors")) if folder.is_dir() else ():
        try:
            # In a `try` as transformers wants it; it is what read the weights.
            from safetensors import safe_open

            with safe_open(path, "pt"):
                pass
        except Exception as error:
            return f"{path.name} is damaged ({one_line(error)}): copy the file again"
    return None


def check_index(name: Any) -> None:
    """
    Refuse an index of weights in several files that names something else than files beside it.

    Raises:
        `ValueError`: names the index.
    """
    index = Path(str(name), SAFE_WEIGHTS_INDEX_NAME)
    if not index.is_file():
        return
    with refusal(name, "{} cannot be loaded", index.name):
        content = json.loads(index.read_text(encoding="utf-8"))
        files = content["weight_map"].values()
        odd = [file for file in files if not isinstance(file, str) or not _lies_beside(index, file)]
        if odd or not isinstance(content.get("metadata", {}), dict):
            what = f"{str(odd[0])[:80]!r} as a file of weights" if odd else "`metadata` of a wrong kind"
            raise Refusal(f"{name} cannot be loaded: {index.name} has {what}, expected files beside it")


def _lies_beside(index: Path, file: str) -> bool:
    return PurePath(file).name == file and len(file) < 200 and (index.parent / file).is_file()


class _NoReport(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return "LOAD REPORT" not in str(record.msg)


@contextmanager
def _without_load_report() -> Iterator[None]:
    """Without transformers' table of keys, of which `check_weights` makes a sentence."""
    logger, without = logging.getLogger("transformers.modeling_utils"), _NoReport()
    logger.addFilter(without)
    try:
        yield
    finally:
        logger.removeFilter(without)


# Configurations


def own_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a file without those that it has no say in, at any depth."""
    return {
        name: own_settings(value) if isinstance(value, Mapping) else value
        for name, value in settings.items()
        if name not in _RUNTIME_SETTINGS
    }


def forget_runtime_settings(config: PreTrainedConfig) -> None:
    """Take what a file has no say in out of a configuration that was made of it, and of the ones in it."""
    for name in ("_attn_implementation", "_experts_implementation"):
        setattr(config, name, None)
    for name in _RUNTIME_SETTINGS & set(vars(config)):
        if not name.startswith("_"):
            delattr(config, name)
    for value in list(vars(config).values()):
        if isinstance(value, PreTrainedConfig):
            forget_runtime_settings(value)


def check_architecture(config: PreTrainedConfig, name: str = "") -> None:
    """
    Check the sizes in the configuration of any network, and of the ones in it, before anything is built.

    Args:
        config: of a network of transformers.
        name: what the configuration is called, for the message.

    Raises:
        `ValueError`: names the field, its limits and what was found.
    """
    prefix = f"{name}." if name else ""
    for key, value in vars(config).items():
        if isinstance(value, PreTrainedConfig):
            check_architecture(value, f"{prefix}{key}")
        else:
            _check_field(f"`{prefix}{key}`", key, value)
            _check_float(f"`{prefix}{key}`", key, value)
    for key in _CORE_SIZES:
        # What a class computes (XLNet's -1 for "any") is not a claim of the file.
        value = getattr(config, key, None) if {key, config.attribute_map.get(key)} & set(vars(config)) else None
        if isinstance(value, int | float) and (kind := _limit_of(key)):
            check_limit(kind, value, f"`{prefix}{key}`")
    activation = getattr(config, "hidden_act", None)
    if isinstance(activation, str):
        check_activation(activation, f"`{prefix}hidden_act`")
    check_limit("parameters", estimated_parameters(config), f"The network of `{name}`" if name else "The network")


def _check_dtype(dtype: Any) -> None:
    if isinstance(dtype, str) and dtype != "auto":
        found = getattr(torch, dtype.removeprefix("torch."), None)
        if not isinstance(found, torch.dtype):
            raise ValueError(f"`dtype` must be a type of torch such as float32, got {dtype[:80]!r}.")


def _check_field(shown: str, key: str, value: Any) -> None:
    kind = _limit_of(key)
    if "dropout" in key and isinstance(value, int | float) and not 0 <= value <= 1:
        raise ValueError(f"{shown} must lie in [0, 1], got {value}.")
    for number in value if isinstance(value, list | tuple) else (value,):
        is_number = isinstance(number, int) and not isinstance(number, bool)
        if kind and is_number and not -1 <= number <= LIMITS[kind].most:
            check_limit(kind, number, shown)


def _check_float(shown: str, key: str, value: Any) -> None:
    """NaN is a number of no setting; infinity is of some ("no limit")."""
    if isinstance(value, float) and math.isnan(value):
        raise ValueError(f"{shown} must be a number, got {value}.")
    if key.endswith("eps") and isinstance(value, int | float) and not 0 <= value < 1:
        raise ValueError(f"{shown} must lie in [0, 1), got {value}.")
    if "dropout" in key and isinstance(value, int | float) and not 0 <= value <= 1:
        raise ValueError(f"{shown} must lie in [0, 1], got {value}.")


def _check_label_numbers(settings: Any) -> None:
    """Check the number of labels at any depth, of which transformers makes as many names at once."""
    for key, value in settings.items() if isinstance(settings, Mapping) else ():
        if key == "num_labels" and value is not None:
            check_limit("labels", value, "The number of labels")
        _check_label_numbers(value)


def _hub_arguments(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    names = ("cache_dir", "local_files_only", "revision", "subfolder", "token")
    return {name: kwargs[name] for name in names if kwargs.get(name) is not None}


def _limit_of(key: str) -> str | None:
    if _NOT_SIZES.search(key):
        return None
    return next((kind for pattern, kind in _FIELD_LIMITS if re.search(pattern, key)), None)


def check_activation(name: str, shown: str = "`hidden_act`") -> None:
    """Raise a `ValueError` for an activation function that transformers does not know."""
    if name not in ACT2FN:
        raise ValueError(f"{shown} must be one of {', '.join(sorted(ACT2FN))}, got {name!r}.")


def check_sizes(config: Any, names: Iterable[str], may_be_zero: Iterable[str] = ()) -> None:
    """Raise a `ValueError` where a whole number in one of these fields is beyond the limit that its name has."""
    for name in names:
        kind, value = _limit_of(name), getattr(config, name)
        for number in value if isinstance(value, list | tuple) else (value,):
            is_number = isinstance(number, int) and not isinstance(number, bool)
            if kind and is_number and not (number == 0 and name in may_be_zero):
                check_limit(kind, number, f"`{name}`")


def check_finite_fields(config: Any) -> None:
    """Raise a `ValueError` where a number of a configuration is NaN or infinite, or a temperature is not positive."""
    for name in getattr(type(config), "__dataclass_fields__", {}):
        value = getattr(config, name, None)
        for number in value if isinstance(value, list | tuple) else (value,):
            if isinstance(number, float) and not -float("inf") < number < float("inf"):
                raise ValueError(f"`{name}` must be finite, got {value}.")
        _check_float(f"`{name}`", name, value)
        if name.endswith("_temperature") and value is not None and value <= 0:
            raise ValueError(f"`{name}` must be greater than 0, got {value}.")


def checked_labels(
    id2label: Mapping[Any, str] | None, num_labels: int | None
) -> tuple[dict[int, str] | None, dict[str, int] | None]:
    """
    Both directions of a configuration's labels.

    Raises:
        `ValueError`: the numbers are not 0 to n - 1, a name is empty or there twice, or there are too many.
    """
    for number in (num_labels, None if id2label is None else len(id2label)):
        if number is not None:
            check_limit("labels", number, "The number of labels")
    if id2label is not None and num_labels not in (None, len(id2label)):
        raise ValueError(
            f"`id2label` names {len(id2label)} labels and `num_labels` is {num_labels}: pass one of them."
        )
    if id2label is None:
        return None, None
    try:
        names = {int(index): name for index, name in id2label.items()}
    except ValueError:
        names = {}
    if sorted(names) != list(range(len(id2label))):
        raise ValueError(f"`id2label` must number the labels from 0 to {len(id2label) - 1}, got {list(id2label)}.")
    if not all(name.strip() for name in names.values()) or len(set(names.values())) != len(names):
        raise ValueError(f"`id2label` must give every label a name of its own, got {list(names.values())}.")
    return names, {name: index for index, name in names.items()}


def estimated_parameters(config: Any) -> int:
    """About the number of parameters of a transformer of this configuration, as far as its fields have usual names."""

    def size(name: str) -> int:
        value = getattr(config, name, None)
        return value if isinstance(value, int) else 0

    width = size("hidden_size")
    inner = size("intermediate_size") or 4 * width
    layers = size("num_hidden_layers") * (4 * width**2 + 2 * width * inner)
    return layers + width * (size("vocab_size") + size("max_position_embeddings"))


__all__ = [
    "CheckedConfig",
    "CheckedModel",
    "check_activation",
    "check_architecture",
    "check_finite",
    "check_finite_fields",
    "check_sizes",
    "check_weights",
    "checked_labels",
    "estimated_parameters",
    "forget_runtime_settings",
    "load_network",
    "own_settings",
    "read_config",
    "refusal",
]
