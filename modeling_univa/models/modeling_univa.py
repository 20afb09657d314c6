# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""UniVA: unimodal valence-arousal driven multi-label emotion recognition (Zheng et al., ACM MM 2024)."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.dynamic_module_utils import custom_object_save
from transformers.masking_utils import create_bidirectional_mask
from transformers.models.bert.modeling_bert import BertLayer
from transformers.utils import ModelOutput, logging

from .checked_loading_univa import CheckedModel, load_network, read_config, refusal
from .configuration_univa import UnivaConfig
from .losses_univa import UnivaObjective, UnivaOutput, kl_divergence_loss
from .pipeline_univa import UnivaPipeline


logger = logging.get_logger(__name__)

# Patterns of the parameters whose shape or meaning comes from the labels.
_HEAD = (r"classifier\.", r"correlation_prior\.")
_HUB_ARGUMENTS = ("cache_dir", "local_files_only", "revision", "subfolder", "token")
# Of a text encoder the hidden states are used.
_POOLER = (r"(.*\.)?pooler\.",)


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

    def forward(self, features: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Args:
            features (`torch.Tensor` of shape `(B, T, k)`): frames, padded.
            mask (`torch.Tensor` of shape `(B, T)`): 1 for frames to keep; an all-zero row is an absent modality.

        Returns:
            Embeddings `(B, H)` and pooling weights `(B, T)`.
        """
        self._check_shapes(features, mask)
        mask = mask.bool()
        present = mask.any(dim=1)
        hidden_states = self.dropout(self.projection(features.to(self.projection.weight.dtype)))
        hidden_states = hidden_states + self.position_embeddings.weight[: features.shape[1]]
        # An absent row attends to its padding, so that softmax stays finite; its result is replaced below.
        attention_mask = create_bidirectional_mask(self.config, hidden_states, (mask | ~present[:, None]).long())
        for layer in self.layers:
            hidden_states = layer(hidden_states, attention_mask)
        weights = masked_softmax(self.pooling(hidden_states), mask)
        pooled = (weights[:, None] @ hidden_states).squeeze(1)
        return self.or_absent(pooled, present), weights * present[:, None]

    def or_absent(self, pooled: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Embeddings `(B, H)`: those of `pooled` where `present`, `(B,)`, holds, else the learned one."""
        return _or_absent(pooled, present, self.absent_embedding)

    def _check_shapes(self, features: torch.Tensor, mask: torch.Tensor) -> None:
        name, longest = self.modality, self.position_embeddings.num_embeddings
        _check_shape(f"{name}_features", features, ("batch", "frames", self.projection.in_features))
        _check_shape(f"{name}_attention_mask", mask, features.shape[:2])
        if features.shape[1] > longest:
            raise ValueError(
                f"`{name}_features` has {features.shape[1]} frames, more than `config.max_{name}_length` ({longest}): "
                "cut them, as `UnivaProcessor` does."
            )


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

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        dialogue_index: torch.Tensor,
        utterance_span: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Args:
            input_ids, attention_mask (`torch.LongTensor` of shape `(D, L)`): one row a dialogue.
            dialogue_index (`torch.LongTensor` of shape `(B,)`): row of each utterance.
            utterance_span (`torch.LongTensor` of shape `(B, 2)`): its tokens [start, end) in that row.

        Returns:
            Embeddings `(B, H)` and pooling weights `(B, L)` over the utterance's dialogue row.
        """
        _check_shape("input_ids", input_ids, ("dialogues", "tokens"))
        _check_shape("attention_mask", attention_mask, input_ids.shape)
        _check_shape("dialogue_index", dialogue_index, ("batch",))
        _check_shape("utterance_span", utterance_span, (dialogue_index.shape[0], 2))
        hidden_states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        hidden_states = self.dropout(self.projection(hidden_states))
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        in_span = (positions >= utterance_span[:, :1]) & (positions < utterance_span[:, 1:])
        dialogues = torch.arange(input_ids.shape[0], device=input_ids.device)
        in_dialogue = dialogues == dialogue_index[:, None]
        own_tokens = in_dialogue[:, :, None] & in_span[:, None, :]
        # Pooling over all (dialogue, token) pairs at once scores a token one time, whatever number of utterances
        # shares its dialogue, and needs no copy of the dialogue for each of them.
        scores = self.pooling(hidden_states).flatten().expand(own_tokens.shape[0], -1)
        weights = masked_softmax(scores, own_tokens.flatten(1))
        pooled = weights @ hidden_states.flatten(0, 1)
        present = utterance_span[:, 1] > utterance_span[:, 0]
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


class UnivaPreTrainedModel(CheckedModel, PreTrainedModel):
    """Weight initialisation and loading shared by the UniVA models."""

    config_class = UnivaConfig
    config: UnivaConfig
    base_model_prefix = "univa"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
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


class UnivaModel(UnivaPreTrainedModel):
    """UniVA without the classifier: one embedding per utterance and modality."""

    def __init__(self, config: UnivaConfig):
        super().__init__(config)
        self.encoders = nn.ModuleDict()
        for modality in config.modalities:
            if modality == "text" and not config.uses_word_vectors:
                self.encoders[modality] = UnivaDialogueEncoder(config)
            else:
                self.encoders[modality] = UnivaSequenceEncoder(config, modality)
        self.post_init()

    @property
    def unused_parameters(self) -> tuple[str, ...]:
        """Of a checkpoint with the classifier the rest is used."""
        return _HEAD

    def get_input_embeddings(self) -> nn.Module | None:
        """Token embeddings of the pretrained text encoder, `None` on the word-vector route."""
        return self._text_encoder.get_input_embeddings() if self._has_text_encoder else None

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embeddings of the pretrained text encoder."""
        self._text_encoder.set_input_embeddings(value)

    @property
    def _text_encoder(self) -> Any:
        return self.encoders["text"].encoder

    @property
    def _has_text_encoder(self) -> bool:
        return "text" in self.encoders and isinstance(self.encoders["text"], UnivaDialogueEncoder)

    def encode(self, modality: str, **inputs: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Embeddings `(B, hidden_size)` of one modality and its pooling weights; `inputs` are those of `forward`.

        Raises:
            `ValueError`: the model does not have the modality, or an input of it is missing.
        """
        if modality not in self.encoders:
            raise ValueError(f"This model has {list(self.encoders)}, not {modality!r} (`config.modalities`).")
        names: tuple[str, ...]
        if modality == "text" and self._has_text_encoder:
            names = ("input_ids", "attention_mask", "dialogue_index", "utterance_span")
        else:
            names = (f"{modality}_features", f"{modality}_attention_mask")
        missing = [name for name in names if inputs.get(name) is None]
        if missing:
            raise ValueError(
                f"The {modality} modality needs {', '.join(f'`{name}`' for name in missing)}. For utterances without "
                f"{modality} give an all-zero mask, as `UnivaProcessor` does."
            )
        return self.encoders[modality](*(inputs[name] for name in names))

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
        """Text embeddings `(B, hidden_size)`; takes the text inputs of `forward`."""
        return self.encode("text", **inputs)[0]

    def get_audio_features(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Speech embeddings `(B, hidden_size)`; takes `audio_features` and `audio_attention_mask`."""
        return self.encode("audio", **inputs)[0]

    def get_vision_features(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Face embeddings `(B, hidden_size)`; takes `vision_features` and `vision_attention_mask`."""
        return self.encode("vision", **inputs)[0]

    def forward(
        self,
        dialogue_index: torch.Tensor | None = None,
        utterance_span: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        text_features: torch.Tensor | None = None,
        text_attention_mask: torch.Tensor | None = None,
        audio_features: torch.Tensor | None = None,
        audio_attention_mask: torch.Tensor | None = None,
        vision_features: torch.Tensor | None = None,
        vision_attention_mask: torch.Tensor | None = None,
        output_pooling_attentions: bool = False,
        return_dict: bool | None = None,
    ) -> UnivaModelOutput | tuple[torch.Tensor, ...]:
        """
        B utterances out of D ≤ B dialogues. Every mask is 1 = keep; an all-zero row is an absent modality.

        Args:
            dialogue_index (`torch.LongTensor` of shape `(B,)`): row of `input_ids` that each utterance is in.
            utterance_span (`torch.LongTensor` of shape `(B, 2)`): its tokens [start, end) in that row.
            input_ids, attention_mask (`torch.LongTensor` of shape `(D, L)`): one row a distinct dialogue.
            text_features (`torch.FloatTensor` of shape `(B, T, text_feature_size)`): word vectors, instead of the
                four above.
            audio_features (`torch.FloatTensor` of shape `(B, frames, audio_feature_size)`): speech frames.
            vision_features (`torch.FloatTensor` of shape `(B, frames, vision_feature_size)`): face frames.
            text_attention_mask, audio_attention_mask, vision_attention_mask (`torch.LongTensor`): `(B, T or frames)`.
            output_pooling_attentions (`bool`): also return the pooling weights.

        Raises:
            `ValueError`: an input of a modality that the model has is missing, or of the wrong shape.
        """
        inputs = {
            "dialogue_index": dialogue_index,
            "utterance_span": utterance_span,
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "text_features": text_features,
            "text_attention_mask": text_attention_mask,
            "audio_features": audio_features,
            "audio_attention_mask": audio_attention_mask,
            "vision_features": vision_features,
            "vision_attention_mask": vision_attention_mask,
        }
        output: dict[str, torch.Tensor] = {}
        for modality in self.config.modalities:
            output[f"{modality}_embeds"], weights = self.encode(modality, **inputs)
            if output_pooling_attentions:
                output[f"{modality}_attention"] = weights
        embeds = [output[f"{modality}_embeds"] for modality in self.config.modalities]
        # By `shape`, since `len` of a tensor would be a constant in an exported graph.
        if any(embed.shape[0] != embeds[0].shape[0] for embed in embeds):
            sizes = {modality: len(embed) for modality, embed in zip(self.config.modalities, embeds, strict=True)}
            raise ValueError(f"Every modality needs one entry an utterance, got {sizes}.")
        multimodal_embeds = torch.cat(self._with_modality_dropout(embeds), dim=-1)
        result = UnivaModelOutput(**output, multimodal_embeds=multimodal_embeds)
        return result if _wants_dict(self.config, return_dict) else result.to_tuple()


class UnivaForEmotionClassification(UnivaPreTrainedModel):
    """UniVA with its classifier over the concatenated embeddings and the emotion correlation prior."""

    objective_class: ClassVar[type[UnivaObjective]] = UnivaObjective
    head_parameters = _HEAD

    def __init__(self, config: UnivaConfig):
        super().__init__(config)
        self.univa = UnivaModel(config)
        self.classifier = nn.Linear(config.hidden_size * len(config.modalities), config.num_labels)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.correlation_prior = UnivaCorrelationPrior(config) if config.label_affect is not None else None
        self.post_init()

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | PathLike | None, *model_args: Any, **kwargs: Any
    ) -> Any:
        """
        As `PreTrainedModel.from_pretrained`; every weight has to be there and finite.

        With `id2label`, `num_labels` or a `config` of other labels the valence and arousal of the labels and M are
        derived anew. Without `ignore_mismatched_sizes=True` the new names take the places of the old ones; with it
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
        """Derive anew what the labels decide, where they are not those that the weights were saved for."""
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

    @classmethod
    def from_text_encoder(
        cls,
        config: UnivaConfig,
        text_model_name_or_path: str,
        attn_implementation: str | None = None,
        text_config_overrides: dict[str, Any] | None = None,
        **hub_kwargs: Any,
    ) -> "UnivaForEmotionClassification":
        """
        A new model whose text encoder holds pretrained weights; everything else is freshly initialised.

        Args:
            config (`UnivaConfig`): the model's configuration; its `text_config` is replaced by that of the encoder.
            text_model_name_or_path (`str`): Hub id or folder of any encoder that `AutoModel` loads.
            attn_implementation (`str`, *optional*): attention of the whole model ("sdpa", "eager", …).
            text_config_overrides (`dict`, *optional*): fields of the encoder's configuration to change, dropouts say.
            hub_kwargs: passed on to `from_pretrained` (`revision`, `token`, `cache_dir`, …).

        Raises:
            `ValueError`: it is no text encoder of transformers, or its weights are missing or not finite.
            `OSError`: there is no such folder or repository.
        """
        overrides = text_config_overrides or {}
        config.text_config = read_config(text_model_name_or_path, **overrides, **hub_kwargs)
        model = cls._from_config(
            config, **({"attn_implementation": attn_implementation} if attn_implementation else {})
        )
        encoder_class = type(model.univa.encoders["text"].encoder)
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
            encoder.config._name_or_path = ""  # A folder of this machine is nobody else's business.
        # One configuration for both, so that whatever is set on it later (attention, say) reaches the encoder.
        model.univa.encoders["text"].encoder, config.text_config = encoder, encoder.config
        return model

    def save_pretrained(self, save_directory: str | PathLike, **kwargs: Any) -> None:
        """As `PreTrainedModel` saves, with the code of the pipeline that `config.custom_pipelines` names."""

        if kwargs.get("is_main_process", True):
            Path(save_directory).mkdir(parents=True, exist_ok=True)
            custom_object_save(UnivaPipeline, save_directory)
        super().save_pretrained(save_directory, **kwargs)

    def get_text_features(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Text embeddings `(B, hidden_size)`; see [`UnivaModel.get_text_features`]."""
        return self.univa.get_text_features(**inputs)

    def get_audio_features(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Speech embeddings `(B, hidden_size)`; see [`UnivaModel.get_audio_features`]."""
        return self.univa.get_audio_features(**inputs)

    def get_vision_features(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Face embeddings `(B, hidden_size)`; see [`UnivaModel.get_vision_features`]."""
        return self.univa.get_vision_features(**inputs)

    def forward(
        self,
        labels: torch.Tensor | None = None,
        dialogue_index: torch.Tensor | None = None,
        utterance_span: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        text_features: torch.Tensor | None = None,
        text_attention_mask: torch.Tensor | None = None,
        audio_features: torch.Tensor | None = None,
        audio_attention_mask: torch.Tensor | None = None,
        vision_features: torch.Tensor | None = None,
        vision_attention_mask: torch.Tensor | None = None,
        text_va: torch.Tensor | None = None,
        audio_va: torch.Tensor | None = None,
        vision_va: torch.Tensor | None = None,
        output_pooling_attentions: bool = False,
        return_dict: bool | None = None,
    ) -> UnivaOutput | tuple[torch.Tensor, ...]:
        """
        Score B utterances. The inputs are those of [`UnivaModel.forward`], and:

        Args:
            labels (`torch.FloatTensor` of shape `(B, C)`): multi-hot target; all zeros is a legal row. With it there
                is a loss: in training the whole objective, in evaluation its KL term.
            text_va, audio_va, vision_va (`torch.FloatTensor` of shape `(B, 2)`): (valence, arousal) of each
                modality as the distance threshold expects them, NaN where unknown; needed in training with
                `config.contrastive_loss` "va", and not read in evaluation.

        Raises:
            `ValueError`: an input of a modality that the model has is missing, or of the wrong shape.
        """
        outputs = self.univa(
            dialogue_index=dialogue_index,
            utterance_span=utterance_span,
            input_ids=input_ids,
            attention_mask=attention_mask,
            text_features=text_features,
            text_attention_mask=text_attention_mask,
            audio_features=audio_features,
            audio_attention_mask=audio_attention_mask,
            vision_features=vision_features,
            vision_attention_mask=vision_attention_mask,
            output_pooling_attentions=output_pooling_attentions,
            return_dict=True,
        )
        logits = self.dropout(self.classifier(outputs.multimodal_embeds))
        result = UnivaOutput(
            logits=logits,
            label_similarity=None if self.correlation_prior is None else self.correlation_prior(),
            **outputs,
        )
        if labels is not None:
            va = {"text_va": text_va, "audio_va": audio_va, "vision_va": vision_va}
            result = self.with_loss(result, labels, va if self.training else None)
        return result if _wants_dict(self.config, return_dict) else result.to_tuple()

    def with_loss(
        self, output: UnivaOutput, labels: torch.Tensor, va: dict[str, torch.Tensor | None] | None = None
    ) -> UnivaOutput:
        """
        The output with its loss and the terms of it.

        Args:
            output: of `forward`.
            labels (`torch.FloatTensor` of shape `(B, C)`): multi-hot targets.
            va: `text_va`, `audio_va` and `vision_va` of `forward`; `None` leaves the terms of the labels alone.

        Raises:
            `ValueError`: valence and arousal are needed and missing, or a shape does not fit.
        """
        objective = self.objective_class.from_config(self.config)
        if va is None:
            logits: Any = output.logits
            terms = objective.weighted({"kl": kl_divergence_loss(logits, labels, objective.objective)})
            return replace(output, loss=terms["kl"], loss_terms=terms)
        found = objective(output, labels, **va)
        return replace(output, loss=found["loss"], loss_terms=objective.weighted(found))


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


def _check_shape(name: str, tensor: torch.Tensor, shape: Sequence[int | str]) -> None:
    """Refuse a tensor of another shape; a string in `shape` names a dimension of any size."""
    wanted = zip(tensor.shape, shape, strict=False)
    if tensor.ndim != len(shape) or any(isinstance(size, int) and found != size for found, size in wanted):
        raise ValueError(f"`{name}` must have shape ({', '.join(map(str, shape))}), got {tuple(tensor.shape)}.")


def masked_softmax(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Softmax over the last dimension where `mask` holds, 0 elsewhere; finite and meaningless where it never does."""
    masked = scores.float().masked_fill(~mask, torch.finfo(torch.float32).min)
    return masked.softmax(-1).to(scores.dtype)


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


def _stored_settings(name: str | PathLike | None, kwargs: dict[str, Any]) -> dict[str, Any]:
    """`config.json` of a folder or repository; nothing where there is none, of an adapter say."""
    hub = {key: kwargs[key] for key in _HUB_ARGUMENTS if kwargs.get(key) is not None}
    try:
        with refusal(name, "The configuration of {} cannot be used"):
            return {} if name is None else PreTrainedConfig.get_config_dict(name, **hub)[0]
    except OSError:
        return {}


def _without_pooler(encoder_class: type[PreTrainedModel]) -> dict[str, bool]:
    accepted = inspect.signature(encoder_class.__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in accepted else {}


def _or_absent(pooled: torch.Tensor, present: torch.Tensor, absent_embedding: torch.Tensor) -> torch.Tensor:
    return torch.where(present[:, None], pooled, absent_embedding.to(pooled.dtype))


def _wants_dict(config: UnivaConfig, return_dict: bool | None) -> bool:
    return config.return_dict if return_dict is None else return_dict


# Both auto classes give the same class, through `config.auto_map`; one registration makes saving copy the code.
UnivaConfig.register_for_auto_class()
UnivaForEmotionClassification.register_for_auto_class("AutoModel")

__all__ = [
    "UnivaForEmotionClassification",
    "UnivaModel",
    "UnivaModelOutput",
    "UnivaOutput",
    "UnivaPreTrainedModel",
    "build_text_encoder",
    "label_similarity",
    "masked_softmax",
]
