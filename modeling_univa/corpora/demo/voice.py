# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The voices of the demo corpus: a small source-filter synthesiser that says a sentence with an emotion.

Letters become phones by rough rules; glottal pulses and noise pass through the formants of each phone (the vowels of
Peterson and Barney, 1952). Pitch and its range, loudness, pace, spectral tilt and jitter follow the valence and
arousal of the emotion, with what is typical of it on top (the tremor of fear, the creak of disgust, …).
"""

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.signal import istft, stft

from ...models.configuration_univa import EMOTION_VALENCE_AROUSAL


SAMPLING_RATE = 16000
LONGEST = 3.0
SHORTEST = 1.0
_HOP = 80
_STFT: dict[str, Any] = {"nperseg": 320, "noverlap": 320 - _HOP, "nfft": 512}
_SILENCE = 0.08
_NOISE_LEVEL = 1.5


class Segment(NamedTuple):
    """A steady piece of sound: seconds, level of the voice, formants (Hz), level, centre and width (Hz) of noise."""

    seconds: float
    voice: float = 0.0
    formants: tuple[float, float, float] = (500.0, 1500.0, 2500.0)
    noise: float = 0.0
    centre: float = 3000.0
    width: float = 1500.0


def _vowel(f1: float, f2: float, f3: float) -> tuple[Segment, ...]:
    return (Segment(0.1, 1.0, (f1, f2, f3)),)


def _stop(voice: float, f2: float, centre: float) -> tuple[Segment, ...]:
    return Segment(0.04, voice, (250, f2, 2500)), Segment(0.018, 0.0, (350, f2, 2500), 0.5, centre, 1200)


PHONES: dict[str, tuple[Segment, ...]] = {
    "iy": _vowel(270, 2290, 3010), "ih": _vowel(390, 1990, 2550), "eh": _vowel(530, 1840, 2480),
    "ae": _vowel(660, 1720, 2410), "aa": _vowel(730, 1090, 2440), "ao": _vowel(570, 840, 2410),
    "uh": _vowel(440, 1020, 2240), "uw": _vowel(300, 870, 2240), "ah": _vowel(640, 1190, 2390),
    "er": _vowel(490, 1350, 1690),
    "p": _stop(0.0, 900, 900), "t": _stop(0.0, 1800, 4200), "k": _stop(0.0, 1500, 2000),
    "b": _stop(0.15, 900, 700), "d": _stop(0.15, 1800, 3800), "g": _stop(0.15, 1500, 1800),
    "ch": (Segment(0.03), Segment(0.07, noise=0.6, centre=3000, width=1200)),
    "j": (Segment(0.03, 0.1), Segment(0.05, 0.3, noise=0.4, centre=2800, width=1200)),
    "s": (Segment(0.085, noise=0.5, centre=5800, width=1300),),
    "z": (Segment(0.07, 0.3, noise=0.3, centre=5600, width=1300),),
    "sh": (Segment(0.085, noise=0.6, centre=3300, width=1200),),
    "f": (Segment(0.07, noise=0.2, centre=4000, width=3500),),
    "v": (Segment(0.05, 0.4, (300, 1100, 2300), 0.1, 4000, 3500),),
    "th": (Segment(0.06, 0.1, (300, 1400, 2500), 0.15, 5000, 3000),),
    "h": (Segment(0.05, noise=0.25, centre=1400, width=1500),),
    "m": (Segment(0.06, 0.5, (250, 1000, 2200)),), "n": (Segment(0.055, 0.5, (250, 1600, 2500)),),
    "ng": (Segment(0.06, 0.5, (250, 2100, 2700)),), "l": (Segment(0.055, 0.65, (350, 1100, 2700)),),
    "r": (Segment(0.055, 0.65, (350, 1150, 1600)),), "w": (Segment(0.05, 0.6, (300, 650, 2200)),),
    "y": (Segment(0.045, 0.6, (270, 2200, 3000)),),
}  # fmt: skip
VOWELS = frozenset(name for name, segments in PHONES.items() if segments[0].voice == 1.0)
SPELLINGS: dict[str, str] = {
    "tion": "sh ah n", "ough": "ao f", "igh": "aa ih", "sh": "sh", "ch": "ch", "th": "th", "ng": "ng", "ph": "f",
    "ck": "k", "wh": "w", "qu": "k w", "ee": "iy", "ea": "iy", "ie": "iy", "oo": "uw", "ou": "aa uh", "ow": "aa uh",
    "oi": "ao ih", "oy": "ao ih", "ai": "eh ih", "ay": "eh ih", "au": "ao", "aw": "ao", "er": "er", "ir": "er",
    "ur": "er", "ar": "aa r", "or": "ao r", "a": "ae", "e": "eh", "i": "ih", "o": "ao", "u": "ah", "y": "iy", "b": "b",
    "c": "k", "d": "d", "f": "f", "g": "g", "h": "h", "j": "j", "k": "k", "l": "l", "m": "m", "n": "n", "p": "p",
    "r": "r", "s": "s", "t": "t", "v": "v", "w": "w", "x": "k s", "z": "z",
}  # fmt: skip
_LETTERS = re.compile("|".join(SPELLINGS))


@dataclass(frozen=True)
class Voice:
    """A speaker's voice, whatever the mood: pitch in Hz, scale of the formants, breath, pace, gain in dB."""

    pitch: float
    tract: float
    breath: float
    pace: float
    gain: float

    @classmethod
    def draw(cls, rng: np.random.Generator, high: bool) -> "Voice":
        """A random voice, of the low kind (about 85 to 140 Hz) or the high one (170 to 255 Hz)."""
        pitch = rng.uniform(170, 255) if high else rng.uniform(85, 140)
        tract = rng.uniform(1.08, 1.22) if high else rng.uniform(0.92, 1.06)
        return cls(pitch, tract, rng.uniform(0.01, 0.05), rng.uniform(0.92, 1.1), rng.uniform(-1.5, 1.5))


