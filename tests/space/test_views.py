# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What the Space makes of results: well-formed, with every number in it, and nothing that a stranger could slip in."""

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest


sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "space"))

import views


EVIL = '<img src=x onerror="alert(1)">&'


def parse(html: str) -> ElementTree.Element:
    return ElementTree.fromstring(f"<root>{html}</root>")


def test_bars():
    scores, notes = {"happy": 0.7, "sad": 0.25, "fear": 0.05}, ["1.00 × is the threshold 0.25."]
    root = parse(views.bars(scores, dict.fromkeys(scores, 0.25), notes))
    kinds = {row.get("data-emotion"): row.get("class") for row in root.iter("div") if row.get("data-emotion")}
    assert kinds == {"happy": "active", "sad": "inactive", "fear": "inactive"}
    widths = [bar.get("style") for bar in root.iter("div") if bar.get("class") == "bar"]
    assert widths == ["width:100.00%", "width:35.71%", "width:7.14%"]
    lines = {line.get("style") for line in root.iter("div") if line.get("class") == "threshold"}
    assert lines == {"left:35.71%"}
    text = "".join(root.itertext())
    assert all(f"{multiple} ×" in text for multiple in ("2.80", "1.00", "0.20")) and notes[0] in text
    assert [span.get("title") for span in root.iter("span") if span.get("title")] == [
        f"probability {score:.3f}, threshold 0.25" for score in scores.values()
    ]


def test_threshold_in_the_middle_where_no_score_is_twice_as_large():
    page = views.bars({"happy": 0.27, "sad": 0.09}, {"happy": 0.18, "sad": 0.18})
    assert page.count("left:50.00%") == 2 and "width:75.00%" in page and "width:25.00%" in page
    assert "&gt;99 ×" in views.bars({"happy": 0.2}, {"happy": 0.0}) and "0.00 ×" in views.bars({"a": 0.0}, {"a": 0.0})


def test_each_bar_may_have_a_threshold_of_its_own():
    root = parse(views.bars({"happy": 0.72, "sad": 0.25}, {"happy": 0.8, "sad": 0.2}))
    kinds = {row.get("data-emotion"): row.get("class") for row in root.iter("div") if row.get("data-emotion")}
    assert kinds == {"happy": "inactive", "sad": "active"}
    lines = [line.get("style") for line in root.iter("div") if line.get("class") == "threshold"]
    assert lines == ["left:50.00%", "left:50.00%"]
    assert "0.90 ×" in "".join(root.itertext()) and "1.25 ×" in "".join(root.itertext())


def test_plane():
    points = {"happy": (1.0, 0.5), "sad": (-0.5, -0.5)}
    affect = {"text": {"valence": 0.0, "arousal": 0.0}, "audio": None}
    places = {"happy": (0.5, True), "sad": (-0.3, False)}
    root = parse(views.plane(points, {"happy": 0.04, "sad": 0.96}, {"happy": 0.2, "sad": 0.2}, affect, places))
    happy, sad = root.iter("circle")
    assert float(happy.get("cx")) > float(sad.get("cx")) and float(happy.get("cy")) < float(sad.get("cy"))
    assert float(sad.get("r")) > float(happy.get("r"))
    (mark,) = (text for text in root.iter("text") if text.get("data-scored"))
    assert (mark.get("data-scored"), mark.text) == ("text", "words")
    assert "scores of words" in "".join(root.itertext()) and "Not in the plane" not in "".join(root.itertext())
    names = {text.text: (text.get("text-anchor"), float(text.get("y"))) for text in root.iter("text")}
    assert names["happy"][0] == "end" and names["sad"][0] == "start"
    # The name of a point that has no room beside it stands higher.
    assert names["sad"][1] < float(sad.get("cy")) < float(sad.get("cy")) + 4


def test_plane_names_the_emotions_that_it_does_not_have():
    scores, thresholds = {"happy": 0.5, "bored": 0.3, "<i>": 0.2}, dict.fromkeys(("happy", "bored", "<i>"), 0.2)
    root = parse(views.plane({"happy": (1.0, 0.5)}, scores, thresholds, {}, {"happy": (0.5, True)}))
    assert "of unknown valence and arousal: bored, <i>." in "".join(root.itertext())
    nothing = parse(views.plane({}, scores, thresholds, {"text": None}, {}))
    assert "happy, bored, <i>." in "".join(nothing.itertext()) and not list(nothing.iter("circle"))


def test_words_keep_the_text_and_show_the_weights():
    text = "yes,  no!"
    tokens = [("yes", 0, 3, 0.2), (",", 3, 4, 0.0), ("no", 6, 8, 0.8)]
    names = ("token", "start", "end", "weight")
    root = parse(views.words(text, [dict(zip(names, token, strict=True)) for token in tokens]))
    (line,) = (paragraph for paragraph in root.iter("p") if paragraph.get("class") == "words")
    assert "".join(line.itertext()) == "yes,  no"
    assert [span.get("style").split("mark) ")[1] for span in line] == [f"{s}%, transparent)" for s in (18, 0, 70)]
    words = views.words("", [{"token": "a", "start": None, "end": None, "weight": 1.0}])
    assert ">a</span> " in words


def test_timeline():
    frames = [{"start": 0.5, "end": 1.5, "weight": 0.25}, {"start": 2.0, "end": 2.5, "weight": 0.75}]
    span = views.common_span(frames, None, [{"start": 0.0, "end": 0.5}, {"start": None, "end": None}])
    assert span == (0.0, 2.5) and views.common_span(None, [{"start": None}]) is None
    root = parse(views.timeline("Sound", frames, span))
    styles = [column.get("style") for column in root.iter("div") if column.get("style")]
    assert styles == ["left:20.00%;width:40.00%;height:33.3%", "left:80.00%;width:20.00%;height:100.0%"]
    assert "0.0 s2.5 s" in "".join(root.itertext())
    unknown = views.timeline("Sound", [{"start": None, "end": None, "weight": 0.0}], span)
    assert "first frame" in unknown and "left:0.00%;width:100.00%;height:0.0%" in unknown


@pytest.mark.parametrize("html", [views.words("", None), views.timeline("Face", None), views.no_result()])
def test_nothing_to_show(html):
    assert "".join(parse(html).itertext())


def test_nothing_can_be_slipped_in():
    token = {"token": EVIL, "start": 0, "end": len(EVIL), "weight": 1.0}
    pages = [
        views.bars({EVIL: 0.5}, {EVIL: 0.1}, [EVIL]),
        views.plane({EVIL: (0, 0)}, {EVIL: 0.5}, {EVIL: 0.1}, {}, {EVIL: (0, False)}),
        views.plane({}, {EVIL: 0.5}, {EVIL: 0.1}, {}, {}),
        views.words(EVIL, [token]),
        views.words(EVIL + "x", [{**token, "token": "x", "start": len(EVIL), "end": len(EVIL) + 1}]),
    ]
    for page in pages:
        root = parse(page)
        assert not list(root.iter("img")) and EVIL in "".join(root.itertext())


def test_a_note_stands_below_the_timeline_and_is_escaped():
    frames = [{"start": 0.0, "end": 0.2, "weight": 1.0}]
    for given in (frames, None):
        root = parse(views.timeline("Face", given, (0.0, 0.2), EVIL))
        (note,) = (one for one in root.iter("p") if "note" in one.get("class", ""))
        assert note.text == EVIL
    assert "note" not in views.timeline("Face", frames)
