# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The one table of a comparison: means with their spread and intervals, and differences to the first row."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..models.files_univa import write_text
from ..scores.comparison import Difference
from ..scores.headline import METRICS
from ..scores.metrics import multilabel_metrics
from ..scores.predictions import Predictions
from .evidence import RowEvidence, RunEvidence, TableEvidence
from .latex import grid_latex
from .page import Grid, grid_csv, grid_markdown
from .scored import DECIDED, Bootstrap, Rows, ScoredRow, choose, decided, score, thresholds_of
from .tables import RULES, Setting, conditions, interval_text, score_grid, table_notes


__all__ = ["comparison_grid", "grid_text", "write_table"]

_NAME = "table"
_NOTHING = "–"
_SPREADS = {
    "seeds": "± is the standard deviation over training seeds",
    "folds": "± is the standard deviation over folds, each of which is scored by itself",
}
_OF_POOLED = ", each scored on the pooled rows of all folds"
_NO_SPREAD = "There is no ±, since each row has one run"
_WIDTH = 100


@dataclass(frozen=True)
class _Spread:
    """
    Standard deviations.

    Args:
        over: a key of `_SPREADS`, `None` where there is one value of each row.
        values: by row and metric; not of rows with one value.
    """

    over: str | None
    values: Mapping[str, Mapping[str, float]]


def comparison_grid(
    table: TableEvidence, planned: Mapping[str, int], corpus: str, split: str, bootstrap: Bootstrap
) -> Grid | None:
    """
    The table of a comparison; `None` where no row has predictions.

    Args:
        table: its rows with their predictions.
        planned: number of runs of each row, those of folds too.
        corpus: its name.
        split: whose rows are scored.
        bootstrap: of the intervals.
    """
    if not any(row.runs for row in table.rows):
        return None
    rows, problems = choose(table, split, "own")
    scored = score(table, rows, bootstrap, problems=problems)
    setting, spread = Setting(_NAME, table, split, "own", bootstrap), _spread(table, rows, split)
    header = ["system", *(METRICS[name].column for name in table.metrics), "rows", "runs"]
    lines = [line for row in scored.rows for line in _lines(row, table, spread, planned, scored.reference)]
    several = any(row.differences for row in scored.rows)
    notes = [conditions(setting, scored), _spread_note(spread, table), *table_notes(table)]
    notes += [_difference_note(scored.rows, str(scored.reference), bootstrap)] if several else []
    notes += [RULES[0], *scored.problems, *_gap_notes(table.rows)]
    data = [
        {**line, **_more(spread, planned, str(line["row"]), str(line["metric"]), table)}
        for line in score_grid(setting, scored).data
    ]
    return Grid(_NAME, f"{table.title} on {corpus}", header, lines, notes, data)


def write_table(grid: Grid, folder: Path) -> list[Path]:
    """Write it as CSV with all digits, as Markdown and as LaTeX; the files."""
    written = {"csv": grid_csv(grid), "md": f"{grid_markdown(grid)}\n", "tex": grid_latex(grid)}
    files = {folder / f"{grid.name}.{suffix}": text for suffix, text in written.items()}
    for file, text in files.items():
        write_text(file, text)
    return list(files)


def grid_text(grid: Grid) -> str:
    """A table for a terminal: its caption, aligned columns, and its notes."""
    rows = [grid.header, *grid.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_aligned(row, widths) for row in rows]
    rule = "-" * max(map(len, lines))
    body = [line for row, text in zip(grid.rows, lines[1:], strict=True) for line in _spaced(row[0], text)]
    notes = [textwrap.fill(note, _WIDTH, subsequent_indent="  ", break_long_words=False) for note in grid.notes]
    return "\n".join([grid.caption, "", lines[0], rule, *body[1:], "", *notes])


def _spaced(head: str, text: str) -> list[str]:
    """A line, behind an empty one where it begins a group."""
    return ["", text] if head[:1].strip() else [text]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
    return "  ".join(cells).rstrip()


def _spread(table: TableEvidence, rows: Rows, split: str) -> _Spread:
    """Over seeds where a row has several; else over the folds of the one seed, where there are any."""
    names = next(run.label_names for row in table.rows for run in row.runs)
    if any(len(of) > 1 for of in rows.values()):
        return _Spread("seeds", _deviations({name: list(of.values()) for name, of in rows.items()}, names))
    folds = {row.name: _folds(row.runs, split) for row in table.rows if rows[row.name]}
    return _Spread("folds" if any(folds.values()) else None, _deviations(folds, names))


