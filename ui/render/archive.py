"""Querying the picture archive: what to look for, the studies that match, and bringing them in."""

from __future__ import annotations

from collections.abc import Sequence

from ui.render.markup import esc, notice, symbol
from ui.state import Found
from workbench.pacs.archive import StudyMatch
from workbench.service.pacs import ArchiveInfo


def panel(archives: Sequence[ArchiveInfo], found: Found | None) -> str:
    """Folded away until it is asked for; nothing where no archive is set up."""
    if not archives:
        return ""
    chosen = found.archive if found is not None else archives[0].name
    options = "".join(
        f'<option value="{esc(one.name)}"{" selected" if one.name == chosen else ""}>{esc(one.name)}</option>'
        for one in archives
    )
    warnings = "".join(notice("warning", f"{one.name}: {one.warning}") for one in archives if one.warning)
    return (
        '<details class="wb-fold" id="wb-archive"><summary>Query the PACS'
        f'<small>{len(archives)} set up</small></summary><div class="wb-stack">'
        '<form class="wb-query" data-submit="query" autocomplete="off">'
        f'<div class="wb-field"><label for="wb-q-archive">Archive</label>'
        f'<select id="wb-q-archive" name="archive" data-chosen="{esc(chosen)}">{options}</select></div>'
        f"{_field('patient', 'Patient ID', '')}{_field('accession', 'Accession number', '')}"
        f"{_field('since', 'From', '20260131')}{_field('until', 'To', '20260228')}"
        f"{_field('modality', 'Modality', 'CT')}{_field('description', 'Description', '*knee*')}"
        f'<button class="wb-button wb-quiet">{symbol("search")}Find</button></form>{warnings}'
        f"{_matches(found) if found is not None else ''}</div></details>"
    )


def _field(name: str, label: str, example: str) -> str:
    return (
        f'<div class="wb-field"><label for="wb-q-{name}">{label}</label>'
        f'<input id="wb-q-{name}" name="{name}" placeholder="{esc(example)}" maxlength="64"></div>'
    )


def _matches(found: Found) -> str:
    if not found.studies:
        return notice("info", f"{found.archive} has no study that matches.")
    rows = "".join(_row(number, study) for number, study in enumerate(found.studies))
    return (
        '<form data-submit="retrieve"><table class="wb-table"><thead><tr><th scope="col">'
        '<span class="wb-hidden">Bring in</span></th><th scope="col">Date</th><th scope="col">Patient ID</th>'
        '<th scope="col">Modality</th><th scope="col">Description</th><th scope="col">Images</th></tr>'
        "</thead>"
        f"<tbody>{rows}</tbody></table>"
        '<div class="wb-line"><button class="wb-button wb-quiet">Bring in what is ticked</button>'
        '<span class="wb-aside">Patient IDs are shown here only; a keyed number is stored in their place.'
        "</span></div></form>"
    )


def _row(number: int, study: StudyMatch) -> str:
    date = f"{study.date[:4]}-{study.date[4:6]}-{study.date[6:]}" if len(study.date) == 8 else study.date
    images = "" if study.instances is None else str(study.instances)
    return (
        f'<tr><td><input type="checkbox" name="study" value="{number}" aria-label="Study {number + 1}"></td>'
        f'<th scope="row">{esc(date)}</th><td>{esc(study.patient)}</td><td>{esc(", ".join(study.modalities))}'
        f"</td><td>{esc(study.description)}</td><td>{images}</td></tr>"
    )
