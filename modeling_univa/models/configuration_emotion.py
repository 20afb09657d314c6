# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""What all systems of this package share: labels, modalities, and the way from scores to emotions."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import fields
from typing import Any, ClassVar, Literal

import torch
from huggingface_hub.dataclasses import strict
from transformers import AutoConfig
from transformers.configuration_utils import PreTrainedConfig, SubConfigSpec
from transformers.utils import logging

from .checked_loading_univa import (
    CheckedConfig,
    check_activation,
    check_architecture,
    check_finite_fields,
    check_sizes,
    checked_labels,
)


logger = logging.get_logger(__name__)

MODALITIES: tuple[str, ...] = ("text", "audio", "vision")
# Probabilities of expressions in each face frame: an input of a model, a column of a corpus, and what makes it.
FACE_EMOTIONS = "face_emotions"


_CUSTOM_PIPELINES = {
    "multimodal-emotion-classification": {
        "impl": "pipeline_univa.UnivaPipeline",
        "pt": ["AutoModelForSequenceClassification"],
    },
}
# Tasks of transformers by which the Hub's page of a model, which goes by its tag, calls the pipeline.
_HUB_TASKS = ("audio-classification", "sentiment-analysis", "text-classification", "video-classification")


class _Tasks(dict):
    """
    The one task of a model, which answers to the Hub's names of tasks too.

    With several tasks in the dictionary itself `pipeline(model=…)` could not tell which one is meant.
    """

    def __contains__(self, task: object) -> bool:
        return super().__contains__(task) or task in _HUB_TASKS

    def __missing__(self, task: str) -> Any:
        if task not in _HUB_TASKS:
            raise KeyError(task)
        return next(iter(self.values()))


