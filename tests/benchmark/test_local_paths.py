# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Folders of this machine are left out of text for others, and nothing else is."""

from pathlib import Path

import pytest

from modeling_univa.benchmark.local_paths import without_folders


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/me/corpora/mine has no split.", "mine has no split."),
        ("expected '/home/me/a.csv', found ~/b/c.csv, ../d/e or ./f/", "expected 'a.csv', found c.csv, e or f"),
        ("--audio=/data/x/audio.npz --va=from-emotion", "--audio=audio.npz --va=from-emotion"),
        ("file:///home/me/x.txt", "x.txt"),
        (r"C:\Users\me\x.txt is missing", "x.txt is missing"),
        ("(/home/me/x; see ~someone/y)", "(x; see y)"),
        ("OSError:/home/me/x, PATH=/usr/lib:/home/me/bin", "OSError:x, PATH=lib:bin"),
    ],
)
def test_of_a_path_the_last_part_stays(text, expected):
    assert without_folders(text) == expected


@pytest.mark.parametrize(
    "text",
    ["w/o VA-CL", "ORG/NAME at a/b", "https://example.org/a/b", "package://model/x", "51.2 [49, 53]", "km / h", "|A*|",
     "outputs/corpora/demo", "and/or", "…", "clips/*/test/*.wav", "{name}/x/y", "0.2 +/- 0.1", "50 %/label"],
)  # fmt: skip
def test_what_is_no_path_stays(text):
    assert without_folders(text) == text


def test_own_folders_may_have_spaces(tmp_path, monkeypatch):
    home = tmp_path / "Jo Do" / "my work"
    monkeypatch.setattr(Path, "home", lambda: home)
    assert without_folders(f"The file {home}/clips/a.wav is empty.") == "The file clips/a.wav is empty."


def test_values_of_json_are_cleaned_and_keys_stay():
    content = {"/a/b": ["/a/b", 1, None, {"x": ("/c/d", 2.5)}]}
    assert without_folders(content) == {"/a/b": ["b", 1, None, {"x": ["d", 2.5]}]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("expected '/data/My Clips/a b.wav', found '~/My Work/c.csv'", "expected 'a b.wav', found 'c.csv'"),
        (r"found 'C:\Users\Jo Do\x y.txt'.", "found 'x y.txt'."),
        ("run `/usr/bin/python -m x --set a/b`", "run `python -m x --set a/b`"),
        ("'/a/b and /c/d' are there", "'b and d' are there"),
    ],
)
def test_paths_in_quotes_may_have_blanks(text, expected):
    assert without_folders(text) == expected


def test_paths_with_blanks_that_are_on_this_machine(tmp_path):
    folder = tmp_path / "My Clips" / "take 1"
    folder.mkdir(parents=True)
    (folder / "a b.wav").write_text("x")
    assert without_folders(f"The file {folder}/a b.wav is empty.") == "The file a b.wav is empty."
    found = without_folders(f"{folder} has no split 'x'; see {folder}/a b.wav.")
    assert found == "take 1 has no split 'x'; see a b.wav."
    assert without_folders(f"{folder}/gone.wav: cannot be read") == "gone.wav: cannot be read"
    assert without_folders([f"{folder}: it has no file config.json"]) == ["take 1: it has no file config.json"]
    # What is not there ends at a blank.
    assert without_folders("/nowhere/mine has no split a/b") == "mine has no split a/b"
