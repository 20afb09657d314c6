# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Figures of analyses, of matplotlib: Figure 3, Figure 4, and how scores fall where rows lose a modality."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.manifold import TSNE

from ..prediction.plot import installed_fonts
from ..scores.comparison import Estimate
from .embeddings import QUADRANTS, Embeddings, quadrants, single_labels
from .similarity import Similarity


__all__ = ["draw_embeddings", "draw_robustness", "draw_similarity", "projected"]

# The paper's colours.
_MODALITIES = {"text": "#c4442a", "vision": "#3a9a5b", "audio": "#2a6fbb"}
_UNKNOWN = "#d3d8dd"
_PERPLEXITY = 30.0


def projected(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """
    t-SNE of scikit-learn, from PCA, of perplexity 30, or a third of the rows where these are few.

    Args:
        values: embeddings `(rows, H)`, four rows at least.
        seed: the same one places points alike.

    Returns:
        `np.ndarray` of shape `(rows, 2)`; all in one place where all embeddings are the same.
    """
    values = values.astype(np.float32)
    # scikit-learn divides by their spread, and then reads memory that is not its own.
    if not np.ptp(values, axis=0).any():
        return np.zeros((len(values), 2), np.float32)
    perplexity = min(_PERPLEXITY, (len(values) - 1) / 3)
    # PCA has no more components than columns.
    start = "pca" if values.shape[1] > 1 else "random"
    return TSNE(2, perplexity=perplexity, init=start, random_state=seed).fit_transform(values)


def draw_embeddings(runs: Mapping[str, Embeddings], colours: str = "emotion", rows: int = 300, seed: int = 0) -> Any:
    """
    Figure 3: t-SNE of unimodal embeddings, a line a run. First all modalities in one plane, as in the paper, where
    their sizes are the same; then each modality by itself.

    Args:
        runs: embeddings by the name of the run, such as with and without VA-CL.
        colours: "emotion" (of rows with exactly one; the others are grey) or "quadrant" of valence and arousal.
        rows: at most this many rows of each run, the same ones.
        seed: of t-SNE.

    Raises:
        ValueError: `colours` is something else, or a run has fewer than four rows.
    """
    if colours not in ("emotion", "quadrant"):
        raise ValueError(f"`colours` must be emotion or quadrant, got {colours!r}.")
    small = [name for name, found in runs.items() if len(found.labels) < 4]
    if small:
        raise ValueError(f"t-SNE needs four rows at least, and {small[0]!r} has {len(runs[small[0]].labels)}.")
    modalities = [name for name in _MODALITIES if any(name in found.embeds for found in runs.values())]
    figure, axes = _panels(len(runs), 1 + len(modalities), 3.1)
    for line, (name, found) in zip(axes, runs.items(), strict=True):
        part = found.sample(rows)
        _draw_together(line[0], part, seed)
        line[0].set_ylabel(name, fontfamily=installed_fonts(), parse_math=False)
        for panel, modality in zip(line[1:], modalities, strict=True):
            if modality in part.embeds:
                _draw_groups(panel, projected(part.embeds[modality], seed), *_groups(part, modality, colours))
            panel.set_title(modality, fontsize=10)
    handles = {label: handle for line in axes for panel in line for handle, label in
               zip(*panel.get_legend_handles_labels(), strict=True)}  # fmt: skip
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=6, fontsize=8,
                  prop={"family": installed_fonts(), "size": 8})  # fmt: skip
    return figure


def draw_similarity(runs: Mapping[str, Similarity]) -> Any:
    """
    Figure 4: M as heat maps, a line a run; of equation 8, and after training where it is trained.

    Args:
        runs: by the name of the run.
    """
    width = 1 + any(found.is_trainable for found in runs.values())
    size = max(len(found.label_names) for found in runs.values())
    figure, axes = _panels(len(runs), width, 2 + 0.42 * size)
    for line, (name, found) in zip(axes, runs.items(), strict=True):
        _draw_matrix(line[0], found.initial, found.label_names)
        line[0].set_title(f"{name}: before training", fontsize=10, parse_math=False, fontfamily=installed_fonts())
        if found.is_trainable:
            _draw_matrix(line[1], found.trained, found.label_names)
            line[1].set_title("after training", fontsize=10)
        elif width > 1:
            line[1].set_axis_off()
    return figure


