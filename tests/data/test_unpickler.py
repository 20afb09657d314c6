# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import pickle
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from testing_utils import run_command, subprocess_environment

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


def _memoised(data: bytes, index: int) -> bytes:
    return data + b"r" + index.to_bytes(4, "little")


def _doubled(kind: type, levels: int = 30) -> bytes:
    """A container of two of a container of two of …, a few bytes a level."""
    data = _memoised(b")" if kind is tuple else b"]", 0)
    for level in range(1, levels):
        fetched = b"j" + (level - 1).to_bytes(4, "little")
        data = _memoised(
            data + (b"0" + fetched * 2 + b"\x86" if kind is tuple else b"0](" + fetched * 2 + b"e"), level
        )
    return data


def _array(shape: bytes, code: bytes, state: bytes) -> bytes:
    """An array of numpy.core, protocol 2, with a state of one's own."""
    dtype = b"cnumpy\ndtype\nX" + len(code).to_bytes(4, "little") + code + b"\x89\x88\x87R"
    if code[:1] in b"US":
        dtype += b"(K\x03X\x01\x00\x00\x00<NNNJ\x04\x00\x00\x00K\x04K\x08tb"
    begin = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n(K\x00tX\x01\x00\x00\x00b\x87R"
    return begin + b"(K\x01" + shape + dtype + b"\x89" + state + b"tb"


MUCH = (2**40).to_bytes(8, "little")
LARGE = b"\x8a\x06" + (2**45).to_bytes(6, "little")
TEXT = b"X" + (2**20).to_bytes(4, "little") + b"a" * 2**20
ENCODE = b"c_codecs\nencode\n"
BOMBS: dict[str, bytes] = {
    "shared lists": b"\x80\x02" + _doubled(list) + b".",
    "shared tuples as a key": b"\x80\x02}" + _doubled(tuple) + b"Ns.",
    "shared tuples in a set": b"\x80\x04\x8f(" + _doubled(tuple) + b"\x90.",
    "shared tuples in a frozen set": b"\x80\x04(" + _doubled(tuple) + b"\x91.",
    "a set by its name": b"\x80\x02c__builtin__\nset\n](" + _doubled(tuple) + b"e\x85R.",
    "an ordered dict by its name": b"\x80\x02ccollections\nOrderedDict\n](" + _doubled(tuple) + b"N\x86e\x85R.",
    "memo index": b"\x80\x02" + _memoised(b"]", 2**31 - 1) + b".",
    "memo index in text": b"]p4000000000\n.",
    "a list in itself": b"\x80\x02" + _memoised(b"]", 0) + b"j\x00\x00\x00\x00a.",
    "a tuple in itself": b"\x80\x02" + _memoised(b"]", 0) + b"j\x00\x00\x00\x00\x85a.",
    "lists in lists": b"\x80\x02" + b"]" * 10**5 + b"a" * (10**5 - 1) + b".",
    "tuples in tuples as a key": b"\x80\x02})" + b"\x85" * 2 * 10**5 + b"Ns.",
    "claimed bytes": b"\x80\x04\x8e" + MUCH + b"abc.",
    "claimed text": b"\x80\x04\x8d" + MUCH + b"abc.",
    "claimed buffer": b"\x80\x05\x96" + MUCH + b"abc.",
    "claimed frame": b"\x80\x04\x95" + MUCH + b"abc.",
    "claimed number": b"\x80\x02\x8b\xff\xff\xff\x7fabc.",
    "digits": b"L" + b"9" * 10**6 + b"L\n.",
    "claimed objects": b"\x80\x02" + _array(LARGE + b"\x85", b"O8", b"]") + b".",
    "claimed numbers": b"\x80\x02" + _array(LARGE + b"\x85", b"f8", b"U\x01a") + b".",
    "any number of nothing": b"\x80\x02" + _array(LARGE + b"\x85", b"U0", b"U\x00") + b".",
    "shape of texts": b"\x80\x02" + _array(b"X\x01\x00\x00\x00a\x85", b"f8", b"U\x01a") + b".",
    "claimed by a buffer": b"\x80\x04cnumpy.core.numeric\n_frombuffer\n(C\x08abcdefgh"
    b"cnumpy\ndtype\nX\x02\x00\x00\x00f8\x89\x88\x87R"
    + LARGE + b"\x85X\x01\x00\x00\x00CtR.",
    "an array in itself": b"\x80\x02" + _memoised(b"]", 0) + b"(" + _array(b"K\x01\x85", b"O8", b"j\x00\x00\x00\x00")
    + b"te.",
    "one text many times": b"\x80\x02](" + _memoised(TEXT, 0) + b"X\x06\x00\x00\x00latin1r\x01\x00\x00\x00"
    + (ENCODE + b"h\x00h\x01\x86R") * 20000 + b"e.",
    "colliding keys": b"\x80\x02}(" + b"".join(
        b"\x8a\x0c" + (key * (2**61 - 1)).to_bytes(12, "little") + b"N" for key in range(1, 30000)
    ) + b"u.",
}  # fmt: skip

BOUNDED = """
import json, resource, sys
from modeling_univa.data.schema import CorpusError
from modeling_univa.data.torch_files import load_torch_file
from modeling_univa.data.unpickler import load_restricted_pickle
room = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (room + 2**29,) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
for path in sys.argv[1:]:
    try:
        (load_torch_file if path.endswith(".pt") else load_restricted_pickle)(path)
    except CorpusError as error:
        print(json.dumps([path, str(error)]), flush=True)
"""


@pytest.mark.slow
def test_a_small_file_takes_neither_long_nor_much_memory(tmp_path):
    """Half a gigabyte and a minute for all of them, as pickles and in archives of torch.save."""
    paths = [_write(tmp_path / f"{name.replace(' ', '-')}.pkl", data) for name, data in BOMBS.items()]
    for path in paths[:]:
        with zipfile.ZipFile(path.with_suffix(".pt"), "w") as file:
            file.write(path, "archive/data.pkl")
        paths.append(path.with_suffix(".pt"))
    (tmp_path / "bounded.py").write_text(BOUNDED)
    environment = subprocess_environment(tmp_path / "cache")
    result = run_command([sys.executable, tmp_path / "bounded.py", *paths], environment, tmp_path)
    assert result.returncode == 0, result.stderr[-2000:]
    refused = dict(json.loads(line) for line in result.stdout.splitlines())
    # A memo of any index is as good as one of the next.
    assert {path.stem for path in paths if str(path) not in refused} == {"memo-index", "memo-index-in-text"}
    for path in filter(refused.get, map(str, paths)):
        assert "\n" not in refused[str(path)] and len(refused[str(path)]) < 400 + len(str(path)), path
        assert "does not fit into memory" not in refused[str(path)], path


def test_what_is_shared_stays_readable(tmp_path):
    shared = [np.arange(3), "text"]
    content = {"a": [shared, shared], "b": {(1, "x"): shared}, 3: np.array([[1, "two"], [None, 2.5]], dtype=object)}
    found = load_restricted_pickle(_write(tmp_path / "shared.pkl", pickle.dumps(content)))
    assert found["a"][0][1] == "text" and found["b"][1, "x"][0].tolist() == [0, 1, 2]
    assert found[3].tolist() == content[3].tolist()


def test_missing_file(tmp_path):
    with pytest.raises(CorpusError, match="No such file"):
        load_restricted_pickle(tmp_path / "none.pkl")


def test_reads_what_plain_pickle_reads(shared_data):
    for path in sorted((shared_data / "authors_format").rglob("*.pkl")):
        with open(path, "rb") as file:
            _assert_same(load_restricted_pickle(path), pickle.load(file))
