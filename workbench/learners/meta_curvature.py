"""Meta-curvature: gradients of the inner loop are turned by learned matrices, one for each side of a tensor.

Park and Oliva, "Meta-Curvature", NeurIPS 2019, section 3.2 (MC2): for the gradient G of a convolution, as a
tensor (out, in, kernel positions), ``MC(G) = G x_1 M_out x_2 M_in x_3 M_f``, with the n-mode product
``(G x_2 M)_{ojk} = sum_i G_{oik} M_{ji}``; the inner step is ``theta' = theta - alpha MC(grad)`` and the
outer loop learns theta and the matrices, which start at the identity. Of a linear layer (out, in) there is
no M_f. Tensors with one side (biases, normalisers) have a diagonal matrix.

Here each matrix is ``I + R``, R learned from 0 (see `deviations` for why). Two differences from the paper:
the output layer, which has one learned row for any number of classes, has no M_out, and one number for all
biases; and a side longer than `largest` has a diagonal matrix, since the embeddings of a large network would
ask for millions of numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from workbench.backbones import BackboneSpec
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Optimisation
from workbench.learners.deviations import shapes, slot
from workbench.learners.gradient import GradientLearner, InnerLoopOptions, Parameters, Update, descend
from workbench.learners.options import options

_SIDES = ("out", "in", "kernel")


@options
class MetaCurvatureOptions(InnerLoopOptions):
    """Settings of `MetaCurvature`; see `InnerLoopOptions`.

    Attributes:
        largest: length of the longest side of a tensor that gets a full matrix; longer ones get a diagonal.
    """

    largest: int = Field(default=256, ge=0)


def curved(gradient: Tensor, deviations: Sequence[Tensor | None]) -> Tensor:
    """MC(G), of the shape of G.

    Args:
        gradient: G; sides beyond the second count as one (kernel positions).
        deviations: for each side M - I as ``(n, n)``, or its diagonal ``(n,)`` (or ``(1,)``, one number for
            all), or None for none.
    """
    turned = gradient.flatten(2) if gradient.ndim > 2 else gradient
    for side, deviation in enumerate(deviations):
        if deviation is None:
            continue
        if deviation.ndim == 1:
            turned = turned + turned * deviation.view([-1 if s == side else 1 for s in range(turned.ndim)])
        else:
            product = torch.tensordot(deviation, turned, dims=([1], [side]))
            turned = turned + product.movedim(0, side)
    return turned.reshape(gradient.shape)


class MetaCurvature(GradientLearner):
    """See the module's description.

    Attributes:
        deviations: R of each side, by the tensor's name (its dots are slashes) and the side's.
    """

    name: ClassVar[str] = "meta-curvature"
    citation: ClassVar[str] = "Park and Oliva 2019, section 3.2 (MC2)"
    options_type: ClassVar[type] = MetaCurvatureOptions

    def __init__(
        self,
        backbone: BackboneSpec,
        recipe: Recipe,
        optimisation: Optimisation | None = None,
        options: MetaCurvatureOptions | None = None,
    ) -> None:
        chosen = options or MetaCurvatureOptions()
        super().__init__(backbone, recipe, optimisation or Optimisation(), chosen)
        self.options = chosen
        self.deviations = nn.ParameterDict(
            {
                f"{slot(name)}/{side}": torch.zeros(sides)
                for name, shape in shapes(self).items()
                for side, sides in _sides(shape, chosen.largest)
            }
        )

    @property
    def settings(self) -> MetaCurvatureOptions:
        """See `Learner.settings`."""
        return self.options

    def matrices(self, name: str) -> tuple[Tensor | None, ...]:
        """What `curved` takes for the gradient of the parameter of this name."""
        keys = (f"{slot(name)}/{side}" for side in _SIDES)
        return tuple(self.deviations.get(key) for key in keys)

    def update(self, start: Parameters, support: Tensor, labels: Tensor, way: int) -> Update:
        """Gradient descent along MC(G)."""
        matrices = {name: self.matrices(name) for name in start}
        plain = descend({name: self.rate(name) for name in start})

        def step(number: int, parameters: Parameters, gradients: Parameters, loss: Tensor) -> Parameters:
            turned = {n: curved(g, matrices[n]) for n, g in gradients.items()}
            return plain(number, parameters, turned, loss)

        return step


def _sides(shape: torch.Size, largest: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of R for each side that has one."""
    if len(shape) == 1:
        yield _SIDES[0], tuple(shape)
        return
    for side, length in zip(_SIDES, (shape[0], shape[1], shape[2:].numel()), strict=True):
        # A side of length 1 could but scale what another side scales already.
        if length > 1:
            yield side, (length, length) if length <= largest else (length,)
