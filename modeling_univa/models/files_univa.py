# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or not there, their SHA-256, folders of one job at a time, and what went wrong in one line."""

import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub.errors import StrictDataclassError
from transformers.utils import logging


__all__ = [
    "LOCK_FILE",
    "beside",
    "exclusive",
    "explanation",
    "field_message",
    "locked",
    "one_line",
    "replace_folder",
    "scratch_folder",
    "sha256_of_files",
    "sync",
    "whole_file",
    "whole_folder",
    "write_text",
]

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
    with locked(folder / LOCK_FILE) as mine:
        if not mine:
            raise ValueError(
                f"Another process is writing to {output or folder}: wait for its end, or choose another `{argument}`."
            )
        yield


# What a file system says that has no locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


@contextmanager
def locked(file: Path, wait: bool = False) -> Iterator[bool]:
    """
    Try to hold a lock file for this process until the end of the context; the system frees it if the process dies.

    Args:
        file: its folder is there.
        wait: for another process that holds it to let go of it.

    Returns:
        Whether no other process holds it; always where the file system has no locks, which is told.
    """
    try:
        from filelock import FileLock, Timeout
    except ImportError as error:
        raise ImportError("A folder is held by a lock of filelock: pip install filelock.") from error

    lock = FileLock(file)
    try:
        lock.acquire(timeout=-1 if wait else 0)
        mine = True
    except Timeout:
        mine = False
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        logger.warning(f"The disk of {file.parent} has no locks: take care that no other process writes there.")
        mine = True
    try:
        yield mine
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
        reason = one_line(error).partition(". ")[0]
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
        return one_line(field_message(error))
    if isinstance(error, OSError) and error.strerror and error.filename:
        return one_line(f"{os.fsdecode(error.filename)}: {error.strerror}.")
    return one_line(error) or f"{type(error).__name__} without a message."


def _detail(error: MemoryError) -> str:
    return f" ({one_line(error)})" if str(error) else ""


def one_line(text: object) -> str:
    """What a text or an error says, in one line without control characters, its middle left out where it is long."""
    words = ("".join(filter(str.isprintable, word)) for word in str(text).split())
    line = " ".join(_shortened(word, _LONGEST_WORD) for word in words if word)
    return _shortened(line, _LONGEST)


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest * 2 // 3]} … {text[-longest // 3 :]}"


# "Field 'x' with value [1] doesn't match any type in (<class 'int'>, <class 'NoneType'>). Errors: …"
_UNION = re.compile(r"(Field '[^']*') with value (.*) doesn't match any type in \((.*?)\)\. Errors: .*", re.DOTALL)
_CLASS = re.compile(r"<class '(?:[\w.]+\.)?(\w+)'>")


def field_message(error: StrictDataclassError) -> str:
    """What is wrong with which field of a configuration."""
    # "Validation error for field 'x':\n    TypeError: what is wrong"; the cause alone is for users.
    text = " ".join(str(error).rsplit("Error: ", maxsplit=1)[-1].split())
    match = _UNION.fullmatch(text)
    if match is None:
        return text.replace("NoneType", "nothing")
    types = _CLASS.sub(r"\1", match[3]).replace("NoneType", "nothing").split(", ")
    return f"{match[1]} expected {' or '.join(types)}, got {match[2]}"


@contextmanager
def whole_file(file: str | Path) -> Iterator[Path]:
    """
    A path to write to; what is there at the end of the context takes the place of `file`, after a power cut too.

    Args:
        file: its folder is made if it is not there yet; after an error the file is as it was before. What is not a
            file, such as `/dev/stdout` or a pipe, is written to: one that ran as root would put a file in its place.
    """
    file = Path(file)
    descriptor = _own_descriptor(file)
    if descriptor is not None or (file.exists() and not file.is_file() and not file.is_dir()):
        with TemporaryDirectory() as folder:
            yield Path(folder, file.name)
            # Opened by its name, a file that the output goes to would be written from its start.
            target = file if descriptor is None else os.dup(descriptor)
            with open(Path(folder, file.name), "rb") as source, open(target, "wb") as stream:
                shutil.copyfileobj(source, stream)
        return
    with beside(file) as temporary:
        yield temporary
        sync(temporary)
        os.replace(temporary, file)


# As many links as Linux follows.
_LINKS = 40


def _own_descriptor(file: Path) -> int | None:
    """Which open file of this process a path such as `/dev/stdout` leads to, `None` for any other path."""
    for _ in range(_LINKS):
        folder = os.path.realpath(file.parent)
        if folder in (f"/proc/{os.getpid()}/fd", "/dev/fd") and file.name.isdecimal():
            return int(file.name)
        place = Path(folder, file.name)
        if not place.is_symlink():
            return None
        file = Path(folder, os.readlink(place))
    return None


@contextmanager
def whole_folder(folder: str | Path, replace: bool = True) -> Iterator[Path]:
    """
    An empty folder to fill; at the end of the context it takes the place of `folder`.

    Args:
        folder: that above it is made if it is not there yet; after an error it is as it was before.
        replace: whether one that is there by then is replaced; otherwise it stays, since another process was faster.
    """
    with beside(Path(folder)) as new:
        new.mkdir()
        yield new
        if replace:
            replace_folder(new, folder)
            return
        try:
            os.replace(new, folder)
        except OSError:
            if not Path(folder).is_dir():
                raise


def replace_folder(new: Path, folder: str | Path) -> None:
    """Put a folder in the place of another one, which is removed; after an error that one is there as before."""
    with beside(Path(folder)) as replaced:
        if Path(folder).exists():
            os.replace(folder, replaced)
        try:
            os.replace(new, folder)
        except BaseException:
            if replaced.exists():
                os.replace(replaced, folder)
            raise


@contextmanager
def beside(place: Path) -> Iterator[Path]:
    """A new path beside another one, removed at the end; hidden, so that what a killed job leaves is not pushed."""
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}-{secrets.token_hex(4)}.writing")
    try:
        yield temporary
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def write_text(file: str | Path, text: str) -> None:
    """Write a file that is there as a whole or not at all, in UTF-8."""
    with whole_file(file) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        # Some network file systems cannot sync a folder.
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of_files(*files: str | Path) -> str:
    """SHA-256 of the contents of some files, one after the other, in hexadecimal digits."""
    digest = hashlib.sha256()
    for file in files:
        with open(file, "rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()
