# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""UniVA: unimodal valence-arousal driven multi-label emotion recognition (Zheng et al., ACM MM 2024)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from os import PathLike
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.masking_utils import create_bidirectional_mask
from transformers.models.bert.modeling_bert import BertLayer
from transformers.utils import ModelOutput, logging

from .checked_loading_univa import refusal
from .configuration_univa import UnivaConfig
from .contrast_rows_univa import ContrastMemory, gather_rows
from .losses_univa import UnivaObjective, UnivaOutput, kl_divergence_loss
from .modeling_emotion import DialogueFrames, EmotionModel, EmotionNetwork, Frames, build_text_encoder
from .packed_rows_univa import PackedRows, pack_rows
from .row_chunks_univa import classify_in_chunks


logger = logging.get_logger(__name__)

# Patterns of the parameters whose shape or meaning comes from the labels.
_HEAD = (r"classifier\.", r"correlation_prior\.")
_SIMILARITY = "label_similarity"
_MEMORY = "contrast_memory"
_HUB_ARGUMENTS = ("cache_dir", "local_files_only", "revision", "subfolder", "token")


@dataclass
class UnivaModelOutput(ModelOutput):
    """
    Embeddings of B utterances.

    Args:
        text_embeds, audio_embeds, vision_embeds (`torch.FloatTensor` of shape `(B, hidden_size)`, *optional*):
            Embedding of each modality; `None` for a modality that the model does not have.
        multimodal_embeds (`torch.FloatTensor` of shape `(B, hidden_size * number of modalities)`):
            The embeddings side by side, in the order text, audio, vision.
        text_attention (`torch.FloatTensor` of shape `(B, L)` or `(B, T)`, *optional*):
            Weight of every token of the utterance's dialogue row (or of every word, for word vectors) in the pooling;
            0 outside of the utterance. With `output_pooling_attentions=True` only, as the next two.
        audio_attention, vision_attention (`torch.FloatTensor` of shape `(B, frames)`, *optional*):
            Weight of every frame in the pooling.
    """

    text_embeds: torch.Tensor | None = None
    audio_embeds: torch.Tensor | None = None
    vision_embeds: torch.Tensor | None = None
    multimodal_embeds: torch.Tensor | None = None
    text_attention: torch.Tensor | None = None
    audio_attention: torch.Tensor | None = None
    vision_attention: torch.Tensor | None = None


class UnivaAdditivePooling(nn.Module):
    """Additive attention with a learned query: `s_i = w · tanh(P x_i + Q q) + b` (equations 1 and 2, AddAtt)."""

    def __init__(self, config: UnivaConfig):
        super().__init__()
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.query_vector = nn.Parameter(torch.empty(config.hidden_size))
        self.score = nn.Linear(config.hidden_size, 1)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Scores `(…)` of hidden states `(…, H)`; [`masked_softmax`] turns them into pooling weights."""
        return self.score(torch.tanh(self.key(hidden_states) + self.query(self.query_vector))).squeeze(-1)


class UnivaAbsentEmbedding(nn.Module):
    """The learned embedding of utterances without text; a module, as PEFT neither trains nor saves bare parameters."""

    def __init__(self, config: UnivaConfig):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.hidden_size))

    def forward(self, pooled: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Embeddings `(B, H)`: those of `pooled` where `present`, `(B,)`, holds, else the learned one."""
        return _or_absent(pooled, present, self.weight)


