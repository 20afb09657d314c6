# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Scorers: text, speech or faces to (valence, arousal) in [-1, 1] (section 3.2 of the paper)."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from os import PathLike, fspath
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import torch
from transformers import (
    CONFIG_MAPPING,
    MODEL_MAPPING,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils import CONFIG_NAME, logging

from .checked_loading_univa import load_network, refusal
from .extractor_base_univa import Scorer, Translator, check_image, check_waveform, exact_float32
from .extractors_univa import extractor_from_dict
from .files_univa import one_line
from .processing_univa import PRECOMPUTED, UnivaProcessor


__all__ = ["AffectScorer", "AudioAffectScorer", "TextAffectScorer", "VisionAffectScorer", "as_scorer", "load_scorer"]

logger = logging.get_logger(__name__)

SAMPLING_RATE = 16000
# Networks are known by their model types: a model that is shared with this file need not take all of them along.
_REGRESSOR = "univa_affect_regressor"
# What the checkpoint of Wagner et al. calls itself.
_STANDS_FOR = {"wav2vec2": "wav2vec2-affect"}


class AffectScorer(ABC):
    """
    A frozen model that scores items of one modality. Load one with `load_scorer` or with `from_pretrained`.

    Args:
        model: The network; it is frozen and put on `device`.
        device: A GPU where there is one by default.
    """

    modality: ClassVar[str]

    def __init__(self, model: Any, device: str | torch.device | None = None):
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = model.eval().requires_grad_(False).to(self.device)

    @classmethod
    @abstractmethod
    def from_pretrained(
        cls, model: str, revision: str | None = None, device: str | torch.device | None = None
    ) -> "AffectScorer":
        """
        Load from a folder or from the Hub.

        Raises:
            ValueError: It is not a scorer of this modality.
            OSError: There is no such model.
        """

    def score(self, items: Sequence[Any], batch_size: int = 32) -> np.ndarray:
        """
        (valence, arousal) of each item, in order, whatever it is batched with.

        Args:
            items: Strings of text; `(waveform, sampling_rate)` or `None` of speech; sequences of face images (uint8,
                H x W x 3 RGB or H x W grey) or `None` of vision.
            batch_size: Items (for the network of single faces, faces) that go through the model together; items of
                like length are.

        Returns:
            float32, shape (N, 2), in [-1, 1]; NaN where an item is `None`, empty or blank.

        Raises:
            ValueError: An item that cannot be scored; the message says why.
        """
        lengths = np.array([self._length(item) for item in items], dtype=np.int64)
        scores = np.full((len(items), 2), np.nan, dtype=np.float32)
        order = np.argsort(lengths, kind="stable")
        order = order[lengths[order] > 0]
        for first in range(0, len(order), batch_size):
            batch = order[first : first + batch_size]
            with torch.inference_mode(), exact_float32():
                scores[batch] = self._score_batch([items[index] for index in batch], batch_size)
        return scores.clip(-1, 1)

    @abstractmethod
    def _length(self, item: Any) -> int:
        """How long an item is, 0 where there is nothing to score."""

    @abstractmethod
    def _score_batch(self, items: list[Any], batch_size: int) -> np.ndarray:
        """Scores (N, 2) of items of about one length."""


class TextAffectScorer(AffectScorer):
    """
    Scores sentences with a regression head on any encoder, such as `univa train-affect` makes.

    The model is one that `AutoModelForSequenceClassification` loads and whose labels are, in any order, `valence` and
    `arousal` (others are not used). `affect_range` in its configuration says between which numbers it puts them, if
    not between -1 and 1.

    Args:
        translator: Translates the sentences first, where they are not in the language of the model.
    """

    modality = "text"

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        device: str | torch.device | None = None,
        translator: Translator | None = None,
    ):
        super().__init__(model, device)
        self.tokenizer = tokenizer
        self.translator = translator
        names = {str(name).lower(): int(index) for index, name in model.config.id2label.items()}
        if not {"valence", "arousal"} <= set(names):
            raise ValueError(
                f"a text scorer has the labels valence and arousal, and {model.name_or_path} has {', '.join(names)}: "
                "train one with `univa train-affect`"
            )
        self._columns = [names["valence"], names["arousal"]]
        self._range: tuple[float, float] = getattr(model.config, "affect_range", (-1.0, 1.0))
        # Tokenizers that were saved without a longest input say something astronomic.
        self._max_length = min(tokenizer.model_max_length, 512)

    @classmethod
    def from_pretrained(
        cls,
        model: str,
        revision: str | None = None,
        device: str | torch.device | None = None,
        translator: Translator | None = None,
    ) -> "TextAffectScorer":
        """As `AffectScorer.from_pretrained`, with a translator for text of another language than the model's."""
        hub = {"revision": revision or "main"}
        loaded = load_network(AutoModelForSequenceClassification, model, **hub)
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False, **hub)
        return cls(loaded, tokenizer, device, translator)

    def score(self, items: Sequence[str | None], batch_size: int = 32) -> np.ndarray:
        """See `AffectScorer.score`; the part of a sentence beyond the model's longest input is cut."""
        if self.translator is None:
            return super().score(items, batch_size)
        spoken = [index for index, text in enumerate(items) if self._length(text)]
        translated: list[str | None] = [None] * len(items)
        for index, text in zip(spoken, self.translator.translate([str(items[i]) for i in spoken]), strict=True):
            translated[index] = text
        return super().score(translated, batch_size)

    def _length(self, item: str | None) -> int:
        return len(item.strip()) if item else 0

    def _score_batch(self, items: list[str], batch_size: int) -> np.ndarray:
        inputs = self.tokenizer(
            items, truncation=True, max_length=self._max_length, padding=True, return_tensors="pt"
        ).to(self.device)
        scores = self.model(**inputs).logits[:, self._columns].float().cpu().numpy()
        lowest, highest = self._range
        return 2 * (scores - lowest) / (highest - lowest) - 1


