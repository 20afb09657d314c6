# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import json
import tracemalloc
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.fft import dct

from modeling_univa.models import light_features_univa, voice_univa
from modeling_univa.models.extractors_univa import extractor_from_dict
from modeling_univa.models.face_networks_univa import FaceEmbeddingExtractor
from modeling_univa.models.faces_univa import FaceReader
from modeling_univa.models.light_features_univa import HogExtractor, LogMelExtractor, _slope_statistics
from modeling_univa.models.media_univa import read_audio, read_image
from modeling_univa.models.speech_encoder_univa import SpeechEncoderExtractor


pytest.importorskip("cv2")

RATE = 16000
BANDS = LogMelExtractor(num_cepstra=0, pooling="mean", frame_rate=12.5)


def tone(frequency: float, seconds: float = 1.0, amplitude: float = 0.3) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(int(RATE * seconds)) / RATE)).astype(np.float32)


def buzz(pitch: float, seconds: float = 1.0) -> np.ndarray:
    """A voice-like sound: harmonics of `pitch` that fall off, unlike a tone it has a spectrum and a period."""
    return sum(tone(pitch * i, seconds, 0.2 / i) for i in range(1, 12)).astype(np.float32)


def buzz_of(pitch: np.ndarray) -> np.ndarray:
    """As `buzz`, of a pitch in Hz that is given for every sample."""
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    return sum(0.2 / i * np.sin(i * phase) for i in range(1, 12)).astype(np.float32)


def noise(seconds: float = 1.0, amplitude: float = 0.1) -> np.ndarray:
    return np.random.default_rng(0).normal(0, amplitude, int(RATE * seconds)).astype(np.float32)


