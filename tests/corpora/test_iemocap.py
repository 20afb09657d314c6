# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""IEMOCAP in the folders of its release."""

import json
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset
from media_corpora import write_sound
from video_files import write_clip

from modeling_univa.commands.build import build_main
from modeling_univa.corpora.build import build_corpus
from modeling_univa.corpora.iemocap import Iemocap
from modeling_univa.data.schema import CorpusError


NO_FEATURES = ["--audio-extractor", "none"]
HEAD = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
# Not in the order of time, as in the release: first her turns, then his.
TURNS = (
    ("F000", 0.2, 0.6, "neu", (2.5, 2.5, 2.5), ("Neutral;", "Neutral;", "Neutral; Sadness;")),
    ("F001", 1.0, 1.4, "xxx", (1.5, 4.0, 4.5), ("Anger; Frustration;", "Frustration;", "Sadness;")),
    ("M000", 0.5, 0.9, "exc", (5.5, 4.0, 3.0), ("Excited; Happiness;", "Excited;", "Other;")),
    ("M001", 1.5, 1.9, "fru", (2.0, 3.0, 3.0), ("Frustration;", "Frustration;", "Anger;")),
)  # fmt: skip


def write_session(root: Path, session: int, wavs: bool = True) -> Path:
    folder, dialogue = root / f"Session{session}", f"Ses0{session}F_impro01"
    for below in ("EmoEvaluation/Categorical", "transcriptions"):
        (folder / "dialog" / below).mkdir(parents=True)
    lines, texts = [HEAD], []
    for turn, start, end, label, vad, votes in TURNS:
        rated = ", ".join(f"{value:.4f}" for value in vad)
        lines.append(f"[{start:.4f} - {end:.4f}]\t{dialogue}_{turn}\t{label}\t[{rated}]\n")
        lines += [f"C-E{number}:\t{vote}\t()\n" for number, vote in enumerate(votes, start=1)]
        lines += ["C-F1:\tSurprise;\t(curious)\n", "A-E3:\tval 3; act 2; dom  2;\t()\n", "\n"]
        texts.append(f"{dialogue}_{turn} [{start:08.4f}-{end:08.4f}]: It’s {turn}.\n")
        if wavs:
            write_sound(folder / "sentences" / "wav" / dialogue / f"{dialogue}_{turn}.wav", 0.3, seed=session)
    texts.append("M: [LAUGHTER]\n")
    (folder / "dialog" / "EmoEvaluation" / f"{dialogue}.txt").write_text("".join(lines))
    # What archives of macOS bring along.
    (folder / "dialog" / "EmoEvaluation" / f"._{dialogue}.txt").write_bytes(b"\x00\x05\x16\x07")
    (folder / "dialog" / "transcriptions" / f"{dialogue}.txt").write_text("".join(texts), encoding="cp1252")
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source" / "IEMOCAP_full_release"
    for session in (1, 4, 5):
        write_session(root, session)
    return tmp_path / "source"


def run(source: Path, *arguments: str) -> int:
    return build_main("iemocap", ["--source", str(source), "--output", str(source.parent / "corpus"), *arguments])


def corpus(source: Path):
    return load_dataset(str(source.parent / "corpus"), cache_dir=str(source.parent / "cache"))


def emotions(source: Path, split: str = "train") -> dict[str, list[str]]:
    rows = corpus(source)[split]
    labels = rows.features["emotions"].feature.names
    return {row["utterance_id"].rpartition("_")[2]: [labels[label] for label in row["emotions"]] for row in rows}


