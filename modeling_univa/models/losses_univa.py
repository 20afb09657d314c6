# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The training objective of UniVA: KL divergence, emotion correlation prior and unimodal contrastive losses.

Source: Zheng, Yu, Xia, "A Unimodal Valence-Arousal Driven Contrastive Learning Framework for Multimodal Multi-Label
Emotion Recognition", ACM MM 2024. Equation numbers are that paper's. Every function knows two readings of it,
`objective="paper"` (the equations) and `objective="released"` (what the authors' code computes, which produced the
published numbers); the docstrings give both.

B is the number of utterances in the batch, C the number of emotions, H the size of an embedding. Everything is
computed in float32, also inside autocast, without synchronising with the host.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F

from .configuration_emotion import MODALITIES
from .configuration_univa import UnivaConfig
from .contrast_rows_univa import gather_rows
from .modeling_emotion import EmotionOutput


OBJECTIVES: tuple[str, ...] = ("released", "paper")
CONTRASTIVE_LOSSES: tuple[str, ...] = ("va", "supervised", "self", "none")

# The released code scales its element-wise mean of the KL divergence by this.
_RELEASED_KL_SCALE = 1000.0
# Length from which on an embedding is scaled to 1; those of clips are longer.
_SHORTEST = 0.1


@dataclass
class UnivaOutput(EmotionOutput):
    """
    [`EmotionOutput`] with everything that the objective needs.

    The embeddings and pooling weights are those of `UnivaModelOutput`.

    Args:
        label_similarity (`torch.FloatTensor` of shape `(C, C)`, *optional*):
            M of equation 8, a copy of the parameter.
    """

    multimodal_embeds: torch.Tensor | None = None
    label_similarity: torch.Tensor | None = None
    text_attention: torch.Tensor | None = None
    audio_attention: torch.Tensor | None = None
    vision_attention: torch.Tensor | None = None


def kl_divergence_loss(logits: torch.Tensor, labels: torch.Tensor, objective: str) -> torch.Tensor:
    r"""
    KL divergence from the predicted to the target emotion distribution (equation 10).

    With q = softmax(labels) and p = softmax(logits), over the C emotions:

        KL = Σ_j q_j log(q_j / p_j)

    An utterance without any emotion has the uniform distribution as its target.

    Args:
        logits (`torch.Tensor` of shape `(B, C)`):
            Unnormalised scores, any floating dtype.
        labels (`torch.Tensor` of shape `(B, C)`):
            Multi-hot targets, any dtype.
        objective (`str`):
            `"paper"`: mean over the B utterances. `"released"`: 1000 times the mean over all B·C elements.

    Returns:
        `torch.Tensor`: float32 scalar.

    Raises:
        `ValueError`: an unknown objective, or shapes that do not fit.
    """
    _check_option("objective", objective, OBJECTIVES)
    _check_shape("logits", logits, (None, None))
    _check_shape("labels", labels, tuple(logits.shape))
    log_p = logits.float().log_softmax(dim=-1)
    log_q = labels.float().log_softmax(dim=-1)
    total = F.kl_div(log_p, log_q, reduction="sum", log_target=True)
    return total / len(logits) if objective == "paper" else _RELEASED_KL_SCALE * total / logits.numel()


