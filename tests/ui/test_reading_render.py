"""What the adapt, read, evaluate and admin screens make of the service's answers."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest

from ui.render import account, case, cases, evaluation, figures, result, site, versions, words
from ui.views.adapt import METHODS
from workbench.imaging.scan import Finding, Severity
from workbench.learners import learners
from workbench.service.accounts import TokenInfo
from workbench.service.kinds import (
    ArtefactInfo,
    Batch,
    CaseInfo,
    Evaluation,
    Interval95,
    Level,
    Near,
    Point,
    Role,
    Share95,
    UserInfo,
)
from workbench.service.oversight import Busy, Health, Trail, TrailLine
from workbench.service.retention import Removal, Rules
from workbench.store.audit import Verdict

from . import examples as made

EVIL = "\"><img src=x onerror=alert(1)>${alert(1)}{{value}}'<script>"
SUPPORT = {scan.id: scan for scan in made.support()}
AROUND = case.Around(made.condition().classes, SUPPORT, threshold=0.2)


def plain(html: str) -> str:
    """What a person reads."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def hostile() -> tuple[str, ...]:
    """Every screen, with markup wherever text of files and people can stand."""
    names = (EVIL, "well")
    bad = Finding(EVIL, Severity.ERROR, EVIL, EVIL)
    condition = replace(made.condition(names, EVIL), missing=EVIL)
    found = replace(
        made.result(names), method=EVIL, choice=EVIL, statements=(EVIL,), limits=(EVIL,), shortcuts=(bad,),
        suspects=(("support3", EVIL),), odd=(("support4", EVIL),), weights=EVIL, too_few=EVIL,
    )  # fmt: skip
    version = replace(made.version(2, True, found), by=EVIL, method=EVIL)
    unjudged = replace(version, id="v9", number=9, result=replace(found, accuracy=None))
    shown = replace(
        made.shown((0.7, 0.3), names, (bad,)), promise=EVIL, evidence_n=EVIL, caution=EVIL,
        near=(Near("support1", 1, EVIL, 0.2),),
    )  # fmt: skip
    one = CaseInfo(replace(made.scan(31, "case"), modality=EVIL), shown, 2, own="c0", verdict="agree")
    job = replace(made.job(), said=EVIL, error=EVIL, state="failed")
    page = ArtefactInfo("a", "evaluation", EVIL, EVIL, 1, made.NOW)
    user = UserInfo("u", EVIL, EVIL, Role.READER, True, None, 1, made.NOW, None)
    line = TrailLine(1, made.NOW, EVIL, EVIL, EVIL, EVIL, EVIL)
    return (
        result.ingredients(condition, (EVIL,), None, job),
        result.nothing(condition),
        result.result(version, SUPPORT),
        result.result(unjudged, SUPPORT),
        versions.listed((version, unjudged), "v2", "v9", True),
        versions.side_by_side(version, version),
        cases.worklist((one, replace(one, refused=EVIL)), None, condition),
        case.panel(one, replace(AROUND, classes=condition.classes)),
        case.panel(replace(one, refused=EVIL, reading=None), replace(AROUND, classes=condition.classes)),
        case.panel(replace(one, concealed=True, reading=None), replace(AROUND, classes=condition.classes)),
        evaluation.exports(condition, version, (EVIL,), True),
        evaluation.artefacts((page,)),
        evaluation.bundle(EVIL, EVIL),
        site.people((user,), "u", "u", 10, False),
        site.trail(Trail((line,), 1, True, EVIL, EVIL), Verdict(0, EVIL, 1, EVIL)),
        site.health(Health(1, (Busy(EVIL, 0, 0, made.NOW),), 1, 1, 1, 1, 1, 1)),
        account.tokens((TokenInfo("t", EVIL, EVIL, made.NOW, None, None),), EVIL),
    )


def test_text_of_files_and_people_never_becomes_markup() -> None:
    for page in hostile():
        assert "<img src=x" not in page
        assert "<script" not in page
        assert 'onerror="' not in page
    assert "onerror" in plain(hostile()[0]), "it is shown, as text"


def test_a_report_stands_in_a_frame_that_may_do_nothing() -> None:
    framed = evaluation.report(f"<h1>Report</h1>{EVIL}")
    assert 'sandbox=""' in framed
    assert "<script" not in framed
    assert "<h1>" not in framed, "it is the frame's, not the page's"


def test_the_verdict_says_how_many_patients_with_the_exact_interval() -> None:
    shown = plain(result.result(made.version(), SUPPORT))
    assert "Right in 17 of 20 patients 62-97 %" in shown
    assert "better than guessing between 2 classes (50 %)" in shown
    assert "9 of 10 (55-99.7 %)" in shown


def test_a_verdict_no_better_than_guessing_says_so() -> None:
    weak = replace(made.result(), accuracy=made.share(12, 20))
    assert "not shown to be better than guessing" in plain(
        result.result(made.version(2, True, weak), SUPPORT)
    )


