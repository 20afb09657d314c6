# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""TAILOR: private and common parts of each modality, and a decoder of labels over both (Zhang et al., AAAI 2022)."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import nn

from .configuration_emotion import EmotionConfig, check_objective
from .frame_encoder_univa import BertLayers, FrameEncoder, FrameEncoderConfig, SoftAlignment, alignment_loss
from .gradient_reversal_univa import reverse_gradient
from .label_decoder_univa import LabelDecoder
from .losses_univa import kl_divergence_loss
from .modeling_emotion import EmotionOutput, FrameModel, Frames
from .processing_univa import UnivaProcessor  # noqa: F401  (saved beside the network)


__all__ = ["TailorConfig", "TailorForEmotionClassification", "TailorOutput"]

# The classes of the discriminator.
_CLASSES = ("text", "vision", "audio")
# What `alignment_loss` takes.
_Alignment = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@strict
class TailorConfig(FrameEncoderConfig):
    """
    Configuration of TAILOR. The defaults are those of the official run on MOSEI, but for `aligned`.

    Labels, modalities, text encoder and decision are those of [`EmotionConfig`], layers and sizes those of
    [`FrameEncoderConfig`].

    Args:
        cross_num_hidden_layers (`int`, defaults to 3):
            Layers of each of the encoders that read several modalities.
        decoder_num_hidden_layers (`int`, defaults to 1):
            Layers of the decoder of the labels.
        aligned (`bool`, defaults to `False`):
            Whether every word has one frame of each modality, as in the word-aligned MOSEI file; it goes with word
            vectors. Otherwise speech and face frames are aligned to the words or tokens of the text, softly and
            learned; without text, every modality to `aligned_length` places.
        aligned_length (`int`, defaults to 60):
            Most words or tokens of an utterance; those after them are not read. A model of one modality reads all of
            its frames.
        private_dropout, common_dropout, classifier_dropout (`float`, defaults to 0.1, 0.3, 0.1):
            Dropout on what is private to a modality, on what it shares, and on the logits and in the discriminator.
        common_weight, adversarial_weight (`float`, defaults to 0.5, 0.01):
            Weight in the loss of the scores from what the modalities share, and of the discriminator.
        difference_weight (`float`, defaults to 5e-6):
            Weight of the difference between the parts. It was published for 60 frames, and the term grows with their
            square.
        alignment_weight (`float`, defaults to 0.5):
            Weight of the CTC loss of each soft alignment to a text.
        objective (`"bce"` or `"kl"`):
            Binary cross-entropy of each emotion by itself; or the KL divergence of UniVA as the paper has it, which
            goes with `decision="softmax"`.

    Raises:
        `huggingface_hub.errors.StrictDataclassError`: a field of the wrong type, or fields that contradict each other.
    """

    model_type = "tailor"
    architecture = "modeling_tailor.TailorForEmotionClassification"
    title = "TAILOR"
    paper = "https://arxiv.org/abs/2201.05834"
    idea = "adversaries split each modality into a private and a common part, and a decoder of the labels reads both"
    official_code = "[kniter1/TAILOR](https://github.com/kniter1/TAILOR), MIT"
    deviations = (
        "Padding is never attended, pooled or counted in a loss; `mask_padding=False` computes as released.",
        "The best epoch is tested on every row, not the last one without its last partial batch.",
        "Frames that are not aligned are aligned softly; the CTC term has their true lengths.",
    )
    citation = """\
@inproceedings{zhang2022tailor,
  title     = {Tailor Versatile Multi-Modal Learning for Multi-Label Emotion Recognition},
  author    = {Zhang, Yi and Chen, Mingyuan and Shen, Jundong and Wang, Chongjun},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  year      = {2022},
}"""
    keys_to_ignore_at_inference: ClassVar[list[str]] = [
        *EmotionConfig.keys_to_ignore_at_inference, "common_logits", "private", "common", "masks", "alignments",
    ]  # fmt: skip

    cross_num_hidden_layers: int = 3
    decoder_num_hidden_layers: int = 1
    aligned: bool = False
    aligned_length: int = 60
    private_dropout: float | int = 0.1
    common_dropout: float | int = 0.3
    classifier_dropout: float | int = 0.1
    common_weight: float | int = 0.5
    adversarial_weight: float | int = 0.01
    difference_weight: float | int = 5e-6
    alignment_weight: float | int = 0.5
    objective: Literal["bce", "kl"] = "bce"
    decision: Literal["softmax", "sigmoid"] = "sigmoid"
    decision_threshold: float | int | list[float | int] = 0.35

    @property
    def stream_length(self) -> int:
        """Most frames of a modality once they are aligned."""
        return self.aligned_length if len(self.modalities) > 1 else self.max_lengths[self.modalities[0]]

    def validate_architecture(self) -> None:
        """Check fields against each other; called by the strict dataclass."""
        super().validate_architecture()
        if self.aligned and self.reads_tokens and len(self.modalities) > 1:
            raise ValueError(
                "`aligned=True` is for one frame of each modality a word, with word vectors as the text: leave it out "
                "where the text comes as tokens."
            )
        check_objective(self.objective, self.decision)


