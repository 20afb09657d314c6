# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from modeling_univa.data.schema import CorpusError
from modeling_univa.data.unpickler import load_restricted_pickle


CONTENT = {
    "train": {
        "audio": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big_endian": np.arange(5, dtype=">f8"),
        "mask": np.array([True, False]),
        "ids": np.array(["a", "bcd"]),
        "bytes": np.array([b"ab", b"c"]),
        "empty": np.zeros((0, 4), np.float16),
        "whole": np.arange(3, dtype=np.int64),
    },
    "scalars": [np.float32(0.5), np.int64(3), np.bool_(True)],
    "plain": (1, 2.5, "text", None, b"raw", b"", True, {1, 2}, frozenset({3}), OrderedDict(a=[1])),
    "num_labels": 6,
}


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _assert_same(found, expected) -> None:
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            _assert_same(found[key], expected[key])
    elif isinstance(expected, (list, tuple)):
        for one, other in zip(found, expected, strict=True):
            _assert_same(one, other)
    elif isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    else:
        assert found == expected


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_containers_survive_every_protocol(tmp_path, protocol):
    data = pickle.dumps(CONTENT, protocol=protocol)
    # numpy turns big-endian arrays of old protocols round, so what plain pickle gives is the measure.
    _assert_same(load_restricted_pickle(_write(tmp_path / "good.pkl", data)), pickle.loads(data))


@pytest.mark.parametrize("protocol", [2, 4])
def test_both_spellings_of_numpy(tmp_path, protocol):
    data = pickle.dumps(np.arange(3.0), protocol=protocol)
    ours, other = (b"numpy._core", b"numpy.core") if b"numpy._core" in data else (b"numpy.core", b"numpy._core")
    lengthened = data.replace(ours, other)
    if protocol == 4:
        # SHORT_BINUNICODE carries the length of the name, FRAME that of everything.
        name = ours + b".multiarray"
        lengthened = data.replace(bytes([len(name)]) + name, bytes([len(other) + 11]) + other + b".multiarray")
        size = int.from_bytes(data[3:11], "little") + len(other) - len(ours)
        lengthened = lengthened[:3] + size.to_bytes(8, "little") + lengthened[11:]
    for index, variant in enumerate((data, lengthened)):
        path = _write(tmp_path / f"{index}.pkl", variant)
        np.testing.assert_array_equal(load_restricted_pickle(path), np.arange(3.0))


def test_object_array_keeps_its_elements_under_the_same_rules(tmp_path):
    path = _write(tmp_path / "a.pkl", pickle.dumps(np.array([1, "two", None], dtype=object)))
    assert load_restricted_pickle(path).tolist() == [1, "two", None]
    path = _write(tmp_path / "b.pkl", pickle.dumps(np.array([os.system], dtype=object)))
    with pytest.raises(CorpusError, match=r"b\.pkl: refused, it wants to load posix\.system"):
        load_restricted_pickle(path)


class _Runs:
    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def _stack_global(module: str, name: str, arguments: bytes) -> bytes:
    texts = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    return b"\x80\x04" + texts + b"\x93" + arguments + b"."


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize(
    ("function", "argument", "name"),
    [
        (os.system, "true", "posix.system"),
        (eval, "1", "builtins.eval"),
        (getattr, "x", "builtins.getattr"),
        (pickle.loads, b"", "_pickle.loads"),
        (np.load, "x", "numpy.load"),
        (bytearray, 10**12, "builtins.bytearray"),
    ],
)
def test_code_is_refused_by_name_and_not_run(tmp_path, protocol, function, argument, name):
    path = _write(tmp_path / "evil.pkl", pickle.dumps(_Runs(function, argument), protocol=protocol))
    with pytest.raises(CorpusError, match="only numpy arrays and plain containers") as error:
        load_restricted_pickle(path)
    assert "\n" not in str(error.value)
    if name != "_pickle.loads":
        assert name in str(error.value)


def test_dotted_names_do_not_reach_through_an_admitted_module(tmp_path):
    for name in ("multiarray._reconstruct.__globals__", "ndarray.tofile", "dtype.__class__"):
        path = _write(tmp_path / "dotted.pkl", _stack_global("numpy", name, b")R"))
        with pytest.raises(CorpusError, match=f"wants to load numpy.{name}"):
            load_restricted_pickle(path)


FORGED_DTYPE = (
    # numpy.dtype("V8") and friends: structured types whose flags a forged state could set.
    b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00V8\x89\x88\x87R."
)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(FORGED_DTYPE, id="structured dtype"),
        pytest.param(b"\x80\x02cnumpy\nndarray\n(K\x05tR.", id="array built directly"),
        pytest.param(
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n(J\xff\xff\xff\x7ft"
            b"X\x01\x00\x00\x00b\x87R.",
            id="reconstruct a large array",
        ),
        pytest.param(
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\n(K\x00tX\x01\x00\x00\x00b\x87R.",
            id="reconstruct another type",
        ),
        pytest.param(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00xX\x04\x00\x00\x00zlib\x86R.", id="other codec"),
        pytest.param(b"\x80\x02c__builtin__\nbytes\nJ\xff\xff\xff\x7f\x85R.", id="many bytes from a number"),
        pytest.param(b"\x80\x02cnumpy\ndtype\n}X\x01\x00\x00\x00aK\x01sb.", id="attributes of an admitted name"),
        pytest.param(
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n(K\x00tX\x01\x00\x00\x00b\x87R"
            b"(K\x01(K\x01tcnumpy\ndtype\nX\x02\x00\x00\x00O8\x89\x88\x87R\x89X\x08\x00\x00\x00AAAAAAAAtb.",
            id="raw bytes as object pointers",
        ),
        pytest.param(
            b"\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\x00\x00\x00O8\x89\x88\x87R"
            b"c_codecs\nencode\nX\x08\x00\x00\x00AAAAAAAAX\x06\x00\x00\x00latin1\x86R\x86R.",
            id="raw bytes as one object",
        ),
        pytest.param(b"\x80\x02P1\n.", id="persistent id"),
        pytest.param(b"not a pickle", id="no pickle"),
    ],
)
def test_forged_pickles_are_refused_in_one_sentence(tmp_path, data):
    with pytest.raises(CorpusError, match=r"forged\.pkl: ") as error:
        load_restricted_pickle(_write(tmp_path / "forged.pkl", data))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kept", [0, 1, 0.3, 0.9, -1])
@pytest.mark.parametrize("protocol", [2, 4])
def test_cut_off_pickle_says_so(tmp_path, kept, protocol):
    data = pickle.dumps(CONTENT, protocol=protocol)
    length = int(len(data) * kept) if isinstance(kept, float) else kept
    with pytest.raises(CorpusError, match=r"cut\.pkl: .*(cut off|not a sound pickle).*copy the file again"):
        load_restricted_pickle(_write(tmp_path / "cut.pkl", data[:length]))


def test_missing_file(tmp_path):
    with pytest.raises(CorpusError, match="No such file"):
        load_restricted_pickle(tmp_path / "none.pkl")


def test_reads_what_plain_pickle_reads(shared_data):
    for path in sorted((shared_data / "authors_format").rglob("*.pkl")):
        with open(path, "rb") as file:
            _assert_same(load_restricted_pickle(path), pickle.load(file))
