# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Figures of a report, of matplotlib; the same numbers make the same bytes."""

import math
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np

from ..prediction.plot import installed_fonts, named_ticks
from ..scores.calibration import reliability
from ..scores.comparison import Difference, Estimate
from ..scores.headline import METRICS
from .breakdown import Breakdown
from .evidence import RowEvidence
from .scored import Scored


__all__ = ["draw_breakdown", "draw_differences", "draw_heat_map", "draw_reliability", "draw_setting", "image_bytes",
           "settings_of"]  # fmt: skip

_BETTER, _WORSE, _EQUAL, _WORDS = "#2a6fbb", "#c4442a", "#5a6570", "#5a6570"
_MARKERS = "os^vDP*Xdp<>"
_DPI = 110
# How much further from 0 a difference is than the next nearer one where it is not drawn to scale.
_FAR = 4


def image_bytes(figure: Any, kind: str) -> bytes:
    """A figure as a file of a format, "png" or "svg", without the time of day in it."""
    from matplotlib import rc_context

    stream = BytesIO()
    # Names of what is drawn are hashes, by default of something random.
    with rc_context({"svg.hashsalt": "univa"}):
        figure.savefig(stream, format=kind, dpi=_DPI, metadata={"Date": None} if kind == "svg" else None)
    return stream.getvalue()


def draw_differences(scored: Scored, metrics: Sequence[str]) -> Any:
    """
    Forest plot: the difference of each row to the first one with its interval, a panel a metric.

    Rows that are far from all others, such as predictions without a model, would leave these no place: the axis ends
    before them, where an arrow and the number stand for them.
    """
    rows = [row for row in scored.rows if row.differences]
    figure, axes = _panels(len(metrics), width=3.2, height=1.4 + 0.32 * len(rows), sharey=True)
    places = np.arange(len(rows))
    for panel, metric in zip(axes, metrics, strict=True):
        found = [row.differences[metric] for row in rows if row.differences]
        panel.axvline(0, color=_WORDS, linewidth=1, linestyle="--")
        near = _near(found)
        for place, one in zip(places, found, strict=True):
            if one in near:
                _interval(panel, int(place), one)
        left, right = panel.set_xlim(*panel.get_xlim())
        for place, one in zip(places, found, strict=True):
            if one not in near and left < one.value < right:
                # Its interval alone reaches far, beyond the axis.
                _interval(panel, int(place), one)
            elif one not in near:
                _arrow(panel, int(place), one, metric)
        panel.locator_params(axis="x", nbins=4)
        panel.set_title(METRICS[metric].column, fontsize=10)
    named_ticks(axes[0].yaxis, places, [row.row.name for row in rows])
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    _title(figure, f"Difference to {scored.reference} (blue: better, red: worse, grey: not told apart)")
    return figure


