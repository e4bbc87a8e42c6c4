"""Archives over HTTP: what is asked and found goes to the asker and stays nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pacs.conftest import described, made_series
from tests.pacs.orthanc import PASSWORD, USER, Orthanc, running
from workbench.pacs.connect import open_archive

from .people import Person, files_that_hold, signed_in
from .serve import Served

PATIENT = "SECRET-21"


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture
def described_archive(orthanc: Orthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One archive with a study of three images."""
    monkeypatch.setenv("TEST_PACS", f"{USER}:{PASSWORD}")
    (tmp_path / "archives.toml").write_text(
        f"""[archives.main]
kind = "dicomweb"
url = "{orthanc.url}/dicom-web"
auth = "basic"
secret = "env:TEST_PACS"
tls = false
"""
    )
    monkeypatch.setenv("WORKBENCH_ARCHIVES", str(tmp_path / "archives.toml"))
    sent = made_series(tmp_path / "sent", study="77", patient=PATIENT)
    assert open_archive("web", described(orthanc)).store(sent).failed == ()


@pytest.mark.usefixtures("described_archive")
def test_an_editor_finds_studies_and_nothing_of_it_is_kept(department: Served, ben: Person) -> None:
    (main,) = ben.ask("GET", "/api/v1/archives")
    assert main["name"] == "main"
    body = {"archive": "main", "patient": PATIENT}
    answer = ben.http.post("/api/v1/archives/studies", json=body)
    assert answer.headers["cache-control"] == "no-store"
    (study,) = answer.json()
    assert (study["patient"], study["instances"]) == (PATIENT, 3)
    (series,) = ben.ask("POST", "/api/v1/archives/series", json={"archive": "main", "study": study["uid"]})
    assert series["modality"] == "CT"
    folder = department.store.data_dir
    assert files_that_hold(PATIENT, folder) == []
    assert "workbench.sqlite3" in files_that_hold("SQLite format 3", folder), "it does look"


@pytest.mark.usefixtures("described_archive")
def test_what_cannot_be_asked_is_refused_without_being_quoted(department: Served, ben: Person) -> None:
    answer = ben.http.post("/api/v1/archives/studies", json={"archive": "main"})
    assert answer.status_code == 422
    assert "Nothing to look for" in answer.json()["title"]
    answer = ben.http.post("/api/v1/archives/studies", json={"archive": "main", "patient": f"{PATIENT}*"})
    assert answer.status_code == 422
    assert PATIENT not in answer.text
    condition = ben.condition(title="from the archive")
    chosen = {"archive": "main", "chosen": [{"study": "../../etc"}]}
    assert ben.http.post(f"/api/v1/conditions/{condition}/retrievals", json=chosen).status_code == 422
    with signed_in(department.address, "cy") as reader:
        assert reader.http.get("/api/v1/archives").status_code == 403
        body = {"archive": "main", "patient": PATIENT}
        assert reader.http.post("/api/v1/archives/studies", json=body).status_code == 403


def test_without_an_archives_file_there_is_none(
    ben: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_ARCHIVES", str(tmp_path / "none.toml"))
    assert ben.ask("GET", "/api/v1/archives") == []
