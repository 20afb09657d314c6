# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Files, folders and ids that a command line names, as far as they can be judged without torch and the Hub."""

import os
import re
from collections.abc import Sequence
from pathlib import Path


__all__ = ["check_checkpoint", "check_clips", "check_corpus", "check_model", "check_texts", "has_hub_form"]

# Those of `models.trusted_paths_univa`, which would import transformers.
_NAME = r"\w[\w.-]{0,95}"
_HUB_ID = re.compile(f"{_NAME}/{_NAME}", re.ASCII)
_DATA_SET = re.compile(f"{_NAME}(/{_NAME})?", re.ASCII)
_PACKAGE_SCHEME = "package://"
_TABLE = ".csv"
_SHEETS = (_TABLE, ".tsv", ".xlsx", ".xlsm")


def check_corpus(name: str) -> None:
    """Refuse, with a `ValueError`, what can be no corpus: no folder and no id on the Hub, or a model."""
    if _is_nowhere(name):
        raise ValueError(f"{name} is neither a folder nor a data set id such as ORG/NAME; build the corpus first")
    if _is_model(name) and not _is_corpus(name):
        raise ValueError(f"{name} is a model, and a corpus is expected in its place. Are two arguments swapped?")


def check_model(name: str) -> None:
    """Refuse, with a `ValueError`, what can be no model: no folder and no id on the Hub, or a corpus."""
    if _is_nowhere(name):
        raise ValueError(f"{name} is neither a folder nor a model id such as ORG/NAME")
    if _is_corpus(name) and not _is_model(name):
        raise ValueError(f"{name} is a corpus, and a model is expected in its place. Are two arguments swapped?")


def _is_corpus(name: str) -> bool:
    return any(Path(name, "data").glob("*.parquet"))


def _is_model(name: str) -> bool:
    return any(Path(name, file).is_file() for file in ("config.json", "adapter_config.json"))


def check_texts(name: str) -> None:
    """Refuse, with a `ValueError`, what can be no data set of sentences: no file, no folder and no id on the Hub."""
    if not os.path.lexists(name) and (name.endswith(_TABLE) or not _DATA_SET.fullmatch(name)):
        raise ValueError(f"{name} is neither a file nor a folder nor a data set id such as ORG/NAME")


def check_checkpoint(name: str) -> None:
    """Refuse, with a `ValueError`, what is not the file of a published checkpoint, nor one that a package carries."""
    if not name.startswith(_PACKAGE_SCHEME) and not Path(name).is_file():
        raise ValueError(f"{name} is not a file: `checkpoint` needs a published checkpoint.")


def check_clips(names: Sequence[str | Path], tell_each: bool = False) -> None:
    """
    Refuse clips of which none is there, and a sheet that is not.

    A clip that is missing among others is a bad clip, and the others are predicted.

    Args:
        names: clips, folders of clips and sheets.
        tell_each: whether the job has to say of each clip that it is missing.

    Raises:
        ValueError: nothing can be predicted.
    """
    missing = [(name, reason) for name in names if (reason := _why_missing(name)) is not None]
    for name, reason in missing:
        if str(name).lower().endswith(_SHEETS):
            raise ValueError(f"{name}: cannot be read ({reason}); check the path")
    if missing and len(missing) == len(names) and not tell_each:
        raise ValueError("; ".join(f"{name}: {reason}" for name, reason in missing))


def has_hub_form(name: str) -> bool:
    """Whether a name has the form ORG/NAME of an id on the Hub; a folder may have that form, too."""
    return _HUB_ID.fullmatch(name) is not None


def _is_nowhere(name: str) -> bool:
    return not os.path.lexists(name) and not has_hub_form(name)


def _why_missing(name: str | Path) -> str | None:
    try:
        os.stat(name)
    except (OSError, ValueError) as error:  # ValueError: a path that holds a zero
        return getattr(error, "strerror", None) or str(error)
    return None
