# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A built corpus to the Hub in one commit."""

import re
from collections.abc import Mapping
from pathlib import Path

import datasets
import pyarrow.parquet as pq
from datasets.info import DatasetInfosDict
from datasets.splits import SplitDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import CommitInfo, DatasetCard, HfApi

from ..data.corpus import EXTRACTORS_FILE
from ..data.corpus_card import BENCHMARK_FILE, CORPUS_ID, ORIGIN, benchmark
from .push import commit_files, explained, make_repository


__all__ = ["is_corpus", "push_corpus"]

_SUFFIXES = (".json", ".jsonl", ".md", ".yaml")
_SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}\.parquet")
# Of these a repository keeps only what the folder has.
_REPLACED = ("data/*.parquet", "*.json", "*.jsonl", BENCHMARK_FILE)


def is_corpus(folder: str | Path) -> bool:
    """Whether a folder holds a corpus that was built by `univa build`, or by a job over one."""
    return Path(folder, EXTRACTORS_FILE).is_file() and Path(folder, "data").is_dir()


def push_corpus(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | None = None,
    commit_message: str = "Upload corpus",
) -> CommitInfo:
    """
    Push a built corpus in one commit: Parquet, card with features and splits, and what says how it was made.

    Recordings stay at home: the rows have their features, and the paths within the source.

    Args:
        folder: as built.
        repo_id: `ORG/NAME`, or `NAME` for one of your own; made if it is not there yet.
        private: as of [`hub.push.push_folder`].
        token: instead of the one that `hf auth login` keeps.
        commit_message: first line of the commit.

    Returns:
        The commit.

    Raises:
        ValueError: the folder holds no corpus, or its card states no licence or source.
        PushError: the Hub refused, or the connection broke; run it again.
    """
    folder = Path(folder)
    shards = _shards(folder)
    card = _checked_card(folder)
    additions: dict[str, Path | bytes] = {f"data/{path.name}": path for paths in shards.values() for path in paths}
    additions |= {path.name: path for path in sorted(folder.iterdir()) if path.suffix in _SUFFIXES}
    additions.setdefault(
        BENCHMARK_FILE, (benchmark(card.data.get("pretty_name") or folder.name, shards) or "").encode()
    )
    additions = {name: content for name, content in additions.items() if content}
    with explained("The corpus", repo_id):
        name = make_repository(repo_id, "dataset", private=private, token=token)
        _describe(card, shards)
        text = card.text.strip().replace(CORPUS_ID, name)
        additions["README.md"] = f"---\n{card.data.to_yaml()}\n---\n\n{text}\n".encode()
        return commit_files(HfApi(token=token), name, "dataset", additions, _REPLACED, commit_message)


def _shards(folder: Path) -> dict[str, list[Path]]:
    """Parquet files of each split, in order."""
    shards: dict[str, list[Path]] = {}
    for path in sorted(Path(folder, "data").glob("*.parquet")):
        if found := _SHARD.fullmatch(path.name):
            shards.setdefault(found[1], []).append(path)
    if not shards or not is_corpus(folder):
        raise ValueError(f"{folder} holds no corpus: build one with `univa build`.")
    return shards


def _checked_card(folder: Path) -> DatasetCard:
    file = folder / "README.md"
    card = DatasetCard(file.read_text(encoding="utf-8") if file.is_file() else "", ignore_metadata_errors=True)
    missing = [] if card.data.get("license") not in (None, "unknown") else ["licence (`license:` in its metadata)"]
    origin = re.search(rf"^{ORIGIN}(.+)$", card.text, flags=re.MULTILINE)
    if origin is None or origin[1].startswith("not stated"):
        missing.append(f"source (a line `{ORIGIN}…` below its title)")
    if missing:
        raise ValueError(
            f"{file} does not state the {' and the '.join(missing)}: others must know what they may do with the "
            "corpus. Pass `license` and `source_url` when it is built, or write them there."
        )
    return card


def _describe(card: DatasetCard, shards: Mapping[str, list[Path]]) -> None:
    """Put features, splits and files into the metadata, for the Hub's viewer and for streaming."""
    metadata = {path: pq.read_metadata(path) for paths in shards.values() for path in paths}
    splits = SplitDict()
    for split, paths in shards.items():
        groups = [metadata[path].row_group(index) for path in paths for index in range(metadata[path].num_row_groups)]
        num_rows = sum(metadata[path].num_rows for path in paths)
        splits.add(datasets.SplitInfo(split, sum(group.total_byte_size for group in groups), num_rows))
    first = next(iter(metadata))
    info = datasets.DatasetInfo(
        features=datasets.Features.from_arrow_schema(pq.read_schema(first)),
        splits=splits,
        download_size=sum(path.stat().st_size for path in metadata),
        dataset_size=sum(split.num_bytes for split in splits.values()),
    )
    DatasetInfosDict({"default": info}).to_dataset_card_data(card.data)
    files = [{"split": split, "path": f"data/{split}-*"} for split in shards]
    MetadataConfigs({"default": {"data_files": files}}).to_dataset_card_data(card.data)
