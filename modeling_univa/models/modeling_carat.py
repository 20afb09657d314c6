# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""CARAT: label features of each modality, replaced by their contrastive prototypes (Peng et al., AAAI 2024)."""

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


__all__ = ["CaratConfig", "CaratForEmotionClassification", "CaratOutput"]

# Order of the modalities in what is concatenated, in the classes of the queue, and in the shuffling.
_ORDER = ("text", "vision", "audio")


@strict
class CaratConfig(FrameEncoderConfig):
    """
    Configuration of CARAT. The defaults are those of the official code for MOSEI.

    Args:
        projection_size (`int`, defaults to 64): z, width of what is contrasted and of the prototypes.
        queue_size (`int`, defaults to 8192): features of past batches that are contrasted with those of a batch.
        queue_anchors (`bool`, defaults to `True`): whether the features of the queue are anchors too, as in the
            official code; `False` is cheaper.
        contrastive_temperature (`float`, defaults to 0.07): of the contrastive loss.
        prototype_momentum (`float`, defaults to 0.99): share of a prototype that one feature leaves as it is.
        contrastive_weight (`float`, defaults to 1.0): of the contrastive loss.
        feature_label_weight, alpha_label_weight, beta_label_weight (`float`, defaults to 0.01, 0.1, 1.0): of the
            loss of the labels from the features, from those of which one modality was replaced, and from those of
            which all were.
        fused_label_weight, shuffled_label_weight (`float`, defaults to 1.0, 0.1): of the loss of the labels from all
            label features of a modality, and from those of several utterances and modalities.
        reconstruction_weight, alpha_reconstruction_weight, beta_reconstruction_weight (`float`, defaults to 1, 1, 0):
            of the squared distance of the features from their reconstruction and their replacements.
    """

    model_type = "carat"
    architecture = "modeling_carat.CaratForEmotionClassification"
    title = "CARAT"
    paper = "https://doi.org/10.1609/aaai.v38i13.29374"
    idea = (
        "features of each label in each modality are rebuilt from the other modalities, with prototypes and a"
        " queue of past batches"
    )
    official_code = "[chengzju/CARAT](https://github.com/chengzju/CARAT), no licence"
    deviations = (
        "Padding is never attended, pooled or counted in a loss; `mask_padding=False` computes as released.",
        "Queue and prototypes are saved with the model and the same on every process.",
    )
    citation: ClassVar[str] = """@inproceedings{peng2024carat,
  title = {{CARAT}: Contrastive Feature Reconstruction and Aggregation for Multi-Modal Multi-Label Emotion
    Recognition},
  author = {Peng, Cheng and Chen, Ke and Shou, Lidan and Chen, Gang},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  year = {2024}
}"""
    keys_to_ignore_at_inference: ClassVar[list[str]] = [
        *FrameEncoderConfig.keys_to_ignore_at_inference, "label_logits", "fused_logits", "features", "reconstructions",
        "alpha_features", "beta_features", "projections",
    ]  # fmt: skip

    projection_size: int = 64
    queue_size: int = 8192
    queue_anchors: bool = True
    contrastive_temperature: float | int = 0.07
    prototype_momentum: float | int = 0.99
    contrastive_weight: float | int = 1.0
    feature_label_weight: float | int = 0.01
    alpha_label_weight: float | int = 0.1
    beta_label_weight: float | int = 1.0
    fused_label_weight: float | int = 1.0
    shuffled_label_weight: float | int = 0.1
    reconstruction_weight: float | int = 1.0
    alpha_reconstruction_weight: float | int = 1.0
    beta_reconstruction_weight: float | int = 0.0
    decision: Literal["sigmoid"] = "sigmoid"
    decision_threshold: float | int | list[float | int] = 0.25

    def validate_architecture(self) -> None:
        """Check fields against each other; called by the strict dataclass."""
        super().validate_architecture()
        if not 0 <= self.prototype_momentum <= 1:
            raise ValueError(f"`prototype_momentum` must lie in [0, 1], got {self.prototype_momentum}.")


