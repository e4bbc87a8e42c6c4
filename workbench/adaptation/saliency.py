"""Where in a scan the evidence for a class lies, by the model's own account.

It shows what the model used, and is no proof that the model is right. For the log-odds of a class,
``log p_k - log (1 - p_k)``:

- ``occlusion``: how much they fall when a square of the image is replaced by the same square of the blurred
  image (after Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, and Fong
  and Vedaldi, ICCV 2017, for the blur). A square of the mean, tried first, changes most where the image is
  far from its mean, whatever the model: its maps changed less with the encoder. Works for every classifier.
- ``integrated-gradients``: gradients summed along the line from the mean image to the image (Sundararajan et
  al., "Axiomatic Attribution for Deep Networks", ICML 2017, equation 1).
- ``smooth-gradient``: absolute gradient, averaged over noisy copies (Smilkov et al., "SmoothGrad", 2017).
- ``grad-cam``: maps of the last convolution, each weighted by its mean gradient (Selvaraju et al.,
  "Grad-CAM", ICCV 2017, equations 1 and 2).

All but the first need a backbone that passes gradients on, the last a convolutional one. Implementations are
captum's. Each has to pass the model-randomisation check of Adebayo et al., "Sanity Checks for Saliency Maps",
NeurIPS 2018 (a map that hardly changes when the encoder is replaced by a random one says nothing about it):
`python -m benchmarks.saliency` measures it, and whether a planted mark is found; `OFFERED` names those that
passed both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from captum.attr import IntegratedGradients, LayerGradCam, NoiseTunnel, Occlusion, Saliency
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.errors import SupportError
from workbench.imaging.scan import Scan
from workbench.learners.base import Classifier, frozen

SaliencyMethod = Literal["occlusion", "integrated-gradients", "smooth-gradient", "grad-cam"]
METHODS: tuple[SaliencyMethod, ...] = get_args(SaliencyMethod)
OFFERED: tuple[SaliencyMethod, ...] = ("occlusion",)
"""Passed the model-randomisation check and find a planted mark; see docs/benchmarks/saliency.md."""
NOT_PROOF = "Shows what the model used; it does not prove that the reading is right. For research use only."
_WINDOW, _STRIDE = 8, 16
"""Share of the image's side: a covered square is one eighth of it and moves by one sixteenth."""
_STEPS, _NOISY, _NOISE = 32, 16, 0.1
_SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class SaliencyMap:
    """Evidence for one class in one scan.

    Attributes:
        values: float32 ``(rows, columns)`` in the scan's own pixel grid, of the slice that the recipe takes.
            Above 0 speaks for the class and below against it; ``smooth-gradient`` has no sign.
        label: the class.
        method: see the module's description.
        slice_index: the slice, from 0.
    """

    values: npt.NDArray[np.float32]
    label: str
    method: SaliencyMethod
    slice_index: int


def saliency(
    classifier: Classifier, scan: Scan, class_index: int, method: SaliencyMethod = "occlusion"
) -> SaliencyMap:
    """The map of one scan.

    Args:
        classifier: adapted.
        scan: to look at.
        class_index: of the class whose evidence is asked for.
        method: one of `OFFERED`; `image_saliency` measures the others.

    Raises:
        SupportError: there is no such class, the method is not offered, or see `check_explainable`.
    """
    check_explainable(classifier)
    if not 0 <= class_index < len(classifier.classes):
        raise SupportError(f"There is no class {class_index}; there are {len(classifier.classes)}.")
    if method not in OFFERED:
        raise SupportError(
            f"Maps by {method} do not depend enough on the model, or do not find what decides "
            f"(docs/benchmarks/saliency.md). Use {', '.join(OFFERED)}."
        )
    image = torch.from_numpy(classifier.learner.recipe.apply(scan))
    values = image_saliency(classifier, image, class_index, method)
    rows, columns = scan.pixels.shape[1:3]
    return SaliencyMap(
        _in_scan_grid(values, rows, columns), classifier.classes[class_index], method, len(scan.pixels) // 2
    )


def check_explainable(classifier: Classifier) -> None:
    """Refuse classifiers that have no map of a single slice.

    Raises:
        SupportError: it reads several slices of a volume together.
    """
    if classifier.learner.recipe.dims != 2:
        raise SupportError(
            "Where the evidence lies cannot be shown for a model that reads several slices of a volume "
            "together. Adapt weights that read single images, without pooled slices, or leave maps out."
        )


