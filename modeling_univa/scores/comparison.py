# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
Which differences between systems are real, from predictions alone: intervals, p values and shared ranks.

A system is measured on some dialogues, with some training seeds. The true value is that of all dialogues of the kind
and of all seeds; each draw of the bootstrap shows what others of both might have shown:

* **Dialogues are resampled**: as many as there are, with replacement, with all their rows, the same ones for every
  system and seed. Where rows come in larger groups that are not independent, such as the speakers of a
  cross-validation by speaker, these `groups` of the predictions are resampled in their place. Metrics of each run are
  computed from the drawn rows, then averaged over seeds. A label that a draw neither has nor predicts counts as an F1
  of 0, as in `metrics/multilabel_emotion`.
* **Seeds are not drawn with replacement**: a few values resampled vary too little where seeds matter, and count two
  times too often what each seed gets right in these very dialogues. Instead a draw adds a normal error with the
  variance of the mean over seeds, less that interaction of seeds and dialogues, which the draws of dialogues show
  already.
* The distance of a draw from the estimate is then scaled as Student's t scales a normal one, with Satterthwaite's
  degrees of freedom of these variances. Intervals are percentiles of the draws, p values twice the smaller share of
  draws on one side of zero.

Two systems with the same seeds are paired: all of this is done with the differences seed by seed. Otherwise their
seeds are independent, and the variances add up. **A system with one run** shows no variance of seeds: its seed counts
as fixed, and the interval is about this one model, not about training it again. With one run each, all of this is the
paired percentile bootstrap of dialogues, with Student's factor for their number.

Coverage of 95 % intervals of a difference, lowest and highest of the four metrics, in per cent of 3,000 simulated data
sets or more (standard error 0.4) with 200 dialogues of 3 to 11 rows. The effect of seeds is the standard error of mean
accuracy that comes from their different quality, over that from dialogues:

| effect of seeds | seeds | this module | dialogues and seeds with replacement | dialogues alone |
|---|---|---|---|---|
| 0 | 5 | 96.0 to 96.6 | 98.5 to 98.8 | 94.1 to 94.9 |
| 0, but seeds agree less | 5 | 97.0 to 97.6 | 99.2 to 99.4 | 93.9 to 94.5 |
| 0.9 | 5 | 94.6 to 95.8 | 96.4 to 98.4 | 85.7 to 93.1 |
| 0.9, seeds not paired | 5 | 95.0 to 95.9 | 96.8 to 98.7 | 85.0 to 93.0 |
| 2.7 | 5 | 94.0 to 94.7 | 87.5 to 94.4 | 47.7 to 77.8 |
| 2.7, seeds not paired | 5 | 94.9 to 95.5 | 90.1 to 95.5 | 47.8 to 78.0 |
| 3.1 | 3 | 93.4 to 94.6 | 82.9 to 93.3 | 44.4 to 75.0 |

So intervals are a little too wide where seeds do not matter. Where they decide, small p values come too often: below
0.01 for 1.5 % of equal systems with 5 seeds, and for 3 % with 3. Compare systems with 5 seeds or more. BCa intervals
cover within 0.4 points of percentiles of the same draws and are not offered.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from .headline import METRICS
from .predictions import Predictions
from .thresholds import Threshold, predicted_labels


__all__ = ["Comparison", "Difference", "Estimate", "Run", "compare", "holm", "shared_ranks"]

_NAMES = ("accuracy", "hamming_loss", "micro_f1", "macro_f1")
_LARGEST = np.array([1 if name == "hamming_loss" else 100 for name in _NAMES])
# Numbers in the largest array of a chunk of draws: 32 MB.
_CHUNK_SIZE = 4_000_000
# Sums in another order differ in the last bits; differences of equal systems have to be zero.
_DECIMALS = 10


@dataclass(frozen=True)
class Run:
    """
    What one trained model predicts of one split.

    Args:
        predictions: scores and labels of the rows.
        threshold: a label is predicted where its score is greater; one for all labels, or one each.
        seed: of the training; it pairs the runs of two systems.
    """

    predictions: Predictions
    threshold: Threshold
    seed: int = 0


