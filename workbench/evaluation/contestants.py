"""Who takes part in a comparison: methods on the weights in question, and the baselines they must beat.

Every one is an ordinary `Learner`; raw pixels and the untrained encoder differ in their backbone only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from workbench.backbones import BackboneSpec
from workbench.errors import PlanError
from workbench.imaging.recipe import Recipe
from workbench.learners import learners
from workbench.learners.base import Learner
from workbench.learners.files import LearnerRecord, create, load_learner
from workbench.learners.options import plain
from workbench.weights import find_weights

PIXELS, UNTRAINED = "raw-pixels", "random-encoder"
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


def contestants(weights: str | Path, methods: Sequence[str], seed: int = 0) -> tuple[Contestant, ...]:
    """The contestants behind the names given on the command line.

    Args:
        weights: shipped name or file.
        methods: names of learners, ``raw-pixels`` (logistic regression and nearest mean on a 16x16 image)
            and ``random-encoder`` (the other methods on the same network freshly initialised).
        seed: of the random encoder.

    Raises:
        PlanError: for an unknown method.
        ModelFileError: for weights that cannot be read, or two files that make different images.
    """
    known = (*learners(), PIXELS, UNTRAINED)
    for name in methods:
        if name not in known:
            raise PlanError(f"Unknown method {name!r}. Known: {', '.join(known)}.")
    chosen = [name for name in dict.fromkeys(methods) if name not in (PIXELS, UNTRAINED)]
    found = [_trained(weights, name) for name in chosen]
    base = found[0].learner if found else load_learner(find_weights(weights)).learner
    if PIXELS in methods:
        spec = replace(base.spec, name="raw-pixels", width=0)
        found += [_fresh(PIXELS, name, spec, base.recipe, seed) for name in PIXEL_METHODS]
    if UNTRAINED in methods:
        found += [_fresh(UNTRAINED, name, base.spec, base.recipe, seed) for name in chosen]
    recipes = {c.learner.recipe for c in found}
    if len(recipes) > 1:
        raise PlanError(
            "The methods' weights were made for different recipes, so they cannot share episodes. "
            "Compare them in separate runs."
        )
    return tuple(found)


def _trained(weights: str | Path, method: str) -> Contestant:
    loaded = load_learner(find_weights(weights, method), method)
    return Contestant(loaded.record.title or str(weights), loaded.learner, loaded.sha256, loaded.record)


def _fresh(encoder: str, method: str, spec: BackboneSpec, recipe: Recipe, seed: int) -> Contestant:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        learner = create(method, spec, recipe)
    learner.eval()
    described = json.dumps([encoder, spec.to_json(), recipe.to_json(), seed], sort_keys=True)
    return Contestant(encoder, learner, hashlib.sha256(described.encode()).hexdigest())
