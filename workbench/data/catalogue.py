"""The catalogue: which datasets are known, which were made from the same images, and where they lie here.

Cards live in ``datasets/`` of a checkout and in ``workbench/_cards`` of an installed wheel.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from importlib import resources
from pathlib import Path

from platformdirs import user_cache_path

from workbench.data.card import Card, load_card
from workbench.data.layouts import is_present
from workbench.errors import CardError, FetchError

DATA_VARIABLE = "WORKBENCH_DATA"
CACHE_VARIABLE = "WORKBENCH_CACHE"


def cache_folder() -> Path:
    """The user's cache: ``WORKBENCH_CACHE``, else the platform's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else user_cache_path("fewshot-workbench")


def card_folder() -> Path:
    """Folder of the cards that come with the workbench.

    Raises:
        CardError: if the installation has none.
    """
    packaged = Path(str(resources.files("workbench") / "_cards"))
    checkout = Path(__file__).resolve().parents[2] / "datasets"
    for folder in (packaged, checkout):
        if folder.is_dir():
            return folder
    raise CardError("This installation has no dataset cards. Install the workbench again.")


def cards(folder: Path | None = None) -> dict[str, Card]:
    """All cards by name, sorted; those of a user's folder are added and replace ours of the same name.

    Raises:
        CardError: naming file and field, if a card does not follow the schema.
    """
    places = [card_folder()] + ([folder] if folder else [])
    found = {path.stem: _read(path) for place in places for path in place.glob("*.yaml")}
    return dict(sorted(found.items()))


def get_card(name: str, folder: Path | None = None) -> Card:
    """The card of one dataset.

    Raises:
        CardError: if there is none of that name.
    """
    for place in ([folder] if folder else []) + [card_folder()]:
        path = place / f"{name}.yaml"
        if path in place.glob("*.yaml"):  # not a name with slashes in it
            return _read(path)
    raise CardError(f"There is no dataset '{name}'. Known: {', '.join(cards(folder))}.")


def _read(path: Path) -> Card:
    """A card, parsed once for as long as its file stays the same: following origins asks for all of them."""
    about = path.stat()
    return _parsed(path, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=1024)
def _parsed(path: Path, changed: int, size: int) -> Card:
    return load_card(path)


def same_origin(names: Iterable[str], folder: Path | None = None) -> set[str]:
    """Every dataset made, wholly or partly, from the same images as one of these; these included.

    Sets that share an origin key are linked, and links are followed to the end.
    """
    known = cards(folder)
    found: set[str] = set()
    fresh = set(names)
    if unknown := sorted(fresh - set(known)):
        raise CardError(f"There is no dataset {', '.join(map(repr, unknown))}.")
    while fresh:
        found |= fresh
        keys = {key for name in found for key in known[name].origin}
        fresh = {name for name, card in known.items() if keys & set(card.origin)} - found
    return found


def data_folders(data: Path | None = None) -> list[Path]:
    """Folders that are searched for datasets, in order: `data` or ``WORKBENCH_DATA``, then the cache."""
    named = data or (Path(value) if (value := os.environ.get(DATA_VARIABLE)) else None)
    return ([named] if named else []) + [cache_folder() / "data"]


def find_data(card: Card, data: Path | None = None) -> Path:
    """Folder that holds a dataset's files.

    Raises:
        FetchError: if they are in none of `data_folders`.
    """
    places = data_folders(data)
    for place in places:
        for folder in (place / card.place, place / card.name):
            if is_present(card, folder):
                return folder
    raise FetchError(
        f"{card.name}: not found in {' or '.join(str(p) for p in places)}. "
        f"Run `workbench data fetch {card.name}`, or name a data folder with --data or {DATA_VARIABLE}."
    )
