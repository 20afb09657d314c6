# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Files of `torch.save` that hold corpora: tensors and numpy arrays in containers, read without running any code.

The restricted unpickler reads them in place of `torch.load`, whose `weights_only` would have to admit numpy's own
`dtype.__setstate__`. What is large stays in the file, of which no more is in memory than is asked for.
"""

import math
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from .stored_arrays import Sealed, Span, StoredArray
from .unpickler import Admitted, BoundedFile, RestrictedUnpickler, not_callable, plain, refusal


__all__ = ["load_torch_file"]

_BIG_ENDIAN = "it was saved by a machine of another byte order"
_ZIP = b"PK\x03\x04"
# What the format before torch 1.6 begins with, as pickles of their own.
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
# Offset of the lengths of name and extra field in the header of a member of a zip file, and size of the header.
_LENGTHS, _HEADER = 26, 30
# Bytes from which on an array or a text stays in the file.
_LARGE = 1024
_DTYPES = {
    Admitted(not_callable): (name, np.dtype(code).newbyteorder("<"))
    for name, code in (
        ("Float", "f4"), ("Double", "f8"), ("Half", "f2"), ("Long", "i8"), ("Int", "i4"), ("Short", "i2"),
        ("Char", "i1"), ("Byte", "u1"), ("Bool", "?"),
    )
}  # fmt: skip


def load_torch_file(path: str | os.PathLike[str]) -> Any:
    """
    What `torch.save` wrote, in the format of today (zip) or that before torch 1.6.

    Args:
        path: The file. It must stay as it is while arrays are read from it.

    Returns:
        Plain containers, numbers and text. Tensors on any device, and numpy arrays, are `StoredArray`s where they are
        large or tensors, and numpy arrays otherwise; for an `argparse.Namespace` stands an object without attributes.

    Raises:
        CorpusError: The file is missing, cut off or damaged, wants to load anything else, or unpacks to many times
            its size.
    """
    with refusal(path, "file of torch.save"), open(path, "rb") as file:
        bounded = BoundedFile(file)
        if not bounded.size:
            raise EOFError
        read = _read_zip if file.peek(4).startswith(_ZIP) else _read_legacy
        return plain(read(bounded, np.memmap(Path(path), np.uint8, "r")), bounded.size)


class _Storage(Sealed):
    """The numbers of tensors: `numel` of `dtype`, in a part of the file that may be found later."""

    __slots__ = ("dtype", "numel", "span")

    def __init__(self, dtype: np.dtype, numel: int, span: Span | None = None):
        self.dtype = dtype
        self.numel = numel
        self.span = span

    @property
    def nbytes(self) -> int:
        """Bytes of the numbers."""
        return self.numel * self.dtype.itemsize

    def buffer(self) -> Any:
        """The bytes of the numbers."""
        assert self.span is not None
        return self.span.buffer()


class _Settings:
    """Stands for an `argparse.Namespace`, the options of the writer of the file, not needed here."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        """Forget them."""


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> StoredArray:
    """What a tensor says of itself, in numbers of the storage."""
    numbers = (offset, *shape, *stride)
    sound = all(isinstance(number, int) and 0 <= number < 2**48 for number in numbers)
    if not isinstance(storage, _Storage) or not sound or len(shape) != len(stride) or len(shape) > 32:
        raise pickle.UnpicklingError("the shape of a tensor is not one")
    last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    if math.prod(shape) and last >= storage.numel:
        raise pickle.UnpicklingError(f"a tensor claims {last + 1} numbers of {storage.numel}")
    itemsize = storage.dtype.itemsize
    strides = tuple(step * itemsize for step in stride)
    if not math.prod(shape):
        offset, strides = 0, (0,) * len(shape)
    return StoredArray(storage, storage.dtype, tuple(shape), strides=strides, offset=offset * itemsize)


class _TorchUnpickler(RestrictedUnpickler):
    """
    One pickle in a file of `torch.save`.

    Args:
        file: What it reads from.
        mapped: The same file, in which large arrays and texts stay.
        records: Where each storage lies, by its key; those of the earlier format are found later.
    """

    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(RestrictedUnpickler.dispatch)
    admitted: ClassVar[Mapping[tuple[str, str], Any]] = {
        **RestrictedUnpickler.admitted,
        ("argparse", "Namespace"): _Settings,
        ("torch._utils", "_rebuild_tensor_v2"): Admitted(_rebuild_tensor),
        **{("torch", f"{name}Storage"): kind for kind, (name, _) in _DTYPES.items()},
    }

    def __init__(self, file: BoundedFile, mapped: np.ndarray, records: Mapping[str, Span] | None = None):
        super().__init__(file)
        self.file = file
        self.mapped = mapped
        self.records = records
        self.storages: dict[str, _Storage] = {}

    def persistent_load(self, identifier: Any) -> _Storage:
        """The storage that a tensor names: ("storage", kind, key, device, number of elements), and perhaps a view."""
        _, kind, key, _, numel, *view = identifier
        if not isinstance(key, str) or not isinstance(numel, int) or not 0 <= numel < 2**48 or any(view):
            raise pickle.UnpicklingError("a tensor names its storage in a way that torch never writes")
        storage = self.storages.setdefault(key, _Storage(_DTYPES[kind][1], numel))
        if storage.dtype != _DTYPES[kind][1] or storage.numel != numel:
            raise pickle.UnpicklingError(f"storage {key} is of two kinds")
        if self.records is not None:
            storage.span = self.records[f"data/{key}"]
            if storage.span.size < storage.nbytes:
                raise pickle.UnpicklingError(f"storage {key} claims {storage.nbytes} bytes of {storage.span.size}")
        return storage

    def load_frame(self) -> None:
        """Frames only tell how much to read at once, and would hide where in the file something lies."""
        self.read(8)

    def load_span(self, header: str, kind: Literal["bytes", "text"]) -> None:
        """Bytes or text behind their size."""
        (size,) = struct.unpack(header, self.read(struct.calcsize(header)))
        span = Span(self.mapped, self.file.skip(size), size, kind)
        self.append(span if size >= _LARGE else span.value())


def _span_loader(header: str, kind: Literal["bytes", "text"]) -> Callable[[_TorchUnpickler], None]:
    return lambda unpickler: unpickler.load_span(header, kind)


_TorchUnpickler.dispatch |= {
    pickle.FRAME[0]: _TorchUnpickler.load_frame,
    pickle.BINUNICODE[0]: _span_loader("<I", "text"),
    pickle.BINUNICODE8[0]: _span_loader("<Q", "text"),
    pickle.BINBYTES[0]: _span_loader("<I", "bytes"),
    pickle.BINBYTES8[0]: _span_loader("<Q", "bytes"),
    pickle.BYTEARRAY8[0]: _span_loader("<Q", "bytes"),
}


def _read_zip(file: BoundedFile, mapped: np.ndarray) -> Any:
    records = _records(file, mapped)
    if "data.pkl" not in records:
        raise pickle.UnpicklingError("an archive without data.pkl")
    if "byteorder" in records and records["byteorder"].value() != b"little":
        raise pickle.UnpicklingError(_BIG_ENDIAN)
    file.file.seek(records["data.pkl"].start)
    return _TorchUnpickler(file, mapped, records).load()


def _records(file: BoundedFile, mapped: np.ndarray) -> dict[str, Span]:
    """The members of the archive, without the folder that all of them lie in."""
    records = {}
    with zipfile.ZipFile(file.file) as archive:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise pickle.UnpicklingError("it is compressed, as torch never writes it")
            lengths = member.header_offset + _LENGTHS
            start = member.header_offset + _HEADER + sum(struct.unpack("<HH", bytes(mapped[lengths : lengths + 4])))
            if start + member.file_size > file.size:
                raise EOFError
            records[member.filename.partition("/")[2]] = Span(mapped, start, member.file_size)
    return records


def _read_legacy(file: BoundedFile, mapped: np.ndarray) -> Any:
    """Pickles one after the other, then the storages: for each the number of its elements, and these."""
    magic, protocol, system = (_TorchUnpickler(file, mapped).load() for _ in range(3))
    if (magic, protocol) != (_MAGIC, _PROTOCOL):
        raise pickle.UnpicklingError("it begins otherwise")
    if not system["little_endian"]:
        raise pickle.UnpicklingError(_BIG_ENDIAN)
    unpickler = _TorchUnpickler(file, mapped)
    content = unpickler.load()
    for key in _TorchUnpickler(file, mapped).load():
        storage = unpickler.storages.pop(key)
        (numel,) = struct.unpack("<q", file.read(8))
        if numel != storage.numel:
            raise pickle.UnpicklingError(f"storage {key} claims {storage.numel} numbers of {numel}")
        storage.span = Span(mapped, file.skip(storage.nbytes), storage.nbytes)
    if unpickler.storages:
        raise EOFError
    return content
