"""Fine-tuning against a plain loop over a copy of the network."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.helpers import small_batch, tiny_learner
from workbench.data.augment import Augmentation, augment
from workbench.data.examples import Support
from workbench.learners import fine_tune
from workbench.learners.files import create
from workbench.learners.fine_tune import FineTune


def _learner(**options: object) -> FineTune:
    torch.manual_seed(0)
    learner = tiny_learner("fine-tune", normaliser="group", options=options).eval()
    assert isinstance(learner, FineTune)
    return learner


def _task() -> tuple[Tensor, Tensor, Tensor]:
    """Three classes of 3, 2 and 1 images, and queries."""
    task = small_batch(way=3, shot=3, query=2).tasks()[0]
    rows = torch.cat([torch.where(task.support_labels == k)[0][: 3 - k] for k in range(3)])
    return task.support[rows], task.support_labels[rows], task.query


def _unit(network: torch.nn.Module, learner: FineTune, images: Tensor) -> Tensor:
    return F.normalize(network(learner.recipe.normalise(images)), dim=1)


def _means(z: Tensor, labels: Tensor) -> Tensor:
    return F.normalize(torch.stack([z[labels == k].mean(0) for k in range(3)]), dim=1)


@pytest.mark.parametrize("head", ["prototypes", "linear"])
@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_steps_equal_a_plain_loop(head: str, optimiser: str) -> None:
    """P>M>F: prototypes of the original support in every step, loss on its augmented copies."""
    learner = _learner(head=head, optimiser=optimiser, test_steps=3, learning_rate=0.01, scale=5.0, seed=4)
    images, labels, queries = _task()
    network = copy.deepcopy(learner.backbone)
    weight = (5 * _means(_unit(network, learner, images), labels)).detach().requires_grad_()
    bias = torch.zeros(3, requires_grad=True)
    trained = [*network.parameters(), *([weight, bias] if head == "linear" else [])]
    adam = optimiser == "adam"
    steps = torch.optim.Adam(trained, 0.01) if adam else torch.optim.SGD(trained, 0.01, momentum=0.9)
    generator = torch.Generator().manual_seed(4)
    for _ in range(3):
        z = _unit(network, learner, augment(images, Augmentation(), generator))
        if head == "prototypes":
            logits = 5 * z @ _means(_unit(network, learner, images), labels).T
        else:
            logits = z @ weight.T + bias
        each = F.cross_entropy(logits, labels, reduction="none")
        loss = torch.stack([each[labels == k].mean() for k in range(3)]).mean()
        steps.zero_grad()
        loss.backward()
        steps.step()
    z = _unit(network, learner, queries)
    if head == "prototypes":
        expected = 5 * z @ _means(_unit(network, learner, images), labels).T
    else:
        expected = z @ weight.T + bias
    found = learner.fit(images, labels, 3)
    torch.testing.assert_close(found.logits(queries), expected.detach(), rtol=1e-3, atol=1e-3)
    # The comparison would prove little if the steps moved nothing.
    untouched = _means(_unit(learner.backbone, learner, images), labels)
    assert not torch.allclose(
        5 * _unit(learner.backbone, learner, queries) @ untouched.T, expected, rtol=1e-2, atol=1e-2
    )


@pytest.mark.parametrize("share", [1.0, 0.4])
def test_adapting_twice_gives_the_same_classifier_and_another_seed_another(share: float) -> None:
    images, labels, queries = _task()
    support = Support(images, labels, ("a", "b", "c"), tuple("012345"))
    one, again, other = (
        _learner(test_steps=3, share=share, seed=seed, learning_rate=0.01).adapt(support).head.logits(queries)
        for seed in (0, 0, 1)
    )
    assert torch.equal(one, again)
    assert not torch.allclose(one, other, atol=1e-4)


def test_each_step_reads_the_asked_share_of_the_support(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels, _ = _task()
    seen: list[int] = []

    def counted(given: Tensor, strength: Augmentation, generator: torch.Generator) -> Tensor:
        seen.append(len(given))
        return given

    monkeypatch.setattr(fine_tune, "augment", counted)
    for share in (1.0, 0.5, 0.01):
        _learner(test_steps=2, share=share).fit(images, labels, 3)
    assert seen == [6, 6, 3, 3, 1, 1]


def test_with_a_neck_only_the_neck_moves_and_nothing_is_augmented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fine_tune, "augment", lambda *_: pytest.fail("embeddings cannot be augmented"))
    like = _learner(test_steps=2)
    learner = create("fine-tune", replace(like.spec, neck=8), like.recipe, None, {"test_steps": 2}).eval()
    images, labels, _ = _task()
    tensors = learner.fit(learner.features(images), labels, 3).tensors()
    assert {n.split(".")[1] for n in tensors if n.startswith("backbone.")} == {"inner", "outer"}
    before = dict(learner.backbone.named_parameters())
    assert not torch.equal(tensors["backbone.outer.weight"], before["outer.weight"])


def test_a_network_without_parameters_is_left_with_its_prototypes() -> None:
    learner = tiny_learner("fine-tune", backbone="raw-pixels", options={"scale": 3.0})
    assert isinstance(learner, FineTune)
    images, labels, queries = _task()
    means = _means(_unit(learner.backbone, learner, images), labels)
    expected = 3 * _unit(learner.backbone, learner, queries) @ means.T
    torch.testing.assert_close(learner.fit(images, labels, 3).logits(queries), expected, rtol=1e-4, atol=1e-5)


def test_meta_training_is_the_episodic_loss_of_cosine_prototypes() -> None:
    learner = _learner(scale=4.0, learn_scale=True)
    batch = small_batch(way=3, shot=2, query=2, episodes=2)
    losses = []
    for task in batch.tasks():
        means = _means(_unit(learner.backbone, learner, task.support), task.support_labels)
        logits = 4 * _unit(learner.backbone, learner, task.query) @ means.T
        losses.append(F.cross_entropy(logits, task.query_labels))
    found = learner.training_loss(batch).value
    torch.testing.assert_close(found, torch.stack(losses).mean(), rtol=1e-4, atol=1e-5)
    found.backward()
    assert learner.log_scale.grad is not None
