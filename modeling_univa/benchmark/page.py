# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A report as Markdown and as one HTML page that needs no other file."""

import base64
import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from jinja2 import Environment


__all__ = [
    "Grid",
    "Picture",
    "Section",
    "UniqueNames",
    "cell",
    "grid_csv",
    "grid_markdown",
    "html_page",
    "markdown_page",
    "plain",
]

_TEMPLATE = Path(__file__).with_name("report.html.jinja")
# Of files; with suffixes, and four bytes a letter, the name still fits every file system.
_LONGEST_NAME = 50


@dataclass(frozen=True)
class Grid:
    """
    A table.

    Args:
        name: of its CSV file, without the suffix.
        caption: what it shows.
        header, rows: of text; the first cell of a row is its head.
        notes: sentences below it.
        data: what the CSV file holds, with all digits; by default the text.
    """

    name: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    data: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Picture:
    """
    A figure.

    Args:
        name: of its files, without the suffix.
        caption: what it shows.
        alt: its content in words, for those who do not see it.
        figure: of matplotlib.
    """

    name: str
    caption: str
    alt: str
    figure: Any


@dataclass(frozen=True)
class Section:
    """
    A part of a report.

    Args:
        name: of its anchor.
        title: above it.
        level: 2 for a plan, 3 for a table.
        blocks: paragraphs, tables and figures in order.
    """

    name: str
    title: str
    level: int
    blocks: Sequence[str | Grid | Picture]


class UniqueNames:
    """
    Names for files and anchors, of the signs that both may have; none comes twice.

    Args:
        taken: that are not given away.
    """

    def __init__(self, taken: Iterable[str] = ()):
        self._taken = set(taken)

    def __call__(self, name: str) -> str:
        """The nearest one to `name` that is free."""
        short = re.sub(r"[^\w.]+", "-", name).strip("-")[:_LONGEST_NAME] or "-"
        names = (f"{short}-{number}" if number > 1 else short for number in count(1))
        # Some file systems do not tell capitals from small letters.
        found = next(name for name in names if name.lower() not in self._taken)
        self._taken.add(found.lower())
        return found


def grid_csv(grid: Grid) -> str:
    """The content of its CSV file."""
    data = list(grid.data) or [dict(zip(grid.header, row, strict=True)) for row in grid.rows]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(data[0]) if data else list(grid.header), lineterminator="\n")
    writer.writeheader()
    writer.writerows(data)
    return stream.getvalue()


def grid_markdown(grid: Grid) -> str:
    """A table in Markdown, with its caption above and its notes below."""
    lines = [grid.header, ["---", *("---:" for _ in grid.header[1:])], *grid.rows]
    table = "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines)
    notes = "\n".join(f"* {plain(note)}" for note in grid.notes)
    return "\n\n".join(part for part in (f"**{plain(grid.caption)}**", table, notes) if part)


def markdown_page(title: str, sections: Sequence[Section]) -> str:
    """A report in Markdown; its figures are `figures/NAME.png`, its tables also `tables/NAME.csv` and `.tex`."""
    parts = [f"# {plain(title)}"]
    for section in sections:
        parts.append(f"{'#' * section.level} {plain(section.title)}")
        parts += [_markdown(block) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def html_page(title: str, sections: Sequence[Section], pictures: Mapping[str, bytes]) -> str:
    """
    A report as one page, without scripts and without anything to load.

    Args:
        pictures: SVG files by the names of figures.
    """
    inline = {
        name: f"data:image/svg+xml;base64,{base64.b64encode(content).decode()}" for name, content in pictures.items()
    }
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    kinds = {"is_grid": lambda block: isinstance(block, Grid), "is_picture": lambda block: isinstance(block, Picture)}
    return template.render(title=title, sections=sections, inline=inline, **kinds) + "\n"


def _markdown(block: str | Grid | Picture) -> str:
    if isinstance(block, str):
        return plain(block)
    if isinstance(block, Picture):
        return f"![{plain(block.alt)}](figures/{block.name}.png)\n\n*{plain(block.caption)}*"
    files = f"[All digits](tables/{block.name}.csv), [LaTeX](tables/{block.name}.tex)"
    return f"{grid_markdown(block)}\n\n{files}"


def plain(text: str) -> str:
    """Text as Markdown: names of systems and labels are not markup."""
    for sign in "\\`*_[]<>":
        text = text.replace(sign, f"\\{sign}")
    return text


def cell(text: str) -> str:
    """Text in a cell of a Markdown table."""
    return text if set(text) <= {"-", ":"} else plain(text).replace("|", "\\|")
