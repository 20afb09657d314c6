# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Contours of the voice: pitch, formants and the strength of harmonics, on the frames of a short-time analysis.

The measures are those of eGeMAPS (Eyben et al., 2016), where they tell emotions apart for speakers not heard before;
numpy is all they need.
"""

import numpy as np
from transformers.audio_utils import window_function


__all__ = ["NUM_VOICE_CONTOURS", "VOICED", "next_power_of_two", "pitch_contours", "voice_contours"]


# Autocorrelation from which an analysis frame counts as voiced.
VOICED = 0.5
# Frequency and bandwidth of three formants, and three ratios of harmonics.
NUM_VOICE_CONTOURS = 9

_MIN_PITCH, _MAX_PITCH = 65.0, 650.0
# Formants are looked for below this, with two poles a kHz; three of an adult's lie there.
_MAX_LPC_FREQUENCY = 5000.0
_PRE_EMPHASIS = 0.97
_MIN_FORMANT, _MAX_FORMANT, _MAX_BANDWIDTH = 90.0, 4500.0, 600.0
# Long enough to keep the harmonics of a low voice apart.
_HARMONICS_SECONDS = 0.064
# Long recordings would need gigabytes at once, and so would a thousand frames of windows that are long.
_FRAMES_AT_ONCE = 1000
_SAMPLES_AT_ONCE = 2**23


def pitch_contours(
    waveform: np.ndarray, num_frames: int, window_length: int, hop_length: int, sampling_rate: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pitch in octaves above 200 Hz and voicing in [0, 1], both (frames,), of windows centred on the analysis frames.

    The autocorrelation of the windowed signal is divided by the window's own, and its best peak taken with a small
    bonus for short lags against octave errors (Boersma, 1993). Pitch means something only where voicing is high.
    """
    length = max(window_length, round(2.6 * sampling_rate / _MIN_PITCH))
    shortest, longest = round(sampling_rate / _MAX_PITCH), round(sampling_rate / _MIN_PITCH)
    lags = np.arange(shortest, longest + 1)
    window = window_function(length, "hann")
    reference = _autocorrelation(window, longest + 2)
    windows = _windows(waveform, num_frames, length, window_length, hop_length)
    pitch, voicing = np.zeros(num_frames), np.zeros(num_frames)
    step = _frames_at_once(length)
    for first in range(0, num_frames, step):
        chunk = windows[first : first + step]
        chunk = (chunk - chunk.mean(axis=1, keepdims=True)) * window
        correlation = _autocorrelation(chunk, longest + 2)
        correlation = correlation / (correlation[:, :1] + 1e-8) / (reference / reference[0])
        before, here, after = (correlation[:, shortest + i : longest + 1 + i] for i in (-1, 0, 1))
        score = np.where((here > before) & (here >= after), here - 0.02 * np.log2(lags / shortest), -1.0)
        best = score.argmax(axis=1)
        rows = np.arange(len(chunk))
        found = score[rows, best] > -1
        pitch[first : first + step] = np.log2(sampling_rate / lags[best] / 200)
        voicing[first : first + step] = np.where(found, here[rows, best], 0.0).clip(0.0, 1.0)
    return pitch, voicing


def voice_contours(
    waveform: np.ndarray,
    pitch: np.ndarray,
    voiced: np.ndarray,
    window_length: int,
    hop_length: int,
    sampling_rate: int,
) -> np.ndarray:
    """Formants and harmonics of the voiced analysis frames, (frames, 9).

    Args:
        waveform: Samples, (samples,).
        pitch: As from `pitch_contours`, (frames,).
        voiced: Which frames are voiced, bool, (frames,); in others there is nothing to measure.
        window_length, hop_length: Of the analysis frames, in samples.
        sampling_rate: In Hz.

    Returns:
        Frequencies of the first three formants in kHz, their bandwidths in kHz, and in dB how much the first harmonic
        is stronger than the second and than the harmonics nearest to the first and third formant (H1-H2, H1-A1,
        H1-A3). NaN in frames that are not voiced, and where there are no three formants.
    """
    length = round(_HARMONICS_SECONDS * sampling_rate)
    short = _windows(waveform, len(pitch), window_length, window_length, hop_length)
    long = _windows(waveform, len(pitch), length, window_length, hop_length)
    contours = np.full((len(pitch), NUM_VOICE_CONTOURS), np.nan)
    frames, step = np.flatnonzero(voiced), _frames_at_once(max(length, window_length))
    for first in range(0, len(frames), step):
        chunk = frames[first : first + step]
        formants = _formants(short[chunk], sampling_rate)
        harmonics = _harmonics(long[chunk], 200 * 2 ** pitch[chunk], formants[:, :3] * 1000, sampling_rate)
        contours[chunk] = np.column_stack([formants, harmonics])
    return contours


