# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What a report shows of analyses that were written by hand: numbers with intervals, what is missing, and figures."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from benchmark_stores import LABELS, make_predictions, write_plan, write_run
from scipy import stats

from modeling_univa import cli
from modeling_univa.benchmark.analysis_files import analysis_file, write_analysis
from modeling_univa.benchmark.analysis_sections import analysed, analysis_blocks, embedding_grid, robustness_scores
from modeling_univa.benchmark.page import Grid, Picture
from modeling_univa.benchmark.robustness import Condition
from modeling_univa.benchmark.scored import Bootstrap
from modeling_univa.benchmark.store import RunStore
from modeling_univa.scores.comparison import Run, compare
from modeling_univa.scores.predictions import write_predictions


SKILLS = {"full": 0.4, "w/o VA-CL": 0.25}
BOOTSTRAP = Bootstrap(draws=200)
CONDITIONS = [
    Condition("clean", "clean"),
    Condition("audio-50", "removed", "audio", 50),
    Condition("audio-100", "removed", "audio", 100),
    Condition("noise-10", "noise", "audio", decibels=10.0),
]


def robust(skill: float, seed: int, condition: Condition):
    """Predictions that are worse in other conditions."""
    return make_predictions(skill if condition.kind == "clean" else skill / 2, seed)


def write_embeddings(folder: Path, seed: int, shift: float) -> None:
    generator = np.random.default_rng(seed)
    arrays = {"label_names": np.array(LABELS)}
    for prefix, rows in (("", 24), ("train_", 8)):
        arrays |= {f"{prefix}utterance_ids": np.array([f"u{row}" for row in range(rows)])}
        arrays |= {f"{prefix}labels": np.eye(3, dtype=np.int8)[np.arange(rows) % 3]}
        arrays |= {f"{prefix}{name}_embeds": generator.normal(size=(rows, 5)) for name in ("text", "audio")}
    arrays["text_va"] = generator.uniform(-1, 1, (24, 2))
    np.savez(analysis_file(folder, "embeddings", ".npz"), **arrays)
    apart = {
        "rows": 24,
        "modality": 0.1 + shift,
        "emotion": {"text": 0.2 * seed + shift, "audio": None},
        "quadrant": {},
    }
    facts = {"split": "test", "rows": 24, "train_rows": 8, "probe": {"text": 50.0 + 10 * seed + shift}}
    write_analysis(folder, "embeddings", "complete", {**facts, "silhouettes": apart})


def write_analyses(folder: Path, row: str, seed: int) -> None:
    found = {one.name: robust(SKILLS[row], seed, one) for one in CONDITIONS}
    file = analysis_file(folder, "robustness", ".parquet")
    file.parent.mkdir(parents=True)
    write_predictions(file, found, LABELS, 0.5)
    facts = {"split": "test", "conditions": [asdict(one) for one in CONDITIONS], "noise_reason": None}
    write_analysis(folder, "robustness", "complete", facts)
    write_embeddings(folder, seed, 1.5 if row == "full" else 0.0)
    if row == "full":
        matrix = {"label_names": LABELS, "initial": np.eye(3).tolist(), "trained": (np.eye(3) / 2).tolist()}
        write_analysis(folder, "similarity", "complete", {**matrix, "is_trainable": True})
    else:
        write_analysis(folder, "similarity", "not applicable", {"reason": "There is <none>."})


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> RunStore:
    store = RunStore(tmp_path_factory.mktemp("benchmark") / "store")
    names = {"full": "full", "w/o VA-CL": "w-o"}
    write_plan(store, {"full": [1, 2], "w-o": [1, 2]})
    for row, skill in SKILLS.items():
        for seed in (1, 2):
            run = f"{names[row]}-{seed}"
            write_run(
                store, run, {split: make_predictions(skill, seed, split=split) for split in ("validation", "test")}
            )
            write_analyses(store.run_folder(run), row, seed)
    return store


@pytest.fixture(scope="module")
def rows(store):
    return {row: {seed: store.run_folder(f"{name}-{seed}") for seed in (1, 2)}
            for row, name in (("full", "full"), ("w/o VA-CL", "w-o"))}  # fmt: skip


