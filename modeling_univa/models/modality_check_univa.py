# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""M3ER's check of every modality against the others, and proxies for what fails it (Mittal et al., AAAI 2020).

There is no official code; what the paper does not say is decided here.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .modeling_emotion import Frames


_ByModality = Mapping[str, torch.Tensor]


class _Moments:
    """Count, means and products of two vectors over rows, in float64."""

    def __init__(self, size: int):
        self.count = 0
        self.total = torch.zeros(size, dtype=torch.float64)
        self.products = torch.zeros(size, size, dtype=torch.float64)

    def add(self, rows: torch.Tensor) -> None:
        """Rows `(N, size)`."""
        rows = rows.cpu().double()
        self.count += len(rows)
        self.total += rows.sum(dim=0)
        self.products += rows.T @ rows

    def standardised(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Mean and deviation of every number `(size,)`, and their correlations `(size, size)`."""
        mean = self.total / self.count
        covariance = self.products / self.count - mean[:, None] * mean
        deviation = covariance.diagonal().clamp_min(0).sqrt()
        # What never varies says nothing.
        deviation = torch.where(deviation > 1e-6, deviation, 1.0)
        return mean, deviation, covariance / (deviation[:, None] * deviation)


class ModalityPair(nn.Module):
    """
    What the training set says of two modalities: where they correlate, and how one follows from the other.

    Canonical correlation analysis of the averages over an utterance's frames. The correlation of an utterance is the
    cosine of its two projections: their mean over the training set is zero, and a correlation about their mean over
    the components would depend on the arbitrary signs of the components.

    Buffers, all zero before [`~ModalityPair.fit`]: `num_rows`, and of each side its mean, its projection
    `(k, components)` and the regression `(k, k of the other)`.
    """

    num_rows: torch.Tensor
    left_mean: torch.Tensor
    left_projection: torch.Tensor
    left_to_right: torch.Tensor
    right_mean: torch.Tensor
    right_projection: torch.Tensor
    right_to_left: torch.Tensor

    def __init__(self, left: int, right: int, components: int):
        super().__init__()
        components = min(components, left, right)
        self.register_buffer("num_rows", torch.zeros((), dtype=torch.long))
        for side, size, other, far in (("left", left, "right", right), ("right", right, "left", left)):
            self.register_buffer(f"{side}_mean", torch.zeros(size))
            self.register_buffer(f"{side}_projection", torch.zeros(size, components))
            self.register_buffer(f"{side}_to_{other}", torch.zeros(size, far))

    def correlation(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Correlation `(B,)` of the vectors `(B, k)` of B utterances; 0 before `fit`."""
        left = (left - self.left_mean) @ self.left_projection
        right = (right - self.right_mean) @ self.right_projection
        return F.cosine_similarity(left, right, dim=-1)

    def right_from(self, left: torch.Tensor) -> torch.Tensor:
        """What the right vector `(B, k)` is expected to be."""
        return self.right_mean + (left - self.left_mean) @ self.left_to_right

    def left_from(self, right: torch.Tensor) -> torch.Tensor:
        """What the left vector `(B, k)` is expected to be."""
        return self.left_mean + (right - self.right_mean) @ self.right_to_left

    def fit(self, moments: _Moments, ridge: float) -> None:
        """Solve for projections and regressions; without a row that has both modalities everything is zero."""
        self.num_rows.fill_(moments.count)
        if not moments.count:
            return
        size = len(self.left_mean)
        mean, deviation, correlations = moments.standardised()
        correlations.diagonal().add_(ridge)
        both = correlations[:size, size:]
        left, right = (
            torch.linalg.cholesky(part) for part in (correlations[:size, :size], correlations[size:, size:])
        )
        whitened = torch.linalg.solve_triangular(left, both, upper=False)
        whitened = torch.linalg.solve_triangular(right, whitened.T, upper=False).T
        directions, _, others = torch.linalg.svd(whitened, full_matrices=False)
        self._set_side("left", mean[:size], deviation[:size], left, directions)
        self._set_side("right", mean[size:], deviation[size:], right, others.T)
        to_right = torch.cholesky_solve(both, left) * deviation[size:] / deviation[:size, None]
        to_left = torch.cholesky_solve(both.T, right) * deviation[:size] / deviation[size:, None]
        self.left_to_right.copy_(to_right)
        self.right_to_left.copy_(to_left)

    def _set_side(
        self, side: str, mean: torch.Tensor, deviation: torch.Tensor, factor: torch.Tensor, directions: torch.Tensor
    ) -> None:
        projection = getattr(self, f"{side}_projection")
        kept = directions[:, : projection.shape[1]].contiguous()
        projection.copy_(torch.linalg.solve_triangular(factor.T, kept, upper=True) / deviation[:, None])
        getattr(self, f"{side}_mean").copy_(mean)


class ModalityNeighbours(nn.Module):
    """
    Training utterances that have every modality, for proxies by nearest neighbours.

    Buffers: `num_rows`, how many there are, and the vectors of each modality, `(memory_rows, k)`.
    """

    num_rows: torch.Tensor

    def __init__(self, config: Any):
        super().__init__()
        self.config = config
        self.register_buffer("num_rows", torch.zeros((), dtype=torch.long))
        for name, size in config.frame_sizes.items():
            self.register_buffer(f"{name}_vectors", torch.zeros(config.memory_rows, size))

    def between(self, left: str, right: str) -> Any:
        """Of two modalities, what [`ModalityPair`] has for the regression."""
        return SimpleNamespace(
            num_rows=self.num_rows,
            left_from=partial(self._expected, left, right),
            right_from=partial(self._expected, right, left),
        )

    def _expected(self, name: str, other: str, vectors: torch.Tensor) -> torch.Tensor:
        """The vector of modality `name` that goes with that of `other`, `(B, k)`."""
        known, wanted = getattr(self, f"{other}_vectors"), getattr(self, f"{name}_vectors")
        is_there = torch.arange(len(known), device=known.device) < self.num_rows
        distances = torch.cdist(vectors, known).masked_fill(~is_there, torch.inf)
        nearest = distances.topk(self.config.num_neighbours, largest=False).indices
        basis = known[nearest]
        products = basis @ basis.transpose(1, 2)
        scale = products.diagonal(dim1=1, dim2=2).mean(dim=1).clamp_min(1e-6)
        identity = torch.eye(products.shape[1], device=products.device)
        products = products + self.config.ridge * scale[:, None, None] * identity
        weights = torch.linalg.solve(products, basis @ vectors[..., None])
        return (weights * wanted[nearest]).sum(dim=1)

    def begin(self, num_rows: int) -> None:
        """Forget all rows; `add` is about to see this number of them, and keeps an even choice."""
        self.num_rows.zero_()
        self._stride, self._seen = max(1, -(-num_rows // self.config.memory_rows)), 0

    def add(self, vectors: _ByModality, whole: torch.Tensor) -> None:
        """Keep some rows of vectors `(N, k)`, of those that have every modality, `(N,)`."""
        place = torch.arange(self._seen, self._seen + len(whole), device=whole.device)
        self._seen += len(whole)
        chosen = whole & (place % self._stride == 0)
        start = int(self.num_rows)
        end = start + int(chosen.sum())
        for name, found in vectors.items():
            getattr(self, f"{name}_vectors")[start:end] = found[chosen]
        self.num_rows.fill_(end)


class ModalityCheck(nn.Module):
    """
    Replaces what a modality says by a proxy, where it correlates with no other modality of the utterance.

    It takes fixed features for granted: of a text encoder that is trained on, the statistics are those of its states
    before training.
    """

    def __init__(self, config: Any):
        super().__init__()
        self.config = config
        sizes = config.frame_sizes
        self.pairs = nn.ModuleDict(
            {f"{a}_{b}": ModalityPair(sizes[a], sizes[b], config.cca_components) for a, b in combinations(sizes, 2)}
        )
        self.neighbours = ModalityNeighbours(config) if config.proxy == "nearest" else None

    def forward(self, frames: Mapping[str, Frames]) -> tuple[dict[str, Frames], torch.Tensor]:
        """
        Args:
            frames: of every modality, as they were read.

        Returns:
            The frames, proxies among them, and which are proxies, `(B, M)` bool. A proxy is constant over an
            utterance's frames; where the modality is absent it is one frame.
        """
        present = {name: found.present for name, found in frames.items()}
        vectors = {name: found.mean().detach() for name, found in frames.items()}
        device = next(iter(present.values())).device
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            effectual = self._effectual(vectors, present)
            proxies, known = self._proxies(vectors, effectual)
        replaced = {name: known[name] & ~effectual[name] for name in frames}
        checked = {name: _with_proxy(found, proxies[name], replaced[name]) for name, found in frames.items()}
        return checked, torch.stack(list(replaced.values()), dim=1)

    def _effectual(self, vectors: _ByModality, present: _ByModality) -> _ByModality:
        """
        Which modalities of B utterances are to be believed, `(B,)` each: those that correlate with another one. Where
        none does, which one is wrong is not known, and all that are there are taken as they are.
        """
        supported = {name: torch.zeros_like(here) for name, here in present.items()}
        for a, b, pair in self._pairs():
            close = pair.correlation(vectors[a], vectors[b]) >= self.config.check_threshold
            close = close & present[a] & present[b] & (pair.num_rows > 0)
            supported[a], supported[b] = supported[a] | close, supported[b] | close
        tells = torch.stack(list(supported.values())).any(dim=0)
        return {name: (tells & supported[name]) | (~tells & present[name]) for name in present}

    def _proxies(self, vectors: _ByModality, effectual: _ByModality) -> tuple[_ByModality, _ByModality]:
        """The mean of what the effectual modalities say of each one, `(B, k)`, and whether any does, `(B,)`."""
        total = {name: torch.zeros_like(vector) for name, vector in vectors.items()}
        count = {name: torch.zeros_like(vector[:, 0]) for name, vector in vectors.items()}
        for a, b, pair in self._pairs():
            source = pair if self.neighbours is None else self.neighbours.between(a, b)
            for name, other, expected in ((a, b, source.left_from), (b, a, source.right_from)):
                says = (effectual[other] & (source.num_rows > 0)).float()
                total[name] = total[name] + says[:, None] * expected(vectors[other])
                count[name] = count[name] + says
        means = {name: total[name] / count[name].clamp_min(1)[:, None] for name in vectors}
        return means, {name: found > 0 for name, found in count.items()}

    def _pairs(self) -> Iterator[tuple[str, str, Any]]:
        for a, b in combinations(self.config.modalities, 2):
            yield a, b, self.pairs[f"{a}_{b}"]

    def fit(self, batches: Iterable[Mapping[str, Frames]], num_rows: int) -> None:
        """
        Take the statistics of a training set.

        Args:
            batches: its frames, in any batches.
            num_rows: utterances that it has.
        """
        sizes = self.config.frame_sizes
        moments = [_Moments(sizes[a] + sizes[b]) for a, b, _ in self._pairs()]
        if self.neighbours is not None:
            self.neighbours.begin(num_rows)
        for frames in batches:
            vectors = {name: found.mean() for name, found in frames.items()}
            for (a, b, _), sums in zip(self._pairs(), moments, strict=True):
                both = frames[a].present & frames[b].present
                sums.add(torch.cat([vectors[a][both], vectors[b][both]], dim=1))
            if self.neighbours is not None:
                whole = torch.stack([found.present for found in frames.values()]).all(dim=0)
                self.neighbours.add(vectors, whole)
        for (_, _, pair), sums in zip(self._pairs(), moments, strict=True):
            pair.fit(sums, self.config.ridge)


def _with_proxy(frames: Frames, proxy: torch.Tensor, replaced: torch.Tensor) -> Frames:
    """The frames with a proxy `(B, k)` for all of those of the rows that are `replaced`, `(B,)`."""
    states = torch.where(replaced[:, None, None], proxy[:, None].to(frames.states.dtype), frames.states)
    first = torch.arange(frames.mask.shape[1], device=frames.mask.device) == 0
    return Frames(states, frames.mask | (replaced[:, None] & first))


__all__ = ["ModalityCheck", "ModalityNeighbours", "ModalityPair"]
