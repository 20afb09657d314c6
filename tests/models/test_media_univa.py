# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
import os
import pickle
import re
import struct
import sys
import time
import tracemalloc
import zlib
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from video_files import level_index, levels, write_video

from modeling_univa.models.faces_univa import FaceReader
from modeling_univa.models.limits_univa import LIMITS
from modeling_univa.models.media_univa import (
    MediaError,
    NoSoundError,
    NoVideoError,
    iter_frames,
    media_duration,
    read_audio,
    read_image,
    resample,
)


av = pytest.importorskip("av")
cv2 = pytest.importorskip("cv2")
soundfile = pytest.importorskip("soundfile")


def tone(frequency: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)


def sound_bytes(samples: np.ndarray, rate: int = 16000, subtype: str = "PCM_16", container: str = "WAV") -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=container, subtype=subtype)
    return stream.getvalue()


@pytest.fixture
def photo() -> np.ndarray:
    rows, columns = np.mgrid[:60, :80]
    return np.stack([rows * 4, columns * 3, (rows + columns) % 256], axis=-1).astype(np.uint8)


class TestReadAudio:
    @pytest.mark.parametrize("container", ["WAV", "FLAC"])
    def test_samples_come_back(self, tmp_path: Path, container: str):
        path = tmp_path / "clip"
        path.write_bytes(sound_bytes(tone(440, 16000), container=container))
        for source in (path, str(path), path.read_bytes()):
            waveform = read_audio(source)
            assert waveform.dtype == np.float32
            np.testing.assert_allclose(waveform, tone(440, 16000), atol=1 / 32768)

    def test_channels_are_averaged(self):
        left, right = tone(300, 16000), tone(500, 16000)
        waveform = read_audio(sound_bytes(np.column_stack([left, right]), subtype="FLOAT"))
        np.testing.assert_allclose(waveform, (left + right) / 2, atol=1e-6)

    @pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
    def test_resampling_keeps_the_tone(self, rate: int):
        waveform = read_audio(sound_bytes(tone(440, rate), rate))
        assert abs(len(waveform) - 16000) <= 1
        inner = slice(800, 15000)  # the ends ring
        np.testing.assert_allclose(waveform[inner], tone(440, 16000)[inner], atol=5e-3)

    def test_resampling_removes_what_would_alias(self):
        waveform = read_audio(sound_bytes(tone(11000, 48000), 48000))
        assert np.abs(waveform[800:15000]).max() < 0.01

    @pytest.mark.parametrize(
        ("start", "end", "expected"), [(0.25, 0.5, (4000, 8000)), (None, 0.1, (0, 1600)), (0.9, 5.0, (14400, 16000))]
    )
    def test_part_of_a_file(self, start: float | None, end: float | None, expected: tuple[int, int]):
        data = sound_bytes(tone(440, 16000))
        np.testing.assert_array_equal(read_audio(data, start=start, end=end), read_audio(data)[slice(*expected)])

    def test_float_samples_beyond_full_scale_are_clipped(self):
        waveform = read_audio(sound_bytes(4 * tone(440, 16000), subtype="FLOAT"))
        assert waveform.max() == 1.0
        assert waveform.min() == -1.0

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", "0 bytes"),
            (b"not a sound", "not a readable sound file"),
            (sound_bytes(np.zeros(0)), "no samples"),
            (sound_bytes(np.array([0.1, np.nan]), subtype="FLOAT"), "NaN"),
            (sound_bytes(np.array([0.1, np.inf]), subtype="FLOAT"), "NaN or infinite"),
            (sound_bytes(np.array([12000.0, -9000.0]), subtype="FLOAT"), "reach 12000"),
            (sound_bytes(np.random.default_rng(0).normal(size=9000) / 9, container="FLAC")[:5000], "sound file"),
        ],
    )
    def test_bad_files_are_refused_by_name(self, tmp_path: Path, data: bytes, reason: str):
        path = tmp_path / "broken.wav"
        path.write_bytes(data)
        with pytest.raises(MediaError, match=rf"broken\.wav: .*{reason}"):
            read_audio(path)
        with pytest.raises(MediaError, match=f"<bytes>: .*{reason}"):
            read_audio(data)

    @pytest.mark.parametrize(
        ("start", "end"), [(-1.0, None), (0.5, 0.5), (0.6, 0.2), (2.0, None), (0.0, float("nan"))]
    )
    def test_impossible_parts_are_refused(self, start: float, end: float | None):
        with pytest.raises(MediaError, match=r"start must be|the sound lasts 1 s"):
            read_audio(sound_bytes(tone(440, 16000)), start=start, end=end)

    def test_missing_file_and_folder(self, tmp_path: Path):
        with pytest.raises(MediaError, match=r"nowhere\.wav: No such file"):
            read_audio(tmp_path / "nowhere.wav")
        with pytest.raises(MediaError, match="not a file"):
            read_audio(tmp_path)

    def test_wanted_rate_must_be_positive(self):
        with pytest.raises(ValueError, match="`sampling_rate` must be positive, got 0"):
            read_audio(sound_bytes(tone(440, 16000)), sampling_rate=0)


