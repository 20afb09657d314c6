# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A picture of a prediction: the scores as bars, and the clip's modalities in the plane of valence and arousal."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill, shorten
from typing import Any

import numpy as np

from ..models.configuration_emotion import EmotionConfig
from ..scores.thresholds import perfect_scores, relative_score
from .affect_plane import emotion_points, spread_names
from .predict import Prediction


__all__ = [
    "check_plotting",
    "draw_prediction",
    "installed_fonts",
    "named_ticks",
    "plain_names",
    "plot_files",
    "plot_prediction",
]

_ACTIVE, _INACTIVE, _WORDS = "#c4442a", "#c3c9cf", "#5a6570"
_ASIAN_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "PingFang SC",
    "Microsoft YaHei", "Arial Unicode MS",
)  # fmt: skip
# Multiples of a threshold; that of 0 has no end.
_LONGEST = 100.0
_MARKERS = {"text": ("o", "#2a6fbb"), "audio": ("s", "#d98a1f"), "vision": ("^", "#3a9a5b")}


def check_plotting(path: Path) -> None:
    """
    Refuse to begin where no picture could be drawn at the end.

    Raises:
        ImportError: matplotlib is not installed; the message names the extra.
        ValueError: the suffix of `path` is not a format that it writes.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "univa[plot]"') from error
    known = FigureCanvasAgg.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise ValueError(f"`plot` {path}: the suffix must be one of {', '.join(sorted(known))}")


def plain_names(utterance_ids: Sequence[str]) -> list[str]:
    """Different names of files for clips: their last parts where these differ, in letters that every system takes."""
    names = [Path(name).name for name in utterance_ids]
    if len(set(names)) < len(names):
        names = list(utterance_ids)
    plain = [re.sub(r"[^\w.-]+", "_", name).strip("._") for name in names]
    if len(set(plain)) < len(plain):
        return [f"{index}-{name}" for index, name in enumerate(plain)]
    return plain


def plot_files(path: Path, utterance_ids: Sequence[str]) -> dict[str, Path]:
    """Where the picture of each clip goes: `path` itself, or with the name of the clip where there are several."""
    if len(utterance_ids) == 1:
        return {utterance_ids[0]: path}
    names = plain_names(utterance_ids)
    return {
        utterance: path.with_name(f"{path.stem}-{name}{path.suffix}")
        for utterance, name in zip(utterance_ids, names, strict=True)
    }


def plot_prediction(prediction: Prediction, config: EmotionConfig, path: Path) -> None:
    """
    Draw a prediction to a file, whose suffix says in which format (png, pdf, svg, …).

    Raises:
        ImportError, ValueError: see `check_plotting`.
        OSError: the file cannot be written.
    """
    check_plotting(path)
    figure = draw_prediction(prediction, config)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def draw_prediction(prediction: Prediction, config: EmotionConfig) -> Any:
    """
    A matplotlib figure of a prediction: bars of its scores, and the plane of valence and arousal.

    Raises:
        ImportError: matplotlib is not installed.
    """
    # A figure of its own and no pyplot: nothing is shown, and no window system is asked for.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = max(4.2, 1.6 + 0.42 * len(prediction.scores))
    figure = Figure(figsize=(10, height), layout="constrained")
    FigureCanvasAgg(figure)
    bars, plane = figure.subplots(1, 2, width_ratios=(1, 1))
    _draw_scores(bars, prediction, config)
    _draw_plane(plane, prediction, emotion_points(config))
    text = prediction.utterance.text
    title = shorten(Path(prediction.utterance.utterance_id).name, 70, placeholder="…")
    said = f"{title}\n“{shorten(text, 90, placeholder=' …')}”" if text else title
    # Dollars are money here; and matplotlib's own font has no Chinese, Japanese or Korean.
    figure.suptitle(said, fontsize=11, parse_math=False, fontfamily=installed_fonts())
    return figure


def installed_fonts() -> list[str]:
    """matplotlib's own font, and those that are there for Chinese, Japanese and Korean."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _ASIAN_FONTS if name in installed)]


