# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Read pickles of strangers: numpy arrays and plain containers, and nothing that runs code.

Pickle calls whatever it is told to import, so every name goes through a short list, and even the listed names stand
for functions of this module that accept only what numpy itself writes. numpy's own `dtype.__setstate__` is among what
is replaced: a forged state could pass raw bytes off as object pointers.
"""

import math
import os
import pickle
import re
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from io import BufferedReader
from typing import Any, ClassVar, NoReturn

import numpy as np

from ..models.files_univa import one_line
from .schema import CorpusError
from .stored_arrays import Sealed, Span, StoredArray


__all__ = [
    "Admitted",
    "BoundedFile",
    "RestrictedUnpickler",
    "load_restricted_pickle",
    "not_callable",
    "plain",
    "refusal",
]

# Strings of no length would be an array of any number of nothing.
_DTYPE_CODE = re.compile(r"\?|[biufc]\d{1,2}|[SU][1-9]\d{0,8}|O8?|b1")
_DEEPEST = 64
# What a file may become when it is read: a multiple of its size, and some more for small ones.
_GROWTH, _SMALL = 8, 2**20
_KEYS = (str, bytes, int, float, np.generic, type(None))


class _DType:
    """What a pickle says about a dtype; only plain numbers, strings and objects, in either byte order."""

    def __init__(self, code: Any, align: Any = False, copy: Any = True):
        if not isinstance(code, str) or not _DTYPE_CODE.fullmatch(code):
            raise pickle.UnpicklingError(f"array type {code!r} is not one of numbers, strings and objects")
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        if state[1] not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"byte order {state[1]!r} is unknown")
        self.value = self.value.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array on its way out of a pickle, whose state is checked before numpy takes it."""

    # The array itself, where it stays in the file.
    stored: StoredArray | None = None

    def __setstate__(self, state: tuple) -> None:  # type: ignore[override]
        version, shape, dtype, is_fortran, data = state
        _check_shape(shape, dtype.value, data)
        if isinstance(data, Span):
            self.stored = StoredArray(data, dtype.value, shape, "F" if is_fortran else "C")
        else:
            super().__setstate__((version, shape, dtype.value, is_fortran, data))  # type: ignore[misc]


def _check_shape(shape: Any, dtype: np.dtype, data: Any) -> None:
    """Refuse a shape that claims more, or less, than there is, before numpy makes room for it."""
    sizes = shape if isinstance(shape, tuple) else ()
    if sizes != shape or any(not isinstance(size, int) or not 0 <= size < 2**48 for size in sizes) or len(sizes) > 32:
        raise pickle.UnpicklingError("the shape of an array is not one")
    claimed = math.prod(sizes)
    if isinstance(data, Span):
        fits = not dtype.hasobject and data.may_hold(claimed * dtype.itemsize)
    else:
        fits = claimed == (len(data) if dtype.hasobject else len(data) // dtype.itemsize)
    if not fits:
        raise pickle.UnpicklingError(f"an array claims {claimed} elements and has more or fewer")


class Admitted(Sealed):
    """
    Stands for one admitted name. It can be called, as pickle does, but not altered, as pickle could.

    Args:
        function: What is called instead of what the name says.
    """

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]):
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)


def not_callable(*_: Any) -> NoReturn:
    """Stands for names that pickles hand around and never call. Raises `UnpicklingError`."""
    raise pickle.UnpicklingError("it builds an array in a way that no writer does")


_NDARRAY = Admitted(not_callable)


def _reconstruct(subtype: Any, shape: Any, code: Any) -> _Array:
    if subtype is not _NDARRAY or shape != (0,):
        not_callable()
    return np.ndarray.__new__(_Array, (0,), np.int8)


def _scalar(dtype: _DType, data: bytes) -> Any:
    return np.frombuffer(data, dtype.value, count=1)[0]


def _from_buffer(buffer: bytes | bytearray | Span, dtype: _DType, shape: tuple[int, ...], order: Any) -> Any:
    _check_shape(shape, dtype.value, buffer)
    if isinstance(buffer, Span):
        return StoredArray(buffer, dtype.value, shape, "F" if order == "F" else "C")
    return np.frombuffer(buffer, dtype.value).reshape(shape, order=order)


def _check_keys(keys: Iterable[Any]) -> None:
    """Refuse keys whose hashing may take for ever: tuples in tuples, many times over, or numbers made to collide."""
    for key in keys:
        for part in key if isinstance(key, tuple) else (key,):
            if not isinstance(part, _KEYS) or (isinstance(part, int) and abs(part) >= 2**60):
                raise pickle.UnpicklingError(f"a key is of type {type(part).__name__}, not text or a number")


