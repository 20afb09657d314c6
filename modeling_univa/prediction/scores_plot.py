# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A picture of the scores of a model on one split: mistakes, labels that come together, F1, reliability, speakers."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np

from ..options import counted, verb
from ..scores.calibration import Reliability, calibrated, reliability
from ..scores.confusion import confusion_matrix, cooccurrence, cooccurrence_rates, label_scores, speaker_scores
from ..scores.predictions import Predictions
from ..scores.thresholds import predicted_labels
from .plot import check_plotting, installed_fonts, named_ticks


__all__ = ["draw_scores", "plot_scores"]

_BAR, _LINE, _COOLED, _WORDS = "#2a6fbb", "#c4442a", "#3a9a5b", "#5a6570"
# Speakers that have a bar, those with the most rows.
_MOST_SPEAKERS = 30
_NO_TRUE_LABEL, _NO_PREDICTION = "no true label", "no prediction"


def plot_scores(
    found: Predictions,
    label_names: Sequence[str],
    threshold: float | Sequence[float],
    path: str | Path,
    *,
    temperature: float | None = None,
    title: str = "",
) -> None:
    """
    Draw the scores of a model to a file, whose suffix says in which format (png, pdf, svg, …); also of each speaker,
    where at least two are known.

    Args:
        found, label_names, threshold, temperature, title: as of [`draw_scores`].

    Raises:
        ImportError: matplotlib is not installed; the message names the extra.
        ValueError: the suffix of `path` is not a format that it writes.
        OSError: the file cannot be written.
    """
    path = Path(path)
    check_plotting(path)
    figure = draw_scores(
        found, label_names, threshold, temperature=temperature, title=title, most_speakers=_MOST_SPEAKERS
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def draw_scores(
    found: Predictions,
    label_names: Sequence[str],
    threshold: float | Sequence[float] | np.ndarray,
    *,
    temperature: float | None = None,
    title: str = "",
    most_speakers: int = 0,
) -> Any:
    """
    A matplotlib figure: the confusion of labels (MLCM), how labels and predictions come together, F1 and support of
    each label, the reliability curve, and micro-F1 of each speaker where that is asked for.

    Args:
        found: scores and labels of the rows.
        label_names: of their columns, in order.
        threshold: a label is predicted where its score is greater; one for all labels, one each, or one for each
            label of each row, `(rows, C)`.
        temperature: draws the curve of the scores at this temperature too.
        title: above the figure.
        most_speakers: how many speakers have a bar, those with the most rows; where fewer than two are known, none.
    """
    # A figure of its own and no pyplot: nothing is shown, and no window system is asked for.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    predicted, side = predicted_labels(found.scores, threshold), 3.0 + 0.34 * len(label_names)
    layout: Any = [["confusion", "truth", "predicted"], ["labels", "labels", "reliability"]]
    heights = [1.0, 1.0]
    if most_speakers and len(set(found.speakers or ()) - {None}) > 1:
        layout, heights = [*layout, ["speakers"] * 3], [*heights, 0.7]
    figure = Figure(figsize=(3 * side, sum(heights) * side), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplot_mosaic(layout, height_ratios=heights)
    _draw_confusion(axes["confusion"], found.labels, predicted, label_names)
    _draw_cooccurrence(axes["truth"], found.labels, label_names, "labels that hold together")
    _draw_cooccurrence(axes["predicted"], predicted, label_names, "labels predicted together")
    _draw_labels(axes["labels"], found.labels, predicted, label_names)
    _draw_reliability(axes["reliability"], found, temperature)
    if "speakers" in axes:
        _draw_speakers(axes["speakers"], found, predicted, most_speakers)
    figure.suptitle(f"{title} ({len(found.labels)} rows)".strip(), parse_math=False, fontfamily=installed_fonts())
    return figure


def _draw_confusion(axes: Any, labels: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> None:
    counts = confusion_matrix(labels, predicted)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    _draw_matrix(axes, shares, counts, [*names, _NO_TRUE_LABEL], [*names, _NO_PREDICTION])
    axes.set(title="confusion (MLCM): share of the line, count", xlabel="predicted", ylabel="true")


def _draw_cooccurrence(axes: Any, labels: np.ndarray, names: Sequence[str], title: str) -> None:
    _draw_matrix(axes, cooccurrence_rates(labels), cooccurrence(labels), names, names)
    axes.set(title=f"{title}: P(j | i), rows", xlabel="j", ylabel="i")


def _draw_matrix(
    axes: Any, shares: np.ndarray, counts: np.ndarray, lines: Sequence[str], columns: Sequence[str]
) -> None:
    """Shares in [0, 1] as colours, each cell with its share and count; NaN stays empty."""
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    named_ticks(axes.xaxis, range(len(columns)), columns, rotation=45, ha="right")
    named_ticks(axes.yaxis, range(len(lines)), lines)
    for (line, column), share in np.ndenumerate(shares):
        if np.isfinite(share):
            colour = "white" if share > 0.6 else "black"
            text = f"{share:.2f}\n{counts[line, column]}"
            axes.text(column, line, text, ha="center", va="center", color=colour, fontsize=7)


def _draw_labels(axes: Any, labels: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> None:
    scores, places = label_scores(labels, predicted), np.arange(len(names))
    axes.bar(places, scores.f1, color=_BAR, width=0.7, label="F1")
    axes.plot(places, scores.precision, "^", color=_LINE, label="precision")
    axes.plot(places, scores.recall, "v", color=_COOLED, label="recall")
    for place, f1, support in zip(places, scores.f1, scores.support, strict=True):
        axes.annotate(f"F1 {f1:.2f}\n{support} rows", (place, 1.02), ha="center", fontsize=8, color=_WORDS)
    named_ticks(axes.xaxis, places, names, rotation=45, ha="right")
    axes.set(title="F1, precision, recall, and the rows that have the label", ylim=(0, 1.15))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)


def _draw_speakers(axes: Any, found: Predictions, predicted: np.ndarray, most: int) -> None:
    scores = speaker_scores(found.labels, predicted, found.speakers or ())
    names = [shorten(name, 24, placeholder="…") or "(blank)" for name in scores.names[:most]]
    places = np.arange(len(names))
    axes.bar(places, scores.f1[:most], color=_BAR, width=0.7)
    for place, f1, rows in zip(places, scores.f1, scores.rows, strict=False):
        axes.annotate(f"{f1:.2f}\n{rows}", (place, 1.02), ha="center", fontsize=7, color=_WORDS)
    together = speaker_scores(found.labels, predicted, ["all"] * len(found.labels)).f1[0]
    axes.axhline(together, color=_LINE, linestyle="--", linewidth=1, label=f"all rows: {together:.2f}")
    named_ticks(axes.xaxis, places, names, rotation=45, ha="right")
    shown = f"{len(names)} of {len(scores.names)} speakers, those with the most rows"
    title = f"micro-F1 of each speaker, and its rows{f' ({shown})' if len(names) < len(scores.names) else ''}"
    unknown, are = counted(scores.unknown, "row"), verb(scores.unknown, "is", "are")
    left_out = f"; {unknown} without a speaker {are} left out" if scores.unknown else ""
    axes.set(title=title + left_out, ylim=(0, 1.2), ylabel="micro-F1")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)


def _draw_reliability(axes: Any, found: Predictions, temperature: float | None) -> None:
    decision = found.decision
    axes.plot([0, 1], [0, 1], "--", color=_WORDS, linewidth=1)
    if decision == "softmax" and not np.any(found.labels):
        axes.set(title="reliability: no row has a label", xlim=(0, 1), ylim=(0, 1))
        return
    curves = {"as predicted": (found.scores, _LINE)}
    if temperature is not None:
        curves[f"temperature {temperature:.3g}"] = (calibrated(found.scores, temperature, decision), _COOLED)
    for name, (scores, colour) in curves.items():
        curve = reliability(scores, found.labels, decision)
        axes.plot(curve.score, curve.share, "o-", color=colour, label=f"{name}: ECE {curve.error:.3f}")
        _draw_counts(axes, curve, colour)
    target = "share of rows with the label" if decision == "sigmoid" else "share of the row's labels"
    axes.set(title="reliability (bars: share of decisions)", ylabel=target)
    axes.set(xlabel="mean score of a bin", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left", fontsize=8)


def _draw_counts(axes: Any, curve: Reliability, colour: str) -> None:
    """Below the curve, the share of the decisions that lie in each bin."""
    heights = curve.count / curve.count.sum()
    axes.bar(curve.score, heights, width=0.02, color=colour, alpha=0.25)
