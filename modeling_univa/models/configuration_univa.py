# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Configuration of UniVA, and the valence-arousal table of the emotion words."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict
from transformers.configuration_utils import PreTrainedConfig
from transformers.utils import logging

from .checked_loading_univa import estimated_parameters
from .configuration_emotion import MODALITIES, EmotionConfig
from .limits_univa import check_limit


logger = logging.get_logger(__name__)

# (valence, arousal) on [0, 1] of the words in the two published corpora, as the NRC-VAD lexicon rates them.
EMOTION_VALENCE_AROUSAL: dict[str, tuple[float, float]] = {
    "happy": (1.000, 0.735),
    "sad": (0.225, 0.333),
    "anger": (0.167, 0.865),
    "surprise": (0.875, 0.875),
    "disgust": (0.052, 0.775),
    "fear": (0.073, 0.840),
    "neutral": (0.500, 0.500),
}

# Other forms of these words, by which corpora call the same emotions.
EMOTION_ALIASES: dict[str, str] = {
    "happiness": "happy",
    "joy": "happy",
    "joyful": "happy",
    "sadness": "sad",
    "angry": "anger",
    "surprised": "surprise",
    "disgusted": "disgust",
    "fearful": "fear",
    "afraid": "fear",
}

MOSEI_EMOTIONS: tuple[str, ...] = ("happy", "sad", "anger", "surprise", "disgust", "fear")
M3ED_EMOTIONS: tuple[str, ...] = ("happy", "surprise", "sad", "disgust", "anger", "fear", "neutral")