@dataclass
class Delivery:
    """How a sentence is said. Pitch, range, rise in semitones, loudness in dB, tilt in dB an octave, tremor and jitter
    as fractions of the pitch, creak and breath from 0 to 1, pace and formants as factors."""

    pitch: float
    range: float
    rise: float
    loudness: float
    pace: float
    tilt: float
    jitter: float
    tremor: float = 0.0
    creak: float = 0.0
    breath: float = 0.0
    formants: float = 1.0

    @classmethod
    def of(cls, emotion: str, intensity: float) -> "Delivery":
        """The delivery of an emotion, from neutral (`intensity` 0) to full (1)."""
        valence, arousal = ((2 * value - 1) * intensity for value in EMOTION_VALENCE_AROUSAL[emotion])
        delivery = cls(
            pitch=4.0 * arousal + valence,
            range=2.5 + 2.5 * arousal + 1.5 * valence,
            rise=-2.0 + 2.0 * valence,
            loudness=9.0 * arousal,
            pace=1.0 + 0.22 * arousal + 0.05 * valence,
            tilt=-4.0 + 3.5 * arousal,
            jitter=0.006 + 0.012 * max(0.0, -valence),
        )
        for name, amount in _TYPICAL[emotion].items():
            setattr(delivery, name, getattr(delivery, name) + amount * intensity)
        return delivery


_TYPICAL: dict[str, dict[str, float]] = {
    "happy": {"range": 2.0, "formants": 0.06, "rise": 1.0},
    "sad": {"pitch": -1.0, "range": -0.8, "pace": -0.14, "breath": 0.25, "tilt": -1.5, "rise": -2.0},
    "anger": {"pitch": -1.5, "loudness": 3.0, "tilt": 1.5, "creak": 0.25, "rise": -3.0, "range": 1.0},
    "surprise": {"pitch": 2.0, "range": 2.0, "rise": 8.0, "pace": -0.08},
    "disgust": {"pitch": -6.5, "loudness": -6.0, "pace": -0.32, "creak": 0.6, "rise": -2.0, "formants": -0.08},
    "fear": {"pitch": 4.0, "loudness": -8.0, "pace": 0.2, "tremor": 0.05, "breath": 0.3, "range": -1.0, "rise": 3.0},
    "neutral": {},
}


