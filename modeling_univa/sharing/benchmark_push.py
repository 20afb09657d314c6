# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The predictions and tables of a benchmark to a data set repository, in one commit."""

from collections.abc import Mapping
from pathlib import Path

import yaml
from huggingface_hub import CommitInfo, DatasetCard, HfApi

from ..data.corpus_card import BENCHMARK_FILE, CORPUS_ID
from .push import commit_files, explained, make_repository, refuse_untagged


__all__ = ["BENCHMARK_TAG", "check_license", "make_benchmark_repository", "push_benchmark"]

# Tells a benchmark that was pushed before from any other data set.
BENCHMARK_TAG = "univa-benchmark"
_WHAT = "The benchmark"
# Of these a repository keeps only what is pushed.
_REPLACED = ("data/*", "plans/*", "report/*", "runs/*", BENCHMARK_FILE)


def check_license(license: str) -> None:
    """
    Ask the Hub, whose list it is, whether a card may have a licence.

    Args:
        license: identifier, such as cc-by-4.0.

    Raises:
        ValueError: it is not one of the Hub's.
        PushError: the Hub could not be asked.
    """
    card = DatasetCard(f"---\n{yaml.safe_dump({'license': license})}---\n")
    with explained(_WHAT, "the Hub"):
        try:
            card.validate()
        except ValueError:
            raise ValueError(
                f"`license` {license} is not an identifier of the Hub, such as cc-by-4.0 or mit: see "
                "https://huggingface.co/docs/hub/repositories-licenses, or pass other."
            ) from None


def make_benchmark_repository(repo_id: str, private: bool | None = None, token: str | None = None) -> str:
    """
    Make the data set repository of a benchmark where there is none yet, and see whether it can be pushed there.

    Args:
        repo_id, private, token: as of [`push_benchmark`].

    Returns:
        Its id, `ORG/NAME` also for one of your own.

    Raises:
        PushError: the repository holds another data set, is public where a private one is asked for, or the Hub
            refused.
    """
    name = make_repository(repo_id, "dataset", private=private, token=token, what=_WHAT)
    with explained(_WHAT, name):
        message = f"{name} holds a data set that is not a benchmark of `univa report`: push to another name."
        refuse_untagged(HfApi(token=token), name, "dataset", BENCHMARK_TAG, message)
    return name


def push_benchmark(
    files: Mapping[str, Path | bytes], repo_id: str, *, private: bool | None = None, token: str | None = None
) -> CommitInfo:
    """
    Push the files of a benchmark in one commit. Those of a previous push that are not among them are removed.

    Args:
        files: by their names in the repository; in `README.md`, which has the tag `BENCHMARK_TAG`, the name of the
            repository is put in the place of `CORPUS_ID`.
        repo_id: `ORG/NAME`, or `NAME` for one of your own; made if it is not there yet.
        private: as of [`push_folder`].
        token: instead of the one that `hf auth login` keeps.

    Returns:
        The commit; the newest one if nothing differs.

    Raises:
        PushError: as of [`make_benchmark_repository`], or the connection broke.
    """
    name = make_benchmark_repository(repo_id, private, token)
    additions = dict(files)
    card = additions.get("README.md")
    if isinstance(card, bytes):
        additions["README.md"] = card.replace(CORPUS_ID.encode(), name.encode())
    with explained(_WHAT, name):
        return commit_files(HfApi(token=token), name, "dataset", additions, _REPLACED, "Upload benchmark")
