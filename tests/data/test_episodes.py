"""Invariants of episodes, each named after what it holds."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from tests.helpers import striped_cohort
from workbench.data.augment import Augmentation
from workbench.data.datamodule import BatchStream, EpisodeDataModule, Stream
from workbench.data.episodes import Episode, EpisodeSampler, EpisodeSpec
from workbench.data.pool import MetaBatch, Pool
from workbench.errors import CohortError


def _same(a: Episode, b: Episode) -> bool:
    rows = ((a.support, b.support), (a.query, b.query))
    return a.classes == b.classes and all(np.array_equal(x, y) for x, y in rows)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    shots=st.integers(1, 4),
    scans=st.integers(1, 4),
    imbalanced=st.booleans(),
    index=st.integers(0, 10_000),
)
def test_support_and_query_never_share_a_patient(
    seed: int, shots: int, scans: int, imbalanced: bool, index: int
) -> None:
    """Also where a patient has scans in several classes."""
    cohort = striped_cohort(way=3, patients=8, scans=scans)
    rng = np.random.default_rng(seed)
    cohort = replace(cohort, patients=rng.integers(0, 40, len(cohort.labels)))
    spec = EpisodeSpec(ways=(2, 3), shots=(1, shots), queries=6, imbalanced=imbalanced, seed=seed)
    try:
        episode = EpisodeSampler([cohort], spec).episode(index)
    except CohortError:
        return  # too few patients for such an episode is an answer; a leak is not
    support, query = set(cohort.patients[episode.support]), set(cohort.patients[episode.query])
    assert not support & query


def test_a_shot_is_a_patient() -> None:
    cohort = striped_cohort(way=3, patients=10, scans=5)
    sampler = EpisodeSampler([cohort], EpisodeSpec(ways=3, shots=4, queries=5))
    for index in range(30):
        episode = sampler.episode(index)
        assert len(set(cohort.patients[episode.support])) == len(episode.support) == 12


def test_labels_are_those_of_the_rows() -> None:
    cohort = striped_cohort(way=3)
    sampler = EpisodeSampler([cohort], EpisodeSpec(ways=(2, 3), shots=2, queries=3))
    for index in range(20):
        e = sampler.episode(index)
        for rows, labels in ((e.support, e.support_labels), (e.query, e.query_labels)):
            assert [cohort.classes[k] for k in cohort.labels[rows]] == [e.classes[k] for k in labels]


def test_same_seed_same_episodes_and_another_seed_others() -> None:
    cohort = striped_cohort()
    spec = EpisodeSpec(ways=2, shots=2, queries=3, seed=4)
    first, second = EpisodeSampler([cohort], spec), EpisodeSampler([cohort], spec)
    order = np.random.default_rng(0).permutation(20)
    later = {int(i): second.episode(int(i)) for i in order}
    assert all(_same(first.episode(i), later[i]) for i in range(20))
    other = EpisodeSampler([cohort], replace(spec, seed=5))
    assert not all(_same(first.episode(i), other.episode(i)) for i in range(20))


@pytest.mark.parametrize("workers", [1, 2])
def test_the_stream_is_the_same_in_any_number_of_workers(workers: int) -> None:
    """Images included: augmentation draws from the step's own seed."""
    pool = Pool([striped_cohort("a"), striped_cohort("b", 2, seed=1)])
    spec = EpisodeSpec(ways=2, shots=2, queries=2, seed=3)
    stream = BatchStream(pool, Stream(spec, 2, seed=3, augmentation=Augmentation()), 6)
    alone = [stream[i] for i in range(6)]
    loaded = list(DataLoader(stream, batch_size=None, num_workers=workers))
    for a, b in zip(alone, loaded, strict=True):
        assert isinstance(a, MetaBatch)
        assert a.ways == b.ways
        assert (a.images == b.images).all()
        assert (a.labels == b.labels).all()


def test_queries_are_drawn_at_random_within_a_class() -> None:
    """Unshuffled drawing once inflated a benchmark (google-research/meta-dataset issue 54)."""
    cohort = striped_cohort(way=2, patients=30)
    sampler = EpisodeSampler([cohort], EpisodeSpec(ways=2, shots=5, queries=5))
    seen = np.concatenate([sampler.episode(i).query for i in range(60)])
    assert len(np.unique(seen)) == 60


def test_imbalanced_shots_differ_between_classes() -> None:
    cohort = striped_cohort(way=3, patients=12)
    spec = EpisodeSpec(ways=3, shots=(1, 6), queries=2, imbalanced=True)
    counts = [np.bincount(EpisodeSampler([cohort], spec).episode(i).support_labels) for i in range(20)]
    assert any(len(set(c.tolist())) > 1 for c in counts)
    assert all(1 <= n <= 6 for c in counts for n in c)