def speak(text: str, emotion: str, voice: Voice, rng: np.random.Generator, intensity: float = 1.0) -> np.ndarray:
    """Say as much of `text` as fits in three seconds, in the way of `emotion`.

    Args:
        text: The sentence; only its letters and stops matter.
        emotion: One of `EMOTION_VALENCE_AROUSAL`.
        voice: Who speaks.
        rng: Draws accents, jitter, noise and the level of the recording.
        intensity: How strongly the emotion is expressed, from 0 (as neutral) to 1.

    Returns:
        float32 samples in (-1, 1) at 16 kHz, shape (samples,), one to three seconds.

    Raises:
        ValueError: There is no letter in `text`.
    """
    delivery = Delivery.of(emotion, intensity)
    segments, accents = _plan(text, delivery.pace * voice.pace, rng)
    if not segments:
        raise ValueError(f"expected a text with letters to say, got {text!r}")
    frames = np.repeat(np.arange(len(segments)), [round(s.seconds * SAMPLING_RATE / _HOP) for s in segments])
    source, hiss = _excite(_pitch_track(delivery, voice, accents[frames], rng), delivery, voice, rng)
    sound = _filter(source, hiss, [segments[i] for i in frames], delivery, voice)
    level = _decibel(-27 + delivery.loudness + voice.gain + rng.normal(0, 1.0))
    silence = round(_SILENCE * SAMPLING_RATE)
    padding = max(silence, round(SHORTEST * SAMPLING_RATE) - len(sound) - silence)
    sound = np.pad(sound * level / sound.std(), (silence, padding))
    sound += rng.normal(0, _decibel(rng.uniform(-62, -57)), len(sound))
    return (sound * min(1.0, 0.95 / np.abs(sound).max())).astype(np.float32)


def _decibel(level: Any) -> Any:
    """A level in decibels, number or array, as a factor of the amplitude."""
    return 10 ** (level / 20)


def _pronounce(word: str) -> list[str]:
    word = re.sub(r"(?<=[a-z]{2})e$", "", re.sub(r"([^aeo])\1", r"\1", word))
    return [phone for letters in _LETTERS.findall(word) for phone in SPELLINGS[letters].split()]


def _plan(text: str, pace: float, rng: np.random.Generator) -> tuple[list[Segment], np.ndarray]:
    """The segments of a sentence at a pace, and for each the accent (0 to 1) of the pitch on it."""
    segments: list[Segment] = []
    accents: list[float] = []
    left = LONGEST - 2 * _SILENCE
    for word, stop in re.findall(r"([a-z']+)([,.?!]?)", text.lower()):
        spoken = [segment for phone in _pronounce(word) for segment in _stretch(phone, pace, rng)]
        if stop:
            spoken.append(_lasting(Segment(0.09 if stop == "," else 0.16), 1 / pace))
        left -= sum(segment.seconds for segment in spoken)
        if left < 0 and segments:
            break
        segments += spoken
        accents += [rng.uniform(0.3, 1.0) if len(word) > 3 else rng.uniform(0.0, 0.4)] * len(spoken)
    return segments, np.array(accents)


def _stretch(phone: str, pace: float, rng: np.random.Generator) -> list[Segment]:
    factor = rng.uniform(0.85, 1.15) / pace
    return [_lasting(segment, factor) for segment in PHONES[phone]]


def _lasting(segment: Segment, factor: float) -> Segment:
    """The segment made longer or shorter, to a whole number of frames."""
    num_frames = max(1, round(segment.seconds * factor * SAMPLING_RATE / _HOP))
    return segment._replace(seconds=num_frames * _HOP / SAMPLING_RATE)


