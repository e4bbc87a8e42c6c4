"""What every method promises, whatever it does inside; a new method is tested here by itself."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import SIZE, labelled_batch, small_batch, striped_cohort, tiny_learner, train_briefly
from workbench.data.episodes import EpisodeSpec
from workbench.data.examples import Features, Support
from workbench.data.pool import Pool
from workbench.errors import ModelFileError, PlanError
from workbench.evaluation.episodic import evaluate_episodes
from workbench.learners import learners
from workbench.learners.base import Diet, Learner
from workbench.learners.files import (
    ClassifierRecord,
    create,
    describe,
    load_classifier,
    load_learner,
    save_classifier,
    save_learner,
    sha256_of,
)

METHODS = sorted(learners())


def _trained(method: str) -> Learner:
    """A learner moved away from its initialisation, so that normaliser statistics are not trivial."""
    return _trained_on(method, episodes=2, query=3, steps=5, rate=1e-2)


def _trained_on(method: str, episodes: int, query: int, steps: int, rate: float) -> Learner:
    torch.manual_seed(0)
    diet = learners()[method].diet
    learner = tiny_learner(method, options={"classes": 5} if diet is Diet.LABELLED else {})
    if diet is Diet.EPISODES:
        train_briefly(learner.train(), small_batch(episodes=episodes, query=query), steps, rate)
    elif diet is Diet.LABELLED:
        train_briefly(learner.train(), labelled_batch(views=learner.views), steps, rate)
    return learner


def _support(way: int = 3, shots: tuple[int, ...] = (4, 4, 4), seed: int = 3) -> Support:
    cohort = striped_cohort(way=way, seed=seed)
    rows = np.concatenate([np.flatnonzero(cohort.labels == k)[:n] for k, n in enumerate(shots)])
    return Support(
        inputs=torch.from_numpy(cohort.images[rows]),
        labels=torch.from_numpy(cohort.labels[rows]),
        classes=cohort.classes,
        patients=tuple(str(p) for p in cohort.patients[rows]),
    )


def _queries() -> torch.Tensor:
    return Pool([striped_cohort(seed=9)]).images[::2]


@pytest.mark.parametrize("method", METHODS)
def test_reading_of_one_scan_does_not_depend_on_its_neighbours(method: str) -> None:
    """Batch of one equals batch of N, with the batch's other images changed as well."""
    classifier = _trained(method).adapt(_support())
    images = _queries()
    together = classifier.predict(images).probabilities
    alone = np.concatenate([classifier.predict(images[i : i + 1]).probabilities for i in range(len(images))])
    np.testing.assert_allclose(together, alone, atol=2e-5)
    others = images.clone()
    others[1:] = 255 - others[1:]
    np.testing.assert_allclose(classifier.predict(others).probabilities[0], together[0], atol=2e-5)


@pytest.mark.parametrize("method", METHODS)
def test_learner_in_training_mode_still_reads_inductively(method: str) -> None:
    learner = _trained(method).train()
    images = _queries()
    before = {n: v.clone() for n, v in learner.state_dict().items()}
    classifier = learner.adapt(_support())
    together = classifier.predict(images).probabilities
    np.testing.assert_allclose(classifier.predict(images[:1]).probabilities[0], together[0], atol=2e-5)
    assert learner.training
    assert all(torch.equal(before[n], v) for n, v in learner.state_dict().items())