class _MediaAffectScorer(AffectScorer):
    """A scorer by a published network, or by a small one over features that `univa train-affect` trained."""

    published_types: ClassVar[tuple[str, ...]]

    def __init__(self, model: Any, processor: UnivaProcessor | None = None, device: str | torch.device | None = None):
        super().__init__(model, device)
        self.processor = processor
        self.extractor: Any = None
        kind = model.config.model_type
        if kind not in (*self.published_types, _REGRESSOR):
            raise ValueError(f"{type(model).__name__} is not a scorer of {self.modality}.")
        if kind == _REGRESSOR:
            self._check_regressor(model.config.modality)
            self.extractor = extractor_from_dict(processor.resolved_extractor(self.modality)) if processor else None

    def _check_regressor(self, modality: str) -> None:
        name, processor = self.model.name_or_path, self.processor
        if modality != self.modality:
            raise ValueError(f"{name} scores {modality}, not {self.modality}")
        made_by = processor.extractors.get(modality) if processor else None
        if made_by is None or made_by["extractor_type"] == PRECOMPUTED:
            raise ValueError(
                f"{name} was trained on features that came ready-made and does not know how to make them from raw "
                "media: train it on a corpus whose features one of the project's extractors made"
            )

    @classmethod
    def from_pretrained(
        cls, model: str, revision: str | None = None, device: str | torch.device | None = None
    ) -> "_MediaAffectScorer":
        """See `AffectScorer.from_pretrained`."""
        hub: dict[str, Any] = {"revision": revision or "main"}
        with refusal(model, "The configuration of {} cannot be used", CONFIG_NAME):
            kind = PreTrainedConfig.get_config_dict(model, **hub)[0].get("model_type")
        if kind not in (*cls.published_types, _REGRESSOR):
            known = ", ".join([*cls.published_types, _REGRESSOR])
            raise ValueError(f"{model} is a {kind!r} model; a scorer of {cls.modality} is one of {known}")
        network = _network_class(model, kind).from_pretrained(model, **hub)
        return cls(network, UnivaProcessor.from_pretrained(model, **hub) if kind == _REGRESSOR else None, device)

    def _score_batch(self, items: list[Any], batch_size: int) -> np.ndarray:
        if self.extractor is None or self.processor is None:
            return self._score_published(items, batch_size)
        features: dict[str, Any] = {f"{self.modality}_features": self.extractor.extract_batch(items)}
        return self.model(**self.processor(**features).to(self.device)).logits.float().cpu().numpy()

    @abstractmethod
    def _score_published(self, items: list[Any], batch_size: int) -> np.ndarray:
        """Scores (N, 2) by the published network."""


