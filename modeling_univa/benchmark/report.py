# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""The report of a benchmark: every table of every plan of a store, from predictions alone."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from ..models.files_univa import write_text
from .evidence import PlanEvidence, TableEvidence, read_evidence
from .page import Grid, Picture, Section, grid_csv, html_page, markdown_page
from .scored import THRESHOLDS, Bootstrap, choose, score
from .store import RunStore
from .tables import Setting, difference_grid, gap_grid, score_grid


__all__ = ["write_report"]

TITLE = "Multimodal multi-label emotion recognition: a benchmark"
PAGE, MARKDOWN = "index.html", "report.md"
ABOUT = (
    "Tables and figures are computed from the predictions of stored runs alone. Each number is the mean over training "
    "seeds, with an interval that covers other dialogues and other seeds. A system with one seed shows no variance of "
    "seeds: its interval is about this one model."
)


def write_report(
    store: RunStore,
    output: str | Path,
    split: str = "test",
    bootstrap: Bootstrap | None = None,
    tell: Callable[[str], None] = print,
) -> None:
    """
    Write `index.html`, `report.md`, `tables/*.csv` and `figures/` to a folder.

    Args:
        store: of `univa reproduce`.
        output: files of an earlier report are overwritten.
        split: whose rows are scored.
        bootstrap: of all intervals.
        tell: takes a line about how far it is.

    Raises:
        ValueError: the store holds no plan.
    """
    writer = _Writer(split, bootstrap or Bootstrap(), tell)
    sections = [Section("about", "About", 2, [ABOUT])]
    for plan in read_evidence(store, split):
        sections += writer.plan(plan)
    output = Path(output)
    blocks = [block for section in sections for block in section.blocks]
    for grid in (block for block in blocks if isinstance(block, Grid)):
        write_text(output / "tables" / f"{grid.name}.csv", grid_csv(grid))
    write_text(output / MARKDOWN, markdown_page(TITLE, sections))
    write_text(output / PAGE, html_page(TITLE, sections, {}))


class _Writer:
    def __init__(self, split: str, bootstrap: Bootstrap, tell: Callable[[str], None]):
        self.split, self.bootstrap, self.tell = split, bootstrap, tell

    def plan(self, plan: PlanEvidence) -> Iterator[Section]:
        """The sections of a plan."""
        yield Section(_name(plan.name), plan.corpus, 2, [f"The plan {plan.name}."])
        for table in plan.tables:
            self.tell(f"{plan.name}: {table.name}")
            name = _name(plan.name, table.name)
            yield Section(name, f"{table.name}: {table.title}", 3, list(self._table(name, table)))

    def _table(self, name: str, table: TableEvidence) -> Iterator[str | Grid | Picture]:
        missing = gap_grid(name, table)
        if not any(row.runs for row in table.rows):
            yield "None of its runs has predictions."
        else:
            for thresholds in THRESHOLDS:
                yield from self._scores(Setting(name, table, self.split, thresholds, self.bootstrap))
        if missing is not None:
            yield missing

    def _scores(self, setting: Setting) -> Iterator[str | Grid | Picture]:
        try:
            rows, problems = choose(setting.table, setting.split, setting.thresholds)
        except ValueError as error:
            yield str(error)
            return
        scored = score(setting.table, rows, setting.bootstrap, problems=problems)
        yield score_grid(setting, scored)
        differences = difference_grid(setting, scored)
        if differences is not None:
            yield differences


def _name(*parts: str) -> str:
    """Of files and anchors."""
    return "-".join(re.sub(r"[^\w.]+", "-", part).strip("-") for part in parts)
