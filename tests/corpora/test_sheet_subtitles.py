# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Long recordings of a sheet: subtitles, TextGrids, and transcripts by a speech recognition model."""

import json
from pathlib import Path

import pytest
from datasets import load_dataset
from media_corpora import write_sound
from sheets import sheet_text
from testing_asr import write_ctc_model

from modeling_univa.commands.build import build_main
from modeling_univa.data.schema import CorpusError
from modeling_univa.data.subtitles import Cue, read_cues
from modeling_univa.features.transcription import Transcriber
from modeling_univa.models.media_univa import read_audio


SRT = (
    "\n1\n00:00:00,500 --> 00:00:01,250\n<i>Schön</i>,\ndass du da bist!\n\n"
    "2\n00:00:01,500 --> 00:00:02,000\nNun ja.\n\n3\n0:00:02.5 --> 0:00:03,25\nAlso gut.\n"
)
VTT = (
    "WEBVTT\n\nNOTE by hand\n\nfirst\n00:00.500 --> 00:01.250 align:start\n<v Ann>Schön,</v>\n<v Ann>dass du da "
    "bist!\n\n"
    "NOTE more\n\n00:01.500 --> 00:02.000\nNun ja.\n\n00:02.500 --> 00:03.250\nAlso gut.\n"
)
TIMES = [(0.5, 1.25), (1.5, 2.0), (2.5, 3.25)]
TEXTS = ["Schön, dass du da bist!", "Nun ja.", "Also gut."]


def textgrid(**tiers: str) -> str:
    """A TextGrid in Praat's long form whose tiers have the intervals of `TIMES` with empty ones between."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", "xmax = 4", "tiers? <exists>"]
    lines += [f"size = {len(tiers)}", "item []:"]
    for number, (name, texts) in enumerate(tiers.items(), start=1):
        pieces, end = [], 0.0
        for (start, stop), text in zip(TIMES, texts.split("|"), strict=True):
            pieces += [(end, start, ""), (start, stop, text)]
            end = stop
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{name}"']
        lines += ["        xmin = 0", "        xmax = 4", f"        intervals: size = {len(pieces)}"]
        for place, (start, stop, text) in enumerate(pieces, start=1):
            lines += [f"        intervals [{place}]:", f"            xmin = {start}", f"            xmax = {stop}"]
            lines += [f'            text = "{text}"']
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("name", "content", "options", "speakers"),
    [
        ("a.srt", SRT.encode("cp1252"), {}, [None] * 3),
        ("a.SRT", SRT.replace("\n", "\r\n").encode("utf-8-sig"), {}, [None] * 3),
        ("a.vtt", VTT.encode(), {}, ["Ann", None, None]),
        ("a.TextGrid", textgrid(words="|".join(TEXTS)).encode("utf-16"), {}, [None] * 3),
        (
            "a.TextGrid",
            textgrid(Ann=f"{TEXTS[0]}||{TEXTS[2]}", Ben=f"|{TEXTS[1]}|", phones="x|y|z").encode(),
            {"tiers": ["Ann", "Ben"]},
            ["Ann", "Ben", "Ann"],
        ),
        (
            "a.TextGrid",
            textgrid(words="|".join(TEXTS), phones="x|y|z").encode(),
            {"tiers": ["words"]},
            [None] * 3,
        ),
    ],
)
def test_cues(tmp_path, name, content, options, speakers):
    (tmp_path / name).write_bytes(content)
    expected = [Cue(*times, text, speaker) for times, text, speaker in zip(TIMES, TEXTS, speakers, strict=True)]
    assert read_cues(tmp_path / name, **options) == expected


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.srt", "Hello.", {}, "no text with times was found in it"),
        ("a.vtt", "Hello.", {}, "cannot be read as vtt"),
        ("a.TextGrid", "Hello.", {}, "cannot be read as textgrid"),
        ("a.TextGrid", textgrid(words="a|b|c", phones="x|y|z"), {}, "pass as `tiers` those with the text, of words"),
        ("a.TextGrid", textgrid(words="a|b|c"), {"tiers": ["word"]}, "has no tier 'word'"),
        ("a.srt", "x", {"encoding": "klingon"}, "`encoding` 'klingon' is unknown"),
    ],
)  # fmt: skip
def test_files_that_are_none(tmp_path, name, content, options, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(CorpusError, match=message):
        read_cues(tmp_path / name, **options)


def _build(folder: Path, rows: list[dict[str, str]], *arguments: str) -> int:
    sheet = folder / "s.csv"
    if not sheet.is_file() or sheet.read_text(encoding="utf-8") != sheet_text(rows).replace("\r\n", "\n"):
        sheet.write_text(sheet_text(rows), encoding="utf-8", newline="")
    output = ["--output", str(folder.parent / "corpus"), "--overwrite", "--workers", "0"]
    options = ["--audio-extractor", "none", "--vision-extractor", "none"]
    return build_main("sheet", ["--source", str(sheet), *output, *options, *arguments])


def _rows(folder: Path):
    return load_dataset(str(folder.parent / "corpus"), cache_dir=str(folder.parent / "cache"))["train"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recordings, one of which has subtitles."""
    root = tmp_path / "lab"
    for name in ("talk.wav", "other.wav"):
        write_sound(root / "sound" / name, 4)
    (root / "talk.srt").write_text(SRT, encoding="utf-8")
    return root


def _row(**cells: str) -> dict[str, str]:
    return {"file": "talk.wav", "emotion": "joy", **cells}