def image_saliency(classifier: Classifier, image: Tensor, class_index: int, method: SaliencyMethod) -> Tensor:
    """The map of one image made by the recipe, in its grid.

    Args:
        classifier, class_index, method: see `saliency`.
        image: uint8 ``(size, size, channels)``.

    Returns:
        float32 ``(size, size)``.

    Raises:
        SupportError: the method needs gradients and the classifier passes none on.
    """
    if method == "occlusion":
        return _occlusion(classifier, image, class_index)
    logits = differentiable_logits(classifier, image)
    if logits is None:
        raise SupportError(
            f"Saliency by {method} needs gradients, which {classifier.learner.name} on "
            f"{classifier.learner.spec.name} does not pass on. Use occlusion."
        )

    def score(batch: Tensor) -> Tensor:
        return log_odds(logits(batch), class_index)

    given = _roughened(classifier.learner.recipe.normalise(image[None]))
    with frozen(classifier.learner), torch.inference_mode(False), torch.enable_grad():
        if method == "integrated-gradients":
            mean = _roughened(given.mean(dim=(2, 3), keepdim=True).expand_as(given))
            integrated = IntegratedGradients(score)
            return _summed(integrated.attribute(given, mean, n_steps=_STEPS, internal_batch_size=_STEPS))
        if method == "grad-cam":
            coarse = _grad_cam(classifier, score, given)
            size = tuple(image.shape[:2])
            return _summed(F.interpolate(coarse, size, mode="bilinear", align_corners=False))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            spread = _NOISE * float(given.max() - given.min())
            smooth = NoiseTunnel(Saliency(score))
            return _summed(
                smooth.attribute(given, nt_type="smoothgrad", nt_samples=_NOISY, stdevs=spread, abs=True)
            )


def log_odds(logits: Tensor, class_index: int) -> Tensor:
    """``log p_k - log (1 - p_k)`` of each row of logits ``(n, way)``, ``(n,)``."""
    others = torch.cat([logits[:, :class_index], logits[:, class_index + 1 :]], dim=1)
    return logits[:, class_index] - others.logsumexp(1)


def differentiable_logits(classifier: Classifier, image: Tensor) -> Callable[[Tensor], Tensor] | None:
    """The classifier as a differentiable function of normalised images ``(n, channels, size, size)``.

    Methods differ in what their heads read: embeddings, images, or what a frozen network made of them. Each
    way is tried on an image, and the one that gives the logits of `Classifier.predict` and passes gradients
    on is taken.

    Args:
        classifier: adapted.
        image: uint8 ``(size, size, channels)``.

    Returns:
        None where there is none: parts of the backbone or of the method are not differentiable.
    """
    learner, head = classifier.learner, classifier.head
    backbone = learner.backbone
    trunk: Callable[[Tensor], Tensor] = getattr(backbone, "trunk", None) or (lambda images: images)
    ways: tuple[Callable[[Tensor], Tensor], ...] = (
        lambda images: head.logits(backbone(trunk(images)).float()),
        lambda images: head.logits(trunk(images)),
    )
    with frozen(learner), torch.no_grad():
        known = head.logits(learner.features(image[None]))
    for way in ways:
        given = _roughened(learner.recipe.normalise(image[None])).requires_grad_()
        try:
            with frozen(learner), torch.inference_mode(False), torch.enable_grad():
                found = way(given)
                if not torch.allclose(found, known, atol=1e-2, rtol=1e-2):
                    continue
                (gradient,) = torch.autograd.grad(log_odds(found, 0).sum(), given, allow_unused=True)
        except (RuntimeError, ValueError, TypeError):
            continue  # this head does not read such tensors
        if gradient is not None and bool(torch.isfinite(gradient).all() and gradient.any()):
            return way
    return None


def _grad_cam(classifier: Classifier, score: Callable[[Tensor], Tensor], given: Tensor) -> Tensor:
    layers = [m for m in classifier.learner.backbone.modules() if isinstance(m, nn.Conv2d)]
    try:
        attributions: Tensor = LayerGradCam(score, layers[-1]).attribute(given)
    except (IndexError, AssertionError) as error:  # none, or its forward is never called as a module
        name = classifier.learner.spec.name
        raise SupportError(f"Grad-CAM needs a convolution to look into; {name} shows none.") from error
    return attributions


def _roughened(images: Tensor) -> Tensor:
    """Noise too small to see: directions of edges have no gradient where an image is perfectly flat."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(_SEED))
    return (images + 1e-3 * noise).detach()


def _occlusion(classifier: Classifier, image: Tensor, class_index: int) -> Tensor:
    learner, head = classifier.learner, classifier.head
    size, channels = image.shape[0], image.shape[2]

    def score(batch: Tensor) -> Tensor:
        images = batch.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        return log_odds(head.logits(learner.features(images)), class_index)

    given = image.permute(2, 0, 1)[None].float()
    window, stride = max(2, size // _WINDOW), max(1, size // _STRIDE)
    reach = max(1, size // _WINDOW)
    blurred = F.avg_pool2d(F.pad(given, (reach,) * 4, mode="reflect"), 2 * reach + 1, 1)
    with frozen(learner), torch.no_grad():
        found = Occlusion(score).attribute(
            given,
            sliding_window_shapes=(channels, window, window),
            strides=(channels, stride, stride),
            baselines=blurred,
            perturbations_per_eval=64,
        )
    return _summed(found) / channels


def _summed(attributions: Tensor) -> Tensor:
    return attributions.detach()[0].sum(0).float()


def _in_scan_grid(values: Tensor, rows: int, columns: int) -> npt.NDArray[np.float32]:
    """Undo the recipe's padding and scaling: ``(size, size)`` to ``(rows, columns)``."""
    side = max(rows, columns)
    grown = F.interpolate(values[None, None], (side, side), mode="bilinear", align_corners=False)[0, 0]
    top, left = (side - rows) // 2, (side - columns) // 2
    return np.ascontiguousarray(grown[top : top + rows, left : left + columns].numpy(), dtype=np.float32)
