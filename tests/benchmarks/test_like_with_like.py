"""Both sides of the throughput benchmark do the same mathematics, so its ratios compare like with like."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.plain import PlainMAML, PlainTask, load_task, write_images
from benchmarks.sides import METHODS, PlainSide, Setup, WorkbenchSide
from tests.helpers import SIZE, striped_cohort
from workbench.data.episodes import EpisodeSpec
from workbench.imaging.recipe import Recipe


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    training = (striped_cohort("a"), striped_cohort("b", seed=1))
    held_out = striped_cohort("c", seed=2)
    files = tuple(path for c in training for path in write_images(c, tmp_path / c.name))
    return Setup(
        recipe=Recipe(size=SIZE),
        training=training,
        files=files,
        held_out=held_out,
        held_out_files=write_images(held_out, tmp_path / "c"),
        spec=EpisodeSpec(ways=3, shots=2, queries=2),
        episodes=(1, 2),
        inner_steps=2,
    )


def _sides(setup: Setup) -> tuple[PlainSide, WorkbenchSide]:
    plain, ours = PlainSide(setup), WorkbenchSide(setup)
    ours.bfloat16 = False
    return plain, ours


def test_files_hold_the_pixels_of_the_cohort(setup: Setup) -> None:
    plain, ours = _sides(setup)
    (task,) = ours.batch("prototypical", 3).tasks()
    episode = plain.sampler.episode(3)
    loaded: PlainTask = load_task(plain.images, episode, int(plain.starts[episode.cohort]))
    torch.testing.assert_close(loaded.support, setup.recipe.normalise(task.support))
    torch.testing.assert_close(loaded.query, setup.recipe.normalise(task.query))
    assert torch.equal(loaded.query_labels, task.query_labels)


@pytest.mark.parametrize("method", METHODS)
def test_loss_and_gradient_of_both_sides_are_equal_in_float32(setup: Setup, method: str) -> None:
    plain, ours = _sides(setup)
    size = setup.batch(method)
    episodes = [plain.sampler.episode(i) for i in range(size)]
    tasks = [load_task(plain.images, e, int(plain.starts[e.cohort])) for e in episodes]
    assert plain.gradient(method, tasks) == pytest.approx(
        ours.gradient(method, ours.batch(method, 0)), rel=1e-4
    )
    network = plain.networks[method]
    inner = network.network if isinstance(network, PlainMAML) else network
    for theirs, parameter in zip(inner.weights(), ours.learners[method].backbone.parameters(), strict=True):
        scale = float(theirs.grad.abs().max())
        torch.testing.assert_close(parameter.grad, theirs.grad, rtol=1e-3, atol=2e-3 * scale)


@pytest.mark.parametrize("method", METHODS)
def test_evaluation_of_both_sides_gives_the_same_accuracies(setup: Setup, method: str) -> None:
    plain, ours = _sides(setup)
    assert plain.evaluate(method, 4) == pytest.approx(ours.evaluate(method, 4))
