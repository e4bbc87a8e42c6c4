from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.helpers import SIZE, small_batch, striped_cohort, tiny_learner, train_briefly
from tests.userfiles import pixel_learner
from workbench.adaptation.overlay import captioned, overlay
from workbench.adaptation.saliency import (
    METHODS,
    OFFERED,
    SaliencyMethod,
    differentiable_logits,
    image_saliency,
    log_odds,
    saliency,
)
from workbench.data.examples import Features, Support
from workbench.errors import SupportError
from workbench.imaging.scan import Provenance, Scan, Units
from workbench.learners.base import Classifier, Learner
from workbench.learners.linear_probe import LinearHead


def _support(way: int = 2, seed: int = 0) -> Support:
    cohort = striped_cohort(way=way, patients=6, seed=seed)
    names = tuple(map(str, range(len(cohort))))
    return Support(torch.from_numpy(cohort.images), torch.from_numpy(cohort.labels), cohort.classes, names)


def _scan(rows: int, columns: int) -> Scan:
    pixels = np.random.default_rng(0).uniform(0, 255, (1, rows, columns, 3)).astype(np.float32)
    return Scan(pixels, Units.DISPLAY, "OT", Provenance("a.png", "PNG", "0"), value_range=(0.0, 255.0))


def test_log_odds_by_hand() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.5]])
    p = logits.softmax(1)[0, 1]
    torch.testing.assert_close(log_odds(logits, 1)[0], (p / (1 - p)).log())


