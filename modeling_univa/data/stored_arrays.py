# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Arrays that still lie in the file which a pickle named them in, and are read when they are asked for."""

import math
import pickle
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, Protocol

import numpy as np

from .schema import CorpusError


__all__ = ["Sealed", "Span", "StoredArray"]


class Sealed:
    """What a pickle may hand around but not alter."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> NoReturn:
        raise pickle.UnpicklingError("it sets attributes of what it must not alter")


@dataclass(frozen=True, eq=False)
class Span(Sealed):
    """
    Bytes of a file that have not been read.

    Args:
        file: All bytes of the file, memory-mapped, shape (size of the file,).
        start, size: Where they lie.
        kind: "bytes"; "text" in UTF-8; or "encoded", bytes that were written as text, a character each, as protocols
            before 3 write them.
    """

    file: np.ndarray
    start: int
    size: int
    kind: Literal["bytes", "text", "encoded"] = "bytes"

    def may_hold(self, count: int) -> bool:
        """Whether it may be of that many bytes. UTF-8 has one byte or two of a character that stands for a byte."""
        return count == self.size or (self.kind == "encoded" and count <= self.size <= 2 * count)

    def value(self) -> bytes | str:
        """The bytes or the text, copied. Raises `UnicodeError` where they are not what they are said to be."""
        found = self.buffer()
        if self.kind == "text":
            return str(found, "utf-8", "surrogatepass")
        return bytes(found)

    def buffer(self) -> Any:
        """The bytes as they lie in the file; those that were written as text are decoded."""
        found = self.file[self.start : self.start + self.size].data
        return str(found, "utf-8").encode("latin1") if self.kind == "encoded" else found


class _Buffer(Protocol):
    def buffer(self) -> Any: ...


@dataclass(frozen=True, eq=False)
class StoredArray(Sealed):
    """
    An array of numbers in a file.

    Args:
        source: Its bytes.
        dtype: Of its numbers.
        shape: As of any array.
        order: "C" or "F", where there are no `strides`.
        strides: Bytes from one element to the next, one each dimension.
        offset: Bytes of `source` before the first element.
    """

    source: _Buffer
    dtype: np.dtype
    shape: tuple[int, ...]
    order: Literal["C", "F"] = "C"
    strides: tuple[int, ...] | None = None
    offset: int = 0

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    @property
    def nbytes(self) -> int:
        """Bytes of all elements, each of which may lie in the file once for many."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self) -> np.ndarray:
        """
        The array, read-only: still in the file, but where its bytes were written as text.

        Raises:
            CorpusError: There are fewer bytes than the shape needs, or other ones than text can stand for.
        """
        try:
            return np.ndarray(self.shape, self.dtype, self.source.buffer(), self.offset, self.strides, self.order)
        except (ValueError, TypeError) as error:
            raise CorpusError(
                f"an array of shape {self.shape} cannot be read ({error}); copy the file again"
            ) from None
