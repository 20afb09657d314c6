# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Feature files of every format: one utterance, all of them, and files that are damaged or forged."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from modeling_univa.data.feature_files import open_table, read_frames
from modeling_univa.data.schema import CorpusError


FRAMES = np.array([[0.5, -1.25, 3.0], [2.0, 0.0, 1.5]], np.float32)
OTHER = np.array([[7.0, 8.0, 9.0]], np.float32)
OPENFACE = "frame, face_id, timestamp, confidence, success, AU01_r, AU02_r\n"
OPENSMILE = "name;frameTime;loudness;F0\n"


def _csv(path: Path, frames: np.ndarray, head: str = "", cell: str = "", separator: str = ",") -> None:
    names = separator.join(f"f{index}" for index in range(frames.shape[1]))
    rows = [cell + separator.join(map(repr, map(float, frame))) for frame in frames]
    path.write_text("\n".join([head + names, *rows, ""]))


def _parquet(path: Path, frames: np.ndarray) -> None:
    pq.write_table(pa.table({f"f{index}": column for index, column in enumerate(frames.T)}), path)


def _second_version(path: Path, frames: np.ndarray) -> None:
    with open(path, "wb") as file:
        np.lib.format.write_array(file, frames, (2, 0))


WRITERS: dict[str, Callable[[Path, np.ndarray], Any]] = {
    "a.csv": _csv,
    "b.tsv": lambda path, frames: _csv(path, frames, separator="\t"),
    "a.npy": np.save,
    "fortran.npy": lambda path, frames: np.save(path, np.asfortranarray(frames)),
    "double.npy": lambda path, frames: np.save(path, frames.astype(">f8")),
    "second.npy": _second_version,
    "a.npz": lambda path, frames: np.savez(path, frames),
    "packed.npz": lambda path, frames: np.savez_compressed(path, features=frames, length=np.array(2)),
    "a.pt": lambda path, frames: torch.save(torch.from_numpy(frames), path),
    "half.pth": lambda path, frames: torch.save(torch.nn.Parameter(torch.from_numpy(frames).bfloat16()), path),
    "a.parquet": _parquet,
    "lists.parquet": lambda path, frames: pq.write_table(pa.table({"features": frames.tolist()}), path),
    "nested.parquet": lambda path, frames: pq.write_table(pa.table({"features": [frames.tolist()]}), path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_features_of_one_utterance(tmp_path, name):
    WRITERS[name](tmp_path / name, FRAMES)
    found = read_frames(tmp_path / name)
    np.testing.assert_array_equal(found.values, FRAMES)
    assert found.tool is None and found.left_out == 0


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.pt"])
def test_a_vector_is_one_frame(tmp_path, name):
    WRITERS[name](tmp_path / name, FRAMES[0])
    np.testing.assert_array_equal(read_frames(tmp_path / name).values, FRAMES[:1])


def _table_of_rows(path: Path, utterances: dict[str, np.ndarray]) -> None:
    ids = [name for name, frames in utterances.items() for _ in frames]
    columns = np.concatenate(list(utterances.values())).T
    pq.write_table(pa.table({"utterance_id": ids, **{f"f{i}": c for i, c in enumerate(columns)}}), path)


def _csv_of_rows(path: Path, utterances: dict[str, np.ndarray]) -> None:
    lines = [f"{name},{','.join(map(str, frame))}" for name, frames in utterances.items() for frame in frames]
    path.write_text("\n".join(["utterance_id,f0,f1,f2", *lines, ""]))


def _lists(path: Path, utterances: dict[str, np.ndarray], kind: pa.DataType | None = None) -> None:
    lists = pa.array([frames.tolist() for frames in utterances.values()], kind)
    pq.write_table(pa.table({"utterance_id": list(utterances), "text": ["?", "!"], "features": lists}), path)


def _flat_lists(path: Path, utterances: dict[str, np.ndarray]) -> None:
    ids = [name for name, frames in utterances.items() for _ in frames]
    pq.write_table(
        pa.table({"utterance_id": ids, "features": np.concatenate(list(utterances.values())).tolist()}), path
    )


TABLES: dict[str, Callable[[Path, dict[str, np.ndarray]], Any]] = {
    "a.csv": _csv_of_rows,
    "a.npz": lambda path, utterances: np.savez(path, **utterances),
    "a.pt": lambda path, utterances: torch.save({k: torch.from_numpy(v) for k, v in utterances.items()}, path),
    "a.parquet": _table_of_rows,
    "lists.parquet": _lists,
    "flat.parquet": _flat_lists,
    "fixed.parquet": lambda path, utterances: _lists(path, utterances, pa.large_list(pa.list_(pa.float16(), 3))),
}


@pytest.mark.parametrize("name", TABLES)
def test_features_of_all_utterances(tmp_path, name):
    TABLES[name](tmp_path / name, {"b/1": FRAMES, "a": OTHER})
    table = open_table(tmp_path / name)
    assert list(table.places) == ["b/1", "a"]
    np.testing.assert_array_equal(table.frames("a").values, OTHER)
    np.testing.assert_array_equal(table.frames("b/1").values, FRAMES)
    with pytest.raises(KeyError):
        table.frames("c")


def test_openface(tmp_path):
    """Its header has blanks; what counts the frames is not a feature, and frames without a face are left out."""
    path = tmp_path / "a.csv"
    path.write_text(
        OPENFACE + "1, 0, 0.0, 0.98, 1, 0.5, 1.5\n2, 0, 0.03, 0.1, 0, 9, 9\n3, 0, 0.06, 0.9, 1, 2, -nan(ind)\n"
    )
    found = read_frames(path)
    assert (found.tool, found.columns, found.left_out) == ("OpenFace", ("AU01_r", "AU02_r"), 1)
    np.testing.assert_array_equal(found.values, [[0.5, 1.5], [2.0, np.nan]])
    path.write_text(OPENFACE + "1, 0, 0.0, 0.0, 0, 0, 0\n")
    assert read_frames(path).values.shape == (0, 2)


def test_openface_as_parquet(tmp_path):
    names = [name.strip() for name in OPENFACE.split(",")]
    cells = [[1, 2], [0, 0], [0.0, 0.1], [0.9, 0.1], [1, 0], [0.5, 9.0], [1.5, 9.0]]
    pq.write_table(pa.table(dict(zip(names, cells, strict=True))), tmp_path / "a.parquet")
    found = read_frames(tmp_path / "a.parquet")
    assert (found.tool, found.columns, found.left_out) == ("OpenFace", ("AU01_r", "AU02_r"), 1)
    np.testing.assert_array_equal(found.values, [[0.5, 1.5]])


@pytest.mark.parametrize(
    ("head", "cells"),
    [
        (OPENSMILE, "'clip';0.00;{};{}"),
        ("name;frameIndex;frameTime;loudness;F0\n", "'clip';0;0.00;{};{}"),
        ("file,start,end,loudness,F0\n", "clip.wav,0 days 00:00:00,0 days 00:00:01,{},{}"),
    ],
)
def test_opensmile(tmp_path, head, cells):
    path = tmp_path / "a.csv"
    path.write_text(head + "\n".join(cells.format(*pair) for pair in ((0.5, 1.5), (2, ""))))
    found = read_frames(path)
    assert (found.tool, found.columns) == ("openSMILE", ("loudness", "F0"))
    np.testing.assert_array_equal(found.values, [[0.5, 1.5], [2.0, np.nan]])


def test_table_of_openface(tmp_path):
    """An utterance whose frames are all failures is there, without a frame."""
    path = tmp_path / "a.csv"
    rows = "u1,1,0,0,0.9,1,0.5,1.5\nu2,1,0,0,0.1,0,9,9\nu1,2,0,0,0.9,1,2,3\n"
    path.write_text("utterance_id," + OPENFACE + rows)
    table = open_table(path)
    assert table.tool == "OpenFace"
    np.testing.assert_array_equal(table.frames("u1").values, [[0.5, 1.5], [2, 3]])
    assert table.frames("u2").values.shape == (0, 2)


def test_utterances_without_frames(tmp_path):
    """An empty cell and an empty list are not frames."""
    path = tmp_path / "a.parquet"
    cells = pa.array([None, [], [[1.0, 2.0]]], pa.list_(pa.list_(pa.float32())))
    pq.write_table(pa.table({"utterance_id": ["a", "b", "c"], "features": cells}), path)
    table = open_table(path)
    assert [len(table.frames(name).values) for name in "abc"] == [0, 0, 1]


def _damaged(content: bytes, number: int) -> bytes:
    """The content with some bytes changed, left out or put in."""
    random = Random(number)
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8))):
        place = random.randrange(len(changed))
        kind = random.choice(("change", "change", "leave out", "put in"))
        if kind == "change":
            changed[place] ^= 1 << random.randrange(8)
        elif kind == "leave out" and len(changed) > 30:
            del changed[place : place + random.randrange(1, 20)]
        else:
            changed[place:place] = random.randbytes(4)
    return bytes(changed)


