# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Comparison of systems against naive loops, scipy, and data whose true differences are known."""

import importlib.util
import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
from scipy.stats import binom, bootstrap, sem, t

from modeling_univa.scores import comparison
from modeling_univa.scores.comparison import Comparison, Run, compare, holm, shared_ranks
from modeling_univa.scores.headline import METRICS
from modeling_univa.scores.metrics import metric_path
from modeling_univa.scores.predictions import Predictions


NAMES = ("accuracy", "hamming_loss", "micro_f1", "macro_f1")
BASES = np.array([0.3, 0.8, 1.0, 1.1, 1.3, 1.6])


def figures() -> dict:
    """Those of the `evaluate` module, which rest on scikit-learn."""
    spec = importlib.util.spec_from_file_location("scoring_of_the_metric", metric_path() / "scoring.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FIGURES


FIGURES = figures()


def run_of(predicted: np.ndarray, labels: np.ndarray, dialogues: np.ndarray, seed: int = 0) -> Run:
    ids = np.char.add("u", np.arange(len(labels)).astype(str))
    scores = np.where(predicted, 0.9, 0.1).astype(np.float32)
    return Run(Predictions(ids, np.char.add("d", dialogues.astype(str)), scores, labels.astype(np.int8)), 0.5, seed)


def simulated(
    random: np.random.Generator, qualities: dict[str, float], dialogues=200, seeds=5, seed_effect=0.05, own_noise=0.7
) -> dict[str, list[Run]]:
    """
    Runs on dialogues of 3 to 11 utterances; what is hard is so for whole dialogues, and for all systems and seeds.

    Args:
        qualities: how much each system sees of what makes a label.
        seed_effect: standard deviation of the quality from seed to seed.
        own_noise: how much seeds differ on the same rows.
    """
    index = np.repeat(np.arange(dialogues), random.integers(3, 12, dialogues))

    def noise(of_dialogue: float, of_row: float) -> np.ndarray:
        shared = random.standard_normal((dialogues, len(BASES)))[index]
        return of_dialogue * shared + of_row * random.standard_normal((len(index), len(BASES)))

    latent, hard = noise(0.6, 0.8), noise(0.4, 0.5)
    labels, systems = latent > BASES, {}
    for name, quality in qualities.items():
        seen = hard + noise(0.3, 0.4)
        of_seeds = quality + seed_effect * random.standard_normal(seeds)
        predicted = [each * latent + seen + noise(0.5 * own_noise, 0.8 * own_noise) > BASES + 0.1 for each in of_seeds]
        systems[name] = [run_of(one, labels, index, seed) for seed, one in enumerate(predicted)]
    return systems


def true_values(quality: float, seed_effect: float, own_noise: float, dialogues: int) -> np.ndarray:
    """Metrics of a system, mean over all seeds there could be (Gauss-Hermite nodes), on very many dialogues."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    qualities = {str(node): quality + seed_effect * node for node in nodes}
    systems = simulated(np.random.default_rng(0), qualities, dialogues, 1, 0, own_noise)
    values = [naive(systems[str(node)][0]) for node in nodes]
    return weights @ values / weights.sum()


def coverage(sets: int, seed: int = 0, gap: float = 0.0, draws: int = 2000, **settings: float) -> np.ndarray:
    """
    Share of simulated data sets whose interval holds the true difference, for each metric.

    4,000 data sets or more tell 95 % from 94 % or 96 % by three standard errors. To see that:
    `PYTHONPATH=.:tests/scores python -c "import test_comparison as t; print(t.coverage(4000, seed_effect=0.05))"`.
    """
    truth, random = np.zeros(len(NAMES)), np.random.default_rng(seed)
    if gap:  # otherwise both systems are of one distribution, and the truth is exactly 0
        settings = {"seed_effect": 0.05, "own_noise": 0.7, **settings}
        parts = {name: settings[name] for name in ("seed_effect", "own_noise")}
        truth = np.subtract(*(true_values(1 + each, **parts, dialogues=40_000) for each in (gap, 0)))
    found = []
    for _ in range(sets):
        systems = simulated(random, {"a": 1 + gap, "b": 1}, **settings)
        row = compare(systems, "b", draws=draws, seed=int(random.integers(2**31))).differences["a"]
        found.append([row[name].low <= value <= row[name].high for name, value in zip(NAMES, truth, strict=True)])
    return np.mean(found, axis=0)


def decided(run: Run) -> np.ndarray:
    return run.predictions.scores.astype(np.float64) > run.threshold


def naive(run: Run, rows: np.ndarray | slice = slice(None)) -> list[float]:
    """The metrics of some rows, as the `evaluate` module computes them."""
    labels, predicted = run.predictions.labels[rows], decided(run)[rows].astype(int)
    return [FIGURES[name].value(labels, predicted, 0) for name in NAMES]


def without_labels(systems: dict[str, list[Run]]) -> dict[str, list[Run]]:
    """The same with rows that have neither a label nor a prediction, and without any sixth label."""
    for run in (run for runs in systems.values() for run in runs):
        run.predictions.labels[:20] = run.predictions.labels[:, 5] = 0
        run.predictions.scores[:20] = run.predictions.scores[:, 5] = 0
    return systems


@pytest.fixture(scope="module")
def systems() -> dict[str, list[Run]]:
    return without_labels(simulated(np.random.default_rng(1), {"good": 1.3, "other": 1.0, "bad": 0.3}, 60, 3))


@pytest.fixture(scope="module")
def found(systems) -> Comparison:
    return compare(systems, "other", draws=2000)


def changed(systems: dict[str, list[Run]], name: str, change: Callable[[Run], Run]) -> dict[str, list[Run]]:
    return {**systems, name: [change(run) for run in systems[name]]}


def with_predictions(run: Run, **values: object) -> Run:
    return replace(run, predictions=replace(run.predictions, **values))


def reordered(run: Run, order: np.ndarray) -> Run:
    return replace(run, predictions=run.predictions.at(order))


def reseeded(run: Run) -> Run:
    return replace(run, seed=run.seed + 100)


def width(result: Comparison, system: str, metric: str = "accuracy") -> float:
    difference = result.differences[system][metric]
    return difference.high - difference.low


class TestEstimates:
    def test_scores_are_the_means_over_seeds_of_the_metric(self, systems, found):
        for name, runs in systems.items():
            values = [found.scores[name][metric].value for metric in NAMES]
            np.testing.assert_allclose(values, np.mean([naive(run) for run in runs], axis=0), atol=1e-9)

    def test_differences_are_those_of_the_scores(self, found):
        for one in found.pairwise:
            scores = [found.scores[name][one.metric].value for name in (one.system, one.other)]
            assert one.value == pytest.approx(scores[0] - scores[1], abs=1e-9)
            assert one.low <= one.value <= one.high and one.low < one.high
        assert len(found.pairwise) == 3 * len(NAMES) and set(NAMES) == set(METRICS)

    def test_threshold_is_held_against_the_scores_in_double_precision(self):
        labels, dialogues = np.eye(4), np.array([0, 0, 1, 1])
        run = run_of(labels > 0, labels, dialogues)
        run = with_predictions(run, scores=np.where(labels, np.float32(0.18), np.float32(0.1)))
        assert compare({"a": [replace(run, threshold=0.18)]}, "a").scores["a"]["micro_f1"].value == 100

    def test_each_label_may_have_a_threshold_of_its_own(self, systems, found):
        def own(run: Run) -> Run:
            factors = np.array([1, 0.1, 0.2, 0.3, 0.4, 1], dtype=np.float32)
            return with_predictions(
                replace(run, threshold=(0.5 * factors).tolist()), scores=run.predictions.scores * factors
            )

        assert compare(changed(systems, "good", own), "other", draws=2000) == found

    def test_counts(self, systems, found):
        rows = len(systems["good"][0].predictions.utterance_ids)
        assert (found.num_rows, found.num_dialogues) == (rows, 60)
        assert 20 <= found.num_rows_without_label < rows
        assert found.num_runs == {"good": 3, "other": 3, "bad": 3}

    def test_json_holds_all(self, found):
        text = json.dumps(asdict(found))
        assert json.loads(text)["differences"]["good"]["macro_f1"]["better"] == "good"


class TestDraws:
    @pytest.mark.parametrize("paired", [True, False])
    def test_equal_a_naive_loop(self, systems, paired):
        """Rows of the drawn dialogues, scored by scikit-learn; then what the choice of seeds adds."""
        pair = {name: systems[name][:2] for name in ("good", "other")}
        pair = pair if paired else changed(pair, "good", reseeded)
        draws = 40
        values = self.values_of_draws(pair, draws, seed=3)
        groups = [values["good"] - values["other"]] if paired else [values["good"], -values["other"]]
        expected = self.with_seeds(groups, seed=3)
        found = compare(pair, "other", draws=draws, seed=3).differences["good"]
        for place, name in enumerate(NAMES):
            column = expected[:, place]
            low, high = np.quantile(column, [0.025, 0.975])
            share = min(sum(column <= 0), sum(column >= 0))
            assert (found[name].low, found[name].high) == pytest.approx((low, high), abs=1e-8)
            assert found[name].p_value == pytest.approx(min(1, 2 * (share + 1) / (draws + 1)))

    @staticmethod
    def values_of_draws(pair, draws, seed):
        """By system, (1 + draws, seeds, metrics)."""
        dialogues = pair["good"][0].predictions.dialogue_ids
        names = sorted(set(dialogues))
        chosen = np.random.default_rng((seed, 0)).integers(len(names), size=(draws, len(names)))
        rows_of = {name: np.flatnonzero(dialogues == name) for name in names}
        rows = [np.arange(len(dialogues))]
        rows += [np.concatenate([rows_of[names[place]] for place in draw]) for draw in chosen]
        return {name: np.array([[naive(run, part) for run in runs] for part in rows]) for name, runs in pair.items()}

    @staticmethod
    def with_seeds(groups, seed):
        """Draws of the sum of means over seeds; each group has seeds of its own."""
        draws, metrics = len(groups[0]) - 1, len(NAMES)
        means = sum(group.mean(axis=1) for group in groups)
        settings = [TestDraws.variance_and_freedom(groups, means, metric) for metric in range(metrics)]
        random = np.random.default_rng((seed, 1))
        normal = random.standard_normal(draws)
        chi = random.chisquare([freedom for _, freedom in settings], (draws, metrics))
        result = np.empty((draws, metrics))
        for draw in range(draws):
            for metric, (of_seeds, freedom) in enumerate(settings):
                deviation = means[draw + 1, metric] - means[0, metric] + normal[draw] * math.sqrt(of_seeds)
                result[draw, metric] = means[0, metric] + deviation / math.sqrt(chi[draw, metric] / freedom)
        return result

    @staticmethod
    def variance_and_freedom(groups, means, metric):
        """What the choice of seeds adds to the variance, and Satterthwaite's degrees of freedom of the whole."""
        of_dialogues, of_seeds = np.var(means[1:, metric]), 0
        uncertainty = of_dialogues**2 / 59  # of 60 dialogues
        for group in groups:
            seeds = group.shape[1]
            between = np.var(group[0, :, metric], ddof=1) / seeds
            own = [np.var(group[1:, s, metric] - group[1:, :, metric].mean(axis=1)) for s in range(seeds)]
            of_seeds += max(0, between - sum(own) / (seeds - 1) / seeds)
            uncertainty += between**2 / (seeds - 1)
        return of_seeds, (of_dialogues + of_seeds) ** 2 / uncertainty

    def test_equal_scipy_where_dialogues_are_rows_and_there_is_one_seed(self):
        systems = simulated(np.random.default_rng(5), {"a": 1.2, "b": 1}, 60, 1)
        rows = np.arange(len(systems["a"][0].predictions.labels))
        systems = {name: [with_predictions(runs[0], dialogue_ids=rows)] for name, runs in systems.items()}
        found = compare(systems, "b", draws=10_000).differences["a"]
        statistics = row_statistics(systems["a"][0]), row_statistics(systems["b"][0])
        for name in NAMES:
            data = [column for columns in statistics for column in columns[name].T]
            expected = bootstrap(
                data, partial(ratio_difference, scale=1 if name == "hamming_loss" else 100), paired=True,
                n_resamples=10_000, method="percentile", vectorized=True, batch=500, rng=np.random.default_rng(7),
            ).confidence_interval  # fmt: skip
            # Four standard errors of the difference of two such percentiles.
            tolerance = 0.04 * (expected.high - expected.low)
            assert found[name].low == pytest.approx(expected.low, abs=tolerance)
            assert found[name].high == pytest.approx(expected.high, abs=tolerance)

    def test_are_the_same_whatever_the_order_of_rows_and_the_size_of_chunks(self, systems, found, monkeypatch):
        order = np.random.default_rng(0).permutation(found.num_rows)
        assert compare(changed(systems, "good", partial(reordered, order=order)), "other", draws=2000) == found
        monkeypatch.setattr(comparison, "_CHUNK_SIZE", 1000)
        chunked = compare(changed(systems, "other", partial(reordered, order=order)), "other", draws=2000)
        assert chunked.ranks == found.ranks
        for one, other in zip(chunked.pairwise, found.pairwise, strict=True):
            assert (one.low, one.high, one.p_value) == pytest.approx((other.low, other.high, other.p_value))

    def test_depend_on_the_seed_alone(self, systems, found):
        assert compare(systems, "other", draws=2000, seed=1).differences != found.differences
        without = compare({name: systems[name] for name in ("good", "other")}, "other", draws=2000)
        for name in NAMES:
            one, other = without.differences["good"][name], found.differences["good"][name]
            assert (one.low, one.high, one.p_value) == pytest.approx((other.low, other.high, other.p_value))

    def test_hold_dialogues_together(self):
        """Four equal rows a dialogue are worth one: taken as dialogues of their own they seem to be worth four."""
        single = simulated(np.random.default_rng(2), {"a": 1.1, "b": 1}, 150, 1)
        rows = np.repeat(np.unique(single["a"][0].predictions.dialogue_ids, return_index=True)[1], 4)
        places = np.arange(len(rows))
        widths = []
        for dialogues in (places, places // 4):
            copies = {
                name: [with_predictions(reordered(runs[0], rows), utterance_ids=places, dialogue_ids=dialogues)]
                for name, runs in single.items()
            }
            widths.append(width(compare(copies, "b"), "a"))
        assert widths[1] / widths[0] == pytest.approx(2, rel=0.06)


def row_statistics(run: Run) -> dict[str, np.ndarray]:
    """By metric, (rows, n): numerators, then denominators of a row; the metric is the mean of ratios of sums."""
    labels, hits, both, overlap = run.predictions.labels, [], [], []
    for wanted, predicted in zip(labels, decided(run), strict=True):
        hits.append([2 * int(a and b) for a, b in zip(wanted, predicted, strict=True)])
        both.append([int(a) + int(b) for a, b in zip(wanted, predicted, strict=True)])
        union = sum(bool(a or b) for a, b in zip(wanted, predicted, strict=True))
        overlap.append([sum(hits[-1]) / 2 / union if union else 0, 1])
    hits, both = np.array(hits), np.array(both)
    micro = np.stack([hits.sum(axis=1), both.sum(axis=1)], axis=1)
    wrong = np.stack([(both - hits).sum(axis=1), np.full(len(both), both.shape[1])], axis=1)
    macro = np.concatenate([hits, both], axis=1)
    return {"accuracy": np.array(overlap), "hamming_loss": wrong, "micro_f1": micro, "macro_f1": macro}


def ratio_difference(*columns: np.ndarray, scale: float, axis: int = -1) -> np.ndarray:
    sums = np.array([column.sum(axis=axis) for column in columns])
    first, second = np.split(sums, 2)
    values = [np.divide(*np.split(part, 2)).mean(axis=0) for part in (first, second)]
    return scale * (values[0] - values[1])


@pytest.fixture(scope="module")
def alike() -> dict[str, list[Run]]:
    """Seeds differ much, and the two systems little from each other with one seed."""
    random = np.random.default_rng(4)
    runs = simulated(random, {"a": 1}, 200, 5, seed_effect=0.3, own_noise=0.3)["a"]
    flips = random.random((5, *runs[0].predictions.labels.shape)) < 0.01
    scores = [
        np.where(flip, 1 - run.predictions.scores, run.predictions.scores)
        for run, flip in zip(runs, flips, strict=True)
    ]
    return {"a": runs, "b": [with_predictions(run, scores=one) for run, one in zip(runs, scores, strict=True)]}


class TestSeeds:
    def test_that_are_the_same_are_paired(self, alike):
        paired, shuffled = compare(alike, "b"), compare({"a": alike["a"][::-1], "b": alike["b"]}, "b")
        other = compare(changed(alike, "a", reseeded), "b")
        fewer = compare({"a": alike["a"], "b": alike["b"][:4]}, "b")
        for name in NAMES:
            assert width(shuffled, "a", name) == pytest.approx(width(paired, "a", name))
            assert width(other, "a", name) > 2 * width(paired, "a", name)
            assert width(fewer, "a", name) > 2 * width(paired, "a", name)

    def test_intervals_stay_on_the_scale(self, alike):
        """Student's t of two dialogues is wide."""
        names = np.asarray(alike["a"][0].predictions.dialogue_ids)
        few = [reordered(run, np.flatnonzero(np.isin(names, np.unique(names)[:2]))) for run in alike["a"]]
        found = compare({"a": few}, "a", draws=2000).scores["a"]
        for name, largest in zip(NAMES, (100, 1, 100, 100), strict=True):
            assert 0 <= found[name].low <= found[name].value <= found[name].high <= largest

    def test_widen_intervals_by_how_much_they_differ(self, alike):
        """Where little else varies: by Student's t of five values."""
        rows = np.arange(len(alike["a"][0].predictions.labels))
        many = [reordered(run, np.tile(rows, 20)) for run in alike["a"]]
        names = np.arange(20 * len(rows))
        found = compare(
            {"a": [with_predictions(run, utterance_ids=names, dialogue_ids=names) for run in many]}, "a", draws=2000
        )
        for name, value in zip(NAMES, np.transpose([naive(run) for run in alike["a"]]), strict=True):
            low, high = t.interval(0.95, 4, value.mean(), sem(value))
            assert (found.scores["a"][name].low, found.scores["a"][name].high) == pytest.approx(
                (low, high), abs=0.05 * (high - low)
            )


@pytest.mark.slow
class TestCoverage:
    @pytest.mark.parametrize(
        "settings",
        [{"seed_effect": 0}, {"seed_effect": 0.05}, {"seed_effect": 0.15}, {"gap": 0.1}],
        ids=str,
    )
    def test_intervals_hold_the_true_difference(self, settings):
        """
        Of 300 data sets.

        An interval that holds it in 95 % passes 999 times of 1,000. One of dialogues alone, without the seeds, holds
        it in 85 % with a seed effect of 0.05, and in 50 % with 0.15.
        """
        low, high = binom.interval(0.999, 300, 0.95)
        shares = coverage(300, seed=11, **settings)
        assert ((low <= 300 * shares) & (300 * shares <= high)).all(), shares

    def test_the_check_finds_intervals_that_are_too_narrow(self, monkeypatch):
        monkeypatch.setattr(comparison, "_seed_variances", lambda group: (0, 0, 1))
        assert (300 * coverage(300, seed=11, seed_effect=0.15) < binom.ppf(0.0005, 300, 0.95)).all()


class TestSignificance:
    def test_what_is_real_is_found_in_the_direction_of_the_metric(self, found):
        assert {name: found.differences["good"][name].better for name in NAMES} == dict.fromkeys(NAMES, "good")
        assert {name: found.differences["bad"][name].better for name in NAMES} == dict.fromkeys(NAMES, "other")
        assert found.differences["good"]["hamming_loss"].value < 0 < found.differences["good"]["accuracy"].value
        assert found.ranks == {name: {"good": 1, "other": 2, "bad": 3} for name in NAMES}

    def test_equal_systems_share_a_rank(self, systems):
        result = compare({"a": systems["good"], "b": systems["good"], "c": systems["bad"]}, "a", draws=2000)
        for name in NAMES:
            one = result.differences["b"][name]
            assert (one.value, one.low, one.high, one.p_value, one.p_holm, one.better) == (0, 0, 0, 1, 1, None)
            assert result.ranks[name] == {"a": 1, "b": 1, "c": 3}

    def test_p_values_are_corrected_over_what_is_reported_together(self, found):
        for name in NAMES:
            pairs = [one for one in found.pairwise if one.metric == name]
            assert [one.p_holm for one in pairs] == naive_holm([one.p_value for one in pairs])
            row = [found.differences[system][name] for system in ("good", "bad")]
            assert [one.p_holm for one in row] == naive_holm([one.p_value for one in row])

    @pytest.mark.parametrize("seed", range(20))
    def test_holm_equals_a_naive_loop(self, seed):
        random = np.random.default_rng(seed)
        values = random.random(random.integers(1, 12)).round(2) ** 3
        assert holm(values).tolist() == pytest.approx(naive_holm(list(values)))

    def test_holm_does_not_count_nan(self):
        np.testing.assert_allclose(holm([0.02, math.nan, 0.03, 0.9]), [0.06, math.nan, 0.06, 0.9])
        assert holm([]).tolist() == [] and math.isnan(holm([math.nan])[0])

    @pytest.mark.parametrize("values", [[-0.1], [1.1], [[0.5]], 0.5])
    def test_holm_refuses_what_is_not_p_values(self, values):
        with pytest.raises(ValueError, match="`p_values` must be a list of numbers from 0 to 1"):
            holm(values)

    def test_ranks_count_the_better_ones(self):
        assert shared_ranks("abc", []) == {"a": 1, "b": 1, "c": 1}
        assert shared_ranks("abc", [("a", "c")]) == {"a": 1, "b": 1, "c": 2}
        assert shared_ranks("abcd", [("a", "c"), ("a", "d"), ("b", "d")]) == {"a": 1, "b": 1, "c": 2, "d": 3}


def naive_holm(values: list[float]) -> list[float]:
    """Each step's factor is the number of hypotheses not yet rejected; no p value is below that of a step before."""
    order = sorted(range(len(values)), key=values.__getitem__)
    result, highest = [0.0] * len(values), 0.0
    for step, place in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - step) * values[place]))
        result[place] = highest
    return result


