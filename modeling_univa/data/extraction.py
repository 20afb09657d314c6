# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Light features of media files while a corpus is built, each file read once however many rows name it."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .schema import CorpusError, RowError


__all__ = ["MediaFeatures"]

_CACHE_BYTES = 256 * 2**20


class MediaFeatures:
    """Speech and face features of the files of a corpus.

    Args:
        root: Folder that paths are relative to.
        audio_extractor, vision_extractor: As in `feature_extraction_univa`; a vision extractor makes one frame an
            image. `None` where no features of the modality are wanted.
        cache_bytes: Features are kept up to this size, those not used for longest going first.
    """

    def __init__(self, root: Path, audio_extractor: Any, vision_extractor: Any, cache_bytes: int = _CACHE_BYTES):
        self.root = root
        self.audio_extractor = audio_extractor
        self.vision_extractor = vision_extractor
        self.cache_bytes = cache_bytes
        self._cache: OrderedDict[str, np.ndarray] = OrderedDict()
        self._cached_bytes = 0

    def speech(self, path: str) -> np.ndarray:
        """Features (frames, size) of a sound file. Raises `RowError` where the file is of no use."""
        return self._once(path, self._read_speech)

    def faces(self, paths: Sequence[str]) -> np.ndarray:
        """Features (images, size) of a sequence of images. Raises `RowError` where a file is of no use."""
        return np.concatenate([self._once(path, self._read_face) for path in paths])

    def _read_speech(self, path: str) -> np.ndarray:
        from ..media_univa import read_audio

        rate = self.audio_extractor.sampling_rate
        return self.audio_extractor(read_audio(self.root / path, sampling_rate=rate), rate)

    def _read_face(self, path: str) -> np.ndarray:
        from ..media_univa import read_image

        return self.vision_extractor([read_image(self.root / path)])

    def _once(self, path: str, read: Callable[[str], np.ndarray]) -> np.ndarray:
        if path in self._cache:
            self._cache.move_to_end(path)
            return self._cache[path]
        try:
            features = self._cache[path] = read(path)
        except ImportError as error:
            raise CorpusError(str(error)) from None
        except ValueError as error:
            raise RowError(f"{path}: {str(error).removeprefix(f'{self.root / path}: ')}") from None
        self._cached_bytes += features.nbytes
        while self._cached_bytes > self.cache_bytes:
            self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return features
