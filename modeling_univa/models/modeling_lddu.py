# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""LDDU: each label of a modality as a normal distribution, whose width tells how sure it is (Huang et al., 2025)."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import initialization as init

from .contrast_rows_univa import gather_rows
from .frame_encoder_univa import FrameEncoder, FrameEncoderConfig
from .linear_layers_univa import XavierLinear
from .modeling_emotion import EmotionOutput, FrameModel, Frames, logits_of
from .processing_univa import UnivaProcessor  # noqa: F401  (saved beside the network)
from .queue_contrast_univa import ContrastQueue, label_classes


__all__ = ["LdduConfig", "LdduForEmotionClassification", "LdduOutput", "calibration_loss"]

# Order of the modalities in what is concatenated, and in the classes of the queue.
_ORDER = ("vision", "audio", "text")


@strict
class LdduConfig(FrameEncoderConfig):
    """
    Configuration of LDDU. The defaults are those of the official code for MOSEI.

    Args:
        label_size, attention_size (`int`, defaults to 256): width of the label embeddings, and of the attention from
            them to the frames.
        latent_size (`int`, defaults to 128): width of the distributions.
        classifier_dropout (`float`, defaults to 0.1): in the heads, and on what a label has attended to.
        queue_size (`int`, defaults to 8192): distributions of past batches that are contrasted with those of a batch.
        queue_anchors (`bool`, defaults to `True`): whether those of the queue are anchors too, as in the official
            code; `False` is cheaper.
        contrastive_temperature (`float`, defaults to 0.07): of the contrastive loss, whose similarities are means of
            those of the centres and of the widths.
        label_weight, gate_label_weight (`float`, defaults to 1.0, 0.3): of the loss of the labels from the scores, and
            from the gate between centres and widths.
        contrastive_weight, calibration_weight (`float`, defaults to 1.0, 0.3): of the contrastive loss and of
            [`calibration_loss`].
        calibration (`"released"` or `"row"`): what is compared in it.
    """

    model_type = "lddu"
    architecture = "modeling_lddu.LdduForEmotionClassification"
    title = "LDDU"
    paper = "https://arxiv.org/abs/2502.13954"
    idea = (
        "each label in each modality is a normal distribution, and a gate for each label mixes what centres and"
        " widths say"
    )
    official_code = "[201983290498/lddu_mmer](https://github.com/201983290498/lddu_mmer), no licence"
    deviations = (
        "Padding is never attended, pooled or counted in a loss; `mask_padding=False` computes as released.",
        "The queue is saved with the model and the same on every process.",
        "Epoch and threshold are chosen on validation; the published ones were chosen on test.",
        "Linear layers outside of the frame encoders start Xavier-uniform, as those of CARAT do.",
    )
    citation: ClassVar[str] = """@misc{huang2025lddu,
  title = {Latent Distribution Decoupling: A Probabilistic Framework for Uncertainty-Aware Multimodal Emotion
    Recognition},
  author = {Huang, Jingwang and Zhong, Jiang and Lei, Qin and Gao, Jinpeng and Yang, Yuming and Wang, Sirui and
    Li, Peiguang and Wei, Kaiwen},
  year = {2025},
  eprint = {2502.13954},
  archivePrefix = {arXiv}
}"""
    keys_to_ignore_at_inference: ClassVar[list[str]] = [
        *FrameEncoderConfig.keys_to_ignore_at_inference, "scores", "gates", "centres", "widths",
    ]  # fmt: skip

    text_num_hidden_layers: int = 3
    audio_num_hidden_layers: int = 3
    vision_num_hidden_layers: int = 3
    label_size: int = 256
    attention_size: int = 256
    latent_size: int = 128
    classifier_dropout: float | int = 0.1
    queue_size: int = 8192
    queue_anchors: bool = True
    contrastive_temperature: float | int = 0.07
    label_weight: float | int = 1.0
    gate_label_weight: float | int = 0.3
    contrastive_weight: float | int = 1.0
    calibration_weight: float | int = 0.3
    calibration: Literal["released", "row"] = "released"
    decision: Literal["sigmoid"] = "sigmoid"
    decision_threshold: float | int | list[float | int] = 0.21


