"""A statement, a series it is about, and an adapted model to read it with."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset

from tests.helpers import striped_cohort
from tests.imaging.makers import ct, save
from tests.pacs.conftest import archives, described, made_series, orthanc, receiver_port  # noqa: F401
from workbench.learners.files import ClassifierRecord
from workbench.learners.reading import CaseReading
from workbench.results.sources import SourcedScan, sourced_scans
from workbench.results.statement import Statement, statement_of

RECORD = ClassifierRecord(
    method="prototypical",
    options={},
    learner="general",
    learner_sha256="a" * 64,
    classes=("benign", "bösartig"),
    shots=(5, 6),
    support_sha256="b" * 64,
    modality="CT",
)
MODEL = "c" * 64


def hounsfield(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.int16]:
    """A picture of a striped cohort, ``(rows, columns, channels)``, as one slice in HU."""
    return image[..., 0].astype(np.int16) * 4 - 500


def labelled_slices(folder: Path, patients: int) -> Path:
    """Class folders of CT slices with a stripe whose height tells the class."""
    cohort = striped_cohort(way=2, patients=patients)
    for row, (image, label) in enumerate(zip(cohort.images, cohort.labels, strict=True)):
        slice_ = ct(hounsfield(image), position=None)
        slice_.PatientID = f"support-{row}"
        save(slice_, folder / cohort.classes[label] / f"{row}.dcm")
    return folder


@pytest.fixture
def statement() -> Statement:
    return statement_of(CaseReading(("benign", "bösartig"), (0.25, 0.75)), RECORD, MODEL)


@pytest.fixture
def sourced(tmp_path: Path) -> SourcedScan:
    made_series(tmp_path / "series", study="51")
    (found,) = sourced_scans([tmp_path / "series"])
    assert isinstance(found, SourcedScan)
    return found


@pytest.fixture
def flaws(tmp_path: Path) -> Callable[[Dataset], list[str]]:
    """What `dciodvfy` finds wrong with an object: errors, not warnings."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("no dciodvfy here (Debian: dicom3tools)")

    def check(dataset: Dataset) -> list[str]:
        path = tmp_path / "checked.dcm"
        dataset.save_as(path, enforce_file_format=True)
        done = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
        said = (done.stdout + done.stderr).splitlines()
        assert dataset.SOPClassUID in (
            "1.2.840.10008.5.1.4.1.1.88.33",
            "1.2.840.10008.5.1.4.1.1.7",
        )
        assert any("SR" in line or "SCImage" in line for line in said), said
        return [line for line in said if line.startswith("Error")]

    return check
