# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The predictions file of a run."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modeling_univa.scores.predictions import (
    Predictions,
    joined_predictions,
    read_note,
    read_predictions,
    write_predictions,
)


def some(rows: int, seed: int) -> Predictions:
    random = np.random.default_rng(seed)
    names = [f"u{index}" for index in range(rows)]
    scores = random.random((rows, 3), dtype=np.float32)
    return Predictions(names, ["d"] * rows, scores, (random.random((rows, 3)) < 0.5).astype(np.int8))


@pytest.mark.parametrize("threshold", [0.18, [0.18, 0.2, 0.3]])
def test_what_is_written_is_read(threshold, tmp_path):
    splits = {"validation": some(4, 0), "test": replace(some(1, 1), decision="softmax")}
    write_predictions(tmp_path / "predictions.parquet", splits, ["happy", "sad", "fear"], threshold)
    found, names, read = read_predictions(tmp_path / "predictions.parquet")
    assert (list(found), names, read) == (["validation", "test"], ["happy", "sad", "fear"], threshold)
    for split, wanted in splits.items():
        assert found[split].utterance_ids == list(wanted.utterance_ids)
        assert found[split].dialogue_ids == list(wanted.dialogue_ids)
        assert found[split].decision == wanted.decision
        np.testing.assert_array_equal(found[split].scores, wanted.scores)
        np.testing.assert_array_equal(found[split].labels, wanted.labels)


@pytest.mark.parametrize("threshold", [0.5, [0.1, 0.5, 0.9]])
def test_decisions_are_those_at_the_threshold(threshold, tmp_path):
    file, rows = tmp_path / "predictions.parquet", some(5, 0)
    write_predictions(file, {"test": rows}, ["happy", "sad", "fear"], threshold)
    table = pq.read_table(file)
    decisions = np.array(table.column("decisions").to_pylist())
    np.testing.assert_array_equal(decisions, rows.scores > np.array(threshold))
    assert 0 < decisions.sum() < decisions.size
    # Files of before have none.
    pq.write_table(table.drop_columns("decisions"), file)
    np.testing.assert_array_equal(read_predictions(file)[0]["test"].scores, rows.scores)


def test_speakers_are_kept_where_they_are_known(tmp_path):
    file = tmp_path / "predictions.parquet"
    splits = {"validation": some(2, 0), "test": replace(some(3, 1), speakers=["Ada", None, "Grace"])}
    write_predictions(file, splits, ["happy", "sad", "fear"], 0.18)
    found, _, _ = read_predictions(file)
    assert (found["validation"].speakers, found["test"].speakers) == (None, ["Ada", None, "Grace"])


def test_rows_are_taken_with_all_that_is_theirs():
    rows = replace(some(4, 0), speakers=["Ada", None, "Grace", "Ada"], decision="softmax")
    found = rows.at([2, 0])
    assert (found.utterance_ids, found.dialogue_ids, found.speakers) == (["u2", "u0"], ["d", "d"], ["Grace", "Ada"])
    np.testing.assert_array_equal(found.scores, rows.scores[[2, 0]])
    np.testing.assert_array_equal(found.labels, rows.labels[[2, 0]])
    assert found.decision == "softmax" and some(4, 0).at([1]).speakers is None


@pytest.mark.parametrize("decision", ["softmax", "sigmoid"])
def test_files_without_speakers_and_decisions_are_read(decision, tmp_path):
    file, rows = tmp_path / "predictions.parquet", some(4, 0)
    if decision == "softmax":
        rows = replace(rows, scores=rows.scores / rows.scores.sum(axis=1, keepdims=True))
    write_predictions(file, {"test": rows}, ["happy", "sad", "fear"], 0.18)
    table = pq.read_table(file).drop_columns("speaker")
    settings = json.dumps({"label_names": ["happy", "sad", "fear"], "threshold": 0.18})
    pq.write_table(table.replace_schema_metadata({"univa": settings}), file)
    found, _, threshold = read_predictions(file)
    assert (found["test"].speakers, found["test"].decision, threshold) == (None, decision, 0.18)
    np.testing.assert_array_equal(found["test"].scores, rows.scores)


def test_parts_are_joined_in_order():
    parts = [some(2, 0), replace(some(3, 1), speakers=["Ada", None, "Grace"])]
    found = joined_predictions(parts)
    assert found.utterance_ids == ["u0", "u1", "u0", "u1", "u2"] and len(found.dialogue_ids) == 5
    assert found.speakers == [None, None, "Ada", None, "Grace"]
    np.testing.assert_array_equal(found.scores[2:], parts[1].scores)
    np.testing.assert_array_equal(found.labels[:2], parts[0].labels)
    assert joined_predictions(parts[:1]).speakers is None


