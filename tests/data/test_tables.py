# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Tables as spreadsheets of various countries write them."""

import csv

import pytest

from modeling_univa.data.schema import CorpusError
from modeling_univa.data.tables import csv_header, csv_rows, files_of, read_json, read_seconds, read_text
from modeling_univa.models.limits_univa import LIMITS


ROWS = [["id", "text", "faces"], ["a", "Grüße, wirklich; ja", "x.png;y.png"], ["b", 'He said "no"\nand left', ""]]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_dialects_give_the_same_rows(tmp_path, delimiter, encoding, quoting):
    path = tmp_path / "table.csv"
    with open(path, "w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter, quoting=quoting).writerows(ROWS)
    assert csv_header(path, ("id", "text")) == ROWS[0]
    assert [list(cells.values()) for _, cells in csv_rows(path, ("id", "text"))] == ROWS[1:]


def test_blanks_around_the_names_of_columns(tmp_path):
    (tmp_path / "table.csv").write_text("id; text\na; b\n")
    assert [cells for _, cells in csv_rows(tmp_path / "table.csv", ("id", "text"))] == [{"id": "a", "text": " b"}]


def test_a_separator_that_is_not_quoted_is_named(tmp_path):
    (tmp_path / "table.csv").write_text("id;faces\na;x.png;y.png\n")
    with pytest.raises(CorpusError, match="line 2: 3 cells, expected 2; quote cells that hold a semicolon"):
        list(csv_rows(tmp_path / "table.csv", ("id",)))


def test_long_cells(tmp_path):
    most = int(LIMITS["characters"].most)
    (tmp_path / "table.csv").write_text(f"id,text\na,{'x' * 200_000}\nb,{'x' * most}\n")
    assert [len(cells["text"]) for _, cells in csv_rows(tmp_path / "table.csv", ("id",))] == [200_000, most]
    (tmp_path / "table.csv").write_text(f"id,text\na,{'x' * (most + 1)}\n")
    with pytest.raises(CorpusError, match="line 2: a cell has more than 1,000,000 characters; close its quote"):
        list(csv_rows(tmp_path / "table.csv", ("id",)))


def test_other_encodings_are_refused(tmp_path):
    path = tmp_path / "table.csv"
    for content in ("id,text\na,é\n".encode("latin-1"), "\ufeffid".encode("utf-16-le") + b"\n"):
        path.write_bytes(content)
        with pytest.raises(CorpusError, match="not UTF-8 .*; save the file as UTF-8"):
            list(csv_rows(path, ("id",)))
        with pytest.raises(CorpusError, match="not UTF-8"):
            read_text(path)


def test_deep_json_is_refused(tmp_path):
    (tmp_path / "deep.json").write_text("[" * 200_000)
    with pytest.raises(CorpusError, match="nested too deeply"):
        read_json(tmp_path / "deep.json")


def test_hidden_files_are_none(tmp_path):
    for name in ("._train.csv", "TRAIN.CSV", "a.csv", "b.txt", ".csv"):
        (tmp_path / name).write_text("")
    # Reading it says that it is not a file.
    (tmp_path / "folder.csv").mkdir()
    assert [path.name for path in files_of(tmp_path, ".csv")] == ["TRAIN.CSV", "a.csv", "folder.csv"]


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("", None), (" ", None), ("1.5", 1.5), (" 2 ", 2.0), ("1e1", 10.0), ("-1", -1.0), ("00:00:01", 1.0),
        ("0:01.5", 1.5), ("1:02:03", 3723.0), ("90:00", 5400.0), ("0:00:01,250", 1.25), ("1:60", "1:60"),
        ("1:60:00", "1:60:00"), ("1:2:3:4", "1:2:3:4"), ("soon", "soon"), ("1,5", 1.5), ("1,2,3", "1,2,3"),
            ("-0:01", "-0:01"),
    ],
)  # fmt: skip
def test_times_as_people_write_them(cell, seconds):
    assert read_seconds(cell) == seconds
