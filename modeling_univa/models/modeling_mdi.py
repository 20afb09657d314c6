# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""After MDI, the dialogue-aware interaction of the M3ED paper (Zhao et al., ACL 2022), which has no code.

Known of the original are utterance-level features of three modalities, their fusion, and blocks of four interactions
with separate outputs: with all utterances of the dialogue, with neighbours, with those of the same speaker and with
those of others. Everything else is decided here.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers.activations import ACT2FN
from transformers.models.bert.modeling_bert import BertLayer

from .configuration_emotion import EmotionConfig, check_objective
from .limits_univa import check_limit
from .losses_univa import kl_divergence_loss
from .modeling_emotion import EmotionOutput, FrameModel, Frames
from .processing_univa import UnivaProcessor  # noqa: F401  (saved beside the network)


# Which utterances of its dialogue one reads; each kind has a share of the attention heads.
INTERACTIONS = ("global", "local", "intra", "inter")


@strict
class MdiConfig(EmotionConfig):
    r"""
    Configuration of the system after MDI.

    Args:
        hidden_size (`int`, defaults to 256):
            Width of an utterance.
        num_hidden_layers (`int`, defaults to 2):
            Blocks of the four interactions.
        num_attention_heads (`int`, defaults to 8):
            Of all interactions together: a multiple of 4 that divides `hidden_size`.
        intermediate_size (`int`, defaults to 1024):
            Inner width of the feed-forward layers.
        hidden_act (`str`, defaults to "gelu"):
            Activation of these and of the fusion.
        layer_norm_eps (`float`, defaults to 1e-12):
            Of the blocks.
        local_window (`int`, defaults to 2):
            Neighbours before and after an utterance that the local interaction reads.
        max_dialogue_length (`int`, defaults to 256):
            Places in a dialogue that are told apart; utterances after the last one share it.
        hidden_dropout_prob, attention_probs_dropout_prob (`float`, defaults to 0.2):
            On fused utterances and in the blocks.
        objective (`"kl"`):
            The KL divergence of UniVA, whose authors trained MDI with it. Published with one emotion an utterance.

    Raises:
        `huggingface_hub.errors.StrictDataclassError`: a field of the wrong type, or fields that contradict each other.
    """

    model_type = "mdi"
    architecture = "modeling_mdi.MdiForEmotionClassification"
    title = "after MDI"
    paper = "https://aclanthology.org/2022.acl-long.391"
    idea = "utterances read all of their dialogue, their neighbours, their own speaker and the other speakers"
    deviations = (
        "There is no official code: the four interactions are those of the paper, all sizes and masks are ours.",
        "It is trained with UniVA's KL divergence.",
    )
    citation: ClassVar[str] = """\
@inproceedings{zhao2022m3ed,
  title     = {M3ED: Multi-modal Multi-scene Multi-label Emotional Dialogue Database},
  author    = {Zhao, Jinming and Zhang, Tenggan and Hu, Jingwen and Liu, Yuchen and Jin, Qin and Wang, Xinchao and
               Li, Haizhou},
  booktitle = {Proceedings of the 60th Annual Meeting of the Association for Computational Linguistics},
  year      = {2022}
}"""
    # transformers' own BERT layers are built from this configuration and ask for these two.
    is_decoder: ClassVar[bool] = False
    add_cross_attention: ClassVar[bool] = False

    hidden_size: int = 256
    num_hidden_layers: int = 2
    num_attention_heads: int = 8
    intermediate_size: int = 1024
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    local_window: int = 2
    max_dialogue_length: int = 256
    hidden_dropout_prob: float | int = 0.2
    attention_probs_dropout_prob: float | int = 0.2
    objective: Literal["kl"] = "kl"
    decision: Literal["softmax", "sigmoid"] = "softmax"
    decision_threshold: float | int | list[float | int] = 0.18

    @property
    def extra_inputs(self) -> tuple[str, ...]:
        """Where an utterance is in its dialogue, and who speaks."""
        return ("position", "speaker_index")

    def validate_architecture(self) -> None:
        """Check fields against each other; called by the strict dataclass."""
        super().validate_architecture()
        check_objective(self.objective, self.decision)
        if self.num_attention_heads % len(INTERACTIONS):
            raise ValueError(
                f"`num_attention_heads` must be a multiple of {len(INTERACTIONS)}, got {self.num_attention_heads}."
            )
        if self.local_window != 0:
            check_limit("length", self.local_window, "`local_window`")


