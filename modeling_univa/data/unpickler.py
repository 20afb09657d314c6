# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Read pickles of strangers: numpy arrays and plain containers, and nothing that runs code.

Pickle calls whatever it is told to import, so every name goes through a short list, and even the listed names stand
for functions of this module that accept only what numpy itself writes. numpy's own `dtype.__setstate__` is among what
is replaced: a forged state could pass raw bytes off as object pointers.
"""

import os
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from .schema import CorpusError


__all__ = ["load_restricted_pickle"]

_DTYPE_CODE = re.compile(r"\?|[biufc]\d{1,2}|[SU]\d+|O8?|b1")


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

    def __setstate__(self, state: tuple) -> None:  # type: ignore[override]
        version, shape, dtype, is_fortran, data = state
        super().__setstate__((version, shape, dtype.value, is_fortran, data))  # type: ignore[misc]


class _Admitted:
    """Stands for one admitted name. It can be called, as pickle does, but not altered, as pickle could."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]):
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setstate__(self, state: Any) -> NoReturn:
        raise pickle.UnpicklingError("it sets attributes of a function")


def _not_callable(*_: Any) -> NoReturn:
    raise pickle.UnpicklingError("it builds an array in a way that numpy never writes")


_NDARRAY = _Admitted(_not_callable)


def _reconstruct(subtype: Any, shape: Any, code: Any) -> _Array:
    if subtype is not _NDARRAY or shape != (0,):
        _not_callable()
    return np.ndarray.__new__(_Array, (0,), np.int8)


def _scalar(dtype: _DType, data: bytes) -> Any:
    return np.frombuffer(data, dtype.value, count=1)[0]


def _from_buffer(buffer: bytes | bytearray, dtype: _DType, shape: tuple[int, ...], order: Any) -> np.ndarray:
    return np.frombuffer(buffer, dtype.value).reshape(shape, order=order)


def _encode(text: str, encoding: str) -> bytes:
    # Protocols before 3 have no bytes and write them as text, always in this encoding.
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it encodes text as {encoding!r}")
    return text.encode("latin1")


def _empty(kind: type) -> Callable[..., Any]:
    def make(*args: Any) -> Any:
        if args and not isinstance(args[0], (list, tuple)):
            raise pickle.UnpicklingError(f"it builds {kind.__name__} from {type(args[0]).__name__}")
        return kind(*args)

    return make


_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Admitted(_DType),
    ("_codecs", "encode"): _Admitted(_encode),
    ("collections", "OrderedDict"): _Admitted(_empty(OrderedDict)),
    **{("builtins", kind.__name__): _Admitted(_empty(kind)) for kind in (bytes, set, frozenset)},
    **{
        (f"numpy.{core}.{module}", name): _Admitted(function)
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        module = {"__builtin__": "builtins"}.get(module, module)
        if (module, name) not in _ADMITTED:
            raise CorpusError(
                f"it wants to load {module}.{name}, and only numpy arrays and plain containers are admitted, "
                "as anything else may run code; do not trust this file"
            )
        return _ADMITTED[module, name]


def load_restricted_pickle(path: str | os.PathLike[str]) -> Any:
    """Load a pickle that holds numpy arrays, numbers, strings and plain containers only.

    Names of numpy's modules are understood in both spellings, `numpy.core` and `numpy._core`.

    Raises:
        CorpusError: The file is missing, cut off or damaged, or wants to load anything else.
    """
    try:
        with open(path, "rb") as file:
            return _plain(_RestrictedUnpickler(file).load())
    except CorpusError as error:
        raise CorpusError(f"{path}: refused, {error}") from None
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except EOFError:
        raise CorpusError(f"{path}: the pickle is cut off; copy the file again") from None
    except MemoryError:
        raise CorpusError(f"{path}: the pickle does not fit into memory") from None
    # A damaged pickle may fail in any way; all of them mean the same to the user.
    except Exception as error:
        cut_off = "truncated" in str(error)
        what = (
            "the pickle is cut off"
            if cut_off
            else f"not a sound pickle of numpy arrays ({' '.join(str(error).split())})"
        )
        raise CorpusError(f"{path}: {what}; copy the file again") from None


def _plain(value: Any) -> Any:
    """The same value with plain arrays instead of `_Array`."""
    if isinstance(value, np.ndarray):
        return value.view(np.ndarray)
    if isinstance(value, dict):
        return type(value)((key, _plain(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    return value
