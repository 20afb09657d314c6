# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or not there, folders that one job at a time writes to, and what went wrong in one line."""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub.errors import StrictDataclassError
from transformers.utils import logging

from .checked_loading_univa import field_message


__all__ = ["LOCK_FILE", "exclusive", "explanation", "one_line", "scratch_folder", "write_text"]

logger = logging.get_logger(__name__)

# Hidden, so that it is neither pushed nor taken for a result.
LOCK_FILE = ".lock"


@contextmanager
def exclusive(folder: str | Path, argument: str = "output", output: str | Path | None = None) -> Iterator[None]:
    """
    Hold a folder for this process until the end of the context; the system frees it if the process dies.

    Args:
        folder: made if it is not there yet.
        argument: what the message calls the folder that the user chose.
        output: that folder, where it is another one.

    Raises:
        ValueError: another process holds it.
    """
    from filelock import FileLock, Timeout

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ValueError(
            f"Another process is writing to {output or folder}: wait for its end, or choose another `{argument}`."
        ) from error
    except NotImplementedError:
        logger.warning(f"The disk of {folder} has no locks: take care that no other process writes there.")
    try:
        yield
    finally:
        lock.release()


@contextmanager
def scratch_folder(output: str | Path, argument: str = "output") -> Iterator[Path]:
    """
    An empty folder beside `output` to make it in, for one process at a time; it is removed at the end.

    What a job that was killed has left in it is removed by the next one.

    Args:
        output: what will be made.
        argument: what messages call it.

    Raises:
        ValueError: another process is making it.
    """
    output = Path(output)
    folder = output.with_name(f".{output.name}.scratch")
    with exclusive(folder, argument, output):
        place = folder / "job"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        try:
            yield place
        finally:
            shutil.rmtree(folder, ignore_errors=True)


# torch says so of an accelerator and of the CPU; its exception is not imported for this alone.
_OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory", re.IGNORECASE)


_RESUME = "Interrupted. Run the same command again to resume."


# A file may hold anything, and what is wrong with it is quoted: enough to know it by, from both ends.
_LONGEST, _LONGEST_WORD = 700, 250


def explanation(error: BaseException) -> str:
    """What went wrong, in one line that a user can act on."""
    if isinstance(error, KeyboardInterrupt):
        return _RESUME
    if isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)):
        reason = one_line(str(error)).partition(". ")[0]
        return (
            f"The memory is too small for a batch ({reason}): use a smaller batch size "
            "(in training `per_device_train_batch_size`, with more `gradient_accumulation_steps`)."
        )
    if isinstance(error, MemoryError):
        return f"There is not enough memory{_detail(error)}: use a smaller batch size, or close other programs."
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        place = f" on the disk of {error.filename}" if error.filename else ""
        return f"There is no space left{place}: make room, then run the same command again to resume."
    if isinstance(error, StrictDataclassError):
        # Not above: it takes transformers, which these errors come from.

        return one_line(field_message(error))
    if isinstance(error, OSError) and error.strerror and error.filename:
        return one_line(f"{os.fsdecode(error.filename)}: {error.strerror}.")
    return one_line(str(error)) or f"{type(error).__name__} without a message."


def _detail(error: MemoryError) -> str:
    return f" ({one_line(str(error))})" if str(error) else ""


def one_line(text: str) -> str:
    """A message of any text: one line without control characters, its middle left out where it is long."""
    words = ("".join(filter(str.isprintable, word)) for word in text.split())
    line = " ".join(_shortened(word, _LONGEST_WORD) for word in words if word)
    return _shortened(line, _LONGEST)


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest * 2 // 3]} … {text[-longest // 3 :]}"


def write_text(file: Path, text: str) -> None:
    """Write a file that is there as a whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", dir=file.parent, prefix=f".{file.name}-", suffix=".writing", delete=False, encoding="utf-8"
    ) as temporary:
        temporary.write(text)
    os.chmod(temporary.name, 0o644)
    os.replace(temporary.name, file)