@strict
class UnivaConfig(EmotionConfig):
    r"""
    Configuration of a UniVA model (Zheng et al., ACM MM 2024). The defaults are those of the published MOSEI run with
    RoBERTa, as its released code computes it.

    Labels, modalities, sizes and lengths, text encoder and decision are those of [`EmotionConfig`]; the threshold is
    0.18 by default, and the modalities are those of Table 4 of the paper.

    Args:
        text_num_hidden_layers, audio_num_hidden_layers, vision_num_hidden_layers (`int`, defaults to 7, 5, 3):
            Transformer layers over the word vectors, speech frames and face frames.
        hidden_size, num_attention_heads, intermediate_size, hidden_act, layer_norm_eps:
            Sizes of the transformer layers; `hidden_size` is also the size of each modality's embedding.
        projection_dropout, hidden_dropout_prob, attention_probs_dropout_prob, classifier_dropout (`float`):
            Dropout after the input projections, in the layers, on the attention weights, and on the logits.
        modality_dropout (`float`, defaults to 0):
            Probability, in training, that the classifier gets a modality of an utterance as absent; never all of them.
            The contrastive terms are not affected. Not part of the paper.
        objective (`"released"` or `"paper"`):
            Which reading of the training objective: that of the released code, or that of equations 4 to 11.
        contrastive_loss (`"va"`, `"supervised"`, `"self"` or `"none"`):
            How positive pairs are chosen (Table 6).
        contrastive_weight (`float`, defaults to 0.45):
            λ of equation 11.
        contrastive_temperature (`float`, defaults to 0.7):
            τ of equation 5.
        contrastive_cosine (`bool`, defaults to `False`):
            Whether embeddings are compared by their cosine instead of their dot product; τ is then best far below 1.
            Not part of the paper.
        contrastive_modality_weights (`list[float]`, defaults to `[3, 1, 1]`):
            Weights of the text, audio and vision terms; used by the released objective.
        gather_across_devices (`bool`, defaults to `False`):
            Whether, in training over several processes, the contrastive terms are those of the utterances of all
            processes together. Not part of the paper.
        contrastive_memory (`int`, defaults to 0):
            How many utterances of past batches each utterance is contrasted with too. Not part of the paper.
        contrastive_chunk_size (`int`, defaults to 0):
            Utterances that go through the network at a time in training, so that its memory does not grow with the
            batch. Loss and gradients are still those of the whole batch, and a step takes about a third longer. 0 is
            the whole batch.
        va_distance_threshold (`float`, defaults to 0.1):
            δ: two clips closer than this in valence-arousal space are a positive pair (equation 3).
        correlation_prior_weight (`float`, defaults to 1):
            Factor on the emotion correlation prior η (equation 9); 0 turns it off.
        label_affect (`list[list[float]]`, *optional*):
            (valence, arousal) of every label on [0, 1], in label order. Filled in for the words of
            `EMOTION_VALENCE_AROUSAL` and their other forms, such as joy and angry; other labels need it while
            `correlation_prior_weight` is not 0.
        learn_label_similarity (`bool`, defaults to `True`):
            Whether M (equation 8) is trained, as the released code does, or stays fixed, as in the paper.

    Raises:
        `huggingface_hub.errors.StrictDataclassError`: a field of the wrong type, or fields that contradict each other.
    """

    model_type = "univa"
    architecture = "modeling_univa.UnivaForEmotionClassification"
    title = "UniVA"
    paper = "https://doi.org/10.1145/3664647.3681638"
    citation = """\
@inproceedings{zheng2024univa,
  title     = {A Unimodal Valence-Arousal Driven Contrastive Learning Framework for Multimodal Multi-Label Emotion
               Recognition},
  author    = {Zheng, Wenjie and Yu, Jianfei and Xia, Rui},
  booktitle = {Proceedings of the 32nd ACM International Conference on Multimedia},
  year      = {2024},
  doi       = {10.1145/3664647.3681638},
}"""
    official_code = "[NUSTM/UniVA](https://github.com/NUSTM/UniVA)"
    may_be_zero = (*EmotionConfig.may_be_zero, "contrastive_chunk_size")
    keys_to_ignore_at_inference: ClassVar[list[str]] = [
        *EmotionConfig.keys_to_ignore_at_inference,
        "multimodal_embeds",
        "text_attention",
        "audio_attention",
        "vision_attention",
        "label_similarity",
    ]
    # transformers' own BERT layers are built from this configuration and ask for these two.
    is_decoder: ClassVar[bool] = False
    add_cross_attention: ClassVar[bool] = False

    text_num_hidden_layers: int = 7
    audio_num_hidden_layers: int = 5
    vision_num_hidden_layers: int = 3

    hidden_size: int = 768
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    projection_dropout: float | int = 0.1
    hidden_dropout_prob: float | int = 0.1
    attention_probs_dropout_prob: float | int = 0.1
    classifier_dropout: float | int = 0.1
    modality_dropout: float | int = 0.0

    objective: Literal["released", "paper"] = "released"
    contrastive_loss: Literal["va", "supervised", "self", "none"] = "va"
    contrastive_weight: float | int = 0.45
    contrastive_temperature: float | int = 0.7
    contrastive_cosine: bool = False
    contrastive_modality_weights: list[float | int] | tuple[float | int, ...] = (3.0, 1.0, 1.0)
    gather_across_devices: bool = False
    contrastive_memory: int = 0
    contrastive_chunk_size: int = 0
    va_distance_threshold: float | int = 0.1
    correlation_prior_weight: float | int = 1.0
    label_affect: list[list[float | int]] | None = None
    learn_label_similarity: bool = True
    decision_threshold: float | int | list[float | int] = 0.18

    def __post_init__(self, **kwargs: Any) -> None:
        if self.id2label is None and kwargs.get("num_labels") is None:
            self.id2label = dict(enumerate(MOSEI_EMOTIONS))
        self.contrastive_modality_weights = list(self.contrastive_modality_weights)
        super().__post_init__(**kwargs)
        if self.label_affect is None:
            # A model that was saved without the prior, before other forms were known, has no weights of it.
            self.label_affect = affect_of_labels(self.label_names, other_forms=bool(self.correlation_prior_weight))

    @classmethod
    def _overridden(cls, settings: dict[str, Any], overrides: dict[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
        """With other labels, what a file says of its own labels is derived again: names, valence and arousal."""
        stored = settings.get("id2label")
        num_labels = None if overrides.get("id2label") else rest.get("num_labels")
        is_new_number = num_labels is not None and stored is not None and num_labels != len(stored)
        if is_new_number:
            settings = {name: value for name, value in settings.items() if name not in ("id2label", "label2id")}
        if is_new_number or "id2label" in overrides:
            settings = {name: value for name, value in settings.items() if name not in ("label2id", "label_affect")}
            names = _label_names(overrides.get("id2label"), num_labels)
            if not {"label_affect", "correlation_prior_weight"} & set(overrides) and affect_of_labels(names) is None:
                overrides = {**overrides, "correlation_prior_weight": 0.0}
                logger.warning(_without_affect(names))
        return super()._overridden(settings, overrides, rest)

    @property
    def idea(self) -> str:  # type: ignore[override]
        """One clause, for cards."""
        drawn = ", whose embeddings are drawn together in training where clips are alike in valence and arousal"
        return f"one network a modality{drawn if self.uses_va else ''}"

    @property
    def deviations(self) -> tuple[str, ...]:  # type: ignore[override]
        """Sentences on what is not as published, for cards."""
        found = ['`objective="released"` computes what the released code does, `"paper"` what the equations say.']
        if self.contrastive_loss != "none" and self.gather_across_devices:
            found.append("The contrastive terms are over the utterances of all processes (`gather_across_devices`).")
        if self.contrastive_loss != "none" and self.contrastive_cosine:
            found.append("The contrastive terms compare embeddings by their cosine (`contrastive_cosine`).")
        if self.memory_size:
            found.append(
                f"Each utterance is also contrasted with the last {self.memory_size} utterances of past batches "
                "(`contrastive_memory`)."
            )
        return tuple(found)

    @property
    def memory_size(self) -> int:
        """Utterances of past batches that are kept; none without a contrastive loss."""
        return self.contrastive_memory if self.contrastive_loss != "none" else 0

    @property
    def uses_va(self) -> bool:
        """Whether positive pairs are chosen by valence and arousal."""
        return self.contrastive_loss == "va"

    @classmethod
    def settings_for(cls, label_names: Sequence[str]) -> dict[str, Any]:
        """Without the prior where the valence and arousal of a label are not known."""
        return {} if affect_of_labels(label_names) is not None else {"correlation_prior_weight": 0.0}

    @classmethod
    def remark_on(cls, label_names: Sequence[str]) -> str | None:
        """The labels for which the prior is off."""
        return None if affect_of_labels(label_names) is not None else _without_affect(label_names)

    def validate_architecture(self) -> None:
        """Check fields against each other; called by the strict dataclass."""
        super().validate_architecture()
        total = sum(self._estimated_parameters(modality) for modality in MODALITIES if modality in self.modalities)
        check_limit("parameters", max(1, total), "The network")
        if self.contrastive_memory < 0:
            raise ValueError(f"`contrastive_memory` must be at least 0, got {self.contrastive_memory}.")
        remembered = self.contrastive_memory * self.hidden_size * len(self.modalities)
        check_limit("parameters", max(1, remembered), "The memory of `contrastive_memory` utterances")
        if not self.mask_padding or self.fixed_length is not None:
            raise ValueError("UniVA never attends padding: leave `mask_padding` and `fixed_length` as they are.")
        if len(self.contrastive_modality_weights) != len(MODALITIES):
            raise ValueError(
                "`contrastive_modality_weights` needs three numbers, for text, audio and vision, got "
                f"{list(self.contrastive_modality_weights)}."
            )
        if not 0 <= self.contrastive_weight <= 1:
            raise ValueError(f"`contrastive_weight` must lie in [0, 1], got {self.contrastive_weight}.")
        if not 0 <= self.modality_dropout < 1:
            raise ValueError(f"`modality_dropout` must lie in [0, 1), got {self.modality_dropout}.")
        self._validate_label_affect()

    def _estimated_parameters(self, modality: str) -> int:
        if modality == "text" and isinstance(self.text_config, PreTrainedConfig):
            return estimated_parameters(self.text_config)
        width, frame = self.hidden_size, self.feature_sizes[modality]
        layers = getattr(self, f"{modality}_num_hidden_layers") * width * (4 * width + 2 * self.intermediate_size)
        return layers + width * (2 * width + frame + self.max_lengths[modality])

    def _validate_label_affect(self) -> None:
        if self.label_affect is None:
            if self.correlation_prior_weight:
                raise ValueError(
                    "The emotion correlation prior needs the valence and arousal of every label, and those of "
                    f"{_unknown_words(self.label_names)} are not known: pass `label_affect`, or set "
                    "`correlation_prior_weight` to 0."
                )
            return
        if len(self.label_affect) != self.num_labels or any(len(row) != 2 for row in self.label_affect):
            raise ValueError(
                f"`label_affect` needs one (valence, arousal) pair for each of the {self.num_labels} labels, got "
                f"{self.label_affect}."
            )
        if not all(math.isfinite(value) for row in self.label_affect for value in row):
            raise ValueError(f"`label_affect` must be finite, got {self.label_affect}.")


def affect_of_labels(label_names: Sequence[str], other_forms: bool = True) -> list[list[float]] | None:
    """
    (valence, arousal) on [0, 1] of each label, or `None` where that of a label is not known.

    Args:
        label_names: words of `EMOTION_VALENCE_AROUSAL`.
        other_forms: whether words of `EMOTION_ALIASES`, and either in capitals, are known too.
    """
    pairs = [known_affect(name) if other_forms else EMOTION_VALENCE_AROUSAL.get(name) for name in label_names]
    return None if None in pairs else [list(pair) for pair in pairs if pair is not None]


def known_affect(word: str) -> tuple[float, float] | None:
    """(valence, arousal) on [0, 1] of a word of `EMOTION_VALENCE_AROUSAL` or another form of one; `None` of others."""
    name = word.strip().lower()
    return EMOTION_VALENCE_AROUSAL.get(EMOTION_ALIASES.get(name, name))


def _unknown_words(label_names: Sequence[str]) -> str:
    return ", ".join(name for name in label_names if known_affect(name) is None)


def _without_affect(label_names: Sequence[str]) -> str:
    return (
        f"No valence and arousal is known for {_unknown_words(label_names)}: the correlation prior is off. Pass those "
        "of every such label as `label_affect`, or in training a `label_lexicon` that has them."
    )


def _label_names(id2label: Mapping[Any, str] | None, num_labels: int | None) -> list[str]:
    if isinstance(id2label, Mapping):
        return [str(name) for name in id2label.values()]
    return [f"LABEL_{index}" for index in range(num_labels)] if isinstance(num_labels, int) else []


__all__ = [
    "EMOTION_ALIASES",
    "EMOTION_VALENCE_AROUSAL",
    "M3ED_EMOTIONS",
    "MODALITIES",
    "MOSEI_EMOTIONS",
    "UnivaConfig",
    "affect_of_labels",
    "known_affect",
]
