"""Overlays by the command: the evidence for the class read, where the model found it, or a refusal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from typer.testing import CliRunner, Result

from tests.helpers import striped_cohort
from tests.imaging.makers import ct, save
from tests.results.conftest import hounsfield, labelled_slices
from tests.userfiles import weights_file
from tests.volumefiles import volume_folders, voxel_weights
from workbench.adaptation.model import load_model
from workbench.cli import app
from workbench.imaging.read import read_scan
from workbench.results.evidence import evidence_maps
from workbench.results.overlay import SIDE

pytestmark = pytest.mark.usefixtures("private_home")
TOP = 2 * 8 + 2 * 22
"""Height of the words above the image."""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Adapted to slices with a stripe in rows 4 to 7 (class 0) or 11 to 14 (class 1) of 28."""
    monkeypatch.setenv("WORKBENCH_WEIGHTS", str(weights_file(tmp_path / "tiny.safetensors")))
    path = tmp_path / "model.safetensors"
    done = run("adapt", labelled_slices(tmp_path / "support", 4), "--out", path, "--no-estimate")
    assert done.exit_code == 0, done.output
    return path


def series(folder: Path, *labels: int) -> Path:
    """A series of one slice of each of some classes, in this order."""
    images = striped_cohort(way=2, patients=1, seed=7).images
    for number, label in enumerate(labels):
        save(ct(hounsfield(images[label]), (0.0, 0.0, 2.0 * number)), folder / f"{number}.dcm")
    return folder


@pytest.mark.parametrize(("label", "rows"), [(0, range(4, 8)), (1, range(11, 15))])
def test_evidence_is_brightest_on_the_stripe(model: Path, tmp_path: Path, label: int, rows: range) -> None:
    scan = read_scan(series(tmp_path / "new", label) / "0.dcm")
    found = evidence_maps(load_model(model, tmp_path / "tiny.safetensors").classifier)(scan, label)
    assert found.shape == (28, 28)
    assert (found.min(), found.max()) == (0.0, 1.0)
    assert int(found.mean(axis=1).argmax()) in rows


def test_the_command_lays_it_over_the_middle_slice(
    model: Path, tmp_path: Path, flaws: Callable[[Dataset], list[str]]
) -> None:
    done = run("results", model, series(tmp_path / "new", 0, 1, 0), "--out", tmp_path / "out", "--overlay")
    assert done.exit_code == 0, done.output
    assert "(0001-report.dcm, 0001-overlay.dcm)" in done.stdout
    capture = dcmread(tmp_path / "out" / "0001-overlay.dcm")
    assert flaws(capture) == []
    picture = capture.pixel_array[TOP : TOP + SIDE].astype(int)
    coloured = np.ptp(picture, axis=2).mean(axis=1)
    brightest = int(coloured.argmax()) * 28 // SIDE
    assert brightest in range(11, 15), "the stripe of class 1, which only the middle slice has"


def test_without_asking_no_overlay_is_made(model: Path, tmp_path: Path) -> None:
    done = run("results", model, series(tmp_path / "new", 1), "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert not list((tmp_path / "out").glob("*overlay*"))


def test_a_model_of_volumes_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_WEIGHTS", str(voxel_weights(tmp_path / "voxels.safetensors")))
    model = tmp_path / "volumes.safetensors"
    support = volume_folders(tmp_path / "volumes", 2)
    assert run("adapt", support, "--out", model, "--no-estimate").exit_code == 0
    done = run("results", model, series(tmp_path / "new", 0, 1), "--out", tmp_path / "out", "--overlay")
    assert done.exit_code == 2
    assert "several slices" in done.stderr
    assert not (tmp_path / "out").exists()
    shown = run("predict", model, support, "--saliency", tmp_path / "evidence")
    assert shown.exit_code == 2
    assert "several slices" in shown.stderr
    assert not (tmp_path / "evidence").exists()
