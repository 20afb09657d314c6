# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The metric's Space, as `univa push-metric` makes it, in a real browser without a window and without our package."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import browser_page, hosts, running_app
from hub_server import Account, HubServer
from huggingface_hub import snapshot_download
from testing_utils import REPOSITORY, subprocess_environment

from modeling_univa.sharing.push import push_metric


pytestmark = [pytest.mark.slow, pytest.mark.browser]

SCORES = "[0.40, 0.35, 0.25]\n[0.20, 0.20, 0.60]\n[0.34, 0.33, 0.33]"


@pytest.fixture(scope="module")
def space(tmp_path_factory) -> Path:
    """The pushed repository, in a folder of another name."""
    store, cache = tmp_path_factory.mktemp("store"), tmp_path_factory.mktemp("cache")
    folder = tmp_path_factory.mktemp("space")
    with (
        pytest.MonkeyPatch.context() as patch,
        HubServer(store, {"hf_me": Account("me")}) as server,
        server.connected(patch, cache, "hf_me"),
    ):
        push_metric("me/emotion-score")
        snapshot_download("me/emotion-score", repo_type="space", local_dir=folder)
    return folder


@pytest.fixture(scope="module")
def visit(space, tmp_path_factory) -> Iterator[tuple[Any, list[str]]]:
    folder = tmp_path_factory.mktemp("app")
    # Where packages are, but not ours.
    elsewhere = [place for place in sys.path if not Path(place or ".").resolve().is_relative_to(REPOSITORY)]
    environment = subprocess_environment(folder / "cache", with_package=False)
    environment["PYTHONPATH"] = os.pathsep.join(elsewhere)
    with (
        running_app(space / "app.py", folder, environment) as address,
        browser_page(tmp_path_factory.mktemp("browser")) as (page, asked),
    ):
        page.goto(address)
        page.wait_for_selector("#run")
        yield page, asked


@pytest.fixture
def page(visit) -> Any:
    """The page with nothing in it."""
    page, _ = visit
    # Something that goes away, to see that the answer has come.
    page.locator("#predictions textarea").fill("[0, 0, 0]")
    page.click("#clear")
    page.wait_for_function("document.querySelector('#predictions textarea').value === ''")
    page.wait_for_function("document.querySelector('#results').innerText.includes('The result comes here')")
    return page


def figures(page: Any) -> dict[str, str]:
    """First and second column of all tables."""
    page.wait_for_selector("#results table")
    rows = [row.locator("td").all_inner_texts() for row in page.locator("#results tbody tr").all()]
    return {row[0]: row[1] for row in rows}


def test_paste_click_and_see(page):
    page.locator("#predictions textarea").fill(SCORES)
    page.locator("#references textarea").fill("[[0, 1], [2], []]")
    page.locator("#threshold :is(input, textarea)").fill("0.34")
    page.locator("#label-names :is(input, textarea)").fill("happy, surprise, sad")
    page.click("#run")
    assert figures(page) == {
        "Accuracy": "66.67 %", "Hamming loss": "0.0000", "Micro F1": "100.00 %", "Macro F1": "100.00 %",
        "happy": "100.00 %", "surprise": "100.00 %", "sad": "100.00 %",
        "All": "3", "Without any label": "1", "Without any prediction": "1",
    }  # fmt: skip
    assert page.locator("#results .labels tbody tr").first.locator("td").all_inner_texts()[2] == "1"

    page.locator("#empty-score label:has-text('1')").click()
    page.click("#run")
    page.wait_for_function("document.querySelector('#results tbody tr').innerText.includes('100.00')")


def test_bad_input_is_told_and_no_result_is_left(page):
    page.locator("#predictions textarea").fill(SCORES)
    page.locator("#references textarea").fill("[1, 1, 0]\n[0, 0, 1]\n[0, 0, 0]")
    page.locator("#threshold :is(input, textarea)").fill("0.34")
    page.click("#run")
    assert figures(page)["Without any label"] == "1"
    # A threshold that is taken away is none, not 0.
    page.locator("#threshold :is(input, textarea)").fill("")
    page.click("#run")
    page.wait_for_selector("#results [role=alert]")
    assert page.locator("#results").inner_text().startswith("Row 0 of `predictions` must be 3 values 0 or 1, got")
    assert page.locator("#results table").count() == 0


def test_files_and_form_of_two_labels(page, tmp_path):
    for name, content in {
        "predictions.csv": "happy,<b>sad</b>\n0,1\n1,0\n",
        "references.jsonl": "[0, 1]\n[0, 1]\n",
    }.items():
        (tmp_path / name).write_text(content)
        page.locator(f"#{Path(name).stem}-file input[type=file]").set_input_files(str(tmp_path / name))
        # There is a link to it when it has been uploaded.
        page.wait_for_selector(f"#{Path(name).stem}-file a[download]")
        shown = page.locator(f"#{Path(name).stem}-file .stem")
        assert shown.inner_text() == Path(name).stem and shown.bounding_box()["width"] > 60
    page.click("#run")
    page.wait_for_selector("#results [role=alert]")
    assert "may be multi-hot rows over two labels" in page.locator("#results").inner_text()
    page.locator("#configuration label:has-text('multi-hot')").click()
    page.click("#run")
    found = figures(page)
    assert found["Accuracy"] == "50.00 %" and {"happy", "<b>sad</b>"} <= set(found)


@pytest.mark.parametrize(
    ("name", "accuracy"),
    [
        ("Scores with a threshold", 66.67),
        ("Multi-hot rows", 75),
        ("Label indices", 50),
        ("Rows without any label", 100),
        ("Two labels", 50),
    ],
)
def test_examples(page, name, accuracy):
    page.get_by_role("button", name=name, exact=True).click()
    page.wait_for_function("document.querySelector('#predictions textarea').value !== ''")
    page.click("#run")
    assert figures(page)["Accuracy"] == f"{accuracy:.2f} %"


def test_card_is_below_without_front_matter(page, space):
    card = (space / "README.md").read_text(encoding="utf-8").split("---\n", 2)[2]
    shown = page.locator("#card").inner_text()
    assert "Metric card" in shown and "sdk_version" not in shown and 'evaluate.load("me/emotion-score")' in shown
    assert page.locator("#card h2").count() == card.count("\n## ")


def test_the_page_asks_nobody_else(visit):
    _, asked = visit
    assert hosts(asked) == {"127.0.0.1"}, sorted(asked)
