# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""RobMMR: adversarial temporal masking and adversarial parameter perturbation (Ge et al., WWW 2023)."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.models.bert.modeling_bert import (
    BertCrossAttention,
    BertIntermediate,
    BertSelfAttention,
    BertSelfOutput,
)

from .configuration_emotion import EmotionConfig, check_objective
from .frame_encoder_univa import BertLayers, BertLayersConfig
from .gradient_reversal_univa import reverse_gradient
from .label_decoder_univa import LabelDecoder
from .limits_univa import check_limit
from .losses_univa import kl_divergence_loss
from .modeling_emotion import EmotionOutput, FrameModel, Frames
from .processing_univa import UnivaProcessor  # noqa: F401  (saved beside the network)


__all__ = ["RobmmrConfig", "RobmmrForEmotionClassification", "RobmmrOutput", "asymmetric_loss", "soft_top_k"]

# In which modalities stand one after another.
_ORDER = ("text", "vision", "audio")
# Official factor on the mean over all scores.
_SCALE = 1000.0


@strict
class RobmmrConfig(BertLayersConfig):
    """
    Configuration of RobMMR. The defaults are those of the official run on MOSEI.

    Labels, modalities, text encoder and decision are those of [`EmotionConfig`], layers and sizes those of
    [`BertLayersConfig`].

    Args:
        tri_modal_num_hidden_layers (`int`, defaults to 3):
            Layers that read all modalities.
        decoder_num_hidden_layers (`int`, defaults to 1):
            Layers of the decoder of the labels.
        classifier_dropout (`float`, defaults to 0.1):
            Dropout on the logits.
        masked_share (`float`, defaults to 0.4):
            Share of the frames of an utterance that are masked in training.
        masked_weight (`float`, defaults to 0.1):
            Weight in the loss of the scores of masked frames; 0 turns masking off.
        reversal_factor (`float`, defaults to 0.1):
            Weight of the reversed gradient by which the frames to be masked are chosen.
        sinkhorn_temperature (`float`, defaults to 0.1):
            Entropy of the choice of frames: the smaller, the closer to all or nothing.
        sinkhorn_iterations (`int`, defaults to 100):
            Iterations of that choice.
        perturbation_weight (`float`, defaults to 1.0):
            Weight in the loss of how far the scores move where the parameters of the layers that read all modalities
            are perturbed; 0 turns it off. With the published 1 its gradient is 1e-5 of the whole.
        perturbation_size (`float`, defaults to 1.0):
            Norm of the perturbation of each parameter, along its gradient.
        objective (`"asl"` or `"kl"`):
            The asymmetric loss; or the KL divergence of UniVA as released, which goes with `decision="softmax"`.

    Raises:
        `huggingface_hub.errors.StrictDataclassError`: a field of the wrong type, or fields that contradict each other.
    """

    model_type = "robmmr"
    architecture = "modeling_robmmr.RobmmrForEmotionClassification"
    title = "RobMMR"
    paper = "https://doi.org/10.1145/3543507.3583258"
    idea = "all modalities are read together, while adversaries mask frames and perturb parameters"
    official_code = "[ShipingGe/MMER](https://github.com/ShipingGe/MMER), no licence"
    deviations = (
        "Padding is never attended, pooled or counted in a loss; `mask_padding=False` computes as released.",
        "As published, the perturbation of parameters has next to no effect (`perturbation_weight`).",
    )
    citation = """\
@inproceedings{ge2023robmmr,
  title     = {Learning Robust Multi-Modal Representation for Multi-Label Emotion Recognition via Adversarial Masking
               and Perturbation},
  author    = {Ge, Shiping and Jiang, Zhiwei and Cheng, Zifeng and Wang, Cong and Yin, Yafeng and Gu, Qing},
  booktitle = {Proceedings of the ACM Web Conference 2023},
  year      = {2023},
}"""
    keys_to_ignore_at_inference: ClassVar[list[str]] = [
        *EmotionConfig.keys_to_ignore_at_inference, "scores", "masked_logits", "perturbed_logits", "temporal_masks",
        "frames",
    ]  # fmt: skip

    text_num_hidden_layers: int = 3
    audio_num_hidden_layers: int = 3
    vision_num_hidden_layers: int = 3
    tri_modal_num_hidden_layers: int = 3
    decoder_num_hidden_layers: int = 1
    hidden_size: int = 512
    intermediate_size: int = 1024
    hidden_act: str = "relu"
    layer_norm_eps: float = 1e-5
    hidden_dropout_prob: float | int = 0.1
    attention_probs_dropout_prob: float | int = 0.1
    classifier_dropout: float | int = 0.1
    masked_share: float | int = 0.4
    masked_weight: float | int = 0.1
    reversal_factor: float | int = 0.1
    sinkhorn_temperature: float | int = 0.1
    sinkhorn_iterations: int = 100
    perturbation_weight: float | int = 1.0
    perturbation_size: float | int = 1.0
    objective: Literal["asl", "kl"] = "asl"
    decision: Literal["softmax", "sigmoid"] = "sigmoid"

    def validate_architecture(self) -> None:
        """Check fields against each other; called by the strict dataclass."""
        super().validate_architecture()
        check_limit("length", self.sinkhorn_iterations, "`sinkhorn_iterations`")
        if not 0 < self.masked_share < 1:
            raise ValueError(f"`masked_share` must lie between 0 and 1, got {self.masked_share}.")
        check_objective(self.objective, self.decision)


