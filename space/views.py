# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Results of the pipeline as HTML. Names and words come from strangers, so all of them are escaped."""

from collections.abc import Mapping, Sequence
from html import escape
from math import inf
from typing import Any


__all__ = ["STYLE", "bars", "common_span", "no_result", "plane", "timeline", "words"]

STYLE = """
.univa { --univa-mark: #c4442a; --univa-rest: #9aa4ae; font-variant-numeric: tabular-nums; line-height: 1.5; }
.univa h4 { margin: 0 0 .4rem; }
.univa .quiet { opacity: .75; font-size: .9em; margin: .4rem 0 0; }
.univa .rows { display: grid; grid-template-columns: max-content 1fr max-content; gap: .35rem .7rem;
               align-items: center; }
.univa .track { position: relative; height: 1.1rem; border-radius: 3px; background: var(--background-fill-secondary); }
.univa .bar { height: 100%; border-radius: 3px; background: var(--univa-rest); min-width: 1px; }
.univa .active .bar { background: var(--univa-mark); }
.univa .threshold { position: absolute; top: -3px; bottom: -3px; border-left: 2px dashed var(--body-text-color); }
.univa .active .name { color: var(--univa-mark); font-weight: 600; }
.univa .active { display: contents; } .univa .inactive { display: contents; }
.univa .words { font-size: 1.15em; overflow-wrap: anywhere; }
.univa .words span { border-radius: 3px; padding: .1em .05em; }
.univa .frames { position: relative; height: 3.5rem; border-bottom: 1px solid var(--border-color-primary); }
.univa .frames div { position: absolute; bottom: 0; background: var(--univa-mark); min-height: 1px; min-width: 1px;
                     border-right: 1px solid var(--background-fill-primary); }
.univa .ends { display: flex; justify-content: space-between; }
.univa section { padding-bottom: 1rem; }
.univa svg { width: 100%; max-width: 30rem; display: block; margin: auto; }
.univa svg text { fill: var(--body-text-color); font-size: 12px; }
.univa svg line, .univa svg rect { stroke: var(--border-color-primary); fill: none; }
"""

_MARKERS = {"text": ("#2a6fbb", "words"), "audio": ("#d98a1f", "sound"), "vision": ("#3a9a5b", "face")}
# Pixels of the plane: its middle, and of one unit of valence or arousal.
_MIDDLE, _UNIT = (190, 150), 125


def no_result() -> str:
    """What stands where a result will be."""
    return '<div class="univa"><p class="quiet">The result comes here.</p></div>'


def bars(scores: Mapping[str, float], thresholds: Mapping[str, float], notes: Sequence[str] = ()) -> str:
    """
    One bar an emotion in the order given, as long as its score is a multiple of its threshold.

    Args:
        scores: probabilities by emotion.
        thresholds: above which each of them is predicted.
        notes: sentences below.
    """
    multiples = {name: _multiple(score, thresholds[name]) for name, score in scores.items()}
    # The threshold is in the middle, or left of it where a score is more than twice as large.
    axis = min(max(2.0, *multiples.values()), 4.0) if multiples else 2.0
    rows = []
    for name, multiple in multiples.items():
        kind = "active" if scores[name] > thresholds[name] else "inactive"
        rows.append(
            f'<div class="{kind}" data-emotion="{escape(name)}"><span class="name">{escape(name)}</span>'
            f'<span class="track"><div class="bar" style="width:{min(100.0, 100 * multiple / axis):.2f}%"></div>'
            f'<div class="threshold" style="left:{100 / axis:.2f}%"></div></span>'
            f'<span title="probability {scores[name]:.3f}, threshold {thresholds[name]:g}">'
            f"{f'{multiple:.2f}' if multiple < 100 else '&gt;99'} ×</span></div>"
        )
    quiet = "".join(f'<p class="quiet">{escape(note)}</p>' for note in notes)
    return f'<div class="univa"><h4>Emotions</h4><div class="rows">{"".join(rows)}</div>{quiet}</div>'


def _multiple(score: float, threshold: float) -> float:
    """How many times the threshold a score is."""
    return score / threshold if threshold > 0 else (inf if score > 0 else 0.0)


def plane(
    points: Mapping[str, tuple[float, float]],
    scores: Mapping[str, float],
    thresholds: Mapping[str, float],
    affect: Mapping[str, Mapping[str, float] | None],
    places: Mapping[str, tuple[float, bool]],
) -> str:
    """
    The emotions in the plane of valence and arousal, as large as they are likely, and what the scorers say.

    Args:
        points: (valence, arousal) in [-1, 1] of the emotions, as far as they are known.
        scores, thresholds: of all emotions.
        affect: what scorers say, by modality.
        places: of the names, their height and whether they are on the left of the point.
    """
    known = {modality: pair for modality, pair in affect.items() if pair is not None}
    unplaced = ", ".join(escape(name) for name in scores if name not in points)
    absent = f'<p class="quiet">Not in the plane, of unknown valence and arousal: {unplaced}.</p>' if unplaced else ""
    if not points and not known:
        return f'<div class="univa"><h4>Valence and arousal</h4>{absent}</div>'
    top = _place(0, max([1.0, *(height for height, _ in places.values())]))[1] - 16
    marks = [
        _axes(),
        *(_emotion(name, point, scores[name], thresholds[name], *places[name]) for name, point in points.items()),
        *(_scored(modality, pair["valence"], pair["arousal"]) for modality, pair in known.items()),
    ]
    quiet = "The larger the circle, the likelier the emotion."
    if known:
        quiet += " Diamonds are the scores of " + ", ".join(_MARKERS[modality][1] for modality in known) + "."
    first = min(0.0, top)
    return (
        f'<div class="univa"><h4>Valence and arousal</h4><svg viewBox="0 {first:.0f} 380 {300 - first:.0f}" '
        f'role="img" aria-label="Plane of valence and arousal">{"".join(marks)}</svg><p class="quiet">{quiet}</p>'
        f"{absent}</div>"
    )


