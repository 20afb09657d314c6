# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""The predictions file of a run."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modeling_univa.scores.predictions import Predictions, read_predictions, write_predictions


def some(rows: int, seed: int) -> Predictions:
    random = np.random.default_rng(seed)
    names = [f"u{index}" for index in range(rows)]
    scores = random.random((rows, 3), dtype=np.float32)
    return Predictions(names, ["d"] * rows, scores, (random.random((rows, 3)) < 0.5).astype(np.int8))


@pytest.mark.parametrize("threshold", [0.18, [0.18, 0.2, 0.3]])
def test_what_is_written_is_read(threshold, tmp_path):
    splits = {"validation": some(4, 0), "test": some(1, 1)}
    write_predictions(tmp_path / "predictions.parquet", splits, ["happy", "sad", "fear"], threshold)
    found, names, read = read_predictions(tmp_path / "predictions.parquet")
    assert (list(found), names, read) == (["validation", "test"], ["happy", "sad", "fear"], threshold)
    for split, wanted in splits.items():
        assert found[split].utterance_ids == list(wanted.utterance_ids)
        assert found[split].dialogue_ids == list(wanted.dialogue_ids)
        np.testing.assert_array_equal(found[split].scores, wanted.scores)
        np.testing.assert_array_equal(found[split].labels, wanted.labels)


def test_speakers_are_kept_where_they_are_known(tmp_path):
    file = tmp_path / "predictions.parquet"
    splits = {"validation": some(2, 0), "test": replace(some(3, 1), speakers=["Ada", None, "Grace"])}
    write_predictions(file, splits, ["happy", "sad", "fear"], 0.18)
    found, _, _ = read_predictions(file)
    assert (found["validation"].speakers, found["test"].speakers) == (None, ["Ada", None, "Grace"])
    # A file of an earlier version has no such column.
    table = pq.read_table(file)
    pq.write_table(table.drop_columns(["speaker"]), file)
    found, names, _ = read_predictions(file)
    assert found["test"].speakers is None and len(found["test"].scores) == 3 and names == ["happy", "sad", "fear"]


def test_another_file_is_refused(tmp_path):
    pq.write_table(pa.table({"split": ["test"]}), tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("scores")
    for name in ("other.parquet", "text.parquet", "absent.parquet"):
        with pytest.raises(ValueError, match=f"{name} is not a predictions file"):
            read_predictions(tmp_path / name)
