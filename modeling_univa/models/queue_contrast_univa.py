# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Supervised contrastive loss against a queue of the features of past batches, of CARAT and of LDDU.

N is the number of features of the batch, Q the size of the queue, K the number of classes and k the width of a
feature. A class is a label of a modality that is there, or one that is not; see [`label_classes`].
"""

import torch
from torch import nn
from transformers import initialization as init


__all__ = ["ContrastQueue", "label_classes", "queue_contrastive_loss"]

# Class of a place of the queue that no batch has written yet: it is nothing's positive, and has none.
_NO_CLASS = -1
# Rows of the queue that are compared with the whole queue at a time: 32 MB of float32 for a queue of 8,192.
_CHUNK = 1024


def label_classes(labels: torch.Tensor, modalities: int) -> torch.Tensor:
    """
    Class of the feature of each label in each modality: l + 2Cm where label l is there, l + C(2m + 1) where it is not.

    Args:
        labels (`torch.Tensor` of shape `(B, C)`): multi-hot targets.
        modalities: number M of them.

    Returns:
        `torch.LongTensor` of shape `(B, M, C)`, all below 2MC.
    """
    slots = torch.arange(modalities, device=labels.device)[:, None]
    label = torch.arange(labels.shape[1], device=labels.device)
    return label + labels.shape[1] * (2 * slots + (labels[:, None] <= 0).long())


def queue_contrastive_loss(
    features: torch.Tensor,
    classes: torch.Tensor,
    queue: torch.Tensor,
    queue_classes: torch.Tensor,
    num_classes: int,
    temperature: float,
    queue_anchors: bool = True,
) -> torch.Tensor:
    r"""
    Supervised contrastive loss (Khosla et al., NeurIPS 2020) over a batch and a queue, with s_ij = f_i·f_j / τ:

        L_i = −1/|P(i)| Σ_{p ∈ P(i)} ( s_ip − log Σ_{a ≠ i} exp(s_ia) )

    P(i) are the other features of i's class; where there are none, L_i is 0 and still counts in the mean. What is
    compared runs over batch and queue. The released codes of CARAT and LDDU add 1e-12 times exp(s_ii) to the sum,
    which counts only where all other features point the opposite way.

    Nothing of shape (N + Q, N + Q) is ever held: the positives of a feature are summed by class, and where only
    features of the queue are compared, which has no gradient, row by row of it.

    Args:
        features (`torch.Tensor` of shape `(N, k)`): of the batch, with gradient.
        classes (`torch.LongTensor` of shape `(N,)`): their classes in [0, K).
        queue (`torch.Tensor` of shape `(Q, k)`), queue_classes (`torch.LongTensor` of shape `(Q,)`): of past batches,
            taken as constant; a class of −1 marks what has no positives.
        num_classes: K.
        temperature: τ.
        queue_anchors: whether i runs over the queue too, as in the released codes, whose mean is over N + Q rows.
            `False` is what a memory bank does, and several times cheaper.

    Returns:
        `torch.Tensor`: float32 scalar.
    """
    with torch.autocast(features.device.type, enabled=False):
        batch, bank = features.float(), queue.detach().float()
        both, both_classes = torch.cat([batch, bank]), torch.cat([classes, queue_classes])
        similarities = batch @ both.T / temperature
        own = torch.eye(len(batch), len(both), dtype=torch.bool, device=batch.device)
        others = similarities.masked_fill(own, -torch.inf).logsumexp(dim=1)
        if queue_anchors:
            from_batch = similarities[:, len(batch) :].logsumexp(dim=0)
            others = torch.cat([others, torch.logaddexp(from_batch, _within(bank, temperature))])
        anchors = len(others)
        positive, count = _positives(both, both_classes, num_classes, anchors)
        losses = torch.where(count > 0, others - positive / temperature, 0.0)
        return losses.mean()


def _positives(
    features: torch.Tensor, classes: torch.Tensor, num_classes: int, anchors: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean product of each of the first `anchors` features with the others of its class, and their number."""
    members = (classes[:, None] == torch.arange(num_classes, device=classes.device)).float()
    anchored, own = members[:anchors], features[:anchors]
    count = anchored @ members.sum(dim=0) - 1
    total = (own * (anchored @ (members.T @ features) - own)).sum(dim=1)
    return total / count.clamp(min=1), count


@torch.no_grad()
def _within(bank: torch.Tensor, temperature: float) -> torch.Tensor:
    """Logarithm of Σ exp(s_ia) over all other rows a of the bank, for each row i, `(Q,)`."""
    sums = []
    for start in range(0, len(bank), _CHUNK):
        similarities = bank[start : start + _CHUNK] @ bank.T / temperature
        similarities.diagonal(start).fill_(-torch.inf)
        sums.append(similarities.logsumexp(dim=1))
    return torch.cat(sums)


class ContrastQueue(nn.Module):
    """
    The features of past batches and their classes: a ring, of which the oldest are overwritten.

    It starts with random features that are nothing's positives, its columns of length 1. Saved with the network; the
    same on every process, as long as each writes what all have.

    Args:
        size: Q.
        width: k.
    """

    features: torch.Tensor
    classes: torch.Tensor
    position: torch.Tensor

    def __init__(self, size: int, width: int):
        super().__init__()
        self.register_buffer("features", torch.empty(size, width))
        self.register_buffer("classes", torch.empty(size, dtype=torch.long))
        self.register_buffer("position", torch.empty((), dtype=torch.long))
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Empty the queue; for `_init_weights`."""
        init.normal_(self.features)
        init.copy_(self.features, nn.functional.normalize(self.features, dim=0))
        init.constant_(self.classes, _NO_CLASS)
        init.zeros_(self.position)

    def loss(
        self,
        features: torch.Tensor,
        classes: torch.Tensor,
        num_classes: int,
        temperature: float,
        queue_anchors: bool = True,
    ) -> torch.Tensor:
        """[`queue_contrastive_loss`] of a batch against the queue."""
        return queue_contrastive_loss(
            features, classes, self.features, self.classes, num_classes, temperature, queue_anchors
        )

    @torch.no_grad()
    def write(self, features: torch.Tensor, classes: torch.Tensor) -> None:
        """
        Put the features of a batch in the places of the oldest.

        Args:
            features (`torch.Tensor` of shape `(N, k)`), classes (`torch.LongTensor` of shape `(N,)`): of all
                processes, see `gather_rows`. Of more than Q the last Q stay.
        """
        size, count = len(self.features), len(features)
        places = (self.position + torch.arange(count, device=features.device)) % size
        self.features[places[-size:]] = features[-size:].detach().to(self.features.dtype)
        self.classes[places[-size:]] = classes[-size:]
        self.position.add_(count).remainder_(size)
