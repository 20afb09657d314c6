# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Clips with box and emotions drawn over them: times, sound, places, and where they are written."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_predict import _save
from testing_utils import tiny_config
from video_files import level_index, levels, write_clip, write_video

from modeling_univa import cli
from modeling_univa.models.faces_univa import FaceTrack
from modeling_univa.models.media_univa import MediaError, NoSoundError, iter_frames, read_audio
from modeling_univa.prediction import draw
from modeling_univa.prediction.draw import draw_prediction, drawing_files
from modeling_univa.prediction.inputs import Utterance
from modeling_univa.prediction.predict import Prediction


CONFIG = tiny_config()
SCORES = dict(zip(CONFIG.label_names, (0.1, 0.3, 0.15, 0.2, 0.12, 0.13), strict=True))
# Orange, which no grey picture has.
ORANGE = (255, 138, 76)


def a_face(times, box) -> FaceTrack:
    return FaceTrack([], list(times), [box] * len(list(times)), 1)


def of_clip(video: Path, face: FaceTrack | None = None, **parts) -> Prediction:
    return Prediction(Utterance("u", "u", video=video, **parts), SCORES, ["sad", "surprise"], face=face)


def frames(path: Path) -> list:
    return list(iter_frames(path))


def is_orange(pixel: np.ndarray) -> bool:
    return bool(np.abs(pixel.astype(int) - ORANGE).max() < 60)


def click(seconds: float, at: float, rate: int = 48000) -> np.ndarray:
    sound = np.zeros(round(seconds * rate), np.float32)
    sound[round(at * rate) : round((at + 0.05) * rate)] = 0.9
    return sound


def loudest(path: Path) -> float:
    """When the sound is louder than half for the first time, in seconds."""
    return float(np.argmax(np.abs(read_audio(path, 16000)) > 0.45)) / 16000


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_pictures_keep_their_times_and_sound_is_in_step(suffix, tmp_path):
    video = write_video(tmp_path / "in.mp4", levels(50, 240, 320), 25, sound=click(2.0, 1.2))
    file = tmp_path / f"out{suffix}"
    draw_prediction(of_clip(video), CONFIG, file)
    found = frames(file)
    np.testing.assert_allclose([one.time for one in found], np.arange(50) / 25, atol=2e-3)
    assert [level_index(one.image[200:, 200:]) for one in found[::10]] == [0, 10, 20, 30, 40]
    assert loudest(file) == pytest.approx(1.2, abs=0.03)
    assert read_audio(file, 16000).size / 16000 == pytest.approx(2.0, abs=0.1)
    assert [path.name for path in sorted(tmp_path.iterdir())] == sorted(["in.mp4", file.name])


def test_a_part_begins_at_zero(tmp_path):
    video = write_video(tmp_path / "in.mp4", levels(58, 240, 320), 25, sound=click(2.32, 1.5))
    draw_prediction(of_clip(video, start=1.0, end=2.2), CONFIG, tmp_path / "out.mp4")
    found = frames(tmp_path / "out.mp4")
    assert (found[0].time, len(found)) == (0.0, 30)
    expected = levels(58)[25].mean()
    assert found[0].image[200:, 200:].mean() == pytest.approx(expected, abs=2.5)
    assert loudest(tmp_path / "out.mp4") == pytest.approx(0.5, abs=0.03)
    assert read_audio(tmp_path / "out.mp4", 16000).size / 16000 == pytest.approx(1.2, abs=0.1)


def test_pictures_of_any_rate_keep_their_times(tmp_path):
    times = [0.0, 0.5, 0.6, 2.0]
    video = write_video(tmp_path / "in.mkv", levels(4, 240, 320), times=times)
    draw_prediction(of_clip(video), CONFIG, tmp_path / "out.mp4")
    np.testing.assert_allclose([one.time for one in frames(tmp_path / "out.mp4")], times, atol=2e-3)
    with pytest.raises(NoSoundError):  # nor is any made up
        read_audio(tmp_path / "out.mp4")


def test_sound_that_begins_later_or_lies_in_another_file(tmp_path, monkeypatch):
    monkeypatch.setattr(draw, "_PIECE", 0.5)
    late = write_video(tmp_path / "late.mkv", levels(58, 240, 320), 25, sound=click(0.8, 0.2), sound_start=1.6)
    draw_prediction(of_clip(late), CONFIG, tmp_path / "late.mp4")
    assert loudest(tmp_path / "late.mp4") == pytest.approx(1.8, abs=0.03)
    other = write_video(tmp_path / "other.mp4", sound=click(3.0, 2.5))
    draw_prediction(of_clip(late, audio=other), CONFIG, tmp_path / "other-out.mp4")
    assert loudest(tmp_path / "other-out.mp4") == pytest.approx(2.5, abs=0.03)


def test_sound_is_read_in_pieces(tmp_path, monkeypatch):
    lengths, read = [], draw.read_audio

    def counting(source, rate, start, end):
        lengths.append(end - start)
        return read(source, rate, start, end)

    monkeypatch.setattr(draw, "read_audio", counting)
    video = write_video(tmp_path / "in.mp4", levels(50, 240, 320), 1, sound=click(50.0, 41.0))
    draw_prediction(of_clip(video), CONFIG, tmp_path / "out.mp4")
    assert max(lengths) <= 20 and len(lengths) == 3
    assert loudest(tmp_path / "out.mp4") == pytest.approx(41.0, abs=0.03)


