# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Parquet files that tell when they are damaged.

Every page carries its checksum, which is compared when it is read. The footer, which names columns and labels, has
none: `checksums.json` beside the rows keeps its SHA-256 and the size of each file.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from ..models.files_univa import one_line
from .schema import CorpusError


__all__ = [
    "CHECKSUMS_FILE",
    "WRITE_OPTIONS",
    "check_files",
    "damage",
    "read_options",
    "write_checksums",
    "write_shard",
]

CHECKSUMS_FILE = "checksums.json"
WRITE_OPTIONS: dict[str, Any] = {"write_page_checksum": True, "write_page_index": True}

# At the end of a file: the length of the footer and "PAR1".
_TAIL = 8
_REMEDY = "build the corpus again, or copy the file again"


def read_options() -> pads.ParquetFragmentScanOptions:
    """For `datasets.load_dataset`: the checksum of every page is compared."""
    return pads.ParquetFragmentScanOptions(page_checksum_verification=True)


def write_shard(source: Path, target: Path) -> None:
    """Write a Parquet file again, row group by row group, with checksums; the source is removed."""
    with (
        pq.ParquetFile(source) as reader,
        pq.ParquetWriter(
            target,
            reader.schema_arrow,
            use_content_defined_chunking=datasets.config.DEFAULT_CDC_OPTIONS,
            **WRITE_OPTIONS,
        ) as writer,
    ):
        for index in range(reader.num_row_groups):
            writer.write_table(reader.read_row_group(index))
        writer.add_key_value_metadata({"content_defined_chunking": json.dumps(datasets.config.DEFAULT_CDC_OPTIONS)})
    source.unlink()


def damage(file: Path, schema: pa.Schema | None = None) -> str | None:
    """
    What is wrong with a Parquet file, `None` where every page of it reads well.

    Args:
        file: Is read to its end, a row group at a time.
        schema: That it has to have, with what `datasets` says of its columns in the metadata.
    """
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as reader:
            if schema is not None and not _has_columns(reader.schema_arrow, schema):
                return "its columns are others"
            datasets.Features.from_arrow_schema(reader.schema_arrow)
            for index in range(reader.num_row_groups):
                reader.read_row_group(index)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        return one_line(error) or type(error).__name__
    return None


def _has_columns(found: pa.Schema, expected: pa.Schema) -> bool:
    about = [(schema.metadata or {}).get(b"huggingface") for schema in (found, expected)]
    return found.equals(expected) and about[0] == about[1]


def write_checksums(folder: Path) -> None:
    """Write `checksums.json` of the Parquet files of a corpus folder."""
    found = {path.relative_to(folder).as_posix(): _fingerprint(path) for path in _files(folder)}
    (folder / CHECKSUMS_FILE).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def check_files(folder: Path) -> None:
    """
    Compare sizes and footers of a corpus folder with its `checksums.json`, where it has one.

    Raises:
        CorpusError: A file is missing, is there besides, or is not what was written; names it and the remedy.
    """
    record = folder / CHECKSUMS_FILE
    if not record.is_file():
        return
    try:
        expected = dict(json.loads(record.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise CorpusError(f"{record} is damaged ({error}); {_REMEDY}") from error
    found = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    for name in sorted({*expected, *found}):
        if name not in found:
            raise CorpusError(f"{folder / name} is missing; {_REMEDY}")
        if _fingerprint(found[name]) != expected.get(name):
            raise CorpusError(
                f"{folder / name} is damaged, or is not the file that the corpus was built with; {_REMEDY} (remove "
                f"{CHECKSUMS_FILE} if it was changed on purpose)"
            )


def _files(folder: Path) -> list[Path]:
    return sorted((folder / "data").glob("*.parquet"))


def _fingerprint(file: Path) -> dict[str, Any]:
    size = file.stat().st_size
    with file.open("rb") as stream:
        stream.seek(max(0, size - _TAIL))
        length = int.from_bytes(stream.read(4), "little")
        stream.seek(max(0, size - _TAIL - length))
        return {"bytes": size, "footer_sha256": hashlib.sha256(stream.read(length + _TAIL)).hexdigest()}