class AudioAffectScorer(_MediaAffectScorer):
    """
    Scores speech with the network of Wagner et al. (2023), whose outputs of about 0 to 1 are mapped by 2x - 1, or with
    a `UnivaAffectRegressor`. `sampling_rate` is the rate that waveforms must have, in Hz.
    """

    modality = "audio"
    published_types = ("wav2vec2", "wav2vec2-affect")

    @property
    def sampling_rate(self) -> int:
        """Rate of the waveforms, in Hz."""
        return SAMPLING_RATE if self.extractor is None else self.extractor.sampling_rate

    def _length(self, item: tuple[np.ndarray, int] | None) -> int:
        return 0 if item is None else len(item[0])

    def _score_published(self, items: list[tuple[np.ndarray, int]], batch_size: int) -> np.ndarray:
        shortest = self.model.config.min_samples
        waveforms = []
        for waveform, rate in items:
            check_waveform(waveform, rate, SAMPLING_RATE)
            waveforms.append(np.pad(waveform, (0, max(0, shortest - len(waveform)))))
        output = self.model(**self.model.preprocess(waveforms, SAMPLING_RATE))
        return 2 * torch.stack([output.valence, output.arousal], dim=1).float().cpu().numpy() - 1


class VisionAffectScorer(_MediaAffectScorer):
    """
    Scores sequences of faces with EmoNet (Toisoul et al., 2021), face by face and averaged over the sequence, or with
    a `UnivaAffectRegressor`.
    """

    modality = "vision"
    published_types = ("emonet",)

    def _length(self, item: Sequence[np.ndarray] | None) -> int:
        return 0 if item is None else len(item)

    def _score_published(self, items: list[Sequence[np.ndarray]], batch_size: int) -> np.ndarray:
        faces = [face for clip in items for face in clip]
        for index, face in enumerate(faces):
            check_image(face, index)
        found = []
        for first in range(0, len(faces), batch_size):
            output = self.model(**self.model.preprocess(faces[first : first + batch_size]))
            found.append(torch.stack([output.valence, output.arousal], dim=1).float().cpu().numpy().clip(-1, 1))
        lengths = np.array([len(clip) for clip in items])
        return np.add.reduceat(np.concatenate(found), np.cumsum(lengths) - lengths) / lengths[:, None]


_SCORERS: dict[str, type[AffectScorer]] = {
    scorer.modality: scorer for scorer in (TextAffectScorer, AudioAffectScorer, VisionAffectScorer)
}


def _network_class(model: str, kind: str) -> Any:
    """The class of a type of network, where this package (which registers it) is imported."""
    kind = _STANDS_FOR.get(kind, kind)
    try:
        return MODEL_MAPPING[CONFIG_MAPPING[kind]]
    except KeyError:
        raise ValueError(
            f"{model} is of the type {kind}, which is not known here: install univa and import modeling_univa, or "
            "load it with AutoModel and pass the network."
        ) from None


def as_scorer(modality: str, scorer: Any, device: str | torch.device | None = None) -> Scorer:
    """
    A scorer of whatever may be passed for one.

    Args:
        modality: "text", "audio" or "vision".
        scorer: folder or Hub id (see `load_scorer`); a network of audio or vision; an object whose `score(items)`, or
            a function that, returns (N, 2) numbers in [-1, 1], NaN where there is nothing to score.
        device: where networks run; a GPU where there is one by default.

    Raises:
        ValueError: it is none of these, or no scorer of the modality.
    """
    if isinstance(scorer, str | PathLike):
        return load_scorer(modality, fspath(scorer), device=device)
    if isinstance(scorer, PreTrainedModel):
        kind = _SCORERS[modality]
        if not issubclass(kind, _MediaAffectScorer):
            raise ValueError(f"{type(scorer).__name__} is not a scorer of {modality} by itself: pass its name.")
        return kind(scorer, device=device)
    if hasattr(scorer, "score"):
        return scorer
    if not callable(scorer):
        raise ValueError(f"The {modality} scorer must be a name, a model or a function, got {type(scorer).__name__}.")
    return SimpleNamespace(score=scorer)


def load_scorer(
    modality: str,
    model: str,
    revision: str | None = None,
    device: str | torch.device | None = None,
    translator: Translator | None = None,
) -> AffectScorer:
    """
    The scorer of a modality.

    Args:
        modality: "text", "audio" or "vision".
        model: Folder or Hub id.
        revision: Branch, tag or commit on the Hub.
        device: Where to run; a GPU where there is one by default.
        translator: For text that is not in the language of the model; see `load_translator`.

    Raises:
        ValueError: There is no such modality or model, the model is not a scorer of it, or a translator is given for
            what is not text.
    """
    if modality not in _SCORERS:
        raise ValueError(f"there is not a scorer of {modality!r}; choose {', '.join(_SCORERS)}")
    if translator is not None and modality != "text":
        raise ValueError(f"a translator is for text, not for {modality}")
    options = {} if translator is None else {"translator": translator}
    try:
        return _SCORERS[modality].from_pretrained(model, revision, device, **options)
    except OSError as error:
        raise ValueError(f"{model} cannot be loaded: {one_line(error)}") from error
