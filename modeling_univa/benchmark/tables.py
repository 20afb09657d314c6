# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Tables of a report: the scores of a plan's rows, and their differences to the first one."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..scores.comparison import Difference, Estimate
from ..scores.headline import METRICS
from ..scores.predictions import Predictions
from .evidence import RowEvidence, TableEvidence
from .page import Grid
from .plan import FEATURES
from .scored import THRESHOLDS, Bootstrap, Scored, ScoredRow


__all__ = [
    "Setting",
    "conditions",
    "difference_grid",
    "gap_grid",
    "interval_text",
    "score_grid",
    "search_grid",
    "table_notes",
]

_NOTHING = "–"
RULES = (
    "A row with neither label nor prediction has accuracy 0. F1 is 0 for a label that is neither there nor predicted.",
    "Systems share a rank where equally many others are shown to be better, after Holm's correction over all pairs. "
    "Figures of the paper are quoted, and neither ranked nor compared.",
)


@dataclass(frozen=True)
class Setting:
    """
    What the numbers of a table rest on.

    Args:
        name: of the table's files.
        table: of the plan.
        split: whose rows are scored.
        thresholds: a key of `THRESHOLDS`.
        bootstrap: of its intervals.
    """

    name: str
    table: TableEvidence
    split: str
    thresholds: str
    bootstrap: Bootstrap


def conditions(setting: Setting, scored: Scored) -> str:
    """Rows, dialogues or speakers, seeds, threshold and bootstrap, in one sentence."""
    known = [row for row in scored.rows if row.num_runs]
    rows = _range(row.num_rows for row in known)
    dialogues = _range(row.num_dialogues for row in known)
    kind = next((row.group_kind for row in known), Predictions.group_kind)
    groups = "" if kind == Predictions.group_kind else f" of {_range(row.num_groups for row in known)} {kind}"
    unlabelled = _range(row.num_rows_without_label for row in known)
    seeds = _range(row.num_runs for row in known)
    seeds = f"{seeds} seed{'' if seeds == '1' else 's'}"
    bootstrap = setting.bootstrap
    return (
        f"Split {setting.split}: {rows} rows of {dialogues} dialogues{groups}, {unlabelled} of them without any "
        f"label; mean over {seeds}, {THRESHOLDS[setting.thresholds]}; {100 * bootstrap.confidence:g} % intervals of "
        f"{bootstrap.draws:,} draws over {kind} and seeds (bootstrap seed {bootstrap.seed})."
    )


def table_notes(table: TableEvidence) -> Iterator[str]:
    """How folds are pooled, and what is scored of a corpus with other labels, with the rows of which it holds."""
    folds: dict[str, list[str]] = {}
    labels: dict[str, list[str]] = {}
    for row in table.rows:
        if row.folds is not None:
            folds.setdefault(row.folds, []).append(row.name)
        for note in dict.fromkeys(run.note for run in row.runs if run.note is not None):
            labels.setdefault(note, []).append(row.name)
    for words, names in folds.items():
        yield (
            f"{_names(table, names)}: cross-validation, {words}. The test rows of all folds are pooled, so that one "
            "run of each fold makes one seed; labels are predicted at the threshold of each fold."
        )
    for note, names in labels.items():
        yield f"{_names(table, names)}: tested on another corpus. {note}"


def _names(table: TableEvidence, names: Sequence[str]) -> str:
    return "All rows" if len(names) == len(table.rows) else ", ".join(names)


def score_grid(setting: Setting, scored: Scored) -> Grid:
    """Each row with its metrics, intervals, ranks, and the paper's figures in columns of their own."""
    table = setting.table
    published = [name for name in table.metrics if any(name in row.published for row in table.rows)]
    header = ["row", "features", "seeds"]
    for name in table.metrics:
        column = METRICS[name].column
        header += [column, f"{column} rank"] + ([f"{column} published"] if name in published else [])
    header += ["rows", "without label", "without prediction"]
    rows = [[*_head(row), *_cells(row, table.metrics, published), *_counts(row)] for row in scored.rows]
    notes = [conditions(setting, scored), *RULES, *scored.problems]
    caption = f"{table.title}: {THRESHOLDS[setting.thresholds]}"
    data = [one for row in scored.rows for one in _data(setting, row)]
    return Grid(f"{setting.name}-{setting.thresholds}", caption, header, rows, notes, data)


def difference_grid(setting: Setting, scored: Scored) -> Grid | None:
    """What each row has more or less than the first one, with intervals; `None` where nothing is compared."""
    rows = [row for row in scored.rows if row.differences]
    if not rows:
        return None
    header = ["row"]
    for name in setting.table.metrics:
        header += [METRICS[name].column, f"{METRICS[name].column} p"]
    lines = [[row.row.name, *_differences(row, setting.table.metrics)] for row in rows]
    number = f"{len(rows)} differences" if rows[1:] else "one difference"
    notes = [conditions(setting, scored), f"p values are after Holm's correction over the {number} of a column."]
    caption = f"Difference to {scored.reference}: {THRESHOLDS[setting.thresholds]}"
    return Grid(f"{setting.name}-{setting.thresholds}-differences", caption, header, lines, notes)


