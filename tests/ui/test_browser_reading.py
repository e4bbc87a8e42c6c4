"""From labelled scans to a verdict, a report and the audit trail, in Chromium."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ui.serving import Serving

from .browser import Visit, visit
from .people import Person, client
from .serve import served

pytestmark = pytest.mark.browser

TITLE = "A condition to read"


@pytest.fixture(scope="module")
def labelled(
    weights: Path, condition: dict[str, list[Path]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A page with a condition of six labelled patients of each class."""
    os.environ.setdefault("WORKBENCH_KEY_FILE", str(tmp_path_factory.getbasetemp() / "patient.key"))
    with (
        served(tmp_path_factory.mktemp("read") / "data", Serving(weights=weights, workers=1)) as site,
        client(site.address, headers={"X-Workbench": "1"}) as http,
    ):
        assert http.get("/").status_code == 200  # without login, opening the page is enough
        person = Person(http)
        made = person.condition(*condition, title=TITLE)
        files = [
            (f"{name}/{path.name}", path.read_bytes()) for name in condition for path in condition[name][:6]
        ]
        assert person.bring(made, files)["state"] == "done"
        person.ask("POST", f"/api/v1/conditions/{made}/hints")
        yield site.address


@pytest.fixture
def here(labelled: str) -> Iterator[Visit]:
    with visit(labelled) as opened:
        opened.page.click(f"text={TITLE} >> nth=0")
        opened.page.wait_for_selector(".wb-step[data-value=adapt]:enabled")
        yield opened
        assert opened.complaints == []
        assert opened.outside == []


def adapt(here: Visit) -> None:
    """By the keyboard; returns when the version is there."""
    before = here.page.locator(".wb-version").count()
    here.page.keyboard.press("Control+Enter")
    here.page.wait_for_function(f"document.querySelectorAll('.wb-version').length === {before + 1}")


