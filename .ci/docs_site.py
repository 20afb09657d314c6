# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
What `mkdocs.yml` cannot say: the reference, the order of pages, and files outside of docs/ that pages link to.

A link that leaves docs/ is followed within the repository: the file is taken into the site under its path there, and
so are those that it links to. A link to nothing stays as it is, and the build fails.
"""

import ast
import os
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page


REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
REFERENCE = "reference"
ROOMS = {
    "models": "Configurations, networks, processor, pipeline",
    "data": "Corpora, data sets, batches",
    "training": "Training",
    "scores": "Scores",
    "prediction": "Prediction",
}
LINK = re.compile(r"(?<=\]\()([^)#:\s]+)(?=[)#])")
ROW = re.compile(r"^\| \[[^]]*\]\(([^)]+)\) \|", re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Pages in the order of the table of docs/README.md, then the reference."""
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    pages = [page for page in ROW.findall(index) if page.endswith(".md") and not page.startswith("results")]
    others = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.glob("results/*/README.md"))
    outside = [{"Scripts of corpora": "datasets_scripts/README.md"}, {"Benchmarks": "benchmarks/README.md"}]
    reference = [f"{REFERENCE}/{room}.md" for room in public_names()]
    config.nav = ["README.md", *pages, {"Results": ["results/README.md", *others]}, *outside, {"Reference": reference}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the reference, and the files outside of docs/ that pages link to."""
    for room, names in public_names().items():
        files.append(File.generated(config, f"{REFERENCE}/{room}.md", content=reference_page(room, names)))
    waiting = [Path(file.abs_src_path) for file in files.documentation_pages() if file.abs_src_path]
    while waiting:
        page = waiting.pop()
        for target in links(page):
            if place(target) is not None and files.get_file_from_path(place(target)) is None:
                files.append(File.generated(config, place(target), abs_src_path=str(target)))
                waiting += [target] if target.suffix == ".md" else []
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links between files as they lie in the site, and blocks by the language alone."""
    # What follows the language is for tests/test_docs.py.
    markdown = markdown.replace("```bash parse\n", "```bash\n")
    source = page.file.abs_src_path
    if source is None:
        return markdown
    here = PurePosixPath(page.file.src_uri).parent

    def in_site(found: re.Match[str]) -> str:
        path = place((Path(source).parent / found[1]).resolve())
        return found[1] if path is None else os.path.relpath(path, here).replace(os.sep, "/")

    return LINK.sub(in_site, markdown)


def links(page: Path) -> list[Path]:
    """The files of the repository that a page links to."""
    found = LINK.findall(page.read_text(encoding="utf-8"))
    return [target for link in found if (target := (page.parent / link).resolve()).is_file()]


def place(file: Path) -> str | None:
    """Where a file lies in the site, from its root; `None` for one that is not there, or not in the repository."""
    if not file.is_file() or not file.is_relative_to(REPOSITORY):
        return None
    return file.relative_to(DOCS if file.is_relative_to(DOCS) else REPOSITORY).as_posix()


def public_names() -> dict[str, list[str]]:
    """The names of the package by the room that they come from, as it imports them for type checkers."""
    tree = ast.parse((REPOSITORY / "modeling_univa" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    found: dict[str, list[str]] = {room: [] for room in ROOMS}
    for statement in block.body:
        assert isinstance(statement, ast.ImportFrom) and statement.module is not None
        names = [f"{statement.module}.{alias.name}" for alias in statement.names]
        found.setdefault(statement.module.split(".")[0], []).extend(names)
    return found


def reference_page(room: str, names: list[str]) -> str:
    """A page of mkdocstrings' directives."""
    blocks = [f"::: modeling_univa.{name}\n" for name in names]
    imported = "Import these names from `modeling_univa` itself: `from modeling_univa import …`.\n"
    return "\n".join([f"# {ROOMS.get(room, room.title())}\n", imported, *blocks])