@dataclass(frozen=True)
class Estimate:
    """
    A metric of a system, mean over its seeds.

    Args:
        value: in the unit of the metric.
        low, high: ends of the interval.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """
    A metric of one system minus that of another, both as means over seeds.

    Args:
        metric: its name in `METRICS`.
        system, other: names of the systems.
        value: of `system` minus `other`, in the unit of the metric.
        low, high: ends of the interval.
        p_value: two-sided, of a difference of zero.
        p_holm: the same after Holm's correction over the comparisons that are reported together.
        better: the system that is shown to be better, None where the two cannot be told apart.
    """

    metric: str
    system: str
    other: str
    value: float
    low: float
    high: float
    p_value: float
    p_holm: float
    better: str | None


@dataclass(frozen=True)
class Comparison:
    """
    Systems on the rows of one split; `dataclasses.asdict` turns it into what JSON can hold.

    Args:
        reference: name of the system that `differences` refers to.
        confidence: of the intervals; a difference is shown where `p_holm` is below one minus this.
        draws, seed: of the bootstrap.
        num_rows, num_rows_without_label, num_dialogues: that all rests on.
        num_groups, group_kind: how many groups of rows are resampled, and what they are: the dialogues or others.
        num_runs: seeds of each system. With one, intervals do not cover what another seed would change.
        scores: by system and metric.
        differences: from the reference, by the other system and metric; `p_holm` is over those of one metric.
        pairwise: of all pairs; `p_holm` is over the pairs of one metric.
        ranks: by metric and system, as [`shared_ranks`] says, from `pairwise`.
    """

    reference: str
    confidence: float
    draws: int
    seed: int
    num_rows: int
    num_rows_without_label: int
    num_dialogues: int
    num_groups: int
    group_kind: str
    num_runs: dict[str, int]
    scores: dict[str, dict[str, Estimate]]
    differences: dict[str, dict[str, Difference]]
    pairwise: list[Difference]
    ranks: dict[str, dict[str, int]]


def compare(
    systems: Mapping[str, Sequence[Run]],
    reference: str,
    *,
    draws: int = 10_000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Comparison:
    """
    Accuracy, Hamming loss, micro-F1 and macro-F1 of systems, with intervals, p values and shared ranks.

    Whole dialogues or larger groups are resampled, and the variance between seeds is added: the head of this module
    says how exactly.

    Args:
        systems: the runs of each system, one a seed, all on the same rows; rows may be in any order.
        reference: the system that all others are compared with.
        draws: of the bootstrap; no p value is below 2 / (draws + 1).
        seed: of the bootstrap. The same arguments and seed return the same numbers.
        confidence: of the intervals.

    Raises:
        `ValueError`: runs differ in utterances, dialogues, groups or labels, there are fewer than two groups, or
            arguments do not fit.
    """
    _check_arguments(systems, reference, draws, confidence)
    split = _Split(systems)
    values = split.metrics(draws, seed)
    ordered = [name for name in systems if name != reference] + [reference]
    pairs = {
        (first, second): _drawn(_parts(systems, values, first, second), split.num_groups, seed)
        for first, second in combinations(ordered, 2)
    }
    level = 1 - confidence
    pairwise = _differences(pairs, level)
    return Comparison(
        reference=reference,
        confidence=confidence,
        draws=draws,
        seed=seed,
        num_rows=split.num_rows,
        num_rows_without_label=split.num_rows_without_label,
        num_dialogues=split.num_dialogues,
        num_groups=split.num_groups,
        group_kind=split.group_kind,
        num_runs={name: len(runs) for name, runs in systems.items()},
        scores={name: _estimates(_drawn([values[name]], split.num_groups, seed), level) for name in systems},
        differences=_against(pairwise, reference, level),
        pairwise=pairwise,
        ranks={name: shared_ranks(systems, _beaten(pairwise, name)) for name in _NAMES},
    )


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """
    P values after Holm's step-down correction (Holm, 1979), in the order given.

    Args:
        p_values (of shape `(n,)`): in [0, 1]. NaN is a comparison that was not made: it stays NaN and is not counted.

    Raises:
        `ValueError`: they are not a list of numbers in [0, 1].
    """
    values = np.array(p_values, dtype=np.float64)
    if values.ndim != 1 or (values < 0).any() or (values > 1).any():
        raise ValueError(f"`p_values` must be a list of numbers from 0 to 1 or NaN, got {p_values!r:.80}.")
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    values[order] = np.minimum(np.maximum.accumulate(factors * values[order]), 1)
    return values


def shared_ranks(systems: Iterable[str], better: Iterable[tuple[str, str]]) -> dict[str, int]:
    """
    Rank of each system: one plus the number of systems that are shown to be better.

    Systems share a rank where the same number is better. "Cannot be told apart" is not transitive, and this rule does
    not need it: where A is better than C, and B cannot be told from either, the ranks are A 1, B 1, C 2. So different
    ranks alone do not show a difference (B and C); the pairs do.

    Args:
        systems: names.
        better: pairs (better system, worse system), each pair once.
    """
    worse = [loser for _, loser in better]
    return {name: 1 + worse.count(name) for name in systems}


class _Split:
    """
    Sums over the rows of every group, all that the metrics need.

    `shared` is `(groups, 1, C + 1)`: positives of the labels, and rows. `runs` is `(groups, runs, 2 C + 1)`:
    hits and predictions of the labels, and the Jaccard index of rows.
    """

    def __init__(self, systems: Mapping[str, Sequence[Run]]):
        named = [(f"{name!r} with seed {run.seed}", run) for name, runs in systems.items() for run in runs]
        tables = _aligned(named)
        labels = tables[0].labels
        groups, index = np.unique(tables[0].groups, return_inverse=True)
        self.group_kind = named[0][1].predictions.group_kind
        if len(groups) < 2:
            kind = self.group_kind[:1].upper() + self.group_kind[1:]
            raise ValueError(f"{kind} are resampled: expected at least two of them, found {len(groups)}.")
        self.sizes = {name: len(runs) for name, runs in systems.items()}
        self.num_rows, self.num_dialogues = len(labels), len(np.unique(tables[0].dialogues))
        self.num_groups = len(groups)
        self.num_rows_without_label = int((~labels.any(axis=1)).sum())
        self.shared = _summed(np.column_stack([labels, np.ones(len(labels))]), index)[:, None]
        self.runs = np.stack([_summed(_run_columns(table), index) for table in tables], axis=1)

    def metrics(self, draws: int, seed: int) -> dict[str, np.ndarray]:
        """By system, `(1 + draws, runs, metrics)`: of the rows as they are, then of draws of as many groups."""
        values = np.concatenate([self._of(weights) for weights in self._weights(draws, seed)])
        parts = np.split(values, np.cumsum(list(self.sizes.values()))[:-1], axis=1)
        return dict(zip(self.sizes, parts, strict=True))

    def _weights(self, draws: int, seed: int) -> Iterator[np.ndarray]:
        """How often each group is in a draw, `(draws, groups)`, in chunks; first a draw of each once."""
        number = self.num_groups
        yield np.ones((1, number))
        random = np.random.default_rng((seed, 0))
        size = max(1, _CHUNK_SIZE // max(number, self.runs[0].size))
        for start in range(0, draws, size):
            count = min(size, draws - start)
            drawn = random.integers(number, size=(count, number)) + number * np.arange(count)[:, None]
            yield np.bincount(drawn.ravel(), minlength=count * number).reshape(count, number).astype(np.float64)

    def _of(self, weights: np.ndarray) -> np.ndarray:
        shared, runs = (
            (weights @ sums.reshape(len(sums), -1)).reshape(len(weights), *sums.shape[1:])
            for sums in (self.shared, self.runs)
        )
        return _metrics(runs, shared)


def _metrics(runs: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """`_NAMES` of sums as in [`_Split`], in the units of `metrics/multilabel_emotion`: `(draws, runs, metrics)`."""
    size = shared.shape[-1] - 1
    hits, predicted, jaccard = runs[..., :size], runs[..., size:-1], runs[..., -1]
    rows = shared[..., -1]
    both = predicted + shared[..., :-1]
    values = {
        "accuracy": 100 * jaccard / rows,
        "hamming_loss": (both - 2 * hits).sum(axis=-1) / (size * rows),
        "micro_f1": 100 * _ratio(2 * hits.sum(axis=-1), both.sum(axis=-1)),
        "macro_f1": 100 * _ratio(2 * hits, both).mean(axis=-1),
    }
    return np.stack([values[name] for name in _NAMES], axis=-1)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """0 where there is nothing to count."""
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)


@dataclass(frozen=True)
class _Table:
    """A run's rows by utterance id; labels and predictions are bool `(rows, C)`."""

    ids: np.ndarray
    dialogues: np.ndarray
    groups: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray


