# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import re
from dataclasses import replace
from pathlib import Path

import pytest

from modeling_univa.data.schema import CorpusError
from modeling_univa.models.limits_univa import LIMITS
from modeling_univa.prediction.clips import collect_clips
from modeling_univa.prediction.inputs import SheetForm, Utterance, collect_utterances, read_utterances


def _files(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")


def test_clips_folders_and_texts_beside_them(tmp_path):
    _files(tmp_path, "a.mp4", "set/b.MOV", "set/deep/c.wav", "set/notes.md", "odd.name")
    (tmp_path / "a.txt").write_text("  Hello there.\n")
    (tmp_path / "set" / "b.txt").write_text(" \n")
    found = collect_utterances([tmp_path / "a.mp4", tmp_path / "set", tmp_path / "odd.name", "missing.flac"])
    assert [(one.text, one.video, one.audio) for one in found] == [
        ("Hello there.", tmp_path / "a.mp4", None),
        (None, tmp_path / "set" / "b.MOV", None),
        (None, None, tmp_path / "set" / "deep" / "c.wav"),
        (None, tmp_path / "odd.name", None),
        (None, None, Path("missing.flac")),
    ]
    assert len({one.dialogue_id for one in found}) == 5


@pytest.mark.parametrize("suffix", [".caf", ".au", ".snd", ".mka", ".w64", ".opus"])
def test_a_sound_of_any_kind_that_is_read_is_found_in_a_folder(tmp_path, suffix):
    _files(tmp_path, f"a{suffix}")
    assert [one.audio for one in collect_utterances([tmp_path])] == [tmp_path / f"a{suffix}"]


def test_metadata(tmp_path):
    path = tmp_path / "metadata" / "test.csv"
    path.parent.mkdir()
    path.write_text(
        "utterance_id,dialogue_id,text,faces,audio,video,start,end\n"
        "a,d,Hi,x.png; y.png,,v.mp4,1.5,\nb,d, ,,s.wav,,,2\n"
    )
    assert (
        collect_utterances([path])
        == read_utterances(path)
        == [
            Utterance("a", "d", "Hi", None, (tmp_path / "x.png", tmp_path / "y.png"), tmp_path / "v.mp4", 1.5, None),
            Utterance("b", "d", None, tmp_path / "s.wav", (), None, None, 2.0),
        ]
    )


def test_speakers_and_files_of_features(tmp_path):
    path = tmp_path / "test.csv"
    path.write_text(
        "utterance_id,dialogue_id,text,speaker,audio_features,video\na,d,Hi,Ada,a.npy,v.mp4\nb,d,Ho,,,v.mp4\n"
        "c,d,No,Grace,../c.npy,v.mp4\n"
    )
    first, second, outside = read_utterances(path)
    assert [one.speaker for one in (first, second, outside)] == ["Ada", None, "Grace"]
    # Of the second the sound is absent, though its video may have some.
    assert first.features == {"audio": tmp_path / "a.npy"} and second.features == {"audio": None}
    assert "leads out of the folder" in outside.problem and outside.features == {}
    assert len({first, second}) == 2


def test_refusals(tmp_path):
    _files(tmp_path, "a.mp4", "face.jpg", "empty/readme.md", "columns.csv")
    for inputs, message in (
        (["a.mp4", "./a.mp4"], "is named twice"),
        (["sessions.ODS"], "sessions.ODS is a sheet of another form; save it as one of .csv, .tsv, .xlsm, .xlsx"),
        (["face.jpg"], "is an image; pass the images of a face as `faces`"),
        (["empty"], "empty has no clip"),
        (["none.csv"], "none.csv: cannot be read"),
        (["columns.csv"], "the sheet has a header and no rows"),
    ):
        with pytest.raises(CorpusError, match=message):
            collect_utterances([tmp_path / name for name in inputs])


@pytest.mark.parametrize("column", ["audio", "video", "faces"])
def test_a_csv_names_nothing_outside_of_its_folder(tmp_path, column):
    _files(tmp_path, "secret.wav", "corpus/mine.wav", "elsewhere/mine.wav")
    (tmp_path / "corpus" / "link.wav").symlink_to(tmp_path / "secret.wav")
    path = tmp_path / "corpus" / "test.csv"
    for name in (str(tmp_path / "secret.wav"), "../secret.wav", "link.wav"):
        path.write_text(f"utterance_id,dialogue_id,text,{column}\na,d,Hi,{name}\nb,d,Ho,mine.wav\n")
        refused, good = read_utterances(path)
        assert re.search(r"line 2: .* leads out of the folder of the media.*`media_root`", refused.problem)
        assert (refused.text, refused.audio, refused.video, refused.faces) == ("Hi", None, None, ())
        assert good.problem is None and getattr(good, column)
    path.write_text(f"utterance_id,dialogue_id,text,{column}\na,d,Hi,mine.wav\n")
    for root, folder in ((None, "corpus"), (tmp_path / "elsewhere", "elsewhere")):
        (found,) = collect_utterances([path], root)
        assert getattr(found, column) in (tmp_path / folder / "mine.wav", (tmp_path / folder / "mine.wav",))


def test_a_text_beside_a_clip_is_not_a_link_to_another_folder(tmp_path):
    _files(tmp_path, "clips/a.wav", "secret", "clips/real.txt")
    text = tmp_path / "clips" / "a.txt"
    text.symlink_to("real.txt")
    assert [one.text for one in collect_utterances([tmp_path / "clips"])] == ["x"]
    text.unlink()
    text.symlink_to(tmp_path / "secret")
    (found,) = collect_utterances([tmp_path / "clips"])
    assert "a.txt is a link to another folder: copy the text there" in found.problem
    assert (found.text, found.audio) == (None, tmp_path / "clips" / "a.wav")
    (found,) = collect_utterances([tmp_path / "clips"], texts_beside=False)
    assert found.problem is None


def _table(path: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


HEADER = "utterance_id,dialogue_id,text"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((f"{HEADER},audio_path", "a,d,Hi,x.wav"), "unknown column 'audio_path'; remove or rename it"),
        ((f"{HEADER},face", "a,d,Hi,x.png"), "unknown column 'face'; remove or rename it"),
        ((f"{HEADER},position", "a,d,Hi,1", "b,d,Ho,0"), "position 1 in dialogue 'd', expected 0"),
        ((f"{HEADER},position", "a,d,Hi,first"), "line 2: position 'first' is not a whole number"),
        ((HEADER, "a,d,Hi", "b,e,Ho", "c,d,Ha"), "the rows of dialogue 'd' do not stand together"),
        (
            (HEADER, "a,d,Hi", "a,e,Ho"),
            "utterance_id 'a' was there before, in file .*; make every",
        ),
        ((HEADER, "a,,Hi"), "dialogue_id is empty"),
    ],
)
def test_a_csv_is_refused_as_the_builder_refuses_it(tmp_path, lines, message):
    with pytest.raises(CorpusError, match=message):
        collect_utterances([_table(tmp_path / "a.csv", *lines)])


