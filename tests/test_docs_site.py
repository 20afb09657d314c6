# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The site of `make docs`: its pages, its reference, and that a broken link is an error."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from testing_utils import REPOSITORY

import modeling_univa


PARTS = ("docs", "modeling_univa", "datasets_scripts", ".ci", "mkdocs.yml")

pytest.importorskip("material")
pytest.importorskip("mkdocstrings")
pytestmark = pytest.mark.slow


def build(repository: Path, site: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = build(REPOSITORY, folder)
    assert built.returncode == 0, built.stderr[-3000:]
    return folder


def test_every_page_is_in_the_site_and_in_its_navigation(site):
    index = (site / "index.html").read_text(encoding="utf-8")
    for page in (REPOSITORY / "docs").glob("*.md"):
        if page.name != "README.md":
            assert (site / page.stem / "index.html").is_file()
            assert f'<a href="{page.stem}/" class="md-nav__link">' in index


def test_every_public_name_is_in_the_reference(site):
    pages = {page.parent.name: page.read_text(encoding="utf-8") for page in site.glob("reference/*/index.html")}
    for name in modeling_univa.__all__:
        place = getattr(modeling_univa, name).__module__
        assert f'id="{place}.{name}"' in pages[place.split(".")[1]]


def test_fields_say_what_they_are_and_types_are_plain(site):
    page = (site / "reference/training/index.html").read_text(encoding="utf-8")
    assert "Evaluate and keep an exponential moving average of the weights" in page
    page = (site / "reference/models/index.html").read_text(encoding="utf-8")
    assert "`int`" not in page and "*optional*" not in page


def test_a_link_out_of_the_pages_leads_to_a_page_of_the_site(site):
    page = (site / "train/index.html").read_text(encoding="utf-8")
    assert 'href="../datasets_scripts/"' in page
    assert 'href="../extract/"' in (site / "datasets_scripts/index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("link", "named"),
    [("no_such.md", "no_such.md"), ("../no_such.md", "no_such.md"), ("train.md#no-such", "#no-such")],
)
def test_a_broken_link_is_an_error(link, named, tmp_path):
    for part in PARTS:
        copy = shutil.copytree if (REPOSITORY / part).is_dir() else shutil.copy
        copy(REPOSITORY / part, tmp_path / part)
    with open(tmp_path / "docs" / "predict.md", "a", encoding="utf-8") as page:
        page.write(f"\n[broken]({link})\n")
    built = build(tmp_path, tmp_path / "site")
    assert built.returncode == 1 and named in built.stderr
