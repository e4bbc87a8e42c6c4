"""One Orthanc for all tests of archives, and a series to send."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.imaging.makers import ct, save
from tests.pacs.orthanc import OURS, PASSWORD, TITLE, USER, Orthanc, free_port, running
from workbench.pacs.archive import Archive
from workbench.pacs.config import ArchivesFile
from workbench.pacs.connect import open_archive

PATIENT = "SECRET-17"


@pytest.fixture(scope="session")
def receiver_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory, receiver_port: int) -> Iterator[Orthanc]:
    with running(tmp_path_factory.mktemp("orthanc"), receiver_port) as server:
        yield server


@pytest.fixture
def archives(orthanc: Orthanc, monkeypatch: pytest.MonkeyPatch) -> ArchivesFile:
    monkeypatch.setenv("TEST_PACS", f"{USER}:{PASSWORD}")
    return described(orthanc)


def described(server: Orthanc) -> ArchivesFile:
    """The archives file of a server: ``web`` and ``dimse``, unencrypted."""
    web = {
        "kind": "dicomweb",
        "url": f"{server.url}/dicom-web",
        "auth": "basic",
        "secret": "env:TEST_PACS",
        "tls": False,
    }
    dimse = {
        "kind": "dimse",
        "host": "localhost",
        "port": server.dicom,
        "called": TITLE,
        "calling": OURS,
        "tls": False,
    }
    return ArchivesFile.model_validate({"archives": {"web": web, "dimse": dimse}})


@pytest.fixture(params=["web", "dimse"])
def archive(request: pytest.FixtureRequest, archives: ArchivesFile) -> Archive:
    """The same server through each protocol."""
    return open_archive(request.param, archives)


def made_series(folder: Path, slices: int = 3, study: str = "9", patient: str = PATIENT) -> list[Path]:
    """A small CT series with everything that can be searched for; the study's UID ends in `study`."""
    paths = []
    for number in range(slices):
        image = ct(np.full((8, 8), number, np.int16), (0.0, 0.0, 2.0 * number))
        uid = f"1.2.826.0.1.3680043.10.999.{study}"
        image.StudyInstanceUID, image.SeriesInstanceUID = uid, f"{uid}.1"
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"{uid}.1.{number + 1}"
        image.PatientID, image.AccessionNumber, image.StudyDate = patient, f"ACC{study}", "20240229"
        image.StudyDescription, image.SeriesDescription = "Chest follow-up", "Thin slices"
        image.StudyTime, image.StudyID, image.SeriesNumber = "101500", study, 4
        image.InstanceNumber = number + 1
        image.PatientBirthDate, image.PatientSex = "19700101", "F"
        image.ReferringPhysicianName, image.Manufacturer = "", "Test"
        paths.append(save(image, folder / f"slice{number}.dcm"))
    return paths
