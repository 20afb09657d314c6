# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""HDF5 files of strangers: what is in the file itself, and no more of it than the file can hold.

A file may point to other files by links, virtual data sets and external storage, whatever these hold, and may claim
arrays of any size. The caller makes sure that h5py is installed.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from ..models.limits_univa import check_claim


__all__ = ["HDF5_ERRORS", "attribute_names", "member", "read_array"]

# What h5py raises on damaged files.
HDF5_ERRORS = (OSError, KeyError, TypeError, AttributeError, RuntimeError, OverflowError)

_MOST_NAMES = 1024


def member(group: Any, name: str) -> Any:
    """Member of a group, or of a group in it (`a/b`); `None` where there is none, or where its link leads elsewhere,
    perhaps to another file."""
    import h5py

    found = group
    for part in name.strip("/").split("/"):
        if not isinstance(found, h5py.Group) or not isinstance(found.get(part, getlink=True), h5py.HardLink):
            return None
        found = found[part]
    return found


def read_array(dataset: Any, what: str) -> np.ndarray:
    """
    All of a data set of numbers or text.

    Args:
        dataset: As h5py has it.
        what: What messages call it.

    Raises:
        ValueError: It is not a data set, lies in another file, is not of numbers or text, or claims to be larger than
            its file can be.
    """
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{what} is not a data set of this file")
    # Such data sets read other files of the computer, whatever these hold.
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{what} lie in another file; store them in this one")
    is_text = h5py.check_string_dtype(dataset.dtype) is not None
    if dataset.dtype.kind not in "fiubS" and not is_text:
        raise ValueError(f"{what} must be numbers or text, found {dataset.dtype}")
    file_size = Path(dataset.file.filename).stat().st_size
    # A chunk is unpacked as a whole, however little of it is used.
    for shape in (dataset.shape or (0,), dataset.chunks or (0,)):
        check_claim(math.prod(shape) * dataset.dtype.itemsize, file_size, f"The size of {what}")
    return _read_texts(dataset, file_size, what) if dataset.dtype.kind == "O" else dataset[()]


def _read_texts(dataset: Any, file_size: int, what: str) -> np.ndarray:
    """Text of any length, of which a file may name one piece many times."""
    found = np.empty(dataset.shape, dtype=object)
    total = 0
    for row in range(len(found)):
        found[row] = dataset[row]
        total += sum(len(text) for text in np.ravel(found[row]))
        check_claim(total, file_size, f"The size of {what}")
    return found


def attribute_names(owner: Any, attribute: str) -> list[str]:
    """
    The list of names in an attribute; none where there is no such attribute.

    Raises:
        ValueError: It is not a list of names, or a very long one.
    """
    if attribute not in owner.attrs:
        return []
    shape = owner.attrs.get_id(attribute).shape
    if len(shape or ()) != 1 or shape[0] > _MOST_NAMES:
        raise ValueError(f"`{attribute}` must be a list of at most {_MOST_NAMES:,} names")
    names = [name.decode(errors="replace") if isinstance(name, bytes) else name for name in owner.attrs[attribute]]
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"`{attribute}` must be a list of names")
    return names