@dataclass
class TailorOutput(EmotionOutput):
    """
    [`EmotionOutput`] with what the loss is made of. T is the number of words of the longest utterance.

    Args:
        common_logits (`torch.FloatTensor` of shape `(B, C)`): scores from what the modalities share.
        private, common (`dict[str, torch.FloatTensor]`): of each modality, `(B, T, hidden_size)`: what it has for
            itself and what it shares with the others.
        masks (`dict[str, torch.BoolTensor]`): which of them are there, `(B, T)` each.
        alignments (`dict[str, tuple[torch.Tensor, ...]]`): of each modality that was aligned to a text, what
            [`alignment_loss`] takes.
    """

    common_logits: torch.Tensor | None = None
    private: dict[str, torch.Tensor] | None = None
    common: dict[str, torch.Tensor] | None = None
    masks: dict[str, torch.Tensor] | None = None
    alignments: dict[str, _Alignment] | None = None


class TailorAlignment(nn.Module):
    """Frames of every modality with one length, that of the text where there is one."""

    def __init__(self, config: TailorConfig):
        super().__init__()
        self.config = config
        others = [] if config.aligned or len(config.modalities) == 1 else config.modalities
        self.aligners = nn.ModuleDict(
            {name: SoftAlignment(config.frame_sizes[name], config.aligned_length) for name in others if name != "text"}
        )

    def forward(self, frames: dict[str, Frames]) -> tuple[dict[str, Frames], dict[str, _Alignment]]:
        """The frames, aligned, and of each modality that was aligned to a text, what [`alignment_loss`] takes."""
        if len(frames) == 1:
            return frames, {}
        if self.config.aligned:
            if self.training:
                _check_alignment(frames)
            return _one_frame_a_word(frames, self.config.aligned_length), {}
        words = self._words(frames)
        streams: dict[str, Frames] = {}
        alignments: dict[str, _Alignment] = {}
        if "text" in frames:
            streams["text"] = Frames(frames["text"].states[:, : words.shape[1]], words)
        for name, aligner in self.aligners.items():
            streams[name], log_probs = aligner(frames[name], words)
            alignments[name] = (log_probs, frames[name].mask, words)
        return streams, alignments if "text" in frames else {}

    def _words(self, frames: dict[str, Frames]) -> torch.Tensor:
        """Which places are aligned to, `(B, T)`."""
        if "text" in frames:
            return frames["text"].mask[:, : self.config.aligned_length]
        mask = next(iter(frames.values())).mask
        return mask.new_ones(mask.shape[0], self.config.aligned_length)