def test_too_few_patients_give_no_figure() -> None:
    shown = plain(result.result(made.too_few(), SUPPORT))
    assert "Too few to say" in shown
    assert "Right in" not in shown
    assert "Too few patients to forecast" in shown


def test_a_cell_of_the_confusion_matrix_opens_exactly_its_scans() -> None:
    shown = result.result(made.version(), SUPPORT)
    opened = re.search(r'<div popover id="wb-cell-0-1".*?</p></div>', shown, re.DOTALL)
    assert opened is not None
    assert re.findall(r'data-value="(\w+)"', opened.group()) == ["support10"]
    assert "1 patient of osteoporosis read as normal" in shown
    assert ">miss<" in shown
    assert ">false alarm<" in shown


def test_a_scan_that_was_taken_out_is_left_out_of_the_result() -> None:
    left = {key: scan for key, scan in SUPPORT.items() if key not in ("support10", "support19", "support4")}
    shown = result.result(made.version(), left)
    assert 'data-value="support10"' not in shown
    assert "Label doubtful" not in shown


def test_versions_whose_intervals_overlap_are_not_called_better() -> None:
    said = plain(versions.difference(made.version(), made.earlier()))
    assert "this does not show that one of them reads better" in said
    assert "Of 12 scans that both were tried on" in said


def test_a_version_that_cannot_be_judged_is_not_compared() -> None:
    assert "cannot be compared" in versions.difference(made.version(), made.too_few())


def test_versions_far_apart_are_said_to_differ_on_their_own_patients() -> None:
    poor = replace(made.earlier(), result=replace(made.earlier().result, accuracy=made.share(1, 20)))
    said = versions.difference(made.version(), poor)
    assert "version 2 reads its own labelled patients better" in said


def test_only_who_may_edit_can_go_back_to_a_version() -> None:
    both = (made.version(), made.earlier())
    assert 'data-action="activate"' in versions.listed(both, "v2", None, True)
    assert 'data-action="activate"' not in versions.listed(both, "v2", None, False)


def test_a_running_adaptation_takes_the_place_of_the_button() -> None:
    condition = made.condition()
    running = result.ingredients(condition, METHODS, made.job(), None)
    assert 'data-action="adapt"' not in running
    assert 'data-action="cancel"' in running
    assert 'value="7" max="20"' in running


def test_what_is_missing_shuts_the_button_and_is_said() -> None:
    short = replace(made.condition(), missing="The class normal has no labelled scan. Label one.")
    shown = result.ingredients(short, METHODS, None, None)
    assert re.search(r'data-action="adapt"[^>]* disabled', shown)
    assert "The class normal has no labelled scan" in shown


def test_every_method_can_be_chosen() -> None:
    assert set(METHODS) == set(learners())


def test_a_concealed_reading_is_nowhere_in_the_page() -> None:
    hidden = next(one for one in made.cases() if one.concealed)
    shown = case.panel(hidden, AROUND)
    assert "What do you read?" in shown
    assert "%" not in plain(shown)
    assert not re.search(r"data-action=.(verdict|beside|evidence)", shown)
    assert 'data-key="1"' in shown
    assert 'data-key="2"' in shown


def test_none_of_these_is_said_before_any_figure() -> None:
    shown = plain(case.panel(made.cases()[1], AROUND))
    assert shown.index("None of these") < shown.index("55 %")
    assert "take the figure for nothing" in shown
    assert "Unlike every labelled scan" in shown


def test_the_stated_cost_of_a_miss_speaks_up_where_it_changes_the_call() -> None:
    shown = made.shown((0.3, 0.7))
    assert "osteoporosis is the better call: 30 % is above 20 %" in plain(
        case.panel(CaseInfo(made.scan(31, "case"), shown, 2), AROUND)
    )
    sure = made.shown((0.1, 0.9))
    assert "better call" not in plain(case.panel(CaseInfo(made.scan(31, "case"), sure, 2), AROUND))


def test_probabilities_come_with_what_they_rest_on() -> None:
    shown = plain(case.panel(made.cases()[0], AROUND))
    assert "right in 17 of 20 left out (62-97 %)" in shown
    assert "Calibrated." in shown
    raw = replace(made.cases()[0], reading=replace(made.shown(), calibrated=False))
    assert "not calibrated" in plain(case.panel(raw, AROUND))


def test_evidence_is_called_not_proof_before_and_after() -> None:
    for one in (made.cases()[0], made.cases()[4]):
        shown = plain(case.panel(one, AROUND))
        assert "not proof" in shown
        assert "does not prove" in shown


def test_evidence_lies_over_the_case_only_once_it_was_made_and_asked_for() -> None:
    without, with_map = made.cases()[0], made.cases()[4]
    assert "overlay=" not in case.viewer(without, replace(AROUND, overlaid=True))
    assert "overlay=" not in case.viewer(with_map, AROUND)
    assert "overlay=" in case.viewer(with_map, replace(AROUND, overlaid=True))