def correlation_prior_loss(logits: torch.Tensor, label_similarity: torch.Tensor, objective: str) -> torch.Tensor:
    r"""
    Emotion correlation prior η (equation 9): similar emotions should get similar probabilities.

        paper:     η = (1/B) Σ_i Σ_{j,l} M_jl (p_ij − p_il)²
        released:  η = (1/B) Σ_{j,l} M_jl ‖log p_{:,j} − log p_{:,l}‖₂

    The released code takes the norm over the batch, of log-probabilities. It is not differentiable where two emotions
    agree in every utterance; there the gradient is 0. M has negative entries, so η may be negative.

    Args:
        logits (`torch.Tensor` of shape `(B, C)`):
            Unnormalised scores, any floating dtype.
        label_similarity (`torch.Tensor` of shape `(C, C)`):
            M of equation 8, constant or trained.
        objective (`str`):
            `"paper"` or `"released"`.

    Returns:
        `torch.Tensor`: float32 scalar, summed over the pairs of emotions and averaged over the utterances.

    Raises:
        `ValueError`: an unknown objective, or shapes that do not fit.
    """
    _check_option("objective", objective, OBJECTIVES)
    _check_shape("logits", logits, (None, None))
    batch_size, num_labels = logits.shape
    _check_shape("label_similarity", label_similarity, (num_labels, num_labels))
    log_p = logits.float().log_softmax(dim=-1)
    scores = log_p.exp() if objective == "paper" else log_p
    differences = scores.unsqueeze(2) - scores.unsqueeze(1)
    if objective == "paper":
        distances = differences.square().sum(dim=0)
    else:
        # vector_norm has gradient 0 at 0, where the square root of a sum of squares would give NaN.
        distances = torch.linalg.vector_norm(differences, dim=0)
    return (label_similarity.float() * distances).sum() / batch_size


def va_positives(va: torch.Tensor, distance_threshold: float, others: torch.Tensor | None = None) -> torch.Tensor:
    r"""
    Pairs of utterances that are close in valence-arousal space: Euclidean distance < δ (equation 3).

    Args:
        va (`torch.Tensor` of shape `(B, 2)`):
            Valence and arousal of one modality, NaN where unknown. An unknown utterance pairs with no other.
        distance_threshold (`float`):
            δ, in the units of `va`.
        others (`torch.Tensor` of shape `(N, 2)`, *optional*):
            Of the utterances to pair with; by default those of `va`.

    Returns:
        `torch.Tensor`: bool, shape `(B, N)`, by default `(B, B)`.

    Raises:
        `ValueError`: `va` is not (B, 2), or `others` not (N, 2).
    """
    others = va if others is None else others
    _check_shape("va", va, (None, 2))
    _check_shape("others", others, (None, 2))
    va, others = va.detach().float(), others.detach().float()
    # From the differences: products, as cdist expands them for large batches, lose the digits that δ needs.
    valence, arousal = ((own.unsqueeze(1) - other).square_() for own, other in zip(va.T, others.T, strict=True))
    return valence.add_(arousal).sqrt_() < distance_threshold


def supervised_positives(labels: torch.Tensor, others: torch.Tensor | None = None) -> torch.Tensor:
    r"""
    Pairs of utterances with exactly the same emotions (Sup-CL in Table 6); two without any emotion are such a pair.

    Args:
        labels (`torch.Tensor` of shape `(B, C)`):
            Multi-hot targets, any dtype.
        others (`torch.Tensor` of shape `(N, C)`, *optional*):
            Of the utterances to pair with; by default those of `labels`.

    Returns:
        `torch.Tensor`: bool, shape `(B, N)`, by default `(B, B)`.

    Raises:
        `ValueError`: `labels` is not two-dimensional, or `others` not (N, C).
    """
    others = labels if others is None else others
    _check_shape("labels", labels, (None, None))
    _check_shape("others", others, (None, labels.shape[1]))
    return (labels.unsqueeze(1) == others.unsqueeze(0)).all(dim=-1)


def self_positives(embeds: torch.Tensor) -> torch.Tensor:
    r"""
    Every utterance with nothing but its own copy (Self-CL in Table 6).

    Args:
        embeds (`torch.Tensor` of shape `(B, H)`):
            Gives the number of utterances and the device.

    Returns:
        `torch.Tensor`: bool, shape `(B, B)`.
    """
    return torch.eye(len(embeds), dtype=torch.bool, device=embeds.device)