def _encode(text: str | Span, encoding: str) -> bytes | Span:
    # Protocols before 3 have no bytes and write them as text, always in this encoding.
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it encodes text as {encoding!r}")
    return replace(text, kind="encoded") if isinstance(text, Span) else text.encode("latin1")


def _empty(kind: type) -> Callable[..., Any]:
    def make(*args: Any) -> Any:
        if args and not isinstance(args[0], (list, tuple)):
            raise pickle.UnpicklingError(f"it builds {kind.__name__} from {type(args[0]).__name__}")
        if args and kind is not bytes:
            _check_keys(pair[0] for pair in args[0]) if kind is OrderedDict else _check_keys(args[0])
        return kind(*args)

    return make


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): Admitted(_DType),
    ("_codecs", "encode"): Admitted(_encode),
    ("collections", "OrderedDict"): Admitted(_empty(OrderedDict)),
    **{("builtins", kind.__name__): Admitted(_empty(kind)) for kind in (bytes, set, frozenset)},
    **{
        (f"numpy.{core}.{module}", name): Admitted(function)
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}


# Any, since what it is made of is not typed.
_PythonUnpickler: Any = pickle._Unpickler


class BoundedFile:
    """A file that never makes room for more than it has."""

    def __init__(self, file: BufferedReader):
        self.file = file
        self.size = os.fstat(file.fileno()).st_size
        self.readline = file.readline

    def read(self, count: int) -> bytes:
        """That many bytes. Raises `EOFError` where the file is shorter."""
        if count > self.size:
            raise EOFError
        return self.file.read(count)

    def skip(self, count: int) -> int:
        """Skip that many bytes; where they begin. Raises `EOFError` where the file is shorter."""
        start = self.file.tell()
        if start + count > self.size:
            raise EOFError
        self.file.seek(count, os.SEEK_CUR)
        return start

    def readinto(self, buffer: bytearray) -> int:
        """As of any file."""
        return self.file.readinto(buffer)


class RestrictedUnpickler(_PythonUnpickler):
    """
    Reads one pickle.

    Args:
        file: What it reads from.
    """

    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(_PythonUnpickler.dispatch)
    # What a pickle may name, and what it gets.
    admitted: ClassVar[Mapping[tuple[str, str], Any]] = _ADMITTED

    def __init__(self, file: BoundedFile):
        super().__init__(file)
        self.size = file.size
        self.left = _GROWTH * file.size + _SMALL

    def find_class(self, module: str, name: str) -> Any:
        """What an admitted name stands for. Raises `CorpusError` for any other."""
        module = {"__builtin__": "builtins"}.get(module, module)
        if (module, name) not in self.admitted:
            raise CorpusError(
                f"it wants to load {module}.{name}, and only numpy arrays and plain containers are admitted, "
                "as anything else may run code; do not trust this file"
            )
        return self.admitted[module, name]

    def _spend(self, values: Iterable[Any]) -> None:
        """Count what is copied: a few bytes can ask for another copy of something large."""
        self.left -= sum(len(value) for value in values if hasattr(value, "__len__"))
        if self.left < 0:
            raise pickle.UnpicklingError("it unpacks to many times its size")

    def _load_reduce(self) -> None:
        self._spend(self.stack[-1])
        super().load_reduce()

    def _load_build(self) -> None:
        state = self.stack[-1]
        self._spend(state if isinstance(state, tuple) else ())
        super().load_build()

    def _load_setitem(self) -> None:
        _check_keys(self.stack[-2:-1])
        super().load_setitem()

    def _load_setitems(self) -> None:
        _check_keys(self.stack[::2])
        super().load_setitems()

    def _load_dict(self) -> None:
        _check_keys(self.stack[::2])
        super().load_dict()

    def _load_additems(self) -> None:
        _check_keys(self.stack)
        super().load_additems()

    def _load_frozenset(self) -> None:
        _check_keys(self.stack)
        super().load_frozenset()

    def _load_bytearray8(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(size)))


for _opcode, _name in (
    (pickle.REDUCE, "reduce"), (pickle.BUILD, "build"), (pickle.SETITEM, "setitem"), (pickle.SETITEMS, "setitems"),
    (pickle.DICT, "dict"), (pickle.ADDITEMS, "additems"), (pickle.FROZENSET, "frozenset"),
    (pickle.BYTEARRAY8, "bytearray8"),
):  # fmt: skip
    RestrictedUnpickler.dispatch[_opcode[0]] = getattr(RestrictedUnpickler, f"_load_{_name}")


