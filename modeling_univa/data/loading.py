# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Corpora from a folder or from the Hub, and their splits as a model reads them."""

import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets.exceptions import DatasetsError
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from transformers import PreTrainedModel
from transformers.utils import CONFIG_NAME, logging

from ..models.configuration_emotion import EmotionConfig
from ..models.extractor_base_univa import same_extractor
from ..models.files_univa import one_line
from ..models.processing_univa import UnivaProcessor
from ..models.trusted_paths_univa import has_hub_form, without_places
from .corpus import EXTRACTORS_FILE, SCORERS_FILE, Corpus
from .label_map import resolve_label_map
from .parquet import check_files, damage, read_options
from .schema import VA_COLUMNS, CorpusError, holds_frames
from .streaming import StreamedCorpus
from .utterances import UtteranceDataset, scaled_va


__all__ = ["check_extractors", "corpus_file", "load_corpus", "make_split"]

logger = logging.get_logger(__name__)


def check_extractors(corpus: Corpus, processor: UnivaProcessor) -> None:
    """Refuse features that another extractor made than those the model was trained on."""
    for modality in (*processor.extracted_sizes, "faces"):
        trained, found = processor.extractors.get(modality), corpus.extractors.get(modality)
        if trained is not None and found is not None and not same_extractor(trained, found):
            raise ValueError(
                f"The {modality} features of {corpus.name} were made by {found}, and the model was trained on those "
                f"of {trained}: build the corpus with the model's extractor."
            )


def make_split(
    corpus: Corpus,
    split: str,
    processor: UnivaProcessor,
    config: EmotionConfig,
    va_scaling: str | None = None,
    text_encoder: PreTrainedModel | None = None,
    label_map: Mapping[str, str] | None = None,
) -> UtteranceDataset:
    """
    One split for the model.

    Args:
        va_scaling: see `scale_va`; only with it there is VA, which is for training.
        text_encoder: see `UtteranceDataset`.
        label_map: of a corpus with other labels than the model, which of the model's its labels stand for; see
            [`resolve_label_map`].
    """
    rows, name = corpus.split(split), f"{corpus.name} ({split})"
    va = None if va_scaling is None else scaled_va(rows, va_scaling, config.modalities)
    if label_map is not None:
        label_map = resolve_label_map(label_map, corpus.label_names, config.label_names, corpus.name)
    dataset = UtteranceDataset(rows, processor, config.label_names, va, name, text_encoder, label_map)
    for modality, count in dataset.count_cut().items():
        if count:
            logger.warning(
                f"{dataset.name}: {count} of {len(dataset)} rows have more than `max_{modality}_length` = "
                f"{config.max_lengths[modality]} {modality} frames; they are cut at the end."
            )
    return dataset


def load_corpus(name_or_path: str, revision: str | None = None, streaming: bool = False) -> Corpus:
    """
    Load a corpus that `univa build` built.

    Args:
        name_or_path: its folder, or its id on the Hub.
        revision: branch, tag or commit on the Hub.
        streaming: read rows when they are asked for instead of now; gives a `StreamedCorpus`.

    Raises:
        CorpusError: there is nothing to load, or it is not such a corpus.
    """
    if not Path(name_or_path).is_dir() and not has_hub_form(name_or_path):
        raise CorpusError(
            f"{name_or_path} is neither a folder nor a data set id such as ORG/NAME; build the corpus first"
        )
    # A model may have the table of what it predicted.
    if Path(name_or_path, CONFIG_NAME).is_file() and not any(Path(name_or_path, "data").glob("*.parquet")):
        raise CorpusError(f"{name_or_path} is a model, and a corpus is expected in its place")
    if Path(name_or_path).is_dir() and not _tables(name_or_path):
        raise CorpusError(
            f"{name_or_path} cannot be loaded as a data set: it has no Parquet file; copy it again, or build it again"
        )
    check_files(Path(name_or_path))
    splits = _load_splits(name_or_path, revision, streaming)
    extractors, scorers = (_read_json(name_or_path, file, revision) for file in (EXTRACTORS_FILE, SCORERS_FILE))
    corpus = (StreamedCorpus if streaming else Corpus)(name_or_path, splits, extractors, scorers, revision)
    missing = [name for name in ("utterance_id", "dialogue_id", "text", "emotions") if name not in _columns(splits)]
    if missing:
        raise CorpusError(f"{name_or_path} has no column {missing[0]!r}; build it with `univa build`")
    for split, rows in splits.items():
        if rows.features is not None:
            _check_types(name_or_path, rows.features)
            splits[split] = _with_widths(f"{name_or_path} ({split})", rows)
    return corpus


def _check_types(name: str, features: datasets.Features) -> None:
    """Refuse columns of other types than those of the row contract."""
    for column, kind in features.items():
        inner = getattr(kind, "feature", None)
        if column in ("utterance_id", "dialogue_id", "text"):
            fits = getattr(kind, "dtype", None) in ("string", "large_string")
            expected = "text"
        elif column == "emotions":
            fits, expected = isinstance(inner, datasets.ClassLabel), "lists of class labels"
        elif holds_frames(column):
            fits, expected = _holds_numbers(inner), "lists of frames of one width"
        elif column in VA_COLUMNS:
            fits, expected = _holds_numbers(kind), "lists of the two numbers valence and arousal"
        elif column == "speaker":
            fits, expected = isinstance(kind, datasets.Value | datasets.ClassLabel), "text"
        elif column == "position":
            fits, expected = re.match("(float|u?int)", getattr(kind, "dtype", "")) is not None, "whole numbers"
        else:
            continue
        if not fits:
            raise CorpusError(
                f"{name} has {kind} in the column {column!r}, expected {expected}; build it with "
                "`univa build`, or set the type again with `cast_column` where another library has lost it"
            )


