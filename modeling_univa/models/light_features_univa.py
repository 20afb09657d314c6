# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Light features of speech and faces that need no pretrained weights, so that raw media work offline.

An extractor is a frozen dataclass: its fields are all that decides the features, `to_dict` writes them beside the
model and `extractor_from_dict` rebuilds it. Pretrained encoders, of the same interface, are in files of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from transformers.audio_utils import hertz_to_mel, mel_filter_bank, mel_to_hertz, spectrogram, window_function

from .extractor_base_univa import (
    check_at_least,
    check_choice,
    check_image,
    check_limits,
    check_waveform,
    extractor_to_dict,
)
from .limits_univa import check_limit
from .voice_univa import NUM_VOICE_CONTOURS, VOICED, next_power_of_two, pitch_contours, voice_contours


__all__ = ["HogExtractor", "LogMelExtractor"]


# Power of a mel band below which nothing is told apart (a hann window of 400 samples, full scale at 1e4).
_MEL_FLOOR = 1e-8
_MIN_MEL_FREQUENCY = 20.0
# Of the spectra that are in memory at a time; ten minutes of sound with windows of 25 ms.
_BINS_AT_ONCE = 2**25
_FLUX_STATISTICS, _PITCH_STATISTICS, _SLOPE_STATISTICS = 4, 10, 4
# Centre and spread in ordinary speech of the means and the standard deviations of the voice contours.
_VOICE_CENTRES = np.array(
    [0.6, 1.7, 2.9, 0.18, 0.23, 0.28, 1.7, -2.2, 21.0, 0.25, 0.46, 0.53, 0.115, 0.13, 0.13, 9.7, 9.1, 12.2]
)
_VOICE_SPREADS = np.array(
    [0.17, 0.28, 0.39, 0.055, 0.057, 0.059, 5.3, 5.3, 8.6, 0.115, 0.12, 0.14, 0.026, 0.024, 0.021, 4.4, 3.3, 3.6]
)
# In octaves over one analysis step of 10 ms; larger steps of pitch are octave errors.
_OCTAVE_ERROR = 0.3


