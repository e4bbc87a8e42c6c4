"""Against a real Orthanc: series come in as an import, results go back, and no identifier stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from tests.pacs.conftest import described
from tests.pacs.orthanc import PASSWORD, USER, Orthanc, running
from tests.service.conftest import Run, class_files, done, lesions
from tests.service.made import adapted
from workbench.errors import NotAllowed, NotFound, PacsError, SupportError
from workbench.pacs.archive import Query, Selection
from workbench.pacs.config import ArchivesFile
from workbench.pacs.connect import open_archive
from workbench.service import pacs, reading, trays, work
from workbench.service.kinds import Actor, Role
from workbench.store import audit
from workbench.store.database import Store

pytestmark = pytest.mark.usefixtures("private_home")
PATIENT, UID = "SECRET-PATIENT-7", "1.2.826.0.1.3680043.10.998"


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture
def archives(orthanc: Orthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArchivesFile:
    """The archives file on disk, and as it is read."""
    monkeypatch.setenv("TEST_PACS", f"{USER}:{PASSWORD}")
    found = described(orthanc)
    lines = []
    for name, one in found.archives.items():
        lines.append(f"[archives.{name}]")
        for key, value in one.model_dump(exclude_none=True).items():
            lines.append(f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}")
    path = tmp_path / "archives.toml"
    path.write_text("\n".join(lines).replace("'", '"'))
    monkeypatch.setenv("WORKBENCH_ARCHIVES", str(path))
    return found


@pytest.fixture
def sent(archives: ArchivesFile, phantoms: Path, tmp_path: Path) -> list[Selection]:
    """Two phantoms that the support does not have, in the archive as studies of one patient."""
    paths = []
    for number, (_, path) in enumerate(class_files(phantoms, 1, first=6), start=1):
        image = pydicom.dcmread(path)
        image.PatientID, image.AccessionNumber = PATIENT, f"ACC-{number}"
        image.StudyInstanceUID, image.SeriesInstanceUID = f"{UID}.{number}", f"{UID}.{number}.1"
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"{UID}.{number}.1.1"
        target = tmp_path / f"sent{number}.dcm"
        image.save_as(target)
        paths.append(target)
    assert open_archive("web", archives).store(paths).failed == ()
    return [Selection(f"{UID}.{number}") for number in (1, 2)]


def traces(folder: Path) -> list[str]:
    """Files below a folder that hold an identifier of the study or the patient."""
    wanted = (PATIENT.encode(), UID.encode(), b"ACC-1")
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and any(one in path.read_bytes() for one in wanted)
    ]


def test_series_come_in_as_cases_and_reports_go_back(
    store: Store, ada: Actor, phantoms: Path, run_jobs: Run, sent: list[Selection], archives: ArchivesFile
) -> None:
    condition = adapted(store, ada, phantoms, run_jobs, labelled=2, cases=0)
    assert [one.name for one in pacs.archives(ada)] == ["web", "dimse"]
    found = pacs.studies(store, ada, "web", Query(patient=PATIENT))
    assert {one.uid for one in found} == {one.study for one in sent}
    (series,) = pacs.series(store, ada, "web", sent[0].study)
    chosen = [Selection(sent[0].study, series.uid), sent[1]]
    job = pacs.retrieve(store, ada, condition.id, "web", chosen, "case")
    assert work.job(store, ada, job.id).state == "queued"
    run_jobs()
    done(store, ada, job)
    cases = reading.cases(store, ada, condition.id)
    assert len(cases) == 2
    assert all(case.reading is not None for case in cases)
    assert traces(store.data_dir) == [], "neither the database nor a file of the store names the study"

    job = pacs.send_results(store, ada, condition.id, "dimse", sent)
    run_jobs()
    done(store, ada, job)
    assert traces(store.data_dir) == []
    archive = open_archive("web", archives)
    reports = [one for one in archive.find_series(Query(study=sent[0].study)) if one.modality == "SR"]
    assert len(reports) == 1
    lines = list(audit.export(store))
    assert sum('"pacs.query"' in line for line in lines) == 2
    assert any('"pacs.sent"' in line and '"sent": 2' in line for line in lines)
    assert not any(PATIENT in line or UID in line for line in lines)


def test_a_study_that_nobody_read_gets_no_report(
    store: Store, ada: Actor, phantoms: Path, run_jobs: Run, sent: list[Selection]
) -> None:
    condition = adapted(store, ada, phantoms, run_jobs, labelled=2, cases=0)
    job = pacs.send_results(store, ada, condition.id, "web", sent)
    run_jobs()
    failed = work.job(store, ada, job.id)
    assert failed.state == "failed"
    assert "No image of the study is a case" in failed.error
    assert traces(store.data_dir) == []


def test_what_cannot_be_retrieved_leaves_nothing(
    store: Store, ada: Actor, run_jobs: Run, phantoms: Path, archives: ArchivesFile
) -> None:
    condition = adapted(store, ada, phantoms, run_jobs, labelled=2, cases=0)
    job = pacs.retrieve(store, ada, condition.id, "web", [Selection(f"{UID}.404")], "support")
    run_jobs()
    assert work.job(store, ada, job.id).state == "failed"
    assert traces(store.data_dir) == []
    assert len(trays.scans(store, ada, condition.id, "support")) == 4


def test_who_may_ask_an_archive(store: Store, ada: Actor, archives: ArchivesFile) -> None:
    reader, condition = Actor(ada.user_id, ada.name, Role.READER, ada.reader), lesions(store, ada)
    with pytest.raises(NotAllowed):
        pacs.archives(reader)
    with pytest.raises(NotAllowed):
        pacs.studies(store, reader, "web", Query(patient=PATIENT))
    with pytest.raises(PacsError, match="Nothing to look for"):
        pacs.studies(store, ada, "web", Query())
    with pytest.raises(PacsError, match="no archive of that name"):
        pacs.retrieve(store, ada, condition.id, "elsewhere", [Selection("1.2")], "case")
    with pytest.raises(SupportError, match="Choose 1 to"):
        pacs.retrieve(store, ada, condition.id, "web", [], "case")
    with pytest.raises(NotFound):
        pacs.retrieve(store, ada, "x", "elsewhere", [], "case")
