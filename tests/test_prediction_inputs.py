# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from modeling_univa.data.schema import CorpusError
from modeling_univa.prediction_inputs import collect_utterances, read_utterances
from modeling_univa.prediction_media import Utterance


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


def test_refusals(tmp_path):
    _files(tmp_path, "a.mp4", "face.jpg", "empty/readme.md", "times.csv", "columns.csv")
    (tmp_path / "times.csv").write_text("utterance_id,dialogue_id,text,start\na,d,Hi,soon\n")
    for inputs, message in (
        (["a.mp4", "./a.mp4"], "is named twice"),
        (["face.jpg"], "is an image; give the images of a face with --faces"),
        (["empty"], "empty has no clip"),
        (["none.csv"], "none.csv: cannot be read"),
        (["columns.csv"], "no column 'utterance_id'"),
        (["times.csv"], "line 2: start 'soon', expected seconds"),
    ):
        with pytest.raises(CorpusError, match=message):
            collect_utterances([tmp_path / name for name in inputs])


@pytest.mark.parametrize("column", ["audio", "video", "faces"])
def test_a_csv_names_nothing_outside_of_its_folder(tmp_path, column):
    _files(tmp_path, "secret.wav", "corpus/mine.wav", "elsewhere/mine.wav")
    (tmp_path / "corpus" / "link.wav").symlink_to(tmp_path / "secret.wav")
    path = tmp_path / "corpus" / "test.csv"
    for name in (str(tmp_path / "secret.wav"), "../secret.wav", "link.wav"):
        path.write_text(f"utterance_id,dialogue_id,text,{column}\na,d,Hi,{name}\n")
        with pytest.raises(CorpusError, match=r"line 2: .* leads out of the folder of the media.*--media-root"):
            read_utterances(path)
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
    with pytest.raises(CorpusError, match=r"a.txt is a link to another folder"):
        collect_utterances([tmp_path / "clips"])