def test_the_way_from_adapting_to_the_audit_trail(
    here: Visit, condition: dict[str, list[Path]], tmp_path: Path
) -> None:
    page = here.page
    here.go("adapt")
    page.wait_for_selector(".wb-ingredients .wb-main:enabled")
    here.assert_accessible()
    here.shot("read-1-adapt")
    adapt(here)
    said = page.inner_text(".wb-verdict-card")
    assert re.search(r"Right in\s+\d+\s+of\s+12\s+patients\s+[\d.]+-[\d.]+ %", said)
    assert sum(int(t) for t in re.findall(r"\d+", " ".join(_cells(here)))) == 12, "each patient once"
    here.assert_accessible()
    here.shot("read-2-verdict")

    page.click(".wb-cell button >> nth=0")
    page.wait_for_selector(".wb-opened:popover-open .wb-mini")
    here.assert_accessible()
    page.keyboard.press("Escape")
    page.wait_for_selector(".wb-opened:popover-open", state="detached")

    page.select_option("#wb-method-name", "simpleshot", force=True)
    adapt(here)
    page.click(".wb-version:not(.wb-chosen) [data-action=compare]")
    page.wait_for_selector(".wb-compare")
    assert re.search("intervals|cannot be compared", page.inner_text(".wb-compare"))
    here.shot("read-3-compare")
    page.click(".wb-version:not(.wb-chosen) [data-action=activate]")
    page.wait_for_selector(".wb-version.wb-chosen:has-text('Version 1') .wb-tag")

    names = list(condition)
    here.go("read")
    page.click("#wb-view-read input[name=own]")
    page.set_input_files("#wb-view-read input.wb-choose-files", [str(condition[name][6]) for name in names])
    page.wait_for_function("document.querySelectorAll('.wb-caserow').length === 2")
    page.wait_for_selector(".wb-own")
    assert "%" not in page.inner_text("#wb-read-panel"), "concealed until the own reading is given"
    here.assert_accessible()
    here.shot("read-4-own-first")
    page.keyboard.press("1")
    page.wait_for_selector("#wb-read-panel .wb-own-line")
    shares = [float(t.split()[0]) for t in page.locator(".wb-prob b").all_inner_texts()]
    assert sum(shares) == pytest.approx(100, abs=1)
    page.keyboard.press("d")
    page.wait_for_selector("[data-value=disagree][aria-pressed=true]")
    page.keyboard.press("1")
    page.wait_for_selector("#wb-read-viewer wb-viewer[other]")
    here.assert_accessible()
    here.shot("read-5-beside")
    page.keyboard.press("0")
    page.wait_for_selector("#wb-read-viewer wb-viewer:not([other])")
    page.keyboard.press("e")
    page.wait_for_selector("#wb-read-viewer wb-viewer[overlay]")
    assert "does not prove" in page.inner_text("#wb-read-panel")
    here.shot("read-6-evidence")
    page.keyboard.press("n")
    page.wait_for_selector(".wb-own")
    page.keyboard.press("u")
    page.wait_for_selector("#wb-read-panel .wb-own-line")
    with page.expect_download() as taken:
        page.click("#wb-read-cases a:has-text('JSON')")
    saved = json.loads(Path(taken.value.path()).read_text(encoding="utf-8"))
    assert "disagree" in json.dumps(saved)
    assert not any(path.name in json.dumps(saved) for name in names for path in condition[name])

    cohort = tmp_path / "cohort"
    for name in names:
        (cohort / name).mkdir(parents=True)
        for path in condition[name][8:11]:
            shutil.copy(path, cohort / name / path.name)
    here.go("evaluate")
    page.set_input_files("#wb-view-evaluate input.wb-choose-folder", str(cohort))
    page.wait_for_selector("[data-action=evaluate]")
    page.click("[data-action=evaluate]")
    page.wait_for_selector("iframe.wb-report")
    report = page.frame_locator("iframe.wb-report").locator("body").inner_text()
    assert "Not for diagnostic use" in report
    assert "n = 6" in report
    page.click("[data-action=export][data-value=card]")
    page.wait_for_selector(".wb-made a:has-text('model-card')")
    page.click("[data-action=export][data-value=bundle]")
    page.wait_for_selector(".wb-bundle")
    assert "workbench replay" in page.inner_text(".wb-bundle")
    here.assert_accessible()
    here.shot("read-7-evaluate")

    here.go("admin")
    page.click("[data-action=verify-trail]")
    page.wait_for_selector("#wb-admin-trail .wb-notice.wb-ok")
    here.assert_accessible()
    page.fill("#wb-admin-tokens input[name=name]", "router")
    page.press("#wb-admin-tokens input[name=name]", "Enter")
    page.wait_for_selector("#wb-admin-tokens .wb-print")
    page.click("[data-action=dry-run]")
    page.wait_for_selector("#wb-admin-retention .wb-notice")
    here.shot("read-8-admin")


def test_a_running_adaptation_is_shown_again_after_the_page_was_closed(here: Visit) -> None:
    page = here.page
    here.go("adapt")
    page.wait_for_selector(".wb-ingredients .wb-main:enabled")
    before = page.locator(".wb-version").count()
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".wb-press progress")
    page.reload()
    page.wait_for_selector("#wb-view-adapt .wb-ingredients")
    page.wait_for_function(f"document.querySelectorAll('.wb-version').length === {before + 1}")


@pytest.mark.parametrize(
    ("width", "height", "light"),
    [(1280, 800, True), (1920, 1080, False), (1024, 768, False)],
    ids=["light", "wide", "tablet"],
)
def test_no_screen_runs_over_its_side_or_fails_the_contrast(
    labelled: str, width: int, height: int, light: bool
) -> None:
    with visit(labelled, width, height, light) as here:
        here.page.click(f"text={TITLE} >> nth=0")
        here.page.wait_for_selector(".wb-step[data-value=adapt]:enabled")
        for name in ("adapt", "read", "evaluate", "admin"):
            here.go(name)
            here.page.wait_for_selector(f"#wb-view-{name}", state="visible")
            over = here.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert over <= 0, f"{name} is {over} pixels wider than the window"
            if light:
                here.assert_accessible()
            here.shot(f"size-{name}-{width}-{'light' if light else 'dark'}")


def _cells(here: Visit) -> list[str]:
    return [text.split("\n")[0] for text in here.page.locator(".wb-cell").all_inner_texts()]