@pytest.mark.parametrize("name", [*WRITERS, *(f"all/{name}" for name in TABLES)])
def test_damaged_files_are_read_or_refused(tmp_path, name):
    path = tmp_path / Path(name).name
    is_table = name.startswith("all/")
    TABLES[path.name](path, {"b": FRAMES, "a": OTHER}) if is_table else WRITERS[name](path, FRAMES)
    content = path.read_bytes()
    refused = 0
    for number in range(60):
        path.write_bytes(_damaged(content, number))
        try:
            found = open_table(path) if is_table else read_frames(path)
            for utterance_id in getattr(found, "places", ()):
                found.frames(utterance_id)
        except CorpusError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    assert refused


class _Runs:
    def __init__(self, place: Path):
        self.place = place

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.place),)


def _npy_header(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    head = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head


def _npz_of(path: Path, member: bytes, name: str = "a.npy") -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, member)


def _forged_size(path: Path) -> None:
    """An archive whose directory says that a member is 2^31 bytes long."""
    np.savez(path, FRAMES)
    data = bytearray(path.read_bytes())
    place = data.rfind(b"PK\x01\x02")
    data[place + 24 : place + 28] = (2**31).to_bytes(4, "little")
    path.write_bytes(data)


def _cut(write: Callable[[Path, np.ndarray], Any]) -> Callable[[Path], Any]:
    def damaged(path: Path) -> None:
        write(path, np.tile(FRAMES, (40, 1)))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return damaged