class UnivaSequenceEncoder(nn.Module):
    """Frames (or word vectors) of one modality to one embedding per clip (equation 2, SAT and AddAtt)."""

    def __init__(self, config: UnivaConfig, modality: str):
        super().__init__()
        self.config = config
        self.modality = modality
        self.projection = nn.Linear(config.feature_sizes[modality], config.hidden_size)
        self.dropout = nn.Dropout(config.projection_dropout)
        self.position_embeddings = nn.Embedding(config.max_lengths[modality], config.hidden_size)
        num_layers = getattr(config, f"{modality}_num_hidden_layers")
        self.layers = nn.ModuleList(BertLayer(config, layer_idx=index) for index in range(num_layers))
        self.pooling = UnivaAdditivePooling(config)
        # Bare, since transformers takes no module without parameters of its own to `_init_weights`.
        self.absent_embedding = nn.Parameter(torch.empty(config.hidden_size))

    def forward(self, frames: Frames) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings `(B, H)` and pooling weights `(B, T)`."""
        mask, present = frames.mask, frames.present
        rows = pack_rows(self.config, mask)
        hidden_states, scores = self._padded(frames) if rows is None else self._packed(frames.states, rows)
        weights = masked_softmax(scores, mask)
        pooled = (weights[:, None] @ hidden_states).squeeze(1)
        return self.or_absent(pooled, present), weights * present[:, None]

    def _padded(self, frames: Frames) -> tuple[torch.Tensor, torch.Tensor]:
        """States `(B, T, H)` and scores `(B, T)` of the frames; of padding, meaningless."""
        mask, present = frames.mask, frames.present
        hidden_states = self.dropout(self.projection(frames.states.to(self.projection.weight.dtype)))
        hidden_states = hidden_states + self.position_embeddings.weight[: mask.shape[1]]
        # An absent row attends to its padding, so that softmax stays finite; its result is replaced by the caller.
        attention_mask = create_bidirectional_mask(self.config, hidden_states, (mask | ~present[:, None]).long())
        for layer in self.layers:
            hidden_states = layer(hidden_states, attention_mask)
        return hidden_states, self.pooling(hidden_states)

    def _packed(self, states: torch.Tensor, rows: PackedRows) -> tuple[torch.Tensor, torch.Tensor]:
        """As `_padded`, of padding zero."""
        packed = self.dropout(self.projection(rows.pack(states).to(self.projection.weight.dtype)))
        packed = packed + self.position_embeddings(rows.places)
        for layer in self.layers:
            packed = layer(packed, None, **rows.attention)
        return rows.unpack(packed), rows.unpack(self.pooling(packed))

    def or_absent(self, pooled: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Embeddings `(B, H)`: those of `pooled` where `present`, `(B,)`, holds, else the learned one."""
        return _or_absent(pooled, present, self.absent_embedding)


class UnivaDialogueEncoder(nn.Module):
    """Dialogues through a pretrained encoder, then one embedding per utterance from its own tokens (equation 1)."""

    def __init__(self, config: UnivaConfig):
        super().__init__()
        text_config: Any = config.text_config
        self.encoder = build_text_encoder(text_config)
        self.projection = nn.Linear(text_config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.projection_dropout)
        self.pooling = UnivaAdditivePooling(config)
        self.absent_embedding = UnivaAbsentEmbedding(config)

    def forward(self, frames: DialogueFrames) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Args:
            frames: states of the dialogues' tokens, and which of them are each utterance's.

        Returns:
            Embeddings `(B, H)` and pooling weights `(B, L)` over the utterance's dialogue row.
        """
        hidden_states = self.dropout(self.projection(frames.dialogue_states))
        utterance_span = frames.utterance_span
        positions = torch.arange(hidden_states.shape[1], device=hidden_states.device)
        in_span = (positions >= utterance_span[:, :1]) & (positions < utterance_span[:, 1:])
        dialogues = torch.arange(hidden_states.shape[0], device=hidden_states.device)
        in_dialogue = dialogues == frames.dialogue_index[:, None]
        own_tokens = in_dialogue[:, :, None] & in_span[:, None, :]
        # Pooling over all (dialogue, token) pairs at once scores a token one time, whatever number of utterances
        # shares its dialogue, and needs no copy of the dialogue for each of them.
        scores = self.pooling(hidden_states).flatten().expand(own_tokens.shape[0], -1)
        weights = masked_softmax(scores, own_tokens.flatten(1))
        pooled = weights @ hidden_states.flatten(0, 1)
        present = frames.present
        weights = weights.view(own_tokens.shape).sum(dim=1) * present[:, None]
        return self.or_absent(pooled, present), weights

    def or_absent(self, pooled: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Embeddings `(B, H)`: those of `pooled` where `present`, `(B,)`, holds, else the learned one."""
        return self.absent_embedding(pooled, present)


class UnivaCorrelationPrior(nn.Module):
    """Holds M, the similarity of the labels in valence-arousal space (equation 8)."""

    label_similarity: torch.Tensor

    def __init__(self, config: UnivaConfig):
        super().__init__()
        self.config = config
        similarity = torch.empty(config.num_labels, config.num_labels)
        if config.learn_label_similarity:
            self.label_similarity = nn.Parameter(similarity)
        else:
            # A buffer, since `from_pretrained` makes every parameter trainable again.
            self.register_buffer("label_similarity", similarity)

    def forward(self) -> torch.Tensor:
        """M, `(C, C)`: a copy, since DistributedDataParallel must not see the parameter itself among the outputs."""
        return self.label_similarity.clone()