@dataclass
class CaratOutput(EmotionOutput):
    """
    [`EmotionOutput`] with what the loss needs. M is the number of modalities, in the order text, vision, audio.

    Args:
        label_logits (`dict[str, torch.FloatTensor]` of shape `(B, C)`): of the label classifiers, by "features",
            "alpha" and "beta".
        fused_logits (`torch.FloatTensor` of shape `(B, M, C)`): from all label features of a modality.
        features (`torch.FloatTensor` of shape `(B, M, C, hidden_size)`): of each label in each modality.
        reconstructions, alpha_features, beta_features: the same from the projections, with one modality replaced,
            and with all of them replaced.
        projections (`torch.FloatTensor` of shape `(B, 3M, C, projection_size)`): unit projections of the features
            and both replacements; in training only.
    """

    label_logits: dict[str, torch.Tensor] | None = None
    fused_logits: torch.Tensor | None = None
    features: torch.Tensor | None = None
    reconstructions: torch.Tensor | None = None
    alpha_features: torch.Tensor | None = None
    beta_features: torch.Tensor | None = None
    projections: torch.Tensor | None = None


class CaratLayers(nn.Sequential):
    """Linear layers of these widths with relu between them."""

    def __init__(self, *widths: int):
        layers: list[nn.Module] = [XavierLinear(widths[0], widths[1])]
        for before, after in zip(widths[1:-1], widths[2:], strict=True):
            layers += [nn.ReLU(), XavierLinear(before, after)]
        super().__init__(*layers)


