# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The Space in a real browser, without a window: upload, type, click, and see what the pipeline says."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from browser import browser_page, hosts, running_app
from testing_utils import (
    REPOSITORY,
    bert_tokenizer,
    subprocess_environment,
    text_config,
    tiny_config,
    tiny_model,
    tiny_processor,
)
from transformers import BertForSequenceClassification
from video_files import write_clip

from modeling_univa.models.faces_univa import FaceReader
from modeling_univa.models.light_features_univa import HogExtractor, LogMelExtractor
from modeling_univa.models.modeling_univa import UnivaForEmotionClassification
from modeling_univa.models.pipeline_univa import UnivaPipeline
from modeling_univa.models.processing_univa import UnivaProcessor


pytestmark = [pytest.mark.slow, pytest.mark.browser]

DIALOGUE = "yes no\nabc <b>de</b>"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    speech, faces = LogMelExtractor(frame_rate=5.0), HogExtractor(image_size=32, cell_size=16)
    config = tiny_config(audio_feature_size=speech.feature_size, vision_feature_size=faces.feature_size)
    reader = FaceReader(detector="whole-frame", frame_rate=4)
    extractors = {"audio": speech.to_dict(), "vision": faces.to_dict(), "faces": reader.to_dict()}
    folder = tmp_path_factory.mktemp("model")
    tiny_model(config).save_pretrained(folder)
    tiny_processor(config, extractors=extractors).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def scorer(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    config = text_config("bert")
    config.id2label = {0: "valence", 1: "arousal"}
    folder = tmp_path_factory.mktemp("scorer")
    BertForSequenceClassification(config).save_pretrained(folder)
    bert_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def app(model, scorer, tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("app")
    environment = subprocess_environment(folder / "cache") | {
        "UNIVA_MODEL": str(model), "UNIVA_VA_TEXT": str(scorer),
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path]),
    }  # fmt: skip
    with running_app(REPOSITORY / "space" / "app.py", folder, environment) as address:
        yield address


@pytest.fixture(scope="module")
def visit(app, tmp_path_factory) -> Iterator[tuple[Any, list[str]]]:
    with browser_page(tmp_path_factory.mktemp("browser")) as (page, asked):
        page.goto(app)
        page.wait_for_selector("#run")
        yield page, asked


@pytest.fixture(scope="module")
def classifier(model) -> UnivaPipeline:
    return UnivaPipeline(
        model=UnivaForEmotionClassification.from_pretrained(model),
        processor=UnivaProcessor.from_pretrained(model), threshold=None, return_attention=True,
    )  # fmt: skip


def write_tone(path: Path, seconds: float, sampling_rate: int = 16000) -> Path:
    """Write a rising tone."""
    times = np.arange(int(sampling_rate * seconds)) / sampling_rate
    soundfile.write(path, 0.4 * np.sin(2 * np.pi * (200 + 100 * times) * times), sampling_rate, subtype="PCM_16")
    return path


def clear(page: Any) -> None:
    # Something that goes away, to see that the answer has come.
    page.locator("#text textarea").fill("yes")
    page.click("#clear")
    page.wait_for_function("document.querySelector('#text textarea').value === ''")
    page.wait_for_function("!document.querySelector('#scores [data-emotion]')")


def numbers(page: Any) -> dict[str, float]:
    rows = page.locator("#scores [data-emotion]")
    texts = {row.get_attribute("data-emotion"): row.inner_text() for row in rows.all()}
    return {name: float(text.split()[-2]) for name, text in texts.items()}


def multiples(classifier: Any, emotions: list[dict[str, Any]]) -> dict[str, float]:
    """Scores as multiples of their thresholds."""
    config = classifier.model.config
    limits = dict(zip(config.label_names, config.label_thresholds, strict=True))
    return {one["label"]: one["score"] / limits[one["label"]] for one in emotions}