def test_cues_have_the_labels_of_the_row_with_most_of_their_time(folder, capsys):
    rows = [
        _row(start="1,6", end="3", emotion="anger"),
        _row(start="0", end="1,6", emotion="joy"),
        _row(start="3,5", end="3,9", emotion="fear"),
        _row(file="other.wav", start="", end="", emotion="fear"),
    ]
    assert _build(folder, rows, "--subtitles", str(folder), "--columns", "text=", "--keep-empty-text") == 0
    found = _rows(folder)
    names = found.features["emotions"].feature.names
    assert list(zip(found["start"], found["end"], strict=True)) == [*TIMES, (3.5, 3.9), (None, None)]
    assert found["text"] == [*TEXTS, None, None]
    assert [names[label] for (label,) in found["emotions"]] == ["joy", "anger", "anger", "fear", "fear"]
    assert found["utterance_id"][:2] == ["sound/talk-0", "sound/talk-1"]
    printed = capsys.readouterr().out
    assert "Subtitles of 1 recording were joined to 3 rows." in printed
    assert "1 row has no cue, and stays as it is in the sheet." in printed
    assert "- `talk.srt`" in (folder.parent / "corpus" / "README.md").read_text()


def test_cues_by_number_by_order_and_for_a_whole_recording(folder, capsys):
    subtitles = ["--subtitles", str(folder / "talk.srt")]
    assert _build(folder, [_row(cue="3", id="b"), _row(cue="1", id="a"), _row(cue="7", id="c")], *subtitles) == 0
    found = _rows(folder)
    assert found["utterance_id"] == ["b", "a"] and found["text"] == [TEXTS[2], TEXTS[0]]
    (rejected,) = (folder.parent / "corpus" / "rejected.jsonl").read_text().splitlines()
    assert "cue '7', expected a number from 1 to 3 as in talk.srt" in rejected
    assert "1 cue is left out, since no row is about it." in capsys.readouterr().out
    assert _build(folder, [_row(emotion=name) for name in ("joy", "fear", "joy")], *subtitles) == 0
    assert _rows(folder)["text"] == TEXTS and _rows(folder)["emotions"] == [[1], [0], [1]]
    assert _build(folder, [_row(id="whole", speaker="Ann")], *subtitles) == 0
    assert _rows(folder)["utterance_id"] == ["whole-0", "whole-1", "whole-2"]
    assert _rows(folder)["dialogue_id"] == ["sound/talk"] * 3 and _rows(folder)["speaker"] == ["Ann"] * 3
    assert _build(folder, [_row(), _row()], *subtitles) == 2
    assert "has 3 cues, and 2 rows without times are about its recording" in capsys.readouterr().err


def test_subtitles_that_are_ambiguous_or_missing(folder, capsys):
    (folder / "none").mkdir()
    assert _build(folder, [_row()], "--subtitles", str(folder / "none")) == 2
    assert "has no subtitles; pass a file or a folder of .srt, .vtt, .textgrid" in capsys.readouterr().err
    (folder / "talk.vtt").write_text(VTT)
    assert _build(folder, [_row()], "--subtitles", str(folder)) == 2
    assert "are both subtitles of talk; keep one of them" in capsys.readouterr().err
    assert _build(folder, [_row()], "--tiers", "words") == 2
    assert "--tiers are those of TextGrids; pass these as --subtitles" in capsys.readouterr().err


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory) -> Path:
    return write_ctc_model(tmp_path_factory.mktemp("asr"))


def test_text_that_is_missing_is_transcribed(folder, recogniser, capsys):
    rows = [
        _row(id="a", text="As it is.", start="", end=""),
        _row(id="b", text="", start="1", end="3"),
        _row(id="c", text="", start="", end="", file=""),
    ]
    arguments = ["--transcribe", str(recogniser)]
    assert _build(folder, rows, *arguments) == 0
    found = _rows(folder)
    expected = Transcriber(str(recogniser))(read_audio(folder / "sound" / "talk.wav", 16000, 1.0, 3.0))
    assert expected and found["text"] == ["As it is.", expected]
    assert "2 of 3 rows have no text; it is transcribed from their sound." in capsys.readouterr().out
    (rejected,) = map(json.loads, (folder.parent / "corpus" / "rejected.jsonl").read_text().splitlines())
    assert "there is no text, and no speech was recognised" in rejected["reason"]
    card = (folder.parent / "corpus" / "README.md").read_text()
    assert f"Text that the sheet lacks is what {recogniser.name} recognised." in card and str(recogniser) not in card
    assert not list(folder.parent.glob("*.jsonl"))
    assert _build(folder, rows, *arguments, "--dry-run") == 0
    assert _build(folder, rows, "--transcribe", str(folder)) == 2
    assert "cannot be loaded as a speech recognition model" in capsys.readouterr().err


def test_a_build_that_was_stopped_does_not_transcribe_again(folder, recogniser, monkeypatch):
    rows = [_row(id="a", start="0", end="1"), _row(id="b", start="1", end="2"), _row(id="c", start="2", end="3")]
    heard = []
    original = Transcriber.__call__

    def listen(self, waveform):
        heard.append(len(waveform))
        if len(heard) == 3:
            raise KeyboardInterrupt
        return original(self, waveform)

    monkeypatch.setattr(Transcriber, "__call__", listen)
    assert _build(folder, rows, "--transcribe", str(recogniser)) == 130
    assert _build(folder, rows, "--transcribe", str(recogniser)) == 0
    assert len(heard) == 4 and len(_rows(folder)) == 3
