# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from modeling_univa.media_univa import MediaError, read_audio, read_image


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

    def test_missing_file(self, tmp_path: Path):
        with pytest.raises(MediaError, match=r"nowhere\.png: No such file"):
            read_image(tmp_path / "nowhere.png")


def test_errors_survive_worker_processes():
    error = pickle.loads(pickle.dumps(MediaError("a.wav", "too loud")))
    assert (str(error), error.source, error.reason) == ("a.wav: too loud", "a.wav", "too loud")