class CaratLabelAttention(nn.Module):
    """The hidden states of a modality to one feature of each label."""

    def __init__(self, config: CaratConfig):
        super().__init__()
        self.attention = nn.Linear(config.hidden_size, config.num_labels, bias=False)

    def forward(self, hidden_states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Features `(B, C, d)` of hidden states `(B, T, d)` and which of them are there, `(B, T)`."""
        scores = self.attention(hidden_states).float()
        scores = scores.masked_fill(~mask[..., None], torch.finfo(scores.dtype).min)
        return scores.softmax(dim=1).to(hidden_states.dtype).transpose(1, 2) @ hidden_states


class CaratAutoencoder(nn.Module):
    """
    The features of one modality to a narrow projection and back, and the prototypes of the projections: one of each
    label that is there and one of each that is not.
    """

    positive: torch.Tensor
    negative: torch.Tensor

    def __init__(self, config: CaratConfig):
        super().__init__()
        widths = (config.hidden_size, config.hidden_size // 2, config.projection_size)
        self.encoder, self.decoder = CaratLayers(*widths), CaratLayers(*widths[::-1])
        self.register_buffer("positive", torch.zeros(config.num_labels, config.projection_size))
        self.register_buffer("negative", torch.zeros(config.num_labels, config.projection_size))

    def prototype(self, projected: torch.Tensor) -> torch.Tensor:
        """
        What the prototypes have in the place of projections `(B, C, z)`: in training both of the label, mixed by how
        similar they are; in evaluation the more similar one.
        """
        # Stacked, which copies: `remember` changes them before the backward pass.
        prototypes = torch.stack([self.positive, self.negative], dim=1)
        similarities = (F.normalize(projected.float(), dim=-1)[:, :, None] * prototypes).sum(dim=-1)
        if self.training:
            mixed = (similarities.softmax(dim=-1)[..., None] * prototypes).sum(dim=-2)
        else:
            mixed = torch.where(similarities[..., :1] >= similarities[..., 1:], prototypes[:, 0], prototypes[:, 1])
        return mixed.to(projected.dtype)

    def remember(self, projections: torch.Tensor, labels: torch.Tensor, momentum: float) -> None:
        """
        Move the prototypes towards their projections, one after another: p ← m p + (1 − m) z.

        Args:
            projections (`torch.FloatTensor` of shape `(B, C, z)`): of unit length.
            labels (`torch.FloatTensor` of shape `(B, C)`): multi-hot targets.
            momentum: m.
        """
        there = labels > 0
        for prototype, hits in ((self.positive, there), (self.negative, ~there)):
            # In the end p has become mⁿ p + (1 − m) Σ mʲ z, of n projections of which j come after z.
            later = hits.flip(0).cumsum(dim=0).flip(0) - hits.long()
            weights = hits * (1 - momentum) * momentum**later
            kept = momentum ** hits.sum(dim=0)
            prototype.copy_(kept[:, None] * prototype + (weights[..., None] * projections).sum(dim=0))


class CaratLabelClassifier(nn.Module):
    """A logit of each label from its own feature."""

    def __init__(self, config: CaratConfig):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.num_labels, config.hidden_size))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits `(B, C)` of features `(B, C, d)`."""
        return (features * self.weight).sum(dim=-1)


class CaratForEmotionClassification(FrameModel):
    """
    CARAT: a feature of each label in each modality, and twice its replacement by what the other modalities say of it.
    The first time the own modality says what the label's prototype is. The labels are told from the second.
    """

    config_class = CaratConfig
    config: CaratConfig
    head_parameters = (
        r"label_attention\.", r"autoencoders\..*\.(positive|negative)", r"label_classifiers\.", r"aggregation\.",
    )  # fmt: skip
    loss_reads_logits = False

    def __init__(self, config: CaratConfig):
        super().__init__(config)
        self.order = [name for name in _ORDER if name in config.modalities]
        width = config.hidden_size
        self.encoders = nn.ModuleDict({name: FrameEncoder(config, name) for name in self.order})
        self.label_attention = nn.ModuleDict({name: CaratLabelAttention(config) for name in self.order})
        self.autoencoders = nn.ModuleDict({name: CaratAutoencoder(config) for name in self.order})
        self.replacements = nn.ModuleDict({name: CaratLayers(len(self.order) * width, width) for name in self.order})
        self.label_classifiers = nn.ModuleDict({name: CaratLabelClassifier(config) for name in self.order})
        self.aggregation = CaratLayers(config.num_labels * width, width, config.num_labels)
        self.queue = ContrastQueue(config.queue_size, config.projection_size)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Xavier-uniform in linear layers that are stacked, He-uniform in label classifiers; the rest normal."""
        super()._init_weights(module)
        if isinstance(module, XavierLinear):
            module.reset_parameters()
        elif isinstance(module, CaratLabelClassifier):
            init.kaiming_uniform_(module.weight, a=5**0.5)
        elif isinstance(module, CaratAutoencoder):
            init.zeros_(module.positive)
            init.zeros_(module.negative)
        elif isinstance(module, ContrastQueue):
            module.reset()

    # Scores

    def classify(self, frames: dict[str, Frames], **inputs: Any) -> CaratOutput:
        """Mean of two scores: of the surest modality for each label, and of each modality from all labels."""
        coders = self._coders
        features = [self._label_features(name, frames[name]) for name in self.order]
        projected = [coder.encoder(x) for coder, x in zip(coders, features, strict=True)]
        reconstructions = [coder.decoder(z) for coder, z in zip(coders, projected, strict=True)]
        guesses = [coder.decoder(coder.prototype(z)) for coder, z in zip(coders, projected, strict=True)]
        alpha = self._replaced(guesses, reconstructions)
        beta = self._replaced(alpha, alpha)
        kinds = {"features": features, "alpha": alpha, "beta": beta}
        label_logits = {kind: self._label_logits(parts) for kind, parts in kinds.items()}
        fused_logits = self.aggregation(torch.stack(beta, dim=1).flatten(2)).float()
        scores = (fused_logits.sigmoid().mean(dim=1) + label_logits["beta"].sigmoid()) / 2
        return CaratOutput(
            logits=logits_of(scores),
            label_logits=label_logits,
            fused_logits=fused_logits,
            features=torch.stack(features, dim=1),
            reconstructions=torch.stack(reconstructions, dim=1),
            alpha_features=torch.stack(alpha, dim=1),
            beta_features=torch.stack(beta, dim=1),
            projections=self._projections(projected, alpha, beta) if self.training else None,
        )

    @property
    def _coders(self) -> list[Any]:
        return [self.autoencoders[name] for name in self.order]

    def _label_features(self, name: str, frames: Frames) -> torch.Tensor:
        return self.label_attention[name](self.encoders[name](frames), frames.mask)

    def _replaced(self, own: list[torch.Tensor], others: list[torch.Tensor]) -> list[torch.Tensor]:
        """Each modality from its own place and in those of the others."""
        parts = [[*others[:slot], own[slot], *others[slot + 1 :]] for slot in range(len(own))]
        return [self.replacements[name](torch.cat(part, dim=-1)) for name, part in zip(self.order, parts, strict=True)]

    def _label_logits(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Of each label the logit of the surest modality, `(B, C)`."""
        logits = [self.label_classifiers[name](x) for name, x in zip(self.order, features, strict=True)]
        return torch.stack(logits).amax(dim=0).float()

    def _projections(self, projected: list[torch.Tensor], *replaced: list[torch.Tensor]) -> torch.Tensor:
        parts = list(projected)
        for features in replaced:
            parts += [coder.encoder(x) for coder, x in zip(self._coders, features, strict=True)]
        return F.normalize(torch.stack(parts, dim=1).float(), dim=-1)

    # Loss

    def loss_terms(self, output: Any, labels: torch.Tensor, va: Any) -> dict[str, torch.Tensor]:
        """
        Binary cross-entropy of the labels from every kind of feature, squared distances between the kinds, and the
        contrastive loss of all projections; in evaluation the cross-entropy of the scores.
        """
        targets = labels.float()
        if va is None:
            return {"bce": F.binary_cross_entropy_with_logits(output.logits.float(), targets)}
        logits, features = output.label_logits, output.features
        terms = {
            "contrastive": lambda: self._contrastive_loss(output, labels),
            "feature_label": lambda: F.binary_cross_entropy_with_logits(logits["features"], targets),
            "alpha_label": lambda: F.binary_cross_entropy_with_logits(logits["alpha"], targets),
            "beta_label": lambda: F.binary_cross_entropy_with_logits(logits["beta"], targets),
            "fused_label": lambda: _fused_loss(output.fused_logits, targets),
            "shuffled_label": lambda: self._shuffled_loss(output.beta_features, targets),
            "reconstruction": lambda: _squared_distance(output.reconstructions, features),
            "alpha_reconstruction": lambda: _squared_distance(output.alpha_features, features),
            "beta_reconstruction": lambda: _squared_distance(output.beta_features, features),
        }
        weights = {name: getattr(self.config, f"{name}_weight") for name in terms}
        return {name: weights[name] * term() for name, term in terms.items() if weights[name]}

    def _contrastive_loss(self, output: Any, labels: torch.Tensor) -> torch.Tensor:
        return self.queue.loss(
            output.projections.flatten(0, 2),
            self._classes(labels),
            2 * len(self.order) * self.config.num_labels,
            self.config.contrastive_temperature,
            self.config.queue_anchors,
        )

    def _classes(self, labels: torch.Tensor) -> torch.Tensor:
        """Class of each projection, `(B·3M·C,)`; features and both replacements of a modality share theirs."""
        return label_classes(labels, len(self.order)).repeat(1, 3, 1).flatten()

    def _shuffled_loss(self, features: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Of the labels from features of several utterances and modalities, each of which brings its own label."""
        rows, slots = (draw.movedim(0, -1) for draw in self.draw_shuffle(len(features)))
        rows = rows.transpose(0, 1)
        label = torch.arange(features.shape[2], device=features.device)
        logits = self.aggregation(features[rows, slots, label].flatten(2)).float()
        return F.binary_cross_entropy_with_logits(logits, targets[rows, label])

    def draw_shuffle(self, batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Draw whose label features are put together.

        Returns:
            For each label and modality a permutation of the utterances, `(C, M, B)`, and for each label and utterance
            one of the modalities, `(C, B, M)`.
        """
        num_labels, modalities = self.config.num_labels, len(self.order)
        rows = torch.rand(num_labels, modalities, batch_size, device=self.device).argsort(dim=-1)
        return rows, torch.rand(num_labels, batch_size, modalities, device=self.device).argsort(dim=-1)

    def remember(self, output: Any, labels: torch.Tensor, va: Any) -> None:
        """Write the projections into the queue, and move the prototypes towards those of the features."""
        projections, labels = gather_rows(output.projections), gather_rows(labels)
        self.queue.write(projections.flatten(0, 2), self._classes(labels))
        for slot, coder in enumerate(self._coders):
            coder.remember(projections[:, slot], labels, self.config.prototype_momentum)


def _fused_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(logits, targets[:, None].expand_as(logits))


def _squared_distance(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """The mean over all but the modalities, over which it is summed."""
    return found.shape[1] * F.mse_loss(found.float(), wanted.float())


CaratConfig.register_for_auto_class()
CaratForEmotionClassification.register_for_auto_class("AutoModel")
