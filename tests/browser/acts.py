"""Actions of a user on visible elements of the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

SLOW = 120_000  # ms, for computations
SONGS, MODEL = "#songs", "#voice-files"  # upload fields


def tab(page: Page, *names: str) -> None:
    """Open a tab, and the tabs in it."""
    for name in names:
        page.get_by_role("tab", name=name, exact=True).locator("visible=true").click()


def button(page: Page, name: str) -> Locator:
    """A visible button."""
    return page.get_by_role("button", name=name, exact=True).locator("visible=true")


def fold(page: Page, name: str) -> None:
    """Open or close an accordion."""
    page.get_by_role("button").filter(has_text=name).locator("visible=true").first.click()


def choose(page: Page, label: str, option: str) -> None:
    """Choose an entry of a menu."""
    page.get_by_label(label, exact=True).locator("visible=true").first.click()
    page.get_by_role("option").filter(has_text=option).locator("visible=true").first.click()


def upload(page: Page, place: str, *files: Path) -> None:
    """Upload files."""
    with page.expect_file_chooser() as chooser:
        page.locator(place).get_by_role("button", name="Click to upload or drop files").click()
    chooser.value.set_files(list(files))
    for file in files:
        page.locator(place).get_by_text(file.stem[:8]).first.wait_for()


def toast(page: Page, text: str) -> None:
    """Wait for a toast with ``text``, which must be one sentence."""
    found = page.get_by_test_id("toast-body").filter(has_text=text).first
    found.wait_for(timeout=SLOW)
    assert "Traceback" not in found.inner_text()