def _pitch_track(delivery: Delivery, voice: Voice, accents: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pitch of each frame in Hz: accents over a line that falls, a turn at the end, tremor and jitter."""
    time = np.linspace(0, 1, len(accents))
    semitones = delivery.pitch + delivery.range * (_smooth(accents, 25) - 0.4 * time) + rng.normal(0, 0.7)
    semitones = semitones + delivery.rise * np.clip((time - 0.6) / 0.4, 0, 1) ** 1.5
    pitch = voice.pitch * 2 ** (semitones / 12)
    seconds = np.arange(len(accents)) * _HOP / SAMPLING_RATE
    pitch *= 1 + delivery.tremor * np.sin(2 * np.pi * 7 * seconds + rng.uniform(0, 2 * np.pi))
    return np.clip(pitch * (1 + _smooth(rng.normal(0, 3 * delivery.jitter, len(pitch)), 3)), 50, 700)


def _excite(
    pitch: np.ndarray, delivery: Delivery, voice: Voice, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Glottal flow derivative (Rosenberg pulses) and white noise, one sample each."""
    num_samples = len(pitch) * _HOP
    cycles = np.cumsum(np.interp(np.arange(num_samples), np.arange(len(pitch)) * _HOP, pitch)) / SAMPLING_RATE
    phase = cycles % 1.0
    opening, closing = 0.4, 0.16
    flow = np.where(phase < opening, 0.5 - 0.5 * np.cos(np.pi * phase / opening), 0.0)
    falling = (phase >= opening) & (phase < opening + closing)
    flow[falling] = np.cos(0.5 * np.pi * (phase[falling] - opening) / closing)
    # Creak weakens every other pulse, which is heard as an octave below and as roughness.
    flow *= 1 - delivery.creak * (np.floor(cycles) % 2)
    pulses = np.diff(flow, prepend=0.0)
    noise = rng.normal(0, 1, num_samples)
    breath = voice.breath + 0.3 * delivery.breath
    return pulses / pulses.std() + breath * noise * (0.3 + flow), noise


def _filter(
    source: np.ndarray, hiss: np.ndarray, frames: list[Segment], delivery: Delivery, voice: Voice
) -> np.ndarray:
    """Shape voice and noise frame by frame in the short-time spectrum; shape (samples,)."""
    track = {name: np.array([getattr(segment, name) for segment in [*frames, frames[-1]]]) for name in Segment._fields}
    frequency = np.fft.rfftfreq(_STFT["nfft"], 1 / SAMPLING_RATE)[:, None]
    formants = [_smooth(formant, 9) * voice.tract * delivery.formants for formant in track["formants"].T]
    tilt = _decibel(delivery.tilt * np.log2(np.maximum(frequency, 200) / 200))
    voiced = _smooth(track["voice"], 4) * _resonances(frequency, formants) * tilt
    noise = np.exp(-0.5 * ((frequency - track["centre"] * voice.tract) / track["width"]) ** 2)
    noisy = _NOISE_LEVEL * _smooth(track["noise"], 3) * noise
    _, _, voice_spectrum = stft(source, **_STFT)
    _, _, noise_spectrum = stft(hiss, **_STFT)
    _, sound = istft(voice_spectrum * voiced + noise_spectrum * noisy, **_STFT)
    return sound


def _resonances(frequency: np.ndarray, formants: list[np.ndarray]) -> np.ndarray:
    """Magnitude of a cascade of resonators, the three formants and a fixed fourth; shape (frequencies, frames)."""
    response = np.ones((len(frequency), len(formants[0])))
    for centre, width in zip([*formants, np.full_like(formants[0], 3600.0)], (70, 90, 130, 200), strict=True):
        response /= np.hypot(1 - (frequency / centre) ** 2, frequency * width / centre**2)
    # A cascade falls off too steeply above its last resonance: the tract has more of them.
    return response * (1 + (frequency / 3000) ** 2) ** 2.6


def _smooth(track: np.ndarray, length: int) -> np.ndarray:
    """Moving average of `length` frames with the ends held."""
    padded = np.pad(track, (length // 2, length - 1 - length // 2), mode="edge")
    return np.convolve(padded, np.full(length, 1 / length), mode="valid")
