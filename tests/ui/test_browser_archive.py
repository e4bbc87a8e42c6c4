"""Series from a PACS on the page, in Chromium against a real Orthanc."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from tests.pacs.conftest import described
from tests.pacs.orthanc import PASSWORD, USER, running
from ui.serving import Serving
from workbench.pacs.connect import open_archive

from .browser import visit
from .people import Person, client, files_that_hold
from .serve import Served, served

pytestmark = pytest.mark.browser
PATIENT, UID = "SECRET-31", "1.2.826.0.1.3680043.10.997.1"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, phantoms: Path, weights: Path) -> Iterator[Served]:
    """A page whose site has an archive with one study in it."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch, running(folder / "orthanc") as orthanc:
        patch.setenv("TEST_PACS", f"{USER}:{PASSWORD}")
        (folder / "archives.toml").write_text(
            f'[archives.main]\nkind = "dicomweb"\nurl = "{orthanc.url}/dicom-web"\nauth = "basic"\n'
            'secret = "env:TEST_PACS"\ntls = false\n'
        )
        patch.setenv("WORKBENCH_ARCHIVES", str(folder / "archives.toml"))
        image = pydicom.dcmread(next((phantoms / "smooth").iterdir()))
        image.PatientID, image.StudyDescription, image.StudyInstanceUID = PATIENT, "Chest <b>", UID
        image.SeriesInstanceUID = f"{UID}.1"
        image.save_as(folder / "one.dcm")
        assert open_archive("web", described(orthanc)).store([folder / "one.dcm"]).failed == ()
        with served(folder / "data", Serving(weights=weights, workers=1)) as found:
            yield found


def test_a_series_is_found_ticked_and_brought_in(site: Served) -> None:
    with client(site.address, headers={"X-Workbench": "1"}) as http:
        http.get("/")  # which signs the one person of this machine in
        Person(http).condition("smooth", "spiculated", title="From the archive")
    with visit(site.address) as here:
        page = here.page
        page.click("[data-action=open]")
        page.click("[data-action=go][data-value=scans]")
        page.click("wb-archive summary")
        page.fill("wb-archive input[name=patient]", PATIENT)
        page.click("wb-archive button:has-text('Find studies')")
        page.click("wb-archive button:has-text('Series')")
        page.wait_for_selector("wb-archive button:has-text('Bring in')")
        here.shot("archive-series")
        page.click("wb-archive button:has-text('Bring in')")
        page.wait_for_selector("text=Being brought in")
        page.wait_for_selector(".wb-scan-name", timeout=120_000)  # the worker has to start first
        here.shot("archive-scans")
        assert here.complaints == []
    assert files_that_hold(PATIENT, site.store.data_dir) == []
