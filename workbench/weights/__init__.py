"""Weights shipped with the package, and how a name becomes a file.

``general.safetensors`` is the encoder every frozen-encoder method uses; ``general-METHOD.safetensors``
holds weights of a method that needs its own (MAML's starting point). ``volumes.safetensors`` is an encoder of
whole volumes.
"""

from __future__ import annotations

from pathlib import Path

from workbench.errors import ModelFileError

DEFAULT = "general"
DEFAULT_METHODS = {"general": "auto", "volumes": "auto"}
"""How shipped weights adapt unless a method is named, where that is not the method they were trained with."""
_FOLDER = Path(__file__).parent


def shipped() -> tuple[str, ...]:
    """Names of the weights that came with the package."""
    return tuple(sorted(p.stem for p in _FOLDER.glob("*.safetensors")))


def default_method(name_or_path: str | Path, method: str | None = None) -> str | None:
    """The method named, or else that of shipped weights; None for a file, which says itself how it adapts."""
    return method or DEFAULT_METHODS.get(str(name_or_path))


def find_weights(name_or_path: str | Path = DEFAULT, method: str | None = None) -> Path:
    """The file of shipped weights, or the path itself if it is one.

    Args:
        name_or_path: a shipped name or a file.
        method: a learner; its own variant of shipped weights is preferred where there is one.

    Raises:
        ModelFileError: listing the shipped names.
    """
    name = str(name_or_path)
    if name.endswith(".safetensors") or "/" in name:
        path = Path(name)
        if not path.is_file():
            raise ModelFileError(f"{path.name}: there is no such file.")
        return path
    for stem in (f"{name}-{method}", name):
        path = _FOLDER / f"{stem}.safetensors"
        if path.is_file():
            return path
    raise ModelFileError(
        f"There are no shipped weights {name!r}. Shipped: {', '.join(shipped()) or 'none'}. A file ends in "
        ".safetensors."
    )
