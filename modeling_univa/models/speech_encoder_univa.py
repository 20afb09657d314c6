# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Features by pretrained networks and word vectors: speech encoders, face embeddings, GloVe.

They are extractors like those of `light_features_univa`: frozen dataclasses that hold a name and settings, never
weights, so that they can be compared, pickled and written beside a model. The network is loaded when it is first
needed and is then shared by all extractors of the process that name it.

A network is named by a Hub id with its commit, or by a folder with the SHA-256 of its files, so that other weights
under the same name are refused. Code that comes with a checkpoint is never run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from transformers import AutoFeatureExtractor, AutoModel
from transformers.utils import logging

from .checked_loading_univa import load_network, read_config
from .extractor_base_univa import (
    DTYPES,
    cannot_be_loaded,
    check_at_least,
    check_choice,
    check_limits,
    check_waveform,
    exact_float32,
    extractor_to_dict,
    pin,
    placement,
    runtime_setting,
)
from .trusted_paths_univa import check_digest


__all__ = ["SpeechEncoderExtractor"]

logger = logging.get_logger(__name__)

# `model_type` of the encoders with a convolutional front end over the waveform.
SPEECH_ENCODERS = ("data2vec-audio", "hubert", "wav2vec2", "wavlm")


@dataclass(frozen=True)
class SpeechEncoderExtractor:
    """
    Last hidden states of a Wav2Vec2, HuBERT, WavLM or data2vec-audio checkpoint (section 4.1 of the paper).

    A clip's frames are those that it has alone and without padding, whatever it is batched with. So clips of unlike
    length are batched with an attention mask, whether or not the checkpoint was trained with one, since alone there
    is nothing to mask. Where padding would leak into the frames all the same, it is not used: a front end that
    normalises over time (`feat_extract_norm` "group", as in wav2vec2-base) runs one by one before the transformer, and
    networks with stacked or normalised position convolutions (data2vec) or adapters take clips of equal length only.

    Clips longer than `window_seconds` are normalised as a whole and encoded in windows of about equal length, so that
    memory stays bounded; the number of frames is the same as in one piece.

    Args:
        model: Hub id, or folder. Of a checkpoint with a head (CTC, classification) the encoder is used.
        revision: Branch, tag or commit on the Hub; what is kept is the commit.
        sha256: Of the folder's files; found out where it is not given, and else compared when the network is loaded.
        feature_size, sampling_rate: Width of a frame, and rate in Hz of the waveforms; read from the checkpoint.
        pooling_frames: That many frames in a row are averaged into one (the last one may be of fewer); 1 keeps every
            frame, about 50 a second, and 0 averages over the whole clip.
        window_seconds: Longest piece of a clip that is encoded at once; at least 1.
        device: Where to run; by default the accelerator, or else the CPU.
        dtype: "float32", "float16", "bfloat16"; "auto" takes float16 on CUDA and float32 elsewhere.
        batch_seconds: Speech in a batch, padding included.

    Raises:
        ValueError: A setting out of range, or no such encoder can be loaded.
    """

    extractor_type: ClassVar[str] = "speech-encoder"
    modality: ClassVar[str] = "audio"

    model: str
    revision: str | None = None
    sha256: str | None = None
    feature_size: int = 0
    sampling_rate: int = 0
    pooling_frames: int = 1
    window_seconds: float = 60.0
    device: str | None = runtime_setting(None)
    dtype: str = runtime_setting("auto")
    batch_seconds: float = runtime_setting(160.0)

    def __post_init__(self):
        check_at_least(self, feature_size=0, sampling_rate=0, pooling_frames=0)
        check_limits(self, pooling_frames="pooled", window_seconds="window_seconds", batch_seconds="batch_seconds")
        check_choice(self, dtype=DTYPES)
        pin(self, self._describe)

    def _describe(self) -> dict[str, Any]:
        config = _read_config(self.model, self.revision)
        return {
            "feature_size": _speech_feature_size(config),
            "sampling_rate": _read_feature_extractor(self.model, self.revision).sampling_rate,
        }

    def to_dict(self) -> dict[str, Any]:
        """All that decides the features; `extractor_from_dict` reads it back."""
        return extractor_to_dict(self)

    def __call__(self, waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
        """
        Compute the frames of one clip.

        Args:
            waveform: Floating-point mono samples in [-1, 1], shape (samples,). Less than one frame (25 ms) is padded
                with silence.
            sampling_rate: Rate of `waveform` in Hz, which must be the encoder's.

        Returns:
            float32, shape (frames, feature_size), at least one frame.

        Raises:
            ValueError: Another sampling rate, or a waveform that cannot be used; the network cannot be loaded, is not
                the one that is named, or gives values that are not finite.
        """
        return self.extract_batch([(waveform, sampling_rate)])[0]

    def extract_batch(self, items: Sequence[tuple[np.ndarray, int]]) -> list[np.ndarray]:
        """Frames of several clips, each given as `(waveform, sampling_rate)`; see `__call__`."""
        for waveform, sampling_rate in items:
            check_waveform(waveform, sampling_rate, self.sampling_rate)
        if not items:
            return []
        encoder = _speech_encoder(self.model, self.revision, self.sha256, *placement(self.device, self.dtype))
        if (encoder.feature_size, encoder.sampling_rate) != (self.feature_size, self.sampling_rate):
            raise ValueError(
                f"{self.model} makes frames of width {encoder.feature_size} from {encoder.sampling_rate} Hz, but the "
                f"extractor's settings say {self.feature_size} and {self.sampling_rate} Hz"
            )
        longest = round(self.window_seconds * self.sampling_rate)
        clips = [encoder.windows(encoder.normalize(waveform), longest) for waveform, _ in items]
        frames = iter(encoder.encode([piece for clip in clips for piece in clip], self.batch_seconds))
        return [_mean_frames(np.concatenate([next(frames) for _ in clip]), self.pooling_frames) for clip in clips]


# Which weights


# Networks


def _read_config(model: str, revision: str | None) -> Any:
    try:
        config = read_config(model, revision=revision or "main")
    except (OSError, ValueError) as error:
        raise cannot_be_loaded(model, "a speech encoder", error) from error
    if config.model_type not in SPEECH_ENCODERS:
        raise ValueError(f"{model} is a {config.model_type!r} model; speech encoders are {', '.join(SPEECH_ENCODERS)}")
    return config


def _read_feature_extractor(model: str, revision: str | None) -> Any:
    try:
        return AutoFeatureExtractor.from_pretrained(model, revision=revision or "main", trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise cannot_be_loaded(model, "a speech encoder (how it scales sound is missing)", error) from error


def _speech_feature_size(config: Any) -> int:
    return config.output_hidden_size if getattr(config, "add_adapter", False) else config.hidden_size


@lru_cache(maxsize=4)
def _speech_encoder(
    model: str, revision: str | None, sha256: str | None, device: str, dtype: torch.dtype
) -> "_SpeechEncoder":
    check_digest(model, sha256)
    config = _read_config(model, revision)
    feature_extractor = _read_feature_extractor(model, revision)
    try:
        network = load_network(AutoModel, model, config=config, revision=revision or "main", dtype=dtype)
    except (OSError, ValueError, RuntimeError) as error:
        raise cannot_be_loaded(model, "a speech encoder", error) from error
    return _SpeechEncoder(model, network.requires_grad_(False).to(device), feature_extractor)


@dataclass(frozen=True)
class _SpeechEncoder:
    """A loaded speech encoder."""

    name: str
    network: Any
    feature_extractor: Any

    @property
    def feature_size(self) -> int:
        return _speech_feature_size(self.network.config)

    @property
    def sampling_rate(self) -> int:
        return self.feature_extractor.sampling_rate

    @property
    def pads_frames(self) -> bool:
        """Whether the transformer gives clips in a padded batch, masked, the frames that they have alone."""
        config = self.network.config
        return (
            # The position convolutions of data2vec have norms between them, which carry padding into the clip.
            config.model_type != "data2vec-audio"
            and not getattr(config, "conv_pos_batch_norm", False)
            and not getattr(config, "add_adapter", False)
        )

    @property
    def pads_waveforms(self) -> bool:
        """Whether the front end does so too; normalisation over time sees the padding."""
        return self.pads_frames and self.network.config.feat_extract_norm == "layer"

    def normalize(self, waveform: np.ndarray) -> np.ndarray:
        """The waveform, (samples,) float32, scaled as the checkpoint wants it and at least one frame long."""
        values = self.feature_extractor(waveform, sampling_rate=self.sampling_rate)["input_values"][0]
        values = np.asarray(values, dtype=np.float32)
        return np.pad(values, (0, max(0, self._span(1) - len(values))))

    def windows(self, values: np.ndarray, longest: int) -> list[np.ndarray]:
        """Pieces of at most `longest` samples whose frames, one after the other, are those of the whole."""
        frames = self._frames(len(values))
        count = -(-frames // max(1, self._frames(longest)))
        if count == 1:
            return [values]
        borders = np.linspace(0, frames, count + 1).round().astype(int)
        hop = int(np.prod(self.network.config.conv_stride))
        return [values[i * hop : i * hop + self._span(j - i)] for i, j in zip(borders[:-1], borders[1:], strict=True)]

    def _frames(self, samples: int) -> int:
        config = self.network.config
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            samples = (samples - kernel) // stride + 1
        return samples

    def _span(self, frames: int) -> int:
        """Samples that this many frames see."""
        config = self.network.config
        for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
            frames = (frames - 1) * stride + kernel
        return frames

    def encode(self, pieces: Sequence[np.ndarray], batch_seconds: float) -> list[np.ndarray]:
        """Frames (frames, feature_size) of each piece, in the order given."""
        found: dict[int, np.ndarray] = {}
        lengths = [len(piece) for piece in pieces]
        for batch in _batches(lengths, round(batch_seconds * self.sampling_rate), mixed=self.pads_frames):
            found.update(zip(batch, self._encode([pieces[index] for index in batch]), strict=True))
        return [found[index] for index in range(len(pieces))]

    @exact_float32()
    @torch.inference_mode()
    def _encode(self, pieces: Sequence[np.ndarray]) -> list[np.ndarray]:
        lengths = [len(piece) for piece in pieces]
        waveforms = [torch.from_numpy(piece).to(self.network.device, self.network.dtype) for piece in pieces]
        if len(set(lengths)) == 1:
            hidden = self.network(torch.stack(waveforms)).last_hidden_state
        elif self.pads_waveforms:
            mask = self._mask(lengths)
            values = nn.utils.rnn.pad_sequence(waveforms, batch_first=True)
            hidden = self.network(values, attention_mask=mask.long()).last_hidden_state
        else:
            hidden = self._encode_frames(waveforms)
        frames = hidden.float().cpu().numpy()
        if not np.isfinite(frames).all():
            raise ValueError(f"{self.name} gives values that are not finite in {self.network.dtype}; try float32")
        if len(set(lengths)) == 1:
            return list(frames)
        return [clip[: self._frames(length)] for clip, length in zip(frames, lengths, strict=True)]

    def _encode_frames(self, waveforms: Sequence[torch.Tensor]) -> torch.Tensor:
        """Last hidden states of clips of unlike length whose front end runs one by one."""
        features = [self.network.feature_extractor(waveform[None])[0].T for waveform in waveforms]
        projected = self.network.feature_projection(nn.utils.rnn.pad_sequence(features, batch_first=True))
        # Hubert's gives the frames alone, the others give two tensors.
        hidden = projected if isinstance(projected, torch.Tensor) else projected[0]
        mask = self._mask([len(clip) for clip in features])
        return self.network.encoder(hidden, attention_mask=mask).last_hidden_state

    def _mask(self, lengths: Sequence[int]) -> torch.Tensor:
        """(clips, longest), true where there is something."""
        device = self.network.device
        return torch.arange(max(lengths), device=device) < torch.tensor(lengths, device=device)[:, None]


def _batches(lengths: Sequence[int], budget: int, mixed: bool) -> Iterator[list[int]]:
    """Indices of batches of clips alike in length: at least one clip, at most `budget` samples with padding."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        longest = lengths[batch[0]] if batch else 0
        if batch and (longest * (len(batch) + 1) > budget or (not mixed and lengths[index] != longest)):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _mean_frames(frames: np.ndarray, window: int) -> np.ndarray:
    if window == 1:
        return np.ascontiguousarray(frames)
    starts = np.arange(0, len(frames), window or len(frames))
    counts = np.diff([*starts, len(frames)])
    return np.add.reduceat(frames, starts, axis=0, dtype=np.float32) / counts[:, None].astype(np.float32)


# Word vectors
