"""Gaussian classes: nearness to a class mean in the metric of the support's own spread.

Bateni, Goyal, Masrani, Wood and Sigal, "Improved Few-Shot Visual Classification" (Simple CNAPS), CVPR 2020,
without CNAPS' adaptation of the encoder. With z = f(x), K classes, class k of n_k scans (n in all) and mean
m_k:

    d_k(x) = (z - m_k)' Q_k^-1 (z - m_k) / 2            p(y = k | x) = softmax_k(-s d_k(x))
    Q_k = l_k S_k + (1 - l_k) S + b I                   l_k = n_k / (n_k + 1)

S_k is the covariance of class k (zero for one scan), S that of the whole support. ``class`` is this, the
paper's. ``shared``, the default, gives all classes one Q, with the pooled covariance within classes for S_k
and the mean number of scans per class, n / K, for n_k: a linear boundary, and no class is preferred for
having more scans and with them a wider Q_k. Classes have equal priors, and as in the paper the determinant
is left out: distances are compared, not densities.

Two more things differ from the paper. Embeddings are divided by the root mean squared distance of the
support from its mean, and ``b = ridge K / n`` (the paper: 1, on embeddings of its own scale): one setting
suits any backbone, and the better the spread is known the less is added to it. And ``s = sharpness
sqrt(b)`` (the paper: 1): a small b inflates distances where the support has no spread, and with many
dimensions would leave probabilities of 0 and 1 only. Both were chosen on meta-validation conditions, for 1
to 20 scans per class.

There are fewer scans than dimensions. Outside the span of the centred support every Q_k is b I and all
means agree, so that part of a query adds the same to every d_k and cancels in the softmax. What is left are
matrices of at most n by n; no approximation is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from workbench.backbones import BackboneSpec
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Head, Optimisation
from workbench.learners.options import options
from workbench.learners.prototypical import prototypes
from workbench.learners.supervised import SupervisedLearner, SupervisedOptions


@options
class MahalanobisOptions(SupervisedOptions):
    """Settings of `Mahalanobis`.

    Attributes:
        covariance: ``shared`` for one Q of all classes, ``class`` for one of each.
        ridge: b for one scan per class, in units of the support's mean squared distance from its mean.
        sharpness: s for b = 1.
        contrast, temperature, classes: of meta-training; see `SupervisedOptions`.
    """

    covariance: Literal["shared", "class"] = "shared"
    ridge: float = Field(default=0.1, gt=0)
    sharpness: float = Field(default=1.5, gt=0)


def covariances(z: Tensor, labels: Tensor, way: int, kind: Literal["shared", "class"]) -> Tensor:
    """``Q_k - b I`` of each class, ``(way, r, r)``.

    Args:
        z: ``(n, r)``.
        labels: int64 ``(n,)`` in ``[0, way)``; every class occurs.
        way: number of classes.
        kind: see `MahalanobisOptions`.
    """
    within = z - prototypes(z, labels, way)[labels]
    about = z - z.mean(0)
    task = about.T @ about / max(1, len(z) - 1)
    if kind == "shared":
        share = len(z) / (len(z) + way)
        pooled = within.T @ within / max(1, len(z) - way)
        return (share * pooled + (1 - share) * task).expand(way, -1, -1)
    made = []
    for k, n in enumerate(torch.bincount(labels, minlength=way).tolist()):
        mine = within[labels == k]
        share = n / (n + 1)
        made.append(share * (mine.T @ mine) / max(1, n - 1) + (1 - share) * task)
    return torch.stack(made)


class MahalanobisHead(Head):
    """Class means and whitening matrices in the span of the support.

    Args:
        basis: maps embeddings to coordinates in the span, ``(r, d)``; scaled to the support's spread.
        means: coordinates of the class means, ``(way, r)``.
        whitening: ``A_k`` with ``A_k' A_k = s Q_k^-1 / 2``, ``(way, r, r)``.
    """

    def __init__(self, basis: Tensor, means: Tensor, whitening: Tensor) -> None:
        self.basis, self.means, self.whitening = basis, means, whitening

    def logits(self, features: Tensor) -> Tensor:
        """``-s d_k``, less what is the same for all classes."""
        away = (features @ self.basis.T)[None] - self.means[:, None]
        return -(away @ self.whitening.transpose(1, 2)).square().sum(2).T

    def tensors(self) -> dict[str, Tensor]:
        """Everything above."""
        return {"basis": self.basis, "means": self.means, "whitening": self.whitening}


class Mahalanobis(SupervisedLearner):
    """See the module's description."""

    name: ClassVar[str] = "mahalanobis"
    citation: ClassVar[str] = "Bateni et al. 2020 (the classifier of Simple CNAPS)"
    options_type: ClassVar[type] = MahalanobisOptions

    def __init__(
        self,
        backbone: BackboneSpec,
        recipe: Recipe,
        optimisation: Optimisation | None = None,
        options: MahalanobisOptions | None = None,
    ) -> None:
        chosen = options or MahalanobisOptions()
        super().__init__(backbone, recipe, optimisation, chosen)
        self.options = chosen

    @property
    def settings(self) -> MahalanobisOptions:
        """See `Learner.settings`."""
        return self.options

    def fit(self, features: Tensor, labels: Tensor, way: int) -> MahalanobisHead:
        """Gaussians of the support; see `Learner.fit`."""
        values = features.detach().double()
        centred = values - values.mean(0)
        spread = centred.square().sum(1).mean().sqrt().clamp_min(1e-6)
        q, r = torch.linalg.qr(centred.T / spread)  # coordinates of the support: rows of r.T
        z = r.T
        ridge = self.options.ridge * way / len(z)
        regular = covariances(z, labels, way, self.options.covariance) + ridge * torch.eye(z.shape[1]).to(z)
        # Q = L L', so L^-1 whitens.
        inverse = torch.linalg.solve_triangular(
            torch.linalg.cholesky(regular), torch.eye(z.shape[1]).to(z).expand_as(regular), upper=False
        )
        whitening = inverse * (self.options.sharpness * ridge**0.5 / 2) ** 0.5
        basis = q.T / spread
        means = prototypes(z, labels, way) + basis @ values.mean(0)
        return MahalanobisHead(basis.float(), means.float(), whitening.float())

    def restore(self, tensors: Mapping[str, Tensor]) -> MahalanobisHead:
        """See `Learner.restore`."""
        return MahalanobisHead(tensors["basis"], tensors["means"], tensors["whitening"])
