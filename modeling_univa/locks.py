# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""One job at a time writes to a folder."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from transformers.utils import logging


__all__ = ["LOCK_FILE", "exclusive", "scratch_folder"]

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
