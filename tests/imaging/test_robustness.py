"""Whatever the bytes, only `ScanRefused` leaves the reader."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.imaging.makers import asymmetric, ct
from workbench.errors import ScanRefused
from workbench.imaging import Scan, read_scan


@cache
def _originals() -> dict[str, bytes]:
    """One small valid file of each kind."""
    found: dict[str, bytes] = {}
    for name, array in (("grey", asymmetric()[0]), ("colour", np.zeros((4, 4, 3), np.uint8))):
        stream = io.BytesIO()
        ct(array).save_as(stream, enforce_file_format=True)
        found[f"dicom {name}"] = stream.getvalue()
    found["nifti"] = nib.Nifti1Image(asymmetric(), np.eye(4)).to_bytes()
    picture = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    for form in ("PNG", "JPEG", "BMP", "TIFF"):
        stream = io.BytesIO()
        picture.save(stream, form)
        found[form] = stream.getvalue()
    return found


Edits = list[tuple[int, int]]


@pytest.mark.parametrize("kind", ["dicom grey", "dicom colour", "nifti", "PNG", "JPEG", "BMP", "TIFF"])
@settings(
    max_examples=50,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    edits=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=8),
    cut=st.none() | st.integers(0, 2000),
)
@example(edits=[], cut=None)
def test_damaged_files_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, kind: str, edits: Edits, cut: int | None
) -> None:
    # Read here, since what a worker refuses comes back without its cause.
    data = bytearray(_originals()[kind])
    for position, value in edits:
        data[position % len(data)] = value
    path = tmp_path_factory.getbasetemp() / f"damaged {kind}"
    path.write_bytes(data[:cut])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_WORKERS", "0")
        outcome = _outcome(path)
    if isinstance(outcome, ScanRefused):
        assert str(path.parent) not in str(outcome)
        assert not isinstance(outcome.__cause__, NameError | ImportError | AssertionError)
    else:
        assert np.isfinite(outcome.pixels).all()


def _outcome(path: Path) -> Scan | ScanRefused:
    try:
        return read_scan(path)
    except ScanRefused as error:
        return error
