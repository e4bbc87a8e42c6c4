"""Chromium on the page, with everything it asks for and complains about written down."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
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

    def drop(self, zone: str, files: Sequence[Path]) -> None:
        self.page.set_input_files(f"{zone} input[type=file]", [str(file) for file in files])

    def name_condition(self, title: str, names: Sequence[str]) -> None:
        page = self.page
        page.wait_for_selector("#wb-title input")
        page.wait_for_selector(".wb-step[aria-current=step]")
        page.fill("#wb-title input", title)
        for index, name in enumerate(names):
            page.fill(f"#wb-name-{index} input", name)
        page.press(f"#wb-name-{len(names) - 1} input", "Enter")
        page.wait_for_selector("#wb-drop-0")

    def wait_for_thumbs(self, index: int, count: int) -> None:
        script = f"document.querySelectorAll('#wb-tray-{index} .wb-thumb').length === {count}"
        self.page.wait_for_function(script)
        self.page.wait_for_function(f"!document.querySelector('#wb-tray-{index} progress')")


@contextmanager
def visit(address: str, width: int = 1280, height: int = 800) -> Iterator[Visit]:
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
        here = Visit(page, screens)
        page.on("console", lambda m: here.complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: here.complaints.append(str(error)))
        page.on(
            "response", lambda r: here.complaints.append(f"{r.status} {r.url}") if r.status >= 400 else None
        )
        own = (f"{address}/", "data:", "blob:")
        page.on("request", lambda r: None if r.url.startswith(own) else here.outside.append(r.url))
        page.goto(address + "/")
        yield here
        browser.close()
