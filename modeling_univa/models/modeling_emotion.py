# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The network of any system: reads a batch to frames of each modality, and its loss is what its method minimises."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.dynamic_module_utils import custom_object_save
from transformers.utils import ModelOutput

from .checked_loading_univa import CheckedModel, load_network, read_config, refusal
from .configuration_emotion import FACE_EMOTIONS, EmotionConfig
from .dropout_univa import use_byte_dropout
from .packed_rows_univa import encode_rows
from .pipeline_univa import UnivaPipeline


__all__ = [
    "AbsentFrames",
    "DialogueFrames",
    "EmotionModel",
    "EmotionNetwork",
    "EmotionOutput",
    "FrameModel",
    "Frames",
    "build_text_encoder",
    "check_shape",
    "checked_frames",
    "logits_of",
]

# Of a text encoder the hidden states are used.
_POOLER = (r"(.*\.)?pooler\.",)


@dataclass
class EmotionOutput(ModelOutput):
    """
    What any system gives for B utterances over C emotions.

    Args:
        loss (`torch.FloatTensor` of shape `()`, *optional*):
            With `labels` only: what the method minimises in training; in evaluation the terms of the labels alone.
        logits (`torch.FloatTensor` of shape `(B, C)`):
            Scores of the emotions; `config.probabilities(logits)` are compared with `config.label_thresholds`.
        text_embeds, audio_embeds, vision_embeds (`torch.FloatTensor` of shape `(B, H)`, *optional*):
            Embedding of each modality; `None` for a modality that the model does not have.
        loss_terms (`dict[str, torch.FloatTensor]`, *optional*):
            The weighted terms whose sum is `loss`, scalars by their names.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    text_embeds: torch.Tensor | None = None
    audio_embeds: torch.Tensor | None = None
    vision_embeds: torch.Tensor | None = None
    loss_terms: dict[str, torch.Tensor] | None = None


@dataclass
class Frames:
    """
    One modality of B utterances.

    Args:
        states (`torch.Tensor` of shape `(B, T, k)`): word vectors, token states, speech or face frames; padded.
        mask (`torch.BoolTensor` of shape `(B, T)`): which of them are there; none where an utterance lacks it.
    """

    states: torch.Tensor
    mask: torch.Tensor

    @property
    def present(self) -> torch.Tensor:
        """Which utterances have the modality, `(B,)` bool."""
        return self.mask.any(dim=1)

    def mean(self) -> torch.Tensor:
        """Mean of an utterance's frames in float32, `(B, k)`; zero where there are none."""
        weights = self.mask[..., None].float()
        return (self.states.float() * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1)


class DialogueFrames(Frames):
    """
    Text of B utterances as states of the tokens of D dialogues; `states` and `mask` are an utterance's own tokens.

    Args:
        dialogue_states (`torch.Tensor` of shape `(D, L, k)`): states of the tokens.
        dialogue_index (`torch.LongTensor` of shape `(B,)`): row of each utterance.
        utterance_span (`torch.LongTensor` of shape `(B, 2)`): its tokens [start, end) in that row.
    """

    def __init__(self, dialogue_states: torch.Tensor, dialogue_index: torch.Tensor, utterance_span: torch.Tensor):
        self.dialogue_states = dialogue_states
        self.dialogue_index = dialogue_index
        self.utterance_span = utterance_span

    @cached_property
    def states(self) -> torch.Tensor:  # type: ignore[override]
        """The utterances' own tokens `(B, T, k)`; a copy, made where it is asked for."""
        last = self.dialogue_states.shape[1] - 1
        places = (self.utterance_span[:, :1] + self._steps).clamp(max=last)
        own = self.dialogue_states[self.dialogue_index[:, None], places]
        return own * self.mask[..., None]

    @cached_property
    def mask(self) -> torch.Tensor:  # type: ignore[override]
        """Which of `states` are tokens, `(B, T)` bool."""
        return self._steps < (self.utterance_span[:, 1:] - self.utterance_span[:, :1])

    @property
    def present(self) -> torch.Tensor:
        """Which utterances have text, `(B,)` bool."""
        return self.utterance_span[:, 1] > self.utterance_span[:, 0]

    @cached_property
    def _steps(self) -> torch.Tensor:
        lengths = self.utterance_span[:, 1] - self.utterance_span[:, 0]
        # A graph is exported for utterances of any length.
        longest = self.dialogue_states.shape[1] if torch.jit.is_tracing() else max(1, int(lengths.max()))
        return torch.arange(longest, device=lengths.device)


