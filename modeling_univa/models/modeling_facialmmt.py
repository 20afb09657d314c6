# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""FacialMMT: faces that show an expression, and cross-modal attention in both directions (Zheng et al., ACL 2023)."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import initialization as init
from transformers.masking_utils import create_bidirectional_mask
from transformers.models.bert.modeling_bert import BertLayer

from .configuration_emotion import EmotionConfig, check_objective
from .cross_modal_univa import CrossModalSettings, CrossModalTransformer
from .losses_univa import kl_divergence_loss
from .modeling_emotion import EmotionOutput, FrameModel, Frames
from .modeling_univa import UnivaAdditivePooling, masked_softmax
from .processing_univa import UnivaProcessor  # noqa: F401  (saved beside the network)


_SIZES = {
    "hidden_size": "width", "num_attention_heads": "width", "intermediate_size": "width",
    "audio_num_hidden_layers": "layers", "vision_num_hidden_layers": "layers", "text_audio_num_layers": "layers",
    "text_audio_vision_num_layers": "layers",
}  # fmt: skip


@strict
class FacialmmtConfig(EmotionConfig):
    r"""
    Configuration of FacialMMT. The defaults are those of the official code, but for the text encoder.

    Args:
        hidden_size (`int`, defaults to 768):
            Width of the frames of every modality in the network.
        num_attention_heads, intermediate_size (`int`, defaults to 12, 3072):
            Of the layers over sound and faces; the cross-modal layers have as many heads.
        hidden_act (`str`, defaults to "gelu"):
            Activation of both.
        layer_norm_eps (`float`, defaults to 1e-12):
            Of the layers over sound and faces.
        audio_num_hidden_layers, vision_num_hidden_layers (`int`, defaults to 5, 2):
            Layers over the frames of each.
        text_audio_num_layers, text_audio_vision_num_layers (`int`, defaults to 2):
            Layers in which text and sound read each other, and in which these and faces do.
        max_utterance_length (`int`, defaults to 38):
            Tokens or words of an utterance that are read.
        face_emotion_size (`int`, defaults to 0):
            Expressions that `face_emotions` has a probability of, for each face. 0: nothing is known of expressions,
            and no face is left out.
        face_threshold (`float`, defaults to 0.2):
            Faces are kept whose squared probabilities sum to more than this; of an utterance without such a face, all.
        projection_dropout (`float`, defaults to 0):
            On projected frames.
        hidden_dropout_prob, attention_probs_dropout_prob (`float`, defaults to 0.1):
            In the layers over sound and faces.
        cross_modal_dropout (`float`, defaults to 0.1):
            On the attention of one modality to another.
        classifier_dropout (`float`, defaults to 0.1):
            On the pooled frames.
        objective (`"kl"`):
            The KL divergence of UniVA, which its authors trained this system with. Published with cross-entropy on
            one emotion an utterance.

    Raises:
        `huggingface_hub.errors.StrictDataclassError`: a field of the wrong type, or fields that contradict each other.
    """

    model_type = "facialmmt"
    architecture = "modeling_facialmmt.FacialmmtForEmotionClassification"
    title = "FacialMMT"
    paper = "https://aclanthology.org/2023.acl-long.861"
    idea = "text, speech and those faces that show a clear expression read each other"
    official_code = "[NUSTM/FacialMMT](https://github.com/NUSTM/FacialMMT), GPL-3.0"
    deviations = (
        "Padding is never attended in the stacks that read several modalities; `mask_padding=False` computes "
        "as released.",
        "The expressions of the faces come from a classifier of your choice and without noise, which the "
        "released code draws at evaluation too.",
        "UniVA's KL divergence in place of cross-entropy.",
    )
    citation: ClassVar[str] = """\
@inproceedings{zheng2023facial,
  title     = {A Facial Expression-Aware Multimodal Multi-task Learning Framework for Emotion Recognition in
               Multi-party Conversations},
  author    = {Zheng, Wenjie and Yu, Jianfei and Xia, Rui and Wang, Shijin},
  booktitle = {Proceedings of the 61st Annual Meeting of the Association for Computational Linguistics},
  year      = {2023}
}"""
    # transformers' own BERT layers are built from this configuration and ask for these two.
    is_decoder: ClassVar[bool] = False
    add_cross_attention: ClassVar[bool] = False

    hidden_size: int = 768
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    audio_num_hidden_layers: int = 5
    vision_num_hidden_layers: int = 2
    text_audio_num_layers: int = 2
    text_audio_vision_num_layers: int = 2
    max_utterance_length: int = 38
    face_emotion_size: int = 0
    face_threshold: float | int = 0.2
    projection_dropout: float | int = 0.0
    hidden_dropout_prob: float | int = 0.1
    attention_probs_dropout_prob: float | int = 0.1
    cross_modal_dropout: float | int = 0.1
    classifier_dropout: float | int = 0.1
    objective: Literal["kl"] = "kl"
    decision: Literal["softmax", "sigmoid"] = "softmax"
    decision_threshold: float | int | list[float | int] = 0.18

    @property
    def extra_inputs(self) -> tuple[str, ...]:
        """`face_emotions`, where the network reads faces and their expressions."""
        return ("face_emotions",) if self.face_emotion_size and "vision" in self.modalities else ()

    def cross_modal(self, num_layers: int) -> CrossModalSettings:
        """Of the layers in which two sequences read each other."""
        return CrossModalSettings(
            self.hidden_size, num_layers, self.num_attention_heads, self.hidden_act, causal=False,
            mask_padding=self.mask_padding, attention_dropout=self.cross_modal_dropout,
        )  # fmt: skip

    def validate_architecture(self) -> None:
        """Check fields against each other; called by the strict dataclass."""
        super().validate_architecture()
        check_objective(self.objective, self.decision)
        if self.fixed_length is not None:
            raise ValueError(
                "FacialMMT pads each modality to its own length where it takes padding for data: leave `fixed_length` "
                "out, and set `max_utterance_length`, `max_audio_length` and `max_vision_length`."
            )
        if not 0 <= self.face_threshold <= 1:
            raise ValueError(f"`face_threshold` must lie in [0, 1], got {self.face_threshold}.")


