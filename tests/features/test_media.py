# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
from types import SimpleNamespace

import numpy as np
import pytest
from media_corpora import write_image, write_sound

from modeling_univa.data.schema import CorpusError
from modeling_univa.features.media import (
    Item,
    MediaReader,
    Missing,
    check_media,
    in_batches,
    items_of,
    sound_of,
    vision_of,
)
from modeling_univa.models import utterance_media_univa
from modeling_univa.models.media_univa import NoSoundError, NoVideoError, read_audio, read_image


def test_a_row_has_its_own_files_before_those_of_its_video():
    row = {"audio": "a.wav", "faces": ["1.png", "2.png"], "video": "v.mp4", "start": 1.0, "end": 2.5}
    assert sound_of(row) == Item("sound", "a.wav", 1.0, 2.5)
    assert vision_of(row) == Item("faces", ("1.png", "2.png"))
    row = {**row, "audio": None, "faces": []}
    assert sound_of(row) == Item("video-sound", "v.mp4", 1.0, 2.5)
    assert vision_of(row) == Item("video-faces", "v.mp4", 1.0, 2.5)
    assert sound_of({"faces": ["1.png"]}) is None
    assert vision_of({"audio": "a.wav"}) is None


def test_a_row_without_transcript_has_no_text():
    assert items_of({"text": "yes"}, ["text", "audio"]) == {"text": [Item("text", "yes")], "audio": []}
    assert items_of({"text": None}, ["text"]) == {"text": []}


def test_items_are_read_as_extractors_take_them(tmp_path):
    sound, image = write_sound(tmp_path / "a.wav", 1.0), write_image(tmp_path / "1.png")
    read = MediaReader(tmp_path, 8000).read
    waveform, rate = read(Item("sound", "a.wav", 0.25, 0.75))[0]
    assert rate == 8000
    np.testing.assert_array_equal(waveform, read_audio(sound, 8000, 0.25, 0.75))
    images = read(Item("faces", ("1.png", "1.png")))[0]
    assert len(images) == 2
    np.testing.assert_array_equal(images[1], read_image(image))


def test_what_is_wrong_with_a_file_comes_back_with_its_path_in_the_corpus(tmp_path):
    write_sound(tmp_path / "clips" / "a.wav", 1.0)
    (tmp_path / "clips" / "notes.wav").write_text("hello")
    read = MediaReader(tmp_path).read
    for item, reason in (
        (Item("sound", "clips/b.wav"), "clips/b.wav: No such file"),
        (Item("sound", "clips/notes.wav"), "clips/notes.wav: "),
        (Item("faces", ("clips/notes.wav",)), "clips/notes.wav: not an image"),
    ):
        missing, _ = read(item)
        assert missing.rejected
        assert missing.reason.startswith(reason)


def test_nothing_is_read_outside_of_the_media_root(tmp_path):
    root, secret = tmp_path / "root", write_sound(tmp_path / "secret.wav", 1.0)
    write_sound(root / "mine.wav", 1.0)
    (root / "link.wav").symlink_to(secret)
    (root / "loop.wav").symlink_to("loop.wav")
    (root / "folder").symlink_to(tmp_path)
    (root / "inner.wav").symlink_to("mine.wav")
    (tmp_path / "root_too").symlink_to(root)
    read = MediaReader(root, 8000).read
    paths = ("../secret.wav", "link.wav", "folder/secret.wav", "loop.wav", "a\0.wav", "x/../../secret.wav")
    for path in (str(secret), *paths):
        for item in (
            Item("sound", path),
            Item("video-sound", path),
            Item("faces", (path,)),
            Item("video-faces", path),
        ):
            missing, _ = read(item)
            assert missing.rejected
            assert missing.reason.endswith(
                "leads out of the folder of the media: copy the file into it, or allow files outside of it."
            )
    # A root that is a link itself, and links within it, are as good as any.
    for name in ("mine.wav", "inner.wav"):
        assert MediaReader(tmp_path / "root_too", 8000).read(Item("sound", name))[0][1] == 8000
    assert MediaReader(root, 8000, outside=True).read(Item("sound", "../secret.wav"))[0][1] == 8000


