# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What of a saved folder is shared, and whether it is all that someone else needs to load it."""

import ast
import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from huggingface_hub.repocard import metadata_load
from safetensors import SafetensorError, safe_open
from transformers.dynamic_module_utils import get_relative_import_files
from transformers.utils import (
    ADAPTER_CONFIG_NAME,
    ADAPTER_SAFE_WEIGHTS_NAME,
    CONFIG_NAME,
    PROCESSOR_NAME,
    SAFE_WEIGHTS_INDEX_NAME,
    SAFE_WEIGHTS_NAME,
    logging,
)

from ..models.configuration_emotion import EmotionConfig
from ..models.files_univa import one_line
from ..models.processing_univa import UnivaProcessor
from ..models.systems import system_named
from ..models.trusted_paths_univa import OutsideError, check_inside, embedded_place
from .adapters import BASE_FOLDER


__all__ = ["ONNX_FILE", "IncompleteFolderError", "base_beside", "check_folder", "shared_files"]

logger = logging.get_logger(__name__)

# What models, processors, extractors, cards and evaluation results are made of. Corpora, recordings and predictions
# that lie in the same folder stay at home, and so does whatever is a pickle.
_SHARED_SUFFIXES = frozenset((
    ".safetensors", ".json", ".py", ".txt", ".gz", ".md", ".yaml", ".yml", ".model", ".jinja", ".onnx", ".png", ".svg",
))  # fmt: skip
_SHARED_NAMES = ("LICENSE", "NOTICE", "COPYING")
# What `univa export` writes beside the configuration.
ONNX_FILE = "model.onnx"
# With paths of the machine, and of no use to others.
_TRAINING_STATE = ("trainer_state.json", "training_args.json", "run_arguments.json")
_RESULTS_FOLDER = ".eval_results"


class IncompleteFolderError(ValueError):
    """A folder that others could not load."""


def shared_files(folder: str | Path) -> list[str]:
    """
    Paths, relative to `folder`, of the files that are shared; training state, pickles and hidden ones are not.

    Raises:
        IncompleteFolderError: one of them is a symbolic link out of the folder, to what may not be meant to be shared.
    """
    folder = Path(folder)
    files = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    shared = [path for path in files if _is_shared(path)]
    for path in shared:
        try:
            check_inside(folder, folder / path, f"{folder / path} is a link out of the folder: copy or remove it")
        except OutsideError as error:
            raise IncompleteFolderError(str(error)) from None
    return [path.as_posix() for path in shared]


def _is_shared(path: Path) -> bool:
    folders = [part for part in path.parts[:-1] if part != _RESULTS_FOLDER]
    if any(part.startswith((".", "_", "checkpoint-")) for part in folders) or path.name in _TRAINING_STATE:
        return False
    if path.name.startswith("."):
        return False
    return path.suffix.lower() in _SHARED_SUFFIXES or path.name in _SHARED_NAMES