@pytest.mark.parametrize("method", METHODS)
def test_cached_features_give_the_reading_of_the_images(method: str) -> None:
    learner = _trained(method)
    support, images = _support(), _queries()
    assert isinstance(support.inputs, torch.Tensor)
    cached = Support(
        Features(learner.features(support.inputs)), support.labels, support.classes, support.patients
    )
    plain = learner.adapt(support).predict(images)
    known = learner.adapt(cached).predict(Features(learner.features(images)))
    np.testing.assert_allclose(plain.probabilities, known.probabilities, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shots", [(1, 1), (7, 1), (2, 3, 5)])
def test_any_number_of_classes_and_unequal_sizes(method: str, shots: tuple[int, ...]) -> None:
    reading = _trained(method).adapt(_support(len(shots), shots)).predict(_queries())
    assert reading.probabilities.shape == (18, len(shots))
    np.testing.assert_allclose(reading.probabilities.sum(axis=1), 1.0, atol=1e-9)
    assert np.isfinite(reading.probabilities).all()


@pytest.mark.parametrize("method", METHODS)
def test_one_channel_input(method: str) -> None:
    cohort = striped_cohort(way=2, channels=1)
    support = Support(
        torch.from_numpy(cohort.images[::3]),
        torch.from_numpy(cohort.labels[::3]),
        cohort.classes,
        tuple(str(p) for p in cohort.patients[::3]),
    )
    reading = tiny_learner(method, channels=1).adapt(support).predict(torch.from_numpy(cohort.images[:2]))
    assert len(reading) == 2


@pytest.mark.parametrize("method", METHODS)
def test_learns_an_easy_condition(method: str) -> None:
    """After a little meta-training, above chance (1/3) by a margin no luck explains."""
    learner = _trained_on(method, episodes=4, query=5, steps=40, rate=3e-3)
    spec = EpisodeSpec(ways=3, shots=5, queries=5)
    scores = evaluate_episodes(learner, striped_cohort(seed=5), spec, 20)
    assert scores.accuracy.mean() > 0.6


@pytest.mark.parametrize("method", METHODS)
def test_nearest_labelled_scan_of_a_support_scan_is_itself(method: str) -> None:
    support = _support()
    assert isinstance(support.inputs, torch.Tensor)
    reading = _trained(method).adapt(support).predict(support.inputs, neighbours=2)
    for row, case in enumerate(reading):
        assert case.neighbours[0].index == row
        assert case.neighbours[0].distance == pytest.approx(0, abs=1e-2)
        assert case.neighbours[0].distance <= case.neighbours[1].distance


@pytest.mark.parametrize("method", METHODS)
def test_files_restore_learner_and_classifier(method: str, tmp_path: Path) -> None:
    learner, weights, model = _trained(method), tmp_path / "w.safetensors", tmp_path / "m.safetensors"
    save_learner(learner, weights, describe(learner, "tiny"))
    loaded = load_learner(weights)
    support, images = _support(), _queries()
    classifier = loaded.learner.adapt(support)
    expected = classifier.predict(images, neighbours=2)
    direct = learner.adapt(support).predict(images)
    np.testing.assert_allclose(direct.probabilities, expected.probabilities, atol=1e-6)
    record = ClassifierRecord(
        method, loaded.record.options, "tiny", loaded.sha256, support.classes, (4, 4, 4), support.digest
    )
    save_classifier(classifier, model, record)
    restored = load_classifier(model, loaded).predict(images, neighbours=2)
    np.testing.assert_allclose(restored.probabilities, expected.probabilities, atol=1e-6)
    assert [n.index for c in restored for n in c.neighbours] == [
        n.index for c in expected for n in c.neighbours
    ]
    content = model.read_bytes()
    assert b"stripes" not in content
    assert b"PK" not in content[:2]


def test_classifier_is_refused_with_other_weights(tmp_path: Path) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for seed, path in enumerate((first, second)):
        torch.manual_seed(seed)
        learner = tiny_learner("prototypical")
        save_learner(learner, path, describe(learner, path.stem))
    loaded = load_learner(first)
    classifier = loaded.learner.adapt(_support())
    record = ClassifierRecord("prototypical", {}, "a", sha256_of(first), classifier.classes, (4, 4, 4), "0")
    save_classifier(classifier, tmp_path / "m.safetensors", record)
    with pytest.raises(ModelFileError, match="adapted from other weights"):
        load_classifier(tmp_path / "m.safetensors", load_learner(second))


def test_damaged_or_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"\x80\x04\x95pickle")
    with pytest.raises(ModelFileError, match="damaged"):
        load_learner(path)
    with pytest.raises(ModelFileError, match="no such file"):
        load_learner(tmp_path / "none.safetensors")
    learner = tiny_learner("prototypical")
    save_learner(learner, path, describe(learner))
    with pytest.raises(ModelFileError, match="not a classifier"):
        load_classifier(path, load_learner(path))


def test_unknown_methods_and_options_name_what_exists() -> None:
    spec = tiny_learner("prototypical")
    with pytest.raises(PlanError, match=r"Known: .*prototypical"):
        create("protypical", spec.spec, spec.recipe)
    with pytest.raises(PlanError, match="scal"):
        create("prototypical", spec.spec, spec.recipe, None, {"scal": 1.0})
    assert spec.recipe.size == SIZE


@pytest.mark.parametrize("method", [m for m in METHODS if learners()[m].diet is Diet.NONE])
def test_what_learns_nothing_from_other_conditions_says_so(method: str) -> None:
    for batch in (small_batch(), labelled_batch()):
        with pytest.raises(PlanError, match="nothing to train"):
            tiny_learner(method).training_loss(batch)


@pytest.mark.parametrize("method", METHODS)
def test_reading_no_scan_is_silent_and_empty(method: str) -> None:
    learner = tiny_learner(method)
    support = Support(Pool([striped_cohort()]).images, torch.arange(3).repeat_interleave(12), ("a", "b", "c"),
                      tuple(map(str, range(36))))  # fmt: skip
    classifier = learner.adapt(support)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert classifier.predict([]).probabilities.shape == (0, 3)
