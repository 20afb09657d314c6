# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The resolved configuration of a run, which is the same wherever its files lie, and the name that follows from it."""

import hashlib
import json
import os
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError

from ..data.parquet import CHECKSUMS_FILE
from ..models.files_univa import sha256_of_files
from ..training.arguments import DataArguments, ModelArguments
from ..training.config_options import config_options, system_config
from ..training.same_run import decisive_arguments
from ..training.training_arguments import UnivaTrainingArguments


__all__ = ["SCHEMA_VERSION", "resolved_configuration", "run_id"]

# Of the configuration and of the files of a run.
SCHEMA_VERSION = 1

# Arguments that say which corpus it is; they may be paths.
_OF_THE_CORPUS = ("dataset", "dataset_revision", "corpus_script", "corpus_source", "corpus_options")
_DIGITS = 16


def resolved_configuration(
    model_args: ModelArguments, data_args: DataArguments, training_args: UnivaTrainingArguments
) -> dict[str, Any]:
    """
    What decides the result of a run: system, corpus, and settings with the seed among them. No paths, no machine.

    Settings of the system have the values that its configuration takes, so that a setting that is written out and
    the same one by default are one. An option that is off by default and left off is left out: with the next such
    option of this package every run keeps its name.

    Returns:
        `{"schema_version", "system", "corpus", "settings"}`, as JSON holds it.
    """
    settings = decisive_arguments(model_args, data_args, training_args)
    for name in ("system", *_OF_THE_CORPUS):
        settings.pop(name)
    settings |= _settings_of_the_system(model_args)
    for name in ("model", "text_model", "test_dataset", "label_lexicon"):
        settings[name] = _without_place(settings[name])
    off = _off_by_default(model_args, data_args, training_args)
    kept = {name: value for name, value in sorted(settings.items()) if not _is_off(value, off.get(name))}
    return {
        "schema_version": SCHEMA_VERSION,
        "system": model_args.system,
        "corpus": _corpus(data_args),
        "settings": json.loads(json.dumps(kept)),
    }


def run_id(configuration: dict[str, Any]) -> str:
    """The name of a run: hexadecimal digits of the SHA-256 of its configuration, whatever the order of the keys."""
    text = json.dumps(configuration, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _settings_of_the_system(args: ModelArguments) -> dict[str, Any]:
    """Of a new model every setting; of one that is trained already what is changed, the rest being in its weights."""
    given, own = args.config_overrides(), {item.name for item in fields(ModelArguments)}
    config_class: Any = system_config(args.system)
    if args.model is None:
        try:
            config = config_class(**given)
        except (StrictDataclassError, ValueError):  # the run itself says why
            return given
        # Widths that are not given are those of the corpus.
        names = [name for name, *_ in config_options(config_class) if name not in own]
        names = [name for name in names if name in given or not name.endswith("_feature_size")]
        given |= {name: getattr(config, name) for name in names}
    return given


def _off_by_default(*groups: Any) -> dict[str, Any]:
    """Defaults that are off, `None`, `False`, 0 or nothing, by the name of the argument."""
    kinds = [type(group) for group in groups] + [system_config(groups[0].system)]
    items = [item for kind in kinds for item in fields(kind)]
    defaults = {
        item.name: item.default_factory() if item.default_factory is not MISSING else item.default for item in items
    }
    return {name: default for name, default in defaults.items() if not default}


def _is_off(value: Any, default: Any) -> bool:
    """Whether a setting is off, as it is by default; 0 and `None` are two things."""
    return value is None or not value and value == default


def _corpus(args: DataArguments) -> dict[str, Any]:
    """What tells that a corpus is the same: how it is built, its content, or its revision on the Hub."""
    dataset = str(args.dataset)
    if args.corpus_script:
        options = sorted(_option_without_place(option) for option in args.corpus_options or [])
        source = Path(args.corpus_source).resolve().name if args.corpus_source else None
        return {"script": args.corpus_script, "source": source, "options": options}
    if Path(dataset).is_dir():
        return {"content": _content(Path(dataset).resolve())}
    return {"name": Path(dataset).name if _is_place(dataset) else dataset, "revision": args.dataset_revision}


def _option_without_place(option: str) -> str:
    name, equals, value = option.rpartition("=")
    return f"{name}{equals}{Path(value).name if _is_place(value) else value}"


def _without_place(name: str | None) -> str | None:
    """A Hub id or package as it is; of a folder or file its name and what is in it."""
    if name is None or not _is_place(name):
        return name
    place = Path(name).resolve()
    if place.is_file():
        return f"{place.name}@{sha256_of_files(place)[:_DIGITS]}"
    return f"{place.name}@{_content(place)}" if place.is_dir() else place.name


def _is_place(name: str) -> bool:
    """Whether it is a path of this machine."""
    return name.startswith((".", "~", "/")) or os.path.exists(name)


@cache
def _content(folder: Path) -> str:
    """Of a folder: of the checksums of a corpus, or else of its files."""
    checksums = folder / CHECKSUMS_FILE
    if checksums.is_file():
        return sha256_of_files(checksums)[:_DIGITS]
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    names = "\n".join(path.relative_to(folder).as_posix() for path in files)
    return hashlib.sha256((names + sha256_of_files(*files)).encode()).hexdigest()[:_DIGITS]