@pytest.mark.parametrize(
    ("error", "kind", "rejected"),
    [
        (NoSoundError("v.mp4", "no sound"), "video-sound", False),
        (NoSoundError("a.wav", "no sound"), "sound", True),
        (NoVideoError("v.mp4", "no picture"), "video-faces", False),
        (RuntimeError("decoder"), "sound", True),
    ],
)
def test_a_video_may_do_without_a_signal(tmp_path, monkeypatch, error, kind, rejected):
    def fail(*args):
        raise error

    monkeypatch.setattr(utterance_media_univa, "read_audio", fail)
    missing, _ = MediaReader(tmp_path, face_reader=fail).read(Item(kind, "v.mp4"))
    assert missing.rejected is rejected
    assert str(error) in missing.reason


def test_a_video_without_a_face_says_so(tmp_path):
    track = SimpleNamespace(images=[], note="no face in 9 pictures")
    missing, _ = MediaReader(tmp_path, face_reader=lambda *args: track).read(Item("video-faces", "v.mp4"))
    assert missing == Missing("v.mp4: no face in 9 pictures", rejected=False)


def test_a_package_that_is_missing_ends_the_job(tmp_path, monkeypatch):
    def fail(*args):
        raise ImportError("pip install av")

    monkeypatch.setattr(utterance_media_univa, "read_audio", fail)
    with pytest.raises(ImportError):
        MediaReader(tmp_path).read(Item("sound", "a.wav"))


def test_batches_are_of_like_length_and_a_bad_item_is_lost_alone():
    calls = []

    def compute(values):
        calls.append([len(value) for value in values])
        if any(len(value) == 3 for value in values):
            raise ValueError("three is not allowed")
        return [np.array([len(value)]) for value in values]

    gone = Missing("gone", rejected=True)
    lengths = [5, 1, 3, 2, 4]
    raw = {Item("text", f"{n}"): "x" * n for n in lengths} | {Item("text", "gone"): gone}
    made = in_batches(compute, raw, 2)
    assert calls == [[1, 2], [3, 4], [3], [4], [5]]
    assert made[Item("text", "gone")] is gone
    assert made[Item("text", "3")] == Missing("text: three is not allowed", rejected=True)
    assert {int(made[Item("text", f"{n}")][0]) for n in (1, 2, 4, 5)} == {1, 2, 4, 5}
    clips = {Item("sound", f"{n}.wav"): (np.zeros(n), 16000) for n in (9, 8)}
    assert list(in_batches(lambda batch: [len(clip[0]) for clip in batch], clips, 2).values()) == [8, 9]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")])
def test_a_clip_that_does_not_fit_into_memory_is_lost_alone(tmp_path, monkeypatch, error):
    def compute(values):
        if sum(map(len, values)) > 100:
            raise error
        return [np.zeros((1, 3)) for _ in values]

    raw = {Item("text", str(length)): "a" * length for length in (60, 80, 200)}
    made = in_batches(compute, raw, batch_size=3)
    assert [isinstance(value, Missing) for value in made.values()] == [False, False, True]
    assert made[Item("text", "200")] == Missing(
        "text: there is not enough memory for it; cut it into shorter clips", True
    )
    with pytest.raises(RuntimeError, match="fault"):
        in_batches(lambda values: (_ for _ in ()).throw(RuntimeError("fault")), raw, batch_size=3)

    def fail(*args):
        raise MemoryError

    monkeypatch.setattr(utterance_media_univa, "read_audio", fail)
    write_sound(tmp_path / "long.wav", 1.0)
    found, _ = MediaReader(tmp_path).read(Item("sound", "long.wav"))
    assert found == Missing("long.wav: there is not enough memory for it; cut it into shorter clips", rejected=True)


def test_media_that_cannot_be_found_are_refused_at_the_start(tmp_path):
    check_media(["text", "video"], tmp_path, "--audio-extractor")
    for columns, root, message in (
        (["text"], tmp_path, "has no column audio, faces, video"),
        (["audio"], None, "pass it as `media_root`"),
        (["audio"], tmp_path / "elsewhere", "is not a folder"),
    ):
        with pytest.raises(CorpusError, match=message):
            check_media(columns, root, "--audio-extractor")
