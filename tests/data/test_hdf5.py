# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""HDF5 files of strangers: nothing of another file comes in, and no array is larger than its file can hold."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from published_weights import mini_xception_state, save_keras

from modeling_univa.convert.networks import convert_network
from modeling_univa.corpora.computational_sequences import find_sequences
from modeling_univa.data.hdf5 import attribute_names, member, read_array
from modeling_univa.data.schema import CorpusError


SHAPE = (6, 4)
SECRET = np.arange(24, dtype=np.float32).reshape(SHAPE) + 0.5


def _external_storage(folder: Path, group: h5py.Group, name: str) -> None:
    (folder / "secret.bin").write_bytes(SECRET.tobytes())
    external = [(str(folder / "secret.bin"), 0, h5py.h5f.UNLIMITED)]
    group.create_dataset(name, SHAPE, "f4", external=external)


def _secret_file(folder: Path) -> str:
    with h5py.File(folder / "secret.dat", "w") as file:
        file["x"] = SECRET
        file.create_group("g")["x"] = SECRET
    return str(folder / "secret.dat")


def _virtual(folder: Path, group: h5py.Group, name: str) -> None:
    layout = h5py.VirtualLayout(SHAPE, "f4")
    layout[:] = h5py.VirtualSource(_secret_file(folder), "x", SHAPE)
    group.create_virtual_dataset(name, layout)


def _external_link(folder: Path, group: h5py.Group, name: str) -> None:
    group[name] = h5py.ExternalLink(_secret_file(folder), "x")


def _soft_link_to_external(folder: Path, group: h5py.Group, name: str) -> None:
    group.file["out"] = h5py.ExternalLink(_secret_file(folder), "g")
    group[name] = h5py.SoftLink("/out/x")


def _claimed(folder: Path, group: h5py.Group, name: str) -> None:
    group.create_dataset(name, (2**33, 4), "f4", chunks=(1024, 4))


def _claimed_chunk(folder: Path, group: h5py.Group, name: str) -> None:
    group.create_dataset(name, SHAPE, "f4", chunks=(2**27, 4), maxshape=(None, 4), compression="gzip")


def _one_text_many_times(folder: Path, group: h5py.Group, name: str) -> None:
    text = h5py.string_dtype()
    group.create_dataset(name, (2**14, 1), text, chunks=(2**12, 1), compression="gzip", fillvalue="a" * 2**16)


def _references(folder: Path, group: h5py.Group, name: str) -> None:
    group.create_dataset(name, SHAPE, h5py.ref_dtype)


def _group(folder: Path, group: h5py.Group, name: str) -> None:
    group.create_group(name)


ATTACKS: dict[str, Callable[[Path, Any, str], None]] = {
    function.__name__: function
    for function in (
        _external_storage, _virtual, _external_link, _soft_link_to_external, _claimed, _claimed_chunk,
        _one_text_many_times, _references, _group,
    )
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_a_sequence_gives_nothing_of_another_file(tmp_path, name):
    with h5py.File(tmp_path / "words.csd", "w") as file:
        group = file.create_group("words/data/video")
        ATTACKS[name](tmp_path, group, "features")
        group["intervals"] = np.zeros((6, 2))
    with pytest.raises(CorpusError, match="words.csd: (words/data/video: |expected the group out)"):
        find_sequences(tmp_path)["words"].entry("video")


@pytest.mark.parametrize("name", ATTACKS)
def test_a_file_of_keras_gives_nothing_of_another_file(tmp_path, name):
    path = save_keras(tmp_path / "weights.hdf5", mini_xception_state())
    with h5py.File(path, "r+") as file:
        layer = file["model_weights"]["conv2d_1"]
        (weight,) = (weight.decode() for weight in layer.attrs["weight_names"] if b"kernel" in weight)
        del layer[weight]
        ATTACKS[name](tmp_path, layer[weight.rpartition("/")[0]], weight.rpartition("/")[2])
    with pytest.raises(ValueError, match=r"weights.hdf5 cannot be read as a file of Keras: "):
        convert_network("mini-xception", path, tmp_path / "converted")
    assert not (tmp_path / "converted").exists()


def test_groups_of_another_file_are_none(tmp_path):
    other = _secret_file(tmp_path)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["out"] = h5py.ExternalLink(other, "g")
        file["soft"] = h5py.SoftLink("/out")
        file["in/deep/x"] = SECRET
        assert member(file, "out") is None and member(file, "out/x") is None and member(file, "soft/x") is None
        assert member(file, "nothing") is None and member(file, "in/deep/x/y") is None
        np.testing.assert_array_equal(read_array(member(file, "in/deep/x"), "x"), SECRET)


def test_text_of_any_length_is_read(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("words", data=[["one"], ["two"]], dtype=h5py.string_dtype())
        assert read_array(file["words"], "words").tolist() == [[b"one"], [b"two"]]
        file.attrs["names"] = ["a", "b"]
        file.attrs["many"] = np.zeros(2000, "S1")
        file.attrs["numbers"] = [1, 2]
        assert attribute_names(file, "names") == ["a", "b"] and attribute_names(file, "none") == []
        for name in ("many", "numbers"):
            with pytest.raises(ValueError, match=f"`{name}` must be a list of"):
                attribute_names(file, name)
