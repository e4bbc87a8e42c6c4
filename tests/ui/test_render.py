from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from tests.userfiles import picture
from ui.former import work
from ui.former.exports import cell, readings_csv, readings_json
from ui.former.render import chrome, reading, tray
from ui.former.render.estimate import estimate, in_words
from ui.former.session import Session
from workbench.adaptation.estimate import Estimate
from workbench.errors import ScanRefused

from .test_work import labelled as labelled
from .test_work import quiet

EVIL = "\"><img src=x onerror=alert(1)>${alert(1)}{{value}}'<script>"


def plain(html: str) -> str:
    return re.sub(r"<[^>]+>", "", html)


def test_names_from_files_and_people_never_become_markup(labelled: Session, engine: work.Engine) -> None:
    work.describe_condition(labelled, EVIL, [EVIL, "well"])
    labelled.step = 2
    first = labelled.trays[0].scans[0]
    scan = replace(first.scan, provenance=replace(first.scan.provenance, source=EVIL))
    labelled.trays[0].scans[0] = replace(first, scan=scan)
    labelled.trays[0].refused.append(ScanRefused(EVIL, EVIL, EVIL))
    labelled.refused_cases.append(ScanRefused(EVIL, EVIL, EVIL))
    work.adapt(labelled, engine, "prototypical", quiet)
    assert labelled.adapted is not None
    labelled.cases = work._cases([labelled.trays[0].scans[0]], labelled.adapted)
    pages = [
        chrome.header(labelled),
        tray.heading(labelled.trays[0], 0),
        tray.body(labelled.trays[0]),
        estimate(labelled.adapted),
        reading.worklist(labelled),
        reading.viewer(labelled),
        reading.reading(labelled),
    ]
    for page in pages:
        assert "<img src=x" not in page
        assert "<script" not in page
        assert 'onerror="' not in page
    assert "onerror" in plain(pages[1])  # it is shown, as text


def test_every_screen_says_research_use() -> None:
    assert "For research use. Not for diagnostic use." in chrome.banner()


def test_the_estimate_is_in_words_with_interval_and_n(labelled: Session, engine: work.Engine) -> None:
    work.adapt(labelled, engine, "prototypical", quiet)
    assert labelled.adapted is not None
    said = in_words(labelled.adapted.estimate.performance)
    assert re.fullmatch(r"right in \d+ of 10 patients \([\d.]+-[\d.]+ %\)", said)
    shown = plain(estimate(labelled.adapted))
    assert "95 % interval" in shown
    assert "guessing" in shown


def test_too_few_patients_give_no_figure(labelled: Session, engine: work.Engine) -> None:
    for held in list(labelled.trays[0].scans[1:]):
        work.remove_scan(labelled, held.key)
    work.adapt(labelled, engine, "prototypical", quiet)
    assert labelled.adapted is not None
    assert isinstance(labelled.adapted.estimate, Estimate)
    shown = plain(estimate(labelled.adapted))
    assert "Too few to say" in shown
    assert "Right in" not in shown


def test_exports_neutralise_formulas_and_say_what_they_are_for(
    labelled: Session, engine: work.Engine
) -> None:
    work.adapt(labelled, engine, "prototypical", quiet)
    labelled.refused_cases.append(ScanRefused("=HYPERLINK(1)", "It is bad.", "Fix it."))
    table = readings_csv(labelled, names=True)
    assert "'=HYPERLINK" in table
    assert "HYPERLINK" not in readings_csv(labelled) + readings_json(labelled)
    assert "For research use" in table
    assert "For research use" in readings_json(labelled)
    assert [cell(text) for text in ("+1", "-1", "@x", "=1", "\t=1", "plain")] == [
        "'+1", "'-1", "'@x", "'=1", "'\t=1", "plain",
    ]  # fmt: skip


def test_the_page_says_how_the_method_was_chosen(labelled: Session, engine: work.Engine) -> None:
    work.adapt(labelled, engine, "auto", quiet)
    assert labelled.adapted is not None
    said = labelled.adapted.model.record.choice
    assert said.startswith("Adapts as committee")
    assert said in plain(estimate(labelled.adapted))
    assert said in readings_json(labelled)
    work.adapt(labelled, engine, "linear-probe", quiet)
    assert "Adapts as" not in plain(estimate(labelled.adapted))


def test_a_reading_shows_its_set_its_promise_and_whether_it_is_like_the_labelled_scans(
    labelled: Session, engine: work.Engine, tmp_path: Path
) -> None:
    work.adapt(labelled, engine, "prototypical", quiet)
    copied = picture(tmp_path / "new.png", 77)
    work.read_new(labelled, {copied: "new.png"}, quiet)
    shown = plain(reading.reading(labelled))
    case = labelled.case
    assert case is not None
    assert case.reading.set is not None
    assert "Plausible" in shown
    assert case.reading.set.promise.statement in shown
    assert "labelled" in shown
    assert "What more patients would bring" in shown or "more patients per class" in shown
    table = json.loads(readings_json(labelled))
    assert table["readings"][0]["set"]["statement"] == case.reading.set.promise.statement
    assert table["outlook"]
    assert "calibrated" in readings_csv(labelled).splitlines()[0]
