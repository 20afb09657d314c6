# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The evaluate metric against hand-computed figures and a brute-force count, its examples, and what it refuses."""

import ast
import doctest
import importlib
import inspect
import json
import math
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import pytest
import torch
import yaml


FOLDER = Path(__file__).resolve().parents[2] / "metrics" / "multilabel_emotion"
NAMES = ["happy", "sad", "fear"]
# Row by row: one of two right, right, missed, nothing to find.
PREDICTIONS = [[1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]]
REFERENCES = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the metric reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def load(private_cache: Path) -> Callable[..., evaluate.Metric]:
    # In memory: evaluate keeps the lock of its file when a metric refuses, and the next one waits a second for it.
    return lambda *configuration: evaluate.load(str(FOLDER), *configuration, keep_in_memory=True)


def brute_force(predictions: list[list[int]], references: list[list[int]], empty_score: float) -> dict[str, float]:
    """The figures by counting, row by row and label by label."""
    num_labels = len(references[0])
    accuracy, wrong = 0.0, 0
    counts = [[0, 0, 0] for _ in range(num_labels)]  # true positives, false positives, false negatives
    for predicted_row, expected_row in zip(predictions, references, strict=True):
        predicted = {j for j in range(num_labels) if predicted_row[j]}
        expected = {j for j in range(num_labels) if expected_row[j]}
        union = predicted | expected
        accuracy += len(predicted & expected) / len(union) if union else empty_score
        wrong += len(predicted ^ expected)
        for j in union:
            counts[j][0 if j in predicted & expected else 1 if j in predicted else 2] += 1

    def f1(true_positives: int, false_positives: int, false_negatives: int) -> float:
        total = 2 * true_positives + false_positives + false_negatives
        return 200 * true_positives / total if total else 0.0

    label_f1 = [f1(*count) for count in counts]
    return {
        "accuracy": 100 * accuracy / len(references),
        "hamming_loss": wrong / (len(references) * num_labels),
        "micro_f1": f1(*(sum(column) for column in zip(*counts, strict=True))),
        "macro_f1": sum(label_f1) / num_labels,
        **{f"LABEL_{j}": value for j, value in enumerate(label_f1)},
    }


def test_hand_computed(load: Callable[..., evaluate.Metric]) -> None:
    results = load().compute(predictions=PREDICTIONS, references=REFERENCES, label_names=NAMES)
    label_f1 = results.pop("label_f1")
    assert label_f1 == pytest.approx({"happy": 100.0, "sad": 200 / 3, "fear": 0.0})
    assert results.pop("label_support") == {"happy": 1, "sad": 1, "fear": 1}
    assert results == pytest.approx(
        {
            "accuracy": 37.5,
            "hamming_loss": 2 / 12,
            "micro_f1": 200 / 3,
            "macro_f1": 500 / 9,
            "num_rows": 4,
            "num_rows_without_label": 1,
            "num_rows_without_prediction": 2,
        }
    )


def test_results_are_plain_json(load: Callable[..., evaluate.Metric]) -> None:
    results = load().compute(predictions=PREDICTIONS, references=REFERENCES)
    assert json.loads(json.dumps(results)) == results


