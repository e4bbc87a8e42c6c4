"""A region is marked on the page, and a volume that it does not fit is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.volumefiles import volume_folders

from .browser import visit

pytestmark = pytest.mark.browser


def test_slices_marked_beside_a_tray_are_read_of_the_scans_dropped_there(
    former_address: str, tmp_path: Path
) -> None:
    files = {path.name: sorted(path.iterdir()) for path in sorted(volume_folders(tmp_path, 3).iterdir())}
    with visit(former_address) as here:
        page = here.page
        here.name_condition("Plates", list(files))
        for index, (slices, box) in enumerate((("5:20", "2:27,2:27"), ("5:60", ""))):
            page.click(f"#wb-region-{index} button")
            page.fill(f"#wb-region-{index}-slices input", slices)
            page.fill(f"#wb-region-{index}-box input", box)
        here.drop("#wb-drop-0", files["class 0"])
        here.wait_for_thumbs(0, 3)
        assert "slices 5 to 20, rows 2 to 27, columns 2 to 27" in page.inner_text("#wb-tray-0")
        here.drop("#wb-drop-1", files["class 1"])
        page.wait_for_selector("#wb-tray-1 [aria-label='Refused files']")
        assert "end at 60; the scan has 28" in page.inner_text("#wb-tray-1")
        page.fill("#wb-region-1-slices input", "20:5")
        here.drop("#wb-drop-1", files["class 1"])
        page.wait_for_selector("text=The range of slices 20:5 is empty")
        page.fill("#wb-region-1-slices input", "5:20")
        here.drop("#wb-drop-1", files["class 1"])
        here.wait_for_thumbs(1, 3)
        here.shot("volumes-region")
        assert here.complaints == []
