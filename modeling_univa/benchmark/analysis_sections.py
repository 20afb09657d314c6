# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What a report shows of the analyses of a table's runs, from their files alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from ..scores.comparison import Comparison, Estimate, Run, compare
from ..scores.headline import METRICS
from .analysis_figures import draw_embeddings, draw_robustness, draw_similarity
from .analysis_files import ANALYSES, read_analysis
from .cases import Cases
from .embeddings import read_embeddings
from .evidence import TableEvidence
from .page import Grid, Picture
from .resampling import in_groups_of_speakers
from .robustness import Condition, Robustness, read_robustness
from .scored import DECIDED, Bootstrap, decided, thresholds_of
from .similarity import read_similarity


__all__ = [
    "AnalysedRows",
    "analysed",
    "analysis_blocks",
    "case_grid",
    "embedding_grid",
    "robustness_grid",
    "robustness_scores",
    "systems_of_one_seed",
]

# Folders of the runs of each row of a table by seed; the first row is what others are compared with.
AnalysedRows = Mapping[str, Mapping[int, Path]]
# Maximum number of lines of a figure.
_RUNS_OF_A_FIGURE = 4
_NOTHING = "–"
_METRIC = "macro_f1"


def analysis_blocks(
    name: str,
    title: str,
    rows: AnalysedRows,
    bootstrap: Bootstrap,
    figures: bool = True,
    is_by_speaker: bool = False,
) -> Iterator[str | Grid | Picture]:
    """
    Tables and figures of all analyses that there are; nothing where there are none.

    Args:
        name: of their files, the beginning.
        title: of the table of the plan.
        rows: its rows.
        bootstrap: of intervals of metrics.
        figures: whether there are any; they need matplotlib.
        is_by_speaker: whether the rows are of folds by speaker.
    """
    yield from _embedding_blocks(f"{name}-embeddings", title, rows, figures)
    similarities = {row: found for row, found in _first(rows, read_similarity).items() if found is not None}
    if similarities and figures:
        caption = f"{title}: similarity of labels in the plane of valence and arousal (M), first seed"
        yield Picture(f"{name}-similarity", caption, caption, draw_similarity(_some(similarities)))
    try:
        scores = robustness_scores(rows, bootstrap, is_by_speaker)
    except ValueError as error:
        yield f"Robustness is not compared: {error}"
        scores = {}
    if scores:
        grid = robustness_grid(f"{name}-robustness", title, rows, scores, bootstrap)
        yield grid
        if figures:
            caption = f"{title}: macro-F1 where rows lose a modality, and where speech is noisy, with 95 % intervals"
            yield Picture(f"{name}-robustness", caption, caption, _robustness_figure(scores))
    yield from _absent_grids(name, title, rows)


def analysed(rows: AnalysedRows) -> set[Path]:
    """Folders of the runs that have some analysis."""
    folders = {folder for of in rows.values() for folder in of.values()}
    return {folder for folder in folders if any(read_analysis(folder, name) for name in ANALYSES)}


def systems_of_one_seed(table: TableEvidence, split: str) -> dict[str, Run]:
    """
    Runs of the first row's first seed, and those of other rows that have this seed, the same labels and the same rows
    of a split; the first row is the first.
    """
    first = table.rows[0]
    if not first.runs:
        return {}
    one = first.runs[0]
    ids = set(one.splits[split].utterance_ids)
    found = [(row.name, run) for row in table.rows for run in row.runs if run.seed == one.seed]
    runs = {name: run for name, run in found if run.label_names == one.label_names}
    same = {name: run for name, run in runs.items() if set(run.splits[split].utterance_ids) == ids}
    chosen = {name: (run, thresholds_of(run, split)) for name, run in same.items()}
    return {
        name: Run(decided(run.splits[split], one), DECIDED, run.seed)
        for name, (run, one) in chosen.items()
        if one is not None
    }


def embedding_grid(name: str, title: str, rows: AnalysedRows) -> Grid | None:
    """
    Silhouettes and linear probes of each row, means over seeds with Student's intervals, and their differences to the
    first row, paired by seed; `None` where there are none.
    """
    found = {row: _numbers(of) for row, of in rows.items()}
    found = {row: of for row, of in found.items() if of}
    if not found:
        return None
    columns = list(dict.fromkeys(name for of in found.values() for one in of.values() for name in one))
    reference = next(iter(rows))
    lines = [[row, str(len(of)), *(_mean(of, column) for column in columns)] for row, of in found.items()]
    for row, of in found.items():
        if row != reference and reference in found:
            shared = {seed: of[seed] for seed in of if seed in found[reference]}
            less = {seed: _difference(one, found[reference][seed]) for seed, one in shared.items()}
            lines.append([f"{row} − {reference}", str(len(less)), *(_mean(less, column, "+") for column in columns)])
    first = next(iter(_contents(rows, "embeddings")))
    notes = [
        f"Split {first['split']}, {first['rows']:,} rows; probes were trained on {first['train_rows']:,} rows of "
        f"training, silhouettes are of {first['silhouettes']['rows']:,} rows.",
        "Probe: macro-F1 in percent of logistic regressions. Silhouette, in [−1, 1]: how far groups lie apart.",
        "Means over seeds with 95 % intervals of Student's t over seeds; with one seed there is none.",
    ]
    return Grid(name, f"{title}: embeddings of the modalities", ["row", "seeds", *columns], lines, notes)