def test_turns_in_order_of_time_with_the_published_label(source, capsys):
    assert run(source) == 0
    built = corpus(source)
    assert {split: len(rows) for split, rows in built.items()} == {"train": 3, "validation": 3, "test": 3}
    rows = built["train"]
    assert rows["utterance_id"] == [f"Ses01F_impro01_{turn}" for turn in ("F000", "M000", "M001")]
    assert rows["position"] == [0, 1, 2] and set(rows["dialogue_id"]) == {"Ses01F_impro01"}
    assert rows["speaker"] == ["Ses01F", "Ses01M", "Ses01M"]
    # The apostrophe of cp1252.
    assert rows["text"][0] == "It’s F000."
    assert emotions(source) == {"F000": ["neutral"], "M000": ["excited"], "M001": ["frustration"]}
    path = "IEMOCAP_full_release/Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    assert rows["audio"][0] == path and rows["audio_features"][0]
    assert "start" not in rows.column_names and np.isnan(rows["text_va"]).all()
    assert set(built["test"]["speaker"]) == {"Ses05F", "Ses05M"}
    printed = capsys.readouterr().out
    assert "Of the five sessions 2, 3 are not there." in printed
    assert "3 of 12 utterances are left out: without a label of the set. By their published label: xxx 3." in printed
    card = (source.parent / "corpus" / "README.md").read_text()
    assert "license: other" in card and "Please cite: Carlos Busso" in card and "EmoEvaluation/Ses05F_impro01" in card


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--label-set", "four"], {"F000": ["neutral"], "M000": ["happiness"]}),
        (["--label-set", "six"], {"F000": ["neutral"], "M000": ["excited"], "M001": ["frustration"]}),
        (["--label-set", "four", "--merge-excited", "no"], {"F000": ["neutral"]}),
        (
            ["--label-set", "four", "--unlabelled", "keep", "--label-words", "univa"],
            {"F000": ["neutral"], "M000": ["happy"], "F001": [], "M001": []},
        ),
        (
            ["--labels-from", "votes", "--label-set", "six"],
            {
                "F000": ["neutral", "sadness"],
                "M000": ["happiness", "excited"],
                "F001": ["sadness", "anger", "frustration"],
                "M001": ["anger", "frustration"],
            },
        ),
        (
            ["--labels-from", "votes", "--min-votes", "2", "--merge-excited", "yes"],
            {"F000": ["neutral"], "M000": ["happiness"], "F001": ["frustration"], "M001": ["frustration"]},
        ),
        (["--labels-from", "votes", "--min-votes", "3", "--merge-excited", "yes"], {"F000": ["neutral"]}),
    ],
    ids=["four", "six", "four apart", "kept", "votes", "two votes", "three votes"],
)
def test_labels_of_the_usual_experiments(source, arguments, expected):
    assert run(source, *arguments, *NO_FEATURES) == 0
    assert emotions(source) == expected


def test_other_sessions_and_annotated_valence_and_arousal(source, capsys):
    chosen = ["--test-session", "1", "--validation-session", "0", "--va-from-annotations"]
    assert run(source, *chosen, *NO_FEATURES) == 0
    built = corpus(source)
    assert {split: set(rows["dialogue_id"]) for split, rows in built.items()} == {
        "train": {"Ses04F_impro01", "Ses05F_impro01"},
        "test": {"Ses01F_impro01"},
    }
    for modality in ("text", "audio", "vision"):
        # Beyond 5 it is clipped.
        np.testing.assert_allclose(built["test"][f"{modality}_va"], [[-0.25, -0.25], [1.0, 0.5], [-0.5, 0.0]])
    assert "3 beyond 1 to 5 were clipped" in capsys.readouterr().out


def test_video_of_the_dialogue_with_times(source):
    root = source / "IEMOCAP_full_release"
    for session in (1, 4, 5):
        dialog = root / f"Session{session}" / "dialog"
        write_clip(dialog / "avi" / "DivX" / f"Ses0{session}F_impro01.avi", 2)
    write_sound(root / "Session1" / "dialog" / "wav" / "Ses01F_impro01.wav", 2)
    assert run(source, "--media", "video", *NO_FEATURES, "--vision-extractor", "none") == 0
    rows = corpus(source)["train"]
    assert rows["video"] == ["IEMOCAP_full_release/Session1/dialog/avi/DivX/Ses01F_impro01.avi"] * 3
    assert rows["audio"] == ["IEMOCAP_full_release/Session1/dialog/wav/Ses01F_impro01.wav"] * 3
    assert rows["start"] == [0.2, 0.5, 1.5] and rows["end"] == [0.6, 0.9, 1.9]
    assert corpus(source)["test"]["audio"] == [None] * 3
    # Several people are in the picture: the one who speaks is wanted.
    assert Iemocap.FACE_READER.track == "speaking"


