# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A damaged shard is named with its file and the remedy; nothing of it is taken for data."""

import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from testing_utils import random_rows

from modeling_univa.data.loading import load_corpus
from modeling_univa.data.parquet import WRITE_OPTIONS, check_files, damage, write_checksums, write_shard
from modeling_univa.data.schema import CorpusError


@pytest.fixture
def folder(tmp_path):
    """A corpus as a builder writes it."""
    data = tmp_path / "corpus" / "data"
    data.mkdir(parents=True)
    for split, seed in (("train", 1), ("test", 2)):
        rows = random_rows([5] * 8, seed=seed, prefix=split)
        rows.to_parquet(tmp_path / "plain.parquet", batch_size=16)
        write_shard(tmp_path / "plain.parquet", data / f"{split}-00000-of-00001.parquet")
    write_checksums(tmp_path / "corpus")
    return tmp_path / "corpus"


def test_rows_are_written_as_they_were(tmp_path):
    plain, checked = tmp_path / "plain.parquet", tmp_path / "checked.parquet"
    random_rows([5] * 16).to_parquet(plain, batch_size=32)
    before = pq.ParquetFile(plain)
    rows, schema, groups = before.read(), before.schema_arrow, before.num_row_groups
    write_shard(plain, checked)
    after = pq.ParquetFile(checked, page_checksum_verification=True)
    assert repr(after.read().to_pylist()) == repr(rows.to_pylist())
    assert after.schema_arrow.metadata[b"huggingface"] == schema.metadata[b"huggingface"]
    assert after.num_row_groups == groups == 3
    assert not plain.exists()


def test_every_flipped_bit_is_noticed_or_without_effect(folder, tmp_path, monkeypatch):
    file = folder / "data" / "train-00000-of-00001.parquet"
    data, rows = file.read_bytes(), repr(pq.read_table(file).to_pylist())
    generator, noticed = np.random.default_rng(0), 0
    for place in generator.integers(0, len(data), 150):
        changed = bytearray(data)
        changed[place] ^= 1 << int(generator.integers(8))
        file.write_bytes(changed)
        try:
            check_files(folder)
            assert damage(file) is None
            assert repr(pq.read_table(file).to_pylist()) == rows
        except (CorpusError, AssertionError) as error:
            assert isinstance(error, CorpusError) or damage(file) is not None
            noticed += 1
    assert noticed > 100


@pytest.mark.parametrize("part", ["page", "footer", "end"])
def test_a_damaged_corpus_names_the_file_and_the_remedy(folder, part):
    file = folder / "data" / "test-00000-of-00001.parquet"
    data = bytearray(file.read_bytes())
    if part == "end":
        del data[len(data) // 2 :]
    else:
        data[{"page": 300, "footer": -200}[part]] ^= 4
    file.write_bytes(data)
    with pytest.raises(CorpusError, match=rf"{re.escape(str(file))} is damaged.*build the corpus again"):
        load_corpus(str(folder))


def test_pages_are_checked_without_the_record_of_footers(folder):
    (folder / "checksums.json").unlink()
    file = folder / "data" / "train-00000-of-00001.parquet"
    data = bytearray(file.read_bytes())
    column = pq.ParquetFile(file).metadata.row_group(0).column(0)
    data[column.dictionary_page_offset + column.total_compressed_size // 2] ^= 4
    file.write_bytes(data)
    with pytest.raises(CorpusError, match=rf"{re.escape(str(file))} is damaged"):
        load_corpus(str(folder))
    corpus = load_corpus(str(folder), streaming=True)
    with pytest.raises(CorpusError, match="cannot be read.*build the corpus again"):
        corpus.split("train")


def test_files_that_come_or_go_are_noticed(folder):
    load_corpus(str(folder))
    extra = folder / "data" / "validation-00000-of-00001.parquet"
    (folder / "data" / "test-00000-of-00001.parquet").rename(extra)
    with pytest.raises(CorpusError, match="test-00000-of-00001.parquet is missing"):
        load_corpus(str(folder))
    (folder / "checksums.json").write_text("[1")
    with pytest.raises(CorpusError, match="checksums.json is damaged"):
        load_corpus(str(folder))
    (folder / "checksums.json").unlink()
    assert set(load_corpus(str(folder)).splits) == {"train", "validation"}


def test_record_has_every_file(folder):
    record = json.loads((folder / "checksums.json").read_text())
    assert set(record) == {"data/test-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"}
    assert WRITE_OPTIONS["write_page_checksum"]
