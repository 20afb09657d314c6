# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Features by pretrained networks and word vectors: speech encoders, face embeddings, GloVe.

They are extractors like those of `feature_extraction_univa`: frozen dataclasses that hold a name and settings, never
weights, so that they can be compared, pickled and written beside a model. The network is loaded when it is first
needed and is then shared by all extractors of the process that name it.

A network is named by a Hub id with its commit, or by a folder with the SHA-256 of its files, so that other weights
under the same name are refused. Code that comes with a checkpoint is never run.
"""

import gzip
import io
import itertools
import json
import os
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
import torch
from huggingface_hub import constants
from torch import nn
from transformers import AutoFeatureExtractor, AutoModel, PreTrainedConfig
from transformers.utils import CONFIG_NAME, cached_file, logging
from transformers.utils.hub import extract_commit_hash

from .checked_loading_univa import load_network, read_config
from .feature_extraction_univa import (
    check_at_least,
    check_choice,
    check_image,
    check_limits,
    check_waveform,
    extractor_to_dict,
)
from .limits_univa import LIMITS, check_limit
from .trusted_paths_univa import check_digest, check_sha256, content_digest, network_files


__all__ = [
    "PRETRAINED_EXTRACTORS",
    "FaceEmbeddingExtractor",
    "SpeechEncoderExtractor",
    "WordVectorExtractor",
    "tokenize_words",
]

logger = logging.get_logger(__name__)

# `model_type` of the encoders with a convolutional front end over the waveform.
SPEECH_ENCODERS = ("data2vec-audio", "hubert", "wav2vec2", "wavlm")

_DTYPES = ("auto", "float32", "float16", "bfloat16")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FACE_NETWORK = "a face network (`univa convert inception` or `mini-xception` writes one)"
# Of a line of word vectors, in characters: 4,096 numbers of 16.
_LONGEST_LINE = 2**16
# A contraction is cut as in the Penn Treebank, which is what GloVe was trained on.
_WORD = re.compile(r"[^\W\d_]+(?=n't\b)|n't\b|'(?:s|m|d|re|ve|ll)\b|\w+(?:[-.]\w+)*|[^\w\s]", re.IGNORECASE)
_HAN = re.compile(r"[\u3400-\u9fff]")


def _runtime(default: Any) -> Any:
    """A setting of this machine, which does not decide the features and is neither saved nor compared."""
    return field(default=default, compare=False, metadata={"runtime": True})


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
        pooling_frames: So many frames in a row are averaged into one (the last one may be of fewer); 1 keeps every
            frame, about 50 a second, and 0 averages over the whole clip.
        window_seconds: Longest piece of a clip that is encoded at once; at least 1.
        device: Where to run; by default the accelerator, or else the CPU.
        dtype: "float32", "float16", "bfloat16"; "auto" takes float16 on CUDA and float32 elsewhere.
        batch_seconds: Speech in a batch, padding included.

    Raises:
        ValueError: A setting out of range, or no such encoder can be loaded.
    """

    extractor_type: ClassVar[str] = "speech-encoder"

    model: str
    revision: str | None = None
    sha256: str | None = None
    feature_size: int = 0
    sampling_rate: int = 0
    pooling_frames: int = 1
    window_seconds: float = 60.0
    device: str | None = _runtime(None)
    dtype: str = _runtime("auto")
    batch_seconds: float = _runtime(160.0)

    def __post_init__(self):
        check_at_least(self, feature_size=0, sampling_rate=0, pooling_frames=0)
        check_limits(self, pooling_frames="pooled", window_seconds="window_seconds", batch_seconds="batch_seconds")
        check_choice(self, dtype=_DTYPES)
        _pin(self, self._describe)

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
        encoder = _speech_encoder(self.model, self.revision, self.sha256, *_placement(self.device, self.dtype))
        if (encoder.feature_size, encoder.sampling_rate) != (self.feature_size, self.sampling_rate):
            raise ValueError(
                f"{self.model} makes frames of width {encoder.feature_size} from {encoder.sampling_rate} Hz, but the "
                f"extractor's settings say {self.feature_size} and {self.sampling_rate} Hz"
            )
        longest = round(self.window_seconds * self.sampling_rate)
        clips = [encoder.windows(encoder.normalize(waveform), longest) for waveform, _ in items]
        frames = iter(encoder.encode([piece for clip in clips for piece in clip], self.batch_seconds))
        return [_mean_frames(np.concatenate([next(frames) for _ in clip]), self.pooling_frames) for clip in clips]


