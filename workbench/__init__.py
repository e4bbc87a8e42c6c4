"""Few-shot diagnosis workbench: models that adapt to a new imaging condition from a few labelled scans.

    import workbench

    learner = workbench.load()
    model = learner.adapt(workbench.read_support("my_condition/", learner))
    print(model.predict(workbench.read_scans("new/").scans).labels)

For research use. Not for diagnostic use.
"""

# Nothing heavy is imported until a function is called: `import workbench` and `workbench --help` stay quick.
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.data.examples import Support
    from workbench.imaging.options import ReadOptions
    from workbench.imaging.read import ReadResult
    from workbench.learners.base import Learner

__all__ = ["load", "read_scans", "read_support"]


def load(
    weights: str | Path = "general",
    method: str | None = None,
    options: Mapping[str, object] | None = None,
    pooled_slices: int = 0,
) -> Learner:
    """A meta-trained learner, ready to `adapt`.

    Args:
        weights: name of shipped weights, or a safetensors file made by `workbench train`.
        method: name of a learner, e.g. ``linear-probe``. If None, ``auto`` on the shipped ``general``, and
            the method it was trained with for other weights.
        options: settings of the method that replace the stored or default ones.
        pooled_slices: how many slices of a volume weights made for images read, whose embeddings are
            averaged; 0 for what the weights were made for.

    Raises:
        ModelFileError: there are no such weights, or the file is damaged.
        PlanError: for an unknown method or option, or pooled slices of weights that read volumes already.
    """
    from workbench.learners.files import load_learner
    from workbench.weights import default_method, find_weights

    method = default_method(weights, method)
    return load_learner(find_weights(weights, method), method, options, pooled_slices).learner


def read_support(path: str | Path, learner: Learner) -> Support:
    """The support in a folder of class folders, or in a CSV with the columns file, label and patient.

    Files that cannot be read are left out with a warning that names them; another names classes of few
    patients.

    Args:
        path: see `workbench.data.folders.read_examples`.
        learner: that will adapt; its recipe turns scans into its input.

    Raises:
        SupportError: one class only, an empty class, mixed modalities, or contradictory labels.
    """
    import warnings

    from workbench.data.advice import few_patients
    from workbench.data.examples import Support
    from workbench.data.folders import read_examples

    read = read_examples(path, recipe=learner.recipe)
    for refusal in read.refused:
        warnings.warn(f"Left out: {refusal}", stacklevel=2)
    if few := few_patients(read):
        warnings.warn(few, stacklevel=2)
    return Support.from_examples(read.examples, learner.recipe, read.classes)


def read_scans(paths: str | Path | Sequence[str | Path], options: ReadOptions | None = None) -> ReadResult:
    """Scans in files, folders and zips: ``scans`` that could be read, and ``refused`` with the reasons.

    Args:
        paths: what to read.
        options: remedies for irregular series, number of the volume, ... (`workbench.imaging.ReadOptions`).
    """
    from workbench.imaging.options import DEFAULTS
    from workbench.imaging.read import read_scans as read

    given = [paths] if isinstance(paths, str | Path) else paths
    return read([Path(path) for path in given], options=options or DEFAULTS)
