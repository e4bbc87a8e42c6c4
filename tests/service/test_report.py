from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from pypdf import PdfReader

from tests.service.conftest import CLASSES, Run, done, lesions
from tests.service.made import adapted
from workbench.errors import SupportError
from workbench.service import artefacts, exporting, reading, versions
from workbench.service.exporting import Export
from workbench.service.kinds import Actor, Draft
from workbench.store import audit
from workbench.store.database import Store

pytestmark = pytest.mark.usefixtures("private_home")
NOTICE = "For research use. Not for diagnostic use."
DRAFT = Draft("Lesion <border> & co", CLASSES, population="Adults *of* one site", prevalence=(0.1, 0.9))


def made(store: Store, actor: Actor, condition: str, what: Export, run_jobs: Run) -> dict[str, bytes]:
    """What an export job makes, by ending."""
    job = exporting.start(store, actor, condition, what)
    run_jobs()
    done(store, actor, job)
    files = artefacts.of_condition(store, actor, condition, job_id=job.id)
    return {Path(one.name).suffix: artefacts.taken(store, actor, one.id)[1].read_bytes() for one in files}


def test_a_report_says_everything_in_both_forms(
    store: Store, ada: Actor, phantoms: Path, run_jobs: Run
) -> None:
    condition = adapted(store, ada, phantoms, run_jobs, labelled=5, draft=DRAFT)
    case = reading.cases(store, ada, condition.id)[0]
    reading.give_own(store, ada, case.scan.id, condition.classes[0].id)
    reading.give_verdict(store, ada, case.scan.id, "disagree")
    head = audit.verify(store).head
    files = made(store, ada, condition.id, Export.REPORT, run_jobs)
    page = files[".html"].decode()
    (version,) = versions.all(store, ada, condition.id)
    result = version.result
    sheets = [sheet.extract_text() for sheet in PdfReader(io.BytesIO(files[".pdf"])).pages]
    assert all(NOTICE in text for text in sheets)
    paper = " ".join(" ".join(sheets).split())
    assert result.accuracy is not None
    spoken = [
        f"{result.accuracy.n})",
        "Leave one patient out",
        "A miss weighs",
        "10 %",
        result.method,
        *result.statements,
        "disagree (Ada)",
        f"{condition.classes[0].name} (Ada)",
    ]
    assert "<border>" not in page
    for text in spoken:
        assert text in re.sub(r"&#39;", "'", page), text
        assert "".join(text.split()) in paper.replace(" ", ""), text
    seq = int(head.split(":")[0])
    assert re.search(rf"\b({seq}|{seq + 1}):[0-9a-f]{{64}}", page), "the audit trail's head"
    assert page.count("<svg") == 2, "confusion matrix and sensitivities; no forecast for untrained weights"


def test_a_page_asks_for_nothing_from_outside(
    store: Store, ada: Actor, phantoms: Path, run_jobs: Run
) -> None:
    condition = adapted(store, ada, phantoms, run_jobs, draft=DRAFT)
    page = made(store, ada, condition.id, Export.REPORT, run_jobs)[".html"].decode()
    assert "default-src 'none'" in page
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!#)", page)
    assert "@import" not in page
    assert "<script" not in page


def test_a_condition_without_a_version_has_a_report_and_no_card(
    store: Store, ada: Actor, run_jobs: Run
) -> None:
    condition = lesions(store, ada)
    page = made(store, ada, condition.id, Export.REPORT, run_jobs)[".html"].decode()
    assert "Nothing has been adapted yet." in page
    with pytest.raises(SupportError, match="Adapt first"):
        exporting.start(store, ada, condition.id, Export.CARD)


def test_a_model_card_is_markdown_that_names_its_weights(
    store: Store, ada: Actor, phantoms: Path, run_jobs: Run
) -> None:
    condition = adapted(store, ada, phantoms, run_jobs, cases=0, draft=DRAFT)
    card = made(store, ada, condition.id, Export.CARD, run_jobs)[".md"].decode()
    headings = re.findall(r"^## (.*)$", card, re.MULTILINE)
    assert headings[:2] == ["Model details", "Intended use"]
    assert "Caveats" in headings
    assert card.count(f"**{NOTICE}**") == 2
    assert r"Adults \*of\* one site" in card
    assert re.search(r"tiny, SHA-256 [0-9a-f]{64}", card.replace("\\", ""))
