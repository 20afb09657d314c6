# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The report of a benchmark: every table of every plan of a store, from predictions alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..models.files_univa import whole_file, write_text
from ..prediction.plot import check_plotting
from .evidence import read_evidence
from .figures import image_bytes
from .latex import grid_latex
from .local_paths import without_folders
from .page import Grid, Picture, Section, grid_csv, html_page, markdown_page
from .scored import Bootstrap
from .sections import SectionMaker
from .store import RunStore


__all__ = ["MARKDOWN", "PAGE", "TITLE", "block_for_others", "write_report"]

TITLE = "Multimodal multi-label emotion recognition: a benchmark"
PAGE, MARKDOWN = "index.html", "report.md"
ABOUT = (
    "Tables and figures are computed from the predictions of stored runs alone. Each number is the mean over training "
    "seeds, with an interval that covers other dialogues (of folds by speaker: other speakers) and other seeds. A "
    "system with one seed shows no variance of seeds: its interval is about this one model."
)


def write_report(
    store: RunStore,
    output: str | Path,
    split: str = "test",
    bootstrap: Bootstrap | None = None,
    figures: bool = True,
    tell: Callable[[str], None] = print,
    case_texts: str | None = None,
) -> list[Path]:
    """
    Write `index.html`, `report.md`, `tables/*.csv` and `.tex`, and `figures/` as PNG and SVG to a folder.

    Args:
        store: of `univa reproduce`.
        output: files of an earlier report are overwritten.
        split: whose rows are scored.
        bootstrap: of all intervals.
        figures: whether there are any.
        tell: takes a line about how far it is.
        case_texts: folder of the corpus whose transcripts are shown beside cases; its licence must allow that.

    Returns:
        The files that were written, relative to `output`, where those of an earlier report may lie as well.

    Raises:
        ImportError: figures need matplotlib, which is not installed.
        ValueError: the store holds no plan, or the licence of `case_texts` does not allow that.
    """
    if figures:
        check_plotting(Path("figure.svg"))
    maker = SectionMaker(split, bootstrap or Bootstrap(), figures, tell, case_texts)
    sections = [Section("about", "About", 2, [ABOUT])]
    for plan in read_evidence(store, split):
        sections += map(_for_others, maker.plan(plan))
    return _write(Path(output), sections)


def _for_others(section: Section) -> Section:
    """Reasons of failures name folders of this machine, and reports are shown to others."""
    blocks = [block_for_others(block) for block in section.blocks]
    return replace(section, title=without_folders(section.title), blocks=blocks)


def block_for_others(block: Any) -> Any:
    """A paragraph, table or figure without the folders that it names."""
    if isinstance(block, str):
        return without_folders(block)
    names = ("caption", "alt") if isinstance(block, Picture) else ("caption", "header", "rows", "notes", "data")
    return replace(block, **{name: without_folders(getattr(block, name)) for name in names})


def _write(output: Path, sections: list[Section]) -> list[Path]:
    """The page last, so that what it shows is there."""
    pictures: dict[str, bytes] = {}
    tables: list[Path] = []
    for block in (block for section in sections for block in section.blocks):
        if isinstance(block, Grid):
            files = {Path("tables", f"{block.name}.csv"): grid_csv, Path("tables", f"{block.name}.tex"): grid_latex}
            for file, written in files.items():
                write_text(output / file, written(block))
            tables += files
        elif isinstance(block, Picture):
            pictures[block.name] = image_bytes(block.figure, "svg")
            _write_bytes(output / "figures" / f"{block.name}.svg", pictures[block.name])
            _write_bytes(output / "figures" / f"{block.name}.png", image_bytes(block.figure, "png"))
    write_text(output / MARKDOWN, markdown_page(TITLE, sections))
    write_text(output / PAGE, html_page(TITLE, sections, pictures))
    figures = [Path("figures", f"{name}.{suffix}") for name in pictures for suffix in ("svg", "png")]
    return [Path(PAGE), Path(MARKDOWN), *tables, *figures]


def _write_bytes(file: Path, content: bytes) -> None:
    with whole_file(file) as scratch:
        scratch.write_bytes(content)
