# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""M3ER: a check of every modality against the others, memory fusion and a multiplicative loss (Mittal et al., 2020).

There is no official code. The fusion network is the Memory Fusion Network (Zadeh et al., AAAI 2018), which has one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import initialization as init
from transformers.utils import logging

from .configuration_emotion import MODALITIES, EmotionConfig
from .limits_univa import check_limit
from .modality_check_univa import ModalityCheck, ModalityNeighbours, ModalityPair
from .modeling_emotion import EmotionModel, EmotionOutput, FrameModel, Frames
from .processing_univa import UnivaProcessor  # noqa: F401  (saved beside the network)


# Utterances that are read at once to take the statistics.
_STATISTICS_BATCH = 64


@strict
class M3erConfig(EmotionConfig):
    r"""
    Configuration of M3ER.

    Args:
        num_frames (`int`, defaults to 20):
            Every modality is averaged to this number of steps, so that the modalities of an utterance go side by side.
            0: its frames are aligned already, one a word, and are taken as they are.
        lstm_sizes (`list[int]`):
            Width of the LSTM of text, audio and vision.
        memory_size (`int`, defaults to 128):
            Width of the memory that the modalities share.
        mlp_sizes (`list[int]`):
            Inner width of the two-layer networks: attention over the cells, what is to be remembered, how much of the
            memory is kept, how much is written, and the classifier.
        modality_head_size (`int`, defaults to 32):
            Inner width of the classifier of each modality, which the multiplicative loss is of.
        dropout (`float`, defaults to 0.2):
            Inside the two-layer networks.
        check_threshold (`float`, defaults to 0.1):
            A modality that correlates less than this with every other one is replaced by a proxy; -1 turns the check
            off, and modalities that an utterance lacks have a proxy all the same. Correlations of a small training set
            are larger than those of other rows: `replaced` of the output tells how many of these fail.
        cca_components (`int`, defaults to 100):
            Canonical components of two modalities; at most as many as the narrower one has features.
        ridge (`float`, defaults to 0.001):
            Added to the variance of every standardised feature where the statistics are solved for.
        proxy (`"linear"` or `"nearest"`):
            Where a proxy comes from: ridge regression on another modality, or the same combination of training
            utterances that makes up the other modality, of those that are nearest in it.
        num_neighbours (`int`, defaults to 50):
            Training utterances that are combined, with `proxy="nearest"`.
        memory_rows (`int`, defaults to 4096):
            Training utterances that are kept with the model, with `proxy="nearest"`.
        loss_form (`"m3er"` or `"original"`):
            How the multiplicative loss weights a modality: by its own probability of the truth, or by what the other
            modalities miss (Liu et al., 2018).
        beta (`float`, defaults to 1):
            Exponent of that weight; 0 is a sum of cross-entropies.
        detach_weight (`bool`, defaults to `True`):
            Whether the weight is a constant in the gradient.
    """

    model_type = "m3er"
    architecture = "modeling_m3er.M3erForEmotionClassification"
    title = "M3ER"
    paper = "https://arxiv.org/abs/1911.05659"
    idea = "a modality that does not go with the others is replaced by what they say of it, and a memory fuses all"
    deviations = (
        "There is no official code: sizes are second-hand, and the linear proxies and the multi-label form of"
        " the multiplicative loss are ours.",
    )
    citation: ClassVar[str] = """\
@inproceedings{mittal2020m3er,
  title     = {M3ER: Multiplicative Multimodal Emotion Recognition Using Facial, Textual, and Speech Cues},
  author    = {Mittal, Trisha and Bhattacharya, Uttaran and Chandra, Rohan and Bera, Aniket and Manocha, Dinesh},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  year      = {2020}
}"""
    keys_to_ignore_at_inference: ClassVar[list[str]] = [
        *EmotionConfig.keys_to_ignore_at_inference,
        "modality_logits",
        "replaced",
    ]

    may_be_zero = (*EmotionConfig.may_be_zero, "num_frames")

    num_frames: int = 20
    lstm_sizes: list[int] | tuple[int, ...] = (32, 32, 32)
    memory_size: int = 128
    mlp_sizes: list[int] | tuple[int, ...] = (64, 64, 64, 64, 64)
    modality_head_size: int = 32
    dropout: float | int = 0.2
    check_threshold: float | int = 0.1
    cca_components: int = 100
    ridge: float | int = 1e-3
    proxy: Literal["linear", "nearest"] = "linear"
    num_neighbours: int = 50
    memory_rows: int = 4096
    loss_form: Literal["m3er", "original"] = "m3er"
    beta: float | int = 1.0
    detach_weight: bool = True
    decision: Literal["sigmoid"] = "sigmoid"

    def __post_init__(self, **kwargs: Any) -> None:
        self.lstm_sizes, self.mlp_sizes = list(self.lstm_sizes), list(self.mlp_sizes)
        super().__post_init__(**kwargs)

    @property
    def lstm_size_of(self) -> dict[str, int]:
        """Width of the LSTM of each modality that the model has."""
        sizes = dict(zip(MODALITIES, self.lstm_sizes, strict=True))
        return {name: sizes[name] for name in self.modalities}

    def validate_architecture(self) -> None:
        """Check fields against each other; called by the strict dataclass."""
        super().validate_architecture()
        for name, count in (("lstm_sizes", len(MODALITIES)), ("mlp_sizes", 5)):
            sizes = getattr(self, name)
            if len(sizes) != count:
                raise ValueError(f"`{name}` needs {count} numbers, got {list(sizes)}.")
        check_limit("width", self.cca_components, "`cca_components`")
        check_limit("length", self.memory_rows, "`memory_rows`")
        if self.num_neighbours > self.memory_rows:
            raise ValueError(
                f"`num_neighbours` ({self.num_neighbours}) must be at most `memory_rows` ({self.memory_rows})."
            )
        if not -1 <= self.check_threshold <= 1:
            raise ValueError(f"`check_threshold` must lie in [-1, 1], got {self.check_threshold}.")
        if self.ridge <= 0 or self.beta < 0:
            raise ValueError(
                f"`ridge` must be greater than 0 and `beta` at least 0, got {self.ridge} and {self.beta}."
            )


