# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Noise of a stated strength, the same for a clip whenever it is made, and the features of noisy speech."""

import numpy as np
import pytest
from media_corpora import media_rows, write_media

from modeling_univa.features.media import MediaReader, sound_of
from modeling_univa.features.speech_noise import noisy_features, with_white_noise
from modeling_univa.models.light_features_univa import LogMelExtractor


def speech(samples: int = 16000, seed: int = 0) -> np.ndarray:
    """A tone that swells, with pauses."""
    time = np.arange(samples) / 16000
    loud = np.random.default_rng(seed).random(8).repeat(samples // 8) * (np.arange(samples) // 2000 % 3 > 0)
    return (0.4 * loud * np.sin(2 * np.pi * 180 * time)).astype(np.float32)


@pytest.mark.parametrize("decibels", [20, 10, 0, -5.5])
@pytest.mark.parametrize("seed", range(3))
def test_noise_has_the_stated_strength(decibels, seed):
    clip = speech(seed=seed)
    noise = with_white_noise(clip, decibels, f"clip {seed}") - clip
    measured = 20 * np.log10(np.linalg.norm(clip.astype(np.float64)) / np.linalg.norm(noise.astype(np.float64)))
    assert measured == pytest.approx(decibels, abs=0.1)


def test_noise_is_white():
    clip = speech(1 << 16)
    noise = with_white_noise(clip, 10, "clip") - clip
    bands = (np.abs(np.fft.rfft(noise)) ** 2)[1:].reshape(16, -1).mean(axis=1)
    assert bands.max() / bands.min() < 1.2


def test_noise_follows_from_its_name_alone():
    clip = speech()
    first = with_white_noise(clip, 10, "a")
    assert np.array_equal(first, with_white_noise(clip, 10, "a"))
    assert not np.array_equal(first, with_white_noise(clip, 10, "b"))
    # At another ratio it is the same noise, louder.
    louder = with_white_noise(clip, 0, "a")
    assert louder - clip == pytest.approx((first - clip) * 10**0.5, abs=1e-6)


@pytest.mark.parametrize("clip", [np.zeros(100, np.float32), np.zeros(0, np.float32)])
def test_silence_stays_silence(clip):
    assert np.array_equal(with_white_noise(clip, 0, "a"), clip)


def test_features_are_those_of_the_extractor(tmp_path):
    root = write_media(tmp_path)
    rows = media_rows([3, 2])
    reader, extractor = MediaReader(root), LogMelExtractor()
    found = list(noisy_features(rows, reader, extractor, [None, 20, 0]))
    assert [row[0] is None for row in found] == [row["audio"] is None for row in rows] and found[3] == [None] * 3
    for row, (clean, weak, strong) in zip(rows, found, strict=True):
        if row["audio"] is None:
            continue
        (waveform, rate), _ = reader.read(sound_of(row))
        expected = [waveform, *(with_white_noise(waveform, ratio, row["utterance_id"]) for ratio in (20, 0))]
        for frames, clip in zip((clean, weak, strong), expected, strict=True):
            assert np.array_equal(frames, extractor.extract_batch([(clip, rate)])[0].astype(np.float16))
        assert np.abs(clean - weak).mean() < np.abs(clean - strong).mean()


def test_sound_that_cannot_be_read_counts_as_none(tmp_path):
    rows = [{"utterance_id": "u", "audio": "nowhere.wav"}]
    assert list(noisy_features(rows, MediaReader(tmp_path), LogMelExtractor(), [None, 0])) == [[None, None]]