@dataclass(frozen=True)
class FaceEmbeddingExtractor:
    """
    Embeddings of face crops, one frame a face: by Inception-ResNet-v1, L2-normalised (section 4.1 of the paper), or by
    mini-Xception, which was trained on expressions.

    Args:
        model: Hub id, or folder as `univa convert inception` and `univa convert mini-xception` write it.
        revision: Branch, tag or commit on the Hub; what is kept is the commit.
        sha256: Of the folder's files; found out where it is not given, and else compared when the network is loaded.
        feature_size: Width of a frame; read from the checkpoint.
        device, dtype: As in `SpeechEncoderExtractor`.
        batch_images: Faces in a batch.

    Raises:
        ValueError: A setting out of range, or no such network can be loaded.
    """

    extractor_type: ClassVar[str] = "face-embedding"

    model: str
    revision: str | None = None
    sha256: str | None = None
    feature_size: int = 0
    device: str | None = _runtime(None)
    dtype: str = _runtime("auto")
    batch_images: int = _runtime(64)

    def __post_init__(self):
        check_at_least(self, feature_size=0, batch_images=1)
        check_limits(self, batch_images="batch")
        check_choice(self, dtype=_DTYPES)
        _pin(self, self._describe)

    def _describe(self) -> dict[str, Any]:
        return {"feature_size": _read_face_config(self.model, self.revision).embedding_size}

    def to_dict(self) -> dict[str, Any]:
        """All that decides the features; `extractor_from_dict` reads it back."""
        return extractor_to_dict(self)

    def __call__(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """
        Compute the frames of one face sequence.

        Args:
            images: At least one uint8 crop, (height, width, 3) RGB or (height, width) grey.

        Returns:
            float32, shape (images, feature_size).

        Raises:
            ValueError: No image, or one of another type or shape; the network cannot be loaded or is not the one that
                is named.
        """
        return self.extract_batch([images])[0]

    @torch.inference_mode()
    def extract_batch(self, items: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
        """Frames of several face sequences; see `__call__`."""
        for images in items:
            if not len(images):
                raise ValueError("expected at least one face image, got none")
            for index, image in enumerate(images):
                check_image(image, index)
        if not items:
            return []
        device, dtype = _placement(self.device, self.dtype)
        network = _face_network(self.model, self.revision, self.sha256, device, dtype)
        faces = [image for images in items for image in images]
        batches = (faces[start : start + self.batch_images] for start in range(0, len(faces), self.batch_images))
        frames = [
            network(network.preprocess(batch)["pixel_values"].to(device, dtype)).embeddings.float().cpu()
            for batch in batches
        ]
        borders = np.cumsum([len(images) for images in items])[:-1]
        return np.split(torch.cat(frames).numpy(), borders)


@dataclass(frozen=True)
class WordVectorExtractor:
    """
    Word vectors from a file in GloVe's text format, one frame a word or punctuation mark.

    The file is read once and kept as a memory-mapped float16 table in the cache of huggingface_hub (float16 is also
    what corpora store), so that later processes start at once and hold no more of it than they use.

    Args:
        model: The file: one word a line, followed by its numbers, plain or as `.gz` or `.zip`.
        sha256: Of the file as it lies there; found out where it is not given, and else another file is refused.
        feature_size: Numbers of a word; read from the file.
        lowercase: Whether words are looked up in lower case; otherwise as written, then in lower case.
        unknown: What becomes of words that the file does not have: "zero", a frame of zeros; "skip", no frame.

    Raises:
        ValueError: A setting that is not known, or no such file.
    """

    extractor_type: ClassVar[str] = "word-vectors"

    model: str
    sha256: str | None = None
    feature_size: int = 0
    lowercase: bool = True
    unknown: str = "zero"

    def __post_init__(self):
        check_at_least(self, feature_size=0)
        check_choice(self, lowercase=(True, False), unknown=("zero", "skip"))
        _check_names(self)
        if self.feature_size and self.sha256:
            return
        check_digest(self.model, self.sha256, is_folder=False)
        path = Path(self.model)
        try:
            found = self.sha256 or content_digest([path])
        except OSError as error:
            raise ValueError(f"{self.model}: there is no such file of word vectors") from error
        _, values = next(_vector_lines(path))
        _set(self, {"model": str(path.resolve()), "sha256": found, "feature_size": len(values)})

    def to_dict(self) -> dict[str, Any]:
        """All that decides the features; `extractor_from_dict` reads it back."""
        return extractor_to_dict(self)

    def __call__(self, text: str) -> np.ndarray:
        """
        Vectors of the words of one utterance.

        Returns:
            float32, shape (words, feature_size); no row for a text without words.

        Raises:
            ValueError: the file is not there, is another one, or is not in the format.
        """
        table = _word_vectors(self.model, self.sha256 or "")
        rows = [row for word in tokenize_words(text) for row in self._rows(word, table.rows)]
        if self.unknown == "skip":
            rows = [row for row in rows if row >= 0]
        index = np.array(rows, dtype=np.int64)
        frames = np.zeros((len(index), self.feature_size), dtype=np.float32)
        frames[index >= 0] = table.vectors[index[index >= 0]]
        return frames

    def extract_batch(self, items: Sequence[str]) -> list[np.ndarray]:
        """Vectors of the words of several utterances; see `__call__`."""
        return [self(text) for text in items]

    def _rows(self, word: str, rows: dict[str, int]) -> list[int]:
        """Rows of a word, or of its parts where only they are known; -1 where nothing is."""
        for spelling in (word.lower(),) if self.lowercase else (word, word.lower()):
            if spelling in rows:
                return [rows[spelling]]
        if _HAN.search(word):
            return [rows.get(part, -1) for part in _longest_matches(word, rows)]
        parts = re.findall(r"[^-.]+", word)
        return [row for part in parts for row in self._rows(part, rows)] if len(parts) > 1 else [-1]

    def write_most_frequent(self, path: Path, count: int) -> "WordVectorExtractor":
        """Write the first `count` words, which in GloVe's files are the most frequent, as a `.gz` file of its own."""
        with gzip.GzipFile(path, "wb", mtime=0) as file:
            for (word, values), _ in zip(_vector_lines(Path(self.model)), range(count), strict=False):
                file.write(" ".join([word, *values]).encode() + b"\n")
        return WordVectorExtractor(str(path), lowercase=self.lowercase, unknown=self.unknown)


PRETRAINED_EXTRACTORS: dict[str, Any] = {
    extractor.extractor_type: extractor
    for extractor in (SpeechEncoderExtractor, FaceEmbeddingExtractor, WordVectorExtractor)
}


# Which weights


def _pin(extractor: Any, describe: Any) -> None:
    """Complete an extractor by what its checkpoint says of itself, and by which checkpoint that is."""
    _check_names(extractor, "revision")
    folder = Path(extractor.model)
    is_folder = folder.is_dir()
    pinned = extractor.sha256 if is_folder else _COMMIT.fullmatch(extractor.revision or "")
    if extractor.feature_size and (pinned or extractor.sha256):
        return
    if not is_folder and (folder.is_absolute() or extractor.model.count("/") > 1 or extractor.model.startswith(".")):
        raise ValueError(f"{extractor.model}: there is no such folder, and it is no Hub id such as ORG/NAME")
    if extractor.sha256 is not None:
        # Before anything of it is parsed.
        check_digest(extractor.model, extractor.sha256)
    found = describe()
    if is_folder:
        found |= {"model": str(folder.resolve()), "revision": None}
        found["sha256"] = extractor.sha256 or content_digest(network_files(folder))
    else:
        file = cached_file(extractor.model, CONFIG_NAME, revision=extractor.revision or "main")
        found["revision"] = extract_commit_hash(file, None)
    for name, value in found.items():
        given = getattr(extractor, name)
        if name in ("feature_size", "sampling_rate") and given not in (0, value):
            raise ValueError(f"{extractor.model} has `{name}` {value}, but {given} was asked for")
    _set(extractor, found)


def _check_names(extractor: Any, *optional: str) -> None:
    """Refuse names that are not text, and what is not a SHA-256: it names a folder of the cache, too."""
    for name in ("model", *optional):
        value = getattr(extractor, name)
        if not isinstance(value, str) and (name == "model" or value is not None):
            raise ValueError(f"`{name}` must be text, got {type(value).__name__}.")
    if extractor.sha256 is not None:
        check_sha256(extractor.sha256, "sha256")


def _set(extractor: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        object.__setattr__(extractor, name, value)


# Networks


def _placement(device: str | None, dtype: str) -> tuple[str, torch.dtype]:
    if device is None:
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        device = "cpu" if accelerator is None else accelerator.type
    if dtype == "auto":
        dtype = "float16" if device.startswith("cuda") else "float32"
    return device, getattr(torch, dtype)


def _reading(model: str, kind: str, error: Exception) -> ValueError:
    return ValueError(f"{model} cannot be loaded as {kind}: {' '.join(str(error).split())}")


def _read_config(model: str, revision: str | None) -> Any:
    try:
        config = read_config(model, revision=revision or "main")
    except (OSError, ValueError) as error:
        raise _reading(model, "a speech encoder", error) from error
    if config.model_type not in SPEECH_ENCODERS:
        raise ValueError(f"{model} is a {config.model_type!r} model; speech encoders are {', '.join(SPEECH_ENCODERS)}")
    return config


def _read_feature_extractor(model: str, revision: str | None) -> Any:
    try:
        return AutoFeatureExtractor.from_pretrained(model, revision=revision or "main", trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise _reading(model, "a speech encoder (how it scales sound is missing)", error) from error


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
        raise _reading(model, "a speech encoder", error) from error
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
        """Samples that so many frames see."""
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


def _face_networks() -> dict[str, tuple[Any, Any]]:
    """Configuration and model of the networks that embed faces, by their `model_type`."""
    from .modeling_inception_resnet_v1 import InceptionResnetV1Config, InceptionResnetV1Model
    from .modeling_mini_xception import MiniXceptionConfig, MiniXceptionModel

    pairs = ((InceptionResnetV1Config, InceptionResnetV1Model), (MiniXceptionConfig, MiniXceptionModel))
    return {config.model_type: (config, model) for config, model in pairs}


def _read_face_config(model: str, revision: str | None) -> Any:
    networks = _face_networks()
    try:
        settings, _ = PreTrainedConfig.get_config_dict(model, revision=revision or "main")
        kind = settings.get("model_type")
        if kind not in networks:
            raise ValueError(f"its `model_type` is {kind!r}; such networks are {', '.join(networks)}")
        return networks[kind][0].from_pretrained(model, revision=revision or "main")
    except (OSError, ValueError) as error:
        raise _reading(model, _FACE_NETWORK, error) from error


@lru_cache(maxsize=4)
def _face_network(model: str, revision: str | None, sha256: str | None, device: str, dtype: torch.dtype) -> Any:
    check_digest(model, sha256)
    config = _read_face_config(model, revision)
    try:
        network = _face_networks()[config.model_type][1].from_pretrained(
            model, revision=revision or "main", config=config, dtype=dtype
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise _reading(model, _FACE_NETWORK, error) from error
    return network.eval().requires_grad_(False).to(device)


# Word vectors


def tokenize_words(text: str) -> list[str]:
    """Words, numbers, clitics ("do", "n't", "it", "'s") and punctuation marks of a text, as written."""
    return _WORD.findall(text.replace("\u2019", "'"))


def _longest_matches(text: str, words: dict[str, int]) -> list[str]:
    """Chinese text, which has no spaces, cut into the longest words known, from left to right."""
    parts, start = [], 0
    while start < len(text):
        ends = range(min(len(text), start + 8), start, -1)
        end = next((end for end in ends if text[start:end] in words), start + 1)
        parts.append(text[start:end])
        start = end
    return parts


def _open_text(path: Path) -> Any:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")
    if path.suffix != ".zip":
        return open(path, "rb")
    archive = zipfile.ZipFile(path)
    if len(archive.namelist()) != 1:
        raise ValueError(f"{path} holds {len(archive.namelist())} files; unpack it and name one of them")
    return archive.open(archive.namelist()[0])


def _text_lines(path: Path) -> Iterator[str]:
    """Lines of a text file, none of which is longer than vectors are: a packed file may hold any amount of nothing."""
    with _open_text(path) as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8", errors="replace", newline="\n")
        for number in itertools.count(1):
            if number > LIMITS["words"].most:
                check_limit("words", number, f"{path}: the number of lines")
            line = text.readline(_LONGEST_LINE)
            if not line:
                return
            if len(line) == _LONGEST_LINE:
                raise ValueError(f"{path}, line {number}: longer than {_LONGEST_LINE:,} characters")
            yield line


def _vector_lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Words and their numbers as strings, the first of which tells how many there are."""
    size = 0
    try:
        for number, line in enumerate(_text_lines(path), 1):
            parts = line.rstrip().split(" ")
            if number == 1 and len(parts) == 2 and all(part.isdigit() for part in parts):
                continue  # word2vec's header: number of words and size
            size = size or len(parts) - 1
            # Some of GloVe's words hold spaces.
            word, values = " ".join(parts[:-size]), parts[-size:]
            if not size or not word:
                raise ValueError(f"{path}, line {number}: expected a word and {size or 'its'} numbers")
            yield word, values
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise ValueError(f"{path} cannot be read as word vectors ({type(error).__name__})") from error
    if not size:
        raise ValueError(f"{path} holds no word vectors")


@dataclass(frozen=True)
class _WordVectors:
    """`rows`: the row of each word; `vectors`: float16 (words, size), memory-mapped."""

    rows: dict[str, int]
    vectors: np.ndarray


@lru_cache(maxsize=2)
def _word_vectors(model: str, sha256: str) -> _WordVectors:
    folder = Path(constants.HF_HOME, "univa", "word_vectors", sha256)
    if not folder.is_dir():
        _build_table(Path(model), sha256, folder)
    words = json.loads((folder / "words.json").read_text())
    vectors = np.memmap(folder / "vectors.f16", "<f2", mode="r").reshape(len(words), -1)
    return _WordVectors({word: row for row, word in enumerate(words)}, vectors)


def _build_table(path: Path, sha256: str, folder: Path) -> None:
    check_digest(str(path), sha256, is_folder=False)
    logger.warning(f"Reading {path} once into {folder}.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        table = Path(temporary, "table")
        table.mkdir()
        with open(table / "vectors.f16", "wb") as file:
            words = _write_vectors(path, file)
        (table / "words.json").write_text(json.dumps(words))
        try:
            os.rename(table, folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was faster
                raise


def _write_vectors(path: Path, file: BinaryIO) -> list[str]:
    """Write the rows of a file of word vectors as float16; of a word that comes twice the first counts."""
    words: dict[str, None] = {}
    for number, (word, values) in enumerate(_vector_lines(path), 1):
        if word in words:
            continue
        words[word] = None
        try:
            file.write(np.array(values, dtype=np.float32).astype("<f2").tobytes())
        except ValueError:
            raise ValueError(f"{path}: vector {number} holds something that is not a number") from None
    return list(words)