@dataclass
class M3erOutput(EmotionOutput):
    """
    [`EmotionOutput`] with what the multiplicative loss needs, and what the check found.

    Args:
        modality_logits (`torch.FloatTensor` of shape `(M, B, C)`): scores of each modality by itself, in the order of
            `config.modalities`.
        replaced (`torch.BoolTensor` of shape `(B, M)`): which modalities have a proxy in their place.
    """

    modality_logits: torch.Tensor | None = None
    replaced: torch.Tensor | None = None


def resampled(frames: Frames, length: int) -> Frames:
    """
    Means of `length` parts of an utterance's frames, equal but for a frame; parts of fewer frames share them.

    Args:
        frames: at least one of every utterance.
    """
    mask = frames.mask.long()
    place, count = (mask.cumsum(dim=1) - 1)[:, None], mask.sum(dim=1)[:, None, None]
    part = torch.arange(length, device=mask.device)[None, :, None]
    start = torch.div(part * count, length, rounding_mode="floor")
    end = torch.div((part + 1) * count + length - 1, length, rounding_mode="floor")
    inside = (frames.mask[:, None] & (place >= start) & (place < end)).to(frames.states.dtype)
    states = inside @ frames.states / inside.sum(dim=-1, keepdim=True)
    return Frames(states, torch.ones_like(states[..., 0], dtype=torch.bool))


# The network


def _mlp(size: int, inner: int, output: int, dropout: float = 0.0) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, inner), nn.ReLU(), nn.Dropout(dropout), nn.Linear(inner, output))


class M3erLstm(nn.LSTMCell):
    """An LSTM that also gives the state of its cell at every step, which that of torch keeps to itself."""

    def forward(self, frames: Frames) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        """
        Args:
            frames: `(B, T, k)`; after an utterance's last frame the states stay as they are.

        Returns:
            Last hidden state `(B, H)`, and the cell before the first and after every step, `(B, T + 1, H)`.
        """
        # Of all steps at once, which is what most of the time would go to.
        inputs = F.linear(frames.states.to(self.weight_ih.dtype), self.weight_ih, self.bias_ih)
        hidden = torch.zeros_like(inputs[:, 0, : self.hidden_size], dtype=torch.float32)
        cell = hidden
        cells = [cell]
        for step, is_there in zip(inputs.unbind(dim=1), frames.mask[..., None].unbind(dim=1), strict=True):
            gates = step + F.linear(hidden.to(self.weight_hh.dtype), self.weight_hh, self.bias_hh)
            enter, forget, new, out = gates.float().chunk(4, dim=-1)
            next_cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
            hidden = torch.where(is_there, out.sigmoid() * next_cell.tanh(), hidden)
            cell = torch.where(is_there, next_cell, cell)
            cells.append(cell)
        return hidden.to(inputs.dtype), torch.stack(cells, dim=1).to(inputs.dtype)


