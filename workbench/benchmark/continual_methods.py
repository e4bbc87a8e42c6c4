"""How each method of the continual benchmark learns one condition after another, on cached embeddings.

All read the same embeddings of the shipped encoder. Methods that train a network train a residual neck on
them (`workbench.backbones.neck`); the encoder itself is never changed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.data.cohort import Cohort
from workbench.data.episodes import EpisodeSampler, EpisodeSpec
from workbench.data.pool import Pool
from workbench.learners.base import Learner
from workbench.learners.files import create
from workbench.learners.fine_tune import FineTune, cosine_layer
from workbench.learners.oml import OML, OMLHead
from workbench.learners.prototypical import PrototypeHead, Prototypical

NECK = 64


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """One condition's support: embeddings ``(n, d)``, labels from 0, number of classes."""

    features: Tensor
    labels: Tensor
    way: int


class Continual(ABC):
    """A learner of one condition after another.

    `learn` returns the state after one more condition and changes nothing; `logits` are scores of all classes
    learned so far ``(n, classes)``, in the order in which they came.
    """

    @abstractmethod
    def learn(self, taught: Taught) -> Continual:
        """The state after one more condition."""

    @abstractmethod
    def logits(self, features: Tensor) -> Tensor:
        """Scores of embeddings ``(n, d)``."""


class Prototypes(Continual):
    """Class means of frozen embeddings; a new condition adds rows and touches no other."""

    def __init__(self, learner: Prototypical, heads: tuple[PrototypeHead, ...] = ()) -> None:
        self.learner, self.heads = learner, heads

    def learn(self, taught: Taught) -> Prototypes:
        """See `Continual`."""
        with torch.no_grad():
            head = self.learner.fit(taught.features, taught.labels, taught.way)
        return Prototypes(self.learner, (*self.heads, head))

    def logits(self, features: Tensor) -> Tensor:
        """See `Continual`."""
        with torch.no_grad():
            return torch.cat([head.logits(features) for head in self.heads], dim=1)


class FineTuned(Continual):
    """One neck tuned from condition to condition, with an output layer for each; see `FineTune.after`.

    With replay, stored embeddings let the earlier output layers be made anew for the network as it is now.
    """

    def __init__(self, learner: FineTune, layers: tuple[Tensor, ...] = ()) -> None:
        self.learner, self.layers = learner, layers

    def learn(self, taught: Taught) -> FineTuned:
        """See `Continual`."""
        given = (taught.features, taught.labels, taught.way)
        head = self.learner.fit(*given)
        later = self.learner.after(head, *given)
        layers = (*self.layers, head.parameters["head.weight"])
        if later.options.replay:
            scale = later.log_scale.detach().exp()
            layers = tuple(
                cosine_layer(head.embed(one.features), one.labels, one.way, scale)["head.weight"].detach()
                for one in later.earlier
            )
        return FineTuned(later, layers)

    def logits(self, features: Tensor) -> Tensor:
        """See `Continual`."""
        with torch.no_grad():
            head = self.learner.restore({**self.learner.network(), "head.weight": torch.cat(self.layers)})
            return head.embed(features) @ torch.cat(self.layers).T


class Separate(Continual):
    """A network tuned for each condition from the same start: how the workbench keeps adapted models.

    Scores of different networks are not comparable, so only readings within one condition mean something.
    """

    def __init__(self, learner: FineTune, parts: tuple[FineTuned, ...] = ()) -> None:
        self.learner, self.parts = learner, parts

    def learn(self, taught: Taught) -> Separate:
        """See `Continual`."""
        return Separate(self.learner, (*self.parts, FineTuned(self.learner).learn(taught)))

    def logits(self, features: Tensor) -> Tensor:
        """See `Continual`."""
        return torch.cat([part.logits(features) for part in self.parts], dim=1)


class Online(Continual):
    """OML's stream, going on with every condition; see `OML.extend`."""

    def __init__(self, learner: OML, head: OMLHead | None = None) -> None:
        self.learner, self.head = learner, head

    def learn(self, taught: Taught) -> Online:
        """See `Continual`."""
        known = 0 if self.head is None else len(self.head.weight)
        with torch.no_grad():
            features = self.learner.features(taught.features)
            head = self.learner.extend(self.head, features, taught.labels + known, known + taught.way)
        return Online(self.learner, head)

    def logits(self, features: Tensor) -> Tensor:
        """See `Continual`."""
        assert self.head is not None
        with torch.no_grad():
            return self.head.logits(self.learner.features(features))


def necked(base: Learner, method: str, options: dict[str, Any], seed: int) -> Learner:
    """A learner whose neck on the encoder of `base` is freshly initialised; it reads embeddings.

    Args:
        base: whose backbone becomes the frozen network.
        method, options: of the learner.
        seed: of the neck.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = create(method, replace(base.spec, neck=NECK), base.recipe, None, options)
    state = {f"trunk.{name}": value for name, value in base.backbone.state_dict().items()}
    made.backbone.load_state_dict(state, strict=False)
    return made.eval()


def meta_trained_oml(base: Learner, cohorts: tuple[Cohort, ...], steps: int, rate: float, seed: int) -> OML:
    """OML meta-trained on streams of classes of many conditions.

    Args:
        base: whose embeddings the cohorts hold.
        cohorts: of the meta-training conditions, ``images`` being embeddings.
        steps: outer steps. Each is one stream of 8 to 16 classes of any conditions, which teaches to keep
            conditions apart, and three of up to 8 classes of one condition; 5 patients of each class.
        rate: alpha.
        seed: of initialisation and episodes.
    """
    learner = necked(base, "oml", {"learning_rate": rate}, seed)
    assert isinstance(learner, OML)
    every = merged(cohorts)
    pool = Pool([every, *cohorts])
    across = EpisodeSpec(ways=(8, 16), shots=5, queries=5, conditions=(every.name,), seed=seed)
    within = EpisodeSpec(
        ways=(2, 8), shots=5, queries=5, conditions=tuple(c.name for c in cohorts), seed=seed
    )
    wide, narrow = EpisodeSampler(pool.cohorts, across), EpisodeSampler(pool.cohorts, within)
    parameters = [p for p in learner.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        streams = [wide.episode(step), *(narrow.episode(3 * step + i) for i in range(3))]
        loss = learner.training_loss(pool.gather(streams))
        optimiser.zero_grad()
        loss.value.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
    return learner.eval()


def merged(cohorts: tuple[Cohort, ...]) -> Cohort:
    """Classes of several conditions as those of one, so that a stream goes across conditions."""
    labels, patients = 0, 0
    parts_labels, parts_patients = [], []
    for one in cohorts:
        parts_labels.append(one.labels + labels)
        parts_patients.append(one.patients + patients)
        labels += len(one.classes)
        patients += int(one.patients.max()) + 1
    return Cohort(
        name="meta-training",
        classes=tuple(f"{c.name}/{name}" for c in cohorts for name in c.classes),
        images=np.concatenate([np.asarray(c.images, dtype=np.float32) for c in cohorts]),
        labels=np.concatenate(parts_labels),
        patients=np.concatenate(parts_patients),
        names=tuple(name for c in cohorts for name in c.names),
        splits=tuple(split for c in cohorts for split in c.splits),
        origin=tuple(origin for c in cohorts for origin in c.origin),
        modality="OT",
    )
