"""The overlay shows the map where it is, carries its notice in the pixels, and is valid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from workbench.results.overlay import draw, overlay_capture, patient_orientation
from workbench.results.sources import SourcedScan
from workbench.results.statement import Statement

BANDS = 2 * (2 * 8 + 22) + 22
"""Height of the notice: two lines above, one below, at full width."""


def spot(shape: tuple[int, int] = (8, 8)) -> np.ndarray:
    """Used most in the upper left quarter, not at all elsewhere."""
    found = np.zeros(shape, np.float32)
    found[: shape[0] // 2, : shape[1] // 2] = 1.0
    return found


def test_the_capture_is_valid_and_in_the_study(
    statement: Statement, sourced: SourcedScan, flaws: Callable[[Dataset], list[str]], tmp_path: Path
) -> None:
    capture = overlay_capture(spot(), sourced.scan, sourced.headers, statement)
    assert flaws(capture) == []
    assert (
        flaws(overlay_capture(spot(), replace(sourced.scan, affine=None), sourced.headers, statement)) == []
    )
    assert capture.StudyInstanceUID == sourced.headers[0].StudyInstanceUID
    assert len(capture.SourceImageSequence) == 3
    assert "not proof" in capture.DerivationDescription
    assert "Not for diagnostic use" in capture.DerivationDescription
    capture.save_as(tmp_path / "capture.dcm", enforce_file_format=True)
    back = dcmread(tmp_path / "capture.dcm").pixel_array
    assert (back == draw(spot(), sourced.scan, statement)).all()


def test_the_map_lies_where_it_was_computed(statement: Statement, sourced: SourcedScan) -> None:
    dark = replace(sourced.scan, pixels=np.zeros_like(sourced.scan.pixels), window=(500.0, 1000.0))
    picture = draw(spot(), dark, statement).astype(int)
    top = (len(picture) - 768) // 2 + 11
    image = picture[top : top + 768]
    quarter = image[50:300, 50:300], image[500:750, 500:750]
    assert quarter[0].sum() > 0
    assert quarter[1].sum() == 0
    assert (quarter[0][..., 0] > quarter[0][..., 2]).all()


def test_words_are_in_the_picture_and_the_image_is_not_under_them(
    statement: Statement, sourced: SourcedScan
) -> None:
    picture = draw(np.zeros((8, 8)), sourced.scan, statement)
    assert picture.shape == (768 + BANDS, 768, 3)
    assert (picture[:30] == 255).any()
    assert (picture[-30:] == 255).any()


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 8)), np.full((8, 8), 1.5), np.full((8, 8), -0.1), np.full((8, 8), np.nan)]
)
def test_a_map_that_does_not_fit_is_refused(
    statement: Statement, sourced: SourcedScan, wrong: np.ndarray
) -> None:
    with pytest.raises(ValueError, match="The map must"):
        overlay_capture(wrong, sourced.scan, sourced.headers, statement)


def test_the_orientation_is_that_of_the_picture(sourced: SourcedScan) -> None:
    assert patient_orientation(sourced.scan) == ("L", "P")
    assert patient_orientation(replace(sourced.scan, affine=None)) is None
    coronal = np.array([[-1, 0, 0, 0], [0, 0, -1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], float)
    assert patient_orientation(replace(sourced.scan, affine=coronal)) == ("L", "F")
