"""A scan comes back from its file as it was, bit for bit, and without its file's name."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from workbench.errors import StoreError
from workbench.imaging.scan import Finding, Provenance, Scan, Severity, UltrasoundRegion, Units
from workbench.service.scanfile import open_scan, scan_bytes

numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=12)


def pixels() -> st.SearchStrategy[np.ndarray]:
    shape = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.sampled_from((1, 3)))
    values = st.one_of(
        st.floats(width=32),  # NaN, infinities and negative zero among them
        st.integers(-1024, 3071).map(float),
        st.integers(0, 255).map(float),
        st.integers(-(2**26), 2**26).map(lambda n: float(np.float32(n))),
    )
    kinds = st.sampled_from((values, st.integers(-1024, 3071).map(float), st.integers(0, 255).map(float)))
    return kinds.flatmap(lambda kind: arrays.arrays(np.float32, shape, elements=kind))


findings = st.builds(Finding, words, st.sampled_from(Severity), words, words)
pairs = st.tuples(numbers, numbers)
ranges = st.tuples(st.integers(0, 9), st.integers(0, 9))
scans = st.builds(
    Scan,
    pixels=pixels(),
    units=st.sampled_from(Units),
    modality=words,
    provenance=st.builds(Provenance, words, words, words, words),
    value_range=st.none() | pairs,
    body_part=words,
    spacing=st.none() | st.tuples(numbers, numbers, numbers),
    affine=st.none()
    | arrays.arrays(np.float64, (4, 4), elements=st.floats(allow_nan=False, allow_infinity=False)),
    window=st.none() | pairs,
    patient=st.none() | words,
    findings=st.lists(findings, max_size=3).map(tuple),
    ultrasound_regions=st.lists(
        st.builds(UltrasoundRegion, words, ranges, ranges, st.none() | pairs), max_size=2
    ).map(tuple),
    whole=words,
    marked=words,
    manufacturer=words,
)


def read_back(scan: Scan, folder: Path) -> Scan:
    path = folder / "scan"
    path.write_bytes(scan_bytes(scan))
    return open_scan(path).scan(scan.provenance.source)


@given(scan=scans)
@settings(max_examples=150, deadline=None)
def test_every_field_comes_back_as_it_was(scan: Scan, tmp_path_factory: pytest.TempPathFactory) -> None:
    back = read_back(scan, tmp_path_factory.mktemp("scan"))
    for field in fields(Scan):
        was, now = getattr(scan, field.name), getattr(back, field.name)
        if isinstance(was, np.ndarray):
            assert was.dtype == now.dtype
            assert was.tobytes() == now.tobytes(), field.name
        else:
            assert was == now, field.name


@pytest.mark.parametrize(
    ("values", "bytes_each"),
    [([0, 255], 1), ([-1024, 3071], 2), ([-5, 100], 1), ([0.5, 1], 4), ([0, 2**16 + 5], 4), ([-0.0, 1], 4)],
)
def test_whole_numbers_take_no_more_room_than_they_need(
    values: list[float], bytes_each: int, tmp_path: Path
) -> None:
    array = np.array(values, np.float32).reshape(1, 1, -1, 1)
    scan = Scan(array, Units.HOUNSFIELD, "CT", Provenance("", "DICOM", ""))
    path = tmp_path / "scan"
    path.write_bytes(scan_bytes(scan))
    assert open_scan(path).stored.dtype.itemsize == bytes_each


def test_the_name_of_the_file_is_not_kept(tmp_path: Path) -> None:
    scan = Scan(
        np.zeros((1, 2, 2, 1), np.float32), Units.DISPLAY, "OT", Provenance("Doe_Jane.png", "PNG", "x")
    )
    content = scan_bytes(scan)
    assert b"Doe" not in content
    (tmp_path / "scan").write_bytes(content)
    assert open_scan(tmp_path / "scan").scan().provenance == replace(scan.provenance, source="")


def test_a_file_that_is_cut_short_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    scan = Scan(np.ones((1, 4, 4, 1), np.float32), Units.DISPLAY, "OT", Provenance("", "PNG", ""))
    content = scan_bytes(scan)
    for number, broken in enumerate(
        (content[:-1], b"", content[:20], b"\xff" * 64, content.replace(b"pixels", b"qixels"))
    ):
        path = tmp_path / str(number)
        path.write_bytes(broken)
        with pytest.raises(StoreError):
            open_scan(path)
    with pytest.raises(StoreError):
        open_scan(tmp_path / "absent")