def _run_columns(table: _Table) -> np.ndarray:
    """`(rows, 2 C + 1)`; a row without label and prediction has a Jaccard index of 0, as in the metric."""
    hits = table.labels & table.predicted
    union = (table.labels | table.predicted).sum(axis=1).astype(np.float64)
    return np.column_stack([hits, table.predicted, _ratio(hits.sum(axis=1), union)])


def _summed(columns: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Sums `(groups, n)` of rows `(rows, n)` whose group is `index`."""
    order = np.argsort(index, kind="stable")
    starts = np.flatnonzero(np.diff(index[order], prepend=-1))
    return np.add.reduceat(columns[order], starts, axis=0)


def _parts(
    systems: Mapping[str, Sequence[Run]], values: Mapping[str, np.ndarray], first: str, second: str
) -> list[np.ndarray]:
    """What adds up to a difference, each over seeds of its own: one part of paired seeds, or two of others."""
    places = [{run.seed: place for place, run in enumerate(systems[name])} for name in (first, second)]
    if places[0].keys() != places[1].keys():
        return [values[first], -values[second]]
    return [values[first] - values[second][:, [places[1][run.seed] for run in systems[first]]]]


def _drawn(parts: Sequence[np.ndarray], num_groups: int, seed: int) -> np.ndarray:
    """`(1 + draws, metrics)`: the sum of the means over seeds, then draws of it, as [`compare`] says."""
    total = np.sum([part.mean(axis=1) for part in parts], axis=0)
    estimate, draws = total[0], total[1:]
    found = [_seed_variances(part) for part in parts if part.shape[1] > 1]
    of_groups, of_seeds = draws.var(axis=0), np.sum([left for left, _, _ in found], axis=0)
    uncertainty = of_groups**2 / (num_groups - 1)
    uncertainty = uncertainty + np.sum([between**2 / freedom for _, between, freedom in found], axis=0)
    # Satterthwaite's. Where nothing varies, any will do.
    known = uncertainty > 0
    freedom = np.divide((of_groups + of_seeds) ** 2, uncertainty, out=np.ones_like(estimate), where=known)
    # Of two groups or seeds each has one; less comes from a variance of seeds that is all subtracted.
    freedom = np.maximum(freedom, 1)
    random = np.random.default_rng((seed, 1))
    deviations = draws - estimate + np.sqrt(of_seeds) * random.standard_normal((len(draws), 1))
    student = deviations * np.sqrt(freedom / random.chisquare(freedom, size=draws.shape))
    return np.concatenate([total[:1], estimate + student]).round(_DECIMALS)


def _seed_variances(part: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """
    Variance `(metrics,)` of the mean over seeds that comes from seeds alone; that of their values; degrees of freedom.

    Values of seeds also differ by what each seed gets right in these very groups. Draws of groups vary this already:
    its variance, which they show, is subtracted.
    """
    seeds = part.shape[1]
    between = part[0].var(axis=0, ddof=1) / seeds
    own = part[1:] - part[1:].mean(axis=1, keepdims=True)
    interaction = own.var(axis=0).sum(axis=0) / (seeds - 1) / seeds
    return np.maximum(between - interaction, 0), between, seeds - 1


def _estimates(drawn: np.ndarray, level: float, least: float = 0) -> dict[str, Estimate]:
    """By metric: the estimate, and percentiles of the draws, cut to `least` and 1 times the metric's largest value."""
    low, high = np.quantile(drawn[1:], [level / 2, 1 - level / 2], axis=0).clip(least * _LARGEST, _LARGEST)
    columns = zip(_NAMES, drawn[0].tolist(), low.tolist(), high.tolist(), strict=True)
    return {name: Estimate(*numbers) for name, *numbers in columns}


def _p_values(drawn: np.ndarray) -> np.ndarray:
    """Twice the smaller share of draws on one side of zero; the rows as they are count as one more draw."""
    counts = np.minimum((drawn[1:] <= 0).sum(axis=0), (drawn[1:] >= 0).sum(axis=0))
    return np.minimum(2 * (counts + 1) / len(drawn), 1)


def _differences(pairs: Mapping[tuple[str, str], np.ndarray], level: float) -> list[Difference]:
    """Of every pair and metric, corrected over the pairs of a metric."""
    found = [
        Difference(name, *pair, estimate.value, estimate.low, estimate.high, p_value, p_value, None)
        for pair, drawn in pairs.items()
        for (name, estimate), p_value in zip(
            _estimates(drawn, level, -1).items(), _p_values(drawn).tolist(), strict=True
        )
    ]
    return [one for name in _NAMES for one in _corrected([one for one in found if one.metric == name], level)]


def _corrected(family: Sequence[Difference], level: float) -> list[Difference]:
    corrected = holm([one.p_value for one in family]).tolist()
    return [
        replace(one, p_holm=p_holm, better=_winner(one) if p_holm < level else None)
        for one, p_holm in zip(family, corrected, strict=True)
    ]


def _winner(difference: Difference) -> str:
    first = (difference.value > 0) is METRICS[difference.metric].greater_is_better
    return difference.system if first else difference.other


def _against(pairwise: Sequence[Difference], reference: str, level: float) -> dict[str, dict[str, Difference]]:
    """By system and metric."""
    table: dict[str, dict[str, Difference]] = {}
    for name in _NAMES:
        family = [one for one in pairwise if one.metric == name and one.other == reference]
        for one in _corrected(family, level):
            table.setdefault(one.system, {})[name] = one
    return table


def _beaten(pairwise: Sequence[Difference], metric: str) -> list[tuple[str, str]]:
    found = [one for one in pairwise if one.metric == metric and one.better]
    return [(one.system, one.other) if one.better == one.system else (one.other, one.system) for one in found]


def _check_arguments(systems: Mapping[str, Sequence[Run]], reference: str, draws: int, confidence: float) -> None:
    if reference not in systems:
        raise ValueError(f"`reference` must be one of the systems {sorted(systems)}, got {reference!r}.")
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` must be between 0 and 1, got {confidence!r}.")
    pairs = len(systems) * (len(systems) - 1) // 2
    needed = int(2 * max(pairs, 1) / (1 - confidence)) + 1
    if draws < needed:
        raise ValueError(
            f"`draws` must be at least {needed} for {pairs} pairs of systems, got {draws}: with fewer, no difference "
            "could remain after Holm's correction."
        )
    for name, runs in systems.items():
        seeds = [run.seed for run in runs]
        if not seeds or len(set(seeds)) < len(seeds):
            raise ValueError(f"System {name!r} must have one or more runs of different seeds, got the seeds {seeds}.")


def _aligned(named: Sequence[tuple[str, Run]]) -> list[_Table]:
    """Rows of all runs in the order of utterance ids, refused where they are not the same rows."""
    first, *others = [(name, _read(name, run)) for name, run in named]
    for other in others:
        _check_same_ids(first, other)
        for what in ("dialogues", "groups", "labels"):
            _check_same(what, first, other)
    return [first[1], *(table for _, table in others)]


def _read(name: str, run: Run) -> _Table:
    found = run.predictions
    resampled = found.dialogue_ids if found.groups is None else found.groups
    ids, dialogues, groups, scores, labels = map(
        np.asarray, (found.utterance_ids, found.dialogue_ids, resampled, found.scores, found.labels)
    )
    if scores.ndim != 2 or scores.shape != labels.shape or {*map(len, (ids, dialogues, groups))} != {len(scores)}:
        raise ValueError(
            f"Scores and labels of {name} must have one row for each of {len(ids)} utterances, {len(dialogues)} "
            f"dialogue ids and {len(groups)} groups, got the shapes {scores.shape} and {labels.shape}."
        )
    if np.shape(run.threshold) not in ((), scores.shape[1:]):
        raise ValueError(
            f"The threshold of {name} must be one number, or one for each of {scores.shape[1]} labels, got the shape "
            f"{np.shape(run.threshold)}."
        )
    if not np.isfinite(scores).all() or not np.isfinite(run.threshold).all():
        raise ValueError(f"Scores and threshold of {name} must be finite numbers; predict again.")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"Labels of {name} must be 0 or 1, got {np.unique(labels)[:5].tolist()}.")
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    if (ids[1:] == ids[:-1]).any():
        raise ValueError(f"Utterance ids of {name} must differ, got {str(ids[1:][ids[1:] == ids[:-1]][0])!r} twice.")
    return _Table(
        ids, dialogues[order], groups[order], labels[order] != 0, predicted_labels(scores[order], run.threshold)
    )


def _check_same_ids(first: tuple[str, _Table], other: tuple[str, _Table]) -> None:
    if np.array_equal(first[1].ids, other[1].ids):
        return
    different = np.setxor1d(first[1].ids, other[1].ids)
    here, there = (first, other) if different[0] in first[1].ids else (other, first)
    raise ValueError(
        f"All runs must be on the same rows, but utterance {str(different[0])!r} is in the run of {here[0]} and not "
        f"in that of {there[0]} ({len(different)} such utterances); compare runs on one split of one corpus."
    )


def _check_same(what: str, first: tuple[str, _Table], other: tuple[str, _Table]) -> None:
    here, there = (getattr(table, what).reshape(len(table.ids), -1) for _, table in (first, other))
    if here.shape != there.shape:
        raise ValueError(
            f"All runs must have the same number of labels, got {here.shape[1]} in that of {first[0]} and "
            f"{there.shape[1]} in that of {other[0]}."
        )
    different = np.flatnonzero((here != there).any(axis=1))
    if len(different):
        raise ValueError(
            f"All runs must have the same {what}, but those of utterance {str(first[1].ids[different[0]])!r} differ "
            f"between {first[0]} and {other[0]} ({len(different)} such utterances); compare runs on one corpus."
        )
