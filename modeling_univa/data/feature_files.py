# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Files of precomputed features: numpy, torch, Parquet, and csv as OpenFace, openSMILE and others write it.

Nothing in such a file runs code, and what its header claims is compared with its size before anything is allocated.
"""

import lzma
import math
import pickle
import re
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from ..models.files_univa import one_line
from ..models.limits_univa import check_claim, check_limit
from .schema import CorpusError
from .tables import csv_header, csv_rows


__all__ = ["FEATURE_SUFFIXES", "FeatureTable", "Frames", "open_table", "read_frames"]

ID_COLUMN = "utterance_id"
# Where a file may hold several things, this one is the features.
_FEATURES = "features"
_CSV = (".csv", ".tsv", ".txt")
_TORCH = (".pt", ".pth")
FEATURE_SUFFIXES = (*_CSV, ".npy", ".npz", *_TORCH, ".parquet")

# Which columns tell a tool, and which of its columns are not features. openSMILE's Python package writes an index.
_TOOLS = (
    ("OpenFace", {"confidence", "success"}, {"frame", "face_id", "timestamp", "confidence", "success"}),
    ("openSMILE", {"name", "frameTime"}, {"name", "frameIndex", "frameTime"}),
    ("openSMILE", {"name", "frameIndex"}, {"name", "frameIndex"}),
    ("openSMILE", {"file", "start", "end"}, {"file", "start", "end"}),
)
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")
# NaN and infinity as the C library of Windows writes them.
_NOT_A_NUMBER = re.compile(r"[-+]?(nan(\(\w*\))?|1\.#\w+)?", re.IGNORECASE)
_NPY_HEADERS: dict[Any, Callable[..., Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_TORCH_ERRORS = (RuntimeError, ValueError, KeyError, TypeError, AttributeError, EOFError, OSError, IndexError)


@dataclass(frozen=True)
class Frames:
    """
    Features of one utterance.

    Args:
        values: (frames, size) numbers of any type; there may be no frame.
        columns: Names of the `size` numbers, where the file names them.
        tool: What wrote the file, where its columns tell.
        left_out: Frames that the file itself calls a failure.
    """

    values: np.ndarray
    columns: tuple[str, ...] | None = None
    tool: str | None = None
    left_out: int = 0


def read_frames(path: Path) -> Frames:
    """
    The features of one utterance: a vector is one frame, a matrix has a frame a row.

    A csv or Parquet file has a frame a row, with the columns of `_TOOLS` left out and the frames in which OpenFace saw
    no face (success 0); `.npz` holds one array, or one called "features"; `.pt` a tensor.

    Raises:
        CorpusError: Not such a file; the message names it.
    """
    suffix = _suffix_of(path)
    with _named(path):
        if suffix in _CSV:
            return _read_csv(path, needs_ids=False).whole()
        if suffix == ".parquet":
            return _read_parquet(path, needs_ids=False).whole()
        return Frames(_as_frames(_read_array(path, suffix)))


def open_table(path: Path) -> "FeatureTable":
    """
    The features of all utterances: csv or Parquet with a column `utterance_id`, `.npz` or `.pt` keyed by it.

    A row of a csv file is a frame; one of a Parquet file too, but where it has a column `features`, whose lists of
    numbers are a frame each and whose lists of lists an utterance each.

    Raises:
        CorpusError: Not such a file; the message names it.
    """
    suffix = _suffix_of(path)
    with _named(path):
        if suffix in _CSV:
            return _read_csv(path, needs_ids=True).table(path)
        if suffix == ".parquet":
            return _parquet_table(path)
        if suffix == ".npz":
            archive, names = _open_npz(path)  # stays open, and is read an array at a time
            return FeatureTable(path, dict(zip(names, names, strict=True)), partial(_read_member, archive, path))
        if suffix in _TORCH:
            return FeatureTable(path, _tensors_by_id(path), _array_of_tensor)
        raise CorpusError("a .npy file has no utterance_id; save one file an utterance, or .npz")


@dataclass(frozen=True)
class FeatureTable:
    """
    Features of many utterances.

    Args:
        path: The file.
        places: Where in it an utterance is, by `utterance_id`.
        read: Array of what is in a place.
        columns, tool: As in `Frames`.
    """

    path: Path
    places: Mapping[str, Any]
    read: Callable[[Any], Any]
    columns: tuple[str, ...] | None = None
    tool: str | None = None

    def frames(self, utterance_id: str) -> Frames:
        """Features of an utterance. Raises `KeyError` where there are none, `CorpusError` where they are unsound."""
        place = self.places[utterance_id]
        with _named(self.path, f"utterance {utterance_id!r}: "):
            return Frames(_as_frames(self.read(place)), self.columns, self.tool)


@contextmanager
def _named(path: Path, where: str = "") -> Iterator[None]:
    """Errors of a file have its name in front, once."""
    try:
        yield
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None
    except (ValueError, MemoryError, NotImplementedError) as error:
        reason = str(error).removeprefix(f"{path}: ") or "there is not enough memory for it"
        raise CorpusError(f"{path}: {where}{reason}") from None


def _suffix_of(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in FEATURE_SUFFIXES:
        raise CorpusError(f"{path}: features are read from {', '.join(FEATURE_SUFFIXES)}; save them as one of these")
    return suffix


def _as_frames(array: Any) -> np.ndarray:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        found = f"an array of {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
        raise CorpusError(f"expected an array of numbers, found {found}; save the numbers alone")
    if array.ndim not in (1, 2) or not array.shape[-1]:
        raise CorpusError(f"expected the shape (frames, size), or (size,) of one frame, found {array.shape}")
    check_limit("width", array.shape[-1], "The size of a frame")
    return array[None] if array.ndim == 1 else array


# Tables of numbers


@dataclass
class _Columns:
    """Rows of numbers, in order, and whose they are."""

    columns: tuple[str, ...] | None
    tool: str | None
    values: np.ndarray
    seen: np.ndarray
    ids: Sequence[str] = ()

    def whole(self) -> Frames:
        found = _as_frames(self.values[self.seen])
        return Frames(found, self.columns, self.tool, left_out=int(np.count_nonzero(~self.seen)))

    def table(self, path: Path) -> FeatureTable:
        places: dict[str, list[int]] = {}
        for row, name in enumerate(self.ids):
            rows = places.setdefault(name, [])
            if self.seen[row]:
                rows.append(row)
        return FeatureTable(path, places, lambda rows: self.values[rows], self.columns, self.tool)


def _feature_columns(header: Sequence[str], needs_ids: bool) -> tuple[str | None, list[str]]:
    """The tool that wrote a table, and the columns that are features."""
    tool, others = next(((tool, others) for tool, signs, others in _TOOLS if signs.issubset(header)), (None, set()))
    left_out = {*others, ID_COLUMN} if needs_ids else others
    kept = [name for name in header if name not in left_out and not _PANDAS_INDEX.fullmatch(name)]
    if not kept:
        raise CorpusError(f"no column of features, only {', '.join(header)}; the file needs some")
    if "" in kept:
        raise CorpusError("a column has no name; write the file without row numbers (in pandas: index=False)")
    numbers = [str(number) for number in range(len(header))]
    if all(map(_is_number, header)) and list(header) != numbers:
        raise CorpusError(f"the first line holds numbers ({header[0]}, …), expected the names of the columns")
    check_limit("width", len(kept), "The size of a frame")
    return tool, kept


def _read_csv(path: Path, needs_ids: bool) -> _Columns:
    required = (ID_COLUMN,) if needs_ids else ()
    tool, kept = _feature_columns(csv_header(path, required), needs_ids)
    ids, seen, values = [], [], []
    for where, cells in csv_rows(path, required):
        values.append(_numbers(cells, kept, where))
        seen.append(tool != "OpenFace" or _number(cells["success"]) != 0)
        ids.append(cells.get(ID_COLUMN, ""))
    array = np.stack(values) if values else np.zeros((0, len(kept)), np.float32)
    return _Columns(tuple(kept), tool, array, np.array(seen, bool), ids)


def _numbers(cells: Mapping[str, str], columns: Sequence[str], where: str) -> np.ndarray:
    found = []
    for name in columns:
        try:
            found.append(_number(cells[name]))
        except ValueError:
            raise CorpusError(f"{where}: column {name!r} holds {cells[name][:60]!r}, expected a number") from None
    with np.errstate(over="ignore"):
        return np.array(found, dtype=np.float32)


def _number(cell: str) -> float:
    """What a cell says; an empty one is NaN."""
    try:
        return float(cell)
    except ValueError:
        if _NOT_A_NUMBER.fullmatch(cell.strip()):
            return math.nan
        raise


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


# Parquet


def _parquet_table(path: Path) -> FeatureTable:
    if _FEATURES not in _parquet_schema(path).names:
        return _read_parquet(path, needs_ids=True).table(path)
    table = _parquet_columns(path, [ID_COLUMN, _FEATURES])
    lists, ids = table[_FEATURES].combine_chunks(), _ids_of(table)
    if not _is_list(lists.type):
        raise CorpusError(f"column {_FEATURES!r} holds {lists.type}, expected lists of numbers")
    places: dict[str, list[int]] = {}
    for row, name in enumerate(ids):
        places.setdefault(name, []).append(row)
    if _is_list(lists.type.value_type) and len(places) < len(ids):
        repeated = next(name for name, rows in places.items() if len(rows) > 1)
        raise CorpusError(f"utterance {repeated!r} is there twice; keep one of them")
    return FeatureTable(path, places, lambda rows: _array_of_lists(lists, rows))


def _array_of_lists(lists: Any, rows: Sequence[int]) -> np.ndarray:
    """The frames of some rows: a list of numbers is one, a list of lists is all of an utterance."""
    found = lists.take(pa.array(rows, pa.int64())).drop_null()
    if _is_list(found.type.value_type):
        found = found.flatten().drop_null()
    sizes = sorted(set(pc.list_value_length(found).to_pylist()))
    if not sizes:
        return np.zeros((0, 1), np.float32)
    if len(sizes) > 1:
        raise CorpusError(
            f"expected frames of one size in column {_FEATURES!r}, found {', '.join(map(str, sizes[:5]))}"
        )
    return _array_of_column(found.flatten(), _FEATURES).reshape(len(found), -1)


def _read_parquet(path: Path, needs_ids: bool) -> _Columns:
    schema = _parquet_schema(path)
    if _FEATURES in schema.names:
        lists = _parquet_columns(path, [_FEATURES])[_FEATURES].combine_chunks()
        if not _is_list(lists.type):
            raise CorpusError(f"column {_FEATURES!r} holds {lists.type}, expected lists of numbers")
        values = _array_of_lists(lists, range(len(lists)))
        return _Columns(None, None, values, np.ones(len(values), bool))
    tool, kept = _feature_columns(schema.names, needs_ids)
    success = ["success"] if tool == "OpenFace" else []
    table = _parquet_columns(path, [*kept, *success, *([ID_COLUMN] if needs_ids else [])])
    values = np.stack([_array_of_column(table[name], name) for name in kept], axis=1)
    seen = _array_of_column(table["success"], "success") != 0 if success else np.ones(len(values), bool)
    return _Columns(tuple(kept), tool, values, seen, _ids_of(table) if needs_ids else ())


def _parquet_schema(path: Path) -> pa.Schema:
    with _open_parquet(path) as file:
        return file.schema_arrow


def _parquet_columns(path: Path, names: Sequence[str]) -> pa.Table:
    with _open_parquet(path) as file:
        absent = [name for name in names if name not in file.schema_arrow.names]
        if absent:
            raise CorpusError(f"no column {absent[0]!r}; the file has {', '.join(file.schema_arrow.names)}")
        # Not what the columns say of themselves: pyarrow ends the process where that is forged.
        groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
        claimed = max(4 * len(names) * file.metadata.num_rows, sum(group.total_byte_size for group in groups))
        check_claim(claimed, path.stat().st_size, "The size of its columns")
        try:
            return file.read(columns=list(names))
        except (OSError, ValueError, pa.ArrowException) as error:
            raise CorpusError(f"not a sound Parquet file ({one_line(error)}); save it again") from None


def _open_parquet(path: Path) -> pq.ParquetFile:
    if not path.is_file():
        raise CorpusError("this file does not exist; correct the path")
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise CorpusError(f"not a sound Parquet file ({one_line(error)}); save it again") from None


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _array_of_column(column: Any, name: str) -> np.ndarray:
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise CorpusError(f"column {name!r} holds {kind}, expected numbers")
    # Cells that are empty become NaN.
    return pc.cast(column, pa.float32(), safe=False).to_numpy(zero_copy_only=False)


def _ids_of(table: pa.Table) -> list[str]:
    column = table[ID_COLUMN]
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise CorpusError(f"column {ID_COLUMN!r} holds {column.type}, expected text")
    if column.null_count:
        raise CorpusError(f"column {ID_COLUMN!r} has {column.null_count} empty cells; fill them")
    return column.to_pylist()


# Arrays


def _read_array(path: Path, suffix: str) -> Any:
    if suffix == ".npy":
        with open(path, "rb") as file:
            return _read_npy(file, path.stat().st_size)
    if suffix == ".npz":
        archive, names = _open_npz(path)
        with archive:
            if len(names) != 1 and _FEATURES not in names:
                raise CorpusError(f"expected one array, or one called {_FEATURES!r}, found {_some(names)}")
            return _read_member(archive, path, _FEATURES if _FEATURES in names else names[0])
    return _array_of_tensor(_load_torch(path))


def _read_npy(file: IO[bytes], size: int) -> np.ndarray:
    """An array of numbers, in a file or a member of an archive that is `size` bytes long."""
    try:
        shape, is_fortran, dtype = _NPY_HEADERS[np.lib.format.read_magic(file)](file)
    except (ValueError, KeyError, SyntaxError, TypeError, tokenize.TokenError) as error:
        raise CorpusError(f"not a sound .npy file ({one_line(error)}); save it again") from None
    if dtype.hasobject:
        raise CorpusError("it holds Python objects (a pickle), which are not read; save an array of numbers")
    claimed = math.prod(shape) * dtype.itemsize
    if any(length < 0 for length in shape) or claimed > size:
        raise CorpusError(f"its header claims the shape {shape}, for which the file is too short; save it again")
    check_limit("array", claimed, "Its size")
    data = file.read(claimed)
    if len(data) < claimed:
        raise CorpusError("the file ends early; save it again")
    return np.frombuffer(data, dtype, math.prod(shape)).reshape(shape, order="F" if is_fortran else "C")


def _open_npz(path: Path) -> tuple[zipfile.ZipFile, list[str]]:
    archive = _open_zip(path, ".npz")
    names = [name.removesuffix(".npy") for name in archive.namelist()]
    if len(set(names)) < len(names):
        raise CorpusError("two of its arrays have the same name; save it again")
    return archive, names


def _read_member(archive: zipfile.ZipFile, path: Path, name: str) -> np.ndarray:
    try:
        info = archive.getinfo(f"{name}.npy")
        check_claim(info.file_size, path.stat().st_size, f"The size of array {name!r}")
        with archive.open(info) as file:
            return _read_npy(file, info.file_size)
    except (KeyError, RuntimeError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise CorpusError(f"array {name!r} cannot be read ({error}); save the file again") from None


def _open_zip(path: Path, kind: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise CorpusError(f"not a sound {kind} file ({error}); save it again") from None


def _some(names: Sequence[str]) -> str:
    return f"{', '.join(map(repr, names[:5]))}{', …' if len(names) > 5 else ''}" or "none"


# Tensors


def _load_torch(path: Path) -> Any:
    # The format before torch 1.6 allocates what it claims.
    with _open_zip(path, "torch.save") as archive:
        check_claim(sum(info.file_size for info in archive.infolist()), path.stat().st_size, "The size of its tensors")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise CorpusError("it holds more than tensors, and may run code when read; save the tensors alone") from None
    except _TORCH_ERRORS as error:
        reason = one_line(error)
        raise CorpusError(f"not a sound file of torch.save ({reason}); save it again") from None


def _tensors_by_id(path: Path) -> dict[str, Any]:
    loaded = _load_torch(path)
    if not isinstance(loaded, Mapping) or not all(isinstance(name, str) for name in loaded):
        raise CorpusError(f"expected a dictionary of tensors by utterance_id, found {type(loaded).__name__}")
    return dict(loaded)


def _array_of_tensor(tensor: Any) -> np.ndarray:
    if not isinstance(tensor, torch.Tensor):
        raise CorpusError(f"expected a tensor, found {type(tensor).__name__}; save it with torch.save(tensor, path)")
    is_plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_nested
    if not is_plain or tensor.is_quantized or tensor.is_complex():
        kind = f"{tensor.layout}, {tensor.dtype} on {tensor.device}"
        raise CorpusError(f"expected a dense tensor of numbers, found {kind}; save tensor.float() without gradient")
    # A tensor may show one number many times.
    check_claim(4 * tensor.numel(), tensor.untyped_storage().nbytes(), "The size of a tensor")
    return tensor.detach().to(torch.float32).numpy()
