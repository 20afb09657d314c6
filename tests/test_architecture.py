# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Where modules lie and what they import, as CONTRIBUTING.md has it."""

import ast
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from testing_utils import REPOSITORY


PACKAGE = REPOSITORY / "modeling_univa"
# A room imports those before it.
ROOMS = [
    "command_line", "models", "scores", "data", "convert", "features", "corpora", "sharing", "prediction", "training",
    "affect", "benchmark", "commands",
]  # fmt: skip
# What is imported before a command line is read: the standard library and these.
LIGHT = ["__init__", "auto_classes", "cli", "cores", "options", "shipped"]
OUTSIDE = {"huggingface_hub", "numpy", "torch", "transformers"}
FILES = {".".join(file.relative_to(PACKAGE).with_suffix("").parts): file for file in PACKAGE.rglob("*.py")}
HUB_MODULES = sorted(name for name in FILES if name.startswith("models.") and not name.endswith("__init__"))


def imports(name: str) -> list[tuple[str, ast.AST]]:
    """What a module imports of this package, "room.module" or "module", with the statement."""
    here = name.split(".")[:-1]
    found = []
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = here[: len(here) - node.level + 1] + (node.module.split(".") if node.module else [])
        for alias in node.names:
            place = ".".join([*base, alias.name])
            target = place if place in FILES else ".".join(base)
            found.append((target if target in FILES else f"{target}.__init__", node))
    return found


def room(name: str) -> str | None:
    return name.split(".")[0] if "." in name else None


def test_every_folder_is_a_room():
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(ROOMS)
    assert len(FILES) > 100


@pytest.mark.parametrize("name", FILES)
def test_imports_point_down(name):
    if room(name) is None:  # the public names, and the command line
        return
    above = ROOMS[ROOMS.index(room(name)) + 1 :]
    assert not [target for target, _ in imports(name) if room(target) in above]


def test_imports_run_in_no_circle():
    graph = {name: {target for target, _ in imports(name)} - {name} for name in FILES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {error.args[1]}")


@pytest.mark.parametrize("name", FILES)
def test_no_import_is_hidden_in_a_function(name):
    tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    hidden = {node.lineno for function in functions for node in ast.walk(function) if isinstance(node, ast.ImportFrom)}
    assert not [target for target, node in imports(name) if node.lineno in hidden]


@pytest.mark.parametrize("name", [*LIGHT, *(name for name in FILES if room(name) == "command_line")])
def test_what_reads_command_lines_imports_nothing_heavy(name):
    """At run time, that is: `TYPE_CHECKING` is for the eyes of mypy."""
    tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
    statements = [node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node))]
    outside = {node.module for node in statements if isinstance(node, ast.ImportFrom) and not node.level}
    outside |= {alias.name for node in statements if isinstance(node, ast.Import) for alias in node.names}
    assert not {module.split(".")[0] for module in outside} - set(sys.stdlib_module_names)
    here = [target for target, node in imports(name) if node in statements]
    assert not [target for target in here if target not in LIGHT and room(target) != "command_line"]


def test_our_modules_are_imported_by_name_in_five_places_alone():
    """Public names, the jobs of commands, the networks of auto classes, and the corpora with their command lines."""
    users = [name for name in FILES if "import_module" in FILES[name].read_text(encoding="utf-8")]
    assert sorted(users) == ["__init__", "auto_classes", "cli", "command_line.build", "corpora.build"]


def test_options_are_not_beside_the_job_where_they_can_be_by_themselves():
    both = [name for name in FILES if room(name) == "commands" and name.replace("commands", "command_line") in FILES]
    assert len(both) > 15
    assert not [name for name in both if "def add_options" in FILES[name].read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", HUB_MODULES)
def test_what_travels_with_weights_imports_four_packages_and_its_siblings(name):
    """At module level; transformers refuses remote code whose other imports are missing."""
    packages = set()
    for node in ast.parse(FILES[name].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            packages |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            packages.add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 1 and "." not in (node.module or "."), ast.unparse(node)
    assert not packages - OUTSIDE - set(sys.stdlib_module_names)


@pytest.mark.slow
def test_nothing_is_a_link():
    files = [path for path in REPOSITORY.rglob("*") if ".venv" not in path.parts and path.is_symlink()]
    assert not [path for path in files if path.parent != REPOSITORY]
    assert Path(REPOSITORY, "model_card.md").is_file()


def test_no_two_test_files_have_one_name():
    """pytest imports them by name alone, and a run of all tests would stop where a run of one folder does not."""
    names = Counter(file.name for file in (REPOSITORY / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