def robustness_scores(
    rows: AnalysedRows, bootstrap: Bootstrap, is_by_speaker: bool = False
) -> dict[Condition, Comparison]:
    """
    By condition, the rows of a table compared with each other, at the threshold of each model.

    Args:
        rows: of a table; those without predictions in a condition are left out there.
        bootstrap: of the intervals.
        is_by_speaker: whether the rows are of folds by speaker, whose intervals are over speakers.

    Raises:
        ValueError: runs were scored on different rows.
    """
    found = {row: {seed: read_robustness(folder) for seed, folder in of.items()} for row, of in rows.items()}
    known = {row: {seed: one for seed, one in of.items() if one is not None} for row, of in found.items()}
    conditions = dict.fromkeys(c for of in known.values() for one in of.values() for c in one.conditions)
    scores = {}
    for condition in conditions:
        runs = {row: _runs(of, condition) for row, of in known.items()}
        runs = _by_speaker(runs) if is_by_speaker else runs
        runs = {row: of for row, of in runs.items() if of}
        scores[condition] = compare(
            runs, next(iter(runs)), draws=bootstrap.draws, seed=bootstrap.seed, confidence=bootstrap.confidence
        )
    return scores


def robustness_grid(
    name: str, title: str, rows: AnalysedRows, scores: Mapping[Condition, Comparison], bootstrap: Bootstrap
) -> Grid:
    """Macro-F1 of each row in each condition with its interval; all metrics and differences are in its CSV file."""
    names = [row for row in rows if any(row in found.scores for found in scores.values())]
    lines = []
    for condition, found in scores.items():
        cells = [_interval(found.scores[row][_METRIC]) if row in found.scores else _NOTHING for row in names]
        lines.append([_words(condition), *cells])
    first = next(iter(scores.values()))
    split = next(iter(_contents(rows, "robustness")))["split"]
    notes = [
        f"Split {split}, {first.num_rows:,} rows of {first.num_dialogues:,} dialogues; macro-F1 in percent, mean over "
        f"seeds, each run at its own threshold; {100 * bootstrap.confidence:g} % intervals of {bootstrap.draws} draws "
        f"over {first.group_kind} and seeds.",
        "The same rows lose a modality for all systems, and with a larger share all of those before.",
        *_noise_reasons(rows),
    ]
    data = [line for condition, found in scores.items() for line in _robustness_data(condition, found)]
    return Grid(name, f"{title}: macro-F1 where something is missing", ["condition", *names], lines, notes, data)


def case_grid(name: str, title: str, found: Cases) -> Grid:
    """Table 7: the cases of `choose_cases`, a line a row of the corpus."""
    systems = list(found.cases[0].predicted) if found.cases else []
    has_texts = any(case.text is not None for case in found.cases)
    header = ["case", "utterance", *(["transcript"] if has_texts else []), "labels", *systems]
    lines = []
    for case in found.cases:
        predicted = [_labels(case.predicted[system]) for system in systems]
        text = [case.text or _NOTHING] if has_texts else []
        lines.append([case.kind, case.utterance_id, *text, _labels(case.labels), *predicted])
    counts = "; ".join(f"{kind}: {count:,}" for kind, count in found.counts.items())
    notes = [
        f"Of {found.num_rows:,} rows with labels: {counts}. Right means exactly the labels that hold.",
        "Of the rows of a kind that one whose hashed name comes first: nothing was picked by hand.",
    ]
    return Grid(name, f"{title}: cases", header, lines, notes)


def _embedding_blocks(name: str, title: str, rows: AnalysedRows, figures: bool) -> Iterator[Grid | Picture]:
    grid = embedding_grid(name, title, rows)
    if grid is None:
        return
    yield grid
    both = {row: found for row, found in _first(rows, read_embeddings).items() if found is not None}
    large = {row: test for row, (test, _) in both.items() if len(test.labels) >= 4}
    if not large or not figures:
        return
    for colours in ("emotion", "quadrant"):
        caption = f"{title}: t-SNE of the embeddings of each modality, coloured by {colours}, first seed"
        alt = f"{caption}; {grid.caption} has the numbers."
        yield Picture(f"{name}-{colours}", caption, alt, draw_embeddings(_some(large), colours))


def _absent_grids(name: str, title: str, rows: AnalysedRows) -> Iterator[Grid]:
    """Why there is no analysis."""
    lines = []
    for row, of in rows.items():
        for analysis in ANALYSES:
            contents = {seed: read_analysis(folder, analysis) for seed, folder in of.items()}
            reasons = dict.fromkeys(str(one["reason"]) for one in contents.values() if one and one.get("reason"))
            lines += [[row, analysis, reason] for reason in reasons]
    if lines:
        header = ["row", "analysis", "reason"]
        yield Grid(f"{name}-analyses-missing", f"{title}: analyses that are missing", header, lines)


