# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Figures show the numbers of the tables, and are the same bytes each time."""

import io
from dataclasses import replace

import numpy as np
import pytest
from benchmark_stores import LABELS, METRICS, make_predictions
from PIL import Image

from modeling_univa.benchmark.breakdown import Breakdown, break_down, label_parts
from modeling_univa.benchmark.evidence import RowEvidence, RunEvidence, TableEvidence
from modeling_univa.benchmark.figures import (
    draw_breakdown,
    draw_differences,
    draw_heat_map,
    draw_reliability,
    draw_setting,
    image_bytes,
    settings_of,
)
from modeling_univa.benchmark.scored import Bootstrap, choose, score
from modeling_univa.benchmark.tables import Setting
from modeling_univa.scores.calibration import reliability


NAMES = {"0.3": 0.6, "0.05": 0.7, "$0.1": 0.0}


@pytest.fixture(scope="module")
def setting() -> Setting:
    rows = [
        RowEvidence(name, "common", [1, 2], [RunEvidence(seed, {"test": make_predictions(skill, seed)}, LABELS, 0.5)
                                             for seed in (1, 2)], {}, {})
        for name, skill in NAMES.items()
    ]  # fmt: skip
    return Setting("t", TableEvidence("t", "T", METRICS, rows), "test", "own", Bootstrap(draws=300))


@pytest.fixture(scope="module")
def scored(setting):
    return score(setting.table, choose(setting.table, "test", "own")[0], setting.bootstrap)


@pytest.fixture(scope="module")
def found(setting) -> Breakdown:
    return break_down(setting, choose(setting.table, "test", "own")[0], label_parts(LABELS), lambda one: 7)


def test_differences(scored):
    figure = draw_differences(scored, METRICS)
    assert [panel.get_title() for panel in figure.axes] == ["Acc %", "HL", "miF1 %", "maF1 %"]
    panel = figure.axes[2]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["0.05", "$0.1"]
    _, interval, point, *_ = panel.lines
    one = scored.rows[1].differences["micro_f1"]
    assert list(interval.get_xdata()) == [one.low, one.high] and list(point.get_xdata()) == [one.value]
    colours = {line.get_color() for line in panel.lines[3:]}
    assert scored.rows[2].differences["micro_f1"].better == "0.3" and colours == {"#c4442a"}


def test_setting_is_a_line_in_order_of_its_values(setting, scored):
    rows = [row for row in scored.rows if row.row.name != "$0.1"]
    panel = draw_setting(replace(scored, rows=rows), METRICS).axes[0]
    assert list(panel.lines[0].get_xdata()) == [0.05, 0.3]
    assert list(panel.lines[0].get_ydata()) == [
        rows[1].estimates["accuracy"].value,
        rows[0].estimates["accuracy"].value,
    ]
    low, high = panel.collections[0].get_datalim(panel.transData).intervaly
    assert low == min(row.estimates["accuracy"].low for row in rows)
    assert high == max(row.estimates["accuracy"].high for row in rows)


def test_settings_are_three_numbers_or_more(setting):
    rows = list(setting.table.rows)
    assert settings_of(rows) is None and settings_of(rows[:2]) is None
    assert settings_of([*rows[:2], replace(rows[2], name="1e-1")]) == [0.3, 0.05, 0.1]
    assert settings_of([*rows[:2], replace(rows[2], name="nan")]) is None


def test_heat_map_and_parts(found):
    missing = replace(found, values={**found.values, "$0.1": [None, *found.values["$0.1"][1:]]})
    panel = draw_heat_map(missing).axes[0]
    shown = [text.get_text() for text in panel.texts]
    assert shown == [f"{one.value:.1f}" for line in missing.values.values() for one in line if one is not None]
    assert panel.get_xticklabels()[2].get_text() == "an<g>ry|\n7 rows"
    panel = draw_breakdown(missing).axes[0]
    assert list(panel.lines[2].get_ydata()) == [one.value for one in missing.values["$0.1"][1:]]
    assert len(panel.get_legend().get_texts()) == 3


def test_reliability_is_a_curve_a_seed(setting):
    figure = draw_reliability(setting.table.rows, "test")
    panel = figure.axes[1]
    curve = reliability(make_predictions(0.7, 2).scores, make_predictions(0.7, 2).labels, "sigmoid")
    assert len(panel.lines) == 3
    np.testing.assert_array_equal(panel.lines[2].get_xdata(), curve.score)
    np.testing.assert_array_equal(panel.lines[2].get_ydata(), curve.share)
    assert [panel.get_visible() for panel in figure.axes] == [True] * 3


def test_same_numbers_are_the_same_bytes(scored):
    for kind in ("svg", "png"):
        first, second = (image_bytes(draw_differences(scored, METRICS), kind) for _ in range(2))
        assert first == second
    assert Image.open(io.BytesIO(second)).size[0] > 500
    assert b"<dc:date>" not in image_bytes(draw_differences(scored, METRICS), "svg")


def test_a_row_that_is_far_away_leaves_the_others_their_place(scored):
    def moved(row, name: str, shift: float):
        found = {metric: replace(one, value=one.value + shift, low=one.low + shift, high=one.high + shift)
                 for metric, one in row.differences.items()}  # fmt: skip
        return replace(row, row=replace(row.row, name=name), differences=found)

    first, _, near = scored.rows
    one = near.differences["micro_f1"]
    reach = max(abs(one.low), abs(one.high))
    rows = [first, near, moved(near, "same", 0), moved(near, "far", -20 * reach)]
    panel = draw_differences(replace(scored, rows=rows), ["micro_f1"]).axes[0]
    low, high = panel.get_xlim()
    one = rows[3].differences["micro_f1"]
    assert one.high < low and 0 < max(-low, high) < 2 * reach
    assert [text.get_text() for text in panel.texts] == [f"{one.value:+.2f}".replace("-", "−")]
    arrow = panel.lines[-1]
    assert arrow.get_marker() == "<" and list(arrow.get_xdata()) == [low] and list(arrow.get_ydata()) == [2]
    # Of two rows that both are far, neither is alone, and nothing is hidden.
    panel = draw_differences(replace(scored, rows=[first, rows[3], moved(near, "too", -19 * reach)]), METRICS).axes[2]
    assert not panel.texts and panel.get_xlim()[0] < one.low


def test_an_interval_that_is_far_wider_ends_with_the_axis(scored):
    first, _, near = scored.rows
    one = near.differences["micro_f1"]
    reach = max(abs(one.low), abs(one.high))

    def wide(name: str, value: float):
        found = replace(one, value=value, low=value - 20 * reach, high=value + 20 * reach, better=None)
        return replace(near, row=replace(near.row, name=name), differences={"micro_f1": found})

    rows = [first, near, replace(near, row=replace(near.row, name="same")), wide("wide", one.value / 2)]
    panel = draw_differences(replace(scored, rows=rows), ["micro_f1"]).axes[0]
    point = panel.lines[-1]
    assert not panel.texts and list(point.get_xdata()) == [one.value / 2] and point.get_color() == "#5a6570"
    assert max(map(abs, panel.get_xlim())) < 2 * reach
    # What cannot be told apart is grey at the end of the axis too.
    rows[-1] = wide("far", 10 * reach)
    panel = draw_differences(replace(scored, rows=rows), ["micro_f1"]).axes[0]
    assert (panel.lines[-1].get_marker(), panel.lines[-1].get_color()) == (">", "#5a6570")