class FacialmmtFrameEncoder(nn.Module):
    """Frames of sound or faces, projected, with learned positions, through BERT layers."""

    def __init__(self, config: FacialmmtConfig, modality: str):
        super().__init__()
        self.config = config
        expressions = config.face_emotion_size if modality == "vision" else 0
        self.projection = nn.Linear(config.frame_sizes[modality] + expressions, config.hidden_size)
        self.dropout = nn.Dropout(config.projection_dropout)
        self.position_embeddings = nn.Embedding(config.max_lengths[modality], config.hidden_size)
        num_layers = getattr(config, f"{modality}_num_hidden_layers")
        self.layers = nn.ModuleList(BertLayer(config, layer_idx=index) for index in range(num_layers))

    def forward(self, frames: Frames) -> Frames:
        """States `(B, T, hidden_size)` of frames `(B, T, k)`."""
        states = self.dropout(self.projection(frames.states.to(self.projection.weight.dtype)))
        states = states + self.position_embeddings.weight[: states.shape[1]]
        mask = create_bidirectional_mask(self.config, states, frames.mask.long())
        for layer in self.layers:
            states = layer(states, mask)
        return Frames(states, frames.mask)


class FacialmmtTextProjection(nn.Module):
    """Tokens of a text encoder, or word vectors, at the width of the network; zero where there is none."""

    def __init__(self, config: FacialmmtConfig):
        super().__init__()
        self.projection = nn.Linear(config.frame_sizes["text"], config.hidden_size)
        self.dropout = nn.Dropout(config.projection_dropout)

    def forward(self, frames: Frames) -> Frames:
        """States `(B, T, hidden_size)` of frames `(B, T, k)`."""
        states = self.dropout(self.projection(frames.states.to(self.projection.weight.dtype)))
        return Frames(states * frames.mask[..., None], frames.mask)