def _place(valence: float, arousal: float) -> tuple[float, float]:
    return _MIDDLE[0] + _UNIT * valence, _MIDDLE[1] - _UNIT * arousal


def _axes() -> str:
    (left, top), (right, bottom) = _place(-1, 1), _place(1, -1)
    return (
        f'<rect x="{left}" y="{top}" width="{right - left}" height="{bottom - top}"/>'
        f'<line x1="{left}" y1="{_MIDDLE[1]}" x2="{right}" y2="{_MIDDLE[1]}"/>'
        f'<line x1="{_MIDDLE[0]}" y1="{top}" x2="{_MIDDLE[0]}" y2="{bottom}"/>'
        f'<text x="{_MIDDLE[0]}" y="{bottom + 16}" text-anchor="middle">valence: unpleasant → pleasant</text>'
        f'<text x="{left - 52}" y="{_MIDDLE[1]}" text-anchor="middle" '
        f'transform="rotate(-90 {left - 52} {_MIDDLE[1]})">arousal: calm → excited</text>'
    )


def _emotion(name: str, point: tuple[float, float], score: float, threshold: float, height: float, left: bool) -> str:
    (x, y), across = _place(*point), _place(0, height)[1]
    radius = 3 + 17 * score**0.5
    colour = "var(--univa-mark)" if score > threshold else "var(--univa-rest)"
    beside, anchor = (x - radius - 4, "end") if left else (x + radius + 4, "start")
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{colour}" fill-opacity="0.55"/>'
        f'<text x="{beside:.1f}" y="{across + 4:.1f}" text-anchor="{anchor}">{escape(name)}</text>'
    )


def _scored(modality: str, valence: float, arousal: float) -> str:
    (x, y), (colour, name) = _place(valence, arousal), _MARKERS[modality]
    corners = f"{x:.1f},{y - 8:.1f} {x + 8:.1f},{y:.1f} {x:.1f},{y + 8:.1f} {x - 8:.1f},{y:.1f}"
    return (
        f'<polygon points="{corners}" fill="{colour}" stroke="white"/>'
        f'<text x="{x + 11:.1f}" y="{y + 4:.1f}" data-scored="{modality}">{name}</text>'
    )


def words(text: str, tokens: Sequence[Mapping[str, Any]] | None) -> str:
    """The utterance, its tokens the darker the more of the pooling's weight they have."""
    if not tokens:
        return _section("Words", '<p class="quiet">The model was given no words.</p>')
    most = max(token["weight"] for token in tokens) or 1.0
    pieces, position = [], 0
    for token in tokens:
        start, end = token["start"], token["end"]
        if start is not None:
            pieces.append(escape(text[position:start]))
            position = end
        share = round(70 * token["weight"] / most)
        pieces.append(
            f'<span style="background:color-mix(in srgb, var(--univa-mark) {share}%, transparent)" '
            f'title="{100 * token["weight"]:.1f} %">{escape(str(token["token"]))}</span>{" " if start is None else ""}'
        )
    return _section("Words", f'<p class="words">{"".join(pieces)}</p>')


def timeline(
    title: str,
    frames: Sequence[Mapping[str, Any]] | None,
    span: tuple[float, float] | None = None,
    note: str = "",
) -> str:
    """
    Weights of the pooling over time, one column a frame.

    Args:
        title: above them.
        frames: with `start`, `end` in seconds where they are known, and `weight`; `None` where the model got none.
        span: from when to when in seconds, where it is known.
        note: below them, such as whose face it is.
    """
    told = f'<p class="quiet note">{escape(note)}</p>' if note else ""
    if not frames:
        return _section(title, f'<p class="quiet">The model was given none.</p>{told}')
    if span is None or frames[0]["start"] is None:
        places = [(index / len(frames), 1 / len(frames)) for index in range(len(frames))]
        ends = ("first frame", "last frame")
    else:
        length = max(span[1] - span[0], 1e-3)
        places = [((one["start"] - span[0]) / length, (one["end"] - one["start"]) / length) for one in frames]
        ends = (f"{span[0]:.1f} s", f"{span[1]:.1f} s")
    most = max(frame["weight"] for frame in frames) or 1.0
    columns = "".join(
        f'<div style="left:{100 * left:.2f}%;width:{100 * width:.2f}%;height:{100 * frame["weight"] / most:.1f}%" '
        f'title="{_caption(frame)}"></div>'
        for frame, (left, width) in zip(frames, places, strict=True)
    )
    scale = f'<div class="ends quiet"><span>{ends[0]}</span><span>{ends[1]}</span></div>'
    return _section(title, f'<div class="frames">{columns}</div>{scale}{told}')


def common_span(*sequences: Sequence[Mapping[str, Any]] | None) -> tuple[float, float] | None:
    """From the first to the last time of several sequences of frames; `None` where no time is known."""
    known = [frame for frames in sequences for frame in frames or () if frame["start"] is not None]
    return (min(one["start"] for one in known), max(one["end"] for one in known)) if known else None


def _caption(frame: Mapping[str, Any]) -> str:
    weight = f"{100 * frame['weight']:.1f} %"
    return weight if frame["start"] is None else f"{frame['start']:.2f} s: {weight}"


def _section(title: str, content: str) -> str:
    return f'<div class="univa"><section><h4>{escape(title)}</h4>{content}</section></div>'
