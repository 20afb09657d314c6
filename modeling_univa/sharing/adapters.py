# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""LoRA adapters: low-rank updates of the text encoder's weights, everything else of a UniVA trained in full.

An adapter is what changed from a *base*, a UniVA that `AutoModel` loads by itself. The base is the trained model that
a run goes on from (its Hub id and commit, or its folder) where the run leaves its configuration as it is. Any other
run, above all one that starts from a text encoder, writes the model that it starts with to `BASE_FOLDER` beside the
adapter.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import hf_hub_download
from transformers.utils import ADAPTER_CONFIG_NAME, CONFIG_NAME, find_adapter_config_file, is_peft_available, logging

from ..models.checked_loading_univa import check_finite, refusal
from ..models.files_univa import one_line, replace_folder, scratch_folder, write_text
from ..models.limits_univa import check_limit
from ..models.modeling_emotion import EmotionModel
from ..models.processing_univa import UnivaProcessor
from ..models.systems import system_of
from ..models.trusted_paths_univa import from_hub_cache, is_hub_id


if TYPE_CHECKING:
    from peft import PeftModel


__all__ = [
    "BASE_FOLDER",
    "AdapterBase",
    "adapter_config_with_base",
    "is_adapter",
    "load_adapter",
    "load_model",
    "merge_adapter",
    "set_adapter_base",
    "set_base_threshold",
]

logger = logging.get_logger(__name__)

BASE_FOLDER = "base"
WEIGHTS_FILE = "adapter_model.safetensors"


@dataclass(frozen=True)
class AdapterBase:
    """
    The model that an adapter changes.

    Args:
        name: Hub id or absolute folder.
        revision: commit, tag or branch of a Hub id.
    """

    name: str
    revision: str | None = None


def require_peft() -> None:
    """Raise an `ImportError` that says what to install where peft is missing."""
    if not is_peft_available():
        raise ImportError('LoRA adapters need the Python package peft: pip install "univa[peft]"')


# Training


def set_base_threshold(folder: str | Path, threshold: float | Sequence[float]) -> None:
    """Write the `decision_threshold` that a run has chosen to the base beside its adapter, if there is one."""
    file = Path(folder, BASE_FOLDER, CONFIG_NAME)
    if not (file.is_file() and Path(folder, ADAPTER_CONFIG_NAME).is_file()):
        return
    config = json.loads(file.read_text(encoding="utf-8"))
    if config.get("decision_threshold") != threshold:
        write_text(file, json.dumps(config | {"decision_threshold": threshold}, indent=2, sort_keys=True) + "\n")


# Use


def is_adapter(name: str | Path, revision: str | None = None) -> bool:
    """Whether a folder or Hub id holds an adapter instead of a whole model."""
    if Path(name).is_dir():
        return Path(name, ADAPTER_CONFIG_NAME).is_file()
    return find_adapter_config_file(str(name), revision=revision) is not None


def load_adapter(name: str | Path, revision: str | None = None, **kwargs: Any) -> "PeftModel":
    """
    An adapter on its base, in evaluation mode: `AutoModel` and `PeftModel` with the base's revision, which
    `AutoModel.from_pretrained(adapter)` does not heed.

    Args:
        name: folder or Hub id of the adapter.
        revision: branch, tag or commit of the adapter.
        kwargs: of `from_pretrained`, for the base.

    Raises:
        ImportError: peft is missing.
        ValueError: the base is not where the adapter says.
    """
    require_peft()
    from peft import PeftModel

    with refusal(name, "The adapter {} cannot be loaded", ADAPTER_CONFIG_NAME):
        _check_adapter_config(name, revision)
        base = adapter_base(name, revision)
    try:
        hub = {"revision": base.revision or "main"}
        model = system_of(base.name, **hub).from_pretrained(base.name, **hub, **kwargs)
    except OSError as error:
        reason = one_line(error)
        raise ValueError(f"The base {base.name} of the adapter {name} cannot be loaded: {reason}") from error
    with refusal(name, "The adapter {} cannot be loaded", ADAPTER_CONFIG_NAME, WEIGHTS_FILE):
        adapted = PeftModel.from_pretrained(model, str(name), revision=revision).eval()
        _check_adapter_weights(name, adapted, revision)
    return adapted


