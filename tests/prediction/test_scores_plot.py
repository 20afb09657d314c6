# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The figure of a model's scores: what stands in it, and that its file is a picture."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score

from modeling_univa.models.media_univa import read_image
from modeling_univa.prediction.scores_plot import draw_scores, plot_scores
from modeling_univa.scores.calibration import calibrated, calibration_error
from modeling_univa.scores.confusion import confusion_matrix, cooccurrence, label_scores
from modeling_univa.scores.predictions import Predictions


pytest.importorskip("matplotlib")

NAMES = ["happy", "sad", "$5", "neutral"]
THRESHOLDS = [0.4, 0.5, 0.6, 0.3]


@pytest.fixture
def found() -> Predictions:
    """Of rows none of which is neutral."""
    random = np.random.default_rng(0)
    scores = random.random((80, 4), dtype=np.float32)
    labels = (random.random((80, 4)) < scores).astype(np.int8)
    labels[:, 3] = 0
    ids = [str(index) for index in range(80)]
    return Predictions(ids, ids, scores, labels)


def words(labels) -> list[str]:
    return [label.get_text() for label in labels]


def cells(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_axes_carry_the_names_of_the_labels(found):
    figure = draw_scores(found, NAMES, THRESHOLDS, title="talks, test")
    confusion, truth, predicted, labels, _ = figure.axes
    assert words(confusion.get_xticklabels()) == [*NAMES, "no prediction"]
    assert words(confusion.get_yticklabels()) == [*NAMES, "no true label"]
    for axes in (truth, predicted):
        assert words(axes.get_xticklabels()) == words(axes.get_yticklabels()) == NAMES
    assert words(labels.get_xticklabels()) == NAMES
    assert figure.get_suptitle() == "talks, test (80 rows)"


def test_numbers_are_those_of_the_predictions(found):
    decided = found.scores > THRESHOLDS
    figure = draw_scores(found, NAMES, THRESHOLDS)
    confusion, truth, predicted, labels, _ = figure.axes
    expected = confusion_matrix(found.labels, decided)
    counts = [int(text.split("\n")[1]) for text in cells(confusion)]
    # Each line with a row in it has all of its cells; no row is neutral.
    lines = [index for index, line in enumerate(expected) if line.sum()]
    assert counts == expected[lines].ravel().tolist() and 3 not in lines
    assert [int(text.split("\n")[1]) for text in cells(truth)] == cooccurrence(found.labels)[:3].ravel().tolist()
    assert [int(text.split("\n")[1]) for text in cells(predicted)] == cooccurrence(decided).ravel().tolist()
    scores = label_scores(found.labels, decided)
    assert [bar.get_height() for bar in labels.patches] == pytest.approx(scores.f1)
    assert cells(labels) == [f"F1 {f1:.2f}\n{rows} rows" for f1, rows in zip(scores.f1, scores.support, strict=True)]


def test_curve_is_drawn_without_and_with_a_temperature(found):
    def legend(figure) -> list[str]:
        return words(figure.axes[-1].get_legend().get_texts())

    error = calibration_error(found.scores, found.labels, "sigmoid")
    first = f"as predicted: ECE {error:.3f}"
    assert legend(draw_scores(found, NAMES, 0.5)) == [first]
    changed = calibration_error(calibrated(found.scores, 3.0, "sigmoid"), found.labels, "sigmoid")
    assert legend(draw_scores(found, NAMES, 0.5, temperature=3.0)) == [first, f"temperature 3: ECE {changed:.3f}"]


def test_file_is_a_picture(found, tmp_path):
    plot_scores(found, NAMES, 0.5, tmp_path / "deep" / "scores.png", temperature=2.0)
    picture = read_image(tmp_path / "deep" / "scores.png")
    assert picture.shape[1] > picture.shape[0] > 500
    blue = (np.abs(picture.astype(int) - (42, 111, 187)).max(axis=-1) < 12).mean()
    assert blue > 0.01
    plot_scores(found, NAMES, 0.5, tmp_path / "scores.svg")
    assert (tmp_path / "scores.svg").read_text(encoding="utf-8").count("<path") > 100
    with pytest.raises(ValueError, match="the suffix must be one of"):
        plot_scores(found, NAMES, 0.5, tmp_path / "scores.docx")


def test_one_row_without_labels_of_a_softmax_model_is_drawn(tmp_path):
    one = Predictions(["a"], ["a"], np.array([[0.5, 0.5]], np.float32), np.array([[0, 1]], np.int8), None, "softmax")
    assert len(draw_scores(one, ["happy", "sad"], 0.4).axes) == 5


def test_rows_without_any_label_of_a_softmax_model_have_no_curve():
    one = Predictions(["a"], ["a"], np.array([[0.5, 0.5]], np.float32), np.zeros((1, 2), np.int8), None, "softmax")
    reliability = draw_scores(one, ["happy", "sad"], 0.4).axes[-1]
    assert reliability.get_title() == "reliability: no row has a label" and len(reliability.lines) == 1


def test_speakers_have_bars_with_their_rows(found):
    """Micro-F1 as scikit-learn has it; those with the most rows, and all rows together."""
    names = ["$Ada$"] * 40 + ["Grace"] * 25 + ["Alan"] * 5 + [None] * 10
    figure = draw_scores(replace(found, speakers=names), NAMES, THRESHOLDS, most_speakers=2)
    bars, decided = figure.axes[-1], found.scores > THRESHOLDS
    expected = [
        f1_score(found.labels[first:last], decided[first:last], average="micro") for first, last in ((0, 40), (40, 65))
    ]
    assert [bar.get_height() for bar in bars.patches] == pytest.approx(expected)
    assert cells(bars) == [f"{f1:.2f}\n{rows}" for f1, rows in zip(expected, (40, 25), strict=True)]
    assert words(bars.get_xticklabels()) == ["$Ada$", "Grace"]
    assert bars.get_title() == (
        "micro-F1 of each speaker, and its rows (2 of 3 speakers, those with the most rows); 10 rows without a "
        "speaker are left out"
    )
    everyone = f1_score(found.labels, decided, average="micro")
    assert words(bars.get_legend().get_texts()) == [f"all rows: {everyone:.2f}"]


def test_one_speaker_alone_is_no_comparison(found, tmp_path):
    for names in (None, ["Ada"] * 80, ["Ada"] * 79 + [None]):
        assert len(draw_scores(replace(found, speakers=names), NAMES, THRESHOLDS, most_speakers=9).axes) == 5
    several = replace(found, speakers=[f"s{index % 50}" for index in range(80)])
    plot_scores(several, NAMES, 0.5, tmp_path / "scores.svg")
    assert "30 of 50 speakers" in drawn_words(several) and (tmp_path / "scores.svg").is_file()


def drawn_words(found: Predictions) -> str:
    return draw_scores(found, NAMES, 0.5, most_speakers=30).axes[-1].get_title()


def test_dollars_in_names_are_no_formulas(found, tmp_path):
    plot_scores(found, ["$\\frac{$", "$a$", "b", "c"], 0.5, tmp_path / "scores.png")
    assert (tmp_path / "scores.png").is_file()
