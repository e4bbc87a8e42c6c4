"""No planted identifier is in anything that can be taken away, whatever form it has."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from pypdf import PdfReader

from tests.canaries import Planter, needles, needles_below, planted_scans
from tests.service.conftest import Run, done, upload
from workbench.service import (
    adapting,
    artefacts,
    conditions,
    evaluating,
    exporting,
    labels,
    reading,
    versions,
)
from workbench.service.exporting import Export
from workbench.service.kinds import Actor, Draft
from workbench.service.tables import readings_csv, readings_json
from workbench.store import audit
from workbench.store.database import Store

pytestmark = pytest.mark.usefixtures("private_home")


def below(folder: Path) -> list[tuple[str, Path]]:
    """Every file below a folder, under its path there."""
    return [
        (path.relative_to(folder).as_posix(), path) for path in sorted(folder.rglob("*")) if path.is_file()
    ]


def inside(content: bytes) -> bytes:
    """The file, and the text of a PDF, whose fonts spell it in codes of their own."""
    if content.startswith(b"%PDF"):
        document = PdfReader(io.BytesIO(content))
        text = "\n".join(sheet.extract_text() for sheet in document.pages)
        return content + text.encode() + str(document.metadata).encode()
    return content


def test_nothing_planted_is_in_anything_taken_away(
    store: Store, ada: Actor, run_jobs: Run, tmp_path: Path
) -> None:
    planter = Planter()
    folders = [
        planted_scans(tmp_path / planter.name(), planter, seed=seed, patients=patients)
        for seed, patients in ((5, 2), (6, 1), (7, 2))
    ]
    condition = conditions.create(store, ada, Draft("Weather", ("calm", "storm")))
    upload(store, ada, condition.id, below(folders[0]))
    run_jobs()
    assert labels.accept_hints(store, ada, condition.id) > 8
    adapting.start(store, ada, condition.id)
    run_jobs()
    assert versions.all(store, ada, condition.id)
    upload(store, ada, condition.id, below(folders[1]), role="case")
    cohort = upload(store, ada, condition.id, below(folders[2]), role="cohort")
    run_jobs()
    assert any(case.reading for case in reading.cases(store, ada, condition.id))
    jobs = [evaluating.start(store, ada, condition.id, cohort.id)]
    jobs += [exporting.start(store, ada, condition.id, what) for what in Export]
    run_jobs()
    for job in jobs:
        done(store, ada, job)
    files = artefacts.of_condition(store, ada, condition.id)
    assert {Path(one.name).suffix for one in files} == {".html", ".pdf", ".csv", ".json", ".md", ".zip"}
    for one in files:
        content = artefacts.taken(store, ada, one.id)[1].read_bytes()
        assert needles(inside(content)) == set(), one.name
    assert needles(readings_csv(store, ada, condition.id)) == set()
    assert needles(readings_json(store, ada, condition.id)) == set()
    assert needles("".join(audit.export(store)).encode()) == set()
    # Names of files that were refused are kept for their uploader in the import's own folder, for a while.
    kept = [name for name in needles_below(store.data_dir) if not name.startswith("spool/")]
    assert kept == []
