# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""EmoBank: English sentences rated for valence, arousal and dominance (Buechel and Hahn, EACL 2017)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from huggingface_hub import DatasetCardData

from ..data.parquet import WRITE_OPTIONS
from ..data.schema import CorpusError
from ..data.tables import csv_rows
from ..models.files_univa import scratch_folder, sha256_of_files


__all__ = ["EmoBank", "EmoBankConfig", "RATINGS", "read_emobank", "scale_ratings"]

# The columns of the file, and what they are called here.
RATINGS = {"V": "valence", "A": "arousal", "D": "dominance"}
_COLUMNS = ("id", "split", *RATINGS, "text")
_SPLITS = {"train": "train", "dev": "validation", "test": "test"}
_FILES = ("emobank.csv", "corpus/emobank.csv")

_CARD = """
# EmoBank

{num_rows} English sentences, each rated for valence, arousal and dominance. The sentences are from MASC (the American
National Corpus) and SemEval 2007 Task 14. One row is one sentence; the splits are those of the source.

| column | type | meaning |
| --- | --- | --- |
| `id` | string | as in the source |
| `text` | string | the sentence |
| `valence`, `arousal`, `dominance` | float32 | in [-1, 1]: (x - 3) / 2 of the mean rating x on 1 to 5 |

| split | sentences | valence, mean | std | arousal, mean | std | dominance, mean | std |
| --- | --- | --- | --- | --- | --- | --- | --- |
{splits}

Made of `{file}` of the repository JULIELab/EmoBank; the ratings were scaled, and nothing else was changed. SHA-256 of
the file: {checksum}. Licence of the source and of this: CC BY-SA 4.0.

## Citation

Sven Buechel and Udo Hahn. 2017. EmoBank: Studying the Impact of Annotation Perspective and Representation Format on
Dimensional Emotion Analysis. In EACL 2017, Volume 2, Short Papers, pages 578-585.
"""


def scale_ratings(ratings: Any) -> np.ndarray:
    """Ratings on 1 to 5 to [-1, 1], by (x - 3) / 2; float32 of the same shape."""
    return ((np.asarray(ratings, dtype=np.float64) - 3) / 2).astype(np.float32)


def read_emobank(path: str | Path) -> dict[str, list[dict[str, Any]]]:
    """
    Rows of emobank.csv by split (train, validation, test), in the order of the file.

    Returns:
        For each row `id`, `text` (as it stands, the sentence "None" too) and `valence`, `arousal`, `dominance` in
        [-1, 1].

    Raises:
        CorpusError: The file cannot be read, lacks a column or a split, or a row of it has no text, an id that was
            there before, an unknown split or a rating that is not a number from 1 to 5.
    """
    path = Path(path)
    rows: dict[str, list[dict[str, Any]]] = {split: [] for split in _SPLITS.values()}
    seen: set[str] = set()
    for where, cells in csv_rows(path, _COLUMNS):
        if cells["id"] in seen:
            raise CorpusError(f"{where}: id {cells['id']!r} was there before; ids must be unique")
        seen.add(cells["id"])
        if cells["split"] not in _SPLITS:
            raise CorpusError(f"{where}: split {cells['split']!r}, expected one of {', '.join(_SPLITS)}")
        if not cells["text"].strip():
            raise CorpusError(f"{where}: the text is empty; remove the row")
        ratings = scale_ratings([_rating(cells[name], f"{where}: {name}") for name in RATINGS])
        scaled = dict(zip(RATINGS.values(), ratings.tolist(), strict=True))
        rows[_SPLITS[cells["split"]]].append({"id": cells["id"], "text": cells["text"], **scaled})
    empty = [name for name, split in _SPLITS.items() if not rows[split]]
    if empty:
        raise CorpusError(f"{path}: split {empty[0]} has no rows; take the whole file")
    return rows


def _rating(cell: str, where: str) -> float:
    try:
        rating = float(cell)
    except ValueError:
        rating = np.nan
    if not 1 <= rating <= 5:
        raise CorpusError(f"{where} {cell!r}, expected a rating from 1 to 5")
    return rating


@dataclass
class EmoBankConfig(datasets.BuilderConfig):
    """
    Options of `EmoBank`.

    Args:
        source: emobank.csv, or a folder that has it (a copy of the repository, too).
    """

    source: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.file = find_emobank(self.source)

    def create_config_id(self, config_kwargs: dict, custom_features: datasets.Features | None = None) -> str:
        """Name of the cache folder; it changes with the content of the file."""
        return super().create_config_id({**config_kwargs, "checksum": sha256_of_files(self.file)}, custom_features)


class EmoBank(datasets.GeneratorBasedBuilder):
    """Build EmoBank from emobank.csv of the repository JULIELab/EmoBank."""

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = EmoBankConfig
    config: EmoBankConfig

    def _info(self) -> datasets.DatasetInfo:
        ratings = {name: datasets.Value("float32") for name in RATINGS.values()}
        columns = {"id": datasets.Value("string"), "text": datasets.Value("string"), **ratings}
        return datasets.DatasetInfo(features=datasets.Features(columns))

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"rows": rows})
            for split, rows in read_emobank(self.config.file).items()
        ]

    def _generate_examples(self, rows: list[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
        yield from enumerate(rows)


def find_emobank(source: str | Path) -> Path:
    """emobank.csv itself, or the one in a folder. Raises `CorpusError`."""
    source = Path(source)
    candidates = [source] if source.is_file() else [source / name for name in _FILES]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise CorpusError(f"{source} is neither emobank.csv nor a folder with it; get it from JULIELab/EmoBank")
    return found


def build_emobank(source: str | Path, output: str | Path) -> None:
    """
    Write EmoBank as Parquet with a card; a job that fails or is interrupted leaves nothing.

    Args:
        source: See `EmoBankConfig`.
        output: Folder to make.

    Raises:
        CorpusError: The source cannot be used, or there is something in `output`.
    """
    output = Path(output)
    if output.is_file() or (output.is_dir() and any(output.iterdir())):
        raise CorpusError(f"output {output} already exists; choose another folder")
    rows = read_emobank(find_emobank(source))
    with scratch_folder(output) as scratch:
        folder = Path(scratch, "corpus")
        builder = EmoBank(cache_dir=str(Path(scratch, "cache")), source=str(source))
        builder.download_and_prepare()
        for split, found in builder.as_dataset().items():
            found.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet", **WRITE_OPTIONS)
        Path(folder, "README.md").write_text(_card(rows, builder.config.file), encoding="utf-8")
        folder.rename(output)
    print(f"wrote {output}: " + ", ".join(f"{len(found)} {split}" for split, found in rows.items()))


def _card(rows: dict[str, list[dict[str, Any]]], file: Path) -> str:
    metadata = DatasetCardData(
        pretty_name="EmoBank",
        license="cc-by-sa-4.0",
        language="en",
        task_categories=["text-classification"],
        task_ids=["sentiment-scoring"],
        tags=["valence-arousal", "emotion-recognition"],
        size_categories=["10K<n<100K"],
    ).to_yaml()
    lines = []
    for split, found in rows.items():
        columns = np.array([[row[name] for name in RATINGS.values()] for row in found])
        moments = np.stack([columns.mean(axis=0), columns.std(axis=0)], axis=1).ravel()
        lines.append(f"| {split} | {len(found)} | " + " | ".join(f"{value:.3f}" for value in moments) + " |")
    num_rows = sum(map(len, rows.values()))
    body = _CARD.format(num_rows=num_rows, splits="\n".join(lines), file=file.name, checksum=sha256_of_files(file))
    return f"---\n{metadata}\n---\n{body}"