def _first(rows: AnalysedRows, read: Callable[[Path], Any]) -> dict[str, Any]:
    """Of each row that has runs, that of the first seed."""
    return {row: read(next(iter(of.values()))) for row, of in rows.items() if of}


def _some(found: Mapping[str, Any]) -> dict[str, Any]:
    return dict(list(found.items())[:_RUNS_OF_A_FIGURE])


def _contents(rows: AnalysedRows, analysis: str) -> Iterator[dict[str, Any]]:
    for of in rows.values():
        for folder in of.values():
            content = read_analysis(folder, analysis)
            if content is not None and content["status"] == "complete":
                yield content


def _numbers(of: Mapping[int, Path]) -> dict[int, dict[str, float]]:
    """By seed and column, the numbers of embeddings."""
    found = {}
    for seed, folder in of.items():
        content = next(_contents({"": {seed: folder}}, "embeddings"), None)
        if content is not None:
            apart = content["silhouettes"]
            numbers = {f"probe, {name}": value for name, value in content["probe"].items()}
            numbers["silhouette of modalities"] = apart["modality"]
            for kind in ("emotion", "quadrant"):
                numbers |= {f"silhouette of {kind}s, {name}": value for name, value in apart[kind].items()}
            found[seed] = {name: value for name, value in numbers.items() if value is not None}
    return found


def _difference(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {name: one[name] - other[name] for name in one if name in other}


def _mean(of: Mapping[int, Mapping[str, float]], column: str, sign: str = "") -> str:
    values = [one[column] for one in of.values() if column in one]
    if not values:
        return _NOTHING
    digits = 1 if column.startswith("probe") else 3
    mean, count = float(np.mean(values)), len(values)
    ends = []
    if count > 1:
        half = float(stats.t.ppf(0.975, count - 1) * np.std(values, ddof=1) / np.sqrt(count))
        ends = [mean - half, mean + half]
    return _number(mean, ends, f"{sign}.{digits}f")


def _interval(found: Estimate) -> str:
    return _number(found.value, [found.low, found.high], f".{METRICS[_METRIC].decimals}f")


def _number(value: float, ends: Sequence[float], form: str) -> str:
    texts = [f"{one:{form}}".replace("-", "−") for one in (value, *ends)]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]" if ends else texts[0]


def _labels(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _runs(of: Mapping[int, Robustness], condition: Condition) -> list[Run]:
    return [
        Run(one.predictions[condition.name], one.threshold, seed)
        for seed, one in of.items()
        if condition in one.conditions
    ]


def _by_speaker(runs: Mapping[str, Sequence[Run]]) -> dict[str, list[Run]]:
    found, _ = in_groups_of_speakers({row: {run.seed: run.predictions for run in of} for row, of in runs.items()})
    return {row: [replace(run, predictions=found[row][run.seed]) for run in of] for row, of in runs.items()}


def _words(condition: Condition) -> str:
    if condition.kind == "removed":
        return f"{condition.percent} % of rows without {condition.modality}"
    return f"speech with white noise at {condition.decibels:g} dB" if condition.kind == "noise" else "all as it is"


def _noise_reasons(rows: AnalysedRows) -> list[str]:
    reasons = dict.fromkeys(content["noise_reason"] for content in _contents(rows, "robustness"))
    return [f"Without noisy speech: {reason}" for reason in reasons if reason]


def _robustness_data(condition: Condition, found: Comparison) -> Iterator[dict[str, Any]]:
    for row, metrics in found.scores.items():
        for metric, estimate in metrics.items():
            difference = found.differences.get(row, {}).get(metric)
            fields = ("value", "low", "high", "p_holm")
            yield {
                "condition": condition.name, "modality": condition.modality, "percent_removed": condition.percent,
                "decibels": condition.decibels, "row": row, "metric": metric, "value": estimate.value,
                "low": estimate.low, "high": estimate.high, "reference": found.reference,
                **{f"difference_{name}": getattr(difference, name, None) for name in fields},
                "rows": found.num_rows, "seeds": found.num_runs[row],
            }  # fmt: skip


def _robustness_figure(scores: Mapping[Condition, Comparison]) -> Any:
    panels: dict[str, dict[str, list[tuple[float, Estimate]]]] = {}
    clean = next(found for condition, found in scores.items() if condition.kind == "clean")
    for condition, found in scores.items():
        if condition.kind == "clean":
            continue
        is_noise = condition.kind == "noise"
        panel = panels.setdefault("noise" if is_noise else str(condition.modality), {})
        for row, metrics in found.scores.items():
            start = (np.inf if is_noise else 0.0, clean.scores[row][_METRIC])
            place = float(condition.decibels or 0) if is_noise else float(condition.percent)
            panel.setdefault(row, [start]).append((place, metrics[_METRIC]))
    return draw_robustness(panels, METRICS[_METRIC].column)
