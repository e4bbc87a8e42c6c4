"""The scikit-learn interface: scikit-learn's own checks, and that it is the same path as everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import make_blobs
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import workbench
from tests.helpers import striped_cohort, tiny_learner
from workbench.data.examples import Example, Support
from workbench.errors import ScanRefused, SupportError
from workbench.estimator import FewShotClassifier
from workbench.imaging import read_scan
from workbench.learners.files import describe, save_learner


@parametrize_with_checks(
    [FewShotClassifier(), FewShotClassifier(method="prototypical", options={"normalise": True})]
)
def test_scikit_learns_own_checks(
    estimator: FewShotClassifier, check: Callable[[FewShotClassifier], None]
) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A learner file that nobody trained."""
    torch.manual_seed(0)
    learner = tiny_learner("linear-probe")
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_learner(learner, path, describe(learner, "tiny"))
    return path


def test_images_files_and_scans_are_read_alike_and_as_everywhere(weights: Path, tmp_path: Path) -> None:
    cohort = striped_cohort(patients=4)
    names = np.array(["ant", "bee", "cat"])[cohort.labels]
    files = [tmp_path / f"{row}.png" for row in range(len(names))]
    for path, image in zip(files, cohort.images, strict=True):
        Image.fromarray(image).save(path)
    scans = [read_scan(path) for path in files]
    learner = workbench.load(weights)
    examples = [Example(s, n, str(row)) for row, (s, n) in enumerate(zip(scans, names, strict=True))]
    support = Support.from_examples(examples, learner.recipe)
    expected = learner.adapt(support).predict(scans).probabilities
    for given in (cohort.images, list(cohort.images), files, [str(f) for f in files], scans):
        model = FewShotClassifier(weights).fit(given, names)
        assert model.classes_.tolist() == ["ant", "bee", "cat"]
        np.testing.assert_allclose(model.predict_proba(given), expected, atol=1e-6)
    assert (model.predict(scans) == names).mean() > 0.9
    grey = FewShotClassifier(weights).fit(cohort.images[..., 0], names)
    assert grey.predict_proba(cohort.images[:2, :, :, 0]).shape == (2, 3)


def test_values_that_are_no_screen_levels_are_scaled_image_by_image(weights: Path) -> None:
    cohort = striped_cohort(patients=3)
    once = FewShotClassifier(weights).fit(cohort.images.astype(np.float32), cohort.labels)
    twice = FewShotClassifier(weights).fit(1000 + 7.0 * cohort.images, cohort.labels)
    np.testing.assert_allclose(
        once.predict_proba(cohort.images.astype(np.float32)),
        twice.predict_proba(1000 + 7.0 * cohort.images),
        atol=1e-3,
    )


def test_it_works_in_a_pipeline_cross_validation_and_a_grid_search() -> None:
    x, y = make_blobs(n_samples=40, centers=2, n_features=6, random_state=0)
    pipeline = make_pipeline(StandardScaler(), FewShotClassifier())
    assert cross_val_score(pipeline, x, y, cv=3).mean() > 0.9
    scores = cross_val_score(pipeline, x, y, cv=GroupKFold(3), groups=np.arange(40) // 2)
    assert scores.mean() > 0.9
    grid = {"fewshotclassifier__method": ["linear-probe", "prototypical"]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(x, y)
    assert search.best_score_ > 0.9
    assert search.best_estimator_[-1].classifier_.learner.name in grid["fewshotclassifier__method"]


def test_lists_of_images_can_be_cross_validated(weights: Path) -> None:
    cohort = striped_cohort(way=2, patients=8)
    model = FewShotClassifier(weights)
    assert cross_val_score(model, list(cohort.images), cohort.labels, cv=2).shape == (2,)


def test_the_default_says_how_it_chose() -> None:
    x, y = make_blobs(n_samples=40, centers=2, n_features=6, random_state=0)
    assert "Adapts as " in FewShotClassifier().fit(x, y).choice_
    assert FewShotClassifier(method="linear-probe").fit(x, y).choice_ == ""


def test_groups_are_the_patients_that_cross_validation_keeps_together() -> None:
    x, y = make_blobs(n_samples=12, centers=2, n_features=3, random_state=0)
    order = np.argsort(y)
    x, y = x[order], y[order]
    assert "over 12 patients" in FewShotClassifier().fit(x, y).choice_
    assert "over 4 patients" in FewShotClassifier().fit(x, y, groups=np.arange(12) // 3).choice_
    with pytest.raises(ValueError, match="groups has 3 entries for 12 rows"):
        FewShotClassifier().fit(x, y, groups=[1, 2, 3])


def test_what_cannot_be_learned_from_is_named(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"x")
    with pytest.raises(ScanRefused, match=r"broken\.png"):
        FewShotClassifier(weights).fit([tmp_path / "broken.png"] * 2, [0, 1])
    images = striped_cohort(way=2, patients=1).images
    with pytest.raises(ValueError, match="one class only"):
        FewShotClassifier(weights).fit(images, [0, 0])
    with pytest.raises(SupportError, match="same scan"):
        FewShotClassifier(weights).fit(np.stack([images[0], images[0]]), [0, 1])
    with pytest.raises(ValueError, match="X has 2 rows and y has 3"):
        FewShotClassifier(weights).fit(list(images), [0, 1, 1])
    with pytest.raises(ValueError, match="Row 0 of X is an array of shape"):
        FewShotClassifier(weights).fit(np.zeros((2, 8, 8, 5)), [0, 1])
    with pytest.raises(ValueError, match="maml adapts a network"):
        FewShotClassifier(method="maml").fit(np.eye(4), [0, 0, 1, 1])