def check_folder(folder: str | Path) -> list[str]:
    """
    Check that a saved folder is complete: that others can load what is shared of it.

    Configuration, weights (whole files, and for a UniVA the very tensors of its configuration), the modules that
    `auto_map` and `custom_pipelines` name with all that they import, the processor of a UniVA, and the metadata of
    the card. Weights are looked at without reading them. The base of an adapter must be on the Hub, or complete
    beside it ([`base_beside`]).

    Returns:
        [`shared_files`] of the folder; of an adapter without its base.

    Raises:
        IncompleteFolderError: names the file, what is wrong with it and what to do.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise IncompleteFolderError(f"There is no folder {folder}.")
    files = shared_files(folder)
    if ADAPTER_CONFIG_NAME in files and CONFIG_NAME not in files:
        files = [name for name in files if not name.startswith(f"{BASE_FOLDER}/")]
        _check_adapter(folder)
    else:
        _check_model(folder)
    _check_metadata(folder, files)
    return files


def base_beside(folder: str | Path) -> Path | None:
    """The base of an adapter where it lies beside it and no Hub id of it is known; it has to be shared too."""
    if Path(folder, CONFIG_NAME).is_file() or not Path(folder, ADAPTER_CONFIG_NAME).is_file():
        return None
    config = _read_json(Path(folder), ADAPTER_CONFIG_NAME, "save the adapter with `save_pretrained`")
    base = Path(folder, BASE_FOLDER)
    return base if (base / CONFIG_NAME).is_file() and _is_local(config) else None


def _is_local(config: Mapping[str, Any]) -> bool:
    base = str(config.get("base_model_name_or_path"))
    return Path(base).is_absolute() or base.startswith(".")


def _check_model(folder: Path) -> None:
    config = _read_json(folder, CONFIG_NAME, "save the model with `save_pretrained`")
    tensors = _check_weights(folder)
    for name in (CONFIG_NAME, PROCESSOR_NAME, "tokenizer_config.json"):
        _check_code(folder, name)
    if system_named(config.get("model_type")) is not None:
        _check_system(folder, config, tensors)


def _read_json(folder: Path, name: str, advice: str) -> dict[str, Any]:
    file = folder / name
    if not file.is_file():
        raise IncompleteFolderError(f"{folder} has no {name}: {advice}.")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise IncompleteFolderError(f"{file} is not JSON ({error}): {advice}.") from error
    if not isinstance(content, dict):
        raise IncompleteFolderError(f"{file} must hold an object, found {type(content).__name__}: {advice}.")
    return content


# Weights


def _check_weights(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors by name, of one file of weights or of all that an index names."""
    advice = "save the model with `save_pretrained`, which writes safetensors"
    if (folder / SAFE_WEIGHTS_NAME).is_file():
        return _shapes(folder / SAFE_WEIGHTS_NAME)
    index = _read_json(folder, SAFE_WEIGHTS_INDEX_NAME, advice) if (folder / SAFE_WEIGHTS_INDEX_NAME).exists() else {}
    if not index.get("weight_map") and (folder / ONNX_FILE).is_file():
        raise IncompleteFolderError(
            f"{folder} has an exported {ONNX_FILE} and no {SAFE_WEIGHTS_NAME}: copy {ONNX_FILE} into the folder "
            "of the model that it was made of, and push that."
        )
    if not index.get("weight_map"):
        raise IncompleteFolderError(f"{folder} has no {SAFE_WEIGHTS_NAME}: {advice}.")
    found: dict[str, tuple[int, ...]] = {}
    for shard in sorted(set(index["weight_map"].values()), key=str):
        if not isinstance(shard, str) or Path(shard).name != shard:
            raise IncompleteFolderError(f"{SAFE_WEIGHTS_INDEX_NAME} of {folder} names {shard!r}, not a file in it.")
        if not (folder / shard).is_file():
            raise IncompleteFolderError(f"{folder} has no {shard}, which {SAFE_WEIGHTS_INDEX_NAME} names: {advice}.")
        found |= _shapes(folder / shard)
    missing = sorted(set(index["weight_map"]) - set(found))
    if missing:
        raise IncompleteFolderError(f"{missing[0]} of {folder / SAFE_WEIGHTS_INDEX_NAME} is in no file: {advice}.")
    return found


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(file, framework="pt") as tensors:
            return {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise IncompleteFolderError(f"{file} is damaged ({error}): save the model again.") from error


def _check_adapter(folder: Path) -> None:
    config = _read_json(folder, ADAPTER_CONFIG_NAME, "save the adapter with `save_pretrained`")
    if not (folder / ADAPTER_SAFE_WEIGHTS_NAME).is_file():
        raise IncompleteFolderError(f"{folder} has no {ADAPTER_SAFE_WEIGHTS_NAME}: save the adapter again.")
    _shapes(folder / ADAPTER_SAFE_WEIGHTS_NAME)
    base = base_beside(folder)
    if base is not None:
        _check_model(base)
    elif _is_local(config):
        raise IncompleteFolderError(
            f"The adapter {folder} is one of the model in {config['base_model_name_or_path']}, which others cannot "
            f"download: push that model and name its Hub id in {ADAPTER_CONFIG_NAME}, or push the whole of both, "
            f"`univa merge-adapter {folder} --output …`."
        )


# Code


def _check_code(folder: Path, name: str) -> None:
    """Check that every class that a JSON file names lies beside it, and all that its module imports."""
    if not (folder / name).is_file():
        return
    for reference in _code_references(_read_json(folder, name, "save it again")):
        # REPOSITORY--module.Class is code of another repository.
        if "--" in reference:
            continue
        module, _, class_name = reference.rpartition(".")
        file = folder / f"{module}.py"
        advice = f"{folder / name} names {reference}; save the model again with `save_pretrained`"
        if not file.is_file():
            raise IncompleteFolderError(f"{folder} has no {module}.py: {advice}.")
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
            imported = [Path(path) for path in get_relative_import_files(file)]
        except FileNotFoundError as error:
            missing = Path(error.filename).name
            raise IncompleteFolderError(f"{folder} has no {missing}, which {module}.py needs: {advice}.") from error
        except SyntaxError as error:
            raise IncompleteFolderError(f"{file} is not Python ({error}): {advice}.") from error
        if not any(isinstance(item, ast.ClassDef) and item.name == class_name for item in tree.body):
            raise IncompleteFolderError(f"{file} has no class {class_name}: {advice}.")
        for path in imported:
            if not path.is_file():
                raise IncompleteFolderError(f"{folder} has no {path.name}, which {module}.py needs: {advice}.")


def _code_references(content: Mapping[str, Any]) -> Iterator[str]:
    values = list((content.get("auto_map") or {}).values())
    values += [item.get("impl") for item in (content.get("custom_pipelines") or {}).values()]
    for value in values:
        yield from (item for item in (value if isinstance(value, list | tuple) else [value]) if item)


# UniVA


def _check_system(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, tuple[int, ...]]) -> None:
    missing = {"AutoConfig", "AutoModel", "AutoModelForSequenceClassification"} - set(config.get("auto_map") or {})
    if missing:
        raise IncompleteFolderError(
            f"`auto_map` of {folder / CONFIG_NAME} lacks {sorted(missing)[0]}: save the model with `save_pretrained`."
        )
    system: Any = system_named(config["model_type"])
    own = system.config_class.from_pretrained(folder)
    # Another version's code may have other tensors, and it is the code beside the weights that will run.
    code = Path(inspect.getfile(system))
    if not (folder / code.name).is_file() or (folder / code.name).read_bytes() == code.read_bytes():
        _check_tensors(folder, own, tensors)
    _check_processor(folder, own)


