# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Pages of docs/ that add something to the package: their code blocks are applied to a copy, and their commands run.

A block follows a line "In a new file `PATH`:" or, of lines that take the place of others (```diff), "In `PATH`:".
Several may follow one such line. Commands are in ```bash.
"""

import re
import shlex
import shutil
import sys
from pathlib import Path

from testing_utils import REPOSITORY, run_command, subprocess_environment


_PARTS = re.compile(r"^In (a new file )?`(?P<path>[^`]+)`.*?:$|^```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.M | re.S)
_COPIED = (
    "modeling_univa",
    "metrics",
    "datasets_scripts",
    "recipes",
    "tests",
    "train_hf.py",
    "model_card.md",
    "pyproject.toml",
)


def copy_repository(folder: Path) -> Path:
    """What the pages change and run."""
    for name in _COPIED:
        source = REPOSITORY / name
        ignored = shutil.ignore_patterns("__pycache__")
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)
    return folder


def apply_page(page: Path, folder: Path) -> tuple[set[str], list[str]]:
    """Make the changes of a page in a copy; which files they were in, and the page's commands."""
    touched: set[str] = set()
    commands: list[str] = []
    path = None
    for part in _PARTS.finditer(page.read_text(encoding="utf-8")):
        kind, body = part["kind"], part["body"]
        if kind is None:
            path = part["path"]
        elif kind == "bash":
            commands += [line for line in body.splitlines() if line and not line.startswith("#")]
        elif path is not None:
            file = folder / path
            if kind == "diff":
                file.write_text(_changed(file.read_text(encoding="utf-8"), body), encoding="utf-8")
            else:
                assert not file.exists(), f"{path} is there already"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(body, encoding="utf-8")
            touched.add(path)
    return touched, commands


def _changed(text: str, diff: str) -> str:
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    assert text.count(before) == 1, f"expected once: {before}"
    return text.replace(before, after)


def run_page_command(command: str, folder: Path, cache: Path) -> str:
    """Run a command of a page in a copy; its output."""
    words = shlex.split(command)
    start = {"python": [sys.executable], "univa": [sys.executable, "-m", "modeling_univa.cli"]}[words[0]]
    environment = subprocess_environment(cache) | {"PYTHONPATH": str(folder)}
    result = run_command([*start, *words[1:]], environment, folder)
    assert result.returncode == 0, f"{command}\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
    return result.stdout