class TestReadImage:
    def test_png_comes_back_as_rgb(self, tmp_path: Path, photo: np.ndarray):
        path = tmp_path / "face.png"
        cv2.imwrite(str(path), photo[:, :, ::-1])
        for source in (path, path.read_bytes()):
            pixels = read_image(source)
            assert pixels.dtype == np.uint8
            np.testing.assert_array_equal(pixels, photo)

    def test_grey_and_transparent_images_have_three_channels(self, photo: np.ndarray):
        grey = cv2.imencode(".png", photo[:, :, 0])[1].tobytes()
        np.testing.assert_array_equal(read_image(grey), np.repeat(photo[:, :, :1], 3, axis=2))
        transparent = np.dstack([photo[:, :, ::-1], np.full(photo.shape[:2], 7, np.uint8)])
        np.testing.assert_array_equal(read_image(cv2.imencode(".png", transparent)[1].tobytes()), photo)

    def test_truncated_and_foreign_files_are_refused(self, tmp_path: Path, photo: np.ndarray):
        path = tmp_path / "face.jpg"
        for extension in (".jpg", ".png"):
            data = cv2.imencode(extension, photo)[1].tobytes()
            for cut in (b"", data[:20], data[: len(data) // 2], data[:-2], b"plain text, not an image"):
                path.write_bytes(cut)
                with pytest.raises(MediaError, match=r"face\.jpg: (the file is empty|not an image)"):
                    read_image(path)

    def test_format_whose_header_is_not_read_first(self):
        with pytest.raises(MediaError, match="readable are JPEG, PNG, WEBP, BMP, GIF, TIFF, PPM"):
            read_image(cv2.imencode(".hdr", np.ones((8, 8, 3), np.float32))[1].tobytes())

    @pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".ppm", ".webp", ".jpg", ".gif"])
    def test_formats_that_are_read(self, photo: np.ndarray, suffix: str):
        data = cv2.imencode(suffix, photo)[1]
        pixels = read_image(data.tobytes())
        assert pixels.shape == photo.shape
        np.testing.assert_array_equal(pixels, cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1])

    def test_missing_file(self, tmp_path: Path):
        with pytest.raises(MediaError, match=r"nowhere\.png: No such file"):
            read_image(tmp_path / "nowhere.png")


CONTAINERS = [".mp4", ".mov", ".mkv", ".webm"]


def indices(path: Path | bytes, *arguments: float | None) -> list[int]:
    return [level_index(frame.image) for frame in iter_frames(path, *arguments)]


