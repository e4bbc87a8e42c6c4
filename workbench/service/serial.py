"""Dataclasses of `workbench.service.kinds` as JSON values for the database, and back."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter

T = TypeVar("T")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def dumped(value: object) -> Any:
    """A dataclass (or a tuple of them) as JSON values; NaN and infinities stay as they are."""
    return _adapter(cast("Hashable", type(value))).dump_python(value, mode="json")


def loaded(kind: type[T], value: object) -> T:
    """The dataclass that `dumped` wrote; fields that have come since take their defaults.

    Raises:
        pydantic.ValidationError: the value is of another kind.
    """
    return cast("T", _adapter(cast("Hashable", kind)).validate_python(value))