class TestRefusals:
    @pytest.mark.parametrize(
        "change, message",
        [
            (lambda run: reordered(run, np.arange(1, len(run.predictions.labels))),
             r"utterance 'u0' is in the run of 'good' with seed 0 and not in that of 'bad' with seed 0 \(1 such"),
            (lambda run: with_predictions(run, utterance_ids=["new", *run.predictions.utterance_ids[1:]]),
             "utterance 'new' is in the run of 'bad' with seed 0 and not in that of 'good' with seed 0"),
            (lambda run: with_predictions(run, utterance_ids=["u1", *run.predictions.utterance_ids[1:]]),
             "ids of 'bad' with seed 0 must differ, got 'u1' twice"),
            (lambda run: with_predictions(run, dialogue_ids=["new", *run.predictions.dialogue_ids[1:]]),
             "same dialogues, but those of utterance 'u0' differ between 'good' with seed 0 and 'bad' with seed 0"),
            (lambda run: with_predictions(run, labels=1 - run.predictions.labels), "same labels, but .* 'u0' differ"),
            (lambda run: with_predictions(run, labels=run.predictions.labels * 2), "must be 0 or 1, got"),
            (lambda run: with_predictions(run, scores=run.predictions.scores * np.nan), "must be finite numbers"),
            (lambda run: replace(run, threshold=math.nan), "must be finite numbers"),
            (lambda run: replace(run, threshold=[0.5] * 5), r"one number, or one for each of 6 labels, got .* \(5,"),
            (lambda run: with_predictions(run, scores=run.predictions.scores[:, 1:]), "must have one row for each"),
            (lambda run: with_predictions(run, scores=run.predictions.scores[:, 1:],
                                          labels=run.predictions.labels[:, 1:]),
             "the same number of labels, got 6 .* 'good' with seed 0 and 5 .* 'bad' with seed 0"),
            (lambda run: replace(run, seed=0), r"'bad' must have one or more runs of different seeds, .* \[0, 0, 0\]"),
        ],
    )  # fmt: skip
    def test_of_runs(self, systems, change, message):
        with pytest.raises(ValueError, match=message):
            compare(changed(systems, "bad", change), "other", draws=2000)

    @pytest.mark.parametrize(
        "arguments, message",
        [
            ({"reference": "new"}, "`reference` must be one of the systems"),
            ({"confidence": 95}, "`confidence` must be between 0 and 1, got 95"),
            ({"draws": 100}, "`draws` must be at least 120 for 3 pairs of systems, got 100"),
        ],
    )
    def test_of_arguments(self, systems, arguments, message):
        with pytest.raises(ValueError, match=message):
            compare(systems, **{"reference": "other", **arguments})
        assert compare(systems, "other", draws=120).draws == 120

    def test_of_no_runs_and_of_one_dialogue(self, systems):
        with pytest.raises(ValueError, match="'empty' must have one or more runs"):
            compare({**systems, "empty": []}, "other")
        labels = np.eye(3)
        with pytest.raises(ValueError, match="at least two of them, found 1"):
            compare({"a": [run_of(labels > 0, labels, np.zeros(3, int))]}, "a")


