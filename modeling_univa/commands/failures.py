# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""One sentence and one exit status for whatever ends a command, the same for all of them."""

import io
import os
import sys
from collections.abc import Callable

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from ..models.files_univa import explanation
from ..options import OptionParser


__all__ = ["INTERRUPTED", "USER_MISTAKE", "run_guarded"]

USER_MISTAKE = 2
INTERRUPTED = 130

# Beyond these an exception is a fault of this package, and its traceback is what a report of it needs.
_EXPLAINED = (ValueError, OSError, ImportError, StrictDataclassError, SafetensorError, MemoryError, RuntimeError)


def run_guarded(program: str, run: Callable[[], int], parser: OptionParser | None = None) -> int:
    """
    Run a command, and turn what ends it into one sentence on standard error.

    Args:
        program: what the sentence begins with.
        run: the command; returns its exit status.
        parser: of its command line; arguments that the sentence names are called as its options.

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
        sentence = explanation(error)
        sentence = sentence if parser is None else parser.named_as_options(sentence)
        print(f"{program}: {sentence}", file=sys.stderr)
        return USER_MISTAKE
