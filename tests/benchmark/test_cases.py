# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Cases of Table 7 are chosen by their names, and show texts only where the licence allows it."""

import hashlib

import numpy as np
import pytest
from testing_utils import random_rows, write_corpus

from modeling_univa.benchmark.cases import choose_cases, with_texts
from modeling_univa.scores.comparison import Run
from modeling_univa.scores.predictions import Predictions


NAMES = ["happy", "sad", "fear"]


def run(skill: float, seed: int, order: np.ndarray | None = None, ids: list[str] | None = None) -> Run:
    labels = (np.random.default_rng(9).random((60, 3)) < 0.4).astype(np.int8)
    scores = skill * labels + (1 - skill) * np.random.default_rng(seed).random((60, 3))
    ids = ids or [f"u{row}" for row in range(60)]
    order = np.arange(60) if order is None else order
    found = Predictions(
        [ids[r] for r in order], [f"d{r // 4}" for r in order], scores[order].astype(np.float32), labels[order]
    )
    return Run(found, 0.5)


@pytest.mark.parametrize("per_kind", [1, 3])
def test_cases_are_the_first_of_their_kind_by_hash(per_kind):
    systems = {"full": run(0.35, 1), "none": run(0.3, 2), "third": run(0.4, 3)}
    found = choose_cases(systems, NAMES, "full", "none", per_kind, seed=5)
    ids = [f"u{row}" for row in range(60)]
    order = sorted(range(60), key=lambda row: hashlib.sha256(f"5 cases {ids[row]}".encode()).digest())
    truth = systems["full"].predictions.labels
    expected: dict[str, list[str]] = {}
    for row in order:
        if truth[row].sum() == 0:
            continue
        right = [
            all(
                (score > 0.5) == bool(label)
                for score, label in zip(systems[name].predictions.scores[row], truth[row], strict=True)
            )
            for name in ("full", "none")
        ]
        kind = {(1, 0): "full right, none wrong", (0, 1): "full wrong, none right", (1, 1): "both right",
                (0, 0): "both wrong"}[tuple(map(int, right))]  # fmt: skip
        expected.setdefault(kind, []).append(ids[row])
    assert len(expected) == 4
    assert found.counts == {kind: len(rows) for kind, rows in expected.items()} and found.num_rows == sum(
        found.counts.values()
    )
    chosen: dict[str, list[str]] = {}
    for case in found.cases:
        chosen.setdefault(case.kind, []).append(case.utterance_id)
        row = ids.index(case.utterance_id)
        assert case.labels == [name for name, active in zip(NAMES, truth[row], strict=True) if active]
        assert case.dialogue_id == f"d{row // 4}" and case.text is None
        for name, system in systems.items():
            assert case.predicted[name] == [
                NAMES[label] for label in range(3) if system.predictions.scores[row, label] > 0.5
            ]
    assert chosen == {kind: rows[:per_kind] for kind, rows in expected.items()}


def test_order_of_rows_does_not_matter():
    systems = {"full": run(0.35, 1), "none": run(0.3, 2)}
    order = np.random.default_rng(0).permutation(60)
    shuffled = {"full": run(0.35, 1, order[::-1]), "none": run(0.3, 2, order)}
    assert choose_cases(systems, NAMES, "full", "none") == choose_cases(shuffled, NAMES, "full", "none")


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="There is no system 'x'; there are full"):
        choose_cases({"full": run(0.35, 1)}, NAMES, "full", "x")
    other = run(0.35, 1, ids=[f"v{row}" for row in range(60)])
    with pytest.raises(ValueError, match="none was scored on other rows"):
        choose_cases({"full": run(0.35, 1), "none": other}, NAMES, "full", "none")


@pytest.mark.parametrize("license", ["mit", "cc-by-nc-4.0", "CC0-1.0", "other", "unknown", None])
def test_texts_are_shown_where_the_licence_allows_it(license, tmp_path):
    rows = random_rows([4] * 15, prefix="d")
    corpus = write_corpus(tmp_path / "corpus", {"train": rows.select(range(30)), "test": rows.select(range(30, 60))})
    if license:
        (corpus / "README.md").write_text(f"---\nlicense: {license}\n---\n")
    ids = rows["utterance_id"]
    found = choose_cases({"full": run(0.35, 1, ids=ids), "none": run(0.3, 2, ids=ids)}, NAMES, "full", "none")
    if license in ("other", "unknown", None):
        with pytest.raises(ValueError, match="does not say that its texts may be quoted: show cases without them"):
            with_texts(found, corpus)
        return
    shown = with_texts(found, corpus)
    texts = dict(zip(ids, rows["text"], strict=True))
    assert [case.text for case in shown.cases] == [texts[case.utterance_id] for case in found.cases]
    strange = choose_cases({"full": run(0.35, 1), "none": run(0.3, 2)}, NAMES, "full", "none")
    with pytest.raises(ValueError, match="pass the corpus that the runs were tested on"):
        with_texts(strange, corpus)
