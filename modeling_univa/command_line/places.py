# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Folders and ids that a command line names, as far as they can be judged without torch and the Hub."""

from pathlib import Path


__all__ = ["check_corpus", "check_model"]


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


def _is_nowhere(name: str) -> bool:
    return "/" not in name and not Path(name).exists()