def test_a_labelled_scan_stands_beside_the_case_with_its_class() -> None:
    shown = case.viewer(made.cases()[0], replace(AROUND, beside="support2"))
    assert 'other="support2"' in shown
    assert "Scan 2: osteoporosis" in shown


def test_only_who_may_edit_adds_to_the_labelled_scans() -> None:
    read = made.cases()[4]
    assert 'data-action="into-support"' in case.panel(read, AROUND)
    assert 'data-action="into-support"' not in case.panel(read, replace(AROUND, may_edit=False))


def test_cases_without_a_verdict_come_first() -> None:
    numbers = [one.scan.number for one in cases.in_order(made.cases()[::-1])]
    assert numbers == [31, 32, 33, 34, 35]
    assert plain(cases.worklist((), None, made.condition())).startswith("No cases yet")


def test_an_evaluation_says_when_a_cohort_is_no_longer_held_out() -> None:
    page = ArtefactInfo("a1", "evaluation", "evaluation.html", "text/html", 9, made.NOW)
    one = Evaluation(
        made.job("evaluate", "done"), 2, "d" * 64, 3, 16, 16, 0, made.NAMES, ((5, 3), (1, 7)),
        made.share(12, 16), (made.share(5, 8), made.share(7, 8)), (), "", (page,),
    )  # fmt: skip
    shown = evaluation.cohorts((Batch(made.job("import", "done"), ("s1",)),), (one,), "", True)
    assert "look 3 at this cohort, no longer held out" in plain(shown)
    assert "Right in 12 of 16 patients (48-93 %)" in plain(shown)
    assert re.search(r'data-value="a1" aria-pressed="true"', shown)
    assert 'data-action="evaluate"' not in evaluation.cohorts((Batch(made.job(), ("s1",)),), (), "", False)


def test_results_go_to_an_archive_only_where_one_is_set_up_and_by_who_may_edit() -> None:
    condition, version = made.condition(), made.version()
    assert 'data-submit="results"' in evaluation.exports(condition, version, ("EAST",), True)
    assert 'data-submit="results"' not in evaluation.exports(condition, version, ("EAST",), False)
    assert "none is set up on this site" in evaluation.exports(condition, version, (), True)


def test_retention_says_that_looking_removes_nothing() -> None:
    shown = plain(site.retention(Rules(), (Removal("cases", 30, 2), Removal("spools", 7, 0))))
    assert "2 cases older than 30 days" in shown
    assert "Nothing has been removed by looking" in shown
    assert "failed upload" not in shown


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (Verdict(12, "12:ab"), "Whole: 12 lines hold together"),
        (Verdict(3, "3:ab", 4, "line 4 was changed"), "Broken at line 4"),
    ],
)
def test_the_trails_verdict_is_said_in_words(verdict: Verdict, said: str) -> None:
    assert said in plain(site.trail(Trail((), 12, False), verdict))


def test_an_administrator_cannot_close_the_own_account() -> None:
    user = UserInfo("u", "ada", "Ada", Role.ADMIN, True, None, 1, made.NOW, None)
    assert 'data-action="close"' not in site.people((user,), "u", "u", 10, True)
    assert 'data-action="close"' in site.people((user,), "other", "u", 10, True)


def test_a_full_quota_shows_by_its_sign_too() -> None:
    assert "wb-gauge-full" in figures.gauge(99, 100, "")
    assert "wb-gauge-high" in figures.gauge(85, 100, "")
    assert "wb-gauge-fine" in figures.gauge(10, 100, "")


def test_the_curve_stays_within_its_frame() -> None:
    drawn = figures.curve((Point(20, 1.0, 0.9, 1.2), Point(5, 0.4, -0.1, 0.7)), 5, 0.5)
    numbers = [float(n) for pair in re.findall(r'points="([^"]+)"', drawn) for n in re.split("[ ,]", pair)]
    assert min(numbers[1::2]) >= 0
    assert max(numbers[1::2]) <= 270
    assert "patients per class" in drawn


def test_figures_are_said_with_interval_and_n_or_not_at_all() -> None:
    nan = float("nan")
    assert words.share(Share95(0, 0, 0.0, 1.0)) == "too few to say"
    assert words.figure(Interval95(nan, nan, nan, 0)) == "too few to say"
    assert words.figure(Interval95(0.9, nan, nan, 3)) == "too few to say (n = 3)"
    assert words.figure(Interval95(0.85, 0.66, 0.96, 20)) == "85 % (66-96 %, n = 20)"
    assert words.size(999) == "999 B"
    assert words.size(1_500_000) == "1.5 MB"
    assert words.moment(None) == "never"
    assert words.moment(time.time()) == "just now"


def test_somebody_who_may_only_look_gets_no_button_to_adapt() -> None:
    looking = replace(made.condition(), level=Level.READ)
    assert "data-action" not in result.ingredients(looking, METHODS, None, None)
