"""Windows are for eyes: black, white and proportion where they belong."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.imaging import Provenance, Scan, Units
from workbench.imaging.display import WINDOW_PRESETS, default_window, thumbnail, to_display


def _scan(pixels: np.ndarray, units: Units = Units.HOUNSFIELD, **fields: object) -> Scan:  # type: ignore[type-arg]
    return Scan(pixels.astype(np.float32), units, "CT", Provenance("a", "DICOM", "0"), **fields)  # type: ignore[arg-type]


RAMP = np.linspace(-1000, 1000, 201).reshape(1, 3, 67, 1)


def test_window_ends_are_black_and_white() -> None:
    shown = to_display(_scan(RAMP), window=(0.0, 400.0))
    flat, values = shown[..., 0].ravel(), RAMP.ravel()
    assert set(flat[values <= -200]) == {0}
    assert set(flat[values >= 200]) == {255}
    assert flat[values == 0][0] in (127, 128)
    assert shown.shape == (3, 67, 3)


def test_default_window_is_the_files_then_full_scale_then_percentiles() -> None:
    assert default_window(_scan(RAMP, window=(40.0, 80.0))) == (40.0, 80.0)
    assert default_window(_scan(RAMP, Units.DISPLAY, value_range=(0.0, 255.0))) == (127.5, 255.0)
    centre, width = default_window(_scan(RAMP))
    assert (centre, width) == (pytest.approx(0.0, abs=1e-3), pytest.approx(1960.0))


def test_the_middle_slice_is_shown_and_others_on_request() -> None:
    volume = np.arange(5.0).reshape(5, 1, 1, 1) * np.ones((5, 4, 4, 1))
    scan = _scan(volume, Units.DISPLAY, value_range=(0.0, 4.0))
    levels = [to_display(scan, slice_index=i)[0, 0, 0] for i in (None, 0, 4, 99)]
    assert levels == [128, 0, 255, 255]


def test_size_keeps_true_proportions() -> None:
    scan = _scan(np.zeros((1, 50, 100, 1)), spacing=(1.0, 4.0, 1.0))
    assert to_display(scan, size=80).shape == (80, 40, 3)
    assert max(thumbnail(scan).shape[:2]) == 160


def test_colour_stays_colour_and_blank_scans_are_shown() -> None:
    colour = np.zeros((1, 2, 2, 3))
    colour[..., 1] = 255
    shown = to_display(_scan(colour, Units.DISPLAY, value_range=(0.0, 255.0)))
    assert shown[0, 0].tolist() == [0, 255, 0]
    assert to_display(_scan(np.full((1, 4, 4, 1), 7.0), Units.MODALITY)).shape == (4, 4, 3)


def test_bad_windows_and_sizes_are_errors() -> None:
    with pytest.raises(ValueError, match="width"):
        to_display(_scan(RAMP), window=(0.0, 0.0))
    with pytest.raises(ValueError, match="size"):
        to_display(_scan(RAMP), size=0)
    assert all(width > 0 for _, width in WINDOW_PRESETS.values())