@strict
class EmotionConfig(CheckedConfig, PreTrainedConfig):
    r"""
    Configuration of any system that predicts every emotion of an utterance from its text, voice and face.

    What turns logits into emotions (trainer, pipeline, `univa predict`, export, card, Space) asks the configuration,
    so that systems of independent labels and of one distribution over the labels go through the same code.

    Args:
        id2label (`dict`):
            Names of the emotions, in the order of the logits.
        text_config (`dict` or `PreTrainedConfig`, *optional*):
            Configuration of the pretrained text encoder that reads a whole dialogue. `None` selects the word-vector
            route: one vector a word, encoded utterance by utterance.
        text_feature_size, audio_feature_size, vision_feature_size (`int`, defaults to 300, 1024, 512):
            Width of the word vectors, speech frames and face frames. `text_feature_size` is used without
            `text_config` only.
        max_text_length (`int`, defaults to 512):
            Longest dialogue in tokens, special tokens included; on the word-vector route, longest utterance in words.
        max_audio_length, max_vision_length (`int`, defaults to 512, 128):
            Longest clip in frames.
        modalities (`list[str]`):
            Which of text, audio and vision the model has.
        decision (`"softmax"` or `"sigmoid"`):
            Whether the probabilities are one distribution over the emotions, or one of each emotion by itself.
        decision_threshold (`float` or `list[float]`):
            An emotion is predicted where its probability is greater than this: one number for all emotions, or one for
            each of them in the order of the labels.
        mask_padding (`bool`, defaults to `True`):
            Whether padding is told from frames. `False` computes as published code that never asks for a mask: padding
            is data, and scores depend on its length.
        fixed_length (`int`, *optional*):
            Frames of each modality are padded or cut to this number; with `mask_padding=False` only, for a result
            that does not depend on the batch.

    Raises:
        `huggingface_hub.errors.StrictDataclassError`: a field of the wrong type, or fields that contradict each other.
    """

    # File and class of the network, as `auto_map` of a saved configuration has them.
    architecture: ClassVar[str] = ""
    # Name and address of the system, and BibTeX entry of its paper, for cards.
    title: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    citation: ClassVar[str] = ""
    # How it works in one clause, where its official code is and under which licence, and what is not as published.
    idea: ClassVar[str] = ""
    official_code: ClassVar[str] = ""
    deviations: ClassVar[tuple[str, ...]] = ()
    # How many expressions `face_emotions` have: a field of systems that read them, which is 0 where they do without.
    face_emotion_size = 0
    # Sizes that mean something else where they are 0.
    may_be_zero: ClassVar[tuple[str, ...]] = ("face_emotion_size",)
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["text_embeds", "audio_embeds", "vision_embeds", "loss_terms"]
    sub_configs_defaults = {
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="roberta", optional=True),
    }

    id2label: dict[int, str] | dict[str, str] | None = None
    label2id: dict[str, int] | dict[str, str] | None = None
    text_config: dict | PreTrainedConfig | None = None
    text_feature_size: int = 300
    audio_feature_size: int = 1024
    vision_feature_size: int = 512
    max_text_length: int = 512
    max_audio_length: int = 512
    max_vision_length: int = 128
    modalities: list[str] | tuple[str, ...] = MODALITIES
    decision: Literal["softmax", "sigmoid"] = "softmax"
    decision_threshold: float | int | list[float | int] = 0.5
    mask_padding: bool = True
    fixed_length: int | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        if self.architecture:
            kwargs.setdefault("auto_map", self._auto_map())
            # transformers writes into these while it makes a pipeline.
            kwargs["custom_pipelines"] = _Tasks(deepcopy(kwargs.get("custom_pipelines", _CUSTOM_PIPELINES)) or {})
        self.id2label, self.label2id = checked_labels(self.id2label, kwargs.get("num_labels"))
        known = [name for name in MODALITIES if name in self.modalities]
        self.modalities = known + [name for name in self.modalities if name not in MODALITIES]
        super().__post_init__(**kwargs)

    @classmethod
    def _auto_map(cls) -> dict[str, str]:
        own = f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}"
        network = {"AutoModel": cls.architecture, "AutoModelForSequenceClassification": cls.architecture}
        return {"AutoConfig": own, **network, "AutoProcessor": "processing_univa.UnivaProcessor"}

    @classmethod
    def _overridden(cls, settings: dict[str, Any], overrides: dict[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
        """With another number of labels, the thresholds that a file has of its own labels mean nothing."""
        labels, stored = overrides.get("id2label"), settings.get("decision_threshold")
        number = rest.get("num_labels") if labels is None else len(labels)
        if isinstance(stored, list) and number not in (None, len(stored)) and "decision_threshold" not in overrides:
            overrides = {**overrides, "decision_threshold": cls.decision_threshold}
            logger.warning(
                f"The thresholds of this model are of {len(stored)} labels, and it is loaded for {number}: "
                f"`decision_threshold` is {cls.decision_threshold}, choose it on validation rows."
            )
        return super()._overridden(settings, overrides, rest)

    @classmethod
    def settings_for(cls, label_names: Sequence[str]) -> dict[str, Any]:
        """Settings that a new model for these labels has where nothing else is said."""
        return {}

    @classmethod
    def remark_on(cls, label_names: Sequence[str]) -> str | None:
        """What to tell the user of [`~EmotionConfig.settings_for`] these labels; `None` where there is nothing."""
        return None

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """
        Probabilities of the emotions, float32, in the shape of `logits` `(…, C)`.

        Args:
            logits (`torch.Tensor` of shape `(…, C)`): scores of the emotions, any floating dtype.
        """
        logits = logits.float()
        return logits.softmax(dim=-1) if self.decision == "softmax" else logits.sigmoid()

    @property
    def uses_va(self) -> bool:
        """Whether the loss needs the valence and arousal of each clip."""
        return False

    @property
    def extra_inputs(self) -> tuple[str, ...]:
        """
        Which of `position`, `speaker_index` and `face_emotions` the scores depend on; with the last the configuration
        has `face_emotion_size`.
        """
        return ()

    @property
    def label_thresholds(self) -> list[float]:
        """The probability above which each emotion is predicted, in the order of the labels."""
        given = self.decision_threshold
        return list(given) if isinstance(given, list) else [given] * self.num_labels

    @property
    def label_names(self) -> list[str]:
        """Names of the labels, in order."""
        names: Any = self.id2label
        return [names[index] for index in range(self.num_labels)]

    @property
    def reads_tokens(self) -> bool:
        """Whether text comes as tokens for a pretrained encoder, rather than as word vectors."""
        return "text" in self.modalities and self.text_config is not None

    @property
    def frame_sizes(self) -> dict[str, int]:
        """Width of the frames that a network gets of each of its modalities; of tokens, that of their states."""
        text_config: Any = self.text_config
        sizes = {**self.feature_sizes, **({"text": text_config.hidden_size} if self.reads_tokens else {})}
        return {name: sizes[name] for name in self.modalities}

    @property
    def feature_sizes(self) -> dict[str, int]:
        """Frame width of each modality that comes as features."""
        sizes = {"audio": self.audio_feature_size, "vision": self.vision_feature_size}
        if self.text_config is None:
            sizes["text"] = self.text_feature_size
        return {name: sizes[name] for name in MODALITIES if name in sizes and name in self.modalities}

    @property
    def extracted_sizes(self) -> dict[str, int]:
        """Frame width of each modality that comes as features, and of `face_emotions` where they are read."""
        expressions = {FACE_EMOTIONS: self.face_emotion_size} if FACE_EMOTIONS in self.extra_inputs else {}
        return {**self.feature_sizes, **expressions}

    @property
    def max_lengths(self) -> dict[str, int]:
        """Longest sequence of each modality, in tokens, words or frames."""
        return {name: getattr(self, f"max_{name}_length") for name in MODALITIES}

    def validate_architecture(self) -> None:
        """Check fields against each other; called by the strict dataclass. A system calls it before its own checks."""
        inherited = {item.name for item in fields(PreTrainedConfig)}
        own = [item.name for item in fields(self) if item.name not in inherited]
        check_sizes(self, own, self.may_be_zero)
        self._validate_layers(own)
        if isinstance(self.text_config, PreTrainedConfig):
            check_architecture(self.text_config, "text_config")
        check_finite_fields(self)
        unknown = [name for name in self.modalities if name not in MODALITIES]
        if unknown or not self.modalities:
            raise ValueError(f"`modalities` must be some of {list(MODALITIES)}, got {list(self.modalities)}.")
        if not all(0 <= threshold < 1 for threshold in self.label_thresholds):
            raise ValueError(f"`decision_threshold` must lie in [0, 1), got {self.decision_threshold}.")
        if len(self.label_thresholds) != self.num_labels:
            raise ValueError(
                f"`decision_threshold` must be one number, or one for each of the {self.num_labels} labels, got "
                f"{len(self.label_thresholds)}."
            )

    def _validate_layers(self, names: Sequence[str]) -> None:
        """Check what transformer layers ask for, where the system has any."""
        if hasattr(self, "hidden_act"):
            check_activation(self.hidden_act)
        width = getattr(self, "hidden_size", 0)
        for name in (name for name in names if name.endswith("_heads")):
            if width % getattr(self, name):
                raise ValueError(
                    f"`hidden_size` must be a multiple of `{name}`, got {width} and {getattr(self, name)}."
                )


def check_objective(objective: str, decision: str) -> None:
    """Refuse a KL divergence with independent labels, and a loss of independent labels with one distribution."""
    wanted = "softmax" if objective == "kl" else "sigmoid"
    if decision != wanted:
        raise ValueError(f"`objective={objective!r}` needs `decision={wanted!r}`, got {decision!r}.")


def feature_column(name: str) -> str:
    """The input of a model, and the column of a corpus, with the features of a modality or with `face_emotions`."""
    return name if name == FACE_EMOTIONS else f"{name}_features"


def size_field(name: str) -> str:
    """The field of a configuration with the width of the frames of a modality or of `face_emotions`."""
    return "face_emotion_size" if name == FACE_EMOTIONS else f"{name}_feature_size"


__all__ = ["FACE_EMOTIONS", "MODALITIES", "EmotionConfig", "check_objective", "feature_column", "size_field"]
