"""Chromium on the page, with everything it asks for and complains about written down."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

_ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_WAIT_MS = 60_000


@dataclass
class Visit:
    """One browser on the page.

    Attributes:
        page: Playwright's.
        complaints: errors of the console and of scripts, and failed answers.
        outside: addresses asked for that are not the page's own.
        screens: where screenshots go, or None.
    """

    page: Page
    screens: Path | None
    complaints: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def shot(self, name: str) -> None:
        if self.screens is not None:
            self.page.wait_for_timeout(400)
            self.page.screenshot(path=str(self.screens / f"{name}.png"))

    def go(self, screen: str) -> None:
        """Open a screen by the rail."""
        self.page.click(f".wb-step[data-value={screen}]")
        self.page.wait_for_selector(f".wb-step[data-value={screen}][aria-current=page]")

    def define(self, title: str) -> None:
        """A new condition with the classes that are offered."""
        self.page.click("[data-action=new] >> nth=0")
        self.page.wait_for_selector("#wb-title:focus")
        self.page.keyboard.type(title)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("#wb-view-scans [data-upload]")

    def drop_folder(self, folder: Path) -> None:
        """A folder with its folders, consented to and stored."""
        self.page.set_input_files("#wb-view-scans input.wb-choose-folder", str(folder))
        self.page.wait_for_selector(".wb-staged")
        self.page.click(".wb-staged .wb-main")
        self.page.wait_for_selector(".wb-staged", state="detached")
        self.page.wait_for_selector("#wb-scans-body .wb-batch")

    def assert_accessible(self) -> None:
        """No serious or critical finding of axe-core on what is shown.

        Raises:
            AssertionError: names each rule with the element.
        """
        axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
        found = axe.Axe().run(self.page).response["violations"]
        grave = [
            f"{one['id']}: {one['nodes'][0]['html'][:160]}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert not grave, "\n".join(grave)


@contextmanager
def visit(address: str, width: int = 1280, height: int = 800, light: bool = False) -> Iterator[Visit]:
    """Open the page in a fresh browser; the test is skipped where there is none."""
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    binary = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    if not Path(binary).is_file():
        pytest.skip("Chromium is not installed (apt install chromium, or point CHROMIUM at it)")
    named = os.environ.get("WORKBENCH_SCREENSHOTS")
    screens = Path(named) if named else None
    if screens is not None:
        screens.mkdir(parents=True, exist_ok=True)
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=_ARGS)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(_WAIT_MS)
        if light:
            page.add_init_script("localStorage.setItem('workbench-theme', 'light')")
        here = Visit(page, screens)
        page.on("console", lambda m: here.complaints.append(m.text) if _counts(m.type, m.text) else None)
        page.on("pageerror", lambda error: here.complaints.append(str(error)))
        page.on(
            "response", lambda r: here.complaints.append(f"{r.status} {r.url}") if r.status >= 400 else None
        )
        own = (f"{address}/", "data:", "blob:")
        page.on("request", lambda r: None if r.url.startswith(own) else here.outside.append(r.url))
        page.goto(address + "/")
        page.wait_for_selector(".wb-rail")
        yield here
        browser.close()


def _counts(kind: str, text: str) -> bool:
    """Whether a line of the console is a complaint; a reload cuts off what Gradio was asking for."""
    return kind == "error" and "signal is aborted" not in text and "errored out" not in text
