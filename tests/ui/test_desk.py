"""From the worklist to labelled scans in Chromium: drop a folder, look, label by keys."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .browser import Visit, visit

pytestmark = pytest.mark.browser


@pytest.fixture
def folder(tmp_path: Path, condition: dict[str, list[Path]]) -> Path:
    """Class folders of ten patients, five each, and a file that is no scan."""
    place = tmp_path / "dropped"
    for name, files in condition.items():
        (place / name).mkdir(parents=True)
        for file in files[:5]:
            shutil.copy(file, place / name / file.name)
    (place / "letter.pdf").write_bytes(b"%PDF-1.4 not a scan")
    return place


@pytest.fixture
def here(address: str) -> Iterator[Visit]:
    with visit(address) as opened:
        opened.go("worklist")
        yield opened
        assert opened.complaints == []
        assert opened.outside == []


def marks(here: Visit) -> list[str]:
    """The labels that the tray shows, in its order."""
    return [text.strip() for text in here.page.locator(".wb-tray .wb-mark-label").all_text_contents()]


def counted(here: Visit) -> list[int]:
    """Labelled patients by class, as the side shows them."""
    return [int(text) for text in here.page.locator(".wb-balance b").all_text_contents()]


def test_a_folder_is_dropped_and_labelled_in_five_clicks(
    here: Visit, folder: Path, condition: dict[str, list[Path]]
) -> None:
    page = here.page
    here.define("Condition in folders")  # click 1, and a name with Enter
    page.set_input_files("#wb-view-scans input.wb-choose-folder", str(folder))
    page.wait_for_selector(".wb-staged")
    told = page.inner_text(".wb-staged")
    assert "Before anything is stored" in told
    assert all(name in told for name in condition), "the classes may be named after the folders"
    here.assert_accessible()
    here.shot("desk-staged")
    page.click(".wb-staged .wb-main")  # click 2
    page.wait_for_selector("#wb-scans-body .wb-batch")
    said = page.inner_text(".wb-batch")
    assert "1 file could not be read" in said
    assert "letter.pdf" in said
    assert "It is a PDF document" in said
    assert "Give the images themselves" in said
    assert page.locator(".wb-scanrows > li").count() == 10, "the bad file held nothing up"
    here.assert_accessible()
    here.shot("desk-scans")
    page.click(".wb-offer .wb-main")  # click 3
    page.wait_for_selector(".wb-tray .wb-card-scan")
    assert sorted(marks(here)) == sorted(name for name in condition for _ in range(5))
    assert counted(here) == [5, 5]
    here.assert_accessible()


def test_from_files_of_ten_patients_to_the_first_reading_in_ten_clicks(
    here: Visit, folder: Path, condition: dict[str, list[Path]]
) -> None:
    page = here.page
    count = "document.addEventListener('click', (event) => { presses += event.isTrusted; }, true)"
    page.evaluate(f"window.presses = 0; {count}")
    here.define("From files to a reading")
    page.set_input_files("#wb-view-scans input.wb-choose-folder", str(folder))
    page.click(".wb-staged .wb-main")
    page.click(".wb-offer .wb-main")
    page.wait_for_selector(".wb-tray .wb-card-scan")
    page.click(".wb-step[data-value=adapt]")
    page.click(".wb-ingredients .wb-main:enabled")
    page.wait_for_selector(".wb-verdict-card")
    here.shot("way-adapted")
    page.click(".wb-step[data-value=read]")
    new = next(iter(condition.values()))[6]
    page.set_input_files("#wb-view-read input.wb-choose-files", str(new))
    page.wait_for_selector("#wb-read-panel .wb-prob")
    here.shot("way-read")
    choosing = 2  # a press of "Choose a folder" and one of "Choose files", which opens what no test can press
    assert page.evaluate("presses") + choosing <= 10
    assert "of 10" in page.inner_text("#wb-read-panel"), "what the reading rests on"


def test_scans_are_labelled_by_keys_alone_and_the_last_label_is_undone(here: Visit, folder: Path) -> None:
    page = here.page
    here.define("Labelled by keys")
    page.set_input_files("#wb-view-scans input.wb-choose-folder", str(folder))
    page.wait_for_selector(".wb-staged")
    page.uncheck("input[name=adopt]")
    page.click(".wb-staged .wb-main")
    page.wait_for_selector("#wb-scans-body .wb-batch")
    page.keyboard.press("Shift+Digit3")
    page.wait_for_selector(".wb-tray .wb-card-scan[aria-selected=true]")
    for key in "1212u":
        page.keyboard.press(key)
    names = ["condition", "no condition", "condition", "no condition", "Unsure"]
    assert marks(here)[:5] == names, "the marks show before the server has answered"
    page.wait_for_function("document.querySelector('#wb-label-head').innerText.includes('5 of 10')")
    assert marks(here)[:5] == names
    assert counted(here) == [2, 2]
    assert page.get_attribute(".wb-card-scan >> nth=5", "aria-selected") == "true"
    for left in (4, 3):
        page.keyboard.press("z")
        page.wait_for_function(f"document.querySelector('#wb-label-head').innerText.includes('{left} of 10')")
    assert marks(here)[:5] == [*names[:3], "", ""]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector("#wb-label-frame.wb-large")
    here.assert_accessible()
    page.keyboard.press("Escape")
    page.reload()
    page.wait_for_selector(".wb-tray .wb-card-scan")
    assert marks(here)[:5] == [*names[:3], "", ""], "a closed tab resumes where it was"


def test_two_scans_are_seen_side_by_side_in_one_window_without_asking_python(
    here: Visit, phantoms: Path
) -> None:
    page = here.page
    here.define("Phantoms in Hounsfield units")
    here.drop_folder(phantoms)
    here.go("label")
    page.wait_for_selector("#wb-label-view wb-viewer[scan]")
    page.wait_for_function("document.querySelector('wb-viewer').panes[0].held")
    page.keyboard.press("c")
    page.click(".wb-card-scan >> nth=2")
    for pane in (0, 1):
        page.wait_for_function(f"document.querySelector('wb-viewer').panes[{pane}].held")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.keyboard.press("w")
    shown = page.evaluate("document.querySelector('wb-viewer').panes.map((pane) => pane.window)")
    assert shown == [[-600, 1500], [-600, 1500]], "the next preset after the stored one is Lung"
    box = page.locator("wb-viewer").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 140, box["y"] + 90)
    page.mouse.up()
    centre, width = page.evaluate("document.querySelector('wb-viewer').panes[0].window")
    assert centre < -600
    assert width > 1500
    assert not [url for url in asked if "/files/" not in url], "windows are the browser's own business"
    # What is drawn is what the window says: at its centre a value is half bright.
    grey = page.evaluate(
        """() => {
          const pane = document.querySelector('wb-viewer').panes[0];
          const held = pane.held;
          const value = held.pixels[0] * held.slope + held.intercept;
          pane.setWindow(value, 100);
          return pane.picture.getContext('2d').getImageData(0, 0, 1, 1).data[0];
        }"""
    )
    assert grey == pytest.approx(127.5, abs=1)
    here.shot("desk-side-by-side")


def test_an_edit_on_an_older_state_is_refused_with_what_was_typed_kept(here: Visit) -> None:
    page = here.page
    here.define("Edited twice")
    here.go("define")
    page.wait_for_selector("#wb-title")
    page.click("[data-action=add-class]")
    page.wait_for_selector("input[name=class] >> nth=2")
    page.fill("input[name=class] >> nth=2", "something else")
    browser = page.context.browser
    assert browser is not None
    other = browser.new_page()
    other.goto(page.url)
    other.wait_for_selector("#wb-title")
    other.fill("#wb-title", "Edited by the other")
    other.click("#wb-define-form .wb-main")
    other.wait_for_selector(".wb-toast.wb-ok")
    other.close()
    page.click("#wb-define-form .wb-main")
    page.wait_for_selector(".wb-toast.wb-warning")
    assert "Somebody else edited this condition" in page.inner_text(".wb-toast")
    assert page.input_value("input[name=class] >> nth=2") == "something else"
    page.click("[data-action=theirs]")
    page.wait_for_function("document.querySelector('#wb-title').value === 'Edited by the other'")
    assert page.locator("input[name=class]").count() == 2


@pytest.mark.parametrize(
    ("width", "height", "light"), [(1280, 800, False), (1920, 1080, True), (1024, 768, False)]
)
def test_every_screen_is_accessible_and_fits_its_width(
    address: str, phantoms: Path, width: int, height: int, light: bool
) -> None:
    with visit(address, width, height, light) as here:
        page = here.page
        here.go("worklist")
        here.define(f"Seen at {width}")
        here.drop_folder(phantoms)
        page.click("#wb-view-scans .wb-offer .wb-main")
        for screen in ("label", "scans", "define", "worklist"):
            here.go(screen)
            page.wait_for_timeout(300)
            root = "document.documentElement"
            assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth"), (
                f"{screen} scrolls sideways at {width}"
            )
            here.assert_accessible()
            here.shot(f"desk-{screen}-{width}{'-light' if light else ''}")
        assert page.evaluate("document.body.classList.contains('dark')") is not light
        assert here.complaints == []


def test_the_theme_is_dark_and_a_choice_is_kept(here: Visit) -> None:
    page = here.page
    assert page.evaluate("document.body.classList.contains('dark')")
    page.click("[data-local=theme]")
    assert not page.evaluate("document.body.classList.contains('dark')")
    page.reload()
    page.wait_for_selector(".wb-rail")
    assert not page.evaluate("document.body.classList.contains('dark')")
    page.keyboard.press("?")
    page.wait_for_selector("#wb-keys[open]")
    here.assert_accessible()
