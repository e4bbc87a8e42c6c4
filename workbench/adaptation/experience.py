"""What other conditions taught about readings of an encoder: one small file for each shipped encoder.

Learned by `workbench benchmark reading --fit` on the conditions that chose the encoder's checkpoint, which
the encoder was not trained on and which are not among those held out; the file says which. It belongs to one
encoder, by SHA-256: with other weights nothing is known beforehand, and readings say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError

from workbench.adaptation.calibration import TemperaturePrior
from workbench.adaptation.forecast import GrowthPrior
from workbench.adaptation.similarity import Evidence, Known
from workbench.errors import ModelFileError
from workbench.learners.files import read_tensors, write_tensors

_FOLDER = Path(__file__).parent / "experiences"


@dataclass(frozen=True, slots=True)
class Learned:
    """What was learned over episodes of other conditions, and where it came from.

    Attributes:
        encoder_sha256: of the weights it belongs to.
        conditions: it was learned on.
        episodes: of each method.
        command: that made it.
        temperatures: by method.
        growth: by method.
        margin: of `workbench.adaptation.novelty.Novelty`.
        evidence: whether resemblance predicts accuracy.
        known: names of the conditions the encoder was trained on.
    """

    encoder_sha256: str
    conditions: tuple[str, ...]
    episodes: int
    command: str
    temperatures: Mapping[str, TemperaturePrior]
    growth: Mapping[str, GrowthPrior]
    margin: float
    evidence: Evidence
    known: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Experience:
    """`Learned`, and the conditions that the encoder knows."""

    learned: Learned
    known: Known


def save_experience(experience: Experience, path: Path) -> None:
    """Write an experience file, whole or not at all."""
    moments = {"means": experience.known.means, "spreads": experience.known.spreads}
    meta = {**asdict(experience.learned), "kind": "experience", "format": 1}
    write_tensors(path, {name: torch.from_numpy(v).half() for name, v in moments.items()}, meta)


def load_experience(path: Path) -> Experience:
    """Read an experience file.

    Raises:
        ModelFileError: if it is damaged or of another kind.
    """
    tensors, meta = read_tensors(path, "experience")
    try:
        learned = TypeAdapter(Learned).validate_python(meta)
    except ValidationError as error:
        raise ModelFileError(f"{path.name}: its description is wrong. Fetch the file again.") from error
    means, spreads = (tensors[name].double().numpy() for name in ("means", "spreads"))
    return Experience(learned, Known(learned.known, means, spreads))


@cache
def experience_of(encoder_sha256: str) -> Experience | None:
    """The experience shipped for weights, or None where there is none."""
    for path in sorted(_FOLDER.glob("*.safetensors")):
        found = load_experience(path)
        if found.learned.encoder_sha256 == encoder_sha256:
            return found
    return None
