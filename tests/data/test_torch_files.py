# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Files of torch.save: what is in them comes out, little of it is in memory, and forged ones are refused."""

import argparse
import io
import os
import pickle
import random
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modeling_univa.data.schema import CorpusError
from modeling_univa.data.stored_arrays import Span, StoredArray
from modeling_univa.data.torch_files import load_torch_file


FORMATS = pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])


def save(path: Path, content: Any, is_zip: bool = True, protocol: int = 2) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=is_zip, pickle_protocol=protocol)
    return path


def content() -> dict[str, Any]:
    """Large and small, tensors and arrays, in any order of their elements."""
    noise = np.random.default_rng(0).normal(size=(20, 15, 4))
    storage = torch.arange(60.0).reshape(3, 20)
    return {
        "settings": argparse.Namespace(max_text_seq_len=60, words=["a", "b"]),
        "dict": {"src": None, "tgt": OrderedDict(happy=4)},
        "text": "x" * 5000 + "ä",
        "arrays": [noise, noise.astype(np.float32), np.asfortranarray(noise[0]), noise[0, 0].astype(">f4"), noise[:0]],
        "whole": [np.arange(500), np.arange(300, dtype=np.uint8), np.array([True, False] * 600), np.float32(0.5)],
        "objects": np.array([noise[0], [2, 4, 3], None], dtype=object),
        "tensors": [torch.tensor(noise), storage[1], storage[:, 2:].T, storage.half(), torch.tensor(noise[:0])],
        "kinds": [torch.arange(5, dtype=kind) for kind in (torch.int64, torch.int32, torch.int16, torch.uint8)],
        "scalars": [torch.tensor(3), torch.tensor([True, False]), torch.ones(1).expand(7)],
        "labels": [[2, 4, 3], (2, 3)],
    }


def assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            assert_same(found[key], expected[key])
    elif isinstance(expected, list | tuple) or (isinstance(expected, np.ndarray) and expected.dtype.hasobject):
        assert type(found) is type(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, np.ndarray | torch.Tensor):
        array, wanted = found.read() if isinstance(found, StoredArray) else found, np.asarray(expected)
        assert array.dtype.newbyteorder("=") == wanted.dtype.newbyteorder("=")  # numpy may turn bytes round
        np.testing.assert_array_equal(array, wanted)
    elif not isinstance(expected, argparse.Namespace):
        assert found == expected


@FORMATS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_was_saved_comes_out(tmp_path, is_zip, protocol):
    found = load_torch_file(save(tmp_path / "a.pt", content(), is_zip, protocol))
    assert_same(found, content())
    assert not vars(type(found["settings"])).get("__dict__") and not hasattr(found["settings"], "words")
    assert isinstance(found["arrays"][0], StoredArray) and isinstance(found["tensors"][0], StoredArray)


@pytest.mark.parametrize("make", [np.asarray, torch.tensor], ids=["arrays", "tensors"])
@FORMATS
def test_large_arrays_stay_in_the_file(tmp_path, make, is_zip):
    rows = np.random.default_rng(0).normal(size=(100, 50, 400)).astype(np.float32)
    path = save(tmp_path / "a.pt", [make(row) for row in rows], is_zip)
    tracemalloc.start()
    found = load_torch_file(path)
    total = sum(float(one.read()[0, 0]) for one in found)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == pytest.approx(rows[:, 0, 0].sum())
    assert peak < rows.nbytes / 10


def test_reads_what_torch_reads(shared_data):
    path = shared_data / "parity" / "released_univa" / "mosei-glove" / "best_model.pth"
    with torch.serialization.safe_globals([argparse.Namespace]):
        expected = torch.load(path, weights_only=True)
    found = load_torch_file(path)
    assert_same(found["model"], dict(expected["model"]) if type(found["model"]) is dict else expected["model"])


# What is forged or damaged


