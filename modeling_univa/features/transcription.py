# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Transcripts of clips, by a speech recognition model of transformers."""

from typing import Any

import numpy as np
from transformers import pipeline

from ..models.checked_loading_univa import check_finite, read_config
from ..models.files_univa import one_line


__all__ = ["Transcriber"]

_CHUNK_SECONDS = 30


class Transcriber:
    """
    Transcribes speech with any automatic speech recognition model (Whisper, wav2vec 2.0 with CTC, …).

    Args:
        model: folder or Hub id.
        revision: branch, tag or commit on the Hub.
        device: where to run; a GPU where there is one by default.

    Raises:
        ValueError: there is no such model, or it does not recognise speech.
    """

    def __init__(self, model: str, revision: str | None = None, device: Any = None):
        try:
            config = read_config(model, revision=revision or "main")
            self._pipeline: Any = pipeline(
                "automatic-speech-recognition", model, config=config, revision=revision, device=device,
                trust_remote_code=False,
            )  # fmt: skip
            check_finite(model, self._pipeline.model)
        except (OSError, ValueError, KeyError) as error:
            reason = one_line(error)
            raise ValueError(f"{model} cannot be loaded as a speech recognition model: {reason}") from error
        if self._pipeline.feature_extractor is None or self._pipeline.tokenizer is None:
            raise ValueError(f"{model} has no feature extractor or no tokenizer, which speech recognition needs")

    @property
    def sampling_rate(self) -> int:
        """Rate of the waveforms, in Hz."""
        return self._pipeline.feature_extractor.sampling_rate

    def __call__(self, waveform: np.ndarray) -> str:
        """
        The words in a waveform, float32 (samples,) at `sampling_rate`, of any length.

        Raises:
            ValueError: the model cannot take it.
        """
        options: dict[str, Any] = {}
        if len(waveform) > _CHUNK_SECONDS * self.sampling_rate:
            # Models with CTC are cut into pieces; those that generate text find their way through long sound by time.
            is_ctc = self._pipeline.type.startswith("ctc")
            options = {"chunk_length_s": _CHUNK_SECONDS} if is_ctc else {"return_timestamps": True}
        try:
            found = self._pipeline({"raw": waveform, "sampling_rate": self.sampling_rate}, **options)
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"cannot be transcribed ({error})") from error
        return found["text"].strip()