@pytest.mark.parametrize("empty_score", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_equals_brute_force(load: Callable[..., evaluate.Metric], seed: int, empty_score: float) -> None:
    generator = np.random.default_rng(seed)
    num_rows, num_labels = [(1, 3), (40, 6), (60, 7), (200, 28)][seed]
    predictions, references = (generator.random((2, num_rows, num_labels)) < 0.15).astype(int).tolist()
    references[0] = predictions[0] = [0] * num_labels
    results = load().compute(predictions=predictions, references=references, empty_score=empty_score)

    expected = brute_force(predictions, references, empty_score)
    figures = {name: results[name] for name in ("accuracy", "hamming_loss", "micro_f1", "macro_f1")}
    assert figures | results["label_f1"] == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert list(results["label_support"].values()) == np.sum(references, axis=0).tolist()
    assert results["num_rows_without_label"] == sum(not any(row) for row in references)
    assert results["num_rows_without_prediction"] == sum(not any(row) for row in predictions)


def test_every_form_of_rows_gives_the_same(load: Callable[..., evaluate.Metric]) -> None:
    expected = load().compute(predictions=PREDICTIONS, references=REFERENCES)
    indices = {"predictions": [[1, 0], [1], [], []], "references": [[0], [1], [2], []]}
    scores = np.where(PREDICTIONS, 0.3, 0.2).astype(np.float32)
    assert load().compute(**indices, num_labels=3) == expected
    assert load("indices").compute(**indices, num_labels=3) == expected
    assert load().compute(predictions=PREDICTIONS, references=indices["references"], num_labels=3) == expected
    assert load("multi_hot").compute(predictions=PREDICTIONS, references=REFERENCES) == expected
    assert load().compute(predictions=scores, references=REFERENCES, threshold=0.25) == expected
    assert load().compute(predictions=scores.tolist(), references=indices["references"], threshold=0.25) == expected
    for dtype in (bool, np.uint8, np.float32):
        arrays = {"predictions": np.array(PREDICTIONS, dtype), "references": np.array(REFERENCES, dtype)}
        assert load().compute(**arrays) == expected
        assert load().compute(**{name: torch.from_numpy(array) for name, array in arrays.items()}) == expected


def test_labels_may_have_thresholds_of_their_own(load: Callable[..., evaluate.Metric]) -> None:
    scores, references = [[0.3, 0.3, 0.3], [0.3, 0.1, 0.5]], [[0, 1, 1], [0, 0, 1]]
    for limits in ([0.4, 0.2, 0.25], np.array([0.4, 0.2, 0.25])):
        results = load().compute(predictions=scores, references=references, threshold=limits)
        assert results["accuracy"] == 100.0
    assert load().compute(predictions=scores, references=references, threshold=0.25)["accuracy"] < 100


def test_threshold_is_strict(load: Callable[..., evaluate.Metric]) -> None:
    scores = [[0.18, math.nextafter(0.18, 1), 0.0], [-math.inf, 2.0, math.inf]]
    results = load().compute(predictions=scores, references=[[0, 1, 0], [0, 1, 1]], threshold=0.18)
    assert results["accuracy"] == 100


def test_two_labels_need_a_configuration(load: Callable[..., evaluate.Metric]) -> None:
    rows = {"predictions": [[0, 1], [1, 0]], "references": [[0, 1], [0, 1]]}
    for arguments in ({}, {"num_labels": 2}, {"threshold": 0.5}):
        with pytest.raises(ValueError, match="may be multi-hot rows over two labels or lists of the indices"):
            load().compute(**rows, **arguments)
    assert load("multi_hot").compute(**rows)["accuracy"] == 50
    assert load("indices").compute(**rows, num_labels=2)["accuracy"] == 100
    # Here only one reading is possible.
    assert load().compute(predictions=[[0], [1]], references=[[0], [0, 1]], num_labels=2)["accuracy"] == 75


@pytest.mark.parametrize("keep_in_memory", [True, False])
def test_incremental(load: Callable[..., evaluate.Metric], keep_in_memory: bool) -> None:
    metric = evaluate.load(str(FOLDER), keep_in_memory=keep_in_memory)
    metric.add_batch(predictions=PREDICTIONS[:2], references=np.array(REFERENCES[:2]))
    metric.add(prediction=PREDICTIONS[2], reference=REFERENCES[2])
    metric.add_batch(predictions=torch.tensor(PREDICTIONS[3:]), references=REFERENCES[3:])
    assert metric.compute() == load().compute(predictions=PREDICTIONS, references=REFERENCES)


@pytest.mark.parametrize("keep_in_memory", [True, False])
def test_usable_after_a_refusal(keep_in_memory: bool) -> None:
    metric = evaluate.load(str(FOLDER), keep_in_memory=keep_in_memory)
    for predictions in ([[0.5, 0.2, 0.3]], [["a", "b", "c"]]):
        with pytest.raises(ValueError, match="Row 0 of `predictions`"):
            metric.compute(predictions=predictions, references=[[1, 0, 0]])
    assert metric.compute(predictions=[[1, 0, 0]], references=[[1, 0, 0]])["num_rows"] == 1


REFUSED = {
    "scores_without_threshold": ({"predictions": [[0.9, 0.1, 0.0]]}, "must be 3 values 0 or 1, got .*`threshold=`"),
    "scores_without_threshold_and_names": (
        {"predictions": [[0.9, 0.1, 0.0]], "label_names": NAMES},
        "neither multi-hot nor whole label indices.*`threshold=`",
    ),
    "one_score_without_threshold": (
        {"predictions": np.array([[1, 0, 0], [1, 0, 0.5]]), "references": [[1, 0, 0]] * 2},
        "Row 1 of `predictions` must be 3 values 0 or 1",
    ),
    "strings": ({"predictions": [["1", "0", "0"]]}, "Row 0 of `predictions` must be a flat list of numbers, got"),
    "names": ({"references": [["happy"]]}, "Row 0 of `references` must be a flat list of numbers"),
    "text": ({"predictions": "100"}, "`predictions` must be a list of rows .* got str"),
    "none": ({"predictions": None}, "`predictions` must be a list of rows .* got NoneType"),
    "number": ({"predictions": 3}, "`predictions` must be a list of rows .* got int"),
    "none_in_row": ({"predictions": [[1, None, 0]]}, "Row 0 of `predictions` must be a flat list of numbers"),
    "none_as_row": ({"predictions": [None]}, "Row 0 of `predictions` must be a flat list of numbers"),
    "flat": ({"predictions": [1]}, "Row 0 of `predictions` must be a flat list of numbers"),
    "flat_array": ({"predictions": np.array([1])}, "Row 0 of `predictions` must be a flat list of numbers"),
    "deep": ({"predictions": [[[1], [0], [0]]]}, "Row 0 of `predictions` must be a flat list of numbers"),
    "uneven_depth": ({"predictions": [[[1], 0, 0]]}, "Row 0 of `predictions` is not a flat list of numbers"),
    "set": ({"predictions": [{0, 1}]}, "Row 0 of `predictions` must be a flat list of numbers"),
    "tensor_with_gradient": (
        {"predictions": torch.rand(1, 3, requires_grad=True)},
        "Row 0 of `predictions` is not a flat list of numbers: Can't call numpy",
    ),
    "number_of_rows": ({"predictions": [[1, 0, 0], [0, 1, 0]]}, r"predictions \(2\) and references \(1\)"),
    "no_rows": ({"predictions": [], "references": []}, "There are no rows to score"),
    "unequal_rows": (
        {"predictions": [[1, 0, 0], [1, 0]], "references": [[1, 0, 0]] * 2},
        "rows of length 2 and 3. Label indices need `num_labels=` or `label_names=`",
    ),
    "unequal_sides": ({"predictions": [[1, 0, 0, 1]]}, "rows of length 3 and 4"),
    "indices_without_size": ({"predictions": [[1]], "references": [[0]]}, "rows of length 1. Label indices need"),
    "one_label": ({"num_labels": 1}, "`num_labels` must be an integer of at least 2, got 1"),
    "value_two": ({"predictions": [[2, 0, 0]]}, r"must be 3 values 0 or 1, got \[2.0, 0.0, 0.0\]"),
    "negative": ({"predictions": [[1, -1, 0]]}, "Row 0 of `predictions` must be 3 values 0 or 1"),
    "nan": ({"predictions": [[1, math.nan, 0]]}, "Row 0 of `predictions` must be 3 values 0 or 1"),
    "reference_scores": ({"references": [[0.9, 0, 0]], "threshold": 0.5}, "Row 0 of `references` is neither"),
    "nan_score": ({"predictions": [[0.9, math.nan, 0]], "threshold": 0.5}, "has a score that is NaN"),
    "unequal_scores": (
        {"predictions": [[0.9, 0.1, 0], [0.9, 0.1]], "references": [[1, 0, 0]] * 2, "threshold": 0.5},
        "The rows of `predictions` must all have one value for each .* rows of length 2 and 3",
    ),
    "too_few_scores": (
        {"predictions": [[0.9, 0.1]], "threshold": 0.5, "num_labels": 3},
        "Row 0 of `predictions` has 2 scores for 3 labels",
    ),
    "threshold_text": ({"threshold": "0.5"}, "`threshold` must be a finite number, got '0.5'"),
    "thresholds_of_other_labels": (
        {"predictions": [[0.9, 0.1, 0]], "threshold": [0.5, 0.5]},
        "`threshold` must be one number, or one for each of 3 labels, got 2",
    ),
    "threshold_of_a_label": ({"threshold": [0.5, "0.5", 0.5]}, "`threshold` must be a finite number, got"),
    "threshold_nan": ({"threshold": math.nan}, "`threshold` must be a finite number, got nan"),
    "threshold_bool": ({"threshold": True}, "`threshold` must be a finite number, got True"),
    "index_too_large": ({"predictions": [[3]], "num_labels": 3}, "must be different label indices from 0 to 2"),
    "index_negative": ({"predictions": [[-1]], "num_labels": 3}, "must be different label indices from 0 to 2"),
    "index_twice": ({"predictions": [[1, 1]], "num_labels": 3}, "must be different label indices from 0 to 2"),
    "index_infinite": ({"predictions": [[math.inf]], "num_labels": 3}, "neither multi-hot nor whole label indices"),
    "multi_hot_of_other_size": ({"num_labels": 4}, "or all rows must be multi-hot with 4 values"),
    "num_labels_fraction": ({"num_labels": 3.0}, "`num_labels` must be an integer of at least 2, got 3.0"),
    "num_labels_bool": ({"num_labels": True}, "`num_labels` must be an integer of at least 2, got True"),
    "names_and_number": ({"num_labels": 4, "label_names": NAMES}, "`num_labels` is 4, but there are 3 `label_names`"),
    "names_text": ({"label_names": "abc"}, "`label_names` must be a list of strings"),
    "names_numbers": ({"label_names": [1, 2, 3]}, "`label_names` must be a list of strings"),
    "names_twice": ({"label_names": ["a", "a", "b"]}, "`label_names` must be at least two different names"),
    "empty_score": ({"empty_score": 0.5}, "`empty_score` must be 0.0 or 1.0, got 0.5"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(load: Callable[..., evaluate.Metric], case: str) -> None:
    changes, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        load().compute(**({"predictions": [[1, 0, 0]], "references": [[1, 0, 0]]} | changes))


@pytest.mark.parametrize(
    ("configuration", "arguments", "message"),
    [
        ("scores", {}, r"The configuration must be one of \['default', 'multi_hot', 'indices'\], got 'scores'"),
        ("indices", {}, "Label indices need `num_labels=` or `label_names=`"),
        ("indices", {"num_labels": 3}, "must be different label indices from 0 to 2"),
        ("multi_hot", {"num_labels": 4}, "Row 0 of `predictions` must be 4 values 0 or 1"),
    ],
)
def test_configuration_refuses(
    load: Callable[..., evaluate.Metric], configuration: str, arguments: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load(configuration).compute(predictions=[[1, 0, 0]], references=[[1, 0, 0]], **arguments)


def test_unknown_argument_is_refused(load: Callable[..., evaluate.Metric]) -> None:
    with pytest.raises(TypeError, match="treshold"):
        load().compute(predictions=[[0.9, 0.1, 0]], references=[[1, 0, 0]], treshold=0.5)
    parameters = inspect.signature(load()._compute).parameters.values()
    assert all(parameter.kind is not inspect.Parameter.VAR_KEYWORD for parameter in parameters)


def test_docstring_examples(load: Callable[..., evaluate.Metric], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER.parents[1])
    module = importlib.import_module(type(load()).__module__)
    results = doctest.testmod(module, extraglobs={"evaluate": evaluate}, raise_on_error=False)
    assert results.failed == 0 and results.attempted >= 6


def test_card_examples(private_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER.parents[1])
    card = FOLDER / "README.md"
    results = doctest.testfile(str(card), module_relative=False, optionflags=doctest.ELLIPSIS, encoding="utf-8")
    assert results.failed == 0 and results.attempted >= 8


def test_card_front_matter() -> None:
    front_matter = yaml.safe_load((FOLDER / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert (FOLDER / front_matter["app_file"]).is_file()
    assert front_matter["sdk"] == "gradio" and {"evaluate", "metric"} <= set(front_matter["tags"])
    assert {"title", "emoji", "colorFrom", "colorTo", "sdk_version"} <= set(front_matter)


@pytest.mark.parametrize(
    ("file", "libraries", "siblings"),
    [
        ("multilabel_emotion.py", {"datasets", "evaluate", "numpy"}, {"scoring"}),
        ("scoring.py", {"numpy", "sklearn"}, set()),
    ],
)
def test_module_needs_only_what_evaluate_fetches(file: str, libraries: set[str], siblings: set[str]) -> None:
    """Siblings of the module itself are copied beside it; those of siblings are not."""
    imported, relative = set(), set()
    for node in ast.walk(ast.parse((FOLDER / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert len(node.names) == 1, "evaluate's parser reads one import a line"
            imported.add(node.names[0].name.split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            (relative if node.level else imported).add((node.module or "").split(".")[0])
    assert imported - sys.stdlib_module_names == libraries and relative == siblings
