"""Who takes part in a comparison: methods on the weights in question, and the baselines they must beat.

Every one is an ordinary `Learner`; raw pixels and the untrained encoder differ in their backbone only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from workbench.backbones import BackboneSpec
from workbench.backbones.raw_pixels import raw_backbone
from workbench.data.pool import Pool
from workbench.data.procedural import procedural_cohorts
from workbench.errors import PlanError
from workbench.imaging.recipe import Recipe
from workbench.learners import learners
from workbench.learners.base import Learner
from workbench.learners.files import LearnerRecord, create, load_learner
from workbench.learners.options import plain
from workbench.weights import find_weights

PIXELS, UNTRAINED = "raw-pixels", "random-encoder"
_DRAWN = 512
PIXEL_METHODS = ("linear-probe", "prototypical")
"""On raw pixels: logistic regression, and the nearest class mean."""


@dataclass(frozen=True, slots=True, eq=False)
class Contestant:
    """One row of every table.

    Attributes:
        encoder: title of the weights, ``raw-pixels`` or ``random-encoder``.
        learner: in evaluation mode.
        identity: decides its features: digest of the weights file, or of the backbone and seed.
        record: of the weights file; None for the baselines.
    """

    encoder: str
    learner: Learner
    identity: str
    record: LearnerRecord | None = None

    @property
    def key(self) -> str:
        """Names everything that decides its readings but the images and the program."""
        what = (self.identity, self.learner.name, plain(self.learner.settings))
        return json.dumps(what, sort_keys=True, default=str)


def contestants(
    weights: str | Path, methods: Sequence[str], seed: int = 0, pooled_slices: int = 0
) -> tuple[Contestant, ...]:
    """The contestants behind the names given on the command line.

    Args:
        weights: shipped name or file.
        methods: names of learners, ``raw-pixels`` (logistic regression and nearest mean on a 16x16 image)
            and ``random-encoder`` (the other methods that leave the encoder as it is, on the same network
            freshly initialised).
        seed: of the random encoder.
        pooled_slices: see `workbench.learners.files.load_learner`.

    Raises:
        PlanError: for an unknown method, or pooled slices of weights that read volumes already.
        ModelFileError: for weights that cannot be read, or two files that make different images.
    """
    known = (*learners(), PIXELS, UNTRAINED)
    for name in methods:
        if name not in known:
            raise PlanError(f"Unknown method {name!r}. Known: {', '.join(known)}.")
    chosen = [name for name in dict.fromkeys(methods) if name not in (PIXELS, UNTRAINED)]
    found = [_trained(weights, name, pooled_slices) for name in chosen]
    base = (found[0] if found else _trained(weights, None, pooled_slices)).learner
    if PIXELS in methods:
        spec = replace(base.spec, name=raw_backbone(base.recipe.dims), width=0, slices="", config="")
        found += [fresh(PIXELS, one, {}, spec, base.recipe, seed) for one in PIXEL_METHODS]
    if UNTRAINED in methods:
        # A starting point for an inner loop that was never meta-trained is no baseline.
        reading = [c.learner for c in found[: len(chosen)] if not c.learner.inner_steps]
        found += [fresh(UNTRAINED, x.name, plain(x.settings), base.spec, base.recipe, seed) for x in reading]
    recipes = {c.learner.recipe for c in found}
    if len(recipes) > 1:
        raise PlanError(
            "The methods' weights were made for different recipes, so they cannot share episodes. "
            "Compare them in separate runs."
        )
    return tuple(found)


def _normalisers(backbone: nn.Module) -> list[_BatchNorm]:
    return [module for module in backbone.modules() if isinstance(module, _BatchNorm)]


def _settle(learner: Learner, images: Tensor) -> None:
    """Give an untrained network the normaliser statistics of drawn images.

    Without them its maps would lack the scale that training gives them, and the baseline would be weaker
    than random filters deserve. Drawn images belong to no condition, so nothing held out is looked at.
    """
    layers = _normalisers(learner.backbone)
    kept = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = None  # the mean over all batches
    learner.train()
    with torch.no_grad():
        mixed = images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))]
        for chunk in torch.split(mixed, 64):
            learner.embed(chunk)
    for layer, momentum in zip(layers, kept, strict=True):
        layer.momentum = momentum


def _trained(weights: str | Path, method: str | None, pooled_slices: int) -> Contestant:
    loaded = load_learner(find_weights(weights, method), method, pooled_slices=pooled_slices)
    title = loaded.record.title or str(weights)
    read = f" {pooled_slices} slices" if pooled_slices else ""
    return Contestant(title + read, loaded.learner, loaded.sha256 + read, loaded.record)


def fresh(
    encoder: str, method: str, options: Mapping[str, Any], spec: BackboneSpec, recipe: Recipe, seed: int
) -> Contestant:
    """A baseline: a method on a backbone that has seen no condition.

    Args:
        encoder: what to call the backbone.
        method, options: of the learner.
        spec, recipe: of its network.
        seed: of the initialisation.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        learner = create(method, spec, recipe, None, options)
        drawn = procedural_cohorts(_DRAWN, recipe, seed) if _normalisers(learner.backbone) else []
    if drawn:
        _settle(learner, Pool(drawn).images)
    learner.eval()
    described = json.dumps([encoder, spec.to_json(), recipe.to_json(), seed], sort_keys=True)
    return Contestant(encoder, learner, hashlib.sha256(described.encode()).hexdigest())
