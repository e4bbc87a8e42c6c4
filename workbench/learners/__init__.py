"""Methods of learning to learn, one file each, found by themselves.

`learners()` lists them by name. To add one, write a module here with a subclass of `Learner`; nothing
else is edited.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache

from workbench.errors import PlanError
from workbench.learners.base import Classifier, Learner
from workbench.learners.reading import CaseReading, Neighbour, Reading


@cache
def learners() -> dict[str, type[Learner]]:
    """Every method by name."""
    found: dict[str, type[Learner]] = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if (
                issubclass(kind, Learner)
                and not inspect.isabstract(kind)
                and kind.__module__ == module.__name__
            ):
                found[kind.name] = kind
    return dict(sorted(found.items()))


def learner_class(name: str) -> type[Learner]:
    """The method called `name`.

    Raises:
        PlanError: listing the names that exist.
    """
    if name not in learners():
        raise PlanError(f"Unknown method {name!r}. Known: {', '.join(learners())}.")
    return learners()[name]


__all__ = ["CaseReading", "Classifier", "Learner", "Neighbour", "Reading", "learner_class", "learners"]