def _check_adapter_config(name: str | Path, revision: str | None) -> None:
    """Refuse what `add_adapter` does not make; what else a file may ask of PEFT is not tried."""
    file = Path(name, ADAPTER_CONFIG_NAME)
    if not file.is_file():
        file = Path(hf_hub_download(str(name), ADAPTER_CONFIG_NAME, revision=revision))
    content = json.loads(file.read_text(encoding="utf-8"))
    if content.get("peft_type") != "LORA":
        raise ValueError(f"`peft_type` of {file.name} is {content.get('peft_type')!r}, expected LORA")
    if content.get("megatron_config"):
        raise ValueError(f"`megatron_config` of {file.name} is of another library, expected null")
    rank, alpha, dropout = (content.get(key) for key in ("r", "lora_alpha", "lora_dropout"))
    check_limit("width", rank, f"`r` of {file.name}")
    if not _is_number(alpha) or not _is_number(dropout) or not 0 <= dropout <= 1:
        raise ValueError(f"{file.name} has `lora_alpha` {alpha!r} and `lora_dropout` {dropout!r}, expected numbers")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_adapter_weights(name: str | Path, model: "PeftModel", revision: str | None) -> None:
    """PEFT passes over updates that are missing, or of layers that the configuration does not name."""
    from peft import get_peft_model_state_dict, load_peft_weights

    expected = {key: tuple(value.shape) for key, value in get_peft_model_state_dict(model).items()}
    found = {key: tuple(value.shape) for key, value in load_peft_weights(str(name), "cpu", revision=revision).items()}
    differing = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
    if differing:
        raise ValueError(
            f"{ADAPTER_CONFIG_NAME} and {WEIGHTS_FILE} do not belong together: {differing[0]} differs or "
            "is missing. Save the adapter again, or download it again"
        )
    check_finite(name, model)


def adapter_base(name: str | Path, revision: str | None = None) -> AdapterBase:
    """The base that an adapter names; the one beside it wins, so that a folder may be moved."""
    from peft import PeftConfig

    beside = Path(name, BASE_FOLDER)
    if (beside / "config.json").is_file():
        return AdapterBase(str(beside.resolve()))
    config = PeftConfig.from_pretrained(str(name), revision=revision)
    if not config.base_model_name_or_path:
        raise ValueError(f"{ADAPTER_CONFIG_NAME} of {name} names no base (`base_model_name_or_path`).")
    on_hub = not Path(name).is_dir() or from_hub_cache(name)
    if on_hub and not is_hub_id(config.base_model_name_or_path):
        raise ValueError(
            f"{ADAPTER_CONFIG_NAME} of {name} must name a base on the Hub (ORG/NAME), got "
            f"{config.base_model_name_or_path!r}: what is on this machine is not for an adapter of the Hub to name."
        )
    return AdapterBase(config.base_model_name_or_path, config.revision)


def set_adapter_base(folder: str | Path, base: AdapterBase) -> None:
    """
    Name another place of the same base in an adapter's configuration: the Hub id that its base was pushed to, say.

    Raises:
        ValueError: the folder holds no adapter.
    """
    file = Path(folder, ADAPTER_CONFIG_NAME)
    if not file.is_file():
        raise ValueError(f"{folder} holds no {ADAPTER_CONFIG_NAME}: it is not an adapter.")
    write_text(file, adapter_config_with_base(file.read_text(encoding="utf-8"), base))


def adapter_config_with_base(text: str, base: AdapterBase) -> str:
    """The text of an adapter's configuration, with another place of the same base."""
    content = json.loads(text) | {"base_model_name_or_path": base.name, "revision": base.revision}
    return json.dumps(content, indent=2, sort_keys=True)


def load_model(name: str | Path, revision: str | None = None, **kwargs: Any) -> EmotionModel:
    """
    A model of any system from a folder or Hub id; an adapter comes merged into its base.

    Args:
        name: of a model or of an adapter.
        revision: its branch, tag or commit.
        kwargs: of `from_pretrained`.

    Raises:
        ImportError, ValueError: as [`load_adapter`].
        OSError: there is no such folder, and no such model on the Hub.
    """
    hub = {"revision": revision or "main"}
    try:
        if is_adapter(name, revision):
            return load_adapter(name, revision, **kwargs).merge_and_unload()
        return system_of(name, **hub).from_pretrained(name, **hub, **kwargs)
    except OSError as error:
        if Path(name).exists():
            raise
        raise OSError(
            f"{name} is not a folder here, and could not be loaded from the Hub: {one_line(error)}"
        ) from error


def merge_adapter(name: str | Path, output: str | Path, revision: str | None = None) -> Path:
    """
    Write a whole model, with its processor and code, that gives the logits of an adapter on its base.

    Args:
        name: folder or Hub id of the adapter.
        output: folder to write; must not exist, or be empty.
        revision: branch, tag or commit of the adapter.

    Raises:
        ValueError: `name` is not an adapter, its base cannot be loaded, or `output` holds something.
        ImportError: peft is missing.
    """
    output = Path(output)
    if not is_adapter(name, revision):
        raise ValueError(f"{name} holds no {ADAPTER_CONFIG_NAME}: it is not an adapter.")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"{output} already exists: choose another `output`, or remove it.")
    model = load_adapter(name, revision).merge_and_unload()
    write_model(model, UnivaProcessor.from_pretrained(str(name), revision=revision or "main"), output)
    return output


def write_model(model: EmotionModel, processor: UnivaProcessor | None, folder: Path) -> None:
    """Save to a folder beside `folder`, which takes its place once it is whole."""
    with scratch_folder(folder) as scratch:
        filled = Path(scratch, folder.name)
        model.save_pretrained(filled)
        if processor is not None:
            processor.save_pretrained(filled)
        replace_folder(filled, folder)
