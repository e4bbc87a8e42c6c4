"""The workbench as a scikit-learn classifier, for pipelines, cross-validation and grid searches.

`fit` is `Learner.adapt` and `predict_proba` is `Classifier.predict`: there is no second way to adapt a model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from numbers import Number
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from workbench import load
from workbench.backbones import BackboneSpec
from workbench.backbones.raw_pixels import raw_backbone
from workbench.data.examples import Example, Features, Support
from workbench.imaging import Provenance, Scan, Units, read_scan
from workbench.learners import learner_class
from workbench.learners.auto import choice_of
from workbench.learners.base import Classifier, Learner
from workbench.learners.files import create
from workbench.weights import default_method


class FewShotClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A few-shot learner behind scikit-learn's interface.

    X is one of:

    - files (a sequence of paths) or `Scan` objects;
    - images as an array: ``(n, rows, columns)`` grey, or ``(n, rows, columns, 1 or 3)``. uint8 is 0 to 255;
      any other type is taken for a modality's own values and scaled image by image, as the recipe says;
    - ready-made features as a numeric array ``(n, d)``: no encoder is used then, and the method adapts to the
      features as they are.

    A row is one scan, so a file that cannot be read raises `ScanRefused` with its name.

    Args:
        weights: name of shipped weights, or a weights file; see `workbench.load`.
        method: name of a learner; the weights' default if None (``auto`` on ``general``).
        options: of the method.

    Attributes:
        classes_: labels in sorted order.
        classifier_: the adapted `Classifier`.
        choice_: one sentence on how the method was chosen; empty where it was given.
        n_features_in_: d, for ready-made features only.
    """

    def __init__(
        self,
        weights: str | Path = "general",
        method: str | None = None,
        options: Mapping[str, object] | None = None,
    ) -> None:
        self.weights = weights
        self.method = method
        self.options = options

    def fit(self, X: Any, y: Any, groups: Sequence[object] | None = None) -> Self:  # noqa: N803
        """Adapt to labelled scans.

        Args:
            X: see the class.
            y: ``(n,)`` class labels, at least two different ones.
            groups: ``(n,)`` patient of each row. Without them a row's patient is the one its file names, or
                else one of its own. (`cross_val_score(..., groups=...)` gives them to the splitter; where
                metadata routing is enabled, ``set_fit_request(groups=True)`` asks for them here as well.)

        Raises:
            ValueError: one class only, or inputs that do not fit together.
            ScanRefused: a file cannot be read.
        """
        features = _features(X)
        if features:
            if y is None:
                raise ValueError("requires y to be passed, but the target y is None")
            X, y = validate_data(self, X, y, dtype=np.float32)  # noqa: N806
        labels = column_or_1d(y, warn=not features)
        check_classification_targets(labels)
        self.classes_, index = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"There is one class only ('{self.classes_[0]}'). Add scans of another class.")
        names = tuple(f"{number}: {label}" for number, label in enumerate(self.classes_))
        if features:
            learner = self._bare(X.shape[1])
            patients = [str(row) for row in range(len(X))] if groups is None else _keys(groups, len(X))
            support = Support(
                Features(torch.from_numpy(np.array(X))), torch.from_numpy(index), names, tuple(patients)
            )
        else:
            learner = load(self.weights, self.method, self.options)
            scans = _scans(X)
            if len(scans) != len(labels):
                raise ValueError(f"X has {len(scans)} rows and y has {len(labels)}.")
            own = [scan.patient or f"row {row}" for row, scan in enumerate(scans)]
            patients = own if groups is None else _keys(groups, len(scans))
            examples = [
                Example(scan, names[k], patient)
                for scan, k, patient in zip(scans, index, patients, strict=True)
            ]
            support = Support.from_examples(examples, learner.recipe, names)
        self.classifier_: Classifier = learner.adapt(support)
        choice = choice_of(self.classifier_)
        self.choice_ = choice.why if choice is not None else ""
        return self

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        """Probabilities ``(n, classes)`` in the order of `classes_`."""
        check_is_fitted(self)
        if hasattr(self, "n_features_in_"):
            values = np.array(validate_data(self, X, reset=False, dtype=np.float32))
            return self.classifier_.predict(Features(torch.from_numpy(values))).probabilities
        return self.classifier_.predict(_scans(X)).probabilities

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """The most probable class of each row."""
        check_is_fitted(self)
        best: npt.NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return best

    def _bare(self, dim: int) -> Learner:
        """The method without an encoder.

        Raises:
            ValueError: it adapts the encoder itself, or reads images.
        """
        name = default_method(self.weights, self.method) or load(self.weights).name
        kind = learner_class(name)
        base = load(self.weights, name, self.options)
        if kind.features is not Learner.features or base.inner_steps:
            raise ValueError(f"{name} adapts a network to images; give images, or take another method.")
        spec = BackboneSpec(raw_backbone(base.recipe.dims), channels=base.spec.channels, size=base.spec.size)
        return create(name, spec, base.recipe, None, dict(self.options or {})).eval()


def _features(x: object) -> bool:
    """Whether X is to be taken for ready-made features, or is for scikit-learn's checks to refuse."""
    if isinstance(x, np.ndarray):
        return x.ndim not in (3, 4) and not (x.ndim == 1 and x.dtype.kind in "OU" and _named(x))
    if isinstance(x, Sequence) and len(x):
        first = x[0]
        if isinstance(first, np.ndarray):
            return first.ndim < 2
        return isinstance(first, Number | Sequence) and not isinstance(first, str)
    return True


def _named(x: npt.NDArray[Any]) -> bool:
    return len(x) > 0 and isinstance(x[0], str | Path | Scan)


def _scans(x: Any) -> list[Scan]:
    scans = []
    for row in x:
        if isinstance(row, Scan):
            scans.append(row)
        elif isinstance(row, str | Path):
            scans.append(read_scan(Path(row)))
        else:
            scans.append(_image(np.asarray(row), len(scans)))
    return scans


def _image(pixels: npt.NDArray[Any], row: int) -> Scan:
    """A scan of an array ``(rows, columns)`` or ``(rows, columns, 1 or 3)``."""
    planes = pixels[..., None] if pixels.ndim == 2 else pixels
    if (
        planes.ndim != 3
        or planes.shape[-1] not in (1, 3)
        or 0 in planes.shape
        or planes.dtype.kind not in "uifb"
    ):
        raise ValueError(
            f"Row {row} of X is an array of shape {pixels.shape} and type {pixels.dtype}. Images are numbers "
            "of shape (rows, columns) or (rows, columns, 1 or 3); features are one array (n, d)."
        )
    if not np.isfinite(planes).all():
        raise ValueError(f"Row {row} of X contains NaN or infinity.")
    display = planes.dtype == np.uint8
    digest = hashlib.sha256(f"{planes.shape}{planes.dtype}".encode() + np.ascontiguousarray(planes).tobytes())
    return Scan(
        pixels=planes[None].astype(np.float32),
        units=Units.DISPLAY if display else Units.MODALITY,
        modality="OT",
        provenance=Provenance(f"row {row}", "array", digest.hexdigest(), str(planes.dtype)),
        value_range=(0.0, 255.0) if display else None,
    )


def _keys(groups: Sequence[object], n: int) -> list[str]:
    if len(groups) != n:
        raise ValueError(f"groups has {len(groups)} entries for {n} rows of X.")
    return [str(group) for group in groups]