class UnivaPreTrainedModel(EmotionNetwork):
    """Weight initialisation shared by the UniVA models."""

    config_class = UnivaConfig
    config: UnivaConfig
    base_model_prefix = "univa"
    _no_split_modules = ["BertLayer"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """PyTorch's own defaults, as the released code has them, rather than transformers' normal(0, 0.02)."""
        if isinstance(module, (nn.Linear, nn.Embedding, nn.LayerNorm)):
            module.reset_parameters()
        elif isinstance(module, UnivaAdditivePooling):
            init.normal_(module.query_vector)
        elif isinstance(module, UnivaCorrelationPrior):
            init.copy_(module.label_similarity, label_similarity(torch.tensor(module.config.label_affect)))
        elif isinstance(module, UnivaAbsentEmbedding):
            init.zeros_(module.weight)
        elif isinstance(module, UnivaSequenceEncoder):
            init.zeros_(module.absent_embedding)
            # The released code builds one layer and copies it.
            for layer in module.layers[1:]:
                for target, source in zip(layer.parameters(), module.layers[0].parameters(), strict=True):
                    init.copy_(target, source)


class UnivaModel(UnivaPreTrainedModel, EmotionModel):
    """UniVA without the classifier: one embedding per utterance and modality."""

    def __init__(self, config: UnivaConfig):
        super().__init__(config)
        self.encoders = nn.ModuleDict()
        for modality in config.modalities:
            if modality == "text" and config.reads_tokens:
                self.encoders[modality] = UnivaDialogueEncoder(config)
            else:
                self.encoders[modality] = UnivaSequenceEncoder(config, modality)
        self.post_init()

    @property
    def unused_parameters(self) -> tuple[str, ...]:
        """Of a checkpoint with the classifier the rest is used."""
        return _HEAD

    @property
    def text_encoder(self) -> PreTrainedModel | None:
        """The pretrained text encoder, `None` on the word-vector route."""
        return getattr(self.encoders["text"], "encoder", None) if "text" in self.encoders else None

    def set_text_encoder(self, encoder: PreTrainedModel) -> None:
        """Put an encoder of the same configuration in the place of the text encoder."""
        self.encoders["text"].encoder = encoder

    def embed(self, frames: dict[str, Frames], output_pooling_attentions: bool = False) -> UnivaModelOutput:
        """Embeddings of utterances from the frames of each modality, and their pooling weights if asked."""
        output: dict[str, torch.Tensor] = {}
        for modality, found in frames.items():
            output[f"{modality}_embeds"], weights = self.encoders[modality](found)
            if output_pooling_attentions:
                output[f"{modality}_attention"] = weights
        embeds = [output[f"{modality}_embeds"] for modality in frames]
        return UnivaModelOutput(**output, multimodal_embeds=torch.cat(self._with_modality_dropout(embeds), dim=-1))

    def _with_modality_dropout(self, embeds: list[torch.Tensor]) -> list[torch.Tensor]:
        """In training, absent embeddings for some, never for all of an utterance (`config.modality_dropout`)."""
        if not self.training or not self.config.modality_dropout:
            return embeds
        dropped = torch.rand(len(embeds), len(embeds[0]), device=embeds[0].device) < self.config.modality_dropout
        dropped &= ~dropped.all(dim=0)
        encoders: list[Any] = [self.encoders[modality] for modality in self.config.modalities]
        return [
            encoder.or_absent(embed, ~drop) for embed, drop, encoder in zip(embeds, dropped, encoders, strict=True)
        ]

    def get_text_features(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Text embeddings `(B, hidden_size)`; takes the text inputs of [`EmotionModel.forward`]."""
        return self.encode("text", **inputs)

    def get_audio_features(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Speech embeddings `(B, hidden_size)`; takes `audio_features` and `audio_attention_mask`."""
        return self.encode("audio", **inputs)

    def get_vision_features(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Face embeddings `(B, hidden_size)`; takes `vision_features` and `vision_attention_mask`."""
        return self.encode("vision", **inputs)

    def encode(self, modality: str, **inputs: torch.Tensor | None) -> torch.Tensor:
        """Embeddings `(B, hidden_size)` of one modality. Raises `ValueError` as [`EmotionModel.forward`]."""
        frames = self.read(inputs, [modality])[modality]
        return self.encoders[modality](frames)[0]

    def forward(  # type: ignore[override]
        self, output_pooling_attentions: bool = False, return_dict: bool | None = None, **inputs: Any
    ) -> UnivaModelOutput | tuple[torch.Tensor, ...]:
        """
        Embed B utterances out of D ≤ B dialogues.

        Args:
            output_pooling_attentions (`bool`): also return the pooling weights.
            inputs: those of [`EmotionModel.forward`], which also says what is raised.
        """
        result = self.embed(self.read(inputs), output_pooling_attentions)
        wants_dict = self.config.return_dict if return_dict is None else return_dict
        return result if wants_dict else result.to_tuple()


class UnivaForEmotionClassification(UnivaPreTrainedModel, EmotionModel):
    """UniVA with its classifier over the concatenated embeddings and the emotion correlation prior."""

    objective_class: ClassVar[type[UnivaObjective]] = UnivaObjective
    head_parameters = _HEAD

    def __init__(self, config: UnivaConfig):
        super().__init__(config)
        self.univa = UnivaModel(config)
        self.classifier = nn.Linear(config.hidden_size * len(config.modalities), config.num_labels)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.correlation_prior = UnivaCorrelationPrior(config) if config.label_affect is not None else None
        self.contrast_memory = ContrastMemory(config.memory_size) if config.memory_size else None
        self.post_init()

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | PathLike | None, *model_args: Any, **kwargs: Any
    ) -> Any:
        """
        As `PreTrainedModel.from_pretrained`; every weight has to be there and finite.

        With `id2label`, `num_labels` or a `config` of other labels the valence and arousal of the labels and M are
        derived again. Without `ignore_mismatched_sizes=True` the new names take the places of the old ones; with it
        the encoders are kept, and the classifier is a new one that has to be trained.

        Raises:
            `ValueError`: weights are missing, unknown, of another shape or not finite; or they cannot be read.
            `OSError`: there is no such folder or repository.
        """
        stored = _stored_settings(pretrained_model_name_or_path, kwargs)
        loaded = super().from_pretrained(pretrained_model_name_or_path, *model_args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        model._renew_head(stored, bool(kwargs.get("ignore_mismatched_sizes")))
        return loaded

    @torch.no_grad()
    def _renew_head(self, stored: dict[str, Any], renew_classifier: bool) -> None:
        """Derive again what the labels decide, where they are not those that the weights were saved for."""
        config = self.config
        if (
            self.correlation_prior is not None
            and stored.get("label_affect", config.label_affect) != config.label_affect
        ):
            similarity = self.correlation_prior.label_similarity
            similarity.copy_(label_similarity(torch.tensor(config.label_affect)))
        names = list((stored.get("id2label") or {}).values())
        if not names or names == config.label_names:
            return
        if renew_classifier:
            self.classifier.reset_parameters()
        fate = "is a new one that has to be trained" if renew_classifier else "keeps its weights under the new names"
        logger.warning(
            f"{config.name_or_path} was saved for {', '.join(names)} and is loaded for "
            f"{', '.join(config.label_names)}: its encoders are kept, and its classifier {fate}."
        )

    @property
    def unused_parameters(self) -> tuple[str, ...]:
        """M of a checkpoint, where the correlation prior is off."""
        return () if self.correlation_prior is not None else _HEAD[1:]

    @property
    def text_encoder(self) -> PreTrainedModel | None:
        """The pretrained text encoder, `None` on the word-vector route."""
        return self.univa.text_encoder

    def set_text_encoder(self, encoder: PreTrainedModel) -> None:
        """Put an encoder of the same configuration in the place of the text encoder."""
        self.univa.set_text_encoder(encoder)

    def get_text_features(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Text embeddings `(B, hidden_size)`; see [`UnivaModel.get_text_features`]."""
        return self.univa.get_text_features(**inputs)

    def get_audio_features(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Speech embeddings `(B, hidden_size)`; see [`UnivaModel.get_audio_features`]."""
        return self.univa.get_audio_features(**inputs)

    def get_vision_features(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Face embeddings `(B, hidden_size)`; see [`UnivaModel.get_vision_features`]."""
        return self.univa.get_vision_features(**inputs)

    def classify_batch(self, inputs: dict[str, torch.Tensor | None], **options: Any) -> UnivaOutput:
        """As [`EmotionModel.classify_batch`]; in training `config.contrastive_chunk_size` utterances at a time."""
        classify: Any = partial(super().classify_batch, **options)
        if not (self.training and self.config.contrastive_chunk_size):
            return classify(inputs)
        chunks = classify_in_chunks(classify, inputs, self.config.contrastive_chunk_size)
        # All have the same M.
        joined: dict[str, Any] = {
            name: torch.cat([chunk[name] for chunk in chunks]) for name in chunks[0] if name != _SIMILARITY
        }
        return UnivaOutput(**joined, label_similarity=chunks[0].label_similarity)

    def classify(
        self, frames: dict[str, Frames], output_pooling_attentions: bool = False, **inputs: Any
    ) -> UnivaOutput:
        """Scores of a linear layer over the embeddings side by side (section 3.4 of the paper)."""
        outputs = self.univa.embed(frames, output_pooling_attentions)
        return UnivaOutput(
            logits=self.dropout(self.classifier(outputs.multimodal_embeds)),
            label_similarity=None if self.correlation_prior is None else self.correlation_prior(),
            **outputs,
        )

    def loss_terms(
        self, output: Any, labels: torch.Tensor, va: Mapping[str, torch.Tensor | None] | None
    ) -> dict[str, torch.Tensor]:
        """Equation 11, or what the released code makes of it; in evaluation the KL divergence, as it is weighted."""
        objective = self.objective_class.from_config(self.config)
        if va is None:
            return objective.weighted({"kl": kl_divergence_loss(output.logits, labels, objective.objective)})
        memory = None if self.contrast_memory is None else self.contrast_memory.rows
        return objective.weighted(objective(output, labels, **va, memory=memory))

    def remember(self, output: Any, labels: torch.Tensor, va: Mapping[str, torch.Tensor | None]) -> None:
        """Keep the embeddings of all processes, and what decides the pairs, where there is a memory for them."""
        if self.contrast_memory is not None:
            rows = self.objective_class.from_config(self.config).contrast_rows(output, labels, va)
            self.contrast_memory.write(gather_rows(rows))

    def resume_state(self) -> dict[str, torch.Tensor]:
        """The utterances of past batches, as far as they are kept."""
        rows = None if self.contrast_memory is None else self.contrast_memory.rows
        return {} if rows is None else {_MEMORY: rows}

    def load_resume_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take up the utterances of past batches of a checkpoint. Raises `ValueError` where it has none."""
        if self.contrast_memory is None:
            return
        if _MEMORY not in state:
            raise ValueError("it was saved without `contrastive_memory`.")
        self.contrast_memory.rows = state[_MEMORY].to(self.device)


def label_similarity(label_affect: torch.Tensor) -> torch.Tensor:
    """
    M of equation 8: cosine of the labels in valence-arousal space.

    Args:
        label_affect (`torch.Tensor` of shape `(C, 2)`): (valence, arousal) of each label on any scale; each column is
            min-max scaled to [−1, 1] over the labels first.

    Returns:
        `torch.FloatTensor` of shape `(C, C)`.
    """
    affect = label_affect.double()
    lowest, highest = affect.amin(dim=0), affect.amax(dim=0)
    scaled = 2 * (affect - lowest) / (highest - lowest).clamp_min(torch.finfo(affect.dtype).tiny) - 1
    unit = nn.functional.normalize(scaled, dim=-1)
    return (unit @ unit.T).float()


def masked_softmax(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Softmax over the last dimension where `mask` holds, 0 elsewhere; finite and meaningless where it never does."""
    masked = scores.float().masked_fill(~mask, torch.finfo(torch.float32).min)
    return masked.softmax(-1).to(scores.dtype)


def _stored_settings(name: str | PathLike | None, kwargs: dict[str, Any]) -> dict[str, Any]:
    """`config.json` of a folder or repository; nothing where there is none, of an adapter say."""
    hub = {key: kwargs[key] for key in _HUB_ARGUMENTS if kwargs.get(key) is not None}
    try:
        with refusal(name, "The configuration of {} cannot be used"):
            return {} if name is None else PreTrainedConfig.get_config_dict(name, **hub)[0]
    except OSError:
        return {}


def _or_absent(pooled: torch.Tensor, present: torch.Tensor, absent_embedding: torch.Tensor) -> torch.Tensor:
    return torch.where(present[:, None], pooled, absent_embedding.to(pooled.dtype))


# Both auto classes give the same class, through `config.auto_map`; one registration makes saving copy the code.
UnivaConfig.register_for_auto_class()
UnivaForEmotionClassification.register_for_auto_class("AutoModel")

__all__ = [
    "UnivaForEmotionClassification",
    "UnivaModel",
    "UnivaModelOutput",
    "UnivaOutput",
    "UnivaPreTrainedModel",
    "label_similarity",
    "masked_softmax",
]
