# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from modeling_univa.models import voice_univa
from modeling_univa.models.voice_univa import pitch_contours, voice_contours


RATE, WINDOW, HOP = 16000, 400, 160


def vowel(pitch: float, formants: tuple[float, ...], bandwidth: float = 80.0, rate: int = RATE) -> np.ndarray:
    """A second of pulses through resonances."""
    signal = np.zeros(rate)
    signal[np.arange(0, rate, rate / pitch).astype(int)] = 1.0
    # Pulses of a throat fall by 12 dB an octave, and what leaves the mouth rises by 6.
    signal = lfilter([1.0], [1.0, -0.97], signal)
    for formant in formants:
        radius = np.exp(-np.pi * bandwidth / rate)
        signal = lfilter([1.0], [1.0, -2 * radius * np.cos(2 * np.pi * formant / rate), radius**2], signal)
    return 0.3 * signal / np.abs(signal).max()


def contours(waveform: np.ndarray, rate: int = RATE) -> tuple[np.ndarray, np.ndarray]:
    """Voice contours of the voiced frames, and their pitch in Hz."""
    window, hop = WINDOW * rate // RATE, HOP * rate // RATE
    num_frames = 1 + (len(waveform) - window) // hop
    pitch, voicing = pitch_contours(waveform, num_frames, window, hop, rate)
    voiced = voicing > voice_univa.VOICED
    found = voice_contours(waveform, pitch, voiced, window, hop, rate)
    assert np.isnan(found[~voiced]).all()
    return found[voiced], 200 * 2 ** pitch[voiced]


@pytest.mark.parametrize("rate", [16000, 11025, 48000])
@pytest.mark.parametrize(
    ("pitch", "formants"),
    [(110.0, (700.0, 1200.0, 2600.0)), (140.0, (300.0, 2250.0, 2950.0)), (100.0, (500.0, 1500.0, 2500.0))],
)
def test_formants_of_vowels(pitch, formants, rate):
    found, pitches = contours(vowel(pitch, (*formants, 3500.0), rate=rate), rate)
    assert len(found) > 80
    np.testing.assert_allclose(np.median(pitches), pitch, rtol=0.02)
    np.testing.assert_allclose(np.nanmedian(found[:, :3], axis=0), np.array(formants) / 1000, rtol=0.08)
    assert (np.nanmedian(found[:, 3:6], axis=0) < 0.3).all()


@pytest.mark.parametrize("decibels", [-12.0, 0.0, 9.0])
def test_first_harmonic_against_the_second(decibels):
    time = np.arange(RATE) / RATE
    second = 0.2 * 10 ** (-decibels / 20)
    waveform = 0.2 * np.sin(2 * np.pi * 200 * time) + second * np.sin(2 * np.pi * 400 * time + 1.0)
    pitch = np.zeros(90)
    found = voice_contours(waveform, pitch, np.ones(len(pitch), bool), WINDOW, HOP, RATE)[5:]
    np.testing.assert_allclose(found[:, 6], decibels, atol=0.5)


def test_first_harmonic_against_those_at_the_formants():
    amplitudes = np.random.default_rng(0).uniform(0.005, 0.05, 20)
    phases = 2 * np.pi * 200 * np.arange(1, 21)[:, None] * np.arange(1024) / RATE
    windows = (amplitudes @ np.sin(phases))[None]
    formants = np.array([[630.0, 1500.0, 2350.0]])
    found = voice_univa._harmonics(windows, np.array([200.0]), formants, RATE)[0]
    # The nearest harmonics are the third and the twelfth.
    np.testing.assert_allclose(found, 20 * np.log10(amplitudes[0] / amplitudes[[1, 2, 11]]), atol=0.3)
    assert np.isnan(voice_univa._harmonics(windows, np.array([200.0]), np.full((1, 3), np.nan), RATE)[0, 1:]).all()


def test_poles_are_those_of_linear_prediction():
    signal = np.random.default_rng(0).normal(size=(4, 300))
    correlation = voice_univa._autocorrelation(signal, 12)
    poles = voice_univa._poles(correlation.copy(), order=10)
    for lags, found in zip(correlation, poles, strict=True):
        lags[0] = lags[0] * 1.0001 + 1e-9
        expected = np.roots(np.concatenate([[1.0], -solve_toeplitz(lags[:10], lags[1:11])]))
        np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(expected), atol=1e-8)


@pytest.mark.parametrize(
    "waveform",
    [
        np.zeros(8000),
        np.full(8000, 0.5),
        np.eye(1, 8000, 3000)[0],
        np.sin(np.arange(8000)),
        np.random.default_rng(0).normal(0, 0.1, 8000),
    ],
    ids=["silence", "constant", "click", "tone", "noise"],
)
def test_what_is_no_voice_is_unknown_or_finite(waveform):
    pitch, _ = pitch_contours(waveform, 48, WINDOW, HOP, RATE)
    found = voice_contours(waveform, pitch, np.ones(len(pitch), bool), WINDOW, HOP, RATE)
    assert found.shape == (48, voice_univa.NUM_VOICE_CONTOURS)
    assert not np.isinf(found).any()
    unknown = np.isnan(found[:, :6])
    assert (unknown.all(axis=1) | ~unknown.any(axis=1)).all()


def test_chunks_have_no_seams(monkeypatch):
    waveform = vowel(120.0, (700.0, 1200.0, 2600.0))
    pitch, voicing = pitch_contours(waveform, 98, WINDOW, HOP, RATE)
    whole = voice_contours(waveform, pitch, np.ones(len(pitch), bool), WINDOW, HOP, RATE)
    monkeypatch.setattr(voice_univa, "_FRAMES_AT_ONCE", 7)
    for one, other in zip((pitch, voicing), pitch_contours(waveform, 98, WINDOW, HOP, RATE), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)
    np.testing.assert_allclose(
        voice_contours(waveform, pitch, np.ones(len(pitch), bool), WINDOW, HOP, RATE), whole, atol=1e-6
    )