class AbsentFrames(nn.Module):
    """What stands for a modality that an utterance lacks: one learned frame, which starts at zero."""

    def __init__(self, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size))

    def forward(self, frames: Frames) -> Frames:
        """The frames, `weight` being the one frame of utterances that have none."""
        absent = ~frames.present[:, None]
        first = torch.arange(frames.mask.shape[1], device=frames.mask.device) == 0
        fill = absent & first
        states = torch.where(fill[..., None], self.weight.to(frames.states.dtype), frames.states)
        return Frames(states, frames.mask | fill)


class EmotionNetwork(CheckedModel, PreTrainedModel):
    """What transformers may do with any network of transformer layers of this package."""

    supports_gradient_checkpointing = True
    # Trainer would count items for a loss that is a mean over the batch.
    accepts_loss_kwargs = False
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True

    def post_init(self) -> None:
        """As in transformers; dropout of every part, those of transformers too, is the fast one from here on."""
        super().post_init()
        use_byte_dropout(self)


class EmotionModel(EmotionNetwork):
    """
    Base of the systems, most of which derive from [`FrameModel`]. A subclass sets `config_class` and writes
    [`~EmotionModel.classify`] and [`~EmotionModel.loss_terms`].
    """

    config_class = EmotionConfig
    config: EmotionConfig
    # Whether an utterance's scores depend on other utterances of its dialogue than through the text encoder.
    reads_dialogues: ClassVar[bool] = False
    # Whether the training loss is made of `logits`, so that moving them (`logit_offsets`) has an effect.
    loss_reads_logits: ClassVar[bool] = True

    # What a system writes

    def classify(self, frames: dict[str, Frames], **inputs: Any) -> EmotionOutput:
        """
        Score utterances.

        Args:
            frames: of every modality in `config.modalities`.
            inputs: `dialogue_index`, `position`, `speaker_index` and `face_emotions` of `forward`, and its options.

        Returns:
            `logits`, and whatever `loss_terms` needs.
        """
        raise NotImplementedError

    def loss_terms(
        self, output: Any, labels: torch.Tensor, va: Mapping[str, torch.Tensor | None] | None
    ) -> dict[str, torch.Tensor]:
        """
        The weighted terms of the loss, scalars by their names.

        Args:
            output: of `classify`; of an evaluation it may have the logits alone.
            labels (`torch.FloatTensor` of shape `(B, C)`): multi-hot targets.
            va: `text_va`, `audio_va` and `vision_va` of `forward`; `None` in evaluation, which has the terms of the
                labels alone.

        Raises:
            `ValueError`: something that a term needs is missing, or a shape does not fit.
        """
        raise NotImplementedError

    def fit_statistics(self, dataset: Any) -> None:
        """
        Take from the training set, before training, what the method needs of it; into buffers, which are saved.

        Args:
            dataset: `UtteranceDataset`, with `labels` `(rows, C)`, and `batches(size)`, the inputs of `forward`.
        """

    def remember(self, output: Any, labels: torch.Tensor, va: Mapping[str, torch.Tensor | None]) -> None:
        """
        Keep what the method needs of past training batches, in buffers or as `resume_state` has it; called after the
        loss of each, without gradients.

        Args:
            output: of `classify`.
            labels (`torch.FloatTensor` of shape `(B, C)`): multi-hot targets.
            va: `text_va`, `audio_va` and `vision_va` of `forward`.
        """

    def resume_state(self) -> dict[str, torch.Tensor]:
        """
        What a resumed run needs besides weights and buffers, by name; checkpoints have it, a saved model does not.
        """
        return {}

    def load_resume_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """
        Take up what `resume_state` was.

        Raises:
            `ValueError`: something that the configuration asks for is missing.
        """

    # The one way from a batch to a loss

    def forward(
        self,
        labels: torch.Tensor | None = None,
        dialogue_index: torch.Tensor | None = None,
        utterance_span: torch.Tensor | None = None,
        position: torch.Tensor | None = None,
        speaker_index: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        text_states: torch.Tensor | None = None,
        text_features: torch.Tensor | None = None,
        text_attention_mask: torch.Tensor | None = None,
        audio_features: torch.Tensor | None = None,
        audio_attention_mask: torch.Tensor | None = None,
        vision_features: torch.Tensor | None = None,
        vision_attention_mask: torch.Tensor | None = None,
        face_emotions: torch.Tensor | None = None,
        text_va: torch.Tensor | None = None,
        audio_va: torch.Tensor | None = None,
        vision_va: torch.Tensor | None = None,
        logit_offsets: torch.Tensor | None = None,
        return_dict: bool | None = None,
        **options: Any,
    ) -> Any:
        """
        Score B utterances of D ≤ B dialogues. Every mask is 1 = keep; an all-zero row is an absent modality.

        Args:
            labels (`torch.FloatTensor` of shape `(B, C)`): multi-hot target; all zeros is a legal row. With it there
                is a loss: in training what the method minimises, in evaluation the terms of the labels alone.
            dialogue_index (`torch.LongTensor` of shape `(B,)`): dialogue of each utterance; row of `input_ids`.
            utterance_span (`torch.LongTensor` of shape `(B, 2)`): its tokens [start, end) in that row.
            position, speaker_index (`torch.LongTensor` of shape `(B,)`): place in the dialogue, and speaker within
                the dialogue, −1 where unknown.
            input_ids, attention_mask (`torch.LongTensor` of shape `(D, L)`): one row a distinct dialogue.
            text_states (`torch.FloatTensor` of shape `(B, T, k)`): states of the utterance's own tokens from a frozen
                encoder, instead of tokens.
            text_features (`torch.FloatTensor` of shape `(B, T, text_feature_size)`): word vectors, instead of tokens.
            audio_features (`torch.FloatTensor` of shape `(B, frames, audio_feature_size)`): speech frames.
            vision_features (`torch.FloatTensor` of shape `(B, frames, vision_feature_size)`): face frames.
            text_attention_mask, audio_attention_mask, vision_attention_mask (`torch.LongTensor`): `(B, T or frames)`.
            face_emotions (`torch.FloatTensor` of shape `(B, frames, E)`): expression probabilities of each face frame.
            text_va, audio_va, vision_va (`torch.FloatTensor` of shape `(B, 2)`): (valence, arousal) of each modality,
                NaN where unknown; read in training only.
            logit_offsets (`torch.FloatTensor` of shape `(C,)`): added to the logits in the loss alone.
            options: of the system's `classify`.

        Raises:
            `ValueError`: an input of a modality that the model has is missing, or of the wrong shape; or something
                that the loss needs.
        """
        inputs = {
            "dialogue_index": dialogue_index, "utterance_span": utterance_span, "input_ids": input_ids,
            "attention_mask": attention_mask, "text_states": text_states, "text_features": text_features,
            "text_attention_mask": text_attention_mask, "audio_features": audio_features,
            "audio_attention_mask": audio_attention_mask, "vision_features": vision_features,
            "vision_attention_mask": vision_attention_mask,
        }  # fmt: skip
        self._check_face_emotions(face_emotions, vision_features)
        extra = {"position": position, "speaker_index": speaker_index, "face_emotions": face_emotions}
        output = self.classify_batch({**inputs, **extra}, **options)
        if labels is not None:
            va = {"text_va": text_va, "audio_va": audio_va, "vision_va": vision_va}
            output = self.with_loss(output, labels, va if self.training else None, logit_offsets)
            if self.training:
                with torch.no_grad():
                    self.remember(output, labels, va)
        wants_dict = self.config.return_dict if return_dict is None else return_dict
        return output if wants_dict else output.to_tuple()

    def classify_batch(self, inputs: dict[str, torch.Tensor | None], **options: Any) -> Any:
        """
        Output of `classify` for a batch.

        Args:
            inputs: those of `forward` that scores depend on, each by its name, `None` where it is missing.
            options: of the system's `classify`.
        """
        extra = {name: inputs[name] for name in ("dialogue_index", "position", "speaker_index", "face_emotions")}
        return self.classify(self.read(inputs), **extra, **options)

    def with_loss(
        self,
        output: Any,
        labels: torch.Tensor,
        va: Mapping[str, torch.Tensor | None] | None = None,
        logit_offsets: torch.Tensor | None = None,
    ) -> Any:
        """The output with its loss and the terms of it; see `loss_terms` and `forward`."""
        scored = output if logit_offsets is None else replace(output, logits=output.logits + logit_offsets)
        terms = self.loss_terms(scored, labels, va)
        loss = torch.stack([term.float() for term in terms.values()]).sum()
        return replace(output, loss=loss, loss_terms=terms)

    def read(self, inputs: Mapping[str, Any], modalities: Sequence[str] | None = None) -> dict[str, Frames]:
        """
        Frames of each modality out of the inputs of `forward`.

        Args:
            modalities: of the model's; by default all of them.

        Raises:
            `ValueError`: the model lacks a modality, or an input of it is missing or of the wrong shape.
        """
        wanted = self.config.modalities if modalities is None else modalities
        frames = {modality: self._read(modality, inputs) for modality in wanted}
        # By `shape`, since `len` of a tensor would be a constant in an exported graph.
        sizes = {modality: _batch_size(found) for modality, found in frames.items()}
        if any(size != sizes[wanted[0]] for size in sizes.values()):
            found = {modality: int(size) for modality, size in sizes.items()}
            raise ValueError(f"Every modality needs one entry an utterance, got {found}.")
        return frames

    def _check_face_emotions(self, emotions: torch.Tensor | None, faces: torch.Tensor | None) -> None:
        size = self.config.face_emotion_size
        if FACE_EMOTIONS not in self.config.extra_inputs or faces is None:
            return
        if emotions is None:
            raise ValueError(
                f"This model reads `face_emotions`, the probabilities of {size} expressions of every face: extract "
                "them beside the faces, or train without `face_emotion_size`."
            )
        check_shape("face_emotions", emotions, (*faces.shape[:2], size))

    def _read(self, modality: str, inputs: Mapping[str, Any]) -> Frames:
        if modality not in self.config.modalities:
            raise ValueError(f"This model has {list(self.config.modalities)}, not {modality!r} (`config.modalities`).")
        if modality == "text" and self.config.reads_tokens:
            return self._read_tokens(inputs)
        features, mask = self._required(modality, inputs, f"{modality}_features", f"{modality}_attention_mask")
        return self._padded(checked_frames(self.config, modality, features, mask))

    def _read_tokens(self, inputs: Mapping[str, Any]) -> Frames:
        """The states of the utterances' tokens: each dialogue is encoded once."""
        if inputs.get("text_states") is not None:
            return self._read_states(inputs)
        names = ("input_ids", "attention_mask", "dialogue_index", "utterance_span")
        input_ids, attention_mask, dialogue_index, utterance_span = self._required("text", inputs, *names)
        check_shape("input_ids", input_ids, ("dialogues", "tokens"))
        check_shape("attention_mask", attention_mask, input_ids.shape)
        check_shape("dialogue_index", dialogue_index, ("batch",))
        check_shape("utterance_span", utterance_span, (dialogue_index.shape[0], 2))
        encoder: Any = self.text_encoder
        states = encode_rows(encoder, input_ids, attention_mask)
        return self._padded(DialogueFrames(states, dialogue_index, utterance_span))

    def _read_states(self, inputs: Mapping[str, Any]) -> Frames:
        states, mask = self._required("text", inputs, "text_states", "text_attention_mask")
        check_shape("text_states", states, ("batch", "tokens", self.config.frame_sizes["text"]))
        check_shape("text_attention_mask", mask, states.shape[:2])
        lengths = mask.long().sum(dim=1)
        span = torch.stack([torch.zeros_like(lengths), lengths], dim=1)
        rows = torch.arange(states.shape[0], device=states.device)
        return self._padded(DialogueFrames(states.to(self.dtype), rows, span))

    def _padded(self, frames: Frames) -> Frames:
        """As published code has frames that never asks for a mask: `config.fixed_length` of them, padding and all."""
        length = self.config.fixed_length
        if length is None and self.config.mask_padding:
            return frames
        states, mask = frames.states, frames.mask
        if length is not None:
            states = nn.functional.pad(states, (0, 0, 0, max(0, length - states.shape[1])))[:, :length]
            mask = nn.functional.pad(mask, (0, max(0, length - mask.shape[1])))[:, :length]
        return Frames(states, mask if self.config.mask_padding else torch.ones_like(mask))

    @staticmethod
    def _required(modality: str, inputs: Mapping[str, Any], *names: str) -> list[torch.Tensor]:
        missing = [name for name in names if inputs.get(name) is None]
        if missing:
            raise ValueError(
                f"The {modality} modality needs {', '.join(f'`{name}`' for name in missing)}. For utterances without "
                f"{modality} pass an all-zero mask, as `UnivaProcessor` does."
            )
        return [inputs[name] for name in names]

    # The text encoder

    @property
    def text_encoder(self) -> PreTrainedModel | None:
        """The pretrained text encoder, `None` where text comes as word vectors or the model has none."""
        return self._modules.get("text_encoder")  # type: ignore[return-value]

    def set_text_encoder(self, encoder: PreTrainedModel) -> None:
        """Put an encoder of the same configuration in the place of the text encoder."""
        self._modules["text_encoder"] = encoder

    def get_input_embeddings(self) -> Any:
        """Token embeddings of the text encoder, `None` without one."""
        encoder: Any = self.text_encoder
        return None if encoder is None else encoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embeddings of the text encoder."""
        encoder: Any = self.text_encoder
        encoder.set_input_embeddings(value)

    @classmethod
    def from_text_encoder(
        cls,
        config: Any,
        text_model_name_or_path: str,
        attn_implementation: str | None = None,
        text_config_overrides: dict[str, Any] | None = None,
        **hub_kwargs: Any,
    ) -> Any:
        """
        A new model whose text encoder holds pretrained weights; everything else is freshly initialised.

        Args:
            config: the model's configuration; its `text_config` is replaced by that of the encoder.
            text_model_name_or_path (`str`): Hub id or folder of any encoder that `AutoModel` loads.
            attn_implementation (`str`, *optional*): attention of the whole model ("sdpa", "eager", …).
            text_config_overrides (`dict`, *optional*): fields of the encoder's configuration to change, dropouts say.
            hub_kwargs: passed on to `from_pretrained` (`revision`, `token`, `cache_dir`, …).

        Raises:
            `ValueError`: it is not a text encoder of transformers, or its weights are missing or not finite.
            `OSError`: there is no such folder or repository.
        """
        overrides = text_config_overrides or {}
        config.text_config = read_config(text_model_name_or_path, **overrides, **hub_kwargs)
        attention = {"attn_implementation": attn_implementation} if attn_implementation else {}
        model = cls._from_config(config, **attention)
        encoder_class = type(model.text_encoder)
        encoder = load_network(
            encoder_class,
            text_model_name_or_path,
            config=config.text_config,
            new=_POOLER,
            dtype=model.dtype,
            **_without_pooler(encoder_class),
            **hub_kwargs,
        )
        if Path(text_model_name_or_path).is_dir():
            encoder.config._name_or_path = ""  # A folder of this machine is not the business of others.
        use_byte_dropout(encoder)
        # One configuration for both, so that whatever is set on it later (attention, say) reaches the encoder.
        model.set_text_encoder(encoder)
        config.text_config = encoder.config
        return model

    def save_pretrained(self, save_directory: str | PathLike, **kwargs: Any) -> None:
        """As `PreTrainedModel` saves, with the code of the pipeline that `config.custom_pipelines` names."""
        if kwargs.get("is_main_process", True):
            Path(save_directory).mkdir(parents=True, exist_ok=True)
            custom_object_save(UnivaPipeline, save_directory)
        super().save_pretrained(save_directory, **kwargs)


class FrameModel(EmotionModel):
    """
    Base of a system that reads frames of every modality alike.

    Its text encoder, where text comes as tokens, is `self.text_encoder`. `classify` gets frames of width
    `config.frame_sizes`, at least one of every utterance: of a modality that an utterance lacks, a learned one.
    """

    def __init__(self, config: Any):
        super().__init__(config)
        if config.reads_tokens:
            self.set_text_encoder(build_text_encoder(config.text_config))
        self.absent = nn.ModuleDict({name: AbsentFrames(size) for name, size in config.frame_sizes.items()})

    def read(self, inputs: Mapping[str, Any], modalities: Sequence[str] | None = None) -> dict[str, Frames]:
        """As [`EmotionModel.read`], with a learned frame of what an utterance lacks."""
        return {name: self.absent[name](found) for name, found in super().read(inputs, modalities).items()}


def build_text_encoder(config: PreTrainedConfig) -> PreTrainedModel:
    """
    The encoder of a text configuration, without a pooler where its class can do without.

    Raises:
        `ValueError`: `AutoModel` has no text encoder of the configuration's type.
    """
    encoder_class: Any = AutoModel._model_mapping.get(type(config), None)
    if getattr(encoder_class, "main_input_name", None) != "input_ids":
        raise ValueError(f"`text_config` must be of a text encoder, got the `model_type` {config.model_type!r}.")
    with refusal(config.model_type, "The text encoder of `text_config` ({}) cannot be built"):
        return AutoModel.from_config(config, trust_remote_code=False, **_without_pooler(encoder_class))


def _without_pooler(encoder_class: type[PreTrainedModel]) -> dict[str, bool]:
    accepted = inspect.signature(encoder_class.__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in accepted else {}


def checked_frames(config: Any, modality: str, features: torch.Tensor, mask: torch.Tensor) -> Frames:
    """
    The frames of a modality that comes as features.

    Args:
        config: has `feature_sizes` and `max_lengths`, by modality.
        features (`torch.FloatTensor` of shape `(B, T, k)`): frames, padded.
        mask (`torch.LongTensor` of shape `(B, T)`): 1 = keep.

    Raises:
        `ValueError`: a shape does not fit the configuration.
    """
    check_shape(f"{modality}_features", features, ("batch", "frames", config.feature_sizes[modality]))
    check_shape(f"{modality}_attention_mask", mask, features.shape[:2])
    longest = config.max_lengths[modality]
    if features.shape[1] > longest:
        raise ValueError(
            f"`{modality}_features` has {features.shape[1]} frames, more than `config.max_{modality}_length` "
            f"({longest}): cut them, as `UnivaProcessor` does."
        )
    return Frames(features, mask.bool())


def check_shape(name: str, tensor: torch.Tensor, shape: Sequence[int | str]) -> None:
    """Refuse a tensor of another shape; a string in `shape` names a dimension of any size."""
    wanted = zip(tensor.shape, shape, strict=False)
    if tensor.ndim != len(shape) or any(isinstance(size, int) and found != size for found, size in wanted):
        raise ValueError(f"`{name}` must have shape ({', '.join(map(str, shape))}), got {tuple(tensor.shape)}.")


def logits_of(scores: torch.Tensor) -> torch.Tensor:
    """
    Logits, float32, for a network whose scores are not the sigmoid of anything.

    Args:
        scores (`torch.Tensor` of any shape): in [0, 1]; those within 1e-6 of an end count as that far from it.
    """
    inside = scores.float().clamp(1e-6, 1 - 1e-6)
    return inside.log() - (-inside).log1p()


def _batch_size(frames: Frames) -> Any:
    return (frames.dialogue_index if isinstance(frames, DialogueFrames) else frames.mask).shape[0]