class M3erMemoryFusion(nn.Module):
    """
    The Memory Fusion Network: an LSTM a modality, and a memory of what their cells do together.

    At each step, c being the cells of all modalities before it and after it:

        a = softmax(MLP(c)) ⊙ c        u ← σ(MLP([a, u])) ⊙ u + σ(MLP([a, u])) ⊙ tanh(MLP(a))
    """

    def __init__(self, config: M3erConfig):
        super().__init__()
        widths, memory = config.lstm_size_of, config.memory_size
        self.memory_size = memory
        self.lstms = nn.ModuleDict({name: M3erLstm(size, widths[name]) for name, size in config.frame_sizes.items()})
        cells = 2 * sum(widths.values())
        attention, candidate, keep, write, _ = config.mlp_sizes
        self.attention = _mlp(cells, attention, cells, config.dropout)
        self.candidate = _mlp(cells, candidate, memory, config.dropout)
        self.keep_gate = _mlp(cells + memory, keep, memory, config.dropout)
        self.write_gate = _mlp(cells + memory, write, memory, config.dropout)

    def forward(self, frames: Mapping[str, Frames]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """
        Args:
            frames: of every modality, of one length.

        Returns:
            Last hidden state of each modality `(B, H)`, and the memory `(B, memory_size)` in the end.
        """
        last, before, after = {}, [], []
        for name, found in frames.items():
            last[name], cells = self.lstms[name](found)
            before.append(cells[:, :-1])
            after.append(cells[:, 1:])
        # The cells do not depend on the memory: all steps at once, but for the memory itself.
        joint = torch.cat([*before, *after], dim=-1)
        attended = self.attention(joint).softmax(dim=-1) * joint
        candidates = self.candidate(attended).tanh()
        is_there = torch.stack([found.mask for found in frames.values()]).any(dim=0)
        memory = torch.zeros_like(candidates[:, 0])
        steps = zip(attended.unbind(1), candidates.unbind(1), is_there[..., None].unbind(1), strict=True)
        for seen, candidate, here in steps:
            both = torch.cat([seen, memory.to(seen.dtype)], dim=-1)
            updated = self.keep_gate(both).sigmoid() * memory + self.write_gate(both).sigmoid() * candidate
            memory = torch.where(here, updated, memory)
        return last, memory


class M3erForEmotionClassification(FrameModel):
    """M3ER with a score of each emotion by itself."""

    config_class = M3erConfig
    config: M3erConfig
    head_parameters = (r"classifier\.", r"modality_classifiers\.")

    def __init__(self, config: M3erConfig):
        super().__init__(config)
        self.check = ModalityCheck(config)
        self.fusion = M3erMemoryFusion(config)
        widths, inner = config.lstm_size_of, config.modality_head_size
        self.modality_classifiers = nn.ModuleDict(
            {name: _mlp(width, inner, config.num_labels) for name, width in widths.items()}
        )
        fused = sum(widths.values()) + config.memory_size
        self.classifier = _mlp(fused, config.mlp_sizes[-1], config.num_labels, config.dropout)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """PyTorch's own defaults, as the code of the Memory Fusion Network has them."""
        if isinstance(module, nn.Linear | nn.LSTMCell):
            module.reset_parameters()
        elif isinstance(module, ModalityPair | ModalityNeighbours):
            for buffer in module.buffers():
                init.zeros_(buffer)

    def read(self, inputs: Mapping[str, Any], modalities: Sequence[str] | None = None) -> dict[str, Frames]:
        """As [`EmotionModel.read`]: the check is of what was there, before a learned frame stands for what was not."""
        return EmotionModel.read(self, inputs, modalities)

    def classify(self, frames: dict[str, Frames], **inputs: Any) -> M3erOutput:
        """Scores of the last hidden states and the memory, and of each modality's last hidden state."""
        checked, replaced = self.check(frames)
        filled = {name: self.absent[name](found) for name, found in checked.items()}
        last, memory = self.fusion(self._side_by_side(filled))
        alone = [self.modality_classifiers[name](hidden) for name, hidden in last.items()]
        return M3erOutput(
            logits=self.classifier(torch.cat([*last.values(), memory], dim=-1)),
            modality_logits=torch.stack(alone),
            replaced=replaced,
            **{f"{name}_embeds": hidden for name, hidden in last.items()},
        )

    def _side_by_side(self, frames: Mapping[str, Frames]) -> dict[str, Frames]:
        """The frames of all modalities at one number of steps."""
        if self.config.num_frames:
            return {name: resampled(found, self.config.num_frames) for name, found in frames.items()}
        if torch.jit.is_tracing() and self.config.fixed_length is None:
            raise RuntimeError("a memory of any number of steps; set `num_frames`, or `fixed_length`")
        longest = max(found.mask.shape[1] for found in frames.values())
        return {name: _padded_to(found, longest) for name, found in frames.items()}

    def loss_terms(
        self, output: Any, labels: torch.Tensor, va: Mapping[str, torch.Tensor | None] | None
    ) -> dict[str, torch.Tensor]:
        """
        Binary cross-entropy of the fused scores, and in training the multiplicative loss of the modalities'.

        The paper has one true class; here every emotion has a true state, and the terms are means over emotions and
        utterances.
        """
        labels = labels.float()
        terms = {"bce": F.binary_cross_entropy_with_logits(output.logits.float(), labels)}
        if va is not None:
            signed = output.modality_logits.float() * (2 * labels - 1)
            config = self.config
            loss = multiplicative_loss(
                F.logsigmoid(signed), F.logsigmoid(-signed), config.beta, config.loss_form, config.detach_weight
            )
            terms["multiplicative"] = loss.mean()
        return terms

    @torch.no_grad()
    def fit_statistics(self, dataset: Any) -> None:
        """
        Fit the check and the proxies to the training set, which is read once.

        Args:
            dataset: with `batches(size)`, inputs of `forward`, and a length, as `UtteranceDataset`.
        """
        if len(self.config.modalities) < 2:
            return
        was_training = self.training
        self.eval()
        total = -(-len(dataset) // _STATISTICS_BATCH)
        batches = logging.tqdm(
            dataset.batches(_STATISTICS_BATCH), "statistics of the training set", total, leave=False
        )
        on_device = ({name: value.to(self.device) for name, value in batch.items()} for batch in batches)
        self.check.fit((self.read(batch) for batch in on_device), len(dataset))
        self.train(was_training)


def multiplicative_loss(
    log_p: torch.Tensor, log_not_p: torch.Tensor, beta: float, form: str = "m3er", detach_weight: bool = True
) -> torch.Tensor:
    r"""
    Cross-entropies of M modalities, each weighted by how far it is to be relied on.

        m3er:      −Σ_i p_i^{β/(M−1)} log p_i
        original:  −Σ_i Π_{j≠i} (1 − p_j)^{β/(M−1)} log p_i        (Liu et al., 2018)

    Args:
        log_p, log_not_p (`torch.FloatTensor` of shape `(M, …)`): logarithms of the probability p of the truth by each
            modality, and of 1 − p.
        beta (`float`): exponent of the weights; they are 1 for a single modality.
        form (`str`): `"m3er"` or `"original"`.
        detach_weight (`bool`): whether the weights are constants in the gradient, which the paper does not say.

    Returns:
        `torch.FloatTensor` of shape `(…)`.
    """
    exponent = beta / max(1, len(log_p) - 1)
    if len(log_p) == 1:
        weight = torch.ones_like(log_p)
    elif form == "m3er":
        weight = (exponent * log_p).exp()
    else:
        weight = (exponent * (log_not_p.sum(dim=0) - log_not_p)).exp()
    return -((weight.detach() if detach_weight else weight) * log_p).sum(dim=0)


def _padded_to(frames: Frames, length: int) -> Frames:
    missing = length - frames.mask.shape[1]
    return Frames(F.pad(frames.states, (0, 0, 0, missing)), F.pad(frames.mask, (0, missing)))


M3erConfig.register_for_auto_class()
M3erForEmotionClassification.register_for_auto_class("AutoModel")

__all__ = [
    "M3erConfig",
    "M3erForEmotionClassification",
    "M3erMemoryFusion",
    "M3erOutput",
    "multiplicative_loss",
    "resampled",
]