class TailorCrossEncoder(nn.Module):
    """
    Two sequences of streams of equal length, read as one: positions, types 0 and 1, layer norm, dropout, BERT layers.

    Args:
        config: sizes.
        first, second: how many streams each of the two sequences consists of.
    """

    def __init__(self, config: TailorConfig, first: int, second: int):
        super().__init__()
        self.stream_length = config.stream_length
        self.counts = (first, second)
        longest = (len(config.modalities) + 1) * config.stream_length
        self.position_embeddings = nn.Embedding(longest, config.hidden_size)
        self.type_embeddings = nn.Embedding(2, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.encoder = BertLayers(config, config.cross_num_hidden_layers)

    def forward(self, first: Frames, second: Frames, length: int) -> Frames:
        """Both as one sequence of hidden states `(B, (first + second) · length, hidden_size)`."""
        states = torch.cat([first.states, second.states], dim=1)
        mask = torch.cat([first.mask, second.mask], dim=1)
        device = states.device
        # A stream has its positions wherever the padding of those before it ends.
        starts = torch.arange(sum(self.counts), device=device) * self.stream_length
        positions = (starts[:, None] + torch.arange(length, device=device)).flatten()
        types = (torch.arange(states.shape[1], device=device) >= self.counts[0] * length).long()
        embedded = states + self.position_embeddings(positions) + self.type_embeddings(types)
        return Frames(self.encoder(self.dropout(self.norm(embedded)), mask), mask)


class TailorForEmotionClassification(FrameModel):
    """TAILOR: modalities are split into private and common parts by adversaries; labels are decoded from both."""

    config_class = TailorConfig
    config: TailorConfig
    head_parameters = (r"decoder\.queries\.", r"common_classifier\.")

    def __init__(self, config: TailorConfig):
        super().__init__(config)
        width, names = config.hidden_size, config.modalities
        self.alignment = TailorAlignment(config)
        self.encoders = nn.ModuleDict({name: FrameEncoder(config, name, config.stream_length) for name in names})
        self.private_projections = nn.ModuleDict({name: nn.Linear(width, width) for name in names})
        self.common_projection = nn.Linear(width, width)
        self.private_dropout = nn.Dropout(config.private_dropout)
        self.common_dropout = nn.Dropout(config.common_dropout)
        # One for each modality but the last, which reads it together with those after it.
        self.cross_encoders = nn.ModuleDict(
            {name: TailorCrossEncoder(config, 1, after) for after, name in enumerate(reversed(names)) if after}
        )
        self.common_encoder = TailorCrossEncoder(config, len(names), 1)
        self.decoder = LabelDecoder(config, config.decoder_num_hidden_layers, norm="input")
        self.common_classifier = nn.Linear(width, config.num_labels)
        self.classifier_dropout = nn.Dropout(config.classifier_dropout)
        self.discriminator = _discriminator(config) if len(names) > 1 else None
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """A normal distribution as the official code has it; the LSTMs of the alignment as PyTorch has them."""
        if isinstance(module, nn.LSTM):
            module.reset_parameters()
        else:
            super()._init_weights(module)

    def classify(self, frames: dict[str, Frames], **inputs: Any) -> TailorOutput:
        """Scores of the labels' decoder over what is private to the modalities and what they share."""
        streams, alignments = self.alignment(frames)
        masks = {name: stream.mask for name, stream in streams.items()}
        hidden = {name: encoder(streams[name]) for name, encoder in self.encoders.items()}
        private = {name: self._private(name, states) for name, states in hidden.items()}
        common = {name: self.common_dropout(self.common_projection(states)).tanh() for name, states in hidden.items()}
        shared = Frames(torch.stack(list(common.values())).sum(dim=0), torch.stack(list(masks.values())).all(dim=0))
        memory = self._fused({name: Frames(states, masks[name]) for name, states in private.items()}, shared)
        return TailorOutput(
            logits=self.decoder(memory.states, memory.mask),
            common_logits=self.classifier_dropout(self.common_classifier(shared.states[:, 0])),
            private=private,
            common=common,
            masks=masks,
            alignments=alignments,
        )

    def _private(self, name: str, hidden: torch.Tensor) -> torch.Tensor:
        return self.private_dropout(self.private_projections[name](hidden)).tanh()

    def _fused(self, private: dict[str, Frames], shared: Frames) -> Frames:
        """All streams as one sequence: the modalities by and by, last to first, then what they share."""
        length = shared.mask.shape[1]
        (_, fused), *others = reversed(private.items())
        for name, stream in others:
            fused = self.cross_encoders[name](stream, fused, length)
        return self.common_encoder(fused, shared, length)

    def loss_terms(self, output: Any, labels: torch.Tensor, va: Any) -> dict[str, torch.Tensor]:
        """
        Loss of the labels; in training also that of the common scores, of the adversaries, of the difference between
        the parts, and of the alignment to a text.
        """
        config, name = self.config, str(self.config.objective)
        terms = {name: self._label_loss(output.logits, labels)}
        if va is None:
            return terms
        terms[f"{name}_common"] = config.common_weight * self._label_loss(output.common_logits, labels)
        if self.discriminator is not None:
            for part, loss in self._adversarial_losses(output).items():
                terms[f"adversarial_{part}"] = config.adversarial_weight * loss
        for part, loss in _differences(output.private, output.common, output.masks).items():
            terms[f"difference_{part}"] = config.difference_weight * loss
        for modality, found in output.alignments.items():
            terms[f"ctc_{modality}"] = config.alignment_weight * alignment_loss(*found)
        return terms

    def _label_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self.config.objective == "kl":
            return kl_divergence_loss(logits, labels, "paper")
        return F.binary_cross_entropy_with_logits(logits.float(), labels.float())

    def _adversarial_losses(self, output: TailorOutput) -> dict[str, torch.Tensor]:
        """Whether the modality can be told from each part: it should from what is private, not from what is common."""
        private: Any = output.private
        common: Any = output.common
        hidden = {name: reverse_gradient(states) for name, states in common.items()}
        return {
            "private": self._recognised(private, output.masks),
            "common": self._recognised(hidden, output.masks),
        }

    def _recognised(self, parts: Mapping[str, torch.Tensor], masks: Any) -> torch.Tensor:
        """Sum over the modalities of the discriminator's mean cross-entropy on their frames."""
        discriminator: Any = self.discriminator
        names = [name for name in _CLASSES if name in parts]
        mask = torch.stack([masks[name] for name in names], dim=-1).float()
        log_probs = discriminator(torch.stack([parts[name] for name in names])).float().log_softmax(dim=-1)
        losses = -log_probs.diagonal(dim1=0, dim2=-1)
        return ((losses * mask).sum(dim=(0, 1)) / mask.sum(dim=(0, 1))).sum()


def _discriminator(config: TailorConfig) -> nn.Sequential:
    width, dropout = config.hidden_size, nn.Dropout(config.classifier_dropout)
    half = width // 2
    return nn.Sequential(nn.Linear(width, half), dropout, nn.ReLU(), nn.Linear(half, len(config.modalities)))


def _differences(
    private: Mapping[str, torch.Tensor], common: Mapping[str, torch.Tensor], masks: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """How much the private parts have of each other, and of the common part of their modality."""

    def own(parts: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: states.float() * masks[name][..., None] for name, states in parts.items()}

    private, common = own(private), own(common)
    pairs = {
        "private": list(combinations(private.values(), 2)),
        "common": [(common[name], states) for name, states in private.items()],
    }
    with torch.autocast(next(iter(masks.values())).device.type, enabled=False):
        return {part: torch.stack([_overlap(*pair) for pair in found]).sum() for part, found in pairs.items() if found}


def _overlap(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Mean over the rows of ‖X Yᵀ‖², of every frame of the one with every frame of the other."""
    return (first @ second.transpose(1, 2)).square().sum(dim=(1, 2)).mean()


def _one_frame_a_word(frames: Mapping[str, Frames], longest: int) -> dict[str, Frames]:
    """Frames that are aligned already, of one length; what an utterance lacks is the same at each of its words."""
    length = max(found.mask.shape[1] for found in frames.values())
    masks = {name: F.pad(found.mask, (0, length - found.mask.shape[1])) for name, found in frames.items()}
    words = torch.stack(list(masks.values())).any(dim=0)
    streams = {}
    for name, found in frames.items():
        states = F.pad(found.states, (0, 0, 0, length - found.states.shape[1]))
        is_single = found.mask.sum(dim=1) == 1
        states = torch.where(is_single[:, None, None], states[:, :1], states)
        mask = torch.where(is_single[:, None], words, masks[name])
        streams[name] = Frames(states[:, :longest], mask[:, :longest])
    return streams


def _check_alignment(frames: Mapping[str, Frames]) -> None:
    # Batches of aligned frames have one length but where the longest utterance lacks a modality, so that this is all
    # that is asked of most.
    if len({found.mask.shape[1] for found in frames.values()}) == 1:
        return
    lengths = torch.stack([found.mask.sum(dim=1) for found in frames.values()])
    wrong = ((lengths > 1) & (lengths != lengths.amax(dim=0))).any(dim=0).nonzero()
    if wrong.numel():
        row = int(wrong[0])
        found = dict(zip(frames, lengths[:, row].tolist(), strict=True))
        raise ValueError(
            f"`aligned=True` needs one frame of each modality a word, got {found} in row {row} of a batch: train "
            "with `aligned=False`."
        )


TailorConfig.register_for_auto_class()
TailorForEmotionClassification.register_for_auto_class("AutoModel")
