# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""CREMA-D as its repository has it."""

import json
from pathlib import Path

import pytest
from datasets import load_dataset
from media_corpora import write_sound
from video_files import write_clip

from modeling_univa.commands.build import build_main
from modeling_univa.corpora.build import build_corpus
from modeling_univa.corpora.crema_d import CremaD
from modeling_univa.data.schema import CorpusError


FACES = ["--face-detector", json.dumps({"detector": "whole-frame", "frame_rate": 5}), "--workers", "1"]
NO_FEATURES = ["--audio-extractor", "none", "--vision-extractor", "none"]
LABELS = ["anger", "disgust", "fear", "happy", "neutral", "sad"]
CLIPS = ("1001_DFA_ANG_XX", "1001_IEO_HAP_HI", "1040_ITH_SAD_X", "1091_TSI_NEU_XX")
VOTES = """"","A","D","F","H","N","S","fileName","numResponses","agreement","emoVote"
"100001",0,0,0,9,1,0,"1001_DFA_ANG_XX",10,0.9,"H"
"300001",5,3,0,0,2,0,"1001_DFA_ANG_XX",10,0.5,"A"
"300002",0,0,0,10,0,0,"1001_IEO_HAP_HI",10,1,"H"
"300003",2,2,2,0,2,2,"1040_ITH_SAD_X",10,0.2,"A:D:F:N:S"
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    write_clip(root / "VideoFlash" / "1001_DFA_ANG_XX.flv", 1)
    for number, name in enumerate(CLIPS):
        write_sound(root / "AudioWAV" / f"{name}.wav", 0.5, seed=number)
        write_sound(root / "AudioMP3" / f"{name}.mp3", 0.5, seed=number)
    (root / "processedResults").mkdir()
    (root / "processedResults" / "tabulatedVotes.csv").write_text(VOTES)
    return root


def run(source: Path, *arguments: str) -> int:
    return build_main("crema_d", ["--source", str(source), "--output", str(source.parent / "corpus"), *arguments])


def rows(source: Path) -> dict[str, dict]:
    corpus = load_dataset(str(source.parent / "corpus"), cache_dir=str(source.parent / "cache"))
    labels = next(iter(corpus.values())).features["emotions"].feature.names
    return {
        row["utterance_id"]: {**row, "split": split, "emotions": [labels[label] for label in row["emotions"]]}
        for split, part in corpus.items()
        for row in part
    }


def listed(source: Path) -> dict[str, str]:
    lines = (source.parent / "corpus" / "left_out_files.jsonl").read_text().splitlines()
    return {entry["file"]: entry["reason"] for entry in map(json.loads, lines)}


def test_what_the_names_say_and_the_media(source, capsys):
    assert run(source, *FACES) == 0
    found = rows(source)
    assert set(found) == set(CLIPS)
    assert {name: row["emotions"] for name, row in found.items()} == {
        "1001_DFA_ANG_XX": ["anger"],
        "1001_IEO_HAP_HI": ["happy"],
        "1040_ITH_SAD_X": ["sad"],
        "1091_TSI_NEU_XX": ["neutral"],
    }
    first = found["1001_DFA_ANG_XX"]
    assert (first["text"], first["speaker"]) == ("Don't forget a jacket.", "actor_1001")
    assert (first["video"], first["audio"]) == ("VideoFlash/1001_DFA_ANG_XX.flv", "AudioWAV/1001_DFA_ANG_XX.wav")
    assert first["vision_features"] and first["audio_features"]
    other = found["1091_TSI_NEU_XX"]
    assert other["video"] is None and other["vision_features"] is None and other["audio_features"]
    printed = capsys.readouterr().out
    assert "4 of the 7442 published clips are there." in printed
    assert "utterances name no video file." in printed
    # The same clips in another format are not copies.
    assert not (source.parent / "corpus" / "left_out_files.jsonl").exists()
    card = (source.parent / "corpus" / "README.md").read_text()
    assert "license: odbl" in card and "Please cite: Houwei Cao" in card


def test_votes_make_several_labels(source):
    assert run(source, "--labels-from", "votes", "--media", "audio", *NO_FEATURES) == 0
    found = rows(source)
    assert {name: row["emotions"] for name, row in found.items()} == {
        "1001_DFA_ANG_XX": ["anger", "disgust"],
        "1001_IEO_HAP_HI": ["happy"],
    }
    assert listed(source) == {
        "1040_ITH_SAD_X": "no emotion has a share of 0.25 of its votes",
        "1091_TSI_NEU_XX": "it has no votes",
    }
    assert "tabulatedVotes.csv" in (source.parent / "corpus" / "README.md").read_text()
    assert run(source, "--labels-from", "votes", "--min-share", "0.2", "--overwrite", *NO_FEATURES) == 0
    found = rows(source)
    assert found["1001_DFA_ANG_XX"]["emotions"] == ["anger", "disgust", "neutral"]
    assert found["1040_ITH_SAD_X"]["emotions"] == ["anger", "disgust", "fear", "neutral", "sad"]
    assert run(source, "--labels-from", "votes", "--ratings", "voice", "--overwrite", *NO_FEATURES) == 0
    assert rows(source)["1001_DFA_ANG_XX"]["emotions"] == ["happy"]


def test_votes_are_counted_from_the_responses_without_the_table_of_them(source):
    (source / "processedResults" / "tabulatedVotes.csv").unlink()
    lines = ["localid,queryType,clipName,respEmo"]
    lines += [f"r{number},3,1001_DFA_ANG_XX,{letter}" for number, letter in enumerate("AAAFFN")]
    lines += [f"r{number},1,1001_DFA_ANG_XX,S" for number in range(9)]
    (source / "finishedResponses.csv").write_text("\n".join(lines))
    assert run(source, "--labels-from", "votes", *NO_FEATURES) == 0
    assert {name: row["emotions"] for name, row in rows(source).items()} == {"1001_DFA_ANG_XX": ["anger", "fear"]}


def test_other_files_are_listed(source, capsys):
    for name in ("1092_DFA_ANG_XX", "1001_XYZ_ANG_XX", "1001_DFA_JOY_XX", "notes", "copy/1001_DFA_ANG_XX"):
        write_sound(source / "AudioWAV" / f"{name}.wav", 0.3)
    assert run(source, "--media", "audio", *NO_FEATURES) == 0
    assert {Path(name).name: reason for name, reason in listed(source).items()} == {
        "1092_DFA_ANG_XX.wav": "unknown actor 1092",
        "1001_XYZ_ANG_XX.wav": "unknown sentence XYZ",
        "1001_DFA_JOY_XX.wav": "unknown emotion JOY",
        "notes.wav": "the name is not one of CREMA-D, such as 1001_DFA_ANG_XX",
        "1001_DFA_ANG_XX.wav": "there is another file of this name",
    }
    assert set(rows(source)) == set(CLIPS)


def test_pointers_of_git_lfs_are_named(source, capsys):
    for path in (source / "AudioWAV").iterdir():
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    assert run(source, "--media", "audio") == 2
    assert "is a pointer of Git LFS in place of the clip; run `git lfs pull`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace('"fileName"', '"clip"'), "no column 'fileName'"),
        (lambda text: text.replace("10,0,0,", "ten,0,0,", 1), "line 4: H 'ten', expected a number of votes"),
        (lambda text: None, "has neither tabulatedVotes.csv nor finishedResponses.csv; copy one from https://github"),
    ],
)
def test_a_table_of_votes_that_cannot_be_used(source, capsys, change, message):
    table = source / "processedResults" / "tabulatedVotes.csv"
    changed = change(VOTES)
    if changed is None:
        table.unlink()
    else:
        table.write_text(changed)
    assert run(source, "--labels-from", "votes", *NO_FEATURES) == 2
    assert message in capsys.readouterr().err


def test_options_are_checked_in_python_too(source, tmp_path):
    for options, message in (
        ({"min_share": 1.5}, "`min_share` 1.5: expected a number from 0.01 to 1"),
        ({"ratings": "ears"}, "`ratings` 'ears' is unknown; choose one of both, voice, face"),
    ):
        with pytest.raises(CorpusError, match=message):
            build_corpus(CremaD, tmp_path / "corpus", source=str(source), **options)


def test_splits_are_by_actor(tmp_path):
    source = tmp_path / "source"
    for actor in range(1001, 1092):
        write_sound(source / f"{actor}_WSI_FEA_XX.wav", 0.05)
    assert run(source, *NO_FEATURES) == 0
    splits = [row["split"] for row in rows(source).values()]
    assert [splits.count(name) for name in ("train", "validation", "test")] == [61, 15, 15]
