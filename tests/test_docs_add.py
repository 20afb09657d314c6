# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What the pages docs/add_*.md say is done to a copy of the repository, and works."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from testing_utils import REPOSITORY, subprocess_environment


PAGES = ("add_corpus", "add_extractor", "add_metric", "add_system")
FOLDERS = ("modeling_univa", "metrics", "datasets_scripts", "tests")
PARTS = (*FOLDERS, "recipes", "model_card.md", "pyproject.toml", "train_hf.py")
# A block, with the last line of text before it.
BLOCK = re.compile(
    r"^(?P<text>[^\n`]*(?:`[^`\n]+`[^\n`]*)*)\n\n```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
NEW = re.compile(r"New file `([^`]+)`:")
END = re.compile(r"At the end of `([^`]+)`:")
BESIDE = re.compile(r"In `([^`]+)`, (after|before|in place of) `([^`]+)`:")


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Of every block the line before it, its kind and its content."""
    text = (REPOSITORY / "docs" / f"{page}.md").read_text(encoding="utf-8")
    found = BLOCK.findall(text)
    assert len(found) == text.count("```") // 2, "a block without a line of text before it"
    return found


def edit(repository: Path, text: str, body: str) -> bool:
    """Do what a block of Python does to the repository; whether it does anything."""
    if found := NEW.fullmatch(text):
        assert not (repository / found[1]).exists()
        (repository / found[1]).write_text(body, encoding="utf-8")
    elif found := END.fullmatch(text):
        file = repository / found[1]
        file.write_text(f"{file.read_text(encoding='utf-8')}\n\n{body}", encoding="utf-8")
    elif found := BESIDE.fullmatch(text):
        file, line = repository / found[1], f"{found[3]}\n"
        content = file.read_text(encoding="utf-8")
        assert content.count(f"\n{line}") == 1, f"{found[1]} has no line {found[3]!r}, or more than one"
        new = {"after": line + body, "before": f"{body}\n\n{line}", "in place of": body}[found[2]]
        file.write_text(content.replace(f"\n{line}", f"\n{new}"), encoding="utf-8")
    else:
        return False
    return True


def run(repository: Path, words: list[str], script: str, cache: Path) -> str:
    environment = subprocess_environment(cache) | {"PYTHONPATH": str(repository)}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    done = subprocess.run([*words, script], cwd=repository, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def contents(repository: Path) -> dict[str, bytes]:
    files = (path for part in PARTS for path in [repository / part, *(repository / part).rglob("*")])
    return {
        path.relative_to(repository).as_posix(): path.read_bytes()
        for path in files
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture
def repository(tmp_path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    for part in PARTS:
        if (REPOSITORY / part).is_dir():
            shutil.copytree(REPOSITORY / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(REPOSITORY / part, folder / part)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_page_adds_one_from_nothing(page: str, repository: Path, tmp_path: Path):
    before, printed, changed = contents(repository), "", None
    for text, kind, body in blocks(page):
        if kind in ("python", "yaml") and edit(repository, text, body):
            assert changed is None, "an edit after the first command"
        elif kind in ("python", "bash"):
            changed = changed or {name for name, value in contents(repository).items() if before.get(name) != value}
            command = [sys.executable, "-c"] if kind == "python" else ["bash", "-ec"]
            printed = run(repository, command, body, tmp_path / "cache")
        else:
            assert kind == "text" and text == "prints"
            missing = [line for line in body.splitlines() if line not in printed]
            assert not missing, printed
    text = (REPOSITORY / "docs" / f"{page}.md").read_text(encoding="utf-8")
    assert changed == set(re.findall(r"`([^`]+)`", re.search(r"^Files: (.*)$", text, re.MULTILINE)[1]))


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_what_is_added_is_in_the_style_of_the_project(page: str, repository: Path):
    for text, kind, body in blocks(page):
        if kind in ("python", "yaml"):
            edit(repository, text, body)
    ruff = [sys.executable, "-m", "ruff"]
    if subprocess.run([*ruff, "--version"], capture_output=True).returncode:
        pytest.skip("ruff is not installed")
    for words in (["check"], ["format", "--diff"]):
        done = subprocess.run([*ruff, *words, *FOLDERS], cwd=repository, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
