# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""One sentence and one exit status for whatever ends a command, the same for all of them."""

import errno
import io
import os
import re
import sys
from collections.abc import Callable

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError


__all__ = ["INTERRUPTED", "USER_MISTAKE", "explanation", "one_line", "run_guarded"]

USER_MISTAKE = 2
INTERRUPTED = 130

# Beyond these an exception is a fault of this package, and its traceback is what a report of it needs.
_EXPLAINED = (ValueError, OSError, ImportError, StrictDataclassError, SafetensorError, MemoryError, RuntimeError)
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
        from .checked_loading_univa import field_message

        return one_line(field_message(error))
    if isinstance(error, OSError) and error.strerror and error.filename:
        return one_line(f"{os.fsdecode(error.filename)}: {error.strerror}.")
    return one_line(str(error)) or f"{type(error).__name__} without a message."


def run_guarded(program: str, run: Callable[[], int]) -> int:
    """
    Run a command, and turn what ends it into one sentence on standard error.

    Args:
        program: what the sentence begins with.
        run: the command; returns its exit status.

    Returns:
        Its exit status; 2 for what the user can mend, 130 where it was interrupted. Where the reader of its output has
        gone away (`univa predict … | head`) it ends quietly.
    """
    for stream in (sys.stdout, sys.stderr):
        # What a terminal cannot show (in ASCII, or of a file name that is not UTF-8) is shown escaped.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = run()
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Python flushes once more at its end, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt as error:
        print(f"{program}: {explanation(error)}", file=sys.stderr)
        return INTERRUPTED
    except _EXPLAINED as error:
        print(f"{program}: {explanation(error)}", file=sys.stderr)
        return USER_MISTAKE


def _detail(error: MemoryError) -> str:
    return f" ({one_line(str(error))})" if str(error) else ""


def one_line(text: str) -> str:
    """A message of any text: one line without control characters, its middle left out where it is long."""
    words = ("".join(filter(str.isprintable, word)) for word in text.split())
    line = " ".join(_shortened(word, _LONGEST_WORD) for word in words if word)
    return _shortened(line, _LONGEST)


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest * 2 // 3]} … {text[-longest // 3 :]}"
