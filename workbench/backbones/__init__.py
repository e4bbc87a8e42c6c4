"""Encoders by name.

`build(spec)` is the only way the rest of the workbench gets a network. To add one, write a module in
this package with a function decorated by `@register("name")`; it is found by itself.
"""

from __future__ import annotations

import importlib
import pkgutil

from workbench.backbones.registry import build, factories, register
from workbench.backbones.spec import Backbone, BackboneSpec

for _module in pkgutil.iter_modules(__path__):
    if _module.name not in ("neck", "registry", "slicewise", "spec"):
        importlib.import_module(f"{__name__}.{_module.name}")


def names() -> tuple[str, ...]:
    """Names that `build` knows, sorted."""
    return tuple(sorted(factories))


__all__ = ["Backbone", "BackboneSpec", "build", "names", "register"]