def _folds(runs: Sequence[RunEvidence], split: str) -> list[Predictions]:
    """What each fold predicts, decided at its own threshold."""
    found = [(fold, thresholds_of(fold, split)) for run in runs for fold in run.folds]
    return [decided(fold.splits[split], threshold) for fold, threshold in found if threshold is not None]


def _deviations(parts: Mapping[str, Sequence[Predictions]], names: Sequence[str]) -> dict[str, dict[str, float]]:
    found = {}
    for row, of in parts.items():
        values = [multilabel_metrics(one.scores, one.labels, DECIDED, names) for one in of]
        if len(values) > 1:
            found[row] = {metric: float(np.std([one[metric] for one in values], ddof=1)) for metric in METRICS}
    return found


def _spread_note(spread: _Spread, table: TableEvidence) -> str:
    if spread.over is None:
        return f"{_NO_SPREAD}."
    pooled = _OF_POOLED if spread.over == "seeds" and any(row.folds for row in table.rows) else ""
    return f"{_SPREADS[spread.over]}{pooled}; the interval of each mean is in brackets."


def _difference_note(rows: Sequence[ScoredRow], reference: str, bootstrap: Bootstrap) -> str:
    count = sum(bool(row.differences) for row in rows)
    corrected = f" after Holm's correction over the {count} differences of a column" if count > 1 else ""
    return (
        f"Below each other row is what it has more or less than {reference}, with its p value{corrected} and its "
        f"{100 * bootstrap.confidence:g} % interval."
    )


def _gap_notes(rows: Sequence[RowEvidence]) -> Iterator[str]:
    for row in rows:
        by_reason: dict[str, list[int]] = {}
        for seed, reason in row.gaps.items():
            by_reason.setdefault(reason, []).append(seed)
        for reason, seeds in by_reason.items():
            word = "seed" if len(seeds) == 1 else "seeds"
            yield f"{row.name} lacks the {word} {', '.join(map(str, seeds))}: {reason}"


def _lines(
    row: ScoredRow, table: TableEvidence, spread: _Spread, planned: Mapping[str, int], reference: str | None
) -> Iterator[list[str]]:
    """A row: means with their spread, their intervals, and of another than the first its differences with theirs."""
    name, metrics = row.row.name, table.metrics
    found = row.estimates or {}
    texts = [interval_text(found.get(metric), metric) for metric in metrics]
    values = [text.partition(" ")[0] for text in texts]
    for place, metric in enumerate(metrics):
        if metric in found and name in spread.values:
            values[place] += f" ± {spread.values[name][metric]:.{METRICS[metric].decimals}f}"
    yield [name, *values, f"{row.num_rows:,}" if row.num_runs else _NOTHING, _runs(row.row, planned[name])]
    if found:
        yield ["", *(text.partition(" ")[2] for text in texts), "", ""]
    if row.differences:
        texts = [interval_text(row.differences[metric], metric, signed=True) for metric in metrics]
        values = [f"{text.partition(' ')[0]}, {_p(row.differences[metric])}"
                  for metric, text in zip(metrics, texts, strict=True)]  # fmt: skip
        yield [f"  − {reference}", *values, "", ""]
        yield ["", *(text.partition(" ")[2] for text in texts), "", ""]


def _p(difference: Difference) -> str:
    return "p < 0.001" if difference.p_holm < 0.001 else f"p {difference.p_holm:.3f}"


def _runs(row: RowEvidence, planned: int) -> str:
    made = sum(len(run.parts) for run in row.runs)
    return str(made) if made == planned else f"{made} of {planned}"


def _more(
    spread: _Spread, planned: Mapping[str, int], row: str, metric: str, table: TableEvidence
) -> dict[str, float | int | str | None]:
    """What a line of the CSV file has beside those of a report."""
    runs = next(sum(len(run.parts) for run in one.runs) for one in table.rows if one.name == row)
    deviation = spread.values.get(row, {}).get(metric)
    over = None if deviation is None else spread.over
    return {"sd": deviation, "sd_over": over, "runs": runs, "planned_runs": planned[row]}