class TestSoundOfVideo:
    @pytest.mark.parametrize("suffix", CONTAINERS)
    @pytest.mark.parametrize("rate", [8000, 48000])
    def test_every_container_and_rate(self, tmp_path: Path, suffix: str, rate: int):
        sound = np.stack([tone(440, rate), np.zeros(rate)]).astype(np.float32)
        path = write_video(tmp_path / f"clip{suffix}", levels(25), sound=sound, sampling_rate=rate)
        waveform = read_audio(path)
        assert waveform.dtype == np.float32
        assert len(waveform) == pytest.approx(16000, abs=2100)  # codecs pad to whole frames: 128 ms at 8 kHz
        np.testing.assert_allclose(waveform[2000:14000], tone(440, 16000)[2000:14000] / 2, atol=0.03)
        np.testing.assert_array_equal(read_audio(path.read_bytes()), waveform)

    @pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
    def test_same_samples_as_of_a_sound_file(self, tmp_path: Path, rate: int):
        sound = np.stack([tone(440, rate), tone(700, rate)]).astype(np.float32)
        path = write_video(tmp_path / "clip.mkv", levels(25), sound=sound, sampling_rate=rate)
        expected = read_audio(sound_bytes(np.round(sound.T * 32768) / 32768, rate))
        np.testing.assert_allclose(read_audio(path), expected, atol=4e-5)

    @pytest.mark.parametrize(("start", "end"), [(0.1, 0.3), (1.234, 1.5), (1.9, None), (0.7, 9.0)])
    def test_part_is_that_of_the_whole(self, tmp_path: Path, start: float, end: float | None):
        sound = (tone(440, 44100, 2.0) * tone(3, 44100, 2.0)).astype(np.float32)
        path = write_video(tmp_path / "clip.mp4", levels(50), sound=sound, sampling_rate=44100)
        wanted = slice(round(start * 16000), None if end is None else round(end * 16000))
        for source in (path, sound_bytes(sound, 44100)):
            np.testing.assert_allclose(read_audio(source, start=start, end=end), read_audio(source)[wanted], atol=1e-5)

    def test_late_sound_stays_in_step(self, tmp_path: Path):
        path = write_video(tmp_path / "late.mkv", levels(50), sound=tone(440, 16000).astype(np.float32),
                           sampling_rate=16000, sound_start=0.8)  # fmt: skip
        waveform = read_audio(path)
        assert len(waveform) == 12800 + 16000
        assert not waveform[:12800].any()
        np.testing.assert_allclose(waveform[12800:], tone(440, 16000), atol=1e-4)
        np.testing.assert_array_equal(read_audio(path, start=0.5, end=1.0), waveform[8000:16000])
        for part in ((None, 0.7), (1.9, None)):
            with pytest.raises(NoSoundError, match=r"late\.mkv: no sound from"):
                read_audio(path, start=part[0], end=part[1])

    def test_no_sound_and_empty_sound(self, tmp_path: Path):
        silent = write_video(tmp_path / "silent.mp4", levels(5))
        with pytest.raises(NoSoundError, match=r"silent\.mp4: it has no sound"):
            read_audio(silent)
        empty = write_video(tmp_path / "empty.mkv", levels(5), sound=np.zeros(0, np.float32))
        with pytest.raises(NoSoundError, match=r"empty\.mkv: its sound is empty"):
            read_audio(empty)
        with pytest.raises(NoSoundError, match="no samples"):
            read_audio(sound_bytes(np.zeros(0)))

    def test_sound_file_that_libsndfile_does_not_know(self, tmp_path: Path):
        path = write_video(tmp_path / "speech.mp4", sound=tone(440, 16000).astype(np.float32), sampling_rate=16000)
        np.testing.assert_allclose(read_audio(path)[2000:14000], tone(440, 16000)[2000:14000], atol=0.03)
        with pytest.raises(NoVideoError, match=r"speech\.mp4: it has no moving picture"):
            next(iter_frames(path))

    def test_without_pyav_the_message_says_so(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        path = write_video(tmp_path / "clip.mp4", levels(5))
        monkeypatch.setitem(sys.modules, "av", None)
        with pytest.raises(MediaError, match=r"clip\.mp4: not a readable sound file .*univa\[media\]"):
            read_audio(path)
        with pytest.raises(ImportError, match=r"univa\[media\]"):
            next(iter_frames(path))


class TestIterFrames:
    @pytest.mark.parametrize("suffix", [*CONTAINERS, ".avi"])
    def test_every_container(self, tmp_path: Path, suffix: str):
        path = write_video(tmp_path / f"clip{suffix}", levels(25), sound=tone(440, 48000).astype(np.float32))
        frames = list(iter_frames(path))
        assert [level_index(frame.image) for frame in frames] == list(range(25))
        assert {(frame.image.shape, frame.image.dtype) for frame in frames} == {((48, 64, 3), np.dtype(np.uint8))}
        # Times of avi hold the decoder's delay.
        tolerance = 0.1 if suffix == ".avi" else 1e-3
        np.testing.assert_allclose([frame.time for frame in frames], np.arange(25) / 25, atol=tolerance)
        assert indices(path.read_bytes()) == list(range(25))

    @pytest.mark.parametrize("suffix", CONTAINERS)
    def test_chosen_rate_and_part(self, tmp_path: Path, suffix: str):
        path = write_video(tmp_path / f"clip{suffix}", levels(50))
        assert indices(path, 5) == list(range(0, 50, 5))
        assert indices(path, None, 1.0, 1.2) == [25, 26, 27, 28, 29]
        assert indices(path, None, 1.01, 1.03) == [25]
        assert indices(path, 12.5, 1.6) == [40, 42, 44, 46, 48]
        assert indices(path, 10, 1.5, 9.0) == [37, 40, 42, 45, 47]
        times = [frame.time for frame in iter_frames(path, 10, 1.5)]
        np.testing.assert_allclose(times, [1.5, 1.6, 1.7, 1.8, 1.9])

    def test_higher_rate_repeats_pictures(self, tmp_path: Path):
        path = write_video(tmp_path / "slow.mp4", levels(3), frame_rate=5)
        assert indices(path, 10) == [0, 0, 1, 1, 2, 2]

    @pytest.mark.parametrize("suffix", CONTAINERS)
    def test_variable_frame_rate(self, tmp_path: Path, suffix: str):
        times = [0.0, 0.04, 0.5, 0.52, 0.54, 1.2, 1.21, 1.9]
        path = write_video(tmp_path / f"vfr{suffix}", levels(8), times=times)
        frames = list(iter_frames(path))
        np.testing.assert_allclose([frame.time for frame in frames], times, atol=2e-3)
        assert indices(path, 5, None, 1.9) == [0, 1, 1, 4, 4, 4, 5, 6, 6, 6]
        assert indices(path, None, 0.6, 1.0) == [4]

    @pytest.mark.parametrize("rotation", [90, 180, -90, 0])
    def test_rotated_video_is_upright(self, tmp_path: Path, rotation: int):
        image = np.zeros((48, 64, 3), np.uint8)
        image[:16, :32] = 240
        path = write_video(tmp_path / "phone.mp4", [image] * 3, rotation=rotation)
        import av

        with av.open(str(path)) as container:
            told = next(container.decode(video=0)).rotation
        assert abs(told) == abs(rotation)
        # FFmpeg states the turn counterclockwise.
        expected = np.rot90(image, told // 90)
        frame = next(iter_frames(path))
        assert frame.image.shape == expected.shape
        assert np.abs(frame.image.astype(int) - expected).mean() < 6

    def test_one_picture(self, tmp_path: Path):
        path = write_video(tmp_path / "one.mp4", levels(1))
        assert indices(path) == indices(path, 5) == [0]
        with pytest.raises(MediaError, match=r"one\.mp4: no picture is shown from 3 s"):
            list(iter_frames(path, 5, 3.0))

    def test_wanted_rate_must_be_positive(self, tmp_path: Path):
        with pytest.raises(ValueError, match="`frame_rate` must be positive, got 0"):
            iter_frames(write_video(tmp_path / "one.mp4", levels(1)), 0)


class TestBrokenVideo:
    @pytest.mark.parametrize("suffix", CONTAINERS)
    def test_cut_off_file_is_refused_where_it_matters(self, tmp_path: Path, suffix: str):
        noise = np.random.default_rng(0)
        images = [noise.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(100)]
        sound = noise.normal(scale=0.1, size=4 * 48000).astype(np.float32)
        faststart = {"movflags": "faststart"} if suffix in (".mp4", ".mov") else {}
        path = write_video(tmp_path / f"cut{suffix}", images, sound=sound, options=faststart)
        whole = list(iter_frames(path, 5, None, 1.0))
        waveform = read_audio(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        for read in (lambda: list(iter_frames(path)), lambda: list(iter_frames(path, 5, 1.0, 3.5)),
                     lambda: read_audio(path), lambda: read_audio(path, start=1.0, end=3.5)):  # fmt: skip
            with pytest.raises(MediaError, match=rf"cut\{suffix}: .*(cut off|damaged)"):
                read()
        for frame, expected in zip(iter_frames(path, 5, None, 1.0), whole, strict=True):
            np.testing.assert_array_equal(frame.image, expected.image)
        np.testing.assert_array_equal(read_audio(path, end=1.0), waveform[:16000])

    def test_file_without_its_index(self, tmp_path: Path):
        path = write_video(tmp_path / "cut.mp4", levels(50))
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(MediaError, match=r"cut\.mp4: not a readable video"):
            next(iter_frames(path))
        with pytest.raises(MediaError, match=r"cut\.mp4: not a readable sound file \(.*\), nor a readable video"):
            read_audio(path)

    @pytest.mark.parametrize("read", [lambda path: next(iter_frames(path)), read_audio, media_duration])
    def test_what_is_no_video_is_refused_by_name(self, tmp_path: Path, read):
        path = tmp_path / "text.mp4"
        playlist = "#EXTM3U\n#EXTINF:1,\n" + str(write_video(tmp_path / "other.mp4", levels(5)))
        for content in ("just a text\n" * 99, playlist, "WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n"):
            path.write_text(content)
            with pytest.raises(MediaError, match=r"text\.mp4: .*not? a readable"):
                read(path)
        path.write_bytes(b"")
        with pytest.raises(MediaError, match=r"text\.mp4: the file is empty"):
            read(path)
        with pytest.raises(MediaError, match=r"nowhere\.mp4: No such file"):
            read(tmp_path / "nowhere.mp4")
        with pytest.raises(MediaError, match="not a file"):
            read(tmp_path)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_unreadable_file(self, tmp_path: Path):
        path = write_video(tmp_path / "secret.mp4", levels(5))
        path.chmod(0)
        for read in (lambda: next(iter_frames(path)), lambda: read_audio(path)):
            with pytest.raises(MediaError, match=r"secret\.mp4: the file may not be read"):
                read()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_process_of_one_thread_decodes_on_it(tmp_path, threads):
    path, before = write_video(tmp_path / "clip.mp4", levels(50)), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with os.scandir("/proc/self/task") as tasks:
            alone = len(list(tasks))
        frames = iter_frames(path, 5)
        found = [next(frames).image]
        with os.scandir("/proc/self/task") as tasks:
            assert (len(list(tasks)) > alone) == (threads > 1)
        found += [frame.image for frame in frames]
    finally:
        torch.set_num_threads(before)
    assert [level_index(image) for image in found] == list(range(0, 50, 5))


def test_duration(tmp_path: Path):
    sound = tone(440, 48000, 1.5).astype(np.float32)
    assert media_duration(write_video(tmp_path / "clip.mkv", levels(25), sound=sound)) == pytest.approx(1.5, abs=0.01)
    assert media_duration(write_video(tmp_path / "clip.mp4", levels(50))) == pytest.approx(2.0)
    assert media_duration(sound_bytes(tone(440, 8000), 8000)) == 1.0


@pytest.mark.parametrize("name", ["face_noface.mov", "short_hamilton_clip.mp4"])
def test_parts_of_real_clips(shared_data: Path, name: str):
    path = shared_data / "clips" / name
    waveform = read_audio(path)
    np.testing.assert_allclose(read_audio(path, start=3.3, end=4.1), waveform[52800:65600], atol=1e-6)
    whole = {frame.time: frame.image for frame in iter_frames(path, None, None, 3.0)}
    part = list(iter_frames(path, None, 2.5, 3.0))
    assert part[0].time <= 2.5 < part[1].time
    for frame in part:
        np.testing.assert_array_equal(frame.image, whole[frame.time])


def test_errors_survive_worker_processes():
    error = pickle.loads(pickle.dumps(MediaError("a.wav", "too loud")))
    assert (str(error), error.source, error.reason) == ("a.wav: too loud", "a.wav", "too loud")
    lost = pickle.loads(pickle.dumps(NoSoundError("a.mp4", "it has no sound")))
    assert (type(lost), str(lost)) == (NoSoundError, "a.mp4: it has no sound")


def encoded_sound(container: str, codec: str, samples: np.ndarray, **options: str) -> bytes:
    """A sound file at 16 kHz as FFmpeg writes it."""
    stream = io.BytesIO()
    with av.open(stream, "w", format=container, options=options) as output:
        sound = output.add_stream(codec, rate=48000 if codec == "libopus" else 16000, layout="mono")
        frame = av.AudioFrame.from_ndarray((samples[None] * 32767).astype(np.int16), format="s16", layout="mono")
        frame.sample_rate = 16000
        resampler = av.AudioResampler(format=sound.format, layout="mono", rate=sound.rate, frame_size=sound.frame_size)
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            for packet in sound.encode(piece):
                output.mux(packet)
    return stream.getvalue()


def three_seconds() -> dict[str, bytes]:
    samples = tone(220, 16000, 3)
    containers = [("WAV", "PCM_16"), ("WAVEX", "PCM_16"), ("RF64", "PCM_16"), ("W64", "PCM_16"), ("AIFF", "PCM_16"),
                  ("AU", "PCM_16"), ("CAF", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"),
                  ("MP3", "MPEG_LAYER_III")]  # fmt: skip
    files = {f"{name} {kind}": sound_bytes(samples, subtype=kind, container=name) for name, kind in containers}
    files |= {f"{name} PCM_16": sound_bytes(samples, container=name) for name in ("NIST", "VOC", "SVX", "AVR", "MAT4")}
    files["mp3 of FFmpeg"] = encoded_sound("mp3", "libmp3lame", samples)
    files["opus of FFmpeg"] = encoded_sound("ogg", "libopus", samples)
    files["avi of FFmpeg"] = encoded_sound("avi", "pcm_s16le", samples)
    return files | {"caf of FFmpeg": encoded_sound("caf", "pcm_s16le", samples)}


class TestCutOffSound:
    @pytest.mark.parametrize("name", three_seconds())
    def test_first_half_of_a_file_is_refused(self, tmp_path: Path, name: str):
        data = three_seconds()[name]
        assert len(read_audio(data)) == pytest.approx(48000, abs=2500)  # MP3 and Opus pad
        path = tmp_path / "half"
        path.write_bytes(data[: len(data) // 2])
        for source in (path, path.read_bytes()):
            with pytest.raises(MediaError, match=r"cut off|not a readable"):
                read_audio(source)

    def test_avi_of_unknown_length_is_read(self):
        data = bytearray(three_seconds()["avi of FFmpeg"])
        data[4:8] = b"\xff" * 4
        assert len(read_audio(bytes(data))) == 48000

    def test_stream_of_unknown_length_is_read(self):
        data = sound_bytes(tone(220, 16000, 3))
        for size in (0xFFFFFFFF, 0x7FFFFFFF, 0):
            piped = bytearray(data)
            piped[4:8] = piped[40:44] = struct.pack("<I", size)
            assert len(read_audio(bytes(piped))) == 48000
            assert len(read_audio(bytes(piped[:40044]))) == 20000
        piped = bytearray(sound_bytes(tone(220, 16000, 3), container="AU"))
        piped[8:12] = b"\xff" * 4
        assert len(read_audio(bytes(piped))) == 48000

    def test_mp3_without_a_length_is_read(self, tmp_path: Path):
        data = encoded_sound("mp3", "libmp3lame", tone(220, 16000, 3), write_xing="0")
        assert len(read_audio(data)) > len(read_audio(data[: len(data) // 2])) > 16000

    def test_mp3_is_the_same_from_a_path_and_from_bytes(self, tmp_path: Path):
        # Silence first: by its bit rate the length of the whole is guessed wrong.
        samples = np.concatenate([np.zeros(16000), np.random.default_rng(0).normal(0, 0.1, 32000)])
        whole = sound_bytes(samples, container="MP3", subtype="MPEG_LAYER_III")
        path = tmp_path / "speech.mp3"
        for data, most in ((whole, 48000), (whole[288:], 50000)):  # the first frame is the header of Xing
            path.write_bytes(data)
            np.testing.assert_array_equal(read_audio(path), read_audio(data))
            assert 48000 <= len(read_audio(path)) <= most

    def test_caf_of_unknown_length_is_read(self):
        data = bytearray(sound_bytes(tone(220, 16000, 3), container="CAF"))
        place = data.index(b"data")
        data[place + 4 : place + 12] = b"\xff" * 8
        assert len(read_audio(bytes(data))) == 48000

    @pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
    def test_recording_of_a_live_ogg_stream_is_read(self, subtype: str):
        data = sound_bytes(np.random.default_rng(0).normal(0, 0.1, 9 * 16000), subtype=subtype, container="OGG")
        pages = [found.start() for found in re.finditer(b"OggS", data)]
        assert len(pages) > 4
        assert 16000 < len(read_audio(data[: pages[-1]])) < 9 * 16000
        with pytest.raises(MediaError, match="cut off: it ends after"):
            read_audio(data[: pages[-1] - 1])

    @pytest.mark.parametrize("name", ["WAV PCM_16", "AIFF PCM_16", "CAF PCM_16", "MP3 MPEG_LAYER_III"])
    def test_part_before_the_missing_end_is_read(self, name: str):
        data = three_seconds()[name]
        half = data[: len(data) // 2]
        np.testing.assert_array_equal(read_audio(half, start=0.25, end=1), read_audio(data, start=0.25, end=1))
        for start, end in ((1, 2), (2, None), (2, 2.5)):
            with pytest.raises(MediaError, match="cut off"):
                read_audio(half, start=start, end=end)

    def test_wrong_size_of_the_file_is_no_missing_sound(self):
        data = bytearray(sound_bytes(tone(220, 16000)))
        data[4:8] = struct.pack("<I", 99_000)
        assert len(read_audio(bytes(data))) == 16000

    def test_streamed_flac_is_read(self):
        data = sound_bytes(tone(220, 16000, 3), container="FLAC")
        np.testing.assert_array_equal(read_audio(forged_flac(data, 0)), read_audio(data))
        part = read_audio(forged_flac(data, 0), start=1, end=2)
        np.testing.assert_array_equal(part, read_audio(data, start=1, end=2))
        assert media_duration(forged_flac(data, 0)) == pytest.approx(3, abs=0.1)


def forged_flac(data: bytes, frames: int) -> bytes:
    """With another number of samples in its header: 36 bits, the first four of them in byte 21."""
    forged = bytearray(data)
    forged[21] = forged[21] & 0xF0 | frames >> 32
    forged[22:26] = struct.pack(">I", frames & 0xFFFFFFFF)
    return bytes(forged)


def forged_rate(rate: int) -> bytes:
    forged = bytearray(sound_bytes(tone(440, 16000)))
    forged[24:28] = struct.pack("<I", rate)
    return bytes(forged)


def forged_bmp(width: int, height: int) -> bytes:
    pixels = cv2.imencode(".bmp", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    return pixels[:18] + struct.pack("<ii", width, height) + pixels[26:]


def forged_png(width: int, height: int) -> bytes:
    data = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    header = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


class TestLimits:
    """A header claims what it likes; none of it is allocated."""

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (forged_rate(1), "sampling rate must lie between 1,000 and 768,000"),
            (forged_rate(2**31), "not a readable sound file"),
            (forged_flac(sound_bytes(tone(440, 16000), container="FLAC"), 2**36 - 1), "its length must lie between"),
            (forged_flac(sound_bytes(tone(440, 16000), container="FLAC"), 2**27), "not a readable sound file|cut off"),
        ],
    )
    def test_forged_sound(self, data: bytes, reason: str):
        assert peak_bytes(lambda: read_audio(data), reason) < 2**26

    def test_rates_whose_ratio_needs_an_endless_filter(self):
        assert len(read_audio(forged_rate(44101))) == pytest.approx(16000 * 16000 / 44101, abs=1)
        for rate in (767_999, 700_001):
            data = forged_rate(rate)
            assert peak_bytes(partial(read_audio, data), "resampling from .* 200,000") < 2**22
        with pytest.raises(ValueError, match="the length of the resampled sound must lie between"):
            resample(np.broadcast_to(np.float32(0), 2**26), 1000, 16000)

    def test_sound_that_decodes_to_more_than_it_may(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        path = write_video(tmp_path / "long.mkv", sound=tone(440, 16000, 2).astype(np.float32), sampling_rate=16000)
        monkeypatch.setitem(LIMITS, "decoded_samples", replace(LIMITS["decoded_samples"], most=4000))
        with pytest.raises(MediaError, match="what its sound decodes to must lie between 0 and 4,000"):
            read_audio(path, start=1.5)

    def test_jpeg_of_endless_scans(self):
        flags = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
        data = cv2.imencode(".jpg", np.zeros((2000, 2000, 3), np.uint8), flags)[1].tobytes()
        assert read_image(data).shape == (2000, 2000, 3)
        scan, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
        with pytest.raises(MediaError, match="what its picture decodes to in 6.. scans must lie between"):
            read_image(data[:scan] + 600 * data[scan:end] + data[end:])

    @pytest.mark.parametrize("data", [forged_png(40000, 100), forged_bmp(100, 40000)])
    def test_long_rows_are_refused(self, data: bytes):
        assert peak_bytes(lambda: read_image(data), r"its picture \(.*\) must lie between 1 and 32,766") < 2**24

    @pytest.mark.parametrize("data", [forged_bmp(60000, 60000), forged_png(60000, 60000), forged_png(9000, 9000)])
    @pytest.mark.filterwarnings("error")
    def test_image_bombs(self, data: bytes):
        assert peak_bytes(lambda: read_image(data), "67,108,864") < 2**24

    def test_sound_packets_far_apart(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        hours = packets_apart(tmp_path / "hours.mkv", 3600)
        assert peak_bytes(lambda: read_audio(hours), "the time stamps of its sound jump to 3600 s") < 2**22
        minutes = packets_apart(tmp_path / "minutes.mkv", 590)
        # What is not asked for is not made.
        assert peak_bytes(lambda: read_audio(minutes, start=589.0, end=590.2)) < 2**23
        monkeypatch.setitem(LIMITS, "samples", replace(LIMITS["samples"], most=2**22))
        assert peak_bytes(lambda: read_audio(minutes), "its length must lie between") < 2**22

    def test_one_wrong_time_stamp_of_a_picture(self, tmp_path: Path):
        for times in ([0, 0.04, 900_000.0], [0, 0.04, 900_000.0, 900_000.04]):
            path = write_video(tmp_path / f"stamp{len(times)}.mkv", levels(len(times)), times=times)
            with pytest.raises(MediaError, match="time stamps of its picture jump"):
                list(iter_frames(path, 5))
            with pytest.raises(MediaError, match="time stamps of its picture jump"):
                FaceReader(detector="haar")(path)
        assert [frame.time for frame in iter_frames(path, 25, 0, 0.08)] == [0, 0.04]

    @pytest.mark.parametrize("options", [None, {"movflags": "frag_keyframe+empty_moov+default_base_moof"}])
    @pytest.mark.parametrize("suffix", [".mp4", ".mov"])
    def test_index_of_more_samples_than_bytes(self, tmp_path: Path, suffix: str, options: dict | None):
        sound = tone(440, 48000).astype(np.float32)
        data = bytearray(
            write_video(tmp_path / f"clip{suffix}", levels(25), sound=sound, options=options).read_bytes()
        )
        assert len(list(iter_frames(bytes(data)))) == 25
        place = data.index(b"trun" if options else b"stsz")
        data[place + 4 : place + 12] = struct.pack(">II", 0, 50_000_000 if options else 1)
        data[place + 12 : place + 16] = struct.pack(">I", 50_000_000)
        for read in (read_audio, media_duration, lambda source: next(iter_frames(source))):
            with pytest.raises(MediaError, match="its index lists 50,000,000 samples in"):
                read(bytes(data))

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
    def test_last_picture_that_lasts_a_day(self, tmp_path: Path, suffix: str):
        path = tmp_path / f"last{suffix}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.time_base = Fraction(1, 1000)
            packets = stream.encode(av.VideoFrame(64, 48, "yuv420p")) + stream.encode(None)
            packets[-1].duration = 86_400_000
            container.mux(packets)
        for rate in (None, 5):
            with pytest.raises(MediaError, match="one is shown for 86400 s from 0 s on"):
                list(iter_frames(path, rate))
        assert len(list(iter_frames(path, 5, 0, 2))) == 10

    def test_picture_that_begins_late_is_soon_found(self, tmp_path: Path):
        path = write_video(tmp_path / "late.mkv", levels(2), times=[500_000, 500_000.04],
                           sound=tone(440, 48000).astype(np.float32))  # fmt: skip
        started = time.process_time()
        assert next(iter_frames(path, 1000)).time == pytest.approx(500_000, abs=0.01)
        assert time.process_time() - started < 1
        with pytest.raises(MediaError, match="lasts longer than 60 s"):
            next(iter_frames(path, max_seconds=60))

    @pytest.mark.slow
    def test_pictures_are_counted_before_they_are_made(self, tmp_path: Path):
        path = write_video(tmp_path / "slow.mkv", levels(3), times=[0, 300, 300.04])
        assert peak_bytes(lambda: next(iter_frames(path, 1000, 0.5)), "the number of its pictures") < 2**24
        with pytest.raises(ValueError, match="`frame_rate` must lie between"):
            iter_frames(path, 1e9)
        assert len(list(iter_frames(path, 1))) == 301

    @pytest.mark.parametrize("longest", [True, 0, -1, "60", float("nan")])
    def test_longest_must_be_a_number(self, longest):
        for read in (read_audio, iter_frames):
            with pytest.raises(ValueError, match="`max_seconds` must be a positive number of seconds"):
                read(b"RIFF", max_seconds=longest)

    def test_pixels_that_are_much_wider_than_high(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        path = tmp_path / "wide.mkv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.sample_aspect_ratio = Fraction(4, 1)
            for packet in [*stream.encode(av.VideoFrame(64, 48, "yuv420p")), *stream.encode(None)]:
                container.mux(packet)
        assert [frame.image.shape for frame in iter_frames(path)] == [(48, 256, 3)]
        monkeypatch.setitem(LIMITS, "pixels", replace(LIMITS["pixels"], most=3 * 64 * 48))
        with pytest.raises(MediaError, match=r"its picture \(256 x 48\) must lie between 1 and 9,216"):
            list(iter_frames(path))

    def test_longer_than_was_allowed(self, tmp_path: Path):
        path = write_video(tmp_path / "clip.mkv", levels(50), 25, sound=tone(440, 48000, 2).astype(np.float32))
        for source in (path, sound_bytes(tone(440, 44100, 2), 44100)):
            assert len(read_audio(source, max_seconds=2.05)) == 32000
            assert len(read_audio(source, end=0.5, max_seconds=0.5)) == 8000
            with pytest.raises(MediaError, match="longer than 1.5 s"):
                read_audio(source, max_seconds=1.5)
        assert len(list(iter_frames(path, max_seconds=2))) == 50
        for read in (iter_frames, FaceReader(detector="haar")):
            with pytest.raises(MediaError, match="longer than 1 s"):
                list(read(path, max_seconds=1))

    @pytest.mark.parametrize(
        ("start", "end"), [("0.5", None), (True, None), (None, "1"), (float("nan"), None), (1e9, None), ([0], None)]
    )
    def test_parts_that_are_not_times(self, start, end):
        with pytest.raises(MediaError, match="start" if end is None else "end"):
            read_audio(sound_bytes(tone(440, 16000)), start=start, end=end)


def packets_apart(path: Path, seconds: int) -> Path:
    """Sound of a hundredth of a second, again and again after some seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48000, layout="mono")
        for number in range(48):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 480), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = 48000, Fraction(1, 48000), number * seconds * 48000
            container.mux(stream.encode(frame))
    return path


def peak_bytes(read, reason: str | None = None) -> int:
    """Memory that reading takes at its most; it fails where there is a `reason`."""
    tracemalloc.start()
    try:
        with pytest.raises(MediaError, match=reason) if reason else contextlib.nullcontext():
            read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_damage_that_hides_the_length():
    data = bytearray(encoded_sound("caf", "pcm_s16le", tone(220, 16000)))
    data[33:37] = b"\xff\xff\xff\x7f"  # bytes of a packet
    with pytest.raises(MediaError, match="is damaged: its length cannot be told"):
        media_duration(bytes(data))


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """Cut off, with bytes turned over, or with a field of the header replaced by an extreme number."""
    changed = bytearray(data)
    kind = random.integers(3)
    if kind == 0:
        return bytes(changed[: random.integers(1, len(changed))])
    if kind == 1:
        for place in random.integers(0, len(changed), random.integers(1, 20)):
            changed[place] ^= 1 << int(random.integers(8))
        return bytes(changed)
    place = int(random.integers(4, min(200, len(changed) - 4)))
    changed[place : place + 4] = random.choice([b"\xff" * 4, b"\x00" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"])
    return bytes(changed)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_read_or_refused(tmp_path: Path, photo: np.ndarray, seed: int):
    """Nothing but a `MediaError` comes out of a damaged file, and soon."""
    random, face_reader = np.random.default_rng(seed), FaceReader(detector="haar")
    sounds = list(three_seconds().values())
    videos = [
        write_video(
            tmp_path / f"clip{suffix}", levels(12), 25, sound=tone(440, 48000, 0.5).astype(np.float32)
        ).read_bytes()
        for suffix in (".mp4", ".mkv", ".avi", ".webm")
    ]
    images = [cv2.imencode(suffix, photo)[1].tobytes() for suffix in (".png", ".jpg", ".webp", ".bmp", ".tiff")]
    for data, read in (
        *((data, read_audio) for data in sounds + videos),
        *((data, lambda source: list(iter_frames(source, 5))) for data in videos),
        *((data, face_reader) for data in videos),
        *((data, media_duration) for data in sounds + videos),
        *((data, read_image) for data in images),
    ):
        for _ in range(2):
            started = time.process_time()
            with contextlib.suppress(MediaError):
                read(damaged(data, random))
            assert time.process_time() - started < 20