def _check_tensors(folder: Path, config: EmotionConfig, tensors: Mapping[str, tuple[int, ...]]) -> None:
    with torch.device("meta"):
        expected = system_named(config.model_type)._from_config(config).state_dict()
    for name, tensor in expected.items():
        if tensors.get(name) != tuple(tensor.shape):
            found = tensors.get(name, "none")
            raise IncompleteFolderError(
                f"The weights in {folder} do not fit its {CONFIG_NAME}: expected {name} of shape "
                f"{tuple(tensor.shape)}, found {found}. Save the model again."
            )


def _check_processor(folder: Path, config: EmotionConfig) -> None:
    advice = "save the processor beside the model with `processor.save_pretrained`"
    if "AutoProcessor" not in (_read_json(folder, PROCESSOR_NAME, advice).get("auto_map") or {}):
        raise IncompleteFolderError(f"`auto_map` of {folder / PROCESSOR_NAME} lacks AutoProcessor: {advice}.")
    try:
        processor = UnivaProcessor.from_pretrained(folder)
    # Tokenizers raise whatever they like on damaged files.
    except Exception as error:
        reason = one_line(error)
        raise IncompleteFolderError(f"The processor in {folder} cannot be loaded ({reason}): {advice}.") from error
    sizes = config.extracted_sizes
    if processor.extracted_sizes != sizes or (processor.tokenizer is None) != (config.text_config is None):
        raise IncompleteFolderError(
            f"The processor in {folder} is of another model: it makes features of widths {processor.extracted_sizes}, "
            f"and the model takes {sizes}: {advice}."
        )
    for modality, settings in processor.extractors.items():
        for value in settings.values():
            _check_extractor_path(folder, modality, value)


def _check_extractor_path(folder: Path, modality: str, value: Any) -> None:
    if not isinstance(value, str):
        return
    if value.startswith("./"):
        try:
            place = embedded_place(value, folder)
        except ValueError as error:
            raise IncompleteFolderError(str(error)) from None
        if not place.exists():
            raise IncompleteFolderError(f"{folder} has no {value}, its {modality} extractor: `univa complete` it.")
    elif Path(value).is_absolute():
        logger.warning(
            f"The {modality} extractor is {value}, which is on this machine alone: others can only pass the "
            "model precomputed features. `univa complete` copies it into the model's folder."
        )


# Card and results


def _check_metadata(folder: Path, files: list[str]) -> None:
    if "README.md" in files:
        try:
            metadata_load(folder / "README.md")
        except (ValueError, yaml.YAMLError) as error:
            reason = one_line(error)
            raise IncompleteFolderError(f"The metadata of {folder / 'README.md'} are not YAML: {reason}") from error
    else:
        logger.warning(f"{folder} has no README.md, which tells others what the model is for.")
    for name in files:
        if name.startswith(f"{_RESULTS_FOLDER}/"):
            try:
                yaml.safe_load((folder / name).read_text(encoding="utf-8"))
            except yaml.YAMLError as error:
                raise IncompleteFolderError(f"{folder / name} is not YAML: {one_line(error)}") from error
