# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The one reader of an utterance's sound and faces."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from media_corpora import write_image
from video_files import write_clip

from modeling_univa.models import utterance_media_univa
from modeling_univa.models.faces_univa import FaceReader, FaceTrack
from modeling_univa.models.limits_univa import LIMITS
from modeling_univa.models.media_univa import NoSoundError, read_audio, read_image
from modeling_univa.models.utterance_media_univa import MediaNote, UtteranceMedia, read_images


READER = FaceReader(detector="whole-frame", frame_rate=4)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder / "a.mp4")
    write_clip(folder / "silent.mp4", sound=False)
    write_clip(folder / "dark.mp4", picture=False)
    return folder


def test_a_video_gives_sound_and_faces(clips):
    video = clips / "a.mp4"
    media = UtteranceMedia(video=video, start=0.25, end=0.75, face_reader=READER)
    assert media.has("audio") and media.has("vision")
    np.testing.assert_array_equal(media.sound(8000), read_audio(video, 8000, 0.25, 0.75))
    expected = READER(video, 0.25, 0.75)
    np.testing.assert_array_equal(media.faces().images, expected.images)
    assert media.faces().times == expected.times and media.notes == {}
    waveform, rate = media.speech(16000)
    assert rate == 16000 and len(waveform) == 8000


def test_files_of_their_own_go_before_the_video(clips, tmp_path):
    face = write_image(tmp_path / "1.png")
    media = UtteranceMedia(audio=clips / "dark.mp4", faces=[face, face], video="no_such_file.mp4")
    np.testing.assert_array_equal(media.sound(16000), read_audio(clips / "dark.mp4"))
    np.testing.assert_array_equal(media.faces().images[1], read_image(face))
    assert media.faces().times == []
    # As rows of a corpus say that there are no images.
    assert len(UtteranceMedia(faces=[], video=clips / "a.mp4", face_reader=READER).faces().images) == 4


def test_what_a_video_lacks_is_absent_with_a_note(clips):
    silent = UtteranceMedia(video=clips / "silent.mp4", face_reader=READER)
    dark = UtteranceMedia(video=(clips / "dark.mp4").read_bytes(), face_reader=READER)
    assert silent.sound(16000) is None and silent.speech(8000) is None
    assert dark.faces().images == []
    assert silent.notes == {"audio": MediaNote(str(clips / "silent.mp4"), "it has no sound")}
    assert str(dark.notes["vision"]) == "<bytes>: it has no moving picture"
    empty = FaceTrack([], [], [], 0, "no face in 5 pictures")
    faceless = UtteranceMedia(video="v.mp4", face_reader=lambda *clip: empty)
    assert faceless.faces() is empty and str(faceless.notes["vision"]) == "v.mp4: no face in 5 pictures"


def test_a_sound_file_must_have_sound(clips):
    with pytest.raises(NoSoundError, match="it has no sound"):
        UtteranceMedia(audio=clips / "silent.mp4").sound(16000)


def test_nothing_is_read_twice_nor_before_it_is_asked_for(clips, monkeypatch):
    calls = []
    monkeypatch.setattr(utterance_media_univa, "read_audio", lambda *parts: calls.append(parts) or np.zeros(4))
    media = UtteranceMedia(video=clips / "a.mp4", face_reader=lambda *clip: calls.append(clip) or READER(*clip))
    assert media.has("audio") and not calls
    for _ in range(2):
        media.sound(8000)
        media.faces()
    assert len(calls) == 2


def test_nothing_at_all():
    media = UtteranceMedia()
    assert not media.has("audio") and not media.has("vision")
    assert media.sound(16000) is None and media.faces().images == [] and media.notes == {}


def test_parts_of_a_clip(clips):
    path = clips / "a.mp4"
    part = UtteranceMedia.of_clip("audio", (path, 0.25, 0.5)).sound(16000)
    np.testing.assert_array_equal(part, read_audio(path, 16000, 0.25, 0.5))
    np.testing.assert_array_equal(UtteranceMedia.of_clip("audio", (part, 16000)).sound(16000), part)
    with pytest.raises(ValueError, match=r"\(source, start, end\)"):
        UtteranceMedia.of_clip("video", (path, 0.25))
    with pytest.raises(ValueError, match="need a `face_reader`"):
        UtteranceMedia.of_clip("video", path).faces()


def test_images_of_a_clip_are_bounded_together(tmp_path, monkeypatch):
    data = write_image(tmp_path / "1.png").read_bytes()
    height, width = read_image(data).shape[:2]
    assert len(read_images([data, read_image(data), data])) == 3
    monkeypatch.setitem(LIMITS, "clip_pixels", replace(LIMITS["clip_pixels"], most=2 * height * width))
    with pytest.raises(ValueError, match="pixels of 3 images in `faces` must lie between 0 and"):
        read_images([data] * 9)
