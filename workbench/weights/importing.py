"""A public encoder becomes a weights file like any other.

The file holds the encoder's tensors and all that describes its network, so nothing of the original is
needed afterwards. Called by `workbench import-encoder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from workbench.backbones import Backbone
from workbench.data.catalogue import get_card
from workbench.errors import ModelFileError
from workbench.imaging.recipe import Recipe
from workbench.learners.files import LearnerRecord, create, describe, save_learner
from workbench.weights.public import Published, Wishes, read_public


@dataclass(frozen=True, slots=True)
class Imported:
    """What was written.

    Attributes:
        record: of the file.
        dim: length of its embeddings.
        bytes: size of the file.
    """

    record: LearnerRecord
    dim: int
    bytes: int


def import_encoder(
    source: Path,
    out: Path,
    wishes: Wishes | None = None,
    title: str = "",
    licence: str = "",
    trained_on: Sequence[str] = (),
) -> Imported:
    """Write a public encoder as weights of the linear probe.

    Args:
        source: a .safetensors file or a folder; see `workbench.weights.public`.
        out: file to write, whole or not at all.
        wishes: see there.
        title: what to call the weights; the name of the source where not given.
        licence: its terms; what its folder states where not given.
        trained_on: dataset cards whose images the encoder was trained on: never held out from it.

    Raises:
        ModelFileError: the source is a pickle, incomplete or unknown.
        CardError: there is no such dataset card.
        PlanError: the size does not fit, or a package is missing.
    """
    cards = [get_card(name) for name in trained_on]
    published = read_public(source, wishes or Wishes())
    learner = create("linear-probe", published.spec, Recipe(published.spec.size, published.spec.channels))
    fill(learner.backbone, published, source.name)
    record = replace(
        describe(learner.eval(), title or source.resolve().stem),
        conditions=tuple(card.name for card in cards),
        origins=tuple(sorted({key for card in cards for key in card.origin})),
        licence=licence or published.licence,
    )
    save_learner(learner, out, record)
    return Imported(record, learner.backbone.dim, out.stat().st_size)


def fill(backbone: Backbone, published: Published, source: str) -> None:
    """Put tensors into a backbone, every one where it belongs.

    Raises:
        ModelFileError: naming the first tensor that is missing, has another shape or has no place.
    """
    own, given = backbone.state_dict(), published.tensors
    count = f"{len(own.keys() - given.keys())} missing, {len(given.keys() - own.keys())} unknown"
    for name in own:
        if name not in given:
            raise ModelFileError(
                f"{source}: tensor {_public(name)!r} is missing ({count}). The file holds another network "
                f"than {published.spec.name}, or part of one. Download it again, or convert the whole of it."
            )
        if own[name].shape != given[name].shape:
            raise ModelFileError(
                f"{source}: tensor {_public(name)!r} has the shape {tuple(given[name].shape)} where "
                f"{published.spec.name} has {tuple(own[name].shape)}: a variant that is not known here."
            )
    if unknown := sorted(given.keys() - own.keys()):
        raise ModelFileError(
            f"{source}: tensor {_public(unknown[0])!r} has no place in {published.spec.name} ({count}): a "
            "variant that is not known here."
        )
    backbone.load_state_dict(given)


def _public(name: str) -> str:
    return name.removeprefix("network.")