def test_upload_click_and_see(visit, classifier, tmp_path):
    page, _ = visit
    clip = write_clip(tmp_path / "clip.mp4", 1.4)
    page.locator("#video input[type=file]").set_input_files(str(clip))
    page.wait_for_selector("#video video")
    page.locator("#text textarea").fill(DIALOGUE)
    page.click("#run")
    page.wait_for_selector("#scores [data-emotion]")

    expected = classifier({"text": DIALOGUE.splitlines(), "video": clip})
    scores = multiples(classifier, expected["emotions"])
    assert numbers(page) == pytest.approx(scores, abs=0.006)
    # Bars that are seen, and as long as they say.
    bars = [page.locator(f"#scores [data-emotion={name}] .bar").bounding_box() for name in scores]
    tracks = [page.locator(f"#scores [data-emotion={name}] .track").bounding_box() for name in scores]
    axis = max(2, *scores.values())
    for name, bar, track in zip(scores, bars, tracks, strict=True):
        assert bar["height"] > 8 and bar["width"] == pytest.approx(scores[name] / axis * track["width"], abs=2), name

    assert page.locator("#plane circle").count() == 6
    assert page.locator("#plane [data-scored=text]").count() == 1
    assert page.locator("#attention .words").inner_text() == "abc <b>de</b>"
    columns = page.locator("#attention .frames")
    assert [columns.nth(index).locator("div").count() for index in range(2)] == [
        len(expected["attention"]["audio"]), len(expected["attention"]["vision"]),
    ]  # fmt: skip
    assert page.locator("#pictures img").count() >= 4
    note = page.locator("#attention .note")
    assert note.inner_text() == "face of the one person seen, 0.0–1.4 s of 1.4 s" and note.is_visible()


def test_sound_alone(visit, classifier, tmp_path):
    page, _ = visit
    clear(page)
    sound = write_tone(tmp_path / "sound.wav", 1.3)
    page.get_by_role("tab", name="Sound alone").click()
    page.locator("#audio input[type=file]").set_input_files(str(sound))
    page.wait_for_selector("#audio .waveform-container, #audio audio", state="attached")
    page.click("#run")
    page.wait_for_selector("#scores [data-emotion]")

    expected = classifier({"audio": sound})
    assert numbers(page) == pytest.approx(multiples(classifier, expected["emotions"]), abs=0.006)
    columns = page.locator("#attention .frames")
    assert columns.count() == 1 and columns.locator("div").count() == len(expected["attention"]["audio"])
    assert page.locator("#pictures img").count() == 0


def test_words_alone_and_examples(visit):
    page, _ = visit
    clear(page)
    page.get_by_text("I got the job!", exact=False).first.click()
    page.wait_for_function("document.querySelector('#text textarea').value.startsWith('I got the job!')")
    page.click("#run")
    page.wait_for_selector("#scores [data-emotion]")
    assert "I got the job!" in page.locator("#attention .words").inner_text()
    assert page.locator("#attention .frames").count() == 0 and page.locator("#pictures img").count() == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/etc", "Name a model on the Hub, as ORG/NAME"),
        ("lab/nowhere", "lab/nowhere cannot be loaded"),
    ],
)
def test_mistakes_are_told(visit, name, message):
    page, _ = visit
    box = page.get_by_label("Model")
    before = box.input_value()
    box.fill(name)
    page.click("#run")
    page.wait_for_selector(f".toast-body:has-text({message!r})")
    page.locator(".toast-body button").first.click()
    box.fill(before)


def test_the_page_asks_nobody_else(visit, app):
    _, asked = visit
    assert hosts(asked) == {"127.0.0.1"}, sorted(asked)


def test_messages_are_shown_letter_by_letter(visit):
    page, _ = visit
    box = page.get_by_label("Model")
    before = box.input_value()
    box.fill("lab/x@<img src=x onerror=alert(1)>[a](http://b)")
    page.click("#run")
    page.wait_for_selector(".toast-body:has-text('lab/x@<img src=x onerror=alert(1)>[a](http://b) cannot be loaded')")
    assert page.locator(".toast-body img").count() == 0 and page.locator(".toast-body a").count() == 0
    page.locator(".toast-body button").first.click()
    box.fill(before)