def test_too_few_patients_are_named_with_their_class() -> None:
    with pytest.raises(CohortError, match="'class 0' has 4"):
        EpisodeSampler([striped_cohort(patients=4)], EpisodeSpec(ways=2, shots=5))


def test_unknown_condition_is_named() -> None:
    with pytest.raises(CohortError, match="'lungs'"):
        EpisodeSampler([striped_cohort()], EpisodeSpec(conditions=("lungs",)))


def test_meta_batch_gathers_the_rows_of_its_episodes() -> None:
    cohorts = [striped_cohort("a"), striped_cohort("b", 2, seed=1)]
    pool = Pool(cohorts)
    sampler = EpisodeSampler(cohorts, EpisodeSpec(ways=2, shots=2, queries=3))
    episodes = [sampler.episode(i) for i in range(4)]
    for episode, task in zip(episodes, pool.gather(episodes).tasks(), strict=True):
        images = cohorts[episode.cohort].images
        assert (task.support.numpy() == images[episode.support]).all()
        assert (task.query.numpy() == images[episode.query]).all()
        assert task.support_labels.tolist() == episode.support_labels.tolist()


def test_labelled_batches_hold_groups_of_one_condition_and_views_in_order() -> None:
    pool = Pool([striped_cohort("a", 3), striped_cohort("b", 2, seed=1)])
    batch = pool.labelled(0, 64, 0, views=2)
    assert len(batch.images) == 128
    assert (batch.images[:64] == batch.images[64:]).all()
    assert ((batch.labels >= batch.first) & (batch.labels < batch.last)).all()
    assert all(len(set(batch.first[i : i + 16].tolist())) == 1 for i in range(0, 64, 16))


def test_a_class_without_a_patient_left_for_the_query_takes_no_part() -> None:
    """Class 2 has as many patients as shots."""
    cohort = striped_cohort(way=3, patients=4)
    keep = ~((cohort.labels == 2) & (cohort.patients % 4 == 3))
    parts = {name: getattr(cohort, name)[keep] for name in ("images", "labels", "patients")}
    small = replace(cohort, **parts, names=cohort.names[:11], splits=cohort.splits[:11])
    sampler = EpisodeSampler([small], EpisodeSpec(ways=(2, 3), shots=3, queries=2))
    assert {name for i in range(20) for name in sampler.episode(i).classes} == {"class 0", "class 1"}


def test_a_patient_with_scans_of_two_classes_serves_one_of_them() -> None:
    cohort = striped_cohort(way=2, patients=12)
    shared = replace(cohort, patients=cohort.patients % 12)
    sampler = EpisodeSampler([shared], EpisodeSpec(ways=2, shots=3, queries=2))
    for index in range(40):
        patients = shared.patients[sampler.episode(index).support]
        assert len(set(patients.tolist())) == 6


def test_classes_count_the_same_within_a_group_of_a_labelled_batch() -> None:
    cohort = striped_cohort("a", 4)
    batch = Pool([cohort]).labelled(0, 64, 0)
    for start in range(0, 64, 16):
        assert np.bincount(batch.labels[start : start + 16], minlength=4).tolist() == [4, 4, 4, 4]


def test_conditions_are_drawn_into_labelled_batches_by_their_weights() -> None:
    cohorts = [striped_cohort("a"), striped_cohort("b")]
    drawn = torch.cat([Pool(cohorts, [1.0, 0.0]).labelled(step, 32, 0).first for step in range(8)])
    assert set(drawn.tolist()) == {0}


@pytest.mark.parametrize(("epoch", "steps"), [(0, [0, 1, 2]), (2, [6, 7])])
def test_a_resumed_epoch_starts_where_its_predecessors_stopped(epoch: int, steps: list[int]) -> None:
    """The stretch before the last checkpoint is not fed again."""
    module = EpisodeDataModule([striped_cohort()], Stream(EpisodeSpec(ways=2, shots=1, queries=1), 1), 8, 3)
    module.trainer = SimpleNamespace(current_epoch=epoch)  # type: ignore[assignment]
    assert list(module.train_dataloader().sampler) == steps


def test_each_step_draws_its_own_augmentation() -> None:
    """One image, again and again: only the step's seed can make it differ."""
    cohort = striped_cohort(way=2, patients=2)
    still = replace(cohort, images=np.repeat(cohort.images[:1], len(cohort.images), axis=0))
    spec = EpisodeSpec(ways=2, shots=1, queries=1)
    stream = BatchStream(Pool([still]), Stream(spec, 1, augmentation=Augmentation()), 4)
    first, second = stream[0].images, stream[1].images
    assert first.shape == second.shape
    assert not torch.equal(first, second)
    assert torch.equal(first, stream[0].images)
