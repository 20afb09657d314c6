# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The card of a corpus that was built."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import datasets
import transformers
from huggingface_hub import DatasetCardData

from ..data.corpus_card import (
    CORPUS_ID,
    ORIGIN,
    SIZE_CATEGORIES,
    card_section,
    generated_sections,
    summary_line,
    task_categories,
)
from ..models.files_univa import sha256_of_files
from .builder import UnivaCorpusBuilder


__all__ = ["CardFacts", "corpus_card"]


@dataclass
class CardFacts:
    """What only the person who builds the corpus knows.

    Args:
        pretty_name: Name of the corpus.
        license: Identifier of the Hub's list.
        language: Of the text, such as en.
        origin: Where the corpus comes from: the address of its publication, or a reference.
        citation: What its authors ask to be cited.
    """

    pretty_name: str
    license: str | None = None
    language: str | None = None
    origin: str | None = None
    citation: str | None = None


def corpus_card(builder: UnivaCorpusBuilder, facts: CardFacts) -> str:
    """The README.md of a corpus that `builder` has just built, with the Hub's metadata on top."""
    statistics = builder.statistics
    num_rows = sum(split.num_rows for split in statistics.values())
    extractors = builder.corpus.made_by()
    tables = generated_sections(statistics, builder.rejected, extractors, builder.info.features)
    sections = [
        f"# {facts.pretty_name}",
        summary_line(num_rows, extractors),
        card_section("Source and licence", _source(facts)),
        card_section("How to use", _usage(statistics)),
        *(card_section(title, body) for title, body in tables.items()),
        card_section("How it was built", _provenance(builder)),
    ]
    return f"---\n{_metadata(builder, facts, num_rows)}\n---\n\n" + "\n\n".join(sections) + "\n"


def _metadata(builder: UnivaCorpusBuilder, facts: CardFacts, num_rows: int) -> str:
    size = next((name for limit, name in SIZE_CATEGORIES if num_rows < limit), "n>1M")
    # No `configs`: with them datasets keys its cache by the folder's name alone and would go on serving the rows of a
    # corpus that was built there before. The file names tell it the splits.
    return DatasetCardData(
        pretty_name=facts.pretty_name,
        license=facts.license or "unknown",
        language=facts.language,
        task_categories=task_categories(builder.corpus.extractors),
        task_ids=["multi-label-classification"],
        tags=["emotion-recognition", "multimodal", "valence-arousal"],
        size_categories=[size],
    ).to_yaml()


def _provenance(builder: UnivaCorpusBuilder) -> str:
    source = Path(builder.config.source)
    options = {key: value for key, value in vars(builder.config).items() if key in builder.config_kwargs and value}
    # Where something is on this machine is not for the card.
    for name in ("source", "sheet", "subtitles", "transcribe"):
        if name in options and Path(options[name]).exists():
            options[name] = Path(options[name]).resolve().name
    listing = "\n".join(f"- `{_name(path, source)}` {sha256_of_files(path)}" for path in builder.corpus.files)
    lines = [
        builder.PROVENANCE,
        f"Builder: `{type(builder).__name__}` {builder.VERSION} with `{json.dumps(options, default=str)}`, "
        f"datasets {datasets.__version__}, transformers {transformers.__version__}.",
        *builder.notes,
        f"Files that list the rows (SHA-256):\n\n{listing}" if listing else "",
    ]
    return "\n\n".join(line for line in lines if line)


def _name(path: Path, source: Path) -> str:
    return path.relative_to(source).as_posix() if path.is_relative_to(source) else path.name


def _source(facts: CardFacts) -> str:
    lines = [f"{ORIGIN}{facts.origin or 'not stated.'}", f"Licence: {facts.license or 'not stated.'}"]
    lines += [f"Please cite: {facts.citation}"] if facts.citation else []
    return "\n\n".join(lines)


def _usage(splits: Iterable[str]) -> str:
    scored = [split for split in splits if not split.startswith("train")]
    lines = ["```python", "from datasets import load_dataset", "", f'corpus = load_dataset("{CORPUS_ID}")', "```"]
    if scored:
        split = "test" if "test" in scored else scored[-1]
        lines += ["", "Scores of a model, which also go into its card and its evaluation results:", "", "```bash"]
        lines += [f"univa evaluate MODEL {CORPUS_ID} --split {split}", "```"]
    return "\n".join(lines)