def test_absent_clips_and_texts_are_counted_and_listed(source, capsys):
    session = source / "IEMOCAP_full_release" / "Session1"
    (session / "sentences" / "wav" / "Ses01F_impro01" / "Ses01F_impro01_M000.wav").unlink()
    texts = session / "dialog" / "transcriptions" / "Ses01F_impro01.txt"
    texts.write_text("Ses01F_impro01_F000 [000.2000-000.6000]: Excuse me.\n")
    assert run(source, *NO_FEATURES) == 0
    listed = (source.parent / "corpus" / "rejected.jsonl").read_text().splitlines()
    reasons = {entry["utterance_id"]: entry["reason"] for entry in map(json.loads, listed)}
    assert set(reasons) == {"Ses01F_impro01_M000", "Ses01F_impro01_M001"}
    assert "Ses01F_impro01_M000.wav is not there; download or unpack its archive" in reasons["Ses01F_impro01_M000"]
    assert "the text is empty" in reasons["Ses01F_impro01_M001"]
    printed = capsys.readouterr().out
    assert "train: of 3 utterances listed in the files of EmoEvaluation, 1 has no audio file in its place" in printed


def test_texts_alone_and_sound_that_is_not_there(tmp_path, capsys):
    root = tmp_path / "source"
    for session in (4, 5):
        write_session(root, session, wavs=False)
    assert run(root) == 2
    assert (
        "has no audio or video of IEMOCAP; unpack its archives there, or pass --media none" in capsys.readouterr().err
    )
    assert run(root, "--media", "none") == 0
    built = corpus(root)
    assert set(built) == {"validation", "test"} and "audio" not in built["test"].column_names
    assert "No session of the split train is there." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("\tneu\t", "\tjoy\t", "line 3: unknown emotion 'joy'; IEMOCAP has neu, hap,"),
        ("C-E1:\tNeutral;", "C-E1:\tJoy;", "line 4: unknown emotion 'joy'; IEMOCAP has neutral, happiness,"),
        ("[2.5000, 2.5000, 2.5000]", "[2.5000]", "line 3: expected [start - end], name, label and [V, A, D], found"),
        ("[2.5000, 2.5000, 2.5000]", "[2.5.0, 2.5000, 2.5000]", "line 3: a time or a rating is not a number"),
        ("_F001\txxx", "_F000\tneu", "utterance_id 'Ses01F_impro01_F000' was there before"),
    ],
)
def test_evaluations_that_cannot_be_used(source, capsys, before, after, message):
    file = source / "IEMOCAP_full_release" / "Session1" / "dialog" / "EmoEvaluation" / "Ses01F_impro01.txt"
    file.write_text(file.read_text().replace(before, after, 1))
    assert run(source, *NO_FEATURES) == 2
    assert message in capsys.readouterr().err


def test_options_are_checked(source, tmp_path, capsys):
    assert run(source, "--test-session", "4") == 2
    assert "--test-session and --validation-session are both 4; choose two sessions" in capsys.readouterr().err
    for options, message in (
        ({"test_session": 6}, "`test_session` 6 is unknown; choose one of 1, 2, 3, 4, 5"),
        ({"min_votes": 0}, "`min_votes` 0: expected a number from 1 to 100"),
    ):
        with pytest.raises(CorpusError, match=message):
            build_corpus(Iemocap, tmp_path / "corpus", source=str(source), **options)
    with pytest.raises(CorpusError, match="has no Session1/dialog/EmoEvaluation"):
        build_corpus(Iemocap, tmp_path / "corpus", source=str(source / "IEMOCAP_full_release" / "Session1"))