def draw_robustness(scores: Mapping[str, Mapping[str, Sequence[tuple[float, Estimate]]]], metric: str) -> Any:
    """
    A metric over the share of rows that lose a modality, or over the strength of noise, with bands of the intervals.

    Args:
        scores: by panel ("text", "audio", "vision", "noise") and row of a table, places and estimates.
        metric: what is on the vertical axis.
    """
    figure, ((*panels,),) = _panels(1, len(scores), 3.4)
    for panel, (what, rows) in zip(panels, scores.items(), strict=True):
        for number, (name, points) in enumerate(rows.items()):
            places = np.arange(len(points)) if what == "noise" else [place for place, _ in points]
            found = [estimate for _, estimate in points]
            colour = f"C{number % 10}"
            panel.fill_between(
                places, [one.low for one in found], [one.high for one in found], color=colour, alpha=0.15
            )
            # What starts with an underscore would have no entry in the legend.
            panel.plot(places, [one.value for one in found], "o-", color=colour, label=f"\u200b{name}")
        points = next(iter(rows.values()))
        words = ["clean" if place == np.inf else f"{place:g}" for place, _ in points]
        panel.set_xticks(np.arange(len(points)) if what == "noise" else [place for place, _ in points], words)
        panel.set_xlabel("speech to white noise, dB" if what == "noise" else f"rows without {what}, %")
    # One scale for all; a metric in percent ends at 0 and 100, whatever an interval of few seeds says.
    highest = max(one.high for rows in scores.values() for points in rows.values() for _, one in points)
    for panel in panels:
        panel.set_ylim(0, min(100, 1.05 * highest))
    panels[0].set_ylabel(metric)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8,
                  prop={"family": installed_fonts(), "size": 8})  # fmt: skip
    return figure


def _panels(lines: int, columns: int, size: float) -> tuple[Any, Any]:
    """A figure of its own and no pyplot: nothing is shown, and no window system is asked for."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size * columns, size * lines + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(lines, columns, squeeze=False)


def _draw_together(panel: Any, found: Embeddings, seed: int) -> None:
    panel.set_title("all modalities", fontsize=10)
    sizes = {values.shape[1] for values in found.embeds.values()}
    panel.set(xticks=[], yticks=[])
    if len(sizes) > 1:
        panel.text(0.5, 0.5, "sizes differ", ha="center", transform=panel.transAxes)
        return
    points = projected(np.concatenate(list(found.embeds.values())), seed)
    for modality, part in zip(found.embeds, np.split(points, len(found.embeds)), strict=True):
        panel.scatter(*part.T, s=6, color=_MODALITIES[modality], label=modality)


def _groups(found: Embeddings, modality: str, colours: str) -> tuple[np.ndarray, Sequence[str]]:
    if colours == "emotion":
        return single_labels(found.labels), found.label_names
    unknown = np.full((len(found.labels), 2), np.nan)
    return quadrants(found.va.get(modality, unknown)), QUADRANTS


def _draw_groups(panel: Any, points: np.ndarray, groups: np.ndarray, names: Sequence[str]) -> None:
    panel.set(xticks=[], yticks=[])
    panel.scatter(*points[groups < 0].T, s=5, color=_UNKNOWN, label="several, none or unknown")
    for number, name in enumerate(names):
        panel.scatter(*points[groups == number].T, s=7, color=f"C{number % 10}", label=f"\u200b{name}")


def _draw_matrix(panel: Any, values: np.ndarray, names: Sequence[str]) -> None:
    panel.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1)
    fonts = installed_fonts()
    panel.set_xticks(range(len(names)), names, rotation=45, ha="right", fontfamily=fonts, parse_math=False)
    panel.set_yticks(range(len(names)), names, fontfamily=fonts, parse_math=False)
    for (line, column), value in np.ndenumerate(values):
        colour = "white" if abs(value) > 0.6 else "black"
        panel.text(column, line, f"{value:.2f}".replace("-", "−"), ha="center", va="center", color=colour, fontsize=8)
