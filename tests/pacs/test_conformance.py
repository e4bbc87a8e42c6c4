"""The conformance statement says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from workbench.pacs.association import MOST_CONTEXTS
from workbench.pacs.cget import FEW_SYNTAXES
from workbench.pacs.config import ReceiverSettings
from workbench.pacs.matches import INSTANCE_KEYS, SERIES_KEYS, STUDY_KEYS
from workbench.pacs.sopclasses import IMAGES, RESULTS, STORAGE, TRANSFER_SYNTAXES
from workbench.results.codes import PRIVATE, SCHEME
from workbench.results.overlay import SERIES_NUMBER as OVERLAYS
from workbench.results.structured_report import SERIES_NUMBER as REPORTS
from workbench.results.structured_report import TEMPLATE

PAGE = Path(__file__).parents[2] / "docs" / "dicom-conformance.md"


def rows(heading: str) -> list[list[str]]:
    """Cells of the first table below a heading, without the table's own heading."""
    text = PAGE.read_text(encoding="utf-8").split(f"# {heading}\n", 1)[1]
    table = re.search(r"^\|.*?(?=\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    assert table is not None
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.group().splitlines()[2:]]


def test_storage_classes_are_those_of_the_code() -> None:
    assert rows("Storage SOP classes") == [[one.name, str(one), "yes", "yes"] for one in STORAGE]
    assert len(set(STORAGE)) == len(IMAGES) + len(RESULTS)


def test_transfer_syntaxes_are_those_of_the_code() -> None:
    assert rows("Transfer syntaxes") == [[one.name, str(one)] for one in TRANSFER_SYNTAXES]


def test_private_codes_are_those_of_the_code() -> None:
    assert rows("Private coding scheme") == [[one.value, one.meaning] for one in PRIVATE]
    assert {one.scheme_designator for one in PRIVATE} == {SCHEME}


def test_search_keys_are_those_of_the_code() -> None:
    named = {key.strip() for row in rows("Search keys") for key in row[0].split(",")}
    assert named == {*STUDY_KEYS, *SERIES_KEYS, *INSTANCE_KEYS}


def test_contexts_for_unknown_classes_fit_into_one_association() -> None:
    assert len(STORAGE) * len(FEW_SYNTAXES) + 1 <= MOST_CONTEXTS


def test_numbers_in_the_text_are_those_of_the_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert f"number {REPORTS}" in text
    assert f"number {OVERLAYS}" in text
    assert f"TID {TEMPLATE}" in text
    default = ReceiverSettings(calling=("PACS",), tls=False)
    assert f"`timeout`, {default.timeout:.0f} s" in text