def test_two_files_with_one_dialogue_are_refused(tmp_path):
    first, second = (_table(tmp_path / f"{name}.csv", HEADER, f"{name},0,Hi") for name in "ab")
    with pytest.raises(CorpusError, match=r"dialogue '0' is in the files .*a.csv and .*b.csv; keep a dialogue in one"):
        collect_utterances([first, second])
    _table(tmp_path / "b.csv", HEADER, "b,1,Hi")
    assert [one.dialogue_id for one in collect_utterances([first, second])] == ["0", "1"]


def test_columns_of_a_corpus_may_be_there(tmp_path):
    path = _table(
        tmp_path / "a.csv", f"{HEADER};position;emotions;text_valence;audio;faces;start;end".replace(",", ";"),
        'a;d;Hi;0;"[not, read]";0,5; s.wav ;"x.png; y.png";00:00:01;0:01.5', encoding="utf-16",
    )  # fmt: skip
    faces = (tmp_path / "x.png", tmp_path / "y.png")
    assert read_utterances(path) == [Utterance("a", "d", "Hi", tmp_path / "s.wav", faces, None, 1.0, 1.5)]


def test_what_is_wrong_with_one_row_is_its_problem(tmp_path):
    rows = ("a,d,Hi,soon,", "b,d,Ho,0,1", "c,d,Ha,2,1", f"e,d,{'x' * 999_999}é,,")
    found = read_utterances(_table(tmp_path / "a.csv", f"{HEADER},start,end", *rows))
    assert [one.problem is None for one in found] == [False, True, False, True]
    assert "line 2: start 'soon', expected seconds" in found[0].problem
    assert "the clip ends at 1 s, not after its start" in found[2].problem
    assert (found[0].text, found[0].start, found[1].end) == ("Hi", None, 1.0)