@dataclass(frozen=True)
class LogMelExtractor:
    """Log-mel cepstra, spectral balance, pitch and voicing of a waveform, pooled into output frames.

    Every hop the analysis gives a set of contours: the cepstra (or log-mel bands), four measures of spectral balance
    as in eGeMAPS (alpha ratio, Hammarberg index, slopes below 500 Hz and from 500 to 1500 Hz), spectral flux, pitch
    and voicing by autocorrelation (Boersma, 1993), formants and the strength of harmonics (`voice_univa`). They are
    shifted and scaled by constants to about zero mean and unit variance for ordinary speech, because nothing between
    here and the model's attention does it. The level of the recording is kept: it tells arousal.

    Args:
        sampling_rate: Rate of the waveforms, in Hz; at least 8000.
        num_mel_bins: Number of mel bands; at least 20.
        num_cepstra: Number of cepstra kept of each log-mel spectrum; 0 keeps the log-mel bands themselves.
        window_length: Analysis window, in samples.
        hop_length: Step between analysis windows, in samples.
        frame_rate: Output frames a second. What is left over at the end of a clip is a frame of its own if it fills
            half of one, and else belongs to the last.
        pooling: "statistics" describes an output frame by mean, standard deviation and change of the contours over its
            voiced part, mean and standard deviation over the rest, and a summary of pitch, flux and voice (made for
            a frame of a second or more); "mean" averages spectrum, pitch and voicing (made for ten frames a second or
            more).
        normalization: "none", or "utterance", which takes the clip's mean off every spectral contour, for recordings
            of unknown level and microphone.
    """

    extractor_type: ClassVar[str] = "log-mel"
    modality: ClassVar[str] = "audio"
    # Every process may have one.
    small: ClassVar[bool] = True

    sampling_rate: int = 16000
    num_mel_bins: int = 40
    num_cepstra: int = 13
    window_length: int = 400
    hop_length: int = 160
    frame_rate: float = 0.5
    pooling: str = "statistics"
    normalization: str = "none"

    def __post_init__(self):
        check_at_least(self, sampling_rate=8000, num_mel_bins=20, num_cepstra=0, window_length=64, hop_length=1)
        check_limits(self, sampling_rate="sampling_rate", num_mel_bins="mel_bins", window_length="window_length")
        check_limit("analysis_rate", self.sampling_rate / self.hop_length, "`sampling_rate` / `hop_length`")
        check_choice(self, pooling=("statistics", "mean"), normalization=("none", "utterance"))
        if self.num_cepstra > self.num_mel_bins:
            raise ValueError(f"`num_cepstra` must be at most num_mel_bins {self.num_mel_bins}, got {self.num_cepstra}")
        rate, analysis_rate = self.frame_rate, self.sampling_rate / self.hop_length
        is_number = isinstance(rate, (int, float)) and 0 < rate <= analysis_rate
        if not is_number or not (analysis_rate / rate).is_integer():
            raise ValueError(
                f"`frame_rate` must divide the {analysis_rate:g} analysis frames a second "
                f"(sampling_rate / hop_length) without remainder, got {rate!r}"
            )

    @property
    def feature_size(self) -> int:
        """Numbers in one frame."""
        contours = (self.num_cepstra or self.num_mel_bins) + 4
        if self.pooling == "mean":
            return contours + 2
        return 5 * contours + _FLUX_STATISTICS + _PITCH_STATISTICS + _SLOPE_STATISTICS + 2 * NUM_VOICE_CONTOURS

    def to_dict(self) -> dict[str, Any]:
        """All fields, with the kind and the size of the features; `extractor_from_dict` reads it back."""
        return extractor_to_dict(self)

    def __call__(self, waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
        """Compute the frames of one clip.

        Args:
            waveform: Floating-point mono samples in [-1, 1], shape (samples,). Less than one analysis window is
                padded with silence.
            sampling_rate: Rate of `waveform` in Hz, which must be the extractor's.

        Returns:
            float32, shape (frames, feature_size), always finite, at least one frame.

        Raises:
            ValueError: Another sampling rate; a waveform that is empty, not one-dimensional, not floating point, not
                finite or far outside [-1, 1].
        """
        check_waveform(waveform, sampling_rate, self.sampling_rate)
        waveform = np.pad(waveform, (0, max(0, self.window_length - len(waveform)))).astype(np.float64)
        log_mel = self._log_mel(waveform)
        spectral = self._spectral_contours(log_mel)
        analysis = self.window_length, self.hop_length, sampling_rate
        pitch, voicing = pitch_contours(waveform, len(log_mel), *analysis)
        rate = sampling_rate / self.hop_length
        borders = _frame_borders(len(log_mel), round(rate / self.frame_rate))
        if self.pooling == "mean":
            contours = np.column_stack([spectral, np.where(voicing > VOICED, pitch, 0.0), voicing])
            frames = [contours[first:last].mean(axis=0) for first, last in borders]
        else:
            flux, voice = _spectral_flux(log_mel), voice_contours(waveform, pitch, voicing > VOICED, *analysis)
            frames = [
                _statistics(spectral[i:j], flux[i:j], pitch[i:j], voicing[i:j], voice[i:j], rate) for i, j in borders
            ]
        return np.array(frames, dtype=np.float32)

    def extract_batch(self, items: Sequence[tuple[np.ndarray, int]]) -> list[np.ndarray]:
        """Frames of several clips, each given as `(waveform, sampling_rate)`; see `__call__`."""
        return [self(waveform, sampling_rate) for waveform, sampling_rate in items]

    def _filters(self) -> tuple[np.ndarray, np.ndarray]:
        return _mel_filters(self.sampling_rate, self.num_mel_bins, next_power_of_two(self.window_length))

    def _log_mel(self, waveform: np.ndarray) -> np.ndarray:
        """Log-mel bands, shape (analysis frames, bands)."""
        # The spectra of an hour of sound take gigabytes, its bands do not.
        step = max(1, _BINS_AT_ONCE // next_power_of_two(self.window_length))
        count = 1 + (len(waveform) - self.window_length) // self.hop_length
        starts = [first * self.hop_length for first in range(0, count, step)]
        reach = (step - 1) * self.hop_length + self.window_length
        return np.concatenate([self._log_mel_at_once(waveform[start : start + reach]) for start in starts])

    def _log_mel_at_once(self, waveform: np.ndarray) -> np.ndarray:
        return spectrogram(
            waveform,
            window_function(self.window_length, "hann"),
            frame_length=self.window_length,
            hop_length=self.hop_length,
            fft_length=next_power_of_two(self.window_length),
            power=2.0,
            center=False,
            mel_filters=self._filters()[0],
            mel_floor=_MEL_FLOOR,
            log_mel="log",
            dtype=np.float64,
        ).T

    def _spectral_contours(self, log_mel: np.ndarray) -> np.ndarray:
        """Cepstra (or log-mel bands) and spectral balance, scaled, shape (analysis frames, contours)."""
        spectrum = _cepstra(log_mel)[:, : self.num_cepstra] if self.num_cepstra else (log_mel + 7.0) / 3.5
        contours = np.column_stack([spectrum, _spectral_balance(log_mel, self._filters()[1])])
        return contours - contours.mean(axis=0) if self.normalization == "utterance" else contours


@dataclass(frozen=True)
class HogExtractor:
    """Histograms of oriented gradients (Dalal and Triggs, 2005) of face images, one frame an image.

    Each block is scaled to a root mean square of 1 rather than to unit length, the order of size that the model's
    input projection wants.

    Args:
        image_size: Side in pixels to which the grey image is resized.
        cell_size: Side of a cell in pixels; must divide `image_size`.
        block_size: Side of a block in cells; blocks step by one cell and are normalised each by itself.
        num_bins: Orientations of the histogram, over half a turn.
        equalize: Whether the histogram of the grey image is equalised first.
    """

    extractor_type: ClassVar[str] = "hog"
    modality: ClassVar[str] = "vision"
    # Every process may have one.
    small: ClassVar[bool] = True

    image_size: int = 96
    cell_size: int = 16
    block_size: int = 2
    num_bins: int = 9
    equalize: bool = False

    def __post_init__(self):
        check_at_least(self, image_size=1, cell_size=1, block_size=1, num_bins=1)
        check_limits(self, image_size="image_side")
        if self.image_size % self.cell_size:
            raise ValueError(f"`cell_size` must divide `image_size` {self.image_size}, got {self.cell_size}")
        if self.block_size > self.image_size // self.cell_size:
            raise ValueError(
                f"`block_size` must be at most the {self.image_size // self.cell_size} cells of an image side, "
                f"got {self.block_size}"
            )
        # OpenCV normalises four numbers at a time, and writes beyond the end of fewer.
        if self.block_size**2 * self.num_bins < 4:
            raise ValueError(f"`num_bins` must be at least 4 for blocks of one cell, got {self.num_bins}")
        check_limit("width", self.feature_size, "`feature_size`")

    @property
    def feature_size(self) -> int:
        """Numbers of one image."""
        blocks = self.image_size // self.cell_size - self.block_size + 1
        return blocks**2 * self.block_size**2 * self.num_bins

    def to_dict(self) -> dict[str, Any]:
        """All fields, with the kind and the size of the features; `extractor_from_dict` reads it back."""
        return extractor_to_dict(self)

    def __call__(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Compute the frames of one face sequence.

        Args:
            images: At least one uint8 image, (height, width, 3) RGB or (height, width) grey.

        Returns:
            float32, shape (images, feature_size), always finite.

        Raises:
            ValueError: No image, or one of another type or shape.
            ImportError: OpenCV is not installed.
        """
        if not len(images):
            raise ValueError("expected at least one face image, got none")
        descriptor = self._descriptor()
        frames = np.stack([descriptor.compute(self._prepare(image, i)) for i, image in enumerate(images)])
        return frames * np.float32(self.block_size * self.num_bins**0.5)

    def extract_batch(self, items: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
        """Frames of several face sequences; see `__call__`."""
        return [self(images) for images in items]

    def _descriptor(self):
        side, cell = (self.image_size, self.image_size), (self.cell_size, self.cell_size)
        block = (self.block_size * self.cell_size,) * 2
        cv2 = _import_cv2()
        if not hasattr(cv2, "HOGDescriptor"):
            raise ImportError('HOG features need OpenCV 4: pip install "opencv-python-headless<5"')
        return cv2.HOGDescriptor(side, block, cell, cell, self.num_bins)

    def _prepare(self, image: np.ndarray, index: int) -> np.ndarray:
        cv2 = _import_cv2()
        check_image(image, index)
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        # Averaging over the area is the one that does not alias when an image shrinks.
        shrinks = min(image.shape[:2]) > self.image_size
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        grey = cv2.resize(grey, (self.image_size, self.image_size), interpolation=method)
        return cv2.equalizeHist(grey) if self.equalize else grey


def _import_cv2():
    try:
        import cv2
    except ImportError as error:
        raise ImportError('HOG features need OpenCV: pip install "univa[media]"') from error
    return cv2


@lru_cache(maxsize=8)
def _mel_filters(sampling_rate: int, num_mel_bins: int, fft_length: int) -> tuple[np.ndarray, np.ndarray]:
    """Triangular filters (fft_length // 2 + 1, bands) and the centre of each band in Hz."""
    highest = sampling_rate / 2
    filters = mel_filter_bank(
        fft_length // 2 + 1, num_mel_bins, _MIN_MEL_FREQUENCY, highest, sampling_rate, norm=None, mel_scale="htk"
    )
    edges = np.linspace(hertz_to_mel(_MIN_MEL_FREQUENCY), hertz_to_mel(highest), num_mel_bins + 2)
    return filters, mel_to_hertz(edges[1:-1])


@lru_cache(maxsize=8)
def _cosines(size: int) -> np.ndarray:
    """Orthonormal DCT-II as a matrix (bands, cepstra); numpy has no DCT and scipy may be missing at inference."""
    cosines = np.cos(np.pi / size * (np.arange(size)[:, None] + 0.5) * np.arange(size)) * (2 / size) ** 0.5
    cosines[:, 0] /= 2**0.5
    return cosines


def _cepstra(log_mel: np.ndarray) -> np.ndarray:
    """Cepstra with exponential liftering: the spread of cepstrum i in speech falls about as i ** -0.6."""
    size = log_mel.shape[1]
    cepstra = log_mel @ _cosines(size)
    # The zeroth cepstrum is the mean log band times sqrt(size).
    cepstra[:, 0] = cepstra[:, 0] / size**0.5 / 3.2 + 2.2
    cepstra[:, 1:] *= np.arange(1, size) ** 0.6 / (1.42 * size**0.5)
    return cepstra


def _spectral_balance(log_mel: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Alpha ratio, Hammarberg index, slopes below 500 Hz and from 500 to 1500 Hz, scaled, shape (frames, 4)."""
    low, high = centres < 2000, (centres >= 2000) & (centres < 5000)
    alpha = _log_power(log_mel[:, centres < 1000]) - _log_power(log_mel[:, (centres >= 1000) & (centres < 5000)])
    hammarberg = log_mel[:, low].max(axis=1) - log_mel[:, high].max(axis=1)
    slope_low = _slope(log_mel, centres, 0, 500)
    slope_high = _slope(log_mel, centres, 500, 1500)
    return np.column_stack([alpha / 2.5 - 0.8, hammarberg / 3 - 1.3, slope_low / 12 - 0.6, slope_high / 3 + 0.9])


def _log_power(log_mel: np.ndarray) -> np.ndarray:
    return np.log(np.exp(log_mel).sum(axis=1))


def _slope(log_mel: np.ndarray, centres: np.ndarray, lowest: float, highest: float) -> np.ndarray:
    """Least-squares slope of the log spectrum over a range of frequencies, per kHz."""
    band = (centres >= lowest) & (centres < highest)
    kilohertz = centres[band] / 1000
    kilohertz = kilohertz - kilohertz.mean()
    return log_mel[:, band] @ kilohertz / (kilohertz @ kilohertz)


def _frame_borders(num_frames: int, group: int) -> list[tuple[int, int]]:
    """First and last (exclusive) analysis frame of each output frame; a rest under half a group joins the last one."""
    count = max(1, (num_frames + group // 2) // group)
    return [(i * group, (i + 1) * group if i + 1 < count else num_frames) for i in range(count)]


def _spectral_flux(log_mel: np.ndarray) -> np.ndarray:
    """How much the shape of the spectrum changes from the frame before, (frames,)."""
    amplitude = np.exp(log_mel / 2)
    shape = amplitude / amplitude.sum(axis=1, keepdims=True)
    return np.linalg.norm(np.diff(shape, axis=0, prepend=shape[:1]), axis=1)


def _statistics(
    spectral: np.ndarray, flux: np.ndarray, pitch: np.ndarray, voicing: np.ndarray, voice: np.ndarray, rate: float
) -> np.ndarray:
    """One output frame: the voiced part, the rest, then pitch and voice. `rate`: analysis frames a second."""
    voiced = voicing > VOICED
    # A part of fewer than five analysis frames has no statistics of its own; the whole frame stands in.
    speech, others = (part if part.sum() > 4 else np.ones_like(voiced) for part in (voiced, ~voiced))
    steps = np.abs(np.diff(spectral[speech], axis=0))
    change = steps.mean(axis=0) if len(steps) else np.zeros(spectral.shape[1])
    return np.concatenate(
        [
            spectral[speech].mean(axis=0) * 1.5,
            (spectral[speech].std(axis=0) - 0.7) * 4,
            change * 8 - 2.5,
            spectral[others].mean(axis=0) * 1.5,
            (spectral[others].std(axis=0) - 0.7) * 4,
            _pitch_statistics(pitch, voicing, voiced, rate),
            _slope_statistics(pitch, voiced),
            _flux_statistics(flux, speech, others),
            _voice_statistics(voice[voiced]),
        ]
    )


def _pitch_statistics(pitch: np.ndarray, voicing: np.ndarray, voiced: np.ndarray, rate: float) -> np.ndarray:
    """Level, spread, percentiles and change of pitch, strength and share of voicing, voice onsets a second; scaled."""
    enough = voiced.sum() > 4
    melody = pitch[voiced] if enough else np.zeros(1)
    steps = np.abs(np.diff(pitch))[voiced[1:] & voiced[:-1]] if enough else np.zeros(1)
    steps = steps[steps < _OCTAVE_ERROR]
    change = steps.mean() if steps.size else 0.0
    strength = voicing[voiced].mean() if enough else voicing.mean()
    onsets = (np.diff(voiced.astype(int)) == 1).sum() / len(voiced) * rate
    statistics = [
        melody.mean(),
        melody.std() * 2,
        *np.percentile(melody, [10, 50, 90]),
        change * 40 - 1.5,
        (strength - 0.85) * 12,
        (voicing.mean() - 0.7) * 6,
        (voiced.mean() - 0.7) * 5,
        onsets / 2 - 1.5,
    ]
    return 1.5 * np.array(statistics)


def _slope_statistics(pitch: np.ndarray, voiced: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of the steps with which pitch rises, and with which it falls; scaled, (4,)."""
    steps = np.diff(pitch)[voiced[1:] & voiced[:-1]]
    steps = steps[np.abs(steps) < _OCTAVE_ERROR]
    # The mean of ordinary speech where there is no such step.
    parts = [part if part.size else np.full(1, 0.04) for part in (steps[steps > 0], -steps[steps < 0])]
    return np.array([[part.mean() - 0.04, part.std() - 0.034] for part in parts]).ravel() * 50


def _flux_statistics(flux: np.ndarray, speech: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of the flux in the voiced part and in the rest; scaled, (4,)."""
    parts = (flux[speech], flux[others])
    return np.array([[(part.mean() - 0.09) * 60, (part.std() - 0.046) * 80] for part in parts]).ravel()


def _voice_statistics(voice: np.ndarray) -> np.ndarray:
    """Means and standard deviations of the voice contours of voiced frames (frames, 9), scaled, (18,)."""
    known = voice[np.isfinite(voice).all(axis=1)]
    if len(known) < 5:
        return np.zeros(2 * NUM_VOICE_CONTOURS)
    return (np.concatenate([known.mean(axis=0), known.std(axis=0)]) - _VOICE_CENTRES) / _VOICE_SPREADS