def _pickled(path: Path) -> None:
    np.save(path, np.array([_Runs(path.parent / "ran")], dtype=object), allow_pickle=True)


BAD: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "another kind": ("a.mat", lambda path: path.write_bytes(b""), "features are read from .csv, .tsv"),
    "no file": ("a.npy", lambda path: None, "cannot be read .No such file"),
    "no csv": ("a.csv", lambda path: None, "cannot be read .No such file"),
    "no parquet": ("a.parquet", lambda path: None, "this file does not exist"),
    "text in csv": (
        "a.csv",
        lambda path: path.write_text("f0,f1\n1,2\n3,happy\n"),
        "line 3: column 'f1' holds 'happy', expected a number",
    ),
    "decimal comma": ("a.csv", lambda path: path.write_text("f0;f1\n1;0,5\n"), "line 2: column 'f1' holds '0,5'"),
    "a cell more": ("a.csv", lambda path: path.write_text("f0,f1\n1,2,3\n"), "line 2: 3 cells, expected 2"),
    "empty csv": ("a.csv", lambda path: path.write_text(""), "no column of features"),
    "only times": ("a.csv", lambda path: path.write_text("name;frameTime\n'a';0\n"), "no column of features"),
    "no header": ("a.csv", lambda path: path.write_text("0.5,1.5\n2,3\n"), "the first line holds numbers .0.5, …"),
    "row numbers": ("a.csv", lambda path: path.write_text(",f0\n0,1\n1,2\n"), "a column has no name; .*index=False"),
    "not UTF-8": ("a.csv", lambda path: path.write_bytes(b"f\xff\n1\n"), "not UTF-8"),
    "three dimensions": (
        "a.npy",
        lambda path: np.save(path, np.zeros((1, 2, 3))),
        r"expected the shape \(frames, size\), or \(size,\) of one frame, found \(1, 2, 3\)",
    ),
    "a number": ("a.npy", lambda path: np.save(path, np.float32(1)), r"found \(\)"),
    "no width": ("a.npy", lambda path: np.save(path, np.zeros((4, 0))), r"found \(4, 0\)"),
    "too wide": ("a.npy", lambda path: np.save(path, np.zeros(70_000)), "The size of a frame must lie between 1 and"),
    "words": ("a.npy", lambda path: np.save(path, np.array(["a"])), "expected an array of numbers, found .*<U1"),
    "complex": ("a.npy", lambda path: np.save(path, np.array([1j])), "an array of complex128"),
    "objects": ("a.npy", _pickled, r"it holds Python objects \(a pickle\), which are not read"),
    "objects in npz": (
        "a.npz",
        lambda path: np.savez(path, np.array([_Runs(path.parent / "ran")], dtype=object)),
        "it holds Python objects",
    ),
    "cut npy": ("a.npy", _cut(np.save), "claims the shape .80, 3., for which the file is too short|ends early"),
    "not npy": ("a.npy", lambda path: path.write_bytes(b"hello there, hello"), "not a sound .npy file"),
    "huge npy": ("a.npy", lambda path: path.write_bytes(_npy_header((2**40, 35)) + b"\0" * 99), "claims the shape"),
    "negative": ("a.npy", lambda path: path.write_bytes(_npy_header((-1, -3)) + b"\0" * 99), "claims the shape"),
    "no dictionary": (
        "a.npy",
        lambda path: path.write_bytes(b"\x93NUMPY\x01\x00\x04\x00({[\n" + b"\0" * 99),
        "not a sound .npy file",
    ),
    "huge npz": ("a.npz", lambda path: _npz_of(path, _npy_header((2**40, 35)) + b"\0" * 99), "claims the shape"),
    "bomb": ("a.npz", lambda path: _npz_of(path, bytes(2**27), "a.npy"), "not a sound .npy file"),
    "forged size": ("a.npz", _forged_size, "The size of array 'arr_0' is 2,147,483,648 bytes, claimed in a file"),
    "cut npz": ("a.npz", _cut(np.savez), "not a sound .npz file"),
    "two arrays": ("a.npz", lambda path: np.savez(path, x=FRAMES, y=FRAMES), "expected one array, .* found 'x', 'y'"),
    "no array": ("a.npz", lambda path: np.savez(path), "expected one array, .* found none"),
    "no npy in npz": ("a.npz", lambda path: _npz_of(path, b"hello", "a.txt"), "array 'a.txt' cannot be read"),
    "code in pt": (
        "a.pt",
        lambda path: torch.save(_Runs(path.parent / "ran"), path),
        "it holds more than tensors, and may run code when read",
    ),
    "old pt": (
        "a.pt",
        lambda path: torch.save(torch.ones(3), path, _use_new_zipfile_serialization=False),
        "not a sound torch.save file",
    ),
    "pickle": ("a.pt", lambda path: path.write_bytes(pickle.dumps([1.0])), "not a sound torch.save file"),
    "cut pt": ("a.pt", _cut(WRITERS["a.pt"]), "not a sound torch.save file"),
    "another zip": ("a.pt", lambda path: _npz_of(path, b"hello"), "not a sound file of torch.save"),
    "dictionary": ("a.pt", lambda path: torch.save({"a": torch.ones(3)}, path), "expected a tensor, found dict"),
    "sparse": ("a.pt", lambda path: torch.save(torch.eye(3).to_sparse(), path), "expected a dense tensor of numbers"),
    "complex tensor": ("a.pt", lambda path: torch.save(torch.ones(3) * 1j, path), "torch.complex64 on cpu"),
    "one number many times": (
        "a.pt",
        lambda path: torch.save(torch.ones(1).expand(2**20, 2**10), path),
        "The size of a tensor is 4,294,967,296 bytes, claimed in a file of 4",
    ),
    "not parquet": ("a.parquet", lambda path: path.write_bytes(b"hello"), "not a sound Parquet file"),
    "cut parquet": ("a.parquet", _cut(_parquet), "not a sound Parquet file"),
    "text in parquet": (
        "a.parquet",
        lambda path: pq.write_table(pa.table({"f0": ["1"]}), path),
        "column 'f0' holds string, expected numbers",
    ),
    "ragged": (
        "a.parquet",
        lambda path: pq.write_table(pa.table({"features": [[1.0], [1.0, 2.0]]}), path),
        "expected frames of one size in column 'features', found 1, 2",
    ),
    "no lists": (
        "a.parquet",
        lambda path: pq.write_table(pa.table({"features": [1.0]}), path),
        "column 'features' holds double, expected lists of numbers",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_files_that_are_refused(tmp_path, case):
    name, write, message = BAD[case]
    write(tmp_path / name)
    with pytest.raises(CorpusError, match=message) as error:
        read_frames(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}: ")
    assert str(error.value).count(str(tmp_path)) == 1 and "\n" not in str(error.value)
    assert not (tmp_path / "ran").exists()


BAD_TABLES: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "npy": ("a.npy", lambda path: np.save(path, FRAMES), "a .npy file has no utterance_id"),
    "no ids in csv": ("a.csv", lambda path: path.write_text("f0\n1\n"), "no column 'utterance_id'"),
    "no ids in parquet": ("a.parquet", lambda path: _parquet(path, FRAMES), "no column 'utterance_id'"),
    "numbers as ids": (
        "a.parquet",
        lambda path: pq.write_table(pa.table({"utterance_id": [7], "f0": [1.0]}), path),
        "column 'utterance_id' holds int64, expected text",
    ),
    "an id that is empty": (
        "a.parquet",
        lambda path: pq.write_table(pa.table({"utterance_id": ["a", None], "f0": [1.0, 2.0]}), path),
        "column 'utterance_id' has 1 empty cells",
    ),
    "twice": (
        "a.parquet",
        lambda path: pq.write_table(pa.table({"utterance_id": ["a", "a"], "features": [[[1.0]], [[2.0]]]}), path),
        "utterance 'a' is there twice",
    ),
    "a tensor": ("a.pt", lambda path: torch.save(torch.ones(3), path), "expected a dictionary of tensors"),
    "numbers as keys": ("a.pt", lambda path: torch.save({1: torch.ones(3)}, path), "expected a dictionary of tensors"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_TABLES)
def test_tables_that_are_refused(tmp_path, case):
    name, write, message = BAD_TABLES[case]
    write(tmp_path / name)
    with pytest.raises(CorpusError, match=message) as error:
        open_table(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}: ")


@pytest.mark.parametrize("name", ["a.npz", "a.pt"])
def test_one_bad_utterance_of_a_table(tmp_path, name):
    TABLES[name](tmp_path / name, {"a": FRAMES, "b": np.zeros((1, 2, 3), np.float32)})
    table = open_table(tmp_path / name)
    np.testing.assert_array_equal(table.frames("a").values, FRAMES)
    with pytest.raises(CorpusError, match=rf"{name}: utterance 'b': expected the shape .* found \(1, 2, 3\)"):
        table.frames("b")