@dataclass
class LdduOutput(EmotionOutput):
    """
    [`EmotionOutput`] with what the loss needs. M is the number of modalities, in the order vision, audio, text.

    Args:
        scores (`torch.FloatTensor` of shape `(B, C)`): in [0, 1].
        gates (`torch.FloatTensor` of shape `(B, C)`): share of the centres in them, in [0, 1].
        centres, widths (`torch.FloatTensor` of shape `(B, M, C, latent_size)`): mean and standard deviation of each
            label in each modality.
    """

    scores: torch.Tensor | None = None
    gates: torch.Tensor | None = None
    centres: torch.Tensor | None = None
    widths: torch.Tensor | None = None


class LdduLabelAttention(nn.Module):
    """What each label attends to among the hidden states of a modality; one head, the keys being the values."""

    def __init__(self, config: LdduConfig):
        super().__init__()
        self.query = XavierLinear(config.label_size, config.attention_size)
        self.key = XavierLinear(config.hidden_size, config.attention_size)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.output = XavierLinear(config.attention_size, config.hidden_size)

    def forward(self, labels: torch.Tensor, hidden_states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """
        Args:
            labels (`torch.FloatTensor` of shape `(C, label_size)`): their embeddings.
            hidden_states (`torch.FloatTensor` of shape `(B, T, d)`), mask (`torch.BoolTensor` of shape `(B, T)`).

        Returns:
            `torch.FloatTensor` of shape `(B, C, d)`.
        """
        queries, keys = self.query(labels).expand(hidden_states.shape[0], -1, -1), self.key(hidden_states)
        attended = F.scaled_dot_product_attention(queries, keys, keys, attn_mask=mask[:, None])
        return self.output(self.dropout(attended))


class LdduDistribution(nn.Module):
    """The features of the labels in a modality to normal distributions with a diagonal covariance."""

    def __init__(self, config: LdduConfig):
        super().__init__()
        width = config.hidden_size
        widths = (width, width * 3 // 4, width // 2, width // 2)
        self.layers = nn.ModuleList(XavierLinear(*pair) for pair in zip(widths[:-1], widths[1:], strict=True))
        self.mean = XavierLinear(width // 2, config.latent_size)
        self.log_variance = XavierLinear(width // 2, config.latent_size)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation `(…, latent_size)` of features `(…, d)`."""
        for layer in self.layers:
            features = layer(features).relu()
        return self.mean(features), (self.log_variance(features) / 2).exp()


class LdduHead(nn.Sequential):
    """Two linear layers to one logit."""

    def __init__(self, config: LdduConfig, size: int):
        hidden = config.hidden_size // 2
        super().__init__(
            XavierLinear(size, hidden), nn.ReLU(), nn.Dropout(config.classifier_dropout), XavierLinear(hidden, 1)
        )


class LdduForEmotionClassification(FrameModel):
    """LDDU: what the centres of the labels say and what their widths say, mixed by a gate for each label."""

    config_class = LdduConfig
    config: LdduConfig
    head_parameters = (r"label_embeddings\.", r"(centre|width)_heads\.")
    loss_reads_logits = False

    def __init__(self, config: LdduConfig):
        super().__init__(config)
        self.order = [name for name in _ORDER if name in config.modalities]
        self.encoders = nn.ModuleDict({name: FrameEncoder(config, name) for name in self.order})
        self.label_embeddings = nn.Embedding(config.num_labels, config.label_size)
        self.label_attention = nn.ModuleDict({name: LdduLabelAttention(config) for name in self.order})
        self.distributions = nn.ModuleDict({name: LdduDistribution(config) for name in self.order})
        self.gate = LdduHead(config, len(self.order) * config.hidden_size)
        size = len(self.order) * config.latent_size
        self.centre_heads = nn.ModuleList(LdduHead(config, size) for _ in range(config.num_labels))
        self.width_heads = nn.ModuleList(LdduHead(config, size) for _ in range(config.num_labels))
        self.queue = ContrastQueue(config.queue_size, 2 * config.latent_size)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Normal in the frame encoders, Xavier-uniform elsewhere."""
        super()._init_weights(module)
        if isinstance(module, XavierLinear):
            module.reset_parameters()
        elif module is self.label_embeddings:
            init.xavier_uniform_(module.weight)
        elif isinstance(module, ContrastQueue):
            module.reset()

    def classify(self, frames: dict[str, Frames], **inputs: Any) -> LdduOutput:
        """Scores between those of the centres and those of the widths."""
        features = [self._label_features(name, frames[name]) for name in self.order]
        found = [self.distributions[name](x) for name, x in zip(self.order, features, strict=True)]
        centres, widths = (torch.stack(parts, dim=1) for parts in zip(*found, strict=True))
        gates = self.gate(torch.cat(features, dim=-1)).squeeze(-1).float().sigmoid()
        scores = gates * _scores(self.centre_heads, centres) + (1 - gates) * _scores(self.width_heads, widths)
        return LdduOutput(logits=logits_of(scores), scores=scores, gates=gates, centres=centres, widths=widths)

    def _label_features(self, name: str, frames: Frames) -> torch.Tensor:
        hidden_states = self.encoders[name](frames)
        return self.label_attention[name](self.label_embeddings.weight, hidden_states, frames.mask)

    def loss_terms(self, output: Any, labels: torch.Tensor, va: Any) -> dict[str, torch.Tensor]:
        """
        Binary cross-entropy of the scores and of the gates, the contrastive loss of the distributions, and how much
        the gates differ from the widths; in evaluation the cross-entropy of the scores.
        """
        targets = labels.float()
        if va is None:
            return {
                "label": self.config.label_weight * F.binary_cross_entropy_with_logits(output.logits.float(), targets)
            }
        terms = {
            "label": lambda: _cross_entropy(output.scores, targets),
            "gate_label": lambda: _cross_entropy(output.gates, targets),
            "contrastive": lambda: self._contrastive_loss(output, labels),
            "calibration": lambda: calibration_loss(output.gates, output.widths, self.config.calibration),
        }
        weights = {name: getattr(self.config, f"{name}_weight") for name in terms}
        return {name: weights[name] * term() for name, term in terms.items() if weights[name]}

    def _contrastive_loss(self, output: Any, labels: torch.Tensor) -> torch.Tensor:
        return self.queue.loss(
            _directions(output).flatten(0, 2),
            label_classes(labels, len(self.order)).flatten(),
            2 * len(self.order) * self.config.num_labels,
            2 * self.config.contrastive_temperature,
            self.config.queue_anchors,
        )

    def remember(self, output: Any, labels: torch.Tensor, va: Any) -> None:
        """Write the distributions into the queue."""
        directions, labels = gather_rows(_directions(output)), gather_rows(labels)
        self.queue.write(directions.flatten(0, 2), label_classes(labels, len(self.order)).flatten())


def calibration_loss(gates: torch.Tensor, widths: torch.Tensor, calibration: str) -> torch.Tensor:
    r"""
    How much the gates differ from the widths, both as distributions over labels.

        ½ (KL(a ‖ b) + KL(b ‖ a)) / BC

    Args:
        gates (`torch.Tensor` of shape `(B, C)`): a is their softmax over the labels of a row.
        widths (`torch.Tensor` of shape `(B, M, C, k)`): b is the softmax of the lengths of the widths of all
            modalities.
        calibration: over what b is: `"row"`, over the labels of a row; `"released"`, as the official code has it, over
            all B·C, so that a sums to B and b to 1.

    Returns:
        `torch.Tensor`: float32 scalar.
    """
    lengths = torch.linalg.vector_norm(widths.float(), dim=(1, 3))
    log_a = gates.float().log_softmax(dim=-1)
    log_b = lengths.log_softmax(dim=-1) if calibration == "row" else lengths.flatten().log_softmax(0).view_as(lengths)
    return ((log_a.exp() - log_b.exp()) * (log_a - log_b)).sum() / (2 * gates.numel())


def _scores(heads: nn.ModuleList, latent: torch.Tensor) -> torch.Tensor:
    """Score `(B, C)` of each label by its own head from the modalities of `(B, M, C, k)`, side by side."""
    joined = latent.transpose(1, 2).flatten(2)
    return torch.cat([head(joined[:, label]) for label, head in enumerate(heads)], dim=-1).float().sigmoid()


def _directions(output: Any) -> torch.Tensor:
    """Unit centres and unit widths side by side, `(B, M, C, 2k)`."""
    return torch.cat([F.normalize(part.float(), dim=-1) for part in (output.centres, output.widths)], dim=-1)


def _cross_entropy(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    # Of probabilities it is refused under autocast, in whatever precision they are.
    with torch.autocast(scores.device.type, enabled=False):
        return F.binary_cross_entropy(scores.float(), targets)


LdduConfig.register_for_auto_class()
LdduForEmotionClassification.register_for_auto_class("AutoModel")
