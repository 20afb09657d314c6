# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Features of text by word vectors in a file of the format of GloVe."""

import gzip
import io
import itertools
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
from huggingface_hub import constants
from transformers.utils import logging

from .extractor_base_univa import (
    check_at_least,
    check_choice,
    check_names,
    extractor_to_dict,
    set_values,
)
from .files_univa import whole_folder
from .limits_univa import LIMITS, check_limit
from .trusted_paths_univa import check_digest, content_digest


__all__ = ["WordVectorExtractor", "tokenize_words"]

logger = logging.get_logger(__name__)


# Of a line of word vectors, in characters: 4,096 numbers of 16.
_LONGEST_LINE = 2**16


# A contraction is cut as in the Penn Treebank, which is what GloVe was trained on.
_WORD = re.compile(r"[^\W\d_]+(?=n't\b)|n't\b|'(?:s|m|d|re|ve|ll)\b|\w+(?:[-.]\w+)*|[^\w\s]", re.IGNORECASE)


_HAN = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True)
class WordVectorExtractor:
    """
    Word vectors from a file in GloVe's text format, one frame a word or punctuation mark.

    The file is read once and kept as a memory-mapped float16 table in the cache of huggingface_hub (float16 is also
    what corpora store), so that later processes start at once and hold no more of it than they use.

    Args:
        model: The file: one word a line, followed by its numbers, plain or as `.gz` or `.zip`.
        sha256: Of the file as it lies there; found out where it is not given, and else another file is refused.
        feature_size: Numbers of a word; read from the file.
        lowercase: Whether words are looked up in lower case; otherwise as written, then in lower case.
        unknown: What becomes of words that the file does not have: "zero", a frame of zeros; "skip", no frame.

    Raises:
        ValueError: A setting that is not known, or no such file.
    """

    extractor_type: ClassVar[str] = "word-vectors"
    modality: ClassVar[str] = "text"

    model: str
    sha256: str | None = None
    feature_size: int = 0
    lowercase: bool = True
    unknown: str = "zero"

    def __post_init__(self):
        check_at_least(self, feature_size=0)
        check_choice(self, lowercase=(True, False), unknown=("zero", "skip"))
        check_names(self)
        if self.feature_size and self.sha256:
            return
        check_digest(self.model, self.sha256, is_folder=False)
        path = Path(self.model)
        try:
            found = self.sha256 or content_digest([path])
        except OSError as error:
            raise ValueError(f"{self.model}: this file of word vectors does not exist") from error
        _, values = next(_vector_lines(path))
        set_values(self, {"model": str(path.resolve()), "sha256": found, "feature_size": len(values)})

    def to_dict(self) -> dict[str, Any]:
        """All that decides the features; `extractor_from_dict` reads it back."""
        return extractor_to_dict(self)

    def __call__(self, text: str) -> np.ndarray:
        """
        Vectors of the words of one utterance.

        Returns:
            float32, shape (words, feature_size); no row for a text without words.

        Raises:
            ValueError: the file is not there, is another one, or is not in the format.
        """
        table = _word_vectors(self.model, self.sha256 or "")
        rows = [row for word in tokenize_words(text) for row in self._rows(word, table.rows)]
        if self.unknown == "skip":
            rows = [row for row in rows if row >= 0]
        index = np.array(rows, dtype=np.int64)
        frames = np.zeros((len(index), self.feature_size), dtype=np.float32)
        frames[index >= 0] = table.vectors[index[index >= 0]]
        return frames

    def extract_batch(self, items: Sequence[str]) -> list[np.ndarray]:
        """Vectors of the words of several utterances; see `__call__`."""
        return [self(text) for text in items]

    def _rows(self, word: str, rows: dict[str, int]) -> list[int]:
        """Rows of a word, or of its parts where only they are known; -1 where nothing is."""
        for spelling in (word.lower(),) if self.lowercase else (word, word.lower()):
            if spelling in rows:
                return [rows[spelling]]
        if _HAN.search(word):
            return [rows.get(part, -1) for part in _longest_matches(word, rows)]
        parts = re.findall(r"[^-.]+", word)
        return [row for part in parts for row in self._rows(part, rows)] if len(parts) > 1 else [-1]

    def write_most_frequent(self, path: Path, count: int) -> "WordVectorExtractor":
        """Write the first `count` words, which in GloVe's files are the most frequent, as a `.gz` file of its own."""
        with gzip.GzipFile(path, "wb", mtime=0) as file:
            for (word, values), _ in zip(_vector_lines(Path(self.model)), range(count), strict=False):
                file.write(" ".join([word, *values]).encode() + b"\n")
        return WordVectorExtractor(str(path), lowercase=self.lowercase, unknown=self.unknown)