def search_grid(name: str, table: TableEvidence) -> Grid | None:
    """What was searched for each row and what was found; `None` where nothing was searched."""
    if table.tuning is None:
        return None
    metric = table.tuning["metric"]
    header = ["row", "trials", "failed", f"best {METRICS[metric].column} on validation", "settings"]
    rows = [_search_line(row, metric) for row in table.rows if row.found is not None]
    spaces = {"all systems": table.tuning["space"], **table.tuning["systems"]}
    notes = [f"Searched of {system}: {_as_text(space)}." for system, space in spaces.items() if space]
    notes += [f"{table.tuning['trials']} trials of each row, of one seed, scored on validation; test was not read."]
    return Grid(f"{name}-search", f"{table.title}: search for settings", header, rows, notes)


def gap_grid(name: str, table: TableEvidence) -> Grid | None:
    """Runs that are missing, with the reason; `None` where all are there."""
    rows = [line for row in table.rows for line in _gaps(row)]
    caption = f"{table.title}: runs that are missing"
    return Grid(f"{name}-missing", caption, ["row", "seeds", "reason"], rows) if rows else None


def interval_text(found: Estimate | Difference | None, metric: str, signed: bool = False) -> str:
    """A number with its interval, with the digits of its metric."""
    if found is None:
        return _NOTHING
    sign, digits = ("+" if signed else ""), METRICS[metric].decimals
    value, low, high = (f"{one:{sign}.{digits}f}".replace("-", "−") for one in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"


def _search_line(row: RowEvidence, metric: str) -> list[str]:
    found: Any = row.found
    value = _NOTHING if found["value"] is None else f"{found['value']:.{METRICS[metric].decimals}f}"
    settings = _NOTHING if found["settings"] is None else _as_text(found["settings"])
    return [row.name, str(len(found["trials"])), str(len(found["failed"])), value, settings]


def _as_text(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={json.dumps(value)}" for name, value in values.items())


def _range(numbers: Iterable[int]) -> str:
    found = sorted(set(numbers)) or [0]
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"


def _head(row: ScoredRow) -> list[str]:
    planned = len(row.row.seeds)
    seeds = str(planned) if row.num_runs == planned else f"{row.num_runs} of {planned}"
    return [row.row.name, FEATURES[row.row.features], seeds]


def _cells(row: ScoredRow, metrics: Iterable[str], published: Iterable[str]) -> Iterator[str]:
    for name in metrics:
        yield interval_text(row.estimates[name] if row.estimates else None, name)
        yield str(row.ranks[name]) if row.ranks else _NOTHING
        if name in published:
            figure = row.row.published.get(name)
            yield _NOTHING if figure is None else f"{figure:g}"


def _counts(row: ScoredRow) -> list[str]:
    if not row.num_runs:
        return [_NOTHING] * 3
    empty = f"{row.num_rows_without_prediction:.1f}".removesuffix(".0")
    return [f"{row.num_rows:,}", f"{row.num_rows_without_label:,}", empty]


def _differences(row: ScoredRow, metrics: Iterable[str]) -> Iterator[str]:
    found: Mapping[str, Difference] = row.differences or {}
    for name in metrics:
        yield interval_text(found[name], name, signed=True)
        yield "<0.001" if found[name].p_holm < 0.001 else f"{found[name].p_holm:.3f}"


def _gaps(row: RowEvidence) -> Iterator[list[str]]:
    by_reason: dict[str, list[int]] = {}
    for seed, reason in row.gaps.items():
        by_reason.setdefault(reason, []).append(seed)
    for reason, seeds in by_reason.items():
        yield [row.name, ", ".join(map(str, seeds)), reason]


def _data(setting: Setting, row: ScoredRow) -> Iterator[dict[str, Any]]:
    """A line a metric of the CSV file."""
    for metric in setting.table.metrics:
        estimate = row.estimates[metric] if row.estimates else None
        difference = row.differences[metric] if row.differences else None
        yield {
            "row": row.row.name,
            "features": row.row.features,
            "metric": metric,
            "seeds": row.num_runs,
            "planned_seeds": len(row.row.seeds),
            **_fields(estimate, "", ("value", "low", "high")),
            "rank": row.ranks[metric] if row.ranks else None,
            **_fields(difference, "difference_", ("value", "low", "high", "p_value", "p_holm", "better")),
            "published": row.row.published.get(metric),
            "rows": row.num_rows,
            "rows_without_label": row.num_rows_without_label,
            "rows_without_prediction": row.num_rows_without_prediction,
            "dialogues": row.num_dialogues,
            "resampled": row.group_kind,
            "resampled_groups": row.num_groups,
            "split": setting.split,
            "thresholds": setting.thresholds,
            "draws": setting.bootstrap.draws,
            "bootstrap_seed": setting.bootstrap.seed,
            "confidence": setting.bootstrap.confidence,
        }


def _fields(found: Estimate | Difference | None, prefix: str, names: Iterable[str]) -> dict[str, Any]:
    return {f"{prefix}{name}": getattr(found, name, None) for name in names}
