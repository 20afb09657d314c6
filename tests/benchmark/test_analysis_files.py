# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What is kept of analyses, and an order of rows that does not depend on who asks."""

import hashlib

import pytest

from modeling_univa.benchmark.analysis_files import (
    ANALYSES,
    analysis_file,
    hashed_order,
    read_analysis,
    write_analysis,
)


def test_analysis_is_read_as_it_was_written(tmp_path):
    assert read_analysis(tmp_path, "embeddings") is None
    write_analysis(tmp_path, "embeddings", "failed", {"reason": "Es ging nicht: é."})
    found = read_analysis(tmp_path, "embeddings")
    assert found == {"schema_version": 1, "name": "embeddings", "status": "failed", "reason": "Es ging nicht: é."}
    assert set(ANALYSES) == {"embeddings", "similarity", "robustness"}


@pytest.mark.parametrize("content", ["", "[]", '{"status": "complete"}', '{"schema_version": 2, "status": "complete"}',
                                     '{"schema_version": 1}'])  # fmt: skip
def test_what_another_version_wrote_counts_as_missing(content, tmp_path):
    file = analysis_file(tmp_path, "similarity")
    file.parent.mkdir()
    file.write_text(content)
    assert read_analysis(tmp_path, "similarity") is None


def test_order_is_that_of_hashes():
    names = [f"u{number}" for number in range(40)]
    order = hashed_order(names, "cases", 3)
    digests = [hashlib.sha256(f"3 cases {name}".encode()).hexdigest() for name in names]
    assert [digests[place] for place in order] == sorted(digests)
    # Whoever asks, in whatever order, gets the same names.
    assert [names[::-1][place] for place in hashed_order(names[::-1], "cases", 3)] == [names[place] for place in order]
    others = [hashed_order(names, "cases", 4), hashed_order(names, "embeddings", 3)]
    assert all(other.tolist() != order.tolist() for other in others)
    assert hashed_order([], "cases").tolist() == []