def _near(found: Sequence[Difference]) -> list[Difference]:
    """Those that are shown to scale: at least half, up to the first that is much further from 0 than those before."""
    ordered = sorted(found, key=_reach)
    for number in range((len(ordered) + 1) // 2, len(ordered)):
        if _reach(ordered[number]) > _FAR * _reach(ordered[number - 1]) > 0:
            return ordered[:number]
    return ordered


def _reach(one: Difference) -> float:
    return max(abs(one.low), abs(one.high))


def _colour(one: Difference) -> str:
    return _EQUAL if one.better is None else _BETTER if one.better == one.system else _WORSE


def _interval(panel: Any, place: int, one: Difference) -> None:
    panel.plot([one.low, one.high], [place, place], color=_colour(one), linewidth=2)
    panel.plot(one.value, place, "o", color=_colour(one))


def _arrow(panel: Any, place: int, one: Difference, metric: str) -> None:
    """At the end of the axis that a difference is beyond, with its value."""
    low, high = panel.get_xlim()
    is_right, colour = one.value > 0, _colour(one)
    edge, side = (high, "right") if is_right else (low, "left")
    panel.plot(edge, place, ">" if is_right else "<", color=colour, clip_on=False)
    text = f"{one.value:+.{METRICS[metric].decimals}f}".replace("-", "−")
    panel.annotate(text, (edge, place), (-8 if is_right else 8, 0), textcoords="offset points", ha=side, va="center",
                   fontsize=8, color=colour)  # fmt: skip


def settings_of(rows: Sequence[RowEvidence]) -> list[float] | None:
    """The names of rows as numbers, where they are three or more different ones."""
    try:
        found = [float(row.name) for row in rows]
    except ValueError:
        return None
    return found if len(set(found)) > 2 and all(map(math.isfinite, found)) else None


def draw_setting(scored: Scored, metrics: Sequence[str]) -> Any:
    """A line over the settings that rows are named by, with a band of the intervals, a panel a metric."""
    rows = sorted((row for row in scored.rows if row.estimates), key=lambda row: float(row.row.name))
    places = [float(row.row.name) for row in rows]
    figure, axes = _panels(len(metrics), width=3.4, height=3)
    for panel, metric in zip(axes, metrics, strict=True):
        found = [row.estimates[metric] for row in rows if row.estimates]
        panel.fill_between(places, [one.low for one in found], [one.high for one in found], color=_BETTER, alpha=0.2)
        panel.plot(places, [one.value for one in found], "o-", color=_BETTER)
        panel.set_title(METRICS[metric].column, fontsize=10)
        panel.set_xticks(places, [row.row.name for row in rows], rotation=45)
    return figure


def draw_heat_map(found: Breakdown) -> Any:
    """The value of each part, a line a row of the table."""
    values = np.array([[_value(one) for one in line] for line in found.values.values()])
    figure, (panel,) = _panels(1, width=2.5 + 0.9 * len(found.parts), height=1.6 + 0.34 * len(values))
    panel.imshow(values, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (line, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "white" if value > 60 else "black"
            panel.text(column, line, f"{value:.1f}", ha="center", va="center", color=colour, fontsize=8)
    heads = [f"{part}\n{count} rows" for part, count in zip(found.parts, found.counts, strict=True)]
    named_ticks(panel.xaxis, range(len(heads)), heads)
    named_ticks(panel.yaxis, range(len(values)), list(found.values))
    return figure


def draw_breakdown(found: Breakdown) -> Any:
    """The value of each part with its interval, rows of the table side by side."""
    figure, (panel,) = _panels(1, width=3 + 0.9 * len(found.parts) + 0.12 * len(found.values), height=4)
    shift = 0.7 / max(len(found.values), 1)
    for place, (name, line) in enumerate(found.values.items()):
        known = [(part, one) for part, one in enumerate(line) if one is not None]
        across = [part + shift * (place - (len(found.values) - 1) / 2) for part, _ in known]
        colour, marker = f"C{place % 10}", _MARKERS[place % len(_MARKERS)]
        panel.vlines(across, [one.low for _, one in known], [one.high for _, one in known], color=colour)
        # What starts with an underscore would have no entry in the legend.
        panel.plot(across, [one.value for _, one in known], marker, color=colour, label=f"\u200b{name}")
    heads = [f"{part}\n{count} rows" for part, count in zip(found.parts, found.counts, strict=True)]
    named_ticks(panel.xaxis, range(len(heads)), heads, rotation=45 if len(heads) > 6 else 0)
    panel.set_ylabel(METRICS["micro_f1"].column)
    if len(found.values) > 1:
        legend = panel.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
        _plain(legend.get_texts())
    return figure


def draw_reliability(rows: Sequence[RowEvidence], split: str) -> Any:
    """The reliability curve of each seed, a panel a row of the table."""
    columns = min(4, len(rows))
    lines = math.ceil(len(rows) / columns)
    figure, axes = _panels(columns, width=2.8, height=2.9 * lines, lines=lines, sharey=True, sharex=True)
    for panel, row in zip(axes, rows, strict=False):
        panel.plot([0, 1], [0, 1], "--", color=_WORDS, linewidth=1)
        errors = [_draw_curve(panel, run.splits[split]) for run in row.runs]
        panel.set(xlim=(0, 1), ylim=(0, 1))
        panel.set_title(f"{row.name}: ECE {np.mean(errors):.3f}", fontsize=9, parse_math=False)
    for panel in axes[len(rows) :]:
        panel.set_visible(False)
    figure.supxlabel("mean score of a bin", fontsize=9)
    figure.supylabel("share that holds", fontsize=9)
    return figure


def _draw_curve(panel: Any, found: Any) -> float:
    curve = reliability(found.scores, found.labels, found.decision)
    panel.plot(curve.score, curve.share, ".-", color=_BETTER, alpha=0.6, linewidth=1)
    return curve.error


def _panels(columns: int, width: float, height: float, lines: int = 1, **shared: Any) -> tuple[Any, list[Any]]:
    # A figure of its own and no pyplot: nothing is shown, and no window system is asked for.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(width * columns, 4), height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(lines, columns, squeeze=False, **shared).flat)
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=8)
    return figure, axes


def _title(figure: Any, text: str) -> None:
    figure.suptitle(text, fontsize=10, parse_math=False, fontfamily=installed_fonts())


def _plain(texts: Sequence[Any]) -> None:
    """Dollars in names are not formulas."""
    for text in texts:
        text.set_parse_math(False)


def _value(found: Estimate | None) -> float:
    return math.nan if found is None else found.value
