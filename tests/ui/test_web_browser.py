"""Signing in with a real browser: without scripts, by keyboard, two people at once, asking nobody else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .browser import _ARGS
from .people import PASSWORD, signed_in
from .serve import Served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    binary = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    if not Path(binary).is_file():
        pytest.skip("Chromium is not installed (apt install chromium, or point CHROMIUM at it)")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=_ARGS)
        yield browser
        browser.close()


def sign_in(page: Page, address: str, name: str) -> None:
    """By keyboard, as a person does."""
    page.goto(address + "/")
    assert page.url == address + "/login"
    page.focus("#name")
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(address + "/", wait_until="commit")


def test_signing_in_and_the_account_work_without_scripts(department: Served, chromium: Browser) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, department.address, "cy")
    page.goto(department.address + "/account")
    page.fill("#name", "a robot")
    page.click("text=Make a token")
    assert "wbt_" in page.inner_text(".good code")
    page.click("text=Revoke")
    page.click("text=Sign out everywhere")
    assert page.url == department.address + "/login"
    page.goto(department.address + "/account")
    assert page.url == department.address + "/login"
    context.close()


def test_the_page_asks_no_other_address_and_its_forms_have_no_barriers(
    department: Served, chromium: Browser
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    own = (department.address + "/", "data:", "blob:")
    for scheme in ("dark", "light"):
        context = chromium.new_context(color_scheme=scheme)
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda r, seen=asked: seen.append(r.url))
        page.goto(department.address + "/login")
        assert axe.Axe().run(page).response["violations"] == []
        sign_in(page, department.address, "ada")
        page.wait_for_selector(".wb-rail")
        page.goto(department.address + "/account")
        assert axe.Axe().run(page).response["violations"] == []
        assert asked
        assert [url for url in asked if not url.startswith(own)] == []
        context.close()


def test_two_browsers_of_two_people_do_not_see_each_others_conditions(
    department: Served, chromium: Browser
) -> None:
    with signed_in(department.address, "ben") as ben:
        condition = ben.condition(title="Ben's own condition")
    for name, sees in (("ben", True), ("cy", False)):
        context = chromium.new_context()
        page = context.new_page()
        sign_in(page, department.address, name)
        page.wait_for_selector(".wb-rail")
        page.wait_for_selector("#wb-view-worklist")
        assert ("Ben's own condition" in page.inner_text("body")) is sees
        status = page.evaluate("async (id) => (await fetch(`/api/v1/conditions/${id}`)).status", condition)
        assert status == (200 if sees else 404)
        context.close()