def load_restricted_pickle(path: str | os.PathLike[str]) -> Any:
    """Load a pickle that holds numpy arrays, numbers, strings and plain containers only.

    Names of numpy's modules are understood in both spellings, `numpy.core` and `numpy._core`.

    Raises:
        CorpusError: The file is missing, cut off or damaged, or wants to load anything else.
    """
    with refusal(path, "pickle of numpy arrays"), open(path, "rb") as file:
        bounded = BoundedFile(file)
        return plain(RestrictedUnpickler(bounded).load(), bounded.size)


@contextmanager
def refusal(path: str | os.PathLike[str], kind: str) -> Iterator[None]:
    """
    Turn whatever a file makes the unpickler raise into a `CorpusError` of one line that names the file.

    Args:
        path: The file.
        kind: What it is not, where it is not.
    """
    try:
        yield
    except CorpusError as error:
        raise CorpusError(f"{path}: refused, {error}") from None
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except EOFError:
        raise CorpusError(f"{path}: the {kind.split()[0]} is cut off; copy the file again") from None
    except MemoryError:
        raise CorpusError(f"{path}: the {kind.split()[0]} does not fit into memory") from None
    # A damaged pickle may fail in any way; all of them mean the same to the user.
    except Exception as error:
        cut_off = "truncated" in str(error)
        what = f"the {kind.split()[0]} is cut off" if cut_off else f"not a sound {kind} ({one_line(error)})"
        raise CorpusError(f"{path}: {what}; copy the file again") from None


def plain(value: Any, size: int) -> Any:
    """
    What came out of a file of that many bytes, as plain containers and arrays, quick to go through.
    Arrays that stay in the file are `StoredArray`s.

    Raises:
        pickle.UnpicklingError: It holds itself, lies very deep, or shares so much that it is far larger than the file.
    """
    return _Plain(_GROWTH * size + _SMALL).convert(value)


class _Plain:
    """
    The same value with plain arrays instead of `_Array`.

    Args:
        most: Elements that it may have, what is shared being counted wherever it is, and of arrays that stay in the
            file their bytes: going through it should not take more time than the file is long.
    """

    def __init__(self, most: int):
        self.most = most
        # By the id of what was converted: that, so that the id is not given to another, the copy, and its elements.
        self._done: dict[int, tuple[Any, Any, int]] = {}
        self._open: set[int] = set()
        # Bytes that were read because they are not an array.
        self._read = 0

    def convert(self, value: Any) -> Any:
        """The value, and all that is in it."""
        return self._convert(value)[0]

    def _convert(self, value: Any) -> tuple[Any, int]:
        if not isinstance(value, (dict, list, tuple, np.ndarray, Span, StoredArray)):
            return value, 1
        if id(value) not in self._done:
            if id(value) in self._open or len(self._open) >= _DEEPEST:
                raise pickle.UnpicklingError(f"it holds itself, or lists that lie more than {_DEEPEST} deep")
            self._open.add(id(value))
            self._done[id(value)] = (value, *self._copy(value))
            self._open.remove(id(value))
        _, copy, count = self._done[id(value)]
        self._check(count)
        return copy, count

    def _check(self, count: int) -> None:
        if count > self.most:
            raise pickle.UnpicklingError("it unpacks to many times its size")

    def _copy(self, value: Any) -> tuple[Any, int]:
        if isinstance(value, _Array) and value.stored is not None:
            value = value.stored
        if isinstance(value, StoredArray):
            return value, 1 + value.nbytes
        if isinstance(value, Span):
            self._read += value.size
            self._check(self._read)
            return value.value(), 1 + value.size
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            return value.view(np.ndarray), 1
        items: Iterable[Any] = value.flat if isinstance(value, np.ndarray) else value
        if isinstance(value, dict):
            items = value.values()
        pairs = [self._convert(item) for item in items]
        copies, count = [copy for copy, _ in pairs], 1 + sum(count for _, count in pairs)
        if isinstance(value, dict):
            return type(value)(zip(value, copies, strict=True)), count
        if isinstance(value, np.ndarray):
            array = np.empty(value.size, dtype=object)
            for place, copy in enumerate(copies):
                array[place] = copy
            return array.reshape(value.shape), count
        return type(value)(copies), count
