# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The demo corpus from the command line to `load_dataset`."""

import csv
import json
import math
from pathlib import Path

import datasets
import pytest

from modeling_univa.commands.build import build_main
from modeling_univa.data.row_types import row_features
from modeling_univa.models.configuration_emotion import MODALITIES
from modeling_univa.models.configuration_univa import EMOTION_VALENCE_AROUSAL, MOSEI_EMOTIONS
from modeling_univa.models.extractors_univa import extractor_from_dict


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "corpus"
    assert build_main("demo", ["--output", f"{folder}/", "--seed", "3", "--num-dialogues", "12"]) == 0
    return folder


def test_loads_with_the_columns_of_a_corpus(output):
    loaded = datasets.load_dataset(str(output))
    assert {split: len(set(rows["dialogue_id"])) for split, rows in loaded.items()} == {
        "train": 8,
        "validation": 2,
        "test": 2,
    }
    extractors = json.loads((output / "feature_extractors.json").read_text())
    sizes = {name: extractor_from_dict(extractors[name]).feature_size for name in ("audio", "vision")}
    expected = row_features(
        list(MOSEI_EMOTIONS),
        media=("audio", "faces"),
        audio_feature_size=sizes["audio"],
        vision_feature_size=sizes["vision"],
    )
    assert loaded["train"].features == expected


def test_rows_tell_what_the_source_says(output):
    loaded = datasets.load_dataset(str(output))
    media = output.with_name("corpus-media")
    absent = 0
    for split, rows in loaded.items():
        with open(media / "metadata" / f"{split}.csv", encoding="utf-8", newline="") as file:
            source = list(csv.DictReader(file))
        assert rows["utterance_id"] == [row["utterance_id"] for row in source]
        for row, cells in zip(rows, source, strict=True):
            names = [MOSEI_EMOTIONS[index] for index in row["emotions"]]
            assert names == [name for name in cells["emotions"].split(";") if name]
            assert (row["audio"] or "", ";".join(row["faces"] or [])) == (cells["audio"], cells["faces"])
            assert (row["audio_features"] is None) == (row["audio"] is None)
            assert (row["vision_features"] is None) == (row["faces"] is None)
            assert all((media / path).is_file() for path in [row["audio"], *(row["faces"] or [])] if path)
            absent += row["audio"] is None or row["faces"] is None
            for modality in MODALITIES:
                check_va(row[f"{modality}_va"], cells[f"{modality}_emotion"])
    assert absent


def check_va(va: list[float], emotion: str) -> None:
    if not emotion:
        assert all(math.isnan(value) for value in va)
        return
    assert va == pytest.approx([2 * value - 1 for value in EMOTION_VALENCE_AROUSAL[emotion]], abs=1e-6)


def test_card_says_what_it_is(output):
    card = (output / "README.md").read_text()
    assert "license: apache-2.0" in card and "language: en" in card
    assert "Drawn from seed 3, 12 dialogues." in card
    assert "says nothing about how well a model reads people" in card
    assert not (output / "rejected.jsonl").exists()


def test_media_go_where_they_are_wanted(tmp_path, capsys):
    options = ["--output", str(tmp_path / "corpus"), "--media", str(tmp_path / "raw"), "--num-dialogues", "3"]
    assert build_main("demo", options) == 0
    assert f"raw media in {tmp_path / 'raw'}" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "raw"]
    assert build_main("demo", options) == 2
    assert "pass --overwrite" in capsys.readouterr().err
    written = (tmp_path / "raw" / "labels.txt").stat().st_mtime_ns
    assert build_main("demo", [*options, "--overwrite"]) == 0
    assert (tmp_path / "raw" / "labels.txt").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--num-dialogues", "2"], "needs a dialogue for each of"),
        (["--seed", "-1"], "must be at least 0, got -1"),
        (["--media", "{foreign}"], "is not a demo corpus"),
        (["--media", "{output}"], "is or holds the source"),
    ],
)
def test_mistakes_get_one_sentence(tmp_path, capsys, options, message):
    Path(tmp_path, "foreign").mkdir()
    Path(tmp_path, "foreign", "letter.txt").write_text("mine")
    places = {"foreign": tmp_path / "foreign", "output": tmp_path / "corpus"}
    assert (
        build_main("demo", ["--output", str(tmp_path / "corpus"), *(option.format(**places) for option in options)])
        == 2
    )
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["foreign"]


def test_unknown_options_are_refused(tmp_path):
    with pytest.raises(SystemExit) as exit_info:
        build_main("demo", ["--output", str(tmp_path / "corpus"), "--sed", "3"])
    assert exit_info.value.code == 2
