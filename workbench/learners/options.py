"""Settings of a method: a frozen, validated dataclass, so that a plan with a misspelt option fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as _dataclass

from workbench.errors import PlanError

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def options(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass whose fields are checked and whose unknown fields are refused."""
    made: type[T] = _dataclass(frozen=True, config=ConfigDict(extra="forbid"))(cls)  # type: ignore[assignment]
    return made


def parse(kind: type[T], values: Mapping[str, Any], owner: str) -> T:
    """Options from plain values.

    Raises:
        PlanError: naming the method, the field and what is wrong with it.
    """
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PlanError(f"Option {where!r} of method {owner!r}: {first['msg']}.") from error


def plain(value: object) -> dict[str, Any]:
    """Plain values of an options object, for a checkpoint's metadata."""
    if not is_dataclass(value) or isinstance(value, type):
        raise TypeError(f"{value!r} is not an options object")
    return asdict(value)