def test_numbers_of_embeddings_have_intervals_over_seeds(rows):
    grid = embedding_grid("name", "Losses", rows)
    assert grid.header == ["row", "seeds", "probe, text", "silhouette of modalities", "silhouette of emotions, text"]
    half = stats.t.ppf(0.975, 1) * np.std([60.0, 70.0], ddof=1) / np.sqrt(2)
    assert [line[0] for line in grid.rows] == ["full", "w/o VA-CL", "w/o VA-CL − full"]
    assert grid.rows[1][2] == f"65.0 [{65 - half:.1f}, {65 + half:.1f}]".replace("-", "−")
    # Paired by seed: the same difference in both.
    assert grid.rows[2][2] == "−1.5 [−1.5, −1.5]" and grid.rows[2][1] == "2"
    assert any("24 rows; probes were trained on 8 rows" in note for note in grid.notes)
    alone = embedding_grid("name", "Losses", {"full": {1: rows["full"][1]}})
    assert [line[2] for line in alone.rows] == ["61.5"]


def test_robustness_is_compared_condition_by_condition(rows):
    scores = robustness_scores(rows, BOOTSTRAP)
    assert list(scores) == CONDITIONS
    for condition, found in scores.items():
        runs = {
            row: [Run(robust(skill, seed, condition), 0.5, seed) for seed in (1, 2)] for row, skill in SKILLS.items()
        }
        assert found == compare(runs, "full", draws=200)
    # The full model alone has none where the others were not analysed.
    assert robustness_scores({"full": {}, "other": {1: Path("nowhere")}}, BOOTSTRAP) == {}


@pytest.mark.parametrize("figures", [True, False])
def test_blocks_show_all_analyses_and_what_is_missing(figures, rows):
    blocks = list(analysis_blocks("t", "Losses", rows, BOOTSTRAP, figures))
    assert [block.name for block in blocks if isinstance(block, Grid)] == [
        "t-embeddings", "t-robustness", "t-analyses-missing"
    ]  # fmt: skip
    pictures = ["t-embeddings-emotion", "t-embeddings-quadrant", "t-similarity", "t-robustness"]
    assert [block.name for block in blocks if isinstance(block, Picture)] == (pictures if figures else [])
    missing = blocks[-1]
    assert missing.rows == [["w/o VA-CL", "similarity", "There is <none>."]]
    (grid,) = [block for block in blocks if block.name == "t-robustness" and isinstance(block, Grid)]
    assert [line[0] for line in grid.rows] == [
        "all as it is", "50 % of rows without audio", "100 % of rows without audio",
        "speech with white noise at 10 dB",
    ]  # fmt: skip
    assert all("[" in cell for line in grid.rows for cell in line[1:])
    assert len(grid.data) == 4 * 2 * 4 and grid.data[-1]["difference_p_holm"] is not None
    assert len(analysed(rows)) == 4
    assert list(analysis_blocks("t", "Losses", {"full": {1: Path("nowhere")}}, BOOTSTRAP)) == []


def test_runs_of_other_rows_are_not_compared(rows, tmp_path):
    found = {"clean": make_predictions(0.5, 1, dialogues=5)}
    file = analysis_file(tmp_path, "robustness", ".parquet")
    file.parent.mkdir()
    write_predictions(file, found, LABELS, 0.5)
    facts = {"split": "test", "conditions": [asdict(CONDITIONS[0])], "noise_reason": None}
    write_analysis(tmp_path, "robustness", "complete", facts)
    blocks = list(analysis_blocks("t", "Losses", {"full": rows["full"], "few": {1: tmp_path}}, BOOTSTRAP, False))
    assert any(isinstance(block, str) and block.startswith("Robustness is not compared: ") for block in blocks)


def test_report_has_analyses_and_cases(store, tmp_path):
    assert cli.main(["report", str(store.folder), "--output", str(tmp_path), "--draws", "100"]) == 0
    text = (tmp_path / "report.md").read_text()
    for caption in ("embeddings of the modalities", "macro-F1 where something is missing", "Systems: cases"):
        assert text.count(caption) >= 1, caption
    for name in ("emotion", "quadrant"):
        assert (tmp_path / "figures" / f"mine-table2-embeddings-{name}.svg").is_file()
    assert (tmp_path / "figures" / "mine-table2-similarity.png").is_file()
    cases = (tmp_path / "tables" / "mine-parts-cases.csv").read_text()
    assert cases.startswith("case,utterance,labels,full,w-o\n") and "full right, w-o wrong" in cases
