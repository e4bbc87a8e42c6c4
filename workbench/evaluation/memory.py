"""What evaluation need not compute twice: features of a cohort, and scores of episodes done so far.

Kept in the user's cache and named by everything that decides them: weights, images, episodes and the
program's own source, so that a changed method is never answered with old figures. A run that was killed
goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from workbench.data.catalogue import cache_folder
from workbench.data.cohort import Cohort
from workbench.data.examples import Features
from workbench.data.pool import Pool
from workbench.errors import ModelFileError
from workbench.evaluation.contestants import Contestant
from workbench.learners.base import Learner
from workbench.learners.files import read_tensors, write_tensors

_CHUNK = 256
_OF_FEATURES = ("backbones", "imaging/recipe.py", "imaging/cube.py", "learners/base.py", "data/pool.py")
"""Source that decides features; methods that make their own are not kept."""
_OF_SCORES = (*_OF_FEATURES, "learners", "data/episodes.py", "data/examples.py", "evaluation/episodic.py")
Scores = list[tuple[int, float, float, float]]
"""Way, accuracy, balanced accuracy and AUROC of each episode, in order."""


def cohort_digest(cohort: Cohort) -> str:
    """Digest of a cohort's images, labels and patients."""
    sha = hashlib.sha256(repr((cohort.classes, cohort.images.shape)).encode())
    for values in (cohort.labels, cohort.patients, cohort.images):
        sha.update(values.tobytes())
    return sha.hexdigest()


def features_of(
    contestant: Contestant,
    cohort: Cohort,
    digest: str,
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """Features of every image of a cohort, from the cache where they are there.

    Args:
        contestant: whose learner makes them.
        cohort: see there.
        digest: `cohort_digest` of it.
        progress: called with (images done, images).
    """
    learner = contestant.learner
    if learner.spec.neck and learner.reads_encoder:
        # Many methods stand on one frozen network; what they add to it is quickly computed.
        return Features(
            learner.features(torch.from_numpy(prepared(learner, cohort, digest, progress).images))
        )
    images = Pool([cohort]).images
    if type(learner).features is not Learner.features:
        # The method makes its own; those of MAML are the images themselves.
        return Features(learner.features(images))
    place = _place("features", contestant.identity, digest).with_suffix(".safetensors")
    return Features(_kept(place, learner.features, images, progress))


def prepared(
    learner: Learner, cohort: Cohort, digest: str = "", progress: Callable[[int, int], None] | None = None
) -> Cohort:
    """The cohort as the frozen part of a learner sees it (`Learner.prepare`), cached.

    Args:
        learner: whose backbone has a neck and takes part; of any other, the cohort is returned as it is.
        cohort: see there.
        digest: `cohort_digest` of it, if known.
        progress: called with (images done, images).
    """
    if not learner.spec.neck or not learner.reads_encoder or cohort.images.dtype != np.uint8:
        return cohort
    place = _place("features", frozen_digest(learner), digest or cohort_digest(cohort))
    images = Pool([cohort]).images
    values = _kept(place.with_suffix(".safetensors"), learner.prepare, images, progress)
    return replace(cohort, images=values.numpy())


def frozen_digest(learner: Learner) -> str:
    """Digest of what `Learner.prepare` computes with: recipe, network and its weights, without the neck."""
    sha = hashlib.sha256(repr((replace(learner.spec, neck=0), learner.recipe)).encode())
    for name, value in sorted(learner.backbone.state_dict().items()):
        if name.startswith("trunk."):
            sha.update(name.encode() + value.contiguous().numpy().tobytes())
    return sha.hexdigest()


def _kept(
    place: Path,
    compute: Callable[[Tensor], Tensor],
    images: Tensor,
    progress: Callable[[int, int], None] | None,
) -> Tensor:
    """What is kept at `place`, or is computed in chunks and kept."""
    try:
        return read_tensors(place, "features")[0]["values"]
    except ModelFileError:
        pass  # not there yet, or damaged: made again
    parts = []
    for start in range(0, len(images), _CHUNK):
        parts.append(compute(images[start : start + _CHUNK]))
        if progress is not None:
            progress(min(start + _CHUNK, len(images)), len(images))
    values = torch.cat(parts)
    write_tensors(place, {"values": values}, {"kind": "features", "format": 1})
    return values


def scores_file(contestant: Contestant, digest: str, episodes: str) -> Path:
    """Where the scores of a contestant on a stream of episodes are kept."""
    return _place("scores", contestant.key, digest, episodes).with_suffix(".json")


def read_scores(path: Path) -> Scores:
    """Scores kept so far; none if there are none or the file is damaged."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [(int(w), float(a), float(b), float(c)) for w, a, b, c in rows]
    except (OSError, ValueError, TypeError):
        return []


def write_scores(path: Path, scores: Scores) -> None:
    """Keep scores; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(scores), encoding="utf-8")
    draft.replace(path)


@cache
def program(parts: tuple[str, ...]) -> str:
    """Digest of the source in these folders and files of the package, and of torch's version."""
    root = Path(str(resources.files("workbench")))
    files = [
        file
        for part in parts
        for file in ([root / part] if part.endswith(".py") else (root / part).glob("*.py"))
    ]
    sha = hashlib.sha256(torch.__version__.encode())
    for file in sorted(files):
        sha.update(file.read_bytes())
    return sha.hexdigest()


def _place(kind: str, *deciding: str) -> Path:
    parts = _OF_FEATURES if kind == "features" else _OF_SCORES
    name = hashlib.sha256("\0".join((program(parts), *deciding)).encode()).hexdigest()[:32]
    return cache_folder() / kind / name
