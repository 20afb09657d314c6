# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What ends a command comes out as one sentence and one status, whatever it was."""

import errno
import subprocess
import sys

import pytest
import torch
from huggingface_hub.errors import StrictDataclassFieldValidationError
from safetensors import SafetensorError

from modeling_univa import UnivaConfig
from modeling_univa.commands.failures import run_guarded
from modeling_univa.models.files_univa import explanation


def _raising(error: BaseException):
    def run() -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (ValueError("a.csv: line 3:\n  bad cell"), 2, "a.csv: line 3: bad cell"),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "a.wav"),
            2,
            "a.wav: No such file or directory.",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "There is no space left: make room"),
        (SafetensorError("header too large"), 2, "header too large"),
        (RuntimeError("size mismatch for weight"), 2, "size mismatch for weight"),
        (MemoryError(), 2, "There is not enough memory: use a smaller batch size"),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB. GPU 0 has …"),
            2,
            "The memory is too small for a batch (CUDA out of memory): use a smaller batch size",
        ),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: you tried …"),
            2,
            "The memory is too small for a batch ([enforce fail",
        ),
        (ImportError("needs PyAV"), 2, "needs PyAV"),
        (KeyboardInterrupt(), 130, "Interrupted. Run the same command again to resume."),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_failure_has_a_sentence_and_a_status(error, status, sentence, capsys):
    assert run_guarded("univa", _raising(error)) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"univa: {sentence}")
    assert printed.err.count("\n") == 1


def test_a_fault_of_ours_keeps_its_traceback():
    with pytest.raises(KeyError):
        run_guarded("univa", _raising(KeyError("fault")))


def test_a_bad_configuration_is_explained_by_its_cause():
    with pytest.raises(StrictDataclassFieldValidationError) as caught:
        UnivaConfig(hidden_size="wide")
    assert explanation(caught.value) == "Field 'hidden_size' expected int, got str (value: 'wide')"


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("contrastive_weight", ["a"], "Field 'contrastive_weight' expected float or int, got ['a']"),
        ("label_affect", "x", "Field 'label_affect' expected list[list[float | int]] or nothing, got 'x'"),
    ],
)
def test_types_are_named_as_in_a_configuration(field, value, sentence):
    with pytest.raises(StrictDataclassFieldValidationError) as caught:
        UnivaConfig(**{field: value})
    assert explanation(caught.value) == sentence


def test_what_a_file_holds_neither_fills_the_screen_nor_controls_it():
    found = explanation(ValueError(f"a.csv: line 2: found {'x' * 10**6} {[1] * 10**5}\x1b[31m\ud800: save it again"))
    assert len(found) < 750 and found.isprintable()
    assert found.startswith("a.csv: line 2: found xxx") and found.endswith(": save it again")


@pytest.mark.slow
def test_a_reader_that_goes_away_is_not_a_failure():
    code = (
        "from modeling_univa.commands.failures import run_guarded\n"
        "def run():\n    for _ in range(100_000): print('x' * 100)\n    return 0\n"
        "raise SystemExit(run_guarded('univa', run))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0
