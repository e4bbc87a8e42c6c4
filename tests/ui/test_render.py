"""What the desk's screens say of hand-made facts: text never becomes markup, colour never speaks alone."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from ui.render import archive, define, frame, label, scans, worklist
from ui.state import Action, At, Desk, Found, Notice, Staged
from ui.views.define import _checked
from workbench.errors import SupportError
from workbench.imaging.scan import Finding, Severity
from workbench.pacs.archive import StudyMatch
from workbench.service.kinds import (
    Actor,
    Agreement,
    Batch,
    ClassInfo,
    ConditionInfo,
    Draft,
    Interval95,
    JobInfo,
    Level,
    Light,
    Refusal,
    Role,
    ScanInfo,
    Suggested,
    SuggestedScans,
)
from workbench.service.pacs import ArchiveInfo

EVIL = "\"><img src=x onerror=alert(1)>${alert(1)}{{value}}'<script>"
ADA = Actor("a" * 32, "ada", Role.ADMIN, "Dr Ada")


def job(kind: str = "import", state: str = "done", done: int = 0, total: int = 0) -> JobInfo:
    return JobInfo("j" * 32, kind, "c" * 32, state, done, total, "Reading files", "", 1.0, 2.0)


def condition(text: str = "osteoporosis") -> ConditionInfo:
    draft = Draft(text, (text, "normal"), "DX", text, text, (0.2, 0.8), 4.0)
    return ConditionInfo(
        id="c" * 32, draft=draft, level=Level.OWN, owner=text,
        classes=(ClassInfo("k1", text, 6, 5), ClassInfo("k2", "normal", 4, 4)),
        status="stale", said=text, scans=12, unlabelled=1, unsure=1, disputed=1, cases=3, unread=2, version=2,
        revision=7, created=1.0, edited=2.0, archived=False, demo=True, shared=((text, "edit"),),
        missing=text,
    )  # fmt: skip


def scan(text: str = "", **changed: object) -> ScanInfo:
    made = ScanInfo(
        "s" * 32, 7, "support", Light.WARNING,
        (Finding("note", Severity.INFO, text or "Fine.", ""), Finding("bad", Severity.WARNING, text, text)),
        20, 64, 48, 1, "CT", text, "HU", text or "abcdef0123", hint=text, doubt=text, readers=2,
    )  # fmt: skip
    return replace(made, **changed)  # type: ignore[arg-type]


def pages(text: str) -> list[str]:
    """Every screen of the desk with a text everywhere."""
    open_one, one = condition(text), scan(text)
    at = At(replace(ADA, reader=text), open_one, "label", Desk("label", open_one.id), (job(state="running"),))
    running = job(state="running", done=1, total=4)
    batch = Batch(job(), (one.id,), (Refusal(text, text, text),), ((text, 3),), (text,))
    agreement = Agreement((text,), Interval95(0.6, 0.3, 0.8, 12), 12, (one.id,), text)
    suggested = SuggestedScans((Suggested(one.id, 7, text, text, 0.5),), text, text)
    study = StudyMatch("1.2.3", text, text, "20260131", (text,), text, 3)
    found = Found(text, (study,))
    disputed = replace(one, disputed=True)
    return [
        frame.top(at, True),
        frame.rail(at),
        frame.said(Notice("warning", text)),
        worklist.rows((open_one,), {open_one.id: running}, open_one.id, Role.ADMIN),
        define.page(open_one.draft, open_one, None),
        define.page(open_one.draft, None, open_one),
        define.sharing(open_one),
        scans.staged(Staged("j" * 32, (text,), (text, "b"))),
        scans.body(open_one, [one], [batch, batch], (job(state="running"),), "all"),
        scans.hints(open_one, [replace(one, label=None, readers=0)]),
        archive.panel((ArchiveInfo(text, text),), found),
        label.keys(open_one, [one], "all"),
        label.tray(open_one, [disputed, replace(one, label="k1")], "all", ""),
        label.side(open_one, [disputed], agreement, suggested, None, ""),
    ]


def test_names_from_files_and_people_never_become_markup() -> None:
    for page in pages(EVIL):
        assert "<img src=x" not in page
        assert "<script" not in page
        assert 'onerror="' not in page
    assert "onerror" in re.sub(r"<[^>]+>", "", pages(EVIL)[1]), "it is shown, as text"


def test_every_screen_says_research_use() -> None:
    assert "For research use. Not for diagnostic use." in pages("x")[0]


def test_every_sign_has_a_name_beside_its_colour() -> None:
    for page in pages("x"):
        for sign in re.findall(r"<span class=\"wb-sign[^>]*>", page):
            assert re.search(r'aria-label="[^"]+"', sign), sign


def test_tags_are_closed_in_order() -> None:
    void = {"img", "input", "path", "circle", "rect", "option"}
    for page in pages("x"):
        stack: list[str] = []
        for closing, tag in re.findall(r"<(/?)([a-z][a-z0-9-]*)", page):
            if tag in void:
                continue
            if closing:
                assert stack.pop() == tag, page[:200]
            else:
                stack.append(tag)
        assert stack == []


def test_only_what_the_reader_said_is_marked_on_a_card() -> None:
    shown = label.tray(condition(), [scan(label="k2"), scan(unsure=True), scan()], "all", "")
    assert re.findall(r'data-label="([^"]*)"', shown) == ["1", "unsure", ""]


def test_filters_list_what_they_name() -> None:
    held = [scan(label="k1"), scan(unsure=True), scan(disputed=True), scan(twin=3)]
    counts = {name: len(label.listed(held, name)) for name in label.FILTERS}
    assert counts == {"all": 4, "todo": 2, "unsure": 1, "disputed": 1, "doubtful": 1}


def test_agreement_comes_with_its_interval_and_number() -> None:
    agreement = Agreement(("a", "b"), Interval95(0.61, 0.3, 0.8, 12), 12, (), "Substantial.")
    shown = label.side(condition(), [], agreement, SuggestedScans(), None, "")
    assert "κ 0.61" in shown
    assert "0.30 to 0.80 (95 %), 12 scans" in shown


def test_the_cost_of_a_miss_is_said_as_the_probability_to_call_from() -> None:
    shown = define.page(replace(condition().draft, miss_cost=4.0), None, None)
    assert "4 false alarms" in shown
    assert "20 %" in shown  # 1 / (1 + 4)


def test_a_reader_sees_no_button_that_edits() -> None:
    shared = replace(condition(), level=Level.READ)
    assert "fieldset disabled" in define.page(shared.draft, shared, None)
    assert define.sharing(shared) == ""
    assert "data-upload" not in scans.drop_zone(shared, "support", "Drop")
    assert "settle" not in label.side(
        shared, [scan(disputed=True)], Agreement((), None, 1, ("s" * 32,), "x"), SuggestedScans(), None, ""
    )


@pytest.mark.parametrize("shares", [(0.5, 0.4), (-1.0, 1.0), (0.6, 0.6)])
def test_shares_that_are_no_whole_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(SupportError, match="100 %"):
        _checked(shares)


def test_shares_are_kept_as_parts_of_one() -> None:
    assert _checked((0.2, 0.8)) == pytest.approx((0.2, 0.8))
    assert _checked(None) is None


def test_fields_of_a_form_are_read_by_name() -> None:
    action = Action("save", "", {"title": (" a ",), "class": ("x", " y"), "box": ("yes",)})
    assert (action.text("title"), action.texts("class")) == ("a", ("x", "y"))
    assert action.ticked("box")
    assert not action.ticked("other")
    assert action.text("other") == ""