class FacialmmtForEmotionClassification(FrameModel):
    """
    FacialMMT without its first stage, which finds the face of who speaks, and with expressions as an input.

    Text and sound read each other, then both and faces, each pair in both directions with the same weights; additive
    attention pools all steps. The official code masks padding in the layers over sound and faces and in the pooling,
    and not in the cross-modal layers, so that scores depend on the padded lengths: `mask_padding=False` computes that,
    every modality padded to its greatest length.
    """

    config_class = FacialmmtConfig
    config: FacialmmtConfig
    head_parameters = (r"classifier\.",)
    _no_split_modules = ["BertLayer"]

    def __init__(self, config: FacialmmtConfig):
        super().__init__(config)
        names = config.modalities
        self.encoders = nn.ModuleDict()
        for name in names:
            is_text = name == "text"
            self.encoders[name] = FacialmmtTextProjection(config) if is_text else FacialmmtFrameEncoder(config, name)
        stacks = {"text_audio": config.text_audio_num_layers} if {"text", "audio"} <= set(names) else {}
        if "vision" in names and len(names) > 1:
            stacks["text_audio_vision"] = config.text_audio_vision_num_layers
        self.crossings = nn.ModuleDict(
            {name: CrossModalTransformer(config.cross_modal(count)) for name, count in stacks.items()}
        )
        self.pooling = UnivaAdditivePooling(config)  # type: ignore[arg-type]
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """PyTorch's own defaults; linear layers of the cross-modal ones have theirs, Xavier-uniform."""
        if isinstance(module, nn.Linear | nn.Embedding | nn.LayerNorm):
            module.reset_parameters()
        elif isinstance(module, UnivaAdditivePooling):
            init.normal_(module.query_vector)

    def _padded(self, frames: Frames) -> Frames:
        """As they are: this system has masks also where it takes padding for data in its cross-modal layers."""
        return frames

    def classify(
        self, frames: dict[str, Frames], face_emotions: torch.Tensor | None = None, **inputs: Any
    ) -> EmotionOutput:
        """
        Scores of a linear layer over the pooled steps of all modalities.

        Args:
            face_emotions (`torch.FloatTensor` of shape `(B, frames, E)`): probabilities of the expressions of every
                face; zeros where they are not known. Read if `config.face_emotion_size` is E, and not 0.
        """
        if self.config.extra_inputs and face_emotions is not None:
            expressive = expressive_faces(frames["vision"], face_emotions, self.config.face_threshold)
            frames = {**frames, "vision": expressive}
        encoded = {name: self.encoders[name](self._sized(name, found)) for name, found in frames.items()}
        fused = self._fused(encoded)
        weights = masked_softmax(self.pooling(fused.states), fused.mask)
        pooled = (weights[:, None] @ fused.states).squeeze(1)
        return EmotionOutput(logits=self.classifier(self.dropout(pooled)))

    def _sized(self, name: str, frames: Frames) -> Frames:
        """Text cut to what is read of an utterance; everything padded to its greatest length, where that is data."""
        config = self.config
        longest = config.max_utterance_length if name == "text" else config.max_lengths[name]
        states, mask = frames.states[:, :longest], frames.mask[:, :longest]
        missing = 0 if config.mask_padding else longest - mask.shape[1]
        return Frames(F.pad(states, (0, 0, 0, missing)), F.pad(mask, (0, missing)))

    def _fused(self, encoded: Mapping[str, Frames]) -> Frames:
        """The steps of all modalities, each pair after reading each other."""
        fused, *others = encoded.values()
        for name, found in zip(list(encoded)[1:], others, strict=True):
            stack = self.crossings["text_audio" if name == "audio" else "text_audio_vision"]
            states = torch.cat([stack(fused, found), stack(found, fused)], dim=1)
            fused = Frames(states, torch.cat([fused.mask, found.mask], dim=1))
        return fused

    def loss_terms(
        self, output: Any, labels: torch.Tensor, va: Mapping[str, torch.Tensor | None] | None
    ) -> dict[str, torch.Tensor]:
        """UniVA's KL divergence, as released."""
        return {"kl": kl_divergence_loss(output.logits, labels, "released")}


def expressive_faces(frames: Frames, emotions: torch.Tensor, threshold: float) -> Frames:
    """
    The faces that show an expression, with its probabilities.

    Faces are kept where Σ p² > `threshold`, which of E equal probabilities is 1 / E; where an utterance has no such
    face, all of its faces are. The official code asks this of a whole batch, and picks faces of other utterances where
    there are several.

    Args:
        frames: faces `(B, T, k)`.
        emotions (`torch.FloatTensor` of shape `(B, T, E)`): probabilities of the expressions of each.
        threshold (`float`): smallest sum of squares.

    Returns:
        Faces `(B, T, k + E)`, those that are kept first and zeros after them.
    """
    kept = frames.mask & (emotions.float().square().sum(dim=-1) > threshold)
    kept = kept | (frames.mask & ~kept.any(dim=1, keepdim=True))
    steps = torch.arange(kept.shape[1], device=kept.device)
    # One 1 a row and a column; a product moves the faces, which a graph can have for any number of them.
    place = (kept.long().cumsum(dim=1) - 1)[:, None] == steps[:, None]
    both = torch.cat([frames.states, emotions.to(frames.states.dtype)], dim=-1)
    moved = (place & kept[:, None]).to(both.dtype) @ both
    return Frames(moved, steps < kept.sum(dim=1, keepdim=True))


FacialmmtConfig.register_for_auto_class()
FacialmmtForEmotionClassification.register_for_auto_class("AutoModel")

__all__ = ["FacialmmtConfig", "FacialmmtForEmotionClassification", "expressive_faces"]
