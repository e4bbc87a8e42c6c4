"""Committee: linear probes on several descriptions of a scan, their probabilities averaged.

A few scans do not tell which description of an image separates the classes. Probes on different ones are
wrong about different scans, and their mean probability is a better guess than a choice among them (Dvornik,
Schmid and Mairal, "Diversity with Cooperation: Ensemble Methods for Few-Shot Classification", ICCV 2019, for
networks; here the members share one frozen encoder). With z the embedding less the support's mean:

    embedding    z, as the linear probe reads it
    deep         the part of z that meta-training taught and the one before it, where the backbone has parts
    direction    z / |z|, as SimpleShot reads it
    root         sign(z) sqrt(|z|), number by number: long tails are drawn in

    p(y = k | x) = mean over members v of softmax_k(W_v v(z) + b_v)

Each member is fitted as the linear probe is; see `workbench.learners.linear_probe`. Members were chosen on
meta-validation conditions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from workbench.backbones import Backbone, BackboneSpec
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Head, Optimisation
from workbench.learners.linear_probe import LinearHead
from workbench.learners.logistic import balanced, logistic_regressions
from workbench.learners.options import options
from workbench.learners.supervised import SupervisedLearner, SupervisedOptions


@options
class CommitteeOptions(SupervisedOptions):
    """Settings of `Committee`.

    Attributes:
        strength: C of every member; see `LinearProbeOptions`.
        contrast, temperature, classes: of meta-training; see `SupervisedOptions`.
    """

    strength: float = Field(default=10.0, gt=0)


def deep_columns(backbone: Backbone) -> slice | None:
    """Where the part that meta-training taught last, and the one before it, lie in an embedding."""
    if not backbone.parts or not backbone.supervised:
        return None
    last = backbone.supervised[-1]
    return slice(sum(backbone.parts[: max(0, last - 1)]), sum(backbone.parts[: last + 1]))


def descriptions(z: Tensor, deep: slice | None) -> dict[str, Tensor]:
    """The members' inputs by name, each ``(n, ...)``, from centred embeddings ``(n, d)``."""
    found = {"embedding": z}
    if deep is not None:
        found["deep"] = z[:, deep]
    found["direction"] = F.normalize(z, dim=1)
    found["root"] = z.sign() * z.abs().sqrt()
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """A support as its members see it.

    Attributes:
        mean: of the embeddings, ``(d,)``.
        centres, spreads: of each description: its mean over the support, and the root of the mean squared
            distance from it.
        bases: orthonormal directions ``(d_v, r_v)`` that span the support in each description.
        z: standardised coordinates in them, float64 ``(v, n, r)``, filled up with zeros.
    """

    mean: Tensor
    centres: dict[str, Tensor]
    spreads: dict[str, Tensor]
    bases: dict[str, Tensor]
    z: Tensor

    @classmethod
    def of(cls, features: Tensor, deep: slice | None) -> Described:
        """Describe a support's features ``(n, d)``."""
        values = features.detach()
        mean = values.mean(0)
        centres: dict[str, Tensor] = {}
        spreads: dict[str, Tensor] = {}
        bases: dict[str, Tensor] = {}
        coordinates = []
        for name, given in descriptions(values - mean, deep).items():
            centres[name] = given.mean(0)
            away = given - centres[name]
            spreads[name] = away.square().sum(1).mean().sqrt().clamp_min(1e-6)
            # The optimum lies in the span of the support; see `linear_probe.logistic_regression`.
            bases[name], r = torch.linalg.qr((away / spreads[name]).double().T)
            coordinates.append(r.T)
        rank = max(c.shape[1] for c in coordinates)
        return cls(
            mean,
            centres,
            spreads,
            bases,
            torch.stack([F.pad(c, (0, rank - c.shape[1])) for c in coordinates]),
        )

    def heads(self, weights: Tensor, biases: Tensor) -> dict[str, LinearHead]:
        """Heads in the full space of weights ``(v, way, r)`` and biases ``(v, way)``."""
        return {
            name: LinearHead(
                (w[:, : self.bases[name].shape[1]] @ self.bases[name].T).float(),
                b.float(),
                self.centres[name],
                self.spreads[name],
            )
            for name, w, b in zip(self.bases, weights, biases, strict=True)
        }


def fit_members(described: Described, labels: Tensor, way: int, strength: float) -> dict[str, LinearHead]:
    """The members' heads on the whole support."""
    everyone = balanced(labels, way, torch.ones(1, len(labels), dtype=torch.bool))
    weights, biases = logistic_regressions(described.z, labels, way, strength, everyone)
    return described.heads(weights[:, 0], biases[:, 0])


class CommitteeHead(Head):
    """The members' heads.

    Args:
        members: by name of the description each reads.
        mean: of the support's embeddings, ``(d,)``.
        deep: see `deep_columns`.
    """

    def __init__(self, members: Mapping[str, LinearHead], mean: Tensor, deep: slice | None) -> None:
        self.members, self.mean, self.deep = dict(members), mean, deep

    def logits(self, features: Tensor) -> Tensor:
        """Log of the members' mean probability."""
        given = descriptions(features - self.mean, self.deep)
        each = [head.logits(given[name]).log_softmax(1) for name, head in self.members.items()]
        return torch.stack(each).logsumexp(0)

    def tensors(self) -> dict[str, Tensor]:
        """The mean, and each member's tensors behind its name."""
        found = {"mean": self.mean}
        for name, head in self.members.items():
            found |= {f"{name}.{key}": value for key, value in head.tensors().items()}
        return found


def restore_members(tensors: Mapping[str, Tensor], deep: slice | None) -> CommitteeHead:
    """Inverse of `CommitteeHead.tensors`."""
    names = dict.fromkeys(key.partition(".")[0] for key in tensors if "." in key)
    fields = ("weight", "bias", "mean", "spread")
    members = {name: LinearHead(*(tensors[f"{name}.{field}"] for field in fields)) for name in names}
    return CommitteeHead(members, tensors["mean"], deep)


class Committee(SupervisedLearner):
    """See the module's description."""

    name: ClassVar[str] = "committee"
    citation: ClassVar[str] = "mean of linear probes on four descriptions; after Dvornik et al. 2019"
    options_type: ClassVar[type] = CommitteeOptions

    def __init__(
        self,
        backbone: BackboneSpec,
        recipe: Recipe,
        optimisation: Optimisation | None = None,
        options: CommitteeOptions | None = None,
    ) -> None:
        self.options = options or CommitteeOptions()
        super().__init__(backbone, recipe, optimisation, self.options)

    @property
    def settings(self) -> CommitteeOptions:
        """See `Learner.settings`."""
        return self.options

    def fit(self, features: Tensor, labels: Tensor, way: int) -> CommitteeHead:
        """Every member on the support; see `Learner.fit`."""
        deep = deep_columns(self.backbone)
        described = Described.of(features, deep)
        members = fit_members(described, labels, way, self.options.strength)
        return CommitteeHead(members, described.mean, deep)

    def restore(self, tensors: Mapping[str, Tensor]) -> CommitteeHead:
        """See `Learner.restore`."""
        return restore_members(tensors, deep_columns(self.backbone))
