# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""The Space in a real browser, without a window: upload, type, click, and see what the pipeline says."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import torch
from clip_files import write_video
from testing_utils import (
    REPOSITORY,
    bert_tokenizer,
    kill_tree,
    subprocess_environment,
    text_config,
    tiny_config,
    tiny_model,
    tiny_processor,
)
from transformers import BertForSequenceClassification

from modeling_univa.faces_univa import FaceReader
from modeling_univa.feature_extraction_univa import HogExtractor, LogMelExtractor
from modeling_univa.modeling_univa import UnivaForEmotionClassification
from modeling_univa.pipeline_univa import UnivaPipeline
from modeling_univa.processing_univa import UnivaProcessor


pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no Chromium", allow_module_level=True)

pytestmark = pytest.mark.slow

FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PATIENCE = 120_000  # milliseconds, of a page on a busy machine
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


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=10).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def running_app(folder: Path, model: Path, **variables: str) -> Iterator[str]:
    """Address of the app, which is started as a Space starts it and ended afterwards."""
    port = free_port()
    environment = subprocess_environment(folder / "cache") | {
        "UNIVA_MODEL": str(model), "GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(folder / "uploads"),
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path]), **variables,
    }  # fmt: skip
    log = folder / "app.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, str(REPOSITORY / "space" / "app.py")], env=environment, cwd=folder,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 240
        while not answers(address):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.5)
        yield address
    finally:
        kill_tree(process.pid)


@contextlib.contextmanager
def browser_page(folder: Path) -> Iterator[tuple[Any, list[str]]]:
    """A page of a fresh browser, and the addresses that it asks for."""
    with playwright.sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            str(folder / "profile"), executable_path=CHROMIUM, args=FLAGS, headless=True,
            viewport={"width": 1280, "height": 1000},
        )  # fmt: skip
        asked: list[str] = []
        context.on("request", lambda request: asked.append(request.url))
        page = context.pages[0]
        page.set_default_timeout(PATIENCE)
        yield page, asked
        context.close()


@pytest.fixture(scope="module")
def app(model, scorer, tmp_path_factory) -> Iterator[str]:
    with running_app(tmp_path_factory.mktemp("app"), model, UNIVA_VA_TEXT=str(scorer)) as address:
        yield address


@pytest.fixture(scope="module")
def visit(app, tmp_path_factory) -> Iterator[tuple[Any, list[str]]]:
    with browser_page(tmp_path_factory.mktemp("browser")) as (page, asked):
        page.goto(app)
        page.wait_for_selector("#run")
        yield page, asked


def numbers(page: Any) -> dict[str, float]:
    rows = page.locator("#scores [data-emotion]")
    texts = {row.get_attribute("data-emotion"): row.inner_text() for row in rows.all()}
    return {name: float(text.split()[-2]) / 100 for name, text in texts.items()}


def test_upload_click_and_see(visit, model, tmp_path):
    page, _ = visit
    clip = write_video(tmp_path / "clip.mp4", 1.4)
    page.locator("#video input[type=file]").set_input_files(str(clip))
    page.wait_for_selector("#video video")
    page.locator("#text textarea").fill(DIALOGUE)
    page.click("#run")
    page.wait_for_selector("#scores [data-emotion]")

    classifier = UnivaPipeline(
        model=UnivaForEmotionClassification.from_pretrained(model),
        processor=UnivaProcessor.from_pretrained(model), threshold=None, return_attention=True,
    )  # fmt: skip
    expected = classifier({"text": DIALOGUE.splitlines(), "video": clip})
    scores = {one["label"]: one["score"] for one in expected["emotions"]}
    assert numbers(page) == pytest.approx(scores, abs=6e-4)
    # Bars that are seen, and as long as they say.
    bars = [page.locator(f"#scores [data-emotion={name}] .bar").bounding_box() for name in scores]
    tracks = [page.locator(f"#scores [data-emotion={name}] .track").bounding_box() for name in scores]
    for name, bar, track in zip(scores, bars, tracks, strict=True):
        assert bar["height"] > 8 and bar["width"] == pytest.approx(scores[name] * track["width"], abs=2), name

    assert page.locator("#plane circle").count() == 6
    assert page.locator("#plane [data-scored=text]").count() == 1
    assert page.locator("#attention .words").inner_text() == "abc <b>de</b>"
    columns = page.locator("#attention .frames")
    assert [columns.nth(index).locator("div").count() for index in range(2)] == [
        len(expected["attention"]["audio"]), len(expected["attention"]["vision"]),
    ]  # fmt: skip
    assert page.locator("#pictures img").count() >= 4


def test_words_alone_and_examples(visit):
    page, _ = visit
    page.click("#clear")
    page.wait_for_function("!document.querySelector('#scores [data-emotion]')")
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
    hosts = {urlsplit(url).hostname for url in asked if urlsplit(url).scheme in ("http", "https", "ws", "wss")}
    assert hosts == {"127.0.0.1"}, sorted(asked)
