"""Phantoms are valid DICOM, differ in shape alone, and repeat under their seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, gaussian_filter, label
from sklearn.metrics import roc_auc_score

from workbench.imaging import Units, read_scans
from workbench.imaging.phantom import CLASSES, SPACING_MM, draw, write_phantoms


def test_round_trip(tmp_path: Path) -> None:
    paths = write_phantoms(tmp_path, patients_per_class=2, seed=3)
    assert [path.parent.name for path in paths] == ["smooth", "smooth", "spiculated", "spiculated"]
    result = read_scans([tmp_path])
    assert result.refused == ()
    assert len(result.scans) == 4
    for scan in result.scans:
        assert (scan.units, scan.modality, scan.body_part) == (Units.HOUNSFIELD, "CT", "CHEST")
        assert scan.findings == ()
        assert scan.spacing == pytest.approx((1.25, SPACING_MM, SPACING_MM))
    assert len({scan.patient for scan in result.scans}) == 4
    drawn = draw("smooth", np.random.default_rng([3, 0, 0]))
    np.testing.assert_allclose(result.scans[0].pixels[0, ..., 0], drawn, atol=0.5)


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_phantoms(tmp_path / name, 1, seed=5) for name in "ab")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    other = write_phantoms(tmp_path / "c", 1, seed=6)
    assert first[0].read_bytes() != other[0].read_bytes()


def _outline(image: np.ndarray) -> float:  # type: ignore[type-arg]
    """Perimeter of the central lesion against that of a disc of its area."""
    parts, _ = label(gaussian_filter(image, 1.0) > -250)
    middle = parts[50:110, 50:110]
    lesion = parts == np.bincount(middle[middle > 0]).argmax()
    return float((lesion & ~binary_erosion(lesion)).sum() / np.sqrt(lesion.sum()))


def test_classes_differ_in_shape_and_not_in_brightness() -> None:
    drawn = [(n == "spiculated", draw(n, np.random.default_rng([9, i]))) for i in range(30) for n in CLASSES]
    truth = [is_spiculated for is_spiculated, _ in drawn]
    brightness = roc_auc_score(truth, [image.mean() for _, image in drawn])
    shape = roc_auc_score(truth, [_outline(image) for _, image in drawn])
    assert 0.3 < brightness < 0.7
    assert shape > 0.85


def test_wrong_arguments_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        write_phantoms(tmp_path, 0, seed=0)
    with pytest.raises(ValueError, match="not 'cyst'"):
        draw("cyst", np.random.default_rng(0))