def test_texts_beside_clips_in_any_case_and_what_macs_leave(tmp_path):
    _files(tmp_path, "c1.mp4", "c2.mp4", "c3.mp4", "._c1.mp4", "__MACOSX/._c1.mp4", "__MACOSX/c1.mp4")
    (tmp_path / "c1.TXT").write_text("Yes.")
    (tmp_path / "._c1.txt").write_bytes(b"\0\5\26\7")
    (tmp_path / "c2.txt").write_bytes("Déjà vu".encode("latin-1"))
    (tmp_path / "c3.txt").write_text("No. " * 300_000)
    found = collect_utterances([tmp_path])
    assert [Path(one.utterance_id).name for one in found] == ["c1.mp4", "c2.mp4", "c3.mp4"]
    assert [one.text for one in found] == ["Yes.", None, None]
    assert found[0].problem is None
    assert "c2.txt: not UTF-8" in found[1].problem and "save the file as UTF-8" in found[1].problem
    assert "the length of the text must lie between 0 and 1,000,000" in found[2].problem


# Sheets of anyone


SHEET = (
    "Session;Turn;Speaker;Transcript;File;From;To;Rater",
    "A;2;Zoë;Très bien;takes/a.mp4;00:01:02,5;01:04;3",
    "A;1;Bo;Oui;A.MP4;0:05;83,5;1",
    "B;1;Zoë;;b.wav;;;2",
    "B;2;Bo;Non;gone.mp4;x;;2",
)


def test_a_sheet_is_read_as_the_builder_reads_it(tmp_path):
    _files(tmp_path, "deep/takes/a.mp4", "deep/b.wav")
    told: list[str] = []
    path = _table(tmp_path / "lab.csv", *SHEET, encoding="cp1252")
    first, second, third, fourth = collect_utterances([path], form=SheetForm(), tell=told.append)
    video = tmp_path / "deep" / "takes" / "a.mp4"
    # Rows of a dialogue are in the order of its turns.
    assert first == Utterance("A-0", "A", "Oui", video=video, start=5.0, end=83.5, speaker="Bo")
    assert second == Utterance("A-1", "A", "Très bien", video=video, start=62.5, end=64.0, speaker="Zoë")
    assert third == Utterance("B-0", "B", None, audio=tmp_path / "deep" / "b.wav", speaker="Zoë")
    assert (fourth.text, fourth.video, fourth.audio) == ("Non", None, None)
    missing = "lab.csv: line 5: 'gone.mp4' is not in the folder of the media; correct the path"
    assert fourth.problem.startswith(missing)
    assert told[0] == "lab.csv: read as cp1252, cells separated by semicolons."
    assert "text=Transcript, speaker=Speaker, start=From, end=To, file=File" in told[1]
    assert told[2] == "Columns that are not used: Rater; `columns` maps others."


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-8"])
def test_columns_of_a_sheet_are_those_that_are_named(tmp_path, encoding):
    path = _table(tmp_path / "lab.tsv", "Wer\tWas\tSatz", "Ada\tx\tJa", "Bo\ty\tNein", encoding=encoding)
    with pytest.raises(CorpusError, match="no column of text or media was recognised among Wer, Was, Satz; pass `col"):
        collect_utterances([path])
    told: list[str] = []
    found = collect_utterances([path], form=SheetForm("text=Satz,speaker=Wer"), tell=told.append)
    assert [(one.utterance_id, one.text, one.speaker) for one in found] == [
        ("lab-00001-0", "Ja", "Ada"), ("lab-00002-0", "Nein", "Bo"),
    ]  # fmt: skip
    assert told[-1].startswith("A dialogue is what one recording has, or a row by itself")