@pytest.mark.parametrize("note", [None, "Scored are äll."])
def test_note_is_kept(note, tmp_path):
    write_predictions(tmp_path / "predictions.parquet", {"test": some(2, 0)}, ["a", "b", "c"], 0.5, note)
    assert read_note(tmp_path / "predictions.parquet") == note
    assert read_predictions(tmp_path / "predictions.parquet")[1] == ["a", "b", "c"]


def test_another_file_is_refused(tmp_path):
    pq.write_table(pa.table({"split": ["test"]}), tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("scores")
    for name in ("other.parquet", "text.parquet", "absent.parquet"):
        with pytest.raises(ValueError, match=f"{name} is not a predictions file"):
            read_predictions(tmp_path / name)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label_names": "abc"}, "expected names of labels, found 'abc'"),
        ({"label_names": [1, 2, 3]}, r"expected names of labels, found \[1, 2, 3\]"),
        ({"label_names": []}, r"expected names of labels, found \[\]"),
        ({"label_names": ["a", "a", "b"]}, "expected different names"),
        ({"label_names": ["a", "b"]}, "3"),
        ({"threshold": None}, "expected thresholds in .*, found None"),
        ({"threshold": "0.5"}, "expected thresholds in .*, found '0.5'"),
        ({"threshold": float("nan")}, "expected thresholds in .*, found nan"),
        ({"threshold": [0.5, 0.5]}, "expected a threshold for each of 3 labels, found 2"),
        ({"threshold": [0.5, 0.5, {}]}, "expected thresholds in"),
        ({"decisions": {"test": "tanh"}}, "expected softmax or sigmoid, found 'tanh'"),
        ({"decisions": {}}, "test"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message, tmp_path):
    file = tmp_path / "predictions.parquet"
    write_predictions(file, {"test": some(2, 0)}, ["happy", "sad", "fear"], 0.5)
    table = pq.read_table(file)
    settings = json.loads(table.schema.metadata[b"univa"]) | settings
    for content in (settings, list(settings)):
        pq.write_table(table.replace_schema_metadata({"univa": json.dumps(content)}), file)
        with pytest.raises(ValueError, match="predictions.parquet is not a predictions file") as caught:
            read_predictions(file)
        if content is settings:
            caught.match(message)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("split", pa.array(["test", None]), "1 row without split"),
        ("utterance_id", pa.array([None, "u1"]), "1 row without utterance_id"),
        ("dialogue_id", pa.array([None, "d"]), "1 row without dialogue_id"),
        ("dialogue_id", pa.array([["d"], ["d"]]), "is not a predictions file"),
        ("scores", pa.array([[0.5] * 3, None]), "1 row without scores"),
        ("scores", pa.array([[0.5] * 3, [0.5, None, 0.5]]), "scores lack a number"),
        ("scores", pa.array([[0.5] * 3, [0.5] * 2]), "is not a predictions file"),
        ("scores", pa.array(["high", "low"]), "is not a predictions file"),
        ("scores", pa.array([[0.5] * 3, [0.5, 0.5, float("nan")]]), "are not finite numbers: predict again"),
        ("labels", pa.array([[0, 1, 2], [0, 0, 0]]), "expected labels that are 0 or 1"),
        ("labels", pa.array([[0, 1, 300], [0, 0, 0]]), "is not a predictions file"),
    ],
)
def test_rows_that_do_not_fit_are_refused(column, value, message, tmp_path):
    file = tmp_path / "predictions.parquet"
    write_predictions(file, {"test": some(2, 0)}, ["happy", "sad", "fear"], 0.5)
    table = pq.read_table(file)
    pq.write_table(table.set_column(table.column_names.index(column), column, value), file)
    with pytest.raises(ValueError, match="predictions.parquet") as caught:
        read_predictions(file)
    caught.match(message)


def test_names_that_are_numbers_are_read_as_text(tmp_path):
    file = tmp_path / "predictions.parquet"
    write_predictions(file, {"test": some(2, 0)}, ["happy", "sad", "fear"], 0.5)
    table = pq.read_table(file)
    pq.write_table(table.set_column(1, "utterance_id", pa.array([10, 11])), file)
    assert read_predictions(file)[0]["test"].utterance_ids == ["10", "11"]