def test_the_box_is_where_and_when_the_face_is(tmp_path):
    video = write_video(tmp_path / "in.mp4", [np.full((240, 320, 3), 90, np.uint8)] * 50, 25)
    face = FaceTrack([], [0.4, 0.6, 0.8], [(180, 100, 80, 80), (190, 100, 80, 80), (200, 100, 80, 80)], 1)
    draw_prediction(of_clip(video, face), CONFIG, tmp_path / "out.mp4")
    found = {round(one.time, 2): one.image for one in frames(tmp_path / "out.mp4")}
    assert is_orange(found[0.4][140, 180]) and is_orange(found[0.8][140, 200])
    # Between two pictures in which it was found it is between the two.
    assert is_orange(found[0.52][140, 186]) and not is_orange(found[0.52][140, 180])
    for time in (0.2, 1.2):
        assert not any(is_orange(found[time][140, x]) for x in range(150, 320))


def test_a_face_that_is_gone_for_long_has_no_box():
    path = draw._BoxPath(a_face([0.0, 0.2, 0.4, 3.0, 3.2], (1, 2, 3, 4)))
    assert [path.at(time) is not None for time in (-0.1, 0.3, 0.5, 1.5, 3.1, 3.3, 3.5)] == [
        False, True, True, False, True, True, False,
    ]  # fmt: skip
    assert draw._BoxPath(a_face([1.0], (1, 2, 3, 4))).at(1.1).tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(("height", "letters"), [(1080, 40), (360, 13), (100, 10)])
def test_letters_grow_with_the_picture(height, letters, monkeypatch):
    sizes, font = [], draw._font
    monkeypatch.setattr(draw, "_font", lambda size, text: sizes.append(size) or font(size, text))
    panel = draw._panel(of_clip(Path("x.mp4")), CONFIG, height, height * 16 // 9)
    assert sizes == [letters] and panel.shape[0] <= height and panel.shape[1] <= height * 16 // 9
    assert panel.min() >= 0 and panel[:, :, 3].max() <= 1


def test_emotions_that_are_predicted_come_first():
    scores = {f"e{index}": index / 100 for index in range(20)}
    shown = draw._shown(Prediction(Utterance("u", "u"), scores, ["e3", "e1"]))
    assert shown == ["e3", "e1", "e19", "e18", "e17", "e16"]


def test_small_and_odd_pictures(tmp_path):
    video = write_video(tmp_path / "in.webm", levels(5, 47, 65), 25)
    draw_prediction(of_clip(video, a_face([0.0, 0.1], (-5, -5, 200, 200))), CONFIG, tmp_path / "out.mp4")
    assert frames(tmp_path / "out.mp4")[0].image.shape == (46, 64, 3)


def test_a_video_that_breaks_off_leaves_nothing(tmp_path):
    video = write_video(tmp_path / "in.mp4", levels(58, 240, 320), 25, sound=click(3.0, 1.5))
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    with pytest.raises(MediaError):
        draw_prediction(of_clip(video), CONFIG, tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


# Where


def test_several_clips_have_a_folder():
    clips = [Utterance(name, name, video=Path(name)) for name in ("d/a.mp4", "d/b c.MOV")]
    clips += [Utterance("u0", "u0", "text alone")]
    assert drawing_files(Path("out"), clips) == {
        "d/a.mp4": Path("out/a.mp4"), "d/b c.MOV": Path("out/b_c.mp4"),
    }  # fmt: skip
    same = [Utterance(name, name, video=Path(name)) for name in ("a.mp4", "a.mkv")]
    assert [file.name for file in drawing_files(Path("out"), same).values()] == ["a.mp4.mp4", "a.mkv.mp4"]
    assert drawing_files(Path("x.MKV"), clips[:1]) == {"d/a.mp4": Path("x.MKV")}
    with pytest.raises(ValueError, match=r"`draw` x\.mp4 is one file, and there are 3 clips: name a folder"):
        drawing_files(Path("x.mp4"), clips)
    with pytest.raises(ValueError, match=r"`draw` x\.gif: the suffix must be one of \.mp4, "):
        drawing_files(Path("x.gif"), clips[:1])


def test_a_clip_is_not_written_over(tmp_path):
    clip = Utterance("a", "a", video=write_clip(tmp_path / "a.mp4"))
    for place in (tmp_path / "a.mp4", tmp_path):
        with pytest.raises(ValueError, match="would overwrite the clip"):
            drawing_files(place, [clip])
    assert drawing_files(tmp_path / "new", [clip]) == {"a": tmp_path / "new" / "a.mp4"}


def test_the_command_draws(tmp_path, capsys):
    model = _save(tmp_path / "model")
    write_clip(tmp_path / "clips" / "a.mp4", seed=1)
    write_clip(tmp_path / "clips" / "b.mp4", picture=False)
    (tmp_path / "clips" / "c.mp4").write_text("no video")
    arguments = ["predict", str(model), str(tmp_path / "clips"), "--draw", str(tmp_path / "drawn")]
    assert cli.main(arguments) == 1
    told = capsys.readouterr().err
    assert f"wrote {tmp_path / 'drawn' / 'a.mp4'}" in told and "not drawn" in told and "Traceback" not in told
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["a.mp4"]
    assert len(frames(tmp_path / "drawn" / "a.mp4")) == 10
    one = ["predict", str(model), "--text", "yes", "--draw", str(tmp_path / "x.mp4")]
    assert cli.main(one) == 0
    assert "there is no video to draw on" in capsys.readouterr().err and not (tmp_path / "x.mp4").exists()


def test_predictions_without_a_face_are_drawn(tmp_path):
    prediction = replace(of_clip(write_clip(tmp_path / "a.mp4")), emotions=[])
    draw_prediction(prediction, CONFIG, tmp_path / "out.mp4")
    assert len(frames(tmp_path / "out.mp4")) == 10
