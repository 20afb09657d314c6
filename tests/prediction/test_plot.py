# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import sys
from pathlib import Path

import numpy as np
import pytest
from testing_utils import tiny_config

from modeling_univa.models.media_univa import read_image
from modeling_univa.prediction.inputs import Utterance
from modeling_univa.prediction.plot import check_plotting, plot_files, plot_prediction
from modeling_univa.prediction.predict import Prediction


matplotlib = pytest.importorskip("matplotlib")


def _prediction(affect, text="It cost $5, or $6_{x}.") -> Prediction:
    scores = dict(
        zip(("happy", "sad", "anger", "surprise", "disgust", "fear"), np.linspace(0.3, 0.02, 6), strict=True)
    )
    return Prediction(Utterance("a/clip.mp4", "a", text), scores, ["happy", "sad"], affect)


def _share(path: Path, colour: tuple[int, int, int]) -> float:
    """Share of the picture's pixels that have a colour."""
    return float((np.abs(read_image(path).astype(int) - colour).max(axis=-1) < 12).mean())


def test_bars_and_points_are_drawn(tmp_path):
    blue, orange, red = (42, 111, 187), (217, 138, 31), (196, 68, 42)
    config = tiny_config()
    plot_prediction(_prediction({}), config, tmp_path / "none.png")
    plot_prediction(_prediction({"text": (0.2, -0.4), "audio": (-0.9, 0.9)}), config, tmp_path / "deep" / "two.png")
    assert _share(tmp_path / "none.png", blue) < 1e-4 < _share(tmp_path / "deep" / "two.png", blue)
    assert _share(tmp_path / "none.png", orange) < 1e-4 < _share(tmp_path / "deep" / "two.png", orange)
    # The bars of the two predicted emotions are the same in both.
    shares = [_share(tmp_path / name, red) for name in ("none.png", "deep/two.png")]
    assert shares[0] > 0.02 and shares[1] == pytest.approx(shares[0], rel=0.2)


def test_each_bar_may_have_a_threshold_of_its_own(tmp_path):
    one, each = tiny_config(decision_threshold=0.1), tiny_config(decision_threshold=[0.05, 0.1, 0.3, 0.1, 0.2, 0.1])
    for name, config in (("one", one), ("each", each)):
        plot_prediction(_prediction({}), config, tmp_path / f"{name}.png")
        plot_prediction(_prediction({}), config, tmp_path / f"{name}.svg")
    texts = [(tmp_path / f"{name}.svg").read_text(encoding="utf-8") for name in ("one", "each")]
    assert "threshold 0.1" in texts[0] and "a threshold for each emotion" in texts[1]
    # 0.3 of 0.1 and of 0.05; what the best score can be.
    assert "3.00 × (0.300)" in texts[0] and "6.00 × (0.300)" in texts[1]
    assert "at most 3.52 × (0.352), where one holds alone" in texts[0] and "at most (0.352)" in texts[1]
    # A line of its own beside each bar, at another place: the pictures differ in the bars' half.
    pictures = [read_image(tmp_path / f"{name}.png") for name in ("one", "each")]
    assert (pictures[0][:, : pictures[0].shape[1] // 2] != pictures[1][:, : pictures[1].shape[1] // 2]).any()


def test_dollars_in_names_of_emotions_are_no_formulas(tmp_path):
    names = ["$\\frac{$", "$a$"]
    config = tiny_config(id2label=dict(enumerate(names)), label_affect=[[1.0, 0.5], [0.0, 0.0]])
    prediction = Prediction(Utterance("a", "a", None), dict.fromkeys(names, 0.5), names, {})
    plot_prediction(prediction, config, tmp_path / "a.png")
    assert (tmp_path / "a.png").is_file()


def test_absent_modality_and_no_text(tmp_path):
    plot_prediction(_prediction({"vision": None}, text=None), tiny_config(), tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text(encoding="utf-8").count("<path") > 20


def test_every_emotion_is_named_in_the_picture(tmp_path):
    names = ["joy", "happiness", "bored", "Angry", "$hope$"]
    config = tiny_config(id2label=dict(enumerate(names)), correlation_prior_weight=0.0)
    prediction = Prediction(Utterance("a", "a", None), dict.fromkeys(names, 0.2), ["bored"], {})
    # Texts as texts, and not as outlines.
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        plot_prediction(prediction, config, tmp_path / "a.svg")
    picture = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert [picture.count(f">{name}<") for name in ("joy", "happiness", "Angry")] == [2, 2, 2]
    note = picture.partition("not in the plane, of unknown valence")[2]
    assert note.index("bored") < note.index("$hope$")


def test_names_of_several_pictures():
    path = Path("out/p.png")
    assert plot_files(path, ["x/y.mp4"]) == {"x/y.mp4": path}
    assert plot_files(path, ["x/y z.mp4", "v.mov"]) == {
        "x/y z.mp4": Path("out/p-y_z.mp4.png"),
        "v.mov": Path("out/p-v.mov.png"),
    }
    same = plot_files(path, ["x/v.mov", "y/v.mov"])
    assert list(map(str, same.values())) == ["out/p-x_v.mov.png", "out/p-y_v.mov.png"]
    assert len(set(plot_files(path, ["a b", "a_b"]).values())) == 2


def test_what_cannot_be_drawn_is_refused_first(monkeypatch):
    with pytest.raises(ValueError, match="p.docx: the suffix must be one of .*png"):
        check_plotting(Path("p.docx"))
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(ImportError, match=r'pip install "univa\[plot\]"'):
        check_plotting(Path("p.png"))
