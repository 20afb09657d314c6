# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Everything public says what it is."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from testing_utils import REPOSITORY


FOLDERS = ("modeling_univa", "space")
FILES = sorted(file for folder in FOLDERS for file in (REPOSITORY / folder).rglob("*.py"))
DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def public(node: ast.AST, name: str = "") -> Iterator[tuple[str, ast.AST]]:
    """The module, class or function, and the public ones in it; what is inside of functions is nobody else's."""
    yield name or "module", node
    if isinstance(node, (ast.Module, ast.ClassDef)):
        for child in node.body:
            if isinstance(child, DEFINITIONS) and not child.name.startswith("_"):
                yield from public(child, f"{name}.{child.name}".lstrip("."))


def is_property_setter(node: ast.AST) -> bool:
    decorators = getattr(node, "decorator_list", [])
    return any(isinstance(item, ast.Attribute) and item.attr in ("setter", "deleter") for item in decorators)


def undocumented(tree: ast.Module) -> tuple[list[str], int]:
    """Names of public definitions without a docstring, and how many there are in all."""
    found = [(name, node) for name, node in public(tree) if not is_property_setter(node)]
    return [name for name, node in found if not (ast.get_docstring(node) or "").strip()], len(found)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(REPOSITORY).as_posix())
def test_public_definitions_have_docstrings(file: Path):
    missing, _ = undocumented(ast.parse(file.read_text(encoding="utf-8")))
    assert not missing, f"{file.relative_to(REPOSITORY)}: without docstring: {', '.join(missing)}"


def test_all_of_the_package_is_looked_at():
    counts = dict.fromkeys(FOLDERS, 0)
    for file in FILES:
        folder = file.relative_to(REPOSITORY).parts[0]
        counts[folder] += undocumented(ast.parse(file.read_text(encoding="utf-8")))[1]
    assert counts["modeling_univa"] > 500 and counts["space"] > 10, counts


def test_the_check_finds_what_is_missing():
    methods = "    def b(self): ...\n    def _c(self): ...\n    @property\n    def d(self):\n        'D.'\n"
    source = f"'M.'\nclass A:\n{methods}def _e():\n    def f(): ...\n"
    missing, total = undocumented(ast.parse(source))
    assert (missing, total) == (["A", "A.b"], 4)
