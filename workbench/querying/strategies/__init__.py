"""Query strategies, one file each, found by themselves.

To add one, write a module here with a subclass of `QueryStrategy`; nothing else is edited.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache

from workbench.errors import PlanError
from workbench.querying.strategy import QueryStrategy


@cache
def strategies() -> dict[str, type[QueryStrategy]]:
    """Every strategy by name; each is made without arguments."""
    found: dict[str, type[QueryStrategy]] = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, QueryStrategy) and kind.__module__ == module.__name__:
                found[kind.name] = kind
    return dict(sorted(found.items()))


def query_strategy(name: str) -> QueryStrategy:
    """The strategy called `name`.

    Raises:
        PlanError: listing the names that exist.
    """
    if name not in strategies():
        raise PlanError(f"Unknown query strategy {name!r}. Known: {', '.join(strategies())}.")
    return strategies()[name]()
