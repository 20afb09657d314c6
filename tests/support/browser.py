# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A Space as a process of its own, and a real browser without a window that visits it."""

import contextlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from testing_utils import kill_tree


pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no Chromium", allow_module_level=True)

FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PATIENCE = 120_000


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
def running_app(script: Path, folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Address of the app, which is started in `folder` as a Space starts it and ended afterwards."""
    port = free_port()
    settings = {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(folder / "uploads")}
    log = folder / "app.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, str(script)], env={**environment, **settings}, cwd=folder,
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


def hosts(asked: Sequence[str]) -> set[str | None]:
    """Who was asked for the addresses."""
    return {urlsplit(url).hostname for url in asked if urlsplit(url).scheme in ("http", "https", "ws", "wss")}
