# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The card of a corpus that a job has added columns to: what was said of it stays, what can be counted is counted."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from huggingface_hub import DatasetCard

from ..data.corpus_card import SplitStatistics, generated_sections, summary_line, task_categories
from ..models.configuration_emotion import MODALITIES
from .shards import REJECTED_FILE, Shard


__all__ = ["frame_counts", "write_card"]

_PROVENANCE = "How it was built"


def frame_counts(table: pa.Table) -> dict[str, list[int | None]]:
    """Frames of each row, for every modality with features; `None` where it is absent."""
    columns = [f"{modality}_features" for modality in MODALITIES]
    return {name: pc.list_value_length(table[name]).to_pylist() for name in columns if name in table.column_names}


def write_card(
    folder: Path,
    features: datasets.Features,
    extractors: Mapping[str, Any],
    shards: Iterable[tuple[Shard, pa.Table, dict[str, Any]]],
    note: str,
) -> None:
    """Bring the README.md in `folder` up to date.

    Args:
        folder: With the card of the input, and `rejected.jsonl` where there is one.
        features: Columns of the corpus.
        extractors: What made its features.
        shards: Every shard with its rows and their `frame_counts`.
        note: What was done, one paragraph; appended to the section on how the corpus was built.
    """
    statistics = _statistics(shards, features["emotions"].feature.names)
    file, rejected = folder / "README.md", folder / REJECTED_FILE
    card = DatasetCard(file.read_text(encoding="utf-8") if file.is_file() else "", ignore_metadata_errors=True)
    text = card.text
    for title, body in generated_sections(statistics, _rejected(rejected), extractors, features).items():
        text = _with_section(text, title, body)
    text = _with_section(text, _PROVENANCE, note, append=True)
    num_rows = sum(counts.num_rows for counts in statistics.values())
    text = re.sub(r"^\d+ utterances with .*$", lambda _: summary_line(num_rows, extractors), text, flags=re.MULTILINE)
    card.text = text
    card.data["task_categories"] = task_categories(extractors)
    file.write_text(f"---\n{card.data.to_yaml()}\n---\n\n{text.strip()}\n", encoding="utf-8")


def _rejected(file: Path) -> Iterator[dict[str, Any]]:
    if not file.is_file():
        return
    with open(file, encoding="utf-8") as lines:
        for entry in map(json.loads, lines):
            # Entries with a modality are of rows that were kept.
            if "modality" not in entry:
                yield entry


def _statistics(
    shards: Iterable[tuple[Shard, pa.Table, dict[str, Any]]], label_names: list[str]
) -> dict[str, SplitStatistics]:
    statistics: dict[str, SplitStatistics] = {}
    for shard, table, frames in shards:
        counts = statistics.setdefault(shard.split, SplitStatistics(label_names))
        for place, row in enumerate(table.to_pylist()):
            row["emotions"] = [label_names[label] for label in row["emotions"]]
            for modality in MODALITIES:
                va = row.get(f"{modality}_va")
                row[f"{modality}_va"] = np.array((np.nan, np.nan) if va is None else va, dtype=np.float32)
                numbers = frames.get(f"{modality}_features")
                if numbers and numbers[place] is not None:
                    row[f"{modality}_features"] = range(numbers[place])
            counts.add(row)
    return statistics


def _with_section(text: str, title: str, body: str, append: bool = False) -> str:
    """The card with the body of a section of the second level put in place of the previous one, or after it."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    if found is None:
        return f"{text.rstrip()}\n\n## {title}\n\n{body}\n"
    previous = found.group(1).strip()
    body = f"{previous}\n\n{body}" if append and previous else body
    return f"{text[: found.start()]}## {title}\n\n{body}\n\n{text[found.end() :]}"
