"""The table of backbones; filled by the decorator when a module of this package is imported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from workbench.backbones.neck import Necked
from workbench.backbones.slicewise import Slicewise
from workbench.backbones.spec import NORMALISERS, Backbone, BackboneSpec
from workbench.errors import PlanError

Factory = Callable[[BackboneSpec], Backbone]
factories: dict[str, Factory] = {}


def register(name: str) -> Callable[[Factory], Factory]:
    """Make a factory known under a name."""

    def add(factory: Factory) -> Factory:
        if name in factories:
            raise ValueError(f"Backbone {name!r} is registered twice")
        factories[name] = factory
        return factory

    return add


def build(spec: BackboneSpec) -> Backbone:
    """A freshly initialised backbone in channels_last memory.

    Raises:
        PlanError: for an unknown name, normaliser or way to read slices.
    """
    if spec.name not in factories:
        raise PlanError(f"Unknown backbone {spec.name!r}. Known: {', '.join(sorted(factories))}.")
    if spec.normaliser not in NORMALISERS:
        raise PlanError(f"Unknown normaliser {spec.normaliser!r}. Known: {', '.join(NORMALISERS)}.")
    if spec.neck:
        return Necked(build(replace(spec, neck=0)), spec.neck)
    if spec.slices:
        return Slicewise(build(replace(spec, slices="")), spec.slices)
    backbone = factories[spec.name](spec)
    layout = torch.channels_last if backbone.dims == 2 else torch.channels_last_3d
    return backbone.to(memory_format=layout)  # type: ignore[call-overload, no-any-return]