def _linear_on_pixels() -> tuple[Classifier, torch.Tensor]:
    """A classifier that reads one square of the image and nothing else."""
    learner = pixel_learner()
    weight = torch.zeros(2, learner.backbone.dim)
    side = round((learner.backbone.dim / 3) ** 0.5)
    weight[1].view(3, side, side)[:, side // 2 : side // 2 + 2, side // 4 : side // 4 + 2] = 1.0
    head = LinearHead(weight, torch.zeros(2), torch.zeros(learner.backbone.dim), torch.tensor(1.0))
    classifier = Classifier(
        learner, head, ("a", "b"), Features(torch.zeros(1, learner.backbone.dim)), torch.zeros(1).long()
    )
    image = torch.full((SIZE, SIZE, 3), 90, dtype=torch.uint8)
    lo, hi = SIZE // 2, SIZE // 2 + 2 * SIZE // side
    image[lo:hi, SIZE // 4 : SIZE // 4 + 2 * SIZE // side] = 220
    return classifier, image


@pytest.mark.parametrize("method", ["occlusion", "integrated-gradients", "smooth-gradient"])
def test_a_map_finds_the_square_that_decides(method: SaliencyMethod) -> None:
    classifier, image = _linear_on_pixels()
    found = image_saliency(classifier, image, 1, method)
    assert found.shape == (SIZE, SIZE)
    row, column = divmod(int(found.argmax()), SIZE)
    assert SIZE // 2 - 3 <= row <= SIZE // 2 + 6
    assert SIZE // 4 - 3 <= column <= SIZE // 4 + 6


def test_integrated_gradients_add_up_to_the_difference_of_log_odds() -> None:
    classifier, image = _linear_on_pixels()
    logits = differentiable_logits(classifier, image)
    assert logits is not None
    given = classifier.learner.recipe.normalise(image[None])
    mean = given.mean(dim=(2, 3), keepdim=True).expand_as(given)
    wanted = log_odds(logits(given), 1) - log_odds(logits(mean), 1)
    found = image_saliency(classifier, image, 1, "integrated-gradients")
    torch.testing.assert_close(found.sum(), wanted[0].detach(), atol=0.02, rtol=0.01)


def test_evidence_for_one_of_two_classes_speaks_against_the_other() -> None:
    classifier, image = _linear_on_pixels()
    first = image_saliency(classifier, image, 0, "occlusion")
    torch.testing.assert_close(first, -image_saliency(classifier, image, 1, "occlusion"))


@pytest.mark.parametrize("method", ["prototypical", "linear-probe", "maml", "fine-tune", "siamese"])
def test_every_kind_of_head_can_be_explained(method: str) -> None:
    support = _support()
    classifier = tiny_learner(method).adapt(support)
    assert isinstance(support.inputs, torch.Tensor)
    assert differentiable_logits(classifier, support.inputs[0]) is not None
    found = image_saliency(classifier, support.inputs[0], 0, "occlusion")
    assert torch.isfinite(found).all()
    assert float(found.abs().max()) > 0


def test_a_neck_is_looked_through() -> None:
    from dataclasses import replace

    from workbench.learners.files import create

    base = tiny_learner("fine-tune")
    learner = create("fine-tune", replace(base.spec, neck=4), base.recipe)
    support = _support()
    assert isinstance(support.inputs, torch.Tensor)
    assert differentiable_logits(learner.adapt(support), support.inputs[0]) is not None


def test_a_method_without_gradients_offers_occlusion_only() -> None:
    support = _support()
    assert isinstance(support.inputs, torch.Tensor)
    classifier = tiny_learner("prototypical", backbone="lbp", width=0).adapt(support)
    with pytest.raises(SupportError, match="Use occlusion"):
        image_saliency(classifier, support.inputs[0], 0, "integrated-gradients")
    assert image_saliency(classifier, support.inputs[0], 0, "occlusion").shape == (SIZE, SIZE)


def test_randomising_the_encoder_changes_the_map() -> None:
    from benchmarks.saliency import randomised, rank_correlation

    torch.manual_seed(0)
    learner = tiny_learner("prototypical")
    train_briefly(learner, small_batch(way=2))
    learner.eval()
    support = _support()
    assert isinstance(support.inputs, torch.Tensor)
    classifier = learner.adapt(support)
    values = []
    for seed in range(8):
        other: Learner = copy.deepcopy(learner)
        torch.manual_seed(100 + seed)
        for module in other.backbone.modules():
            if isinstance(module, nn.Conv2d):
                module.reset_parameters()
        for method in OFFERED:
            maps = [
                image_saliency(one, support.inputs[seed], int(support.labels[seed]), method)
                for one in (classifier, randomised(classifier, other))
            ]
            values.append(rank_correlation(*maps))
    assert abs(float(np.mean(values))) < 0.3
    same = image_saliency(classifier, support.inputs[0], 0, "occlusion")
    assert rank_correlation(same, image_saliency(classifier, support.inputs[0], 0, "occlusion")) > 0.999


@pytest.mark.parametrize(("rows", "columns"), [(40, 60), (60, 40), (33, 33)])
def test_a_map_has_the_scans_own_grid(rows: int, columns: int) -> None:
    classifier = pixel_learner().adapt(_support())
    found = saliency(classifier, _scan(rows, columns), 1)
    assert found.values.shape == (rows, columns)
    assert found.values.dtype == np.float32
    assert (found.label, found.method, found.slice_index) == ("class 1", "occlusion", 0)


def test_padding_is_undone_where_it_was_made() -> None:
    """A stripe low in a wide scan lies lower in the square that the recipe pads it to."""
    classifier = pixel_learner().adapt(_support())
    pixels = np.full((1, SIZE, 2 * SIZE, 3), 60, dtype=np.float32)
    pixels[0, 2:6] = 250
    scan = Scan(pixels, Units.DISPLAY, "OT", Provenance("a.png", "PNG", "0"), value_range=(0.0, 255.0))
    rows = np.abs(saliency(classifier, scan, 0).values).mean(axis=1)
    assert int(rows.argmax()) <= 10


def test_a_method_that_failed_the_checks_is_not_offered() -> None:
    classifier = pixel_learner().adapt(_support())
    for method in set(METHODS) - set(OFFERED):
        with pytest.raises(SupportError, match="Use occlusion"):
            saliency(classifier, _scan(30, 30), 0, method)


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(SupportError, match="no class 2"):
        saliency(pixel_learner().adapt(_support()), _scan(30, 30), 2)


def test_explaining_leaves_reading_and_random_state_as_they_were() -> None:
    support = _support()
    assert isinstance(support.inputs, torch.Tensor)
    classifier = tiny_learner("prototypical").adapt(support)
    before, state = classifier.predict(support.inputs).probabilities, torch.random.get_rng_state()
    for method in METHODS[:3]:
        image_saliency(classifier, support.inputs[0], 0, method)
    np.testing.assert_array_equal(classifier.predict(support.inputs).probabilities, before)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(p.grad is None for p in classifier.learner.parameters())


def test_the_notice_is_part_of_the_picture() -> None:
    scan = _scan(40, 60)
    found = saliency(pixel_learner().adapt(_support()), scan, 1)
    picture = overlay(scan, found, size=300)
    assert picture.shape == (200, 300, 3)
    shown = captioned(picture, found)
    assert shown.shape[0] > 200
    assert (shown[200:] < 100).any()


def test_predict_writes_a_picture_of_each_scan(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from tests.userfiles import class_folders, weights_file
    from workbench.cli import app

    folder = class_folders(tmp_path / "support")
    weights = weights_file(tmp_path / "w.safetensors")
    model = tmp_path / "m.safetensors"
    made = CliRunner().invoke(
        app, ["adapt", str(folder), "-o", str(model), "-w", str(weights), "--no-estimate"]
    )
    assert made.exit_code == 0, made.output
    out = tmp_path / "evidence"
    done = CliRunner().invoke(
        app, ["predict", str(model), str(folder / "class 0"), "-w", str(weights), "--saliency", str(out)]
    )
    assert done.exit_code == 0, done.output
    pictures = sorted(out.iterdir())
    assert [p.name for p in pictures][:2] == ["case-0001.png", "case-0002.png"]
    assert Image.open(pictures[0]).mode == "RGB"