def _frames_at_once(length: int) -> int:
    return max(1, min(_FRAMES_AT_ONCE, _SAMPLES_AT_ONCE // length))


def _formants(windows: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Frequencies and bandwidths in kHz of the first three formants, (frames, 6), by linear prediction."""
    fft_length = next_power_of_two(windows.shape[1])
    power = np.abs(np.fft.rfft(windows * window_function(windows.shape[1], "hamming"), fft_length)) ** 2
    # The lowest bins alone are the spectrum of the same sound at a lower sampling rate.
    bins = min(fft_length // 2, round(_MAX_LPC_FREQUENCY * fft_length / sampling_rate))
    rate = 2 * bins * sampling_rate / fft_length
    radians = np.pi * np.arange(bins + 1) / bins
    power = power[:, : bins + 1] * np.abs(1 - _PRE_EMPHASIS * np.exp(-1j * radians)) ** 2
    poles = _poles(np.fft.irfft(power), order=round(rate / 1000))
    frequencies = np.angle(poles) * rate / (2 * np.pi)
    bandwidths = -np.log(np.abs(poles).clip(1e-9)) * rate / np.pi
    is_formant = (frequencies > _MIN_FORMANT) & (frequencies < _MAX_FORMANT) & (bandwidths < _MAX_BANDWIDTH)
    frequencies = np.where(is_formant, frequencies, np.inf)
    lowest = frequencies.argsort(axis=1)[:, :3]
    found = (
        np.concatenate([np.take_along_axis(table, lowest, 1) for table in (frequencies, bandwidths)], axis=1) / 1000
    )
    return np.where(np.isfinite(found).all(axis=1, keepdims=True), found, np.nan)


def _poles(correlation: np.ndarray, order: int) -> np.ndarray:
    """Poles (frames, order) of the all-pole filters whose autocorrelation is given, (frames, lags)."""
    # A little white noise: silence and pure tones have no solution.
    correlation[:, 0] = correlation[:, 0] * 1.0001 + 1e-9
    lags = np.abs(np.arange(order)[:, None] - np.arange(order))
    coefficients = np.linalg.solve(correlation[:, lags], correlation[:, 1 : order + 1, None])[..., 0]
    companion = np.tile(np.eye(order, k=-1), (len(correlation), 1, 1))
    companion[:, 0] = coefficients
    return np.linalg.eigvals(companion)


def _harmonics(windows: np.ndarray, pitch: np.ndarray, formants: np.ndarray, sampling_rate: int) -> np.ndarray:
    """H1-H2, H1-A1 and H1-A3 in dB, (frames, 3); pitch (frames,) and formants (frames, 3) in Hz."""
    fft_length = 2 * next_power_of_two(windows.shape[1])
    spectrum = np.abs(np.fft.rfft(windows * window_function(windows.shape[1], "hann"), fft_length))
    decibels = 20 * np.log10(spectrum + 1e-6)
    rows = np.arange(len(windows))[:, None]

    def strength(frequency: np.ndarray) -> np.ndarray:
        bins = np.round(np.nan_to_num(frequency) * fft_length / sampling_rate).astype(int)
        around = (bins[:, None] + np.arange(-3, 4)).clip(0, fft_length // 2)
        return np.where(np.isfinite(frequency), decibels[rows, around].max(axis=1), np.nan)

    near = [np.round(formants[:, nth] / pitch) * pitch for nth in (0, 2)]
    return np.stack([strength(pitch) - strength(other) for other in (2 * pitch, *near)], axis=1)


def _windows(waveform: np.ndarray, num_frames: int, length: int, window_length: int, hop_length: int) -> np.ndarray:
    """Windows of another length centred on the analysis frames, (frames, length); a view."""
    margin = (length - window_length) // 2
    padded = np.pad(waveform[max(0, -margin) :], (max(0, margin), length))
    return np.lib.stride_tricks.sliding_window_view(padded, length)[: num_frames * hop_length : hop_length]


def _autocorrelation(signal: np.ndarray, num_lags: int) -> np.ndarray:
    fft_length = next_power_of_two(signal.shape[-1] + num_lags)
    return np.fft.irfft(np.abs(np.fft.rfft(signal, fft_length)) ** 2)[..., :num_lags]


def next_power_of_two(length: int) -> int:
    """Length of the transform for a window of `length` samples."""
    return 1 << (length - 1).bit_length()
