# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""From a lab's sheet and videos to a table of folds by speaker: benchmarks/first_hour.sh, made short."""

import csv
import re
import shlex
import sys

import pandas
import pytest
from forked_runs import fork_runs
from testing_utils import REPOSITORY

from modeling_univa.cli import main


sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import first_hour


SHORT = {
    "compare": "--folds 3 --draws 200 --set num_train_epochs=1",
    "train": "--num_folds 3 --num_train_epochs 1",
}


def test_the_sheet_is_what_a_spreadsheet_program_writes(tmp_path):
    first_hour.make_sheet(tmp_path, clips=3, long_utterances=2)
    with open(tmp_path / "sheet.csv", encoding="cp1252", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    assert len(rows) == 3 + 2 + len(first_hour.BROKEN)
    assert re.fullmatch(r"00:00:0\d,\d", rows[4]["Start"]) and float(rows[4]["Start"][-3:].replace(",", ".")) > 0
    assert not any((tmp_path / "videos" / row["File"]).exists() for row in rows)
    assert len(list((tmp_path / "videos").rglob("*.MP4"))) == 1


@pytest.mark.slow
def test_a_lab_gets_from_its_sheet_to_a_table_without_editing_a_file(tmp_path, monkeypatch, capfd):
    first_hour.make_sheet(tmp_path / "lab", clips=40, long_utterances=6)
    monkeypatch.chdir(tmp_path)
    fork_runs(monkeypatch)
    script = (REPOSITORY / "benchmarks/first_hour.sh").read_text(encoding="utf-8").replace("\\\n", " ")
    commands = [shlex.split(line)[1:] for line in script.splitlines() if line.startswith("univa ")]
    assert [words[0] for words in commands] == ["build", "build", "compare", "train", "predict"]
    statuses = [main([*words, *shlex.split(SHORT.get(words[0], ""))]) for words in commands]
    # Of the videos four cannot be read.
    assert statuses == [0, 0, 0, 0, 1], capfd.readouterr().err[-3000:]

    rejected = (tmp_path / "corpora/lab/rejected.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rejected) == len(first_hour.BROKEN)
    table = pandas.read_csv(tmp_path / "outputs/compare/table.csv")
    assert set(table["row"]) == {"univa", "mult"}
    assert (table["rows"] == 46).all()
    found = pandas.read_csv(tmp_path / "emotions.csv")
    assert len(found) == 40 + 1 + 4
    assert sum(name.capitalize() in " ".join(found.columns) for name in first_hour.LEXICON) == 12