def naive_log_mel(waveform: np.ndarray, num_bands: int = 40) -> np.ndarray:
    """Log-mel bands from the definitions: a discrete Fourier sum, triangles even on the mel scale from 20 Hz."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    waves = np.exp(-2j * np.pi * np.outer(np.arange(400), np.arange(257)) / 512)
    edges = 700 * (10 ** (np.linspace(np.log10(1 + 20 / 700), np.log10(1 + 8000 / 700), num_bands + 2)) - 1)
    rows = []
    for start in range(0, len(waveform) - 399, 160):
        power = np.abs((waveform[start : start + 400] * window) @ waves) ** 2
        bands = []
        for left, centre, right in zip(edges, edges[1:], edges[2:], strict=False):
            hertz = np.arange(257) * RATE / 512
            triangle = np.minimum((hertz - left) / (centre - left), (right - hertz) / (right - centre)).clip(0)
            bands.append(np.log(max(power @ triangle, 1e-8)))
        rows.append(bands)
    return np.array(rows)


class TestLogMel:
    def test_bands_equal_the_naive_computation(self):
        waveform = buzz(180, 0.4) + noise(0.4, 0.01)
        extractor = LogMelExtractor(num_cepstra=0, pooling="mean", frame_rate=100)
        np.testing.assert_allclose(extractor(waveform, RATE)[:, :40] * 3.5 - 7, naive_log_mel(waveform), atol=1e-3)

    def test_cepstra_equal_scipy(self):
        waveform = buzz(180, 0.4) + noise(0.4, 0.01)
        cepstra = dct(naive_log_mel(waveform), norm="ortho")[:, :13]
        expected = cepstra * np.arange(13) ** 0.6 / (1.42 * 40**0.5)
        expected[:, 0] = cepstra[:, 0] / 40**0.5 / 3.2 + 2.2
        found = LogMelExtractor(pooling="mean", frame_rate=100)(waveform, RATE)[:, :13]
        np.testing.assert_allclose(found, expected, atol=1e-3)

    @pytest.mark.parametrize("frequency", [250, 1000, 3000, 6500])
    def test_a_tone_peaks_in_its_band(self, frequency: float):
        bands = BANDS(tone(frequency), RATE)[:, :40].mean(axis=0)
        edges = np.linspace(2595 * np.log10(1 + 20 / 700), 2595 * np.log10(1 + 8000 / 700), 42)
        expected = np.abs(edges[1:-1] - 2595 * np.log10(1 + frequency / 700)).argmin()
        assert bands.argmax() == expected

    @pytest.mark.parametrize("pitch", [90, 140, 220, 400, 550])
    def test_pitch_and_voicing_of_a_buzz(self, pitch: float):
        octaves, voicing = BANDS(buzz(pitch), RATE)[:, -2:].T
        np.testing.assert_allclose(octaves, np.log2(pitch / 200), atol=0.04)
        assert voicing.min() > 0.9

    def test_noise_and_silence_are_unvoiced(self):
        for waveform in (noise(), np.zeros(RATE, np.float32)):
            octaves, voicing = BANDS(waveform, RATE)[:, -2:].T
            assert voicing.max() < 0.5
            assert not octaves.any()

    @pytest.mark.parametrize("seconds", [0.02, 0.1, 1.0, 1.4, 1.6, 2.73])
    @pytest.mark.parametrize("frame_rate", [1, 4, 12.5, 100])
    def test_number_of_frames(self, seconds: float, frame_rate: float):
        waveform = noise(seconds)
        analysis_frames = max(1, 1 + (len(waveform) - 400) // 160)
        expected = max(1, int(analysis_frames * frame_rate / 100 + 0.5))
        for pooling in ("mean", "statistics"):
            extractor = LogMelExtractor(frame_rate=frame_rate, pooling=pooling)
            frames = extractor(waveform, RATE)
            assert frames.shape == (expected, extractor.feature_size)
            assert frames.dtype == np.float32

    def test_mean_pooling_averages_the_analysis_frames(self):
        waveform = buzz(150, 1.0) + noise(1.0, 0.02)
        fine = LogMelExtractor(pooling="mean", frame_rate=100)(waveform, RATE)
        coarse = LogMelExtractor(pooling="mean", frame_rate=10)(waveform, RATE)
        np.testing.assert_allclose(coarse[0], fine[:10].mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(coarse[-1], fine[90:].mean(axis=0), atol=1e-5)

    def test_statistics_keep_voiced_and_other_parts_apart(self):
        extractor = LogMelExtractor()
        contours, voice, breath = 17, buzz(180, 0.5), noise(0.5, 0.02)
        both = extractor(np.concatenate([voice, breath]), RATE)[0]
        np.testing.assert_allclose(both[:contours], extractor(voice, RATE)[0, :contours], rtol=0.1, atol=0.1)
        means_of_rest = slice(3 * contours, 4 * contours)
        np.testing.assert_allclose(both[means_of_rest], extractor(breath, RATE)[0, means_of_rest], rtol=0.1, atol=0.1)
        assert np.abs(both[:contours] - both[means_of_rest]).max() > 1

    def test_statistics_follow_pitch_range_and_pace(self):
        extractor, rate = LogMelExtractor(), 180 * 2 ** (np.sin(np.arange(RATE) / RATE * 12) / 3)
        lively = sum(0.2 / i * np.sin(2 * np.pi * i * np.cumsum(rate) / RATE) for i in range(1, 12))
        # Five statistics of 17 contours come before the ten of pitch.
        level, spread = extractor(lively.astype(np.float32), RATE)[0, 85:87]
        flat_level, flat_spread = extractor(buzz(180), RATE)[0, 85:87]
        assert spread > flat_spread + 0.4
        assert abs(level - flat_level) < 0.3
        bursts = buzz(180) * (np.arange(RATE) % 4000 < 2000)
        onsets = extractor(bursts.astype(np.float32), RATE)[0, 94] / 1.5 * 2 + 3
        assert onsets == pytest.approx(3, abs=1)

    def test_statistics_follow_the_voice(self):
        extractor = LogMelExtractor()
        rising, octaves = buzz_of(180 * 2 ** (np.arange(RATE) / RATE)), np.arange(100) * 0.05
        slopes = _slope_statistics(np.where(octaves < 4, octaves, octaves - 0.1), octaves > 1)
        # Steps of 0.05 up; the fall of 0.05 at the end, and the mean of ordinary speech where there is no such step.
        np.testing.assert_allclose(slopes, [0.5, -1.7, 0.5, -1.7], atol=1e-6)
        np.testing.assert_allclose(_slope_statistics(octaves, octaves > 1), [0.5, -1.7, 0.0, -1.7], atol=1e-6)
        broken, steady = (
            extractor(sound, RATE)[0, 99:103] for sound in (rising * (np.arange(RATE) % 900 < 450), rising)
        )
        assert broken[0] > steady[0] + 1
        found = extractor(buzz(150), RATE)[0, 103:]
        assert found.any() and np.abs(found).max() < 30
        assert not extractor(noise(), RATE)[0, 103:].any()

    @pytest.mark.parametrize("pooling", ["mean", "statistics"])
    def test_silence_at_the_end_changes_no_earlier_frame(self, pooling: str):
        extractor = LogMelExtractor(pooling=pooling, frame_rate=4)
        waveform = buzz(200, 1.1) + noise(1.1, 0.01)
        frames = extractor(waveform, RATE)
        longer = extractor(np.concatenate([waveform, np.zeros(RATE, np.float32)]), RATE)
        assert len(longer) > len(frames)
        np.testing.assert_array_equal(longer[: len(frames) - 1], frames[:-1])

    def test_level_is_kept_unless_normalised(self):
        waveform = buzz(180) + noise(1.0, 0.01)
        louder = LogMelExtractor()(2 * waveform, RATE) - LogMelExtractor()(waveform, RATE)
        assert louder[0, 0] == pytest.approx(1.5 * np.log(4) / 3.2, abs=1e-3)
        normalized = LogMelExtractor(normalization="utterance")
        np.testing.assert_allclose(normalized(2 * waveform, RATE), normalized(waveform, RATE), atol=2e-3)

    @pytest.mark.parametrize(
        "waveform",
        [
            np.zeros(1, np.float32),
            np.zeros(RATE, np.float32),
            np.ones(RATE, np.float32),
            np.full(3 * RATE, 1e-6),
            np.sign(tone(200)),
            noise(0.03),
            np.concatenate([np.zeros(RATE - 1), [1.0]]),
            np.random.default_rng(1).choice([-1.0, 1.0], 2 * RATE),
        ],
    )
    @pytest.mark.parametrize("extractor", [LogMelExtractor(), BANDS, LogMelExtractor(normalization="utterance")])
    def test_always_finite_and_safe_in_float16(self, extractor: LogMelExtractor, waveform: np.ndarray):
        frames = extractor(waveform, RATE)
        assert np.isfinite(frames).all()
        # Half precision is how features are stored; its largest number is 65504.
        assert np.abs(frames).max() < 1000
        np.testing.assert_array_equal(frames, extractor(waveform, RATE))

    def test_long_recordings_are_cut_into_chunks_without_seams(self):
        piece = buzz(170, 1.0)
        extractor = LogMelExtractor(pooling="mean", frame_rate=100)
        long = extractor(np.tile(piece, 12), RATE)
        np.testing.assert_allclose(long[1000:1098], long[100:198], atol=1e-3)

    @pytest.mark.parametrize(
        ("waveform", "rate", "message"),
        [
            (tone(200), 8000, "expected speech at 16000 Hz, got 8000 Hz"),
            (np.zeros(0, np.float32), RATE, "empty"),
            (np.array([0.1, np.nan]), RATE, "NaN"),
            (np.array([0.1, np.inf]), RATE, "NaN or infinite"),
            (np.zeros((2, 100), np.float32), RATE, r"float32 \(2, 100\)"),
            (np.zeros(100, np.int16), RATE, r"int16 \(100,\)"),
            ([0.1, 0.2], RATE, "got list"),
            (1e4 * tone(200), RATE, "peak of 3000"),
        ],
    )
    def test_wrong_input_is_refused(self, waveform: np.ndarray, rate: int, message: str):
        with pytest.raises(ValueError, match=message):
            LogMelExtractor()(waveform, rate)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"frame_rate": 30}, "`frame_rate` must divide the 100 analysis frames"),
            ({"frame_rate": 0}, "got 0"),
            ({"frame_rate": 200}, "got 200"),
            ({"frame_rate": "fast"}, "got 'fast'"),
            ({"num_mel_bins": 4}, "`num_mel_bins` must be a whole number of at least 20, got 4"),
            ({"num_cepstra": 41}, "`num_cepstra` must be at most num_mel_bins 40"),
            ({"hop_length": 0}, "`hop_length`"),
            ({"window_length": 400.0}, "`window_length`"),
            ({"sampling_rate": 4000}, "`sampling_rate`"),
            ({"pooling": "max"}, "`pooling` must be one of statistics, mean, got 'max'"),
            ({"normalization": "speaker"}, "`normalization` must be one of none, utterance"),
        ],
    )
    def test_wrong_settings_are_refused(self, settings: dict, message: str):
        with pytest.raises(ValueError, match=message):
            LogMelExtractor(**settings)

    @pytest.mark.parametrize("rate", [8000, 22050, 44100])
    def test_other_sampling_rates(self, rate: int):
        extractor = LogMelExtractor(
            sampling_rate=rate, hop_length=rate // 50, frame_rate=rate / (rate // 50), pooling="mean"
        )
        waveform = np.sum([np.sin(2 * np.pi * 150 * i * np.arange(rate) / rate) / i for i in range(1, 9)], axis=0) / 4
        frames = extractor(waveform, rate)
        assert np.isfinite(frames).all()
        np.testing.assert_allclose(frames[:40, -2], np.log2(150 / 200), atol=0.05)


class TestHog:
    def edge(self, degrees: float, size: int = 96) -> np.ndarray:
        """A soft edge through the middle whose brightness grows along `degrees` (0 is to the right)."""
        y, x = np.mgrid[:size, :size] - size / 2
        distance = x * np.cos(np.radians(degrees)) + y * np.sin(np.radians(degrees))
        return (255 / (1 + np.exp(-distance / 4))).astype(np.uint8)

    @pytest.mark.parametrize("degrees", [10, 50, 90, 130, 170])
    def test_an_edge_peaks_in_its_orientation(self, degrees: float):
        frames = HogExtractor()([self.edge(degrees)])
        assert frames.reshape(-1, 9).sum(axis=0).argmax() == int(degrees // 20)

    def test_opencv_without_it_is_named(self, monkeypatch):
        """As OpenCV 5 is."""
        monkeypatch.setattr(light_features_univa, "_import_cv2", SimpleNamespace)
        with pytest.raises(ImportError, match='HOG features need OpenCV 4: pip install "opencv-python-headless<5"'):
            HogExtractor()([self.edge(10)])

    def test_one_cell_equals_the_naive_histogram(self):
        ramp = np.add.outer(4 * np.arange(12), 7 * np.arange(12)) + np.random.default_rng(1).integers(60, 90, (12, 12))
        image = np.pad(ramp, 2, constant_values=90).astype(np.uint8)  # no gradient at the border
        found = HogExtractor(image_size=16, cell_size=16, block_size=1)([image])[0]
        bright = image.astype(float)
        dy, dx = np.zeros((16, 16)), np.zeros((16, 16))
        dx[:, 1:-1], dy[1:-1] = bright[:, 2:] - bright[:, :-2], bright[2:] - bright[:-2]
        y, x = np.mgrid[:16, :16] - 8
        # A Gaussian about the middle of the block, and linear fading between cells.
        fading = (1 - np.abs(x + 0.5) / 16) * (1 - np.abs(y + 0.5) / 16)
        weight = np.hypot(dx, dy) * np.exp(-(x**2 + y**2) / (2 * 4.0**2)) * fading
        position = np.degrees(np.arctan2(dy, dx)) % 180 / 20 - 0.5
        lower = np.floor(position).astype(int)
        histogram = np.zeros(9)
        np.add.at(histogram, lower % 9, weight * (1 - (position - lower)))
        np.add.at(histogram, (lower + 1) % 9, weight * (position - lower))
        clipped = np.minimum(histogram / np.linalg.norm(histogram), 0.2)  # L2-Hys
        np.testing.assert_allclose(found, clipped / np.linalg.norm(clipped) * 3, atol=0.01)
        assert found.max() - found.min() > 0.3

    @pytest.mark.parametrize(
        ("settings", "size"),
        [
            ({}, 900),
            ({"image_size": 64, "cell_size": 8}, 1764),
            ({"image_size": 64, "cell_size": 16, "num_bins": 6}, 216),
            ({"image_size": 64, "cell_size": 16, "block_size": 3}, 324),
        ],
    )
    def test_size_and_scale(self, settings: dict, size: int):
        extractor = HogExtractor(**settings)
        images = list(np.random.default_rng(0).integers(0, 256, (3, 120, 100)).astype(np.uint8))
        frames = extractor(images)
        assert frames.shape == (3, size)
        assert extractor.feature_size == size
        assert frames.dtype == np.float32
        np.testing.assert_allclose(np.sqrt((frames**2).mean(axis=1)), 1, atol=0.05)
        assert np.abs(frames).max() < 65504

    def test_colour_grey_and_views_agree(self):
        grey = self.edge(30)
        extractor = HogExtractor()
        np.testing.assert_array_equal(extractor([np.repeat(grey[..., None], 3, axis=2)]), extractor([grey]))
        np.testing.assert_array_equal(extractor([grey[:, ::-1]]), extractor([grey[:, ::-1].copy()]))

    def test_mirrored_edges_mirror_the_orientations(self):
        sums = [HogExtractor()([self.edge(angle)]).reshape(-1, 9).sum(axis=0) for angle in (30, 150)]
        np.testing.assert_allclose(sums[0], sums[1][::-1], rtol=0.1, atol=1.0)

    def test_constant_and_tiny_images_are_finite(self):
        images = [np.zeros((160, 160), np.uint8), np.full((5, 7, 3), 255, np.uint8), np.array([[3]], np.uint8)]
        for extractor in (HogExtractor(), HogExtractor(equalize=True)):
            frames = extractor(images)
            assert np.isfinite(frames).all()
            assert not frames[0].any()

    def test_equalising_takes_the_contrast_away(self):
        image = np.random.default_rng(0).permutation(96 * 96).reshape(96, 96) // 72
        image, curved = image.astype(np.uint8), (image**2 // 80).astype(np.uint8)
        equalised = HogExtractor(equalize=True)
        plain = np.abs(HogExtractor()([image]) - HogExtractor()([curved])).mean()
        assert np.abs(equalised([image]) - equalised([curved])).mean() < plain / 2

    @pytest.mark.parametrize(
        ("images", "message"),
        [
            ([], "at least one face image"),
            ([np.zeros((8, 8), np.float32)], r"face image 0: .*float32 \(8, 8\)"),
            ([np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8)], r"face image 1: .*uint8 \(8, 8, 4\)"),
            ([np.zeros((0, 8), np.uint8)], r"\(0, 8\)"),
            (["face.jpg"], "got str"),
        ],
    )
    def test_wrong_input_is_refused(self, images: list, message: str):
        with pytest.raises(ValueError, match=message):
            HogExtractor()(images)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"cell_size": 10}, "`cell_size` must divide `image_size` 96, got 10"),
            ({"block_size": 7}, "`block_size` must be at most the 6 cells"),
            ({"block_size": 1, "num_bins": 3}, "`num_bins` must be at least 4 for blocks of one cell, got 3"),
            ({"num_bins": 0}, "`num_bins`"),
            ({"image_size": 96.0}, "`image_size`"),
        ],
    )
    def test_wrong_settings_are_refused(self, settings: dict, message: str):
        with pytest.raises(ValueError, match=message):
            HogExtractor(**settings)


class TestDictionary:
    @pytest.mark.parametrize(
        "extractor",
        [LogMelExtractor(), BANDS, LogMelExtractor(normalization="utterance"), HogExtractor(), HogExtractor(64, 8)],
    )
    def test_round_trip_through_json(self, extractor: LogMelExtractor | HogExtractor):
        config = json.loads(json.dumps(extractor.to_dict()))
        assert set(config) == {field.name for field in fields(extractor)} | {"extractor_type", "feature_size"}
        assert extractor_from_dict(config) == extractor

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            (
                {"extractor_type": "precomputed"},
                r"unknown .* 'precomputed'; known are face-embedding, face-expression, hog, ",
            ),
            ({}, "unknown `extractor_type` None"),
            ({"extractor_type": "hog", "cells": 3}, "the hog extractor has no setting cells; it has image_size, cell"),
            ({"extractor_type": "hog", "feature_size": 512}, "size 900, but its configuration says 512"),
        ],
    )
    def test_wrong_configurations_are_refused(self, config: dict, message: str):
        with pytest.raises(ValueError, match=message):
            extractor_from_dict(config)


def test_real_media_are_of_the_size_that_the_model_wants(shared_data: Path):
    corpus = shared_data / "emotion_mosaic"
    speech = np.concatenate([LogMelExtractor()(read_audio(p), RATE) for p in sorted(corpus.glob("speech/*"))[:200:20]])
    faces = HogExtractor()([read_image(path) for path in sorted(corpus.glob("faces/*"))[:200:20]])
    for frames in (speech, faces):
        assert abs(frames.mean()) < 1
        assert 0.5 < np.sqrt((frames**2).mean()) < 2


def test_long_sound_is_analysed_piece_by_piece(monkeypatch: pytest.MonkeyPatch):
    waveform = np.random.default_rng(0).normal(0, 0.1, 16000 * 3 + 77)
    extractor = LogMelExtractor(frame_rate=2)
    whole = extractor(waveform, 16000)
    monkeypatch.setattr(light_features_univa, "_BINS_AT_ONCE", 512 * 7)
    monkeypatch.setattr(voice_univa, "_SAMPLES_AT_ONCE", 1024 * 7)
    np.testing.assert_allclose(extractor(waveform, 16000), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_long_windows_take_little_memory():
    waveform = np.random.default_rng(0).normal(0, 0.1, 16000 * 10)
    extractor = LogMelExtractor(window_length=2**14, pooling="mean")
    tracemalloc.start()
    try:
        extractor(waveform, 16000)
        assert tracemalloc.get_traced_memory()[1] < 2**29
    finally:
        tracemalloc.stop()


class TestLimits:
    """Settings come with models and corpora of strangers; what they would allocate is bounded."""

    @pytest.mark.parametrize(
        ("make", "settings"),
        [
            (LogMelExtractor, {"num_mel_bins": 10**8}),
            (LogMelExtractor, {"sampling_rate": 2**31}),
            (LogMelExtractor, {"window_length": 10**9}),
            (LogMelExtractor, {"hop_length": 1}),
            (HogExtractor, {"image_size": 10**6, "cell_size": 10**5}),
            (HogExtractor, {"num_bins": 10**9}),
            (FaceReader, {"detector": "haar", "size": 10**6}),
            (FaceReader, {"detector": "haar", "max_faces": 10**9}),
            (FaceReader, {"detector": "haar", "size": 4096, "max_faces": 128}),
            (FaceReader, {"detector": "haar", "frame_rate": float("nan")}),
            (FaceReader, {"detector": "haar", "frame_rate": True}),
            (FaceReader, {"detector": "haar", "margin": "0.2"}),
            (FaceReader, {"detector": "haar", "min_confidence": float("nan")}),
            (FaceReader, {"detector": "haar", "min_track_length": [3]}),
            (LogMelExtractor, {"hop_length": True}),
            (LogMelExtractor, {"frame_rate": float("inf")}),
            (LogMelExtractor, {"num_cepstra": "13"}),
            (SpeechEncoderExtractor, {"model": "a/b", "window_seconds": float("inf")}),
            (SpeechEncoderExtractor, {"model": "a/b", "batch_seconds": float("nan")}),
            (SpeechEncoderExtractor, {"model": "a/b", "pooling_frames": 10**9}),
            (SpeechEncoderExtractor, {"model": "a/b", "window_seconds": "60"}),
            (FaceEmbeddingExtractor, {"model": "a/b", "batch_images": 10**9}),
        ],
    )
    def test_absurd_settings_are_refused_by_name(self, make, settings: dict):
        name = list(settings)[-1] if make is not HogExtractor else "image_size|feature_size"
        with pytest.raises(ValueError, match=name):
            make(**settings)
