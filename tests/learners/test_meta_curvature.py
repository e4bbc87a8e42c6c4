"""Meta-curvature: n-mode products by loops, and the outer gradient of a matrix derived by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor

from tests.helpers import small_batch, tiny_learner
from tests.learners.differences import check, shaken, smooth_learner
from workbench.learners.files import create
from workbench.learners.gradient import inner_loop
from workbench.learners.meta_curvature import MetaCurvature, curved

A = torch.tensor([[3.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
B = torch.tensor([[-2.0, 1.0]], dtype=torch.float64)
T = torch.tensor([[1.5, 0.25]], dtype=torch.float64)
ALPHA = 0.1


def _learner(options: dict[str, object] | None = None, width: int = 8) -> MetaCurvature:
    learner = tiny_learner("meta-curvature", width=width, options=options)
    assert isinstance(learner, MetaCurvature)
    return learner


def _drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(3, 2, 2, 2), (4, 3)])
def test_transform_equals_a_loop_over_every_pair_of_numbers(shape: tuple[int, ...]) -> None:
    """``MC(G)_{ojk} = sum over o', j', k' of M_out[o, o'] M_in[j, j'] M_f[k, k'] G_{o'j'k'}``."""
    torch.manual_seed(0)
    gradient = _drawn(*shape)
    sides = (shape[0], shape[1], torch.Size(shape[2:]).numel())
    deviations = [_drawn(n, n) for n in sides[: 3 if len(shape) > 2 else 2]]
    m = [torch.eye(n, dtype=torch.float64) for n in sides]
    m = [eye + (deviations[s] if s < len(deviations) else 0) for s, eye in enumerate(m)]
    flat, expected = gradient.reshape(sides), torch.zeros(sides, dtype=torch.float64)
    for o, j, k in product(*map(range, sides)):
        for p, q, r in product(*map(range, sides)):
            expected[o, j, k] += m[0][o, p] * m[1][j, q] * m[2][k, r] * flat[p, q, r]
    torch.testing.assert_close(curved(gradient, deviations), expected.reshape(shape))


def test_diagonals_scale_rows_columns_and_vectors() -> None:
    torch.manual_seed(0)
    gradient, rows, columns = _drawn(4, 3), _drawn(4), _drawn(3)
    expected = torch.diag(1 + rows) @ gradient @ torch.diag(1 + columns)
    torch.testing.assert_close(curved(gradient, (rows, columns)), expected)
    vector = _drawn(5)
    torch.testing.assert_close(curved(vector, (torch.tensor([0.5], dtype=torch.float64),)), 1.5 * vector)


@pytest.mark.parametrize("steps", [1, 2])
def test_gradient_of_a_matrix_equals_the_one_derived_by_hand(steps: int) -> None:
    """Support loss ``(t - b) A (t - b)' / 2`` of a row t, query loss ``t c'``; M multiplies the gradient.

    With x = (t - b)' and A symmetric, a step is ``x' = x - alpha M A x``. The derivative of ``c x_1`` by M is
    ``-alpha c (A x_0)'``; with a second step, ``c x_2 = c (I - alpha M A) x_1`` adds the one with x_1 in
    place of x_0, and the first reaches c through ``I - alpha A' M'``.
    """
    learner = _learner({"learning_rate": ALPHA}, width=8).double()
    matrix = torch.nn.Parameter(torch.tensor([[0.2, -0.4], [0.3, 0.1]], dtype=torch.float64))
    learner.deviations["head/weight/in"] = matrix
    t, c = T.clone().requires_grad_(), torch.tensor([0.7, -1.1], dtype=torch.float64)

    def support(parameters: dict[str, Tensor]) -> Tensor:
        x = parameters["head.weight"] - B
        return 0.5 * (x @ A * x).sum()

    update = learner.update({"head.weight": t}, torch.empty(0), torch.empty(0), 1)
    path = inner_loop(support, {"head.weight": t}, update, steps, first_order=False)
    (gradient,) = torch.autograd.grad((path[-1]["head.weight"] * c).sum(), matrix)
    m, x = torch.eye(2, dtype=torch.float64) + matrix.detach(), (T - B).flatten()
    if steps == 1:
        expected = -ALPHA * torch.outer(c, A @ x)
    else:
        x1 = x - ALPHA * m @ A @ x
        before = c - ALPHA * (A @ m.T @ c)
        expected = -ALPHA * (torch.outer(c, A @ x1) + torch.outer(before, A @ x))
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("largest", [0, 9])
def test_outer_gradient_equals_finite_differences_on_a_network(largest: int) -> None:
    learner = smooth_learner("meta-curvature", {"largest": largest})
    assert isinstance(learner, MetaCurvature)
    shaken(list(learner.deviations.values()))
    check(learner, [p for p in learner.parameters() if p.requires_grad])


def test_sides_have_matrices_up_to_the_limit_and_diagonals_beyond() -> None:
    learner = _learner({"largest": 8})
    found = {key: tuple(r.shape) for key, r in learner.deviations.items()}
    first, dim = "backbone/blocks/0/0/weight", learner.backbone.dim
    assert found[f"{first}/out"] == (8, 8)
    assert found[f"{first}/in"] == (3, 3)
    assert found[f"{first}/kernel"] == (9,)
    assert found["backbone/blocks/0/1/bias/out"] == (8,)
    assert found["head/weight/in"] == (dim, dim)
    assert found["head/bias/out"] == (1,)
    assert "head/weight/out" not in found
    assert all(len(s) == 1 or s[0] <= 8 for s in found.values())


def test_a_neck_on_long_embeddings_gets_no_matrix_of_their_length() -> None:
    like = tiny_learner("prototypical", width=12)
    learner = create("meta-curvature", replace(like.spec, neck=4), like.recipe, None, {"largest": 8})
    assert isinstance(learner, MetaCurvature)
    assert {tuple(r.shape) for r in learner.deviations.values()} == {(4, 4), (12,), (4,), (1,)}


def test_fresh_learner_adapts_as_maml_does() -> None:
    task = small_batch(way=3, shot=2, query=2).tasks()[0]
    logits = []
    for method in ("maml", "meta-curvature"):
        torch.manual_seed(0)
        learner = tiny_learner(method, options={"test_steps": 3}).eval()
        logits.append(learner.fit(task.support, task.support_labels, 3).logits(task.query))
    torch.testing.assert_close(logits[0], logits[1])


def test_decay_pulls_matrices_to_the_identity_and_not_to_zero() -> None:
    """An outer step on a gradient of zero is decay alone."""
    learner = _learner()
    key = "head/weight/in"
    torch.nn.init.constant_(learner.deviations[key], 0.2)
    configured = learner.configure_optimizers()
    assert isinstance(configured, dict)
    optimizer = configured["optimizer"]
    for group in optimizer.param_groups:
        group["lr"], group["weight_decay"] = 0.1, 0.5 * (group["weight_decay"] > 0)
    for parameter in learner.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    gradient = torch.randn(3, learner.backbone.dim)
    expected = gradient + gradient.sum(1, keepdim=True) * 0.2 * 0.95
    torch.testing.assert_close(curved(gradient, learner.matrices("head.weight")), expected)
    other = torch.randn(8, 3, 3, 3)
    assert torch.equal(curved(other, learner.matrices("backbone.blocks.0.0.weight")), other)
