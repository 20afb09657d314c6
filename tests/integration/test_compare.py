# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""`univa compare` with real runs: a table of folds by speaker, nothing made twice, and what failed is named."""

import csv
from pathlib import Path

import pytest
import yaml
from forked_runs import fork_runs
from testing_utils import random_rows, write_corpus
from training_runs import SIZES

from modeling_univa import cli
from modeling_univa.benchmark.store import RunStore


FILES = {"plan.yaml", "plans", "report", "runs", "table.csv", "table.md", "table.tex"}


@pytest.fixture
def command(tmp_path, monkeypatch) -> list[str]:
    """Two rows on a corpus of four speakers with a dialogue each; the working directory is thrown away."""
    monkeypatch.chdir(tmp_path)
    fork_runs(monkeypatch)
    rows = random_rows([4] * 4, modalities=["audio"], speakers=[name for name in "abcd" for _ in range(4)])
    write_corpus(Path("corpora/mine"), {"train": rows})
    common = {**SIZES, "audio_num_hidden_layers": 1, "num_train_epochs": 1, "use_cpu": True}
    Path("common.yaml").write_text(yaml.safe_dump(common))
    given = ["compare", "corpora/mine", "--systems", "univa", "linear", "--modalities", "audio"]
    return [*given, "--recipe", "common.yaml", "--draws", "200"]


def lines(file: Path) -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.slow
def test_folds_by_speaker_end_in_a_table(command, capfd):
    command = [*command, "--jobs", "2", "--folds", "3", "--seeds", "1"]
    assert cli.main(command) == 0, capfd.readouterr()
    said, output = capfd.readouterr().out, Path("outputs/compare")
    assert "6 runs, 6 to make: unknown time" in said and "6 complete, 0 failed, 0 missing" in said
    assert "Split test: 16 rows of 4 dialogues" in said and "  − univa  " in said
    assert "3 folds by speaker. The test rows of all folds are pooled" in said.replace("\n  ", " ")
    assert {path.name for path in output.iterdir()} >= FILES and (output / "report" / "index.html").is_file()
    found = lines(output / "table.csv")
    assert [line["row"] for line in found] == ["univa"] * 4 + ["linear"] * 4
    assert {(line["rows"], line["runs"], line["planned_runs"], line["sd_over"]) for line in found} == {
        ("16", "3", "3", "folds")
    }
    # The same command makes nothing, and says the same; so does `univa reproduce` with the plan that was written.
    before = {run.predictions: run.predictions.stat().st_mtime_ns for run in RunStore(output).read_all().values()}
    tables = {file: file.read_bytes() for file in output.glob("table.*")}
    assert cli.main(command) == 0
    assert "6 runs, 0 to make: nothing to wait for" in capfd.readouterr().out
    assert cli.main(["reproduce", str(output / "plan.yaml"), "--output", str(output)]) == 0
    assert "6 runs, 0 to make: nothing to wait for" in capfd.readouterr().out
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert {file: file.read_bytes() for file in tables} == tables
    # Further rows and seeds use what is there.
    assert cli.main([*command[:-1], "2", "--dry-run"]) == 0
    assert "9 runs, 3 to make: about" in capfd.readouterr().out


@pytest.mark.slow
def test_what_failed_is_named_below_the_table(command, capfd):
    """What the checks before cannot know of."""
    broken = ["eval_split=none", "univa.lr_scheduler_type=cosine_with_min_lr"]
    assert cli.main([*command, "--jobs", "2", "--folds", "2", "--seeds", "1", "--set", *broken]) == 1
    said = capfd.readouterr()
    assert "2 complete, 2 failed, 0 missing" in said.out, said
    text = Path("outputs/compare/table.md").read_text(encoding="utf-8")
    assert "univa lacks the seed 1111: Folds that are missing, of 2: 1, 2." in text
    assert "| univa | – |" in text and "0 of 2" in text