def _holds_numbers(kind: Any) -> bool:
    is_list = isinstance(kind, datasets.List | datasets.LargeList)
    return is_list and re.match("(float|u?int)", getattr(kind.feature, "dtype", "")) is not None


def _with_widths(name: str, rows: datasets.Dataset | datasets.IterableDataset) -> Any:
    """A split whose features and VA are lists of one width, which other libraries than `datasets` do not keep."""
    for column, kind in rows.features.items():
        is_va = column in VA_COLUMNS
        if not is_va and not holds_frames(column):
            continue
        numbers = kind if is_va else kind.feature
        if isinstance(numbers, datasets.List) and numbers.length >= 0:
            continue
        expected = "lists of two numbers" if is_va else "lists of frames of one width"
        if isinstance(rows, datasets.IterableDataset):
            raise CorpusError(
                f"{name} has {kind} in the column {column!r}, expected {expected}; leave `streaming` out, or set the "
                "type again with `cast_column`"
            )
        width = _width(name, rows, column, 2 if is_va else None)
        fixed = datasets.List(numbers.feature, length=width)
        rows = rows.cast_column(column, fixed if is_va else datasets.List(fixed))
    return rows


def _width(name: str, rows: datasets.Dataset, column: str, width: int | None) -> int:
    """
    How many numbers each list of a column holds.

    Args:
        width: how many there must be; by default as many as in the first frame, of columns of frames.
    """
    of_frames = width is None
    for batch in rows.select_columns(["utterance_id", column]).with_format("arrow").iter(batch_size=1000):
        lists = batch.column(column).combine_chunks()
        owners = np.arange(len(lists))
        if of_frames:
            owners = np.repeat(owners, pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False))
            lists = lists.flatten()
        found = pc.list_value_length(lists)
        if width is None and len(found):
            width = found[0].as_py()
        wrong = pc.indices_nonzero(pc.fill_null(pc.not_equal(found, pa.scalar(width, found.type)), of_frames))
        if len(wrong):
            place = wrong[0].as_py()
            row = batch.column("utterance_id")[int(owners[place])].as_py()
            what = f"a list of {found[place]} numbers" if found[place].is_valid else "null for a list of numbers"
            raise CorpusError(
                f"{name}: row {row!r} has {what} in the column {column!r}, expected lists of "
                f"{width or 'one number or more'}; correct the row, or build the corpus again"
            )
    if not width:
        raise CorpusError(f"{name} has no frame in the column {column!r}, so that its width is unknown; remove it")
    return width


def _tables(name: str) -> list[Path]:
    return sorted(path for path in Path(name).rglob("*.parquet") if path.is_file()) if Path(name).is_dir() else []


def _load_splits(name_or_path: str, revision: str | None, streaming: bool) -> datasets.DatasetDict:
    load = partial(datasets.load_dataset, name_or_path, revision=revision, streaming=streaming)
    try:
        try:
            return load(fragment_scan_options=read_options())
        except ValueError as error:
            if "fragment_scan_options" not in str(error):
                raise
            return load()  # not Parquet
    except (FileNotFoundError, ValueError, ConnectionError, OSError, KeyError, DatasetsError) as error:
        # That of a data set's generation says nothing itself.
        what = one_line(str(error.__cause__ or error))
        for file in _tables(name_or_path):
            if reason := damage(file):
                what = f"{file} is damaged ({reason}); build the corpus again, or copy the file again"
                break
        else:
            names = ", ".join(path.name for path in _tables(name_or_path)[:3])
            what = f"{what} ({names})" if names else what
        raise CorpusError(f"{name_or_path} cannot be loaded as a data set: {what}") from error


def _columns(splits: datasets.DatasetDict) -> list[str]:
    return next(iter(splits.values())).column_names


def corpus_file(name_or_path: str, file: str, revision: str | None = None) -> Path | None:
    """A file beside the rows of a corpus, downloaded where it is on the Hub; `None` where there is none."""
    if Path(name_or_path).is_dir():
        path = Path(name_or_path, file)
        return path if path.is_file() else None
    try:
        return Path(hf_hub_download(name_or_path, file, repo_type="dataset", revision=revision))
    except EntryNotFoundError:
        return None


def _read_json(name_or_path: str, file: str, revision: str | None) -> dict[str, dict[str, Any]]:
    path = corpus_file(name_or_path, file, revision)
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path is not None else {}
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{path} is not JSON ({error.__class__.__name__}); build the corpus again") from error
    if not isinstance(content, dict) or not all(isinstance(value or {}, dict) for value in content.values()):
        raise CorpusError(f"{path} must hold an object of settings for each modality; build the corpus again")
    found = {modality: made_by for modality, made_by in content.items() if made_by}
    if Path(name_or_path).is_dir():
        return found
    # What the machine of someone else has where is of no use here, and must not be looked for.
    return {modality: without_places(made_by) for modality, made_by in found.items()}
