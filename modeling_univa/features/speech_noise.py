# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Speech with noise, and the features that a model's own extractor makes of it."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..models.extractor_base_univa import Extractor
from .media import MediaReader, Missing, features_of, sound_of


__all__ = ["noisy_features", "with_white_noise"]


def with_white_noise(waveform: np.ndarray, decibels: float, key: str) -> np.ndarray:
    """
    Add white Gaussian noise of a given ratio of signal to noise.

    Args:
        waveform (`np.ndarray` of shape `(samples,)`, float32): the clip. The ratio is over all of it, pauses included.
        decibels: 10 times the decimal logarithm of the clip's power over that of the noise.
        key: names the noise: that of a key is the same at every ratio but for its strength.

    Returns:
        float32 of the same shape, not clipped to [-1, 1], which would change the ratio. Silence stays silence.
    """
    signal = waveform.astype(np.float64)
    power = np.mean(signal**2) if len(signal) else 0.0
    if not power:
        return waveform
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")
    noise = np.random.default_rng(seed).standard_normal(len(signal))
    noise *= np.sqrt(power / 10 ** (decibels / 10) / np.mean(noise**2))
    return (signal + noise).astype(np.float32)


def noisy_features(
    rows: Iterable[Mapping[str, Any]], reader: MediaReader, extractor: Extractor, decibels: Sequence[float | None]
) -> Iterator[list[np.ndarray | None]]:
    """
    Features of the speech of rows at several ratios of signal to noise.

    Args:
        rows: with `utterance_id`, which names the noise, and the media columns of a corpus.
        reader: of its media, at the sampling rate of `extractor`.
        extractor: of speech.
        decibels: the ratios; `None` for speech as it is.

    Yields:
        For each row one entry a ratio: float16 `(frames, k)`, or `None` where the row has no speech that can be used.
    """
    for row in rows:
        item = sound_of(row)
        found = None if item is None else reader.read(item)[0]
        if item is None or found is None or isinstance(found, Missing):
            yield [None] * len(decibels)
            continue
        waveform, rate = found
        made = []
        for ratio in decibels:
            noisy = waveform if ratio is None else with_white_noise(waveform, ratio, str(row["utterance_id"]))
            # Each clip alone, as small extractors work for corpora.
            frames = features_of(extractor, {item: (noisy, rate)}, batch_size=1)[item]
            made.append(None if isinstance(frames, Missing) else frames)
        yield made