def test_a_csv_of_a_corpus_is_a_sheet_where_columns_are_given(tmp_path):
    path = _table(tmp_path / "a.csv", f"{HEADER},wer", "a,d,Hi,Ada")
    with pytest.raises(CorpusError, match="unknown column 'wer'"):
        collect_utterances([path])
    (found,) = collect_utterances([path], form=SheetForm("speaker=wer"))
    assert (found.utterance_id, found.dialogue_id, found.text, found.speaker) == ("a", "d", "Hi", "Ada")


def test_what_is_told_of_a_sheet_is_what_is_predicted_from(tmp_path):
    path = _table(tmp_path / "lab.csv", "Text,Emotion,Split,text_valence", "Hi,joy,train,0.5")
    told: list[str] = []
    (found,) = collect_utterances([path], tell=told.append)
    assert found.text == "Hi" and found.problem is None
    assert told[1:3] == [
        "Columns: text=Text.", "Columns that are not used: Emotion, Split, text_valence; `columns` maps others."
    ]  # fmt: skip


def test_files_of_a_folder_are_listed_for_names_alone_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.setitem(LIMITS, "sheet_rows", replace(LIMITS["sheet_rows"], most=2))
    _files(tmp_path, "deep/a.wav", "b.wav", "c.wav")
    path = _table(tmp_path / "lab.csv", "Text,Sound", "Hi,", "Ho,deep/a.wav")
    assert [one.audio for one in collect_utterances([path])] == [None, tmp_path / "deep" / "a.wav"]
    with pytest.raises(CorpusError, match="has more than 2 files; pass the folder of the media"):
        collect_utterances([_table(tmp_path / "lab.csv", "Text,Sound", "Hi,a.wav")])


def test_a_workbook_is_a_sheet(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["Text", "Start"])
    book.create_sheet("two").append(["Sentence", "Speaker"])
    book["two"].append(["Hello", 7])
    book.save(tmp_path / "lab.xlsx")
    (found,) = collect_utterances([tmp_path / "lab.xlsx"], form=SheetForm(worksheet="two"))
    assert (found.text, found.speaker) == ("Hello", "7")
    with pytest.raises(CorpusError, match="the sheet has a header and no rows"):
        collect_utterances([tmp_path / "lab.xlsx"])


@pytest.mark.parametrize("name", ["../secret.wav", "link.wav", "/secret.wav"])
def test_a_sheet_names_nothing_outside_of_its_folder(tmp_path, name):
    _files(tmp_path, "secret.wav", "lab/mine.wav")
    (tmp_path / "lab" / "link.wav").symlink_to(tmp_path / "secret.wav")
    path = _table(tmp_path / "lab" / "lab.csv", "Text,Sound", f"Hi,{name}", "Ho,mine.wav")
    refused, good = collect_utterances([path])
    assert refused.problem and refused.audio is None and good.audio == tmp_path / "lab" / "mine.wav"


@pytest.mark.parametrize("given", [{"columns": "text=Satz"}, {"encoding": "cp1252"}, {"worksheet": "one"}])
def test_options_of_sheets_are_refused_without_one(given, tmp_path):
    (tmp_path / "clip.wav").touch()
    for clip in ({"inputs": [tmp_path]}, {"text": "A word."}):
        with pytest.raises(ValueError, match="are for sheets: pass one, or leave them out"):
            collect_clips(**clip, **given)