def modality_contrastive_loss(
    embeds: torch.Tensor,
    positives: torch.Tensor,
    temperature: float,
    objective: str,
    memory: torch.Tensor | None = None,
) -> torch.Tensor:
    r"""
    Contrastive loss of one modality (equations 4 and 5).

    The embeddings are taken twice, H̃ = [H, H]. The anchors i are the B rows of the first view; A(i) is all 2B rows but
    the anchor itself; P(i), its positives, always has the anchor's copy in the second view. Embeddings are taken as
    they are, without normalisation.

        L_i = −1/|P(i)| Σ_{p ∈ P(i)} log( exp(h_i·h_p / τ) / Σ_{a ∈ A(i)} exp(h_i·h_a / τ) )

    With a memory, which is not part of the paper, A(i) has its N rows too, twice as those of the batch; they are not
    anchors.

    Args:
        embeds (`torch.Tensor` of shape `(B, H)`):
            Embeddings of one modality, any floating dtype.
        positives (`torch.Tensor` of shape `(B, B)` or `(B, B + N)`):
            True where column j is a positive of anchor i; the rows of the memory come last. The diagonal is taken as
            True.
        temperature (`float`):
            τ > 0.
        objective (`str`):
            `"paper"`: sum of L_i over the anchors. `"released"`: mean of L_i.
        memory (`torch.Tensor` of shape `(N, H)`, *optional*):
            Embeddings of past batches, taken as constant.

    Returns:
        `torch.Tensor`: float32 scalar.

    Raises:
        `ValueError`: an unknown objective, or shapes that do not fit.
    """
    _check_option("objective", objective, OBJECTIVES)
    _check_shape("embeds", embeds, (None, None))
    embeds = embeds.float()
    others = embeds if memory is None else torch.cat([embeds, memory.detach().float()])
    _check_shape("positives", positives, (len(embeds), len(others)))
    with torch.autocast(embeds.device.type, enabled=False):
        similarities = embeds @ others.T / temperature
    # The loss stays the same, and the differences below keep their digits where embeddings are long.
    similarities = similarities - similarities.detach().amax(dim=-1, keepdim=True)
    # Both views are the same embedding, so the (B, 2B) similarities are a (B, B) matrix of which every entry counts
    # twice, but on the diagonal, where A(i) holds one copy: it is taken off the sums over whole rows.
    own_copy = similarities.diagonal()
    positives = positives.clone().fill_diagonal_(True)
    log_half = similarities.logsumexp(dim=-1)
    log_normaliser = log_half + (2 - (own_copy - log_half).exp()).log()
    attracted = 2 * (positives * similarities).sum(dim=-1) - own_copy
    losses = log_normaliser - attracted / (2 * positives.sum(dim=-1) - 1)
    return losses.sum() if objective == "paper" else losses.mean()