@dataclass
class RobmmrOutput(EmotionOutput):
    """
    [`EmotionOutput`] with what the loss is made of; all but `logits` in training only.

    Args:
        scores (`torch.FloatTensor` of shape `(B, C)`): sigmoid of the logits.
        masked_logits (`torch.FloatTensor` of shape `(B, C)`): of masked frames.
        perturbed_logits (`torch.FloatTensor` of shape `(B, C)`): with perturbed parameters.
        temporal_masks (`dict[str, torch.FloatTensor]`): of each modality, `(B, T)`: how much of each frame is masked.
        frames (`dict[str, Frames]`): what was classified.
    """

    scores: torch.Tensor | None = None
    masked_logits: torch.Tensor | None = None
    perturbed_logits: torch.Tensor | None = None
    temporal_masks: dict[str, torch.Tensor] | None = None
    frames: dict[str, Frames] | None = None


class RobmmrEncoder(nn.Module):
    """Layers and a layer norm."""

    def __init__(self, config: RobmmrConfig, num_layers: int):
        super().__init__()
        self.encoder = BertLayers(config, num_layers)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden_states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Hidden states `(B, T, d)` of such where `mask` `(B, T)` has them."""
        return self.norm(self.encoder(hidden_states, mask))


class RobmmrForEmotionClassification(FrameModel):
    """
    RobMMR: layers of each modality, layers over all of them, a decoder of labels; trained also on masked frames and
    with perturbed parameters.

    Both adversaries are in the loss, so that any loop trains them: a step of it computes the scores three times. The
    gradient of `perturbation` is taken where the parameters are perturbed, as in the official code, and the parameters
    themselves are never changed. Over several processes each perturbs by the gradient of its own batch.
    """

    config_class = RobmmrConfig
    config: RobmmrConfig
    head_parameters = (r"decoder\.queries\.",)

    def __init__(self, config: RobmmrConfig):
        super().__init__(config)
        sizes, width = config.frame_sizes, config.hidden_size
        self.order = [name for name in _ORDER if name in config.modalities]
        self.projections = nn.ModuleDict({name: nn.Linear(sizes[name], width) for name in self.order})
        self.norms = nn.ModuleDict({name: nn.LayerNorm(width, eps=config.layer_norm_eps) for name in self.order})
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.encoders = nn.ModuleDict(
            {name: RobmmrEncoder(config, getattr(config, f"{name}_num_hidden_layers")) for name in self.order}
        )
        self.tri_modal_encoder = RobmmrEncoder(config, config.tri_modal_num_hidden_layers)
        self.decoder = LabelDecoder(config, config.decoder_num_hidden_layers, norm="output")
        if config.masked_weight:
            self.scorers = nn.ModuleDict({name: nn.Linear(width, 1) for name in self.order})
        self.post_init()
        for part in (self.encoders, self.tri_modal_encoder, self.decoder):
            _add_inner_dropout(part, config.hidden_dropout_prob)
            _init_attention(part)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Xavier-uniform as the official code has it; biases as PyTorch has them."""
        if isinstance(module, nn.Linear):
            module.reset_parameters()
            init.xavier_uniform_(module.weight)
        elif isinstance(module, nn.Embedding):
            init.xavier_uniform_(module.weight)
        elif isinstance(module, nn.LayerNorm):
            module.reset_parameters()

    def classify(self, frames: dict[str, Frames], **inputs: Any) -> RobmmrOutput:
        """Scores of the labels' decoder; in training also those of masked frames."""
        inner, masks = self._projected(frames), {name: found.mask for name, found in frames.items()}
        encoded = self._encoded(inner, masks)
        logits = self._scores(encoded, masks)
        if not self.training:
            return RobmmrOutput(logits=logits)
        output = RobmmrOutput(logits=logits, scores=logits.float().sigmoid(), frames=frames)
        if self.config.masked_weight:
            output.temporal_masks = self._temporal_masks(encoded, masks)
            kept = {name: (1 - found)[..., None] for name, found in output.temporal_masks.items()}
            masked = {name: states * kept[name].to(states.dtype) for name, states in inner.items()}
            output.masked_logits = self._scores(self._encoded(masked, masks), masks)
        return output

    def _projected(self, frames: dict[str, Frames]) -> dict[str, torch.Tensor]:
        states = {name: frames[name].states.to(self.dtype) for name in self.order}
        return {name: self.dropout(self.norms[name](self.projections[name](found))) for name, found in states.items()}

    def _encoded(self, inner: dict[str, torch.Tensor], masks: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: self.encoders[name](inner[name], masks[name]) for name in self.order}

    def _scores(
        self,
        encoded: dict[str, torch.Tensor],
        masks: dict[str, torch.Tensor],
        parameters: dict[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Logits `(B, C)`; `parameters` take the place of those of the layers that read all modalities."""
        states = torch.cat([encoded[name] for name in self.order], dim=1)
        mask = torch.cat([masks[name] for name in self.order], dim=1)
        if parameters is None:
            fused = self.tri_modal_encoder(states, mask)
        else:
            with _without_checkpointing(self.tri_modal_encoder):
                fused = torch.func.functional_call(self.tri_modal_encoder, parameters, (states, mask))
        return self.decoder(fused, mask)

    def _temporal_masks(
        self, encoded: dict[str, torch.Tensor], masks: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """How much of each frame is masked, `(B, T)` float32 of each modality."""
        config, found = self.config, {}
        for name, states in encoded.items():
            scores = self.scorers[name](states).squeeze(-1).float().sigmoid()
            scores = reverse_gradient(scores, config.reversal_factor)
            found[name] = soft_top_k(
                scores, masks[name], config.masked_share, config.sinkhorn_temperature, config.sinkhorn_iterations
            )
        return found

    def loss_terms(self, output: Any, labels: torch.Tensor, va: Any) -> dict[str, torch.Tensor]:
        """Loss of the labels; in training also that of masked frames, and how far perturbed parameters move scores."""
        if va is None:
            return {str(self.config.objective): self._label_loss(output.logits, labels)}
        terms = self._label_terms(output, labels)
        if self.config.perturbation_weight:
            loss = torch.stack(list(terms.values())).sum()
            parameters = self._perturbed_parameters(output, labels, loss)
            terms["perturbation"] = self.config.perturbation_weight * self._perturbation_loss(output, parameters)
        return terms

    def _label_terms(self, output: RobmmrOutput, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        name = str(self.config.objective)
        terms = {name: self._label_loss(output.logits, labels)}
        if output.masked_logits is not None:
            terms[f"{name}_masked"] = self.config.masked_weight * self._label_loss(output.masked_logits, labels)
        return terms

    def _label_loss(self, logits: Any, labels: torch.Tensor) -> torch.Tensor:
        if self.config.objective == "kl":
            return kl_divergence_loss(logits, labels, "released")
        return asymmetric_loss(logits, labels)

    def _perturbed_parameters(
        self, output: RobmmrOutput, labels: torch.Tensor, loss: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Those of the layers that read all modalities, as far as they are trained, each moved up the loss."""
        trained = {name: value for name, value in self.tri_modal_encoder.named_parameters() if value.requires_grad}
        if not trained:
            return {}
        frames: Any = output.frames
        with torch.enable_grad():
            if not loss.requires_grad:
                # Under `no_grad` the loss itself has no graph.
                loss = torch.stack(list(self._label_terms(self.classify(frames), labels).values())).sum()
            gradients = torch.autograd.grad(loss, list(trained.values()), retain_graph=True)
        found = dict(zip(trained, gradients, strict=True))
        norms, size = _joint_norms(found), self.config.perturbation_size
        return {name: value + size * found[name] / norms[name] for name, value in trained.items()}

    def _perturbation_loss(self, output: RobmmrOutput, parameters: dict[str, torch.Tensor]) -> torch.Tensor:
        """KL divergence from the scores to those of a second pass with perturbed parameters, over the labels."""
        frames: Any = output.frames
        scores: Any = output.scores
        masks = {name: found.mask for name, found in frames.items()}
        encoded = self._encoded(self._projected(frames), masks)
        output.perturbed_logits = self._scores(encoded, masks, parameters)
        perturbed = output.perturbed_logits.float().sigmoid().log_softmax(dim=-1)
        return F.kl_div(perturbed, scores.detach().softmax(dim=-1), reduction="sum") / scores.numel()

    def gradient_norms(self, **batch: torch.Tensor) -> dict[str, float]:
        """
        The norm of the gradient of each term of the loss, to see what each of them does.

        Args:
            batch: of [`EmotionModel.forward`], with labels; the model is in training mode.
        """
        weights = [parameter for parameter in self.parameters() if parameter.requires_grad]
        norms = {}
        for name, term in self(**batch).loss_terms.items():
            found = torch.autograd.grad(term, weights, retain_graph=True, allow_unused=True)
            squares = [gradient.float().square().sum() for gradient in found if gradient is not None]
            norms[name] = torch.stack(squares).sum().sqrt().item()
        return norms


def asymmetric_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    r"""
    Asymmetric loss of independent labels (Ridnik et al., ICCV 2021), with the constants of the official code.

    With p = sigmoid(logits) and q = min(1 − p + 0.05, 1), over the B·C scores:

        L = −1000/(B·C) Σ (1 − p)¹ log p where the label is active, (1 − q)² log q where it is not

    The weights have a gradient too, and logarithms are taken of no less than 1e-5.

    Args:
        logits (`torch.Tensor` of shape `(B, C)`): scores, any floating dtype.
        labels (`torch.Tensor` of shape `(B, C)`): multi-hot targets, any dtype.

    Returns:
        `torch.Tensor`: float32 scalar.
    """
    positive, labels = logits.float().sigmoid(), labels.float()
    negative = (1.05 - positive).clamp(max=1)
    likelihood = positive * labels + negative * (1 - labels)
    weights = (1 - likelihood) ** (2 - labels)
    return -_SCALE * (weights * likelihood.clamp(min=1e-5).log()).mean()


def soft_top_k(
    scores: torch.Tensor, mask: torch.Tensor, share: float, temperature: float, iterations: int
) -> torch.Tensor:
    """
    A differentiable choice of a share of the frames of each row: those of the lowest scores.

    It is entropic optimal transport from the n frames of a row, of mass 1/n each, to 0 and 1, of the masses k/n and
    (n − k)/n, by the iterations of Sinkhorn; the cost is the squared distance over the largest one of the batch.

    Args:
        scores (`torch.FloatTensor` of shape `(B, T)`): in [0, 1].
        mask (`torch.BoolTensor` of shape `(B, T)`): which frames are there.
        share (`float`): k is this share of n, rounded up.
        temperature (`float`): of the transport.
        iterations (`int`): at least 1.

    Returns:
        `torch.FloatTensor` of shape `(B, T)`: how much of each frame is chosen, in [0, 1]; k in all of each row.
    """
    count = mask.sum(dim=1, keepdim=True).float()
    # Of 0.4 · 15 no more than 6, whatever the product is rounded to.
    chosen = (share * count - 1e-4).ceil()
    anchors = torch.tensor([0.0, 1.0], device=scores.device)
    cost = (scores.float()[..., None] - anchors).square() * mask[..., None]
    kernel = (-cost / cost.detach().amax().clamp(min=1e-12) / temperature).exp()
    source = mask / count
    target = torch.cat([chosen, count - chosen], dim=1) / count
    columns = torch.full_like(target, 0.5)
    for _ in range(iterations):
        rows = source / (kernel * columns[:, None]).sum(dim=2)
        columns = target / (kernel * rows[..., None]).sum(dim=1)
    return count * rows * kernel[..., 0] * columns[:, :1]


def _joint_norms(gradients: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Norm of each gradient; of query, key and value together, which are one tensor of the official code."""

    def tensor(name: str) -> str:
        return re.sub(r"\.(query|key|value)\.", ".", name)

    squares: dict[str, torch.Tensor] = {}
    for name, gradient in gradients.items():
        squares[tensor(name)] = squares.get(tensor(name), 0.0) + gradient.float().square().sum()
    return {name: squares[tensor(name)].sqrt().clamp(min=1e-12).to(gradient) for name, gradient in gradients.items()}


def _add_inner_dropout(part: nn.Module, rate: float) -> None:
    """Dropout inside the feed-forward layers, which torch's transformer layers have and BERT's have not."""
    for module in part.modules():
        if isinstance(module, BertIntermediate):
            module.intermediate_act_fn = nn.Sequential(module.intermediate_act_fn, nn.Dropout(rate))


@torch.no_grad()
def _init_attention(part: nn.Module) -> None:
    """As torch starts its attention: query, key and value as one matrix of three times as many rows, no biases."""
    # Not in `_init_weights`, to which transformers takes no module without parameters of its own.
    for module in part.modules():
        if isinstance(module, BertSelfAttention | BertCrossAttention):
            for linear in (module.query, module.key, module.value):
                nn.init.xavier_uniform_(linear.weight, gain=0.5**0.5)
                nn.init.zeros_(linear.bias)
        elif isinstance(module, BertSelfOutput):
            nn.init.zeros_(module.dense.bias)


@contextmanager
def _without_checkpointing(part: nn.Module) -> Iterator[None]:
    """Keep activations: what is recomputed in the backward pass would have the module's own parameters again."""
    layers = [module for module in part.modules() if isinstance(module, GradientCheckpointingLayer)]
    states = [layer.gradient_checkpointing for layer in layers]
    for layer in layers:
        layer.gradient_checkpointing = False
    try:
        yield
    finally:
        for layer, state in zip(layers, states, strict=True):
            layer.gradient_checkpointing = state


RobmmrConfig.register_for_auto_class()
RobmmrForEmotionClassification.register_for_auto_class("AutoModel")
