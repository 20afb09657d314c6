# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The sections of a report: of each plan its tables with their figures, and a closer look at its full model."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..prediction.scores_plot import draw_scores
from ..scores.predictions import Predictions
from ..scores.thresholds import threshold_text
from .analysis_sections import analysed, analysis_blocks, case_grid, systems_of_one_seed
from .breakdown import (
    FEWEST_DIALOGUES,
    Breakdown,
    break_down,
    breakdown_grid,
    calibration_grid,
    label_count_parts,
    label_parts,
    speaker_parts,
)
from .cases import choose_cases, with_texts
from .evidence import PlanEvidence, TableEvidence
from .figures import (
    draw_breakdown,
    draw_differences,
    draw_heat_map,
    draw_reliability,
    draw_setting,
    settings_of,
)
from .page import Grid, Picture, Section, UniqueNames
from .scored import (
    THRESHOLDS,
    Bootstrap,
    Rows,
    Scored,
    choose,
    counted,
    predict_the_same,
    score,
    thresholds_of,
)
from .tables import (
    Setting,
    conditions,
    difference_grid,
    gap_grid,
    interval_text,
    score_grid,
    search_grid,
    table_notes,
)


__all__ = ["SectionMaker"]

_OWN = next(iter(THRESHOLDS))
_FEW = (
    f"Speakers in fewer than {FEWEST_DIALOGUES} dialogues are left out, and so are intervals of one dialogue, or "
    "of one speaker where speakers are resampled, alone."
)
# Anchors of the page's own sections.
_TAKEN = ("about",)
Block = str | Grid | Picture