class MdiFusion(nn.Module):
    """An utterance's frames of each modality, averaged and projected, to one vector; its place in the dialogue."""

    def __init__(self, config: MdiConfig):
        super().__init__()
        width = config.hidden_size
        self.projections = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(size, width), nn.LayerNorm(width))
                for name, size in config.frame_sizes.items()
            }
        )
        self.fusion = nn.Linear(width * len(config.modalities), width)
        self.activation = ACT2FN[config.hidden_act]
        self.position_embeddings = nn.Embedding(config.max_dialogue_length, width)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self, frames: Mapping[str, Frames], position: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Embeddings `(B, hidden_size)` of each modality, and of the utterances at `position`, `(B,)`."""
        weight = self.fusion.weight
        embeds = {name: self.projections[name](found.mean().to(weight.dtype)) for name, found in frames.items()}
        fused = self.activation(self.fusion(torch.cat(list(embeds.values()), dim=-1)))
        last = self.position_embeddings.num_embeddings - 1
        return embeds, self.dropout(fused + self.position_embeddings(position.clamp(max=last)))


class MdiForEmotionClassification(FrameModel):
    """
    After MDI: utterances of a dialogue read all of it, their neighbours, their own speaker and the others.

    A corpus of one speaker a video, such as MOSEI, has no others: there the interaction with the same speaker is the
    global one, and that with others is with the utterance itself alone.
    """

    config_class = MdiConfig
    config: MdiConfig
    reads_dialogues = True
    head_parameters = (r"classifier\.",)
    _no_split_modules = ["BertLayer"]
    # Every head has a mask of its own.
    _supports_flash_attn = False

    def __init__(self, config: MdiConfig):
        super().__init__(config)
        self.utterances = MdiFusion(config)
        self.layers = nn.ModuleList(BertLayer(config, layer_idx=index) for index in range(config.num_hidden_layers))
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def classify(
        self,
        frames: dict[str, Frames],
        dialogue_index: torch.Tensor | None = None,
        position: torch.Tensor | None = None,
        speaker_index: torch.Tensor | None = None,
        **inputs: Any,
    ) -> EmotionOutput:
        """
        Scores of a linear layer over utterances that have read each other.

        Args:
            dialogue_index, position, speaker_index: as in `forward`.

        Raises:
            `ValueError`: one of them is missing.
        """
        if dialogue_index is None or position is None or speaker_index is None:
            raise ValueError(
                "This model reads whole dialogues: it needs `dialogue_index`, `position` and `speaker_index`, -1 where"
                " the speaker is not known."
            )
        embeds, states = self.utterances(frames, position)
        mask = self._attention_mask(dialogue_index, position, speaker_index, states.dtype)
        # The utterances of a batch are one sequence, of which the masks make dialogues.
        states = states[None]
        for layer in self.layers:
            states = layer(states, mask)
        named = {f"{name}_embeds": embed for name, embed in embeds.items()}
        return EmotionOutput(logits=self.classifier(states[0]), **named)

    def _attention_mask(
        self, dialogue_index: torch.Tensor, position: torch.Tensor, speaker_index: torch.Tensor, dtype: torch.dtype
    ) -> torch.Tensor:
        """What is added to the attention scores of every head, `(1, heads, B, B)`."""
        readable = interactions(dialogue_index, position, speaker_index, self.config.local_window)
        heads = torch.stack(list(readable.values())).repeat_interleave(
            self.config.num_attention_heads // len(readable), dim=0
        )
        return torch.zeros_like(heads, dtype=dtype).masked_fill(~heads, torch.finfo(dtype).min)[None]

    def loss_terms(
        self, output: Any, labels: torch.Tensor, va: Mapping[str, torch.Tensor | None] | None
    ) -> dict[str, torch.Tensor]:
        """UniVA's KL divergence, as released."""
        return {"kl": kl_divergence_loss(output.logits, labels, "released")}


def interactions(
    dialogue_index: torch.Tensor, position: torch.Tensor, speaker_index: torch.Tensor, window: int
) -> dict[str, torch.Tensor]:
    """
    Which utterances each one reads, of its own dialogue alone; it always reads itself.

    Args:
        dialogue_index, position, speaker_index (`torch.LongTensor` of shape `(B,)`): of each utterance.
        window (`int`): neighbours on each side.

    Returns:
        For each of `INTERACTIONS` `torch.BoolTensor` of shape `(B, B)`. Utterances of an unknown speaker (-1) are of
        unknown: by the same speaker is the utterance itself alone, and all others are by others.
    """
    together = dialogue_index[:, None] == dialogue_index
    rows = torch.arange(together.shape[0], device=together.device)
    own = rows[:, None] == rows
    near = (position[:, None] - position).abs() <= window
    alike = (speaker_index[:, None] == speaker_index) & (speaker_index >= 0)
    found = {"global": together, "local": near, "intra": alike | own, "inter": ~alike | own}
    return {name: found[name] & together for name in INTERACTIONS}


MdiConfig.register_for_auto_class()
MdiForEmotionClassification.register_for_auto_class("AutoModel")

__all__ = ["INTERACTIONS", "MdiConfig", "MdiForEmotionClassification", "interactions"]
