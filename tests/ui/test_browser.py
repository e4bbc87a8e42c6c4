from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .browser import visit

pytestmark = pytest.mark.browser


def test_a_condition_from_files_on_disk_is_adapted_to_and_new_scans_are_read(
    former_address: str, condition: dict[str, list[Path]], phantoms: Path, new_png: Path
) -> None:
    names = list(condition)
    with visit(former_address) as here:
        page = here.page
        here.shot("1-condition")
        here.name_condition("A condition on disk", names)
        for index, name in enumerate(names):
            here.drop(f"#wb-drop-{index}", condition[name][:10])
            page.wait_for_function(f"document.querySelectorAll('#wb-tray-{index} .wb-thumb').length >= 9")
        here.shot("2-scans")
        page.click("#wb-scans-forward")
        page.click("#wb-adapt")
        page.wait_for_selector("#wb-estimate .wb-verdict")
        estimate = page.inner_text("#wb-estimate")
        assert re.search(r"Right in\s+\d+\s+of\s+\d+\s+patients", estimate)
        assert re.search(r"between \d+(\.\d+)? % and \d+(\.\d+)? % \(95 % interval\)", estimate)
        assert "Labelled scans" in estimate
        here.shot("3-estimate")
        page.click("#wb-adapt-forward")
        dicom = sorted((phantoms / "smooth").iterdir())[0]
        here.drop("#wb-drop-new", [dicom, new_png])
        page.wait_for_function("document.querySelectorAll('#wb-worklist .wb-case').length === 2")
        page.wait_for_selector("#wb-preset label:has-text('Lung')")  # the DICOM scan is in Hounsfield units
        for number in range(2):
            page.click(f"#wb-worklist .wb-case >> nth={number}")
            page.wait_for_selector(f"#wb-worklist li:nth-child({number + 1}) .wb-case[aria-pressed=true]")
            shown = [float(t.split()[0]) for t in page.locator("#wb-reading .wb-bar b").all_inner_texts()]
            assert len(shown) == 2
            assert sum(shown) == pytest.approx(100.0, abs=0.2)
            assert page.locator("#wb-reading .wb-near img").count() == 4
        here.shot("4-read-png")
        page.click("#wb-worklist .wb-case >> nth=0")
        page.wait_for_selector("#wb-preset label:has-text('Lung')")
        before = page.get_attribute("#wb-viewer img", "src")
        page.click("#wb-preset label:has-text('Lung')")
        page.wait_for_function("old => document.querySelector('#wb-viewer img').src !== old", arg=before)
        page.click("#wb-reading .wb-near >> nth=0")
        page.wait_for_selector("#wb-viewer .wb-pair")
        here.shot("5-read-dicom")
        page.click("#wb-reading [data-action=evidence]")
        page.wait_for_selector("#wb-reading img.wb-evidence")
        assert "does not prove" in page.inner_text("#wb-reading")
        here.shot("6-evidence")
        page.click("#wb-reading [data-action=evidence]")
        page.wait_for_selector("#wb-reading img.wb-evidence", state="detached")
        with page.expect_download() as download:
            page.click("#wb-exports a:has-text('JSON')")
        saved = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
        assert [one["case"] for one in saved["readings"]] == [1, 2]
        assert not {dicom.name, new_png.name} & set(json.dumps(saved).split('"')), "names stay on the screen"
        assert all(sum(one["probabilities"].values()) == pytest.approx(1.0) for one in saved["readings"])
        assert "Not for diagnostic use" in page.inner_text("#wb-banner")
        assert here.complaints == []
        assert here.outside == []


def test_a_bad_file_among_good_ones_is_named_with_its_fix_and_the_rest_go_on(
    former_address: str, phantoms: Path, tmp_path: Path
) -> None:
    good = sorted((phantoms / "smooth").iterdir())[:2]
    bad = tmp_path / "discharge letter.pdf"
    bad.write_bytes(b"%PDF-1.4 not a scan")
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(good[0].read_bytes()[:800])
    with visit(former_address) as here:
        here.name_condition("Bad files", ["smooth", "spiculated"])
        here.drop("#wb-drop-0", [bad, good[0], cut, good[1]])
        here.wait_for_thumbs(0, 2)
        said = here.page.inner_text("#wb-tray-0 [aria-label='Refused files']")
        assert "PDF" in said
        assert "Give the images themselves" in said
        assert "cut.dcm" in said
        assert here.page.is_disabled("#wb-scans-forward")
        assert "spiculated" in here.page.inner_text("#wb-scans-summary")
        here.shot("6-bad-files")
        here.page.hover("#wb-tray-0 .wb-thumb >> nth=0")
        here.page.click("#wb-tray-0 .wb-thumb >> nth=0 >> .wb-remove")
        here.wait_for_thumbs(0, 1)
        assert here.complaints == []


def test_two_browsers_do_not_see_each_others_work(former_address: str, phantoms: Path) -> None:
    with visit(former_address) as first:
        first.name_condition("Mine alone", ["smooth", "spiculated"])
        first.drop("#wb-drop-0", sorted((phantoms / "smooth").iterdir())[:1])
        first.wait_for_thumbs(0, 1)
        first.page.reload()
        first.wait_for_thumbs(0, 1)  # the work is still there for whoever did it
        other = first.page.context.browser
        assert other is not None
        stranger = other.new_context().new_page()
        stranger.goto(former_address + "/")
        stranger.wait_for_selector(".wb-step[aria-current=step]")
        assert "Mine alone" not in stranger.inner_text("body")
        assert stranger.input_value("#wb-title input") == ""


def test_dark_is_the_default_and_light_is_kept(former_address: str) -> None:
    with visit(former_address) as here:
        page = here.page
        page.wait_for_selector(".wb-step[aria-current=step]")
        assert page.evaluate("document.body.classList.contains('dark')")
        page.click("[data-local=theme]")
        assert not page.evaluate("document.body.classList.contains('dark')")
        page.reload()
        page.wait_for_selector(".wb-step[aria-current=step]")
        assert not page.evaluate("document.body.classList.contains('dark')")
        assert here.outside == []