def tokenize_words(text: str) -> list[str]:
    """Words, numbers, clitics ("do", "n't", "it", "'s") and punctuation marks of a text, as written."""
    return _WORD.findall(text.replace("\u2019", "'"))


def _longest_matches(text: str, words: dict[str, int]) -> list[str]:
    """Chinese text, which has no spaces, cut into the longest words known, from left to right."""
    parts, start = [], 0
    while start < len(text):
        ends = range(min(len(text), start + 8), start, -1)
        end = next((end for end in ends if text[start:end] in words), start + 1)
        parts.append(text[start:end])
        start = end
    return parts


def _open_text(path: Path) -> Any:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")
    if path.suffix != ".zip":
        return open(path, "rb")
    archive = zipfile.ZipFile(path)
    if len(archive.namelist()) != 1:
        raise ValueError(f"{path} holds {len(archive.namelist())} files; unpack it and name one of them")
    return archive.open(archive.namelist()[0])


def _text_lines(path: Path) -> Iterator[str]:
    """Lines of a text file, none of which is longer than vectors are: a packed file may hold any amount of nothing."""
    with _open_text(path) as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8", errors="replace", newline="\n")
        for number in itertools.count(1):
            if number > LIMITS["words"].most:
                check_limit("words", number, f"{path}: the number of lines")
            line = text.readline(_LONGEST_LINE)
            if not line:
                return
            if len(line) == _LONGEST_LINE:
                raise ValueError(f"{path}, line {number}: longer than {_LONGEST_LINE:,} characters")
            yield line


def _vector_lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Words and their numbers as strings, the first of which tells how many there are."""
    size = 0
    try:
        for number, line in enumerate(_text_lines(path), 1):
            parts = line.rstrip().split(" ")
            if number == 1 and len(parts) == 2 and all(part.isdigit() for part in parts):
                continue  # word2vec's header: number of words and size
            size = size or len(parts) - 1
            # Some of GloVe's words hold spaces.
            word, values = " ".join(parts[:-size]), parts[-size:]
            if not size or not word:
                raise ValueError(f"{path}, line {number}: expected a word and {size or 'its'} numbers")
            yield word, values
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise ValueError(f"{path} cannot be read as word vectors ({type(error).__name__})") from error
    if not size:
        raise ValueError(f"{path} holds no word vectors")


@dataclass(frozen=True)
class _WordVectors:
    """`rows`: the row of each word; `vectors`: float16 (words, size), memory-mapped."""

    rows: dict[str, int]
    vectors: np.ndarray


@lru_cache(maxsize=2)
def _word_vectors(model: str, sha256: str) -> _WordVectors:
    folder = Path(constants.HF_HOME, "univa", "word_vectors", sha256)
    if not folder.is_dir():
        _build_table(Path(model), sha256, folder)
    words = json.loads((folder / "words.json").read_text())
    vectors = np.memmap(folder / "vectors.f16", "<f2", mode="r").reshape(len(words), -1)
    return _WordVectors({word: row for row, word in enumerate(words)}, vectors)


def _build_table(path: Path, sha256: str, folder: Path) -> None:
    check_digest(str(path), sha256, is_folder=False)
    logger.warning(f"Reading {path} once into {folder}.")
    with whole_folder(folder, replace=False) as table:
        with open(table / "vectors.f16", "wb") as file:
            words = _write_vectors(path, file)
        (table / "words.json").write_text(json.dumps(words))


def _write_vectors(path: Path, file: BinaryIO) -> list[str]:
    """Write the rows of a file of word vectors as float16; of a word that comes twice the first counts."""
    words: dict[str, None] = {}
    for number, (word, values) in enumerate(_vector_lines(path), 1):
        if word in words:
            continue
        words[word] = None
        try:
            file.write(np.array(values, dtype=np.float32).astype("<f2").tobytes())
        except ValueError:
            raise ValueError(f"{path}: vector {number} holds something that is not a number") from None
    return list(words)