@pytest.mark.parametrize("seed", range(40))
def test_two_dialogues_and_two_seeds_have_numbers(seed):
    """Where seeds differ and dialogues do not, Satterthwaite's degrees of freedom alone would be near zero."""
    random, dialogues = np.random.default_rng(seed), np.repeat([0, 1], 4)
    labels = random.random((8, 3)) < 0.4
    runs = [run_of(random.random((8, 3)) < 0.5, labels, dialogues, number) for number in range(3)]
    with np.errstate(all="raise"):
        found = compare({"two seeds": runs[:2], "one": runs[2:]}, "one", draws=300)
    assert all(math.isfinite(one.low) and math.isfinite(one.high) for one in found.pairwise)


def test_groups_are_resampled_in_place_of_dialogues():
    systems = simulated(np.random.default_rng(8), {"a": 0.9, "b": 0.6}, dialogues=24, seeds=2)
    dialogues = systems["a"][0].predictions.dialogue_ids
    groups = [f"s{int(name[1:]) % 6}" for name in dialogues]

    def with_parts(**parts) -> dict[str, list[Run]]:
        return {
            name: [replace(run, predictions=replace(run.predictions, **parts)) for run in runs]
            for name, runs in systems.items()
        }

    found = compare(with_parts(groups=groups, group_kind="speakers"), "a", draws=200)
    expected = compare(with_parts(dialogue_ids=groups), "a", draws=200)
    assert (found.num_dialogues, found.num_groups, found.group_kind) == (24, 6, "speakers")
    assert found.scores == expected.scores and found.pairwise == expected.pairwise
    one = with_parts(groups=["s"] * len(groups), group_kind="speakers")
    with pytest.raises(ValueError, match="^Speakers are resampled: expected at least two of them, found 1"):
        compare(one, "a", draws=200)
    with pytest.raises(ValueError, match="All runs must have the same groups, but those of utterance"):
        compare({"a": systems["a"], "b": with_parts(groups=groups)["b"]}, "a", draws=200)
    with pytest.raises(ValueError, match="and 3 groups, got the shapes"):
        compare(with_parts(groups=groups[:3]), "a", draws=200)