@dataclass(frozen=True, kw_only=True)
class UnivaObjective:
    r"""
    The full objective of UniVA (equation 11), from the outputs of the model and the valence-arousal of the clips.

        paper:     loss = λ (L_text + L_audio + L_vision) + (1 − λ) KL + η
        released:  loss = λ (w_t L_text + w_a L_audio + w_v L_vision) / 3 + (1 − λ) (KL + η)

    A modality that the model does not have drops its term; the divisor stays 3. With `contrastive_loss="none"` the
    released code drops the factor (1 − λ) too: loss = KL + η. The other differences of the two readings are with
    [`kl_divergence_loss`], [`correlation_prior_loss`] and [`modality_contrastive_loss`].

    Args:
        modalities (`Sequence[str]`):
            The modalities of the model, out of text, audio and vision.
        objective (`str`):
            `"released"` or `"paper"`.
        contrastive_loss (`str`):
            What makes two utterances a positive pair: `"va"` (a distance below `va_distance_threshold` in that
            modality), `"supervised"` (the same emotions), `"self"` (only the own copy); `"none"` leaves the
            contrastive loss out.
        contrastive_weight (`float`):
            λ.
        contrastive_temperature (`float`):
            τ.
        contrastive_cosine (`bool`, *optional*, defaults to `False`):
            Whether embeddings are scaled to length 1 before they are compared; those shorter than 0.1 by a factor of
            10, so that the embedding of an absent modality, which begins as zeros, has a gradient of usual size.
        contrastive_modality_weights (`Sequence[float]`):
            w_t, w_a, w_v. Read by the released objective only; equation 11 has none.
        va_distance_threshold (`float`):
            δ. Read with `contrastive_loss="va"` only.
        correlation_prior_weight (`float`):
            Factor on η in the loss; 0 leaves the prior out.
        gather_across_devices (`bool`, *optional*, defaults to `False`):
            Whether the contrastive losses are those of the utterances of all processes together; see
            [`gather_rows`] for the gradients.

    Raises:
        `ValueError`: an unknown option, a temperature that is not positive, not three modality weights.
    """

    modalities: Sequence[str]
    objective: str
    contrastive_loss: str
    contrastive_weight: float
    contrastive_temperature: float
    contrastive_modality_weights: Sequence[float]
    va_distance_threshold: float
    correlation_prior_weight: float
    contrastive_cosine: bool = False
    gather_across_devices: bool = False

    def __post_init__(self) -> None:
        _check_option("objective", self.objective, OBJECTIVES)
        _check_option("contrastive_loss", self.contrastive_loss, CONTRASTIVE_LOSSES)
        for modality in self.modalities:
            _check_option("modalities", modality, MODALITIES)
        if not (math.isfinite(self.contrastive_temperature) and self.contrastive_temperature > 0):
            raise ValueError(f"`contrastive_temperature` must be greater than 0, got {self.contrastive_temperature}.")
        if len(self.contrastive_modality_weights) != len(MODALITIES):
            raise ValueError(
                f"`contrastive_modality_weights` needs one number for each of {list(MODALITIES)}, got "
                f"{list(self.contrastive_modality_weights)}."
            )

    @classmethod
    def from_config(cls, config: UnivaConfig) -> "UnivaObjective":
        """Build the objective from the fields of the same names of a [`UnivaConfig`]."""
        return cls(**{field.name: getattr(config, field.name) for field in fields(cls)})

    def __call__(
        self,
        outputs: UnivaOutput,
        labels: torch.Tensor | None,
        text_va: torch.Tensor | None = None,
        audio_va: torch.Tensor | None = None,
        vision_va: torch.Tensor | None = None,
        memory: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        r"""
        Compute the loss and its terms.

        Args:
            outputs (`UnivaOutput`):
                `logits` (B, C), `{text,audio,vision}_embeds` (B, H) of the model's modalities, and `label_similarity`
                (C, C) while the prior is on.
            labels (`torch.Tensor` of shape `(B, C)`):
                Multi-hot targets.
            text_va, audio_va, vision_va (`torch.Tensor` of shape `(B, 2)`, *optional*):
                Valence and arousal, scaled as the distance threshold expects them; NaN where unknown. Needed for the
                model's modalities with `contrastive_loss="va"`.
            memory (`torch.Tensor` of shape `(N, M, H + K)`, *optional*):
                `contrast_rows` of past batches, with which the contrastive losses compare too.

        Returns:
            `dict[str, torch.Tensor]`: float32 scalars. `loss`; and its terms before λ and `correlation_prior_weight`
            are applied: `kl`, `prior`, `contrastive` (the modalities combined as above) and
            `contrastive_{text,audio,vision}`. A term that is off is absent.

        Raises:
            `ValueError`: a tensor that is needed is missing or has the wrong shape.
        """
        logits = _required("logits", outputs.logits, "the loss is made of them")
        labels = _required("labels", labels, "the loss compares the logits with them")
        terms = {"kl": kl_divergence_loss(logits, labels, self.objective)}
        prior: torch.Tensor | float = 0.0
        if self.correlation_prior_weight:
            similarity = _required(
                "label_similarity",
                outputs.label_similarity,
                "correlation_prior_weight is not 0; set it to 0 to train without the prior",
            )
            terms["prior"] = correlation_prior_loss(logits, similarity, self.objective)
            prior = self.correlation_prior_weight * terms["prior"]
        if self.contrastive_loss != "none":
            va = {"text_va": text_va, "audio_va": audio_va, "vision_va": vision_va}
            terms |= self._contrastive_terms(outputs, labels, va, memory)
        return {"loss": self._total(terms["kl"], prior, terms.get("contrastive")), **terms}

    def weighted(self, terms: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """
        The terms as they enter the loss.

        Args:
            terms: What the objective gave; `loss` and `contrastive` are not terms of their own.

        Returns:
            `dict[str, torch.Tensor]`: `kl`, `prior` and `contrastive_{text,audio,vision}`, as far as they are there.
            The sum of those of the whole objective is the loss.
        """
        is_paper, rest = self.objective == "paper", self._rest
        weights = {"kl": rest, "prior": self.correlation_prior_weight * (1 if is_paper else rest)}
        for modality, weight in zip(MODALITIES, self.contrastive_modality_weights, strict=True):
            own = 1 if is_paper else weight / len(MODALITIES)
            weights[f"contrastive_{modality}"] = self.contrastive_weight * own
        return {name: weight * terms[name] for name, weight in weights.items() if name in terms}

    @property
    def _rest(self) -> float:
        """Factor on the KL divergence, and in the released code on the prior."""
        drops_factor = self.objective == "released" and self.contrastive_loss == "none"
        return 1.0 if drops_factor else 1 - self.contrastive_weight

    def contrast_rows(
        self, outputs: UnivaOutput, labels: torch.Tensor, va: Mapping[str, torch.Tensor | None]
    ) -> torch.Tensor:
        """
        All that the contrastive losses know of each utterance.

        Args:
            outputs, labels: of the call.
            va: `text_va`, `audio_va` and `vision_va` of the call.

        Returns:
            `torch.Tensor`: float32, shape `(B, M, H + K)`, for each of the model's M modalities the embedding and what
            decides the pairs: K = 2 for valence and arousal, C for labels, 0 for the own copy alone.

        Raises:
            `ValueError`: a tensor that is needed is missing or has the wrong shape.
        """
        parts = [self._compared(modality, outputs, labels, va[f"{modality}_va"]) for modality in self._in_order]
        return torch.stack([torch.cat([embeds.float(), keys.float()], dim=1) for embeds, keys in parts], dim=1)

    @property
    def _in_order(self) -> list[str]:
        return [modality for modality in MODALITIES if modality in self.modalities]

    def _contrastive_terms(
        self,
        outputs: UnivaOutput,
        labels: torch.Tensor,
        va: dict[str, torch.Tensor | None],
        memory: torch.Tensor | None,
    ) -> dict[str, torch.Tensor]:
        """The contrastive loss of every modality of the model, and their combination as `contrastive`."""
        rows = [self._compared(modality, outputs, labels, va[f"{modality}_va"]) for modality in self._in_order]
        width = rows[0][0].shape[1]
        if self.gather_across_devices:
            rows = _split(gather_rows(self.contrast_rows(outputs, labels, va), with_gradient=True), width)
        past: Any = [None] * len(rows) if memory is None else _split(memory, width)
        weights = dict(zip(MODALITIES, self.contrastive_modality_weights, strict=True))
        losses, weighted = {}, []
        for modality, own, remembered in zip(self._in_order, rows, past, strict=True):
            loss = self._contrastive_loss(*own, remembered)
            losses[f"contrastive_{modality}"] = loss
            weighted.append(loss if self.objective == "paper" else loss * weights[modality] / len(MODALITIES))
        return {"contrastive": torch.stack(weighted).sum(), **losses}

    def _compared(
        self, modality: str, outputs: UnivaOutput, labels: torch.Tensor, va: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings (B, H) of one modality, and what decides which utterances are positives of which, (B, K)."""
        name = f"{modality}_embeds"
        embeds = _required(name, getattr(outputs, name), f"{modality} is one of the model's modalities")
        _check_shape(name, embeds, (len(labels), None))
        if self.contrastive_cosine:
            embeds = F.normalize(embeds.float(), dim=-1, eps=_SHORTEST)
        if self.contrastive_loss == "self":
            return embeds, embeds.new_empty(len(embeds), 0)
        if self.contrastive_loss == "supervised":
            return embeds, labels
        name = f"{modality}_va"
        va = _required(
            name,
            va,
            "contrastive_loss='va' pairs utterances by it; pass (valence, arousal) with NaN where unknown, or train "
            "with contrastive_loss 'supervised', 'self' or 'none'",
        )
        _check_shape(name, va, (len(labels), 2))
        return embeds, va

    def _contrastive_loss(
        self, embeds: torch.Tensor, keys: torch.Tensor, past: tuple[torch.Tensor, torch.Tensor] | None
    ) -> torch.Tensor:
        """Of one modality; `past` are embeddings and keys of the memory."""
        memory, others = (None, keys) if past is None else (past[0], torch.cat([keys.float(), past[1]]))
        positives = self._positives(keys, others)
        return modality_contrastive_loss(embeds, positives, self.contrastive_temperature, self.objective, memory)

    def _positives(self, keys: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """Which of the others, (N, K), are positives of each utterance, (B, N) bool; the own copy may be missing."""
        if self.contrastive_loss == "self":
            return torch.zeros(len(keys), len(others), dtype=torch.bool, device=keys.device)
        if self.contrastive_loss == "supervised":
            return supervised_positives(keys, others)
        return va_positives(keys, self.va_distance_threshold, others)

    def _total(self, kl: torch.Tensor, prior: torch.Tensor | float, contrastive: torch.Tensor | None) -> torch.Tensor:
        """Equation 11, or what the released code makes of it."""
        rest = self._rest
        total = rest * kl + prior if self.objective == "paper" else rest * (kl + prior)
        return total if contrastive is None else self.contrastive_weight * contrastive + total

    def get_config_dict(self) -> dict[str, Any]:
        """The options as plain values, for model cards and logs."""
        return asdict(self) | {
            "modalities": list(self.modalities),
            "contrastive_modality_weights": list(self.contrastive_modality_weights),
        }


def _split(rows: torch.Tensor, width: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Embeddings of this width, and what decides the pairs, of each modality out of `contrast_rows`."""
    return [(part[:, :width], part[:, width:]) for part in rows.unbind(dim=1)]


def _required(name: str, tensor: torch.Tensor | None, reason: str) -> torch.Tensor:
    if tensor is None:
        raise ValueError(f"`{name}` is missing: {reason}.")
    return tensor


def _check_option(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"`{name}` must be one of {list(known)}, got {value!r}.")


def _check_shape(name: str, tensor: torch.Tensor, shape: tuple[int | None, ...]) -> None:
    """Refuse a tensor whose shape differs from `shape` (`None` is any size but 0)."""
    fits = tensor.ndim == len(shape) and all(
        size > 0 if wanted is None else size == wanted for size, wanted in zip(tensor.shape, shape, strict=True)
    )
    if not fits:
        wanted_shape = ", ".join("any" if wanted is None else str(wanted) for wanted in shape)
        raise ValueError(f"`{name}` must have shape ({wanted_shape}), got {tuple(tensor.shape)}.")


__all__ = [
    "CONTRASTIVE_LOSSES",
    "OBJECTIVES",
    "UnivaObjective",
    "correlation_prior_loss",
    "kl_divergence_loss",
    "modality_contrastive_loss",
    "self_positives",
    "supervised_positives",
    "va_positives",
]