def named_ticks(axis: Any, places: Any, names: Sequence[str], **how: Any) -> None:
    """Put names at places of an axis of matplotlib; dollars in them are not formulas."""
    axis.set_ticks(places, names, fontfamily=installed_fonts(), **how)
    for label in axis.get_ticklabels():
        label.set_parse_math(False)


def _draw_scores(axes: Any, prediction: Prediction, config: EmotionConfig) -> None:
    """Bars as long as the scores are multiples of their thresholds, with the scores behind them."""
    names, limits = list(prediction.scores), config.label_thresholds
    scores = list(prediction.scores.values())
    multiples = [min(relative_score(score, limit), _LONGEST) for score, limit in zip(scores, limits, strict=True)]
    colours = [_ACTIVE if name in prediction.emotions else _INACTIVE for name in names]
    places = np.arange(len(names))
    drawn = axes.barh(places, multiples, color=colours)
    named_ticks(axes.yaxis, places, names)
    texts = [f"{multiple:.2f} × ({score:.3f})" for multiple, score in zip(multiples, scores, strict=True)]
    labels = axes.bar_label(drawn, texts, padding=3, fontsize=9)
    for label in labels:
        label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
    axes.axvline(1, color="#30363c", linewidth=1, linestyle="--", zorder=0)
    note = f"threshold {limits[0]:g}" if len(set(limits)) == 1 else "a threshold for each emotion"
    axes.annotate(note, (1, 1), (3, 3), fontsize=8, xycoords=("data", "axes fraction"), textcoords="offset points")
    # Room for the text behind the longest bar.
    axes.set_xlim(0, max([2.0, *(1.45 * multiple for multiple in multiples)]))
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel(_score_axis(config), fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _score_axis(config: EmotionConfig) -> str:
    """What the numbers are, and how large they can be."""
    what = "multiple of the threshold (probability)"
    if config.decision != "softmax":
        return what
    top, limits = perfect_scores(config.num_labels, 1)[0], config.label_thresholds
    multiple = f"{relative_score(top, limits[0]):.2f} × " if len(set(limits)) == 1 and limits[0] > 0 else ""
    return f"{what}\na perfect model: at most {multiple}({top:.3f}), where one holds alone"


def _draw_plane(axes: Any, prediction: Prediction, words: Mapping[str, tuple[float, float]]) -> None:
    axes.axhline(0, color="#dde1e5", linewidth=1, zorder=0)
    axes.axvline(0, color="#dde1e5", linewidth=1, zorder=0)
    # In a plane 2.8 wide on about 4.3 inches, a character of this font and a line are about this large.
    places = spread_names(words, 0.055, 0.1)
    for name, (valence, arousal) in words.items():
        active = name in prediction.emotions
        axes.plot(valence, arousal, ".", color=_ACTIVE if active else _WORDS, markersize=5)
        height, left = places[name]
        axes.annotate(name, (valence, height), (-5 if left else 5, 0), textcoords="offset points", va="center",
                      ha="right" if left else "left", fontsize=9, color=_ACTIVE if active else _WORDS,
                      parse_math=False, fontfamily=installed_fonts())  # fmt: skip
    for modality, pair in prediction.valence_arousal.items():
        marker, colour = _MARKERS[modality]
        label = modality if pair is not None else f"{modality} (absent)"
        points = ([], []) if pair is None else ([pair[0]], [pair[1]])
        axes.plot(*points, marker, color=colour, markersize=10, markeredgecolor="white", label=label, linestyle="")
    if prediction.valence_arousal:
        axes.legend(loc="best", fontsize=9, frameon=True)
    else:
        axes.set_title("no scorer of text, audio or vision was given", fontsize=8, color=_WORDS)
    highest = max([1.0, *(height for height, _ in places.values())])
    axes.set(xlim=(-1.4, 1.4), ylim=(-1.1, highest + 0.1), xlabel="valence", ylabel="arousal", aspect="equal")
    unplaced = [name for name in prediction.scores if name not in words]
    if unplaced:
        note = fill(f"not in the plane, of unknown valence and arousal: {', '.join(unplaced)}", 48)
        axes.set_xlabel(f"valence\n{note}", parse_math=False, fontfamily=installed_fonts())
