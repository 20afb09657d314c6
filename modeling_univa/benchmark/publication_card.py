# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The card of a benchmark that is pushed as a data set."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub import DatasetCard, DatasetCardData

from ..data.corpus_card import CORPUS_ID
from ..sharing.benchmark_push import BENCHMARK_TAG
from .page import cell, plain


__all__ = ["PublishedTable", "benchmark_card", "benchmark_title"]

_TEMPLATE = Path(__file__).with_name("publication_card.md.jinja")


@dataclass(frozen=True)
class PublishedTable:
    """
    A table of a plan in the repository.

    Args:
        name: of its configuration.
        title: of the table.
        corpus: name of the plan's corpus.
        num_systems: number of systems that have runs.
        splits: number of predictions by split.
        runs: ids of its runs.
    """

    name: str
    title: str
    corpus: str
    num_systems: int
    splits: dict[str, int]
    runs: Sequence[str] = field(repr=False)


def benchmark_title(tables: Sequence[PublishedTable]) -> str:
    """What the data set is called in words."""
    corpora = dict.fromkeys(table.corpus for table in tables)
    return f"Systems of multimodal multi-label emotion recognition on {' and '.join(corpora)}"


def benchmark_card(tables: Sequence[PublishedTable], split: str, license: str | None = None) -> DatasetCard:
    """
    The card, with `CORPUS_ID` in the place of the repository's name.

    Args:
        tables: of which the first one is loaded by default.
        split: whose rows are scored.
        license: identifier of the Hub's list; without one the card says that those of the corpora hold.
    """
    title = benchmark_title(tables)
    metadata = DatasetCardData(
        license=license,
        pretty_name=title,
        tags=[BENCHMARK_TAG, "benchmark", "emotion-recognition", "multi-label-classification", "multimodal"],
        configs=[_configuration(table, table is tables[0]) for table in tables],
    )
    rows = [(table.name, cell(table.title), cell(table.corpus), table.num_systems, len(table.runs),
             ", ".join(f"{name} {size}" for name, size in table.splits.items())) for table in tables]  # fmt: skip
    return DatasetCard.from_template(
        metadata,
        template_str=_TEMPLATE.read_text(encoding="utf-8"),
        title=plain(title),
        repository=CORPUS_ID,
        tables=rows,
        first=tables[0].name,
        split=split,
        license=license,
    )


def _configuration(table: PublishedTable, is_default: bool) -> dict[str, object]:
    files = [{"split": split, "path": f"data/{table.name}/{split}.parquet"} for split in table.splits]
    return {"config_name": table.name, "data_files": files, **({"default": True} if is_default else {})}