class Calls:
    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def refused(path: Path, pattern: str = "") -> str:
    with pytest.raises(CorpusError, match=pattern) as error:
        load_torch_file(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
    return str(error.value)


@FORMATS
@pytest.mark.parametrize("function", [os.system, eval, torch.load, torch.hub.load, np.load, pickle.loads])
def test_code_is_refused_by_name_and_not_run(tmp_path, is_zip, function):
    path = save(tmp_path / "a.pt", {"train": Calls(function, "true")}, is_zip)
    refused(path, f"refused, it wants to load .*{function.__name__}, and only")


@FORMATS
def test_other_tensors_are_refused_by_name(tmp_path, is_zip):
    refused(save(tmp_path / "a.pt", torch.zeros(2, dtype=torch.bfloat16), is_zip), "wants to load torch.BFloat16Stor")
    refused(save(tmp_path / "b.pt", torch.nn.Linear(2, 2), is_zip), "wants to load torch.nn.modules.linear.Linear")


def archive(path: Path, pickled: bytes, compression: int = zipfile.ZIP_STORED, **records: bytes) -> Path:
    """An archive as torch writes it, of a pickle of one's own and storages by their keys."""
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", pickled)
        file.writestr("archive/version", b"3\n")
        for key, data in records.items():
            file.writestr(f"archive/{key}" if key == "byteorder" else f"archive/data/{key.removeprefix('_')}", data)
    return path


def tensor(
    offset: int, shape: tuple, stride: tuple, numel: int, key: Any = "0", kind: str = "FloatStorage", view: bytes = b""
) -> bytes:
    """Opcodes of a tensor of a storage."""
    plain = [pickle.dumps(value, 2)[2:-1] for value in (key, "cpu", numel, offset, shape, stride)]
    key_, device, numel_, offset_, shape_, stride_ = plain
    storage = b"(U\x07storagectorch\n" + kind.encode() + b"\n" + key_ + device + numel_ + view + b"tQ"
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + offset_ + shape_ + stride_
    return rebuilt + b"\x89ccollections\nOrderedDict\n)RtR"


NUMBERS = np.arange(6, dtype=np.float32).tobytes()


def test_archive_of_the_tests_is_sound(tmp_path):
    path = archive(tmp_path / "a.pt", b"\x80\x02" + tensor(1, (2, 2), (2, 1), 6) + b".", _0=NUMBERS)
    np.testing.assert_array_equal(load_torch_file(path).read(), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(torch.load(path, weights_only=True), [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("opcodes", "pattern"),
    [
        (tensor(1, (6,), (1,), 6), "claims 7 numbers of 6"),
        (tensor(0, (2, 2), (6, 1), 6), "claims 8 numbers of 6"),
        (tensor(-1, (1,), (1,), 6), "shape of a tensor is not one"),
        (tensor(0, (2,), (-1,), 6), "shape of a tensor is not one"),
        (tensor(0, (2,), (1, 1), 6), "shape of a tensor is not one"),
        (tensor(0, (1,) * 40, (1,) * 40, 6), "shape of a tensor is not one"),
        (tensor(0, ("a",), (1,), 6), "shape of a tensor is not one"),
        (tensor(0, (1,), (1,), 7), "claims 28 bytes of 24"),
        (tensor(0, (1,), (1,), 2**50), "names its storage in a way"),
        (tensor(0, (1,), (1,), 6, kind="DoubleStorage"), "claims 48 bytes of 24"),
        (tensor(0, (1,), (1,), 6, key="1"), "not a sound file of torch.save"),
        (tensor(0, (1,), (1,), 6, key=0), "names its storage in a way"),
        (tensor(0, (1,), (1,), 6, view=b"U\x01aK\x00K\x01\x87"), "names its storage in a way"),
        (tensor(0, (2**40,), (0,), 6), "unpacks to many times its size"),
        (b"(" + tensor(0, (1,), (1,), 6) + tensor(0, (1,), (1,), 3, kind="DoubleStorage") + b"t", "of two kinds"),
        (tensor(0, (6,), (1,), 6) + b"}U\x05shapeK\x01sb", "sets attributes of what it must not alter"),
        (b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x06tQ}b", "sets attributes of what it must not alter"),
        (b"ctorch\nFloatStorage\n}b", "sets attributes of what it must not alter"),
        (b"ctorch\nFloatStorage\n)R", "in a way that no writer does"),
        (b"cargparse\nNamespace\n}b", "not a sound file of torch.save"),
        (b"cargparse\nNamespace\n(K\x01tR", "not a sound file of torch.save"),
        (b"X" + (2000).to_bytes(4, "little") + b"a" * 2000 + b"}b", "sets attributes of what it must not alter"),
        (b"}X" + (2000).to_bytes(4, "little") + b"a" * 2000 + b"Ns", "a key is of type Span"),
        (b"X" + (2**31).to_bytes(4, "little") + b"a", "is cut off"),
        (b"\x8e" + (2**40).to_bytes(8, "little") + b"a", "is cut off"),
        (b"P1\n", "not a sound file of torch.save"),
    ],
)  # fmt: skip
def test_forged_archives_are_refused(tmp_path, opcodes, pattern):
    refused(archive(tmp_path / "a.pt", b"\x80\x02" + opcodes + b".", _0=NUMBERS), pattern)


def test_arrays_that_are_shared_count_wherever_they_are(tmp_path):
    once, again = tensor(0, (600,), (1,), 600) + b"r\x09\x00\x00\x00", b"h\x09"
    for times in (2, 60000):
        path = archive(tmp_path / f"{times}.pt", b"\x80\x02](" + once + again * times + b"e.", _0=bytes(2400))
        if times == 2:
            assert len(load_torch_file(path)) == 3
        else:
            refused(path, "unpacks to many times its size")


def numpy_array(shape: bytes, code: bytes, data: bytes) -> bytes:
    dtype = b"cnumpy\ndtype\nU" + bytes([len(code)]) + code + b"\x89\x88\x87R"
    begin = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n(K\x00tU\x01b\x87R"
    return b"\x80\x02" + begin + b"(K\x01" + shape + dtype + b"\x89" + data + b"tb."


def as_text(text: str) -> bytes:
    data = text.encode()
    return b"c_codecs\nencode\nX" + len(data).to_bytes(4, "little") + data + b"U\x06latin1\x86R"


def test_bytes_that_were_written_as_text(tmp_path):
    sound = numpy_array(b"M\xd0\x07\x85", b"u1", as_text("aä" * 1000))
    found = load_torch_file(archive(tmp_path / "a.pt", sound))
    np.testing.assert_array_equal(found.read()[:2], [ord("a"), ord("ä")])
    for name, shape, text in (("few", b"M\xd0\x07\x85", "a" * 1500), ("many", b"M\xd0\x07\x85", "ä" * 2500)):
        path = archive(tmp_path / f"{name}.pt", numpy_array(shape, b"u1", as_text(text)))
        refused(path, "claims 2000 elements and has more or fewer")
    for name, text in (("wide", "€" * 1000), ("short", "ä" * 1500)):
        path = archive(tmp_path / f"{name}.pt", numpy_array(b"M\xd0\x07\x85", b"u1", as_text(text)))
        with pytest.raises(CorpusError, match="shape \\(2000,\\) cannot be read"):
            load_torch_file(path).read()
    objects = numpy_array(b"K\xfa\x85", b"O8", as_text("A" * 2000))
    refused(archive(tmp_path / "objects.pt", objects), "claims 250 elements")


def test_archives_that_torch_never_writes(tmp_path):
    pickled = b"\x80\x02" + tensor(0, (6,), (1,), 6) + b"."
    refused(archive(tmp_path / "a.pt", pickled, zipfile.ZIP_DEFLATED, _0=NUMBERS), "it is compressed")
    refused(archive(tmp_path / "b.pt", pickled, _0=NUMBERS, byteorder=b"big"), "another byte order")
    assert len(load_torch_file(archive(tmp_path / "c.pt", pickled, _0=NUMBERS, byteorder=b"little"))) == 6
    with zipfile.ZipFile(tmp_path / "d.pt", "w") as file:
        file.writestr("other/file", b"")
    refused(tmp_path / "d.pt", "an archive without data.pkl")


def legacy(*pickles: Any, storages: bytes = b"") -> bytes:
    return b"".join(one if isinstance(one, bytes) else pickle.dumps(one, 2) for one in pickles) + storages


MAGIC = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
SIX = b"\x80\x02" + tensor(0, (6,), (1,), 6) + b"."


@pytest.mark.parametrize(
    ("data", "pattern"),
    [
        (legacy({"a": 1}), "is cut off"),
        (legacy(1, 2, 3, 4), "it begins otherwise"),
        (legacy(*MAGIC[:2], {"little_endian": False}, SIX, ["0"]), "another byte order"),
        (legacy(*MAGIC, SIX, []), "is cut off"),
        (legacy(*MAGIC, SIX, ["0"], storages=(6).to_bytes(8, "little") + NUMBERS[:-1]), "is cut off"),
        (legacy(*MAGIC, SIX, ["0"], storages=(7).to_bytes(8, "little") + NUMBERS), "claims 6 numbers of 7"),
        (legacy(*MAGIC, SIX, ["1"], storages=(6).to_bytes(8, "little") + NUMBERS), "not a sound file of torch.save"),
        (legacy(*MAGIC, SIX, ["0", "0"], storages=(6).to_bytes(8, "little") + NUMBERS), "not a sound file of torch.s"),
        (b"", "is cut off"),
        (b"not a file of torch", "not a sound file of torch.save"),
    ],
)
def test_forged_legacy_files_are_refused(tmp_path, data, pattern):
    (tmp_path / "a.pt").write_bytes(data)
    refused(tmp_path / "a.pt", pattern)


def test_legacy_file_of_the_tests_is_sound(tmp_path):
    (tmp_path / "a.pt").write_bytes(legacy(*MAGIC, SIX, ["0"], storages=(6).to_bytes(8, "little") + NUMBERS))
    np.testing.assert_array_equal(load_torch_file(tmp_path / "a.pt").read(), np.arange(6))


@FORMATS
@pytest.mark.parametrize("kept", [1, 0.3, 0.6, 0.9, -1])
def test_cut_off_files_are_refused(tmp_path, is_zip, kept):
    data = save(tmp_path / "a.pt", content(), is_zip).read_bytes()
    (tmp_path / "cut.pt").write_bytes(data[: int(len(data) * kept) if isinstance(kept, float) else kept])
    refused(tmp_path / "cut.pt", "(cut off|not a sound file of torch.save).*copy the file again")


@FORMATS
def test_damaged_files_are_read_or_refused_in_one_sentence(tmp_path, is_zip):
    buffer = io.BytesIO()
    small = {"a": [np.arange(300.0), torch.arange(6.0)], "b": [[2, 4, 3]], "c": "x" * 1500}
    torch.save(small, buffer, _use_new_zipfile_serialization=is_zip)
    generator = random.Random(0)
    for number in range(300):
        data = bytearray(buffer.getvalue())
        for _ in range(generator.randint(1, 4)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        path = tmp_path / f"{number}.pt"
        path.write_bytes(data)
        try:
            found = load_torch_file(path)
            for one in found.get("a", []) if isinstance(found, dict) else []:
                if isinstance(one, StoredArray):
                    one.read()
        except CorpusError as error:
            assert "\n" not in str(error)


def test_missing_file(tmp_path):
    refused(tmp_path / "none.pt", "cannot be read")


def test_spans_know_how_many_bytes_they_may_hold():
    file = np.zeros(10, np.uint8)
    assert [Span(file, 0, 4).may_hold(count) for count in (3, 4, 5)] == [False, True, False]
    assert [Span(file, 0, 5, "encoded").may_hold(count) for count in (2, 3, 5, 6)] == [False, True, True, False]