class SectionMaker:
    """
    Makes the sections of plans.

    Args:
        split: whose rows are scored.
        bootstrap: of all intervals.
        figures: whether there are any.
        tell: takes a line about how far it is.
        case_texts: corpus whose transcripts are shown beside cases.
    """

    def __init__(
        self,
        split: str,
        bootstrap: Bootstrap,
        figures: bool,
        tell: Callable[[str], None],
        case_texts: str | None = None,
    ):
        self.split, self.bootstrap, self.figures, self.tell = split, bootstrap, figures, tell
        self.case_texts = case_texts
        self._shown: set[Path] = set()
        self._own_name = UniqueNames(_TAKEN)

    def plan(self, plan: PlanEvidence) -> Iterator[Section]:
        """The sections of a plan."""
        yield Section(self._own_name(plan.name), plan.corpus, 2, [f"Tables of the plan {plan.name}."])
        for table in plan.tables:
            self.tell(f"{plan.name}: {table.name}")
            name = self._own_name(f"{plan.name}-{table.name}")
            yield Section(name, f"{table.name}: {table.title}", 3, list(self._table(name, table)))
        full = next((table for table in plan.tables if table.rows[0].runs), None)
        if full is not None:
            self.tell(f"{plan.name}: {full.rows[0].name}")
            name = self._own_name(f"{plan.name}-parts")
            yield Section(name, f"{full.title}: parts of the rows", 3, list(self._parts(name, full)))

    def _table(self, name: str, table: TableEvidence) -> Iterator[Block]:
        if not any(row.runs for row in table.rows):
            yield "None of its runs has predictions."
        else:
            yield from table_notes(table)
            for thresholds in THRESHOLDS:
                yield from self._scores(self._setting(name, table, thresholds))
            yield from self._labels(self._setting(name, table))
            yield from self._calibration(name, table)
            yield from self._analyses(name, table)
        yield from _present(search_grid(name, table))
        yield from _present(gap_grid(name, table))

    def _scores(self, setting: Setting) -> Iterator[Block]:
        try:
            rows, problems = choose(setting.table, setting.split, setting.thresholds)
        except ValueError as error:
            yield str(error)
            return
        if setting.thresholds != _OWN and predict_the_same(rows, choose(setting.table, setting.split, _OWN)[0]):
            yield f"With {THRESHOLDS[setting.thresholds]} all predictions are the same, and so are all numbers above."
            return
        scored = score(setting.table, rows, setting.bootstrap, problems=problems)
        yield score_grid(setting, scored)
        yield from _present(difference_grid(setting, scored))
        if setting.thresholds == _OWN:
            yield from self._score_figures(setting, scored)

    def _score_figures(self, setting: Setting, scored: Scored) -> Iterator[Block]:
        metrics = setting.table.metrics
        rows = [row for row in scored.rows if row.differences]
        if rows:
            lines = [f"{row.row.name} {interval_text(row.differences[metrics[0]], metrics[0], True)}"
                     for row in rows if row.differences]  # fmt: skip
            caption = f"{setting.table.title}: difference to {scored.reference}, with intervals"
            words = f"{metrics[0]}: {'; '.join(lines)}"
            yield from self._picture(setting, "differences", caption, words, lambda: draw_differences(scored, metrics))
        if settings_of(setting.table.rows) and sum(bool(row.estimates) for row in scored.rows) > 1:
            lines = [f"{row.row.name} {interval_text(row.estimates[metrics[0]], metrics[0])}"
                     for row in scored.rows if row.estimates]  # fmt: skip
            caption = f"{setting.table.title}: metrics over the setting, with bands of the intervals"
            words = f"{metrics[0]}: {'; '.join(lines)}"
            yield from self._picture(setting, "settings", caption, words, lambda: draw_setting(scored, metrics))

    def _labels(self, setting: Setting) -> Iterator[Block]:
        rows, _ = choose(setting.table, setting.split, setting.thresholds)
        names = next(row.runs[0].label_names for row in setting.table.rows if row.runs)
        found = break_down(setting, rows, label_parts(names), lambda one: int(one.labels.sum()))
        caption = f"{setting.table.title}: F1 of each label, %"
        notes = [conditions(setting, counted(setting.table, rows))]
        yield breakdown_grid(f"{setting.name}-labels", caption, "rows that have it", found, notes, "f1")
        yield from self._picture(setting, "labels", caption, _in_words(found), lambda: draw_heat_map(found))

    def _analyses(self, name: str, table: TableEvidence) -> Iterator[Block]:
        """Those of a table whose runs were not all shown before."""
        rows = {row.name: row.folders for row in table.rows}
        found = analysed(rows)
        if found - self._shown:
            yield from analysis_blocks(name, table.title, rows, self.bootstrap, self.figures, table.is_by_speaker)
        self._shown |= found

    def _cases(self, name: str, table: TableEvidence) -> Iterator[Block]:
        """Rows on which the first two systems differ, and what the others say of them."""
        systems = systems_of_one_seed(table, self.split)
        if len(systems) < 2:
            return
        names = next(row.runs[0].label_names for row in table.rows if row.runs)
        first, second = list(systems)[:2]
        found = choose_cases(systems, names, first, second)
        if self.case_texts is not None:
            found = with_texts(found, self.case_texts)
        yield case_grid(f"{name}-cases", table.title, found)

    def _calibration(self, name: str, table: TableEvidence) -> Iterator[Block]:
        grid = calibration_grid(name, table, self.split)
        if grid is None:
            return
        yield grid
        rows = [row for row in table.rows if row.runs]
        errors = "; ".join(f"{line[0]} {line[1]}" for line in grid.rows)
        caption, words = f"{table.title}: reliability, a curve a seed", f"expected calibration error: {errors}"
        setting = self._setting(name, table)
        yield from self._picture(setting, "reliability", caption, words, lambda: draw_reliability(rows, self.split))

    def _parts(self, name: str, table: TableEvidence) -> Iterator[Block]:
        """By number of labels for all rows, by speaker and with all its mistakes for the first row."""
        yield from self._overview(name, table)
        yield from self._cases(name, table)
        setting = self._setting(name, table)
        rows, _ = choose(table, self.split, _OWN)
        first = table.rows[0].name
        one = next(iter(rows[first].values()))
        yield from self._part("label-counts", "by number of labels of a row", setting, rows, label_count_parts(one))
        single = replace(setting, table=replace(table, rows=table.rows[:1]))
        # Of one speaker there are no other speakers to draw.
        only = {first: {seed: replace(run, groups=None, group_kind=Predictions.group_kind)
                        for seed, run in rows[first].items()}}  # fmt: skip
        what = f"of {first} by speaker, those with the most rows"
        yield from self._part("speakers", what, single, only, speaker_parts(*rows[first].values()))

    def _part(self, kind: str, what: str, setting: Setting, rows: Rows, parts: dict[str, Any]) -> Iterator[Block]:
        if not parts:
            return
        found = break_down(setting, rows, parts, lambda one: len(one.labels))
        notes = [conditions(setting, counted(setting.table, rows)), _FEW]
        caption = f"Micro-F1 {what}, %"
        yield breakdown_grid(f"{setting.name}-{kind}", caption, "rows", found, notes)
        yield from self._picture(setting, kind, caption, _in_words(found), lambda: draw_breakdown(found))

    def _overview(self, name: str, table: TableEvidence) -> Iterator[Block]:
        row = table.rows[0]
        run = row.runs[0]
        title, found = f"{row.name}, seed {run.seed}", run.splits[self.split]
        threshold: Any = thresholds_of(run, self.split)
        words = "each fold has its own threshold"
        if not run.folds:
            words = f"the threshold is {threshold_text(threshold, run.label_names)}"
        caption = f"{title}: confusion of labels, labels that come together, F1 and reliability"
        setting = self._setting(name, table)
        draw = partial(draw_scores, found, run.label_names, threshold, title=title)
        yield from self._picture(setting, "overview", caption, words, draw)

    def _setting(self, name: str, table: TableEvidence, thresholds: str = _OWN) -> Setting:
        return Setting(name, table, self.split, thresholds, self.bootstrap)

    def _picture(
        self, setting: Setting, kind: str, caption: str, words: str, draw: Callable[[], Any]
    ) -> Iterator[Picture]:
        """A picture, with what it shows in words."""
        if self.figures:
            what = f"{caption}. Split {setting.split}, {THRESHOLDS[setting.thresholds]}."
            yield Picture(f"{setting.name}-{kind}", what, f"{caption}; {words}.", draw())


def _in_words(found: Breakdown) -> str:
    """The first row of a table, part by part."""
    name, values = next(iter(found.values.items()))
    parts = [f"{part} {interval_text(one, 'micro_f1')}" for part, one in zip(found.parts, values, strict=True)]
    return f"{name}: {'; '.join(parts)}"


def _present(grid: Grid | None) -> Iterator[Grid]:
    if grid is not None:
        yield grid
